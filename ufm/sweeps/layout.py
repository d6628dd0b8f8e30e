"""Layout: which lanes a sweep computes, in which programs and chunks, and where each point of the grid finds its result.

Choices whose smallest problems have one structure share a program; those whose problems are equal share the lanes themselves (a
wide d changes nothing about a minimum).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ufm.problem import Problem
from ufm.sweeps.axes import Axis, check_corners, problems_of
from ufm.sweeps.functions import standard
from ufm.sweeps.program import Output, Program


@dataclass(frozen=True)
class Layout:
    """What is computed, as data: `to_json` and `from_json` keep it beside the results.

    axes: of the grid. seeds: of its last dimension, empty where the function takes no key.
    bases: problems of each program. chunk: lanes a chunk of each program. outputs: what each gives for a lane.
    program_of, base_of: (choices,) indices of the program (-1: refused) and of its problem.
    refusals: (choices,) sentences, "" where nothing was refused.
    """

    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    bases: tuple[int, ...]
    chunk: tuple[int, ...]
    outputs: tuple[tuple[Output, ...], ...]
    program_of: np.ndarray
    base_of: np.ndarray
    refusals: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points of the grid along each dimension."""
        return tuple(len(axis) for axis in self.axes) + ((len(self.seeds),) if self.seeds else ())

    @property
    def numbers(self) -> tuple[Axis, ...]:
        """The axes whose values reach the programs."""
        return tuple(axis for axis in self.axes if not axis.choice)

    @property
    def inner(self) -> tuple[int, ...]:
        """Shape of the lanes of one problem: numbers, then seeds."""
        return (*(len(axis) for axis in self.numbers), max(1, len(self.seeds)))

    @property
    def parts(self) -> tuple[int, ...]:
        """Lanes of each program."""
        return tuple(int(n * np.prod(self.inner)) for n in self.bases)

    @property
    def chunks(self) -> list[tuple[int, int, int]]:
        """(program, first lane, last lane + 1) of every chunk, lanes counted within the program."""
        sizes = zip(self.parts, self.chunk, strict=True)
        return [(i, j, min(j + size, lanes)) for i, (lanes, size) in enumerate(sizes) for j in range(0, lanes, size)]

    def arguments(self, program: int, lanes: np.ndarray) -> dict[str, Any]:
        """Arguments of some lanes of a program, for `Program.lanes`."""
        base, *where = np.unravel_index(lanes, (self.bases[program], *self.inner))
        *numbers, seed = where
        values = {axis.name: axis.values[i] for axis, i in zip(self.numbers, numbers, strict=True)}
        return {"base": base, "numbers": values, "seed": np.asarray(self.seeds or (0,))[seed]}

    def lane_of_points(self) -> tuple[np.ndarray, np.ndarray]:
        """(program, lane) of every point of the grid, flat; program -1 where it was refused."""
        where = np.unravel_index(np.arange(int(np.prod(self.shape))), self.shape)
        choices = [i for axis, i in zip(self.axes, where, strict=False) if axis.choice]
        sizes = [len(axis) for axis in self.axes if axis.choice]
        choice = np.ravel_multi_index(choices, sizes) if choices else np.zeros(where[0].size, int)
        inside = [i for axis, i in zip(self.axes, where, strict=False) if not axis.choice]
        inside.append(where[-1] if self.seeds else np.zeros(where[0].size, int))
        program, base = self.program_of[choice], self.base_of[choice]
        return program, base * int(np.prod(self.inner)) + np.ravel_multi_index(inside, self.inner)

    def to_json(self) -> dict[str, Any]:
        """Plain fields, one for every axis."""
        axes = {f"axis {a.name}": (list(a.labels) if a.choice else a.values.tolist()) for a in self.axes}
        return {
            "axes": [[axis.name, axis.choice] for axis in self.axes],
            **{name: [v.item() if isinstance(v, np.generic) else v for v in values] for name, values in axes.items()},
            "seeds": list(self.seeds),
            "problems": list(self.bases),
            "chunk": list(self.chunk),
            "outputs": [[[o.name, list(o.shape), np.dtype(o.dtype).name] for o in program] for program in self.outputs],
            "program_of": self.program_of.tolist(),
            "problem_of": self.base_of.tolist(),
            "refusals": list(self.refusals),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Layout":
        """The layout of which `to_json` gave the fields; choices come back by their names."""
        axes = []
        for name, choice in fields["axes"]:
            values = fields[f"axis {name}"]
            axes.append(Axis(name, tuple(values) if choice else np.asarray(values, float), choice))
        outputs = tuple(tuple(Output(n, tuple(s), np.dtype(d)) for n, s, d in program) for program in fields["outputs"])
        return cls(
            tuple(axes), tuple(fields["seeds"]), tuple(fields["problems"]), tuple(fields["chunk"]), outputs,
            np.asarray(fields["program_of"]), np.asarray(fields["problem_of"]), tuple(fields["refusals"]),
        )  # fmt: skip


def lay_out(
    fn: Callable,
    problem: Problem | Callable[..., Problem],
    axes: tuple[Axis, ...],
    seeds: tuple[int, ...],
    devices: list[Any],
    *,
    chunk: int | None = None,
    batch: int | None = None,
) -> tuple[Layout, list[Program]]:
    """Trace the function on every structure among the problems.

    Raises:
      ValueError: what the function or the problems refuse, where they refuse every choice.
    """
    made = problems_of(problem, axes)
    numbers = tuple(axis for axis in axes if not axis.choice)
    refusals = [p if isinstance(p, str) else "" for p in made]
    groups: dict[Any, dict[Any, tuple[Problem, list[int]]]] = {}  # by structure, then by numbers: a problem and its choices
    for i, p in enumerate(made):
        if isinstance(p, str):
            continue
        small = standard(fn, p, [axis.name for axis in numbers])
        leaves = [np.asarray(x) for x in jax.tree.leaves(small)]
        alike = groups.setdefault((jax.tree.structure(small), *((x.shape, x.dtype) for x in leaves)), {})
        same = tuple(x.tobytes() for x in leaves)
        try:
            if same not in alike:
                check_corners(small, numbers)
            alike.setdefault(same, (small, []))[1].append(i)
        except ValueError as error:
            refusals[i] = str(error)
    inner = int(np.prod([len(axis) for axis in numbers])) * max(1, len(seeds))
    programs: list[Program] = []
    program_of, base_of = np.full(len(made), -1), np.zeros(len(made), int)
    waiting = [list(alike.values()) for alike in groups.values() if alike]
    while waiting:
        part = waiting.pop(0)
        try:
            program = Program(fn, [p for p, _ in part], numbers, len(part) * inner, devices, chunk=chunk, batch=batch)
        except ValueError as error:
            if len(part) > 1:  # what differs is not known inside a program that they share: each alone then
                waiting = [[one] for one in part] + waiting
            else:
                for i in part[0][1]:
                    refusals[i] = str(error)
            continue
        for base, (_, choices) in enumerate(part):
            program_of[choices], base_of[choices] = len(programs), base
        programs.append(program)
    if not programs:
        raise ValueError(next(filter(None, refusals)))
    outputs = tuple(p.outputs for p in programs)
    _check_names(outputs, axes, seeds)
    bases, chunks = tuple(len(p.problems) for p in programs), tuple(p.chunk for p in programs)
    return Layout(axes, seeds, bases, chunks, outputs, program_of, base_of, tuple(refusals)), programs


def _check_names(outputs: tuple[tuple[Output, ...], ...], axes: tuple[Axis, ...], seeds: tuple[int, ...]) -> None:
    """Refuse results that a Dataset cannot hold, before they are computed."""
    dims = [axis.name for axis in axes]
    for name in {"status", "seed"} & set(dims) if seeds else {"status"} & set(dims):
        raise ValueError(f"axis {name!r} must have another name: every result has a {name}")
    axes_of: dict[str, int] = {}
    for o in (o for program in outputs for o in program):
        if o.name in (*dims, "seed"):
            raise ValueError(f"fn must give results of other names than the axes, got {o.name!r}")
        if o.name.split(".")[-1] == "status" and o.shape:
            raise ValueError(f"fn must give one status, got {o.name!r} of shape {o.shape}")
        if axes_of.setdefault(o.name, len(o.shape)) != len(o.shape):
            raise ValueError(f"fn must give {o.name!r} as many axes for all problems, got {axes_of[o.name]} and {len(o.shape)}")
