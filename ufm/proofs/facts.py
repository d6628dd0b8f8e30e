"""Facts about explicit numbers, each verified in balls before it is written down, and the proofs that are lists of facts.

    Less(a, b)                  a < b
    Equal(a, b)                 one rational number
    Root(of, between)           of(x) has strict signs, opposite at the two ends, and its slope one strict sign: exactly one root
    Above(of, on, value)        of(x) > value for every x of [lo, hi], hi may be infinite
    PositiveDefinite(rows)      a symmetric matrix

A fact says why it fails: it is false, or not decided at the bits at hand. Either way nothing is claimed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Any

from ufm.proofs.definite import bad_pivot
from ufm.proofs.exact import ball, flint, fraction, precision, rational, text
from ufm.proofs.expressions import Expression
from ufm.proofs.proof import FORMAT, Proof, unproved
from ufm.proofs.rays import Ray, ray_of

BOXES = 4000
"""How many boxes `Above` looks at before it gives up."""

Where = Sequence[tuple[str, Expression]]
Known = Mapping[str, Any]


@dataclass(frozen=True)
class Less:
    """a < b, for expressions without x."""

    a: Expression
    b: Expression

    def failure(self, balls: Known, exact: Known) -> str:
        """Why the fact is not established, or the empty string."""
        del exact
        a, b = self.a.evaluate(balls), self.b.evaluate(balls)
        return "" if a < b else f"{_shown(a)} < {_shown(b)} is " + ("false" if a >= b else "not decided")

    def tree(self) -> Any:
        """As a file writes it."""
        return {"less": [self.a.tree(), self.b.tree()]}


@dataclass(frozen=True)
class Equal:
    """a = b, for rational expressions."""

    a: Expression
    b: Expression

    def failure(self, balls: Known, exact: Known) -> str:
        """Why the fact is not established, or the empty string."""
        a, b = self.a.exact(exact), self.b.exact(exact)
        if a is None or b is None:
            return f"{_shown(self.a.evaluate(balls))} = {_shown(self.b.evaluate(balls))} is not decided: not rational as written"
        return "" if a == b else f"{text(a)} = {text(b)} is false"

    def tree(self) -> Any:
        """As a file writes it."""
        return {"equal": [self.a.tree(), self.b.tree()]}


@dataclass(frozen=True)
class Root:
    """Exactly one root of an expression between two rationals: opposite strict signs, and a slope of one strict sign."""

    of: Expression
    between: tuple[Any, Any]

    def failure(self, balls: Known, exact: Known) -> str:
        """Why the fact is not established, or the empty string."""
        del exact
        low, high = map(rational, self.between)
        signs = [_sign(self.of.evaluate(balls, ball(end))) for end in (low, high)]
        if signs[0] * signs[1] != -1:
            return f"the signs at {_shown(ball(low))} and {_shown(ball(high))} are " + ("equal" if all(signs) else "not decided")
        steady = _sign(self.of.slope().evaluate(balls, hull(low, high)))
        return "" if steady else f"the slope between {_shown(ball(low))} and {_shown(ball(high))} is not shown to keep its sign"

    def tree(self) -> Any:
        """As a file writes it."""
        return {"root": {"of": self.of.tree(), "between": [text(end) for end in self.between]}}


@dataclass(frozen=True)
class Above:
    """of(x) > value on [lo, hi], by boxes: the value of a box, or at the end that its slope points to, or the mean value form."""

    of: Expression
    on: tuple[Any, Any]
    value: Expression

    def failure(self, balls: Known, exact: Known) -> str:
        """Why the fact is not established, or the empty string."""
        del exact
        slope, value = self.of.slope(), self.value.evaluate(balls)
        low, high = rational(self.on[0]), self.on[1]
        boxes = [(low, high if isinstance(high, float) and isinf(high) else rational(high))]
        for _ in range(BOXES):
            if not boxes:
                return ""
            low, high = boxes.pop()
            if self.holds(low, high, slope, value, balls):
                continue
            middle = 2 * max(low, rational(1)) if isinstance(high, float) else (low + high) / 2
            at = self.of.evaluate(balls, ball(middle))
            if at <= value:
                return f"false at x = {_shown(ball(middle))}, where it is {_shown(at)} and not above {_shown(value)}"
            boxes += [(middle, high), (low, middle)]
        return f"not decided in {BOXES} boxes, the last at x = {_shown(ball(boxes[-1][0]))}"

    def holds(self, low: Any, high: Any, slope: Expression, value: Any, balls: Known) -> bool:
        """Whether one box, with an expression's slope and the ball of its value, is enough between two ends."""
        if isinstance(high, float):
            rays, x = {key: ray_of(known) for key, known in balls.items()}, Ray(ball(low).lower(), inf)
            over, tilt = (e.evaluate(rays, x, lambda q: ray_of(ball(q))).lower() for e in (self.of, slope))
            return over > value or (tilt >= 0 and self.of.evaluate(balls, ball(low)) > value)
        x = hull(low, high)
        if self.of.evaluate(balls, x) > value:
            return True
        tilt = slope.evaluate(balls, x)
        if tilt >= 0 or tilt <= 0:
            return self.of.evaluate(balls, ball(low if tilt >= 0 else high)) > value
        middle = ball((low + high) / 2)
        return self.of.evaluate(balls, middle) + tilt * (x - middle) > value

    def tree(self) -> Any:
        """As a file writes it."""
        ends = ["inf" if isinstance(end, float) and isinf(end) else text(end) for end in self.on]
        return {"above": {"of": self.of.tree(), "on": ends, "value": self.value.tree()}}


@dataclass(frozen=True)
class PositiveDefinite:
    """A symmetric matrix whose pivots are all positive (Sylvester); rows of expressions without x."""

    rows: tuple[tuple[Expression, ...], ...]

    def failure(self, balls: Known, exact: Known) -> str:
        """Why the fact is not established, or the empty string."""
        del exact
        trees = [[entry.tree() for entry in row] for row in self.rows]
        if trees != [list(column) for column in zip(*trees, strict=True)]:
            return "the matrix is not symmetric as it is written"
        bad = bad_pivot([[entry.evaluate(balls) for entry in row] for row in self.rows])
        if bad is None:
            return ""
        return f"pivot {bad[0] + 1} of the matrix is " + ("not positive" if bad[1] <= 0 else "not decided")

    def tree(self) -> Any:
        """As a file writes it."""
        return {"positive definite": [[entry.tree() for entry in row] for row in self.rows]}


Fact = Less | Equal | Root | Above | PositiveDefinite


def order(a: Expression, b: Expression, where: Where = (), bits: int = 400) -> Fact | None:
    """Which of a < b, b < a and a = b is a fact, exactly where both are rational; None where so many bits do not decide."""
    candidates: tuple[Fact, ...] = (Less(a, b), Less(b, a), Equal(a, b))
    with precision(bits):
        balls, exact = known(where)
        one, other = a.exact(exact), b.exact(exact)
        if one is not None and other is not None:
            return candidates[2 if one == other else int(one > other)]
        return next((fact for fact in candidates[:2] if not fact.failure(balls, exact)), None)


def established(
    kind: str, statement: str, facts: Sequence[Fact], where: Where = (), *, bits: int = 320,
    lower: Any = None, upper: Any = None, claim: Mapping[str, str] | None = None,
) -> Proof:  # fmt: skip
    """The proof that a list of facts is, once all of them hold in balls of so many bits; else why there is none.

    Args:
      kind: "root", "refutation" or "identity". statement: one sentence. facts: what it rests on.
      where: (name, expression) in order, for numbers that the facts are about; later ones may use earlier ones.
      lower, upper: rationals between which the value lies, where the proof is of one.
      claim: words about what the proof is for, such as the theorem.
    """
    try:
        with precision(bits):
            balls, exact = known(where)
            failure = next(filter(None, (fact.failure(balls, exact) for fact in facts)), "")
    except ZeroDivisionError as error:
        failure = f"an expression of the facts divides by zero ({error})"
    if failure:
        return unproved(f"{statement}: {failure}")
    document: dict[str, Any] = {"format": FORMAT, "kind": kind, "statement": statement, "made_by": {"bits": str(bits)}}
    document |= {"claim": dict(claim)} if claim else {}
    document |= {"where": [[label, e.tree()] for label, e in where], "facts": [fact.tree() for fact in facts]}
    ends = [None if end is None else fraction(rational(end)) for end in (lower, upper)]
    return Proof(kind, statement, ends[0], ends[1], document=document)


def refutation(
    statement: str, facts: Sequence[Fact], where: Where = (), *, bits: int = 320, claim: Mapping[str, str] | None = None
) -> Proof:
    """The proof that a claim is wrong at explicit numbers: strict inequalities that contradict it (`Less`, `Above`, ...)."""
    return established("refutation", statement, facts, where, bits=bits, claim=claim)


def identity(
    statement: str, pairs: Sequence[tuple[Expression, Expression]], where: Where = (), *, claim: Mapping[str, str] | None = None
) -> Proof:
    """The proof that two expressions are one number at a rational point, pair by pair."""
    return established("identity", statement, [Equal(a, b) for a, b in pairs], where, claim=claim)


def known(where: Where) -> tuple[dict[str, Any], dict[str, Any]]:
    """The balls of all names, and the rationals of those that are rational.

    Raises:
      ValueError: for a name given twice.
    """
    balls: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    for label, expression in where:
        if label in balls:
            raise ValueError(f"where must give every name once, got {label!r} twice")
        value = expression.exact(exact)
        balls[label] = expression.evaluate(balls) if value is None else ball(value)
        exact |= {} if value is None else {label: value}
    return balls, exact


def hull(low: Any, high: Any) -> Any:
    """The ball from one rational to another."""
    return ball(low).union(ball(high))


def _sign(x: Any) -> int:
    return 1 if x > 0 else -1 if x < 0 else 0


def _shown(x: Any) -> str:
    return str(flint().arb(x).str(8, radius=False))
