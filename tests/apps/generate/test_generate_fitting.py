"""Hold that pictures become squares without losing, inventing or moving anything they need not."""

import re

import numpy
import pytest
from drawn_pictures import drawn
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from upstroke.apps.generate.fitting import FITS, fitted, is_enlarged
from upstroke.errors import OptionError


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_has_the_size_is_left_alone(fit, channels):
    pixels = drawn(0, size=(9, 9), channels=channels).reshape(9, 9, channels)
    assert (fitted(pixels, size=9, fit=fit) == pixels).all()
    assert not is_enlarged((9, 9), size=9, fit=fit)


@pytest.mark.parametrize(("rows", "columns"), [(8, 13), (13, 8), (9, 8), (8, 9)])
def test_the_square_in_the_middle_is_kept(rows, columns):
    pixels = drawn(1, size=(rows, columns))
    top, left = (rows - 8) // 2, (columns - 8) // 2
    assert (fitted(pixels, size=8) == pixels[top : top + 8, left : left + 8]).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.sampled_from(FITS), st.integers(0, 255))
def test_one_level_stays_that_level(rows, columns, size, fit, level):
    pixels = numpy.full((rows, columns, 3), (level, 0, 255), numpy.uint8)
    square = fitted(pixels, size=size, fit=fit)
    assert square.shape == (size, size, 3)
    assert (square == (level, 0, 255)).all()


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_shrinking_keeps_the_mean_and_makes_no_false_pattern(factor):
    # stripes of one pixel, which taking every so many pixels would turn into broad stripes, or into one level
    rows = numpy.arange(16 * factor)
    stripes = numpy.where(rows % 2, 230, 30).astype(numpy.uint8)
    pixels = numpy.repeat(numpy.repeat(stripes[:, None], len(rows), 1)[..., None], 3, 2)
    inside = fitted(pixels, size=16)[2:-2].astype(float)
    if factor == 3:
        # one and a half stripes to a pixel: what is left is small, the finest there is
        assert numpy.abs(inside - 130).max() < 20
    else:
        assert numpy.abs(inside - 130).max() <= 1


def test_shrinking_puts_everything_where_it_was():
    along = numpy.arange(64.0)
    ramp = numpy.add.outer(along * 1, along * 2)
    pixels = numpy.rint(ramp)[..., None].astype(numpy.uint8)
    expected = ramp.reshape(16, 4, 16, 4).mean((1, 3))
    square = fitted(pixels, size=16)[..., 0]
    assert numpy.abs(square - expected)[3:-3, 3:-3].max() <= 1


def test_enlarging_interpolates():
    along = numpy.arange(16.0)
    pixels = numpy.add.outer(along * 4, along * 8)[..., None].astype(numpy.uint8)
    at = (numpy.arange(40) + 0.5) * 16 / 40 - 0.5
    square = fitted(pixels, size=40)[..., 0]
    expected = numpy.add.outer(at * 4, at * 8)
    assert numpy.abs(square - expected)[8:-8, 8:-8].max() <= 1.5


def test_stretching_takes_all_of_it():
    halves = numpy.zeros((8, 40, 1), numpy.uint8)
    halves[:, 20:] = 200
    square = fitted(halves, size=8, fit="stretch")
    assert (square[:, :3] <= 10).all()
    assert (numpy.abs(square[:, 5:].astype(int) - 200) <= 10).all()
    assert is_enlarged((7, 40), size=8, fit="stretch")
    assert not is_enlarged((8, 40), size=8, fit="stretch")


def test_padding_never_enlarges_and_goes_on_with_the_outermost_level():
    pixels = numpy.full((5, 7, 3), (10, 20, 30), numpy.uint8)
    pixels[1:4, 1:6] = drawn(2, size=(3, 5))
    square = fitted(pixels, size=12, fit="pad")
    assert (square[3:8, 2:9] == pixels).all()
    square[3:8, 2:9] = (10, 20, 30)
    assert (square == (10, 20, 30)).all()
    assert not is_enlarged((5, 7), size=12, fit="pad")


def test_padding_shrinks_what_is_larger_in_its_shape():
    square = fitted(numpy.full((10, 40, 1), 90, numpy.uint8), size=8, fit="pad")
    assert (square == 90).all()
    bright = numpy.zeros((80, 160, 1), numpy.uint8)
    bright[20:60, 40:120] = 255
    square = fitted(bright, size=8, fit="pad")[..., 0]
    expected = numpy.zeros((8, 8), bool)
    expected[3:5, 2:6] = True
    assert (square[expected] > 200).all()
    assert (square[~expected] < 30).all()


def test_pillow_is_asked_for_the_kernel_that_is_promised():
    pixels = drawn(3, size=(30, 30))
    expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling.LANCZOS)
    assert (fitted(pixels, size=8) == numpy.asarray(expected)).all()


@pytest.mark.usefixtures("_unchecked")
def test_another_way_is_refused():
    message = "fit is one of crop, stretch, pad; got 'squeeze'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        fitted(drawn(0), size=4, fit="squeeze")
