"""Every implementation is the formula; the adjoint is the adjoint; layouts, dtypes and gradients are kept."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import BORDERS, affines, depthwise_operators, operators, sizes, tensors
from tolerance import assert_same
from upstroke import upsample
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import IMPLS, adjoint, deinterleave, interleave
from upstroke.ops.kernels import instructions
from upstroke.polyphase import Affine, Polyphase, cubic, kernel_form, linear, nearest, shuffle, transposed

# those that take any operator; the native one is held in test_native.py and, below, by its own operators
ANY = sorted(set(IMPLS) - {"native"})
FAST = sorted(set(ANY) - {"reference"})
needs_kernels = pytest.mark.skipif(
    instructions() is None and os.environ.get("CI") != "true", reason="the compiled kernels are missing"
)
EVERY = [*ANY, pytest.param("native", marks=needs_kernels)]


@st.composite
def operators_and_maps(draw, **settings):
    operator = draw(operators(**settings))
    size = draw(sizes(operator.ndim, least=1, most=6))
    # what is cut may not be more than there is
    grown = (s * n + e for s, n, e in zip(operator.scale, size, operator.excess, strict=True))
    assume(all(n > 0 for n in grown))
    return operator, draw(tensors((2, operator.in_channels, *size)))


def brute_force(x, operator):
    """The formula, sample by sample, with a border looked up cell by cell."""
    b, size = x.shape[0], x.shape[2:]
    y = torch.zeros(b, operator.out_channels, *operator.output_size(size), dtype=x.dtype)
    per_group = operator.out_channels // operator.groups
    for n in np.ndindex(*y.shape[2:]):
        cells, phases = zip(*(divmod(i, s) for i, s in zip(n, operator.scale, strict=True)), strict=True)
        phase = np.ravel_multi_index(phases, operator.scale)
        for k in np.ndindex(*operator.kernel):
            read = [m + i - o for m, i, o in zip(cells, k, operator.origin, strict=True)]
            for axis, kind in enumerate(operator.border):
                if kind == "clamp":
                    read[axis] = min(max(read[axis], 0), size[axis] - 1)
                elif kind == "circular":
                    read[axis] %= size[axis]
            if any(not 0 <= j < n for j, n in zip(read, size, strict=True)):
                continue
            for o in range(operator.out_channels):
                first = o // per_group * operator.taps.shape[2]
                channels = slice(first, first + operator.taps.shape[2])
                y[(slice(None), o, *n)] += (
                    x[(slice(None), channels, *read)] @ operator.taps[(phase, o, slice(None), *k)]
                )
    return y


@given(drawn=operators_and_maps())
def test_the_reference_is_the_formula(drawn):
    operator, x = drawn
    assume(x[0, 0].numel() <= 16)
    assert_same(upsample(x, operator, impl="reference"), brute_force(x, operator))


@pytest.mark.parametrize("impl", FAST)
@given(drawn=operators_and_maps(ndims=(1, 2, 3)))
def test_every_implementation_is_the_reference(impl, drawn):
    operator, x = drawn
    assert_same(upsample(x, operator, impl=impl), upsample(x, operator, impl="reference"))


@pytest.mark.parametrize("impl", ANY)
@given(data=st.data())
def test_gradients_in_x_taps_and_bias(impl, data):
    affine = data.draw(affines(ndims=(1, 2), max_scale=2))
    operator = affine.operator
    size = data.draw(sizes(operator.ndim, least=4, most=5))
    assume(all(s * n + e > 0 for s, n, e in zip(operator.scale, size, operator.excess, strict=True)))
    x = data.draw(tensors((1, operator.in_channels, *size)))
    values = [x[:, :, ...].clone(), operator.taps.clone(), affine.bias.clone()]

    def apply(x, taps, bias):
        return upsample(x, Affine(operator=replace(operator, taps=taps), bias=bias), impl=impl)

    for value in values:
        value.requires_grad_()
    ours = torch.autograd.grad(apply(*values).square().sum(), values)
    expected = torch.autograd.grad(_reference(*values, operator).square().sum(), values)
    for one, two in zip(ours, expected, strict=True):
        # taps that are absent have no say, whatever a form computes for them
        if one.shape == operator.taps.shape and one is ours[1]:
            one, two = (g * operator.mask[:, None, None] for g in (one, two))
        assert_same(one, two)


def _reference(x, taps, bias, operator):
    y = upsample(x, replace(operator, taps=taps), impl="reference")
    tile = bias.T.reshape(-1, *operator.scale)
    repeats = [-(-n // s) for n, s in zip(y.shape[2:], operator.scale, strict=True)]
    return y + tile.repeat(1, *repeats)[:, *(slice(n) for n in y.shape[2:])]


@pytest.mark.parametrize("impl", EVERY)
def test_gradcheck(impl):
    out, groups = (1, 2) if impl == "native" else (3, 1)
    weight = torch.randn(2, out, 3, 4, dtype=torch.float64)
    operator = transposed(weight, stride=(2, 3), padding=1, groups=groups)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    taps = operator.taps.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, taps: upsample(
            x,
            Polyphase(
                taps=taps,
                support=operator.support,
                scale=operator.scale,
                origin=operator.origin,
                excess=operator.excess,
                border=("clamp", "circular"),
                groups=groups,
            ),
            impl=impl,
        ),
        (x, taps),
    )


@given(drawn=operators_and_maps(ndims=(1, 2, 3)), data=st.data())
def test_the_adjoint_is_the_adjoint(drawn, data):
    operator, x = drawn
    forward = upsample(x, operator, impl="reference")
    y = data.draw(tensors(tuple(forward.shape)))
    back = adjoint(y, operator)
    assert back.shape == x.shape
    assert torch.allclose((forward * y).sum(), (x * back).sum(), rtol=1e-10, atol=1e-10)


@given(data=st.data())
def test_the_adjoint_of_one_kernel_a_channel_is_the_adjoint(data):
    operator = data.draw(depthwise_operators())
    channels = 3 if operator.shared else operator.in_channels
    size = data.draw(sizes(operator.ndim, least=1, most=6))
    assume(all(s * n + e > 0 for s, n, e in zip(operator.scale, size, operator.excess, strict=True)))
    x = data.draw(tensors((2, channels, *size)))
    forward = upsample(x, operator, impl="reference")
    y = data.draw(tensors(tuple(forward.shape)))
    back = adjoint(y, operator)
    assert back.shape == x.shape
    assert torch.allclose((forward * y).sum(), (x * back).sum(), rtol=1e-10, atol=1e-10)


@given(drawn=operators_and_maps(ndims=(1, 2, 3)))
def test_the_size_is_scale_times_size_plus_excess(drawn):
    operator, x = drawn
    grown = tuple(s * n + e for s, n, e in zip(operator.scale, x.shape[2:], operator.excess, strict=True))
    assert tuple(upsample(x, operator).shape) == (2, operator.out_channels, *grown)
    assert operator.input_size(grown) == tuple(x.shape[2:])


@given(drawn=operators_and_maps())
def test_linear_in_the_map(drawn):
    operator, x = drawn
    one, two = x[:1], x[1:]
    both = upsample(2 * one - 3 * two, operator)
    assert_same(both, 2 * upsample(one, operator) - 3 * upsample(two, operator))


@given(data=st.data())
def test_scipys_upfirdn_agrees_in_one_axis(data):
    operator = data.draw(operators(ndims=(1,), borders=("zero",), out_channels=1))
    assume(operator.groups == 1)
    (size,) = data.draw(sizes(1))
    assume(operator.scale[0] * size + operator.excess[0] > 0)
    x = data.draw(tensors((1, operator.in_channels, size)))
    form = kernel_form(operator)
    drawn = sum(
        scipy.signal.upfirdn(form.kernel[0, c].numpy(), x[0, c].numpy(), up=operator.scale[0])
        for c in range(operator.in_channels)
    )
    y = upsample(x, operator)[0, 0]
    first = form.crop[0]
    whole = np.concatenate([np.zeros(99), drawn, np.zeros(99)])
    assert_same(y, torch.from_numpy(whole[99 + first : 99 + first + len(y)].copy()))


@pytest.mark.parametrize("impl", [*EVERY, "auto"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_channels_last_stays_channels_last(impl, ndim):
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[ndim]
    x = torch.randn(2, 4, *(5, 7, 3)[:ndim]).contiguous(memory_format=layout)
    other = (4, 1, 4) if impl == "native" else (4, 3, 1)
    weight = torch.randn(*other[:2], *(3,) * ndim)
    for operator in (linear(2, ndim=ndim), transposed(weight, stride=2, groups=other[2])):
        y = upsample(x, operator, impl=impl)
        assert y.is_contiguous(memory_format=layout)
        assert_same(y, upsample(x.contiguous(), operator, impl=impl))
        assert upsample(x.contiguous(), operator, impl=impl).is_contiguous()


def test_even_a_map_of_one_pixel_says_its_layout_by_its_strides():
    operator = transposed(torch.randn(8, 8, 4, 4), stride=2)
    x = torch.randn(2, 8, 1, 1)
    last = torch.empty(x.shape, memory_format=torch.channels_last).copy_(x)
    assert last.stride() != x.stride()
    y = upsample(last, operator)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert not y.is_contiguous()
    assert upsample(x, operator).is_contiguous()


@pytest.mark.parametrize("impl", [*EVERY, "auto"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "operator",
    [
        cubic((2, 3)),
        transposed(torch.randn(4, 3, 3, 4), stride=(2, 3), padding=1),
        transposed(torch.randn(4, 1, 3, 4), stride=(2, 3), padding=1, groups=4),
    ],
)
def test_any_floating_dtype(impl, dtype, operator):
    if impl == "native" and operator.taps.shape[2] > 1:
        pytest.skip("native works on every channel by itself")
    x = torch.randn(2, 4, 5, 7).to(dtype)
    expected = upsample(x.double(), operator, impl="reference").to(dtype)
    assert_same(upsample(x, operator, impl=impl), expected)


@pytest.mark.parametrize("impl", EVERY)
def test_maps_that_are_not_contiguous_and_batches_of_none(impl):
    x = torch.randn(2, 7, 5, 3, dtype=torch.float64).permute(0, 3, 2, 1)
    operator = linear((2, 3))
    assert_same(upsample(x, operator, impl=impl), upsample(x.contiguous(), operator, impl=impl))
    assert upsample(x[:0], operator, impl=impl).shape == (0, 3, 10, 21)


def test_a_shared_operator_with_a_bias_serves_any_number_of_channels():
    bias = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    affine = Affine(operator=nearest(2, ndim=1), bias=bias)
    x = torch.zeros(1, 3, 2, dtype=torch.float64)
    assert torch.equal(affine(x), torch.tensor([1.0, 2.0, 1.0, 2.0]).double().expand(1, 3, 4))


@pytest.mark.parametrize("scale", [(2,), (2, 2), (2, 3), (3, 1, 2)])
def test_interleave_is_pixel_shuffle_and_deinterleave_undoes_it(scale):
    phases = int(np.prod(scale))
    x = torch.randn(2, 3 * phases, *(4, 5, 2)[: len(scale)])
    y = interleave(x, scale)
    assert torch.equal(deinterleave(y, scale), x)
    assert torch.equal(y, upsample(x, shuffle(scale, ndim=len(scale)), impl="reference"))


@pytest.mark.parametrize(
    ("x", "operator", "impl", "kind", "message"),
    [
        (
            torch.zeros(1, 3, 5),
            nearest(2),
            "auto",
            ShapeError,
            (
                "x must have shape (batch, channels, *size) with 2 spatial axes to match the operator; "
                "got shape (1, 3, 5)"
            ),
        ),
        (
            torch.zeros(1, 3, 5, 7),
            transposed(torch.zeros(4, 2, 2, 2), stride=2),
            "auto",
            ShapeError,
            "x must have 4 channels to match the operator; got shape (1, 3, 5, 7)",
        ),
        (
            torch.zeros(1, 6, 5, 7),
            shuffle(2),
            "auto",
            ShapeError,
            "x must have a multiple of 4 channels to match the operator; got shape (1, 6, 5, 7)",
        ),
        (
            torch.zeros(1, 1, 1, 7),
            transposed(torch.zeros(1, 1, 2, 2), stride=2, padding=1),
            "auto",
            ShapeError,
            (
                "the input must be large enough to leave at least one output sample per axis; got size (1, 7), "
                "which gives (0, 12) at scale (2, 2) and excess (-2, -2)"
            ),
        ),
        (
            torch.zeros(1, 1, 0, 7),
            nearest(2),
            "auto",
            ShapeError,
            (
                "the input must be large enough to leave at least one output sample per axis; got size (0, 7), "
                "which gives (0, 14) at scale (2, 2) and excess (0, 0)"
            ),
        ),
        (
            torch.zeros(1, 1, 5, 7, dtype=torch.int64),
            nearest(2),
            "auto",
            OptionError,
            "x must have a floating dtype; got torch.int64, so convert it, for instance by x.float()",
        ),
        (
            torch.zeros(1, 1, 5, 7),
            nearest(2),
            "fast",
            OptionError,
            "impl must be auto or one of reference, native, transposed, shuffle, phases; got 'fast'",
        ),
    ],
)
@pytest.mark.usefixtures("_unchecked")
def test_what_does_not_fit_is_said(x, operator, impl, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        upsample(x, operator, impl=impl)


def test_sizes_that_no_map_gives_are_said():
    message = (
        "an output size of this operator is scale * cells + excess with scale (2, 2), excess (0, 0) and at "
        "least one cell per axis; got (4, 5)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        adjoint(torch.zeros(1, 1, 4, 5), nearest(2))


def test_all_borders_were_drawn():
    assert set(BORDERS) == {"zero", "clamp", "circular"}
