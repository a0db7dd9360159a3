"""How a solve ended, in diffrax's result codes and our own, and how results are shown."""

import html

import diffrax


class Shown:
    """Base of what prints as text: notebooks show the same print-out, escaped, with its columns aligned."""

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


class RESULTS(diffrax.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]
    """Result codes: diffrax's, extended. Printing one gives its message; `successful` prints as the empty string."""

    non_finite = "The state became infinite or NaN; take smaller steps or `MobiusSplitting`, which can't overflow."
    rate_not_positive = "The firing rate left r > 0, which the equations forbid; tighten the tolerances or the step."
    input_out_of_range = "The run goes beyond the recorded input's range; states there are NaN."
    no_burst = "No burst cycle was found: the population comes to rest, or its slow variables are not slow enough to tell."
    no_closed_orbit = (
        "No closed orbit was found: the energy lies below the well, above its barrier, or nothing sustains a cycle."
    )
    bounds_reached = "The branch reached the bounds of the parameter."
    closed_branch = "The branch closed on itself."
    max_points_reached = "The branch ended after `max_points` points; raise `max_points` or `max_step` to follow it further."
    newton_failed = "Newton's method did not converge, however small the step; what was found before is kept."
    no_branch = "No branch: no fixed point was found to start from."
    cycle_shrank = "The cycle shrank to a point: another Hopf point was reached."
    period_reached = "The cycle's period reached `max_period`: a homoclinic or heteroclinic orbit may be near."
    not_reachable = "No pulse up to the bound of the amplitude switches."
    outcome_unknown = "A run beside the threshold didn't settle at a known state in time; raise `patience` or name `others`."
    no_saddle = "The transition's threshold passes near no saddle with one unstable direction: its derivative is not known."
    bogdanov_takens = "The curve ended at a Bogdanov–Takens point, at which ω = 0."
    exponents_unsettled = (
        "The exponents still change over the run by more than 2 % of the largest; raise `t1`, or `t0` if it begins far from "
        "where it ends."
    )
    cycle_halved = "The cycle became one of half the period: another period doubling was reached."
    cycle_not_passed = "The branch passes no cycle at this value of its parameter."
    cycle_degenerate = (
        "A second Floquet multiplier is 1, as at a fold of cycles or a Hopf point: phases are not defined to first order."
    )
    no_fixed_point = "No fixed point was found near the guess; start from a state closer to one."
    unstable_state = "The fixed point is not stable: fluctuations around it grow, and no spectrum exists."
