"""Features of a trained network as a user brings them in a .npz file, checked, and how far they have collapsed.

The file holds, as in the papers with samples as columns,

    H (d, N)    labels (N,)    and optionally    W (K, d)    b (K,)    H0 (d0, N), the features of the layer before

Arrays of Python objects are refused unread: loading them would run the code inside.
"""

import pickle
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics import mean_gram, nc1, nc1_trace_ratio, nc3, nc4, simplex_distance

_KEYS = ("H", "labels", "W", "b", "H0")
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
    path = str(path)
    damaged = f"the features must be in a .npz file, got {path!r}, which is damaged or of another kind"
    try:
        with open(path, "rb") as stream:
            arrays = _arrays(path, np.load(stream, allow_pickle=False))
    except FileNotFoundError:
        raise ValueError(f"the features must be in a .npz file, got {path!r}, which does not exist") from None
    except OSError as error:
        raise ValueError(f"the features must be in a .npz file, got {path!r}: {error.strerror or error}") from None
    except (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError):
        raise ValueError(damaged) from None
    except ValueError as error:
        raise ValueError(damaged if "allow_pickle" in str(error) else str(error)) from None
    return check_features(**arrays)


def check_features(H: Any, labels: Any, W: Any = None, b: Any = None, H0: Any = None) -> Features:
    """Features whose shapes fit together and whose numbers are finite, in double precision.

    Args:
      H: (d, N). labels: (N,) whole numbers, 0 to K - 1 with two samples or more of each. W: (K, d). b: (K,). H0: (d0, N).

    Returns:
      Features.

    Raises:
      ValueError: naming the array, what it must be and what it is.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"labels must have shape (N,), got {labels.shape}")
    if labels.dtype.kind not in "iuf" or not np.all(np.isfinite(labels)) or np.any(labels != np.round(labels)):
        raise ValueError(f"labels must be whole numbers from 0 to K - 1, got {labels.dtype} {_some(labels)}")
    if labels.min() < 0 or labels.max() > labels.size:
        raise ValueError(f"labels must be from 0 to K - 1, got {labels.min():.0f} to {labels.max():.0f} for {labels.size} samples")
    labels = labels.astype(np.int64)
    counts = np.bincount(labels)
    if counts.size < 2:
        raise ValueError("labels must name at least 2 classes, got one")
    if counts.min() == 0:
        raise ValueError(f"labels must leave out no class from 0 to {counts.size - 1}, got no sample of class {np.argmin(counts)}")
    if counts.min() < 2:
        raise ValueError(f"labels must have at least 2 samples of each class, got 1 of class {np.argmin(counts)}")
    N, K = labels.size, counts.size
    H = _matrix("H", H, N)
    if b is not None and W is None:
        raise ValueError("b must come with W, got b alone")
    return Features(
        H=H,
        labels=labels,
        W=None if W is None else _array("W", W, (K, H.shape[0])),
        b=None if b is None else _array("b", b, (K,)),
        H0=None if H0 is None else _matrix("H0", H0, N),
    )


def collapse(H: Any, labels: Any, W: Any = None, b: Any = None, *, ridge: float = 1e-3) -> Collapse:
    """NC1 to NC4 of features under their classifier, or, without one, under the ridge regression W*(H).

    Args:
      H: (d, N). labels: (N,), 0 to K - 1. W: (K, d) or None. b: (K,) or None.
      ridge: l2_W of the ridge regression, in the plain normalisation.

    Returns:
      Collapse.
    """
    H, labels = jnp.asarray(H, jnp.result_type(float)), np.asarray(labels)
    K = int(labels.max()) + 1
    W = _regression(H, labels, ridge, classes=K) if W is None else jnp.asarray(W, H.dtype)
    b = jnp.zeros((K,), H.dtype) if b is None else jnp.asarray(b, H.dtype)
    return Collapse(*map(float, _collapse(H, labels, W, b, classes=K)))


@partial(jax.jit, static_argnames="classes")
def _collapse(H: jax.Array, labels: jax.Array, W: jax.Array, b: jax.Array, classes: int) -> tuple[jax.Array, ...]:
    own = (H, labels, classes)
    distance = simplex_distance(mean_gram(*own))
    return nc1(*own), nc1_trace_ratio(*own), distance, nc3(W, *own), nc4(W, *own, bias=b)


@partial(jax.jit, static_argnames="classes")
def _regression(H: jax.Array, labels: jax.Array, ridge: float, classes: int) -> jax.Array:
    Y = jax.nn.one_hot(labels, classes, dtype=H.dtype)
    gram = H @ H.T + H.shape[1] * ridge * jnp.eye(H.shape[0], dtype=H.dtype)
    return jnp.linalg.solve(gram, H @ Y).T


def _arrays(path: str, file: Any) -> dict[str, np.ndarray]:
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"the features must be in a .npz file of named arrays, got a single array in {path!r}")
    with file:
        if not {"H", "labels"} <= set(file.files):
            found = ", ".join(sorted(file.files)[:_SHOWN]) or "nothing"
            raise ValueError(f"{path!r} must hold H and labels (and may hold W, b, H0), got {found}")
        return {name: _read(file, name) for name in _KEYS if name in file.files}


def _read(file: Any, name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise ValueError(f"{name} must be an array of numbers, got Python objects, which are not loaded") from None
        raise ValueError(f"{name} must be an array of numbers, got one that cannot be read: {error}") from None


def _matrix(name: str, x: Any, N: int) -> np.ndarray:
    shape = np.shape(x)
    if len(shape) == 2 and shape[1] != N and shape[0] == N:
        raise ValueError(f"{name} must have samples as columns, shape (d, {N}), got {shape}: transpose it")
    if len(shape) != 2 or shape[1] != N or shape[0] == 0:
        raise ValueError(f"{name} must have shape (d, {N}), a column for each of the {N} labels, got {shape}")
    return _array(name, x, shape)


def _array(name: str, x: Any, shape: tuple[int, ...]) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be real numbers, got {x.dtype}")
    if x.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {x.shape}")
    if not np.all(np.isfinite(x)):
        raise ValueError(f"{name} must be finite, got {np.size(x) - np.count_nonzero(np.isfinite(x))} NaN or infinite numbers")
    if not np.any(x) and name != "b":
        raise ValueError(f"{name} must not be all zero")
    return x.astype(float)


def _some(x: np.ndarray) -> str:
    return np.array2string(x, threshold=_SHOWN, edgeitems=2)
