"""`nmmjax brain config.toml`: a connectome's functional connectivity beside a recording's, over gain, noise and more."""

import os
import pathlib

import jax
import numpy as np

from .._files import as_folder, as_new_file, beside, replace_text
from ..stochastic.linear import linear_response
from .brain_job import read_job
from .brain_report import draw, report
from .brain_runs import by_linear_response, by_runs
from .configuration import Document
from .document import to_html, to_markdown
from .objects import picture_of, precision_of, save_picture, using_precision, write_netcdf
from .printing import console_for, print_json

_EXAMPLE = """\
# Which gain makes this brain's functional connectivity like the recording's: nmmjax brain brain.toml
score = "difference"           # what is best: least difference, or highest "correlation" (the default)
method = "linear"              # exact for weak noise, no runs; or "simulate", with t1, seed, [bold], and noise in [over]
figure = "brain.png"           # false for none

[connectome]
file = "weights.csv"           # zip of The Virtual Brain, npz, mat, h5, folder, or one table
normalize = "rows"             # or "max", "strength", "spectral", a number; also symmetrize, density, log, unit, receives

[population]                   # MPR; times in ms
eta = -5.0
J = 15.0
Delta = 1.0
tau = 10.0

[recording]
fc = "fc.csv"                  # correlations; or file = "bold.csv", time series of the regions

[over]
gain = {start = 1.0, stop = 12.0, num = 23}
noise = {values = [0.001, 0.01, 0.03]}

# [network]                    # per_node values, and with lengths: speed = 3.0 (mm/ms)
# [bold]                       # what was recorded: TR = 2000.0, constants = "friston2003", …
"""


def brain(
    config: pathlib.Path | None = None,
    /,
    *,
    out: pathlib.Path = pathlib.Path(),
    example: bool = False,
    json: bool = False,
) -> None:
    """Compare a brain's functional connectivity with a recording's over gain, noise and more; write report, picture, NetCDF.

    The file: method, then tables [connectome] file, normalize, …; [population] parameters; [network] gain, speed, per_node;
    [recording] file (time series) or fc (correlations); [over] gain, noise, … (start, stop, num, scale or values); [bold]
    TR, constants, …. With method "linear" (the default) fluctuations about the state of rest, without runs; with "simulate"
    runs to t1 (and t0, dt0, seed, store, chunk, [y0]), which resume from the store.

    Parameters
    ----------
    config
        The TOML file.
    out
        Folder for what is written; the current one by default.
    example
        Write brain.toml, weights.csv and fc.csv, an example to begin with, and do nothing else.
    json
        Print one JSON object.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    out = as_folder(out)
    console = console_for(json)
    if example:
        written = _write_example(out)
        console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
        console.print(f"Now: nmmjax brain {written[0]} --out {out}", highlight=False, soft_wrap=True)
        if json:
            print_json({"written": written})
        return
    if config is None:
        raise ValueError("The TOML file must be given: nmmjax brain config.toml (or --example for one to begin with).")
    document = Document(config)
    picture = picture_of(document)
    with using_precision(precision_of(document)):
        job = read_job(document)
        out.mkdir(parents=True, exist_ok=True)
        figure = as_new_file(beside(out, picture, "figure"), "figure") if picture else None
        target = as_new_file(out / f"{config.stem}.nc", "out")
        text = as_new_file(out / f"{config.stem}.md", "out")
        found = by_linear_response(job) if job.method == "linear" else by_runs(job, out)
        written = [write_netcdf(found.data, target)]
        if figure is not None:
            written.append(save_picture(draw(job, found), figure))
        blocks = report(job, found, figure)
        written.append(replace_text(text, to_markdown(blocks)))
        if figure is None or figure.suffix != ".pdf":
            written.append(replace_text(text.with_suffix(".html"), to_html(blocks, out)))
    console.print(found.summary, highlight=False, markup=False, soft_wrap=True)
    console.print("Written:", ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if json:
        print_json({"best": found.best, "correlation": found.correlation, "verdict": found.verdict, "written": written})


def _write_example(out: pathlib.Path) -> list[pathlib.Path]:
    """brain.toml with a generated connectome and the connectivity of one of its gains, with sampling errors."""
    from ..models.connectome_generator import random_connectome
    from ..models.mpr import MPR
    from ..models.network import Network

    with using_precision("float64"):
        connectome = random_connectome(20, key=jax.random.key(0))
        network = Network(MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), connectome.scaled("rows"), gain=8.0)
        X = np.asarray(linear_response(network).fc())
        series = np.random.default_rng(0).multivariate_normal(np.zeros(20), X, size=2000)
    head = ",".join(connectome.labels)
    table = lambda values: "\n".join([head, *(",".join(f"{each:.6g}" for each in row) for row in values)]) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    return [
        replace_text(out / "brain.toml", _EXAMPLE),
        replace_text(out / "weights.csv", table(np.asarray(connectome.weights))),
        replace_text(out / "fc.csv", table(np.corrcoef(series.T))),
    ]
