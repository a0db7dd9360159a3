"""What sweeps compile is what was measured: the lowered programs of three lanes, by digest.

Speed is not tested here, but a change of these programs is the usual reason for one. A change that is meant says so in its
commit and writes the digests anew: `python -m tests.ensemble.test_lowered`.
"""

import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.ensemble.engine import prepared
from nmmjax.ensemble.plan import Build
from nmmjax.ensemble.planning import plan_sweep
from nmmjax.ensemble.task import Task, compiled

FILE = Path(__file__).with_name("lowered.json")
Y0 = {"r": 0.1, "v": -2.0}
OBSERVE = {"peak": nmm.Peak("r"), "mean_energy": nmm.Mean("energy"), "last": nmm.Final()}


def plans():
    """Population, population with slow terms, network: the README's sweep of each."""
    slow = nmm.MPR(Delta=1.0, adaptation=nmm.SynapticDepression(alpha=0.05, tau=10.0))
    network = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), 1.0 - jnp.eye(3))
    one = {"eta": np.linspace(-8.0, 2.0, 8)}
    return {
        "population": plan_sweep(nmm.MPR(Delta=1.0), over=one, y0=Y0, t1=200.0, observe=OBSERVE),
        "slow terms": plan_sweep(slow, over=one, y0=Y0, t1=200.0, observe=OBSERVE),
        "network": plan_sweep(network, over={"gain": np.linspace(0.0, 3.0, 8)}, y0=Y0, t1=200.0, observe=OBSERVE),
    }


def digest(plan):
    """SHA-256 of the StableHLO of one block of eight lanes."""
    values = plan.values(np.arange(8))
    build = Build(tuple(values))
    task = Task(build, plan.method, tuple(plan.observables.items()), plan.times, plan.gradient)
    lengths, _ = prepared(build, plan.times, True)(plan.base, values)
    block = {name: each[None] for name, each in values.items()}
    steps = jax.tree.map(lambda each: np.ones((1, *each.shape[1:]), np.int32), lengths)
    text = compiled(task, 1, "cpu").lower(plan.base, block, steps).as_text()
    return hashlib.sha256(text.encode()).hexdigest()


def lowered():
    return {"jax": jax.__version__, **{name: digest(plan) for name, plan in plans().items()}}


@pytest.mark.parametrize("name", ["population", "slow terms", "network"])
def test_the_lowered_program_of_a_lane_is_the_recorded_one(name):
    recorded = json.loads(FILE.read_text())
    if recorded["jax"] != jax.__version__:
        pytest.skip(f"digests were written with jax {recorded['jax']}")
    assert digest(plans()[name]) == recorded[name]


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    FILE.write_text(json.dumps(lowered(), indent=2) + "\n")
