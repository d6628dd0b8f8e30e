"""Two gradients at a collapsed state: in W and in H they agree or disagree together, whatever the second loss.

At W = a U, H = b U^T Y with U U^T = P = I - J (K classes of n samples), cross-entropy has dCE/dZ = -s P Y with
s = (1 - p) K/((K-1) N), p the probability of the true class, and for any second loss of logit gradient G = dL'/dZ

    <dCE/dW, dL'/dW> = -n b^2 s <P Y, G>,    <dCE/dH, dL'/dH> = -a^2 s <P Y, G>:    the ratio is n b^2/a^2 > 0.

For a symmetric teacher and a divergence from it both cosines are sign(a_T - a b), exactly.
"""

from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.matrices import helmert
from ufm.losses import cross_entropy
from ufm.losses.distillation import Binary
from ufm.metrics.conflict import Conflict, gradient_conflict
from ufm.proofs import Proof, identity
from ufm.proofs.expressions import name as named
from ufm.proofs.expressions import number, total
from ufm.proofs.refutations import gradients_contradict
from ufm.settings.distillation import symmetric_teacher
from ufm.theory import statements
from ufm.theory.proving import exactly
from ufm.theory.theorem import Check, below

KINDS = {"plain": (1.0, 0.0, 0.0), "norm": (0.0, 1.0, 0.0), "squared": (0.0, 0.0, 1.0)}
"""Weights in the second loss of the plain binary divergence, of the normalised one, and of half the squared distance of logits."""


class Collapsed(NamedTuple):
    """Frame U (K, d) with U U^T = P, sizes a of W and b of H, one-hot Y (K, N), logits of a teacher (K, N), weights of the losses
    in L' as in `KINDS`, and T of the binary divergences.
    """

    U: jax.Array
    a: jax.Array
    b: jax.Array
    Y: jax.Array
    teacher: jax.Array
    kinds: jax.Array
    temperature: jax.Array


def predict(case: Collapsed) -> dict[str, jax.Array]:
    """At a collapsed self-dual state W = a U, H = b U^T Y the gradients of cross-entropy and of any second logit loss have inner
    products in W and in H of ratio n b^2/a^2: they contradict in both or in neither, and for a symmetric teacher both cosines are
    sign(a_T - a b).

    Both in W and in H, the products over n b^2 + a^2.
    """
    (K, N), a, b, T = case.Y.shape, case.a, case.b, case.temperature
    n, Z = N / K, a * b * (case.Y - 1 / K)
    plain = T * (jax.nn.sigmoid(Z / T) - jax.nn.sigmoid(case.teacher / T))
    norm = T * (jax.nn.sigmoid((Z - case.teacher) / T) - 0.5)
    G = (case.kinds[0] * plain + case.kinds[1] * norm + case.kinds[2] * (Z - case.teacher)) / N
    s = K / ((K - 1) * N) * (1 - 1 / (1 + (K - 1) * jnp.exp(-a * b)))
    PY, PG = case.Y - 1 / K, G - jnp.mean(G, axis=0, keepdims=True)
    products = -s * jnp.sum(PY * G) * jnp.stack([n * b * b, a * a])
    along_rows = jnp.linalg.norm(G @ PY.T)  # |G Y^T P|: what W sees of G
    sizes = jnp.stack([n * b * b * s * jnp.sqrt(K - 1.0) * along_rows, a * a * s * jnp.sqrt(n * (K - 1)) * jnp.linalg.norm(PG)])
    return {"products": products / (n * b * b + a * a), "cosines": products / sizes}


def prove(case: Collapsed, predicted: dict[str, jax.Array]) -> Proof:
    """<P Y H', G H'> = n b^2 <P Y, G> and <W' P Y, W' G> = a^2 <P Y, G>, with U U' = P and the teacher's numbers as G."""
    (K, N), Y = case.Y.shape, np.asarray(case.Y)
    labels, n = Y.argmax(axis=0), Fraction(N, K)
    a, b = (named(s) for s in ("a", "b"))
    where = [("a", number(exactly(case.a))), ("b", number(exactly(case.b)))]
    where += [(f"g{k}_{i}", number(exactly(x))) for (k, i), x in np.ndenumerate(np.asarray(case.teacher))]
    P = [[Fraction(int(k == j)) - Fraction(1, K) for j in range(K)] for k in range(K)]

    PY = [[row[label] for label in labels] for row in P]

    def along(weights: Any) -> Any:
        return total([w * named(f"g{k}_{i}") for k, row in enumerate(weights) for i, w in enumerate(row)])

    in_W = [[sum(x * P[labels[j]][label] for j, x in enumerate(row)) for label in labels] for row in PY]  # P Y (Y'P Y)
    in_H = [[sum(P[k][m] * PY[m][i] for m in range(K)) for i in range(N)] for k in range(K)]  # P P Y
    pairs = [(b**2 * along(in_W), n * b**2 * along(PY)), (a**2 * along(in_H), a**2 * along(PY))]
    return identity(f"both inner products at a collapsed state, K = {K}, N = {N}, with a second gradient given", pairs, where)


def gradients(case: Collapsed, noise: jax.Array | float = 0.0) -> tuple[tuple, tuple]:
    """(dL/dW, dL/dH) of mean cross-entropy and of the mean second loss at W = a U, H = b (U^T Y + noise), by differentiation."""
    plain, norm = (Binary(case.temperature, kind) for kind in (False, True))

    def second_loss(z: jax.Array, y: jax.Array, t: jax.Array) -> jax.Array:
        return case.kinds @ jnp.stack([plain(z, (y, t)), norm(z, (y, t)), 0.5 * jnp.sum((z - t) ** 2)])

    def slopes(loss):
        columns = jax.vmap(loss, in_axes=1)
        return jax.grad(lambda W, H: jnp.mean(columns(W @ H, case.Y, case.teacher)), argnums=(0, 1))(*point)

    point = case.a * case.U, case.b * (case.U.T @ case.Y + noise)
    return slopes(lambda z, y, t: cross_entropy(z, y)), slopes(second_loss)


@jax.jit
def by_differentiation(case: Collapsed) -> dict[str, jax.Array]:
    """Inner products of what automatic differentiation gives for both losses."""
    (K, N), (first, second), found = case.Y.shape, gradients(case), conflict(case)
    products = jnp.stack([jnp.sum(x * y) for x, y in zip(first, second, strict=True)])
    return {"products": products / (N / K * case.b**2 + case.a**2), "cosines": jnp.stack([found.cosine_W, found.cosine_H])}


@jax.jit
def conflict(case: Collapsed, noise: jax.Array | float = 0.0) -> Conflict:
    """Cosines and rates where `gradients` are taken."""
    return gradient_conflict(*gradients(case, noise), samples_axis=1)


def collapsed(teacher: np.ndarray, a: float, b: float, kinds: tuple, T: float, rng: np.random.Generator, n: int = 5) -> Collapsed:
    """A random frame in d = K + 3 dimensions under teacher logits (K, K) of the classes, or (K, K n) of all samples."""
    K = teacher.shape[0]
    U = np.asarray(helmert(K)) @ np.linalg.qr(rng.normal(size=(K + 3, K - 1)))[0].T
    Y, columns = np.repeat(np.eye(K), n, axis=1), np.repeat(teacher, K * n // teacher.shape[1], axis=1)
    return Collapsed(*(jnp.asarray(x, float) for x in (U, a, b, Y, columns, kinds, T)))


def cases() -> dict[str, Collapsed]:
    """Symmetric teachers on both sides of the student and one without relation to it, three losses; a^2 on both sides of n b^2."""
    rng, found = np.random.default_rng(0), {}
    for a_T, sizes in ((8.0, (6.0, 1.0)), (4.0, (2.0, 3.0))):
        teacher = np.asarray(symmetric_teacher(4, a_T, 3.0))
        for name, kinds in KINDS.items():
            found[f"{name}, a_T={a_T}"] = collapsed(teacher, *sizes, kinds, 2.0, rng)
    found["any teacher"] = collapsed(3 * rng.normal(size=(4, 20)), 0.7, 1.1, (1.0, 0.5, 0.2), 1.0, rng)
    return found


def draw(rng: np.random.Generator) -> Collapsed:
    """A random teacher of every sample, sizes, temperature and mixture of losses."""
    a, b, T = np.exp(rng.uniform(-1, 1, size=3))
    return collapsed(4 * rng.normal(size=(4, 20)), a, b, tuple(rng.dirichlet(np.ones(3))), T, rng)


def cosine_claim(case: Collapsed) -> jax.Array:
    """The gradients of cross-entropy and of a binary divergence from the teacher contradict in the classifier but not in the
    backbone, at a state of neural collapse.

    A number that the cosine in the features is not below.
    """
    return jnp.zeros_like(case.a)


def measure_cosines(case: Collapsed, key: jax.Array) -> tuple[Conflict, Conflict]:
    """Both cosines at the collapsed state, and under a teacher of twice the margin, which is surer than the student."""
    return conflict(case), conflict(case._replace(teacher=2 * case.teacher))


def _contradiction(case: Collapsed, claimed: jax.Array, measured: tuple[Conflict, Conflict]) -> list[Check]:
    """How far the cosine in the features falls below the claim where the classifier's contradict; the surer teacher's does not.

    The claim is a sign, so that the number it is compared with is zero itself.
    """
    zero, (unsure, sure) = float(claimed), measured
    shortfall = zero - float(unsure.cosine_H) if unsure.cosine_W < 0 else 0.0
    return [
        below("agreement", "backbone cosine below 0", shortfall, 1e-9)._replace(refutes=True),
        Check("agreement", "the claim", abs(zero), 0.0),
        below("agreement", "where it holds", zero - float(sure.cosine_H), 1e-9),
        Check("agreement", "cosines where it holds", abs(1 - min(float(sure.cosine_W), float(sure.cosine_H))), 1e-9),
    ]


def prove_contradiction(case: Collapsed, predicted: jax.Array | None = None) -> Proof:
    """Both inner products are below zero; the frame does not matter."""
    K, N = case.Y.shape
    kind = next(kind for kind, weights in KINDS.items() if np.array_equal(case.kinds, weights))
    teacher, claim = np.asarray(case.teacher)[:, :: N // K].tolist(), {"theorem": "dhkd-backbone"}
    return gradients_contradict(float(case.a), float(case.b), N // K, teacher, float(case.temperature), kind, claim=claim)


def surer_students() -> dict[str, Collapsed]:
    """Collapsed students of margin 6 under symmetric teachers that are less sure: the classifier's gradients contradict."""
    rng, teacher = np.random.default_rng(1), np.asarray(symmetric_teacher(4, 4.0))
    return {f"{kind} a_T=4 a_S=6": collapsed(teacher, 6**0.5, 6**0.5, KINDS[kind], 2.0, rng) for kind in ("plain", "norm")}


THEOREMS = (
    statements.identity(
        "dhkd-gradient-identity", "derived; question: [yang2024]", predict, by_differentiation, cases, draw, prove=prove,
    ),
    # other: a sign that is refuted, and the states where it is right
    statements.other(
        "dhkd-backbone", "[yang2024], read at an exactly collapsed state; against it dhkd-gradient-identity",
        cosine_claim, measure_cosines, surer_students, status="refuted", evidence=_contradiction,
        prove=prove_contradiction,
        notes="Before collapse the asymmetry does appear (dhkd-conflict): rows of the classifier conflict far more often "
        "than columns of features. At collapse both cosines are -1 as soon as the student is surer than its teacher.",
    ),
)  # fmt: skip
