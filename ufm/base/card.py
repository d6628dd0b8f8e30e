"""Card: a value at the prompt, in a title, facts, a verdict in words and a citation; as text and as HTML for Jupyter.

A room draws the cards of its own values in its `cards.py`, by `describe`; `ufm.explain` adds what the theory knows of them.
"""

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import is_traced

_WIDTH = 110
_VALUE_WIDTH = 34


class Fact(NamedTuple):
    """One line of a card: what a number is called, the number as text, what it means."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True, repr=False)
class Card:
    """What a value is. Prints as text, shows as HTML in Jupyter.

    title: what it is. facts: the numbers that matter. verdict: what they say, and what to do. source: whom to cite, or "".
    """

    title: str
    facts: tuple[Fact, ...]
    verdict: str
    source: str = ""

    def text(self) -> str:
        """The card in lines of at most 110 characters, where words are shorter."""
        names = max((len(fact.name) for fact in self.facts), default=0) + 2
        values = min(max((len(fact.value) for fact in self.facts), default=0), _VALUE_WIDTH)
        lines = [self.title]
        for name, value, meaning in self.facts:
            column = values + 2 if meaning and len(value) <= values else 0
            lines += _wrapped(f"{name:>{names}}: {value:<{values}}  {meaning}".rstrip(), names + 2 + column)
        lines += _wrapped(self.verdict, 2)
        return "\n".join(lines + (_wrapped(f"Source: {self.source}", 2) if self.source else []))

    def html(self) -> str:
        """The card as a table and paragraphs, in the colours of the page around it."""
        body = table(("", "value", "meaning"), self.facts, self.title) if self.facts else paragraph(self.title)
        return body + paragraph(self.verdict) + (paragraph(f"Source: {self.source}") if self.source else "")

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, bold: Sequence[bool] = ()) -> str:
    """An HTML table that screen readers read by rows and columns: the first cell of a row is its header.

    Args:
      head: names of the columns. rows: cells of text. caption: what the table is.
      bold: which rows stand out; none by default.
    """
    left = 'style="text-align:left;padding:.2em .6em"'
    top = "".join(f'<th scope="col" {left}>{html.escape(name)}</th>' if name else "<td></td>" for name in head)
    body = ""
    for i, (first, *others) in enumerate(rows):
        cells = "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in others)
        strong = ' style="font-weight:bold"' if bold and bold[i] else ""
        body += f'<tr{strong}><th scope="row" {left}>{html.escape(first)}</th>{cells}</tr>'
    title = f'<caption style="text-align:left;font-weight:bold">{html.escape(caption)}</caption>'
    return f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def paragraph(text: str) -> str:
    """An HTML paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def numbers(x: Any) -> np.ndarray | None:
    """The numbers of an array, None where they are not known: traced values, and shapes that stand for arrays."""
    if is_traced(x) or isinstance(x, jax.ShapeDtypeStruct):
        return None
    values = np.asarray(x)
    return None if values.dtype == object else values


def shown(x: Any, digits: int = 6) -> str:
    """A number as a reader would write it, or the range of those of many lanes, and how many of them are not finite."""
    values = numbers(x)
    if values is None:
        return "traced"
    values = values.ravel()
    if values.size == 0:
        return "none"
    if values.dtype == bool:
        return f"{values.sum()} of {values.size}" if values.size > 1 else "yes" if values[0] else "no"
    if not np.issubdtype(values.dtype, np.integer):
        digits = min(digits, int(jnp.finfo(values.dtype).precision))
        values = values.astype(float)
    if values.size == 1:
        return _number(values[0], digits)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"no finite number in {values.size}"
    low, high = (_number(end, digits) for end in (finite.min(), finite.max()))
    missing = f" ({values.size - finite.size} of {values.size} not finite)" if finite.size < values.size else ""
    return (low if low == high else f"{low} to {high}") + missing


def lanes(shape: tuple[int, ...]) -> str:
    """How many values are stacked, for a title: "" for one."""
    return f", {' x '.join(map(str, shape))} lanes" if shape else ""


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def cited(sources: Iterable[str]) -> str:
    """The first three of some citations, each once, and how many more there are."""
    different = list(dict.fromkeys(sources))
    return "; ".join(different[:3]) + (f"; and {len(different) - 3} more" if len(different) > 3 else "")


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _number(value: Any, digits: int) -> str:
    if isinstance(value, np.integer):
        return str(value)
    if np.isnan(value):
        return "NaN"
    return f"{value:.{digits}g}" if np.isfinite(value) else "infinity" if value > 0 else "-infinity"


def _wrapped(line: str, indent: int) -> list[str]:
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": " " * indent}
    return textwrap.wrap(line, _WIDTH, **options)
