"""Scalar equations of closed forms, each a function of exact numbers that returns a proof of its root or least value.

c is the geometric mean of the L = M + 1 ridges. Only their product enters, which is rational, so that thresholds are decided
exactly for the numbers given. That the scalar is the minimum of the whole problem is the theorem's, proved on paper or not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import inf, prod
from typing import Any, NamedTuple

from ufm.base.checks import check_choice, check_count, refuse
from ufm.proofs.exact import ball, below, flint, precision, rational, rounded, shown, text
from ufm.proofs.expressions import Expression, exp, log, name, number, power, sqrt, total, x
from ufm.proofs.facts import Above, Fact, Less, Where, established, order, refutation
from ufm.proofs.interlaced import interlaced
from ufm.proofs.proof import Proof, unproved
from ufm.proofs.scalars import Enclosed, bits_for, closed, enclosed, least, root


def mode_power(square: Any, samples: Any, ridges: Sequence[Any], weight: Any = 1) -> Any:
    """beta^(M+1) = N^(M+1) prod l / (gamma^(M+1) mu^M), an fmpq, of a mode of squared singular value mu and weight gamma."""
    factors = _factors(ridges)
    return (rational(samples) / rational(weight)) ** factors * _product(ridges) / rational(square) ** (factors - 1)


def mode_tie(depth: int) -> Any:
    """beta^(M+1) at which a mode of squared error is worth as much as zero: (M-1)^(M-1) / M^(2M), an fmpq; 1 for M = 1."""
    check_count("depth", depth, 1)
    return flint().fmpq((depth - 1) ** (depth - 1), depth ** (2 * depth))


def mode_spinodal(depth: int) -> Any:
    """beta^(M+1) up to which a mode has a root: ((M+1)/(2M))^(M+1) ((M-1)/(2M))^(M-1), an fmpq; 1 for M = 1."""
    check_count("depth", depth, 1)
    return flint().fmpq((depth + 1) ** (depth + 1) * (depth - 1) ** (depth - 1), (2 * depth) ** (2 * depth))


def mode_is_alive(square: Any, samples: Any, ridges: Sequence[Any], weight: Any = 1) -> bool:
    """Whether the minimum of a mode is not at zero: beta^(M+1) < (M-1)^(M-1) / M^(2M), exactly; at the tie it is not."""
    return bool(mode_power(square, samples, ridges, weight) < mode_tie(len(ridges) - 1))


def squared_error_modes(
    squares: Sequence[Any], samples: Any, ridges: Sequence[Any], *, weights: Sequence[Any] | None = None, rank: int | None = None,
    digits: int = 12, statement: str = "",
) -> Proof:  # fmt: skip
    """The sum of the least values of modes of squared error, which is min f by von Neumann's inequality where there is no bias.

    phi(sigma) = gamma/(2N) (sqrt(mu) - sigma)^2 + (L/2) c sigma^(2/L): gamma mu/(2N) at zero, else gamma mu/(2N) y (1 + M (1 - y))
    at the one root y < 1/M of log y + (M-1)/(M+1) log(1 - y) = log beta.

    Args:
      squares: mu of each mode: n_k of each class without a bias; n, K - 1 times, of equal classes with a free one.
      samples: N. ridges: of all L factors. weights: gamma of each mode, ones by default.
      rank: how many modes fit through the widths, all by default; the first so many are kept.
    """
    weights = [1] * len(squares) if weights is None else weights
    fitting = len(squares) if rank is None else rank
    M = _factors(ridges) - 1
    what = statement or f"the minimum of squared error by {len(squares)} modes, M = {M}, N = {samples}, {_words(ridges)}"
    modes = Counter((rational(mu), rational(g), i < fitting) for i, (mu, g) in enumerate(zip(squares, weights, strict=True)))
    found = _modes(modes, samples, ridges, digits)
    if isinstance(found, str):
        return unproved(f"{what}: {found}")
    where = [*found.where, ("lower", found.labels[0]), ("upper", found.labels[1])]
    return established("root", what, found.facts, where, bits=bits_for(digits + 3), lower=found.ends[0], upper=found.ends[1])


def squared_error_centred(
    counts: Sequence[Any], ridges: Sequence[Any], *, rank: int | None = None, digits: int = 12
) -> Proof:
    """min f of squared error with a free bias: modes of the eigenvalues mu of diag(n) - n n'/N, each enclosed between two sizes.

    What a mode costs rises with mu: it is bounded by modes of both ends of its interval.

    Args:
      counts: n of every class, N their sum. ridges: of all L factors. rank: how many modes fit through the widths.
    """
    M, N = _factors(ridges) - 1, sum(map(rational, counts), rational(0))
    what = f"the minimum of squared error, n = {', '.join(map(str, counts))}, free bias, M = {M}, {_words(ridges)}"
    eigenvalues = interlaced(counts, counts, digits + 4)
    if isinstance(eigenvalues, str):
        return unproved(f"{what}: {eigenvalues}")
    fitting = len(eigenvalues.ends) if rank is None else rank
    sides = []
    for side, prefix in enumerate(("low", "high")):
        modes = Counter((end[side], rational(1), i < fitting) for i, end in enumerate(eigenvalues.ends))
        found = _modes(modes, N, ridges, digits, prefix)
        if isinstance(found, str):
            return unproved(f"{what}: {found}")
        sides.append(found)
    low, high = sides
    where = [*low.where, *high.where, ("lower", low.labels[0]), ("upper", high.labels[1])]
    facts = [*eigenvalues.facts, *low.facts, *high.facts]
    return established("root", what, facts, where, bits=bits_for(digits + 4), lower=low.ends[0], upper=high.ends[1])


class _Modes(NamedTuple):
    """Ends of a sum of modes as numbers and as expressions of the names in where, and its facts."""

    ends: tuple[Any, Any]
    labels: tuple[Expression, Expression]
    where: list[tuple[str, Expression]]
    facts: list[Fact]


def _modes(modes: Counter, samples: Any, ridges: Sequence[Any], digits: int, prefix: str = "") -> _Modes | str:
    """The sum of the least values of modes (mu, gamma, whether it fits) with how often each is there, or why it is not enclosed."""
    M, bits = _factors(ridges) - 1, bits_for(digits + 3)
    where: list[tuple[str, Expression]] = [(f"{prefix}tie", number(mode_tie(M)))]
    facts: list[Fact] = []
    below_all: list[Expression] = []
    above_all: list[Expression] = []
    lower = upper = rational(0)
    for i, ((mu, gamma, fits), count) in enumerate(modes.items()):
        height, strength = count * gamma * mu / (2 * rational(samples)), mode_power(mu, samples, ridges, gamma)
        ends, labels = (height, height), (number(height), number(height))
        s, names = f"{prefix}strength{i}", (f"{prefix}lower{i}", f"{prefix}upper{i}")
        if fits:
            where.append((s, number(strength)))
            threshold = order(name(s), name(f"{prefix}tie"), [where[0], where[-1]])
            facts += [threshold] if threshold else []
        if fits and strength < mode_tie(M):
            labels = name(names[0]), name(names[1])
            with precision(bits):
                found = _mode(name(s), strength, M, height, where[-1:], digits + 2, names)
            if isinstance(found, str):
                return f"mode {i + 1}: {found}"
            facts += found.facts
            ends = found.lower, found.upper
            where += [(names[0], number(ends[0])), (names[1], number(ends[1]))]
        lower, upper = lower + ends[0], upper + ends[1]
        below_all, above_all = [*below_all, labels[0]], [*above_all, labels[1]]
    return _Modes((lower, upper), (total(below_all), total(above_all)), where, facts)


def _mode(
    strength: Expression, value: Any, M: int, height: Any, where: Where, digits: int, ends: tuple[str, str], last: Any = None
) -> Enclosed | str:
    """The root y = 1 - t of one living mode, below 1/M or another `last`, and the mode's value there."""
    start = below(ball(value).root(M + 1))
    start = rounded(start * (1 - rational(2) ** -20), 60 + int(start.q).bit_length() - int(start.p).bit_length())
    stationary = log(x) + Fraction(M - 1, M + 1) * log(1 - x) - Fraction(1, M + 1) * log(strength)
    worth = height * (x * (1 + M * (1 - x)))
    return enclosed(stationary, start, last or Fraction(1, M), digits=digits, value=worth, where=where, ends=ends)


def squared_error_balanced(
    classes: int, per_class: Any, ridges: Sequence[Any], *, bias: str = "none", l2_b: Any = None, rank: int | None = None,
    digits: int = 12,
) -> Proof:  # fmt: skip
    """min f of balanced squared error: K modes of mu = n without a bias, K - 1 with a free one.

    With a ridge on the bias one more of weight l_b/(1 + l_b): proved on paper for M = 1, numerical for M >= 2.
    """
    check_count("classes", classes, 2)
    check_choice("bias", bias, ("none", "free", "ridge"))
    if (l2_b is None) == (bias == "ridge") or (l2_b is not None and rational(l2_b) <= 0):
        refuse("l2_b", l2_b, "a number above 0 with a ridge on the bias, None otherwise")
    n, K = rational(per_class), classes
    mean = [] if bias == "free" else [rational(1) if l2_b is None else rational(l2_b) / (1 + rational(l2_b))]
    weights = [rational(1)] * (K - 1) + mean
    words = f"the minimum of balanced squared error, K = {K}, n = {text(n)}, M = {len(ridges) - 1}, bias {bias}, {_words(ridges)}"
    return squared_error_modes([n] * len(weights), K * n, ridges, weights=weights, rank=rank, digits=digits, statement=words)


def simplex_branch(classes: int, per_class: Any, ridges: Sequence[Any], *, digits: int = 12) -> Proof:
    """The value of balanced cross-entropy on M >= 2 layers at the simplex of the largest stationary margin, a critical point.

    (M-1)/(M+1) log a = log(e^a + K - 1) + log s, s = c n^(1/L), at its largest root, the one beyond the peak of the left side less
    the right; log(1 + (K-1) e^-a) + (L/2) s (K-1) a^(2/L) there. Where the peak is below zero there is no root: the reason given.
    """
    L, K = _factors(ridges), classes
    stationary = Fraction(L - 2, L) * log(x) - x - log(1 + (K - 1) * exp(-x)) - log(name("s"))
    words = f"the simplex branch of balanced cross-entropy, K = {K}, n = {per_class}, M = {L - 1}, {_words(ridges)}"
    start = simplex_peak(K, L - 1, digits)
    value = _ray(K, L, power(x, Fraction(1, L)), exp(-x))
    return root(stationary, start, inf, digits=digits, value=value, where=_strength(per_class, ridges), statement=words)


def simplex_peak(classes: int, depth: int, digits: int = 12) -> Any:
    """A rational just above the margin at which the simplex branch ends, a = p (1 + (K-1) e^-a), p = (M-1)/(M+1), for M >= 2."""
    check_count("classes", classes, 2)
    check_count("depth", depth, 2)
    p = Fraction(depth - 1, depth + 1)
    with precision(bits_for(digits)):
        found = enclosed(x - p * (1 + (classes - 1) * exp(-x)), 0, p * classes, digits=digits, value=x)
    if isinstance(found, str):
        raise ValueError(f"depth must be one whose branch has an end that {digits} digits tell, got {depth}: {found}")
    return found.root[1]


def simplex_ray(classes: int, per_class: Any, ridges: Sequence[Any], *, digits: int = 12) -> Proof:
    """The least value of balanced cross-entropy along the simplices of every margin a >= 0; for K = 2 that is min f.

    min over y >= 0 of log(1 + (K-1) e^(-y^L)) + (L/2) s (K-1) y^2, y = a^(1/L), s = c n^(1/L).
    """
    L = _factors(ridges)
    words = f"the least value along the simplices, cross-entropy, K = {classes}, n = {per_class}, M = {L - 1}, {_words(ridges)}"
    return least(_ray(classes, L, x, exp(-(x**L))), 0, inf, digits=digits, where=_strength(per_class, ridges), statement=words)


def simplex_tie(classes: int, depth: int, *, digits: int = 12) -> Proof:
    """The strength c n^(1/L) at which the simplex branch is worth log K, what zero is, for M >= 2 layers.

    log K = log(1 + (K-1) e^-a) + (L/2) a q, q = (K-1) e^-a / (1 + (K-1) e^-a), at its root beyond the peak, p = (M-1)/(M+1);
    a^p / (e^a + K - 1) there.
    """
    L, K = depth + 1, classes
    odds = (K - 1) * exp(-x)
    gain = log(number(K)) - log(1 + odds) - Fraction(L, 2) * x * (odds / (1 + odds))
    start, words = simplex_peak(K, depth, digits), f"the strength at which the simplex ties with zero, K = {K}, M = {depth}"
    strength = power(x, Fraction(L - 2, L)) * exp(-x) / (1 + odds)
    return root(gain, start, start + 5 * K.bit_length() + 5 * L, digits=digits, value=strength, statement=words)


def one_layer_cross_entropy(classes: int, per_class: Any, l2_W: Any, l2_H: Any, *, digits: int = 12) -> Proof:
    """min f of balanced cross-entropy on one layer: -(1 - (K-1) k) log(1 - (K-1) k) - (K-1) k log k, k^2 = n l_W l_H, or log K from
    K^2 n l_W l_H = 1 on.
    """
    K, square = classes, rational(per_class) * rational(l2_W) * rational(l2_H)
    words = f"the minimum of balanced cross-entropy, K = {K}, n = {per_class}, one layer, {_words((l2_W, l2_H))}"
    k, where = sqrt(name("square")), [("square", number(square))]
    p, threshold = 1 - (K - 1) * k, order(K**2 * name("square"), number(1), where)
    value = -(p * log(p)) - Fraction(K - 1, 2) * k * log(name("square")) if K**2 * square < 1 else log(number(K))
    return closed(value, digits=digits, where=where, facts=[threshold] if threshold else [], statement=words)


def simplex_is_beaten(
    classes: int, per_class: Any, ridges: Sequence[Any], where: Where, *, digits: int = 12, claim: Mapping[str, str] | None = None
) -> Proof:
    """Refutation of "the simplex is the minimum of deep cross-entropy": a value that is below that of every simplex, and of zero.

    found < claimed < log(1 + (K-1) e^-a) + (L/2) s (K-1) a^(2/L) for all a >= 0, claimed the lower end of `simplex_ray`.

    Args:
      where: names of which the last is "found", such as those of `ufm.proofs.objective.objective_expression`.
    """
    L, K = _factors(ridges), classes
    ray = simplex_ray(K, per_class, ridges, digits=digits)
    if not ray.proved:
        return ray
    words = f"a point is below every simplex: cross-entropy, K = {K}, n = {per_class}, M = {L - 1}, {_words(ridges)}"
    names: Where = [*where, *_strength(per_class, ridges), ("claimed", number(ray.lower))]
    above = Above(_ray(K, L, x, exp(-(x**L))), (0, inf), name("claimed"))
    return refutation(words, [above, Less(name("found"), name("claimed"))], names, claim=claim)


def largest_root_is_beaten(
    classes: int, per_class: Any, ridges: Sequence[Any], where: Where, *, digits: int = 12, claim: Mapping[str, str] | None = None
) -> Proof:
    """Refutation of "the largest stationary root is the minimum of deep squared error", M >= 2: found < (1 - t)(1 + M t)/2 at it.

    y = 1 - t is the one root of log y + (M-1)/(M+1) log(1 - y) = log beta up to the peak of the left side, y = (M+1)/(2M); below
    beta there is none, as there log(1 - y) < 0.

    Args:
      where: names of which the last is "found", such as those of `ufm.proofs.objective.objective_expression`.
    """
    M, n = _factors(ridges) - 1, rational(per_class)
    check_count("the number of layers", M, 2)
    what = f"a point is below the largest root: squared error, K = {classes}, n = {text(n)}, M = {M}, {_words(ridges)}"
    strength = mode_power(n, classes * n, ridges)
    if strength >= mode_spinodal(M):
        return unproved(f"{what}: there is no root, or a double one")
    names: list[tuple[str, Expression]] = [*where, ("strength", number(strength))]
    with precision(bits_for(digits + 3)):
        found = _mode(name("strength"), strength, M, Fraction(1, 2), names, digits, ("claimed", "above"), Fraction(M + 1, 2 * M))
    if isinstance(found, str):
        return unproved(f"{what}: {found}")
    names += [("claimed", number(found.lower)), ("above", number(found.upper))]
    facts = [*found.facts, Less(name("found"), name("claimed"))]
    return refutation(what, facts, names, bits=bits_for(digits + 3), claim=claim)


def _ray(K: int, L: int, y: Expression, odds: Expression) -> Expression:
    return log(1 + (K - 1) * odds) + Fraction(L * (K - 1), 2) * name("s") * y**2


def _strength(per_class: Any, ridges: Sequence[Any]) -> list[tuple[str, Expression]]:
    """s = c n^(1/L)."""
    return [("s", power(number(rational(per_class) * _product(ridges)), Fraction(1, len(ridges))))]


def _factors(ridges: Sequence[Any]) -> int:
    if len(ridges) < 2 or any(rational(l2) <= 0 for l2 in ridges):
        refuse("ridges", ridges, "at least two numbers above 0, that of H first")
    return len(ridges)


def _product(ridges: Sequence[Any]) -> Any:
    return prod(map(rational, ridges), start=rational(1))


def _words(ridges: Sequence[Any]) -> str:
    return "ridges " + ", ".join(map(shown, ridges))
