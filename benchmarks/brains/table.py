"""The sections in their order, and what is written of them."""

import os
from collections.abc import Callable

import benchmarks.brains as package

from ..record import arguments, write
from . import checks, lanes, noise, plots, runs
from .measure import Session, Workers

SECTIONS: dict[str, Callable[[Session], None]] = {
    "plain": runs.plain,
    "delays": runs.delays,
    "noise": noise.noise,
    "lanes": lanes.lanes,
    "gradient": lanes.gradient,
    "linear": checks.linear,
    "coarse": checks.coarse,
    "tvb": checks.tvb,
}


def main() -> None:
    options = arguments((package.__doc__ or "").splitlines()[0], rows=tuple(SECTIONS))
    import jax

    jax.config.update("jax_enable_x64", True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, section in SECTIONS.items():
        if name not in options.only:
            continue
        session = Session(options, Workers(options.quick), [], {})
        print(f"{name}: {(section.__doc__ or '').splitlines()[0]}", flush=True)
        try:
            section(session)
        finally:
            session.workers.close()
        facts = {"about": " ".join((package.__doc__ or "").split()), "not_measured": session.workers.failed}
        path = write(f"brains_{name}", options, session.rows, show=False, **facts, **session.facts)
        plots.draw(name, session.facts, path.with_suffix(".png"))
