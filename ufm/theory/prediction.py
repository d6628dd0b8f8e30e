"""Prediction: a minimiser in closed form, built from the singular triples of its scaled logit matrix."""

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from ufm.base.describe import describe
from ufm.duality.rounding import widened
from ufm.problem import Problem
from ufm.problem.envelope import minimum_value
from ufm.problem.params import Params, along_domain, objective


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("value", "params", "logits", "singular_values", "alive", "rank", "unique", "accuracy"),
    meta_fields=("theorem", "label"),
)
@dataclass(frozen=True)
class Prediction:
    """What a theorem says of the minimum of a problem.

    value: f there. params: a representative minimiser in the problem's own columns and widths.
    logits: (K, G) logits of each class (run of equal columns), bias included.
    singular_values: (L, R) of the factors H, W_1, ..., W_M.
    alive: which classes (one-hot models whose directions are classes) or singular directions are not zero.
    rank: of the logit matrix without bias. unique: whether minimisers differ by rotations of hidden coordinates alone.
    accuracy: |f(params) - value| / |value| as `ufm.predict` found it, None before.
    theorem: the id of the catalogue entry. label: "optimal" (proved), "numerical" or "best-known".
    """

    value: jax.Array
    params: Params
    logits: jax.Array
    singular_values: jax.Array
    alive: jax.Array
    rank: jax.Array
    unique: jax.Array
    accuracy: jax.Array | None = None
    theorem: str = ""
    label: str = "optimal"

    def named(self, theorem: str, label: str) -> "Prediction":
        """The same, signed by a theorem."""
        return dataclasses.replace(self, theorem=theorem, label=label)

    def __str__(self) -> str:
        return describe(self).text()

    def _repr_html_(self) -> str:
        return describe(self).html()


def grounded(problem: Problem, prediction: Prediction) -> Prediction:
    """The prediction with its accuracy, and with derivatives of the value that are those of the minimum in every leaf.

    By the envelope theorem d f* / d leaf is the derivative of the objective at the minimiser, held fixed.
    """
    params = prediction.params
    # float32 is held against float64 where JAX has it: the objective of small losses loses the same digits as their closed form
    exact, point = widened((problem, params))
    f = objective(exact, along_domain(exact, point))
    # next to the value at zero what rounding leaves of a sum is nothing
    floor = 64 * jnp.finfo(f.dtype).eps * jnp.abs(objective(exact, jax.tree.map(jnp.zeros_like, point)))
    size = jnp.maximum(jnp.abs(prediction.value), floor)
    size = jnp.where(size > 0, size, 1)
    accuracy = lax.stop_gradient(jnp.abs(f - prediction.value) / size).astype(prediction.value.dtype)
    return dataclasses.replace(prediction, value=minimum_value(problem, params, prediction.value), accuracy=accuracy)


def effective_c(problem: Problem) -> jax.Array:
    """c in units of logits: the geometric mean of the ridges over scale^(2/L)."""
    return problem.c / problem.scale ** (2 / problem.factors)


def from_triples(
    problem: Problem,
    U: jax.Array,
    sigma: jax.Array,
    V: jax.Array,
    b: jax.Array,
    value: jax.Array,
    *,
    alive: jax.Array | None = None,
    unique: jax.Array | bool = True,
) -> Prediction:
    """The minimal-penalty factorisation of a logit matrix, one column sqrt(n_k) zbar_k a class, as a Prediction.

    Factors (Schatten principle): A_i = F_i S_i F_{i-1}^T with S_i = sqrt(c/l_i) (sigma/scale)^(1/L), F_0 = V, F_L = U and
    coordinate frames F_i between.

    Args:
      problem: with L factors and widths of at least R.
      U: (K, R), sigma: (R,), V: (G, R): singular triples of the K x G matrix of scaled class logits without bias.
      b: (K,) bias (zeros for bias "none").
      value: the minimum. alive: by default sigma > 0. unique: see Prediction.
    """
    L, rank = problem.factors, sigma.shape[0]
    alive_sigma = jnp.where(sigma > 0, sigma / problem.scale, 1)  # no infinite slope of the root reaches a derivative
    S = jnp.sqrt(problem.c / problem.ridges)[:, None] * jnp.where(sigma > 0, alive_sigma ** (1 / L), 0)[None, :]
    rows = (V * S[0][None, :])[problem.labels] * problem.root_shares[:, None]
    H = jnp.zeros((problem.widths[0], problem.columns), problem.dtype).at[:rank].set(rows.T)
    outputs = (*problem.widths[1:], problem.classes)
    weights = []
    for i in range(1, L):
        W = jnp.zeros((outputs[i - 1], problem.widths[i - 1]), problem.dtype)
        core = U * S[i][None, :] if i == L - 1 else jnp.diag(S[i])
        weights.append(W.at[: core.shape[0], :rank].set(core))
    z = (U * sigma[None, :]) @ V.T / jnp.sqrt(problem.counts)[None, :] + b[:, None]
    return Prediction(
        value=value,
        params=Params(tuple(weights), H, None if problem.bias == "none" else b),
        logits=z,
        singular_values=S,
        alive=sigma > 0 if alive is None else alive,
        rank=jnp.sum(sigma > 0),
        unique=jnp.asarray(unique),
    )
