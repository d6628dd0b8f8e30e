"""StableMax: softmax of logits on a logarithmic scale, and how slowly its cross-entropy falls without ridge.

StableMax divides s(z_k) by their sum, s(x) = x + 1 for x >= 0 and 1/(1 - x) below (Prieto et al. 2025). With
g(x) = sign(x) log(1 + |x|) it is softmax(g(z)), and nothing underflows. Without ridge, flow of its cross-entropy from balanced
simplex factors of one layer keeps logits a (I - J/K), with q = 1 + a + k a^2 and k = (K-1)/K^2 (derived):

    f = log(1 + (K-1)/q),    t = (sqrt(n)/2) (F(a) - F(a_0)),    F' = q (q + K - 1) / (a (1 + 2 k a))

so that a ~ (12 t / (k sqrt(n)))^{1/3} and f ~ (K/a)^2 ~ t^{-2/3}, where cross-entropy of softmax falls like 1/(t log t).
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray
from ufm.losses import stablemax
from ufm.losses.rational import signed_log
from ufm.problem.params import logits
from ufm.proofs import Book, Proof, log, number, x
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.implicit_bias.unregularised_ce import SimplexPath, SimplexStart, flow, observe, simplex_start
from ufm.theory.theorem import Assumption

_HIGHEST = 1e6


def predict_shares(z: jax.Array) -> dict[str, jax.Array]:
    """StableMax is softmax of sign(z) log(1 + |z|), a change of variables with slope 1/(1 + |z|) everywhere."""
    return {"probability": jax.nn.softmax(signed_log(z)), "slope": 1 / (1 + jnp.abs(z))}


def score(x: AnyArray) -> jax.Array:
    """s(x) = x + 1 for x >= 0, 1/(1 - x) for x < 0."""
    return jnp.where(x >= 0, 1 + jnp.maximum(x, 0), 1 / (1 - jnp.minimum(x, 0)))


@jax.jit
def shares(z: jax.Array) -> dict[str, jax.Array]:
    """The definition, and central differences of log s."""
    s, h = score(z), 1e-5 * (1 + jnp.abs(z))
    return {"probability": s / jnp.sum(s), "slope": (jnp.log(score(z + h)) - jnp.log(score(z - h))) / (2 * h)}


def prove_shares(z: jax.Array, predicted: dict[str, jax.Array]) -> Proof:
    """The definition, and the slope of log s, in exact numbers, within 1e-14 of what is served."""
    book = Book("StableMax by its definition, and the slopes of the logarithm of its scores, are what is served")
    given = [float(value) for value in np.asarray(z)]
    scores = book.kept("score", [1 + number(v) if v >= 0 else 1 / (1 - number(v)) for v in given])
    book.near(scores / scores.sum(), predicted["probability"], 1e-14)
    for i, v in enumerate(given):  # the slope of log(1 + x), or of -log(1 - x), at the logit
        slope = (log(1 + x) if v >= 0 else -log(1 - x)).slope()
        book.near(slope.at(number(v)), predicted["slope"][i], 1e-14)
    return book.proof()


def predict_flow(case: SimplexStart) -> SimplexPath:
    """Without ridge, flow of StableMax cross-entropy from balanced simplex factors keeps the simplex and solves a scalar equation
    in closed form: its loss falls like t^(-2/3).

    F(a) = k a^3/6 + 3 a^2/8 + A a + K log a + (K + 1 - A - 2 k K) log(1 + 2 k a)/(2 k), A = 1/(8 k) + (K + 1)/2.
    """
    K, n = case.problem.classes, case.problem.counts[0]
    k = (K - 1) / K**2
    A = 1 / (8 * k) + (K + 1) / 2

    def F(a: jax.Array) -> jax.Array:
        ends = K * jnp.log(a) + (K + 1 - A - 2 * k * K) / (2 * k) * jnp.log1p(2 * k * a)
        return k * a**3 / 6 + 3 * a**2 / 8 + A * a + ends

    z = logits(case.problem, case.params)
    a0 = z[0, 0] - z[1, 0]
    goals = F(a0) + 2 * case.ts / jnp.sqrt(n)
    a = jax.lax.map(lambda goal: increasing_root(lambda a, goal: F(a) - goal, a0, jnp.asarray(_HIGHEST), goal), goals)
    return SimplexPath(a, jnp.log1p((K - 1) / (1 + a + k * a**2)), 2 * (K - 1) * jnp.sqrt(n) * a, jnp.zeros_like(a))


def share_cases() -> dict[str, jax.Array]:
    """Near zero, both signs, equal logits, and logits far past where softmax of them underflows."""
    near_zero, large = (0.01, 1e-3, -1e-3, 1), (1e4, -1e4, 100, 1)
    cases = {"both signs": (2, -1, 0.5, -30), "equal": (-3,) * 4, "near zero": near_zero, "to 1e4": large}
    return {label: jnp.array(z, float) for label, z in cases.items()}


def start(n: int, a: float, last: float, rng: np.random.Generator) -> SimplexStart:
    """One trained layer of scale a, four classes of n samples, at nine times up to `last`."""
    return simplex_start(1, n, a, last, rng, layers=1, loss=stablemax())


def flow_cases() -> dict[str, SimplexStart]:
    """One and several samples a class, from small and from large scale, to early and late times."""
    rng = np.random.default_rng(0)
    return {f"n={n} a={a} t={last:.0e}": start(n, a, last, rng) for n, a, last in ((1, 0.1, 1e2), (4, 3.0, 1e4), (1, 0.5, 1e7))}


THEOREMS = (
    statements.identity(
        "stablemax-identity", "[prieto2025]; in this form derived", predict_shares, shares, share_cases,
        lambda rng: jnp.asarray(rng.normal(size=4) * np.exp(rng.uniform(-3, 6))), tolerance=1e-12, leaves={"slope": 1e-8},
        prove=prove_shares,
    ),
    statements.trajectory(
        "stablemax-flow", "derived, for the loss of [prieto2025]", predict_flow, observe, flow_cases,
        lambda rng: start(int(rng.integers(1, 9)), rng.uniform(0.2, 4), np.exp(rng.uniform(3, 12)), rng),
        (Assumption("one layer, one column a class, no ridge", lambda case: len(case.problem.widths) == 1),),
        path=flow, leaves={"off": 1e-8}, notes="The flow of softmax cross-entropy from these starts is ce-simplex-flow.",
    ),
)  # fmt: skip
