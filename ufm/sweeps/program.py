"""Program: one compiled function for all lanes whose problems share a structure, over all devices of this process.

A lane is one point of the grid: one problem, one seed. Where its computation has loops that end by themselves (a search), lanes
run one after another, each for as long as it needs; where it has none (a closed form), they run as one batch. On several
devices `shard_map` gives each its own chunk of lanes.
"""

import hashlib
import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import Mesh, PartitionSpec

from ufm.base.checks import x64_is_on
from ufm.base.programs import make_room
from ufm.problem import Problem
from ufm.sweeps.axes import Axis, with_numbers

_LANES = "lanes"


class Output(NamedTuple):
    """One named result of a lane."""

    name: str
    shape: tuple[int, ...]
    dtype: Any


class Program:
    """The lanes of one structure: `outputs` without running anything, `fingerprint` once lowered, `run` once compiled.

    Args:
      fn: function of a problem, or of a problem and a key.
      problems: the bases of the lanes, all of one structure.
      axes: those of numbers; their values reach the lanes as arguments.
      lanes: how many there will be.
      chunk: lanes that a device takes at a time, None to choose. batch: lanes at once within a chunk; None for all where the
        function has no loops that end by themselves, else 1 on a CPU and all elsewhere.
      devices: where to run.

    Raises:
      ValueError: what the function refuses when it is traced.
    """

    def __init__(  # noqa: D107
        self,
        fn: Callable,
        problems: list[Problem],
        axes: tuple[Axis, ...],
        lanes: int,
        devices: list[Any],
        *,
        chunk: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.problems, self.axes, self.devices = problems, axes, devices
        leaves = [jax.tree.leaves(p) for p in problems]
        structure = jax.tree.structure(problems[0])
        columns = [[np.asarray(x) for x in column] for column in zip(*leaves, strict=True)]
        differs = [any(not np.array_equal(x, column[0]) for x in column) for column in columns]
        self.data = tuple(np.stack(column) for column, differ in zip(columns, differs, strict=True) if differ)
        constants = [jnp.asarray(column[0]) for column in columns]  # made here, they stay known to what is traced below
        random = takes_key(fn)
        names = tuple(axis.name for axis in axes)

        def lane(data: tuple, x: dict[str, Any]) -> dict[str, jax.Array]:
            varying = iter(data)
            leaves = [next(varying)[x["base"]] if differ else c for c, differ in zip(constants, differs, strict=True)]
            problem = with_numbers(jax.tree.unflatten(structure, leaves), {name: x[name] for name in names})
            return results_by_name(fn, fn(problem, jax.random.key(x["seed"])) if random else fn(problem))

        one = self.lanes(np.zeros(1, int), {axis.name: axis.values[:1] for axis in axes}, np.zeros(1, int))
        example = jax.tree.map(lambda a: a[0], one)
        closed, shapes = jax.make_jaxpr(lane, return_shape=True)(self.data, example)
        self.outputs = tuple(Output(name, s.shape, s.dtype) for name, s in shapes.items())
        self.searches = _searches(closed.jaxpr)
        alone = self.searches and devices[0].platform == "cpu"
        self.chunk = min(chunk or _chunk(lanes, alone), lanes)
        self.batch = min(batch or (1 if alone else self.chunk), self.chunk)
        self.data += tuple(closed.consts)  # known while tracing, but not to XLA, which would fold them lane by lane for minutes

        def run_one(data: tuple, x: dict[str, Any]) -> tuple[jax.Array, ...]:
            blank = tuple(jnp.zeros(o.shape, o.dtype) for o in self.outputs)
            cut = len(data) - len(closed.consts)
            flat = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, list(data[cut:])))
            return lax.cond(x["valid"], lambda: tuple(flat(*jax.tree.leaves((data[:cut], {**x, "valid": True})))), lambda: blank)

        def block(data: tuple, lanes: dict[str, Any]) -> tuple[jax.Array, ...]:
            each = jax.tree_util.Partial(run_one, data)
            if self.batch == self.chunk > 1:
                return jax.vmap(each)(lanes)
            return lax.map(each, lanes, batch_size=None if self.batch == 1 else self.batch)

        if len(devices) > 1:
            mesh, split = Mesh(np.asarray(devices), (_LANES,)), PartitionSpec(_LANES)
            block = jax.shard_map(block, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=split, check_vma=False)
        self._block = jax.jit(block)

    def lanes(self, base: np.ndarray, numbers: dict[str, np.ndarray], seed: np.ndarray) -> dict[str, np.ndarray]:
        """Arguments of some lanes: the index of each one's problem, its numbers and its seed."""
        fits = {name: np.asarray(x, self._float) for name, x in numbers.items()}
        return {"base": base.astype(np.int32), **fits, "seed": seed.astype(np.int32), "valid": np.ones(len(base), bool)}

    @property
    def _float(self) -> Any:
        return np.float64 if x64_is_on() else np.float32

    @cached_property
    def _lowered(self) -> Any:
        size = self.chunk * len(self.devices)
        numbers = {axis.name: np.zeros((size, *axis.values.shape[1:])) for axis in self.axes}
        return self._block.lower(self.data, self.lanes(np.zeros(size, int), numbers, np.zeros(size, int)))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the lowered program and its data: what is computed, not by which source."""
        digest = hashlib.sha256(self._lowered.as_text().encode())
        for x in self.data:
            is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
            digest.update(np.ascontiguousarray(jax.random.key_data(x) if is_key else x).tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def _compiled(self) -> Callable:
        return self._lowered.compile()

    def compile(self) -> None:
        """Compile now, if that was not done before."""
        make_room()
        self._compiled  # noqa: B018

    def let_go(self) -> None:
        """Give back what the compiled program takes: a grid over many structures has as many programs."""
        for name in ("_compiled", "_lowered"):
            self.__dict__.pop(name, None)

    def run(self, chunks: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """Results of up to one chunk a device, each of at most `chunk` lanes; lanes that do nothing fill what is missing."""
        filled = [_pad(lanes, self.chunk) for lanes in chunks]
        filled += [{**filled[0], "valid": np.zeros(self.chunk, bool)}] * (len(self.devices) - len(chunks))
        together = {name: np.concatenate([lanes[name] for lanes in filled]) for name in filled[0]}
        arrays = [np.asarray(x) for x in self._compiled(self.data, together)]
        pieces = []
        for i, lanes in enumerate(chunks):
            part = slice(i * self.chunk, i * self.chunk + len(lanes["valid"]))
            pieces.append({o.name: x[part] for o, x in zip(self.outputs, arrays, strict=True)})
        return pieces


def results_by_name(fn: Callable, results: Any) -> dict[str, jax.Array]:
    """Arrays of whatever a function returned, named by their path; fields called params are left out, random keys too.

    Raises:
      ValueError: if nothing is left.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(results):
        parts = [_part(entry) for entry in path]
        if "params" not in parts and not jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
            found[".".join(parts) or name_of(fn)] = jnp.asarray(leaf)
    if not found:
        raise ValueError(f"fn must return numbers besides params, got {type(results).__name__}")
    return found


def name_of(fn: Callable) -> str:
    """What the one result of a function is called: by its own name, "result" where it has none."""
    name = getattr(getattr(fn, "func", fn), "__name__", "<>")
    return "result" if "<" in name else name


def _part(entry: Any) -> str:
    return str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", entry))))


def _positional(fn: Callable) -> list[str]:
    """Names of the arguments that fn takes by position and has no default for."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = inspect.signature(fn).parameters.values()
    return [p.name for p in given if p.kind in kinds and p.default is inspect.Parameter.empty]


def takes_key(fn: Callable) -> bool:
    """Whether a function takes a random key besides the problem.

    Raises:
      ValueError: for a function of other arguments.
    """
    count = len(_positional(fn))
    if count not in (1, 2):
        raise ValueError(f"fn must take a problem, or a problem and a random key, got arguments {tuple(_positional(fn))}")
    return count == 2


def _searches(jaxpr: Any) -> bool:
    """Whether a program has loops that end by themselves."""
    inner = [x for eqn in jaxpr.eqns for p in eqn.params.values() for x in (p if isinstance(p, tuple | list) else (p,))]
    found = [getattr(x, "jaxpr", x) for x in inner]
    return any(eqn.primitive.name == "while" for eqn in jaxpr.eqns) or any(_searches(j) for j in found if hasattr(j, "eqns"))


def _chunk(lanes: int, alone: bool) -> int:
    """Lanes a chunk: few for lanes that run alone (a second or so, at least eight chunks to share out), many for batches."""
    return max(-(-lanes // 256), min(16, -(-lanes // 8))) if alone else 8192


def _pad(lanes: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Lanes that do nothing, as copies of the last one, up to `size`."""
    missing = size - len(lanes["valid"])
    padded = {name: np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) for name, x in lanes.items()}
    padded["valid"] = np.arange(size) < size - missing
    return padded
