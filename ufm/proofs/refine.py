"""Refine: a point in floats to as many digits as are asked for, by the Newton chord.

    x <- x - P grad f(x),     P the pseudo-inverse of a float Hessian at the float point, gradients in balls

Each pass gains about the digits that P is right to. In the coordinates sqrt(l_W) W, sqrt(l_H m_c) h_c the penalty has the Hessian
I, and what the rotations of features leave flat is dropped from P. It proves nothing: a sandwich at the refined point does.
"""

from typing import Any

import numpy as np

from ufm.proofs.exact import ball, flint, middle, precision, rational, transposed
from ufm.proofs.floats import floats_of, number
from ufm.proofs.instance import Instance
from ufm.proofs.sandwich import bits_before_the_point
from ufm.proofs.values import Point, bias_gradient, gradients, logits

LARGEST = 1500  # unknowns whose Hessian is still worth its eigenvectors
_PASSES, _HESSIANS = 60, 12


def unknowns(instance: Instance, point: Point) -> int:
    """How many numbers a point is made of."""
    return sum(len(row) for rows in (point.W, point.h) if rows for row in rows) + len(point.b or ())


def refined(instance: Instance, point: Point, bits: int) -> Point:
    """The critical point near a point, to about `bits` bits, or as far as the chord goes; features at zero stay there.

    Args:
      instance: features free or non-negative. point: within reach of Newton's method.
    """
    with precision(2 * bits + bits_before_the_point(instance, point)), np.errstate(all="ignore"):
        x = _Unknowns(instance, point)
        best, least, hessians = x.point, None, 1
        inverse = x.inverse()
        for _ in range(_PASSES):
            gradient, unit = x.gradient()
            step = inverse @ gradient
            if not np.all(np.isfinite(step)):
                return best
            size = unit * rational(float(np.max(np.abs(step), initial=0.0)))
            if size * 2**bits <= x.size():
                return x.point
            if least is None or size < least:
                best = x.point
            if least is not None and 8 * size > least:
                if hessians == _HESSIANS or size > 1000 * least:
                    return best
                hessians, inverse = hessians + 1, x.inverse()
                step = inverse @ gradient
                if not np.all(np.isfinite(step)):
                    return best
            least = size if least is None else min(least, size)
            x.move(step, unit)
        return best


class _Unknowns:
    """A point whose numbers move together, in coordinates in which every ridge is one."""

    def __init__(self, instance: Instance, point: Point) -> None:
        self.instance, self.point, self.floats = instance, point, floats_of(instance)
        self.roots = [np.sqrt(number(instance.ridges[0] * m)) for m in instance.m]
        self.root_W = np.sqrt(number(instance.ridges[1])) if instance.trained else 1.0
        self.scale_b = np.ones(len(point.b or ()))
        self.fixed = np.zeros(unknowns(instance, point), bool)
        if instance.features == "nonnegative":
            h = np.array([[number(x) for x in column] for column in point.h]) * np.array(self.roots)[:, None]
            gradient, unit = self.gradient()
            slope = gradient[self._parts()[1]].reshape(h.shape) * number(unit)
            held = h <= slope
            W = 0 if point.W is None else sum(map(len, point.W))
            self.fixed[W : W + h.size] = held.ravel()
            kept = [[rational(0) if off else x for x, off in zip(*pair, strict=True)] for pair in zip(point.h, held, strict=True)]
            self.point = Point(point.W, kept, point.b)

    def _parts(self) -> list[slice]:
        """Where W, h and b are."""
        W, h, b = self.point.W, self.point.h, self.point.b
        ends = np.cumsum([0, 0 if W is None else len(W) * len(W[0]), len(h) * len(h[0]), len(b or ())])
        return [slice(*pair) for pair in zip(ends[:-1], ends[1:], strict=True)]

    def gradient(self) -> tuple[np.ndarray, Any]:
        """(floats, unit): the gradient in units of its largest entry."""
        instance, point, arb_mat = self.instance, self.point, flint().arb_mat
        theta = gradients(instance, logits(instance, point))
        T = [[share * t for t in column] for share, column in zip(instance.shares, theta, strict=True)]
        W, h, s = arb_mat(instance.rows(point.W)), arb_mat(point.h), ball(instance.scale)
        found = []
        if point.W is not None:
            found += [x / self.root_W for x in (arb_mat(transposed(T)) * h * s + W * ball(instance.ridges[1])).entries()]
        for root, m, pull, own in zip(self.roots, instance.m, (arb_mat(T) * W * s).tolist(), point.h, strict=True):
            found += [(x + instance.ridges[0] * m * y) / root for x, y in zip(pull, own, strict=True)]
        if point.b is not None:
            every = zip(bias_gradient(instance, theta), point.b, self.scale_b, strict=True)
            found += [(g + instance.lb * b) / float(d) for g, b, d in every]
        if not all(x.is_finite() for x in found):
            return np.full(len(found), np.nan), rational(1)
        middles = [rational(0) if off else middle(x) for x, off in zip(found, self.fixed, strict=True)]
        unit = max(map(abs, middles))
        return np.array([number(x / unit) if unit else 0.0 for x in middles]), unit

    def inverse(self) -> np.ndarray:
        """The pseudo-inverse of the Hessian in floats; NaN where it is not finite."""
        instance, point, floats = self.instance, self.point, self.floats
        with precision(64):
            z = np.array([[number(x) for x in column] for column in logits(instance, point)]).T
        s, K, C = number(instance.scale), instance.K, len(point.h)
        h = np.array([[number(x) for x in column] for column in point.h])
        W = np.array([[number(x) for x in row] for row in instance.rows(point.W)])
        d, in_W, in_h, in_b = W.shape[1], *self._parts()
        J = np.zeros((C, K, len(self.fixed)))
        each = np.arange(K)
        if point.W is not None:
            blocks = J[:, :, in_W].reshape(C, K, K, d)  # a copy: written back below
            blocks[:, each, each, :] = s * h[:, None, :] / self.root_W
            J[:, :, in_W] = blocks.reshape(C, K, K * d)
        blocks = np.zeros((C, K, C, d))
        blocks[np.arange(C), :, np.arange(C), :] = s * W[None] / np.array(self.roots)[:, None, None]
        J[:, :, in_h] = blocks.reshape(C, K, C * d)
        if point.b is not None:
            J[:, :, in_b] = floats.a[:, None, None] * np.eye(K)[None]
        weighted = floats.shares[:, None, None] * floats.curvatures(z)
        H = J.reshape(C * K, -1).T @ (weighted @ J).reshape(C * K, -1)
        H[np.arange(in_h.stop), np.arange(in_h.stop)] += 1
        if point.W is not None:
            cross = (floats.shares[None] * floats.slopes(z) * s / self.root_W / np.array(self.roots)[None])[:, None, :, None]
            cross = (cross * np.eye(d)[None, :, None, :]).reshape(K * d, C * d)
            H[in_W, in_h] += cross
            H[in_h, in_W] += cross.T
        if point.b is not None:
            block = np.diag(H)[in_b] + number(instance.lb)
            self.scale_b = np.sqrt(np.where(block > 0, block, 1))
            H[in_b, in_b] += number(instance.lb) * np.eye(K)
            H[in_b] /= self.scale_b[:, None]
            H[:, in_b] /= self.scale_b[None, :]
        H[self.fixed], H[:, self.fixed] = 0, 0
        if not np.all(np.isfinite(H)):
            return np.full_like(H, np.nan)
        values, V = np.linalg.eigh(H)
        sizes = np.abs(values)
        kept = sizes > max(1e-11 * np.max(sizes), 1e-6)
        return (V * np.where(kept, 1 / np.where(kept, values, 1), 0)[None, :]) @ V.T

    def size(self) -> Any:
        """The largest number of the point in these coordinates, and at least the smallest size that counts."""
        W, h, b = self.point.W or [], self.point.h, self.point.b or []
        sizes = [abs(x) * rational(self.root_W) for row in W for x in row]
        sizes += [abs(x) * rational(root) for root, column in zip(self.roots, h, strict=True) for x in column]
        sizes += [abs(x) * rational(float(d)) for x, d in zip(b, self.scale_b, strict=True)]
        return max(sizes)

    def move(self, step: np.ndarray, unit: Any) -> None:
        """Take a step of so many units away."""
        in_W, in_h, in_b = self._parts()
        point, bits = self.point, flint().ctx.prec

        def moved(x: list, by: np.ndarray, root: float) -> list:
            return [_kept(a - unit * rational(float(b) / root), bits) for a, b in zip(x, by, strict=True)]

        W = point.W and [moved(x, by, self.root_W) for x, by in zip(point.W, step[in_W].reshape(len(point.W), -1), strict=True)]
        by_h = step[in_h].reshape(len(point.h), -1)
        h = [moved(x, by, root) for x, by, root in zip(point.h, by_h, self.roots, strict=True)]
        b = point.b and [moved([x], by, d)[0] for x, by, d in zip(point.b, step[in_b][:, None], self.scale_b, strict=True)]
        if self.instance.features == "nonnegative":
            h = [[max(x, rational(0)) for x in column] for column in h]
        self.point = Point(W, h, b)


def _kept(x: Any, bits: int) -> Any:
    """The middle of the ball of a rational: its first `bits` bits."""
    return middle(ball(x))
