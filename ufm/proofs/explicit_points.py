"""Refutations of claims about matrices: explicit rational points, their gradients, and bounds of nuclear norms.

The proximity model in the numbers of Tirer et al. 2023, min of |W H - Y|^2/2 + n l_W/2 |W|^2 + l_H/2 |H|^2 + B/2 |H - H0|^2 over N.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ufm.proofs.exact import rational, shown, transposed
from ufm.proofs.expressions import Expression, name, number, sqrt, total, x
from ufm.proofs.facts import Above, Equal, Fact, Less, PositiveDefinite, known, refutation
from ufm.proofs.objective import Names, Rows, combination, inner, labelled, named, product
from ufm.proofs.proof import Proof, unproved
from ufm.proofs.scalars import least

Claim = Mapping[str, str] | None
Matrix = Any
"""Rows of exact numbers: lists of any of them, or an array of floats."""


def crossed_point(l_W: Any, l_H: Any, B: Any, size: Any, D: Matrix, classes: int) -> tuple[list, list, list]:
    """W, H and H0 of a stationary point of the proximity model whose class means are on the other side of zero than those of H0.

    H = e_1 (s, -s, 0, ...) (x) 1^T + D and W = r (e_1 - e_2) e_1^T, r = s/(2 s^2 + l_W); H0 with p/B D, p = B + l_H, and
    s_0 = -(l_W s/(2 s^2 + l_W)^2 - p s)/B in the place of s.

    Args:
      D: (d, K n) exact deviations of zero class means; their first row is zero. size: s.
    """
    l_W, l_H, B, s = map(rational, (l_W, l_H, B, size))
    n, p = len(D[0]) // classes, B + l_H
    r, opposite = s / (2 * s**2 + l_W), -(l_W * s / (2 * s**2 + l_W) ** 2 - p * s) / B
    column = [r, -r, *[rational(0)] * (classes - 2)]
    W = [[entry, *[rational(0)] * (len(D) - 1)] for entry in column]

    def features(mean: Any, share: Any) -> list:
        rows = [[share * rational(entry) for entry in row] for row in D]
        rows[0] = [mean if c < n else -mean if c < 2 * n else rational(0) for c in range(len(D[0]))]
        return rows

    return W, features(s, rational(1)), features(opposite, p / B)


def stationary_point_raises_nc1(
    l_W: Any, l_H: Any, B: Any, W: Matrix, H: Matrix, H0: Matrix, *, claim: Claim = None
) -> Proof:  # fmt: skip
    """Refutation of "NC1 is lower than at H0 at every stationary point": both gradients vanish exactly, and claimed < found.

    (W H - Y) H^T + n l_W W = 0 and W^T (W H - Y) + l_H H + B (H - H0) = 0; claimed = tr S_W/tr S_B at H0, found the same at H.
    """
    K, N = len(W), len(H[0])
    l_W, l_H, B, n = rational(l_W), rational(l_H), rational(B), N // K
    (in_W, w), (in_H, h), (in_H0, h0) = named("W", W), named("H", H), named("H0", H0)
    fit = combination(product(w, h), [[number(c // n == k) for c in range(N)] for k in range(K)], -1)
    where, fit = labelled("R", fit)
    dW = combination(product(fit, transposed(h)), w, n * l_W)
    dH = combination(combination(product(transposed(w), fit), h, l_H), combination(h, h0, -1), B)
    facts: list[Fact] = [Equal(entry, number(0)) for row in [*dW, *dH] for entry in row if entry.operation != "number"]
    if any(entry.parts[0] != 0 for row in [*dW, *dH] for entry in row if entry.operation == "number"):
        return unproved("the gradient is not zero at the point")
    names = [*in_W, *in_H, *in_H0, *where, ("claimed", _nc1(h0, K)), ("found", _nc1(h, K))]
    what = (
        f"NC1 is higher than at H0 at a stationary point of the proximity model: K = {K}, n = {n}, lW = {shown(l_W)}, "
        f"lH = {shown(l_H)}, B = {shown(B)}"
    )
    return refutation(what, [*facts, Less(name("claimed"), name("found"))], names, claim=claim)


def aligned_is_beaten(
    l_W: Any, l_H: Any, B: Any, modes: Sequence[tuple[Any, Any]], unseen: Any, W: Matrix, H: Matrix, H0: Matrix, *,
    claim: Claim = None,
) -> Proof:  # fmt: skip
    """Refutation of "aligned features have an aligned minimiser": found = f at (W, H) < claimed, a bound of all aligned points.

    A mode of mean m and variability v at the singular value w of W, best features inserted, is worth n/(2N) times

        l_W w^2 + 1 + B (m^2 + v^2) - ((w + B m)^2 + (B v)^2)/(w^2 + p),    p = B + l_H,

    above its name for |w| <= 1, and for |w| >= 1 by the reversed polynomial in 1/w. D_perp adds B l_H/(2 p N) of its square.

    Args:
      modes: (m, v^2) of each. unseen: |D_perp|^2. W, H, H0: exact numbers, columns ordered by classes.
    """
    K, N = len(W), len(H[0])
    l_W, l_H, B, n = rational(l_W), rational(l_H), rational(B), N // K
    p = B + l_H
    bounds: Names = []
    facts: list[Fact] = []
    for k, (m, square) in enumerate(modes, 1):
        b, e, constant = B * rational(m), B**2 * rational(square), 1 + B * (rational(m) ** 2 + rational(square))
        ends = []
        for sign in (1, -1):
            inside = l_W * x**2 + constant - ((x + sign * b) ** 2 + e) / (x**2 + p)
            found = least(inside, 0, 1 + 2 * constant / l_W, digits=12)
            if not found.proved:
                return unproved(f"mode {k}: {found.reason}")
            ends.append(rational(found.lower))
            v = name(f"mode{k}")
            inner_part = (l_W * x**2 + constant - v) * (x**2 + p) - (x + sign * b) ** 2 - e
            outer_part = (l_W + (constant - v) * x**2) * (1 + p * x**2) - x**2 * ((1 + sign * b * x) ** 2 + e * x**2)
            facts += [Above(part, (0, 1), number(0)) for part in (inner_part, outer_part)]
        bounds.append((f"mode{k}", number(min(ends))))
    (in_W, w), (in_H, h), (in_H0, h0) = named("W", W), named("H", H), named("H0", H0)
    where, fit = labelled("R", combination(product(w, h), [[number(c // n == k) for c in range(N)] for k in range(K)], -1))
    apart = combination(h, h0, -1)
    value = (inner(fit, fit) + n * l_W * inner(w, w) + l_H * inner(h, h) + B * inner(apart, apart)) / (2 * N)
    aligned = (n * total([name(label) for label, _ in bounds]) + B * l_H / p * rational(unseen)) / (2 * N)
    names = [*in_W, *in_H, *in_H0, *bounds, *where, ("claimed", aligned), ("found", value)]
    what = (
        f"a point is below every aligned one of the proximity model: K = {K}, n = {n}, lW = {shown(l_W)}, lH = {shown(l_H)}, "
        f"B = {shown(B)}"
    )
    return refutation(what, [*facts, Less(name("found"), name("claimed"))], names, claim=claim)


def centred_supports_are_beaten(
    supports: Matrix, lowered: Matrix, dual: Matrix, left: Matrix, right: Matrix, *, claim: Claim = None
) -> Proof:  # fmt: skip
    """Refutation of "the centred supports P S are the max-margin solution": P S' is feasible and of smaller nuclear norm.

    claimed = <P S, Y> <= |P S|_* as I - Y Y^T is positive definite; |P S'|_* <= found = (|F|^2 + |G|^2)/2 + sqrt(r) |P S' - F G|,
    r its smaller side; logits of a support are equal in S', and one or more above the others of the context.

    Args:
      supports, lowered: S of zeros and ones and S', (V, m). dual: Y. left, right: F and G.
    """
    V, m = len(supports), len(supports[0])
    (in_S, s), (in_L, low), (in_Y, y) = named("S", supports), named("L", lowered), named("Y", dual)
    (in_F, f), (in_G, g) = named("F", left), named("G", right)
    names: Names = [*in_S, *in_L, *in_Y, *in_F, *in_G]
    exact = known(names)[1]
    facts: list[Fact] = []
    for j in range(m):
        column = [(supports[v][j] != 0, low[v][j]) for v in range(V)]
        inside, outside = ([logit for in_support, logit in column if in_support is kind] for kind in (True, False))
        facts += [Equal(*pair) for pair in pairwise(inside)]
        for logit in outside:
            margin = inside[0] - logit
            facts.append(Equal(margin, number(1)) if margin.exact(exact) == 1 else Less(number(1), margin))
    centred, lower = (combination(A, [[total([row[j] for row in A]) for j in range(m)]] * V, -rational(1) / V) for A in (s, low))
    square = product(y, transposed(y))
    facts.append(PositiveDefinite(tuple(tuple(_symmetric(square, i, j) for j in range(V)) for i in range(V))))
    rest = combination(lower, product(f, g), -1)
    bound = (inner(f, f) + inner(g, g)) / 2 + sqrt(min(V, m) * inner(rest, rest))
    names += [("claimed", inner(centred, y)), ("found", bound)]
    what = f"logits of smaller nuclear norm than the centred supports have all margins of next-token prediction: V = {V}, m = {m}"
    return refutation(what, [*facts, Less(name("found"), name("claimed"))], names, claim=claim)


def _symmetric(square: Rows, i: int, j: int) -> Expression:
    """An entry of I - A, written alike on both sides of the diagonal."""
    return number(i == j) - square[min(i, j)][max(i, j)]


def _nc1(H: Rows, classes: int) -> Expression:
    """tr S_W / tr S_B = sum_ki |h_ki - mean_k|^2 / sum_ki |mean_k - mean|^2, columns ordered by classes."""
    n = len(H[0]) // classes
    means = [[total(row[k * n : (k + 1) * n]) / n for k in range(classes)] for row in H]
    within = total([(h - mean[c // n]) ** 2 for row, mean in zip(H, means, strict=True) for c, h in enumerate(row)])
    between = total([(entry - total(mean) / classes) ** 2 for mean in means for entry in mean])
    return within / (n * between)
