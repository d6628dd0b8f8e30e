"""Run the notebooks from their sources, top to bottom, and keep what they print and draw.

    python notebooks/run.py              all of them, at full size, into the .ipynb files beside their sources
    python notebooks/run.py 03 10        two of them
    python notebooks/run.py --quick      all of them at reduced sizes and two at a time, as a test: nothing is written

Exit code 1 if a cell fails or warns. Needs `pip install -e '.[notebooks]'`.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ufm.base.environment import prefer_quick_compilation

FOLDER = Path(__file__).parent
_CELL_SECONDS = 600


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks whose names begin as asked; 0 where all of them ran without an error or a warning."""
    parser = argparse.ArgumentParser(prog="python notebooks/run.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NN", help="the first letters of names (default: all)")
    parser.add_argument("--quick", action="store_true", help="reduced sizes; write nothing")
    options = parser.parse_args(arguments)
    sources = [p for p in sorted(FOLDER.glob("[0-9]*.py")) if not options.names or p.name.startswith(tuple(options.names))]
    if not sources:
        parser.error(f"no notebook begins with {' or '.join(options.names)}")
    if options.quick:
        os.environ["UFM_QUICK"] = "1"
        prefer_quick_compilation(short_runs=True)

    def run(source: Path) -> bool:
        start = time.perf_counter()
        notebook, error = execute(source)
        if not options.quick:
            nbformat.write(notebook, source.with_suffix(".ipynb"))
        print(f"{source.stem:40} {time.perf_counter() - start:6.1f} s  {error or 'ok'}", flush=True)
        return not error

    with ThreadPoolExecutor(2 if options.quick else 1) as kernels:  # one at a time where figures of speed are kept
        return 0 if all(list(kernels.map(run, sources))) else 1


def execute(source: Path) -> tuple[nbformat.NotebookNode, str]:
    """The notebook of a source with its outputs, and what went wrong, "" where nothing did."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):  # the same file for the same outputs
        cell["id"] = f"cell-{i:02d}"
    where = {"metadata": {"path": FOLDER}}
    options = {"timeout": _CELL_SECONDS, "record_timing": False, "coalesce_streams": True}
    client = NotebookClient(notebook, kernel_name="python3", resources=where, **options)
    try:
        client.execute()
    except CellExecutionError as error:
        return notebook, str(error).strip()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for output in outputs:  # what shows as a table or a figure needs no bare representation beside it
        if {"text/html", "image/png"} & set(output.get("data", {})):
            output["data"].pop("text/plain", None)
    said = [output["text"] for output in outputs if output.get("name") == "stderr"]
    return notebook, f"printed to stderr: {said[0].strip()}" if said else ""


if __name__ == "__main__":
    sys.exit(main())
