import math
import re

import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import sizes, tensors
from upstroke.diagnose import (
    phase_means,
    picture_subgrid_variance,
    power_spectrum,
    set_subgrid_variance,
    spectral_peaks,
)
from upstroke.diagnose.picture import _shifted
from upstroke.errors import OptionError, ShapeError

PERIODS = st.tuples(st.integers(1, 3), st.integers(2, 4))


@given(st.data(), PERIODS)
def test_it_is_the_power_at_the_image_frequencies(data, period):
    size = tuple(n * s for n, s in zip(data.draw(sizes(2)), period, strict=True))
    picture = data.draw(tensors(size))
    power = abs(scipy.fft.fftn(picture.numpy())) ** 2
    at_images = power[:: size[0] // period[0], :: size[1] // period[1]]
    assert at_images.shape == period
    expected = (at_images.sum() - at_images[0, 0]) / picture.numel() ** 2
    assert picture_subgrid_variance(picture, period).value.item() == pytest.approx(expected)


@given(st.data(), PERIODS)
def test_fields_fit_one_another(data, period):
    picture = data.draw(tensors(data.draw(sizes(2, least=4, most=11))))
    found = picture_subgrid_variance(picture, period)
    assert found.size == tuple(n // s * s for n, s in zip(picture.shape, period, strict=True))
    whole = picture[: found.size[0], : found.size[1]]
    variance = whole.var(correction=0)
    phases = period[0] * period[1]
    torch.testing.assert_close(found.relative, found.value / variance)
    torch.testing.assert_close(found.chance, variance * (phases - 1) / whole.numel())
    torch.testing.assert_close(found.ratio, found.value / found.chance)
    assert 0 <= found.relative <= 1


@given(st.data(), PERIODS)
def test_scaling_and_moving_by_whole_periods_change_what_they_should(data, period):
    size = tuple(3 * s for s in period)
    picture = data.draw(tensors(size))
    found = picture_subgrid_variance(picture, period)
    rolled = picture.roll((period[0], 2 * period[1]), (0, 1))
    torch.testing.assert_close(picture_subgrid_variance(rolled, period).value, found.value)
    louder = picture_subgrid_variance(3 * picture + 7, period)
    torch.testing.assert_close(louder.value, 9 * found.value)
    torch.testing.assert_close(louder.relative, found.relative)


def test_white_content_has_ratio_one_on_average():
    generator = torch.Generator().manual_seed(0)
    ratios = [
        picture_subgrid_variance(torch.randn(12, 18, generator=generator), (2, 3)).ratio for _ in range(400)
    ]
    # chi-squared with 5 degrees of freedom over 5: standard deviation 0.63 each
    assert torch.stack(ratios).mean().item() == pytest.approx(1, abs=0.13)


def test_stripes_and_gradients():
    stripes = torch.tensor([[0, 9]], dtype=torch.uint8).repeat(6, 5)
    found = picture_subgrid_variance(stripes, 2)
    assert (found.value.item(), found.relative.item(), found.size) == (20.25, 1.0, (6, 10))
    assert picture_subgrid_variance(stripes, (2, 1)).value == 0
    assert picture_subgrid_variance(torch.full((5, 6), 3), 2).ratio == 0
    assert picture_subgrid_variance(torch.full((5, 6), 3), 2).relative == 0


def test_phase_means_in_three_axes():
    picture = torch.arange(4 * 5 * 7).reshape(4, 5, 7)
    means = phase_means(picture, (2, 1, 3))
    assert means.shape == (2, 1, 3)
    assert means[1, 0, 2].item() == pytest.approx(picture[1::2, :5, 2:6:3].double().mean().item())


def test_a_pattern_that_all_pictures_share_is_found():
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(8, 12 + 2 * i, generator=generator) for i in range(30)]
    pattern = torch.tensor([[0.3, 0.0], [0.0, 0.3]])
    marked = [picture + pattern.repeat(4, picture.shape[1] // 2) for picture in noise]
    clean, found = set_subgrid_variance(noise, 2), set_subgrid_variance(marked, 2)
    assert clean.p_value > 0.05 > 0.01 > found.p_value
    assert found.null_mean < found.null_95 < found.null_99 < found.value
    assert (found.pictures, found.draws) == (30, 500)
    # no draw reaches it, and the value itself counts as one
    assert found.p_value.item() == pytest.approx(1 / 501)
    means = torch.stack([phase_means(picture, 2) for picture in marked]).mean(dim=0)
    torch.testing.assert_close(found.value, means.var(correction=0))


def test_the_null_keeps_what_is_not_alignment():
    """One picture is its own null: cyclic shifts do not change a variance."""
    picture = torch.rand(9, 8, generator=torch.Generator().manual_seed(1))
    found = set_subgrid_variance([picture], (3, 2), draws=20)
    for quantile in (found.null_mean, found.null_95, found.null_99):
        torch.testing.assert_close(quantile, picture_subgrid_variance(picture, (3, 2)).value)


def test_p_values_are_uniform_without_a_pattern():
    generator = torch.Generator().manual_seed(2)
    found = [
        set_subgrid_variance(list(torch.randn(10, 6, 6, generator=generator)), (2, 3), draws=99).p_value
        for _ in range(200)
    ]
    values = torch.stack(found)
    assert values.mean().item() == pytest.approx(0.5, abs=0.09)
    assert (values < 0.05).double().mean() < 0.12
    assert values.min() >= 0.01


def test_seeds_repeat_and_differ():
    pictures = list(torch.randn(5, 6, 6, generator=torch.Generator().manual_seed(3)))
    one, same, other = (set_subgrid_variance(pictures, 3, seed=seed) for seed in (1, 1, 2))
    assert one.null_mean == same.null_mean != other.null_mean
    assert one.value == other.value


@pytest.mark.parametrize(
    ("picture", "period", "error", "message"),
    [
        (
            torch.zeros(4, 5),
            1,
            OptionError,
            "period must be at least 2 on some axis; got (1, 1)",
        ),
        (
            torch.zeros(4, 2),
            (2, 3),
            ShapeError,
            "a picture must hold at least one period per axis; got shape (4, 2) for period (2, 3)",
        ),
        (
            torch.zeros(1, 3, 4, 5),
            2,
            ShapeError,
            "a picture must have 1, 2 or 3 axes, one channel at a time; got shape (1, 3, 4, 5)",
        ),
    ],
)
def test_errors(picture, period, error, message):
    for measure in (phase_means, picture_subgrid_variance):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            measure(picture, period)


def test_a_set_needs_pictures_and_draws():
    message = "at least one picture and one draw are needed; got 0 and 500"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        set_subgrid_variance([], 2)
    message = "at least one picture and one draw are needed; got 1 and 0"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        set_subgrid_variance([torch.zeros(4)], 2, draws=0)


@pytest.mark.parametrize("period", [(3, 2), (3, 3), (2, 5), (7, 7)])
def test_one_picture_says_nothing_about_alignment(period):
    for seed in range(5):
        picture = torch.rand(22, 23, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert set_subgrid_variance([picture + 100], period, draws=50).p_value == 1


@pytest.mark.parametrize("level", [0.1, 1 / 3, 1e6 + 0.1])
def test_constants_have_no_variance(level):
    picture = torch.full((9, 9), level, dtype=torch.float64)
    found = picture_subgrid_variance(picture, 3)
    assert (found.value, found.relative, found.ratio) == (0, 0, 0)
    assert phase_means(picture, 3).unique().numel() == 1
    jitter = torch.nextafter(picture, torch.tensor(math.inf, dtype=torch.float64))
    mixed = torch.where(torch.eye(3, dtype=torch.bool).repeat(3, 3), jitter, picture)
    found = picture_subgrid_variance(mixed, 3)
    assert (found.value, found.relative, found.ratio) == (0, 0, 0)
    several = set_subgrid_variance([picture, mixed, picture], 3, draws=20)
    assert (several.value, several.p_value) == (0, 1)


def test_faint_stripes_are_no_rounding():
    picture = torch.full((9, 9), 0.1, dtype=torch.float64)
    picture[::3] += 1e-12
    assert picture_subgrid_variance(picture, 3).relative == pytest.approx(1, rel=1e-3)
    assert set_subgrid_variance([picture, picture], 3).value > 0


def test_cyclic_shifts_are_rolls():
    periods = (2, 3, 4)
    index = torch.arange(24).reshape(periods)
    rolled = [
        index.roll((a, b, c), (0, 1, 2)).flatten() for a in range(2) for b in range(3) for c in range(4)
    ]
    assert torch.equal(_shifted(torch.arange(24), periods), torch.stack(rolled))


def test_the_null_is_what_shifts_of_the_phase_means_give():
    generator = torch.Generator().manual_seed(4)
    pictures = list(torch.randn(3, 2, 3, generator=generator, dtype=torch.float64))
    found = set_subgrid_variance(pictures, (2, 3), draws=4000)
    every = [
        (first + second.roll(two, (0, 1)) + third.roll(three, (0, 1))).div(3).var(correction=0)
        for first, second, third in [pictures]
        for two in [(a, b) for a in range(2) for b in range(3)]
        for three in [(a, b) for a in range(2) for b in range(3)]
    ]
    assert found.null_mean.item() == pytest.approx(torch.stack(every).mean().item(), rel=0.05)
    assert found.p_value.item() == pytest.approx(
        (torch.stack(every) >= found.value * (1 - 1e-9)).double().mean().item(), abs=0.03
    )


def test_a_long_period_needs_no_table():
    pictures = list(torch.rand(2, 100, 100, generator=torch.Generator().manual_seed(5)))
    assert set_subgrid_variance(pictures, 100, draws=2).draws == 2


def test_the_default_seed_is_zero_and_one_draw_is_enough():
    pictures = list(torch.randn(5, 6, 6, generator=torch.Generator().manual_seed(3)))
    assert set_subgrid_variance(pictures, 3).null_mean == set_subgrid_variance(pictures, 3, seed=0).null_mean
    assert set_subgrid_variance(pictures, 3, draws=1).p_value in (0.5, 1)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_pictures_must_be_finite(lost):
    picture = torch.zeros(24, 24)
    picture[1, 2] = picture[3, 3] = lost
    message = (
        "a picture must be finite to have a variance or a spectrum; got NaN or infinity in 2 of 576; mend or "
        "cut them out"
    )
    for measure in (
        phase_means,
        picture_subgrid_variance,
        spectral_peaks,
        lambda picture, period: set_subgrid_variance([picture], period),
        lambda picture, _: power_spectrum(picture),
    ):
        with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
            measure(picture, 2)
