"""What makes no sense to a layer is refused in one sentence, the same one by every layer."""

import re

import pytest
import torch

from upstroke.errors import OptionError, ShapeError
from upstroke.nn import ResizeConv, SeparableTransposedConv, SubpixelConv, TransposedConv
from upstroke.nn.interpolation import Interpolation

LAYERS = [TransposedConv, SeparableTransposedConv, SubpixelConv, ResizeConv]
OF_EVERY_LAYER = [
    (
        OptionError,
        lambda layer: layer(1, 1, 3, ndim=4),
        "upsampling is defined here for 1, 2 or 3 axes; got ndim=4",
    ),
    (
        OptionError,
        lambda layer: layer(1, 1, 3, ndim=0),
        "upsampling is defined here for 1, 2 or 3 axes; got ndim=0",
    ),
    (
        OptionError,
        lambda layer: layer(1, 1, 3, padding="valid"),
        "padding must be 'same', one number, or one per axis; got 'valid'",
    ),
    (
        OptionError,
        lambda layer: layer(1, 1, (3, 0)),
        "kernel_size must be at least 1 on every axis; got 3x0",
    ),
    (
        ShapeError,
        lambda layer: layer(0, 1, 3),
        "in_channels and out_channels must be multiples of groups, all of them at least 1; got 0 and 1 with groups=1",
    ),
    (
        ShapeError,
        lambda layer: layer(4, 6, 3)(torch.zeros(1, 3, 5, 7)),
        "x must have shape (batch, channels, *size) with 4 channels and 2 spatial axes to match the layer; got shape (1, 3, 5, 7)",
    ),
    (
        ShapeError,
        lambda layer: layer(4, 6, 3)(torch.zeros(4, 5, 7)),
        "x must have shape (batch, channels, *size) with 4 channels and 2 spatial axes to match the layer; got shape (4, 5, 7), give x[None]",
    ),
]
OF_ONE_LAYER = [
    (
        OptionError,
        lambda: TransposedConv(1, 1, 3, output_padding=(0, 1)),
        "padding='same' chooses the output_padding; got 0x1, so leave it out",
    ),
    (
        OptionError,
        lambda: TransposedConv(1, 1, 3, padding=1, output_padding=2),
        "output_padding must be smaller than stride or dilation on every axis; got 2x2 with stride 2x2 and dilation 1x1",
    ),
    (
        ShapeError,
        lambda: TransposedConv(4, 6, 4)(torch.zeros(1, 4, 5, 7), output_size=[10, 16]),
        "output_size must lie between 10x14 and 11x15 for an input of 5x7; got 10x16",
    ),
    (
        ShapeError,
        lambda: TransposedConv(4, 6, 4)(torch.zeros(1, 4, 5, 7), output_size=[6, 10, 14]),
        "output_size must have 2 numbers, or 4 with batch and channels; got 6x10x14",
    ),
    (
        OptionError,
        lambda: TransposedConv(4, 6, 4)(torch.zeros(1, 4, 5, 7), output_size=(10.0, 14.5)),
        "output_size must be made of whole numbers; got 10.0x14.5",
    ),
    (
        OptionError,
        lambda: SeparableTransposedConv(4, 6, 4)(torch.zeros(1, 4, 5, 7), output_size=10.5),
        "output_size must be made of whole numbers; got 10.5x10.5",
    ),
    (
        ShapeError,
        lambda: TransposedConv(4, 6, 4)(torch.zeros(1, 4, 5, 7), output_size=(9, 9, 10, 14)),
        "output_size must begin with batch and channels 1x6, or leave them out; got 9x9x10x14",
    ),
    (
        ShapeError,
        lambda: SeparableTransposedConv(4, 6, 4)(torch.zeros(2, 4, 5, 7), output_size=(2, 4, 10, 14)),
        "output_size must begin with batch and channels 2x6, or leave them out; got 2x4x10x14",
    ),
    (
        ShapeError,
        lambda: Interpolation(2, mode="linear")(torch.zeros(3)),
        "x must have shape (batch, channels, *size) with 2 spatial axes to match the layer; got shape (3,)",
    ),
    (
        ShapeError,
        lambda: Interpolation(2)(torch.zeros(3, 4, 5)),
        "x must have shape (batch, channels, *size) with 2 spatial axes to match the layer; got shape (3, 4, 5), give x[None]",
    ),
    (
        OptionError,
        lambda: SeparableTransposedConv(1, 1, 3, order="both"),
        "order must be 'depthwise-first' or 'pointwise-first'; got 'both'",
    ),
    (
        ShapeError,
        lambda: SeparableTransposedConv(3, 1, 3, order="pointwise-first")(torch.zeros(1, 4, 5, 7)),
        "x must have shape (batch, channels, *size) with 3 channels and 2 spatial axes to match the layer; got shape (1, 4, 5, 7)",
    ),
    (
        OptionError,
        lambda: SubpixelConv(4, 6, scale=(2, 0)),
        "scale must be at least 1 on every axis; got 2x0",
    ),
    (
        OptionError,
        lambda: ResizeConv(1, 1, scale=(3, 2), centre="sample"),
        (
            "a cell copied an even number of times has its middle between two samples, so nearest with "
            "centre='sample' needs odd scales; got 3x2, so use mode='linear'"
        ),
    ),
    (
        OptionError,
        lambda: ResizeConv(1, 1, mode="area"),
        "mode must be 'nearest' or 'linear' or 'cubic'; got 'area'",
    ),
    (OptionError, lambda: ResizeConv(1, 1, centre="x"), "centre must be 'cell' or 'sample'; got 'x'"),
]


def assert_refused(error, make, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("error", "make", "message"), OF_EVERY_LAYER)
def test_what_makes_no_sense_to_any_layer_is_refused_alike(layer, error, make, message):
    assert_refused(error, lambda: make(layer), message)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(("error", "make", "message"), OF_ONE_LAYER)
def test_what_makes_no_sense_to_one_layer_is_refused(error, make, message):
    assert_refused(error, make, message)


@pytest.mark.parametrize("layer", [TransposedConv, SubpixelConv, ResizeConv])
def test_groups_divide_the_channels(layer):
    message = "in_channels and out_channels must be multiples of groups, all of them at least 1; got 4 and 6 with groups=4"
    assert_refused(ShapeError, lambda: layer(4, 6, 3, groups=4), message)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("layer", [SubpixelConv, ResizeConv])
def test_what_a_convolution_is_padded_with_is_a_border(layer):
    message = "padding_mode must be one of zeros, replicate, circular; got 'reflect'"
    assert_refused(OptionError, lambda: layer(1, 1, padding_mode="reflect"), message)
