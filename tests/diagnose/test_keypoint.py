import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import operators
from upstroke.diagnose import centroid, grid_of, keypoint_error, keypoint_positions, peak_sample, summarised
from upstroke.errors import OptionError
from upstroke.polyphase import cubic, linear, nearest, transposed, triangle


@given(operators())
def test_centre_of_mass_is_biased_by_centroid_minus_footprint(operator):
    found = keypoint_error(operator, sigma=1.5, positions=3)
    nominal = torch.tensor([float(offset) for offset in grid_of(operator).offset], dtype=torch.float64)
    torch.testing.assert_close(found.bias, nominal - centroid(operator))
    # far from any centre, for next to no mass, nothing is left of the digits that differ
    torch.testing.assert_close(found.spread, torch.zeros_like(found.spread), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.worst, found.bias.abs(), rtol=1e-6, atol=1e-6)


def test_a_narrow_heat_map_has_a_centre_of_its_own():
    found = keypoint_error(nearest(2, ndim=1), sigma=0.3, positions=64)
    # the first harmonic of sampling: 4 pi sigma^2 exp(-2 pi^2 sigma^2) sin(2 pi u)
    amplitude = 4 * math.pi * 0.3**2 * math.exp(-2 * math.pi**2 * 0.3**2)
    assert found.spread.item() == pytest.approx(amplitude / math.sqrt(2), rel=0.1)
    assert abs(found.bias.item()) < 1e-12


@pytest.mark.parametrize("decoder", ["centre_of_mass", "peak", "log_parabola"])
@pytest.mark.parametrize("make", [linear, cubic])
def test_symmetric_kernels_are_not_biased(make, decoder):
    found = keypoint_error(make((2, 4)), sigma=1.2, decoder=decoder, positions=(6, 8))
    # an arg-max on a tie takes the first, so only without ties
    if decoder != "peak":
        assert found.bias.abs().max() < 1e-9
    assert found.bias.shape == found.spread.shape == found.worst.shape == (1, 1, 2)


def test_peaks_are_as_coarse_as_the_samples():
    found = keypoint_error(linear(2, ndim=1), sigma=1.5, decoder="peak", positions=8)
    # samples at -1/4 and 1/4; positions at odd sixteenths
    assert found.worst.item() == pytest.approx(3 / 16)
    assert found.bias.item() == pytest.approx(0)
    assert found.spread.item() == pytest.approx(math.sqrt((1 + 9) / 2) / 16)


def test_nearest_has_ties_and_takes_the_first():
    found = keypoint_error(nearest(2, ndim=1), sigma=1.5, decoder="peak", positions=8)
    assert found.bias.item() == pytest.approx(-0.25)


def test_a_parabola_through_logarithms_reads_a_gaussian_exactly():
    # the even samples of the triangle are the cells themselves; here all samples are, as the scale is 1
    found = keypoint_error(nearest(1), sigma=1.1, decoder="log_parabola", positions=(3, 4))
    assert found.worst.max() < 1e-12
    assert keypoint_error(triangle(2), sigma=1.1, decoder="peak", positions=5).worst.max() <= 0.4 + 1e-12


def test_a_moved_kernel_moves_the_keypoint():
    weight = torch.zeros(1, 1, 3, 4, dtype=torch.float64)
    weight[0, 0, 0, 1] = 1
    operator = transposed(weight, stride=1)
    for decoder in ("centre_of_mass", "log_parabola"):
        # the element sits 1 before the middle of 3, and 1/2 before the middle of 4
        found = keypoint_error(operator, sigma=1.3, decoder=decoder, positions=4)
        assert found.bias.flatten().tolist() == pytest.approx([-1, -0.5], abs=1e-6)


def test_channel_pairs_are_read_apart():
    weight = torch.zeros(1, 2, 3, dtype=torch.float64)
    weight[0, 0, 0] = weight[0, 1, 2] = 1
    found = keypoint_error(transposed(weight, stride=1), sigma=1.0, decoder="peak", positions=5)
    assert found.bias.flatten().tolist() == pytest.approx([-1, 1])


def test_positions_fill_a_cell_evenly():
    positions = keypoint_positions((2, 3))
    assert positions.tolist() == [pytest.approx([a, b]) for a in (-0.25, 0.25) for b in (-1 / 3, 0.0, 1 / 3)]


def test_the_peak_of_a_map():
    heat = torch.zeros(2, 4, 5)
    heat[0, 2, 3] = heat[1, 1, 1] = 2
    heat[1, 1, 2] = 1
    heat[1, 1, 0] = 4.0 / 2
    assert peak_sample(heat, decoder="peak").tolist() == [[2, 3], [1, 0]]
    # neighbours that are not positive leave the peak where it is, and so does the edge
    assert peak_sample(heat, decoder="log_parabola").tolist() == [[2, 3], [1, 0]]
    line = torch.exp(-((torch.arange(6) - 2.3) ** 2) / 2)[None].double()
    assert peak_sample(line, decoder="log_parabola").item() == pytest.approx(2.3, abs=1e-6)


def test_values_equal_to_rounding_are_a_tie():
    heat = torch.tensor([[0.0, 1.0, 1.0 + 2e-16, 0.5]], dtype=torch.float64)
    assert peak_sample(heat, decoder="peak").item() == 1
    assert peak_sample(heat + torch.tensor([0, 0, 1e-9, 0]), decoder="peak").item() == 2


def test_summary():
    errors = torch.tensor([[1.0, -5.0], [3.0, 1.0]]).reshape(2, 1, 1, 2)
    found = summarised(errors)
    assert found.bias.flatten().tolist() == [2, -2]
    assert found.spread.flatten().tolist() == [1, 3]
    assert found.worst.flatten().tolist() == [3, 5]


@given(st.sampled_from([0.0, -1.0, math.nan, math.inf]))
def test_sigma_must_be_positive(sigma):
    message = f"sigma must be above 0 input pixels and finite; got {sigma}"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        keypoint_error(nearest(2), sigma=sigma)


@pytest.mark.parametrize(("decoder", "worst"), [("peak", 0.7421875), ("log_parabola", 0.4921875)])
def test_a_crop_moves_the_window_along(decoder, worst):
    for padding in (0, 1, 5, 9, 13, 21):
        operator = transposed(torch.ones(1, 1, 4), stride=2, padding=padding)
        assert keypoint_error(operator, sigma=1.5, decoder=decoder).worst.item() == worst


def brute_worst(kernel, scale, sigma, *, decoder, positions=64):
    """Sum the Gaussian sample by sample with plain numbers, over a map far wider than any window."""
    middle, worst = (len(kernel) - 1) / 2, 0.0
    for number in range(positions):
        u = (number + 0.5) / positions - 0.5
        heat = {}
        for j in range(-60, 61):
            for i, tap in enumerate(kernel):
                n = scale * j + i
                heat[n] = heat.get(n, 0.0) + tap * math.exp(-((j - u) ** 2) / (2 * sigma**2))
        top = max(heat.values())
        at = min(n for n, value in heat.items() if value >= top * (1 - 1e-14))
        if decoder == "log_parabola":
            low, mid, high = (math.log(heat[at + step]) for step in (-1, 0, 1))
            at += (low - high) / (2 * (low - 2 * mid + high))
        worst = max(worst, abs((at - middle) / scale - u))
    return worst


@pytest.mark.parametrize("decoder", ["peak", "log_parabola"])
@pytest.mark.parametrize("sigma", [0.8, 2.5])
def test_peaks_are_those_of_a_sum_by_hand(decoder, sigma):
    kernel = [0.3, 1.0, 0.8, 0.4, 0.1]
    operator = transposed(torch.tensor([[kernel]], dtype=torch.float64), stride=2, padding=1)
    found = keypoint_error(operator, sigma=sigma, decoder=decoder).worst.item()
    assert found == pytest.approx(brute_worst(kernel, 2, sigma, decoder=decoder))


@pytest.mark.parametrize("sigma", [0.8, 2.5, 6.0])
def test_differences_peak_beside_what_they_read(sigma):
    kernel = [1.0, 0.0, -2.0, 0.0, 1.0]
    operator = transposed(torch.tensor([[kernel]], dtype=torch.float64), stride=1)
    found = keypoint_error(operator, sigma=sigma, decoder="peak").worst.item()
    assert found == pytest.approx(brute_worst(kernel, 1, sigma, decoder="peak"))
    assert found > sigma


def test_many_channel_pairs_are_read_in_parts_as_alone():
    weight = torch.rand(7, 3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    operator = transposed(weight, stride=(2, 3), padding=1)
    found = keypoint_error(operator, sigma=1.5, decoder="log_parabola", positions=(25, 20))
    for out in range(3):
        for into in range(7):
            alone = transposed(weight[into, out][None, None], stride=(2, 3), padding=1)
            single = keypoint_error(alone, sigma=1.5, decoder="log_parabola", positions=(25, 20))
            torch.testing.assert_close(found.worst[out, into], single.worst[0, 0])
            torch.testing.assert_close(found.bias[out, into], single.bias[0, 0])


@pytest.mark.parametrize("decoder", ["peak", "log_parabola"])
def test_a_lost_tap_leaves_no_peak(decoder):
    weight = torch.ones(1, 1, 4)
    weight[0, 0, 3] = math.nan
    operator = transposed(weight, stride=2)
    message = (
        "taps must be finite to draw a heat map with a peak; got NaN or infinity in 1 of 4; take a "
        "checkpoint from before they became so"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        keypoint_error(operator, sigma=1.5, decoder=decoder)
    assert keypoint_error(operator, sigma=1.5).worst.isnan().all()


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_a_heat_map_must_be_finite(lost):
    message = (
        "a heat map must be finite to have a peak; got NaN or infinity in 1 of 3; look for the layer or the "
        "input that made them"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        peak_sample(torch.tensor([[1.0, lost, 0.0]]), decoder="peak")
