"""Figures: what is drawn is what was given, position by position; labels, limits and refusals. Nothing compares pixels."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from PIL import Image

import ufm
from ufm import Params, Problem, plot
from ufm.frames import simplex_etf
from ufm.metrics import class_means
from ufm.motion.descent import Descent
from ufm.motion.trajectory import Trajectory, flow
from ufm.plot.arrows import clear_azimuth
from ufm.plot.canvas import edges, series
from ufm.plot.points import principal_directions, view_of
from ufm.plot.verdicts import VERDICTS
from ufm.settings.mixup import mixup_problem, mixup_types
from ufm.theory.dynamics.spectral import spectral_point
from ufm.theory.dynamics.two_factor import predict
from ufm.theory.second_order.cases import critical_point
from ufm.theory.second_order.table import spectrum
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Check, Theorem
from ufm.verification.report import CaseResult, Entry, Report


@pytest.fixture(autouse=True)
def no_window():
    """Agg draws without a display; figures of a test go with it, and the style stays what it was."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    pyplot.close("all")


def axes(**options):
    from matplotlib import pyplot

    return pyplot.figure(layout="compressed").add_subplot(**options)


def drawn(ax):
    """Draw everything once: what cannot be drawn raises here."""
    ax.figure.canvas.draw()
    return ax


def random_point(problem, seed=0):
    """Weights and features of random entries, from NumPy, which compiles nothing."""
    rng, (d,) = np.random.default_rng(seed), problem.widths
    W, H = rng.normal(size=(problem.classes, d)), rng.normal(size=(d, problem.columns))
    return Params((jnp.asarray(W),), jnp.asarray(H), None)


def tips(ax):
    """Ends of the arrows in two dimensions: (means and rows in the order they are drawn)."""
    return np.array([text.xy for text in ax.texts if text.get_text() == ""])


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == "black"]


def cells(mesh):
    return np.ma.asarray(mesh.get_array()).astype(float).filled(np.nan)


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# class means and classifier


def test_in_the_plane_features_means_and_rows_are_drawn_at_their_coordinates_in_units_of_the_longest():
    problem = Problem.imbalanced((3, 1, 2), 2, l2_W=0.1, l2_H=0.1).replace(multiplicity=4.0)
    params = random_point(problem)
    ax = drawn(plot.geometry(problem, params))
    features = np.asarray(params.H) / 2
    means = np.asarray(class_means(features, problem.labels, 3))
    rows = np.asarray(params.weights[0]).T
    unit = np.linalg.norm(means, axis=0).max()
    clouds = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(np.concatenate(clouds).T, features / unit, rtol=1e-12)
    expected = np.concatenate([means / unit, rows / np.linalg.norm(rows, axis=0).max()], axis=1)
    np.testing.assert_allclose(tips(ax).T, expected, rtol=1e-12)
    assert ax.get_xlabel() == "feature coordinate 1" and ax.get_aspect() == 1
    assert f"{unit:.3g}" in legend_texts(ax)[1]
    assert all(np.all(np.abs(x) < ax.get_xlim()[1]) for x in (*clouds, expected))


def test_a_collapsed_simplex_fills_the_plane_and_rows_lie_on_means():
    problem = Problem.balanced(3, 4, 6, l2_W=0.1, l2_H=0.1)
    simplex = simplex_etf(3, 6).vectors
    ax = plot.geometry(problem, Params((5 * simplex.T,), jnp.repeat(simplex, 4, axis=1), None))
    found = tips(ax)
    np.testing.assert_allclose(found[:3], found[3:], atol=1e-9)
    np.testing.assert_allclose(found[:3] @ found[:3].T, 1.5 * np.eye(3) - 0.5, atol=1e-9)
    assert ax.get_xlabel() == "direction 1 (50 % of variance)"


def test_four_classes_are_drawn_in_space_and_given_axes_decide():
    problem = Problem.balanced(4, 1, 6, l2_W=5e-3, l2_H=5e-3)
    point = Params((2 * jnp.eye(4, 6),), jnp.eye(6, 4), None)
    solid = drawn(plot.geometry(problem, point))
    assert solid.name == "3d" and solid.get_zlabel() == "direction 3 (25 % of variance)"
    arrows = np.array([patch.tip for patch in solid.patches])
    np.testing.assert_allclose(arrows[:4] @ arrows[:4].T, np.eye(4) - 0.25, atol=1e-12)  # no class disappears
    np.testing.assert_allclose(arrows[:4], arrows[4:], atol=1e-12)
    flat = axes()
    assert plot.geometry(problem, point, ax=flat) is flat
    with pytest.raises(ValueError, match="ax must be axes of projection='3d'"):
        plot.geometry(problem, point, dims=3, ax=flat)


def test_directions_are_orthonormal_hold_the_shares_they_name_and_ignore_rotations():
    problem = Problem.balanced(5, 2, 9, l2_W=0.1, l2_H=0.1)
    params = random_point(problem)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0]
    turned = Params((params.weights[0] @ Q.T,), Q @ params.H, None)
    views = [view_of(problem, p) for p in (params, turned)]
    found = [principal_directions(view, 3) for view in views]
    np.testing.assert_allclose(found[0].basis.T @ found[0].basis, np.eye(3), atol=1e-12)
    for attribute in ("means", "features"):
        projected = [d.basis.T @ getattr(v, attribute) for d, v in zip(found, views, strict=True)]
        np.testing.assert_allclose(*projected, atol=1e-10)
    parts = [views[0].means, views[0].rows.T]
    share = sum(np.sum((found[0].basis.T @ x) ** 2, axis=1) / np.sum(x**2) for x in parts) / 2
    np.testing.assert_allclose(found[0].share, share, rtol=1e-12)


def test_the_camera_sees_no_arrow_from_its_end():
    looked_along = np.array([np.cos(np.radians(-60)), np.sin(np.radians(-60)), np.tan(np.radians(25))])
    assert abs(clear_azimuth(looked_along[:, None]) + 60) >= 20


def test_means_at_one_place_share_their_label():
    problem = Problem.balanced(3, 1, 2, l2_W=0.1, l2_H=0.1)
    H = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    ax = plot.geometry(problem, Params((jnp.zeros((3, 2)),), H, None))
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["1", "2, 3"]


# Gram matrices


def test_gram_matrices_and_their_difference_share_one_symmetric_scale():
    problem = Problem.balanced(3, 2, 5, l2_W=0.1, l2_H=0.1)
    point, G = random_point(problem), np.diag([3.0, 1.0, -0.5])
    for of in ("means", "classifier"):
        three = plot.gram_matrices(problem, G, point, of=of)
        drawn(three[0])
        view = view_of(problem, point)
        measured = view.means.T @ view.means if of == "means" else view.rows @ view.rows.T
        for ax, expected in zip(three, (G, measured, measured - G), strict=True):
            image = ax.get_images()[0]
            np.testing.assert_allclose(image.get_array(), expected, rtol=1e-12)
            top = max(np.abs(G).max(), np.abs(measured).max())
            np.testing.assert_allclose(image.get_clim(), (-top, top))
        assert f"{np.abs(measured - G).max():.3g}" in three[2].get_title()
    assert three[0].texts[0].get_text() == "3"


def test_gram_matrices_draw_on_three_given_axes():
    from matplotlib import pyplot

    given = pyplot.figure(layout="compressed").subplots(3)
    assert all(a is b for a, b in zip(plot.gram_matrices(None, np.eye(2), np.eye(2), axes=given), given, strict=True))


# time


@pytest.fixture(scope="module")
def logistic():
    """Two modes of the balanced spectral start, their flow, and their closed form."""
    problem = Problem.imbalanced((9, 4), 3, l2_W=1 / 13, l2_H=1 / 13).collapsed()
    start = spectral_point(problem, np.tile(np.sqrt([0.1, 0.2]), (2, 1)), np.random.default_rng(0))
    ts = jnp.linspace(0.0, 60.0, 25)
    path = flow(problem, start, ts, rtol=1e-6, record=lambda q, p: {"size": jnp.sum(p.H**2), "zero": 0 * jnp.sum(p.H)})
    return problem, path, predict(Start(problem, start, ts)).p


def test_singular_values_of_a_flow_lie_on_the_closed_form(logistic):
    problem, path, p = logistic
    ax = drawn(plot.singular_values(problem, path, closed_form=p))
    lines = ax.lines
    assert legend_texts(ax) == [r"$\sigma_{1}$", r"$\sigma_{2}$", "closed form"]
    measured = np.array([line.get_ydata() for line in lines[:2]])
    closed = np.array([line.get_ydata() for line in dashed(ax)])
    np.testing.assert_allclose(measured, closed, atol=1e-4)
    np.testing.assert_allclose(closed, -np.sort(-np.asarray(p), axis=1).T)
    np.testing.assert_allclose(lines[0].get_xdata(), path.ts)
    assert len({(line.get_color(), line.get_marker()) for line in lines[:2]}) == 2
    levels = plot.singular_values(problem, path, closed_form=[1.0, 2.0])
    assert [set(line.get_ydata()) for line in dashed(levels)] == [{2.0}, {1.0}]


def test_a_recorded_descent_draws_the_same_singular_values(logistic):
    problem, path, _ = logistic
    start = jax.tree.map(lambda x: x[0], path.path)
    run = ufm.descend(problem, start, 4, optax.sgd(0.1), every=2, record=plot.logit_singular_values)
    ax = plot.singular_values(problem, run)
    np.testing.assert_allclose([line.get_ydata() for line in ax.lines], run.metrics.T)
    np.testing.assert_allclose(ax.lines[0].get_ydata()[0], plot.singular_values(problem, path).lines[0].get_ydata()[0])
    assert ax.get_xlabel() == "steps"
    with pytest.raises(ValueError, match="record=ufm.plot.logit_singular_values"):
        plot.singular_values(problem, run._replace(metrics=()))


def decaying(ts, **metrics):
    zeros = jnp.zeros_like(ts)
    return Trajectory(ts, Params((), jnp.zeros((1, 1)), None), 2 + jnp.exp(-0.5 * ts), zeros, jnp.asarray(0), metrics)


def test_a_metric_that_falls_at_the_predicted_rate_lies_on_its_dashed_slope():
    ts = jnp.linspace(0.0, 20.0, 41)
    path = decaying(ts, nc1=3 * jnp.exp(-0.7 * ts), nc2=jnp.exp(-ts))
    ax = drawn(plot.metrics_in_time(path, rates={"nc1": 0.7}))
    assert ax.get_yscale() == "log" and ax.get_xscale() == "linear"
    assert legend_texts(ax) == ["nc1", "nc2", "predicted rate"]
    (slope,) = dashed(ax)
    np.testing.assert_allclose(slope.get_ydata(), 3 * np.exp(-0.7 * slope.get_xdata()), rtol=1e-9)
    wrong = dashed(plot.metrics_in_time(path, rates={"nc1": 0.8}))[0]
    ratio = wrong.get_ydata() / np.exp(-0.8 * wrong.get_xdata())
    np.testing.assert_allclose(ratio, ratio[0])


def test_values_at_zero_leave_a_gap_and_log_spaced_times_a_logarithmic_axis(logistic):
    _, path, _ = logistic
    ax = drawn(plot.metrics_in_time(path))
    assert np.all(np.isnan(ax.lines[1].get_ydata())) and np.all(np.isfinite(ax.lines[0].get_ydata()))
    late = plot.metrics_in_time(decaying(jnp.geomspace(1e-3, 1e3, 30), nc1=jnp.geomspace(1, 1e-3, 30)))
    assert late.get_xscale() == "log"


def test_a_single_metric_and_chosen_metrics_are_drawn():
    ts = jnp.arange(3.0)
    path = decaying(ts)
    assert legend_texts(plot.metrics_in_time(path, metrics={"a": ts + 1})) == ["a"]
    assert legend_texts(plot.metrics_in_time(path._replace(metrics=ts + 1))) == ["metric"]


def test_the_gap_is_the_value_above_the_minimum_and_falls_at_its_rate():
    ts = jnp.linspace(0.0, 100.0, 101)
    ax = drawn(plot.objective_gap(decaying(ts), 2.0, rate=0.5))
    gap = ax.lines[0].get_ydata()
    early = np.asarray(ts) < 40
    np.testing.assert_allclose(gap[early], np.exp(-0.5 * np.asarray(ts)[early]), rtol=1e-5)
    assert np.all(np.isnan(gap[80:])), "below rounding nothing is known"
    (slope,) = dashed(ax)
    np.testing.assert_allclose(slope.get_ydata(), np.exp(-0.5 * slope.get_xdata()), rtol=1e-6)


def test_steps_and_logarithms_of_time_are_axes_too():
    steps = jnp.arange(0, 30, 10)
    one = jnp.ones(3)
    run = Descent(steps[-1], steps, one, one, {"nc1": one}, None, None, jnp.asarray(0))
    assert plot.metrics_in_time(run).get_xlabel() == "steps"
    times = jnp.log(jnp.array([1.0, 1e10, 1e300]))
    log = ufm.log_domain.LogDescent(steps[-1], steps, times, one, one, one, {"nc1": one}, None, one)
    ax = plot.metrics_in_time(log)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0, 10, 300])
    assert ax.get_xlabel() == r"$\log_{10} t$"


# grids


def phases():
    """y > x is phase 1, over two decades and a half; one lane failed; a column has no crossing."""
    x, y = np.geomspace(1e-3, 1e-1, 5), np.geomspace(1e-3, 0.3, 7)
    phase = (y[None, :] > x[:, None]).astype(float)
    phase[1, 2] = np.nan
    above = np.argmax(y[None, :] > x[:, None], axis=1)
    low, high, boundary = y[np.maximum(above - 1, 0)], y[above], x.copy()
    low[0] = high[0] = boundary[0] = np.nan
    crossing = {name: (("l2_W", "crossing"), v[:, None]) for name, v in zip(NAMES[1:], (boundary, low, high), strict=True)}
    coords = {"l2_W": ("l2_W", x, {"long_name": "ridge of W"}), "l2_H": ("l2_H", y, {"long_name": "ridge", "units": "1/n"})}
    return xr.Dataset({"phase": (("l2_W", "l2_H"), phase)} | crossing, coords, {"x": "l2_W", "y": "l2_H"})


NAMES = ("phase", "boundary", "measured_low", "measured_high")


def test_a_phase_diagram_draws_cells_brackets_and_the_predicted_boundary():
    data = phases()
    ax = drawn(plot.phase_diagram(data))
    x, y = data.l2_W.values, data.l2_H.values
    (mesh,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    expected = data.phase.values.T
    np.testing.assert_array_equal(cells(mesh), expected)
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], edges(x, True))
    assert ax.get_xscale() == ax.get_yscale() == "log"
    np.testing.assert_allclose(ax.get_ylim(), edges(y, True)[[0, -1]])
    np.testing.assert_allclose(dashed(ax)[0].get_xydata(), np.stack([x, data.boundary.values[:, 0]], axis=1))
    (bars,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    pairs = np.stack([data.measured_low.values[1:, 0], data.measured_high.values[1:, 0]], axis=1)
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], pairs)
    caps = [line.get_ydata() for line in ax.lines if line.get_marker() == "_"]
    np.testing.assert_allclose(np.transpose(caps), pairs)
    (failed,) = ax.patches
    assert failed.get_x() < x[1] < failed.get_x() + failed.get_width() and failed.get_hatch()
    assert failed.get_y() < y[2] < failed.get_y() + failed.get_height()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ridge of W", "ridge [1/n]")
    assert legend_texts(ax) == ["phase = 0", "phase = 1", "failed", "predicted boundary", "measured between"]


def test_a_phase_diagram_is_the_same_in_any_order_of_dimensions_and_names_phases():
    data = phases()
    data.phase.attrs.update(flag_values=[0, 1], flag_meanings="all_dead alive")
    other = data.transpose(...).isel(l2_W=slice(None, None, -1))
    other["phase"] = other.phase.transpose("l2_H", "l2_W")
    first, second = plot.phase_diagram(data), plot.phase_diagram(other)
    meshes = [next(c for c in ax.collections if isinstance(c, QuadMesh)) for ax in (first, second)]
    np.testing.assert_array_equal(*map(cells, meshes))
    np.testing.assert_array_equal(*(dashed(ax)[0].get_xydata() for ax in (first, second)))
    assert legend_texts(second)[:2] == ["all dead", "alive"]


def test_a_heat_map_shows_any_variable_over_numbers_and_names():
    values = 10.0 ** -np.arange(6).reshape(2, 3)
    values[0, 1] = np.nan
    data = xr.Dataset(
        {"gap": (("loss", "K", "seed"), values[..., None], {"long_name": "relative gap"})},
        {"loss": ["mse", "ce"], "K": [2, 4, 8], "seed": [0]},
    )
    ax = drawn(plot.heat_map(data, "gap"))
    (mesh,) = ax.collections
    np.testing.assert_array_equal(cells(mesh), values.T)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["mse", "ce"]
    np.testing.assert_array_equal(ax.get_yticks(), [2, 4, 8])
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], [1, 3, 6, 10])
    np.testing.assert_allclose(mesh.norm.vmin, 1e-5)
    assert type(mesh.norm).__name__ == "LogNorm" and mesh.colorbar.ax.get_ylabel() == "relative gap"
    turned = plot.heat_map(data, "gap", y="loss")
    np.testing.assert_array_equal(cells(turned.collections[0]), values)


def test_edges_are_midpoints_in_logarithms_on_a_logarithmic_axis():
    np.testing.assert_allclose(edges([1, 2, 4], False), [0.5, 1.5, 3, 5])
    np.testing.assert_allclose(edges([1, 100], True), [0.1, 10, 1000])
    np.testing.assert_allclose(edges([3], False), [2.5, 3.5])


# Hessian, mixup, evidence


def test_eigenvalues_of_the_hessian_lie_on_predicted_lines_labelled_with_their_multiplicities():
    case = critical_point((3, 2, 4), 2, 0.3, 0.8, np.random.default_rng(0))
    table = spectrum(case.problem, 2)
    ax = drawn(plot.hessian_spectrum(case.problem, case.params, predicted=table))
    eigenvalues = next(line for line in ax.lines if line.get_label() == "measured").get_ydata()
    lines = np.array([line.get_ydata()[0] for line in ax.lines if line.get_label() != "measured"])
    counts = np.array([int(text.get_text().split("×")[1]) for text in ax.texts])
    np.testing.assert_allclose(np.repeat(lines, counts), eigenvalues, atol=1e-12)
    assert counts.sum() == 36 and np.all(np.diff(lines) > 0)
    places = np.array([text.xyann[1] for text in ax.texts])
    assert np.all(np.diff(places) > 0.05), "labels keep apart"
    np.testing.assert_allclose(places.mean(), np.mean([text.xy[1] for text in ax.texts]))


def test_mixed_features_lie_in_the_plane_with_class_one_up_whatever_the_rotation():
    lambdas = np.array([0.25, 0.5, 0.75])
    problem = mixup_problem(mixup_types(3, lambdas, np.full(3, 1 / 3)), 4, l2_H=0.05, norm=1.0)
    W, size = np.asarray(problem.classifier), np.sqrt(np.asarray(problem.multiplicity))
    point = Params((), jnp.asarray(W.T @ np.asarray(problem.targets) * size), None)
    ax = drawn(plot.mixup_features(problem, point, predicted=point))
    clouds = [np.asarray(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection)]
    mixed, pure = clouds[:3], np.concatenate(clouds[3:])
    assert np.allclose(pure[0, 0], 0) and pure[0, 1] > 0 and pure[1, 0] > 0 > pure[2, 0]
    features = np.asarray(point.H) / size
    np.testing.assert_allclose(np.linalg.norm(pure, axis=1), np.linalg.norm(features[:, :3], axis=0), rtol=1e-10)
    between = pure[[0, 0, 1]] + pure[[1, 2, 2]]
    for edge, middle, line in zip(mixed, between, dashed(ax), strict=True):
        halfway = edge[1] / np.linalg.norm(edge[1])
        np.testing.assert_allclose(halfway, middle / np.linalg.norm(middle), atol=1e-9)
        np.testing.assert_allclose(line.get_xydata()[1:-1], edge, atol=1e-12)
    np.testing.assert_allclose(ax.collections[0].get_array(), [0.75, 0.5, 0.75])
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    turned = problem.replace(classifier=problem.classifier @ Q.T)
    other = plot.mixup_features(turned, point._replace(H=Q @ point.H))
    np.testing.assert_allclose(other.collections[0].get_offsets(), mixed[0], atol=1e-9)


def test_no_features_past_the_threshold_are_drawn_at_the_origin():
    problem = mixup_problem(mixup_types(3, (0.3, 0.7), (0.5, 0.5)), 3, l2_H=2.0, l2_W=2.0)
    ax = drawn(plot.mixup_features(problem, Params((jnp.zeros((3, 3)),), jnp.zeros((3, problem.columns)), None)))
    assert all(np.all(c.get_offsets() == 0) for c in ax.collections if isinstance(c, PathCollection))


def entry(name, status, *checks, error=""):
    theorem = Theorem(name, status, "", "", *[lambda *_: None] * 4)
    return Entry(theorem, (CaseResult("case", tuple(Check("agreement", "x", *c) for c in checks), 0.1, error),))


def test_evidence_puts_what_holds_left_of_one_and_marks_every_verdict():
    entries = (
        entry("good", "holds", (1e-12, 1e-9), (2e-10, 1e-9)),
        entry("wrong", "refuted", (3.0, 1e-1)),
        entry("broken", "holds", (1e-6, 1e-9)),
        entry("exact", "numerical", (0.0, 1e-9)),
        entry("stopped", "diagnostic", (1e-12, 1e-9), error="ValueError: no"),
        entry("unbounded", "refuted", (1.0, 0.0)),
    )
    ax = drawn(plot.evidence(Report(entries, {"canary": "sings"}, 1.0)))
    places = {}
    for line in ax.lines[1:]:
        for x, row in zip(*line.get_data(), strict=True):
            places[int(row)] = (x, line.get_color(), line.get_marker())
    low, high = ax.get_xlim()
    np.testing.assert_allclose([places[i][0] for i in range(6)], [0.2, 30.0, 1e3, low, high, high])
    np.testing.assert_allclose([low, high], [1e-2, 1e4])
    verdicts = ["holds", "refuted", "fails", "numerical", "fails", "refuted"]
    assert [places[i][1:] for i in range(6)] == [VERDICTS[v][:2] for v in verdicts]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["good", "wrong", "broken", "exact", "stopped", "unbounded"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1] and ax.get_xscale() == "log"


# animation


def test_an_animation_has_a_frame_for_every_time_that_was_reached(tmp_path):
    problem = Problem.balanced(3, 1, 4, l2_W=0.01, l2_H=0.01)
    points = [random_point(problem, seed) for seed in range(3)]
    params = jax.tree.map(lambda *x: jnp.stack(x), *points)
    values = jnp.array([1.0, 0.5, jnp.nan])
    path = Trajectory(jnp.arange(3.0), params, values, values, jnp.asarray(1))
    found = plot.animate(problem, path, tmp_path / "flow.gif", seconds=1, dpi=30)
    with Image.open(found) as picture:
        assert picture.n_frames == 2 and picture.info["duration"] == 500
    page = plot.animate(problem, path, tmp_path / "flow.html", dpi=20).read_text()
    assert page.startswith("<!doctype html>") and page.count("data:image/png;base64") == 2
    with pytest.raises(ValueError, match="at least 2 times, got 1"):
        plot.animate(problem, path._replace(value=values.at[1].set(jnp.nan)), tmp_path / "x.gif")


# house


def test_ufm_plot_loads_no_matplotlib():
    code = "import sys, ufm.plot; assert not {'matplotlib', 'xarray', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ValueError, match=r"pip install 'ufm\[plot\]'"):
        plot.gram_matrices(None, np.eye(2), np.eye(2))


def test_no_two_of_forty_nine_series_share_colour_and_marker_and_seven_share_neither():
    pairs = [tuple(series(i).values()) for i in range(49)]
    assert len(set(pairs)) == 49 and all(len(set(part)) == 7 for part in zip(*pairs[:7], strict=True))


PLAIN = Problem.balanced(3, 1, 2, l2_W=0.1, l2_H=0.1)
POINT = Params((jnp.ones((3, 2)),), jnp.ones((2, 3)), None)
PATH = decaying(jnp.arange(3.0), nc1=jnp.ones(3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plot.geometry(PLAIN, POINT, dims=4), "dims must be one of None, 2, 3, got 4"),
        (lambda: plot.geometry(PLAIN, 3), "point must be Params, or what carries them"),
        (lambda: plot.geometry(PLAIN, POINT, ax="here"), "ax must be matplotlib axes, got 'here'"),
        (lambda: plot.geometry(PLAIN, POINT._replace(H=jnp.full((2, 3), jnp.nan))), "point.params must be finite"),
        (lambda: plot.geometry(PLAIN, POINT, dims=2, ax=axes(projection="3d")), "ax must be axes of two dimensions"),
        (lambda: plot.gram_matrices(None, POINT, np.eye(3)), "problem must be given where predicted is a point"),
        (lambda: plot.gram_matrices(None, np.eye(2), np.eye(3)), r"one shape, got \(2, 2\) and \(3, 3\)"),
        (lambda: plot.gram_matrices(None, np.ones((2, 3)), np.eye(3)), "predicted must be a point or a square matrix"),
        (lambda: plot.gram_matrices(None, "a", np.eye(3)), "predicted must be a point .* or a Gram matrix, got 'a'"),
        (lambda: plot.gram_matrices(None, np.eye(2), np.eye(2), axes=[axes()]), "axes must be three axes, got 1"),
        (lambda: plot.gram_matrices(PLAIN, POINT, POINT, of="rows"), "of must be one of 'means', 'classifier'"),
        (lambda: plot.metrics_in_time(3), "path must be a Trajectory, a Descent or a LogDescent, got 'int'"),
        (lambda: plot.metrics_in_time(PATH, rates={"nc2": 1.0}), "rates must be rates of 'nc1', got 'nc2'"),
        (lambda: plot.metrics_in_time(PATH, rates={"nc1": 0.0}), r"rates\['nc1'\] must be finite and above 0"),
        (lambda: plot.metrics_in_time(PATH, metrics={"a": np.ones(2)}), r"metrics\['a'\] must have shape \(3,\)"),
        (lambda: plot.metrics_in_time(PATH._replace(metrics=())), "metrics must hold something to draw"),
        (lambda: plot.objective_gap(PATH, 2.5), "minimum must be no larger than f along the path"),
        (lambda: plot.objective_gap(PATH, 2.0, rate=-1), "rate must be finite and above 0, got -1"),
        (lambda: plot.phase_diagram(POINT), "dataset must be an xarray.Dataset, got 'Params'"),
        (lambda: plot.phase_diagram(phases().drop_vars("boundary")), "with the variable 'boundary'"),
        (lambda: plot.phase_diagram(xr.Dataset({n: phases()[n] for n in NAMES})), "attrs must name the dimensions"),
        (lambda: plot.phase_diagram(phases().assign_attrs(x="n")), "phase must be of the dimensions 'n' and 'l2_H'"),
        (lambda: plot.heat_map(phases(), "gap"), "dataset must be a Dataset with the variable 'gap'"),
        (lambda: plot.heat_map(phases(), "phase", x="K"), "x must be one of 'l2_W', 'l2_H', got 'K'"),
        (lambda: plot.heat_map(phases(), "phase", x="l2_W", y="l2_W"), "y must be another dimension than x"),
        (lambda: plot.heat_map(phases(), "boundary"), "variable must be of two dimensions"),
        (lambda: plot.hessian_spectrum(PLAIN, POINT, predicted=([1.0], [3])), "as many eigenvalues as there .*, 12, got 3"),
        (lambda: plot.hessian_spectrum(PLAIN, POINT, predicted=([1.0, 2.0], [12])), r"shape \(G,\), got \(2,\) and \(1,\)"),
        (lambda: plot.hessian_spectrum(Problem.balanced(3, 1, 9999), random_point(Problem.balanced(3, 1, 9999))), "4000"),
        (lambda: plot.hessian_spectrum(PLAIN.replace(features="sphere"), POINT), "features must be 'free'"),
        (lambda: plot.mixup_features(Problem.balanced(4, 1, 2), POINT), "problem.classes must be 3, .* got 4"),
        (lambda: plot.mixup_features(Problem.from_targets(np.full((3, 2), 1 / 3), 2), POINT), "mixtures of at most two"),
        (lambda: plot.evidence("ok"), "report must be a Report"),
        (lambda: plot.evidence(Report((), {"canary": "dead"}, 0.0)), "report must have entries to draw"),
        (lambda: plot.animate(PLAIN, PATH, "flow.mp4"), "the suffix of file must be one of '.gif', '.html', got '.mp4'"),
        (lambda: plot.animate(PLAIN, PATH, "nowhere/flow.gif"), "file must be in a folder that exists"),
        (lambda: plot.animate(PLAIN, POINT, "flow.gif"), "trajectory must be a Trajectory"),
        (lambda: plot.animate(PLAIN, PATH, "flow.gif", seconds=0), "seconds must be finite and above 0"),
    ],
)  # fmt: skip
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("levels", [np.ones(3), np.ones((24, 2)), np.ones((25, 2, 1)), np.ones((2, 25))])
def test_closed_forms_of_other_shapes_are_refused(logistic, levels):
    problem, path, _ = logistic
    with pytest.raises(ValueError, match=r"closed_form must have shape \(25, R\) or \(R,\)"):
        plot.singular_values(problem, path, closed_form=levels)
