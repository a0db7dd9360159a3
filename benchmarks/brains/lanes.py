"""Many lanes with BOLD and functional connectivity folded, and derivatives of these."""

import numpy as np

from .measure import OURS, Session, Tool, in_turns, said
from .reference import SPACING, problem


def lanes(session: Session) -> None:
    """64 lanes of gain × noise, 400 nodes, delays, BOLD and functional connectivity folded."""
    n, period, T = (24, 500.0, 200.0) if session.quick else (400, 2000.0, 600.0)
    case = problem(n, True, tau=10.0, D=0.01)
    gains, noises = np.linspace(0.1, 0.5, 8), np.geomspace(1e-3, 1e-2, 8)
    steps = 10  # 1 ms
    count = n * steps * round(T / SPACING)
    what = f"64 lanes, {n} nodes, delays, noise, BOLD and FC, steps of 1 ms"
    speeds: dict[str, float] = {}
    base = session.workers.ask(Tool(OURS, "peak_bytes"))
    few = session.workers.ask(Tool(OURS, "lanes"), case, steps, T, gains[:4], noises[:4], period)
    after_few = session.workers.ask(Tool(OURS, "peak_bytes"), 1) if few is not None else None
    mine = session.workers.ask(Tool(OURS, "lanes"), case, steps, T, gains, noises, period) if few is not None else None
    if mine is not None:
        speeds[OURS] = 64 * count / mine.seconds
        peak = session.workers.ask(Tool(OURS, "peak_bytes"), 2)
        history = 16 * n * (round(case.delays.max() / (SPACING / steps)) + 1)
        if base is not None and after_few is not None and peak is not None:
            above, per_lane = float(peak.value - base.value), float(peak.value - after_few.value) / 48
            facts = {"bytes_above_import": above, "bytes_per_lane": per_lane, "history_bytes_per_lane": history}
            measured = (
                f"{per_lane / 1e6:.3g} MB a lane (history {history / 1e6:.3g} MB), {above / 2**20:.4g} MiB above import"
            )
            session.say("lanes", f"{what}: memory", measured, "≤ history + 20 %", per_lane <= 1.2 * history, **facts)
        facts = {"seconds": mine.seconds, "seconds_of_16": few.seconds, "node_steps_per_second": speeds[OURS]}
        session.say("lanes", f"{what}: M node-steps/s, {OURS}", said(speeds[OURS] / 1e6), **facts)
    session.workers.close()
    pairs = (gains[::4], noises[::2]) if not session.quick else (gains[:2], noises[:2])
    lanes_of = len(pairs[0]) * len(pairs[1])
    T = period / case.tau  # one repetition: their cost per step does not change
    for vmapped, devices in ((4, 2),):
        name = f"tvboptim, {devices} devices × {vmapped} lanes at once"
        asked = Tool(name, "tvboptim_lanes"), case, steps, T, *pairs, period, vmapped, devices
        answer = session.workers.ask(*asked)
        if answer is not None:
            speeds[name] = n * steps * round(T / SPACING) * lanes_of / answer.seconds
            facts = {"seconds": answer.seconds, "lanes": lanes_of, "node_steps_per_second": speeds[name]}
            session.say(
                "lanes", f"{what}: M node-steps/s, {name} ({lanes_of} lanes timed)", said(speeds[name] / 1e6), **facts
            )
    others = {name: speed for name, speed in speeds.items() if name != OURS}
    if OURS in speeds and others:
        ratio = speeds[OURS] / max(others.values())
        session.say("lanes", f"{what}: times faster than tvboptim", said(ratio), "≥ 10", ratio >= 10, ratio=ratio)


def gradient(session: Session) -> None:
    """Derivative of functional connectivity by gain, speed and all η, in reverse mode."""
    n, T = (12, 200.0) if session.quick else (90, 200.0)
    case = problem(n, True, tau=10.0, D=0.01)
    tools = [Tool(OURS, "gradient"), Tool("tvboptim", "tvboptim_gradient")]
    asked = [(tool, (case, 10, T, 500.0, derivative)) for tool in tools for derivative in (False, True)]
    found = in_turns(session.workers, asked, session.quick)
    costs: dict[str, float] = {}
    for tool, value, both in zip(tools, found[::2], found[1::2], strict=True):
        if value is None or both is None:
            continue
        ratio, costs[tool.name] = both["seconds_median"] / value["seconds_median"], both["seconds_median"]
        facts = {
            "ratio": ratio,
            "ratio_min": both["seconds_min"] / value["seconds_min"],
            "value_seconds": value["seconds_median"],
        }
        facts |= {"gradient_seconds": both["seconds_median"], "size": int(np.size(both["value"])) - 1}
        facts |= {"finite": bool(np.isfinite(both["value"]).all())}
        goal = {"must": "≤ 4", "met": ratio <= 4} if tool.name == OURS else {}
        told = (
            f"FC of BOLD, {n} nodes, {10 * round(T / SPACING)} steps: value and {n + 2} derivatives over value, {tool.name}"
        )
        session.say("gradient", told, f"{ratio:.3g}× ({both['seconds_median']:.3g} s)", **goal, **facts)
    if len(costs) == 2:
        ratio = costs["tvboptim"] / costs[OURS]
        session.say("gradient", "the same: times faster than tvboptim", said(ratio), ratio=ratio)
