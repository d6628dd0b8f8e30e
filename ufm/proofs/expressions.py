"""Expressions of one variable in exact numbers, written in Python, evaluated in balls, and kept in a file as nested lists.

    1 - x, x**3, exp(-x), log(1 + 9 * exp(-x)), number("0.1"), name("s")

A number is an int, a float to its last bit, a Fraction or a decimal string. A name stands for a number that a file gives a name
to. As a list an expression is a string (a number, a name, or "x") or [operation, expression, ...].
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

import numpy as np

from ufm.base.checks import check_choice, check_count, refuse
from ufm.proofs.exact import ball, flint, raised, rational, text

OPERATIONS = ("+", "-", "*", "/", "^", "exp", "log", "sqrt", "abs")


def _entrywise(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operation, which leaves an array of the other side to NumPy, entry by entry."""

    @wraps(operation)
    def applied(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else operation(self, other)

    return applied


@dataclass(frozen=True, eq=False)
class Expression:
    """One operation on parts: "number" of an fmpq, "name" of a string, "x", "^" of an expression and an int, or of `OPERATIONS`."""

    operation: str
    parts: tuple[Any, ...] = ()

    @_entrywise
    def __add__(self, other: Any) -> "Expression":
        return _sum((self, _lifted(other)))

    @_entrywise
    def __radd__(self, other: Any) -> "Expression":
        return _sum((_lifted(other), self))

    def __neg__(self) -> "Expression":
        return number(-self.parts[0]) if self.operation == "number" else Expression("-", (self,))

    @_entrywise
    def __sub__(self, other: Any) -> "Expression":
        other = _lifted(other)
        return self + (-other) if "number" in (self.operation, other.operation) else Expression("-", (self, other))

    @_entrywise
    def __rsub__(self, other: Any) -> "Expression":
        return _lifted(other) + (-self)

    @_entrywise
    def __mul__(self, other: Any) -> "Expression":
        return _product((self, _lifted(other)))

    @_entrywise
    def __rmul__(self, other: Any) -> "Expression":
        return _product((_lifted(other), self))

    @_entrywise
    def __truediv__(self, other: Any) -> "Expression":
        other = _lifted(other)
        if other.operation == "number":
            return _product((number(1 / other.parts[0]), self))
        return ZERO if _is(self, 0) else Expression("/", (self, other))

    @_entrywise
    def __rtruediv__(self, other: Any) -> "Expression":
        return _lifted(other) / self

    def __pow__(self, power: int) -> "Expression":
        check_count("power", power, 0)
        if power < 2:
            return self if power else ONE
        return number(self.parts[0] ** power) if self.operation == "number" else Expression("^", (self, power))

    def tree(self) -> Any:
        """The expression as nested lists of strings."""
        if self.operation == "number":
            return text(self.parts[0])
        if self.operation in ("name", "x"):
            return self.parts[0] if self.parts else "x"
        if self.operation == "^":
            return ["^", self.parts[0].tree(), str(self.parts[1])]
        return [self.operation, *(part.tree() for part in self.parts)]

    def slope(self) -> "Expression":
        """The derivative in x, another expression.

        Raises:
          ValueError: where an absolute value of x is in it.
        """
        return self._slope

    @cached_property
    def _slope(self) -> "Expression":
        operation, parts = self.operation, self.parts
        if operation in ("number", "name", "x"):
            return ONE if operation == "x" else ZERO
        first = parts[0]
        if operation == "+":
            return _sum(tuple(part.slope() for part in parts))
        if operation == "-":
            return -first.slope() if len(parts) == 1 else first.slope() - parts[1].slope()
        if operation == "*":
            return _sum(tuple(_product((*parts[:i], part.slope(), *parts[i + 1 :])) for i, part in enumerate(parts)))
        if operation == "/":
            return first.slope() / parts[1] - first * parts[1].slope() / parts[1] ** 2
        if operation == "^":
            return parts[1] * first ** (parts[1] - 1) * first.slope()
        inner = first.slope()
        if _is(inner, 0):
            return ZERO
        if operation == "abs":
            refuse("expression", "abs of x", "differentiable to have a slope")
        return self * inner if operation == "exp" else inner / first if operation == "log" else inner / (2 * self)

    def evaluate(self, names: Mapping[str, Any], x: Any = None, lift: Callable[[Any], Any] = ball) -> Any:
        """The value in the arithmetic of the names, of x and of `lift`, which makes a number of that arithmetic of an fmpq.

        Raises:
          ValueError: for a name that is not among the names, or x where there is none.
        """
        operation, parts = self.operation, self.parts
        if operation == "number":
            return lift(parts[0])
        if operation in ("name", "x"):
            key = parts[0] if parts else "x"
            value = x if operation == "x" else names.get(key)
            return refuse("expression", key, "of known names") if value is None else value
        if operation == "^":
            return raised(parts[0].evaluate(names, x, lift), parts[1])
        values = [part.evaluate(names, x, lift) for part in parts]
        total = values[0]
        if operation in ("+", "*"):
            for value in values[1:]:
                total = total + value if operation == "+" else total * value
            return total
        if operation == "-":
            return -total if len(values) == 1 else total - values[1]
        if operation == "/":
            return total / values[1]
        return abs(total) if operation == "abs" else getattr(total, operation)()

    def at(self, point: "Expression") -> "Expression":
        """The expression with another in the place of x."""
        if self.operation in ("number", "name", "x"):
            return point if self.operation == "x" else self
        parts: list[Any] = [part.at(point) if isinstance(part, Expression) else part for part in self.parts]
        first = parts[0]
        if self.operation in ("+", "*"):
            return (_sum if self.operation == "+" else _product)(tuple(parts))
        if self.operation == "^":
            return first ** parts[1]
        if self.operation in ("-", "/") and len(parts) == 2:
            return first - parts[1] if self.operation == "-" else first / parts[1]
        return -first if self.operation == "-" else Expression(self.operation, (first,))

    def exact(self, names: Mapping[str, Any]) -> Any:
        """The fmpq that an expression of rational names without x is, or None where it is not rational as it is written."""
        if self._uses(lambda e: e.operation in ("exp", "log", "sqrt", "x") or e.operation == "name" and e.parts[0] not in names):
            return None
        return self.evaluate(names, None, rational)

    def _uses(self, asked: Callable[["Expression"], bool]) -> bool:
        return asked(self) or any(part._uses(asked) for part in self.parts if isinstance(part, Expression))


ZERO, ONE = Expression("number", (0,)), Expression("number", (1,))
x = Expression("x")
"""The variable."""


def number(value: Any) -> Expression:
    """An exact number: an int, a float to its last bit, a Fraction, an fmpq or a decimal string.

    Raises:
      ValueError: for what is no finite number.
    """
    return Expression("number", (rational(value),))


def name(label: str) -> Expression:
    """The number that a file gives this name to.

    Raises:
      ValueError: for what a reader could take for a number, the variable or an operation.
    """
    if not label.isidentifier() or label in ("x", "inf", "nan", *OPERATIONS):
        refuse("label", label, "a word that is neither x nor an operation")
    return Expression("name", (label,))


def exp(of: Any) -> Expression:
    """e to the power of an expression."""
    return Expression("exp", (_lifted(of),))


def log(of: Any) -> Expression:
    """The natural logarithm."""
    return Expression("log", (_lifted(of),))


def sqrt(of: Any) -> Expression:
    """The square root."""
    return Expression("sqrt", (_lifted(of),))


def power(base: Any, exponent: Any) -> Expression:
    """base^exponent for a positive base and any exact exponent, as exp(exponent log base)."""
    return exp(_lifted(exponent) * log(base))


def total(parts: Sequence[Any]) -> Expression:
    """The sum of any number of expressions."""
    return _sum(tuple(map(_lifted, parts)))


def of_tree(tree: Any) -> Expression:
    """The expression that nested lists of strings are.

    Raises:
      ValueError: for what is no expression.
    """
    if isinstance(tree, str):
        if tree == "x":
            return x
        if tree.isidentifier():
            return name(tree)
        mantissa, _, exponent = tree.partition("*2^")
        return number(rational(mantissa) * flint().fmpq(2) ** int(exponent or 0))
    if not isinstance(tree, list | tuple) or len(tree) < 2:
        refuse("tree", tree, "a string or [operation, expression, ...]")
    check_choice("the operation of a tree", tree[0], OPERATIONS)
    if tree[0] == "^":
        return Expression("^", (of_tree(tree[1]), int(tree[2])))
    return Expression(tree[0], tuple(map(of_tree, tree[1:])))


def _lifted(value: Any) -> Expression:
    return value if isinstance(value, Expression) else number(value)


def _is(expression: Expression, value: int) -> bool:
    return expression.operation == "number" and expression.parts[0] == value


def _sum(parts: tuple[Expression, ...]) -> Expression:
    """Numbers added exactly, sums made flat."""
    flat = [p for part in parts for p in (part.parts if part.operation == "+" else (part,))]
    constant = sum((p.parts[0] for p in flat if p.operation == "number"), rational(0))
    kept = [p for p in flat if p.operation != "number"]
    kept += [] if constant == 0 and kept else [number(constant)]
    return kept[0] if len(kept) == 1 else Expression("+", tuple(kept))


def _product(parts: tuple[Expression, ...]) -> Expression:
    """Numbers multiplied exactly, products made flat."""
    flat = [p for part in parts for p in (part.parts if part.operation == "*" else (part,))]
    constant = rational(1)
    for part in flat:
        constant = constant * part.parts[0] if part.operation == "number" else constant
    kept = [p for p in flat if p.operation != "number"]
    if constant == 0 or not kept:
        return number(constant)
    kept = kept if constant == 1 else [number(constant), *kept]
    return kept[0] if len(kept) == 1 else Expression("*", tuple(kept))
