"""Two factors from a balanced spectral start: every mode is a logistic curve (Saxe et al. 2014; with ridges derived).

W = diag(w) R^T, H = R diag(w) with R^T R = I, one column a class, and equal ridges l: W H stays diagonal, and
p_k = scale w_k^2, the k-th singular product of logits and sqrt(m), obeys

    p' = (2 scale/N) p (q - p),    q = sqrt(n_k) - N l / scale        f = sum_k (sqrt(n_k) - p_k)^2 / (2N) + l p_k / scale

A class of q > 0 is learned, at rate 2 scale q/N; one of q = 0 decays like 1/t; one of q < 0 dies exponentially. Trained at rates
eta_W and eta_H, from a spectral start of w/h = sqrt(eta_W/eta_H) and under eta_W l_W = eta_H l_H, the products p_k = scale w_k h_k
obey p' = (2 e scale/N) p (q - p) with e = sqrt(eta_W eta_H) and l = eta_W l_W / e.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.proofs import (
    Book,
    Proof,
    Slopes,
    given_params,
    logistic_mode,
    negative,
    number,
    product_rule,
    slopes,
    solves,
    sqrt,
)
from ufm.theory import statements
from ufm.theory.dynamics.spectral import BALANCED_SPECTRAL, ONE_COLUMN, draw_sizes, is_spectral, mode_matrix, ridged, spectral_point
from ufm.theory.kit.integrate import downhill, integrate
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption


class Modes(NamedTuple):
    """p: (T, K) diagonal of the logits times sqrt(m). coupling: (T,) largest entry off it. value: (T,) of f."""

    p: jax.Array
    coupling: jax.Array
    value: jax.Array


class RatedStart(NamedTuple):
    """A problem of K weighted columns, a spectral start, the rates (eta_H, eta_W), and times (T,)."""

    problem: Problem
    params: Params
    rates: jax.Array
    ts: jax.Array


def logistic(p0: jax.Array, target: jax.Array, speed: jax.Array, ts: jax.Array) -> jax.Array:
    """The solution (T, K) of p' = speed p (target - p) from p0 >= 0 at times ts, for every sign of target.

    Nothing overflows: with a = speed |target| t and g = (1 - e^-a)/a, where g = 1 at a = 0,

        p(t) = p0 / (e^-a + speed p0 t g)  for target > 0,    p0 e^-a / (1 + speed p0 t g)  otherwise.
    """
    growing = (target > 0)[None, :]
    a = jnp.abs(speed * target)[None, :] * ts[:, None]
    decay, mean_decay = jnp.exp(-a), jnp.where(a > 0, -jnp.expm1(-a) / jnp.where(a > 0, a, 1), 1)
    denominator = jnp.where(growing, decay, 1) + speed * p0[None, :] * ts[:, None] * mean_decay
    return p0[None, :] * jnp.where(growing, 1, decay) / denominator


def modes(problem: Problem, p0: jax.Array, ridge: jax.Array, rate: jax.Array | float, ts: jax.Array) -> Modes:
    """Uncoupled logistic modes from p0 under the ridge l, run at a rate, and the value along them."""
    N, scale, size = problem.samples, problem.scale, jnp.sqrt(problem.multiplicity)
    p = logistic(p0, size - N * ridge / scale, 2 * rate * scale / N, ts)
    return Modes(p, jnp.zeros_like(ts), jnp.sum((size[None, :] - p) ** 2 / (2 * N) + ridge * p / scale, axis=1))


def predict(case: Start) -> Modes:
    """Gradient flow of two factors with equal ridges from a balanced spectral start: each class is a logistic mode of target
    sqrt(n_k) - N l, learned in order of size, dead at and below zero.
    """
    return modes(case.problem, case.problem.scale * jnp.sum(case.params.H**2, axis=0), case.problem.l2_H, 1.0, case.ts)


def logistic_modes(book: Book, problem: Problem, params: Params, rates: tuple[Any, Any] = (1.0, 1.0)) -> list[tuple]:
    """(mode in x, v, q, sqrt(n), l over the scale) of each class under rates of H and of W, in exact numbers.

    With facts: at the start the diagonal of the mode matrix changes along the gradient, by the chain rule, as p' = v p (q - p)
    says, to 1e-10.
    """
    point, (eta_H, eta_W), scale = given_params(book, params), (number(float(x)) for x in rates), number(float(problem.scale))
    v = negative(slopes(book, problem, point))
    speeds = product_rule(book, point, Slopes((v.weights[0] * eta_W,), v.H * eta_H, None)) * scale
    e = eta_H if float(rates[0]) == float(rates[1]) else sqrt(eta_H * eta_W)
    p0 = book.kept("p0", (point.H * point.H).sum(axis=0) * scale * (eta_W / e))
    ridge, N = eta_H * number(float(problem.l2_H)) / e, int(problem.samples)
    found = []
    for k, n in enumerate(np.asarray(problem.multiplicity)):
        size = number(int(round(n**0.5))) if round(n**0.5) ** 2 == n else sqrt(number(float(n)))
        q, speed = book.kept(f"q{k}", size - ridge * N / scale), book.kept(f"v{k}", 2 * e * scale / N)
        found.append((logistic_mode(p0[k], q, speed, book.sign(q)), speed, q, size, ridge / scale))
        book.near(speeds[k, k] - speed * p0[k] * (q - p0[k]), 0.0, 1e-10)
    return found


def logistic_speed(speed: Any, q: Any, p: Any) -> Any:
    """p' = speed p (q - p)."""
    return speed * p * (q - p)


def _prove(case: Any, predicted: Modes, rates: tuple[Any, Any]) -> Proof:
    book = Book("logistic modes start at the case, solve p' = v p (q - p) at its times, and with f along them are what is served")
    found, N, ts = logistic_modes(book, case.problem, case.params, rates), int(case.problem.samples), np.asarray(case.ts)
    served, values = np.asarray(predicted.p), [number(0)] * len(ts)
    for k, (mode, speed, q, size, ridge) in enumerate(found):
        solves(book, mode, partial(logistic_speed, speed, q), ts)
        p = book.kept(f"p{k}_at", [mode.at(number(t)) for t in ts])
        book.near(p, served[:, k], 1e-12)
        values = [value + (size - at) ** 2 / (2 * N) + ridge * at for value, at in zip(values, p, strict=True)]
    book.near(values, predicted.value, 1e-12)
    return book.proof(bits=1000)


def prove(case: Start, predicted: Modes) -> Proof:
    """Closed forms in exact numbers, their equation at the times of the case, and minus the gradient at the start."""
    return _prove(case, predicted, (1.0, 1.0))


def prove_rated(case: RatedStart, predicted: Modes) -> Proof:
    """As for equal rates, each factor along its own."""
    return _prove(case, predicted, tuple(np.asarray(case.rates)))


def observe(case: Start, point: Params) -> Modes:
    """The modes, read off the logits, and the objective."""
    z = mode_matrix(case.problem, point)
    p = jnp.diagonal(z)
    return Modes(p, jnp.max(jnp.abs(z - jnp.diag(p))), objective(case.problem, point))


def predict_rated(case: RatedStart) -> Modes:
    """Two factors trained at rates eta_W and eta_H with eta_W l_W = eta_H l_H, from a spectral start of ratio sqrt(eta_W/eta_H),
    run through logistic modes at the rate sqrt(eta_W eta_H).
    """
    problem, (eta_H, eta_W) = case.problem, case.rates
    e = jnp.sqrt(eta_H * eta_W)
    p0 = problem.scale * jnp.sum(case.params.H**2, axis=0) * jnp.sqrt(eta_W / eta_H)
    return modes(problem, p0, eta_H * problem.l2_H / e, e, case.ts)


def rated_flow(case: RatedStart) -> Params:
    """All entries of W and H, each along its own rate times the gradient."""
    rates = Params((case.rates[1],), case.rates[0], None)
    return integrate(lambda p: jax.tree.map(jnp.multiply, rates, downhill(case.problem)(p)), case.params, case.ts)


def _case(cutoff: float, sizes: np.ndarray, last: float, rng: np.random.Generator, counts=(50, 16, 9, 4)) -> Start:
    """Ridges that leave classes of more than cutoff^2 samples alive, times up to `last` N."""
    problem = ridged(counts, 6, cutoff)
    return Start(problem, spectral_point(problem, np.tile(np.sqrt(sizes), (2, 1)), rng), jnp.linspace(0, last * sum(counts), 9))


def cases() -> dict[str, Start]:
    """No ridge; one critical class between alive and dead ones; all dead; starts above the target; late times."""
    rng = np.random.default_rng(0)
    small, mixed = np.full(4, 1e-2), np.array([9.0, 0.1, 2.0, 1.0])
    return {
        "no ridge": _case(0.0, small, 3, rng),
        "two alive, one critical, one dead": _case(3.0, small, 5, rng),
        "critical and dead from O(1)": _case(3.0, mixed, 5, rng),
        "all dead": _case(8.0, mixed, 2, rng),
        "late, exponents beyond 700": _case(3.0, small, 120, rng),
    }


def draw(rng: np.random.Generator) -> Start:
    """Random class sizes, cutoff and start."""
    counts = tuple(int(n) for n in rng.integers(1, 60, size=4))
    return _case(rng.uniform(0, 8), np.exp(rng.uniform(-5, 1, size=4)), rng.uniform(1, 8), rng, counts)


def _rated(ratio: float, cutoff: float, sizes: np.ndarray, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0) -> RatedStart:
    """eta_W/eta_H = ratio at e = 0.7, and ridges that leave classes of more than cutoff^2 samples alive."""
    N, e = sum(counts), 0.7
    rates = np.array([e / np.sqrt(ratio), e * np.sqrt(ratio)])
    ridge = cutoff * scale * e / N / rates
    problem = Problem.imbalanced(counts, 5, l2_H=ridge[0], l2_W=ridge[1], scale=scale).collapsed()
    singular = np.sqrt(sizes)[None, :] * ratio ** np.array([[-0.25], [0.25]])
    return RatedStart(problem, spectral_point(problem, singular, rng), jnp.asarray(rates), jnp.linspace(0, 3 * N / e, 5))


def rated_cases() -> dict[str, RatedStart]:
    """Either factor the faster one, equal rates, no ridge, and a critical class between an alive and a dead one."""
    rng = np.random.default_rng(0)
    small = np.full(3, 1e-2)
    return {
        "eta_W = 100 eta_H, one critical, one dead": _rated(100.0, 3.0, np.array([0.1, 1.0, 2.0]), rng),
        "eta_W = eta_H / 30, no ridge": _rated(1 / 30, 0.0, small, rng),
        "equal rates": _rated(1.0, 1.0, small, rng),
        "eta_W = 4 eta_H, scale 2": _rated(4.0, 2.5, small, rng, scale=2.0),
    }


def rated_draw(rng: np.random.Generator) -> RatedStart:
    """Random rates, class sizes, ridges, scale and start."""
    ratio, cutoff, sizes = np.exp(rng.uniform(-4, 4)), rng.uniform(0, 6), np.exp(rng.uniform(-4, 1, size=3))
    return _rated(ratio, cutoff, sizes, rng, *draw_sizes(rng))


def _ridges_match(case: RatedStart) -> bool:
    decay = np.asarray(case.rates) * np.array([case.problem.l2_H, case.problem.l2_W[0]])
    return bool(np.isclose(decay[0], decay[1], rtol=1e-12, atol=0))


def _start_matches(case: RatedStart) -> bool:
    ratio = np.sqrt(case.rates[1] / case.rates[0])
    return np.allclose(case.params.weights[0], ratio * case.params.H.T, rtol=1e-12) and is_spectral(case.params)


_RATED = (
    ONE_COLUMN, Assumption("eta_W l_W = eta_H l_H", _ridges_match),
    Assumption("a spectral start of ratio sqrt(eta_W/eta_H)", _start_matches),
)  # fmt: skip
THEOREMS = (
    statements.trajectory(
        "two-factor-logistic", "[saxe2014]; ridges and class sizes derived", predict, observe, cases, draw, BALANCED_SPECTRAL,
        prove=prove,
    ),
    statements.trajectory(
        "two-factor-unequal-rates", "[saxe2014]; unequal rates and ridges derived", predict_rated, observe, rated_cases, rated_draw,
        _RATED, path=rated_flow, prove=prove_rated,
    ),
)  # fmt: skip
