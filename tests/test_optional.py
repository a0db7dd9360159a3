"""Packages that are missing."""

import pytest

from nmmjax._optional import optional


def test_missing_package_gives_a_one_line_hint():
    with pytest.raises(
        ModuleNotFoundError, match=r"`not_a_package` is not installed; it comes with `pip install nmmjax\[plot\]`"
    ):
        optional("not_a_package", "plot")
