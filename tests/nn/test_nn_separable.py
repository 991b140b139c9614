"""SeparableTransposedConv is PyTorch's depthwise transposed convolution and 1x1 convolution in a row."""

import copy
import pickle

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import CONV, CONV_TRANSPOSE, per_axis, random_map, seeded
from tolerance import assert_same
from upstroke import diagnose, from_module
from upstroke.nn import SeparableTransposedConv
from upstroke.polyphase import separable

ORDERS = ("depthwise-first", "pointwise-first")


@st.composite
def twins(draw, *, inner_bias=None):
    """The same settings for our layer and PyTorch's pair, and a map."""
    ndim, order = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from(ORDERS))
    channels, out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride, dilation = draw(per_axis(ndim, 1, 3)), draw(per_axis(ndim, 1, 2))
    settings = {
        "stride": stride,
        "padding": draw(per_axis(ndim, 0, 2)),
        "output_padding": tuple(
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        ),
        "dilation": dilation,
    }
    kernel, seed = draw(per_axis(ndim, 1, 4)), draw(st.integers(0, 999))
    inner = draw(st.booleans()) if inner_bias is None else inner_bias
    last = draw(st.booleans())
    ours = SeparableTransposedConv(
        channels, out, kernel, order=order, inner_bias=inner, bias=last, ndim=ndim, **settings
    )
    grow, mix = CONV_TRANSPOSE[ndim], CONV[ndim]
    if order == "depthwise-first":
        theirs = [
            grow(channels, channels, kernel, groups=channels, bias=inner, **settings),
            mix(channels, out, 1, bias=last),
        ]
    else:
        theirs = [
            mix(channels, out, 1, bias=inner),
            grow(out, out, kernel, groups=out, bias=last, **settings),
        ]
    theirs = nn.Sequential(*theirs).double()
    theirs.load_state_dict(seeded(ours, seed).state_dict(), strict=True)
    return ours, theirs, random_map(ndim, channels, seed)


def output(layer, x):
    """What the layers give, if they take this size at all."""
    try:
        y = layer(x)
    except RuntimeError as error:
        assume("too small" not in str(error))
        raise
    assume(y.numel() > 0)
    return y


def inside(y, margin):
    sizes = zip(margin, y.shape[2:], strict=True)
    return y[:, :, *(slice(left, max(left, size - right)) for (left, right), size in sizes)]


@given(drawn=twins())
def test_it_computes_what_pytorchs_layers_compute_with_their_weights(drawn):
    ours, theirs, x = drawn
    expected = output(theirs, x)
    assert_same(ours(x).detach(), expected.detach())
    wanted = torch.autograd.grad(expected.square().sum(), theirs.parameters())
    actual = torch.autograd.grad(ours(x).square().sum(), ours.parameters())
    for one, two in zip(actual, wanted, strict=True):
        assert_same(one, two)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(2).add_(1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert_same(ours(x).detach(), theirs(x).detach())


@given(drawn=twins())
def test_in_float32_and_channels_last_too(drawn):
    ours, theirs, x = drawn
    expected = output(theirs.float(), x.float()).detach()
    ours, x = ours.float(), x.float()
    assert_same(ours(x).detach(), expected)
    if x.ndim == 4:
        assert_same(ours(x.contiguous(memory_format=torch.channels_last)).detach(), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_it_starts_from_the_same_random_numbers(order):
    torch.manual_seed(7)
    ours = SeparableTransposedConv(2, 3, 4, order=order, inner_bias=True)
    torch.manual_seed(7)
    if order == "depthwise-first":
        theirs = nn.Sequential(nn.ConvTranspose2d(2, 2, 4, groups=2), nn.Conv2d(2, 3, 1))
    else:
        theirs = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ConvTranspose2d(3, 3, 4, groups=3))
    for name, parameter in theirs.named_parameters():
        assert torch.equal(ours.get_parameter(name), parameter)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_same_is_scale_times_the_input_and_output_size_is_chosen(order, ndim):
    for kernel, stride in ((1, 3), (4, 2), (3, 2), (2, 1)):
        layer = SeparableTransposedConv(2, 3, kernel, stride=stride, order=order, ndim=ndim).double()
        x = random_map(ndim, 2, kernel)
        y = layer(x)
        assert y.shape[2:] == tuple(stride * n for n in x.shape[2:])
        assert_same(layer(x, output_size=y.shape).detach(), y.detach())
        assert_same(layer.affine()(x).detach(), y.detach())
        assert layer.grid == diagnose.grid_of(layer.polyphase())
    longer = [2 * n + 1 for n in x.shape[2:]]
    assert SeparableTransposedConv(2, 3, 4, order=order, ndim=ndim)(x.float(), output_size=longer).shape == (
        2,
        3,
        *longer,
    )


@given(drawn=twins())
def test_its_affine_map_is_the_layer_outside_its_margin(drawn):
    ours, theirs, x = drawn
    expected = output(theirs, x).detach()
    affine = ours.affine()
    actual, margin = affine(x).detach(), affine.operator.margin
    assert actual.shape == expected.shape
    if inside(expected, margin).numel():
        assert_same(inside(actual, margin), inside(expected, margin))
    if ours.order == "depthwise-first" or ours[0].bias is None:
        assert all(side == 0 for axis in margin for side in axis)


@given(drawn=twins(inner_bias=False))
def test_its_operator_is_the_outer_product_over_channels(drawn):
    ours, _, _ = drawn
    depthwise, first = ours.depthwise, ours.order == "depthwise-first"
    pointwise = ours[1 if first else 0].weight.flatten(1)
    expected = separable(
        depthwise.weight,
        pointwise,
        stride=depthwise.stride,
        padding=depthwise.padding,
        output_padding=depthwise.output_padding,
        dilation=depthwise.dilation,
        depthwise_first=first,
    )
    assert ours.polyphase().isclose(expected)


@pytest.mark.parametrize("order", ORDERS)
def test_gradients_are_those_of_the_values(order):
    layer = SeparableTransposedConv(2, 3, (1, 4), stride=(3, 2), order=order).double()
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    names = list(layer.state_dict())

    def output_of(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(output_of, (x, *layer.parameters()))


@pytest.mark.parametrize("order", ORDERS)
def test_it_has_an_operator_inside_a_sequence(order):
    layer = SeparableTransposedConv(2, 3, (1, 2), stride=(3, 2), order=order)
    row = nn.Sequential(layer, nn.BatchNorm2d(3)).double().eval()
    x = random_map(2, 2, 5)
    assert_same(from_module(row)(x).detach(), row(x).detach())


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_compute_the_same(remake, order):
    layer = SeparableTransposedConv(2, 3, (4, 3), stride=(2, 3), order=order)
    x = torch.randn(1, 2, 4, 5)
    assert torch.equal(remake(layer)(x), layer(x))


def test_device_and_dtype_are_those_asked_for():
    layer = SeparableTransposedConv(2, 3, 4, inner_bias=True, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_its_repr_shows_both_layers():
    assert repr(SeparableTransposedConv(2, 3, 4)) == (
        "SeparableTransposedConv(\n"
        "  order='depthwise-first'\n"
        "  (0): TransposedConv(2, 2, kernel_size=(4, 4), stride=(2, 2), padding='same' = (1, 1), "
        "output_padding=(0, 0), groups=2, bias=False, grid=Grid(offset=(-1/4, -1/4), spacing=(1/2, 1/2)))\n"
        "  (1): Conv2d(2, 3, kernel_size=(1, 1), stride=(1, 1))\n"
        ")"
    )
