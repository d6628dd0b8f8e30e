"""The squared error is three losses: variability, geometry of the means, and distance from the central path (Han et al. 2022).

Balanced classes, bias as the last entry of h~ = [h; 1] and W~ = [W, b], one ridge l on both, T = H~ H~^T / N, class means M~:

    W~_LS = M~^T (T + l I)^-1 / K          f = L_NC1 + L_NC2/3 + L_LSperp + l2_H/2 |H|^2
    L_NC1 = Tr[W~_LS (Sigma_W~ + l I) W~_LS^T] / 2
    L_NC2/3 = |W~_LS M~ - I|^2 / (2K)
    L_LSperp = Tr[(W~ - W~_LS) (T + l I) (W~ - W~_LS)^T] / 2 >= 0, zero on the central path alone
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem import Problem
from ufm.problem.params import Params, logits, objective
from ufm.proofs import Book, Proof, Slopes, given_params, least_squares, number, objective_of
from ufm.theory import statements
from ufm.theory.assumptions import bias_of
from ufm.theory.central_path.cases import is_mse
from ufm.theory.statements.identities import Point
from ufm.theory.theorem import Assumption


def predict(case: Point) -> dict[str, jax.Array]:
    """Squared error is a sum of three losses that are not negative but for the ridge on features: within-class variability,
    geometry of the class means, and distance of the classifier from least squares.
    """
    problem, ((W,), H, _), K, ridge = case.problem, case.params, case.problem.classes, case.problem.l2_b
    H1 = jnp.concatenate([H, jnp.ones_like(H[:1])])
    M = problem.group_sum(H1) / problem.groups[0]
    D = H1 - M[:, problem.labels]
    total = H1 @ H1.T / problem.samples + ridge * jnp.eye(len(H1))
    best = jnp.linalg.solve(total, M).T / K
    excess = jnp.concatenate([W, bias_of(case.params)[:, None]], axis=1) - best
    losses = {
        "variability": jnp.sum((best @ D) ** 2) / (2 * problem.samples) + 0.5 * ridge * jnp.sum(best**2),
        "geometry": jnp.sum((best @ M - jnp.eye(K)) ** 2) / (2 * K),
        "off path": 0.5 * jnp.sum(excess * (excess @ total)),
    }
    return losses | {"value": sum(losses.values()) + 0.5 * problem.l2_H * jnp.sum(H**2), "classifier": best}


@jax.jit
def direct(case: Point) -> dict[str, jax.Array]:
    """f at the point and at its minimiser over (W, b), found by a Newton step; logits split into class means and the rest."""
    (problem, point), K = case, case.problem.classes

    def at(x: jax.Array) -> Params:
        table = x.reshape(K, -1)
        return Params((table[:, :-1],), point.H, table[:, -1])

    x = jnp.ravel(jnp.concatenate([point.weights[0], bias_of(point)[:, None]], axis=1))
    gradient = jax.grad(lambda v: objective(problem, at(v)))
    x = x - jnp.linalg.solve(jax.jacfwd(gradient)(x), gradient(x))
    value, z = objective(problem, point), logits(problem, at(x))
    means = problem.group_sum(z) / problem.groups[0]
    return {
        "variability": jnp.sum((z - means[:, problem.labels]) ** 2) / (2 * problem.samples) + 0.5 * problem.l2_b * jnp.sum(x**2),
        "geometry": jnp.sum((means - problem.targets[:, :: problem.groups[0]]) ** 2) / (2 * K),
        "off path": value - objective(problem, at(x)),
        "value": value,
        "classifier": x.reshape(K, -1),
    }


def prove(case: Point, predicted: dict[str, jax.Array]) -> Proof:
    """f at the point and at the classifier of least squares, and the parts of the latter, in exact numbers, within 1e-10."""
    problem, labels, n = case.problem, np.asarray(case.problem.labels), case.problem.groups[0]
    book = Book("f, what it is above f at the least squares of the features, and two parts of the latter are what is served")
    point = given_params(book, case.params)
    W, b = least_squares(book, problem, point.H)
    assert b is not None  # the problems of the entry have one
    value, at_best = (objective_of(book, problem, x) for x in (point, Slopes((W,), point.H, b)))
    z = book.kept("z", W @ point.H + b[:, None])
    means = book.kept("means", z @ np.eye(problem.classes, dtype=int)[labels] * (number(1) / n))
    within, off = z - means[:, labels], means - np.eye(problem.classes, dtype=int)
    ridge = number(float(problem.l2_b)) * ((W * W).sum() + (b * b).sum()) / 2
    book.near((within * within).sum() / (2 * int(problem.samples)) + ridge, predicted["variability"])
    book.near((off * off).sum() / (2 * problem.classes), predicted["geometry"])
    book.near(value - at_best, predicted["off path"])
    book.near(value, predicted["value"])
    book.near(np.concatenate([W, b[:, None]], axis=1), predicted["classifier"])
    return book.proof()


def random_point(ridge: float, noise: float, rng: np.random.Generator) -> Point:
    """A problem with the ridge on W and b, and random parameters whose features have that much noise."""
    K, n, d = 4, 3, 3
    problem = Problem.balanced(K, n, d, bias="ridge", l2_W=ridge, l2_b=ridge, l2_H=0.1)
    H = np.repeat(rng.normal(size=(d, K)), n, axis=1) + noise * rng.normal(size=(d, K * n)) + rng.normal(size=(d, 1))
    return Point(problem, Params((jnp.asarray(rng.normal(size=(K, d))),), jnp.asarray(H), jnp.asarray(rng.normal(size=K))))


def cases() -> dict[str, Point]:
    """Weak to strong ridges, collapsed and noisy features."""
    rng = np.random.default_rng(0)
    return {f"ridge={r} noise={s}": random_point(r, s, rng) for r in (1e-3, 0.1, 3.0) for s in (0.0, 1.0)}


_SQUARED = Assumption("equal one-hot classes, one layer of squared error", lambda c: is_mse(c.problem, "ridge"))
_ONE_RIDGE = Assumption("the same ridge on W and b", lambda c: bool(c.problem.l2_W[0] == c.problem.l2_b))
THEOREMS = (
    statements.identity(
        "mse-loss-decomposition", "[han2022]",
        predict, direct, cases, lambda rng: random_point(np.exp(rng.uniform(-7, 1)), rng.uniform(0, 2), rng),
        (_SQUARED, _ONE_RIDGE), tolerance=1e-10, prove=prove,
    ),
)  # fmt: skip
