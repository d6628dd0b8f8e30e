"""The Schatten factorisation principle: what a product of L factors costs (used by every deep closed form).

    min { sum_i l_i/2 |A_i|_F^2 : A_L ... A_1 = Z } = (L/2) c sum_j sigma_j(Z)^(2/L),   c = (prod l_i)^(1/L)

(Hoelder for Schatten norms, then the inequality of means; L = 2 is the variational form of the nuclear norm.)
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.search.minimum import minimise
from ufm.theory import statements
from ufm.theory.theorem import agreement

Factorisation = tuple[jax.Array, jax.Array]  # Z (K, K), to be a product of square factors, and their ridges (L,)


def predict_cost(case: Factorisation) -> dict[str, jax.Array]:
    """The least ridge penalty of L factors with product Z is (L/2) c times the sum of sigma_j(Z)^(2/L), shared equally."""
    (Z, ridges), L = case, len(case[1])
    share = jnp.exp(jnp.mean(jnp.log(ridges))) * jnp.sum(jnp.linalg.svd(Z, compute_uv=False) ** (2 / L))
    return {"cost": 0.5 * L * share, "shares": jnp.full((L,), 1, Z.dtype) * share}


@jax.jit
def measure_cost(case: Factorisation, key: jax.Array) -> dict[str, jax.Array]:
    """Minimise the cost over all factorisations, A_1 = G_1 and A_i = G_i G_{i-1}^-1 with G_L = Z and G_i invertible."""
    (Z, ridges), L, K = case, len(case[1]), len(case[0])

    def shares(G: jax.Array) -> jax.Array:
        factors = [G[0], *(jnp.linalg.solve(low.T, top.T).T for low, top in zip(G, (*G[1:], Z), strict=True))]
        return jnp.stack([l2 * jnp.sum(A**2) for l2, A in zip(ridges, factors, strict=True)])

    start = jnp.eye(K)[None] + 0.2 * jax.random.normal(key, (L - 1, K, K), Z.dtype)
    found = minimise(lambda G: 0.5 * jnp.sum(shares(G)), start)
    return {"cost": found.value, "shares": shares(found.point)}


def factorisation_cases() -> dict[str, Factorisation]:
    """L = 2, 3, 4 factors of 3 x 3 matrices with unequal ridges."""
    return {f"L={L}": draw_factorisation(np.random.default_rng(L), L) for L in (2, 3, 4)}


def draw_factorisation(rng: np.random.Generator, factors: int | None = None) -> Factorisation:
    """A well-conditioned random matrix and log-normal ridges."""
    L = int(rng.integers(2, 5)) if factors is None else factors
    U, V = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    Z = (U * rng.uniform(0.5, 2.0, size=3)) @ V
    return jnp.asarray(Z), jnp.asarray(np.exp(rng.normal(size=L)))


THEOREMS = (
    # other: a minimum over the factorisations of a given matrix, not of a problem
    statements.other(
        "schatten-factorisation", "classical ([srebro2004] for L = 2; [shang2016] for Schatten quasi-norms)",
        predict_cost, measure_cost, factorisation_cases, draw_factorisation, evidence=agreement(1e-9, shares=1e-5),
    ),
)  # fmt: skip
