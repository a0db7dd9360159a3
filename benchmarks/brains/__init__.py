"""Whole-brain networks of MPR populations against tvboptim, vbjax and TVB: cost, error, order of convergence.

The network: 90 regions of `random_connectome(90, density=1)`, every pair connected and 0.13 to 7.7 apart in the unit of τ,
MPR(η = −4.6, J = 14.5, Δ = 0.7), gain 0.5; rates start between 0.1 and 0.6 at ṙ = 0, so that a constant past joins smoothly.
The error of a run is the root mean square of W − W_ref over all nodes and times 1, 2, … 20, relative to that of W_ref,
W = πr + iv; the reference is DOP853 at rtol 1e-12, and with delays RK4 with cubic Hermite interpolation of the history in
NumPy, its steps halved until nothing changes. Every tool runs in a process of its own, warmed up, in float64, and gives its
states at those times; ratios at equal error are of times on the straight lines between neighbouring settings in the
logarithmic plane.
"""
