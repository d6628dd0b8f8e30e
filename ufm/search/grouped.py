"""Cross-entropy with many classes of few sizes: the exact reduction to one row and column a size, and back.

Averaging over permutations of classes of one size, a minimiser is given by the mean logit M_hg of the classes of size h on a column
of size g, and by x_g, the own logit over the others of the size. With K_g classes of size n_g and c the geometric mean ridge,

    f* = min sum_g (K_g n_g/N) CE_g + c sum_g (K_g - 1) sqrt(n_g) x_g + c |Y|_*,    Y_hg = (K_h K_g n_g)^(1/2) M_hg

with |Y|_* as the least (|W|^2 + |H|^2)/2 of Y = W H, and x_g = v_g^2: a smooth problem of 2 G^2 + G numbers in place of 2 K^2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import refuse
from ufm.base.matrices import helmert
from ufm.losses import CE, is_loss
from ufm.problem import Problem, classes_of, grouped, is_one_hot
from ufm.problem.params import Params
from ufm.search.minimum import minimise


class Sizes(NamedTuple):
    """The G different class sizes, descending: sizes, members (G,); group: (K,) which of them each class has."""

    sizes: np.ndarray
    members: np.ndarray
    group: np.ndarray


class Grouped(NamedTuple):
    """A minimum found by the reduction: params of the full problem, the status of its search and the steps it took."""

    params: Params
    status: jax.Array
    steps: jax.Array


def class_sizes(problem: Problem) -> Sizes:
    """Which classes share a size; the numbers of the problem must be known."""
    design = grouped(classes_of(problem.design))
    if design is None:
        refuse("problem", problem, "one of known class sizes")
    group = np.asarray(design.groups)
    return Sizes(np.asarray(design.sizes), np.bincount(group), group)


def solve_grouped(problem: Problem, key: jax.Array, *, tolerance: float = 1e-10, max_steps: int = 5000) -> Grouped:
    """Minimise imbalanced cross-entropy on one free layer without bias from a random start of the reduced problem.

    The reduced problem has no local minima but global ones, as it is convex in M and x; `ufm.certify` bounds what is found.

    Args:
      problem: one column a class, d >= K. key: of the start. tolerance, max_steps: of `ufm.minimise`.

    Returns:
      Grouped.

    Raises:
      ValueError: for a problem of another kind.
    """
    plain = is_loss(problem.loss, CE) and problem.bias == "none" and problem.features == "free" and problem.classifier is None
    if not plain or problem.H0 is not None or not is_one_hot(problem.design) or len(problem.widths) != 1:
        refuse("problem", problem, "imbalanced cross-entropy on one layer with free features and no bias")
    if set(problem.groups) != {1} or problem.widths[0] < problem.classes:
        refuse("problem", problem, "one column for each class, and a width of at least K")
    sizes = class_sizes(problem)
    G, c = len(sizes.sizes), float(problem.c / problem.scale)
    # singular values of order sqrt(mean n), as those of a minimiser
    numbers = jax.random.normal(key, (2, G, G), problem.dtype) * float(np.mean(np.asarray(problem.counts)) ** 0.25 / G**0.5)
    weights = jnp.asarray(sizes.members * sizes.sizes / sizes.sizes.dot(sizes.members), problem.dtype)
    known = (jnp.asarray(sizes.sizes, problem.dtype), jnp.asarray(sizes.members, problem.dtype), weights)
    found = _minimise(numbers, jnp.asarray(c, problem.dtype), known, tolerance, max_steps)
    W, H, v = found.point
    return Grouped(_expand(problem, sizes, *map(np.asarray, (W, H, v**2))), found.status, found.steps)


@jax.jit
def _minimise(numbers: jax.Array, c: jax.Array, known: tuple, tolerance: jax.Array, max_steps: jax.Array):
    sizes, members, weights = known
    several = members > 1
    own = jnp.eye(sizes.shape[0], dtype=bool)
    scale = jnp.sqrt(members)[:, None] * jnp.sqrt(members * sizes)[None, :]

    def value(point: tuple) -> jax.Array:
        W, H, v = point
        x = jnp.where(several, v, 0) ** 2
        M = W @ H / scale
        mean = jnp.diag(M)
        # margins over the own class: other sizes with their multiplicities, then the rest of the own size
        others = jnp.where(own, -jnp.inf, M + jnp.log(members)[:, None]) - (mean + x * (1 - 1 / members))[None, :]
        rest = jnp.where(several, jnp.log(jnp.where(several, members - 1, 1)), -jnp.inf) - x
        loss = jnp.logaddexp(0, jax.nn.logsumexp(jnp.concatenate([others, rest[None, :]]), axis=0))
        price = jnp.sum((members - 1) * jnp.sqrt(sizes) * x) + 0.5 * (jnp.sum(W**2) + jnp.sum(H**2))
        return jnp.sum(weights * loss) + c * price

    start = (numbers[0], numbers[1], jnp.ones_like(sizes))
    return minimise(value, start, tolerance=tolerance, max_steps=max_steps)


def _expand(problem: Problem, sizes: Sizes, W: np.ndarray, H: np.ndarray, x: np.ndarray) -> Params:
    """The factors of all K classes: G coordinates for the means of the sizes, K_g - 1 for the classes of each."""
    K, G = problem.classes, len(sizes.sizes)
    share = 1 / np.sqrt(sizes.members)[sizes.group]
    rows, columns = np.zeros((K, problem.widths[0])), np.zeros((problem.widths[0], K))
    rows[:, :G], columns[:G] = W[sizes.group] * share[:, None], H[:, sizes.group] * share[None, :]
    first = G
    for g in np.flatnonzero(sizes.members > 1):
        classes, last = np.flatnonzero(sizes.group == g), first + sizes.members[g] - 1
        block = np.sqrt(np.sqrt(sizes.sizes[g]) * x[g]) * np.asarray(helmert(int(sizes.members[g]), problem.dtype))
        rows[classes, first:last], columns[first:last, classes] = block, block.T
        first = last
    ratio = float(np.asarray(problem.l2_H / problem.l2_W[0])) ** 0.25
    unit = float(problem.scale) ** 0.5
    return Params((jnp.asarray(rows * ratio / unit, problem.dtype),), jnp.asarray(columns / ratio / unit, problem.dtype), None)
