"""Entries: the theorems of the catalogue by id, which show themselves as a table, in the README too."""

from typing import Any

from ufm.base.card import table
from ufm.base.printed import Printed
from ufm.theory.theorem import Theorem

_HEADER = ("theorem", "family", "status", "claim")
_TITLE = "The catalogue (`ufm theorems NAME` or ufm.explain explain one)"


class Catalogue(Printed, dict[str, Theorem]):
    """Theorems by id, in the order of their families and files."""

    def rows(self) -> list[list[str]]:
        """Id, family, status and claim of every entry."""
        return [[theorem.id, family_of(theorem), theorem.status, theorem.claim] for theorem in self.values()]

    def markdown(self) -> str:
        """The README's table, a row a theorem; `tests/test_house.py` keeps the README in step with it."""
        rows = [[f"`{t.id}`", t.claim.replace("|", "\\|"), t.source.replace("|", "\\|"), t.status] for t in self.values()]
        return "\n".join(f"| {' | '.join(row)} |" for row in (["id", "claim", "source", "status"], ["---"] * 4, *rows))

    def __repr__(self) -> str:
        return str(self)

    def __rich__(self) -> Any:
        from rich.table import Table

        cells = Table(show_edge=False, title=_TITLE, title_justify="left")
        for name in _HEADER:
            cells.add_column(name, no_wrap=name != "claim")
        for row in self.rows():
            cells.add_row(*row)
        return cells

    def _repr_html_(self) -> str:
        return table(_HEADER, self.rows(), _TITLE)


def family_of(theorem: Theorem) -> str:
    """The folder below ufm/theory that holds the theorem, from the module that defines its closed form."""
    return theorem.predict.__module__.split(".")[2]
