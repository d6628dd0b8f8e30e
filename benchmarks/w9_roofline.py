"""W9: value and gradient of a large cross-entropy model, as the fraction that it reaches of the rate of its matrix products alone.

The products are the logits W H and the two of the backward pass, G H^T and W^T G, of the same shapes and dtype, timed in one
program that does nothing else. The loss alone (its value and gradient at given logits) says where the rest of a step goes.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ufm
from benchmarks.peers.torch_loops import torch_device
from benchmarks.row import Row, not_installed
from benchmarks.timing import timed, timed_program
from ufm.problem.params import data_term

_RIDGE = 1e-5
_FULL, _QUICK = 32_768, 512  # K = C; d is a sixteenth
_CPU = {"float32": 6_144, "float64": 4_096}  # steps of a few seconds


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """The full size on an accelerator, a smaller one of the same ratios on a CPU, there in both dtypes."""
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu:
        yield Row("W9", _label(_FULL), "ufm", dtype="float32", note="not run: no accelerator")
    for dtype in ("float32", "float64") if on_cpu and jax.config.jax_enable_x64 else ("float32",):
        yield from _step_rows(_QUICK if quick else _CPU[dtype] if on_cpu else _FULL, dtype, limit)


def problem_of(size: int, dtype: Any) -> ufm.Problem:
    """K = C = size classes of one column, d = size/16, made on the device: K x C targets do not pass through the host."""

    def build() -> ufm.Problem:
        ridge = jnp.asarray(_RIDGE, dtype)
        targets = jnp.eye(size, dtype=dtype)
        return ufm.Problem.from_targets(targets, size // 16, loss="ce", l2_W=ridge, l2_H=ridge, groups=(1,) * size)

    return jax.jit(build)()


def point_of(size: int, dtype: Any) -> ufm.Params:
    """A random point with logits of order one."""
    W, H = (jax.random.normal(key, (size, size // 16), dtype) for key in jax.random.split(jax.random.key(0)))
    return ufm.Params((W / (size // 16) ** 0.5,), H.T, None)


def step(problem: ufm.Problem, point: ufm.Params) -> tuple[jax.Array, ufm.Params]:
    """What each step of any method costs: f and its gradient."""
    return jax.value_and_grad(lambda p: ufm.objective(problem, p))(point)


def torch_step(point: ufm.Params) -> Callable[[], Any]:
    """The same step as PyTorch's users write it, ready to be called; TF32 where JAX uses it."""
    import torch

    tensors = [torch.from_numpy(np.array(x)).to(torch_device()).requires_grad_() for x in (point.weights[0], point.H.T)]
    labels = torch.arange(tensors[1].shape[0], device=torch_device())
    torch.backends.cuda.matmul.allow_tf32 = True

    def run() -> Any:
        W, H = tensors
        W.grad = H.grad = None
        loss = torch.nn.functional.cross_entropy(H @ W.T, labels) + _RIDGE / 2 * ((W**2).sum() + (H**2).sum())
        loss.backward()
        if torch_device() == "cuda":
            torch.cuda.synchronize()
        return loss.detach(), W.grad, H.grad

    return run


def _step_rows(size: int, dtype: str, limit: float) -> Iterator[Row]:
    case, device = _label(size), jax.default_backend()
    point = point_of(size, dtype)
    logits = point.weights[0] @ point.H
    alone = timed_program(lambda W, H, G: (W @ H, G @ H.T, W.T @ G), point.weights[0], point.H, logits)
    work = 6 * size * size * (size // 16)

    def row(method: str, taken: Any, figure: float, unit: str) -> Row:
        times = {"wall_s": taken.wall_s, "cpu_s": taken.cpu_s, "compile_s": taken.compile_s}
        return Row("W9", case, method, **times, figure=figure, unit=unit, dtype=dtype, device=device)

    yield row("three products alone", alone, work / alone.wall_s / 1e9, "GFlop/s")
    if 12 * alone.wall_s > limit:
        yield Row("W9", case, "ufm", dtype=dtype, device=device, note=f"not run: may take more than the limit of {limit:g} s")
        return
    problem = problem_of(size, dtype)
    taken = timed_program(step, problem, point)
    yield row("ufm", taken, alone.wall_s / taken.wall_s, "of the products' rate")
    loss = timed_program(lambda problem, z: jax.value_and_grad(lambda z: data_term(problem, z))(z), problem, logits)
    yield row("ufm, loss alone", loss, loss.wall_s / alone.wall_s, "of the products' time")
    try:
        peer = torch_step(point)
    except ImportError:
        yield not_installed("W9", case, "torch", "torch")
        return
    peer()
    taken = timed(peer, repeats=3)
    yield row("torch", taken, alone.wall_s / taken.wall_s, "of the products' rate")


def _label(size: int) -> str:
    return f"ce K={size} d={size // 16} C={size}"
