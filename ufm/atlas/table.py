"""The atlas of losses: what remains at the minimum of the balanced one-layer model, and where it vanishes, for every loss.

    ufm atlas                      the table at K = 4 classes and c = sqrt(l2_W l2_H n) = 0.01
    ufm atlas --loss "focal(0.5)"  any loss of `ufm.losses` with numbers for parameters
    ufm atlas --measure            with descents from random starts next to the symmetric reduction

All numbers are those of the symmetric reduction (`ufm.search.symmetric`), which is exact for losses that are convex or contrastive
and an upper bound for others. Losses of distillation have a symmetric teacher of margin 4.
"""

import inspect
import math
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm import losses
from ufm.atlas.report import AtlasReport, Row
from ufm.base.checks import check_count, check_positive, check_seed, refuse
from ufm.losses import Loss
from ufm.losses.precision import float32_margin
from ufm.problem import Problem
from ufm.search.solution import solve
from ufm.search.symmetric import GEOMETRIES, survey
from ufm.theory.cross_entropy import sphere
from ufm.theory.other_losses import measured
from ufm.theory.theorem import key_of

COSINE = "cosine softmax"
_PRICES = tuple(np.geomspace(1e-4, 1, 9))
_AROUND = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01, 1.05, 1.1, 1.2)  # of c*
_TEACHER = 4.0
_REACHED = 1e-7


def zoo() -> tuple[Loss, ...]:
    """The losses of the table: the basic four, then the zoo at its usual parameters, then distillation."""
    basic = tuple(losses.get_loss(name) for name in losses.LOSSES)
    probability = (losses.focal(2.0), losses.poly1(2.0), losses.comp_sum(0.0), losses.gce(0.7), losses.mae())
    others = (losses.ldr_kl(1.0, 0.5), losses.z_loss(1.0, 0.0, 1e-2), losses.z_loss(1.0, 0.0, 0.0))
    shifts = (losses.log_spherical(0.05), losses.log_taylor(), losses.stablemax(), losses.ce_logsumexp(1e-2))
    return basic + probability + others + shifts + (losses.ce_binary_kl(),)


def atlas(
    classes: int = 4,
    c: float = 0.01,
    chosen: Iterable[Loss | str] | None = None,
    *,
    measure: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AtlasReport:
    """The table of losses, in float64 whatever the caller's default.

    Args:
      classes: K, at least 2. c: sqrt(l2_W l2_H n) of the geometry shown, above 0.
      chosen: losses, or names as in the table; by default `zoo()` and cosine softmax.
      measure: also descend from random starts, and hold the lowest value against the reduction. seed: of the starts.
      progress: called as progress(losses done, losses in all).

    Returns:
      AtlasReport.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_count("classes", classes, 2)
    check_positive("c", c)
    check_seed("seed", seed)
    everything = [*zoo(), COSINE] if chosen is None else [_named(x) for x in chosen]
    rows: dict[int, Row] = {}

    def fill(job: tuple[int, Loss | str]) -> None:
        index, loss = job
        with jax.enable_x64(True):
            rows[index] = _cosine_row(classes, measure, seed) if isinstance(loss, str) else _row(loss, classes, c, measure, seed)
        if progress is not None:
            progress(len(rows), len(everything))

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as workers:
        list(workers.map(fill, enumerate(everything)))
    return AtlasReport(classes, c, tuple(rows[i] for i in sorted(rows)))


def _target(loss: Loss, classes: int, dtype: Any) -> Any:
    """One-hot, with the logits of a symmetric teacher where the loss needs them."""
    own = jnp.arange(classes) == 0
    return (own.astype(dtype), (_TEACHER * (own - 1 / classes)).astype(dtype)) if loss.teacher else own.astype(dtype)


def _row(loss: Loss, classes: int, c: float, measure: bool, seed: int) -> Row:
    target = _target(loss, classes, jnp.result_type(float))
    found, vanishing = jax.tree.map(np.asarray, survey(loss, classes, jnp.asarray((c, *_PRICES)), target))
    geometries = [GEOMETRIES[int(i)] for i in found.geometry]
    course = tuple(name for i, name in enumerate(geometries[1:]) if i == 0 or geometries[i] != name)
    vanishes, first = bool(np.isfinite(vanishing.c)), bool(vanishing.a != 0 or vanishing.b != 0)
    minima = found.count.max()
    if vanishes:
        minima = max(minima, survey(loss, classes, vanishing.c * jnp.asarray(_AROUND), target)[0].count.max())
    none = geometries[0] == GEOMETRIES[0]
    value = float(found.infimum[0] if none else found.value[0, 0])
    runs = _measured(loss, classes, c, seed) if measure and not none else None
    reached = None if runs is None else float(np.mean(runs <= runs.min() + _REACHED * max(abs(value), 1e-2)))
    return Row(
        loss.name, loss.convex, loss.shift_invariant, loss.contrastive, geometries[0], value,
        a=math.nan if none else float(found.a[0, 0]),
        b=math.nan if none else float(found.b[0, 0]),
        course=course,
        minima=int(minima),
        threshold=float(vanishing.c) if vanishes else None,
        order=("first" if first else "second") if vanishes else None,
        jump_a=float(vanishing.a) if vanishes else None,
        jump_b=float(vanishing.b) if vanishes else None,
        float32=math.nan if none else float32_margin(loss, classes, lambda dtype: _target(loss, classes, dtype)),
        measured=None if runs is None else float(runs.min()),
        reached=reached,
        agrees=None if runs is None else bool(abs(runs.min() - value) <= _REACHED * max(abs(value), 1e-2)),
    )  # fmt: skip


def _measured(loss: Loss, classes: int, c: float, seed: int) -> np.ndarray:
    """The values at which random descents end."""
    problem = measured.problem_at(loss, c, classes, teacher=_TEACHER if loss.teacher else None)
    return measured.measure(problem, key_of(seed, "atlas", loss.name)).values


def _cosine_row(classes: int, measure: bool, seed: int) -> Row:
    """Cross-entropy of cosines at temperature 1, with no ridge: nothing vanishes."""
    problem: Problem = sphere.sphere_problem(classes, 2, classes + 1, 1.0)
    p = sphere.predict(problem)
    margin = float(p.logits[0, 0] - p.logits[1, 0])
    values = np.asarray(solve(problem, key_of(seed, COSINE), columns="raw", starts=4).start_values) if measure else None
    value, margins = float(p.value), {"threshold": None, "order": None, "jump_a": None, "jump_b": None}
    return Row(
        loss=COSINE, convex=False, shift_invariant=False, contrastive=False, geometry="simplex", value=value, a=margin, b=0.0,
        course=("simplex",), minima=1, **margins, float32=math.inf,
        measured=None if values is None else float(values.min()),
        reached=None if values is None else float(np.mean(values <= values.min() + _REACHED)),
        agrees=None if values is None else bool(abs(values.min() - value) <= _REACHED * value),
    )  # fmt: skip


def _named(loss: Loss | str) -> Loss | str:
    """The loss behind a name of the table, or behind a call such as "focal(0.5)" written out."""
    if isinstance(loss, Loss) or loss == COSINE:
        return loss
    known = {entry.name: entry for entry in zoo()}
    if loss in known:
        return known[loss]
    match = re.fullmatch(r"(\w+)(?:\((.*)\))?", str(loss).strip())
    name, written = (match[1], match[2] or "") if match else ("", "")
    maker: Any = getattr(losses, name, None)
    arguments = [part for part in written.split(",") if part.strip()]
    makes_loss = inspect.isfunction(maker) and inspect.signature(maker).return_annotation in (Loss, "Loss")
    try:
        numbers = [float(part) for part in arguments]
        if makes_loss and name != "get_loss":
            return maker(*numbers)
    except TypeError:
        refuse("loss", loss, f"called with the parameters of {name}{inspect.signature(maker)}")
    except ValueError as error:
        if "must be" in str(error):
            raise
    names = ", ".join(map(repr, (*known, COSINE)))
    return refuse("loss", loss, f"a function of ufm.losses with numbers for parameters, or one of {names}")
