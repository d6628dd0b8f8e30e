"""Trial of what a loss declares where it is made: what random points show to be false is refused with one of them.

Points have logits of all sizes from 1e-2 to 1e2, for two and for more classes, and targets of the declared kind, ties included.
A trial is no proof: what is false only where no draw falls stays undiscovered.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from ufm.losses.declarations import Points, Trial, needs_least, shown, trials

_CLASSES = (2, 5)
_OTHER_CLASSES = (3, 4, *range(6, 65), 100, 128, 200, 256, 365, 512, 1000)  # for functions of one number of classes
_SIZES = np.geomspace(1e-2, 1e2, 9)
_POINTS = 24  # of each size


class Failure(NamedTuple):
    """A declaration that fails, with a point (z, y) where it does."""

    trial: Trial
    at: int
    points: Points

    def __str__(self) -> str:
        trial, i = self.trial, self.at
        y = jax.tree.map(lambda y: y[i], self.points.y)
        return f"{trial.meaning}: at z = {shown(self.points.z[i])}, y = {shown(y)}, {trial.found(i)}"


@lru_cache(maxsize=256)
def check_declarations(loss: Any) -> None:
    """Try a loss that was just made.

    Raises:
      ValueError: for a function that is none of (z, y), or gives no scalar of the dtype of z; for a declaration that fails,
        with the point (z, y) where it does.
    """
    with ExitStack() as contexts:
        contexts.enter_context(jax.enable_x64(True))
        contexts.enter_context(jax.ensure_compile_time_eval())
        contexts.enter_context(jax.numpy_rank_promotion("allow"))
        for classes in _accepted(loss):
            for failure in failures(loss, classes):
                raise ValueError(f"{failure.trial.declaration} of the loss {loss.name!r} must be declared only where {failure}")


def failures(loss: Any, classes: int, draw: Callable | None = None) -> Iterator[Failure]:
    """The declarations of a loss that fail for one number of classes; needs x64.

    Args:
      loss: a Loss. classes: K. draw: numpy Generator -> a target, by default one of the declared kind.
    """
    declared = (loss.convex, loss.shift_invariant, loss.contrastive, loss.symmetric, loss.conjugate is not None)
    if any(declared) or needs_least(loss):
        points = _points(loss, classes, draw)
        with np.errstate(invalid="ignore", over="ignore"):
            for trial in trials(loss, points):
                ratio = trial.excess / trial.slack
                worst = int(np.argmax(np.where(np.isnan(ratio), 0, ratio)))
                if ratio[worst] > 1:
                    yield Failure(trial, worst, points)


def _accepted(loss: Any) -> tuple[int, ...]:
    """The numbers of classes to try: the usual ones that the function takes, or else one that it takes."""
    found: list[int] = []
    refusal: Exception | None = None
    for classes in (*_CLASSES, *_OTHER_CLASSES):
        if classes not in _CLASSES and found:
            break
        z = jax.ShapeDtypeStruct((classes,), np.float64)
        try:
            answer = jax.eval_shape(loss.value, z, (z, z) if loss.teacher else z)
        except Exception as error:  # whatever a function of the user's raises
            refusal = refusal or error
            continue
        if getattr(answer, "shape", None) != () or answer.dtype != z.dtype:
            given = jax.tree.map(lambda x: f"{x.dtype.name}{list(x.shape)}", answer)
            raise ValueError(f"value of the loss {loss.name!r} must be a scalar of the dtype of the logits, float64[], got {given}")
        found.append(classes)
    if not found:
        y = "y = (target, teacher)" if loss.teacher else "y"
        raise ValueError(
            f"value of the loss {loss.name!r} must be a function of logits z and {y}, all of shape (K,): it raised "
            f"{type(refusal).__name__}: {refusal}"
        ) from refusal
    return tuple(found)


def _points(loss: Any, classes: int, draw: Callable | None = None) -> Points:
    """Random points, the same in every process."""
    rng = np.random.default_rng(classes)
    size = np.repeat(_SIZES, _POINTS)[:, None]
    shape = (size.size, classes)
    z, direction, step = (rng.standard_normal(shape) for _ in range(3))
    y = [(draw or _target(loss, classes))(rng) for _ in range(size.size)]
    y = jax.tree.map(lambda *rows: np.stack(rows), *y)
    order = rng.permuted(np.tile(np.arange(classes), (size.size, 1)), axis=1)
    x, shift = size * z + rng.permutation(size) * step, rng.permutation(size)[:, 0] * step[:, 0]
    return Points(size * z, x, rng.permutation(size) * direction, shift, order, y)


def _target(loss: Any, classes: int) -> Callable:
    """Targets of the declared kind: one-hot, in the inside, on the edge, all alike; teachers with and without ties."""

    def target(rng: np.random.Generator) -> np.ndarray:
        hard = np.eye(classes)[rng.integers(classes)]
        soft = {
            "any": lambda: rng.choice([0.1, 1.0, 10.0]) * rng.standard_normal(classes),
            "unit": lambda: rng.choice([0.0, 1.0, rng.random(), rng.random()], classes),
            "distribution": lambda: rng.dirichlet(np.full(classes, rng.choice([0.3, 1.0, 1e6]))),
            "one-hot": lambda: hard,
        }[loss.targets]
        inside = rng.dirichlet(np.ones(classes)), np.full(classes, 1 / classes)
        return (hard, hard, soft(), soft(), *(inside if loss.targets != "one-hot" else (hard, hard)))[rng.integers(6)]

    def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        teacher = rng.choice([0.1, 1.0, 10.0]) * rng.standard_normal(classes)
        return target(rng), np.round(teacher) if rng.random() < 0.5 else teacher

    return pair if loss.teacher else target
