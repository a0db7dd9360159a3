"""Zeros of functions of one variable against closed forms, and their derivatives against the implicit function theorem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmmjax.numerics.roots import (
    bisect,
    implicit,
    newton,
    newton_between,
    ratio,
    solve_between,
    solve_near,
    solve_on_grid,
    with_slope,
)

# function(a, x), its zero as a function of a, a, and bounds around the zero.
CASES = {
    "square": (lambda a, x: x**2 - a, jnp.sqrt, 2.0, (0.5, 3.0)),
    "falling": (lambda a, x: a - jnp.exp(x), jnp.log, 3.0, (0.0, 2.0)),
    "flat at the zero": (lambda a, x: (x - a) ** 3 + (x - a), lambda a: a, 0.3, (-1.0, 2.0)),
    "steep": (lambda a, x: jnp.tanh(40 * (x - a)), lambda a: a, 0.7, (0.0, 1.0)),
}
cases = pytest.mark.parametrize("name", CASES)


def derivatives(function, a):
    return [f(a) for f in (function, jax.grad(function), jax.grad(jax.grad(function)))]


@cases
def test_between_bounds_with_two_derivatives(name):
    function, zero, a, (low, high) = CASES[name]
    found = lambda a: solve_between(function, a, jnp.asarray(low), jnp.asarray(high))
    np.testing.assert_allclose(derivatives(found, a), derivatives(zero, a), rtol=1e-9, atol=1e-9)
    assert jax.jacfwd(found)(a) == pytest.approx(float(jax.grad(zero)(a)), rel=1e-9)


@pytest.mark.parametrize("name", ["square", "falling", "flat at the zero"])
def test_near_a_start_with_two_derivatives(name):
    function, zero, a, _ = CASES[name]
    start = jnp.asarray(float(zero(a)) + 0.05)
    found = lambda a: solve_near(function, a, start)
    np.testing.assert_allclose(derivatives(found, a), derivatives(zero, a), rtol=1e-9, atol=1e-9)


@cases
@pytest.mark.parametrize("unrolled", [True, False])
def test_newton_between_bounds_from_either_end(name, unrolled):
    """Where Newton's method alone leaves the bounds (the steep one) too."""
    function, zero, a, (low, high) = CASES[name]
    sign = -1.0 if name == "falling" else 1.0
    rising = lambda x: with_slope(lambda x: sign * function(a, x), x)
    low, high = jnp.asarray(low), jnp.asarray(high)
    for start in (low, high):
        assert newton_between(rising, low, high, start, 60, unrolled) == pytest.approx(float(zero(a)), abs=1e-13)


def test_newton_between_bounds_that_enclose_nothing_ends_at_the_bound():
    rising = lambda x: with_slope(lambda x: x - 5.0, x)
    assert newton_between(rising, jnp.asarray(0.0), jnp.asarray(1.0), jnp.asarray(1.0), 20) == 1.0


@pytest.mark.parametrize("unrolled", [True, False])
def test_newton_keeps_a_step_within_limits(unrolled):
    move = lambda x: ratio(*with_slope(lambda x: x**2 - 2, x))
    kept = newton(move, jnp.asarray(0.01), 1, keep=lambda new, old: jnp.clip(new, old - 0.5, old + 0.5), unrolled=unrolled)
    assert kept == pytest.approx(0.51)
    assert newton(move, jnp.asarray(1.0), 6, unrolled=unrolled) == pytest.approx(np.sqrt(2), rel=1e-15)
    assert newton(move, jnp.asarray(0.0), 1) == 2.0  # a slope of 0 counts as 1


def test_bisection_halves_elementwise():
    a = jnp.asarray([0.2, 1.7, 2.4])
    low, high = bisect(lambda x: x < a, jnp.zeros(3), jnp.full(3, 4.0), 30)
    np.testing.assert_allclose(high - low, 4 * 2.0**-30)
    assert np.all((low <= a) & (a <= high))


def test_no_change_of_sign_is_nan_and_costs_no_neighbour():
    function = lambda a, x: x**2 - a
    found = lambda a: solve_between(function, a, jnp.zeros(2), jnp.asarray([3.0, 1.0]))
    value, slope = found(jnp.asarray([2.0, 2.0])), jax.jacfwd(found)(jnp.asarray([2.0, 2.0]))
    np.testing.assert_allclose(value, [np.sqrt(2), np.nan])
    assert slope[0, 0] == pytest.approx(0.5 / np.sqrt(2))


def test_implicit_steps_carry_derivatives_of_a_zero_that_has_none():
    x = jax.lax.stop_gradient(jnp.sqrt(jnp.asarray(2.0)))
    found = lambda a: implicit(lambda a, x: x**2 - a, a, x)
    np.testing.assert_allclose(derivatives(found, 2.0), derivatives(jnp.sqrt, 2.0), rtol=1e-12)


@pytest.mark.parametrize("falling", [True, False])
def test_zeros_on_a_grid_in_order(falling):
    """sin(a x) on (0.1, 10): zeros at π k/a, those of odd k falling."""
    grid = jnp.linspace(0.1, 10.0, 200)
    found = lambda a: solve_on_grid(lambda a, x: jnp.sin(a * x), a, grid, 4, falling)
    k = np.array([1, 3, np.nan, np.nan]) if falling else np.array([1, 2, 3, np.nan])
    np.testing.assert_allclose(found(1.0), np.pi * k, rtol=1e-14)
    np.testing.assert_allclose(jax.jacfwd(found)(1.0), -np.pi * np.nan_to_num(k), rtol=1e-12)
