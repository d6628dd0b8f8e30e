"""The gradient of the objective by the chain rule, in expressions: what flows and steps of descent are made of."""

from math import isqrt
from typing import Any, NamedTuple

import numpy as np

from ufm.base.checks import refuse
from ufm.losses import CE, MSE, is_loss
from ufm.problem import Problem
from ufm.problem.meant import exact
from ufm.problem.params import Params
from ufm.proofs.book import Book
from ufm.proofs.expressions import number, sqrt


class Slopes(NamedTuple):
    """Derivatives in (W_1, ..., W_M), in H, and in b, None where there is no bias."""

    weights: tuple[np.ndarray, ...]
    H: np.ndarray
    b: np.ndarray | None


def given_params(book: Book, params: Params) -> Slopes:
    """A point in names, its floats to their last bit."""
    weights = tuple(book.given(f"W{i + 1}", W) for i, W in enumerate(params.weights))
    return Slopes(weights, book.given("H", params.H), None if params.b is None else book.given("b", params.b))


def roots(squares: Any) -> np.ndarray:
    """Square roots of exact numbers, rational where they are squares of rationals."""
    return np.array([_root(square) for square in np.asarray(squares, object)], object)


def logits_of(book: Book, problem: Problem, point: Slopes) -> np.ndarray:
    """(K, C) logits scale W_M ... W_1 h / sqrt(m) + a b, in names."""
    P = point.H / roots(exact(problem, "multiplicity"))[None, :] * number(exact(problem, "scale")[()])
    for i, W in enumerate(point.weights):
        P = book.kept(f"layer{i + 1}", W @ P)
    return P if point.b is None else book.kept("logits", P + np.outer(point.b, exact(problem, "intercept")))


def slopes(book: Book, problem: Problem, point: Slopes, *, penalised: bool = True) -> Slopes:
    """The gradient of the objective at a point, or of its data term alone; squared error or cross-entropy with trained layers.

    Raises:
      ValueError: for other losses, or a fixed classifier.
    """
    if not (is_loss(problem.loss, CE) or is_loss(problem.loss, MSE)) or problem.classifier is not None:
        refuse("problem", problem.loss, "squared error or cross-entropy, with a trained classifier")
    z = logits_of(book, problem, point)
    m, Y = exact(problem, "multiplicity"), exact(problem, "targets")
    answers = book.softmax("p", z) if is_loss(problem.loss, CE) else z
    column = exact(problem, "weight") * m / exact(problem, "samples")[()]
    G = book.kept("G", (answers - _numbers(Y)) * _numbers(column)[None, :])
    inner = (1 / roots(m)) * number(exact(problem, "scale")[()])
    layers = [point.H * inner[None, :]]
    for i, W in enumerate(point.weights[:-1]):
        layers.append(book.kept(f"below{i + 1}", W @ layers[-1]))
    back, weights = G, []
    for i in reversed(range(len(point.weights))):
        weights.append(back @ layers[i].T)
        back = book.kept(f"back{i}", point.weights[i].T @ back)
    b = None if point.b is None else G @ _numbers(exact(problem, "intercept"))
    found = Slopes(tuple(reversed(weights)), back * inner[None, :], b)
    whole = _with_penalty(problem, point, found) if penalised else found
    kept = tuple(book.kept(f"gradient_W{i + 1}", g) for i, g in enumerate(whole.weights))
    return Slopes(kept, book.kept("gradient_H", whole.H), None if whole.b is None else book.kept("gradient_b", whole.b))


def objective_of(book: Book, problem: Problem, point: Slopes) -> Any:
    """f at a point, in names; squared error with trained layers."""
    if not is_loss(problem.loss, MSE) or problem.classifier is not None:
        refuse("problem", problem.loss, "squared error with a trained classifier")
    column = exact(problem, "weight") * exact(problem, "multiplicity") / exact(problem, "samples")[()]
    miss = book.kept("miss", logits_of(book, problem, point) - _numbers(exact(problem, "targets")))
    total = (miss * miss).sum(axis=0) @ _numbers(column)
    arrays = [(point.H, exact(problem, "l2_H")[()]), *zip(point.weights, exact(problem, "l2_W"), strict=True)]
    arrays += [] if point.b is None else [(point.b, exact(problem, "l2_b")[()])]
    arrays += [] if problem.H0 is None else [(point.H - _numbers(exact(problem, "H0")), exact(problem, "beta")[()])]
    return book.kept("f", (total + sum(number(l2) * (x * x).sum() for x, l2 in arrays)) / 2)


def least_squares(book: Book, problem: Problem, H: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """W and b of least squares with ridges at features H, by the normal equations, in names; one layer of unit scale, m = 1."""
    N = number(exact(problem, "samples")[()])
    rows = H if problem.bias == "none" else np.concatenate([H, [[number(1)] * H.shape[1]]])
    ridges = [exact(problem, "l2_W")[0]] * len(H) + ([] if problem.bias == "none" else [exact(problem, "l2_b")[()]])
    A = book.kept("normal", rows @ rows.T * (1 / N) + np.diag(_numbers(ridges)))
    best = book.kept("best", book.solve("least", A, rows @ _numbers(exact(problem, "targets")).T * (1 / N)).T)
    return (best, None) if problem.bias == "none" else (best[:, :-1], best[:, -1])


def negative(point: Slopes) -> Slopes:
    """All entries with the other sign: the velocity of gradient flow, of a gradient."""
    return Slopes(tuple(-W for W in point.weights), -point.H, None if point.b is None else -point.b)


def product_rule(book: Book, point: Slopes, velocity: Slopes) -> np.ndarray:
    """The derivative of W_M ... W_1 H along a velocity of the factors, (K, C)."""
    product, rate = point.H, book.kept("Hdot", velocity.H)
    for i, (W, V) in enumerate(zip(point.weights, velocity.weights, strict=True)):
        product, rate = book.kept(f"product{i + 1}", W @ product), book.kept(f"rate{i + 1}", V @ product + W @ rate)
    return rate


def _with_penalty(problem: Problem, point: Slopes, found: Slopes) -> Slopes:
    weights = tuple(g + W * number(l2) for g, l2, W in zip(found.weights, exact(problem, "l2_W"), point.weights, strict=True))
    H = found.H + point.H * number(exact(problem, "l2_H")[()])
    if problem.H0 is not None:
        H = H + (point.H - _numbers(exact(problem, "H0"))) * number(exact(problem, "beta")[()])
    b = None if found.b is None else found.b + point.b * number(exact(problem, "l2_b")[()])
    return Slopes(weights, H, b)


def _numbers(values: Any) -> np.ndarray:
    array = np.asarray(values, object)
    return np.array([number(x) for x in array.ravel()], object).reshape(array.shape)


def _root(square: Any) -> Any:
    p, q = square.numerator, square.denominator
    whole = isqrt(p) ** 2 == p and isqrt(q) ** 2 == q
    return number(isqrt(p)) / isqrt(q) if whole else sqrt(number(square))
