"""Verification: predicted against measured for entries of the catalogue, default and random cases alike."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ufm.checks import check_count
from ufm.environment import describe_environment
from ufm.report import CaseResult, Entry, Report
from ufm.theory.catalogue import select
from ufm.theory.theorem import Check, Theorem, key_of


def verify(
    *names: str,
    family: str | None = None,
    cases: int = 0,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Hold theorems against measurements, in float64 whatever the caller's default.

    Args:
      *names: ids of theorems; all of them by default.
      family: only this family (a folder of ufm/theory).
      cases: random cases to draw for each theorem that has a sampler, on top of its fixed ones.
      seed: of random cases and random starts.
      progress: called as progress(theorem id, cases done, cases in all) after every case.

    Returns:
      Report. Without a sound compiler (see `ufm.canary`) it has no entries: nothing is certified.

    Raises:
      ValueError: for an unknown theorem or family, or a negative number of cases.
    """
    theorems = select(names, family)
    check_count("cases", cases, 0)
    check_count("seed", seed, 0)
    start = time.perf_counter()
    with jax.enable_x64(True):
        environment = describe_environment()
        if environment["canary"] != "sings":
            return Report((), environment, time.perf_counter() - start)
        jobs = [(theorem, label, case) for theorem in theorems for label, case in _all_cases(theorem, cases, seed)]
    results: dict[str, list[CaseResult | None]] = {theorem.id: [] for theorem in theorems}
    for theorem, *_ in jobs:
        results[theorem.id].append(None)

    def run(theorem: Theorem) -> None:
        own = [(label, case) for other, label, case in jobs if other is theorem]
        closed_form = jax.jit(theorem.predict)
        for i, (label, case) in enumerate(own):
            with jax.enable_x64(True):
                results[theorem.id][i] = _run_case(theorem, closed_form, label, case, seed)
            if progress is not None:
                progress(theorem.id, sum(r is not None for rs in results.values() for r in rs), len(jobs))

    # BLAS threads of two workers on few cores wait for one another; compilation and runs release the GIL
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        list(pool.map(run, theorems))
    entries = tuple(Entry(theorem, tuple(results[theorem.id])) for theorem in theorems)
    return Report(entries, environment, time.perf_counter() - start)


def _all_cases(theorem: Theorem, draws: int, seed: int) -> list[tuple[str, Any]]:
    fixed = list(theorem.cases().items())
    if theorem.draw is None:
        return fixed
    name = int.from_bytes(theorem.id.encode(), "little") % 2**32
    return fixed + [(f"random {seed}.{i}", theorem.draw(np.random.default_rng([seed, i, name]))) for i in range(draws)]


def _run_case(theorem: Theorem, closed_form: Callable, label: str, case: Any, seed: int) -> CaseResult:
    start = time.perf_counter()
    try:
        measured = theorem.measure(case, key_of(seed, theorem.id, label))
        checks = theorem.evidence(case, closed_form(case), measured)
        plain = tuple(Check(c.kind, c.name, float(c.error), float(c.tolerance)) for c in checks)
        return CaseResult(label, plain, time.perf_counter() - start)
    except Exception as error:  # one broken case must not hide the others: its sentence is the result
        return CaseResult(label, (), time.perf_counter() - start, f"{type(error).__name__}: {error}")
