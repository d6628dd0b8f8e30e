"""Slopes: the minimum of one trained layer at any price c of the nuclear norm, in floats, one price from the next.

    f1(c) = min over W, H, b of  sum_c om_c loss_c(scale W H_c/sqrt(m_c) + a_c b) + c/2 (|W|^2 + |H|^2) [+ l_b/2 |b|^2]

by Newton's method with the eigenvalues of the Hessian made positive, so that saddles repel. It proves nothing: its logits are where
dual points are taken.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ufm.proofs.floats import Floats, floats_of, number
from ufm.proofs.instance import Instance

_STEPS, _ESCAPES, _SMALL = 200, 20, 3e-15


@dataclass(frozen=True)
class Solved:
    """A minimum at a price: Z = W H (K, C) in column coordinates, and b (K,), zeros where there is no bias."""

    price: float
    Z: np.ndarray
    b: np.ndarray

    @cached_property
    def norm(self) -> float:
        """The nuclear norm of Z."""
        return float(np.sum(np.linalg.svd(self.Z, compute_uv=False)))


class OneLayer:
    """The data of an instance in floats, for any price."""

    def __init__(self, instance: Instance) -> None:
        """Read the instance once."""
        self.floats: Floats = floats_of(instance)
        self.scales = number(instance.scale) / np.sqrt([number(m) for m in instance.m])
        self.lb, self.biased = number(instance.lb), instance.bias != "none"

    def logits(self, Z: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(K, C) logits."""
        return Z * self.scales + b[:, None] * self.floats.a

    def pull(self, Z: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The data's gradient in Z."""
        return self._pull(self.floats.slopes(self.logits(Z, b)))

    def slope_at_zero(self, b: np.ndarray) -> float:
        """The spectral norm of the data's gradient in Z at Z = 0, the price from which on zero is the minimum."""
        return float(np.linalg.norm(self.pull(np.zeros((len(b), len(self.scales))), b), 2))

    def solve(self, price: float, start: Solved) -> Solved:
        """The minimum at a price from that at another."""
        U, s, Vt = np.linalg.svd(start.Z, full_matrices=False)
        least = 1e-3 * max(float(s[0]), 1e-3)
        roots = np.sqrt(np.maximum(s, least))  # a rank that is zero would stay so
        W, H, b = U * roots, roots[:, None] * Vt, start.b
        for _ in range(_ESCAPES):
            W, H, b = self._critical(price, W, H, b)
            U, s, Vt = np.linalg.svd(self._gradient(price, W, H, b)[1])
            if s[0] <= price * (1 + 1e-9):
                break
            U2, sizes, Vt2 = np.linalg.svd(W @ H, full_matrices=False)  # a saddle: the weakest direction is turned downhill
            roots = np.sqrt(sizes)
            W, H = U2 * roots, roots[:, None] * Vt2
            size = np.sqrt(max(float(sizes[0]), 1.0) * 0.1)
            W[:, -1], H[-1] = -size * U[:, 0], size * Vt[0]
        return Solved(price, W @ H, b)

    def _critical(self, price: float, W: np.ndarray, H: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A critical point from a start: a minimum, or a saddle that the steps ran into."""
        best = (np.inf, W, H, b)
        for _ in range(_STEPS):
            gradient, theta = self._gradient(price, W, H, b)
            size = float(np.linalg.norm(gradient))
            best = min(best, (size, W, H, b), key=lambda x: x[0])
            if size <= _SMALL * price * (1 + np.linalg.norm(W) + np.linalg.norm(H)):
                break
            step = self._direction(price, W, H, b, gradient, theta)
            along = float(step @ gradient)
            if not along < 0:
                break
            for share in 0.5 ** np.arange(30):
                moved = self._moved(W, H, b, share * step)
                if step @ self._gradient(price, *moved)[0] <= 0.5 * abs(along):
                    break
            if share == 1 and size > 0.5 * best[0] and size <= 1e-11 * price:
                break
            W, H, b = moved
        return best[1:]

    def _pull(self, theta: np.ndarray) -> np.ndarray:
        return theta * (self.floats.shares * self.scales)

    def _gradient(self, price: float, W: np.ndarray, H: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        theta = self.floats.slopes(self.logits(W @ H, b))
        G = self._pull(theta)
        pieces = [(G @ H.T + price * W).ravel(), (W.T @ G + price * H).ravel()]
        if self.biased:
            pieces.append(theta @ (self.floats.shares * self.floats.a) + self.lb * b)
        return np.concatenate(pieces), G

    def _direction(
        self, price: float, W: np.ndarray, H: np.ndarray, b: np.ndarray, gradient: np.ndarray, G: np.ndarray
    ) -> np.ndarray:
        """Minus the inverse of the Hessian's absolute value times the gradient."""
        (K, r), C = W.shape, H.shape[1]
        J = np.zeros((C, K, len(gradient)))
        s = self.scales
        J[:, :, : K * r] = np.einsum("kl,ac,c->ckla", np.eye(K), H, s).reshape(C, K, K * r)
        in_H = slice(K * r, K * r + r * C)
        J[:, :, in_H] = np.einsum("ka,ce,c->ckae", W, np.eye(C), s).reshape(C, K, r * C)
        if self.biased:
            J[:, :, in_H.stop :] = self.floats.a[:, None, None] * np.eye(K)
        D = self.floats.shares[:, None, None] * self.floats.curvatures(self.logits(W @ H, b))
        A = J.reshape(C * K, -1).T @ (D @ J).reshape(C * K, -1)
        cross = np.einsum("kc,ae->kaec", G, np.eye(r)).reshape(K * r, r * C)
        A[: K * r, in_H] += cross
        A[in_H, : K * r] += cross.T
        A[np.arange(in_H.stop), np.arange(in_H.stop)] += price
        rest = np.arange(in_H.stop, len(gradient))
        A[rest, rest] += self.lb
        scale = np.ones(len(gradient))
        scale[rest] = np.sqrt(price / np.maximum(np.diag(A)[rest], 1e-300))
        values, V = np.linalg.eigh(A * scale[:, None] * scale[None, :])
        sizes = np.abs(values)
        kept = sizes > 1e-9 * price
        projected = V.T @ (scale * gradient)
        return -scale * (V @ np.where(kept, projected / np.where(kept, sizes, 1), 0))

    def _moved(self, W: np.ndarray, H: np.ndarray, b: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        end = W.size + H.size
        b = b + step[end:] if self.biased else b
        return W + step[: W.size].reshape(W.shape), H + step[W.size : end].reshape(H.shape), b
