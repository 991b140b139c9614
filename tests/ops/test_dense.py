"""Every form of a transposed convolution and of its gradients is PyTorch's layer, in every layout and dtype."""

import math
import re
from unittest import mock

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import seeded
from tolerance import assert_same
from upstroke.ops import dense, dense_choice, dense_forms
from upstroke.ops.convolutions import CONV_TRANSPOSE
from upstroke.ops.dense_choice import DenseChoice, best_form
from upstroke.ops.dense_forms import FORMS, OWN, Call
from upstroke.ops.dense_measured import MEASURED
from upstroke.ops.layout import in_layout, is_channels_last

EVERY_FORM = pytest.mark.parametrize(
    ("part", "name"), [(part, name) for part, forms in FORMS.items() for name in forms]
)
DTYPES = (torch.float64, torch.float32, torch.bfloat16)


@st.composite
def calls(draw, *, groups=(1, 1, 1, 2), most=4):
    """The numbers of a call, every axis with its own: overlapping, tiling, or on one cell."""
    ndim = draw(st.integers(1, 3))

    def per_axis(least, largest):
        return tuple(draw(st.integers(least, largest)) for _ in range(ndim))

    stride, kind = per_axis(1, 3), draw(st.sampled_from(("any", "any", "tiling", "one cell")))
    cells, none, one = per_axis(1, most), (0,) * ndim, (1,) * ndim
    weight_last = draw(st.booleans())
    group = draw(st.sampled_from(groups))
    if kind == "tiling":
        return Call(cells, stride, stride, none, none, one, group, weight_last)
    if kind == "one cell":
        return Call(one, per_axis(1, 4), stride, none, none, one, group, weight_last)
    dilation = draw(st.sampled_from((one, per_axis(1, 2))))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    call = Call(cells, per_axis(1, 4), stride, per_axis(0, 2), extra, dilation, group, weight_last)
    assume(min(call.samples) > 0)
    return call


def numbers_of(call):
    return call.stride, call.padding, call.output_padding, call.dilation


def tensors_of(call, seed, *, maps_last, dtype=torch.float64, batch=2, channels=(2, 3)):
    """A map, a weight, the gradient that comes in, and the two that PyTorch gives."""
    generator = seeded(seed)

    def normal(*shape, last):
        made = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        return in_layout(made, channels_last=last)

    into, out = channels
    x = normal(batch, into * call.groups, *call.cells, last=maps_last)
    weight = normal(into * call.groups, out, *call.kernel, last=call.weight_last)
    y = normal(batch, out * call.groups, *call.samples, last=maps_last)
    return x, weight, y


def pytorchs(x, weight, y, call):
    """Each part by PyTorch, in float64."""
    x, weight = (each.detach().double().requires_grad_() for each in (x, weight))
    ours = CONV_TRANSPOSE[call.ndim](
        x, weight, None, call.stride, call.padding, call.output_padding, call.groups, call.dilation
    )
    by_x, by_weight = torch.autograd.grad(ours, (x, weight), y.double())
    return {"forward": ours.detach(), "input gradient": by_x, "weight gradient": by_weight}


@EVERY_FORM
@given(
    call=calls(),
    seed=st.integers(0, 999),
    maps_last=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    produced=st.sampled_from((1, 30, 2**19)),
)
def test_every_form_is_pytorchs_layer(part, name, call, seed, maps_last, dtype, produced):
    """In strips of a cell, of some, and whole."""
    form = FORMS[part][name]
    assume(form.serves(call))
    x, weight, y = tensors_of(call, seed, maps_last=maps_last, dtype=dtype)
    expected = pytorchs(x, weight, y, call)[part]
    given_to = {"forward": (x, weight), "input gradient": (y, weight), "weight gradient": (x, y)}[part]
    with torch.no_grad(), mock.patch.object(dense_forms, "PRODUCED", produced):
        actual = form.run(*given_to, call)
        assert_same(actual, expected.to(dtype))
        if form.takes_bias:
            bias = torch.randn(weight.shape[1] * call.groups, generator=seeded(seed + 1)).to(dtype)
            expected = expected + bias.double().view(-1, *[1] * call.ndim)
            assert_same(form.run(*given_to, call, bias), expected.to(dtype))


@pytest.mark.parametrize("name", FORMS["weight gradient"])
def test_taps_that_draw_nothing_have_no_gradient(name):
    """PyTorch leaves what was in memory there, in bfloat16 with channels innermost."""
    call = Call((1, 1, 1), (4, 1, 3), (2, 2, 3), (2, 0, 1), (1, 1, 0), (1, 1, 1), 1, weight_last=False)
    form = FORMS["weight gradient"][name]
    if not form.serves(call):
        return
    x, weight, y = tensors_of(call, 0, maps_last=True, dtype=torch.bfloat16)
    nothing = pytorchs(x.float(), weight.float(), y.float(), call)["weight gradient"] == 0
    assert nothing.any()
    for _ in range(50):
        # memory that is free again, and not zero
        junk = [torch.full((n,), 1e20) for n in range(16, 512, 16)]
        junk.clear()
        assert not form.run(x, y, call)[nothing].any()


@pytest.mark.parametrize("batch", [1, 3])
@EVERY_FORM
def test_sums_in_bfloat16_are_rounded_once(part, name, batch):
    """Forms that may be chosen there are no further from the sum than its rounding and that of PyTorch's sums."""
    form = FORMS[part][name]
    call = Call((24, 16), (2, 3), (2, 3), (0, 0), (0, 0), (1, 1), 1, weight_last=False)
    if name == "one cell":
        call = call._replace(cells=(1, 1))
    if not form.is_exact_in(torch.bfloat16):
        assert form.is_exact_in(torch.float32)
        return
    x, weight, y = tensors_of(call, 0, maps_last=False, dtype=torch.bfloat16, batch=batch, channels=(48, 32))
    # far from zero, so that a sum in bfloat16 would lose all that is added to it late
    x, weight, y = x.abs(), weight.abs(), y.abs()
    expected = pytorchs(x, weight, y, call)[part]
    given_to = {"forward": (x, weight), "input gradient": (y, weight), "weight gradient": (x, y)}[part]
    with mock.patch.object(dense_forms, "PRODUCED", 2**12):
        actual = form.run(*given_to, call)
    assert ((actual.double() - expected).abs() <= 2**-8 * expected).all()


@given(call=calls(groups=(1,)), numbers=st.integers(1, 9), produced=st.integers(1, 60))
def test_strips_are_all_cells_and_their_samples_once(call, numbers, produced):
    call = call._replace(kernel=call.stride, dilation=(1,) * call.ndim)
    call = call._replace(padding=(0,) * call.ndim, output_padding=(0,) * call.ndim)
    places, times = [], torch.zeros(1, *call.samples)
    with mock.patch.object(dense_forms, "PRODUCED", produced):
        strips = list(dense_forms._strips(call, numbers))
    cells = torch.arange(math.prod(call.cells)).view(call.cells)
    for strip in strips:
        places += range(strip.place.start, strip.place.stop)
        times[strip.samples] += 1
        owned = cells[
            tuple(
                slice(s.start // n, s.stop // n) for s, n in zip(strip.samples[1:], call.stride, strict=True)
            )
        ]
        assert owned.shape == strip.cells
        assert owned.flatten().tolist() == list(range(strip.place.start, strip.place.stop))
        assert math.prod(strip.cells) <= math.prod(strips[0].cells)
        assert math.prod(strip.cells) * numbers <= produced or math.prod(strip.cells) == 1
    assert places == list(range(cells.numel()))
    assert (times == 1).all()


@EVERY_FORM
def test_every_form_writes_all_of_its_memory(part, name):
    """New memory is full of NaN, and what comes out has none."""
    call = Call((3, 2), (2, 4), (2, 3), (0, 0), (0, 0), (1, 1), 1, weight_last=False)
    kinds = {"tiles": call._replace(kernel=(2, 3)), "one cell": call._replace(cells=(1, 1))}
    call = kinds.get(name, call)
    x, weight, y = tensors_of(call, 0, maps_last=False)
    given_to = {"forward": (x, weight), "input gradient": (y, weight), "weight gradient": (x, y)}[part]
    torch.use_deterministic_algorithms(True)  # which fills uninitialized memory with NaN
    try:
        actual = FORMS[part][name].run(*given_to, call)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_same(actual, pytorchs(x, weight, y, call)[part])


def forced(name):
    """The operators with one form wherever it serves."""

    def best(part, batch, channels, out, call, *, channels_last, dtype):
        form = FORMS[part].get(name)
        return DenseChoice(form=name if form and form.serves(call) else OWN, reason="")

    return mock.patch.multiple(dense, best_form=best, _has_forms=lambda maps: True, WORTH_A_CHOICE=0)


NAMES = sorted({name for forms in FORMS.values() for name in forms})


@pytest.mark.parametrize("name", NAMES)
@given(call=calls(), seed=st.integers(0, 999), maps_last=st.booleans())
def test_the_operators_keep_the_layout_and_give_the_gradients(name, call, seed, maps_last):
    x, weight, y = tensors_of(call, seed, maps_last=maps_last, dtype=torch.float32)
    bias = torch.randn(weight.shape[1] * call.groups, generator=seeded(seed + 1))
    expected = pytorchs(x, weight, y, call)
    inputs = [each.requires_grad_() for each in (x, weight, bias)]
    numbers = [list(each) for each in numbers_of(call)]
    with forced(name):
        actual = torch.ops.upstroke.conv_transpose(x, weight, bias, *numbers, call.groups)
        by_x, by_weight, by_bias = torch.autograd.grad(actual, inputs, y)
    ones = [1] * call.ndim
    whole = expected["forward"] + bias.detach().double().view(-1, *ones)
    assert_same(actual.detach(), whole.float())
    assert_same(by_x, expected["input gradient"].float())
    assert_same(by_weight, expected["weight gradient"].float())
    assert_same(by_bias, y.double().sum(dim=(0, *range(2, y.ndim))).float())
    assert actual.stride() == in_layout(actual, channels_last=is_channels_last(x)).stride()
    assert by_x.stride() == in_layout(by_x, channels_last=is_channels_last(y)).stride()
    assert by_weight.stride() == in_layout(by_weight, channels_last=is_channels_last(weight)).stride()


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_any_order(name):
    kinds = {"tiles": ((2, 3), (2, 2)), "one cell": ((2, 3), (1, 1))}
    kernel, cells = kinds.get(name, ((3, 2), (2, 3)))
    call = Call(cells, kernel, (2, 3), (0, 0), (0, 0), (1, 1), 1, weight_last=False)
    x, weight, y = tensors_of(call, 0, maps_last=False, batch=1, channels=(2, 1))
    bias = torch.randn(1, dtype=torch.float64)
    for each in (x, weight, y, bias):
        each.requires_grad_()
    numbers = [list(each) for each in numbers_of(call)]
    operators = torch.ops.upstroke
    with forced(name):
        for run, inputs in (
            (lambda *both: operators.conv_transpose(*both, *numbers, 1), (x, weight, bias)),
            (
                lambda *both: operators.conv_transpose_input_gradient(*both, list(cells), *numbers, 1),
                (y, weight),
            ),
            (
                lambda *both: operators.conv_transpose_weight_gradient(
                    *both, list(kernel), *numbers, 1, False
                ),
                (x, y),
            ),
        ):
            assert torch.autograd.gradcheck(run, inputs)
            assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pytorchs_own_check_of_an_operator(ndim, last):
    call = Call(
        (3, 2, 4)[:ndim], (3, 4, 2)[:ndim], (2, 3, 1)[:ndim], *(((0,) * ndim,) * 2), (1,) * ndim, 1, last
    )
    x, weight, y = tensors_of(call, 0, maps_last=last, dtype=torch.float32)
    numbers = [list(each) for each in numbers_of(call)]
    for each in (x, weight, y):
        each.requires_grad_()
    operators = torch.ops.upstroke
    torch.library.opcheck(operators.conv_transpose.default, (x, weight, torch.zeros(3), *numbers, 1))
    torch.library.opcheck(
        operators.conv_transpose_input_gradient.default, (y, weight, list(call.cells), *numbers, 1)
    )
    torch.library.opcheck(
        operators.conv_transpose_weight_gradient.default, (x, y, list(call.kernel), *numbers, 1, last)
    )


def test_every_measured_form_is_one():
    for (part, _, _, _), rows in MEASURED.items():
        assert rows
        assert {form for _, form in rows} <= set(FORMS[part])


def test_a_choice_says_why_and_far_from_all_measured_is_pytorchs_own():
    call = Call((4, 4), (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1, weight_last=True)
    near = best_form("weight gradient", 16, 512, 256, call, channels_last=True)
    assert near.form == "taps"
    assert near.reason == (
        "weight gradient, channels-last with its weight, overlapping: "
        "fastest for 512 to 256 channels, 16 cells, 16 taps, 4 phases, batch 16"
    )
    far = best_form("forward", 16, 512, 256, call._replace(kernel=(99, 99)), channels_last=True)
    assert far.form == OWN
    assert far.reason == "forward, channels-last with its weight, overlapping: nothing like it was measured"
    grouped = best_form("weight gradient", 16, 512, 256, call._replace(groups=2), channels_last=True)
    assert grouped.form == OWN


def test_a_choice_is_made_for_the_dtype_and_takes_no_more_memory_than_pytorchs():
    call = Call((256, 256), (2, 2), (2, 2), (0, 0), (0, 0), (1, 1), 1, weight_last=False)
    measured = {
        ("forward", 2, "contiguous", "tiling"): (
            ((1, 128, 64, 65536, 4, 4), "channels-last"),
            ((1, 512, 256, 4096, 4, 4), "channels-last"),
        ),
        ("forward", 2, "contiguous, bfloat16", "tiling"): (((1, 128, 64, 65536, 4, 4), "columns"),),
        ("weight gradient", 2, "contiguous, bfloat16", "tiling"): (((1, 128, 64, 65536, 4, 4), "tiles"),),
    }

    def best(part, channels, out, dtype):
        return best_form(part, 1, channels, out, call, channels_last=False, dtype=dtype)

    best_form.cache_clear()
    with mock.patch.object(dense_choice, "MEASURED", measured):
        assert best("forward", 128, 64, torch.float32).form == "channels-last"
        # what adds rounded products is as good as PyTorch's call in float32 alone
        assert best("forward", 128, 64, torch.bfloat16).form == OWN
        assert best("weight gradient", 128, 64, torch.bfloat16) == DenseChoice(
            form="tiles",
            reason="weight gradient, contiguous, bfloat16, tiling: "
            "fastest for 128 to 64 channels, 65536 cells, 4 taps, 4 phases, batch 1",
        )
        assert best("weight gradient", 128, 64, torch.float32).form == OWN
        heavy = best_form("forward", 1, 1024, 512, call._replace(cells=(32, 32)), channels_last=False)
    assert heavy.form == OWN
    assert (
        heavy.reason
        == "forward, contiguous, tiling: channels-last would take more memory than PyTorch's call"
    )
    best_form.cache_clear()


def apply(x, weight, **settings):
    ndim = x.ndim - 2
    numbers = {"stride": (2,) * ndim, "padding": (1,) * ndim, "output_padding": (0,) * ndim}
    return dense.conv_transpose(x, weight, dilation=(1,) * ndim, **(numbers | settings))


def runs_ours(x, weight):
    with mock.patch.object(dense, "_ours", side_effect=dense._ours) as ours:
        apply(x, weight)
    return ours.called


def test_only_large_maps_that_nobody_records_leave_pytorchs_call():
    x, weight = torch.randn(16, 100, 1, 1), torch.randn(100, 512, 4, 4)
    with mock.patch.object(dense, "best_form", return_value=DenseChoice(form="contiguous", reason="")):
        assert runs_ours(x, weight)
        assert not runs_ours(x[:1, :5], weight[:5])
        assert not runs_ours(x.double(), weight.double())
        assert not runs_ours(x.half(), weight.half())
        assert not runs_ours(x.bfloat16()[:1, :5], weight.bfloat16()[:5])
        assert runs_ours(x.bfloat16(), weight.bfloat16())
        with torch.autocast("cpu", torch.bfloat16):
            assert not runs_ours(x, weight)
            assert apply(x, weight).dtype == torch.bfloat16
        with torch.autograd.forward_ad.dual_level():
            assert not runs_ours(x, weight)
        seen = []
        torch.vmap(lambda one: seen.append(runs_ours(one, weight)) or one)(x[None])
        assert seen == [False]


@pytest.mark.usefixtures("_unchecked")
def test_wrong_sizes_are_refused_as_by_pytorch():
    x, weight = torch.randn(16, 99, 8, 8), torch.randn(100, 512, 4, 4)
    with pytest.raises(RuntimeError, match=r"expected input\[16, 99, 8, 8\] to have 100 channels"):
        apply(x, weight)
    x = torch.randn(16, 100, 1, 1)
    with pytest.raises(RuntimeError) as theirs:
        CONV_TRANSPOSE[2](x, weight, stride=2, padding=9)
    with pytest.raises(RuntimeError, match=f"^{re.escape(str(theirs.value))}$"):
        apply(x, weight, padding=(9, 9))
    assert apply(torch.randn(0, 100, 8, 8), weight).shape == (0, 512, 16, 16)
