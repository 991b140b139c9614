"""A corrected map has the means that it was given, for every form, dtype and mask, and keeps its signs."""

import re
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_by_hand import blocks, seeded
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import Correction, block_means, corrected, native

FORMS = get_args(Correction)
# of each form, and in each dtype
SOME = settings(max_examples=20)
# to rounding: what is promised of means, relative to the largest
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def wanted_means(y, scale, seed, *, positive=False):
    shape = (*y.shape[:-2], *(n // s for n, s in zip(y.shape[-2:], scale, strict=True)))
    means = torch.randn(shape, generator=seeded(seed), dtype=y.dtype)
    means = means * 10 ** (6 * torch.rand(shape, generator=seeded(seed + 1), dtype=y.dtype) - 3)
    return means.abs() + 1e-6 if positive else means


def errors(result, means, scale, weights):
    """Of every block, relative to the largest number in it; a block without weight has none."""
    found = block_means(result.double(), scale, weights=weights)
    flat = torch.where(torch.isfinite(result), result.double(), 0).abs()
    if weights is not None:
        flat = flat * (weights.expand_as(result) > 0)
    largest = block_means(flat, scale) * (scale[0] * scale[1])
    wrong = (found - means.double()).abs() / torch.maximum(means.double().abs(), largest)
    return torch.where(found.isnan() & means.isfinite(), 0, wrong)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@SOME
@given(case=blocks(), seed=st.integers(0, 2**20))
def test_block_means_are_what_they_shall_be(form, dtype, case, seed):
    y, scale, weights = case
    means = wanted_means(y, scale, seed).to(dtype)
    result = corrected(y.to(dtype), means, scale, weights=weights, form=form)
    assert result.dtype == dtype
    assert result.shape == y.shape
    assert errors(result, means, scale, weights).max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("form", ["multiplicative", "softmax"])
@SOME
@given(case=blocks(), seed=st.integers(0, 2**20))
def test_of_positive_fields_means_hold_relative_to_each_block(form, case, seed):
    y, scale, weights = case
    means = wanted_means(y, scale, seed, positive=True).float()
    result = corrected(y.abs().float(), means, scale, weights=weights, form=form)
    found = block_means(result.double(), scale, weights=weights)
    there = ~found.isnan()
    counted = torch.ones_like(y) if weights is None else weights.expand_as(y)
    assert (result[counted > 0] >= 0).all()
    torch.testing.assert_close(found[there], means.double()[there], rtol=1e-6, atol=0)


@pytest.mark.parametrize("form", ["additive", "multiplicative"])
@SOME
@given(case=blocks(), seed=st.integers(0, 2**20))
def test_a_second_correction_changes_nothing(form, case, seed):
    y, scale, weights = case
    means = wanted_means(y, scale, seed)
    once = corrected(y, means, scale, weights=weights, form=form)
    twice = corrected(once, means, scale, weights=weights, form=form)
    torch.testing.assert_close(twice, once, rtol=1e-10, atol=1e-10 * float(once.abs().max()))


@pytest.mark.parametrize("form", ["additive", "multiplicative"])
@SOME
@given(case=blocks(weighted=False))
def test_a_map_that_has_its_means_stays(form, case):
    y, scale, _ = case
    y = y.abs() if form == "multiplicative" else y
    result = corrected(y, block_means(y, scale), scale, form=form)
    torch.testing.assert_close(result, y, rtol=1e-12, atol=1e-12 * float(y.abs().max()))


def test_the_additive_form_moves_every_sample_of_a_block_alike():
    y, means = torch.randn(4, 9, generator=seeded(3)), torch.randn(2, 3, generator=seeded(4))
    moved = corrected(y, means, (2, 3)) - y
    for row in range(2):
        for column in range(3):
            block = moved[2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
            torch.testing.assert_close(block, block[:1, :1].expand_as(block))


def test_the_additive_form_loses_no_digits_of_a_block_that_stood_far_from_its_mean():
    y = 3333.0 + torch.rand(5, 6, generator=seeded(3))
    weights = torch.zeros(5, 6)
    weights[:, ::3] = 1
    means = torch.full((5, 2), 1e-3)
    result = corrected(y, means, (1, 3), weights=weights)
    # one sample of each block counts, so it is the mean
    torch.testing.assert_close(result[:, ::3], means, rtol=1e-6, atol=0)


def test_the_additive_form_finds_what_the_first_difference_has_lost():
    y = 3333.0 + torch.rand(4, 9, generator=seeded(3))
    means = torch.full((2, 3), 1e-3)
    found = block_means(corrected(y, means, (2, 3)).double(), (2, 3))
    # of samples of up to 1/2; one difference of numbers of this size leaves 1e-4
    torch.testing.assert_close(found, means.double(), rtol=0, atol=2e-7)


def test_the_multiplicative_form_keeps_zeros_and_falls_back_where_nothing_can_be_scaled():
    y = torch.tensor([[0.0, 4.0, 0.0, 0.0, 1.0, -1.0, 1e-40, 1e-40, 1.0, -0.99]])
    means = torch.tensor([[3.0, 5.0, 2.0, 1.0, 2.0]])
    result = corrected(y, means, (1, 2), form="multiplicative")
    assert result.tolist() == [[0.0, 6.0, 5.0, 5.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_the_softmax_form_is_finite_for_large_logits(dtype, offset):
    spread = 2e4 * torch.rand(3, 4, 6, generator=seeded(5)) - 1e4
    logits = (spread + offset).to(dtype).requires_grad_()
    means = torch.rand(3, 2, 2, generator=seeded(6)) + 1
    weights = (torch.arange(6) % 3 > 0).float()
    result = corrected(logits, means, (2, 3), weights=weights, form="softmax")
    result.square().sum().backward()
    assert result.isfinite().all()
    assert logits.grad.isfinite().all()
    torch.testing.assert_close(block_means(result, (2, 3), weights=weights), means, rtol=1e-6, atol=0)


def test_the_softmax_form_does_not_see_a_shift_of_its_logits():
    logits, means = torch.randn(2, 6, dtype=torch.float64, generator=seeded(7)), torch.ones(1, 2).double()
    first = corrected(logits, means, (2, 3), form="softmax")
    torch.testing.assert_close(first, corrected(logits + 50, means, (2, 3), form="softmax"))


@pytest.mark.parametrize("form", FORMS)
@SOME
@given(case=blocks(weighted=True), seed=st.integers(0, 2**20), bad=st.sampled_from((torch.nan, torch.inf)))
def test_what_does_not_count_stays_and_spoils_no_gradient(form, case, seed, bad):
    y, scale, weights = case
    counted = weights.expand_as(y) > 0
    means = wanted_means(y, scale, seed)
    clean = corrected(y, means, scale, weights=weights, form=form)
    spoilt = torch.where(counted, y, bad).requires_grad_()
    asked = means.clone().requires_grad_()
    result = corrected(spoilt, asked, scale, weights=weights, form=form)
    torch.testing.assert_close(result[counted], clean[counted])
    torch.testing.assert_close(result[~counted], spoilt[~counted], equal_nan=True)
    torch.where(counted, result, 0).sum().backward()
    assert spoilt.grad.isfinite().all()
    assert asked.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_mean_makes_its_block_missing_and_no_other(form):
    y = torch.rand(2, 6, generator=seeded(8)).requires_grad_()
    means = torch.tensor([[torch.nan, 2.0]], requires_grad=True)
    result = corrected(y, means, (2, 3), form=form)
    assert result[:, :3].isnan().all()
    torch.testing.assert_close(block_means(result, (2, 3))[0, 1], torch.tensor(2.0))
    result.nan_to_num().square().sum().backward()
    assert y.grad.isfinite().all()
    assert means.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=4)
@given(case=blocks(), seed=st.integers(0, 2**20))
def test_gradients_are_those_of_the_formula(form, case, seed):
    y, scale, weights = case
    # of one size, since differences of six orders are lost in finite differences
    y, means = y.tanh(), wanted_means(y, scale, seed).tanh()
    if form == "multiplicative":
        y = y.abs() + 0.5
    given_to = (y.requires_grad_(), means.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda y, means: corrected(y, means, scale, weights=weights, form=form),
        given_to,
        atol=1e-4,
        fast_mode=True,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_a_half_model_is_corrected_in_float32(form, half):
    y = (torch.rand(3, 4, 6, generator=seeded(9)) + 1).to(half)
    means = torch.rand(3, 2, 2, generator=seeded(10)) + 280
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = corrected(y, means, (2, 3), form=form)
    assert result.dtype == torch.float32
    torch.testing.assert_close(block_means(result, (2, 3)), means, rtol=1e-6, atol=0)
    assert corrected(y, means.to(half), (2, 3), form=form).dtype == torch.float32


@pytest.mark.parametrize("form", FORMS)
def test_totals_of_a_million_cells_are_kept_in_float32(form):
    # so many that they are corrected map by map
    y = torch.rand(3, 500, 1000, generator=seeded(11))
    means = torch.rand(3, 125, 200, generator=seeded(12)) + 280
    weights = torch.linspace(0.1, 1, 500)[:, None]
    result = corrected(y, means, (4, 5), weights=weights, form=form)
    own = weights * torch.ones(3, 1, 1)
    assert torch.equal(corrected(y, means, (4, 5), weights=own, form=form), result)
    total = (result.double() * weights).sum()
    wanted = (means.double() * (weights.reshape(125, 4).sum(1)[:, None] * 5)).sum()
    assert abs(total / wanted - 1) <= 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_without_kernels_it_is_the_same(form, monkeypatch):
    y, means = torch.rand(2, 4, 6, generator=seeded(16)), torch.rand(2, 2, 2, generator=seeded(17))
    weights = torch.rand(4, 1, generator=seeded(18))
    result = corrected(y, means, (2, 3), weights=weights, form=form)
    monkeypatch.setattr(native, "runs_on", lambda device: False)
    torch.testing.assert_close(corrected(y, means, (2, 3), weights=weights, form=form), result)


@pytest.mark.parametrize("form", FORMS)
def test_each_map_of_a_batch_is_corrected_by_itself(form):
    y, means = torch.rand(2, 3, 4, 6, generator=seeded(13)), torch.rand(2, 3, 2, 2, generator=seeded(14))
    weights = torch.rand(2, 1, 4, 6, generator=seeded(15))
    together = corrected(y, means, (2, 3), weights=weights, form=form)
    for b in range(2):
        for c in range(3):
            alone = corrected(y[b, c], means[b, c], (2, 3), weights=weights[b, 0], form=form)
            torch.testing.assert_close(together[b, c], alone)


@pytest.mark.usefixtures("_unchecked")
def test_what_does_not_fit_is_refused():
    y, means = torch.zeros(4, 6), torch.zeros(2, 2)
    message = "means must have shape (2, 2), one for each block of 2x3 samples of y; got (2, 3)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        corrected(y, torch.zeros(2, 3), (2, 3))
    message = "means must have a floating dtype; got torch.int64, so convert it by .float()"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        corrected(y, means.long(), (2, 3))


@pytest.mark.usefixtures("_unchecked")
def test_a_form_that_is_none_is_refused():
    message = "form must be one of additive, multiplicative, softmax; got 'quadratic'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        corrected(torch.zeros(2), torch.zeros(1), (2,), form="quadratic")
