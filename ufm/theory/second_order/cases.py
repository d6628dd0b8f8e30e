"""Critical points to look at: every rank of W H, at random frames, for a few sizes that every entry shares.

    W = sqrt(a) U R^T,    H = sqrt(rho) R U^T (x) 1_n^T,    a = (1 - c) s,  rho = (1 - c)/s,  R^T R = U^T U = I_r

in the numbers lW = l2_W/(n w), lH = l2_H/w, c = sqrt(lH lW), s = sqrt(lH/lW) of a data term w/2 |W H - Y|^2, w the weight of a
sample over N.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_positive, refuse
from ufm.losses import MSE, is_loss
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.theory.theorem import Assumption

Shape = tuple[int, int, int]  # (K, n, d): fewer dimensions than classes, as many, more, and one sample a class
SHAPES: dict[str, Shape] = {"d<K": (3, 2, 2), "d=K": (3, 2, 3), "d>K": (3, 2, 4), "n=1": (3, 1, 4)}


class CriticalPoint(NamedTuple):
    """A problem, a critical point of it, and the rank r of W there, a whole number."""

    problem: Problem
    params: Params
    rank: jax.Array


def critical_point(
    shape: Shape, rank: int, c: float, s: float, rng: np.random.Generator, *, weight: float = 1.0, proximity: float | None = None
) -> CriticalPoint:
    """The critical point of rank r, from 0 to min(d, K) and 0 for c >= 1, at random frames R and U.

    Args:
      shape, rank, c, s, rng: shape (K, n, d), r, both numbers above 0, and what draws the frames.
      weight: of every sample, so that w = weight/N. proximity: beta/w of a proximity term around this very point.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    K, n, d = shape
    check_positive("c", c)
    check_positive("s", s)
    if not 0 <= rank <= (0 if c >= 1 else min(d, K)):
        refuse("rank", rank, f"from 0 to min(d, K) = {min(d, K)}, and 0 where c >= 1")
    w = weight / (K * n)
    R, U = (np.linalg.qr(rng.normal(size=(size, rank)))[0] for size in (d, K))
    left = max(1 - c, 0)
    H = jnp.asarray(np.repeat(np.sqrt(left / s) * R @ U.T, n, axis=1))
    extra: dict[str, Any] = {} if proximity is None else {"beta": w * proximity, "H0": H}
    problem = Problem.balanced(K, n, d, l2_W=n * w * c / s, l2_H=w * c * s, weight=weight, **extra)
    return CriticalPoint(problem, Params((jnp.asarray(np.sqrt(left * s) * U @ R.T),), H, None), jnp.asarray(rank))


def minimiser(shape: Shape, c: float, s: float, rng: np.random.Generator, **options: float) -> CriticalPoint:
    """The critical point of the largest rank, which is global; arguments as for `critical_point`."""
    return critical_point(shape, 0 if c >= 1 else min(shape[0], shape[2]), c, s, rng, **options)


def every_rank(c: float, s: float, rng: np.random.Generator) -> dict[str, CriticalPoint]:
    """The critical points of all ranks of every shape."""
    return {
        f"{name} r={r}": critical_point((K, n, d), r, c, s, rng) for name, (K, n, d) in SHAPES.items() for r in range(min(d, K) + 1)
    }


def random_point(rng: np.random.Generator) -> CriticalPoint:
    """A random shape of `SHAPES`, rank, c in (0.05, 0.95) and s."""
    shape = list(SHAPES.values())[rng.integers(len(SHAPES))]
    rank = int(rng.integers(min(shape[0], shape[2]) + 1))
    return critical_point(shape, rank, rng.uniform(0.05, 0.95), np.exp(rng.uniform(-1, 1)), rng)


def _is_plain_balanced(case: CriticalPoint) -> bool:
    p = case.problem
    plain = is_loss(p.loss, MSE) and p.bias == "none" and len(p.widths) == 1 and p.features == "free" and p.classifier is None
    if not plain or len(set(p.groups)) != 1 or p.columns % p.classes or bool(p.scale != 1):
        return False
    one_hot = np.repeat(np.eye(p.classes), p.columns // p.classes, axis=1)
    equal = (np.ptp(np.asarray(x)) == 0 for x in (p.weight, p.multiplicity))
    return np.array_equal(p.targets, one_hot) and all(equal) and bool(p.multiplicity[0] == 1)


PLAIN = (Assumption("one layer of MSE without bias, equal one-hot classes, every sample its own column", _is_plain_balanced),)
