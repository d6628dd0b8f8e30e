"""One critical point near a point: its existence, uniqueness on a slice across its symmetries, value, and signs of curvature.

With T(x) the tangents of the symmetries (T(x)' grad f(x) = 0 for every x), T_0 an orthonormal basis of their span at a point x_0,
taken as exact, and tau > 0, on every box where T(x)' T_0 is nonsingular

    F(x) = grad f(x) + tau T_0 T_0' (x - x_0) = 0     if and only if     x is critical and T_0' (x - x_0) = 0.

Let Q be the eigenvectors of F'(x_0) over the square roots of |eigenvalues|, in floats taken as exact, and S the signs of the
eigenvalues. If all rows of S Q' F'(X) Q - I sum to at most q < 1 in absolute value on a box X = m +- r, then

    F is one-to-one on X: there is at most one critical point of the slice in X;
    with eta = max |Q' F(m)| / (1 - q), there is one within |Q| eta of m, if that lies in X (contraction of u - S Q' F(m + Q u));
    the Hessian there has as many negative eigenvalues as S, and as many zeros as T_0 has columns g: T(x) are null vectors, and on
    ker T_0', which is complementary to them, F' is the Hessian (Gershgorin and Sylvester).
"""

from dataclasses import dataclass
from math import ceil, log2
from typing import Any, NamedTuple

import jax
import numpy as np

from ufm.base.checks import check_count, check_finite, refuse_traced
from ufm.problem import Params, Problem
from ufm.problem.params import check_params
from ufm.proofs.column_losses import Kink
from ufm.proofs.curvature import Objective, coordinates, objective_of, out_of_reach
from ufm.proofs.exact import above, below, flint, fraction, precision, text, texts
from ufm.proofs.proof import FORMAT, Proof, decimals, unproved
from ufm.proofs.symmetries import in_words, symmetries

COARSE = 64  # bits in which curvature is enclosed: what is missing is a tenth, not a digit


def critical(problem: Problem, params: Params, *, digits: int = 30) -> Proof:
    """Prove that there is a critical point next to params, alone but for symmetries, with its value and the inertia of its Hessian.

    Args:
      problem: free features, mse, cross-entropy, logistic or squared hinge; any bias, sizes, weights, depth.
      params: a point near the critical one: it is refined, and may be off by what a solver leaves.
      digits: how many digits of the value are wanted.

    Returns:
      A proof of the kind "critical point". Its `document` has the point "W", "h", "b" (features per sample), the "radius" around
      every coordinate (rho_c h_c for the features) that holds the critical point, "alone", the radius of the box that holds no
      other of the slice, and "inertia", the numbers of positive, zero and negative eigenvalues. Or none, with the reason.

    Raises:
      ValueError: for params that are none of the problem, or digits below 1.
    """
    refuse_traced("problem and params", *jax.tree.leaves((problem, params)))
    check_params(problem, params)
    for array in jax.tree.leaves(params):
        check_finite("params", array)
    check_count("digits", digits, 1)
    if reason := out_of_reach(problem):
        return unproved(reason)
    objective = objective_of(problem)
    try:
        with precision(COARSE):
            start = coordinates(params)
            size = float(abs(objective.value(start)).upper())
        bits = ceil(digits * log2(10)) + 60 + max(0, -round(log2(size or 1.0)))
        with precision(bits + 40):
            found = _refine(objective, start, bits)
            if isinstance(found, str):
                return unproved(found)
            box = _isolate(objective, found)
            if isinstance(box, str):
                return unproved(box)
            ends = [flint().arb(x, delta) for x, delta in zip(found.x, box.within, strict=True)]
            value = objective.value(ends)
            return _proof(problem, objective, found, box, below(value), above(value))
    except Kink:
        return unproved("a squared hinge has its kink within the box: the objective has no Hessian there")


@dataclass(frozen=True)
class Slice:
    """Across the symmetries at x0 (P balls without radius). T0: (P, g); V: (G, g), combinations of tangents near to T0; tau: a
    power of two; Q: (P, P); signs: (P,) of the eigenvalues; spans: (P,) row sums of |Q|, from above. Matrices are of floats.
    """

    x0: list[Any]
    T0: Any
    V: Any
    tau: float
    Q: Any
    signs: list[float]
    spans: list[float]

    @property
    def inertia(self) -> tuple[int, int, int]:
        """Numbers of positive, zero and negative eigenvalues of the Hessian."""
        g = self.T0.ncols()
        return self.signs.count(1.0) - g, g, self.signs.count(-1.0)


class _Found(NamedTuple):
    """A point with a small residual |Q' F| on a slice."""

    slice: Slice
    x: list[Any]
    residual: Any


class _Box(NamedTuple):
    """alone: r of the box without another critical point. within: (P,) distances from x to the critical point, at most."""

    alone: Any
    within: list[Any]


def _refine(objective: Objective, x: list[Any], bits: int) -> _Found | str:
    """Newton steps with one inverse (chords), at the full precision, and a new inverse where they no longer gain; or why not."""
    start, goal = np.array([float(entry) for entry in x]), flint().arb(2) ** -bits
    for _ in range(12):
        across = _slice(objective, x)
        if isinstance(across, str):
            return across
        last = None
        for _ in range(60):
            move, residual = _residual(objective, across, x)
            if residual <= goal:
                break
            if last is not None and not residual < last / 4:
                break
            x, last = [(a - b).mid() for a, b in zip(x, move, strict=True)], residual
        if residual <= goal and _largest([a - b for a, b in zip(x, across.x0, strict=True)]) < 1e-8:
            return _Found(across, x, residual)
        moved = np.max(np.abs(np.array([float(entry) for entry in x]) - start), initial=0)
        if not moved <= 0.05 * (1 + np.max(np.abs(start), initial=0)):
            return f"no critical point is near: Newton's steps move a coordinate by {moved:.2g}"
    return f"Newton's steps end at a residual of {float(residual):.2g}: no critical point is near, or curvature is too flat"


def _matrix(x: np.ndarray) -> Any:
    arb = flint().arb
    return flint().arb_mat(*x.shape, [arb(entry) for entry in x.ravel().tolist()])


def _floats(x: Any) -> np.ndarray:
    return np.array([float(entry) for entry in x.entries()]).reshape(x.nrows(), x.ncols())


def _tangents(objective: Objective, x: list[Any]) -> Any:
    """(P, G) tangents of the symmetries on a box, or None where there are none."""
    columns = [tangent for symmetry in symmetries(objective, x) for tangent in symmetry.tangents]
    return flint().arb_mat(columns).transpose() if columns else None


def _slice(objective: Objective, x: list[Any]) -> Slice | str:
    """The slice at a point, or why there is none: directions without curvature that no symmetry explains."""
    with precision(COARSE):
        H, tangents = _floats(objective.hessian(x)), _tangents(objective, x)
    P = objective.size
    U, stretch, Vt = np.zeros((P, 0)), np.zeros(0), np.zeros((0, 0))
    if tangents is not None:
        U, stretch, Vt = np.linalg.svd(_floats(tangents), full_matrices=False)
        U, Vt, stretch = (a[: int(np.sum(stretch > 1e-6 * stretch[0] + 1e-9))] for a in (U.T, Vt, stretch))
        U = U.T
    tau = 2.0 ** ceil(log2(np.linalg.norm(H) / np.sqrt(P) or 1.0))
    eigenvalues, Q = np.linalg.eigh(H + tau * U @ U.T)
    size = np.abs(eigenvalues)
    flat = int(np.sum(size <= 1e-13 * np.max(size)))
    if flat or not np.all(np.isfinite(size)):
        return f"{flat} directions beyond the {U.shape[1]} of symmetries have curvature 0 to rounding: the point may be one of many"
    Q, spans = Q / np.sqrt(size), (np.sum(np.abs(Q / np.sqrt(size)), axis=1) * (1 + 1e-9)).tolist()
    return Slice(x, _matrix(U), _matrix(Vt.T / stretch), tau, _matrix(Q), np.sign(eigenvalues).tolist(), spans)


def _residual(objective: Objective, across: Slice, x: list[Any]) -> tuple[list[Any], Any]:
    """(Q S Q' F(x), max |Q' F(x)| from above)."""
    arb_mat, P = flint().arb_mat, objective.size
    F = arb_mat(P, 1, objective.gradient(x))
    if across.T0.ncols():
        T0 = across.T0
        away = arb_mat(P, 1, [a - b for a, b in zip(x, across.x0, strict=True)])
        F += T0 * (T0.transpose() * away) * across.tau
    u = (across.Q.transpose() * F).entries()
    move = across.Q * arb_mat(P, 1, [sign * entry for sign, entry in zip(across.signs, u, strict=True)])
    return move.entries(), _largest(u)


def _largest(balls: list[Any]) -> Any:
    """The largest of the upper ends of |x|."""
    return max((abs(x).upper() for x in balls), default=flint().arb(0))


def _contraction(N: Any, signs: list[float]) -> Any:
    """The largest row sum of |S N - I|, from above."""
    rows = []
    for k, (row, sign) in enumerate(zip(N.tolist(), signs, strict=True)):
        row[k] -= sign
        rows.append(sum((abs(x) for x in row), flint().arb(0)))
    return _largest(rows)


def _isolate(objective: Objective, found: _Found) -> _Box | str:
    """A wide box on which F is one-to-one for certain, and how near to x its zero is; or that there is none.

    What a box adds to q is in proportion to r, and told beforehand by the radii of the Hessian on it.
    """
    arb, across, power = flint().arb, found.slice, 24
    spread = np.abs(_floats(across.Q))
    while power < 120:
        with precision(COARSE):
            r = arb(2) ** -power
            X = [arb(x, r) for x in found.x]
            try:
                H = objective.hessian(X)
            except Kink:  # perhaps not on a smaller box
                power += 12
                continue
            blur = np.array([float(entry.rad()) for entry in H.entries()]).reshape(H.nrows(), -1)
            guess = float(np.max(spread.T @ (blur @ np.sum(spread, axis=1))))
            q = _contraction_on(objective, across, X, H) if guess < 0.25 else None
        if q is not None:
            eta = found.residual / (1 - q)
            within = [(eta * span).upper() for span in across.spans]
            return _Box(r, within) if _largest(within) < r else "Newton's residual is larger than the box"
        power += 6 if guess < 0.25 else ceil(log2(min(8 * guess, 1e9)))
    return "curvature is too flat for its signs to be told on any box"


def _contraction_on(objective: Objective, across: Slice, X: list[Any], H: Any) -> Any:
    """q < 1/2 on a box with the Hessian H, or None where it is larger or T(x)' T_0 might be singular."""
    Q, T0, half = across.Q, across.T0, flint().arb(0.5)
    if T0.ncols():
        turned = (_tangents(objective, X) * across.V).transpose() * T0
        if not _contraction(turned, [1.0] * T0.ncols()) < half:
            return None
    N = Q.transpose() * (H * Q)
    if T0.ncols():
        seen = Q.transpose() * T0
        N += seen * seen.transpose() * across.tau
    q = _contraction(N, across.signs)
    return q if q < half else None


def _proof(problem: Problem, objective: Objective, found: _Found, box: _Box, lower: Any, upper: Any) -> Proof:
    """What was proved, in words and as a document."""
    positive, zero, negative = inertia = found.slice.inertia
    radius, names = _largest(box.within), in_words(objective, found.x, zero)
    if negative:
        kind = f"a strict saddle with {negative} negative direction{'s' if negative > 1 else ''}"
    else:
        kind = "a strict local minimum" + (" modulo these symmetries" if zero else "") + f" within the widths {problem.widths}"
    ends = decimals(fraction(lower), fraction(upper))
    statement = (
        f"f of {problem!r} has a critical point within {float(radius):.1e} of the given one in every coordinate, and within "
        f"{float(box.alone):.1e} no other on the slice across its symmetries ({names}); its value lies in [{ends[0]}, {ends[1]}], "
        f"and its Hessian has {positive} positive, {zero} zero and {negative} negative eigenvalues: {kind}"
    )
    blocks = [block.tolist() for block in objective.split(found.x)]
    H, weights = blocks[0], blocks[1 : len(objective.shapes)]
    exact = [[below(x) for x in row] for row in H]
    document = {
        "format": FORMAT,
        "kind": "critical point",
        "statement": statement,
        "problem": objective.document(),
        "W": [texts([[below(x) for x in row] for row in W]) for W in weights],
        "h": texts([[x / rho for x, rho in zip(row, objective.rho, strict=True)] for row in exact]),
        "b": None if objective.bias == "none" else [text(below(row[0])) for row in blocks[-1]],
        "rho": [text(x) for x in objective.rho],
        "radius": text(above(radius)),
        "alone": text(below(box.alone)),
        "inertia": [str(n) for n in inertia],
        "lower": text(lower),
        "upper": text(upper),
        "made_by": {"python-flint": flint().__version__, "bits": str(flint().ctx.prec)},
    }
    return Proof("critical point", statement, fraction(lower), fraction(upper), document=document)
