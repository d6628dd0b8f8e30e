"""Cross-entropy without ridge on the simplex: its flow solves one scalar equation, and its loss falls faster than 1/t (derived).

L = M + 1 trained factors, each of singular value u on the simplex (the model of Ji, Lu, Zhang, Deng, Su 2022). Logits stay
Z = s (I - J/K) with s = u^L / sqrt(n), and with q = 2 - 2/L = 2M/(M+1) and c = L n^(-1/L)

    s' = (L/n) (sqrt(n) s)^q / (e^s + K - 1),    f = log(1 + (K-1) e^-s),    |theta|^2 = L (K-1) (sqrt(n) s)^(2/L)
    M = 1:   Ei(s) - Ei(s_0) + (K-1) log(s/s_0) = 2 t / sqrt(n)
    t -> infinity:   f ~ (K-1) / (c t log^q t),    |theta|^2 ~ L (K-1) (sqrt(n) log t)^(2/L)

The loss c/t and the norm log t of logistic regression belong to one trained factor. Time is that of theta' = -grad f.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.matrices import helmert
from ufm.losses import CE, Loss, is_loss
from ufm.motion.log_domain import log_objective
from ufm.problem import Problem
from ufm.problem.params import Params, end_to_end, logits, objective
from ufm.proofs import Proof
from ufm.proofs.refutations import loss_outruns_one_over_t
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.kit.integrate import integrate
from ufm.theory.theorem import Assumption, Check, agreement, refuting

_DIM = 4
_HIGHEST = 60.0
_LATE = (1e7, 1e9)
SCALES = (10, 100)
"""Logit scales at whose times the loss is proved to fall faster than 1/t."""
_NODES = np.polynomial.legendre.leggauss(64)


class SimplexStart(NamedTuple):
    """Columns of K classes of n samples, simplex factors, which of W_1, ..., W_M are trained (0 is a fixed I), times (T,)."""

    problem: Problem
    params: Params
    trained: jax.Array
    ts: jax.Array


class SimplexPath(NamedTuple):
    """s, value, square: logit scale, f and |theta|^2 of the trained factors; off: largest entry of Z - s (I - J/K)."""

    s: jax.Array
    value: jax.Array
    square: jax.Array
    off: jax.Array


def trained_part(case: SimplexStart, gradient: Params) -> Params:
    """The gradient with the entries of fixed weights set to zero."""
    return gradient._replace(weights=tuple(on * g for on, g in zip(case.trained, gradient.weights, strict=True)))


def logit_scale(z: jax.Array) -> jax.Array:
    """s of simplex logits s (I - J/K): the margin of class 1 over class 2."""
    return z[0, 0] - z[1, 0]


def trained_square(case: SimplexStart, params: Params) -> jax.Array:
    """|theta|^2 of the trained factors."""
    return jnp.sum(params.H**2) + sum(on * jnp.sum(W**2) for on, W in zip(case.trained, params.weights, strict=True))


def flow(case: SimplexStart) -> Params:
    """The trained factors along gradient flow, integrated in the time log(1 + t), at the times of the case."""

    def velocity(state: tuple[Params, jax.Array]) -> tuple[Params, jax.Array]:
        params, clock = state
        gradient = trained_part(case, jax.grad(partial(objective, case.problem))(params))
        return jax.tree.map(lambda g: -jnp.exp(clock) * g, gradient), jnp.ones_like(clock)

    return integrate(velocity, (case.params, jnp.zeros(())), jnp.log1p(case.ts))[0]


def observe(case: SimplexStart, point: Params) -> SimplexPath:
    """Scale, value and square at a point of the flow, and how far its logits are from the simplex."""
    z, K = logits(case.problem, point), case.problem.classes
    off = jnp.max(jnp.abs(z - logit_scale(z) * (jnp.eye(K) - 1 / K)))
    return SimplexPath(logit_scale(z), objective(case.problem, point), trained_square(case, point), off)


def simplex_start(
    depth: int, n: int, s: float, last: float, rng: np.random.Generator, classes: int = 4, layers: int = 3, loss: str | Loss = "ce"
) -> SimplexStart:
    """Simplex factors of scale s in random frames, with `depth` of the weights trained, and nine times up to `last`."""
    problem = Problem.balanced(classes, n, (_DIM,) * layers, loss=loss).collapsed()
    trained, u = np.repeat([0.0, 1.0], (layers - depth, depth)), (np.sqrt(n) * s) ** (1 / (depth + 1))
    U, frame = np.asarray(helmert(classes)), np.linalg.qr(rng.normal(size=(_DIM, classes - 1)))[0]
    H, weights = u * frame @ U.T, []
    for on in trained[:-1]:
        turned = np.linalg.qr(rng.normal(size=(_DIM, classes - 1)))[0]
        weights.append(u * turned @ frame.T if on else np.eye(_DIM))
        frame = turned if on else frame
    params = Params(tuple(map(jnp.asarray, (*weights, u * U @ frame.T))), jnp.asarray(H), None)
    return SimplexStart(problem, params, jnp.asarray(trained), jnp.asarray(np.expm1(np.linspace(0, np.log1p(last), 9))))


def cases() -> dict[str, SimplexStart]:
    """One, two and three trained weights, one and several samples a class, from small and from large scale."""
    rng = np.random.default_rng(0)
    grid = ((1, 1, 0.5, 1e3), (1, 4, 3.0, 1e5), (2, 1, 0.5, 1e3), (2, 3, 2.0, 1e4), (3, 2, 0.7, 1e3))
    return {f"M={M} n={n} s={s}": simplex_start(M, n, s, last, rng) for M, n, s, last in grid}


def draw(rng: np.random.Generator) -> SimplexStart:
    """Random depth, class size and scale, four or five classes."""
    depth, n = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    return simplex_start(depth, n, rng.uniform(0.5, 4), np.exp(rng.uniform(3, 9)), rng, int(rng.choice((4, 5))))


def _is_simplex(case: SimplexStart) -> bool:
    z, K = logits(case.problem, case.params), case.problem.classes
    return np.allclose(z, logit_scale(z) * (np.eye(K) - 1 / K), atol=1e-12 * np.max(np.abs(z)))


def predict_flow(case: SimplexStart) -> SimplexPath:
    """Without ridge, flow of cross-entropy from balanced simplex factors keeps the simplex, and its scale s solves one scalar
    equation: an exponential integral for M = 1, a quadrature for deeper models.
    """
    K, n, L = case.problem.classes, case.problem.counts[0], 1 + jnp.sum(case.trained)
    z, q = logits(case.problem, case.params), 2 - 2 / L
    s0, (x, w) = z[0, 0] - z[1, 0], (jnp.asarray(v, case.ts.dtype) for v in _NODES)

    def time(s: jax.Array) -> jax.Array:
        sigma = s0 + (s - s0) * (x + 1) / 2
        general = (s - s0) / 2 * jnp.sum(w * n / L * (jnp.exp(sigma) + K - 1) * (jnp.sqrt(n) * sigma) ** -q)
        two = jnp.sqrt(n) / 2 * (_expi(s) - _expi(s0) + (K - 1) * jnp.log(s / s0))
        return jnp.where(L == 2, two, general)

    s = jax.lax.map(lambda t: increasing_root(lambda s, t: time(s) - t, s0, jnp.asarray(_HIGHEST), t), case.ts)
    value = jnp.log1p((K - 1) * jnp.exp(-s))
    return SimplexPath(s, value, L * (K - 1) * (jnp.sqrt(n) * s) ** (2 / L), jnp.zeros_like(s))


def _expi(s: jax.Array) -> jax.Array:
    """Ei(s) less Euler's constant for 0 < s <= 60: log s + sum_k s^k / (k k!), of positive terms."""
    k = np.arange(1.0, 241.0)
    return jnp.log(s) + jnp.sum(jnp.exp(k * jnp.log(s) - np.cumsum(np.log(k))) / k)


def predict_rate(case: SimplexStart) -> dict[str, jax.Array]:
    """Without ridge the loss of L = M + 1 trained factors on the simplex falls like (K-1)/(c t log^q t) with q = 2 - 2/L and c = L
    n^(-1/L), and |theta| grows like (log t)^(1/L).

    f ~ e^constant / (t log^power t) and |theta| ~ e^log_size (log t)^growth.
    """
    K, n, L = case.problem.classes, case.problem.counts[0], 1 + jnp.sum(case.trained)
    constant, log_size = jnp.log((K - 1) * n ** (1 / L) / L), 0.5 * jnp.log(L * (K - 1)) + jnp.log(n) / (2 * L)
    return {"power": 2 - 2 / L, "constant": constant, "growth": 1 / L, "log_size": log_size}


def predict_one_over_t(case: SimplexStart) -> dict[str, jax.Array]:
    """Without ridge the cross-entropy of an unconstrained feature model falls like 1/t and its norm grows like log t.

    Exponents of log t beside 1/t, and in the norm.
    """
    del case
    return {"power": jnp.zeros(()), "growth": jnp.ones(())}


def measure_exponents(case: SimplexStart, key: jax.Array) -> list[dict[str, jax.Array]]:
    """Of the factors that the case trains, and of features alone on the same simplex, for which the claim is right."""
    W = end_to_end(case.problem, case.params.weights)
    fixed = (*[jnp.eye(W.shape[1], dtype=W.dtype)] * 2, W / jnp.linalg.norm(W, 2))
    alone = case._replace(params=case.params._replace(weights=fixed), trained=0 * case.trained)
    return [{name: rate[name] for name in ("power", "growth")} for rate in (measure_rate(x, key) for x in (case, alone))]


def _against_one_over_t(case: SimplexStart, predicted: dict, measured: list[dict]) -> list[Check]:
    """The exponents of several trained factors refute the claim, those of one pin it down."""
    several, one = measured
    pins = agreement(1e-4, scale=1.0)(case, predicted, one)
    return [
        *refuting(agreement(0.1, scale=1.0))(case, predicted, several),
        *(check._replace(name=f"{check.name} of one factor") for check in pins),
    ]


def prove_faster(case: SimplexStart, predicted: dict | None = None) -> Proof:
    """t f falls to less than a fifth between two explicit times."""
    K, n, depth = case.problem.classes, int(case.problem.counts[0]), int(np.sum(case.trained))
    start = float(logit_scale(logits(case.problem, case.params)))
    return loss_outruns_one_over_t(K, n, depth, start, SCALES, claim={"theorem": "ce-simplex-rate-one-over-t"})


@jax.jit
def measure_rate(case: SimplexStart, key: jax.Array) -> dict[str, jax.Array]:
    """Two late points of the flow: t is the integral of ds/s' with s' from gradients of log f at simplex points of scale s."""
    del key
    problem, L = case.problem, 1 + jnp.sum(case.trained)
    start = logit_scale(logits(problem, case.params))

    def at(s: jax.Array) -> tuple:
        factor = (s / start) ** (1 / L)
        grown = tuple(jnp.where(on == 1, factor, 1) * W for on, W in zip(case.trained, case.params.weights, strict=True))
        params = Params(grown, factor * case.params.H, None)
        value, gradient = jax.value_and_grad(partial(log_objective, problem))(params)
        down = jax.tree.map(jnp.negative, trained_part(case, gradient))
        speed = jax.jvp(lambda p: logit_scale(logits(problem, p)), (params,), (down,))[1]
        return value, jnp.log(speed), 0.5 * jnp.log(trained_square(case, params))

    def late(s: jax.Array) -> tuple:
        # all but e^-40 of the time passes while the last 40 units of s are gained
        x, w = (jnp.asarray(v, s.dtype) for v in _NODES)
        value, log_speed, log_norm = jax.vmap(at)(jnp.append(s - 20 + 20 * x, s))
        log_t = jax.nn.logsumexp(jnp.log(20 * w) - (value + log_speed)[:-1])
        return jnp.log(log_t), value[-1] + log_t, log_norm[-1]

    x, product, log_norm = jax.lax.map(late, jnp.asarray(_LATE, case.ts.dtype))
    power, growth = -jnp.diff(product)[0] / jnp.diff(x)[0], jnp.diff(log_norm)[0] / jnp.diff(x)[0]
    constant, log_size = product[1] + power * x[1], log_norm[1] - growth * x[1]
    return {"power": power, "constant": constant, "growth": growth, "log_size": log_size}


NO_RIDGE = Assumption("no ridge", lambda c: float(np.max(c.problem.ridges)) == 0)
ASSUMES = (
    Assumption("balanced cross-entropy, one column a class", lambda c: is_loss(c.problem.loss, CE)),
    Assumption("no ridge and no bias", lambda c: float(np.max(c.problem.ridges)) == 0 and c.problem.bias == "none"),
    Assumption("simplex logits", _is_simplex),
)
_SOURCE = "derived, for the model of [ji2022]"
THEOREMS = (
    statements.trajectory(
        "ce-simplex-flow", _SOURCE,
        predict_flow, observe, cases, draw, ASSUMES, path=flow, tolerance=1e-8,
    ),
    # other: exponents between two late points, which no one point of a path shows
    statements.other(
        "ce-simplex-rate", _SOURCE + "; exponents as in [lyu2020]",
        predict_rate, measure_rate, cases, draw, ASSUMES, evidence=agreement(1e-4, scale=1.0),
        notes="Measured between log t = 1e7 and 1e9; the relative correction is q^2 log log t / log t.",
    ),
    # other: the same exponents refute a claim, and pin it with one factor
    statements.other(
        "ce-simplex-rate-one-over-t", "the rate of logistic regression ([soudry2018]), carried over to two and more factors",
        predict_one_over_t, measure_exponents, cases, assumes=ASSUMES, status="refuted", evidence=_against_one_over_t,
        prove=prove_faster,
        notes="What holds: both rates with one trained factor, that is with frozen features; ce-simplex-rate for more.",
    ),
)  # fmt: skip
