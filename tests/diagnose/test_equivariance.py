import math
import re
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import operators
from upstroke.diagnose import equivariance_error, field_frequencies, kernel_transform, spectral_density
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import kaiser_sinc, linear, nearest, transposed


def by_hand(operator, w, tau):
    """The formula for one frequency and one axis, with plain numbers."""
    s = operator.scale[0]
    missed = total = 0.0
    for j in range(-s - 1, s + 2):
        output = (w + 2 * math.pi * j) / s
        if -math.pi < output <= math.pi:
            power = kernel_transform(operator, [torch.tensor([output], dtype=torch.float64)])
            power = power.abs().square().sum().item()
            missed += 4 * math.sin(math.pi * j * tau) ** 2 * power
            total += power
    return missed, total


@given(operators(ndims=(1,), max_scale=4), st.floats(-2, 2))
def test_one_axis_is_the_formula(operator, tau):
    found = equivariance_error(operator, tau, spectrum="white", points=5)
    sums = [by_hand(operator, w, tau) for w in found.frequency[0].tolist()]
    expected = [math.sqrt(missed / total) for missed, total in sums]
    assert found.by_frequency.tolist() == pytest.approx(expected, abs=1e-7)
    del sums[2]
    error = math.sqrt(sum(missed for missed, _ in sums) / sum(total for _, total in sums))
    assert found.error.item() == pytest.approx(error, abs=1e-7)


@given(operators(ndims=(2,)), st.floats(-1, 1), st.floats(-1, 1))
def test_error_is_the_weighted_mean_of_the_frequencies(operator, first, second):
    found = equivariance_error(operator, (first, second), points=(5, 7), spectrum=lambda w: 1 / w)
    assert found.by_frequency.shape == (5, 7)
    assert 0 <= found.error <= 2
    usable = found.by_frequency[~found.by_frequency.isnan()]
    assert usable.min() - 1e-12 <= found.error <= usable.max() + 1e-12


@given(operators(), st.integers(-3, 3), st.integers(-3, 3))
def test_whole_shifts_are_exact(operator, first, second):
    found = equivariance_error(operator, (first, second)[: operator.ndim], points=5)
    assert found.error < 1e-12


def test_axes_have_their_own_shift():
    # nothing moves along the first axis, and the second axis has no images
    assert equivariance_error(nearest((2, 1)), (0.0, 0.5)).error == 0
    assert equivariance_error(nearest((2, 1)), (0.5, 0.0)).error > 0.2
    assert equivariance_error(nearest((1, 3)), (0.5, 0.0)).error == 0


def test_the_sign_of_the_shift_does_not_matter_and_signs_between_axes_do_not_either():
    for shift in ((0.3, 0.2), (-0.3, -0.2), (0.3, -0.2)):
        found = equivariance_error(linear((2, 3)), shift, points=(9, 7))
        assert found.error.item() == pytest.approx(
            equivariance_error(linear((2, 3)), (0.3, 0.2), points=(9, 7)).error.item()
        )


def test_better_rejection_moves_better():
    errors = [
        equivariance_error(operator, 0.5).error.item()
        for operator in (nearest(2), linear(2), kaiser_sinc(2, radius=6))
    ]
    assert errors[0] > errors[1] > errors[2]


def test_natural_pictures_in_one_axis():
    """Means over shifts of 0.1 to 0.5 input pixels, for a periodic field of 63 pixels without its mean."""
    shifts = (0.1, 0.2, 0.3, 0.4, 0.5)
    for make, expected in ((linear, 0.0362), (nearest, 0.1545)):
        errors = [equivariance_error(make(2, ndim=1), shift).error.item() for shift in shifts]
        assert sum(errors) / 5 == pytest.approx(expected, abs=1e-4)


def test_frequencies_and_spectra():
    frequencies = field_frequencies((4, 3))
    assert [w.tolist() for w in frequencies] == [
        pytest.approx([-math.pi / 2, 0, math.pi / 2, math.pi]),
        pytest.approx([-2 * math.pi / 3, 0, 2 * math.pi / 3]),
    ]
    white, natural, own = (
        spectral_density(spectrum, frequencies) for spectrum in ("white", "1/f2", lambda w: w**3)
    )
    assert white.shape == (4, 3)
    assert white.sum() == 11
    squared = frequencies[0][:, None] ** 2 + frequencies[1] ** 2
    assert natural[1, 1] == white[1, 1] == own[1, 1] == 0
    squared[1, 1] = math.inf
    torch.testing.assert_close(natural, 1 / squared)
    squared[1, 1] = 0
    torch.testing.assert_close(own, squared**1.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"shift": (0.1, 0.2, 0.3)},
            ShapeError,
            "shift must be one number or 2 numbers, one per axis; got (0.1, 0.2, 0.3)",
        ),
        ({"shift": 0.1, "points": 2}, OptionError, "points must be at least 3 on every axis; got 2x2"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        equivariance_error(nearest(2), **arguments)


@pytest.mark.parametrize("scale", [(2, 4), (3, 2), (5, 4)])
def test_two_axes_are_the_formula_for_every_pair_of_signs(scale):
    """Which image stands within (-pi, pi] depends on the sign of each frequency, and j . tau on the image."""
    size = [s + 2 for s in scale]
    weight = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    operator, tau = transposed(weight, stride=scale), (0.3, 0.45)
    found = equivariance_error(operator, tau, points=5)
    for row, first in enumerate(found.frequency[0].tolist()):
        for column, second in enumerate(found.frequency[1].tolist()):
            missed = total = 0.0
            for j in product(*(range(-s, s + 1) for s in scale)):
                at = [(w + 2 * math.pi * i) / s for w, i, s in zip((first, second), j, scale, strict=True)]
                if all(-math.pi < w <= math.pi for w in at):
                    waves = [torch.tensor([w], dtype=torch.float64) for w in at]
                    power = kernel_transform(operator, waves).abs().square().item()
                    missed += 4 * math.sin(math.pi * (j[0] * tau[0] + j[1] * tau[1])) ** 2 * power
                    total += power
            assert found.by_frequency[row, column].item() == pytest.approx(math.sqrt(missed / total))
