"""Arguments: one order, (problem, params, ...), one meaning for steps and params, and sentences for what is handed over wrongly."""

import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ufm

PROBLEM = ufm.Problem.balanced(3, 2, 4, l2_W=1e-2, l2_H=1e-2)
POINT = ufm.initialize(PROBLEM, jax.random.key(0), 0.3)
POINTS = ("params", "point", "start")  # what a point of the problem is called


def public_functions():
    for module in pkgutil.walk_packages(ufm.__path__, "ufm."):
        if module.name.split(".")[1] in ("theory", "sweeps", "__main__"):  # closed forms take cases; sweeps take functions first
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            ours = callable(value) and getattr(value, "__module__", "") == module.name
            if ours and not inspect.isclass(value) and not name.startswith("_"):
                yield f"{module.name}.{name}", value


TAKES = {name: f for name, f in public_functions() if "problem" in inspect.signature(f).parameters}
OF_POINTS = {n: f for n, f in TAKES.items() if any(point in list(inspect.signature(f).parameters)[1:] for point in POINTS)}
FILLED = {"ts": [1.0], "steps": 1, "optimizer": optax.sgd(0.1)}
INNER = ("ufm.equivalent.standard.", "ufm.equivalent.widths.in_")  # steps of others, which check
OTHER_FIRST = ("ufm.proofs.gradients", "ufm.proofs.global_minimum.point_of", "ufm.proofs.check_more")  # a book, an instance, a kind
TAKES = {name: f for name, f in TAKES.items() if not name.startswith(OTHER_FIRST)}
OF_POINTS = {name: f for name, f in OF_POINTS.items() if name in TAKES}


def test_a_problem_comes_first_and_its_point_second():
    assert len(OF_POINTS) > 30
    for name, f in TAKES.items():
        assert next(iter(inspect.signature(f).parameters)) == "problem", name
    for name, f in OF_POINTS.items():
        assert list(inspect.signature(f).parameters)[1] in POINTS, name


@pytest.mark.parametrize("name", [name for name in OF_POINTS if not name.startswith(INNER)])
def test_the_swapped_order_is_refused_as_such(name):
    parameters = list(inspect.signature(OF_POINTS[name]).parameters.values())[2:]
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    with pytest.raises(ValueError, match=r"problem and (params|point) are swapped: the order is \(problem, (params|point)\)"):
        OF_POINTS[name](POINT, PROBLEM, *(FILLED.get(p.name, 1.0) for p in needed))


def test_steps_are_a_count_and_params_one_point():
    descent = ufm.descend(PROBLEM, POINT, 6, optax.sgd(0.1), every=2)
    path = ufm.flow(PROBLEM, POINT, [0.0, 1.0])
    solution = ufm.solve(PROBLEM, jax.random.key(0))
    assert descent.steps == 6 and descent.recorded.tolist() == [0, 2, 4, 6] and solution.steps.ndim == 0
    for found in (descent, path, solution, ufm.predict(PROBLEM)):
        assert jax.tree.map(jnp.shape, found.params) == jax.tree.map(jnp.shape, POINT)
    assert path.path.H.shape == (2, *POINT.H.shape)
    np.testing.assert_array_equal(path.params.H, path.path.H[-1])


def test_the_last_point_of_many_flows_is_that_of_each():
    starts = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), POINT)
    paths = jax.vmap(lambda start: ufm.flow(PROBLEM, start, [0.0, 1.0, 2.0]))(starts)
    np.testing.assert_array_equal(paths.params.H, paths.path.H[:, -1])


TRANSPOSED = {
    "params.weights[0]": POINT._replace(weights=(POINT.weights[0].T,)),
    "params.H": POINT._replace(H=POINT.H.T),
}


@pytest.mark.parametrize("name", list(TRANSPOSED))
@pytest.mark.parametrize("bias", ["none", "free"])
def test_a_transposed_matrix_is_named_and_asked_about(name, bias):
    problem = PROBLEM.replace(bias=bias)
    params = TRANSPOSED[name]._replace(b=None if bias == "none" else jnp.zeros(3))
    with pytest.raises(ValueError, match=rf"{name.replace('[', '.').replace(']', '.')} must have shape .*: is it transposed\?"):
        ufm.certify(problem, params)
