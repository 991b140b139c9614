"""SubpixelConv is PyTorch's convolution and pixel shuffle in a row, over any axes with any scales."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import CONV, per_axis, random_map, seeded
from tolerance import assert_same
from upstroke import diagnose, from_module
from upstroke.layers import Interleave
from upstroke.nn import SubpixelConv


@st.composite
def layers(draw, *, square=False):
    """A layer, and a map."""
    ndim = 2 if square else draw(st.sampled_from([1, 2, 3]))
    groups = draw(st.sampled_from([1, 2]))
    channels, seed = groups * draw(st.integers(1, 2)), draw(st.integers(0, 999))
    layer = SubpixelConv(
        channels,
        groups * draw(st.integers(1, 2)),
        draw(per_axis(ndim, 1, 4)),
        scale=draw(st.integers(1, 3)) if square else draw(per_axis(ndim, 1, 3)),
        padding=draw(st.just("same") | per_axis(ndim, 0, 2)),
        dilation=draw(per_axis(ndim, 1, 2)),
        groups=groups,
        padding_mode=draw(st.sampled_from(["zeros", "replicate", "circular"])),
        bias=draw(st.booleans()),
        ndim=ndim,
    )
    return seeded(layer, seed), random_map(ndim, channels, seed)


def twin_of(layer):
    """PyTorch's layers, made from the settings alone."""
    conv = layer.conv
    theirs = CONV[layer.ndim](
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        padding_mode=conv.padding_mode,
        bias=conv.bias is not None,
    )
    square = layer.ndim == 2 and layer.scale[0] == layer.scale[1]
    shuffle = nn.PixelShuffle(layer.scale[0]) if square else Interleave(layer.scale)
    return nn.Sequential(theirs, shuffle).double()


def output(layer, x):
    """What the layers give, if they take this size at all."""
    try:
        return layer(x)
    except RuntimeError as error:  # kernels larger than the map, a map wrapped around more than once
        assume("Kernel size" not in str(error))
        assume("wrapping" not in str(error))
        raise


@given(drawn=layers() | layers(square=True))
def test_it_computes_what_pytorchs_layers_compute_with_their_weights(drawn):
    layer, x = drawn
    theirs = twin_of(layer)
    theirs.load_state_dict(layer.state_dict(), strict=True)
    expected = output(theirs, x)
    assert isinstance(layer[1], type(theirs[1]))
    assert_same(layer(x).detach(), expected.detach())
    wanted = torch.autograd.grad(expected.square().sum(), theirs.parameters())
    actual = torch.autograd.grad(layer(x).square().sum(), layer.parameters())
    for one, two in zip(actual, wanted, strict=True):
        assert_same(one, two)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(2).add_(1)
    layer.load_state_dict(theirs.state_dict(), strict=True)
    assert_same(layer(x).detach(), theirs(x).detach())


@given(drawn=layers())
def test_channel_by_channel_it_is_a_shuffle(drawn):
    layer, x = drawn
    phases = output(layer[0], x).detach()
    y = layer(x).detach()
    for p in range(math.prod(layer.scale)):
        place = torch.unravel_index(torch.tensor(p), layer.scale)
        rows = (slice(int(start), None, s) for start, s in zip(place, layer.scale, strict=True))
        assert torch.equal(y[:, :, *rows], phases[:, p :: math.prod(layer.scale)])


@given(drawn=layers())
def test_in_float32_and_channels_last_too(drawn):
    layer, x = drawn
    expected = output(layer, x).detach().float()
    layer, x = layer.float(), x.float()
    assert_same(layer(x).detach(), expected)
    if x.ndim == 4:
        assert_same(layer(x.contiguous(memory_format=torch.channels_last)).detach(), expected)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("kernel", range(1, 8))
def test_same_is_scale_times_the_input(kernel, ndim):
    layer = SubpixelConv(2, 1, kernel, scale=(2, 3, 1)[:ndim], dilation=1 + (ndim == 1), ndim=ndim).double()
    x = random_map(ndim, 2, kernel)
    y = layer(x)
    assert y.shape[2:] == tuple(s * n for s, n in zip((2, 3, 1), x.shape[2:], strict=False))
    assert_same(y.detach(), layer.affine()(x).detach())


@given(drawn=layers())
def test_its_affine_map_is_the_layer_with_one_bias_per_phase(drawn):
    layer, x = drawn
    expected = output(layer, x).detach()
    affine = layer.affine()
    assert all(side == 0 for axis in affine.operator.margin for side in axis)
    assert_same(affine(x).detach(), expected)
    if layer.conv.bias is not None:
        assert torch.equal(affine.bias.T.flatten(), layer.conv.bias)


@given(drawn=layers())
def test_its_grid_is_that_of_its_operator(drawn):
    layer, _ = drawn
    assert layer.grid == diagnose.grid_of(layer.polyphase())


def test_gradients_are_those_of_the_values():
    layer = SubpixelConv(2, 1, (3, 2), scale=(2, 3)).double()
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def output_of(x, weight, bias):
        return torch.func.functional_call(layer, {"0.weight": weight, "0.bias": bias}, (x,))

    assert torch.autograd.gradcheck(output_of, (x, layer.conv.weight, layer.conv.bias))


@pytest.fixture
def _warn_always():
    """Let PyTorch repeat what it says only once per process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("_warn_always")
def test_an_even_kernel_warns_nobody(recwarn):
    layer, x = SubpixelConv(2, 3, 4), torch.zeros(1, 2, 5, 7)
    layer(x)
    assert not recwarn.list
    twin_of(layer.double())(x.double())
    assert len(recwarn.list) == 1


def test_it_has_an_operator_inside_a_sequence():
    row = nn.Sequential(SubpixelConv(2, 3, (1, 2), scale=(3, 2)), nn.BatchNorm2d(3)).double().eval()
    x = random_map(2, 2, 5)
    assert_same(from_module(row)(x).detach(), row(x).detach())


def test_a_reparametrized_weight_is_seen_as_it_acts():
    layer = SubpixelConv(2, 3, 4).double()
    nn.utils.parametrizations.weight_norm(layer.conv)
    layer.conv.parametrizations.weight.original0.data.mul_(2)
    x = random_map(2, 2, 5)
    assert_same(layer.affine()(x).detach(), layer(x).detach())


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_compute_the_same(remake):
    layer = SubpixelConv(2, 3, (4, 3), scale=(2, 3))
    x = torch.randn(1, 2, 4, 5)
    assert torch.equal(remake(layer)(x), layer(x))


def test_device_and_dtype_are_those_asked_for():
    layer = SubpixelConv(2, 3, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_its_repr_says_which_grid_results():
    assert repr(SubpixelConv(2, 3)) == (
        "SubpixelConv(\n"
        "  grid=Grid(offset=(-1/4, -1/4), spacing=(1/2, 1/2))\n"
        "  (0): Conv2d(2, 12, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
        "  (1): PixelShuffle(upscale_factor=2)\n"
        ")"
    )
