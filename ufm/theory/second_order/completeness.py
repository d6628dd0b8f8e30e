"""There are no other critical points: root searches on grad f from random starts (derived; cf. Zhou et al. 2022).

For c < 1 every critical point of balanced MSE has a W of rank r whose singular values are all sqrt(a), a = (1-c) s, an H of the
same rank whose class means have sqrt(rho), rho = (1-c)/s, nothing within classes, and the value f_r = (1 - (r/K) (1-c)^2)/2,
for some r from 0 to min(d, K). For c >= 1 the only one is zero. Proof: grad_H f = 0 gives H = (W^T W + lH)^-1 W^T Y, and both
together lH H H^T = n lW W^T W, so that a singular value x > 0 of W satisfies (x^2 + lH)^2 = lH/lW = s^2, which is x^2 = a.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ufm.proofs import Proof
from ufm.theory import statements
from ufm.theory.kit.hessian import derivatives_of_many
from ufm.theory.proving import critical_of, held
from ufm.theory.second_order.cases import PLAIN, SHAPES, CriticalPoint, minimiser
from ufm.theory.second_order.table import numbers
from ufm.theory.theorem import Check, below

_STARTS, _ITERATIONS = 32, 120
_FOUND = 1e-13  # |grad f| at a root


def predict(case: CriticalPoint) -> dict[str, jax.Array]:
    """Balanced MSE has no other critical points than those of rank r <= min(d, K) with all singular values sqrt(a) in W and
    sqrt(rho) in the class means; for c >= 1 only zero.

    sqrt(a), sqrt(rho), and f_r by rank.
    """
    K, (_, _, _, _, c, s, _) = case.problem.classes, numbers(case.problem)
    left, ranks = jnp.maximum(1 - c, 0), jnp.arange(min(case.problem.widths[0], K) + 1)
    return {"W": jnp.sqrt(left * s), "H": jnp.sqrt(left / s), "value": (1 - ranks / K * left**2) / 2}


def prove(case: CriticalPoint, predicted: dict[str, jax.Array]) -> Proof:
    """The one of the largest rank, which has no negative eigenvalue, and its value; not that there are no others."""
    return held(critical_of(case.problem, case.params, (None, None, 0)), predicted["value"][int(case.rank)])


def measure(case: CriticalPoint, key: jax.Array) -> dict[str, np.ndarray]:
    """Levenberg-Marquardt on the equations grad f = 0 from Gaussian starts of many sizes, by automatic Hessians.

    |grad f| and f where each search ends, singular values of W and of the class means, largest entry within classes.
    """
    unravel, (K, d) = jax.vmap(ravel_pytree(case.params)[1]), case.params.weights[0].shape

    def look(x: np.ndarray) -> list[np.ndarray]:
        """The S rows of x, with f, its gradient and its Hessian there."""
        return [x, *map(np.asarray, derivatives_of_many(case.problem, unravel(jnp.asarray(x))))]

    noise = np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=(_STARTS, d * (K + case.problem.columns)))
    looked, damping = look(noise * np.linspace(0.1, 1.5, _STARTS)[:, None]), np.full(_STARTS, 1e-2)
    for _ in range(_ITERATIONS):
        x, _, gradient, hessian = looked
        square = np.sum(gradient**2, axis=1)
        if np.max(square) < (_FOUND / 100) ** 2:
            break
        damped = np.maximum(damping * square, 1e-13)  # not less, since the Hessian at a root has zero modes
        system = hessian @ hessian + damped[:, None, None] * np.eye(x.shape[1])[None]
        trial = look(x - np.linalg.solve(system, hessian @ gradient[:, :, None])[:, :, 0])
        better = np.sum(trial[2] ** 2, axis=1) < square
        damping = np.where(better, damping / 3, damping * 4)
        looked = [np.where(better.reshape(-1, *[1] * (old.ndim - 1)), new, old) for old, new in zip(looked, trial, strict=True)]
    x, value, gradient, _ = looked
    (W,), H, _ = jax.tree.map(np.asarray, unravel(jnp.asarray(x)))
    H = H.reshape(_STARTS, d, K, -1)
    M = H.mean(axis=3)
    within = np.max(np.abs(H - M[..., None]), axis=(1, 2, 3))
    singular = {name: np.linalg.svd(A, compute_uv=False) for name, A in (("W", W), ("H", M))}
    return {"gradient": np.linalg.norm(gradient, axis=1), "value": value, "within": within} | singular


def evidence(case: CriticalPoint, predicted: dict[str, jax.Array], measured: dict[str, np.ndarray]) -> list[Check]:
    """Most searches find a root; several ranks are among them; each is one of the allowed points of its rank."""
    allowed, found = jax.tree.map(np.asarray, predicted), measured["gradient"] < _FOUND
    W, H, within, value = (measured[name][found] for name in ("W", "H", "within", "value"))
    alive = W > 1e-6
    ranks = alive.sum(axis=1)
    expected = min(3, allowed["value"].size) if np.any(np.diff(allowed["value"])) else 1
    deviations = {"W": W - alive * allowed["W"], "class means": H - alive * allowed["H"]}
    deviations |= {"within": within, "value": value - allowed["value"][ranks]}
    return [
        Check("stationarity", "share of searches without a root", float(1 - np.mean(found)), 0.2),
        below("agreement", "ranks missed", expected - np.unique(ranks).size, 0.5),
        *(Check("agreement", name, float(np.max(np.abs(x), initial=0)), 1e-9) for name, x in deviations.items()),
    ]


def cases() -> dict[str, CriticalPoint]:
    """Fewer dimensions than classes, and as many; either side of c = 1."""
    rng = np.random.default_rng(0)
    return {f"{name} c={c}": minimiser(SHAPES[name], c, 0.8, rng) for name in ("d<K", "d=K") for c in (0.15, 0.5, 0.7, 1.3)}


def draw(rng: np.random.Generator) -> CriticalPoint:
    """Random ridges on either side of c = 1."""
    c = rng.uniform(0.15, 0.7) if rng.random() < 0.7 else rng.uniform(1.2, 1.6)
    return minimiser(SHAPES["d=K"], c, np.exp(rng.uniform(-0.5, 0.5)), rng)


THEOREMS = (
    # other: roots that searches from random starts find, each held to the points of its rank
    statements.other(
        "mse-critical-points", "derived; cf. [zhou2022landscape]", predict, measure, cases, draw, PLAIN, evidence=evidence,
        prove=prove,
        notes="Proved; the searches from random starts could only have refuted it.",
    ),
)  # fmt: skip
