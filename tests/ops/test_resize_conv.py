"""A resize and a convolution are one map in every form, up to the border, and so are their gradients."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import BORDERS, fixed_operators, seeded, sizes
from tolerance import assert_same
from upstroke.errors import BackendError, OptionError, ShapeError
from upstroke.ops import upsample
from upstroke.ops.layout import in_layout, is_channels_last
from upstroke.ops.resize_conv import FORMS, SERVES, Convolution, best_form, resize_conv
from upstroke.ops.resize_conv_choice import nearest_case
from upstroke.ops.resize_conv_measured import MEASURED
from upstroke.polyphase import Affine, bspline, convolution, cubic, linear, nearest, transposed


@st.composite
def pairs(draw, *, dtype=torch.float64):
    """A fixed resize, a convolution and a map, every axis with its own numbers."""
    operator = draw(
        fixed_operators(ndims=(1, 2, 3), names=("nearest", "linear", "cubic", "bspline", "triangle"))
    )
    ndim, generator = operator.ndim, seeded(draw(st.integers(0, 999)))
    pointwise = draw(st.sampled_from((False, False, True)))
    groups, border = draw(st.sampled_from((1, 2))), draw(st.sampled_from(BORDERS))
    kernel = tuple(1 if pointwise else draw(st.integers(1, 4)) for _ in range(ndim))
    padding = tuple(
        (0, 0) if pointwise else (draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(ndim)
    )
    conv = Convolution(
        weight=torch.randn(3 * groups, 2, *kernel, generator=generator, dtype=torch.float64).to(dtype),
        bias=torch.randn(3 * groups, generator=generator, dtype=torch.float64).to(dtype),
        padding=padding,
        dilation=tuple(draw(st.integers(1, 2)) for _ in range(ndim)),
        groups=groups,
        border=border,
    )
    size = draw(sizes(ndim, least=2, most={1: 9, 2: 7, 3: 4}[ndim]))
    grown = zip(operator.output_size(size), padding, conv.lengths, strict=True)
    assume(all(n + sum(sides) >= length for n, sides, length in grown))
    x = torch.randn(2, 2 * groups, *size, generator=generator, dtype=torch.float64).to(dtype)
    return operator, conv, in_layout(x, channels_last=draw(st.booleans()))


def by_the_formula(x, operator, conv):
    """The two operators by the reference, one after the other."""
    second = convolution(
        conv.weight, padding=conv.padding, dilation=conv.dilation, groups=conv.groups, border=conv.border
    )
    both = Affine(operator=second, bias=conv.bias[None])
    return upsample(upsample(x, operator, impl="reference"), both, impl="reference")


@pytest.mark.parametrize("form", [*FORMS, "auto"])
@given(drawn=pairs())
def test_every_form_is_the_formula_and_keeps_the_layout(form, drawn):
    operator, conv, x = drawn
    assume(form == "auto" or SERVES[form](x, operator, conv))
    y = resize_conv(x, operator, conv, form=form)
    assert_same(y, by_the_formula(x, operator, conv))
    assert y.stride() == in_layout(y, channels_last=is_channels_last(x)).stride()


@pytest.mark.parametrize("form", FORMS)
@given(drawn=pairs())
def test_every_form_has_the_gradients_of_the_two_in_a_row(form, drawn):
    operator, conv, x = drawn
    assume(SERVES[form](x, operator, conv))
    inputs = [x.requires_grad_(), conv.weight.requires_grad_(), conv.bias.requires_grad_()]
    y = resize_conv(x, operator, conv, form="in a row")
    into = torch.randn(y.shape, generator=seeded(0), dtype=y.dtype)
    expected = torch.autograd.grad(y, inputs, into)
    actual = torch.autograd.grad(resize_conv(x, operator, conv, form=form), inputs, into)
    for one, two in zip(actual, expected, strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("form", FORMS)
@given(drawn=pairs(dtype=torch.float32))
def test_every_form_in_float32(form, drawn):
    operator, conv, x = drawn
    assume(SERVES[form](x, operator, conv))
    expected = resize_conv(x, operator, conv, form="in a row")
    assert_same(resize_conv(x, operator, conv, form=form), expected)


def conv_of(kernel, padding, *, channels=(3, 2), **settings):
    ndim = len(kernel)
    weight = torch.randn(*channels[::-1], *kernel)
    return Convolution(
        weight=weight, bias=None, padding=((padding, padding),) * ndim, dilation=(1,) * ndim, **settings
    )


def test_a_convolution_of_one_tap_comes_first_where_its_bias_passes():
    x, conv = torch.randn(1, 3, 5, 4), conv_of((1, 1), 0)
    assert best_form(x, linear(3), conv) == "commuted"
    with_bias = replace(conv, bias=torch.randn(2))
    assert best_form(x, linear(3), with_bias) == "commuted"
    # zeros beyond the edge darken what is constant, so that a bias before them would not pass
    dark = bspline(2)
    assert best_form(x, dark, conv) == "commuted"
    assert (best_form(x, dark, with_bias) == "commuted") == ("zero" not in dark.border)


def test_only_what_was_measured_to_be_faster_is_one_operator():
    conv = conv_of((3, 3), 1, channels=(128, 64))
    x = torch.randn(1, 128, 64, 64)
    assert best_form(x, nearest(2), conv) == "one operator"
    assert best_form(x, cubic(2), conv) == "in a row"
    assert best_form(x[..., :4, :4], nearest(2), conv) == "in a row"
    assert best_form(x.bfloat16(), nearest(2), conv) == "in a row"
    with torch.autocast("cpu", torch.bfloat16):
        assert best_form(x, nearest(2), conv) == "in a row"


def test_a_choice_says_why():
    numbers = {"batch": 1, "channels": 128, "out": 64, "axes": 2, "cells": 4096, "taps": 36, "drawn": 16}
    flags = {"has_margin": False, "channels_last": True, "training": False}
    choice = nearest_case(groups=1, **numbers, **flags)
    assert choice.form == "one operator"
    assert choice.reason == (
        "channels-last, alike up to the border: "
        "fastest for 128 to 64 channels, 4096 cells, 36 taps in a row and 16 as one"
    )
    other = nearest_case(groups=2, **numbers, **flags)
    assert other.form == "in a row"
    assert other.reason == "channels-last, alike up to the border: nothing like it was measured"


def test_every_measured_form_is_one():
    for rows in MEASURED.values():
        assert {form for _, form in rows} <= set(FORMS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: resize_conv(x, linear(2), conv_of((3,), 1)),
            ShapeError,
            "x, the resize and the convolution must have the same number of axes; got 2, 2 and 1",
        ),
        (
            lambda x: resize_conv(x, transposed(torch.ones(3, 3, 2, 2), stride=2), conv_of((3, 3), 1)),
            OptionError,
            "the resize must be one kernel for all channels; got an operator over channels, so use compose",
        ),
        (
            lambda x: resize_conv(x, linear(2), conv_of((3, 3), 1), form="fast"),
            OptionError,
            "form must be one of auto, in a row, in a row, channels-last, one operator, commuted; got 'fast'",
        ),
        (
            lambda x: resize_conv(x, linear(2), conv_of((3, 3), 1), form="commuted"),
            BackendError,
            (
                "form 'commuted' does not serve a kernel of (3, 3) with padding ((1, 1), (1, 1)) "
                "after a resize of a map of size (5, 4); use form='in a row'"
            ),
        ),
    ],
)
@pytest.mark.usefixtures("_unchecked")
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(torch.randn(1, 3, 5, 4))
