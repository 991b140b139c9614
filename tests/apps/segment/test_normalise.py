"""Hold the laws of normalisation: mean 0 and deviation 1 per volume and channel, whatever the unit."""

import re

import numpy
import pytest

from upstroke.apps.segment.normalise import Normalisation, normalised
from upstroke.errors import OptionError

WHOLE = Normalisation(low=0, high=100)


def drawn(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(3).gamma(2.0, size=shape)


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1.7e6, 1e200])
@pytest.mark.parametrize("offset", [0.0, -3.0, 40.0])
def test_each_channel_has_mean_0_and_deviation_1_whatever_its_unit(unit, offset):
    values = unit * (drawn(3, 5, 7, 4) * numpy.array([1, 10, 100]).reshape(3, 1, 1, 1) + offset)
    result = normalised(values, Normalisation())
    assert result.dtype == numpy.float32
    numpy.testing.assert_allclose(result.mean((1, 2, 3), dtype=float), 0, atol=1e-6)
    numpy.testing.assert_allclose(result.std((1, 2, 3), dtype=float), 1, atol=1e-6)


def test_values_of_millions_keep_differences_that_float32_cannot_hold():
    small = numpy.arange(12.0).reshape(1, 3, 4)
    moved = small + 2.0**40
    numpy.testing.assert_array_equal(normalised(moved, WHOLE), normalised(small, WHOLE))
    integers = (small + 2**40).astype(numpy.int64)
    numpy.testing.assert_array_equal(normalised(integers, WHOLE), normalised(small, WHOLE))


def test_a_spike_does_not_set_the_scale():
    values = drawn(1, 50, 40)
    spiked = values.copy()
    spiked[0, 3, 5] = 1.7e6
    clean, result = (normalised(each, Normalisation()) for each in (values, spiked))
    assert abs(result - clean)[values == spiked].max() < 0.1
    assert result[0, 3, 5] == result.max() < 5


def test_percentiles_are_those_of_the_voxels_and_what_lies_outside_gets_their_value():
    values = numpy.arange(101.0).reshape(1, 101)
    result = normalised(values, Normalisation(low=10, high=80))[0]
    assert set(numpy.flatnonzero(result == result.min())) == set(range(11))
    assert set(numpy.flatnonzero(result == result.max())) == set(range(80, 101))


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 1.7e6 / 3])
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_a_constant_volume_gives_zeros(value, dtype):
    result = normalised(numpy.full((2, 7, 5, 3), value, dtype), Normalisation())
    numpy.testing.assert_array_equal(result, numpy.zeros((2, 7, 5, 3), numpy.float32))


def test_a_volume_of_almost_nothing_but_air_is_not_clipped_to_air():
    values = numpy.zeros((1, 100, 30))
    values[0, 4, 5], values[0, 6, 7] = 3, 5
    result = normalised(values, Normalisation())
    assert result[0, 6, 7] > result[0, 4, 5] > result[0, 0, 0]


def test_a_window_means_the_same_in_every_file_and_none_changes_nothing():
    values = numpy.array([[-2000, -1000, -300, 400, 3000]], numpy.int16)
    window = Normalisation(kind="window", low=-1000, high=400)
    numpy.testing.assert_array_equal(normalised(values, window), numpy.float32([[-1, -1, 0, 1, 1]]))
    result = normalised(values, Normalisation(kind="none"))
    assert result.dtype == numpy.float32
    numpy.testing.assert_array_equal(result, values)


def test_the_values_that_came_in_are_left_alone():
    for dtype in (numpy.float32, numpy.float64):
        values = drawn(2, 4, 5).astype(dtype)
        before = values.copy()
        for how in (WHOLE, Normalisation(kind="none"), Normalisation(kind="window", low=0, high=1)):
            normalised(values, how)[...] = 9
        numpy.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    "how", [Normalisation(), Normalisation(kind="window", low=-3, high=7), Normalisation(kind="none")]
)
def test_a_normalisation_comes_back_from_json(how):
    assert Normalisation.from_json(how.as_json()) == how


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 3, "high": 3}, "low must be below high; got 3 and 3"),
        ({"low": float("nan")}, "low must be below high; got nan and 99.5"),
        (
            {"low": -1, "high": 101},
            "the percentiles of a volume lie between 0 and 100; got -1 and 101 (a window takes values)",
        ),
    ],
)
def test_bounds_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Normalisation(**settings)


def test_a_record_with_other_fields_is_refused():
    message = "a normalisation has the fields high, kind, low; got kind, sigma"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Normalisation.from_json({"kind": "volume", "sigma": 3})


@pytest.mark.usefixtures("_unchecked")
def test_another_kind_is_refused():
    message = "a normalisation is one of volume, window, none; got 'other'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Normalisation.from_json({"kind": "other", "low": 0, "high": 1})
