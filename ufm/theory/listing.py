"""The catalogue as the README's Markdown table."""

from ufm.theory.registry import families, select


def markdown_table() -> str:
    """The README's table, a row a theorem by family; `tests/test_house.py` keeps the README in step with it."""
    lines = ["| id | claim | source | status |", "| --- | --- | --- | --- |"]
    for ids in families().values():
        lines += [f"| `{t.id}` | {_cell(t.claim)} | {_cell(t.source)} | {t.status} |" for t in select(ids)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
