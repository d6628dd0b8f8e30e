"""The catalogue as text: a table for people, and the README's Markdown table."""

from typing import Any

from ufm.theory.registry import families, family_of, select


def catalogue_table() -> Any:
    """A rich table of every entry: id, family, status, claim."""
    from rich.table import Table

    table = Table(show_edge=False, title="The catalogue (`ufm theorems NAME` explains one)", title_justify="left")
    for name in ("theorem", "family", "status", "claim"):
        table.add_column(name, no_wrap=name != "claim")
    for theorem in select():
        table.add_row(theorem.id, family_of(theorem), theorem.status, theorem.claim)
    return table


def markdown_table() -> str:
    """The README's table, a row a theorem by family; `tests/test_house.py` keeps the README in step with it."""
    lines = ["| id | claim | source | status |", "| --- | --- | --- | --- |"]
    for ids in families().values():
        lines += [f"| `{t.id}` | {_cell(t.claim)} | {_cell(t.source)} | {t.status} |" for t in select(ids)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
