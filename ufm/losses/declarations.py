"""What a loss can declare, as inequalities at random points: how far each one fails, and how far rounding alone would let it.

    convex            value((z + x)/2) <= (value(z) + value(x))/2,  <grad(x) - grad(z), x - z> >= 0
    shift_invariant   value(z + s 1, y) = value(z, y)
    symmetric         value(P z, P y) = value(z, y)
    contrastive       value(z, e_1) >= value(a (e_1 - 1/K), e_1),  a = max(0, z_1 - mean(z)) K/(K-1)
    conjugate         value(x, y) + conjugate(theta, y) >= <theta, x>, with equality at theta = grad(x)
    least             value(z, y) >= least
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.programs import QUICK

_RELATIVE = 1e-9  # of the sizes before cancellation
_ROUNDING = 1e-13  # of logits and slopes, and so of values where they change fast
_FAR = 1e3


class Points(NamedTuple):
    """(N, K) logits z, others x, directions; (N,) shifts s; (N, K) permutations P; targets (N, K), or pairs (target, teacher)."""

    z: Any
    x: Any
    direction: Any
    shift: Any
    order: Any
    y: Any


class Trial(NamedTuple):
    """One inequality at N points: by how much it fails (NaN: nothing known), what rounding explains, and what was found."""

    declaration: str
    meaning: str
    excess: np.ndarray
    slack: np.ndarray
    found: Callable[[int], str]


def trials(loss: Any, points: Points) -> list[Trial]:
    """All that a loss declares, at every point."""
    program = jax.jit(_evaluate, static_argnums=0, compiler_options=QUICK)
    found = {name: np.asarray(x) for name, x in program(loss, points).items()}
    v, slope = found["value"], np.linalg.norm(found["slope of value"], axis=1)
    usual = np.median(slope[np.isfinite(slope)]) if np.any(np.isfinite(slope)) else 0.0
    found["blur"] = _ROUNDING * (slope + usual)
    found["moved"] = found["blur"] * (1 + np.linalg.norm(points.z, axis=1) + np.linalg.norm(points.x, axis=1))
    made = []
    if loss.convex:
        made += _convexity(points, found)
    if loss.shift_invariant:
        other = found["shifted"]
        meaning = "value(z + s, y) = value(z, y)"
        words = lambda i: f"it is {v[i]:.10g}, and {other[i]:.10g} at s = {points.shift[i]:.4g}"  # noqa: E731
        made.append(Trial("shift_invariant", meaning, np.abs(other - v), _slack(found["moved"], v, other), words))
    if loss.symmetric:
        made.append(_symmetry(points, found))
    if loss.contrastive:
        made.append(_contrast(found))
    if loss.conjugate is not None:
        made += _conjugacy(points, found)
    if needs_least(loss):
        meaning = f"no value is below it (least={loss.least:g}) for targets that are distributions"
        excess = np.where(_are_distributions(points.y), loss.least - v, np.nan)
        made.append(Trial("least", meaning, excess, _slack(found["moved"], v), lambda i: f"the value is {v[i]:.8g}"))
    return made


def needs_least(loss: Any) -> bool:
    """Whether `least` says something: certificates read it where the conjugate of a convex loss is unknown."""
    return loss.least != 0 or (loss.convex and loss.conjugate is None)


def _are_distributions(y: Any) -> np.ndarray:
    target = y[0] if isinstance(y, tuple) else y
    return np.all(target >= 0, axis=1) & (np.abs(np.sum(target, axis=1) - 1) < 1e-12)


def shown(x: Any) -> str:
    """An array, or a pair of them, on one line."""
    if isinstance(x, tuple):
        return "(" + ", ".join(map(shown, x)) + ")"
    return np.array2string(np.asarray(x), precision=6, separator=", ", max_line_width=10**6, threshold=12)


def _slack(blur: np.ndarray, *sizes: np.ndarray) -> np.ndarray:
    return blur + _RELATIVE * sum(np.abs(x) for x in sizes)


def _convexity(points: Points, found: dict) -> list[Trial]:
    z, x, v, w, middle = points.z, points.x, found["value"], found["value at x"], found["middle"]
    step = np.linalg.norm(x - z, axis=1)
    bend = np.sum((found["slope of value at x"] - found["slope of value"]) * (x - z), axis=1) / step
    slopes = [np.linalg.norm(found[name], axis=1) for name in ("slope of value", "slope of value at x")]
    meaning = "it is convex in z"
    return [
        Trial(
            "convex", meaning, middle - (v + w) / 2, _slack(found["moved"], v, w, middle),
            lambda i: f"it is {v[i]:.8g}, at x = {shown(x[i])} {w[i]:.8g}, and half way {middle[i]:.8g}",
        ),
        Trial(
            "convex", meaning, np.where(np.isfinite(v) & np.isfinite(w), -bend, np.nan), _slack(found["blur"], *slopes),
            lambda i: f"its slope towards x = {shown(x[i])} is lower there by {-bend[i]:.4g}",
        ),
    ]  # fmt: skip


def _symmetry(points: Points, found: dict) -> Trial:
    v, other = found["value"], found["permuted"]
    return Trial(
        "symmetric", "value(P z, P y) = value(z, y) for every permutation P of the classes", np.abs(other - v),
        _slack(found["moved"], v, other),
        lambda i: f"it is {v[i]:.10g}, and {other[i]:.10g} with the classes in the order {points.order[i].tolist()}",
    )  # fmt: skip


def _contrast(found: dict) -> Trial:
    hard, level = found["hard"], found["level"]
    return Trial(
        "contrastive", "no logits have a lower value than a (e_y - 1/K), a = max(0, z_y - mean(z)) K/(K-1)", level - hard,
        _slack(found["moved"], level, hard),
        lambda i: f"with the first class as y it is {hard[i]:.8g}, and {level[i]:.8g} at a (e_y - 1/K)",
    )  # fmt: skip


def _conjugacy(points: Points, found: dict) -> list[Trial]:
    v, g, star = found["value"], found["slope of value"], found["star"]
    products = g * points.z
    want = np.sum(products, axis=1) - v
    known = np.isfinite(v) & np.isfinite(g).all(axis=1)
    error = np.where(known, np.where(np.isfinite(star), np.abs(star - want), np.inf), np.nan)
    finite = np.where(np.isfinite(star), star, 0)
    meaning = "it is sup_z <theta, z> - value(z, y)"
    made = [
        Trial(
            "conjugate", meaning, error, _slack(found["moved"], v, finite, np.abs(products).sum(1)),
            lambda i: f"at theta = {shown(g[i])}, the gradient, it is {star[i]:.8g} in place of {want[i]:.8g}",
        )
    ]  # fmt: skip
    return made + [
        _young(meaning, found["moved"], *rows)
        for rows in zip(*(found[name] for name in ("theta", "at", "value at", "star at")), strict=True)
    ]


def _young(meaning: str, blur: np.ndarray, theta: np.ndarray, x: np.ndarray, value: np.ndarray, star: np.ndarray) -> Trial:
    products = theta * x
    least = np.sum(products, axis=1) - value
    return Trial(
        "conjugate", meaning, np.where(np.isnan(star), np.inf, least - star),
        _slack(blur, value, np.where(np.isfinite(star), star, 0), np.abs(products).sum(1)),
        lambda i: f"at theta = {shown(theta[i])} it is {star[i]:.8g}, below the {least[i]:.8g} of z = {shown(x[i])}",
    )  # fmt: skip


def _evaluate(loss: Any, points: Points) -> dict[str, jax.Array]:
    """Everything that the declarations are about."""
    z, y = points.z, points.y
    asked = {"value": (z, y)}
    if loss.convex:
        asked |= {"value at x": (points.x, y), "middle": ((z + points.x) / 2, y)}
    if loss.shift_invariant:
        asked["shifted"] = (z + points.shift[:, None], y)
    if loss.symmetric:
        asked["permuted"] = jax.tree.map(lambda x: jnp.take_along_axis(x, points.order, axis=1), (z, y))
    if loss.contrastive:
        K = z.shape[1]
        own = jnp.zeros_like(z).at[:, 0].set(1)
        a = jnp.maximum(0, z[:, 0] - jnp.mean(z, axis=1)) * K / (K - 1)
        asked |= {"hard": (z, own), "level": (a[:, None] * (own - 1 / K), own)}
    together = jax.tree.map(lambda *rows: jnp.concatenate(rows), *asked.values())  # one evaluation compiles faster than eight
    values, slopes = jax.vmap(jax.value_and_grad(loss.value))(*together)
    found = dict(zip(asked, jnp.split(values, len(asked)), strict=True))
    for name, g in zip(asked, jnp.split(slopes, len(asked)), strict=True):
        found["slope of " + name] = g
    if loss.conjugate is not None:
        found |= _duals(loss, points, found["slope of value"])
    return found


def _duals(loss: Any, points: Points, g: jax.Array) -> dict[str, jax.Array]:
    """The conjugate at the gradients g, at multiples of them and elsewhere, beside values at other points near and far."""
    thetas = jnp.stack([g, 0.5 * g, 2 * g, points.direction])
    length = jnp.maximum(jnp.linalg.norm(thetas, axis=2, keepdims=True), jnp.finfo(g.dtype).tiny)
    others = [jnp.broadcast_to(jnp.roll(points.x, 7 * i, axis=0), thetas.shape) for i in range(3)]
    along_ones = jnp.broadcast_to(_FAR * jnp.sign(jnp.sum(thetas, axis=2, keepdims=True)), thetas.shape)
    at = jnp.concatenate([*others, _FAR * thetas / length, along_ones])
    stars = jax.vmap(lambda theta: jax.vmap(loss.conjugate)(theta, points.y))(thetas)
    return {
        "star": stars[0],
        "theta": jnp.tile(thetas, (5, 1, 1)),
        "at": at,
        "value at": jax.vmap(lambda x: jax.vmap(loss.value)(x, points.y))(at),
        "star at": jnp.tile(stars, (5, 1)),
    }
