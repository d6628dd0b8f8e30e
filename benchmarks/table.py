"""Tables: the environment, rows as they come and the claims, in Markdown."""

from benchmarks.claims import Verdict
from benchmarks.row import Row

_COLUMNS = (("case", 43), ("method", 30), ("compile", 8), ("wall", 9), ("CPU", 9), ("gap", 8), ("figure", 12))
HEADER = (*(name for name, _ in _COLUMNS), "on", "note")


def environment_list(environment: dict[str, str]) -> str:
    """One bullet an entry."""
    return "\n".join(f"- {name}: {value}" for name, value in environment.items())


def heading(workload: str, text: str) -> str:
    """What the rows of a workload measure, as a title that begins with its name, and the head of its table."""
    rule = ["-" * width for _, width in _COLUMNS] + ["---", "---"]
    return f"\n## {workload}: {text.removeprefix(f'{workload}: ')}\n\n{_line(HEADER)}\n{_line(rule)}"


def line(row: Row) -> str:
    """A row of the table; times of a run that was stopped are lower bounds."""
    bound = "> " if row.limited else ""
    threads = "" if row.threads is None else f", {row.threads} thread{'s' if row.threads > 1 else ''}"
    figure = "" if row.figure is None else f"{row.figure:.4g} {row.unit}".strip()
    return _line(
        (
            row.case,
            row.method,
            seconds(row.compile_s),
            bound + seconds(row.wall_s) if row.wall_s is not None else "",
            bound + seconds(row.cpu_s) if row.cpu_s is not None else "",
            "" if row.gap is None else f"{row.gap:.0e}",
            figure,
            f"{row.dtype}{threads}, {row.device}",
            row.note,
        )
    )


def claims_table(verdicts: list[Verdict]) -> str:
    """The required ratios against what the rows show."""
    lines = ["\n## Claims\n", "What must be shown, worked out from the rows above.\n", "| claim | verdict |", "| --- | --- |"]
    return "\n".join(lines + [f"| {verdict.text} | {verdict.verdict} |" for verdict in verdicts])


def seconds(time: float | None) -> str:
    """Three digits and a unit: "412 us", "12.3 ms", "1.50 s"."""
    if time is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if time >= size:
            return f"{time / size:.3g} {unit}"
    return f"{time / 1e-6:.3g} us"


def _line(cells: tuple | list) -> str:
    widths = [width for _, width in _COLUMNS] + [0, 0]
    return "| " + " | ".join(cell.replace("|", "/").ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
