"""Cross-entropy with unit features and unit classifier rows: the simplex at every temperature (Yaras et al. 2022).

With logits <w_k, h_i>/T and features on classifiers

    z = (1/T) (K/(K-1)) (I - J/K),    f* = log(1 + (K-1) exp(-K/((K-1) T)))

The domain is a product of spheres, so stationarity is about tangents: derivatives are taken through the normalisation.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.equivalent.columns import split_columns
from ufm.frames import simplex_etf
from ufm.losses import CE
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.assumptions import BALANCED, ONE_LAYER, has_bias, has_loss, is_wide
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import Assumption


def predict(problem: Problem) -> Prediction:
    """Cross-entropy of cosines: with unit features and unit classifier rows the simplex is the global minimum at every temperature.

    T = 1/scale, and f* with the ridges of unit vectors.
    """
    K, dtype = problem.classes, problem.dtype
    U = simplex_etf(K, problem.widths[0], dtype).vectors
    ridges = 0.5 * (problem.l2_W[0] * K + problem.l2_H * problem.samples)
    counts = jnp.sqrt(problem.counts / (K - 1) * K)
    spread = jnp.ones((K,), dtype).at[-1].set(0)
    return Prediction(
        value=(jax.nn.softplus(jnp.log(K - 1.0) - problem.scale * K / (K - 1)) + ridges).astype(dtype),
        params=Params((U.T,), U[:, problem.labels] * jnp.sqrt(problem.multiplicity)[None, :], None),
        logits=problem.scale * U.T @ U,
        singular_values=jnp.stack([counts * spread, jnp.sqrt(K / (K - 1.0)) * spread]),
        alive=jnp.ones((K,), bool),
        rank=jnp.asarray(K - 1),
        unique=jnp.asarray(True),
    )


def sphere_problem(classes: int, per_class: int, dim: int, temperature: float) -> Problem:
    """Balanced classes, each as two columns of half its samples, logits <w, h>/temperature on the spheres."""
    return split_columns(Problem.balanced(classes, per_class, dim, loss="ce", features="sphere", scale=1 / temperature))


def cases() -> dict[str, Problem]:
    """Low to high temperatures."""
    return {f"K=4 d=6 T={T}": sphere_problem(4, 5, 6, T) for T in (0.1, 0.5, 1.0, 3.0)}


def draw(rng: np.random.Generator) -> Problem:
    """A random temperature and class size, four or six classes."""
    per_class, temperature = int(rng.integers(1, 6)), np.exp(rng.uniform(-2, 1))
    return sphere_problem(int(rng.choice((4, 6))), per_class, 6, temperature)


_ON_SPHERES = Assumption(
    "unit features, a trained classifier of unit rows, and no proximity term",
    lambda p: p.features == "sphere" and p.classifier is None and p.H0 is None,
)
THEOREMS = (
    statements.minimum(
        "sphere-ce", "[yaras2022]", predict, cases, draw,
        (has_loss(CE), BALANCED, _ON_SPHERES, has_bias("none"), ONE_LAYER, is_wide(1)), alive="classes",
        notes="K = 2 and d = 1 is covered, but its domain is isolated points, among which no descent can look.",
    ),
)  # fmt: skip
