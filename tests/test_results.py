"""Results in notebooks: the print-out, escaped, from one place."""

import html
import inspect
import re

import numpy as np
import pytest
from test_architecture import classes

import nmmjax as nmm
from nmmjax._identity import Fresh
from nmmjax._results import RESULTS, Shown

RESULT_CLASSES = {name: cls for name, cls in vars(nmm.results).items() if inspect.isclass(cls) and cls is not RESULTS}


@pytest.mark.parametrize("name", RESULT_CLASSES)
def test_every_result_is_shown_in_notebooks(name):
    assert RESULT_CLASSES[name]._repr_html_ is Shown._repr_html_


def test_whatever_prints_itself_is_shown():
    """Models, stimuli, noise, pages and every result, public or not, that has a print-out of its own."""
    printing = {cls for cls in classes() if {"__repr__", "__str__"} & vars(cls).keys() and cls not in (Fresh, RESULTS)}
    own = {cls for cls in printing if "Shown" not in cls.__name__ and "._" not in f"{cls.__module__}"}
    written = {cls for cls in own if re.search(r"def __(repr|str)__", inspect.getsource(cls))}
    assert len(written) > 40
    assert [cls for cls in written if not hasattr(cls, "_repr_html_")] == []


def test_html_is_the_print_out_escaped():
    recording = nmm.results.Recording(np.zeros((3, 2)), ("V1", "<M1>"), source="a & b.csv")
    for result in (recording, nmm.MPR(), nmm.Constant(1.0) + nmm.Pulse(1.0, 0.0, 2.0)):
        text = result._repr_html_()
        assert text == f"<pre>{html.escape(str(result))}</pre>" and html.unescape(text) == f"<pre>{result}</pre>"

    class Odd(Shown):
        def __repr__(self):
            return 'r < 1 & "v" > <b>'

    assert Odd()._repr_html_() == "<pre>r &lt; 1 &amp; &quot;v&quot; &gt; &lt;b&gt;</pre>"
