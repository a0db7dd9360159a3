"""What coarse steps do, TVB's own runs, and functional connectivity without simulation."""

import dataclasses

import numpy as np

from .measure import OURS, Session, Tool, in_turns, order
from .reference import CHECKED, SPACING, error, exact, problem
from .tools import LINEAR


def coarse(session: Session) -> None:
    """Steps of 1 and 2 ms at τ = 10 ms, strongly coupled, where common methods fail."""
    tools = [
        Tool(OURS, "simulate"),
        Tool(f"{OURS}, MobiusSplitting(2)", "simulate", None, {"order": 2}),
        Tool("TVB Euler", "tvb", None, {"integrator": "Euler"}),
        Tool("TVB Heun", "tvb"),
        Tool("tvboptim Euler", "tvboptim", None, {"method": "Euler"}),
        Tool("tvboptim Heun", "tvboptim", None, {"per_stage": True}),
        Tool("tvboptim RK4", "tvboptim", None, {"method": "RungeKutta4", "per_stage": True}),
        Tool("vbjax RK4", "vbjax", None, {"method": "rk4"}),
    ]
    n = 12 if session.quick else 90
    for delayed in (False, True):
        for gain in (0.5, 1.0):
            case = problem(n, delayed, gain=gain, tau=10.0)
            reference, _ = exact(case, 128 if session.quick else 512)
            for steps in (10, 5):
                for tool in tools:
                    if delayed and ("per_stage" in tool.options or tool.function == "vbjax"):
                        if tool.function == "vbjax":
                            continue
                        kept = {name: value for name, value in tool.options.items() if name != "per_stage"}
                        tool = dataclasses.replace(tool, options=kept | LINEAR)
                    answer = session.workers.ask(tool, case, steps, CHECKED)
                    if answer is None:
                        continue
                    wrong = error(answer.value, reference, case.tau)
                    stable = bool(np.isfinite(wrong) and wrong < 1)
                    which = f"{'delays' if delayed else 'no delays'}, gain {gain:g}, steps of {10 // steps} ms"
                    facts = {"tool": tool.name, "error": wrong, "gain": gain, "delayed": delayed, "step_ms": 10 / steps}
                    goal = {"must": "stable", "met": stable} if tool.name == OURS else {}
                    measured = (
                        f"error {wrong:.2g}"
                        if stable
                        else "fails"
                        if not np.isfinite(wrong)
                        else f"wrong, error {wrong:.2g}"
                    )
                    session.say("coarse", f"MPR, τ = 10 ms, {which}: {tool.name}", measured, **goal, **facts)


def tvb(session: Session) -> None:
    """TVB's own simulator, ten nodes, delays that are multiples of all steps: its difference from ours by its step."""
    case = problem(10, True)
    case = dataclasses.replace(case, delays=np.maximum(np.round(case.delays * 8) / 8, 0.125))
    ours = session.workers.ask(Tool(OURS, "simulate"), case, 64, CHECKED)
    if ours is None:
        return
    for method in ("Euler", "Heun"):
        found = []
        for steps in (32, 64, 128) if session.quick else (16, 32, 64, 128, 256, 512):
            answer = session.workers.ask(Tool(f"TVB {method}", "tvb", None, {"integrator": method}), case, steps, CHECKED)
            if answer is None:
                return
            found.append({"tool": method, "dt": SPACING / steps, "error": error(answer.value, ours.value)})
            print(f"  TVB {method}: dt {SPACING / steps:.4g}, difference {found[-1]['error']:.3g}", flush=True)
        session.facts[f"tvb_{method.lower()}"] = found
        slope, last = order(found[-3:], method, below=0.1), found[-1]["error"]
        met = slope is not None and 0.85 < slope < 1.2 and (last <= 1e-3 or method == "Euler")
        measured = f"order {slope or np.nan:.3g} over the last three, {last:.2g} at the finest"
        goal = {"must": "order 1, ≤ 1e-3", "met": met} if method == "Heun" else {}
        session.say("tvb", f"difference between TVB's {method} and ours, by TVB's step", measured, **goal, order=slope)


def linear(session: Session) -> None:
    """Functional connectivity by the Lyapunov equation against simulation, at three intensities of noise."""
    n = 12 if session.quick else 90
    runs, T = (4, 200.0) if session.quick else (16, 2050.0)
    for D in (1e-4, 1e-3, 1e-2):
        case = problem(n, rates=(0.95, 1.05), D=D)
        (exactly,) = in_turns(session.workers, [(Tool(OURS, "linear_fc"), (case,))], session.quick)
        simulated = session.workers.ask(Tool(OURS, "simulated_fc"), case, 8, T, runs, 50.0)
        if exactly is None or simulated is None:
            continue
        upper = np.triu_indices(n, 1)
        fc, taken = exactly["value"][upper], exactly["seconds_median"]
        each = simulated.value[:, upper[0], upper[1]]
        mean, spread = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(runs)
        away = fc - mean
        z = float(np.sqrt(np.mean((away / spread) ** 2)))
        likely = float(np.sqrt((runs - 1) / (runs - 3)))  # of Student's t
        facts = {"D": D, "rms_z": z, "rms_difference": float(np.sqrt(np.mean(away**2)))}
        facts |= {
            "rms_standard_error": float(np.sqrt(np.mean(spread**2))),
            "correlation": float(np.corrcoef(fc, mean)[0, 1]),
        }
        told = f"FC of {n} nodes by the Lyapunov equation, D = {D:g}: difference from simulation in standard errors, rms"
        session.say(
            "linear", told, f"{z:.3g} (1 by chance: {likely:.3g})", f"≤ {1.2 * likely:.2f}", z <= 1.2 * likely, **facts
        )
        ratio = simulated.seconds / taken
        sampled = facts["rms_standard_error"]
        told = f"its time, {1e3 * taken:.3g} ms, against the simulation with a standard error of {sampled:.2g}"
        session.say("linear", told, f"{ratio:.3g}×", "≥ 1000", ratio >= 1000, seconds=taken, simulation=simulated.seconds)
