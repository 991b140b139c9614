"""TransposedConv is PyTorch's transposed convolution, and with padding="same" scale times the input."""

import copy
import itertools
import pickle
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import CONV_TRANSPOSE, SIZES, per_axis, random_map, seeded
from tolerance import assert_same
from upstroke import diagnose, from_module, upsample
from upstroke.errors import NotRepresentableError, ShapeError
from upstroke.nn import TransposedConv


@st.composite
def twins(draw, **fixed):
    """The same settings for our layer and PyTorch's, and a map."""
    ndim = fixed.get("ndim") or draw(st.sampled_from([1, 2, 3]))
    groups = draw(st.sampled_from([1, 2]))
    channels, out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    stride, dilation = draw(per_axis(ndim, 1, 3)), draw(per_axis(ndim, 1, 2))
    settings = {
        "stride": stride,
        "padding": draw(per_axis(ndim, 0, 2)),
        "output_padding": tuple(
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        ),
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    kernel, seed = draw(per_axis(ndim, 1, 4)), draw(st.integers(0, 999))
    ours = seeded(TransposedConv(channels, out, kernel, ndim=ndim, **settings), seed)
    theirs = CONV_TRANSPOSE[ndim](channels, out, kernel, **settings).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs, random_map(ndim, channels, seed)


def output(layer, x, **settings):
    """What the layer gives, if it takes this size at all."""
    try:
        y = layer(x, **settings)
    except RuntimeError as error:
        assume("too small" not in str(error))
        raise
    assume(y.numel() > 0)
    return y


@given(drawn=twins())
def test_it_computes_what_pytorchs_layer_computes(drawn):
    ours, theirs, x = drawn
    expected = output(theirs, x).detach()
    assert_same(ours(x).detach(), expected)


@given(drawn=twins())
def test_in_float32_and_channels_last_too(drawn):
    ours, theirs, x = drawn
    ours, theirs, x = ours.float(), theirs.float(), x.float()
    expected = output(theirs, x).detach()
    assert_same(ours(x).detach(), expected)
    if x.ndim == 4:
        assert_same(ours(x.contiguous(memory_format=torch.channels_last)).detach(), expected)


@given(drawn=twins())
def test_gradients_are_those_of_pytorchs_layer(drawn):
    ours, theirs, x = drawn
    expected = output(theirs, x.requires_grad_()).square().sum()
    expected = torch.autograd.grad(expected, [x, *theirs.parameters()])
    actual = torch.autograd.grad(ours(x).square().sum(), [x, *ours.parameters()])
    for one, two in zip(actual, expected, strict=True):
        assert_same(one, two)


@given(drawn=twins())
def test_state_dicts_load_in_both_directions(drawn):
    ours, theirs, x = drawn
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(2).add_(1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    expected = output(theirs, x).detach()
    assert_same(ours(x).detach(), expected)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_it_starts_from_the_same_random_numbers(ndim):
    settings = {"groups": 2, "dilation": 2, "dtype": torch.float64}
    torch.manual_seed(7)
    ours = TransposedConv(4, 6, (3, 4, 2)[:ndim], ndim=ndim, **settings)
    torch.manual_seed(7)
    theirs = CONV_TRANSPOSE[ndim](4, 6, (3, 4, 2)[:ndim], **settings)
    for name, parameter in theirs.named_parameters():
        assert torch.equal(ours.get_parameter(name), parameter)


@given(drawn=twins(), data=st.data())
def test_output_size_chooses_what_pytorchs_layer_chooses(drawn, data):
    ours, theirs, x = drawn
    ndim = x.ndim - 2
    least = [
        s * (n - 1) - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(
            x.shape[2:], ours.stride, ours.padding, ours.dilation, ours.kernel_size, strict=True
        )
    ]
    assume(min(least) > 0)
    off = data.draw(per_axis(ndim, -1, 3))
    wanted = [n + more for n, more in zip(least, off, strict=True)]
    given_as = data.draw(st.sampled_from([wanted, [*x.shape[:1], ours.out_channels, *wanted]]))
    if all(0 <= more < s for more, s in zip(off, ours.stride, strict=True)):
        expected = theirs(x, output_size=given_as)
        assert expected.shape[2:] == tuple(wanted)
        assert_same(ours(x, output_size=given_as).detach(), expected.detach())
        return
    with pytest.raises(ValueError, match="requested an output size of"):
        theirs(x, output_size=given_as)
    with pytest.raises(ShapeError, match=r"^output_size must lie between"):
        ours(x, output_size=given_as)


SAME = list(itertools.product(range(1, 8), range(1, 6), (1, 2)))


@pytest.mark.parametrize(("kernel", "stride", "dilation"), SAME)
def test_same_is_scale_times_the_input_by_the_formula(kernel, stride, dilation):
    layer = seeded(TransposedConv(2, 3, kernel, stride=stride, dilation=dilation, ndim=1), seed=kernel)
    x = random_map(1, 2, stride)
    y = layer(x)
    assert y.shape == (2, 3, stride * x.shape[2])
    assert_same(y.detach(), drawn_by_hand(layer, x))
    assert_same(upsample(x, layer.affine(), impl="reference").detach(), y.detach())
    odd = (dilation * (kernel - 1) + 1 - stride) % 2
    assert layer.grid.offset == (Fraction(1 + odd - stride, 2 * stride),)
    assert layer.grid == diagnose.grid_of(layer.polyphase())


def drawn_by_hand(layer, x):
    """Tap q of cell j lands on sample s * j + d * q - P, with P = ceil((K' - s) / 2); the bias is everywhere."""
    (k,), (s,), (d,) = layer.kernel_size, layer.stride, layer.dilation
    cut = -((s - d * (k - 1) - 1) // 2)
    y = layer.bias.detach()[:, None].expand(x.shape[0], -1, s * x.shape[2]).clone()
    for j, q in itertools.product(range(x.shape[2]), range(k)):
        n = s * j + d * q - cut
        if 0 <= n < y.shape[2]:
            y[:, :, n] += x[:, :, j] @ layer.weight.detach()[:, :, q]
    return y


@given(data=st.data(), ndim=st.sampled_from([2, 3]))
def test_same_has_its_own_numbers_on_every_axis(data, ndim):
    kernel, stride, dilation = (data.draw(per_axis(ndim, 1, most)) for most in (5, 4, 2))
    layer = seeded(
        TransposedConv(2, 2, kernel, stride=stride, dilation=dilation, ndim=ndim, groups=2, bias=True), 3
    )
    x = random_map(ndim, 2, 3)
    y = layer(x)
    assert y.shape[2:] == tuple(s * n for s, n in zip(stride, SIZES[ndim], strict=True))
    # depthwise with a kernel that is a product over axes: one axis at a time
    lines = [torch.randn(2, 1, k, dtype=torch.float64) for k in kernel]
    with torch.no_grad():
        layer.bias.zero_()
        for channel in range(2):
            product = torch.ones((), dtype=torch.float64)
            for line in lines:
                product = torch.tensordot(product, line[channel, 0], dims=0)
            layer.weight[channel, 0] = product
    for axis, line in enumerate(lines):
        one = TransposedConv(
            2, 2, kernel[axis], stride=stride[axis], dilation=dilation[axis], ndim=1, groups=2, bias=False
        ).double()
        one.load_state_dict({"weight": line})
        if axis == 0:
            expected = x
        moved = expected.movedim(2 + axis, -1)
        flat = moved.movedim(1, -2).flatten(0, -3)
        grown = one(flat).detach().unflatten(0, moved.movedim(1, -2).shape[:-2])
        expected = grown.movedim(-2, 1).movedim(-1, 2 + axis)
    assert_same(layer(x).detach(), expected)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(1, 3, 1), (2, 1, 1), (4, 2, 1), (2, 4, 1)])
def test_gradients_are_those_of_the_values(kernel, stride, dilation):
    layer = TransposedConv(2, 2, kernel, stride=stride, dilation=dilation, ndim=1).double()
    x = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)

    def output_of(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(output_of, (x, layer.weight, layer.bias))


def test_the_size_that_same_stands_for_may_be_asked_for():
    for kernel, stride, dilation in SAME:
        layer = TransposedConv(1, 1, kernel, stride=stride, dilation=dilation, ndim=1)
        x = torch.randn(1, 1, 6)
        assert_same(layer(x, output_size=[6 * stride]).detach(), layer(x).detach())


def test_one_output_size_is_for_all_axes():
    layer, x = TransposedConv(2, 3, 3), torch.randn(1, 2, 5, 5)
    assert torch.equal(layer(x, output_size=10), layer(x, output_size=(10, 10)))
    assert layer(x, output_size=torch.Size((1, 3, 9, 10))).shape == (1, 3, 9, 10)


@given(drawn=twins())
def test_its_affine_map_is_the_layer(drawn):
    ours, theirs, x = drawn
    expected = output(theirs, x).detach()
    assert_same(ours.affine()(x).detach(), expected)
    assert ours.polyphase().isclose(from_module(theirs).operator)


@given(drawn=twins())
def test_its_grid_is_that_of_its_operator(drawn):
    ours, _, _ = drawn
    assert ours.grid == diagnose.grid_of(ours.polyphase())


def test_it_has_an_operator_inside_a_sequence():
    layers = nn.Sequential(TransposedConv(2, 3, (1, 2), stride=(3, 2)), nn.BatchNorm2d(3)).double().eval()
    x = random_map(2, 2, 5)
    assert_same(from_module(layers)(x).detach(), layers(x).detach())


def test_a_reparametrized_weight_is_seen_as_it_acts():
    layer = nn.utils.parametrizations.weight_norm(TransposedConv(2, 3, (4, 3)).double())
    x = random_map(2, 2, 5)
    layer.parametrizations.weight.original0.data.mul_(2)
    assert_same(layer.affine()(x).detach(), layer(x).detach())
    assert layer.grid == diagnose.grid_of(layer.polyphase())


def test_spectral_norm_in_training_is_refused_as_for_pytorchs_layer():
    layer = nn.utils.parametrizations.spectral_norm(TransposedConv(2, 3, 4)).train()
    with pytest.raises(NotRepresentableError, match=r"call eval\(\) first$"):
        layer.affine()


@pytest.mark.parametrize(("kernel", "stride"), [((1, 3), (3, 2)), ((2, 4), (1, 2))])
def test_a_recorded_graph_holds_what_pytorchs_call_cannot_say(kernel, stride):
    layer, x = TransposedConv(2, 3, kernel, stride=stride), torch.randn(2, 2, 4, 5)
    sizes = {2: torch.export.Dim("rows", min=4, max=99)}
    exported = torch.export.export(layer, (x,), dynamic_shapes=(sizes,)).module()
    x = torch.randn(2, 2, 7, 5)
    assert_same(exported(x).detach(), layer(x).detach())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride"), [((1, 3), (3, 2)), ((2, 4), (1, 2)), ((1, 1), (3, 3))])
def test_its_output_is_dense_and_laid_out_as_its_input(kernel, stride, layout):
    y = TransposedConv(2, 3, kernel, stride=stride)(torch.randn(2, 2, 4, 5).contiguous(memory_format=layout))
    assert y.is_contiguous(memory_format=layout)


def test_it_maps_over_further_axes_of_maps():
    layer, x = TransposedConv(2, 3, (1, 3), stride=(3, 2)), torch.randn(4, 2, 2, 4, 5)
    assert_same(torch.vmap(layer)(x).detach(), torch.stack([layer(one) for one in x]).detach())


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_compute_the_same(remake):
    layer = TransposedConv(2, 3, (1, 4), stride=(2, 3))
    x = torch.randn(1, 2, 4, 5)
    assert torch.equal(remake(layer)(x), layer(x))


def test_device_and_dtype_are_those_asked_for():
    layer = TransposedConv(2, 3, 4, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_its_repr_says_which_grid_results():
    assert repr(TransposedConv(2, 4, (3, 4), groups=2, dilation=(1, 2))) == (
        "TransposedConv(2, 4, kernel_size=(3, 4), stride=(2, 2), padding='same' = (1, 3), "
        "output_padding=(1, 1), dilation=(1, 2), groups=2, bias=True, "
        "grid=Grid(offset=(0, 0), spacing=(1/2, 1/2)))"
    )
