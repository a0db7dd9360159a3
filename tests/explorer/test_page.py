"""The explorer's page: equations equal to Python's, what sliders, clicks and keys do, its size and its refusals."""

import re
from urllib.parse import urlsplit

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from outside.fitzhugh_nagumo import FitzHughNagumo
from outside.own_mechanical import DoubleWell
from outside.synapse import FirstOrderSynapse

import nmmjax as nmm
from nmmjax._parameter import Parameter
from nmmjax.explorer.equations import Flat, python_source, slider_range, table_of
from nmmjax.explorer.presets import PRESETS

SLOW = {
    "adaptation": nmm.SpikeFrequencyAdaptation(alpha=0.5, tau=10.0),
    "depression": nmm.SynapticDepression(alpha=0.05, tau=10.0),
}
MODELS = {  # every model of `nmmjax models`, networks and users' models: (model, y0)
    "plain": (nmm.MPR(eta=2.0, J=5.0, Delta=0.05), {"r": 3.0, "v": 0.0}),
    "tau": (nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), {"r": 0.1, "v": -2.0}),
    "conductance": (nmm.MPR(eta=3.0, J=2.0, conductance=nmm.ConductanceSynapse(k=0.3, E_s=-1.0)), {"r": 0.3, "v": 0.0}),
    "adaptation": (nmm.MPR(J=20.0, Delta=0.5, adaptation=SLOW["adaptation"]), {"r": 0.3, "v": 0.0}),
    "plasticity": (
        nmm.MPR(eta=-1.0, J=15.0, plasticity=nmm.ShortTermPlasticity(tau_d=5.0, tau_f=10.0, U0=0.2)),
        {"r": 0.3, "v": 0.0},
    ),
    "pair": (
        nmm.excitatory_inhibitory(eta=(2.0, -1.0), J_ee=8.0, J_ei=-12.0, J_ie=10.0, J_ii=-2.0),
        {"r": [0.3, 0.5], "v": [0.0, -0.5]},
    ),
    "outside synapse": (nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=FirstOrderSynapse(0.5)), {"r": 0.4, "v": 0.3}),
    "double well": (DoubleWell(1.0, 0.05), {"q": 0.2, "p": 0.8}),
    "FitzHugh–Nagumo": (FitzHughNagumo(current=0.5), {"V": -1.0, "w": 1.0}),
} | {name: (preset.model(), preset.y0) for name, preset in PRESETS.items()}
STEPS = 10_000
RUN = """(steps) => {
    explorer.running = false;
    const { run } = explorer, { data, model } = run, I = data.nodes.length ? data.nodes.map(() => 0.2) : 0.2;
    let y = [...data.y0], z = [];
    for (let k = 0; k < steps; k++) { model.step(run.p, y, I, data.h, z); [y, z] = [z, y]; }
    return [data.y0, run.p, data.h, y];
}"""
BOOKS = """(name) => {
    explorer.select(name);
    const { run } = explorer, gaps = [], still = () => { explorer.running = false; }, slider = explorer.sliders[0].box;
    const scale = () => 1 + Math.abs(run.heat) + Math.abs(run.work);
    const gap = () => gaps.push((run.energy() - run.E0 - run.work - run.given + run.heat) / scale());
    for (const act of ["pulse", "kick", "noise"]) { still(); explorer.actions[act](); still(); run.advance(3); gap(); }
    slider.value = run.p[0] + 0.5; slider.dispatchEvent(new Event("change")); run.advance(3); gap();
    return gaps;
}"""
FRAMES = """(count) => new Promise((done) => {
    const next = () => (count-- > 0 ? requestAnimationFrame(next) : done()); next();
})"""


def opened(chromium, html, tmp_path, address="", **options):
    """A page of its own, and the list of what it complains about."""
    file = tmp_path / "page.html"
    file.write_text(html, encoding="utf8")
    page, complaints = chromium.new_page(**options), []
    page.on("console", lambda each: complaints.append(each.text) if each.type in ("error", "warning") else None)
    page.on("pageerror", lambda each: complaints.append(str(each)))
    page.goto(file.as_uri() + address)
    return page, complaints


@pytest.fixture(scope="module")
def presets():
    return nmm.explore().html


@pytest.mark.parametrize("name", MODELS)
def test_runs_equal_those_of_python(chromium, tmp_path, name):
    model, y0 = MODELS[name]
    page, complaints = opened(chromium, nmm.explore(model, y0=y0).html, tmp_path)
    start, p, h, found = page.evaluate(RUN, STEPS)
    flat = Flat(model)
    np.testing.assert_array_equal(p, flat.p)
    p, I, h = flat.p, jnp.full(model.shape, 0.2), jnp.asarray(h)
    step = lambda k, y: flat.step(p, y, I, h)
    wanted = jax.jit(lambda y: jax.lax.fori_loop(0, STEPS, step, y))(jnp.asarray(start, float))
    np.testing.assert_allclose(np.asarray(found, float), wanted, rtol=1e-9, atol=1e-9)
    assert np.all(np.isfinite(wanted)) and not complaints
    page.close()


def test_steps_follow_the_model():
    """The page's steps are those of a solver: they agree with a tight run."""
    for name in ("gap", "inhibition"):
        model, y0 = MODELS[name]
        flat = Flat(model)
        y = flat.flat(model.state(y0))
        I, h = jnp.zeros(model.shape), jnp.asarray(0.005)
        end = jax.jit(lambda y, f=flat, I=I, h=h: jax.lax.fori_loop(0, 400, lambda k, y: f.step(f.p, y, I, h), y))(y)
        run = nmm.simulate(model, y0, jnp.asarray([0.0, 2.0]), rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(end, flat.flat(run.y_end), rtol=2e-3 if name == "gap" else 1e-4)


def test_books_balance(chromium, tmp_path, presets):
    """Energy = its first value + work − heat, under a pulse, a kick, a moved slider and noise."""
    page, complaints = opened(chromium, presets, tmp_path)
    for name in (name for name, preset in PRESETS.items() if "potential" in preset.model().offers):
        gaps = page.evaluate(BOOKS, name)
        np.testing.assert_allclose(gaps, 0, atol=2e-3 if name in ("gap", "ing", "ping") else 2e-4, err_msg=name)
    assert not complaints
    page.close()


def pixels(page, canvas):
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL()")


def settle(page, frames=12):
    page.evaluate(FRAMES, frames)


def test_hands_move_the_run(chromium, tmp_path, presets):
    page, complaints = opened(chromium, presets, tmp_path, viewport={"width": 1280, "height": 900})
    page.evaluate("explorer.running = false")
    settle(page, 40)
    still = pixels(page, "potential")
    settle(page)
    assert pixels(page, "potential") == still
    slider = page.locator("#parameters input[type=range]").first
    slider.fill("-2.5")  # η
    assert page.evaluate("explorer.run.p[0]") == -2.5
    settle(page, 40)
    assert pixels(page, "potential") != still
    box = page.locator("#plane").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"])
    y, t = page.evaluate("[[...explorer.run.y0], explorer.run.t]")
    assert t < 0.2 and y[0] > 0.5 and y[1] > 0
    page.keyboard.press("Space")
    settle(page)
    assert page.evaluate("explorer.running && explorer.run.t > 0")
    before = page.evaluate("explorer.run.y[1]")
    page.evaluate("explorer.running = false")
    page.keyboard.press("k")
    assert page.evaluate("explorer.run.y[1]") == pytest.approx(page.evaluate("explorer.run.kick"), abs=abs(before) + 5)
    for key, name in (("n", "noisy"), ("s", "slow")):
        page.keyboard.press(key)
        assert page.evaluate(f"explorer.run.{name} ?? explorer.{name}") is True
    page.keyboard.press("p")
    assert page.evaluate("explorer.run.until > explorer.run.t")
    page.keyboard.press("r")
    assert page.evaluate("explorer.run.t") < 0.5
    number = page.locator("#parameters input[type=number]").nth(2)  # Δ ≥ 0
    number.fill("-1")
    number.dispatch_event("change")
    assert "Δ must be ≥ 0" in page.locator("#message").inner_text()
    assert page.evaluate("explorer.run.p[2]") == 1
    assert not complaints
    page.close()


def test_address_reproduces_the_settings(chromium, tmp_path, presets):
    page, complaints = opened(chromium, presets, tmp_path)
    page.evaluate("""() => { explorer.running = false; explorer.select("inhibition"); }""")
    page.locator("#parameters input[type=range]").first.fill("4.25")
    page.locator("#controls input[type=range]").first.fill("0.5")
    address = urlsplit(page.url).fragment
    state = "() => [explorer.run.key, explorer.run.p, [...explorer.run.y0], explorer.run.input]"
    wanted = page.evaluate(state)
    again, more = opened(chromium, presets, tmp_path, "#" + address)
    assert again.evaluate(state) == wanted and wanted[0] == "inhibition" and wanted[1][0] == 4.25 and wanted[3] == 0.5
    for wrong in ("#m=nothing&p=1", "#m=bistable&p=1,x&y=2", "#%%%"):
        broken, complaints_there = opened(chromium, presets, tmp_path, wrong)
        assert broken.evaluate("explorer.run.key") == "bistable" and not complaints_there
        broken.close()
    assert not complaints and not more
    page.close()
    again.close()


@pytest.mark.parametrize("name", PRESETS)
def test_python_that_the_page_writes_makes_the_same_model(chromium, tmp_path, presets, name):
    page, _ = opened(chromium, presets, tmp_path)
    code, p = page.evaluate(
        f"""() => {{ explorer.select("{name}"); return [explorer.pythonOf(explorer.run), explorer.run.p]; }}"""
    )
    page.close()
    space: dict = {}
    exec(code if name == "gap" else code.partition("run =")[0], space)
    np.testing.assert_allclose(Flat(space["model"]).p, p, rtol=1e-15)
    assert "run = nmm.simulate(model, y0=" in code and (name != "gap" or bool(jnp.isfinite(space["run"].y_end.r)))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_pages_fit_their_width(chromium, tmp_path, presets, width, scheme):
    page, complaints = opened(chromium, presets, tmp_path, viewport={"width": width, "height": 900}, color_scheme=scheme)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate("explorer.readyAfter") < 5000  # ms; measured alone: about 100
    assert not complaints
    page.close()


def test_page_is_one_small_file_of_its_own(presets):
    assert len(presets.encode()) <= 400_000
    assert (
        not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", presets) and "http://" not in presets and "https://" not in presets
    )
    assert "/*" + "STYLE*/" not in presets and "/*MODELS*/" not in presets and "/*PROGRAM*/" not in presets


def test_page_is_shown_written_and_opened(tmp_path, monkeypatch):
    page = nmm.explore("hamiltonian")
    assert "ExplorerPage of" in repr(page) and page._repr_html_().startswith("<iframe srcdoc=")
    assert page.save(tmp_path / "a.html").read_text(encoding="utf8") == page.html
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    path = page.open()
    assert shown == [path.as_uri()] and path.read_text(encoding="utf8") == page.html
    with pytest.raises(ValueError, match="Argument `path` must be a file in a folder that exists"):
        page.save(tmp_path / "none" / "a.html")


class Slow(nmm.extend.AbstractModel):
    """A model with a loop in its equations."""

    variables = {"x": nmm.extend.Variable("x")}  # noqa: RUF012

    def vector_field(self, t, y, I=0.0):
        return nmm.State(x=jax.lax.fori_loop(0, jnp.asarray(3), lambda k, x: x - 0.1 * x, y.x))


REFUSALS = {
    "name": (lambda: nmm.explore("none"), r"`model` must be a model or one of bistable, .*, but got 'none'"),
    "number": (lambda: nmm.explore(3.0), r"`model` must be a model such as `MPR\(...\)`, but got 'float'"),
    "large": (
        lambda: nmm.explore(nmm.mutual_inhibition(size=4)),
        r"`model` must have at most 6 variables to be shown, nodes counted",
    ),
    "preset with y0": (lambda: nmm.explore("gap", y0={"r": 1.0, "v": 0.0}), r"`y0` must be None for a preset"),
    "y0": (lambda: nmm.explore(nmm.MPR(), y0={"x": 1.0}), r"`x` must be one of"),
    "loop": (
        lambda: nmm.explore(Slow()),
        r"made of elementwise operations to be shown on a page: `field` holds `(while|scan)`",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_sentences(name, unchecked):
    call, match = REFUSALS[name]
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("name", MODELS)
def test_python_source_has_every_parameter(name):
    model, _ = MODELS[name]
    text = python_source(model)
    numbers = [int(each) for each in re.findall(r"\{(\d+)\}", text)]
    assert sorted(numbers) == list(range(sum(value.size for _, value in table_of(model).values())))


def test_sliders_stay_within_the_bounds():
    low, high = slider_range(Parameter("Δ", "1", "[0, inf)", ""), 1.0)
    assert low == 0 and high == 4
    low, high = slider_range(Parameter("τ", "time", "(0, inf)", ""), 10.0)
    assert 0 < low < 0.1 and high == 40
    assert slider_range(Parameter("η", "1", "(-inf, inf)", ""), -5.0) == (-15, 5)
    low, high = slider_range(Parameter("u", "1", "(0, 1)", ""), 0.2)
    assert 0 < low < 0.01 and 0.99 < high < 1
