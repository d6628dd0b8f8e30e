"""The convex program of four scalars behind two groups of equal classes: brackets find it, one Newton step carries derivatives.

Averaging over permutations inside the groups, a column of group g has logits that are x_g higher on its own class than on
the rest of its group, and s_g higher on average on its group than on the other one. With K' = K_other, k^2 = K_A K_B/K,

    F = sum_g w_g C_g + q_g (K_g - 1) x_g + k (sum_g q_g^2 K_g s_g^2)^(1/2) + l2_b k^2 shift^2 / 2
    C_g = log(1 + (K_g - 1) e^(-x_g) + K' e^(-(s_g + x_g (1 - 1/K_g))))     shift added to s_A, subtracted from s_B

In the probability u_g that a column gives to the other group everything is explicit. With e_g = min(1, q_g K_g / w_g),

    p_other = (e_g - u_g)/K_g,    p_own = 1 - e_g + p_other,    x_g = log(p_own / p_other)
    s_g = log(p_own)/K_g + (1 - 1/K_g) log(p_other) - log(u_g/K')

and stationarity in s makes (s_A, s_B) = r (v_A, v_B), v_g = a_g/(q_g sqrt(K_g)), for a unit vector a_g = u_g/R_g with
R_g = k q_g sqrt(K_g)/w_g: one angle is left, whose equation is monotone. Where no angle fits, s = 0. A bias adds one
monotone equation, l2_b k^2 shift = w_A u_A - w_B u_B.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_REACH = 300.0
_SIGNS = (1.0, -1.0)  # of the shift


class Groups(NamedTuple):
    """classes: (2,) K_A, K_B as floats. weights: (2,) w of the losses. prices: (2,) q of the nuclear norm."""

    classes: jax.Array
    weights: jax.Array
    prices: jax.Array


class Scalars(NamedTuple):
    """x: (2,) own class against its group. s: (2,) own group against the other, without the bias. shift: of the bias.

    loss: (2,) C_g. price: the term of F with the prices in it. value: F.
    """

    x: jax.Array
    s: jax.Array
    shift: jax.Array
    loss: jax.Array
    price: jax.Array
    value: jax.Array


def solve_groups(groups: Groups, bias: str = "none", l2_b: jax.Array | float = 0.0) -> Scalars:
    """The minimum of the program to rounding, at any weights and prices above zero; jit, vmap and grad go through.

    bias: "none", "free" or "ridge". l2_b: the ridge of the bias, of effect for "ridge".
    """
    ridge = jnp.asarray(l2_b if bias == "ridge" else 0.0, groups.prices.dtype)
    frozen, fixed = lax.stop_gradient((groups, ridge))

    def imbalance(shift: jax.Array) -> jax.Array:
        flow = frozen.weights * jnp.exp(_masses(frozen, shift)[0])
        return fixed * _coupling(frozen) ** 2 * shift - flow[0] + flow[1]

    shift = jnp.zeros_like(ridge) if bias == "none" else _bisect(imbalance, jnp.full_like(ridge, _REACH))
    log_u, r, alive = _masses(frozen, shift)
    start = lax.stop_gradient(jnp.concatenate([log_u, r[None], shift[None]]))

    def residual(point: jax.Array, groups: Groups, ridge: jax.Array) -> jax.Array:
        u, r, shift = jnp.exp(point[:2]), point[2], point[3]
        a, flow = u / _radius(groups), groups.weights * u
        gaps = _separation(groups, u, _levels(groups) - u)
        gaps -= shift * jnp.array(_SIGNS, u.dtype) + r * a / (groups.prices * jnp.sqrt(groups.classes))
        free = shift if bias == "none" else ridge * _coupling(groups) ** 2 * shift - flow[0] + flow[1]
        return jnp.concatenate([gaps, jnp.where(alive, jnp.sum(a**2) - 1, r)[None], free[None]])

    jacobian = jax.jacfwd(residual)(start, frozen, fixed)
    point = start - jnp.linalg.solve(lax.stop_gradient(jacobian), residual(start, groups, ridge))
    u, r, shift = jnp.exp(point[:2]), point[2], point[3]
    K, e, k = groups.classes, _levels(groups), _coupling(groups)
    x = jnp.where(K > 1, jnp.log1p(K * (1 - e) / (e - u)), 0)
    s = jnp.where(alive, r * u / (_radius(groups) * groups.prices * jnp.sqrt(K)), 0)
    price = jnp.sum(groups.prices * (K - 1) * x) + jnp.where(alive, k * r, 0)
    loss = -jnp.log1p(-((K - 1) * e + u) / K)
    value = jnp.sum(groups.weights * loss) + price + 0.5 * ridge * k**2 * shift**2
    return Scalars(x, s, shift, loss, price, value)


def _coupling(groups: Groups) -> jax.Array:
    return jnp.sqrt(groups.classes[0] * groups.classes[1] / jnp.sum(groups.classes))


def _levels(groups: Groups) -> jax.Array:
    """e_g, 1 where the group merges to one point."""
    return jnp.minimum(1, groups.prices * groups.classes / groups.weights)


def _radius(groups: Groups) -> jax.Array:
    return _coupling(groups) * groups.prices * jnp.sqrt(groups.classes) / groups.weights


def _separation(groups: Groups, u: jax.Array, rest: jax.Array) -> jax.Array:
    """s_g with its share of the shift, decreasing in u_g; rest = e_g - u_g."""
    K, other = groups.classes, rest / groups.classes
    return jnp.log(1 - _levels(groups) + other) / K + (1 - 1 / K) * jnp.log(other) - jnp.log(u / K[::-1])


def _masses(groups: Groups, shift: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(log u, r, whether s is not zero) at a given shift."""
    e, signs = _levels(groups), jnp.array(_SIGNS, shift.dtype)

    def excess(logit: jax.Array) -> jax.Array:
        return shift * signs - _separation(groups, e * jax.nn.sigmoid(logit), e * jax.nn.sigmoid(-logit))

    log_most = jnp.log(e) - jax.nn.softplus(-_bisect(excess, jnp.full_like(e, 2 * _REACH)))  # where s_g = 0
    log_radius = jnp.log(_radius(groups))
    alive = jnp.logaddexp(*(2 * (log_most - log_radius))) > 0

    def at(angle: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        log_a = -0.5 * jax.nn.softplus(-2 * angle * signs)
        log_u = jnp.minimum(log_a + log_radius, log_most)
        u = jnp.exp(log_u)
        scaled = groups.prices * jnp.sqrt(groups.classes) * (_separation(groups, u, e - u) - shift * signs)
        return jnp.exp(log_a), log_u, scaled

    def turn(angle: jax.Array) -> jax.Array:
        a, log_u, scaled = at(angle)
        clipped = log_u >= log_most
        return jnp.where(clipped[0], 1, jnp.where(clipped[1], -1, scaled[1] * a[0] - scaled[0] * a[1]))

    a, log_u, scaled = at(_bisect(turn, jnp.full_like(shift, _REACH)))
    return jnp.where(alive, log_u, log_most), jnp.where(alive, jnp.sum(a * scaled), 0), alive


def _bisect(f: Callable, reach: jax.Array) -> jax.Array:
    """Roots of increasing functions within +-reach, entrywise, without the derivatives of `ufm.search.roots`: taken at the end."""

    def halve(_: int, bracket: tuple) -> tuple:
        middle = 0.5 * (bracket[0] + bracket[1])
        below = f(middle) < 0
        return jnp.where(below, middle, bracket[0]), jnp.where(below, bracket[1], middle)

    low, high = lax.fori_loop(0, 64, halve, (-reach, reach))
    return 0.5 * (low + high)
