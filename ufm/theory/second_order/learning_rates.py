"""Two learning rates: the spectrum that gradient flow sees when W moves e_W and H moves e_H times as fast (derived).

d(W, H)/dt = -diag(e_W, e_H) grad f has the Jacobian -diag(e_W, e_H) Hess f, whose blocks at a critical point are those of
`table` with p -> e_H p, q -> sqrt(e_H e_W) q, t -> e_W t. The soft pair of symmetric motions has

    trace e_H s + e_W n/s,    determinant 4 e_H e_W c (1-c) n    (times w and w^2),

and zero modes stay zero, since rates do not touch the kernel of the Hessian.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives
from ufm.theory.second_order.cases import PLAIN, SHAPES, critical_point, random_point
from ufm.theory.second_order.table import spectrum
from ufm.theory.statements.spectra import Spectrum


class TwoRates(NamedTuple):
    """A problem, a critical point of rank r, and the (2,) learning rates of W and H."""

    problem: Problem
    params: Params
    rank: jax.Array
    rates: jax.Array


def predict(case: TwoRates) -> Spectrum:
    """Balanced MSE with learning rates e_W and e_H: the preconditioned spectrum at every critical point keeps its 2 x 2 blocks,
    with entries scaled by e_H, sqrt(e_H e_W), e_W; zero modes stay zero.
    """
    return spectrum(case.problem, case.rank, case.rates[0], case.rates[1])


def preconditioned(case: TwoRates) -> np.ndarray:
    """The unsymmetric matrix diag(rates) Hess f by automatic differentiation."""
    each = np.repeat(np.asarray(case.rates), [case.params.weights[0].size, case.params.H.size])
    return each[:, None] * np.asarray(derivatives(case.problem, case.params).hessian)


def cases() -> dict[str, TwoRates]:
    """Each layer faster than the other, equal rates, at minima, saddles and zero, either side of c = 1."""
    rng = np.random.default_rng(0)
    points = {f"d>K r={r}": critical_point(SHAPES["d>K"], r, 0.3, 0.8, rng) for r in (0, 2, 3)}
    points |= {"d<K r=2": critical_point(SHAPES["d<K"], 2, 0.6, 1.5, rng), "c=1.2": critical_point(SHAPES["d=K"], 0, 1.2, 1.0, rng)}
    rates = ((1.0, 1.0), (10.0, 1.0), (0.2, 3.0))
    return {f"{name} rates={r}": TwoRates(*point, jnp.asarray(r)) for name, point in points.items() for r in rates}


def draw(rng: np.random.Generator) -> TwoRates:
    """A random critical point and random rates."""
    return TwoRates(*random_point(rng), jnp.asarray(np.exp(rng.uniform(-2, 2, size=2))))


THEOREMS = (
    statements.spectrum("mse-two-rates", "derived", predict, cases, draw, PLAIN, matrix=preconditioned, tolerance=1e-10),
)  # fmt: skip
