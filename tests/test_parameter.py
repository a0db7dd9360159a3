"""Parameters: declared once, checked at the door in one sentence, arrays in the pytree."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmmjax import (
    MPR,
    ConductanceSynapse,
    Constant,
    GapJunction,
    Pulse,
    PulseTrain,
    Ramp,
    Sampled,
    ShortTermPlasticity,
    Sinusoid,
    SpikeFrequencyAdaptation,
    State,
    SynapticDepression,
    simulate,
)
from nmmjax._parameter import parameters
from nmmjax.extend import parameter_table

pytestmark = pytest.mark.smoke

EVERYTHING = MPR(1.0, 2.0, 0.3, 1.5, gap=GapJunction(0.4), conductance=ConductanceSynapse(0.5, -1.0))
DECLARED = {  # name: symbol, unit, rule, default
    "MPR": (MPR, {"eta": ("η", "1", "finite", -5.0), "J": ("J", "1", "finite", 15.0), "Delta": ("Δ", "1", "≥ 0", 1.0),
                  "tau": ("τ", "time", "> 0", 1.0)}),
    "GapJunction": (GapJunction, {"g": ("g", "1", "≥ 0", None)}),
    "ConductanceSynapse": (ConductanceSynapse, {"k": ("k", "1", "≥ 0", None), "E_s": ("E_s", "1", "finite", 0.0)}),
    "Pulse": (Pulse, {"amplitude": ("I", "1", "finite", None), "start": ("t_0", "time", "finite", None),
                      "stop": ("t_1", "time", "finite", None)}),
    "Sinusoid": (Sinusoid, {"amplitude": ("I", "1", "finite", None), "omega": ("ω", "rad/time", "> 0", None),
                            "phase": ("φ", "rad", "finite", 0.0)}),
}  # fmt: skip


@pytest.mark.parametrize(("cls", "expected"), DECLARED.values(), ids=DECLARED)
def test_declarations(cls, expected):
    """Every parameter carries symbol, unit, bounds, default and a sentence."""
    found = parameters(cls)
    assert {name: (p.symbol, p.unit, p.rule, p.default) for name, p in found.items()} == expected
    assert all(p.doc and p.name == name for name, p in found.items())


CLASSES = (MPR, GapJunction, ConductanceSynapse, SpikeFrequencyAdaptation, SynapticDepression, ShortTermPlasticity)
CLASSES += (Constant, Pulse, Ramp, Sinusoid, PulseTrain, Sampled)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_is_declared(cls):
    """No array field without a declaration."""
    undeclared = {field.name for field in dataclasses.fields(cls)} - set(parameters(cls))
    assert undeclared <= {"gap", "conductance", "adaptation", "plasticity", "synapse", "leak"} | {
        "coupling_heterogeneity",
        "heterogeneity",
        "count",
        "interpolation",
        "kernel",
        "note",
    }


def test_parameter_table_names_the_composed_terms():
    table = parameter_table(EVERYTHING)
    assert list(table) == ["eta", "J", "Delta", "tau", "gap.g", "conductance.k", "conductance.E_s"]
    assert [float(value) for _, value in table.values()] == [1.0, 2.0, 0.3, 1.5, 0.4, 0.5, -1.0]
    assert [declaration.symbol for declaration, _ in table.values()] == ["η", "J", "Δ", "τ", "g", "k", "E_s"]
    assert list(parameter_table(MPR())) == ["eta", "J", "Delta", "tau"]


def test_leaves_are_float_arrays():
    """Python numbers, integers and NumPy values become arrays: a Python float would recompile for every value."""
    models = [EVERYTHING, MPR(), MPR(-5, 15, 1, 2), MPR(np.float32(1.0), np.int64(2), np.array(0.5), True + 1)]
    stimuli = [Constant(1), Pulse(1, 0, 2), PulseTrain(1, 0, 2, 1, count=3), Sampled([0, 1, 2], [0, 1, 0])]
    for module in models + stimuli:
        leaves = jax.tree.leaves(module)
        assert leaves and all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float64 for leaf in leaves)
    assert {leaf.dtype for leaf in jax.tree.leaves(MPR(*[jnp.ones((), jnp.float32)] * 4))} == {jnp.dtype("float32")}


BAD_VALUES = [
    (lambda: MPR(Delta=-0.1), "`Delta` must be ≥ 0, but got -0.1"),
    (lambda: MPR(tau=0), "`tau` must be > 0, but got 0"),
    (lambda: MPR(tau=-1.5), "`tau` must be > 0, but got -1.5"),
    (lambda: MPR(eta=np.nan), "`eta` must be finite, without NaN, but got nan"),
    (lambda: MPR(J=np.inf), "`J` must be finite, without NaN, but got inf"),
    (lambda: MPR(J=-np.inf), "`J` must be finite, without NaN, but got -inf"),
    (lambda: MPR(Delta=np.nan), "`Delta` must be finite, without NaN, but got nan"),
    (lambda: MPR(eta=[1.0, 2.0]), r"`eta` must be a number \(use `jax.vmap` .*\), but got \[1., 2.\] of shape \(2,\)"),
    (lambda: MPR(eta=jnp.ones((2, 3))), r"`eta` must be a number \(use `jax.vmap` .*\), but got .* of shape \(2, 3\)"),
    (lambda: MPR(eta="-5"), "`eta` must be a number, but got '-5'"),
    (lambda: MPR(eta=True), "`eta` must be a number, but got True"),
    (lambda: MPR(eta=np.array(True)), "`eta` must be a number, but got True"),
    (lambda: MPR(eta=jnp.array(True)), "`eta` must be a number, but got True"),
    (lambda: MPR(eta=None), "`eta` must be a number, but got None"),
    (lambda: MPR(eta=1j), "`eta` must be a number, but got 1j"),
    (lambda: MPR(eta={}), "`eta` must be a number, but got {}"),
    (lambda: MPR(eta=[1.0, "a"]), r"`eta` must be a number, but got \[1.0, 'a'\]"),
    (lambda: MPR(delta=1.0), "`delta` must be one of the arguments of MPR, `eta`, `J`, .*, but got `delta`"),
    (lambda: MPR(gap=0.4), "`gap` must be None or a `GapJunction`, but got 0.4"),
    (
        lambda: MPR(conductance=GapJunction(1.0)),
        "`conductance` must be None or a `ConductanceSynapse`, but got GapJunction.*",
    ),
    (lambda: GapJunction(-1.0), "`g` must be ≥ 0, but got -1"),
    (lambda: ConductanceSynapse(-1.0), "`k` must be ≥ 0, but got -1"),
    (lambda: ConductanceSynapse(1.0, np.nan), "`E_s` must be finite, without NaN, but got nan"),
    (lambda: Sinusoid(1.0, 0.0), "`omega` must be > 0, but got 0"),
    (lambda: simulate(MPR(), {"r": 0.0, "v": 0.0}, [0.0, 1.0]), "`r` must be > 0, but got 0"),
]


@pytest.mark.parametrize(("make", "message"), BAD_VALUES, ids=[message[:45] for _, message in BAD_VALUES])
def test_bad_values_are_refused_in_one_sentence(make, message, unchecked):
    """Argument, rule and value, in one sentence."""
    with pytest.raises(ValueError, match=f"^Argument {message}\\.$"):
        make()


ARGUMENTS = [
    (lambda: MPR(1.0, 2.0, 0.3, 1.0, *[None] * 9, 9.0), "Arguments of MPR must be at most 13, but got 14."),
    (lambda: Constant(), "Argument `amplitude` must be given to Constant, but got nothing."),
    (lambda: Pulse(1.0, 2.0), "Argument `stop` must be given to Pulse, but got nothing."),
    (lambda: Pulse(1.0, 2.0, 3.0, start=1.0), "Argument `start` must be given once to Pulse, but got 1.0."),
]


@pytest.mark.parametrize("make, message", ARGUMENTS)
def test_wrong_number_of_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_traced_values_pass():
    """Values that can't be read yet are not checked, so that jit, grad and vmap build models."""
    slope = jax.grad(lambda Delta: MPR(Delta=Delta).vector_field(jnp.zeros(()), State(r=jnp.ones(()), v=jnp.ones(()))).r)(
        0.0
    )
    np.testing.assert_allclose(slope, 1 / np.pi, rtol=1e-15)
    models = jax.vmap(lambda eta: MPR(eta=eta, tau=-eta))(jnp.array([-1.0, -2.0]))
    assert models.eta.shape == models.tau.shape == models.J.shape == (2,)
    assert jax.jit(lambda tau: MPR(tau=tau))(2.0).tau == 2
    with pytest.raises(ValueError, match="`eta` must be a number"):  # shapes can be read
        jax.jit(lambda eta: MPR(eta=eta))(jnp.ones(3))


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(finite, finite, st.floats(0, allow_infinity=False), st.floats(0, exclude_min=True, allow_infinity=False))
def test_every_value_within_the_bounds_is_accepted(eta, J, Delta, tau):
    model = MPR(eta, J, Delta, tau)
    assert (float(model.eta), float(model.J), float(model.Delta), float(model.tau)) == (eta, J, Delta, tau)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.floats(max_value=0, exclude_max=True, allow_infinity=False) | st.sampled_from([np.nan, np.inf, -np.inf]))
def test_every_value_outside_is_refused(value):
    with pytest.raises(ValueError, match=r"^Argument `Delta` must .*, but got .*\.$"):
        MPR(Delta=value)
