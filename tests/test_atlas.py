"""The symmetric reduction of any loss: goldens, closed forms, transitions; and the table over all losses."""

import argparse
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from ufm import atlas, losses
from ufm.cli import atlas as command
from ufm.losses import get_loss
from ufm.search.symmetric import GEOMETRIES, geometry_of, reduced, survey


def local_minima(loss, classes, c):
    """All of them at one price."""
    return jax.tree.map(lambda x: x[0], survey(loss, classes, jnp.asarray(c, jnp.result_type(c, float))[None])[0])


def transition(loss, classes):
    return survey(loss, classes, jnp.ones((1,)))[1]


def lowest(loss, classes, c):
    """(value, a, b, geometry) of the global minimum."""
    found = local_minima(loss, classes, c)
    return float(found.value[0]), float(found.a[0]), float(found.b[0]), GEOMETRIES[int(found.geometry)]


@pytest.mark.parametrize(
    "loss, classes, c, expected, geometry",
    [
        (losses.stablemax(), 6, 2e-3, (0.246187165286138, 13.743025, -7.245018), "simplex plus mean"),
        (get_loss("logistic"), 4, 5e-3, (None, 9.190240, -9.190240), "orthogonal frame"),
        (get_loss("ce"), 4, 0.01, (None, 4.574710978503, 0.0), "simplex"),
    ],
)
def test_goldens(loss, classes, c, expected, geometry):
    *numbers, kind = lowest(loss, classes, c)
    for number, golden, digits in zip(numbers, expected, (1e-14, 6e-7, 6e-7), strict=True):
        if golden is not None:
            assert abs(number - golden) < digits
    assert kind == geometry


@pytest.mark.parametrize("classes, golden", [(3, 0.12140), (10, 0.02193)])  # K = 4 is in the table
def test_the_mean_absolute_error_lets_go_of_its_simplex_at_once(classes, golden):
    found = transition(losses.mae(), classes)
    assert abs(float(found.c) - golden) < 6e-6 and found.a > 1 and found.b == 0
    p = 1 / (1 + (classes - 1) * np.exp(-float(found.a)))
    np.testing.assert_allclose(p * (1 - p), found.c * (classes - 1), rtol=1e-6)
    for side, count in ((0.999, 2), (1.001, 2)):  # both minima are there on either side, and change places
        minima = local_minima(losses.mae(), classes, float(found.c) * side)
        assert minima.count == count and (minima.a[0] > 1) == (side < 1)


def test_two_classes_lose_the_mean_absolute_error_gradually():
    found = transition(losses.mae(), 2)
    np.testing.assert_allclose([found.c, found.a], [0.25, 0], rtol=1e-12)


def test_thresholds_of_convex_losses_are_the_slopes_at_zero():
    thresholds = {"ce": 1 / 4, "mse": 1 / 4, "squared_hinge": 1, "logistic": 1 / 4}
    expected = [(get_loss(name), 4, c) for name, c in thresholds.items()] + [(losses.ldr_kl(1, 0.5), 4, 1 / (3 + np.exp(-2)))]
    for loss, K, c in expected:
        np.testing.assert_allclose(transition(loss, K).c, c, rtol=1e-13)


@pytest.mark.parametrize("c", [1e-6, 1e-3, 0.05, 0.2499999, 0.2500001, 3.0])
def test_cross_entropy_and_squared_error_have_their_closed_forms_at_every_price(c):
    value, a, b, kind = lowest(get_loss("ce"), 4, c)
    expected = max(0.0, np.log(1 / c - 3)) if c < 0.25 else 0.0
    np.testing.assert_allclose([a, b], [expected, 0], rtol=1e-12, atol=1e-12)
    assert kind == ("simplex" if c < 0.25 else "zero")
    value, a, b, kind = lowest(get_loss("mse"), 4, c)
    shrunk = max(0.0, 1 - 4 * c)
    np.testing.assert_allclose([a, b, value], [shrunk, shrunk, 0.5 - 2 * max(0, 0.25 - c) ** 2 * 4], rtol=1e-12, atol=1e-12)


def test_every_minimum_is_stationary_and_none_on_a_fine_line_is_lower():
    loss, K, c = losses.log_taylor(), 5, 0.02
    found = local_minima(loss, K, c)
    n = int(found.count)
    assert 1 <= n and np.all(np.diff(np.asarray(found.value[:n])) >= 0) and not np.isfinite(found.value[n:]).any()
    f = jax.jit(lambda x: reduced(loss, K, x, c))
    slope = jax.jit(jax.grad(lambda x: reduced(loss, K, x)))
    price = c * np.array([K - 1.0, 1.0])
    for a, b in zip(found.a[:n], found.b[:n], strict=True):
        x = jnp.stack([a, b])
        g = np.asarray(slope(x))
        off = np.where(x == 0, np.maximum(np.abs(g) - price, 0), np.abs(g + price * np.sign(x)))
        assert np.max(off) < 1e-12
        for direction in np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]]):
            for step in (1e-4, -1e-4):
                assert f(x + step * direction) > f(x)
    line = minimize_scalar(lambda a: float(f(jnp.array([a, 0.0]))), bounds=(0.1, 60), method="bounded", options={"xatol": 1e-10})
    assert found.value[0] <= line.fun * (1 + 1e-12)


def test_without_eps_the_z_loss_has_no_minimiser_and_the_search_says_so():
    found, vanishing = survey(losses.z_loss(1.0, 0.0, 0.0), 4, jnp.array([0.01]))
    assert GEOMETRIES[int(found.geometry[0])] == "no minimiser" and vanishing.c == jnp.inf
    np.testing.assert_allclose(found.infimum[0], np.log1p(np.exp(-np.sqrt(3))), rtol=1e-9)
    assert found.value[0, 0] > found.infimum[0] + 0.1


def test_the_log_spherical_frame_is_orthogonal_and_zero_is_another_minimum_with_a_sign_free():
    eps, K, c = 0.05, 4, 0.01
    found = local_minima(losses.log_spherical(eps), K, c)
    o = minimize_scalar(lambda o: np.log((o**2 + K * eps) / (o**2 + eps)) + c * K * o, bounds=(0.1, 9), method="bounded").x
    np.testing.assert_allclose(found.a[:3], [found.a[0], -found.a[0], 0], rtol=1e-12)
    np.testing.assert_allclose([found.a[0], found.b[0]], o, rtol=1e-6)
    assert found.count == 3 and GEOMETRIES[int(found.geometry)] == "orthogonal frame"


def test_geometries_are_told_apart():
    pairs = {(0, 0): "zero", (2, 0): "simplex", (0, -1): "mean", (3, -3): "orthogonal frame", (3, 3): "orthogonal frame"}
    pairs |= {(3, 1): "simplex plus mean", (math.nan, math.nan): "no minimiser"}
    for (a, b), name in pairs.items():
        assert GEOMETRIES[int(geometry_of(jnp.asarray(1.0 * a), jnp.asarray(1.0 * b)))] == name


def test_the_reduction_goes_through_jit_and_vmap_and_keeps_float32():
    values = jax.jit(jax.vmap(lambda c: local_minima(get_loss("mse"), 4, c).a[0]))(jnp.array([0.01, 0.1]))
    np.testing.assert_allclose(values, [0.96, 0.6], rtol=1e-12)
    found = local_minima(losses.mae(), 3, jnp.asarray(0.01, jnp.float32))
    assert found.value.dtype == found.a.dtype == jnp.float32
    np.testing.assert_allclose(found.a[0], local_minima(losses.mae(), 3, 0.01).a[0], rtol=1e-5)


def test_a_hundred_classes_are_no_trouble():
    _, a, b, _ = lowest(get_loss("ce"), 100, 1e-4)
    np.testing.assert_allclose([a, b], [np.log(1e4 - 99), 0], rtol=1e-13)


@pytest.mark.parametrize("classes, c, message", [(4, 0.0, "cs must be finite and above 0"), (1, 0.1, "classes must be a whole")])
def test_the_reduction_refuses_what_it_cannot_reduce(classes, c, message):
    with pytest.raises(ValueError, match=message):
        local_minima(get_loss("mse"), classes, c)


def _options(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_table_of_a_few_losses_with_measurements(tmp_path, capsys):
    file = tmp_path / "atlas.json"
    chosen = ("mae", "z_loss(1, 0, 0)", "ce_binary_kl_norm")
    arguments = [part for name in chosen for part in ("--loss", name)]
    assert command.run(_options(*arguments, "--measure", "--json", str(file))) == 0
    text = capsys.readouterr().out
    assert "simplex" in text and "agrees" in text and "DIFFERS" not in text
    report = json.loads(file.read_text())
    rows = {row["loss"]: row for row in report["rows"]}
    assert tuple(rows) == chosen and report["classes"] == 4
    assert rows["mae"]["order"] == "first" and rows["mae"]["minima"] == 2 and abs(rows["mae"]["threshold"] - 0.07767) < 6e-6
    assert rows["mae"]["agrees"] and rows["mae"]["contrastive"] and not rows["mae"]["convex"]
    nothing = rows["z_loss(1, 0, 0)"]
    assert (nothing["geometry"], nothing["threshold"], nothing["a"]) == ("no minimiser", None, "nan")
    assert rows["ce_binary_kl_norm"]["agrees"] and rows["ce_binary_kl_norm"]["geometry"] == "simplex"


def test_losses_are_named_by_their_call_and_cosine_softmax_by_its_name():
    report = atlas.atlas(3, 0.05, ["comp_sum(2)", atlas.COSINE])
    first, cosine = report.rows
    found = local_minima(losses.mae(), 3, 0.05)
    np.testing.assert_allclose([first.value, first.a, first.b], [found.value[0], found.a[0], found.b[0]], rtol=1e-9)
    np.testing.assert_allclose([cosine.value, cosine.a], [np.log1p(2 * np.exp(-1.5)), 1.5], rtol=1e-14)
    assert cosine.threshold is None and cosine.geometry == "simplex" and "never" in str(report)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: atlas.atlas(1), r"classes must be a whole number of at least 2, got 1"),
        (lambda: atlas.atlas(4, -1.0), r"c must be finite and above 0, got -1.0"),
        (lambda: atlas.atlas(chosen=["focal"]), r"loss must be called with the parameters of focal\(gamma"),
        (lambda: atlas.atlas(chosen=["focal(-1)"]), r"gamma must be a number of at least 0, got -1.0"),
        (lambda: atlas.atlas(chosen=["focal(x)"]), r"loss must be a function of ufm.losses with numbers"),
        (lambda: atlas.atlas(chosen=["cross_entropy"]), r"loss must be a function of ufm.losses with numbers.*'ce', 'logistic'"),
        (lambda: command.run(_options("--json", "/nowhere/x.json")), r"--json must name a file that can be written"),
    ],
)
def test_the_atlas_refuses_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_default_table_has_every_kind_of_loss_once():
    names = [loss.name for loss in atlas.zoo()]
    assert len(set(names)) == len(names) and {"mse", "ce", "logistic", "squared_hinge", "stablemax", "mae"} <= set(names)
