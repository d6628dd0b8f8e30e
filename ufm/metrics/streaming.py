"""Metrics of features too large for memory: moments of batches, merged in any order and by any number of processes.

Moments are NumPy arrays in float64 on the host, whatever the dtype of the batches and with x64 off: the sums of a million float32
samples keep ten digits. One pass is enough for everything but NC4 and margins, since per class the counts, means and sums of
squares, and over all classes S_W, merge exactly (Chan, Golub and LeVeque 1979):

    n = n_a + n_b,   delta = m_b - m_a,   m = m_a + (n_b/n) delta,   M = M_a + M_b + (n_a n_b/n) delta delta^T.

Within a batch everything is a difference from a sample of the class, so a common offset costs no digit. A state takes
d (d + K) numbers. NC4 and margins need the means first: `decide` makes that second pass.

>>> H, y = np.array([[0.9, 1.1, -0.9, -1.1]]), np.array([0, 0, 1, 1])
>>> batches = [moments(H[:, cut], y[cut], classes=2, samples_axis=1) for cut in (slice(0, 1), slice(1, 4))]
>>> from ufm.metrics.variability import scatter_nc1
>>> round(float(scatter_nc1(scatter_of(merge(*batches)))), 6)
0.005
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_choice, check_count, check_finite, check_positive, check_shape, refuse
from ufm.base.describe import describe
from ufm.metrics.inputs import as_array, dtype_name, samples_as_columns
from ufm.metrics.samples import Scatter

_ROUNDINGS = 16  # of the mean of a class: a few in each batch, and one for each merge
_CHUNK = 2**22  # numbers of a batch that are held in float64 at once


class Moments(NamedTuple):
    """What one pass keeps, in float64.

    counts: n_k, (K,). means: m_k, (d, K), zero where n_k is. squares: n_k v_k, (K,). scatter: N S_W, (d, d).
    """

    counts: np.ndarray
    means: np.ndarray
    squares: np.ndarray
    scatter: np.ndarray

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


class Decisions(NamedTuple):
    """Sums over samples of the second pass, each sample with its multiplicity.

    samples: of one. agree: classifier and nearest mean give one class. classifier, nearest: each is right. margins: cosine margins.
    """

    samples: float
    agree: float
    classifier: float
    nearest: float
    margins: float


def moments(
    features: Any, labels: Any, classes: int, multiplicity: Any = None, *, samples_axis: int | None = None
) -> Moments:
    """Moments of one batch.

    Args:
      features: finite floats of shape (d, B), or (B, d) with samples_axis=0, in any precision; B at least 1.
      labels: shape (B,), whole numbers from 0 to K - 1; a batch need not have every class.
      classes: K, at least 2.
      multiplicity: shape (B,), positive; None is one sample a column.
      samples_axis: 1 where features are (d, B), 0 where they are (B, d), as torch has them. None is (d, B), and refused at B = d:
        give it in loops, whose last batch may be square.

    Returns:
      Moments.

    Raises:
      ValueError: for a wrong shape or dtype, NaN, infinity, a label out of range, or square features without samples_axis.
    """
    features, labels, multiplicity = _checked(features, labels, classes, multiplicity, samples_axis)
    step = max(1, _CHUNK // features.shape[0])
    state: Moments | None = None
    for i in range(0, labels.size, step):
        own = None if multiplicity is None else multiplicity[i : i + step]
        part = _chunk(features[:, i : i + step], labels[i : i + step], classes, own)
        state = part if state is None else merge(state, part)
    assert state is not None  # there is a sample
    return state


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of two sets of samples together, in whichever order; neither is changed.

    Raises:
      ValueError: if they differ in d or K.
    """
    if a.means.shape != b.means.shape:
        raise ValueError(f"moments must share their shape (d, K), got {a.means.shape} and {b.means.shape}")
    counts = a.counts + b.counts
    share = np.divide(b.counts, counts, out=np.zeros_like(counts), where=counts > 0)
    means = np.where(a.counts == 0, b.means, a.means)
    squares, scatter = a.squares + b.squares, a.scatter + b.scatter
    both = np.flatnonzero((a.counts > 0) & (b.counts > 0))
    if both.size:
        delta, share = b.means[:, both] - a.means[:, both], share[both]
        means[:, both] += delta * share
        weighted = delta * np.sqrt(a.counts[both] * share)
        squares[both] += np.sum(weighted**2, axis=0)
        scatter += weighted @ weighted.T
    return Moments(counts, means, squares, scatter)


def scatter_of(state: Moments, global_mean: str = "samples") -> Scatter:
    """The Scatter that has these moments, d columns in place of the N samples: whatever a metric reads off it is the same.

    Args:
      state: of samples of every class.
      global_mean: "samples" or "classes".

    Returns:
      Scatter of NumPy arrays in float64.

    Raises:
      ValueError: for a class without samples, or an unknown global mean.
    """
    weights = _weights(state, global_mean)
    centred = state.means - state.means[:, :1]
    centred -= (centred @ weights)[:, None]
    deviations = _root(state.scatter / np.sum(state.counts))
    # what rounding the means themselves, in which a common offset still is, can have made of their differences
    whole = np.maximum(np.max(np.abs(state.means), axis=1), np.linalg.norm(deviations, axis=1))
    rounding = _ROUNDINGS * np.finfo(float).eps * whole
    centred[np.abs(centred) <= rounding[:, None]] = 0
    largest = max(np.max(np.abs(centred)), np.max(np.abs(deviations)))
    unit: Any = np.ldexp(1.0, np.frexp(largest)[1] - 1) if largest > 0 else np.float64(1)
    variances = state.squares / state.counts / unit**2
    shares = np.ones(deviations.shape[1])
    return Scatter(unit, centred / unit, deviations / unit, shares, variances, state.counts, weights, rounding / unit)


def centre_of(state: Moments, global_mean: str = "samples") -> np.ndarray:
    """g, shape (d,), the mean over "samples" or "classes".

    Raises:
      ValueError: for a class without samples, or an unknown global mean.
    """
    return state.means @ _weights(state, global_mean)


def decide(
    state: Moments,
    classifier: Any,
    features: Any,
    labels: Any,
    bias: Any = None,
    multiplicity: Any = None,
    *,
    global_mean: str = "samples",
    samples_axis: int | None = None,
) -> Decisions:
    """Second pass over a batch: what the classifier and the nearest of the means in `state` say of its samples.

    Args:
      state: moments of all batches.
      classifier: W, shape (K, d). bias: b, shape (K,); None is no bias.
      features, labels, multiplicity, samples_axis: as for `moments`.
      global_mean: "samples" or "classes", for the margins.

    Returns:
      Decisions; add them up over batches with `merge_decisions`. NC4 is agree / samples.

    Raises:
      ValueError: as for `moments`, and for a classifier or bias of another shape or not finite.
    """
    K = state.counts.size
    features, labels, multiplicity = _checked(features, labels, K, multiplicity, samples_axis)
    check_shape("features", features, (state.means.shape[0], labels.size))
    check_shape("classifier", classifier, state.means.T.shape)
    check_finite("classifier", classifier)
    W, b = np.asarray(classifier, float), np.zeros(K) if bias is None else np.asarray(bias, float)
    check_shape("bias", b, (K,))
    check_finite("bias", b)
    centre = centre_of(state, global_mean)
    centred = state.means - centre[:, None]
    rows = _unit_rows(W - np.mean(W, axis=0))
    step, total = max(1, _CHUNK // max(features.shape[0], K)), Decisions(0.0, 0.0, 0.0, 0.0, 0.0)
    for i in range(0, labels.size, step):
        h, y = np.asarray(features[:, i : i + step], float), labels[i : i + step]
        m = np.ones(y.size) if multiplicity is None else multiplicity[i : i + step]
        apart = h - centre[:, None]
        said = np.argmax(W @ h + b[:, None], axis=0)
        near = np.argmax(centred.T @ apart - 0.5 * np.sum(centred**2, axis=0)[:, None], axis=0)
        cosines = rows @ _unit_rows(apart.T).T
        own = cosines[y, np.arange(y.size)]
        cosines[y, np.arange(y.size)] = -np.inf
        margins = own - np.max(cosines, axis=0)
        found = (np.sum(m), m @ (said == near), m @ (said == y), m @ (near == y), m @ margins)
        total = merge_decisions(total, Decisions(*map(float, found)))
    return total


def merge_decisions(a: Decisions, b: Decisions) -> Decisions:
    """Decisions of two sets of samples together."""
    return Decisions(*(x + y for x, y in zip(a, b, strict=True)))


def _weights(state: Moments, global_mean: str) -> np.ndarray:
    check_choice("global_mean", global_mean, ("samples", "classes"))
    if not all(np.all(np.isfinite(part)) for part in state):
        raise ValueError("moments must be finite, got NaN or infinity")
    if np.min(state.counts) <= 0:
        raise ValueError(f"moments must be of every class, got no sample of class {np.argmin(state.counts)}")
    K = state.counts.size
    return state.counts / np.sum(state.counts) if global_mean == "samples" else np.full(K, 1 / K)


def _root(scatter: np.ndarray) -> np.ndarray:
    """R with R R^T = S_W, from its correlations: rows that are zero, or tiny beside others, keep what they are."""
    lengths = np.sqrt(np.maximum(np.diag(scatter), 0))
    safe = np.where(lengths > 0, lengths, 1)
    values, vectors = np.linalg.eigh(scatter / safe[:, None] / safe[None, :])
    values = np.where(values > np.finfo(float).eps * values.size * values[-1], values, 0)
    return lengths[:, None] * vectors * np.sqrt(values)[None, :]


def _checked(
    features: Any, labels: Any, classes: int, multiplicity: Any, samples_axis: int | None
) -> tuple[np.ndarray, np.ndarray, Any]:
    features, labels = as_array("features", features), as_array("labels", labels)
    if features.ndim != 2 or 0 in features.shape or not jnp.issubdtype(features.dtype, jnp.floating):
        raise ValueError(f"features must be floats of shape (dim, samples), got {dtype_name(features.dtype)} {features.shape}")
    check_count("classes", classes, 2)
    if labels.shape not in [(n,) for n in features.shape]:
        check_shape("labels", labels, (features.shape[0 if samples_axis == 0 else 1],))
    features = np.asarray(samples_as_columns("features", features, labels.size, samples_axis))
    check_shape("labels", labels, features.shape[1:])
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be whole numbers, got {labels.dtype}")
    for extreme in (int(np.min(labels)), int(np.max(labels))):
        if not 0 <= extreme < classes:
            refuse("labels", extreme, f"from 0 to classes - 1 = {classes - 1}")
    bad = features.size - np.count_nonzero(np.isfinite(features))
    if bad:
        raise ValueError(f"features must be finite, got {bad} NaN or infinite numbers")
    if multiplicity is not None:
        check_positive("multiplicity", multiplicity)
        multiplicity = np.asarray(multiplicity, float)
        check_shape("multiplicity", multiplicity, labels.shape)
    return features, np.asarray(labels).astype(np.int64), multiplicity


def _chunk(features: np.ndarray, labels: np.ndarray, classes: int, multiplicity: np.ndarray | None) -> Moments:
    order = np.argsort(labels, kind="stable")
    present, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    x = features.T[order].astype(float)  # always a copy: nothing of the caller's is written to
    m = np.ones(order.size) if multiplicity is None else multiplicity[order]
    counts, origins = np.add.reduceat(m, starts), x[starts]
    x -= np.repeat(origins, sizes, axis=0)
    offsets = np.add.reduceat(x * m[:, None], starts, axis=0) / counts[:, None]
    x -= np.repeat(offsets, sizes, axis=0)
    x *= np.sqrt(m)[:, None]
    state = Moments(np.zeros(classes), np.zeros((features.shape[0], classes)), np.zeros(classes), x.T @ x)
    state.counts[present] = counts
    state.means[:, present] = (origins + offsets).T
    state.squares[present] = np.add.reduceat(np.sum(x**2, axis=1), starts)
    return state


def _unit_rows(x: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(lengths > 0, lengths, 1)
