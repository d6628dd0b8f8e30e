"""Features of a trained network as a user brings them in .npz files, checked, and how far they have collapsed.

A file holds, as in the papers with samples as columns,

    H (d, N)    labels (N,)    and optionally    W (K, d)    b (K,)    H0 (d0, N), the features of the layer before

or, as frameworks have them with samples as rows, features (N, d) in the place of H. Features too large for one file lie in a
folder of such files, shards, in the order of their names. Arrays of Python objects are refused unread: loading them would run
the code inside. bfloat16, which NumPy saves as two nameless bytes a number, is read as what it is.
"""

import pickle
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics import mean_gram, nc1, nc1_trace_ratio, nc3, nc4, simplex_distance
from ufm.metrics.inputs import as_array, dtype_name, power_of_two, samples_as_columns

_KEYS = ("H", "features", "labels", "W", "b", "H0")
_SHOWN = 5


class Features(NamedTuple):
    """Checked features: H (d, N), labels (N,) from 0 to K - 1, and W (K, d), b (K,), H0 (d0, N) or None."""

    H: np.ndarray
    labels: np.ndarray
    W: np.ndarray | None = None
    b: np.ndarray | None = None
    H0: np.ndarray | None = None

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return int(self.labels.max()) + 1

    @property
    def counts(self) -> np.ndarray:
        """(K,) class sizes."""
        return np.bincount(self.labels, minlength=self.classes)


class Collapse(NamedTuple):
    """How far features have collapsed: numbers of `ufm.metrics`; nc2 is the distance of the centred means' Gram to the simplex."""

    nc1: float
    nc1_trace_ratio: float
    nc2: float
    nc3: float
    nc4: float


def load_features(path: Path) -> Features:
    """The features in a .npz file.

    Args:
      path: of a file with the arrays named in the module's description.

    Returns:
      Features.

    Raises:
      ValueError: in one sentence, for a file that is missing, no .npz, or holds what `check_features` refuses.
    """
    return check_features(**opened(path, feature_arrays), samples_axis=1)


def check_features(
    H: Any, labels: Any, W: Any = None, b: Any = None, H0: Any = None, *, samples_axis: int | None = None
) -> Features:
    """Features whose shapes fit together and whose numbers are finite, in double precision.

    Args:
      H: (d, N). labels: (N,) whole numbers, 0 to K - 1 with two samples or more of each. W: (K, d). b: (K,). H0: (d0, N).
      samples_axis: 1 where H and H0 are as said, 0 where they are (N, d) and (N, d0); None is 1, and refused where one is square.

    Returns:
      Features.

    Raises:
      ValueError: naming the array, what it must be and what it is.
    """
    labels = whole_labels(labels)
    if labels.max() > labels.size:
        raise ValueError(f"labels must be from 0 to K - 1, got {labels.min():.0f} to {labels.max():.0f} for {labels.size} samples")
    counts = np.bincount(labels)
    if counts.size < 2:
        raise ValueError("labels must name at least 2 classes, got one")
    if counts.min() == 0:
        raise ValueError(f"labels must leave out no class from 0 to {counts.size - 1}, got no sample of class {np.argmin(counts)}")
    if counts.min() < 2:
        raise ValueError(f"labels must have at least 2 samples of each class, got 1 of class {np.argmin(counts)}")
    N, K = labels.size, counts.size
    H = sample_columns("H", H, N, samples_axis).astype(float)
    if b is not None and W is None:
        raise ValueError("b must come with W, got b alone")
    return Features(
        H=H,
        labels=labels,
        W=None if W is None else numbers("W", W, (K, H.shape[0])).astype(float),
        b=None if b is None else numbers("b", b, (K,)).astype(float),
        H0=None if H0 is None else sample_columns("H0", H0, N, samples_axis).astype(float),
    )


def collapse(
    H: Any, labels: Any, W: Any = None, b: Any = None, *, ridge: float = 1e-3, samples_axis: int | None = None
) -> Collapse:
    """NC1 to NC4 of features under their classifier, or, without one, under the ridge regression W*(H).

    Args:
      H: (d, N). labels: (N,), 0 to K - 1. W: (K, d) or None. b: (K,) or None.
      ridge: l2_W of the ridge regression, in the plain normalisation.
      samples_axis: 1 where H is (d, N), 0 where it is (N, d); None is (d, N), and refused at N = d.

    Returns:
      Collapse.

    Raises:
      ValueError: for what is not finite, labels that are no classes, shapes that do not fit, or square H without samples_axis.
    """
    labels = whole_labels(labels)
    H = jnp.asarray(sample_columns("H", H, labels.size, samples_axis), jnp.result_type(float))
    K = int(labels.max()) + 1
    W = _regression(H, labels, ridge, classes=K) if W is None else jnp.asarray(W, H.dtype)
    b = jnp.zeros((K,), H.dtype) if b is None else jnp.asarray(b, H.dtype)
    return Collapse(*map(float, _collapse(H, labels, W, b, classes=K)))


@partial(jax.jit, static_argnames="classes")
def _collapse(H: jax.Array, labels: jax.Array, W: jax.Array, b: jax.Array, classes: int) -> tuple[jax.Array, ...]:
    own: dict[str, Any] = {"labels": labels, "classes": classes, "samples_axis": 1}
    distance = simplex_distance(mean_gram(H / power_of_two(H), **own))  # of any scale, squares in range
    return nc1(H, **own), nc1_trace_ratio(H, **own), distance, nc3(W, H, **own), nc4(W, H, **own, bias=b)


@partial(jax.jit, static_argnames="classes")
def _regression(H: jax.Array, labels: jax.Array, ridge: float, classes: int) -> jax.Array:
    Y = jax.nn.one_hot(labels, classes, dtype=H.dtype)
    gram = H @ H.T + H.shape[1] * ridge * jnp.eye(H.shape[0], dtype=H.dtype)
    return jnp.linalg.solve(gram, H @ Y).T


_SAVE = "numpy.savez('features.npz', features=features, labels=labels, W=W, b=b), features of shape (N, d)"
_WRITTEN_BY = {
    ".pt": "PyTorch", ".pth": "PyTorch", ".ckpt": "PyTorch", ".bin": "PyTorch", ".safetensors": "safetensors",
    ".pkl": "pickle", ".pickle": "pickle", ".h5": "HDF5", ".hdf5": "HDF5", ".mat": "Matlab", ".csv": "text", ".parquet": "Parquet",
}  # fmt: skip


def opened(path: Path, read: Callable[[str, Any], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `read` makes of an open .npz file, with one sentence for each way in which it may be none."""
    written = _WRITTEN_BY.get(Path(path).suffix.lower())
    name = str(path)
    if written is not None:
        raise ValueError(f"the features must be in a .npz file, got {name!r}, a file of {written}: write one with {_SAVE}")
    damaged = f"the features must be in a .npz file, got {name!r}, which is damaged or of another kind"
    try:
        with open(name, "rb") as stream:
            return read(name, np.load(stream, allow_pickle=False))
    except FileNotFoundError:
        raise ValueError(f"the features must be in a .npz file, got {name!r}, which does not exist") from None
    except OSError as error:
        raise ValueError(f"the features must be in a .npz file, got {name!r}: {error.strerror or error}") from None
    except (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError):
        raise ValueError(damaged) from None
    except ValueError as error:
        raise ValueError(damaged if "allow_pickle" in str(error) else str(error)) from None


def npz_members(path: str, file: Any) -> Any:
    """The open .npz file, or a refusal of a single array."""
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"the features must be in a .npz file of named arrays, got a single array in {path!r}")
    return file


def held_names(file: Any) -> str:
    """The first names that an open .npz file holds, in words."""
    return ", ".join(sorted(file.files)[:_SHOWN]) or "nothing"


def feature_arrays(path: str, file: Any, keys: tuple[str, ...] = _KEYS) -> dict[str, np.ndarray]:
    """The arrays of these names in an open .npz file of features, samples as columns."""
    with npz_members(path, file):
        held = {"H", "features"} & set(file.files)
        if not held or "labels" not in file.files:
            raise ValueError(f"{path!r} must hold H and labels (and may hold W, b, H0), got {held_names(file)}")
        if len(held) > 1:
            raise ValueError(f"{path!r} must hold H (d, N) or features (N, d), got both")
        arrays = {name: read_array(file, name) for name in keys if name in file.files}
    if "features" in arrays:
        rows, N = arrays.pop("features"), np.size(arrays["labels"])
        if "H0" in arrays and np.shape(arrays["H0"]) == (N, N):
            raise ValueError(f"H0 beside features (N, d) must not be square, got {(N, N)}, which may be either way: save H and H0")
        if rows.ndim != 2 or rows.shape[0] != N:
            raise ValueError(f"features must have samples as rows, shape ({N}, d), got {rows.shape}: H is for samples as columns")
        arrays["H"] = rows.T
    return arrays


def whole_labels(labels: Any) -> np.ndarray:
    """Labels (N,), whole numbers of at least zero, or a refusal."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"labels must have shape (N,), got {labels.shape}")
    if labels.dtype.kind not in "iuf" or not np.all(np.isfinite(labels)) or np.any(labels != np.round(labels)):
        raise ValueError(f"labels must be whole numbers from 0 to K - 1, got {labels.dtype} {_some(labels)}")
    if labels.min() < 0 or int(labels.max()) > np.iinfo(np.int64).max:
        ends = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"labels must be from 0 to K - 1, got {ends} for {labels.size} samples")
    return labels.astype(np.int64)


def read_array(file: Any, name: str) -> np.ndarray:
    """One array of an open .npz file, or a refusal of what is none."""
    try:
        x = file[name]
    except ValueError as error:
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise ValueError(f"{name} must be an array of numbers, got Python objects, which are not loaded") from None
        raise ValueError(f"{name} must be an array of numbers, got one that cannot be read: {error}") from None
    if x.dtype == np.dtype("V2"):
        return x.view(jnp.bfloat16)  # the one dtype of two bytes that NumPy saves without its name
    if x.dtype.kind == "V":
        raise ValueError(f"{name} must be numbers of a dtype that NumPy saves, got raw bytes {x.dtype} (float8?): save float32")
    return x


def sample_columns(name: str, x: Any, N: int, samples_axis: int | None) -> np.ndarray:
    """Finite numbers of shape (d, N), transposed from (N, d) where samples_axis is 0, or a refusal."""
    x = as_array(name, x)
    if x.ndim == 2 and (samples_axis is not None or x.shape == (N, N)):
        x = samples_as_columns(name, x, N, samples_axis)
    shape = x.shape
    if len(shape) == 2 and shape[1] != N and shape[0] == N:
        raise ValueError(f"{name} must have samples as columns, shape (d, {N}), got {shape}: transpose it")
    if len(shape) != 2 or shape[1] != N or shape[0] == 0:
        raise ValueError(f"{name} must have shape (d, {N}), a column for each of the {N} labels, got {shape}")
    return numbers(name, x, shape)


def numbers(name: str, x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite real numbers of this shape, not all zero but for b, or a refusal."""
    x = np.asarray(as_array(name, x))
    if x.dtype.kind not in "iu" and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name} must be real numbers, got {dtype_name(x.dtype)}")
    if x.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {x.shape}")
    if not np.all(np.isfinite(x)):
        raise ValueError(f"{name} must be finite, got {np.size(x) - np.count_nonzero(np.isfinite(x))} NaN or infinite numbers")
    if not np.any(x) and name != "b":
        raise ValueError(f"{name} must not be all zero")
    return x


def _some(x: np.ndarray) -> str:
    return np.array2string(x, threshold=_SHOWN, edgeitems=2)
