"""Within-class variability decreases on the central path, at exact rates (Tirer, Huang, Niles-Weed 2023; rates derived).

Time of dH/dt = -N grad L(H), the features' gradient flow under their best classifier W. With lW = K l2_W, lH = N l2_H, means M,
deviations D, C = I - 11^T/K and S = W M (symmetric, 0 <= S <= I),

    d/dt log tr S_W = -2 lH - 2 |W D|^2/|D|^2
    d/dt tr S_B     = -2 lH tr S_B + (2/K) tr(C S (I - S))
    d/dt (tr S_B/tr S_W) = 2 (tr S_B/tr S_W) |W D|^2/|D|^2 + (2/K) tr(C S (I - S)) / tr S_W

so NC1 = tr S_W/tr S_B and e^(2 lH t) tr S_W fall and e^(2 lH t) tr S_B rises whatever lH >= 0, NC1 strictly for lW > 0 unless
all class means are equal (NC1 infinite for ever). Where D is orthogonal to the means W does not see it and e^(2 lH t) tr S_W is
constant; without ridges NC1 then stands still. From features of invertible D D^T (d <= K (n - 1))

    d/dt H H^T = 2 n lW W^T W - 2 lH H H^T,      d/dt (|H|^2 + n lW log det D D^T) = -2 lH |H|^2 - 2 n lW lH d
    Q(t) = |H|^2 + n lW log det D D^T + 2 lH int_0^t (|H|^2 + n lW d)    is constant

so that without a ridge on the features Q needs no integral, D D^T never becomes singular, and NC1 is zero at no finite time.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.theory import statements
from ufm.theory.assumptions import proximity_features
from ufm.theory.kit.integrate import integrate
from ufm.theory.perturbation.model import Times, around_random, draw, parts, proximity, random_features, units
from ufm.theory.perturbation.newton import scatters, size_and_volume, velocity
from ufm.theory.perturbation.reduced import best_classifier
from ufm.theory.theorem import Assumption, Check, below, relative_error


def predict_rates(case: Problem) -> dict[str, jax.Array]:
    """On the central path tr S_W decays at 2 lH + 2 |W D|^2/|D|^2 and tr S_B gains (2/K) tr(C S (I - S)) over its decay 2 lH: NC1
    falls, strictly unless the class means are all equal or no ridge is left.

    d/dt of log tr S_W ("within"), tr S_B ("between") and tr S_B/tr S_W; some deviation within classes must be left.
    """
    H, lH, K = proximity_features(case), units(case).lH, case.classes
    (M, D), W, C = parts(case, H), best_classifier(case, H), jnp.eye(K) - 1 / K
    S = W @ M
    seen = 2 * jnp.sum((W @ D) ** 2) / jnp.sum(D**2)
    growth = 2 / K * jnp.trace(C @ S @ (jnp.eye(K) - S))
    within, between = jnp.sum(D**2) / case.samples, jnp.sum((M @ C) ** 2) / K
    ratio = (between * seen + growth) / within
    return {"within": -2 * lH - seen, "between": -2 * lH * between + growth, "ratio": ratio}


@jax.jit
def direct_rates(case: Problem) -> dict[str, jax.Array]:
    """Derivatives of the two traces along the negative gradient, all of them automatic."""

    def traces(H: jax.Array) -> dict[str, jax.Array]:
        within, between = scatters(case, H)
        return {"within": jnp.log(within), "between": between, "ratio": between / within}

    H = proximity_features(case)
    return jax.jvp(traces, (H,), (velocity(case, H),))[1]


def predict_balance(case: Problem) -> dict[str, jax.Array]:
    """On the central path d/dt H H^T = 2 n lW W^T W - 2 lH H H^T, and |H|^2 + n lW log det D D^T changes at -2 lH (|H|^2 + n lW d):
    without a ridge on the features it is conserved.

    D D^T must be invertible, which needs d <= K (n - 1).
    """
    lW, lH, _, n, *_ = units(case)
    H = proximity_features(case)
    W = best_classifier(case, H)
    return {"gram": 2 * n * lW * W.T @ W - 2 * lH * H @ H.T, "conserved": -2 * lH * (jnp.sum(H**2) + n * lW * H.shape[0])}


@jax.jit
def direct_balance(case: Problem) -> dict[str, jax.Array]:
    """Derivatives of the two quantities along the negative gradient, all of them automatic."""
    H = proximity_features(case)
    return jax.jvp(lambda x: {"gram": x @ x.T, "conserved": size_and_volume(case, x)}, (H,), (velocity(case, H),))[1]


def evidence(case: Problem, predicted: dict[str, jax.Array], measured: dict[str, jax.Array]) -> list[Check]:
    """Agreement of every rate, relative to the larger of its size and one."""
    sizes = {name: max(1.0, float(np.max(np.abs(p)))) for name, p in predicted.items()}
    return [Check("agreement", name, relative_error(p, measured[name], sizes[name]), 1e-10) for name, p in predicted.items()]


def predict_path(case: Times) -> jax.Array:
    """Along the central path NC1 and e^(2 lH t) tr S_W decrease and e^(2 lH t) tr S_B increases; without a ridge on the features
    |H|^2 + n lW log det D D^T is conserved.
    """
    (lW, _, _, n, *_), H = units(case.problem), proximity_features(case.problem)
    _, D = parts(case.problem, H)
    return jnp.sum(H**2) + n * lW * jnp.linalg.slogdet(D @ D.T)[1]


def path(case: Times) -> tuple[jax.Array, jax.Array, jax.Array]:
    """H, int_0^t |H|^2 and t along the automatic gradient of min over W of f, from H0."""
    start = (proximity_features(case.problem), jnp.zeros(()), jnp.zeros(()))
    return integrate(lambda y: (velocity(case.problem, y[0]), jnp.sum(y[0] ** 2), jnp.ones_like(y[2])), start, case.ts)


def observe(case: Times, point: tuple) -> dict[str, jax.Array]:
    """Q as a sum of its parts, NC1, and the two traces times e^(2 lH t)."""
    (H, integral, t), problem = point, case.problem
    weight, rate = problem.samples * problem.l2_W[0], 2 * problem.samples * problem.l2_H  # n lW and 2 lH
    within, between = scatters(problem, H)
    Q = size_and_volume(problem, H) + rate * (integral + weight * H.shape[0] * t)
    growth = jnp.exp(rate * t)
    return {"Q": Q, "NC1": within / between, "tr S_W": growth * within, "tr S_B": growth * between}


def evidence_of_path(case: Times, predicted: jax.Array, measured: dict[str, jax.Array]) -> list[Check]:
    """Q at all times, and the largest step that NC1 and the traces take the wrong way, relative to where they are."""
    Q, rise = np.asarray(measured["Q"]), {name: np.diff(np.log(np.asarray(x))) for name, x in measured.items() if name != "Q"}
    wrong_way = {"NC1 increases": rise["NC1"], "tr S_W increases": rise["tr S_W"], "tr S_B decreases": -rise["tr S_B"]}
    agrees = Check("agreement", "Q", relative_error(np.full_like(Q, predicted), Q, max(1.0, abs(float(predicted)))), 1e-8)
    return [agrees, *(below("certificate", name, np.max(steps)) for name, steps in wrong_way.items())]


def _unseen(rng: np.random.Generator) -> np.ndarray:
    """Deviations orthogonal to the class means."""
    means, noise = random_features(rng, 1.0, 0.0), random_features(rng, 0.0, 1.0)
    Q = np.linalg.qr(means[:, ::2])[0]
    return means + noise - Q @ (Q.T @ noise)


def rates_cases() -> dict[str, Problem]:
    """Either side of sqrt(lH lW) = 1, lH = 0, each case of equality, and features near zero and near collapse."""
    rng = np.random.default_rng(0)
    plain = random_features(rng)
    equal_means = random_features(rng, 0.0, 1.0) + rng.normal(size=(5, 1))
    near = np.repeat(np.eye(5)[:, :3] * np.sqrt(0.7 / 0.6), 2, axis=1) + 1e-4 * random_features(rng)
    return {
        "c=0.3": proximity(0.5, 0.18, 1.0, plain),
        "c=1.5": proximity(1.0, 2.25, 1.0, plain),
        "lH=0": proximity(0.5, 0.0, 1.0, plain),
        "all class means equal": proximity(0.5, 0.18, 1.0, equal_means),
        "deviations orthogonal to the means": proximity(0.5, 0.18, 1.0, _unseen(rng)),
        "orthogonal, no ridges": proximity(0.0, 0.0, 0.0, _unseen(rng)),
        "near zero": proximity(0.5, 0.18, 1.0, 1e-3 * plain),
        "near collapse": proximity(0.5, 0.18, 1.0, near),
    }


def balance_cases() -> dict[str, Problem]:
    """d = 4 <= K (n - 1) = 6: without and with a ridge on H, and above sqrt(lH lW) = 1."""
    rng = np.random.default_rng(0)
    return {f"lW={lW} lH={lH}": around_random(rng, lW, lH, n=3, d=4) for lW, lH in ((0.5, 0.0), (0.5, 0.18), (1.0, 2.25))}


def _times(rng: np.random.Generator, lW: float, lH: float, last: float = 3.0, means: float = 1.0) -> Times:
    return Times(around_random(rng, lW, lH, means, n=3, d=4), jnp.linspace(0, last, 9))


def path_cases() -> dict[str, Times]:
    """Without and with a ridge on the features, sqrt(lH lW) either side of one, means that are almost equal."""
    rng = np.random.default_rng(0)
    numbers: dict[str, tuple] = {"lH=0": (0.5, 0.0), "c=0.3": (0.5, 0.18), "c=1.5": (1.5, 1.5, 1.5)}
    numbers |= {"lH=0, almost equal means": (0.8, 0.0, 3.0, 1e-3)}
    return {label: _times(rng, *these) for label, these in numbers.items()}


def _is_invertible(case: Times) -> bool:
    return bool(np.linalg.matrix_rank(parts(case.problem, proximity_features(case.problem))[1]) == case.problem.widths[0])


THEOREMS = (
    statements.identity(
        "central-path-rates", "[tirer2023] (monotone decrease); exact rates and cases of equality derived",
        predict_rates, direct_rates, rates_cases, draw, evidence=evidence,
    ),
    statements.identity(
        "central-path-balance", "derived, for the model of [tirer2023]",
        predict_balance, direct_balance, balance_cases, lambda rng: draw(rng, n=3, d=4), evidence=evidence,
    ),
    statements.trajectory(
        "central-path-collapse", "[tirer2023]; the conserved quantity derived",
        predict_path, observe, path_cases, lambda rng: _times(rng, rng.uniform(0.4, 1.5), rng.uniform(0, 1)),
        (Assumption("D D^T invertible, which needs d <= K (n - 1)", _is_invertible),), path=path, evidence=evidence_of_path,
    ),
)  # fmt: skip
