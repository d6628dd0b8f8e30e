"""The layer-peeled model: cross-entropy under bounds on the mean squares of rows and features (Fang, He, Long, Su 2021).

    min (1/N) sum CE    subject to    |W|^2/K <= E_W,    (1/K) sum_k (1/n_k) sum_i |h_ki|^2 <= E_H

Feasible class logits are the ball |Zbar|_* <= rho = K sqrt(E_W E_H) of the nuclear norm. Two groups, n_A = R n_B: the scalars of
`group_program` with weights K_A R : K_B and both prices mu, for the mu > 0 that makes the norm rho. The rare classes merge iff
n_B/N = 1/(R K_A + K_B) <= mu. That happens from a critical ratio R0 on, at which mu = 1/(R0 K_A + K_B).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.losses import cross_entropy
from ufm.search.minimum import minimise
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.imbalance.group_program import Groups, Scalars, solve_groups
from ufm.theory.theorem import Check, agreement, below

_CLASSES = 4  # all searches run in one program


class PeeledModel(NamedTuple):
    """K_A frequent classes, K_B rare ones, R = n_A/n_B (or several, at which to look), and the product E_W E_H of the bounds."""

    frequent: jax.Array
    rare: jax.Array
    ratio: jax.Array
    bound: jax.Array


def solve_peeled(model: PeeledModel) -> Scalars:
    """The scalars at the multiplier mu that makes the norm of the logits rho = K sqrt(E_W E_H); value is F, with mu rho in it."""
    zero = jnp.zeros_like(model.bound)
    log_price = increasing_root(lambda x, model: -_excess_norm(model, jnp.exp(x)), zero - 650, zero, model)
    return solve_groups(_groups(model, jnp.exp(log_price)))


def predict_ratio(model: PeeledModel) -> jax.Array:
    """In the layer-peeled model two or more rare classes merge exactly from a finite imbalance ratio R0 on, the root of one scalar
    equation.
    """

    def excess(log_ratio: jax.Array, model: PeeledModel) -> jax.Array:
        ratio = jnp.exp(log_ratio)
        return _excess_norm(model._replace(ratio=ratio), 1 / (ratio * model.frequent + model.rare))

    zero = jnp.zeros_like(model.bound)
    return jnp.exp(increasing_root(excess, zero, zero + 300, model))


def _excess_norm(model: PeeledModel, price: jax.Array) -> jax.Array:
    """By how much the norm of the logits at a price exceeds rho."""
    return solve_groups(_groups(model, price)).price / price - (model.frequent + model.rare) * jnp.sqrt(model.bound)


def _groups(model: PeeledModel, price: jax.Array) -> Groups:
    classes = jnp.stack([model.frequent, model.rare])
    weights = classes * jnp.stack([model.ratio, jnp.ones_like(model.ratio)])
    return Groups(classes, weights / jnp.sum(weights), jnp.stack([price, price]))


def predict(model: PeeledModel) -> dict[str, jax.Array]:
    """The layer-peeled model with two class sizes is the two-group program whose multiplier makes the nuclear norm of the class
    means' logits K sqrt(E_W E_H); balanced classes form the simplex of margin K sqrt(E_W E_H)/(K-1).

    The loss, and the margins inside the groups and between them.
    """
    found = solve_peeled(model)
    return {"loss": jnp.sum(_groups(model, model.bound).weights * found.loss), "inside": found.x, "between": found.s}


def measure(model: PeeledModel, key: jax.Array) -> dict[str, np.ndarray]:
    """The same numbers of the lowest of several searches over normalised factors, every class as two columns."""
    value, Z = _search(model, jax.random.normal(key, (2, 2, 2 * _CLASSES, _CLASSES)))
    z = np.asarray(Z).reshape(_CLASSES, _CLASSES, 2).mean(2)
    inside, between, is_rare = [], [], np.arange(_CLASSES) >= int(model.frequent)
    for mine in (~is_rare, is_rare):
        own, K = z[np.ix_(mine, mine)], np.sum(mine)
        inside.append((np.trace(own) - (np.sum(own) - np.trace(own)) / (K - 1)) / K if K > 1 else 0.0)
        between.append(np.mean(own) - np.mean(z[np.ix_(~mine, mine)]))
    return {"loss": np.asarray(value), "inside": np.array(inside), "between": np.array(between)}


@jax.jit
def _search(model: PeeledModel, starts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The least loss of several runs, and its logits (K, 2K): W and H scaled to their spheres, H by class means."""
    K = _CLASSES
    sizes = jnp.where(jnp.arange(K) < model.frequent, model.ratio, 1.0)
    weights, targets = jnp.repeat(sizes / jnp.sum(sizes) / 2, 2), jnp.repeat(jnp.eye(K), 2, axis=1)

    def scaled_logits(point: tuple) -> jax.Array:
        W, H = point
        return K * jnp.sqrt(2 * model.bound) * (W @ H) / (jnp.linalg.norm(W) * jnp.linalg.norm(H))

    def loss(point: tuple) -> jax.Array:
        return jnp.sum(weights * jax.vmap(cross_entropy, in_axes=1)(scaled_logits(point), targets))

    runs = jax.lax.map(lambda s: minimise(loss, (s[0, :K], s[1].T), tolerance=1e-11), starts)
    best = jnp.argmin(runs.value)
    return runs.value[best], scaled_logits(jax.tree.map(lambda x: x[best], runs.point))


def measure_ratio(case: PeeledModel, key: jax.Array) -> np.ndarray:
    """The margin inside the rare group at each of the case's ratios."""
    models = [case._replace(ratio=ratio) for ratio in case.ratio]
    return np.array([measure(model, jax.random.fold_in(key, i))["inside"][1] for i, model in enumerate(models)])


def ratio_evidence(case: PeeledModel, predicted: jax.Array, measured: np.ndarray) -> list[Check]:
    """R0 lies between the ratios at which rare classes differ and those at which they do not."""
    ratios, apart = np.asarray(case.ratio), measured > 1e-5
    low, high = np.max(ratios[apart], initial=0.0), np.min(ratios[~apart], initial=np.inf)
    outside = np.maximum(low / float(predicted) - 1, float(predicted) / high - 1)
    return [below("agreement", "R0 in the bracket", outside if low < high < np.inf and low > 0 else np.nan, 0.0)]


def _model(frequent: int, rare: int, ratio: float | np.ndarray, bound: float) -> PeeledModel:
    return PeeledModel(*(jnp.asarray(x, float) for x in (frequent, rare, ratio, bound)))


def cases() -> dict[str, PeeledModel]:
    """Balanced, rare classes apart and merged, one frequent class."""
    settings = ((2, 2, 1.0, 1.0), (2, 2, 5.0, 1.0), (2, 2, 40.0, 1.0), (1, 3, 9.0, 0.5), (3, 1, 20.0, 2.0))
    return {f"K_A={a} K_B={b} R={R:g} E_W E_H={E:g}": _model(a, b, R, E) for a, b, R, E in settings}


def draw(rng: np.random.Generator) -> PeeledModel:
    """A random split of four classes, ratio and bound."""
    frequent = int(rng.integers(1, 4))
    return _model(frequent, 4 - frequent, float(np.exp(rng.uniform(0, 4))), float(np.exp(rng.uniform(-1.5, 1))))


def ratio_cases() -> dict[str, PeeledModel]:
    """0.05 % on either side of the ratio, given to six digits, and ten times it."""
    around, settings = np.array([0.9995, 1.0005, 10.0]), ((2, 2, 1.0, 3.380488), (1, 3, 1.0, 24.354658))
    return {f"K_A={a} K_B={b} E_W E_H={E:g}": _model(a, b, R * around, E) for a, b, E, R in settings}


THEOREMS = (
    # other: a minimum under constraints, which is no Problem
    statements.other("lpm", "[fang2021]; reduction derived", predict, measure, cases, draw, evidence=agreement(1e-6, loss=1e-9)),
    # other: a threshold between searches on both of its sides
    statements.other(
        "lpm-critical-ratio", "[fang2021] (existence); equation derived", predict_ratio, measure_ratio, ratio_cases,
        evidence=ratio_evidence,
        notes="R0 for (K_A, K_B, E_W E_H): (5, 5, 2) 2.8946, (5, 5, 5) 12.192, (5, 5, 10) 81.102, (3, 7, 5) 245.50.",
    ),
)  # fmt: skip
