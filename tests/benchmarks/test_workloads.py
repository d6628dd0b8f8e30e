"""Workloads W5 to W9: peers compute what they claim, sizes and limits are what the tables say, claims can fail."""

import importlib
import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from benchmarks import w5_frames, w6_growth, w7_closed_forms, w8_start, w9_roofline
from benchmarks.claims import judge
from benchmarks.peers.race import Race
from benchmarks.row import Row

MODULES = (w5_frames, w6_growth, w7_closed_forms, w8_start, w9_roofline)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_workload_says_what_its_rows_measure(module):
    number = module.__name__.split(".")[1].split("_")[0].upper()
    assert module.__doc__.startswith(f"{number}: ")
    assert list(inspect.signature(module.rows).parameters) == ["quick", "limit"]


def test_the_gradient_of_the_smooth_maximum_is_its_slope():
    random = np.random.default_rng(0)
    frame, direction = random.normal(size=(2, 7, 3))
    value, gradient, coherence = w5_frames.smooth_maximum(frame, 20.0)
    ahead, behind = (w5_frames.smooth_maximum(frame + s * 1e-5 * direction, 20.0)[0] for s in (1, -1))
    assert np.vdot(gradient, direction) == pytest.approx((ahead - behind) / 2e-5, rel=1e-7)
    assert coherence == pytest.approx(float(ufm.frames.coherence(jnp.asarray(frame.T))), rel=1e-12)
    assert coherence**2 <= value <= coherence**2 + np.log(21) / 20


def test_peers_reach_frames_that_are_there():
    pytest.importorskip("torch")
    icosahedron = w5_frames.Target(6, 3, ufm.frames.welch_bound(6, 3), 1e-2, "float64")
    basis = w5_frames.Target(12, 8, 0.3, 1e-4, "float64")
    lines = (w5_frames.scipy_lines, w5_frames.torch_lines)
    for target, peers in ((icosahedron, lines), (basis, (w5_frames.torch_basis,))):
        for peer in peers:
            run = Race(target.goal, 20.0).run(lambda race, peer=peer, target=target: peer(target, race))
            assert ufm.frames.welch_bound(target.vectors, target.dim) <= run.value <= target.goal and run.steps > 0


def test_cooling_finds_the_simplex_where_it_is_the_softmax_code():
    pytest.importorskip("torch")
    kept = {}
    Race(-np.inf, 20.0).run(lambda race: w5_frames.torch_cooling(3, 2, 2000, kept, race))
    simplex = float(ufm.frames.one_vs_rest_distance(ufm.frames.simplex_etf(3, 2)).distance)
    assert float(ufm.frames.one_vs_rest_distance(kept["code"]).distance) == pytest.approx(simplex, rel=1e-3)


def test_exponent_of_a_power_law_is_its_power():
    sizes = (1.0, 10.0, 1e12)
    assert w6_growth.exponent(sizes, [3 * size**1.7 for size in sizes]) == pytest.approx(1.7, abs=1e-12)


def test_the_minimum_is_the_same_at_every_n_of_the_growth():
    values = [float(ufm.predict(w6_growth.problem_of(loss, 10, n, 64)).value) for loss in ("mse", "ce") for n in (1e2, 1e12)]
    assert values[0] == pytest.approx(values[1], rel=1e-12) and values[2] == pytest.approx(values[3], rel=1e-12)
    assert 0.01 < values[0] < 0.49 and 0.1 < values[2] < np.log(10) - 0.1  # alive, and not yet at the infimum


def test_growth_reaches_the_sizes_that_are_asked_for():
    axes = list(w6_growth._axes("ce", quick=False))
    ends = [(sizes[0].axis, sizes[0].size, sizes[-1].size) for sizes in axes]
    assert ends == [("n", 1e2, 1e12), ("d", 64, 4096), ("d", 256, 4096), ("K", 4, 1000)]
    assert all(size.problem.widths[0] > 2 * size.problem.classes for sizes in axes[1:3] for size in sizes)
    assert all(float(size.problem.samples) == size.size * 10 for size in axes[0])


def test_a_size_expected_to_pass_the_limit_is_not_run():
    sizes = [w6_growth.Size("K", K, f"K={K}", w6_growth.problem_of("mse", K, 100.0, 2 * K)) for K in (2, 3)]
    first, second = w6_growth._measured(sizes, {}, limit=0.0)
    assert abs(first.gap) < 1e-9 and first.compile_s > 0 and first.wall_s > 0
    assert first.figure >= 8 * (2 * 2 * 4)  # at least the minimiser itself, W and H
    assert second.wall_s is None and second.note.startswith("not run")
    assert not list(w6_growth._exponents("mse", sizes, [first, second]))


def test_grids_of_a_sweep_have_the_cells_that_they_say():
    *grids, refused, slope = w6_growth._grids((4, 6, 10**9), limit=60.0)
    assert [row.figure * row.wall_s for row in grids] == pytest.approx([4, 6], rel=1e-9)
    assert all(row.compile_s > 0 and float(row.note.split()[3]) < 1e-8 for row in grids)
    assert refused.wall_s is None and refused.note.startswith("not run")
    assert slope.unit == "exponent" and np.isfinite(slope.figure)


def test_claims_of_growth_take_the_largest_exponent():
    def verdicts(mse, ce):
        cases = [(f"{loss} time in {axis}, 1 to 2, K=10", x) for loss, x in (("mse", mse), ("ce", ce)) for axis in "nd"]
        return [judge(claim, [Row("W6", case, "ufm", figure=x) for case, x in cases]).verdict for claim in w6_growth.CLAIMS]

    assert [verdict[:4] for verdict in verdicts(0.01, 0.02)] == ["PASS", "PASS"]
    assert [verdict[:5] for verdict in verdicts(0.01, 0.06)] == ["short", "PASS:"]
    assert [verdict[:5] for verdict in verdicts(0.2, 0.0)] == ["short", "short"]
    assert [judge(claim, []).verdict for claim in w6_growth.CLAIMS] == ["not run", "not run"]


def test_loops_agree_with_predict_on_both_sides_of_every_threshold():
    rows = list(w7_closed_forms.rows(True, 1.0))
    ours = [row for row in rows if row.method != "NumPy loop"]
    assert len(ours) == 2 * len(w7_closed_forms.FORMS) and len(rows) == 3 * len(w7_closed_forms.FORMS)
    assert all(row.gap < 1e-12 and row.figure > 0 and row.compile_s > 0 for row in ours)
    for form in w7_closed_forms.FORMS:
        values = [form.formula(W, H) for W, H in zip(*w7_closed_forms.grid(form, 7), strict=True)]
        collapsed = np.isclose(values, np.log(4) if form.loss == "ce" else 0.5, rtol=1e-12)
        assert collapsed.any() and not collapsed.all()


def test_a_process_past_its_limit_is_ended_and_says_so():
    ended = w8_start.run([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], 1.0)
    assert ended.code is None and ended.wall_s < 30 and w8_start._runs([ended]) == "stopped at the limit"
    failed = w8_start.run([sys.executable, "-c", "raise SystemExit('no luck')"], 30.0)
    assert failed.code == 1 and w8_start._runs([failed]) == "exit code 1: no luck"
    worked = w8_start.run([sys.executable, "-c", "import os; print(os.environ['SEASON'])"], 30.0, SEASON="winter")
    assert worked.output == "winter\n" and worked.code == 0 and worked.cpu_s > 0 and w8_start._runs([worked]) == ""


def test_the_first_program_of_a_fresh_process_times_its_calls():
    seconds = w8_start.json.loads(w8_start.python(w8_start._FIRST).output)
    assert set(seconds) == {f"{turn} ufm.{name}" for turn in ("first", "second") for name in ("predict", "solve")}
    assert seconds["first ufm.solve"][0] > seconds["second ufm.solve"][0] > 0


def test_torch_takes_the_same_step_as_ufm():
    pytest.importorskip("torch")
    problem, point = w9_roofline.problem_of(48, "float64"), w9_roofline.point_of(48, "float64")
    value, gradient = jax.jit(w9_roofline.step)(problem, point)
    loss, W, H = (np.asarray(x) for x in w9_roofline.torch_step(point)())
    assert value == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(gradient.weights[0], W, atol=1e-15, rtol=1e-10)
    np.testing.assert_allclose(gradient.H.T, H, atol=1e-15, rtol=1e-10)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="on an accelerator the full size runs")
def test_the_full_step_is_not_run_without_an_accelerator(monkeypatch):
    monkeypatch.setattr(w9_roofline, "_QUICK", 64)
    first, *others = w9_roofline.rows(True, 60.0)
    assert first.note == "not run: no accelerator" and "K=32768 d=2048 C=32768" in first.case
    assert {row.dtype for row in others} == {"float32", "float64"}
    for row in others:
        assert row.note.endswith("not installed") or (row.figure > 0 and row.wall_s > 0)
    short = list(w9_roofline.rows(True, 1e-9))
    assert [row.method for row in short] == ["ufm", *["three products alone", "ufm"] * 2]


def test_modules_of_workloads_load_no_torch():
    assert all("torch" not in vars(importlib.import_module(module.__name__)) for module in MODULES)
