import cmath
import math
import re
from itertools import product

import pytest
import torch
from hypothesis import given

from strategies import fixed_operators, operators
from upstroke.diagnose import gain_spread, image_gain, kernel_transform, mass
from upstroke.errors import OptionError
from upstroke.polyphase import balanced, kernel_form, nearest, transposed


@given(operators(ndims=(1, 2), max_scale=3))
def test_image_gain_is_the_direct_transform_of_the_kernel(operator):
    found = image_gain(operator).response
    form = kernel_form(operator)
    assert found.shape == (*operator.scale, *form.kernel.shape[:2])
    for image in product(*(range(s) for s in operator.scale)):
        direct = torch.zeros(form.kernel.shape[:2], dtype=torch.complex128)
        for element in product(*(range(n) for n in form.kernel.shape[2:])):
            angle = sum(
                2 * math.pi * j * (i - crop) / s
                for j, i, crop, s in zip(image, element, form.crop, operator.scale, strict=True)
            )
            direct += form.kernel[(..., *element)] * cmath.exp(-1j * angle)
        torch.testing.assert_close(found[image], direct)


@given(operators(ndims=(1, 2, 3), max_scale=3))
def test_image_gain_is_the_frequency_response_at_the_images(operator):
    images = [2 * math.pi * torch.arange(s, dtype=torch.float64) / s for s in operator.scale]
    response = kernel_transform(operator, images).movedim((0, 1), (-2, -1))
    torch.testing.assert_close(image_gain(operator).response, response)


@given(operators())
def test_decibels_are_norms_over_pairs_relative_to_frequency_zero(operator):
    found = image_gain(operator)
    norms = found.response.flatten(-2).abs().square().sum(-1).sqrt()
    assert not found.zero_sum
    assert found.decibel[(0,) * operator.ndim] == 0
    torch.testing.assert_close(10 ** (found.decibel / 20) * norms.flatten()[0], norms)
    torch.testing.assert_close(found.response[(0,) * operator.ndim].real, mass(operator))


@given(operators())
def test_zero_image_gain_and_equal_gains_are_one_statement(operator):
    if operator.mask.flatten(1).any(dim=1).all():
        even = balanced(operator, mass=1.0)
        assert gain_spread(even) < 1e-9
        assert image_gain(even).worst < -180
    if gain_spread(operator) > 1e-3:
        assert image_gain(operator).worst > -80


@given(fixed_operators())
def test_interpolation_has_no_image_gain(operator):
    assert image_gain(operator).worst < -280


def test_uneven_ones_have_a_third():
    found = image_gain(transposed(torch.ones(1, 1, 3), stride=2))
    assert found.worst.item() == pytest.approx(20 * math.log10(1 / 3))


def test_rounding_of_the_taps_counts_as_zero_and_more_does_not():
    weight = torch.ones(1, 1, 4)
    assert image_gain(transposed(weight, stride=2)).worst == -math.inf
    weight[0, 0, 0] += 1e-7
    assert image_gain(transposed(weight, stride=2)).worst == -math.inf
    weight[0, 0, 0] += 3e-6
    assert image_gain(transposed(weight, stride=2)).worst.item() == pytest.approx(-122, abs=1)
    assert image_gain(transposed(weight.double() + 1e-7, stride=2)).worst > -130


def test_without_a_sum_there_is_no_reference():
    found = image_gain(transposed(torch.tensor([[[1.0, -1.0, 2.0, -2.0]]]), stride=2))
    assert found.zero_sum
    assert found.decibel.isnan().all()
    assert found.worst.isnan()
    assert found.response[1].abs().item() == 6
    assert image_gain(transposed(torch.zeros(1, 1, 4), stride=2)).zero_sum


def test_without_images_nothing_is_loud():
    assert image_gain(nearest(1)).worst == -math.inf


def test_worst_is_the_loudest_image_of_all_axes():
    weight = torch.outer(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 3.0, 1.0]))[None, None]
    found = image_gain(transposed(weight, stride=(2, 3)))
    assert found.decibel.shape == (2, 3)
    assert found.worst == found.decibel[0, 1]
    assert found.worst.item() == pytest.approx(20 * math.log10(2 / 5))


@pytest.mark.parametrize(("factor", "silent"), [(0.9, True), (1.1, False)])
def test_the_threshold_is_epsilon_times_the_norm_over_pairs_of_the_sums_of_taps(factor, silent):
    # scale 3, 6 elements of one size in each of 2 x 5 pairs, so that sums are 6 times the sizes
    sizes = torch.arange(10.0).reshape(2, 5)
    sizes[1, 4] = 2**-6
    weight = sizes[..., None].repeat(1, 1, 6)
    rounding = torch.finfo(torch.float32).eps * 6 * sizes.square().sum().sqrt().item()
    # one element off by d makes an image of size d; the smallest tap has the digits for it
    weight[1, 4, 3] += factor * rounding
    assert (image_gain(transposed(weight, stride=3)).worst == -math.inf).item() is silent


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_taps_must_be_finite(lost):
    weight = torch.ones(1, 3, 4)
    weight[0, 1, 2] = lost
    message = (
        "taps must be finite to have an image gain; got NaN or infinity in 1 of 12; take a checkpoint from "
        "before they became so"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        image_gain(transposed(weight, stride=2))
