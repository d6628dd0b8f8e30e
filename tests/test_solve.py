"""The minimiser against SciPy on the raw problem, its statuses, and its life under jit, vmap and lax.map."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import ufm
from tests.numpy_problem import numpy_problem
from ufm import Loss, Params, Problem, Status, minimise, solve
from ufm.equivalent.standard import random_standard_starts
from ufm.losses import squared_error
from ufm.problem.params import gradient_norm
from ufm.search.quasi_newton import apply_inverse_hessian, empty_memory, remember

KEY = jax.random.key(0)
COUNTS = (3, 1, 2)
objective = jax.jit(ufm.objective)


def problem_of(loss, bias, widths=4, counts=COUNTS, **choices):
    return Problem.imbalanced(counts, widths, loss=loss, bias=bias, **{"l2_W": 0.02, "l2_H": 0.005, **choices})


def scipy_minimum(problem, bounds=False, starts=4):
    """The lowest value that SciPy finds for one trained layer in raw columns, value and gradient written by hand."""
    q = numpy_problem(problem)
    Y, d, a = q.targets, q.widths[0], float(problem.bias != "none")
    (K, C), share = Y.shape, q.weight / q.samples

    def value_and_gradient(x):
        W, H, b = x[: K * d].reshape(K, d), x[K * d : K * d + d * C].reshape(d, C), x[-K:]
        Z = W @ H + a * b[:, None]
        if problem.loss.value is squared_error:
            losses, G = 0.5 * ((Z - Y) ** 2).sum(0), Z - Y
        else:
            shift = Z.max(0)
            total = np.exp(Z - shift).sum(0)
            losses, G = shift + np.log(total) - (Y * Z).sum(0), np.exp(Z - shift) / total - Y
        G = G * share
        value = share @ losses + (q.l2_W[0] * (W**2).sum() + q.l2_H * (H**2).sum() + q.l2_b * (b**2).sum()) / 2
        dW, dH, db = G @ H.T + q.l2_W[0] * W, W.T @ G + q.l2_H * H, a * G.sum(1) + q.l2_b * b
        if q.H0 is not None:
            value, dH = value + q.beta / 2 * ((H - q.H0) ** 2).sum(), dH + q.beta * (H - q.H0)
        return value, np.concatenate([dW.ravel(), dH.ravel(), db])

    found = []
    for seed in range(starts):
        start = np.random.default_rng(seed).standard_normal(K * d + d * C + K)
        limits = None
        if bounds:
            limits = [(None, None)] * (K * d) + [(0, None)] * (d * C) + [(None, None)] * K
            start = np.abs(start)
        options = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 30}
        run = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=limits, options=options)
        found.append(run.fun)
    return min(found)


def assert_solved(problem, solution, expected, rtol=1e-9):
    """The expected value, a converged status, and params in the problem's own shapes that have the value."""
    np.testing.assert_allclose(solution.value, expected, rtol=rtol)
    assert int(solution.status) == Status.CONVERGED
    assert solution.params.H.shape == (problem.widths[0], problem.columns)
    assert (solution.params.b is None) == (problem.bias == "none")
    np.testing.assert_allclose(objective(problem, solution.params), solution.value, rtol=1e-13)


@pytest.mark.parametrize("loss", ["mse", "ce"])
@pytest.mark.parametrize("bias, l2_b", [("none", 0.0), ("free", 0.0), ("ridge", 0.03)])
def test_one_layer_reaches_the_minimum_of_scipy_on_raw_samples(loss, bias, l2_b):
    problem = problem_of(loss, bias, l2_b=l2_b)
    assert_solved(problem, solve(problem, KEY), scipy_minimum(problem, starts=1))


@pytest.mark.parametrize("widths", [2, 12])
def test_narrow_and_wide_features_reach_the_minimum_of_scipy(widths):
    problem = problem_of("mse", "none", widths=widths)
    solution = solve(problem, KEY)
    assert_solved(problem, solution, scipy_minimum(problem, starts=2))
    assert int(solution.rank) == min(widths, 3)


def test_one_trained_layer_under_a_convex_loss_runs_in_the_lesser_of_classes_and_columns():
    """Few columns: each of two stands for many samples, so that no logit matrix has a rank above 2."""
    targets = np.random.default_rng(0).standard_normal((5, 2))
    problem = Problem.from_targets(targets, 9, l2_W=0.02, l2_H=0.005)
    assert random_standard_starts(problem, KEY, 1).problem.widths == (2,)
    assert random_standard_starts(problem_of("ce", "free", widths=9), KEY, 1).problem.widths == (3,)
    assert random_standard_starts(problem_of("mse", "none", widths=(9, 9)), KEY, 1).problem.widths == (9, 9)
    solution = solve(problem, KEY)
    assert_solved(problem, solution, scipy_minimum(problem, starts=2))
    assert int(solution.rank) == 2


def test_raw_and_merged_columns_have_one_minimum_and_its_columns_are_equal_within_classes():
    problem = problem_of("mse", "free")
    merged, raw = solve(problem, KEY), solve(problem, KEY, columns="raw")
    assert_solved(problem, raw, merged.value, rtol=1e-12)
    np.testing.assert_allclose(raw.params.H[:, :3], raw.params.H[:, :1] * np.ones((1, 3)), atol=1e-8)
    np.testing.assert_array_equal(merged.params.H[:, 4], merged.params.H[:, 5])


def test_columns_of_unequal_weight_are_not_merged():
    problem = problem_of("mse", "none", weight=np.array([1.0, 4.0, 0.2, 1.0, 2.0, 1.0]))
    assert_solved(problem, solve(problem, KEY), scipy_minimum(problem, starts=2))


def test_given_params_of_wide_features_are_narrowed_exactly():
    problem = problem_of("mse", "ridge", widths=30, l2_b=0.03)
    solution = solve(problem, ufm.initialize(problem, KEY, 0.5))
    assert_solved(problem, solution, scipy_minimum(problem, starts=1))
    again = solve(problem, solution.params)
    assert int(again.steps) == 0 and int(again.status) == Status.CONVERGED
    np.testing.assert_allclose(again.params.H, solution.params.H, atol=1e-14)


def test_given_columns_under_a_proximity_term_are_compressed_exactly():
    H0 = np.random.default_rng(0).standard_normal((2, 12))
    problem = problem_of("mse", "ridge", widths=2, counts=(6, 2, 4), l2_b=0.03, beta=0.1, H0=H0)
    solution = solve(problem, ufm.initialize(problem, KEY, 0.5))
    assert_solved(problem, solution, scipy_minimum(problem, starts=3))


def test_non_negative_features_reach_the_minimum_of_bounded_scipy():
    problem = problem_of("ce", "none", counts=(2, 1, 1), features="nonnegative")
    solution = solve(problem, KEY, tolerance=1e-8)
    assert jnp.all(solution.params.H >= 0)
    np.testing.assert_allclose(solution.value, scipy_minimum(problem, bounds=True, starts=8), rtol=1e-9)
    np.testing.assert_allclose(objective(problem, solution.params), solution.value, rtol=1e-13)


def test_non_negative_features_that_start_at_zero_grow_where_the_objective_wants_them_to():
    problem = problem_of("ce", "none", counts=(2, 1, 1), features="nonnegative", l2_W=0.01, l2_H=0.01)
    start = ufm.initialize(problem, KEY)
    solution = solve(problem, start._replace(H=jnp.zeros_like(start.H)), tolerance=1e-8)
    slope = jax.grad(lambda H: objective(problem, solution.params._replace(H=H)))(solution.params.H)
    assert int(solution.status) == Status.CONVERGED and solution.value < np.log(3) - 0.1
    assert jnp.min(slope) > -1e-6 and jnp.max(jnp.abs(slope * solution.params.H)) < 1e-7


def test_non_negative_features_under_a_strong_ridge_end_at_zero_exactly():
    problem = problem_of("ce", "none", counts=(2, 1, 1), features="nonnegative", l2_W=0.5, l2_H=0.5)
    solution = solve(problem, KEY)
    assert not jnp.any(solution.params.H) and not jnp.any(solution.params.weights[0])
    assert int(solution.status) == Status.CONVERGED and solution.gradient_norm == 0
    np.testing.assert_allclose(solution.value, np.log(3), rtol=1e-15)


@pytest.mark.parametrize("width", [4, 6])
def test_non_negative_features_at_zero_without_a_slope_converge(width):
    """Orthogonal columns without bias: turning them into one another costs nothing but for the bound at zero."""
    problem = Problem.balanced(4, 2, width, l2_W=5e-3, l2_H=5e-3, features="nonnegative", columns="class")
    solution = solve(problem, KEY)
    assert int(solution.status) == Status.CONVERGED
    eta = 4 * np.sqrt(2) * 5e-3  # K sqrt(n) sqrt(l_W l_H): the balanced minimum without the bound, which is met by it
    np.testing.assert_allclose(solution.value, eta - eta**2 / 2, rtol=1e-12)


def test_a_vanishing_feature_of_which_more_would_help_is_no_critical_point():
    problem = problem_of("ce", "none", counts=(2, 1, 1), features="nonnegative")
    point = ufm.initialize(problem, KEY)
    dead = point._replace(H=point.H.at[0].set(0.0))
    slope = jax.grad(lambda H: objective(problem, dead._replace(H=H)))(dead.H)
    assert jnp.min(slope[0]) < 0
    inside = jnp.minimum(dead.H, slope)
    others = sum(jnp.sum(g**2) for g in jax.grad(lambda p: objective(problem, p))(dead).weights)
    np.testing.assert_allclose(gradient_norm(problem, dead), jnp.sqrt(jnp.sum(inside**2) + others), rtol=1e-12)


@pytest.mark.parametrize("scale", [2.0, 5.0])
def test_on_the_sphere_cross_entropy_ends_at_the_simplex(scale):
    problem = Problem.balanced(3, 1, 4, loss="ce", features="sphere", scale=scale)
    solution = solve(problem, KEY, tolerance=1e-8)
    np.testing.assert_allclose(solution.value, np.log1p(2 * np.exp(-1.5 * scale)), rtol=1e-9)
    W, H = solution.params.weights[0], solution.params.H
    np.testing.assert_allclose(W @ H, 1.5 * np.eye(3) - 0.5, atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(H, axis=0), 1, rtol=1e-14)


def deep_minimum(K, n, rank, c, M):
    """(K - r + r (1 - t)(1 + M t)) / (2K) at the largest root of (1 - t) t^((M-1)/(M+1)) = beta, or 1/2 if lower."""
    beta, p = K * n ** (1 / (M + 1)) * c, (M - 1) / (M + 1)
    grid = np.linspace(0, 1, 200_001)
    roots = np.flatnonzero((1 - grid) * grid**p >= beta)
    if not roots.size:
        return 0.5
    low, high = grid[roots[-1]], 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - middle) * middle**p >= beta else (low, middle)
    return min(0.5, (K - rank + rank * (1 - low) * (1 + M * low)) / (2 * K))


@pytest.mark.parametrize("widths, rank", [((4, 5), 3), ((2, 5), 2), ((4, 1), 1)])
def test_deep_problems_reach_the_best_of_their_local_minima_and_report_its_rank(widths, rank):
    for c in (0.01, 0.08):
        problem = Problem.balanced(3, 2, widths, l2_W=(0.5 * c, 4 * c), l2_H=0.5 * c)
        solution = solve(problem, KEY)
        assert_solved(problem, solution, deep_minimum(3, 2, rank, c, 2), rtol=1e-10)
        assert int(solution.rank) == rank
        assert solution.start_values.shape == (8,) and jnp.min(solution.start_values) >= solution.value * (1 - 1e-12)


def test_deep_problems_vanish_above_the_tie_where_other_minima_still_exist():
    # beta_tie(2) = 2^(-4/3) = 0.397 < beta = 0.41 < beta_spin = 0.472
    c = 0.41 / (3 * 2 ** (1 / 3))
    problem = Problem.balanced(3, 2, (4, 5), l2_W=c, l2_H=c)
    solution = solve(problem, KEY)
    np.testing.assert_allclose(solution.value, 0.5, rtol=1e-12)
    assert int(solution.rank) == 0 and jnp.max(solution.start_values) > 0.5 + 1e-4


def test_two_trained_layers_under_a_fixed_orthonormal_classifier_are_two_layers():
    A = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 3)))[0].T
    problem = Problem.balanced(3, 2, (5, 6, 4), classifier=A, l2_W=0.01, l2_H=0.01)
    assert_solved(problem, solve(problem, KEY), deep_minimum(3, 2, 3, 0.01, 2), rtol=1e-10)


def starts_by_default(problem):
    """How many starts `solve` takes, from a trace alone."""
    return jax.eval_shape(lambda: solve(problem, KEY)).start_values.shape[0]


def test_one_start_is_taken_only_where_every_local_minimum_is_global():
    """Below K dimensions cross-entropy has local minima that are not global, and so have deep and non-convex models."""

    def bounded(z, y):
        return 1 - jnp.exp(-0.5 * jnp.sum((z - y) ** 2))

    fixed = {"classifier": np.eye(3), "l2_W": ()}
    assert starts_by_default(problem_of("ce", "free", widths=4)) == 1
    assert starts_by_default(problem_of("mse", "none", widths=2)) == 1
    assert starts_by_default(problem_of("ce", "none", widths=2)) == 8
    assert starts_by_default(problem_of("ce", "none", widths=(4, 4))) == 8
    assert starts_by_default(problem_of("ce", "none", widths=3, **fixed)) == 1
    assert starts_by_default(problem_of(bounded, "none", widths=3, **fixed)) == 8
    assert starts_by_default(problem_of(bounded, "none", widths=(5, 3), classifier=np.eye(3))) == 8


def test_steps_run_out_with_a_status_and_a_finite_point():
    problem = problem_of("mse", "none")
    solution = solve(problem, KEY, max_steps=3)
    assert int(solution.status) == Status.MAX_STEPS and int(solution.steps) == 3
    assert jnp.isfinite(solution.value) and solution.gradient_norm > 1e-6
    np.testing.assert_allclose(objective(problem, solution.params), solution.value, rtol=1e-13)
    loose = solve(problem, KEY, tolerance=1e-2)
    assert int(loose.status) == Status.CONVERGED and loose.steps < solve(problem, KEY).steps
    assert loose.gradient_norm <= 1e-2 * min(1, float(loose.value))
    for status in Status:
        assert len(status.text) > 20


def test_the_compact_inverse_hessian_is_the_bfgs_recursion_over_the_pairs_kept():
    """Twenty steps overwrite every place twice; the dense recursion starts from s.y/y.y and takes the last eight pairs."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((15, 15))
    hessian, gradients = root @ root.T + np.eye(15), [rng.standard_normal(15)]
    memory, pairs = empty_memory(jnp.zeros(15)), []
    size = memory.curvatures.shape[0]
    for step in range(20):
        s = rng.standard_normal(15)
        y = hessian @ s
        pairs.append((s, y))
        gradients.append(gradients[-1] + y)
        place = step % size
        memory = memory._replace(pairs=memory.pairs.at[place].set(s).at[size + place].set(y))
        memory = remember(memory, place, jnp.asarray(gradients[-1]), jnp.asarray(y), s @ y)
    H = np.eye(15) * (s @ y) / (y @ y)
    for s, y in pairs[-size:]:
        left = np.eye(15) - np.outer(s, y) / (s @ y)
        H = left @ H @ left.T + np.outer(s, s) / (s @ y)
    np.testing.assert_allclose(apply_inverse_hessian(memory, gradients[-1]), H @ gradients[-1], rtol=1e-9)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) + 1


@pytest.mark.parametrize(
    "function, start, minimum",
    [
        (rosenbrock, [-1.2, 1.0] * 5, 1.0),
        (lambda x: jnp.sum(x - jnp.log(x)), [1e-3, 0.5, 30.0], 3.0),  # steps below 0 are NaN
        (lambda x: jnp.sum((10.0 ** jnp.arange(0, 8, 2) * (x - 1)) ** 2) + 1, [3.0, -2.0, 5.0, 7.0], 1.0),
        (lambda x: jnp.sum(jnp.cosh(x / 50)), [5e3, -2e3], 2.0),  # the gradient starts near exp(100)
        (lambda x: jnp.sum(1 - jnp.exp(-((x - 3) ** 2) / 8)) + 1, [-5.0, 9.5], 1.0),  # starts in the flat
    ],
)
def test_minima_of_curved_walled_stiff_steep_and_flat_functions_are_reached(function, start, minimum):
    found = minimise(function, jnp.asarray(start), tolerance=1e-9)
    assert int(found.status) == Status.CONVERGED and int(found.steps) < 400
    np.testing.assert_allclose(found.value, minimum, rtol=1e-14)
    np.testing.assert_allclose(jnp.linalg.norm(jax.grad(function)(found.point)), found.gradient_norm, rtol=1e-6, atol=1e-12)


def test_a_run_above_its_rival_is_given_up_near_its_own_minimum_and_one_below_it_is_not():
    descend = jax.jit(lambda rival: minimise(rosenbrock, jnp.asarray([-1.2, 1.0] * 5), rival=rival))
    alone, below, above = descend(jnp.inf), descend(1.5), descend(0.5)
    chex.assert_trees_all_equal(alone, below)
    assert int(above.status) == Status.GIVEN_UP and above.steps < alone.steps
    assert 0 <= above.value - alone.value < 1e-9 and above.gradient_norm <= 1e-6
    level = descend(float(alone.value) * (1 - 1e-15))
    assert int(level.status) == Status.GIVEN_UP and 0 <= level.value - alone.value < 1e-10


def half_defined(z, y):
    return jnp.where(z[0] > y[0] - 1, 0.5 * jnp.sum((z - y) ** 2), jnp.nan)


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_starts_that_are_nan_do_not_hide_those_that_are_not_and_nan_everywhere_is_a_status(shift):
    loss = Loss("half-defined", half_defined, convex=True)
    problem = Problem.from_targets(shift + np.eye(2), 2, l2_W=0.01, l2_H=0.01, loss=loss)
    solution = solve(problem, KEY, starts=16)
    if shift:
        assert int(solution.status) == Status.NON_FINITE and jnp.all(jnp.isnan(solution.start_values))
    else:
        assert jnp.any(jnp.isnan(solution.start_values)) and jnp.any(jnp.isfinite(solution.start_values))
        assert solution.value == jnp.nanmin(solution.start_values)


def test_one_trace_serves_a_grid_and_jit_and_vmap_agree_with_plain_calls():
    problem = problem_of("ce", "none", counts=(2, 1, 1))
    grid = jnp.asarray([0.004, 0.01, 0.03])

    @jax.jit
    @chex.assert_max_traces(1)
    def value(l2):
        solution = solve(problem.replace(l2_H=l2), KEY)
        return solution.value, solution.status, ufm.objective(problem.replace(l2_H=l2), solution.params)

    chex.clear_trace_counter()
    jitted = np.asarray([value(l2) for l2 in grid])
    plain = np.asarray([solve(problem.replace(l2_H=l2), KEY).value for l2 in grid])
    np.testing.assert_allclose(jitted[:, 0], plain, rtol=1e-12)
    np.testing.assert_allclose(jitted[:, 2], jitted[:, 0], rtol=1e-13)
    assert not jitted[:, 1].any() and np.all(np.diff(plain) > 1e-3)
    values = jax.vmap(lambda l2: solve(problem.replace(l2_H=l2), KEY).value)(grid)
    np.testing.assert_allclose(values, plain, rtol=1e-12)


def test_class_sizes_are_swept_like_any_number_in_lax_map():
    problem = Problem.balanced(3, 1, 4, l2_W=0.02, l2_H=0.005)
    sizes = jnp.asarray([[3.0, 1.0, 2.0], [2.0, 2.0, 2.0]])
    values = jax.lax.map(lambda m: solve(problem.replace(multiplicity=m), KEY).value, sizes)
    expected = [solve(problem_of("mse", "none", counts=counts), KEY).value for counts in ((3, 1, 2), (2, 2, 2))]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_float32_works_and_stays_float32():
    problem = problem_of("mse", "none", l2_W=jnp.float32(0.02), l2_H=jnp.float32(0.005))
    solution = solve(problem, KEY)
    assert solution.value.dtype == solution.params.H.dtype == solution.gradient_norm.dtype == jnp.float32
    assert int(solution.status) == Status.CONVERGED
    np.testing.assert_allclose(solution.value, solve(problem_of("mse", "none"), KEY).value, rtol=1e-5)


def test_no_random_start_is_zero_though_zero_is_critical():
    problem = problem_of("mse", "none", widths=30)
    for scale in (1e-6, 1e3):
        points = random_standard_starts(problem.replace(l2_H=scale), KEY, 16).params
        for x in (points.H, *points.weights):
            assert float(jnp.linalg.norm(x.reshape(16, -1), axis=1).min()) > 1e-4
    solution = solve(problem, Params((jnp.zeros((3, 30)),), jnp.zeros((30, 6)), None))
    assert int(solution.status) == Status.CONVERGED and int(solution.rank) == 0
    np.testing.assert_allclose(solution.value, 0.5, rtol=1e-15)


def test_one_key_is_one_answer():
    problem = problem_of("mse", "none")
    one, two, other = solve(problem, KEY), solve(problem, KEY), solve(problem, jax.random.key(1))
    chex.assert_trees_all_equal(one, two)
    np.testing.assert_allclose(one.value, other.value, rtol=1e-12)
    assert not jnp.allclose(one.params.H, other.params.H)


PLAIN = problem_of("mse", "none")
START = ufm.initialize(PLAIN, KEY)
REFUSALS = [
    (KEY, {"columns": "all"}, r"columns must be one of 'merged', 'raw', got 'all'"),
    (KEY, {"starts": 0}, r"starts must be a whole number of at least 1 and at most \d+, got 0"),
    (KEY, {"max_steps": 2.5}, r"max_steps must be a whole number of at least 1, got 2\.5"),
    (KEY, {"tolerance": 0.0}, r"tolerance must be at least 8\.9e-16 in float64"),
    (KEY, {"tolerance": float("nan")}, r"tolerance must be at least .*, got nan"),
    (START._replace(weights=()), {}, r"params\.weights must hold 1 matrices, got 0"),
    (START._replace(weights=(jnp.ones((4, 3)),)), {}, r"params\.weights\[0\] must have shape \(3, 4\), got \(4, 3\)"),
    (START._replace(H=jnp.ones((4, 3))), {}, r"params\.H must have shape \(4, 6\), got \(4, 3\)"),
    (START._replace(b=jnp.ones(3)), {}, r'params\.b must be None where bias="none"'),
    (START._replace(H=START.H.astype(jnp.float32)), {}, r"params must .*float64, got float32"),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_wrong_arguments_are_refused_by_name(number):
    start, choices, message = REFUSALS[number]
    with pytest.raises(ValueError, match=message):
        solve(PLAIN, start, **choices)


def test_a_zero_vector_has_no_place_on_the_sphere():
    problem = PLAIN.replace(features="sphere")
    with pytest.raises(ValueError, match=r"every column of params\.H must have a direction on the sphere, got a zero vector"):
        solve(problem, START._replace(H=START.H.at[:, 0].set(0.0)))


def test_starts_outside_the_domain_are_refused():
    problem = PLAIN.replace(features="nonnegative")
    with pytest.raises(ValueError, match=r"params\.H must be finite and at least 0"):
        solve(problem, START)
