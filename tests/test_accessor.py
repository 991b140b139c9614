"""Hold the accessor: importing upstroke.xarray is all that it takes."""

import importlib
import re
import sys

import numpy as np
import pytest

from upstroke.errors import MissingExtraError

xarray = pytest.importorskip("xarray")


def test_datasets_and_arrays_are_refined_through_the_accessor():
    import upstroke.xarray  # noqa: F401
    from upstroke.apps.downscale.dataset import downscale

    axes = {"lat": [45.0, 15.0], "lon": [15.0, 45.0, 75.0]}
    coarse = xarray.Dataset({"t": (("lat", "lon"), np.arange(6.0).reshape(2, 3))}, axes)
    fine = coarse.upstroke.downscale((2, 3), method="linear", variables=["t"])
    xarray.testing.assert_equal(fine, downscale(coarse, (2, 3), method="linear"))
    array = coarse.t.upstroke.downscale((2, 3), method="linear", conserve=False)
    xarray.testing.assert_equal(array, downscale(coarse.t, (2, 3), method="linear", conserve=False))


def test_every_option_of_the_function_is_one_of_the_accessors():
    import inspect

    from upstroke.apps.downscale.dataset import downscale
    from upstroke.xarray import ArrayAccessor, DatasetAccessor

    wanted = list(inspect.signature(downscale).parameters)[1:]
    assert list(inspect.signature(DatasetAccessor.downscale).parameters)[1:] == wanted
    wanted.remove("variables")
    assert list(inspect.signature(ArrayAccessor.downscale).parameters)[1:] == wanted


def test_without_xarray_the_import_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "upstroke.xarray", raising=False)
    monkeypatch.setitem(sys.modules, "xarray", None)
    message = "the accessor `upstroke` is one of xarray; pip install 'upstroke[climate]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$"):
        importlib.import_module("upstroke.xarray")
