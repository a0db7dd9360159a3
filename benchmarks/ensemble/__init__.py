"""Sweeps against the tools that people would use instead: the table of ratios, with the error beside every time.

The ensemble: populations with random (η, J, Δ), all from one state to t = 50; the error of a lane is relative to a reference
of 1e-13; throughput is in time units of all lanes together per second. Every tool runs in a process of its own, warmed up;
those that are compared take turns, and ratios are those of the medians (of the fastest runs in brackets).
"""
