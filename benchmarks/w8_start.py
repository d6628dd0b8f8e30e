"""W8: start-up in fresh processes: imports, the first closed form, the first minimum, and `ufm verify` cold and warm.

Processes of the same kind alternate and medians are shown; files of Python's bytecode are there before the clock runs.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import jax

from benchmarks.row import Row

_START_LIMIT, _VERIFY_LIMIT = 120.0, 900.0  # these are no runs of a peer, whose limit may be shorter than an import
_PLAIN, _JAX, _UFM = "python -c pass", "import jax, optax", "import ufm"
_FIRST = """
import json, time
import ufm, jax
problem = ufm.Problem.balanced(classes=4, per_class=100, widths=(64,), l2_W=5e-4, l2_H=5e-4)
seconds = {}
for name, work in {
    "first ufm.predict": lambda: ufm.predict(problem),
    "second ufm.predict": lambda: ufm.predict(problem),
    "first ufm.solve": lambda: ufm.solve(problem, jax.random.key(0)),
    "second ufm.solve": lambda: ufm.solve(problem, jax.random.key(1)),
}.items():
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(work())
    seconds[name] = (time.perf_counter() - wall, time.process_time() - cpu)
print(json.dumps(seconds))
"""


class Ended(NamedTuple):
    """A process that ended: its output, seconds, and exit code, None where it was stopped at the limit."""

    output: str
    wall_s: float
    cpu_s: float
    code: int | None


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """Imports and first calls; the whole of verify where not quick. Processes have limits of their own."""
    repeats = 1 if quick else 7
    programs = {_PLAIN: "pass", _JAX: _JAX, _UFM: _UFM}
    python(_UFM)  # writes what bytecode is missing
    ended: dict[str, list[Ended]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, text in programs.items():
            ended[name].append(python(text))
    walls = {name: median(one.wall_s for one in all_of) for name, all_of in ended.items()}
    for name, all_of in ended.items():
        above = {"figure": walls[name] / walls[_JAX], "unit": f"of {_JAX}"} if name == _UFM else {}
        cpu_s = median(one.cpu_s for one in all_of)
        yield Row("W8", name, "fresh process", wall_s=walls[name], cpu_s=cpu_s, note=_runs(all_of), **above)
    first = [python(_FIRST) for _ in range(1 if quick else 5)]
    seconds = [json.loads(one.output) for one in first if one.code == 0]
    for name in seconds[0] if seconds else ():
        wall_s, cpu_s = (median(one[name][i] for one in seconds) for i in range(2))
        case = f"{name}, mse M=1 K=4 n=100 d=64"
        yield Row("W8", case, "fresh process", wall_s=wall_s, cpu_s=cpu_s, device=jax.default_backend(), note=_runs(first))
    if not quick:
        yield from verify_rows((), _VERIFY_LIMIT)


def verify_rows(names: Sequence[str], limit: float) -> Iterator[Row]:
    """`ufm verify --cache` of the named theorems (none: all) with an empty cache of compiled programs, then with a full one."""
    what = " ".join(("ufm verify", *names))
    with tempfile.TemporaryDirectory() as home:
        for state in ("cold", "warm"):
            ended = run([sys.executable, "-m", "ufm", "verify", "--cache", *names], limit, HOME=home)
            row = Row("W8", f"{what}, {state}", "fresh process", wall_s=ended.wall_s, cpu_s=ended.cpu_s, note=_runs([ended]))
            yield Row(**{**vars(row), "device": jax.default_backend(), "limited": ended.code is None})


def python(text: str) -> Ended:
    """Run a program in a fresh Python with float64."""
    return run([sys.executable, "-c", text], _START_LIMIT, JAX_ENABLE_X64="1")


def run(command: list[str], limit: float, **variables: str) -> Ended:
    """Run a command as the user's shell would, with some variables set; past the limit it is ended with its children."""
    inherited = {name: x for name, x in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "XLA_FLAGS")}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        command, env=inherited | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    code: int | None = None
    try:
        output = process.communicate(timeout=limit)[0]
        code = process.returncode
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output = process.communicate()[0]
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ended(output, wall_s, cpu_s, code)


def _runs(all_of: Sequence[Ended]) -> str:
    bad = [one for one in all_of if one.code != 0]
    if not bad:
        return f"median of {len(all_of)} runs" if len(all_of) > 1 else ""
    last = bad[0].output.strip().splitlines()[-1:]
    return "stopped at the limit" if bad[0].code is None else f"exit code {bad[0].code}: {' '.join(last)}"
