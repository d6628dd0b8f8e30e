"""Params and the objective: the one function that every closed form, solver and flow is about."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_key, check_non_negative, check_positive, check_shape, is_traced, refuse
from ufm.base.precision import full_precision
from ufm.problem.design import each_column
from ufm.problem.problem import Problem
from ufm.problem.validation import check_memory


class Params(NamedTuple):
    """A point of a problem.

    weights: the trainable (W_1, ..., W_M), W_1 next to the features, W_M of K rows.
    H: (d_1, C), one column a feature vector times the square root of its multiplicity.
    b: (K,), or None where the problem has no bias.
    """

    weights: tuple[jax.Array, ...]
    H: jax.Array
    b: jax.Array | None


def weight_shapes(problem: Problem) -> tuple[tuple[int, int], ...]:
    """Shapes of the trainable weights, W_1 first."""
    outputs = (*problem.widths[1:], problem.classes)
    return tuple((outputs[i], problem.widths[i]) for i in range(problem.trainable))


@full_precision
def end_to_end(problem: Problem, weights: tuple[jax.Array, ...]) -> jax.Array:
    """scale * W_M ... W_1, K x d_1, multiplied from the classifier down so that a layer costs O(K d^2)."""
    product = problem.classifier
    for W in reversed(weights):
        product = W if product is None else product @ W
    if product is None:
        refuse("weights", weights, "at least one matrix where no classifier is fixed")
    return problem.scale * product


@full_precision
def logits(problem: Problem, params: Params) -> jax.Array:
    """Logits of every column, z_c = scale * W_M ... W_1 h_c / sqrt(m_c) + a_c b, of shape (K, C)."""
    check_order(problem, params)
    z = end_to_end(problem, params.weights) @ (params.H / jnp.sqrt(problem.multiplicity)[None, :])
    if params.b is None:
        return z
    return z + params.b[:, None] * problem.intercept[None, :]


def column_weights(problem: Problem) -> jax.Array:
    """(C,) weights w_c m_c / N of the columns in the data term."""
    return problem.weight * problem.multiplicity / problem.samples


def data_term(problem: Problem, z: jax.Array) -> jax.Array:
    """sum_c w_c m_c loss(z_c, y_c) / N at logits z of shape (K, C)."""
    return jnp.sum(column_weights(problem) * each_column(problem.design, problem.loss.value, z))


def penalty(problem: Problem, params: Params) -> jax.Array:
    """sum_m l2_W[m]/2 |W_m|^2 + l2_H/2 |H|^2 + l2_b/2 |b|^2 + beta/2 |H - H0|^2."""
    check_order(problem, params)
    total = 0.5 * problem.l2_H * jnp.sum(params.H**2)
    for l2, W in zip(problem.l2_W, params.weights, strict=True):
        total += 0.5 * l2 * jnp.sum(W**2)
    if params.b is not None:
        total += 0.5 * problem.l2_b * jnp.sum(params.b**2)
    if problem.H0 is not None:
        total += 0.5 * problem.beta * jnp.sum((params.H - problem.H0) ** 2)
    return total


@full_precision
def objective(problem: Problem, params: Params) -> jax.Array:
    """The value f of the problem at params, a scalar (formula in `ufm.problem`).

    Args:
      problem: the problem.
      params: weights, H of shape (d_1, C) and b of shape (K,) or None.

    Returns:
      f, in the problem's dtype.
    """
    check_point(problem, params)
    return data_term(problem, logits(problem, params)) + penalty(problem, params)


def gradient_norm(problem: Problem, params: Params) -> jax.Array:
    """Norm of the residual of the optimality conditions over all parameters: zero exactly at points that satisfy them.

    The gradient g where features are free, its tangential part on the sphere, and min(H, g_H) in the place of g_H where
    features are non-negative: g_H = 0 where H > 0, and g_H >= 0 where H = 0.
    """
    return value_and_residual(problem, params)[1]


@full_precision
def value_and_residual(problem: Problem, params: Params) -> tuple[jax.Array, jax.Array]:
    """f at params in the domain and `gradient_norm` there, from one pass; the norm of a zero gradient has the derivative 0."""
    check_order(problem, params)
    value, gradient = jax.value_and_grad(lambda p: objective(problem, along_domain(problem, p)))(params)
    if problem.features == "nonnegative":
        gradient = gradient._replace(H=jnp.minimum(params.H, gradient.H))
    square = sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient))
    return value, jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)


def initialize(problem: Problem, key: jax.Array, scale: Any = 1.0) -> Params:
    """A random start: every entry of the weights, of H (column coordinates) and of b is N(0, scale^2).

    On the sphere the features, and trained classifier rows, are normalised to it; non-negative features are |H|.

    Raises:
      ValueError: if scale is not above 0, or a column a sample would not fit into memory.
    """
    check_key("key", key)
    check_positive("scale", scale)
    check_memory(problem)
    shapes = (*weight_shapes(problem), (problem.widths[0], problem.columns))
    keys = jax.random.split(key, len(shapes) + 1)
    *weights, H = (scale * jax.random.normal(k, s, problem.dtype) for k, s in zip(keys[1:], shapes, strict=True))
    b = None if problem.bias == "none" else scale * jax.random.normal(keys[0], (problem.classes,), problem.dtype)
    return to_domain(problem, Params(tuple(weights), H, b))


def along_domain(problem: Problem, params: Params) -> Params:
    """Params retracted to the sphere where features live on one: derivatives of f after it are those along the sphere."""
    check_order(problem, params)
    return to_domain(problem, params) if problem.features == "sphere" else params


def to_domain(problem: Problem, params: Params) -> Params:
    """The nearest direction of params inside the domain: normalised on the sphere, |H| where non-negative."""
    check_order(problem, params)
    if problem.features == "nonnegative":
        return params._replace(H=jnp.abs(params.H))
    if problem.features == "sphere":
        H = params.H * (jnp.sqrt(problem.multiplicity) / jnp.linalg.norm(params.H, axis=0))[None, :]
        weights = tuple(W / jnp.linalg.norm(W, axis=1, keepdims=True) for W in params.weights)
        return params._replace(weights=weights, H=H)
    return params


def check_order(problem: object, params: object) -> None:
    """Refuse anything but (problem, params), and say so where the two are swapped."""
    if isinstance(params, Problem):
        raise ValueError("problem and params are swapped: the order is (problem, params)")
    if not isinstance(problem, Problem):
        refuse("problem", type(problem).__name__, "a Problem")
    if not isinstance(params, Params):
        refuse("params", None if params is None else type(params).__name__, "Params of the problem")


def check_point(problem: Problem, params: Params) -> None:
    """Refuse params whose shapes are not those of the problem, naming the one that differs."""
    check_order(problem, params)
    shapes = weight_shapes(problem)
    if len(params.weights) != len(shapes):
        raise ValueError(f"params.weights must hold {len(shapes)} matrices, got {len(params.weights)}")
    for i, (W, shape) in enumerate(zip(params.weights, shapes, strict=True)):
        _check_matrix(f"params.weights[{i}]", W, shape)
    _check_matrix("params.H", params.H, (problem.widths[0], problem.columns))
    if (params.b is None) != (problem.bias == "none"):
        expected = "None" if problem.bias == "none" else f"an array of shape ({problem.classes},)"
        raise ValueError(f'params.b must be {expected} where bias="{problem.bias}"')
    if params.b is not None:
        check_shape("params.b", params.b, (problem.classes,))


def check_params(problem: Problem, params: Params) -> None:
    """Refuse params whose shapes, dtype or domain are not those of the problem, naming the one that differs."""
    check_point(problem, params)
    dtypes = {jnp.result_type(x) for x in jax.tree.leaves(params)}
    if dtypes != {problem.dtype}:
        others = ", ".join(sorted(str(dtype) for dtype in dtypes - {problem.dtype}))
        raise ValueError(f"params must be of the problem's dtype {problem.dtype}, got {others}")
    if problem.features == "nonnegative":
        check_non_negative("params.H", params.H)
    if problem.features == "sphere":
        rows = {f"row of params.weights[{i}]": W for i, W in enumerate(params.weights)}
        for name, x in {"column of params.H": params.H.T, **rows}.items():
            if not is_traced(x) and not np.all(np.any(np.asarray(x) != 0, axis=1)):
                raise ValueError(f"every {name} must have a direction on the sphere, got a zero vector")


def _check_matrix(name: str, matrix: Any, shape: tuple[int, int]) -> None:
    if np.shape(matrix) == shape[::-1] != shape:
        raise ValueError(f"{name} must have shape {shape}, got {np.shape(matrix)}: is it transposed?")
    check_shape(name, matrix, shape)
