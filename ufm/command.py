"""What the commands share: a --json option, a progress bar on terminals, a report that is printed and written."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json FILE."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to a JSON file")


def carry_out(options: argparse.Namespace, text: str, work: Callable[[Callable], Any]) -> Any:
    """Work under a progress bar, print the report that comes out, write its `to_json()` where --json asks.

    Args:
      options: with `json`, a path or None; refused before any work if its folder does not exist.
      text: what the bar says.
      work: called with progress(done, total, text=None); returns the report.

    Returns:
      The report.

    Raises:
      ValueError: for a --json file in a folder that does not exist; whatever the work raises.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    if options.json is not None and not options.json.resolve().parent.is_dir():
        raise ValueError(f"--json must name a file in a folder that exists, got {str(options.json)!r}")
    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(text, total=None)

        def progress(done: int, total: int, text: str = text) -> None:
            bar.update(task, description=text, completed=done, total=total)

        report = work(progress)
    show(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    return report


def show(printed: Any) -> None:
    """Print on the terminal's width, 150 columns elsewhere."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 150).print(printed)
