import math
import re
from itertools import product

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given

from strategies import operators
from upstroke.diagnose import frequency_response, image_rejection, kernel_transform, response_power
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import compose, cubic, identity, linear, nearest, transposed


@given(operators(ndims=(1,)))
def test_one_axis_is_what_scipy_makes_of_the_impulse_response(operator):
    impulse = operator.padded((3,), (3,))
    # kernel element i lands on sample i - crop; freqz knows no samples before 0
    taps = impulse.taps.flip(3).permute(1, 2, 3, 0).flatten(2)
    crop = operator.scale[0] * (impulse.kernel[0] - 1 - impulse.origin[0])
    found = frequency_response(operator, points=16)
    w = found.frequencies[0].numpy()
    for out in range(taps.shape[0]):
        for channel in range(taps.shape[1]):
            _, expected = scipy.signal.freqz(taps[out, channel].numpy(), worN=w)
            np.testing.assert_allclose(
                found.value[out, channel].numpy(), expected * np.exp(1j * w * crop), atol=1e-10
            )


@given(operators(ndims=(2,)))
def test_two_axes_are_scipys_transform(operator):
    taps = operator.taps.flip(3, 4)
    _, out, in_group, *kernel = taps.shape
    grid = taps.reshape(*operator.scale, out, in_group, *kernel).permute(2, 3, 4, 0, 5, 1)
    grid = grid.reshape(out, in_group, *(s * k for s, k in zip(operator.scale, kernel, strict=True)))
    points = (15, 18)
    value = torch.from_numpy(scipy.fft.fftn(grid.numpy(), s=points, axes=(2, 3)))
    found = frequency_response(operator, points=points)
    for axis, w in enumerate(found.frequencies):
        crop = operator.scale[axis] * (operator.kernel[axis] - 1 - operator.origin[axis])
        value = value.roll((points[axis] - 1) // 2, 2 + axis)
        shape = [-1 if i == axis else 1 for i in range(2)]
        value = value * torch.polar(torch.ones_like(w), w * crop).reshape(shape)
    torch.testing.assert_close(found.value, value)


def test_frequencies_run_over_the_half_open_circle():
    found = frequency_response(nearest((2, 3)), points=(4, 5))
    assert [w.tolist() for w in found.frequencies] == [
        pytest.approx([-math.pi / 2, 0, math.pi / 2, math.pi]),
        pytest.approx([2 * math.pi * i / 5 for i in range(-2, 3)]),
    ]
    assert found.value.shape == (1, 1, 4, 5)


@pytest.mark.parametrize(("ndim", "expected"), [(1, (384,)), (2, (96, 96)), (3, (24, 24, 24))])
def test_default_points_contain_the_images(ndim, expected):
    found = frequency_response(nearest(3, ndim=ndim))
    assert found.value.shape[2:] == expected
    assert min(abs(found.frequencies[0] - 2 * math.pi / 3)) < 1e-12


@given(operators(ndims=(1, 2, 3), max_scale=2))
def test_power_is_the_sum_over_channel_pairs(operator):
    frequencies = [
        torch.tensor([-1.0, 0.3, 2.0, 3.1][: 2 + axis], dtype=torch.float64) for axis in range(operator.ndim)
    ]
    expected = kernel_transform(operator, frequencies).abs().square().sum(dim=(0, 1))
    torch.testing.assert_close(response_power(operator, frequencies), expected)


def test_power_of_many_pairs_is_reduced_exactly():
    operator = transposed(torch.randn(20, 30, 3, 2, dtype=torch.float64), stride=2)
    frequencies = [torch.linspace(-3, 3, 5).double(), torch.linspace(0, 2, 4).double()]
    expected = kernel_transform(operator, frequencies).abs().square().sum(dim=(0, 1))
    torch.testing.assert_close(response_power(operator, frequencies), expected)


def test_the_response_of_a_chain_is_the_product_at_the_right_rates():
    first, second = linear(2, ndim=1), cubic(3, ndim=1)
    w = torch.linspace(-3, 3, 7).double()
    both = kernel_transform(compose(first, second), [w])
    torch.testing.assert_close(both, kernel_transform(first, [3 * w]) * kernel_transform(second, [w]))


def test_one_list_of_frequencies_per_axis():
    message = "frequencies must be one list per axis, 2 of them; got 1"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        kernel_transform(nearest(2), [torch.zeros(1)])


def test_rejection_of_nearest_and_bilinear():
    tangent = math.tan(math.pi / 8)
    for ndim in (1, 2):
        for power, make in ((1, nearest), (3, linear)):
            found = image_rejection(make(2, ndim=ndim))
            assert found.decibel.item() == pytest.approx(20 * power * math.log10(tangent))
            assert found.frequency.abs().max().item() == pytest.approx(math.pi / 2)


def test_rejection_names_the_worst_axis_frequency_and_image():
    # along both axes at once the ratios multiply, and none is above 1, so one axis alone is worst
    ratios = {}
    for s in (2, 3):
        kernel = nearest(s, ndim=1)
        for w, j in product((-math.pi / 2, -math.pi / 4, 0.0, math.pi / 4, math.pi / 2), range(1, s)):
            at = torch.tensor([w / s, (w + 2 * math.pi * j) / s], dtype=torch.float64)
            near, far = kernel_transform(kernel, [at]).abs().flatten().tolist()
            ratios[s, j, w] = far / near
    for scale in ((2, 3), (3, 1)):
        found = image_rejection(nearest(scale), points=(3, 5))
        expected = max(ratio for (s, _, _), ratio in ratios.items() if s in scale)
        assert found.decibel.item() == pytest.approx(20 * math.log10(expected))
        # the first axis has it
        j, w = found.image[0], found.frequency[0].item()
        assert ratios[scale[0], j, round_to(w, ratios)] == pytest.approx(expected)
        assert found.image[1] == 0


def round_to(w, ratios):
    """The key nearest to w."""
    return min((key for _, _, key in ratios), key=lambda key: abs(key - w))


def test_without_images_all_is_rejected():
    assert image_rejection(identity()).decibel == -math.inf


def test_what_is_no_gain_at_all_is_no_replica():
    # (1 + z)(1 - z^2): both gains are 0 at frequency 0, and their ratio is tan(w / 4) elsewhere
    found = image_rejection(transposed(torch.tensor([[[1.0, 1.0, -1.0, -1.0]]]), stride=2))
    assert found.decibel.item() == pytest.approx(20 * math.log10(math.tan(math.pi / 8)))
    assert found.frequency.abs().item() == pytest.approx(math.pi / 2)


def test_a_replica_of_nothing_is_infinitely_loud():
    found = image_rejection(transposed(torch.tensor([[[1.0, -1.0]]]), stride=2))
    assert (found.decibel.item(), found.frequency.item(), found.image) == (math.inf, 0, (1,))
    assert image_rejection(transposed(torch.zeros(1, 1, 4), stride=2)).decibel == -math.inf


def test_the_band_is_the_lower_half_on_both_sides():
    """A lopsided kernel is loudest at one end of the band, and a real one at the other end alike."""
    weight = torch.tensor([[[0.2, 0.9, 1.1, 0.3, 0.4]]], dtype=torch.float64)
    operator = transposed(weight, stride=2)
    w = torch.linspace(-math.pi / 2, math.pi / 2, 1001, dtype=torch.float64)
    near, far = (kernel_transform(operator, [(w + turn) / 2]).abs().flatten() for turn in (0, 2 * math.pi))
    found = image_rejection(operator, points=1001)
    assert found.decibel.item() == pytest.approx(20 * math.log10((far / near).max().item()))
    assert found.frequency.abs().item() == pytest.approx(math.pi / 2)


def test_rejection_wants_finite_taps():
    message = (
        "taps must be finite to have an image rejection; got NaN or infinity in 2 of 4; take a checkpoint "
        "from before they became so"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        image_rejection(transposed(torch.tensor([[[1.0, math.nan, math.inf, 1.0]]]), stride=2))


def test_default_points_are_fewer_for_many_channel_pairs():
    found = frequency_response(transposed(torch.ones(128, 100, 4, 3), stride=(2, 3)))
    # 7 points per unit of scale: 12800 pairs * 14 * 21 are below 4 million, and 16 * 24 are above
    assert found.value.shape == (100, 128, 14, 21)
    assert frequency_response(transposed(torch.ones(1, 1, 2), stride=2)).value.shape == (1, 1, 256)
    many = transposed(torch.zeros(1500, 1500, 2), stride=2)
    assert frequency_response(many).value.shape == (1500, 1500, 2)


def test_rounding_of_no_gain_is_no_replica_either():
    # (1 - z^2)(0.1 + 0.3 z + 0.7 z^2): both gains are 0 at frequency 0 but for the last bits
    operator = transposed(torch.tensor([[[0.1, 0.3, 0.6, -0.3, -0.7]]], dtype=torch.float64), stride=2)
    rest = [0.1, 0.3, 0.7]
    band = np.linspace(-math.pi / 2, math.pi / 2, 65)
    near, far = (abs(np.polyval(rest[::-1], np.exp(-1j * (band + t) / 2))) for t in (0, 2 * math.pi))
    expected = 20 * math.log10((far / near).max())
    assert image_rejection(operator).decibel.item() == pytest.approx(expected)
