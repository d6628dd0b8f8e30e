"""The small problem that `solve` really runs, and the way back to the user's own.

Bias modes become one ("none" has zero intercepts, "free" a zero ridge), and widths become K + C where features are
free: a start padded with zero coordinates keeps them exactly zero, so a narrow model is a padded one, and a wide one
needs only the K + C coordinates that weights and columns span. One trained layer under a convex loss needs min(K, C):
no logit matrix has a higher rank, and every local minimum is global from that width on. Problems of one K, C, depth and
loss then share one compiled program.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from functools import reduce as fold

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import array_module, is_traced
from ufm.equivalent.columns import Reduced, compress_columns
from ufm.equivalent.widths import narrow_features, spanned_width
from ufm.losses import MSE, is_loss
from ufm.problem import Problem, constant, flattened, general
from ufm.problem.params import Params, to_domain, weight_shapes

_PADDED_UP_TO = 64  # larger problems gain more from their own width than from a shared program
_FLAT_UP_TO = 1 << 16  # targets of as many entries are stored a column, so that problems of one shape share a program
_START_SCALES = (1.0, 1.0, 0.6, 1.5, 1.0, 0.3, 1.0, 0.01)


def random_standard_starts(problem: Problem, key: jax.Array, starts: int) -> Reduced:
    """Standard form of the problem with `starts` stacked random params; the lift takes one of them back.

    A factor with ridge l gets Gaussian entries for which its singular values are of order sqrt(c/l) mean(m)^(1/2L), the
    size they have where singular values of the logit matrix are of order sqrt(mean(m)); the starts' scales vary around it.
    """
    small = share_bias(problem)
    if problem.features != "nonnegative" and problem.H0 is None and problem.classifier is None:
        size = spanned_width(problem.classes, problem.columns)
        if problem.features == "free" and problem.trainable == 1 and problem.loss.convex:
            size = min(problem.classes, problem.columns)
        small = dataclasses.replace(small, widths=tuple(_shared_width(size, d) for d in problem.widths))
    widths = np.minimum(problem.widths, small.widths)
    bias_scale = np.asarray(0.0 if problem.bias == "none" else 0.1, problem.dtype)
    points = _shape_starts(small, _numbers(small, key, starts), widths, bias_scale, starts)

    return Reduced(small, points, lambda p: resize(problem, _own_bias(problem, p)))


def _shared_width(size: int, width: int) -> int:
    """K + C, to which small widths are padded and wide ones cut; large problems keep a width below it."""
    return size if size <= _PADDED_UP_TO else min(size, width)


def _numbers(problem: Problem, key: jax.Array, starts: int) -> jax.Array:
    """Enough Gaussian numbers for the starts, rounded up to a power of two.

    Random generators are slow to compile, so problems of many shapes share one.
    """
    return jax.random.normal(key, (1 << (starts * _entries(problem) - 1).bit_length(),), problem.dtype)


def _entries(problem: Problem) -> int:
    return problem.classes + sum(map(math.prod, weight_shapes(problem))) + problem.widths[0] * problem.columns


@partial(jax.jit, static_argnums=4)
def _shape_starts(problem: Problem, numbers: jax.Array, widths: jax.Array, bias: jax.Array, starts: int) -> Params:
    """Stacked params of the start scales, zero beyond `widths` (traced: problems that differ in them share a program)."""
    ridges = jnp.where(jnp.all(problem.ridges > 0), problem.ridges, 1)
    size = jnp.mean(problem.multiplicity) ** (1 / (2 * problem.factors)) / jnp.sqrt(1.0 * jnp.max(widths))
    factors = (jnp.sqrt(jnp.exp(jnp.mean(jnp.log(ridges))) / ridges) * size).astype(problem.dtype)
    if problem.features != "free":
        factors = jnp.ones_like(factors)
    scales = jnp.asarray((_START_SCALES * (starts // len(_START_SCALES) + 1))[:starts], problem.dtype)
    numbers = numbers[: starts * _entries(problem)].reshape(starts, -1)

    def shape(numbers: jax.Array, scale: jax.Array) -> Params:
        inside = [jnp.arange(d) < width for d, width in zip(problem.widths, widths, strict=True)]
        sizes = [math.prod(s) for s in weight_shapes(problem)]
        b, *flat_weights, flat_H = jnp.split(numbers, np.cumsum([problem.classes, *sizes]))
        H = flat_H.reshape(problem.widths[0], problem.columns)
        weights = []
        for i, (flat, dims) in enumerate(zip(flat_weights, weight_shapes(problem), strict=True)):
            rows = inside[i + 1] if i + 1 < len(inside) else jnp.ones((dims[0],), bool)
            W = scale * factors[i + 1] * flat.reshape(dims)
            weights.append(jnp.where(rows[:, None] & inside[i][None, :], W, 0))
        H = jnp.where(inside[0][:, None], scale * factors[0] * H, 0)
        return to_domain(problem, Params(tuple(weights), H, bias * b))

    return jax.vmap(shape)(numbers, scales)


def standard_point(problem: Problem, params: Params) -> Reduced:
    """Standard form with one given point, compressed by the reductions that L-BFGS commutes with from any start."""
    steps: list[Callable[[Params], Params]] = []
    own, point = problem, params
    equal_weights = not is_traced(problem.weight) and np.ptp(np.asarray(problem.weight)) == 0
    centre = problem.widths[0] if problem.H0 is not None else 0
    if is_loss(problem.loss, MSE) and problem.features == "free" and equal_weights:
        if problem.columns > problem.widths[0] + problem.classes + 1 + centre:
            own, point, back = compress_columns(own, point)
            steps.append(back)
    above = own.widths[1] if len(own.widths) > 1 else own.classes
    if problem.features == "free" and own.widths[0] > above + own.columns * (2 if own.H0 is not None else 1):
        own, point, back = narrow_features(own, point)
        steps.append(back)
    small = share_bias(own)
    points = jax.tree.map(lambda x: x[None], point_with_bias(problem, point))
    return Reduced(small, points, lambda p: fold(lambda q, back: back(q), reversed(steps), _own_bias(problem, p)))


def share_bias(problem: Problem) -> Problem:
    """Every bias mode as "ridge": without a bias the intercepts are 0 and the ridge 1, free is a ridge of 0."""
    absent = problem.bias == "none"
    small = problem.classes * problem.columns <= _FLAT_UP_TO
    design = flattened(problem.design) if small else general(problem.design)
    if absent:
        design = dataclasses.replace(design, run_intercept=constant(np.zeros(len(design.runs), problem.dtype)))
    return dataclasses.replace(
        problem,
        bias="ridge",
        design=design,
        l2_b=constant(np.ones((), problem.dtype)) if absent else problem.l2_b,
    )


def _own_bias(problem: Problem, params: Params) -> Params:
    return params._replace(b=None) if problem.bias == "none" else params


def resize(problem: Problem, params: Params) -> Params:
    """Params cropped or zero-padded to the widths of the problem, where the coordinates in question are zero."""
    outputs = (*problem.widths[1:], problem.classes)
    weights = tuple(_fit(W, (outputs[i], problem.widths[i])) for i, W in enumerate(params.weights))
    return params._replace(weights=weights, H=_fit(params.H, (problem.widths[0], params.H.shape[1])))


def _fit(x: jax.Array, shape: tuple[int, int]) -> jax.Array:
    if x.shape == shape:
        return x
    xp = array_module(x)
    kept = xp.asarray(x)[: shape[0], : shape[1]]
    return jnp.asarray(xp.pad(kept, [(0, shape[i] - kept.shape[i]) for i in range(2)]))


def shared_form(problem: Problem, params: Params) -> tuple[Problem, Params]:
    """The same problem and point with every bias mode as one, and small widths padded to K + C by coordinates that are zero.

    Values, logits and residuals are the same, and problems of one K, C, depth and loss share the programs that look at them.
    """
    wide = problem
    if problem.classifier is None and problem.H0 is None:
        size = spanned_width(problem.classes, problem.columns)
        wide = dataclasses.replace(problem, widths=tuple(max(d, _shared_width(size, d)) for d in problem.widths))
    return share_bias(wide), point_with_bias(wide, resize(wide, params))


def point_with_bias(problem: Problem, params: Params) -> Params:
    """The point in the problem that `share_bias` makes: b = 0 where there was none."""
    return params._replace(b=jnp.asarray(np.zeros((problem.classes,), problem.dtype))) if params.b is None else params
