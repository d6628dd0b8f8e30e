"""Multi-label neural collapse under the pick-all-labels loss: the minimum from one scalar equation (Li et al. 2024).

Label sets S of m_S labels with n_S samples each, N in all; every number of labels m occurs with all its sets alike, or with
sets that form a design: sum_{|S| = m} n_S P 1_S 1_S^T P is a multiple of P = I - J/K. With tau the geometric mean ridge,

    Z_S = g_m P 1_S,    g_m (m e^{g_m} + K - m) = K s/(N tau),    s^2 = sum_S n_S g_m^2 m_S (K - m_S) / (K (K-1))

so that W W^T = sqrt(l2_H/l2_W) s P is a simplex, and the features of S are the average of those of its labels up to a scale
that depends on m alone: h_S = (g_m/om2) sum_{k in S} w_k, om2 = sqrt(l2_H/l2_W) s. All is zero iff the last sum with
g_m = 1 is at most (N tau)^2.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced
from ufm.base.matrices import helmert
from ufm.losses import CE
from ufm.problem import GeneralColumns, Problem, run_starts
from ufm.search.roots import increasing_root
from ufm.settings.multilabel import multi_label_problem
from ufm.theory import statements
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.theorem import Assumption


def predict(problem: Problem) -> Prediction:
    """Pick-all-labels cross-entropy, label sets of one size alike: the classifier is a simplex and the feature of a set is the
    average of those of its labels up to a scale that depends on its size; one scalar equation gives all.

    g_m and s of the module; the value is that of the loss plus tau (K-1) s.
    """
    K, starts = problem.classes, run_starts(problem.groups)
    targets, weight, n = problem.targets[:, starts], problem.weight[starts], problem.counts
    member = targets > 0
    m = jnp.sum(member, axis=0).astype(problem.dtype)
    pull = K / (problem.samples * effective_c(problem))
    share = n * m * (K - m) / (K * (K - 1))

    def excess(g: jax.Array, strength: jax.Array, m: jax.Array) -> jax.Array:
        return g * (m * jnp.exp(g) + K - m) - strength

    def ratios(s: jax.Array, pull: jax.Array, m: jax.Array) -> jax.Array:
        """g_m / s for every set, smooth at s = 0."""
        top = 1 + jnp.log1p(pull * s)
        g = jax.vmap(lambda m: increasing_root(excess, jnp.zeros_like(top), top, pull * s, m))(m)
        return pull / (m * jnp.exp(g) + K - m)

    def balance(s: jax.Array, pull: jax.Array, m: jax.Array, share: jax.Array) -> jax.Array:
        return 1 - jnp.sum(share * ratios(s, pull, m) ** 2)

    size = jnp.sqrt(jnp.sum(share))
    highest = 2 * size * (1 + jnp.log1p(size * pull))
    s = increasing_root(balance, jnp.zeros_like(highest), highest, pull, m, share)
    s = jnp.where(size * pull > K, s, 0)
    ratio, basis = ratios(s, pull, m), helmert(K, dtype=problem.dtype)
    V = (jnp.sqrt(n) * ratio)[:, None] * (member.T.astype(problem.dtype) @ basis) / jnp.sqrt(jnp.sum(share * ratio**2))
    loss = jnp.sum(weight * n * (jnp.log(m) + jnp.log1p((K - m) / m * jnp.exp(-s * ratio)))) / problem.samples
    value = loss + effective_c(problem) * (K - 1) * s
    return from_triples(problem, basis, jnp.broadcast_to(s, (K - 1,)), V, jnp.zeros((K,), problem.dtype), value)


def _is_design(problem: Problem) -> bool:
    """Whether columns are uniform on m labels, weigh m, and the sets of every m spread evenly over pairs; no where traced."""
    if not isinstance(problem.design, GeneralColumns) or is_traced(problem.design):
        return False
    targets, weight, n = (np.asarray(x) for x in (problem.targets, problem.weight, problem.multiplicity))
    K, member, accuracy = problem.classes, targets > 0, float(jnp.finfo(targets.dtype).eps) ** 0.6
    m = member.sum(axis=0)
    even = abs(targets * m - member).max() <= accuracy and abs(weight - m).max() <= accuracy
    if not even or (problem.bias != "none" and np.any(np.asarray(problem.intercept) != 1)):
        return False
    for size in np.unique(m[m < K]):
        of_size = member[:, m == size] - size / K
        gram = (of_size * n[m == size]) @ of_size.T
        if abs(gram - (np.eye(K) - 1 / K) * gram.trace() / (K - 1)).max() > accuracy * gram.trace():
            return False
    return True


def cases() -> dict[str, Problem]:
    """Weak and strong ridges, either number of labels more frequent, both sides of the threshold."""
    grid = (({1: 2, 2: 1}, 1e-3), ({1: 1, 2: 20}, 0.01), ({1: 3, 2: 1}, 0.05))
    near = {f"threshold times {ratio}": _at({1: 3, 2: 2}, ratio * _threshold({1: 3, 2: 2})) for ratio in (0.95, 1.05)}
    return {f"n_1={samples[1]} n_2={samples[2]} tau={tau}": _at(samples, tau) for samples, tau in grid} | near


def draw(rng: np.random.Generator) -> Problem:
    """Random numbers of samples and a ridge off the threshold."""
    samples, K = {1: int(rng.integers(1, 50)), 2: int(rng.integers(1, 50))}, int(rng.choice((4, 5)))
    return _at(samples, float(rng.choice([np.exp(rng.uniform(-6, -0.1)), 1.2])) * _threshold(samples, K), K)


def _threshold(samples: dict[int, int], classes: int = 4) -> float:
    """tau at which a problem of K classes collapses: sqrt(n_1 + (K - 2) n_2)/N, N = K n_1 + K (K - 1)/2 n_2."""
    n, pairs = samples[1], samples[2]
    return (n + (classes - 2) * pairs) ** 0.5 / (classes * n + classes * (classes - 1) / 2 * pairs)


def _at(samples: dict[int, int], tau: float, classes: int = 4) -> Problem:
    """K classes in d = 5 dimensions, ridges of geometric mean tau."""
    return multi_label_problem(classes, samples, 5, l2_W=2 * tau, l2_H=tau / 2)


_DESIGN = Assumption(
    "label sets whose targets are uniform, of weight |S| and intercept 1, and spread evenly over pairs of labels", _is_design
)
THEOREMS = (
    statements.minimum(
        "multi-label-pal", "[li2024]; scalar equation, threshold and designs derived", predict, cases, draw,
        (has_loss(CE), PLAIN, PENALISED, ONE_LAYER, is_wide(1), has_bias("none", "free", "ridge"), _DESIGN),
        geometry_tolerance=1e-5,
        notes="Not all sets of a size need occur: the seven lines of the Fano plane will do. Unequal frequencies within a "
        "size break the formula; `ufm.solve` with `ufm.certify` then gives the minimum.",
    ),
)  # fmt: skip
