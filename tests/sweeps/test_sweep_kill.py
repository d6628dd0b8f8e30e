"""A sweep that is killed again and again, by several hands, ends with the bits of one that was not."""

import multiprocessing
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm.sweeps.store import Store

KILLS = 24
AXES = {"l2_W": np.geomspace(1e-4, 1e-2, 12), "l2_H": np.geomspace(1e-4, 1e-2, 20)}


def slowly(problem, key):
    """A search of a few milliseconds whose last bits depend on everything before."""
    x = jax.random.normal(key, (40, 40), problem.dtype) * problem.l2_W[0] + jnp.eye(40, dtype=problem.dtype)

    def step(loop):
        i, x = loop
        x = x @ x / jnp.linalg.norm(x) + problem.l2_H * jnp.cos(x)
        return i + 1, x / jnp.linalg.norm(x)

    return {"last": jax.lax.while_loop(lambda loop: loop[0] < 150, step, (0, x))[1].sum()}


def work(folder):
    """What a killed process was doing, and goes on with."""
    os.environ["XLA_FLAGS"] = ""
    jax.config.update("jax_enable_x64", True)
    problem = ufm.Problem.balanced(classes=3, per_class=1, widths=4, l2_W=1e-3, l2_H=1e-3)
    return ufm.sweep(slowly, problem, AXES, seeds=2, store=folder, chunk=2, progress=False)


def answer(folder, result):
    result.put(work(folder)["last"].to_numpy().tobytes())


def claims(folder, configuration, result):
    other = Store.create(folder, configuration, np.arange(4, dtype=np.uint32))
    result.put([other.claim(0), other.claim(1)])
    time.sleep(60)


@pytest.fixture(scope="module")
def processes():
    """Processes that begin with ufm loaded and no backend started, in which forking would be unsafe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ufm", "xarray", "tqdm.auto", "test_sweep_kill"])
    return context


@pytest.fixture(scope="module")
def uninterrupted(processes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = processes.Queue()
    processes.Process(target=answer, args=(folder, result)).start()
    return result.get(timeout=120), {path.name: path.read_bytes() for path in (folder / "chunks").iterdir()}


def test_killed_at_many_random_moments_it_resumes_with_the_same_bits(processes, uninterrupted, tmp_path):
    rng, chunks, kills = np.random.default_rng(0), tmp_path / "chunks", 0
    seen = set()
    for attempt in range(3 * KILLS):
        child = processes.Process(target=work, args=(tmp_path,))
        child.start()
        before = set(os.listdir(chunks)) if chunks.exists() else set()
        # most are killed at work, after a few more chunks whatever the speed of disk and processor, every sixth while it starts
        deadline = time.monotonic() + (60 if attempt % 6 else rng.uniform(0, 1))
        wanted = rng.integers(1, 5)
        while child.is_alive() and time.monotonic() < deadline:
            if chunks.exists() and len(set(os.listdir(chunks)) - before) >= wanted:
                break
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        for name in sorted(set(os.listdir(chunks)) - before if chunks.exists() else ()):
            if not name.startswith("."):
                assert (chunks / name).read_bytes() == uninterrupted[1][name], f"{name} is whole as soon as it is there"
                seen.add(name)
        if kills >= KILLS:
            break
    assert kills >= KILLS >= 20
    assert 0 < len(seen) < len(uninterrupted[1]), "the kills fell while it was at work"
    result = processes.Queue()
    processes.Process(target=answer, args=(tmp_path, result)).start()
    assert result.get(timeout=120) == uninterrupted[0]
    assert {path.name: path.read_bytes() for path in chunks.iterdir()} == uninterrupted[1], "nothing half-written is left"


def test_two_writers_share_a_store_and_one_of_them_may_die(processes, uninterrupted, tmp_path):
    results = [processes.Queue(), processes.Queue()]
    victim = processes.Process(target=work, args=(tmp_path,))
    writers = [processes.Process(target=answer, args=(tmp_path, result)) for result in results]
    for process in (victim, *writers):
        process.start()
    while not (tmp_path / "chunks").exists() or not os.listdir(tmp_path / "chunks"):
        time.sleep(0.002)
    victim.kill()
    assert [result.get(timeout=120) for result in results] == [uninterrupted[0]] * 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "chunks").iterdir()} == uninterrupted[1]


def test_another_process_sees_claims_and_inherits_those_of_a_dead_one(processes, tmp_path):
    configuration = {"chunks": 2}
    store = Store.create(tmp_path / "store", configuration, np.arange(4, dtype=np.uint32))
    assert store.claim(0)
    result = processes.Queue()
    child = processes.Process(target=claims, args=(store.folder, configuration, result))
    child.start()
    assert result.get(timeout=60) == [False, True]
    assert not store.claim(1) and Store(store.folder).working() == 1  # locks of one's own do not show
    child.kill()
    child.join()
    assert store.claim(1)
    store.close()
