"""Class-symmetric convex losses on one layer: the minimum is that of a convex function of three scalars.

By averaging over the symmetric group a minimiser has class logits a (I - J) + e J + beta 1 1^T, so that

    f* = min_{a, e, beta} loss(a, e, beta) + c sqrt(n) [(K-1)|a| + |e|] + l2_b K beta^2 / 2,

with logits a (1 - 1/K) + e/K + beta on the true class and -a/K + e/K + beta elsewhere. Shift-invariant losses have e = beta = 0;
a free bias takes e; a ridge on the bias splits the shift s = e/K + beta at |beta| = c sqrt(n)/l2_b.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ufm.frames import helmert
from ufm.problem import Problem
from ufm.reduce import split_columns
from ufm.roots import increasing_root
from ufm.theory.assumptions import CLASS_SYMMETRIC, ONE_LAYER, PENALISED, PLAIN, has_loss, is_wide
from ufm.theory.minimum import minimum_theorem
from ufm.theory.mse.cases import ridges_at
from ufm.theory.prediction import Prediction, effective_c, from_triples

_REACH = 1e4
_DEAD = 1e-12  # a bracket without a root closes on its lower end to _REACH / 2^60


def predict_symmetric(problem: Problem) -> Prediction:
    """Minimise the convex reduction over (a, s), s = e/K + beta the common shift, by nested brackets of its slopes."""
    K, n = problem.classes, problem.samples / problem.classes
    price = effective_c(problem) * jnp.sqrt(n)
    numbers = (price, problem.l2_b, problem.targets[:, 0])
    zero = jnp.zeros_like(price)

    def fit(a: jax.Array, s: jax.Array, target: jax.Array) -> jax.Array:
        own = jnp.arange(K) == 0
        return problem.loss.value(jnp.where(own, a, 0) - a / K + s, target)

    def slope_in_s(s: jax.Array, a: jax.Array, numbers: tuple, side: jax.Array) -> jax.Array:
        price, l2_b, target = numbers
        slope = jax.grad(fit, argnums=1)(a, s, target)
        if problem.bias == "ridge":
            return slope + K * jnp.clip(l2_b * s, -price, price)
        return slope + side * price * K

    def best_shift(a: jax.Array, numbers: tuple) -> jax.Array:
        if problem.loss.shift_invariant:
            return jnp.zeros_like(a)
        if problem.bias != "none":
            return increasing_root(slope_in_s, -_REACH, _REACH, a, numbers, zero)
        # |e| has a kink at zero: the root on either side, or zero where neither side has one
        sides = jnp.array([1.0, -1.0], problem.dtype)
        ends = (jnp.minimum(sides * _REACH, 0), jnp.maximum(sides * _REACH, 0))
        return jnp.sum(lax.map(lambda at: increasing_root(slope_in_s, *at[1], a, numbers, at[0]), (sides, ends)))

    def slope_in_a(a: jax.Array, numbers: tuple) -> jax.Array:
        price, _, target = numbers
        return jax.grad(fit)(a, best_shift(a, numbers), target) + price * (K - 1)

    a = increasing_root(slope_in_a, zero, jnp.full_like(price, _REACH), numbers)
    a = jnp.where(a > _DEAD, a, 0)
    s = best_shift(a, numbers)
    beta = {
        "none": lambda: zero,
        "free": lambda: s,
        "ridge": lambda: jnp.clip(s, -price / problem.l2_b, price / problem.l2_b),
    }[problem.bias]()
    e = K * (s - beta)
    cost = price * ((K - 1) * a + jnp.abs(e)) + 0.5 * problem.l2_b * K * beta**2
    mean = jnp.full((K, 1), 1 / jnp.sqrt(1.0 * K), problem.dtype)
    basis = helmert(K, dtype=problem.dtype)
    U = jnp.concatenate([basis, mean], axis=1)
    V = jnp.concatenate([basis, jnp.where(e < 0, -mean, mean)], axis=1)
    sigma = jnp.concatenate([jnp.broadcast_to(a, (K - 1,)), jnp.abs(e)[None]])
    rank = K - 1 if problem.loss.shift_invariant or problem.bias == "free" else K
    value = fit(a, s, numbers[2]) + cost
    b = jnp.broadcast_to(beta, (K,))
    return from_triples(problem, U[:, :rank], jnp.sqrt(n) * sigma[:rank], V[:, :rank], b, value)


_BIASES = ("none", "free", "ridge")


def _problem_at(loss: str, bias: str, price: float, smoothing: float = 0.0, classes: int = 4) -> Problem:
    """n = 5, each class as two columns; c sqrt(n) = price."""
    ridges = ridges_at(price / 5**0.5, 1)
    l2_b = 0.02 if bias == "ridge" else 0.0
    return split_columns(Problem.balanced(classes, 5, 12, loss=loss, bias=bias, l2_b=l2_b, smoothing=smoothing, **ridges))


def symmetric_cases() -> dict[str, Problem]:
    """Losses without a closed form in all bias modes, smoothed CE as a cross-check, alive and collapsed."""
    cases = {}
    for loss, bias in itertools.product(("logistic", "squared_hinge"), _BIASES):
        for price in (0.01, 0.1):
            cases[f"{loss}, {bias} bias, price={price}"] = _problem_at(loss, bias, price)
    cases["ce s=0.2, ridge bias, price=0.05"] = _problem_at("ce", "ridge", 0.05, 0.2)
    return cases | {f"{loss}, collapsed": _problem_at(loss, "none", 2.0) for loss in ("logistic", "squared_hinge")}


def draw_symmetric(rng: np.random.Generator) -> Problem:
    """A random loss, bias mode and price of the nuclear norm, three or four classes."""
    loss = str(rng.choice(["mse", "ce", "logistic", "squared_hinge"]))
    bias, price = str(rng.choice(_BIASES)), float(np.exp(rng.uniform(-6, -2)))
    return _problem_at(loss, bias, price, classes=int(rng.choice((3, 4))))


_KNOWN = has_loss("mse", "ce", "logistic", "squared_hinge")

THEOREMS = (
    minimum_theorem(
        id="symmetric-reduction",
        status="holds",
        claim="Balanced classes, one layer, a convex loss that treats all wrong classes alike: a minimiser is a (I - J) + e J "
        "with equal biases, and the minimum that of a convex function of three scalars.",
        origin="derived (group averaging; cf. [zhou2022losses])",
        assumes=(_KNOWN, CLASS_SYMMETRIC, PLAIN, PENALISED, ONE_LAYER, is_wide(0)),
        general=True,
        predict=predict_symmetric,
        cases=symmetric_cases,
        draw=draw_symmetric,
    ),
)
