"""Gradients of the binary divergences in the logits, exact from logits near the teacher's to 10^4.

    T^2 sum KL(Bern(sig(t/T)) || Bern(sig(z/T))):   dL/dz = T (sig(z/T) - sig(t/T))
    T^2 sum log cosh((z - t)/(2T)):                 dL/dz = T (sig((z - t)/T) - 1/2)

Both vanish at z = t alone, and have the sign of z - t: past its teacher the true class of a student is pushed back.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses.distillation import Binary
from ufm.theory import statements
from ufm.theory.theorem import Check

_STEP = 1e-2


class Logits(NamedTuple):
    """Logits (C,) of a student and of its teacher, and the temperature T."""

    student: jax.Array
    teacher: jax.Array
    temperature: jax.Array


def predict(case: Logits) -> dict[str, jax.Array]:
    """The binary divergences of a student from its teacher have the logit gradients T (sig(z/T) - sig(t/T)) and T (sig((z-t)/T) -
    1/2): each of the sign of z - t, so that past its teacher a student's true class is pushed back.

    In units of T.
    """
    z, t = case.student / case.temperature, case.teacher / case.temperature
    return {"plain": jax.nn.sigmoid(z) - jax.nn.sigmoid(t), "norm": jnp.tanh((z - t) / 2) / 2}


@jax.jit
def differences(case: Logits) -> dict[str, jax.Array]:
    """Central differences of the loss of every single logit at two steps, extrapolated."""
    T = case.temperature

    def difference(norm: bool) -> jax.Array:
        loss = jax.vmap(lambda z, t: Binary(T, norm)(z[None], (None, t[None])))

        def central(step: float) -> jax.Array:
            return (loss(case.student + step * T, case.teacher) - loss(case.student - step * T, case.teacher)) / (2 * step)

        return (4 * central(_STEP) - central(2 * _STEP)) / (3 * T**2)

    return {"plain": difference(False), "norm": difference(True)}


def evidence(case: Logits, predicted: dict, measured: dict) -> list[Check]:
    """Agreement to 1e-8 and the rounding of values as large as |z - t|/T."""
    room = 1e-8 + 1e-13 * np.abs(np.asarray(case.student - case.teacher)) / float(case.temperature)
    errors = {name: np.abs(np.asarray(p) - np.asarray(measured[name])) / room for name, p in predicted.items()}
    return [Check("agreement", name, float(np.max(error)), 1.0) for name, error in errors.items()]


def cases() -> dict[str, Logits]:
    """Below, at and above the teacher, for small and huge logits, at three temperatures."""
    student = np.array([-1e4, -40.0, -3.0, 0.0, 0.5, 2.0, 30.0, 1e4])
    shift = np.array([0.0, 1.0, -1e-3, 0.0, -2.5, 7.0, -80.0, -2e4])
    return {f"T={T}": _at(T * student, T * (student + shift), T) for T in (0.5, 2.0, 10.0)}


def draw(rng: np.random.Generator) -> Logits:
    """Random logits of random size and temperature."""
    size = np.exp(rng.uniform(-1, 6))
    return _at(size * rng.normal(size=8), size * rng.normal(size=8), np.exp(rng.uniform(-1, 2)))


def _at(student: np.ndarray, teacher: np.ndarray, temperature: float) -> Logits:
    return Logits(*map(jnp.asarray, (student, teacher, temperature)))


THEOREMS = (
    statements.identity(
        "bkl-gradients", "losses: [yang2024] (from their code, without its clamps); derivatives derived",
        predict, differences, cases, draw, evidence=evidence,
        notes="The clamps of the public code to [1e-8, 1 - 1e-8] round to 1 in float32, where log(1 - p) is -inf.",
    ),
)  # fmt: skip
