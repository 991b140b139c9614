"""Every number given per axis is checked at the door, and the message names the argument."""

import re

import pytest
import torch

from upstroke import diagnose
from upstroke.errors import OptionError
from upstroke.grid import Grid
from upstroke.polyphase import (
    box,
    bspline,
    convolution,
    cubic,
    kaiser_sinc,
    linear,
    nearest,
    shuffle,
    sub_pixel,
    transposed,
    triangle,
)

WEIGHT = torch.ones(4, 4, 3, 3)
GRID = Grid.of_input(2)
DOUBLED = linear(2)

AT_LEAST = [
    ("scale", 1, nearest),
    ("scale", 1, linear),
    ("scale", 1, cubic),
    ("scale", 1, bspline),
    ("scale", 1, kaiser_sinc),
    ("scale", 1, box),
    ("scale", 1, triangle),
    ("scale", 1, shuffle),
    ("length", 1, lambda n: box(2, length=n)),
    ("scale", 1, lambda n: sub_pixel(WEIGHT, scale=n)),
    ("dilation", 1, lambda n: sub_pixel(WEIGHT, scale=2, dilation=n)),
    ("stride", 1, lambda n: transposed(WEIGHT, stride=n)),
    ("padding", 0, lambda n: transposed(WEIGHT, stride=2, padding=n)),
    ("output_padding", 0, lambda n: transposed(WEIGHT, stride=2, output_padding=n)),
    ("dilation", 1, lambda n: transposed(WEIGHT, stride=2, dilation=n)),
    ("padding", 0, lambda n: convolution(WEIGHT, padding=n)),
    ("padding", 0, lambda n: convolution(WEIGHT, padding=[(0, n), (0, n)])),
    ("dilation", 1, lambda n: convolution(WEIGHT, dilation=n)),
    ("kernel", 1, lambda n: GRID.conv(n)),
    ("stride", 1, lambda n: GRID.conv(1, stride=n)),
    ("dilation", 1, lambda n: GRID.conv(1, dilation=n)),
    ("kernel", 1, lambda n: GRID.transposed(n)),
    ("stride", 1, lambda n: GRID.transposed(1, stride=n)),
    ("dilation", 1, lambda n: GRID.transposed(1, dilation=n)),
    ("size_in", 1, lambda n: GRID.align_corners(n, 4)),
    ("size_out", 1, lambda n: GRID.align_corners(4, n)),
    ("size", 1, lambda n: diagnose.total_kept(DOUBLED, n)),
    ("points", 1, lambda n: diagnose.frequency_response(DOUBLED, points=n)),
    ("points", 2, lambda n: diagnose.image_rejection(DOUBLED, points=n)),
    ("points", 3, lambda n: diagnose.equivariance_error(DOUBLED, 0.5, points=n)),
    ("positions", 1, lambda n: diagnose.keypoint_error(DOUBLED, sigma=1.5, positions=n)),
    ("period", 1, lambda n: diagnose.picture_subgrid_variance(torch.zeros(8, 8), n)),
    ("period", 1, lambda n: diagnose.spectral_peaks(torch.zeros(32, 32), n)),
]


@pytest.mark.parametrize(("name", "least", "call"), AT_LEAST)
def test_too_small_is_named(name, least, call):
    message = f"{name} must be at least {least} on every axis; got {least - 1}x{least - 1}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        call(least - 1)


# One sample cannot be spread over four with both ends in place, and a box of odd length needs an odd scale.
REFUSED_FOR_ANOTHER_REASON = {"size_in", "size_out", "length", "period"}


@pytest.mark.parametrize(
    ("name", "least", "call"), [each for each in AT_LEAST if each[0] not in REFUSED_FOR_ANOTHER_REASON]
)
def test_the_least_is_taken(name, least, call):
    assert name
    call(least)


@pytest.mark.parametrize(
    ("name", "call"),
    [("scale", lambda n: GRID.resize(n)), ("scale", lambda n: GRID.resize_onnx(n))],
)
def test_fractions_must_be_positive(name, call):
    with pytest.raises(OptionError, match=f"^{name} must be positive on every axis; got 0x0$"):
        call(0)
