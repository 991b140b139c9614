"""Fresh layers draw no pattern: shuffles start with one kernel and bias per channel, or as linear interpolation."""

import math
import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from drawn_layers import CONV, CONV_TRANSPOSE
from strategies import seeded
from tolerance import TOLERANCE, assert_same
from upstroke import from_module
from upstroke.diagnose import bias_spread, gain_spread, grid_of, phase_gain, strang_fix_order
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.layers import Interleave
from upstroke.nn import ResizeConv, SeparableTransposedConv, SubpixelConv, TransposedConv
from upstroke.nn.initialise import bilinear_, icnr_
from upstroke.polyphase import linear

SCALES = [
    *[(ndim, (scale,) * ndim) for ndim in (1, 2, 3) for scale in (2, 3, 4)],
    (2, (2, 3)),
    (2, (1, 4)),
    (3, (2, 3, 1)),
    (3, (3, 2, 4)),
]
KERNEL = (3, 2, 1)


def phase_deviation(layer, *, ndim, channels, dtype):
    """Largest difference within a map made of a constant, relative to its largest value; no border is met."""
    x = torch.linspace(0.5, 2, channels, dtype=dtype).reshape(1, -1, *(1,) * ndim)
    with torch.no_grad():
        y = layer(x.expand(-1, -1, *(5,) * ndim)).flatten(2)
    return float((y.amax(dim=2) - y.amin(dim=2)).max() / y.abs().max())


def shuffle_of(conv, scale):
    return nn.Sequential(conv, Interleave(scale))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("ndim", "scale"), SCALES)
def test_a_fresh_shuffle_answers_a_constant_with_a_constant(ndim, scale, dtype):
    layer = icnr_(SubpixelConv(3, 2, KERNEL[:ndim], scale=scale, padding=0, ndim=ndim, dtype=dtype))
    assert phase_deviation(layer, ndim=ndim, channels=3, dtype=dtype) < TOLERANCE[dtype]
    assert gain_spread(layer.polyphase()) == 0
    assert bias_spread(layer.affine()) == 0
    assert float(layer.conv.bias.detach().abs().min()) > 0


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_weights_tied_and_the_bias_as_pytorch_draws_it_is_a_pattern(ndim):
    torch.manual_seed(0)
    conv = CONV[ndim](16, 3 * 2**ndim, 3)
    drawn = conv.bias.detach().clone()
    icnr_(conv, scale=2)
    with torch.no_grad():
        conv.bias.copy_(drawn)
    layer = shuffle_of(conv, (2,) * ndim)
    assert gain_spread(from_module(layer).operator) == 0
    assert bias_spread(from_module(layer)) > {1: 0.1, 2: 0.1, 3: 0.05}[ndim]
    assert (
        phase_deviation(layer, ndim=ndim, channels=16, dtype=torch.float32)
        > {1: 0.03, 2: 0.03, 3: 0.01}[ndim]
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_scale_of_two_whatever_the_shuffle_is_a_pattern(ndim):
    torch.manual_seed(0)
    layer = shuffle_of(icnr_(CONV[ndim](16, 3 * 4**ndim, 3), scale=2), (4,) * ndim)
    assert gain_spread(from_module(layer).operator) > 1
    assert phase_deviation(layer, ndim=ndim, channels=16, dtype=torch.float32) > 0.5


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_repeated_as_a_whole_in_place_of_each_channel_is_a_pattern(ndim):
    torch.manual_seed(0)
    layer = icnr_(SubpixelConv(16, 3, padding=0, ndim=ndim))
    with torch.no_grad():
        for tensor in (layer.conv.weight, layer.conv.bias):
            ones = (1,) * (tensor.ndim - 1)
            tensor.copy_(tensor[:: 2**ndim].clone().repeat(2**ndim, *ones))
    assert gain_spread(layer.polyphase()) > 1
    assert phase_deviation(layer, ndim=ndim, channels=16, dtype=torch.float32) > 0.5


@st.composite
def convolutions(draw):
    """A convolution before a shuffle with its own numbers on every axis, its number of axes and its scale."""
    ndim = draw(st.sampled_from([1, 2, 3]))
    scale = tuple(draw(st.lists(st.integers(1, 3), min_size=ndim, max_size=ndim)))
    kernel = tuple(draw(st.lists(st.integers(1, 4), min_size=ndim, max_size=ndim)))
    groups, out, in_group = draw(st.tuples(*[st.integers(1, 3)] * 3))
    bias = draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 999)))
    conv = CONV[ndim](
        groups * in_group, groups * out * math.prod(scale), kernel, groups=groups, bias=bias
    ).double()
    return conv, ndim, scale


@given(drawn=convolutions())
def test_it_starts_as_a_convolution_and_a_nearest_resize(drawn):
    conv, ndim, scale = drawn
    assert icnr_(conv, scale=scale) is conv
    phases = math.prod(scale)
    small = CONV[ndim](
        conv.in_channels, conv.out_channels // phases, conv.kernel_size, groups=conv.groups, bias=False
    )
    small.weight = nn.Parameter(conv.weight[::phases].detach())
    if conv.bias is not None:
        small.bias = nn.Parameter(conv.bias[::phases].detach())
    size = tuple(k + 1 + axis for axis, k in enumerate(conv.kernel_size))
    x = torch.randn(2, conv.in_channels, *size, generator=seeded(0), dtype=torch.float64)
    expected = small(x)
    for axis, s in enumerate(scale):
        expected = expected.repeat_interleave(s, dim=2 + axis)
    assert_same(shuffle_of(conv, scale)(x).detach(), expected.detach())


@given(drawn=convolutions())
def test_the_kernel_is_drawn_with_the_shape_of_the_low_resolution(drawn):
    conv, _, scale = drawn
    seen = []

    def init(tensor):
        seen.append(tuple(tensor.shape))
        assert tensor.dtype == conv.weight.dtype
        return nn.init.normal_(tensor)

    icnr_(conv, scale=scale, init=init)
    phases = math.prod(scale)
    assert seen == [(conv.out_channels // phases, *conv.weight.shape[1:])]
    if conv.bias is not None:
        bound = 1 / math.sqrt(conv.weight[0].numel())
        assert float(conv.bias.detach().abs().max()) <= bound


def filled_with_ones(tensor):
    tensor.fill_(1)


def test_an_initialiser_need_not_return_what_it_fills():
    conv = icnr_(nn.Conv2d(3, 8, 3), scale=2, init=filled_with_ones)
    assert bool((conv.weight == 1).all())
    layer = bilinear_(nn.ConvTranspose1d(2, 3, 4, stride=2), init=filled_with_ones)
    assert layer.weight[1, 2].tolist() == [0.25, 0.75, 0.75, 0.25]


def test_kernel_and_bias_have_the_spread_of_their_laws():
    torch.manual_seed(0)
    conv = icnr_(nn.Conv2d(64, 9 * 200, 3), scale=3)
    kernel, bias = conv.weight[::9].detach(), conv.bias[::9].detach()
    # kaiming normal: std sqrt(2 / fan_in); uniform between +-b: std b / sqrt(3)
    assert abs(float(kernel.std()) * math.sqrt(64 * 9 / 2) - 1) < 0.01
    assert abs(float(bias.std()) * math.sqrt(64 * 9 * 3) - 1) < 0.1
    assert len(set(bias.tolist())) > 190


def test_a_shuffle_says_its_scale_itself():
    makers = [
        lambda: (layer := nn.Sequential(nn.Conv2d(3, 18, 3), nn.PixelShuffle(3)), icnr_(layer)),
        lambda: (layer := shuffle_of(nn.Conv2d(3, 18, 3), (3, 3)), icnr_(layer)),
        lambda: (layer := SubpixelConv(3, 2, scale=3), icnr_(layer)),
        lambda: (layer := nn.Sequential(nn.Conv2d(3, 18, 3)), icnr_(layer[0], scale=3)),
    ]
    weights = []
    for make in makers:
        torch.manual_seed(0)
        layer, result = make()
        weights.append(layer[0].weight)
        assert result is layer or result is layer[0]
    assert all(torch.equal(weight, weights[0]) for weight in weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_parameters_stay_the_same_tensors(dtype):
    for layer, change in [
        (SubpixelConv(2, 2, dtype=dtype), icnr_),
        (SubpixelConv(2, 2, dtype=dtype), bilinear_),
        (TransposedConv(2, 2, 4, dtype=dtype), bilinear_),
    ]:
        before = list(layer.parameters())
        assert change(layer) is layer
        after = list(layer.parameters())
        assert all(one is two for one, two in zip(before, after, strict=True))
        assert all(each.requires_grad and each.grad_fn is None and each.dtype == dtype for each in after)
        assert gain_spread(layer.polyphase()) == 0


# bilinear_


@pytest.mark.parametrize(
    ("kernel", "stride", "expected"),
    [
        (4, 2, [1 / 4, 3 / 4, 3 / 4, 1 / 4]),
        (3, 2, [1 / 2, 1, 1 / 2]),
        (5, 2, [0, 1 / 2, 1, 1 / 2, 0]),
        (6, 3, [1 / 6, 1 / 2, 5 / 6, 5 / 6, 1 / 2, 1 / 6]),
        (5, 3, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
        (1, 1, [1]),
        (2, 1, [1 / 2, 1 / 2]),
    ],
)
def test_the_triangles_everyone_knows(kernel, stride, expected):
    for make in (TransposedConv, lambda *given, ndim, **named: nn.ConvTranspose1d(*given, **named)):
        layer = bilinear_(make(1, 1, kernel, stride=stride, ndim=1).double())
        assert_same(layer.weight.detach().flatten(), torch.tensor(expected, dtype=torch.float64))
        assert float(layer.bias.detach()) == 0


@pytest.mark.parametrize("stride", range(1, 9))
def test_every_kernel_that_holds_the_triangle_has_gains_of_one_and_no_other_does(stride):
    for kernel in range(1, 2 * stride + 7):
        layer = TransposedConv(1, 1, kernel, stride=stride, ndim=1, dtype=torch.float64)
        if kernel < 2 * stride - 1:
            with pytest.raises(NotRepresentableError):
                bilinear_(layer)
            centred = (torch.arange(kernel).double() - (kernel - 1) / 2).abs() / stride
            short = (1 - centred).clamp(min=0)
            gains = [float(short[phase::stride].sum()) for phase in range(stride)]
            assert max(abs(gain - 1) for gain in gains) > 0.1 / stride
        else:
            gains = phase_gain(bilinear_(layer).polyphase())
            assert (gains - 1).abs().max() < 1e-12


def of_channels(strengths, groups):
    """Gains of each channel pair within its group, as a matrix over all channels."""
    blocks = strengths.reshape(groups, -1, strengths.shape[1])
    return torch.block_diag(*blocks)


@st.composite
def interpolators(draw):
    """A layer that can interpolate, in any of its forms, with its own numbers on every axis, in float64."""
    ndim = draw(st.sampled_from([1, 2, 3]))
    per_axis = st.lists(st.integers(1, 3), min_size=ndim, max_size=ndim)
    scale = tuple(draw(per_axis))
    more = draw(st.lists(st.integers(0, 2), min_size=ndim, max_size=ndim))
    long = tuple(2 * s - 1 + n for s, n in zip(scale, more, strict=True))
    wide = tuple((1 if s == 1 else 2) + n for s, n in zip(scale, more, strict=True))
    groups, in_group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    channels = groups * in_group
    torch.manual_seed(draw(st.integers(0, 999)))
    kind = draw(st.sampled_from(["ours", "pytorch", "shuffle"]))
    if kind == "ours":
        return TransposedConv(channels, channels, long, stride=scale, groups=groups, ndim=ndim).double()
    if kind == "pytorch":
        padding = tuple(draw(st.lists(st.integers(0, 2), min_size=ndim, max_size=ndim)))
        layer = CONV_TRANSPOSE[ndim](channels, channels, long, stride=scale, groups=groups, padding=padding)
        return layer.double()
    padding = draw(st.sampled_from(["same", 0, 1]))
    return SubpixelConv(
        channels, channels, wide, scale=scale, groups=groups, padding=padding, ndim=ndim
    ).double()


@given(layer=interpolators())
def test_lines_come_out_as_lines_on_the_layers_own_grid(layer):
    affine = from_module(bilinear_(layer))
    operator = affine.operator
    own = torch.eye(operator.in_channels, dtype=torch.float64)
    dense = operator.regroup(1)
    assert_same(phase_gain(dense).detach(), own.expand(operator.phases, -1, -1).contiguous())
    order = strang_fix_order(operator)
    assert order is None or order >= 2
    assert not bool(affine.bias.any())
    nominal = grid_of(operator)
    assert nominal == getattr(layer, "grid", nominal)
    for axis, offset in enumerate(map(float, nominal.offset)):
        size = tuple(12 if other == axis else 6 for other in range(operator.ndim))
        try:
            grown = operator.output_size(size)
        except ShapeError:
            assume(False)
        shape = [1] * (2 + operator.ndim)
        shape[2 + axis] = size[axis]
        ramp = torch.arange(size[axis], dtype=torch.float64).reshape(shape)
        y = layer(ramp.expand(1, operator.in_channels, *size)).detach()
        shape[2 + axis] = grown[axis]
        position = (
            offset + torch.arange(grown[axis], dtype=torch.float64).reshape(shape) / operator.scale[axis]
        )
        inside = [slice(None), slice(None)]
        for every, n in enumerate(grown):
            edges = max(operator.samples_reading_beyond(every, (0, 0)))
            assume(n > 2 * edges)
            inside.append(slice(edges, n - edges))
        assert_same(y[tuple(inside)], position.expand_as(y)[tuple(inside)].contiguous())


@pytest.mark.parametrize("scale", [(2,), (3,), (2, 3), (4, 1), (2, 1, 3)])
def test_a_sub_pixel_layer_gets_the_taps_of_half_pixel_interpolation(scale):
    ndim = len(scale)
    layer = bilinear_(SubpixelConv(2, 2, (3, 5, 3)[:ndim], scale=scale, padding_mode="replicate", ndim=ndim))
    fixed = linear(scale, ndim=ndim).expand(2).regroup(1)
    assert layer.polyphase().isclose(fixed, rtol=1e-6, atol=1e-7)


def test_pytorchs_own_bilinear_resize():
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=seeded(1))
    layer = bilinear_(SubpixelConv(3, 3, scale=(2, 4), padding_mode="replicate", dtype=torch.float64))
    expected = nn.functional.interpolate(x, scale_factor=(2, 4), mode="bilinear")
    assert_same(layer(x).detach(), expected)
    layer = bilinear_(TransposedConv(3, 3, (4, 8), stride=(2, 4), groups=3, dtype=torch.float64))
    assert_same(layer(x).detach()[:, :, 2:-2, 4:-4], expected[:, :, 2:-2, 4:-4].contiguous())


@pytest.mark.parametrize(("groups", "in_group", "out_group"), [(1, 3, 2), (2, 2, 3), (3, 1, 2)])
def test_strengths_may_be_drawn(groups, in_group, out_group):
    seen = []

    def init(tensor):
        seen.append(nn.init.normal_(tensor).clone())
        return tensor

    channels = (groups * in_group, groups * out_group)
    for layer in (
        TransposedConv(*channels, (4, 5), stride=(2, 3), groups=groups, dtype=torch.float64),
        SubpixelConv(*channels, (3, 2), scale=(2, 3), groups=groups, dtype=torch.float64),
    ):
        operator = bilinear_(layer, init=init).polyphase()
        strengths = seen.pop()
        assert tuple(strengths.shape) == (channels[1], in_group)
        gains = phase_gain(operator.regroup(1)).detach()
        assert_same(gains, of_channels(strengths, groups).expand(6, -1, -1).contiguous())
        assert strang_fix_order(operator) >= 2


@pytest.mark.parametrize("order", ["depthwise-first", "pointwise-first"])
def test_of_a_separable_layer_the_depthwise_part_is_set_and_the_rest_left(order):
    layer = SeparableTransposedConv(3, 2, (4, 3), stride=2, order=order, inner_bias=True)
    pointwise = next(part for part in layer if part is not layer.depthwise)
    before = [pointwise.weight.detach().clone(), pointwise.bias.detach().clone()]
    assert bilinear_(layer) is layer
    assert torch.equal(pointwise.weight, before[0])
    assert torch.equal(pointwise.bias, before[1])
    triangle = torch.tensor([1 / 4, 3 / 4, 3 / 4, 1 / 4])[:, None] * torch.tensor([1 / 2, 1, 1 / 2])
    assert bool((layer.depthwise.weight == triangle).all())
    assert not bool(layer.depthwise.bias.any())
    assert strang_fix_order(layer.polyphase(), tolerance=1e-5) >= 2


REFUSED = [
    (
        lambda: icnr_(nn.ConvTranspose2d(1, 1, 4)),
        OptionError,
        "icnr_ takes SubpixelConv, nn.Sequential of a convolution and a pixel shuffle, or the convolution with scale=...; got ConvTranspose2d",
    ),
    (
        lambda: icnr_(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())),
        OptionError,
        "icnr_ takes SubpixelConv, nn.Sequential of a convolution and a pixel shuffle, or the convolution with scale=...; got Sequential of Conv2d, ReLU",
    ),
    (
        lambda: icnr_(nn.Sequential(nn.Conv1d(1, 4, 3), nn.PixelShuffle(2))),
        OptionError,
        "icnr_ takes SubpixelConv, nn.Sequential of a convolution and a pixel shuffle, or the convolution with scale=...; got Sequential of Conv1d, PixelShuffle",
    ),
    (
        lambda: bilinear_(ResizeConv(1, 1)),
        OptionError,
        "bilinear_ takes a transposed convolution, SubpixelConv, nn.Sequential of a convolution and a pixel shuffle, or the convolution with scale=...; got ResizeConv",
    ),
    (
        lambda: icnr_(nn.Conv2d(1, 4, 3)),
        OptionError,
        "icnr_ must know the scale of the pixel shuffle after Conv2d; give scale=...",
    ),
    (
        lambda: icnr_(SubpixelConv(1, 1), scale=2),
        OptionError,
        "icnr_ reads the scale off SubpixelConv; got scale=2, so leave it out",
    ),
    (
        lambda: bilinear_(nn.ConvTranspose1d(1, 1, 4), scale=(2,)),
        OptionError,
        "bilinear_ reads the scale off ConvTranspose1d; got scale=(2,), so leave it out",
    ),
    (
        lambda: icnr_(nn.Conv2d(1, 4, 3), scale=0),
        OptionError,
        "scale must be at least 1 on every axis; got 0x0",
    ),
    (
        lambda: icnr_(nn.Conv2d(1, 8, 3), scale=(2, 3)),
        ShapeError,
        "a pixel shuffle of scale 2x3 needs a multiple of 6 channels; got 8",
    ),
    (
        lambda: icnr_(nn.Conv2d(4, 4, 3, groups=4), scale=2),
        ShapeError,
        "the phases of a channel can only be alike if they see the same input channels, so groups must divide the 1 channels after the shuffle; got groups=4",
    ),
    (
        lambda: icnr_(parametrizations.weight_norm(nn.Conv2d(1, 4, 3)), scale=2),
        OptionError,
        "icnr_ needs the weight of ParametrizedConv2d as a parameter, and a parametrization or a hook makes it from other tensors; call icnr_ before that is registered",
    ),
    (
        lambda: bilinear_(parametrizations.weight_norm(nn.ConvTranspose2d(1, 1, 4), "bias")),
        OptionError,
        "bilinear_ needs the bias of ParametrizedConvTranspose2d as a parameter, and a parametrization or a hook makes it from other tensors; call bilinear_ before that is registered",
    ),
    (
        lambda: bilinear_(nn.LazyConvTranspose2d(2, 4, stride=2)),
        OptionError,
        "LazyConvTranspose2d has no weight before its first input; run it once, then call bilinear_",
    ),
    (
        lambda: bilinear_(TransposedConv(1, 1, (5, 4), stride=(2, 3))),
        NotRepresentableError,
        "linear interpolation at scale 2x3 needs a kernel of at least 3x5 in TransposedConv; got 5x4",
    ),
    (
        lambda: bilinear_(SubpixelConv(1, 1, (3, 1), scale=(1, 3))),
        NotRepresentableError,
        "linear interpolation at scale 1x3 needs a kernel of at least 1x2 in Conv2d; got 3x1",
    ),
    (
        lambda: bilinear_(nn.ConvTranspose1d(1, 1, 4, stride=2, dilation=3)),
        NotRepresentableError,
        "linear interpolation needs dilation 1 on every axis of the convolution; got 3",
    ),
    (
        lambda: bilinear_(nn.Conv2d(1, 4, 3, stride=(1, 2)), scale=2),
        NotRepresentableError,
        "linear interpolation needs stride 1 on every axis of the convolution; got 1x2",
    ),
    (
        lambda: bilinear_(SubpixelConv(3, 2)),
        ShapeError,
        "bilinear_ sends every channel to itself, which needs as many going out as coming in; got 3 in and 2 out, so draw the strengths with init=...",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_what_cannot_be_is_said(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
