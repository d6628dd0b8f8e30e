"""Losses of distillation: a student's logits z against a hard target y and a teacher's logits t.

    kd              gamma CE(z, y) + kd T^2 KL(softmax(t/T) || softmax(z/T))
    binary_kl       T^2 sum_c KL(Bern(sig(t_c/T)) || Bern(sig(z_c/T))),      gradient T (sig(z/T) - sig(t/T))
    binary_kl_norm  T^2 sum_c log cosh((z_c - t_c)/(2T)),                    gradient T (sig((z-t)/T) - 1/2)
    ce_binary_kl    gamma CE(z, y) + kd B(z, t) on one head, B one of the two before
    dual_head       gamma CE(z_1, y) + kd B(z_2, t) on two heads of K logits each

Equal parameters give equal losses, so that one compiled program serves them; `loss.value` holds them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ufm.base.checks import check_choice, check_non_negative, check_positive, is_traced, refuse
from ufm.losses.basic import cross_entropy, one_vs_all_logistic_conjugate
from ufm.losses.conjugates import Conjugate, cross_entropy_conjugate
from ufm.losses.loss import Loss, proved


def kd(gamma: float = 1.0, kd: float = 1.0, temperature: float = 2.0) -> Loss:
    """Distillation of Hinton: gamma CE(z, y) + kd T^2 KL(softmax(t/T) || softmax(z/T)), convex and shift-invariant.

    Args:
      gamma, kd: weights of the hard labels and of the teacher, at least 0 and not both 0. temperature: T.

    Returns:
      Loss of y = (target, teacher); its conjugate is known for gamma = 0, kd = 0 or T = 1.

    Raises:
      ValueError: naming the argument, the value and what is allowed.

    Source: Hinton, Vinyals and Dean (2015), arXiv 1503.02531.
    """
    hard, soft = _number("gamma", gamma, check_non_negative), _number("kd", kd, check_non_negative)
    if hard + soft == 0:
        refuse("gamma and kd", (gamma, kd), "not both 0")
    T = _number("temperature", temperature)
    value = Mixture(hard, soft, T if soft > 0 else 1.0)
    known = Conjugate(value) if value.gamma == 0 or value.temperature == 1 else None
    return proved("kd", value, known, convex=True, shift_invariant=True, symmetric=True, targets=value.targets, teacher=True)


def binary_kl(temperature: float = 2.0) -> Loss:
    """T^2 sum_c KL(Bern(sig(t_c/T)) || Bern(sig(z_c/T))), convex: every logit towards the teacher's own.

    Args:
      temperature: T.

    Returns:
      Loss of y = (target, teacher), of which the target is not used.

    Raises:
      ValueError: if the temperature is not a known number above 0.

    Source: Yang et al. (2024), arXiv 2411.08937, without the clamps of their code.
    """
    return _binary(_checked_binary(temperature, False))


def binary_kl_norm(temperature: float = 2.0) -> Loss:
    """T^2 sum_c log cosh((z_c - t_c)/(2T)), convex: the binary divergence of sig((z_c - t_c)/T) from 1/2.

    Args, Returns, Raises, Source: as `binary_kl`.
    """
    return _binary(_checked_binary(temperature, True))


def ce_binary_kl(gamma: float = 1.0, kd: float = 1.0, temperature: float = 2.0, norm: bool = True) -> Loss:
    """gamma CE(z, y) + kd B(z, t) on one head, B = `binary_kl_norm` or (norm=False) `binary_kl`: convex.

    Args:
      gamma, kd: weights above 0. temperature: T. norm: which B.

    Returns:
      Loss of y = (target, teacher), without a known conjugate.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    value = SingleHead(_number("gamma", gamma), _number("kd", kd), _checked_binary(temperature, norm))
    name = "ce_binary_kl" + _norm(value.binary)
    return proved(name, value, convex=True, symmetric=True, targets=value.targets, teacher=True)


def dual_head(gamma: float = 1.0, kd: float = 1.0, temperature: float = 2.0, norm: bool = True) -> Loss:
    """gamma CE(z_1, y) + kd B(z_2, t) of 2K stacked logits z = (z_1, z_2), with targets (y, t) stacked alike: convex.

    A ridge l' of the second head other than the first one's l needs no further parameter: in units of s = sqrt(l/l') of
    its logits the ridges are equal, and B has T/s, t/s and kd s^2 (`ufm.settings.distillation.dual_head_problem`).

    Args:
      gamma, kd: weights above 0. temperature: T. norm: which B, as in `ce_binary_kl`.

    Returns:
      Loss with a known conjugate; it needs no `teacher`, whose logits are the lower half of the targets.

    Raises:
      ValueError: naming the argument, the value and what is allowed; for an odd number of logits when it is evaluated.

    Source: Yang et al. (2024), arXiv 2411.08937.
    """
    value = DualHead(_number("gamma", gamma), _number("kd", kd), _checked_binary(temperature, norm))
    return proved("dual_head" + _norm(value.binary), value, Conjugate(value), convex=True)


@dataclass(frozen=True)
class Mixture:
    """gamma CE(z, y) + kd T^2 KL(softmax(t/T) || softmax(z/T)), a function of (z, (y, t))."""

    targets: ClassVar[str] = "distribution"
    teacher: ClassVar[bool] = True

    gamma: float
    kd: float
    temperature: float

    def __call__(self, z: jax.Array, y: Any) -> jax.Array:
        """The loss of logits (K,) against (target, teacher)."""
        target, teacher = y
        T = self.temperature
        q = jax.nn.softmax(teacher / T)
        divergence = cross_entropy(z / T, q) - cross_entropy(teacher / T, q)
        return self.gamma * cross_entropy(z, target) + self.kd * T**2 * divergence

    def conjugate(self, theta: jax.Array, y: Any) -> jax.Array:
        """With one temperature, of cross-entropy against the mixture of both targets, less the teacher's entropy."""
        target, teacher = y
        T, total = self.temperature, self.gamma + self.kd
        q = jax.nn.softmax(teacher / T)
        mixture = (self.gamma * target + self.kd * q) / total
        return total * T**2 * cross_entropy_conjugate(theta / (total * T), mixture) + self.kd * T**2 * cross_entropy(teacher / T, q)


@dataclass(frozen=True)
class Binary:
    """B of `binary_kl` or (norm) of `binary_kl_norm`, a function of (z, (y, t)) that does not look at y."""

    targets: ClassVar[str] = "any"
    teacher: ClassVar[bool] = True

    temperature: float | jax.Array
    norm: bool

    def __call__(self, z: jax.Array, y: Any) -> jax.Array:
        """The loss of logits (K,) against (target, teacher)."""
        T, t = self.temperature, y[1]
        if self.norm:  # log cosh(x) = log(1 + 2 sinh(x/2)^2), and |x| + log((1 + e^(-2|x|))/2) past |x| = 1
            x = (z - t) / (2 * T)
            near = jnp.log1p(2 * jnp.sinh(jnp.clip(x, -1, 1) / 2) ** 2)
            far = jnp.abs(x) + jnp.log1p(jnp.exp(-2 * jnp.abs(x))) - math.log(2)
            return T**2 * jnp.sum(jnp.where(jnp.abs(x) < 1, near, far))
        # softplus(b) - softplus(a) - p (b - a) with p = sig(a), mirrored to a <= 0 where p loses no digit
        side = jnp.where(t > 0, -1, 1).astype(z.dtype)
        a, b = side * t / T, side * z / T
        d, p = b - a, jax.nn.sigmoid(a)
        near = jnp.log1p(p * jnp.expm1(jnp.clip(d, -1, 1)))
        far = jax.nn.softplus(b) - jax.nn.softplus(a)
        return T**2 * jnp.sum(jnp.where(jnp.abs(d) < 1, near, far) - p * d)

    def conjugate(self, theta: jax.Array, y: Any) -> jax.Array:
        """That of the one-vs-all logistic loss at temperature T, less the entropy of its targets."""
        T, t = self.temperature, y[1]
        if self.norm:
            logistic = one_vs_all_logistic_conjugate(theta / T, jnp.full_like(theta, 0.5))
            return jnp.sum(theta * t) + T**2 * (logistic + theta.shape[0] * math.log(2))
        size = jnp.abs(t / T)
        entropy = jnp.sum(jax.nn.softplus(-size) + size * jax.nn.sigmoid(-size))
        return T**2 * (one_vs_all_logistic_conjugate(theta / T, jax.nn.sigmoid(t / T)) + entropy)


@dataclass(frozen=True)
class SingleHead:
    """gamma CE(z, y) + kd B(z, t), a function of (z, (y, t))."""

    targets: ClassVar[str] = "distribution"
    teacher: ClassVar[bool] = True

    gamma: float
    kd: float
    binary: Binary

    def __call__(self, z: jax.Array, y: Any) -> jax.Array:
        """The loss of logits (K,) against (target, teacher)."""
        return self.gamma * cross_entropy(z, y[0]) + self.kd * self.binary(z, y)


@dataclass(frozen=True)
class DualHead:
    """gamma CE(z_1, y) + kd B(z_2, t), a function of stacked (z_1, z_2) and (y, t)."""

    targets: ClassVar[str] = "any"
    teacher: ClassVar[bool] = False

    gamma: float
    kd: float
    binary: Binary

    def __call__(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of logits (2K,) against stacked targets (2K,)."""
        (hard, soft), targets = _halves(z), _halves(y)
        return self.gamma * cross_entropy(hard, targets[0]) + self.kd * self.binary(soft, targets)

    def conjugate(self, theta: jax.Array, y: jax.Array) -> jax.Array:
        """The sum of the conjugates of both heads."""
        (hard, soft), targets = _halves(theta), _halves(y)
        first = self.gamma * cross_entropy_conjugate(hard / self.gamma, targets[0])
        return first + self.kd * self.binary.conjugate(soft / self.kd, targets)


def _binary(value: Binary) -> Loss:
    return proved("binary_kl" + _norm(value), value, Conjugate(value), convex=True, symmetric=True, teacher=True)


def _norm(value: Binary) -> str:
    return "_norm" if value.norm else ""


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    if x.shape[0] % 2:
        refuse("logits of a dual head", f"{x.shape[0]} rows", "an even number: K of each head")
    return x[: x.shape[0] // 2], x[x.shape[0] // 2 :]


def _number(name: str, value: Any, check: Callable = check_positive) -> float:
    if is_traced(value):
        refuse(name, "traced", "a known number: it is part of the compiled program (sweep ridges, teachers and weights instead)")
    check(name, value)
    return float(value)


def _checked_binary(temperature: Any, norm: Any) -> Binary:
    check_choice("norm", norm, (True, False))
    return Binary(_number("temperature", temperature), bool(norm))
