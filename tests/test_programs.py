"""Programs take memory maps, and are let go before a process has none left."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ufm
from ufm.base import programs
from ufm.metrics.streaming import moments
from ufm.metrics.table import summary
from ufm.search.max_margin import max_margin
from ufm.sweeps.program import Program

counted = pytest.mark.skipif(programs.memory_maps() == 0, reason="the system does not say how many maps a process has")


@counted
def test_every_program_takes_maps_and_gives_them_back():
    jax.clear_caches()
    before = programs.memory_maps()
    double = jax.jit(lambda x: jnp.sort(jnp.sin(x)) @ x)
    for n in range(2, 22):
        double(np.ones(n))
    full = programs.memory_maps()
    assert full > before + 20
    jax.clear_caches()
    assert programs.memory_maps() < before + (full - before) / 2


@counted
def test_room_is_made_at_a_quarter_of_the_limit_and_not_before(monkeypatch):
    maps = programs.memory_maps()
    for limit, made in ((4 * maps + 4000, False), (4 * maps - 4000, True), (None, False)):
        monkeypatch.setattr(programs, "map_limit", lambda limit=limit: limit)
        assert programs.make_room() is made


def point_of(problem):
    return ufm.initialize(problem, jax.random.key(0))


LOOK = {
    "predict": ufm.predict,
    "solve": lambda problem: ufm.solve(problem, jax.random.key(0), max_steps=2),
    "certify": lambda problem: ufm.certify(problem, point_of(problem)),
    "descend": lambda problem: ufm.descend(problem, point_of(problem), 1, optax.sgd(0.1)),
    "flow": lambda problem: ufm.flow(problem, point_of(problem), [0.1]),
    "max_margin": lambda problem: max_margin(np.asarray(problem.targets), max_steps=2),
    "summary": lambda p: summary(moments(np.eye(p.classes), np.arange(p.classes), p.classes, samples_axis=1)),
}


@pytest.mark.parametrize("name", list(LOOK))
def test_what_compiles_looks_for_room_at_every_new_shape_and_only_then(name, monkeypatch):
    looked = []
    monkeypatch.setattr(programs, "make_room", lambda: looked.append(name))
    problems = [ufm.Problem.balanced(K, 1, K, l2_W=1e-2, l2_H=1e-2) for K in (3, 4)]
    for problem, looks in (*zip(problems, (1, 2), strict=True), *zip(problems, (2, 2), strict=True)):
        if not looked:
            programs._make_room_for.cache_clear()
        LOOK[name](problem)
        assert len(looked) == looks


@counted
def test_a_sweep_over_many_structures_lets_each_program_go_when_its_lanes_are_done(monkeypatch):
    held = []
    let_go = Program.let_go
    monkeypatch.setattr(Program, "let_go", lambda self: (let_go(self), held.append("_compiled" in vars(self))))
    problem = ufm.Problem.balanced(3, 1, 8, l2_W=1e-2, l2_H=1e-2)
    found = ufm.sweep("closed_form", problem, {"K": [3, 4, 5, 6], "l2_H": [1e-3, 1e-2]}, progress=False)
    assert held == [False] * 4 and np.all(np.isfinite(found["value"].values.astype(float)))
