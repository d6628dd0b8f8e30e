"""Comp-sum losses (1 - p^(tau-1))/(tau-1): generalised CE, the mean absolute error, and the sum-exponential in closed form.

On the simplex with margin a, s = log(K-1) - a and c = sqrt(l2_W l2_H n), stationarity reads

    s - tau softplus(s) = log(c (K-1)),     the same as p^(tau-1) (1 - p) = c (K-1)

    tau = 0:   a = max(0, -log c)
    tau = 2:   p = (1 + sqrt(1 - 4c(K-1)))/2,  a = log((K-1) p/(1-p)),  stationary iff c <= 1/(4(K-1))

For tau > K/(K-1) zero is a local minimum, for c > 1/K^tau, next to that branch: the transition is of first order. All are
decreasing functions of p, so that the simplex, or zero, is the global minimum.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.frames import simplex_etf
from ufm.losses import comp_sum, gce, mae, value_of
from ufm.losses.probability import CompSum
from ufm.problem import Problem
from ufm.proofs import Proof
from ufm.proofs.expressions import Expression, exp, log, x
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss
from ufm.theory.other_losses.measured import certified, collapse_theorem, descend, measure, problem_at, random_factors
from ufm.theory.prediction import Prediction
from ufm.theory.proving import exactly, held, least_margin
from ufm.theory.symmetric import price_of, symmetric_prediction
from ufm.theory.theorem import Assumption, agreement


def predict(problem: Problem) -> Prediction:
    """Generalised cross-entropy (1 - p^q)/q, and comp-sum of any tau: the simplex with p^(tau-1) (1 - p) = c (K-1), or zero where
    that is lower; for tau > K/(K-1) the transition between them is of first order.

    The margin is that of the larger root.
    """
    K, c, tau = problem.classes, price_of(problem), value_of(problem.loss, CompSum).tau
    at_zero = jnp.log(K - 1.0)

    def slope(s: jax.Array, c: jax.Array) -> jax.Array:
        return s - tau * jax.nn.softplus(s) - jnp.log(c * (K - 1))

    def F(a: jax.Array) -> jax.Array:
        cost = jax.nn.softplus(at_zero - a)
        loss = cost if tau == 1 else jnp.expm1((1 - tau) * cost) / (1 - tau)
        return loss + c * (K - 1) * a

    turn = jnp.minimum(at_zero, -np.log(tau - 1)) if tau > 1 else at_zero
    a = at_zero - increasing_root(slope, jnp.full_like(c, -800), jnp.full_like(c, turn), c)
    a = jnp.where(F(a) >= F(jnp.zeros_like(a)), 0, a)
    return symmetric_prediction(problem, a, jnp.zeros_like(a), F(a))


def predict_sum_exponential(problem: Problem) -> Prediction:
    """The sum-exponential loss: the simplex with margin a = max(0, -log c), whatever the number of classes.

    f* = c (K-1) (1 + a), or K - 1 for c >= 1.
    """
    K, c = problem.classes, jnp.minimum(price_of(problem), 1)
    a = -jnp.log(c)
    return symmetric_prediction(problem, a, jnp.zeros_like(a), c * (K - 1) * (1 + a))


def predict_hysteresis(problem: Problem) -> dict[str, jax.Array]:
    """Mean absolute error: for K >= 3 the simplex disappears by a transition of first order, with zero stable for c > 1/K^2 and the
    simplex for c < 1/(4(K-1)); for K = 2 both are 1/4 and it is of second order.

    1 - p + c (K-1) a on the branch of tau = 2, and 1 - 1/K at zero; the lower one is global.
    """
    K, c = problem.classes, price_of(problem)
    zero, root = 1 - 1 / K, jnp.sqrt(jnp.maximum(1 - 4 * c * (K - 1), 0))
    a = jnp.log(K - 1.0) + 2 * jnp.arctanh(root)
    simplex = jnp.where(4 * c * (K - 1) < 1, (1 - root) / 2 + c * (K - 1) * a, zero)
    from_zero = jnp.where(c > 1 / K**2, zero, simplex)
    return {"lowest": jnp.minimum(simplex, zero), "from zero": from_zero, "from simplex": simplex}


def _at_margin(problem: Problem) -> Expression:
    """(1 - p^(tau-1))/(tau-1) at the margin x, p = 1/(1 + (K-1) e^-x); -log p for tau = 1."""
    excess = exactly(value_of(problem.loss, CompSum).tau) - 1
    cost = log(1 + (problem.classes - 1) * exp(-x))
    return cost if excess == 0 else (1 - exp(-excess * cost)) / excess


def prove_hysteresis(problem: Problem, predicted: dict[str, jax.Array]) -> Proof:
    """The lowest of the three."""
    return held(least_margin(_at_margin)(problem, predicted), predicted["lowest"])


def measure_hysteresis(problem: Problem, key: jax.Array) -> dict[str, float]:
    """The lowest of all runs, one from Gaussian factors of scale 1e-3, and one from a simplex of margin 5 with noise."""
    rng, K = np.random.default_rng(np.asarray(jax.random.key_data(key))), problem.classes
    small = descend(problem, *random_factors(problem, rng, 1e-3))[0]
    U = (5 * (1 - 1 / K)) ** 0.5 * np.asarray(simplex_etf(K, problem.widths[0]).vectors)
    balance = float(problem.l2_H / problem.l2_W[0] * problem.columns / K) ** 0.25
    W, H = random_factors(problem, rng, 1e-2)
    large = descend(problem, W + balance * U.T, H + U[:, problem.labels] / balance)[0]
    return {"lowest": min(measure(problem, key).value, small, large), "from zero": small, "from simplex": large}


def hysteresis_cases() -> dict[str, Problem]:
    """K = 5: below, inside on both sides of c* and above the window from 1/25 to 1/16; K = 2, where there is none."""
    cases = {f"K=5 c={c}": problem_at(mae(), c) for c in (0.03, 0.045, 0.059, 0.07)}
    return cases | {f"K=2 c={c}": problem_at(mae(), c, classes=2) for c in (0.2, 0.3)}


def draw_hysteresis(rng: np.random.Generator) -> Problem:
    """K = 5 anywhere but next to 1/25, c* and 1/16."""
    ranges = np.array([(0.01, 0.038), (0.042, 0.054), (0.058, 0.061), (0.065, 0.1)])
    return problem_at(mae(), float(rng.uniform(*rng.choice(ranges))))


THEOREMS = (
    collapse_theorem(
        "gce", "losses: [zhang2018]; [mao2023]; minimum derived",
        predict, (gce(0.7), comp_sum(1.5)), (0.003, 0.05, 0.2), (1e-3, 0.06), (has_loss(CompSum, name="gce or comp_sum or mae"),),
        prove=least_margin(_at_margin),
    ),
    collapse_theorem(
        "comp-sum-exp", "loss: [mao2023]; minimum derived",
        predict_sum_exponential, (comp_sum(0.0),), (0.003, 0.5, 1.5), (1e-3, 0.9),
        (has_loss(CompSum, name="comp_sum"), Assumption("tau = 0", lambda p: getattr(p.loss.value, "tau", None) == 0)),
        evidence=certified, prove=least_margin(_at_margin),
    ),
    # other: three minima, as they are reached from three kinds of random starts
    statements.other(
        "mae-transition", "loss: [ghosh2017]; transition derived",
        predict_hysteresis, measure_hysteresis, hysteresis_cases, draw_hysteresis,
        (has_loss(mae()), BALANCED, PLAIN, PENALISED, ONE_LAYER, has_bias("none")), evidence=agreement(1e-9),
        prove=prove_hysteresis,
    ),
)  # fmt: skip
