"""Next-token prediction with all supports of one size: logits are the centred support matrix times one scalar.

V tokens, m contexts of probability 1/m, labels 1/k on supports S_j of k tokens, in which every two tokens meet equally often: all
C(V, k) supports, or any other 2-design, such as the Fano plane (V = m = 7, k = 3). Then P S (supports as zeros and ones, centred)
has V - 1 singular values s, s^2 = m k (V-k) / (V (V-1)), and with tau = sqrt(l2_W l2_H) the minimum has

    Z = g P S,    e^g = ((V-k)/k) (1/q - 1),    q = tau (V-1) s,    f* = -(1-q) log((1-q)/k) - q log(q/(V-k))

where q is the probability of all tokens off the support; everything is zero iff q >= (V-k)/V. The gradient of the loss is a
multiple of P S, whose singular values are equal: that is the certificate. k = 1 is neural collapse.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from ufm.base.checks import is_traced
from ufm.base.matrices import helmert
from ufm.losses import CE
from ufm.problem import Problem, run_starts
from ufm.problem.params import column_weights
from ufm.settings.language import uniform_supports
from ufm.theory import statements
from ufm.theory.assumptions import ONE_LAYER, PENALISED, PLAIN, has_bias, has_loss, is_wide
from ufm.theory.prediction import Prediction, effective_c, from_triples
from ufm.theory.theorem import Assumption


def predict(problem: Problem) -> Prediction:
    """Next-token prediction over all supports of k of V tokens: logits g P S, e^g = ((V-k)/k)(1/q - 1), where q = tau (V-1)
    sqrt(C(V-2,k-1)) is the probability off the support; zero iff q >= (V-k)/V.

    For n samples a context and weights of any sum tau is tau sqrt(n)/sum.
    """
    labels, n, mass = problem.targets[:, run_starts(problem.groups)], problem.counts[0], jnp.sum(column_weights(problem))
    (V, m), k = labels.shape, jnp.sum(labels[:, 0] > 0)
    s = jnp.sqrt(m * k * (V - k) / (V * (V - 1)))
    q = jnp.minimum(jnp.sqrt(n) * effective_c(problem) * (V - 1) * s / mass, (V - k) / V)
    g = jnp.where(q >= (V - k) / V, 0, jnp.log((V - k) / k) + jnp.log1p(-q) - jnp.log(q))
    value = mass * ((1 - q) * (jnp.log(k) - jnp.log1p(-q)) + q * jnp.log(V - k) - xlogy(q, q))
    U, sigma = helmert(V, dtype=problem.dtype), jnp.full((V - 1,), 1, problem.dtype) * (g * s * jnp.sqrt(n))
    return from_triples(problem, U, sigma, (labels > 0).astype(U.dtype).T @ U / s, jnp.zeros((V,), U.dtype), value)


def _is_even_design(problem: Problem) -> bool:
    """Whether labels are 1/k on supports of k < V tokens, every two tokens meet equally often, and contexts weigh equally."""
    parts = problem.targets, problem.multiplicity, problem.weight, problem.intercept
    if is_traced(*parts):
        return False
    targets, multiplicity, weight, intercept = map(np.asarray, parts)  # within jit what jax.numpy makes of them would be traced
    labels, eps = targets[:, run_starts(problem.groups)], 64 * np.finfo(problem.dtype).eps
    S = labels > 0
    k = np.maximum(S.sum(axis=0), 1)
    alike = [np.asarray(problem.group_sum(x)) for x in (multiplicity, multiplicity * weight)]
    equal = all(np.ptp(x) <= eps * np.max(np.abs(x)) for x in (*alike, *(() if problem.bias == "none" else (intercept,))))
    even = np.ptp(k) == 0 and k[0] < problem.classes and np.all(np.abs(labels - S / k) <= eps)
    if not (even and equal):
        return False  # most problems: nothing of the order of V^2 m is spent on them
    meetings = S.astype(float) @ S.T
    return bool(np.ptp(meetings[~np.eye(problem.classes, dtype=bool)]) == 0 and np.ptp(np.diag(meetings)) == 0)


def _at(ratio: float, size: int, bias: str = "none", width: int = 12, tilt: float = 2.0) -> Problem:
    """All supports of `size` of four tokens, q = ratio (V-k)/V, in eight columns: as many contexts as fit are split in two."""
    k, labels = size, uniform_supports(4, size).labels
    V, m = labels.shape
    parts = np.where(np.arange(m) < 8 - m, 2, 1)
    tau = ratio * (V - k) / V / (V - 1) / np.sqrt(m * k * (V - k) / (V * (V - 1)))
    return Problem.from_targets(
        np.repeat(labels, parts, axis=1), width, loss="ce", multiplicity=np.repeat(1 / parts, parts),
        l2_W=tau * tilt, l2_H=tau / tilt, bias=bias, l2_b=0.05 if bias == "ridge" else 0.0,
    )  # fmt: skip


def cases() -> dict[str, Problem]:
    """Both sides of the threshold for three of four tokens and for pairs; d = V - 1 with a free bias."""
    triples = {f"V=4 k=3 q V/(V-k)={ratio}": _at(ratio, 3) for ratio in (0.002, 0.3, 0.9, 1.2, 3.0)}
    pairs = {f"V=4 k=2 q V/(V-k)={ratio}": _at(ratio, 2) for ratio in (0.02, 0.9, 1.2)}
    return triples | {"V=4 k=3 d=3, free bias": _at(0.05, 3, bias="free", width=3)} | pairs


def draw(rng: np.random.Generator) -> Problem:
    """Random ridges 10 % away from the threshold and any bias mode, one to three of four tokens."""
    ratio = float(rng.choice([np.exp(rng.uniform(-6, np.log(0.9))), rng.uniform(1.15, 3)]))
    bias = str(rng.choice(["none", "free", "ridge"]))
    return _at(ratio, int(rng.integers(1, 4)), bias=bias, width=int(rng.choice([3, 12])), tilt=float(np.exp(rng.uniform(-1, 1))))


_EVEN_DESIGN = Assumption(
    "equally weighted contexts with even labels on supports of one size k < V in which all tokens, and all pairs of them, occur "
    "equally often (all supports of one size), known outside jit",
    _is_even_design,
)
THEOREMS = (
    statements.minimum(
        "ntp-uniform-supports", "setting: [zhao2024]; closed form derived", predict, cases, draw,
        (has_loss(CE), PLAIN, PENALISED, ONE_LAYER, is_wide(1), has_bias("none", "free", "ridge"), _EVEN_DESIGN),
        geometry_tolerance=1e-5,
        notes="Proved for every 2-design: supports of one size in which each pair of tokens meets equally often.",
    ),
)  # fmt: skip
