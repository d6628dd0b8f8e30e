"""Verification: predicted against measured for entries of the catalogue, default and random cases alike."""

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ufm.base.checks import MANY, check_count, check_seed, refuse
from ufm.base.environment import describe_environment
from ufm.base.precision import full_precision
from ufm.base.programs import make_room
from ufm.proofs import Proof
from ufm.theory.proving import ROUNDINGS
from ufm.theory.registry import catalogue, select
from ufm.theory.theorem import Check, Theorem, key_of
from ufm.verification.report import CaseResult, Entry, Report
from ufm.verification.worker import Worker


def verify(
    *names: str | Theorem,
    family: str | None = None,
    cases: int = 0,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    processes: bool = True,
    proofs: bool = False,
) -> Report:
    """Hold theorems against measurements, in float64 whatever the caller's default.

    Args:
      *names: ids of theorems, and theorems of your own, in any mixture; all of the catalogue by default.
      family: only this family (a folder of ufm/theory).
      cases: random cases to draw for each theorem that has a sampler, on top of its fixed ones.
      seed: of random cases and random starts.
      progress: called as progress(theorem id, theorems done, theorems in all) after every theorem.
      processes: on a CPU, work in processes of their own, which compile in half the time of threads here. Theorems of your own
        keep to threads: their functions do not travel.
      proofs: prove each instance too, where that can be done; a predicted value outside of what is proved fails.

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
    several = min(2, os.cpu_count() or 1)
    travels = processes and all(catalogue().get(theorem.id) is theorem for theorem in theorems) and jax.default_backend() == "cpu"
    parts = several if travels and len(theorems) == 1 else 1  # the cases of one theorem are shared out
    several = min(several, len(theorems) * parts)
    shares = {
        (theorem.id, part): (theorem.id if travels else theorem, cases, seed, proofs, part, parts)
        for theorem in theorems
        for part in range(parts)
    }
    with ExitStack() as stack:
        serve: list[Callable] = [_results] * several
        describe: Callable = _environment
        if travels:
            workers = [Worker() for _ in range(several)]
            for worker in workers:
                stack.callback(worker.end)
            serve = [partial(worker, _results_by_id) for worker in workers]
            describe = partial(workers[0], _environment)  # what is reported is where the numbers come from
        environment = describe()
        if environment["canary"] != "sings":
            return Report((), environment, time.perf_counter() - start)
        found = _from_both_ends(serve, shares, progress)
    entries = []
    for theorem in theorems:
        by_place = {place: result for part in range(parts) for place, result in found[theorem.id, part].items()}
        entries.append(Entry(theorem, tuple(by_place[place] for place in sorted(by_place))))
    return Report(tuple(entries), environment, time.perf_counter() - start)


def _from_both_ends(serve: list[Callable], shares: dict[tuple[str, int], tuple], progress: Callable | None) -> dict[tuple, dict]:
    """Results of all shares of theorems, of which one worker takes the first left and the other the last.

    Neighbours in the catalogue share compiled programs, so each worker compiles its own end of it. After an interrupt nobody
    takes another one.
    """
    waiting, results = deque(shares), {}
    theorems = len({name for name, _ in shares})

    def work(worker: Callable[..., dict], take: Callable[[], tuple[str, int]]) -> None:
        while waiting:
            share = take()
            results[share] = worker(*shares[share])
            left = {name for name, part in shares.keys() - results.keys()}
            if progress is not None and share[0] not in left:
                progress(share[0], theorems - len(left), theorems)

    threads = ThreadPoolExecutor(len(serve))
    try:
        served = [threads.submit(work, *each) for each in zip(serve, (waiting.popleft, waiting.pop), strict=False)]
        wait(served, return_when=FIRST_EXCEPTION)
    finally:
        waiting.clear()
        threads.shutdown(wait=False)
    for future in served:
        future.result()
    return results


def _environment() -> dict[str, str]:
    with jax.enable_x64(True):
        return describe_environment()


def _results_by_id(name: str, *rest: Any) -> dict[int, CaseResult]:
    return _results(catalogue()[name], *rest)


def _results(
    theorem: Theorem, draws: int, seed: int, proofs: bool = False, part: int = 0, parts: int = 1
) -> dict[int, CaseResult]:
    """Results, by their places, of the fixed cases and as many random ones as asked for; of one part of them where shared out."""
    # BLAS threads of two workers on few cores wait for one another
    with jax.enable_x64(True), threadpool_limits(limits=1, user_api="blas"):
        closed_form = theorem.closed_form()
        cases = _all_cases(theorem, draws, seed)
        kinds: dict[Any, int] = {}
        results = {}
        for place, (label, make) in enumerate(cases):
            kind = _structure(make.args[0]) if isinstance(make, partial) and make.func is _given else place
            if kinds.setdefault(kind, len(kinds)) % parts == part:  # cases of one structure share compiled programs
                results[place] = _result(theorem, closed_form, label, make, seed, proofs)
        return results


def _structure(case: Any) -> tuple:
    leaves, structure = jax.tree.flatten(case)
    return structure, tuple(np.shape(leaf) for leaf in leaves)


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
def _result(
    theorem: Theorem, closed_form: Callable, label: str, make: Callable[[], Any], seed: int, proofs: bool = False
) -> CaseResult:
    start = time.perf_counter()
    make_room()
    try:
        case = make()
        measured = theorem.measure(case, key_of(seed, theorem.id, label))
        predicted = closed_form(case)
        checks = theorem.evidence(case, predicted, measured)
        proof = theorem.proof_of(case, predicted) if proofs else None
        if proof is not None:
            checks += _inside(proof, predicted)
        plain = tuple(c._replace(error=float(c.error), tolerance=float(c.tolerance)) for c in checks)
        return CaseResult(label, plain, time.perf_counter() - start, proof=proof)
    except Exception as error:  # one broken case must not hide the others: its sentence is the result
        return CaseResult(label, (), time.perf_counter() - start, f"{type(error).__name__}: {error}")


def _inside(proof: Proof, predicted: Any) -> list[Check]:
    """Whether the value that is served lies in what was proved, up to a few roundings; no check where there is neither."""
    value = getattr(predicted, "value", None)
    if value is None or proof.lower is None or proof.upper is None:
        return []
    return [Check("proof", "value", proof.outside(float(value)), ROUNDINGS)]
