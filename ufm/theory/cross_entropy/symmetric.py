"""Class-symmetric convex losses on one layer: the minimum is that of a convex function of three scalars.

For a loss with loss(P z, P y) = loss(z, y) for every permutation P of the classes (one of ours, or one that declares it), averaging
over the symmetric group gives a minimiser with class logits a (I - J) + e J + beta 1 1^T, so that

    f* = min_{a, e, beta} loss(a, e, beta) + c sqrt(n) [(K-1)|a| + |e|] + l2_b K beta^2 / 2,

with logits a (1 - 1/K) + e/K + beta on the true class and -a/K + e/K + beta elsewhere; a < 0 where the own class has the lower
target, or the loss wants it so. Shift-invariant losses have e = beta = 0; a free bias takes e; a ridge on the bias splits the shift
s = e/K + beta at |beta| = c sqrt(n)/l2_b. The point found is held against the optimality conditions of this convex function: a loss
whose slopes jump, or whose minimum lies beyond the brackets, gives NaN (rank -1) throughout, never another point.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.equivalent.columns import split_columns
from ufm.losses import CE, LOGISTIC, MSE, SQUARED_HINGE, is_loss
from ufm.problem import Problem
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.assumptions import CLASS_SYMMETRIC, ONE_LAYER, PENALISED, PLAIN, is_wide
from ufm.theory.mse.cases import ridges_at
from ufm.theory.prediction import Prediction
from ufm.theory.symmetric import kinked_root, price_of, symmetric_prediction
from ufm.theory.theorem import Assumption

_REACH, _SHORTENINGS = 1e4, 16
_BIASES = ("none", "free", "ridge")
_NOTHING = {"f": jnp.nan, "i": -1, "b": False}  # in leaves of these kinds, where the point found is no minimum


def predict_symmetric(problem: Problem) -> Prediction:
    """Balanced classes, one layer, a convex loss that treats all wrong classes alike: a minimiser is a (I - J) + e J with equal
    biases, and the minimum that of a convex function of three scalars.

    Found over (a, s), s = e/K + beta the common shift, by nested brackets of slopes.
    """
    K, price, l2_b, target = problem.classes, price_of(problem), problem.l2_b, problem.targets[:, 0]

    def fit(a: jax.Array, s: jax.Array, target: jax.Array) -> jax.Array:
        return problem.loss.value(jnp.where(jnp.arange(K) == 0, a, 0) - a / K + s, target)

    reach = _reach(fit, target)

    def slope_in_s(s: jax.Array, a: jax.Array, price: jax.Array, l2_b: jax.Array, target: jax.Array) -> jax.Array:
        ridge = K * jnp.clip(l2_b * s, -price, price) if problem.bias == "ridge" else 0
        return jax.grad(fit, argnums=1)(a, s, target) + ridge

    def best_shift(a: jax.Array, price: jax.Array, *numbers: jax.Array) -> jax.Array:
        if problem.loss.shift_invariant:
            return jnp.zeros_like(a)
        if problem.bias != "none":
            return increasing_root(slope_in_s, -reach, reach, a, price, *numbers)
        return kinked_root(slope_in_s, price * K, a, price, *numbers, reach=reach)

    def slope_in_a(a: jax.Array, *numbers: jax.Array) -> jax.Array:
        return jax.grad(fit)(a, best_shift(a, *numbers), numbers[-1])

    a = kinked_root(slope_in_a, price * (K - 1), price, l2_b, target, reach=reach)
    s = best_shift(a, price, l2_b, target)
    most = {"none": 0 * price, "free": 0 * price + jnp.inf, "ridge": price / l2_b}[problem.bias]
    beta = jnp.clip(s, -most, most)
    e = K * (s - beta)
    value = fit(a, s, target) + price * ((K - 1) * jnp.abs(a) + jnp.abs(e)) + 0.5 * l2_b * K * beta**2
    unique = is_loss(problem.loss, MSE, CE, LOGISTIC, SQUARED_HINGE)  # of others nobody has said that they have one minimiser
    optimal = _is_optimal(problem, fit, a, s, price)
    found = symmetric_prediction(problem, a, e, value, unique, beta)
    return jax.tree.map(lambda x: jnp.where(optimal, x, _NOTHING[x.dtype.kind]), found)


def _reach(fit: Callable, target: jax.Array) -> jax.Array:
    """Half the length of the brackets: 1e4 targets, less where the slopes of the loss would leave the range of the dtype."""
    frozen = lax.stop_gradient(target)
    reaches = _REACH * jnp.maximum(1, jnp.max(jnp.abs(frozen))) / 2.0 ** jnp.arange(_SHORTENINGS, dtype=frozen.dtype)
    corners = jnp.asarray(list(itertools.product((-1, 0, 1), repeat=2)), frozen.dtype)
    slopes = jax.grad(lambda x: fit(x[0], x[1], frozen))
    found = lax.map(lambda reach: jnp.all(jnp.isfinite(jax.vmap(slopes)(reach * corners))), reaches)
    return reaches[jnp.argmax(found)]


def _is_optimal(problem: Problem, fit: Callable, a: jax.Array, s: jax.Array, price: jax.Array) -> jax.Array:
    """Whether zero is a subgradient of the convex reduction at (a, s), up to what rounding of a and s can do to its slopes."""
    K, target, x = problem.classes, problem.targets[:, 0], lax.stop_gradient(jnp.stack([a, s]))
    eps = jnp.finfo(problem.dtype).eps
    slopes = jax.grad(lambda x: fit(x[0], x[1], target))
    g, H = slopes(x), jax.jacfwd(slopes)(x)
    blur = 1e3 * eps * (jnp.abs(H) @ (1 + jnp.abs(x))) + eps**0.5 * (jnp.abs(g) + price)
    if problem.bias == "ridge":
        g = g.at[1].add(K * jnp.clip(problem.l2_b * s, -price, price))
    is_kinked = problem.bias == "none" and not problem.loss.shift_invariant
    weights = price * jnp.array([K - 1, K * is_kinked], x.dtype)
    left = jnp.where(x == 0, jnp.maximum(jnp.abs(g) - weights, 0), jnp.abs(g + jnp.sign(x) * weights))
    return jnp.all(left <= blur * jnp.array([1, K], x.dtype))


def _problem_at(loss: str, bias: str, price: float, smoothing: float = 0.0, classes: int = 4) -> Problem:
    """n = 5, each class as two columns; c sqrt(n) = price."""
    ridges = ridges_at(price / 5**0.5, 1) | {"l2_b": 0.02 if bias == "ridge" else 0.0}
    return split_columns(Problem.balanced(classes, 5, 12, loss=loss, bias=bias, smoothing=smoothing, **ridges))


def symmetric_cases() -> dict[str, Problem]:
    """Losses without a closed form in all bias modes, smoothed CE as a cross-check, alive and collapsed."""
    losses = ("logistic", "squared_hinge")
    chosen = itertools.product(losses, _BIASES, (0.01, 0.1))
    cases = {f"{loss}, {bias} bias, price={price}": _problem_at(loss, bias, price) for loss, bias, price in chosen}
    cases["ce s=0.2, ridge bias, price=0.05"] = _problem_at("ce", "ridge", 0.05, 0.2)
    return cases | {f"{loss}, collapsed": _problem_at(loss, "none", 2.0) for loss in losses}


def draw_symmetric(rng: np.random.Generator) -> Problem:
    """A random loss, bias mode and price of the nuclear norm, three or four classes."""
    loss = str(rng.choice(["mse", "ce", "logistic", "squared_hinge"]))
    bias, price = str(rng.choice(_BIASES)), float(np.exp(rng.uniform(-6, -2)))
    return _problem_at(loss, bias, price, classes=int(rng.choice((3, 4))))


_SYMMETRIC = Assumption("a convex loss that treats all classes alike", lambda p: p.loss.convex and p.loss.symmetric)
THEOREMS = (
    statements.minimum(
        "symmetric-reduction", "derived (group averaging; cf. [zhou2022losses])",
        predict_symmetric, symmetric_cases, draw_symmetric, (_SYMMETRIC, CLASS_SYMMETRIC, PLAIN, PENALISED, ONE_LAYER, is_wide(0)),
        general=True,
    ),
)  # fmt: skip
