"""What the commands share: a --json option, a progress bar on terminals, a report that is written and printed."""

import argparse
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ufm.base.checks import refuse

_ROOM = 1 << 20  # bytes of a report that a disk must have room for before the work begins


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json FILE."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to a JSON file")


def carry_out(options: argparse.Namespace, text: str, work: Callable[[Callable], Any]) -> Any:
    """Work under a progress bar, write the `to_json()` of the report that comes out where --json asks, and print it.

    Args:
      options: with `json`, a path or None; refused before any work where it cannot be written.
      text: what the bar says.
      work: called with progress(done, total, text=None); returns the report.

    Returns:
      The report.

    Raises:
      ValueError: for a --json file that cannot be written; whatever the work raises.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with _writable(options.json) as write:
        with bar:
            task = bar.add_task(text, total=None)

            def progress(done: int, total: int, text: str = text) -> None:
                bar.update(task, description=text, completed=done, total=total)

            report = work(progress)
        write(report)  # first: who reads what is printed may stop reading
    show(report)
    return report


@contextmanager
def _writable(file: Path | None) -> Iterator[Callable[[Any], None]]:
    """What writes a report to a file that was tried before: a disk without room and a folder are found before the work.

    What the file holds stays there until there is a report; where there was none, none is left without one.
    """
    if file is None:
        yield lambda report: None
        return
    there = file.exists()
    try:
        _try(file)
        yield lambda report: _fill(file, json.dumps(report.to_json(), indent=1) + "\n")
    except BaseException:
        if not there:
            file.unlink(missing_ok=True)
        raise


def _try(file: Path) -> None:
    try:
        with open(file, "ab") as stream:
            size = stream.tell()
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):  # a pipe or a device: a space does no harm in JSON
                stream.write(b" ")
                return
            try:
                stream.write(bytes(_ROOM))
                stream.flush()
                os.fsync(stream.fileno())
            finally:
                os.truncate(stream.fileno(), size)
    except OSError as error:
        raise ValueError(f"--json must name a file that can be written, got {str(file)!r}: {error.strerror}") from None


def _fill(file: Path, content: str) -> None:
    with open(file, "w") as stream:
        stream.write(content)


def folder_for(path: str | Path) -> Path:
    """The folder that proofs are saved in, made where it is not there, before any work.

    Raises:
      ValueError: for a path that cannot be a folder to write in.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".ufm"
        probe.touch()
        probe.unlink()
    except OSError as error:
        refuse("--proofs", str(path), f"a folder that can be written ({error.strerror})")
    return folder


def show(printed: Any) -> None:
    """Print on the terminal's width, 150 columns elsewhere.

    Raises:
      BrokenPipeError: where nobody reads any more.
    """
    from rich.console import Console

    if sys.stdout.isatty():
        Console().print(printed)
        return
    console = Console(width=150)
    with console.capture() as captured:
        console.print(printed)
    sys.stdout.write(captured.get())
    sys.stdout.flush()
