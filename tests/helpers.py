"""What several test files share: a table of models, a reference that shares no code with the library, and small tools."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from nmmjax import MPR, ConductanceSynapse, GapJunction

MODELS = {
    "homogeneous": MPR(eta=1.0, J=5.0, Delta=0.0),
    "heterogeneous": MPR(eta=1.0, J=4.0, Delta=0.3),
    "tau": MPR(eta=1.0, J=4.0, Delta=0.3, tau=1.7),
    "gap": MPR(eta=1.0, J=4.0, Delta=0.2, tau=1.3, gap=GapJunction(0.4)),
    "conductance": MPR(eta=1.0, J=4.0, Delta=0.2, tau=1.3, conductance=ConductanceSynapse(0.4, -1.0)),
    "everything": MPR(eta=1.0, J=4.0, Delta=0.2, tau=1.5, gap=GapJunction(0.3), conductance=ConductanceSynapse(0.4, -1.0)),
}


def plain_field(model, r, v, current=0.0):
    """(dr/dt, dv/dt) written once more, from the equations with time constant, in plain NumPy."""
    eta, J, Delta, tau = (float(each) for each in (model.eta, model.J, model.Delta, model.tau))
    g = 0.0 if model.gap is None else float(model.gap.g)
    k, E_s = (0.0, 0.0) if model.conductance is None else (float(model.conductance.k), float(model.conductance.E_s))
    dr = Delta / (np.pi * tau) + 2 * r * v - g * r - k * tau * r**2
    dv = v**2 + eta + current + J * tau * r - (np.pi * tau * r) ** 2 + k * tau * r * (E_s - v)
    return dr / tau, dv / tau


def reference(model, y0, ts, current=lambda t: 0.0):
    """r and v at `ts` from `y0 = (r, v)` by SciPy's DOP853 at rtol 1e-13; `current` must be smooth between `ts`."""
    ts, states = np.asarray(ts, float), [np.asarray(y0, float)]
    for t0, t1 in pairwise(ts):
        part = solve_ivp(
            lambda t, y: plain_field(model, y[0], y[1], current(t)),
            (t0, t1),
            states[-1],
            method="DOP853",
            rtol=1e-13,
            atol=1e-14,
        )
        states.append(part.y[:, -1])
    return np.array(states).T


def rest_slow(table, *quick):
    """Parameters for a test of every entry of a table: those not named `quick` are slow, as each compiles anew."""
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in table]


def central_difference(f, x, step=1e-5):
    """df/dx of a function of one number, to O(step⁴)."""
    return (8 * (f(x + step) - f(x - step)) - (f(x + 2 * step) - f(x - 2 * step))) / (12 * step)


def slope(x, y):
    """Slope of the regression of y on x."""
    return float(np.polyfit(np.asarray(x, float), np.asarray(y, float), 1)[0])
