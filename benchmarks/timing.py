"""How times are taken: compilation apart, wall and CPU time of the process, the median of a few runs."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Timed(NamedTuple):
    """A result with the seconds that it took. compile_s: to trace and compile, None where nothing was compiled."""

    result: Any
    wall_s: float
    cpu_s: float
    compile_s: float | None = None


def timed(work: Callable[[], Any], repeats: int = 1) -> Timed:
    """Run work, wait for its arrays, and take medians over the repeats."""
    walls, cpus, result = [], [], None
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        result = jax.block_until_ready(work())
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timed(result, statistics.median(walls), statistics.median(cpus))


def timed_program(function: Callable, *arguments: Any, repeats: int = 3) -> Timed:
    """Compile a function for its arguments, call it once to warm up, and time it after."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    compiled = time.perf_counter() - start
    jax.block_until_ready(program(*arguments))
    return timed(lambda: program(*arguments), repeats)._replace(compile_s=compiled)
