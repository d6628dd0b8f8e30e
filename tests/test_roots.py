"""Roots to the last place, with the derivatives of the implicit function theorem."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from ufm.search.roots import increasing_root


def cubic(x, a, b):
    """x^3 + a x - b, increasing for a > 0."""
    return x**3 + a * x - b


def lambert(x, a, b):
    """x exp(a x) - b, increasing on x > 0."""
    return x * jnp.exp(a * x) - b


EQUATIONS = [
    (cubic, lambda x, a, b: x**3 + a * x - b, 3.0),
    (lambert, lambda x, a, b: x * mpmath.exp(a * x) - b, 2.0),
]
POINTS = [(1.0, 1.0), (0.3, 2.0), (2.0, 1e-3), (1e-2, 1.5)]


def root(f, high):
    return jax.jit(lambda a, b: increasing_root(f, jnp.zeros(()), jnp.asarray(high), a, b))


def exact_root(g, a, b):
    """The root in 40 digits, as a function of mpmath numbers."""
    return mpmath.findroot(lambda x: g(x, a, b), (0, 3), solver="anderson", tol=1e-60, verify=False)


@pytest.mark.parametrize("f, g, high", EQUATIONS)
def test_roots_are_exact_to_the_last_place(f, g, high):
    solve = root(f, high)
    for a, b in POINTS:
        with mpmath.workdps(40):
            expected = float(exact_root(g, mpmath.mpf(a), mpmath.mpf(b)))
        np.testing.assert_allclose(solve(a, b), expected, rtol=1e-15, atol=1e-18)


@pytest.mark.parametrize("f, g, high", EQUATIONS)
def test_first_and_second_derivatives_are_those_of_the_implicit_function(f, g, high):
    gradient = jax.jit(jax.grad(root(f, high), (0, 1)))
    hessian = jax.jit(jax.hessian(root(f, high), (0, 1)))
    for a, b in POINTS[:2]:
        with mpmath.workdps(40):
            a, b = mpmath.mpf(a), mpmath.mpf(b)
            x = exact_root(g, a, b)
            # D(i, j, k) is the partial derivative of order i in x, j in a, k in b at the root
            partials = {n: mpmath.diff(g, (x, a, b), n) for n in np.ndindex(3, 3, 3) if sum(n) in (1, 2)}
            fx = partials[1, 0, 0]
            first = [-partials[0, 1, 0] / fx, -partials[0, 0, 1] / fx]
            unit = [(0, 1, 0), (0, 0, 1)]
            second = np.empty((2, 2))
            for i in range(2):
                for j in range(2):
                    cross = partials[tuple(np.add(unit[i], unit[j]))]
                    mixed = [partials[tuple(np.add((1, 0, 0), unit[k]))] for k in (i, j)]
                    curved = cross + mixed[0] * first[j] + mixed[1] * first[i] + partials[2, 0, 0] * first[i] * first[j]
                    second[i, j] = -curved / fx
        np.testing.assert_allclose(gradient(float(a), float(b)), [float(d) for d in first], rtol=1e-13)
        np.testing.assert_allclose(hessian(float(a), float(b)), second, rtol=1e-12, atol=1e-14)


def test_without_a_change_of_sign_the_nearer_end_is_the_answer_and_does_not_move():
    def shifted(x, s):
        return x - s

    solve = jax.jit(lambda s: increasing_root(shifted, jnp.asarray(1.0), jnp.asarray(2.0), s))
    slope = jax.jit(jax.grad(lambda s: increasing_root(shifted, jnp.asarray(1.0), jnp.asarray(2.0), s)))
    for s, expected, derivative in ((0.0, 1, 0), (5.0, 2, 0), (1.25, 1.25, 1), (1.75, 1.75, 1)):
        np.testing.assert_allclose(solve(s), expected, rtol=1e-15)
        assert slope(s) == derivative


def test_small_roots_keep_their_relative_precision():
    solve = root(cubic, 3.0)
    for b in (1e-3, 1e-9, 1e-14):
        np.testing.assert_allclose(solve(1.0, b), b / (1 + b**2), rtol=1e-12 if b < 1e-3 else 3e-12)


def test_roots_pass_through_vmap_and_keep_float32():
    a, b = (jnp.asarray(x) for x in zip(*POINTS, strict=True))
    solve = root(cubic, 3.0)
    batched = jax.vmap(solve)(a, b)
    np.testing.assert_allclose(batched, [solve(x, y) for x, y in POINTS], rtol=1e-15)
    single = jax.jit(increasing_root, static_argnums=0)(cubic, *map(jnp.float32, (0, 3, 1, 1)))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, batched[0], rtol=2e-7)


def test_flat_stretches_give_no_infinite_derivative():
    def flat(x, s):
        return jnp.maximum(x - s, 0.0) + jnp.minimum(x - s + 1, 0.0)

    slope = jax.jit(jax.grad(lambda s: increasing_root(flat, jnp.asarray(0.0), jnp.asarray(4.0), s)))
    assert jnp.isfinite(slope(2.0))
