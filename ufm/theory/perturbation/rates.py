"""Within-class variability decreases on the central path, at exact rates (Tirer, Huang, Niles-Weed 2023; rates derived).

Time of dH/dt = -N grad L(H), the features' gradient flow under their best classifier W. With lW = K l2_W, lH = N l2_H, means M,
deviations D, C = I - 11^T/K and S = W M (symmetric, 0 <= S <= I),

    d/dt log tr S_W = -2 lH - 2 |W D|^2/|D|^2
    d/dt tr S_B     = -2 lH tr S_B + (2/K) tr(C S (I - S))
    d/dt (tr S_B/tr S_W) = 2 (tr S_B/tr S_W) |W D|^2/|D|^2 + (2/K) tr(C S (I - S)) / tr S_W

so NC1 = tr S_W/tr S_B falls whatever lH >= 0, strictly for lW > 0 unless all class means are equal (NC1 infinite for ever).
Where D is orthogonal to the means W does not see it and e^(2 lH t) tr S_W is constant; without ridges NC1 then stands still.

    d/dt H H^T = 2 n lW W^T W - 2 lH H H^T,      d/dt (|H|^2 + n lW log det D D^T) = -2 lH |H|^2 - 2 n lW lH d
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.theory import statements
from ufm.theory.perturbation.model import Features, centring, parts, proximity, random_features, units
from ufm.theory.perturbation.newton import reduced
from ufm.theory.perturbation.reduced import best_classifier
from ufm.theory.theorem import Check, relative_error


class Rates(NamedTuple):
    """d/dt of log tr S_W, of tr S_B and of tr S_B/tr S_W, scalars."""

    within: jax.Array
    between: jax.Array
    ratio: jax.Array


class Balance(NamedTuple):
    """d/dt of H H^T, (d, d), and of |H|^2 + n lW log det D D^T, a scalar."""

    gram: jax.Array
    conserved: jax.Array


def predict_rates(case: Features) -> Rates:
    """On the central path tr S_W decays at 2 lH + 2 |W D|^2/|D|^2 and tr S_B gains (2/K) tr(C S (I - S)) over its decay 2 lH: NC1
    falls, strictly unless the class means are all equal or no ridge is left.

    The three rates in closed form; some deviation within classes must be left.
    """
    problem, H = case
    M, D = parts(problem, H)
    lH, K = units(problem).lH, problem.classes
    W, C = best_classifier(problem, H), centring(K)
    S = W @ M
    seen = 2 * jnp.sum((W @ D) ** 2) / jnp.sum(D**2)
    growth = 2 / K * jnp.trace(C @ S @ (jnp.eye(K) - S))
    within, between = jnp.sum(D**2) / H.shape[1], jnp.sum((M @ C) ** 2) / K
    return Rates(-2 * lH - seen, -2 * lH * between + growth, between / within * seen + growth / within)


@jax.jit
def measure_rates(case: Features, key: jax.Array) -> Rates:
    """Derivatives of the two traces along the negative gradient, all of them automatic."""
    del key  # the features belong to the case
    problem, K = case.problem, case.problem.classes

    def traces(H: jax.Array) -> Rates:
        by_class = H.reshape(H.shape[0], K, -1)
        means = by_class.mean(axis=2)
        within = jnp.mean(jnp.sum((by_class - means[:, :, None]) ** 2, axis=0))
        between = jnp.mean(jnp.sum((means - means.mean(axis=1)[:, None]) ** 2, axis=0))
        return Rates(jnp.log(within), between, between / within)

    velocity = -problem.samples * jax.grad(lambda H: reduced(problem, H))(case.H)
    return jax.jvp(traces, (case.H,), (velocity,))[1]


def predict_balance(case: Features) -> Balance:
    """On the central path d/dt H H^T = 2 n lW W^T W - 2 lH H H^T, and |H|^2 + n lW log det D D^T changes at -2 lH (|H|^2 + n lW d):
    without a ridge on the features it is conserved.

    The two rates in closed form; D D^T must be invertible, which needs d <= K (n - 1).
    """
    problem, H = case
    lW, lH, _, n = units(problem)
    W = best_classifier(problem, H)
    conserved = -2 * lH * jnp.sum(H**2) - 2 * n * lW * lH * H.shape[0]
    return Balance(2 * n * lW * W.T @ W - 2 * lH * H @ H.T, conserved)


@jax.jit
def measure_balance(case: Features, key: jax.Array) -> Balance:
    """Derivatives of the two quantities along the negative gradient, all of them automatic."""
    del key  # the features belong to the case
    problem = case.problem

    def quantities(H: jax.Array) -> Balance:
        by_class = H.reshape(H.shape[0], problem.classes, -1)
        D = (by_class - by_class.mean(axis=2, keepdims=True)).reshape(H.shape)
        weight = problem.samples * problem.l2_W[0]
        return Balance(H @ H.T, jnp.sum(H**2) + weight * jnp.linalg.slogdet(D @ D.T)[1])

    velocity = -problem.samples * jax.grad(lambda H: reduced(problem, H))(case.H)
    return jax.jvp(quantities, (case.H,), (velocity,))[1]


def evidence(case: Features, predicted: Any, measured: Any) -> list[Check]:
    """Agreement of every rate, relative to the larger of its size and one."""
    del case
    sizes = [max(1.0, float(np.max(np.abs(p)))) for p in predicted]
    leaves = zip(predicted._fields, predicted, measured, sizes, strict=True)
    return [Check("agreement", name, relative_error(p, m, size), 1e-10) for name, p, m, size in leaves]


def _rates_case(lW: float, lH: float, H: np.ndarray, n: int = 2) -> Features:
    B = 1.0 if lW else 0.0
    return Features(proximity(lW, lH, B, H, n), jnp.asarray(H))


def _unseen(rng: np.random.Generator) -> np.ndarray:
    """Deviations orthogonal to the class means."""
    means, noise = random_features(rng, 1.0, 0.0), random_features(rng, 0.0, 1.0)
    Q = np.linalg.qr(means[:, ::2])[0]
    return means + noise - Q @ (Q.T @ noise)


def rates_cases() -> dict[str, Features]:
    """Either side of sqrt(lH lW) = 1, lH = 0, each case of equality, and features near zero and near collapse."""
    rng = np.random.default_rng(0)
    plain = random_features(rng)
    equal_means = random_features(rng, 0.0, 1.0) + rng.normal(size=(5, 1))
    near = np.repeat(np.eye(5)[:, :3] * np.sqrt(0.7 / 0.6), 2, axis=1) + 1e-4 * random_features(rng)
    return {
        "c=0.3": _rates_case(0.5, 0.18, plain),
        "c=1.5": _rates_case(1.0, 2.25, plain),
        "lH=0": _rates_case(0.5, 0.0, plain),
        "all class means equal": _rates_case(0.5, 0.18, equal_means),
        "deviations orthogonal to the means": _rates_case(0.5, 0.18, _unseen(rng)),
        "orthogonal, no ridges": _rates_case(0.0, 0.0, _unseen(rng)),
        "near zero": _rates_case(0.5, 0.18, 1e-3 * plain),
        "near collapse": _rates_case(0.5, 0.18, near),
    }


def draw_rates(rng: np.random.Generator) -> Features:
    """Random ridges and features."""
    lW, lH, means, noise = np.exp(rng.uniform(-2, 1, size=4))
    return _rates_case(lW, lH, random_features(rng, means, noise))


def balance_cases() -> dict[str, Features]:
    """d = 4 <= K (n - 1) = 6: without and with a ridge on H, and above sqrt(lH lW) = 1."""
    rng = np.random.default_rng(0)
    grid = ((0.5, 0.0), (0.5, 0.18), (1.0, 2.25))
    return {f"lW={lW} lH={lH}": _rates_case(lW, lH, random_features(rng, n=3, d=4), 3) for lW, lH in grid}


def draw_balance(rng: np.random.Generator) -> Features:
    """Random ridges and features."""
    lW, lH, means, noise = np.exp(rng.uniform(-2, 1, size=4))
    return _rates_case(lW, lH, random_features(rng, means, noise, n=3, d=4), 3)


THEOREMS = (
    statements.other(
        "central-path-rates", "[tirer2023] (monotone decrease); exact rates and cases of equality derived",
        predict_rates, measure_rates, rates_cases, draw_rates, evidence=evidence,
    ),
    statements.other(
        "central-path-balance", "derived, for the model of [tirer2023]",
        predict_balance, measure_balance, balance_cases, draw_balance, evidence=evidence,
    ),
)  # fmt: skip
