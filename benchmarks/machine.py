"""The machine: its threads, which are the same for ufm and for its peers, and what a table must say of it.

One thread by default. XLA takes the size of its pool on the CPU from NPROC when the backend starts, OpenMP (PyTorch) from
OMP_NUM_THREADS, BLAS from threadpoolctl. One thread is no handicap for small programs: with NPROC=1 a program of a
millisecond takes half the CPU time that it takes with a pool of two (0.9 against 1.6 ms), whose threads wait on each other.
"""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import threadpool_limits

from ufm.base.checks import check_count
from ufm.base.environment import describe_environment

_VARIABLES = ("NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Give XLA, BLAS and PyTorch this many threads, inside the context; XLA only if its backend has not started yet.

    Raises:
      ValueError: if count is not a whole number of at least 1.
    """
    check_count("threads", count, 1)
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, str(count)))
    torch = sys.modules.get("torch")  # loaded later, it reads the variables
    torch_before = torch.get_num_threads() if torch else None
    try:
        if torch:
            torch.set_num_threads(count)
        with threadpool_limits(count):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if torch:
            torch.set_num_threads(torch_before)


def describe_machine(threads: int) -> dict[str, str]:
    """The environment of ufm, the processor, the threads, and the versions of the peers."""
    return describe_environment() | {
        "processor": _processor(),
        "threads": str(threads),
        "torch": _version("torch"),
        "scipy": _version("scipy"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The model name that Linux gives, what the platform says elsewhere."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
