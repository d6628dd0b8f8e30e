"""W7: `ufm.predict` on a grid of a million (l2_W, l2_H), points a second; its gap is the largest difference from the peer's values.

The peer is a Python loop over the points with the published formula of that one model in NumPy, on points spread over the grid;
`ufm.predict` is vmapped, compiled, and called a chunk of points at a time, for the value alone and with the rank of the logits.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import ufm
from benchmarks.row import Row
from benchmarks.timing import Timed, timed

_CHUNK = 50_000
_PEER_POINTS = 20_000
_SMALLEST, _LARGEST = 1e-2, 1.2  # of beta (MSE), whose threshold is 1 for M = 1, or of kappa K (CE); the loop cancels below


class Form(NamedTuple):
    """A model: class sizes, depth and loss, and the published formula of its minimum at (l2_W, l2_H)."""

    case: str
    counts: tuple[int, ...]
    depth: int
    loss: str
    formula: Callable[[float, float], float]


def cross_entropy_minimum(l2_W: float, l2_H: float) -> float:
    """K = 4, n = 100, one layer: the entropy of (p, kappa, ..., kappa), kappa = sqrt(n l2_W l2_H) (Zhu et al. 2021)."""
    kappa = min(math.sqrt(100 * l2_W * l2_H), 1 / 4)
    p = 1 - 3 * kappa
    return -p * math.log(p) - 3 * kappa * math.log(kappa)


def squared_error_minimum(counts: tuple[int, ...], depth: int, l2_W: float, l2_H: float) -> float:
    """M layers without bias: class k has the largest root s = t^(1/(M+1)) of s^(M-1) - s^(2M) = beta_k (Dang et al. 2023)."""
    N = sum(counts)
    c = (l2_W**depth * l2_H) ** (1 / (depth + 1))
    total = 0.0
    for n in counts:
        beta = N * c / n ** (depth / (depth + 1))
        t = 0.0
        if depth == 1:
            t = max(1 - beta, 0.0)
        elif beta < ((depth - 1) / depth) ** ((depth - 1) / (depth + 1)) / depth:
            polynomial = np.zeros(2 * depth + 1)
            polynomial[[0, depth + 1, -1]] = -1, 1, -beta
            roots = np.roots(polynomial)
            t = max(root.real for root in roots if abs(root.imag) < 1e-9) ** (depth + 1)
        total += n / (2 * N) * (1 - t) * (1 + depth * t)
    return total


def _squared_error(counts: tuple[int, ...], depth: int) -> Form:
    sizes = "/".join(map(str, counts)) if len(set(counts)) > 1 else counts[0]
    label = f"mse M={depth} K={len(counts)} n={sizes}"
    return Form(label, counts, depth, "mse", lambda W, H: squared_error_minimum(counts, depth, W, H))


FORMS = (
    Form("ce M=1 K=4 n=100", (100,) * 4, 1, "ce", cross_entropy_minimum),
    _squared_error((100,) * 4, 1),
    _squared_error((100,) * 4, 3),
    _squared_error((200, 100, 50, 50), 3),
)


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """Value alone, value with rank, and the loop, for each model; quick: 10,000 points, 300 of them in the loop."""
    side, looped = (100, 300) if quick else (1000, _PEER_POINTS)
    for form in FORMS:
        case = f"{form.case}, {side * side:,} points"
        l2_W, l2_H = grid(form, side)
        chosen = np.linspace(0, l2_W.size - 1, looped).astype(int)
        peer, loop = _looped(form, l2_W[chosen], l2_H[chosen], limit)
        for what, fields in (("value", ("value",)), ("value and rank", ("value", "rank"))):
            values, taken = _predicted(form, fields, l2_W, l2_H)
            gap = float(np.max(np.abs(values[chosen[: peer.size]] / peer - 1)))
            yield Row(
                "W7", case, f"ufm.predict, {what}", wall_s=taken.wall_s / l2_W.size, cpu_s=taken.cpu_s / l2_W.size,
                compile_s=taken.compile_s, gap=gap, figure=l2_W.size / taken.wall_s, unit="points/s",
                device=jax.default_backend(),
            )  # fmt: skip
        yield Row(
            "W7", case, "NumPy loop", wall_s=loop.wall_s / peer.size, cpu_s=loop.cpu_s / peer.size,
            figure=peer.size / loop.wall_s, unit="points/s", note=f"on {peer.size:,} points",
        )  # fmt: skip


def grid(form: Form, side: int) -> tuple[np.ndarray, np.ndarray]:
    """side^2 points: for equal ridges beta of the largest class spans its range, and so both sides of its threshold."""
    N, n = sum(form.counts), max(form.counts)
    c = np.asarray([_SMALLEST, _LARGEST]) * n ** (form.depth / (form.depth + 1)) / N
    ridges = np.geomspace(*c, side)
    l2_W, l2_H = np.meshgrid(ridges, ridges)
    return l2_W.ravel(), l2_H.ravel()


def _predicted(form: Form, fields: tuple[str, ...], l2_W: np.ndarray, l2_H: np.ndarray) -> tuple[np.ndarray, Timed]:
    """Values at all points, chunk by chunk, and the times."""
    problem = ufm.Problem.from_targets(
        jnp.eye(len(form.counts)), (8,) * form.depth, loss=form.loss, multiplicity=np.asarray(form.counts, float), l2_W=1, l2_H=1
    )

    def at(W: jax.Array, H: jax.Array) -> tuple[jax.Array, ...]:
        prediction = ufm.predict(problem.replace(l2_W=W, l2_H=H))
        return tuple(getattr(prediction, field) for field in fields)

    size = min(_CHUNK, l2_W.size)
    chunks = [(jnp.asarray(l2_W[i : i + size]), jnp.asarray(l2_H[i : i + size])) for i in range(0, l2_W.size, size)]
    start = time.perf_counter()
    program = jax.jit(jax.vmap(at)).lower(*chunks[0]).compile()
    compile_s = time.perf_counter() - start
    jax.block_until_ready(program(*chunks[0]))
    taken = timed(lambda: [program(*chunk) for chunk in chunks], repeats=3)
    return np.concatenate([chunk[0] for chunk in taken.result]), taken._replace(compile_s=compile_s)


def _looped(form: Form, l2_W: np.ndarray, l2_H: np.ndarray, limit: float) -> tuple[np.ndarray, Timed]:
    """Values of the loop on as many of the points as the limit surely allows, and the times."""
    few = timed(lambda: [form.formula(W, H) for W, H in zip(l2_W[:100], l2_H[:100], strict=True)])
    count = min(l2_W.size, max(100, int(100 * limit / few.wall_s / 2)))
    taken = timed(lambda: [form.formula(W, H) for W, H in zip(l2_W[:count], l2_H[:count], strict=True)])
    return np.asarray(taken.result), taken
