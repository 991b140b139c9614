"""The value itself: it fits together or refuses, and equality means the same map."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import operators, sizes, tensors
from tolerance import assert_same
from upstroke import Affine, Polyphase, upsample
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import (
    compose,
    convolution,
    cubic,
    linear,
    nearest,
    separable,
    shuffle,
    sub_pixel,
    transposed,
)


@given(operator=operators(ndims=(1, 2, 3)), data=st.data())
def test_merging_groups_changes_nothing(operator, data):
    operator = replace(operator, excess=(0,) * operator.ndim)
    x = data.draw(tensors((1, operator.in_channels, *data.draw(sizes(operator.ndim)))))
    assert_same(upsample(x, operator.regroup(1)), upsample(x, operator))
    assert operator.regroup(1).isclose(operator, rtol=0.0, atol=0.0)


@given(operator=operators(), before=st.integers(0, 3), after=st.integers(0, 2))
def test_absent_taps_around_the_kernel_change_nothing(operator, before, after):
    ndim = operator.ndim
    wider = operator.padded((before,) * ndim, (after,) * ndim)
    assert wider.isclose(operator, rtol=0.0, atol=0.0)
    assert operator.isclose(wider, rtol=0.0, atol=0.0)
    assert [wider.reach(axis) for axis in range(ndim)] == [operator.reach(axis) for axis in range(ndim)]


@given(operator=operators(ndims=(1, 2)), data=st.data())
def test_cells_and_samples_beyond_the_edge_are_those_that_matter(operator, data):
    size = data.draw(sizes(operator.ndim, least=8, most=10))
    x = data.draw(tensors((1, operator.in_channels, *size)))
    ones = replace(operator, taps=torch.rand_like(operator.taps).add(0.5) * operator.mask[:, None, None])
    for axis in range(operator.ndim):
        zero, clamp = (
            replace(ones, border=tuple(kind if a == axis else "circular" for a in range(operator.ndim)))
            for kind in ("zero", "clamp")
        )
        lifted = x.abs() + 1
        differs = (upsample(lifted, zero) - upsample(lifted, clamp)).abs().movedim(2 + axis, 0).flatten(1)
        spoilt = differs.amax(dim=1) > 1e-9
        left, right = operator.samples_reading_beyond(axis, (0, 0))
        count = len(spoilt)
        inner = spoilt[left : max(left, count - right)]
        assert not bool(inner.any())
        if 0 < left < count - right:
            assert bool(spoilt[left - 1])
        if 0 < right < count - left:
            assert bool(spoilt[count - right])
        assert operator.reads_outside(axis) == bool(left or right)


def test_equality_sees_what_matters_and_nothing_else():
    assert nearest(2).isclose(replace(nearest(2), border=("zero", "circular")))
    assert not linear(2).isclose(replace(linear(2), border=("zero", "clamp")))
    assert nearest(2).isclose(nearest(2).expand(3))
    assert nearest(2).expand(3).isclose(nearest(2))
    assert not nearest(2).isclose(shuffle(2))
    assert not shuffle(2).isclose(nearest(2).expand(6))
    assert not nearest(2).isclose(nearest(3))
    assert not nearest(2).expand(2).isclose(nearest(2).expand(3))
    assert not nearest(2).isclose(replace(nearest(2), excess=(0, 1)))
    assert not nearest(2).isclose(replace(nearest(2), taps=nearest(2).taps * 1.001))
    assert not nearest(2).isclose(replace(nearest(2), margin=((1, 1), (0, 0))))
    one, two = torch.tensor([[1.0]] * 4), torch.tensor([[2.0]] * 4)
    assert Affine(operator=nearest(2)).isclose(Affine(operator=nearest(2), bias=0 * one))
    assert not Affine(operator=nearest(2), bias=one).isclose(Affine(operator=nearest(2), bias=two))
    assert not Affine(operator=nearest(2)).isclose(Affine(operator=linear(2)))


def test_tolerances_reach_taps_and_biases():
    bias = torch.ones(4, 1, dtype=torch.float64)
    one = Affine(operator=nearest(2), bias=bias)
    off_taps = Affine(operator=replace(nearest(2), taps=nearest(2).taps * 1.01), bias=bias)
    off_bias = Affine(operator=nearest(2), bias=bias * 1.01)
    for other in (off_taps, off_bias):
        assert not one.isclose(other)
        assert one.isclose(other, rtol=0.02)
        assert one.isclose(other, rtol=0.0, atol=0.02)
        assert not one.isclose(other, rtol=0.0, atol=0.005)
    assert Affine(operator=nearest(2)).isclose(Affine(operator=nearest(2)))
    assert not Affine(operator=nearest(2)).isclose(one)
    assert not one.isclose(Affine(operator=nearest(2)))


def test_a_depthwise_operator_of_512_channels_is_not_dense():
    operator = transposed(torch.randn(512, 1, 4, 4), stride=2, padding=1, groups=512)
    assert operator.taps.numel() == 4 * 512 * 9
    assert linear(2).expand(512).taps.untyped_storage().nbytes() == linear(2).taps.untyped_storage().nbytes()


def test_how_it_prints():
    operator = transposed(torch.zeros(4, 3, 3, 4), stride=(2, 3), padding=1, groups=2)
    assert repr(operator) == (
        "Polyphase(4 -> 6 channels in 2 groups, scale 2x3, 2x2 taps in each of 6 phases, origin 0x0, "
        "excess -1x-1, border zero)"
    )
    assert repr(shuffle(2)) == (
        "Polyphase(every 4 -> 1 channels, scale 2x2, 1x1 taps in each of 4 phases, origin 0x0, excess 0x0, "
        "border zero)"
    )
    mixed = replace(nearest(2), border=("zero", "clamp"), margin=((1, 0), (0, 0)))
    assert repr(mixed) == (
        "Polyphase(every channel, scale 2x2, 1x1 taps in each of 4 phases, origin 0x0, excess 0x0, "
        "border zero clamp, exact outside a margin of ((1, 0), (0, 0)))"
    )


GOOD = {
    "taps": torch.zeros(2, 3, 1, 4),
    "scale": (2,),
    "origin": (0,),
    "excess": (0,),
    "border": ("zero",),
}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"taps": torch.zeros(2, 3, 4)},
            ShapeError,
            (
                "taps must have shape (phases, out, in, *kernel) with one kernel axis for each of the 1 numbers in "
                "scale, 1 to 3 of them; got shape (2, 3, 4)"
            ),
        ),
        ({"scale": (3,)}, ShapeError, "taps must have one entry per phase of scale (3,); got 2"),
        (
            {"taps": torch.zeros(2, 3, 0, 4)},
            ShapeError,
            "taps must have at least one channel and one tap; got shape (2, 3, 0, 4)",
        ),
        ({"origin": (0, 0)}, ShapeError, "origin must have one entry per axis, 1 of them; got (0, 0)"),
        ({"excess": ()}, ShapeError, "excess must have one entry per axis, 1 of them; got ()"),
        (
            {"border": ("mirror",)},
            OptionError,
            "border must be zero, clamp or circular on every axis; got ('mirror',)",
        ),
        ({"groups": 2}, ShapeError, "groups must divide the 3 output channels; got 2"),
        (
            {"groups": 3, "shared": True},
            ShapeError,
            "a shared operator is one group, repeated as often as it takes; got groups=3",
        ),
        (
            {"margin": ((0, -1),)},
            ShapeError,
            "margin must be two numbers of at least 0 per axis, for 1 axes; got ((0, -1),)",
        ),
        (
            {"taps": torch.zeros(2, 3, 1, 4, dtype=torch.int64)},
            OptionError,
            "taps must have a floating dtype; got torch.int64",
        ),
        (
            {"support": torch.ones(2, 3, dtype=torch.bool)},
            ShapeError,
            "support must have shape (phases, *kernel) like taps; got (2, 3)",
        ),
    ],
)
@pytest.mark.usefixtures("_unchecked")
def test_parts_that_do_not_fit_are_said(change, kind, message):
    Polyphase(**GOOD)
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        Polyphase(**(GOOD | change))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            lambda: Affine(operator=nearest(2), bias=torch.zeros(1, 4)),
            ShapeError,
            "bias must have shape (phases, out channels) = (4, 1); got (1, 4)",
        ),
        (
            lambda: nearest(2).output_size((4,)),
            ShapeError,
            "the input must have 2 spatial axes to match the operator; got size (4,)",
        ),
        (
            lambda: nearest(2).input_size((4,)),
            ShapeError,
            "the output must have 2 spatial axes to match the operator; got size (4,)",
        ),
        (lambda: shuffle(2).expand(6), ShapeError, "a shared operator needs a multiple of 4 channels; got 6"),
        (
            lambda: nearest(2).expand(6).regroup(4),
            ShapeError,
            "groups can only be merged into a divisor of 6; got 4",
        ),
        (
            lambda: transposed(torch.zeros(2, 2), stride=2),
            ShapeError,
            "weight must have two channel axes and 1 to 3 kernel axes, none of them empty; got shape (2, 2)",
        ),
        (
            lambda: transposed(torch.zeros(2, 2, 0), stride=2),
            ShapeError,
            (
                "weight must have two channel axes and 1 to 3 kernel axes, none of them empty; "
                "got shape (2, 2, 0)"
            ),
        ),
        (
            lambda: transposed(torch.zeros(3, 2, 2), stride=2, groups=2),
            ShapeError,
            "groups must divide the 3 input channels; got 2",
        ),
        (
            lambda: transposed(torch.zeros(2, 2, 2), stride=0),
            OptionError,
            "stride must be at least 1 on every axis; got 0",
        ),
        (
            lambda: transposed(torch.zeros(2, 2, 2), stride=2, padding=-1),
            OptionError,
            "padding must be at least 0 on every axis; got -1",
        ),
        (
            lambda: transposed(torch.zeros(2, 2, 2), stride=2, dilation=0),
            OptionError,
            "dilation must be at least 1 on every axis; got 0",
        ),
        (
            lambda: transposed(torch.zeros(2, 2, 2), stride=2, output_padding=2),
            OptionError,
            "output_padding must be smaller than stride or dilation on every axis; got 2 with stride 2 and dilation 1",
        ),
        (
            lambda: convolution(torch.zeros(2, 2, 3, 3), padding=(1, 2, 3)),
            ShapeError,
            "padding must be one number, or one for each of 2 axes; got 1x2x3",
        ),
        (
            lambda: sub_pixel(torch.zeros(6, 2, 3, 3), scale=2),
            ShapeError,
            "a pixel shuffle of scale (2, 2) needs a multiple of 4 channels; got 6",
        ),
        (
            lambda: separable(torch.zeros(4, 1, 3, 3), torch.zeros(2, 3), stride=2),
            ShapeError,
            "the second operator must take the 4 channels that the first gives; got one that takes 3",
        ),
    ],
)
@pytest.mark.usefixtures("_unchecked")
def test_what_makes_no_operator_is_said(make, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


def test_taps_that_do_not_exist_are_never_read():
    support = torch.tensor([[True, True, False], [False, True, True]])
    taps = torch.ones(2, 1, 1, 3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]], dtype=torch.float64)
    seen = []
    for impl in ("reference", "transposed", "shuffle", "phases"):
        operator = Polyphase(
            taps=taps, scale=(2,), origin=(1,), excess=(0,), border=("zero",), support=support
        )
        y = upsample(x, operator, impl=impl)
        (gradient,) = torch.autograd.grad(y.square().sum(), taps)
        seen.append((y.detach(), gradient))
        assert not bool(gradient[:, 0, 0][~support].any())
    for y, gradient in seen[1:]:
        assert_same(y, seen[0][0])
        assert_same(gradient, seen[0][1])
    fixed = Polyphase(
        taps=torch.ones(2, 1, 1, 3), scale=(2,), origin=(1,), excess=(0,), border=("zero",), support=support
    )
    assert float(fixed.taps.sum()) == 4


def test_taps_to_be_trained_all_exist():
    taps = torch.zeros(2, 1, 1, 3, requires_grad=True)
    operator = Polyphase(taps=taps, scale=(2,), origin=(1,), excess=(0,), border=("zero",))
    assert bool(operator.mask.all())


def test_forms_remember_which_zeros_are_taps():
    from upstroke.polyphase import as_conv_shuffle, as_phase_convs, from_conv_shuffle, from_phase_convs

    operator = transposed(torch.tensor([[[1.0, 2.0, 3.0, 0.0]]]), stride=2, padding=1)
    for again in (
        from_conv_shuffle(as_conv_shuffle(operator)),
        from_phase_convs(as_phase_convs(operator)),
    ):
        assert torch.equal(again.mask, operator.mask)


def test_a_learned_layer_of_512_channels_composes_in_moments():
    weight = torch.randn(256, 512, 3, 3)
    both = compose(cubic(2), convolution(weight, padding=1))
    assert both.taps.dtype == torch.float32
    assert both.taps.shape[1:3] == (256, 512)
    # without a copy of the fixed kernel for every pair of channels
    x = torch.randn(1, 512, 4, 5)
    expected = torch.nn.functional.conv2d(upsample(x, cubic(2)), weight)
    actual = upsample(x, compose(cubic(2), convolution(weight)))
    assert torch.allclose(actual, expected, atol=1e-3)
