"""float32 means float32 on every device: lowered for a GPU and for a TPU, every matrix product asks for the full precision."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ufm
from ufm import Problem, central_path, equivalent, log_domain, max_margin
from ufm.base.precision import full_precision
from ufm.problem.params import gradient_norm

HALF = {name: np.float32(0.01) for name in ("l2_W", "l2_H")}
CE = Problem.imbalanced((2, 3, 1), 4, loss="ce", **HALF)
MSE = Problem.imbalanced((2, 3, 1), 4, **HALF)
DEEP = Problem.balanced(3, 2, (4, 5), **HALF)
PLAIN = Problem.balanced(3, 2, 4, loss="ce", l2_W=np.float32(0), l2_H=np.float32(0))
KEY = jax.random.key(0)
TIMES = np.asarray([0.0, 0.5, 1.0], np.float32)


def point(problem):
    return ufm.initialize(problem, KEY)


def quadratic(x):
    return jnp.sum((jnp.ones((3, 3), x.dtype) @ x - 1) ** 2)


PROGRAMS = {
    "objective": lambda: (lambda p: ufm.objective(CE, p), point(CE)),
    "logits": lambda: (lambda p: ufm.logits(DEEP, p), point(DEEP)),
    "its gradient": lambda: (jax.grad(lambda p: ufm.objective(DEEP, p)), point(DEEP)),
    "gradient_norm": lambda: (lambda p: gradient_norm(CE, p), point(CE)),
    "solve": lambda: (lambda l2: ufm.solve(CE.replace(l2_H=l2), KEY).value, CE.l2_H),
    "solve, deep": lambda: (lambda l2: ufm.solve(DEEP.replace(l2_H=l2), KEY), DEEP.l2_H),
    "solve, from params": lambda: (lambda p: ufm.solve(MSE, p), point(MSE)),
    "its derivative": lambda: (jax.grad(lambda l2: ufm.solve(CE.replace(l2_H=l2), KEY).value), CE.l2_H),
    "minimise": lambda: (lambda x: ufm.minimise(quadratic, x), jnp.ones((3, 2), jnp.float32)),
    "descend": lambda: (lambda p: ufm.descend(CE, p, 4, optax.sgd(0.1), every=2).value, point(CE)),
    "descend_log": lambda: (lambda p: log_domain.descend_log(PLAIN, p, 4, every=2).log_value, point(PLAIN)),
    "flow": lambda: (lambda p: ufm.flow(CE, p, TIMES).value, point(CE)),
    "flow, central path": lambda: (lambda p: ufm.flow(MSE, p, TIMES, kind="central-path").value, point(MSE)),
    "flow, renormalised": lambda: (lambda p: ufm.flow(MSE, p, TIMES, kind="renormalised").value, point(MSE)),
    "predict": lambda: (lambda l2: ufm.predict(DEEP.replace(l2_H=l2)), DEEP.l2_H),
    "predict, unequal classes": lambda: (lambda l2: ufm.predict(MSE.replace(bias="free", l2_H=l2)), MSE.l2_H),
    "certify": lambda: (lambda p: ufm.certify(CE, p), point(CE)),
    "certify, mse": lambda: (lambda p: ufm.certify(MSE, p), point(MSE)),
    "least_squares_point": lambda: (lambda p: central_path.least_squares_point(MSE, p.H), point(MSE)),
    "max_margin": lambda: (lambda s: max_margin.max_margin(s).value, jnp.eye(4, dtype=jnp.float32)),
    "compress_columns": lambda: (lambda p: _there_and_back(equivalent.compress_columns, DEEP, p), point(DEEP)),
    "pool_samples": lambda: (lambda p: _there_and_back(equivalent.pool_samples, DEEP, p), point(DEEP)),
    "narrow_features": lambda: (lambda p: _there_and_back(equivalent.narrow_features, DEEP, p), point(DEEP)),
}


def _there_and_back(reduction, problem, params):
    reduced = reduction(problem, params)
    return reduced.lift(reduced.params), reduced.problem.targets


def products(function, argument, platform):
    """The precision of every matrix product in the StableHLO for a platform, as it is written there."""
    with jax.enable_x64(False):
        text = jax.jit(function).trace(argument).lower(lowering_platforms=(platform,)).as_text()
    return [re.search(r"precision = \[(\w+), (\w+)\]", line) for line in text.splitlines() if "stablehlo.dot_general" in line]


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_matrix_product_of_every_main_program_is_taken_in_full_precision(name, platform):
    function, argument = PROGRAMS[name]()
    found = products(function, argument, platform)
    assert found and all(precision and set(precision.groups()) == {"HIGHEST"} for precision in found)


def test_a_product_outside_asks_for_nothing_and_the_reading_above_sees_it():
    left = jnp.ones((3, 3), jnp.float32)
    assert products(lambda x: x @ x, left, "cuda") == [None] or "DEFAULT" in products(lambda x: x @ x, left, "cuda")[0].groups()
    (found,) = products(full_precision(lambda x: x @ x), left, "cuda")
    assert set(found.groups()) == {"HIGHEST"}


def test_a_flow_exports_for_devices_that_are_not_here():
    with jax.enable_x64(False):
        run = jax.jit(lambda p: ufm.flow(CE, p, TIMES).value)
        for platform in ("cuda", "tpu"):
            assert jax.export.export(run, platforms=[platform])(point(CE)).platforms == (platform,)
