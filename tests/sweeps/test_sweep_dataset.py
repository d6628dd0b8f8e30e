"""The Dataset of a sweep: what failed is NaN with a status, what is smaller is filled, everything has a name and a meaning."""

import warnings
from collections import namedtuple
from enum import IntEnum
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ufm
from ufm import Params, Problem, Status
from ufm.sweeps import failures, load, phase_diagram
from ufm.sweeps.dataset import saveable
from ufm.sweeps.functions import FUNCTIONS

PROBLEM = Problem.balanced(classes=4, per_class=10, widths=8, l2_W=5e-3, l2_H=5e-3)
RIDGES = {"l2_H": [1e-3, 1e-2]}


def swept(fn, axes=RIDGES, **options):
    return ufm.sweep(fn, PROBLEM, axes, progress=False, **options)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    store = tmp_path_factory.mktemp("sweep") / "store"
    return swept("closed_form", {"K": [1, 3, 4], "l2_W": [[1e-3], [1e-2]]}, store=store), store


def test_smaller_results_and_refused_problems_are_filled_with_nan(sizes):
    found, _ = sizes
    assert found.logits.dims == ("K", "l2_W", "logit", "class") and found.singular_values.dims[2:] == ("factor", "direction")
    assert found["l2_W_values"].dims == ("l2_W", "layer") and found.l2_W.to_numpy().tolist() == [0, 1]
    assert np.isnan(found.logits.sel(K=3)[:, 3]).all() and np.isfinite(found.logits.sel(K=4)).all()
    assert found.status.to_numpy().tolist() == [[4, 4], [0, 0], [0, 0]]
    np.testing.assert_array_equal(found["rank"], [[np.nan] * 2, [3, 3], [4, 4]])
    assert found.attrs["refused"] == "K=1: K must be a whole number of at least 2, got 1"
    assert failures(found) == ["K=1, l2_W=0: refused", "K=1, l2_W=1: refused"]


def test_a_store_gives_the_same_dataset_back(sizes):
    found, store = sizes
    assert found.identical(load(store))


def test_everything_has_units_a_meaning_and_its_sources(sizes):
    found, _ = sizes
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in (*found.data_vars.values(), *found.coords.values()))
    assert found.attrs["function"] == "ufm.sweeps.functions.closed_form" and "Dang" in found.attrs["references"].splitlines()[0]
    assert found.attrs["version ufm"] == ufm.__version__ and "K=4" in found.attrs["problem"]
    meanings = found.status.attrs["flag_meanings"].split()
    assert [meanings[s] for s in Status] == [s.name.lower() for s in Status] and meanings[4:6] == ["refused", "not_run"]


def test_searches_that_stop_too_early_are_nan_with_their_status_and_kept_on_request():
    short = partial(ufm.solve, max_steps=3)
    lost, kept = swept(short), swept(short, keep_failed=True)
    assert np.all(lost.status == Status.MAX_STEPS) and lost.start_values.dims == ("l2_H", "seed", "start")
    assert all(np.isnan(lost[name]).all() for name in ("value", "rank", "steps", "start_values"))
    assert np.all(kept.steps == 3) and kept.steps.dtype.kind == "i" and np.isfinite(kept.value).all()
    assert failures(lost)[1].startswith("l2_H=0.01, seed=0: stopped at max_steps")


def test_losses_without_a_theorem_are_refused_with_a_sentence_and_others_are_not():
    found = swept(ufm.predict, {"d": [2, 8], "loss": ["mse", "ce"]})
    assert found.status.to_numpy().tolist() == [[0, 4], [0, 0]]
    refused = found.attrs["refused"].splitlines()
    assert refused[0].startswith("d=2, loss=ce: no theorem of the catalogue") and len(refused) == 1
    with pytest.raises(ValueError, match="no theorem of the catalogue"):
        swept(ufm.predict, {"d": [2], "loss": ["ce"]})


def test_results_are_named_by_their_place():
    Pair = namedtuple("Pair", "low high")

    def nested(p):
        return Pair(p.l2_H, {"both": (p.l2_H, 2 * p.l2_H)})

    found = swept(nested)
    assert set(found) == {"status", "low", "high.both.0", "high.both.1"}
    np.testing.assert_array_equal(found["high.both.1"], [2e-3, 2e-2])
    assert set(swept(lambda p: p.c)) == {"status", "result"}


def test_a_number_that_is_nan_fails_its_lane_and_a_status_of_any_part_does():
    def torn(p):
        return {"x": jnp.where(p.l2_H > 5e-3, jnp.nan, p.c), "count": 3, "yes": p.c > 0}

    found = swept(torn)
    assert found.status.to_numpy().tolist() == [0, Status.NON_FINITE]
    np.testing.assert_array_equal(found["count"], [3, np.nan])
    np.testing.assert_array_equal(found.yes, [1, np.nan])
    assert swept(torn, keep_failed=True)["count"].to_numpy().tolist() == [3, 3]

    def two(p):
        return {"status": 0, "x": p.c}, {"status": jnp.where(p.l2_H > 5e-3, 77, 0), "x": p.c}

    found = swept(two)
    assert found.status.to_numpy().tolist() == [0, 77] and np.isnan(found["0.x"][1]) and failures(found) == ["l2_H=0.01: status 77"]
    np.testing.assert_array_equal(found["1.status"], [0, 77])


def test_dimensions_that_two_results_cannot_share_are_named_after_each():
    found = swept(lambda p: ({"logits": jnp.ones((2, 3))}, {"logits": jnp.ones((2, 4))}))
    assert found["0.logits"].dims[1:] == ("logit", "class") and found["1.logits"].dims[1:] == ("1.logits_0", "1.logits_1")


def test_points_that_nobody_has_computed_are_nan_and_not_run(tmp_path):
    swept(lambda p: {"x": p.c, "count": 3}, {"l2_H": np.geomspace(1e-3, 1e-2, 6)}, store=tmp_path / "s", chunk=2)
    (tmp_path / "s/chunks/000001").unlink()
    found = load(tmp_path / "s")
    assert found.status.to_numpy().tolist() == [0, 0, 5, 5, 0, 0]
    np.testing.assert_array_equal(found["count"], [3, 3, np.nan, np.nan, 3, 3])
    assert failures(found)[0].endswith("not run")


@pytest.mark.parametrize("name", ["status", "value", "seed"])
def test_axes_cannot_have_the_name_of_a_result(name):
    def build(**size):
        return PROBLEM.replace(l2_H=size[name])

    with pytest.raises(ValueError, match=f"'{name}'"):
        ufm.sweep("minimum", build, {name: [0.1]}, progress=False)


def own_results(p):
    return {"x": p.c, "count": 3, "yes": p.c > 0, "of/a": {"folder": (p.l2_H, 2)}}, {"of_a.folder.0": p.l2_W}


DATASETS = {
    **{name: lambda name=name: swept(name, {"l2_H": [1e-3, 1e-2], "bias": ["none", "free"]}) for name in FUNCTIONS},
    "refused": lambda: swept("closed_form", {"K": [1, 3], "l2_W": [[1e-3], [1e-2]]}),
    "not run": lambda: dataset_with_a_hole(),
    "own": lambda: swept(own_results, {"loss": ["mse", ufm.losses.get_loss("ce")], "counts ratio": [1.0, 2.0]}, keep_failed=True),
    "phases": lambda: phase_diagram(PROBLEM, ("l2_W", [1e-3, 1e-1]), ("l2_H", [1e-3, 1.0, 10.0]), progress=False),
}


def dataset_with_a_hole():
    failed = swept(lambda p: {"x": jnp.where(p.l2_H > 5e-3, jnp.nan, p.c), "status": jnp.where(p.l2_H > 5e-3, 1, 0)})
    assert failed.status.to_numpy().tolist() == [0, 1]
    return failed


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_is_read_back_as_it_was_saved(name, tmp_path):
    xarray = pytest.importorskip("xarray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the engines' own
        dataset = DATASETS[name]()
        for engine in ("scipy", "netcdf4"):
            dataset.to_netcdf(tmp_path / f"{engine}.nc", engine=engine)
            assert xarray.load_dataset(tmp_path / f"{engine}.nc", engine=engine).identical(dataset), engine
        dataset.to_zarr(tmp_path / "store.zarr")
        with xarray.open_zarr(tmp_path / "store.zarr") as back:
            assert back.load().identical(dataset)
    assert dataset.attrs["references"] or name not in ("closed_form", "certified", "agreement", "refused", "phases")
    assert all(" " not in str(c) or c in dataset.dims for c in dataset.coords)  # else it comes back as no coordinate


def test_attributes_of_any_kind_become_what_files_hold():
    given = {
        "lines": ["a", "b"], "none": None, "yes": True, "table": {"a": (1, None)}, "numbers": (1, 2.5), "array": np.arange(2),
        "scalar": np.float32(0.5), "flag": np.bool_(True), "text": "t", "empty": [],
    }  # fmt: skip
    assert saveable(given) == {
        "lines": "a\nb", "none": "null", "yes": "true", "table": '{"a": [1, null]}', "numbers": [1, 2.5], "array": [0, 1],
        "scalar": 0.5, "flag": "true", "text": "t", "empty": "",
    }  # fmt: skip


def test_phase_diagrams_name_their_functions_and_sources():
    found = DATASETS["phases"]()
    assert found.attrs["function"] == "ufm.sweeps.functions.measured_rank" and found.attrs["x"] == "l2_W"
    assert found.attrs["predicted"] == "ufm.sweeps.functions.predicted_rank"
    assert found.attrs["references"].startswith("mse-balanced-deep: ")
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in (*found.data_vars.values(), *found.coords.values()))


def test_runs_that_end_well_keep_their_numbers_and_diverged_ones_are_called_that():
    def run(p):
        start = Params((jnp.eye(4, 8),), jnp.ones((8, p.columns)), None)
        found = ufm.descend(p, start, 40, optax.sgd(jnp.where(p.l2_H > 5e-3, 1e6, 0.1)))
        return {"value": found.value[-1], "status": found.status}

    found = swept(run)
    assert found.status.to_numpy().tolist() == [Status.COMPLETED, Status.DIVERGED]
    assert np.isfinite(found.value[0]) and np.isnan(found.value[1])
    (line,) = failures(found)
    assert line.startswith("l2_H=0.01: diverged")


def test_a_store_whose_statuses_meant_something_else_is_not_read(tmp_path, monkeypatch):
    swept(lambda p: {"x": p.c}, store=tmp_path / "s")
    load(tmp_path / "s")
    monkeypatch.setattr("ufm.sweeps.loading.Status", IntEnum("Status", {"CONVERGED": 1, "MAX_STEPS": 0}))
    with pytest.raises(ValueError, match="statuses had other meanings"):
        load(tmp_path / "s")
