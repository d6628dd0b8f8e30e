"""The harness: finds the workloads, runs them, prints and keeps every row; a workload that fails does not stop the rest."""

import argparse
import importlib
import json
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

import benchmarks
from benchmarks.claims import Verdict, judge
from benchmarks.machine import describe_machine, limited_threads
from benchmarks.row import Row
from benchmarks.table import claims_table, environment_list, heading, line
from ufm.base.checks import check_choice, check_count, check_positive, refuse

FAILED = "failed"
_LIMIT, _QUICK_LIMIT = 60.0, 3.0


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; exit code 0 for success, 1 where a workload failed, 2 for input that was refused."""
    options = _parser().parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        limit = options.limit if options.limit is not None else _QUICK_LIMIT if options.quick else _LIMIT
        names = _checked(options.workloads, options.json, options.threads, limit)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    with limited_threads(options.threads):
        return _run(names, options.quick, limit, options.threads, options.json)


def workloads() -> dict[str, str]:
    """The module of each workload by its name: {"W1": "benchmarks.w1_balanced", ...}, in the order of their numbers."""
    modules = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] == "w" and m.name[1:2].isdigit()]
    modules.sort(key=lambda name: int(name[1:].split("_")[0]))
    return {name.split("_")[0].upper(): f"benchmarks.{name}" for name in modules}


def measured(name: str, quick: bool, limit: float, threads: int) -> Iterator[Row]:
    """The rows of a workload as they come; where it raises, a last row of method "failed" with the error."""
    try:
        for row in _load(name).rows(quick, limit):
            yield row if row.threads is not None else replace(row, threads=threads)
    except Exception as error:  # whatever it is: the other workloads go on
        traceback.print_exc()
        text = " ".join(str(error).split())
        yield Row(name, "", FAILED, threads=threads, note=f"{type(error).__name__}: {text}")


def judged(rows: list[Row]) -> list[Verdict]:
    """Every claim of every workload against the rows."""
    return [judge(claim, rows) for name in workloads() for claim in getattr(_load(name), "CLAIMS", ())]


def _load(name: str) -> ModuleType:
    return importlib.import_module(workloads()[name])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="ufm beside its peers, in one run.")
    parser.add_argument("workloads", nargs="*", metavar="W1", help="which workloads to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number to a JSON file")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of ufm and of its peers (default: 1)")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="of one run of a peer (default: 60, quick 3)")
    return parser


def _checked(names: list[str], json_file: Path | None, threads: int, limit: float) -> list[str]:
    """The names in capitals, all where none is given; what can't be run is refused before anything is."""
    names = [name.upper() for name in names]
    for name in names:
        check_choice("workload", name, tuple(workloads()))
    check_count("threads", threads, 1)
    check_positive("limit", limit)
    if json_file is not None and not json_file.resolve().parent.is_dir():
        refuse("json", str(json_file), "a file in a folder that exists")
    return names or list(workloads())


def _run(names: list[str], quick: bool, limit: float, threads: int, json_file: Path | None) -> int:
    environment = describe_machine(threads) | {"sizes": "quick" if quick else "full", "limit": f"{limit:g} s a run of a peer"}
    print(f"# Benchmark of ufm\n\n{environment_list(environment)}", flush=True)
    rows: list[Row] = []
    for name in names:
        print(heading(name, _first_sentence(name)), flush=True)
        for row in measured(name, quick, limit, threads):
            rows.append(row)
            print(line(row), flush=True)
        verdicts = judged(rows)
        if json_file is not None:
            _write(json_file, {"environment": environment, "rows": rows, "claims": verdicts})
    print(claims_table(verdicts), flush=True)
    return 1 if any(row.method == FAILED for row in rows) else 0


def _first_sentence(name: str) -> str:
    """What the rows measure: the docstring of the workload up to its first empty line."""
    try:
        return " ".join((_load(name).__doc__ or "").split("\n\n")[0].split())
    except Exception as error:  # its rows say so too
        return f"{type(error).__name__}: {error}"


def _write(path: Path, report: dict[str, Any]) -> None:
    """Replace the file by the report as a whole, after every workload: a run that is killed leaves the last complete one."""
    plain = report | {
        "rows": [row.to_json() for row in report["rows"]],
        "claims": [verdict._asdict() for verdict in report["claims"]],
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(plain, indent=1) + "\n")
    part.replace(path)
