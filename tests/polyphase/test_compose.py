"""One operator for two in a row: everywhere where a law says so, outside the stated margin elsewhere."""

import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strategies import affines, fixed_operators, operators, sizes, tensors
from tolerance import assert_same
from upstroke import upsample
from upstroke.errors import ShapeError
from upstroke.polyphase import (
    Affine,
    Polyphase,
    box,
    bspline,
    compose,
    compose_affine,
    convolution,
    cubic,
    identity,
    linear,
    nearest,
    pad,
    separable,
    shuffle,
    sub_pixel,
    transposed,
    triangle,
)


def in_a_row(first, second, x):
    grown = [s * n + e for s, n, e in zip(first.scale, x.shape[2:], first.excess, strict=True)]
    assume(min(grown) > 0)
    assume(all(s * n + e > 0 for s, n, e in zip(second.scale, grown, second.excess, strict=True)))
    return upsample(upsample(x, first), second)


def inside(y, margin):
    sizes = zip(margin, y.shape[2:], strict=True)
    return y[:, :, *(slice(left, max(left, size - right)) for (left, right), size in sizes)]


@given(data=st.data(), ndim=st.sampled_from([1, 2]))
def test_both_agree_outside_the_margin(data, ndim):
    first = data.draw(operators(ndims=(ndim,)))
    second = data.draw(operators(ndims=(ndim,)))
    assume(first.out_channels == second.in_channels)
    x = data.draw(tensors((2, first.in_channels, *data.draw(sizes(ndim)))))
    expected = in_a_row(first, second, x)
    both = compose(first, second)
    actual = upsample(x, both)
    assert actual.shape == expected.shape
    if inside(actual, both.margin).numel():
        assert_same(inside(actual, both.margin), inside(expected, both.margin))


@given(data=st.data(), ndim=st.sampled_from([1, 2]))
def test_fixed_kernels_and_learned_ones(data, ndim):
    first, second = (
        data.draw(fixed_operators(ndims=(ndim,))),
        data.draw(operators(ndims=(ndim,), max_scale=2)),
    )
    pair = (first, second) if data.draw(st.booleans()) else (second, first)
    x = data.draw(tensors((1, second.in_channels, *data.draw(sizes(ndim)))))
    expected = in_a_row(*pair, x)
    both = compose(*pair)
    if inside(expected, both.margin).numel():
        assert_same(inside(upsample(x, both), both.margin), inside(expected, both.margin))


@given(data=st.data())
def test_circular_operators_without_excess_compose_everywhere(data):
    first = data.draw(operators(ndims=(2,), borders=("circular",)))
    first = replace(first, excess=(0, 0))
    second = data.draw(operators(ndims=(2,), borders=("circular",)))
    assume(first.out_channels == second.in_channels)
    both = compose(first, second)
    assert both.margin == ((0, 0), (0, 0))
    x = data.draw(tensors((1, first.in_channels, 5, 7)))
    assert_same(upsample(x, both), in_a_row(first, second, x))


@given(data=st.data(), ndim=st.sampled_from([1, 2]))
def test_affine_maps_compose_with_their_biases(data, ndim):
    first, second = data.draw(affines(ndims=(ndim,))), data.draw(affines(ndims=(ndim,)))
    assume(first.operator.out_channels == second.operator.in_channels)
    x = data.draw(tensors((1, first.operator.in_channels, *data.draw(sizes(ndim)))))
    in_a_row(first.operator, second.operator, x)
    expected = second(first(x))
    both = compose_affine(first, second)
    actual = both(x)
    margin = both.operator.margin
    assert actual.shape == expected.shape
    if inside(actual, margin).numel():
        assert_same(inside(actual, margin), inside(expected, margin))


@given(data=st.data())
def test_composition_is_associative(data):
    ops = []
    for channels_out, channels_in in ((3, 2), (2, 3), (1, 2)):
        scale, kernel = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
        taps = data.draw(tensors((scale, channels_out, channels_in, kernel)))
        origin = data.draw(st.integers(-1, kernel))
        ops.append(Polyphase(taps=taps, scale=(scale,), origin=(origin,), excess=(0,), border=("circular",)))
    left = compose(compose(ops[0], ops[1]), ops[2])
    right = compose(ops[0], compose(ops[1], ops[2]))
    assert left.isclose(right, rtol=1e-9, atol=1e-9)


@given(operator=operators())
def test_the_identity_changes_nothing(operator):
    for both in (
        compose(operator, identity(ndim=operator.ndim)),
        compose(identity(ndim=operator.ndim), operator),
    ):
        assert both.isclose(operator)
        assert both.groups == operator.groups


def test_depthwise_operators_stay_depthwise():
    blur = convolution(torch.randn(512, 1, 3, 3), padding=1, groups=512)
    grow = transposed(torch.randn(512, 1, 2, 2), stride=2, groups=512)
    both = compose(blur, grow)
    assert both.groups == 512
    assert tuple(both.taps.shape[:3]) == (4, 512, 1)
    assert compose(nearest(2), blur).groups == 512
    assert compose(linear(2), linear(2)).shared


def test_groups_meet_in_their_greatest_common_divisor():
    first = convolution(torch.randn(12, 2, 1), groups=6)
    second = convolution(torch.randn(8, 3, 1), groups=4)
    both = compose(first, second)
    assert both.groups == 2
    x = torch.randn(1, 12, 5)
    assert_same(upsample(x, both), upsample(upsample(x, first), second))


def test_shared_operators_of_different_widths():
    both = compose(nearest(2), shuffle(2))
    assert both.shared
    x = torch.randn(1, 8, 3, 4, dtype=torch.float64)
    assert_same(upsample(x, both), upsample(upsample(x, nearest(2)), shuffle(2)))
    bias = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)
    shifted = compose_affine(Affine(operator=nearest(2), bias=bias), Affine(operator=shuffle(2)))
    expected = upsample(Affine(operator=nearest(2), bias=bias)(x), shuffle(2))
    assert_same(shifted(x), expected)


@pytest.mark.parametrize("depthwise_first", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 4), (2, 3), (1, 0)), ((4, 2), (2, 2), (1, 0))]
)
def test_separable_is_the_two_layers_in_a_row(depthwise_first, kernel, stride, padding):
    channels = 4 if depthwise_first else 6
    depthwise = torch.randn(channels, 1, *kernel, dtype=torch.float64)
    pointwise = torch.randn(6, 4, dtype=torch.float64)
    operator = separable(
        depthwise, pointwise, stride=stride, padding=padding, depthwise_first=depthwise_first
    )
    x = torch.randn(2, 4, 5, 7, dtype=torch.float64)

    def grow(x):
        return torch.nn.functional.conv_transpose2d(
            x, depthwise, stride=stride, padding=padding, groups=channels
        )

    def mix(x):
        return torch.einsum("oc,bchw->bohw", pointwise, x)

    expected = mix(grow(x)) if depthwise_first else grow(mix(x))
    assert_same(upsample(x, operator), expected)
    assert operator.margin == ((0, 0), (0, 0))


def test_box_splines():
    # the discrete box with itself, halved, is the triangle; nearest twice is nearest
    twice = compose(box(2, ndim=1), box(1, ndim=1, length=1))
    assert twice.isclose(nearest(2, ndim=1))
    hat = compose(nearest(2, ndim=1), convolution(torch.tensor([[[0.5, 0.5]]]).double(), padding=[(0, 1)]))
    assert torch.equal(hat.taps, triangle(2, ndim=1).taps)
    assert compose(nearest((2, 3)), nearest((3, 2))).isclose(nearest(6))


def test_sub_pixel_convolution_is_one_operator():
    weight = torch.randn(2 * 6, 3, 3, 5, dtype=torch.float64)
    operator = sub_pixel(weight, scale=(2, 3), padding=(1, 0))
    assert operator.excess == (0, -12)
    assert operator.margin == ((0, 0), (0, 0))


def test_sub_pixel_convolution_passes_its_settings_on():
    weight = torch.randn(8, 2, 3, 2, dtype=torch.float64)
    x = torch.randn(1, 4, 6, 7, dtype=torch.float64)
    operator = sub_pixel(weight, scale=2, padding=(1, 2), dilation=(2, 3), groups=2, border="clamp")
    padded = torch.nn.functional.pad(x, (2, 2, 1, 1), mode="replicate")
    convolved = torch.nn.functional.conv2d(padded, weight, dilation=(2, 3), groups=2)
    assert_same(upsample(x, operator), torch.nn.functional.pixel_shuffle(convolved, 2))
    assert sub_pixel(weight, scale=2, groups=2).excess == (-4, -2)


def test_a_pad_folds_into_the_convolution_after_it():
    weight = torch.randn(3, 2, 3, dtype=torch.float64)
    for border in ("zero", "clamp", "circular"):
        both = compose(pad(1, 1, ndim=1, border=border), convolution(weight))
        assert both.isclose(convolution(weight, padding=1, border=border))


def test_a_margin_grows_through_the_operators_after_it():
    first = compose(linear(2, ndim=1), convolution(torch.ones(1, 1, 3).double(), padding=1))
    assert first.margin == ((1, 1),)
    assert compose(first, nearest(3, ndim=1)).margin == ((3, 3),)
    assert compose(first, convolution(torch.ones(1, 1, 5).double())).margin == ((1, 1),)


def test_why_cubic_and_clamp_do_not_meet():
    replicate = convolution(torch.ones(1, 1, 3).double(), padding=1, border="clamp")
    assert compose(linear(2, ndim=1), replicate).margin == ((0, 0),)
    assert compose(cubic(2, ndim=1), replicate).margin == ((1, 1),)


def test_what_does_not_fit_is_said():
    first = convolution(torch.zeros(3, 2, 1))
    message = "the second operator must take the 3 channels that the first gives; got one that takes 2"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        compose(first, first)
    message = "both operators must have the same number of axes; got 1 and 2"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        compose(first, nearest(2))


def same_everywhere(one, two):
    return one.shape == two.shape and bool((one - two).abs().max() < 1e-9)


@st.composite
def fixed_with_an_excess(draw, *, ndim=1):
    make = draw(
        st.sampled_from(
            [
                nearest,
                linear,
                cubic,
                bspline,
                partial(linear, centre="sample"),
                partial(nearest, centre="cell", rounding="ceil"),
                partial(nearest, centre="cell", rounding="floor"),
            ]
        )
    )
    operator = make(draw(st.integers(1, 3)), ndim=ndim)
    # a tap that happens to be zero can hide a difference that others would show
    assume(bool(operator.taps[:, 0, 0][operator.mask].all()))
    border = draw(st.sampled_from(["zero", "clamp", "clamp", "circular"]))
    return replace(operator, excess=(draw(st.integers(-2, 2)),) * ndim, border=(border,) * ndim)


@st.composite
def convolutions(draw):
    weight = draw(tensors((1, 1, draw(st.integers(1, 4)))))
    sides = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    border = draw(st.sampled_from(["zero", "clamp", "clamp", "circular"]))
    return convolution(weight, padding=[sides], border=border)


@settings(max_examples=300)
@given(first=fixed_with_an_excess(), second=convolutions(), data=st.data())
def test_no_margin_is_claimed_exactly_where_both_agree_everywhere(first, second, data):
    x = data.draw(tensors((1, 1, 9)))
    expected = in_a_row(first, second, x)
    both = compose(first, second)
    exact = same_everywhere(upsample(x, both), expected)
    assert exact or both.margin != ((0, 0),)
    # borders of two kinds, or an edge that is cropped onto a repeated cell, may agree by chance
    if first.excess == (0,) and (first.border == second.border or not first.reads_outside(0)):
        assert exact == (both.margin == ((0, 0),))


@settings(max_examples=300)
@given(first=fixed_with_an_excess(), second=convolutions(), data=st.data(), even=st.booleans())
def test_a_bias_passes_exactly_where_both_agree_everywhere(first, second, data, even):
    bias = data.draw(tensors((first.phases, 1)))
    one = Affine(operator=first, bias=bias[:1].expand(first.phases, 1) if even else bias)
    x = torch.zeros(1, 1, 9, dtype=torch.float64)
    in_a_row(first, second, x)
    two = Affine(operator=second)
    # a map of zeros shows the bias alone; what the operators do to their borders is another test's business
    assume(compose(first, second).margin == ((0, 0),))
    both = compose_affine(one, two)
    assert (both.operator.margin == ((0, 0),)) == same_everywhere(both(x), two(one(x)))


def test_separable_passes_its_settings_on():
    depthwise = torch.randn(4, 1, 3, dtype=torch.float64)
    pointwise = torch.randn(6, 4, dtype=torch.float64)
    x = torch.randn(1, 4, 7, dtype=torch.float64)
    grown = torch.nn.functional.conv_transpose1d(
        x, depthwise, stride=3, padding=1, output_padding=2, dilation=2, groups=4
    )
    operator = separable(depthwise, pointwise, stride=3, padding=1, output_padding=2, dilation=2)
    assert_same(upsample(x, operator), torch.einsum("oc,bcn->bon", pointwise, grown))
    plain = separable(depthwise, pointwise, stride=3)
    assert plain.output_size((7,)) == (21,)
