"""One sweep on one device, on eight simulated ones, and in two processes that `jax.distributed` joins: the same numbers."""

import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm

PROGRAM = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", int(sys.argv[2]))
if len(sys.argv) > 3:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[3], num_processes=2, process_id=int(sys.argv[4]))
import ufm
from test_sweep_devices import root
problem = ufm.Problem.balanced(classes=3, per_class=2, widths=4, l2_W=1e-3, l2_H=1e-3)
axes = {"l2_W": np.geomspace(1e-3, 1e-1, 5), "l2_H": np.geomspace(1e-3, 1e-1, 4)}
grid, closed = ufm.sweep(root, problem, axes, seeds=2), ufm.sweep("closed_form", problem, axes)
np.savez(sys.argv[1], root=grid["root"], status=grid["status"], predicted=closed["value"], devices=len(jax.local_devices()))
"""


def root(problem, key):
    """x with x exp(x) = l2_W + u l2_H at a random u: a search that takes longer for some."""
    target = problem.l2_W[0] + jax.random.uniform(key, dtype=problem.dtype) * problem.l2_H

    def newton(loop):
        x, _ = loop
        step = (x - target * jnp.exp(-x)) / (1 + x)
        return x - step, jnp.abs(step)

    x, step = jax.lax.while_loop(lambda loop: loop[1] > 1e-15, newton, (target, jnp.ones_like(target)))
    return {"root": x, "target": target, "status": jnp.where(jnp.isfinite(step), 0, 3)}


def start(folder, name, devices, *distributed):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    command = [sys.executable, "-c", PROGRAM, str(folder / name), str(devices), *distributed]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process):
    output = process.communicate(timeout=240)
    assert process.returncode == 0, output[1][-2000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    together = [start(folder, f"process{i}", 1, address, str(i)) for i in range(2)]
    for process in together:
        finished(process)
    for devices in (1, 8):
        finished(start(folder, f"devices{devices}", devices))
    return {path.stem: dict(np.load(path)) for path in folder.iterdir()}


def test_eight_devices_agree_with_one(runs):
    assert runs["devices8"]["devices"] == 8 and runs["devices1"]["root"].shape == (5, 4, 2)
    assert not runs["devices8"]["status"].any() and not runs["devices1"]["status"].any()
    for name in ("root", "predicted"):
        np.testing.assert_allclose(runs["devices8"][name], runs["devices1"][name], rtol=1e-14)


def test_two_processes_of_jax_distributed_both_get_all_of_it_bit_for_bit(runs):
    for name in ("process0", "process1"):
        for variable in ("root", "status", "predicted"):
            assert runs[name][variable].tobytes() == runs["devices1"][variable].tobytes()


def test_chunks_batches_and_order_change_nothing_but_rounding():
    problem = ufm.Problem.balanced(classes=3, per_class=2, widths=4, l2_W=1e-3, l2_H=1e-3)
    axes = {"l2_W": np.geomspace(1e-3, 1e-1, 3), "l2_H": np.geomspace(1e-3, 1e-1, 3)}
    alone = ufm.sweep(root, problem, axes, seeds=2)
    np.testing.assert_allclose(alone["root"] * np.exp(alone["root"]), alone["target"], rtol=1e-14)
    assert ufm.sweep(root, problem, axes, seeds=2, chunk=4).identical(alone), "lanes that run alone do not see their chunk"
    batched = ufm.sweep(root, problem, axes, seeds=2, batch=4, chunk=8)
    assert not batched["status"].any()
    np.testing.assert_allclose(batched["root"], alone["root"], rtol=1e-14)
    hard_first = ufm.sweep(root, problem, axes, seeds=2, chunk=4, order=lambda p: p.l2_H)
    assert hard_first.identical(alone)


def test_a_process_is_one_of_several():
    problem = ufm.Problem.balanced(classes=3, per_class=1, widths=4, l2_W=1e-3, l2_H=1e-3)
    with pytest.raises(ValueError, match=r"process must be \(i, n\) with i below n, got \(2, 2\)"):
        ufm.sweep("closed_form", problem, {"l2_H": [1e-3]}, process=(2, 2), store="unused")
    with pytest.raises(ValueError, match="store must be a folder, which the processes share, got None"):
        ufm.sweep("closed_form", problem, {"l2_H": [1e-3]}, process=(0, 2))
