"""Phase diagrams: measured ranks change where the closed form says, and the boundary is the analytic one."""

import jax.numpy as jnp
import numpy as np
import pytest

from ufm import Problem
from ufm.sweeps import phase_diagram

PROBLEM = Problem.balanced(classes=3, per_class=10, widths=4, l2_W=5e-3, l2_H=5e-3)
X, Y = ("l2_W", np.geomspace(1e-3, 1e-1, 3)), ("l2_H", np.geomspace(1e-3, 10, 5))


@pytest.fixture(scope="module")
def diagram():
    return phase_diagram(PROBLEM, X, Y, progress=False)


def test_the_boundary_is_where_the_ridges_reach_the_signal(diagram):
    """All collapses at l2_W l2_H = 1/(K^2 n)."""
    exact = 1 / (9 * 10 * X[1])
    inside = (exact > Y[1][0]) & (exact < Y[1][-1])
    assert inside.sum() >= 2
    np.testing.assert_allclose(diagram.boundary[inside, 0], exact[inside], rtol=1e-12)
    assert np.isnan(diagram.boundary[~inside]).all()


def test_measured_phases_are_those_of_the_closed_form(diagram):
    np.testing.assert_array_equal(diagram.phase, diagram.predicted_phase)
    assert set(np.unique(diagram.phase)) == {0, 3} and np.all(diagram.status == 0) and np.all(diagram.crossings_agree)
    there = np.isfinite(diagram.boundary)
    assert np.all((diagram.measured_low < diagram.boundary) & (diagram.boundary < diagram.measured_high) | ~there)
    assert diagram.boundary.dims == ("l2_W", "crossing") and diagram.attrs["y"] == "l2_H"


def stairs(p):
    return {"phase": jnp.sum(p.l2_H > jnp.asarray([0.05, 0.2, 1.0]) * p.l2_W[0] / 0.01)}


def test_several_crossings_a_wrong_measurement_and_failed_cells():
    def measured(p, key):
        failed = jnp.abs(p.l2_H - 0.15) < 1e-9
        one_less = (p.l2_W[0] > 0.015) & (p.l2_H > 2)
        return {"phase": jnp.where(failed, 17, stairs(p)["phase"] - one_less), "status": jnp.where(failed, 1, 0)}

    ys = [0.01, 0.07, 0.15, 0.3, 0.7, 1.5, 3.0]
    found = phase_diagram(PROBLEM, ("l2_W[0]", [0.01, 0.02]), ("l2_H", ys), measured=measured, predicted=stairs, progress=False)
    np.testing.assert_allclose(found.boundary, [[0.05, 0.2, 1.0], [0.1, 0.4, 2.0]], rtol=1e-9)
    np.testing.assert_array_equal(found.measured_low, [[0.01, 0.07, 0.7], [0.07, 0.3, np.nan]])
    np.testing.assert_array_equal(found.measured_high, [[0.07, 0.3, 1.5], [0.3, 0.7, np.nan]])
    assert found.crossings_agree.to_numpy().tolist() == [True, False] and np.isnan(found.phase[:, 2]).all()


@pytest.mark.parametrize(
    "x, y, options, message",
    [
        (X, ("l2_H", [2.0, 1.0]), {}, "y must be at least two ascending values"),
        (X, ("l2_H", [1.0]), {}, "y must be at least two ascending values"),
        (X, ("l2_W", [1.0, 2.0]), {}, "y must be another axis than x, got 'l2_W'"),
        ("l2_W", Y, {}, r"x must be \(axis, values\), got 'l2_W'"),
        (("K", [3, 4]), Y, {}, "x must be an axis of plain numbers of the problem, got 'K'"),
        (("l2_W", [[1.0]]), Y, {}, "x must be an axis of plain numbers"),
        (("l2_Q", [1.0]), Y, {}, "axis 'l2_Q' must be one of"),
        (X, Y, {"predicted": lambda p: {"rank": 3}}, "predicted must return .*got rank"),
    ],
)
def test_refusals_name_the_argument(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        phase_diagram(PROBLEM, x, y, progress=False, **options)
