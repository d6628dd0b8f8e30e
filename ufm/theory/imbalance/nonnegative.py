"""Imbalanced cross-entropy with non-negative features (after a ReLU): classes decouple (Dang, Tran, Nguyen, Ho 2024).

With c the geometric mean ridge and c' = c ((K-1)/K)^(1/2), class k has its own margin, whatever the others are:

    M_k = max(0, log((K-1) (sqrt(n_k)/(N c') - 1))),    logits M_k (e_k - 1/K),    features eta_k u_k, orthonormal u_k >= 0
    eta_k^2 = M_k (l2_W (K-1)/(K l2_H n_k))^(1/2),    w_k = s_k u_k - sum_j s_j u_j / K,    s_k = M_k/eta_k
    f* = sum_k (n_k/N) log(1 + (K-1) e^(-M_k)) + c' sqrt(n_k) M_k

Samples of a class that has collapsed are predicted uniformly. The margins of the paper's public evaluation script have
c' = (l2_W/2) ((K-1)/K)^(1/2), which does not depend on l2_H: the two agree iff l2_H = l2_W/4.

Proof. Let m_k = K/(K-1) (w_k - mean w).h_k, on which the loss is at least log(1 + (K-1) e^(-m_k)). For a_k in [0, sqrt(n_k)]
sum a_k m_k <= K/(K-1) |W| |(I - J/K) [a_k h_k]|, and since h_j.h_k >= 0 the last norm is at most
((K-1)/K sum a_k^2 |h_k|^2)^(1/2); so the penalty is at least c' sum a_k m_k. Take a_k = min(sqrt(n_k), n_k (K-1)/(N K c')).
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.meant import exact_ridges
from ufm.problem.params import Params, objective
from ufm.proofs import Proof
from ufm.proofs.objective import objective_expression
from ufm.proofs.refutations import margins_are_beaten
from ufm.theory import statements
from ufm.theory.assumptions import ONE_HOT, ONE_LAYER, PENALISED, as_class_sizes, has_bias, has_loss, is_wide
from ufm.theory.imbalance.thresholds import problem_at
from ufm.theory.prediction import Prediction, effective_c
from ufm.theory.statements.identities import Point
from ufm.theory.statements.minima import Measured, measured_minimum
from ufm.theory.statements.refutations import Claim, Refutation
from ufm.theory.theorem import Assumption


def critical_size(problem: Problem) -> jax.Array:
    """N^2 l2_W l2_H K/(K-1), scalar: classes of at most this size collapse to zero under non-negative features."""
    K = problem.classes
    return (problem.samples * effective_c(problem)) ** 2 * K / (K - 1)


def margins(problem: Problem) -> jax.Array:
    """(K,) M_k."""
    K = problem.classes
    return jnp.log(jnp.maximum((K - 1) * (jnp.sqrt(problem.counts / critical_size(problem)) * K / (K - 1) - 1), 1))


def predict(problem: Problem) -> Prediction:
    """Imbalanced cross-entropy with non-negative features: orthogonal class means, a margin for each class that depends on its own
    size and N alone, and collapse to zero iff n_k <= N^2 l2_W l2_H K/(K-1).
    """
    K, M = problem.classes, margins(problem)
    params, loss = from_margins(problem, M), jax.nn.softplus(jnp.log(K - 1.0) - M)
    price = effective_c(problem) * jnp.sqrt(problem.counts * (K - 1) / K)
    sizes = jnp.sort(jnp.sqrt(jnp.sum(params.H**2, axis=1)))[::-1]
    return Prediction(
        value=jnp.sum(problem.counts / problem.samples * loss + price * M).astype(problem.dtype),
        params=params,
        logits=M[None, :] * (jnp.eye(K, dtype=M.dtype) - 1 / K),
        singular_values=jnp.stack([sizes[:K], jnp.linalg.svd(params.weights[0], compute_uv=False)[:K]]),
        alive=M > 0,
        rank=jnp.sum(M > 0) - jnp.all(M > 0),
        unique=jnp.asarray(True),
    )


def from_margins(problem: Problem, M: jax.Array) -> Params:
    """Params of least penalty among those with features on the axes and class logits M_k (e_k - 1/K)."""
    K, M, beside = problem.classes, M / problem.scale, problem.widths[0] - problem.classes
    ratio = jnp.sqrt(problem.l2_W[0] * (K - 1) / (problem.l2_H * K * problem.counts))
    eta, s = (jnp.sqrt(jnp.where(M > 0, x, 0)) for x in (M * ratio, M / ratio))
    W = jnp.diag(s) - s[None, :] / K
    columns = jnp.diag(eta)[:, problem.labels] * jnp.sqrt(problem.multiplicity)[None, :]
    return Params((jnp.pad(W, ((0, 0), (0, beside))),), jnp.pad(columns, ((0, beside), (0, 0))), None)


def measure(problem: Problem, key: jax.Array) -> Measured:
    """The best of 32 runs, of which a quarter to nine tenths end at the minimum where d = 2K, and fewer the nearer d is to K."""
    return measured_minimum(problem, key, starts=32)


def _relu_problem(counts: tuple, critical: float, width: int = 6) -> Problem:
    """A critical size of `critical`."""
    return problem_at(critical * (1 - 1 / len(counts)), counts, width=width, features="nonnegative")


def cases() -> dict[str, Problem]:
    """All alive, thresholds on both sides of class sizes, equal classes."""
    found = {f"n_crit={x}": _relu_problem((40, 12, 5, 2), x) for x in (0.01, 1.9, 2.1, 4.8, 11.0, 30.0, 41.0)}
    return found | {"equal classes": _relu_problem((5, 5, 5, 5), 0.05)}


def draw(rng: np.random.Generator) -> Problem:
    """Random class sizes, 4 % away from the critical one, four or six classes in twice as many dimensions."""
    while True:
        counts = tuple(int(n) for n in rng.integers(1, 60, size=rng.choice((4, 6))))
        critical = float(np.exp(rng.uniform(np.log(0.01), np.log(0.9 * max(counts)))))
        if np.all(np.abs(np.log(critical / np.array(counts))) > 0.04):
            return _relu_problem(counts, critical, 2 * len(counts))


def published_margins(problem: Problem) -> jax.Array:
    """(K,) M_k as the script has them."""
    K = problem.classes
    price = problem.l2_W[0] / 2 * jnp.sqrt((K - 1) / K)
    return jnp.log(jnp.maximum((K - 1) * (jnp.sqrt(problem.counts) / (problem.samples * price) - 1), 1))


def predict_published(case: Point) -> Claim:
    """With non-negative features the margins at the minimum of CE + l2_W/2 |W|^2 + l2_H/2 |H|^2 are those of the public evaluation
    script, log((K-1) (2 sqrt(n_k) (K/(K-1))^(1/2)/(N l2_W) - 1)), which do not depend on l2_H.
    """
    fitting = case.problem.replace(l2_H=case.problem.l2_W[0] / 4)
    return Claim(*(objective(p, from_margins(p, published_margins(p))) for p in (case.problem, fitting)))


def measure_published(case: Point, key: jax.Array) -> Refutation:
    """The objective at the explicit point, the script's sum in NumPy, and for l2_H = l2_W/4 the least over all margins."""
    from scipy.optimize import minimize_scalar  # `import ufm` reaches this module and needs no minimiser

    K, n = case.problem.classes, np.asarray(case.problem.counts)
    l2_W, l2_H = float(case.problem.l2_W[0]), float(case.problem.l2_H)

    def value(M: np.ndarray, n_k: np.ndarray, l2_H: float) -> np.ndarray:
        """What a class of n_k adds to the objective at its margin M, convex in that."""
        return n_k / n.sum() * np.log1p((K - 1) * np.exp(-M)) + np.sqrt(l2_W * l2_H * n_k * (K - 1) / K) * M

    script = np.log((K - 1) * (np.sqrt(n) / (n.sum() * l2_W / 2 * np.sqrt((K - 1) / K)) - 1))
    least = (minimize_scalar(value, bounds=(0, 50), args=(n_k, l2_W / 4), options={"xatol": 1e-9}).fun for n_k in n)
    return Refutation(jax.jit(objective)(case.problem, case.params), value(script, n, l2_H).sum(), sum(least))


def prove_published(case: Point, predicted: Claim | None = None) -> Proof:
    """The point is below what the published margins cost."""
    l2_H, l2_W = exact_ridges(case.problem)
    sizes, found = list(map(float, case.problem.counts)), objective_expression(case.problem, case.params)
    return margins_are_beaten(sizes, l2_W, l2_H, found, claim={"theorem": "relu-published-margins"})


def published_cases() -> dict[str, Point]:
    """Points of class margins to three decimals, K = 4 classes of 20, 10, 6 and 4 samples, ridges of the features around l2_W/4."""
    margins = {
        (1e-3, 1e-3): (5.951, 5.602, 5.343, 5.137), (1e-3, 1e-4): (7.108, 6.760, 6.504, 6.300),
        (1e-2, 1e-4): (5.951, 5.602, 5.343, 5.137), (1e-3, 1e-2): (4.783, 4.426, 4.160, 3.947),
    }  # fmt: skip
    found = {}
    for (l2_W, l2_H), M in margins.items():
        problem = Problem.imbalanced((20, 10, 6, 4), 6, loss="ce", features="nonnegative", l2_W=l2_W, l2_H=l2_H)
        found[f"l2_W={l2_W:g} l2_H={l2_H:g}"] = Point(problem, from_margins(problem, jnp.asarray(M)))
    return found


_ASSUMES = (
    has_loss(CE), ONE_HOT, Assumption("non-negative features", lambda p: p.features == "nonnegative"),
    Assumption("a trained classifier and no proximity term", lambda p: p.classifier is None and p.H0 is None), PENALISED,
    ONE_LAYER, is_wide(0), has_bias("none"),
)  # fmt: skip
THEOREMS = (
    statements.minimum(
        "relu-imbalance", "[dang2024]; margins with both ridges, and the proof, derived", predict, cases, draw, _ASSUMES,
        measure=measure, alive="classes", view=as_class_sizes,
        notes="The landscape is not convex: single runs stop where two classes share a direction, so the best of 32 counts.",
    ),
    statements.refutation(
        "relu-published-margins", "the script validate_NC_unbalanced.py of the code of [dang2024]; found by comparing minima",
        predict_published, measure_published, published_cases, prove=prove_published,
        notes="Refuted is the script, not the paper, whose text was not at hand; it compares normalised margins, which "
        "hide most of the error. What holds is relu-imbalance; the two agree iff l2_H = l2_W/4.",
    ),
)  # fmt: skip
