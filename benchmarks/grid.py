"""One sweep of the grid of W4 in a process of its own, which takes all the cores that it is given.

The harness holds its own process to one thread, so that single runs compare; a grid is what the cores are for.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ufm.sweeps.program import Program

FROM, TO = 1e-4, 1e-2
_ROOT = Path(__file__).parent.parent
_PINNED = "import os, sys; c = sys.argv[1]; c and os.sched_setaffinity(0, set(map(int, c.split(',')))); "
_SWEEP = _PINNED + "from ufm.cli.program import main; sys.exit(main(sys.argv[2:]))"
_MEASURE = _PINNED + "from benchmarks.grid import measure; measure(sys.argv[2])"


def run_grid(job: dict[str, Any], cores: Sequence[int]) -> dict[str, Any]:
    """What `measure` prints of a job, from a process on these cores (all, where there are none to choose)."""
    command = [sys.executable, "-c", _MEASURE, ",".join(map(str, cores)), json.dumps(job)]
    done = subprocess.run(command, cwd=_ROOT, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def start_sweep(cores: Sequence[int], *arguments: str) -> subprocess.Popen:
    """`ufm sweep` in a process on these cores."""
    command = [sys.executable, "-c", _SWEEP, ",".join(map(str, cores)), "sweep", *arguments]
    return subprocess.Popen(command, cwd=_ROOT, env=_environment(), stdout=subprocess.DEVNULL)


def measure(text: str) -> None:
    """Sweep the grid of a job and print its times as JSON.

    The job: {"depth": M, "points": a side, "seeds": random starts, "options": {"batch": ..., "chunk": ...},
    "order": "grid" or "difficulty" or None}.
    """
    import jax

    import ufm
    from ufm.base.environment import prefer_quick_compilation
    from ufm.sweeps.order import difficulty

    job = json.loads(text)
    prefer_quick_compilation()
    jax.config.update("jax_enable_x64", True)
    fn, gap = ("certified", "relative_gap") if job["depth"] == 1 else ("agreement", "excess")
    problem = ufm.Problem.balanced(classes=4, per_class=100, widths=(64,) * job["depth"], l2_W=5e-4, l2_H=5e-4)
    axes = {name: np.geomspace(FROM, TO, job["points"]) for name in ("l2_W", "l2_H")}
    options = dict(job["options"])
    if job["order"]:
        options["order"] = {"grid": _in_grid_order, "difficulty": difficulty}[job["order"]]
    clock = _Clock()
    found = ufm.sweep(fn, problem, axes, seeds=job["seeds"], progress=False, **options)
    figures = {
        **clock.figures(),
        "gap": float(np.nanmax(np.abs(found[gap]))),
        "failed": int(np.count_nonzero(found["status"])),
        "lanes": found["status"].size,
        "device": jax.default_backend(),
    }
    print(json.dumps(figures))


class _Clock:
    """Times of a sweep: before its first lane begins (tracing and compiling), and from there to the end of its last."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.first: tuple[float, float] | None = None
        self.last = (0.0, 0.0)
        self.guard = threading.Lock()
        run = Program.run

        def timed(program: Program, chunks: list) -> list:
            with self.guard:
                program.compile()
                self.first = self.first or (time.perf_counter(), time.process_time())
            done = run(program, chunks)
            self.last = (time.perf_counter(), time.process_time())
            return done

        Program.run = timed

    def figures(self) -> dict[str, float]:
        """Seconds: compile before the first lane, wall and cpu of the lanes."""
        wall, cpu = (after - before for after, before in zip(self.last, self.first, strict=True))
        return {"compile": self.first[0] - self.begun, "wall": wall, "cpu": cpu}


def _in_grid_order(problem: Any) -> Any:
    return 0 * problem.l2_H


def _environment() -> dict[str, str]:
    """That of this process without the harness's limits on threads."""
    limits = ("NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if name not in limits}
