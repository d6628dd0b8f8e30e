"""Shards: features too large for one file, read one at a time, and the classifier beside them.

A shard is a file as in `ufm.features.load_features`, in its own dtype, that need not have every class; a folder of them is read
in the order of names. Every refusal names the file. Moments that several processes take of shards of their own travel in files too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ufm.features.checkpoint import load_arrays, save_arrays
from ufm.features.given import (
    feature_arrays,
    held_names,
    npz_members,
    numbers,
    opened,
    read_array,
    sample_columns,
    whole_labels,
)
from ufm.metrics.streaming import Moments


def find_shards(path: Path) -> list[Path]:
    """The .npz files that a path stands for: itself, or those of a folder in the order of their names.

    Raises:
      ValueError: for a folder without .npz files.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.npz"))
    if not found:
        raise ValueError(f"the folder must hold .npz files of features, got {str(path)!r}, which has none")
    return found


def load_head(path: Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Labels (N,), W (K, d) and b (K,), or None, of a shard whose features stay unread.

    Raises:
      ValueError: in one sentence that names the shard.
    """

    def read() -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        arrays = opened(path, lambda path, file: feature_arrays(path, file, ("labels", "W", "b")))
        return whole_labels(arrays["labels"]), *_classifier(arrays.get("W"), arrays.get("b"))

    return _named(path, read)


def load_samples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features (d, N), in the dtype of the file, and labels (N,) of a shard, which need not have samples of every class.

    Raises:
      ValueError: in one sentence that names the shard.
    """

    def read() -> tuple[np.ndarray, np.ndarray]:
        arrays = opened(path, lambda path, file: feature_arrays(path, file, ("H", "features", "labels")))
        labels = whole_labels(arrays["labels"])
        H = sample_columns("H", arrays["H"], labels.size, 1)
        return H if jnp.issubdtype(H.dtype, jnp.floating) else H.astype(float), labels

    return _named(path, read)


def load_classifier(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """W (K, d) and b (K,), or None, of a .npz file; a linear layer's weight and bias are these by another name.

    Raises:
      ValueError: in one sentence that names the file.
    """

    def arrays(path: str, file: Any) -> dict[str, np.ndarray]:
        with npz_members(path, file):
            names = {"W": "W" if "W" in file.files else "weight", "b": "b" if "b" in file.files else "bias"}
            if names["W"] not in file.files:
                raise ValueError(f"{path!r} must hold W (K, d), or weight, got {held_names(file)}")
            return {key: read_array(file, name) for key, name in names.items() if name in file.files}

    return _named(path, lambda: _classifier(**opened(path, arrays)))


def save_moments(path: Path, state: Moments) -> None:
    """Write moments to a file that is either whole or absent, for another process to merge.

    Raises:
      ValueError: if the folder cannot be made or written to.
    """
    save_arrays(path, state._asdict())


def load_moments(path: Path) -> Moments:
    """The moments that `save_moments` wrote.

    Raises:
      ValueError: in one sentence that names the file, if it is missing, damaged or of another kind.
    """
    try:
        arrays = load_arrays(path)
    except ValueError:
        arrays = {}
    if arrays is None:
        raise ValueError(f"the moments must be in a file, got {str(path)!r}, which does not exist")
    if set(arrays) != set(Moments._fields):
        raise ValueError(f"the moments must be a file that save_moments wrote, got {str(path)!r}, damaged or of another kind")
    return Moments(**arrays)


def _named(path: Path, load: Callable[[], Any]) -> Any:
    """What `load` gives; its refusals begin with the file where they do not name it."""
    try:
        return load()
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _classifier(W: Any = None, b: Any = None) -> tuple[np.ndarray | None, np.ndarray | None]:
    if b is not None and W is None:
        raise ValueError("b must come with W, got b alone")
    if W is None:
        return None, None
    if np.ndim(W) != 2:
        raise ValueError(f"W must have shape (K, d), got {np.shape(W)}")
    return numbers("W", W, np.shape(W)), None if b is None else numbers("b", b, np.shape(W)[:1])
