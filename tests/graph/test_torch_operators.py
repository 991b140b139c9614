"""Operators of upstroke in a recorded model are read as the sites that they are."""

from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from torch import nn

from strategies import depthwise_operators
from upstroke import check, upsample
from upstroke.graph import places, sites
from upstroke.graph.steps import Pad, Stays, TransposedConvolution, Unread, Upsampling
from upstroke.graph.torch import record
from upstroke.grid import Grid
from upstroke.nn.interpolation import Interpolation
from upstroke.ops.dense import conv_transpose
from upstroke.ops.kernels import instructions
from upstroke.polyphase import cubic, linear, transposed


class Applies(nn.Module):
    def __init__(self, operator, impl="auto"):
        super().__init__()
        self.operator, self.impl = operator, impl

    def forward(self, x):
        return upsample(x, self.operator, impl=self.impl)


needs_kernels = pytest.mark.skipif(instructions() is None, reason="the compiled kernels are missing")


@needs_kernels
@given(operator=depthwise_operators(ndims=(1, 2, 3)))
def test_the_native_form_is_known_exactly(operator):
    assume(max(operator.scale) > 1)
    assume(all(6 * s + e > 0 for s, e in zip(operator.scale, operator.excess, strict=True)))
    channels = 3 if operator.shared else operator.in_channels
    x = torch.randn(1, channels, *(6,) * operator.ndim, dtype=torch.float64)
    graph = record(nn.Sequential(Applies(operator, "native")), [x])
    (node,) = graph.nodes
    assert node.operator == "upstroke.upsample"
    (site,) = sites(graph)
    read = site.affine().operator
    # a kernel of one channel, applied to one, serves every channel
    assert read.expand(channels).isclose(operator.expand(channels))


@needs_kernels
def test_what_has_the_form_of_a_layer_is_read_as_that_layer():
    operator = transposed(torch.randn(4, 1, 4, 6), stride=(2, 3), padding=1, groups=4)
    (node,) = record(Applies(operator), [torch.randn(1, 4, 5, 6)]).nodes
    assert isinstance(node.step, TransposedConvolution)
    assert (node.step.groups, node.step.stride) == (4, (2, 3))
    (node,) = record(Applies(linear(2)), [torch.randn(1, 4, 5, 6)]).nodes
    assert isinstance(node.step, Upsampling)


@needs_kernels
def test_a_recorded_operator_is_judged():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Applies(cubic((2, 3))))
    report = check(net, [torch.randn(1, 3, 9, 8)])
    (site,) = report.as_json()["sites"]
    assert (site["kind"], site["skipped"]) == ("operator", None)
    assert site["words"] == "operator of 5 taps per phase ×2x3"


class Spaced(nn.Module):
    """Zeros between the samples, as they are written by hand."""

    def forward(self, x):
        spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 3 * x.shape[3])
        spread[:, :, ::2, ::3] = x
        return spread


def test_one_tap_is_one_tap():
    (site,) = check(nn.Sequential(nn.Conv2d(3, 4, 3), Spaced()), torch.randn(1, 3, 9, 8)).as_json()["sites"]
    assert site["words"] == "operator of 1 tap per phase ×2x3"


class Weighs(nn.Module):
    """A kernel that is computed from the map."""

    def forward(self, x):
        return torch.ops.upstroke.upsample(x, x[:1, :1, :2, :2], None, [2, 2], [0, 0], [0, 0], [0, 0])


def test_a_kernel_that_the_input_makes_is_unread():
    (node,) = (
        each for each in record(Weighs(), [torch.randn(1, 3, 5, 6)]).nodes if "upsample" in each.operator
    )
    assert isinstance(node.step, Unread)
    assert node.step.reason == "its kernel is computed from the input"


class Draws(nn.Module):
    """One kernel for all channels or one for each, with a bias."""

    def __init__(self, channels, border):
        super().__init__()
        self.kernel, self.bias = nn.Parameter(torch.randn(channels, 1, 4, 5)), nn.Parameter(torch.randn(4))
        self.border = [border, border]

    def forward(self, x):
        return torch.ops.upstroke.upsample(x, self.kernel, self.bias, [2, 3], [1, 1], [0, 0], self.border)


@needs_kernels
@pytest.mark.parametrize(("channels", "border"), [(4, 0), (4, 1), (1, 0), (1, 2)])
def test_a_bias_is_read_with_its_operator(channels, border):
    net, x = Draws(channels, border), torch.randn(2, 4, 5, 6)
    (site,) = sites(record(net, [x]))
    assert torch.allclose(site.affine()(x), net(x), atol=1e-5)


class Convolves(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 3, 3, 4)), nn.Parameter(torch.randn(3))

    def forward(self, x):
        numbers = [2, 3], [1, 0], [1, 2], [1, 1]
        return torch.ops.upstroke.conv_transpose(x, self.weight, self.bias, *numbers, 1)


def test_the_dense_operator_is_a_transposed_convolution():
    net, x = Convolves(), torch.randn(1, 4, 5, 6)
    graph = record(net, [x])
    (node,) = graph.nodes
    assert node.operator == "upstroke.conv_transpose"
    (site,) = sites(graph)
    expected = conv_transpose(
        x, net.weight, net.bias, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), dilation=(1, 1)
    )
    assert torch.allclose(site.affine()(x), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("norm", "by_place"),
    [
        (nn.GroupNorm(2, 4), False),
        (nn.InstanceNorm2d(4, affine=True), False),
        (nn.BatchNorm2d(4, track_running_stats=False), False),
        (nn.LayerNorm(7), False),
        (nn.LayerNorm([4, 5, 7], elementwise_affine=False), False),
        (nn.LayerNorm([4, 5, 7]), True),
    ],
)
def test_a_normalisation_treats_all_places_alike_unless_its_weights_vary_over_them(norm, by_place):
    steps = [node.step for node in record(norm, [torch.rand(1, 4, 5, 7)]).nodes]
    assert [step.by_place for step in steps if isinstance(step, Stays)] == [by_place]


@pytest.mark.parametrize("size", [(5, 7), (4, 33)])
def test_a_linear_resize_on_the_cells_is_read_where_it_sits(size):
    """By PyTorch's operators it repeats edges through an index; by ours its kernel is filled with zeros."""
    up = Interpolation((2, 3), mode="linear", centre="sample")
    x = torch.rand(1, 3, *size)
    graph = record(nn.Sequential(up, nn.ReLU()), [x])
    assert [type(node.step) for node in graph.nodes if node.operator == "aten.index_select"] == [Pad, Pad]
    expected = Grid(offset=(Fraction(0),) * 2, spacing=(Fraction(1, 2), Fraction(1, 3)))
    assert places(graph)[graph.outputs[0]].grid == expected
    native = record(nn.Sequential(Applies(linear((2, 3), centre="sample"), "native")), [x], geometry=True)
    (output,) = native.outputs
    assert places(native)[output].grid == expected
    assert native.measured[output].offset == pytest.approx((0.0, 0.0), abs=1e-9)


def test_an_index_that_leaves_out_or_turns_round_is_no_padding():
    for index in ([0, 0, 1, 3, 4, 4], [4, 3, 2, 1, 0, 0], [0, 1, 2, 3, 4, 4, 3]):
        net = Applies(None)
        net.forward = lambda x, index=index: x.index_select(2, torch.tensor(index))
        assert not any(isinstance(node.step, Pad) for node in record(net, [torch.rand(1, 2, 5, 6)]).nodes)
