"""Energy landscapes, branches and thresholds: completeness, error and cost, against sequential root finding with SciPy.

Rows (`--only`): `population`, `theorem`, `twelve`, `ninety`, `thousand`, `branches`, `pulse`.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, timed, write
from scipy.integrate import solve_ivp
from scipy.optimize import minimize, root

import nmmjax as nmm

ROWS = ("population", "theorem", "twelve", "ninety", "thousand", "branches", "pulse")
NODE = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7)


def connectome(size: int, seed: int = 0) -> np.ndarray:
    """Symmetric, sparse, log-normal weights without self-coupling, the largest 1: the look of a structural connectome."""
    rng = np.random.default_rng(seed)
    W = np.exp(1.5 * rng.normal(size=(size, size))) * (rng.random((size, size)) < 0.4)
    W = (W + W.T) / 2 * (1 - np.eye(size))
    return W / W.max()


def once(run: Any) -> tuple[Any, float, float]:
    """Result, seconds of the first call (with compilation) and of the second."""
    start = time.perf_counter()
    result = run()
    middle = time.perf_counter()
    run()
    return result, middle - start, time.perf_counter() - middle


def population(quick: bool) -> dict[str, Any]:
    """All fixed points, kinds, barriers of single populations, batched; SciPy: roots of the quartic, one after the other."""
    lanes = 2_000 if quick else 100_000
    rng = np.random.default_rng(0)
    eta, J, Delta = rng.uniform(-15, 10, lanes), rng.uniform(0, 30, lanes), 10 ** rng.uniform(-2, 0.5, lanes)
    many = jax.jit(jax.vmap(lambda *each: nmm.energy_landscape(nmm.MPR(*each))))
    given = tuple(jnp.asarray(each) for each in (eta, J, Delta))
    ours = timed(lambda: many(*given), 5)
    rates = np.asarray(many(*given).state.r)
    some = min(lanes, 2_000)

    def sequential() -> list[np.ndarray]:
        found = []
        for k in range(some):
            roots = np.roots([-(np.pi**2), J[k], eta[k], 0.0, (Delta[k] / (2 * np.pi)) ** 2])
            found.append(np.sort(roots[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)].real))
        return found

    theirs = timed(sequential, 3)
    expected = sequential()
    mine = [np.sort(each[np.isfinite(each)]) for each in rates[:some]]
    same = [a.size == b.size for a, b in zip(mine, expected, strict=True)]
    error = max(float(np.max(np.abs(a / b - 1))) for a, b in zip(mine, expected, strict=True) if a.size == b.size)
    per_second = lanes / ours["seconds_median"]
    return {
        "landscapes_per_second": per_second,
        "goal_per_second": 1e4,
        "ratio_to_numpy_roots": per_second / (some / theirs["seconds_median"]),
        "counts_that_differ": some - sum(same),
        "largest_error": error,
        **ours,
        "met": per_second >= 1e4 and all(same) and error < 1e-8,
    }


def theorem(quick: bool) -> dict[str, Any]:
    """Stable ⇔ minimum of Ψ and Morse index = unstable eigenvalues, on random symmetric networks of n ≤ 8."""
    count = 20 if quick else 2_000
    rng = np.random.default_rng(1)
    points = agreeing = minima = saddles = 0
    began = time.perf_counter()
    for _ in range(count):
        size = int(rng.integers(2, 9))
        W = rng.normal(size=(size, size)) * rng.choice([1, 3, 8, 15]) / np.sqrt(size)
        nodes = nmm.per_node(
            nmm.MPR(),
            eta=jnp.asarray(rng.uniform(-8, 8, size)),
            J=jnp.asarray(rng.uniform(0, 20, size)),
            Delta=jnp.asarray(10 ** rng.uniform(-2, 0.5, size)),
            tau=jnp.asarray(rng.uniform(0.5, 2, size)),
        )
        found = nmm.energy_landscape(nmm.Network(nodes, jnp.asarray((W + W.T) / 2)))
        points, agreeing = points + found.checked, agreeing + found.agreeing
        minima, saddles = minima + len(found.minima), saddles + len(found.saddles)
    seconds = time.perf_counter() - began
    return {
        "networks": count,
        "minima": minima,
        "saddles": saddles,
        "points_compared": points,
        "exceptions": points - agreeing,
        "seconds": seconds,
        "met": points == agreeing == minima + saddles,
    }


def _scipy_descents(network: nmm.Network, starts: np.ndarray) -> tuple[set[tuple[int, ...]], float]:
    """Patterns (which nodes fire) of the minima that SciPy's L-BFGS-B, then hybrid root finding, reaches from each start."""
    W, n = np.asarray(network.matrix()) - np.diag(np.asarray(network.nodes().J)), network.size
    eta, J, Delta = (np.asarray(each) for each in (network.nodes().eta, network.nodes().J, network.nodes().Delta))

    def psi(x: np.ndarray) -> tuple[float, np.ndarray]:
        R = np.exp(x)
        push = W @ R
        own = np.pi**2 * R**3 / 3 - eta * R - J * R**2 / 2 + Delta**2 / (4 * np.pi**2 * R)
        slope = np.pi**2 * R**2 - eta - J * R - Delta**2 / (4 * np.pi**2 * R**2) - push
        return float(np.sum(own) - R @ push / 2), R * slope

    began = time.perf_counter()
    found = set()
    for start in starts:
        end = minimize(psi, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 2000}).x
        end = root(lambda x: psi(x)[1], end).x
        found.add(tuple(np.round(end, 4)))
    assert all(len(each) == n for each in found)
    return found, time.perf_counter() - began


def twelve(quick: bool) -> dict[str, Any]:
    """All minima of a 12-node bistable network, against exhaustive descent with SciPy from all 2¹² corners."""
    size = 6 if quick else 12
    network = nmm.Network(NODE, jnp.asarray(connectome(size)), gain=0.6)
    found, cold, warm = once(lambda: nmm.energy_landscape(network))
    low, high = 0.0571217422, 1.0080121530  # the states of a node alone
    bits = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    exhaustive, theirs = _scipy_descents(network, np.log(np.where(bits == 1, high, low)))
    mine = np.log(np.asarray(found.minima.r))
    missed = sum(float(np.min(np.max(np.abs(mine - np.asarray(each)), axis=1))) > 1e-3 for each in exhaustive)
    return {
        "nodes": size,
        "minima": len(found.minima),
        "saddles": len(found.saddles),
        "minima_by_scipy": len(exhaustive),
        "missed": int(missed),
        "seconds_with_compilation": cold,
        "seconds": warm,
        "seconds_scipy": theirs,
        "ratio_to_scipy": theirs / warm,
        "met": missed == 0 and cold <= 20,
    }


def ninety(quick: bool) -> dict[str, Any]:
    """A 90-node connectome of bistable nodes: distinct minima ranked by Ψ, a sample verified by simulation."""
    size, sample = (24, 5) if quick else (90, 100)
    network = nmm.Network(NODE, jnp.asarray(connectome(size)), gain=0.56)
    found, cold, warm = once(lambda: nmm.energy_landscape(network, **({"starts": 256} if quick else {})))
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(found.minima), min(sample, len(found.minima)), replace=False)
    y0 = jax.tree.map(lambda each: each[chosen], found.minima.state)
    y0 = nmm.State(r=y0.r * jnp.asarray(rng.uniform(0.98, 1.02, y0.r.shape)), v=y0.v)
    ends = jax.jit(jax.vmap(lambda y: nmm.simulate(network, y, jnp.asarray([0.0, 60.0]), rtol=1e-7).y_end.r))(y0)
    kept = np.max(np.abs(np.log(np.asarray(ends) / np.asarray(found.minima.r)[chosen])), axis=1) < 1e-3
    starts = np.log(np.where(rng.random((20, size)) < 0.5, 0.0571217422, 1.0080121530))
    _, theirs = _scipy_descents(network, starts)
    return {
        "nodes": size,
        "minima": len(found.minima),
        "saddles": len(found.saddles),
        "descents": found.tries,
        "seconds_with_compilation": cold,
        "seconds": warm,
        "verified_by_simulation": f"{int(kept.sum())} of {chosen.size}",
        "milliseconds_per_descent_with_saddles": 1e3 * warm / found.tries,
        "milliseconds_per_descent_scipy": 1e3 * theirs / len(starts),
        "met": bool((len(found.minima) >= 1000 or quick) and kept.all() and cold <= 60),
    }


def thousand(quick: bool) -> dict[str, Any]:
    """Single minima of a 1000-node network, against SciPy's hybrid root finding from the same start."""
    size = 100 if quick else 1000
    network = nmm.Network(NODE, jnp.asarray(connectome(size, seed=2)), gain=0.05)
    found, cold, warm = once(lambda: nmm.energy_landscape(network, starts=2, saddles=0))
    flow = network.vector_field(jnp.asarray(0.0), found.minima[0])
    _, theirs = _scipy_descents(network, np.full((1, size), np.log(1.1)))
    return {
        "nodes": size,
        "minima": len(found.minima),
        "largest_residual": float(jnp.max(jnp.abs(flow.v))),
        "seconds_with_compilation": cold,
        "seconds": warm,
        "seconds_scipy_one_minimum": theirs,
        "met": len(found.minima) >= 1,
    }


def _ab(u: Any, p: Any) -> Any:
    """AUTO's demo `ab`, with p3 = 3."""
    flow = p["p1"] * (1 - u[0]) * jnp.exp(u[1])
    return jnp.stack([-u[0] + flow, -u[1] + p["p2"] * flow - p["p3"] * u[1]])


def _branch_and_rival() -> tuple[dict[str, float], dict[str, float], int, float]:
    """Times of the branch of MPR with stability and folds, and of its points by SciPy's `root` and NumPy's `eigvals`, each
    from the point before (secant steps over the rate, so that SciPy needn't turn at folds); points; largest difference."""
    branch = nmm.continue_branch(nmm.MPR(), "eta", (-8.0, 0.0))
    n = int(branch.count[0])
    r = np.asarray(branch.state.r)[0, :n]

    def sequential() -> tuple[np.ndarray, np.ndarray]:
        x, etas, unstable = np.array([-1 / (2 * np.pi * r[0]), float(branch.parameter[0, 0])]), [], []
        for each in r:
            x = root(
                lambda x, r=each: [1 / np.pi + 2 * r * x[0], x[0] ** 2 + x[1] + 15 * r - (np.pi * r) ** 2], x, tol=1e-12
            ).x
            A = np.array([[2 * x[0], 2 * each], [15 - 2 * np.pi**2 * each, 2 * x[0]]])
            etas.append(x[1])
            unstable.append(int(np.sum(np.linalg.eigvals(A).real > 0)))
        return np.array(etas), np.array(unstable)

    etas, unstable = sequential()
    assert np.array_equal(unstable, np.asarray(branch.unstable)[0, :n])
    ours = timed(lambda: nmm.continue_branch(nmm.MPR(), "eta", (-8.0, 0.0)).parameter, 5)
    error = float(np.max(np.abs(etas - np.asarray(branch.parameter)[0, :n])))
    return ours, timed(lambda: sequential()[0], 5), n, error


def branches(quick: bool) -> dict[str, Any]:
    """AUTO's demo `ab`: folds, Hopf points, period of the cycle at p₁ = 0.25; and folds of MPR in closed form."""
    del quick
    auto = {14.0: {"HB": [0.165042]}, 17.0: {"HB": [0.120866, 0.217079], "LP": [0.117015, 0.121901]}}
    # The same Hopf points in 30 digits (mpmath); AUTO's 0.217079 is 1.5e-6 off.
    exact_hopf = {14.0: [0.165042045323561], 17.0: [0.120865719509389, 0.217080509696289]}
    worst = worst_hopf = 0.0
    began = time.perf_counter()
    for p2, special in auto.items():
        branch = nmm.continue_branch(_ab, "p1", (0.0, 0.4), [0.0, 0.0], {"p1": 0.0, "p2": p2, "p3": 3.0})
        for label, expected in special.items():
            points = branch.special.select(label)
            found = np.asarray(points.parameter)[: int(points.count)]
            worst = max(worst, *(float(np.min(np.abs(found - each))) for each in expected))
            if label == "HB":
                worst_hopf = max(worst_hopf, *(float(np.min(np.abs(found - each))) for each in exact_hopf[p2]))
    hopf = nmm.find_hopf(_ab, "p1", [0.27, 1.0], {"p1": 0.165, "p2": 14.0, "p3": 3.0})
    cycles = nmm.continue_cycle(hopf, (0.1, 0.25), intervals=20)
    period = float(cycles.period[int(cycles.count) - 1])
    seconds = time.perf_counter() - began
    folds = nmm.continue_branch(nmm.MPR(J=15.0, Delta=1.0), "eta", (-8.0, 0.0)).special.select("LP")
    mine = np.sort(np.asarray(folds.parameter)[: int(folds.count)])
    r = np.array([0.75391973, 0.16256980])
    for _ in range(4):  # Newton on J = 2π²r + Δ²/(2π²r³)
        r = r - (2 * np.pi**2 * r + 1 / (2 * np.pi**2 * r**3) - 15) / (2 * np.pi**2 - 3 / (2 * np.pi**2 * r**4))
    exact = np.pi**2 * r**2 - 15 * r - 1 / (4 * np.pi**2 * r**2)
    closed = float(np.max(np.abs(mine - exact)))
    ours, theirs, points, error = _branch_and_rival()
    return {
        "largest_difference_from_auto": worst,
        "largest_error_of_hopf_points": worst_hopf,
        "period_of_ab": period,
        "error_of_the_period": abs(period - 2.22034),
        "error_of_mpr_folds": closed,
        "seconds_with_compilation": seconds,
        "branch_points": points,
        "branch_seconds": ours["seconds_median"],
        "branch_seconds_scipy": theirs["seconds_median"],
        "branch_ratio_to_scipy": theirs["seconds_median"] / ours["seconds_median"],
        "branch_difference_from_scipy": error,
        "met": worst < 2e-6 and worst_hopf < 1e-8 and abs(period - 2.22034) < 5e-6 and closed < 1e-8,
    }


def _switches(amplitude: float, duration: float, states: Any) -> bool:
    """Whether a pulse to population 1 of the mutually inhibiting pair switches it, by SciPy's DOP853."""

    def field(t: float, y: np.ndarray) -> np.ndarray:
        r, v = y[:2], y[2:]
        current = np.array([0.0, amplitude if t < duration else 0.0])
        return np.concatenate([1 / np.pi + 2 * r * v, v**2 + 5.0 + current - 15.0 * r[::-1] - (np.pi * r) ** 2])

    y = np.concatenate([np.asarray(states.minima[0].r), np.asarray(states.minima[0].v)])
    for span in ((0.0, duration), (duration + 1e-12, duration + 60.0)):
        y = solve_ivp(field, span, y, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    return bool(y[1] > y[0])


def pulse(quick: bool) -> dict[str, Any]:
    """The smallest switching pulse against a grid of simulations with SciPy, and its gradient against differences."""
    duration, spacing = 5.0, 1e-2 if quick else 1e-3

    def found(cross: float = -15.0, rtol: float = 1e-6) -> Any:
        pair = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=cross, Delta=1.0)
        states = nmm.energy_landscape(pair)
        end = nmm.minimal_pulse(pair, start=states.minima[0], end=states.minima[1], duration=duration, node=1, rtol=rtol)
        return states, end

    (states, minimal), cold, warm = once(found)
    threshold = float(minimal.amplitude)
    coarse = np.arange(0.0, threshold + 0.5, 0.05)
    fine = threshold + spacing * np.arange(-10, 11)
    began = time.perf_counter()
    first = next(each for each in coarse if _switches(float(each), duration, states))
    grid = next(each for each in fine if _switches(float(each), duration, states))
    theirs = time.perf_counter() - began
    slope = nmm.threshold_gradient(minimal).model.weights
    gradient = float(slope[0, 1] + slope[1, 0])
    step = 1e-3
    sides = [float(found(-15.0 + sign * step, 1e-9)[1].amplitude) for sign in (1, -1)]
    difference = (sides[0] - sides[1]) / (2 * step)
    error = abs(gradient / difference - 1)
    agrees = threshold - spacing <= grid <= threshold + spacing and first - 0.05 <= threshold <= first
    return {
        "amplitude": threshold,
        "amplitude_by_grid": float(grid),
        "grid_spacing": spacing,
        "gradient_by_coupling": gradient,
        "relative_error_of_the_gradient": error,
        "seconds_with_compilation": cold,
        "seconds": warm,
        "seconds_grid_with_scipy": theirs,
        "met": bool(agrees and error < 1e-3),
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0], ROWS)
    jax.config.update("jax_enable_x64", True)
    makers = {
        "population": population,
        "theorem": theorem,
        "twelve": twelve,
        "ninety": ninety,
        "thousand": thousand,
        "branches": branches,
        "pulse": pulse,
    }
    rows = [{"row": name} | makers[name](options.quick) for name in ROWS if name in options.only]
    write("landscape", options, rows)


if __name__ == "__main__":
    main()
