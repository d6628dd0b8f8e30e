"""How often the gradients of cross-entropy and of the teacher's divergence contradict, before collapse and at it.

At W = a U, H = b (U^T Y + noise E) with standard normal E, margins a b = 6 of the student and 8 of a symmetric teacher. At
collapse (noise 0) nothing contradicts while the student is less sure than the teacher, and everything once it is surer
(`gradient_identity`). With within-class noise rows of the classifier contradict far more often than columns of features.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.metrics.conflict import Conflict
from ufm.settings.distillation import symmetric_teacher
from ufm.theory import statements
from ufm.theory.distillation.gradient_identity import KINDS, Collapsed, collapsed, conflict
from ufm.theory.theorem import Check

_DRAWS = 64
_EXPECTED = {  # teacher's margin, loss, noise: conflict rates of rows and columns, on record (means over 64 draws)
    (8.0, "plain", 0.0): (0.0, 0.0), (8.0, "plain", 0.1): (0.0, 0.0), (8.0, "plain", 0.3): (0.62, 0.012),
    (8.0, "norm", 0.3): (0.38, 0.06), (4.0, "plain", 0.0): (1.0, 1.0), (4.0, "norm", 0.0): (1.0, 1.0),
}  # fmt: skip


class Noisy(NamedTuple):
    """A collapsed state, the size of the noise on its features, and the rates on record."""

    state: Collapsed
    noise: jax.Array
    expected: jax.Array


def predict(case: Noisy) -> jax.Array:
    """With within-class noise the gradients of cross-entropy and of the teacher's binary divergence contradict in most rows of the
    classifier and in few columns of the features; at collapse in all of both, or in none.

    The rates of rows and columns on record; at noise 0 they are those of the identity, (0, 0) or (1, 1).
    """
    return case.expected


@jax.jit
def measure(case: Noisy, key: jax.Array) -> Conflict:
    """Mean cosines and rates over draws of the noise."""
    shape = (_DRAWS, case.state.U.shape[1], case.state.Y.shape[1])
    noise = case.noise * jax.random.normal(key, shape, case.noise.dtype)
    return jax.tree.map(jnp.mean, jax.vmap(conflict, in_axes=(None, 0))(case.state, noise))


def evidence(case: Noisy, predicted: jax.Array, measured: Conflict) -> list[Check]:
    """Rates are reported, and have to be exact where there is no noise; so have the cosines, which are then +-1."""
    exact, sign = float(case.noise) == 0, 1 - 2 * predicted[0]
    checks = [("rows", predicted[0], measured.rows), ("columns", predicted[1], measured.columns)]
    if exact:
        checks += [("cosine in W", sign, measured.cosine_W), ("cosine in H", sign, measured.cosine_H)]
    return [Check("agreement", name, abs(float(p) - float(m)), 1e-9 if exact else float("inf")) for name, p, m in checks]


def cases() -> dict[str, Noisy]:
    """K = 5, n = 20, a margin of 6 under teachers of 8 and 4, without and with noise."""
    rng, found = np.random.default_rng(2), {}
    for (a_T, kind, noise), expected in _EXPECTED.items():
        state = collapsed(np.asarray(symmetric_teacher(5, a_T)), 6**0.5, 6**0.5, KINDS[kind], 2.0, rng, n=20)
        found[f"{kind} a_T={a_T} noise={noise}"] = Noisy(state, jnp.asarray(noise), jnp.asarray(expected))
    return found


THEOREMS = (
    # other: rates over draws of noise, reported
    statements.other(
        "dhkd-conflict", "measured here; question: [yang2024]", predict, measure, cases, status="diagnostic", evidence=evidence,
    ),
)  # fmt: skip
