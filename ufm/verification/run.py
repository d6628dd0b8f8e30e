"""Verification: predicted against measured for entries of the catalogue, default and random cases alike."""

import gc
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ufm.base.checks import MANY, check_count, check_seed, refuse
from ufm.base.environment import describe_environment
from ufm.base.precision import full_precision
from ufm.base.programs import make_room
from ufm.theory.registry import catalogue, select
from ufm.theory.theorem import Theorem, key_of
from ufm.verification.report import CaseResult, Entry, Report


def verify(
    *names: str | Theorem,
    family: str | None = None,
    cases: int = 0,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    processes: bool = False,
) -> Report:
    """Hold theorems against measurements, in float64 whatever the caller's default.

    Args:
      *names: ids of theorems, and theorems of your own, in any mixture; all of the catalogue by default.
      family: only this family (a folder of ufm/theory).
      cases: random cases to draw for each theorem that has a sampler, on top of its fixed ones.
      seed: of random cases and random starts.
      progress: called as progress(theorem id, theorems done, theorems in all) after every theorem.
      processes: on a CPU, work in processes of their own in place of threads, which takes half the time; a script that asks
        for them must guard its main part with `if __name__ == "__main__"`. Theorems of your own keep to threads: their
        functions do not travel.

    Returns:
      Report. Without a sound compiler (see `ufm.base.canary`) it has no entries: nothing is certified.

    Raises:
      ValueError: for an unknown theorem or family, two theorems of one id, or a negative number of cases.
    """
    theorems = select(names, family)
    by_id = {theorem.id: theorem for theorem in theorems}
    for theorem in theorems:
        if by_id[theorem.id] is not theorem:
            refuse("theorem", theorem.id, "one theorem: two that differ have this id")
    check_count("cases", cases, 0, MANY)
    check_seed("seed", seed)
    start = time.perf_counter()
    with jax.enable_x64(True):
        environment = describe_environment()
    if environment["canary"] != "sings":
        return Report((), environment, time.perf_counter() - start)
    makers: list[Callable[[], Executor]]
    task: Callable[..., tuple[CaseResult, ...]]
    jobs: dict[str, tuple]
    several = min(2, os.cpu_count() or 1, len(theorems))
    known = all(catalogue().get(theorem.id) is theorem for theorem in theorems)
    if processes and known and jax.default_backend() == "cpu":
        # a process looks entries up by their id: functions do not travel
        makers, task = [lambda: ProcessPoolExecutor(1, get_context("spawn"), _collect_rarely)] * several, _results_by_id
        jobs = {theorem.id: (theorem.id, cases, seed) for theorem in theorems}
    else:
        makers, task = [lambda: ThreadPoolExecutor(1)] * several, _results
        jobs = {theorem.id: (theorem, cases, seed) for theorem in theorems}
    others = set(active_children())
    with ExitStack() as stack:
        workers = [stack.enter_context(make()) for make in makers]
        with _deaf_to_interrupts():
            for worker in workers:
                worker.submit(int)  # the first task starts the process
        own = set(active_children()) - others
        results = _from_both_ends(workers, task, jobs, progress, own)
    entries = tuple(Entry(theorem, results[theorem.id]) for theorem in theorems)
    return Report(entries, environment, time.perf_counter() - start)


def _from_both_ends(workers: list[Executor], task: Callable, jobs: dict[str, tuple], progress: Callable | None, own: set) -> dict:
    """Results of all jobs, of which one worker takes the first left and the other the last.

    Neighbours in the catalogue share compiled programs, so each worker compiles its own end of it. An interrupt ends the
    workers' own processes; threads end with the theorem that they are at.
    """
    waiting, results = deque(jobs), {}

    def serve(worker: Executor, take: Callable) -> None:
        while waiting:
            name = take()
            results[name] = worker.submit(task, *jobs[name]).result()
            if progress is not None:
                progress(name, len(results), len(jobs))

    with ThreadPoolExecutor(len(workers)) as servers:
        served = [servers.submit(serve, *each) for each in zip(workers, (waiting.popleft, waiting.pop), strict=False)]
        try:
            for future in served:
                future.result()
        except BaseException:
            waiting.clear()  # nobody takes another one
            for process in own:
                process.terminate()
            raise
    return results


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes begun meanwhile do not hear Ctrl-C, which a terminal sends to all: they are ended by the one that began them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _collect_rarely() -> None:
    """Tracing makes many objects and few cycles: Python's collector would take a tenth of the time to find that out."""
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)


def _results_by_id(name: str, draws: int, seed: int) -> tuple[CaseResult, ...]:
    return _results(catalogue()[name], draws, seed)


def _results(theorem: Theorem, draws: int, seed: int) -> tuple[CaseResult, ...]:
    """Results of the fixed cases and as many random ones as asked for."""
    # BLAS threads of two workers on few cores wait for one another
    with jax.enable_x64(True), threadpool_limits(limits=1, user_api="blas"):
        closed_form = theorem.closed_form()
        return tuple(_result(theorem, closed_form, label, make, seed) for label, make in _all_cases(theorem, draws, seed))


def _all_cases(theorem: Theorem, draws: int, seed: int) -> list[tuple[str, Callable[[], Any]]]:
    """Labels, and functions that make the cases: one that cannot be made is a result like any other."""
    try:
        cases: list[tuple[str, Callable[[], Any]]] = [(label, partial(_given, case)) for label, case in theorem.cases().items()]
    except Exception as error:
        cases = [("cases", partial(_raise, error))]
    if theorem.draw is None:
        return cases
    name = int.from_bytes(theorem.id.encode(), "little") % 2**32
    drawn = [(f"random {seed}.{i}", partial(theorem.draw, np.random.default_rng([seed, i, name]))) for i in range(draws)]
    return [*cases, *drawn]


def _given(case: Any) -> Any:
    return case


def _raise(error: Exception) -> None:
    raise error


@full_precision
def _result(theorem: Theorem, closed_form: Callable, label: str, make: Callable[[], Any], seed: int) -> CaseResult:
    start = time.perf_counter()
    make_room()
    try:
        case = make()
        measured = theorem.measure(case, key_of(seed, theorem.id, label))
        checks = theorem.evidence(case, closed_form(case), measured)
        plain = tuple(c._replace(error=float(c.error), tolerance=float(c.tolerance)) for c in checks)
        return CaseResult(label, plain, time.perf_counter() - start)
    except Exception as error:  # one broken case must not hide the others: its sentence is the result
        return CaseResult(label, (), time.perf_counter() - start, f"{type(error).__name__}: {error}")
