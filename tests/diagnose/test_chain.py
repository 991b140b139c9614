"""Hold that a chain's images are those of its composition, and those that a constant leaves when it is run."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import affines, operators, seeded
from upstroke.diagnose import chain_gain, image_gain
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import upsample
from upstroke.polyphase import Affine, box, compose_affine, convolution, nearest, shuffle, transposed


@st.composite
def chains(draw):
    """One to three affine maps whose channels fit, learned and fixed, each axis with its own scale."""
    ndim = draw(st.sampled_from((1, 2)))
    stages, channels = [], 0
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()) and stages:
            stages.append(
                Affine(operator=nearest(tuple(draw(st.integers(1, 2)) for _ in range(ndim)), ndim=ndim))
            )
            continue
        stage = draw(affines(ndims=(ndim,), max_scale=2))
        if stages and stage.operator.in_channels != channels:
            mix = torch.randn(
                stage.operator.in_channels, channels, *(1,) * ndim, generator=seeded(len(stages))
            )
            stages.append(Affine(operator=convolution(mix.double())))
        channels = stage.operator.out_channels
        stages.append(stage)
    return stages


def close(one, two, *, bound):
    return torch.allclose(one, two, rtol=0, atol=1e-9 * max(1.0, bound))


@given(chain=chains())
def test_the_images_of_a_chain_are_those_of_its_composition(chain):
    found = chain_gain(chain)
    both = chain[0]
    for stage in chain[1:]:
        both = compose_affine(both, stage)
    expected = image_gain(both.operator).response
    operator = both.operator.expand(both.operator.in_channels).regroup(1)
    dense = image_gain(operator).response
    assert found.response.shape == dense.shape
    assert close(found.response, dense, bound=float(dense.abs().max()))
    assert expected.numel() <= dense.numel()
    if both.bias is not None:
        axes = tuple(range(operator.ndim))
        bias = torch.fft.fftn(both.bias.reshape(*operator.scale, -1), dim=axes)
        assert close(found.bias, bias, bound=float(bias.abs().max()))


@given(operator=operators())
def test_one_stage_has_its_image_gain(operator):
    found, expected = chain_gain([Affine(operator=operator)]), image_gain(operator)
    assert found.zero_sum == expected.zero_sum
    if not found.zero_sum:
        finite = expected.decibel.isfinite()
        assert torch.equal(found.decibel.isfinite(), finite)
        assert torch.allclose(found.decibel[finite], expected.decibel[finite], atol=1e-6)


@pytest.mark.parametrize("scale", [(2,), (3, 2), (2, 1, 3)])
def test_the_bias_is_the_pattern_that_zeros_turn_into(scale):
    ndim, phases = len(scale), math.prod(scale)
    weight = torch.randn(6, 5, *(3,) * ndim, generator=seeded(1), dtype=torch.float64)
    bias = torch.randn(phases, 5, generator=seeded(2), dtype=torch.float64)
    up = Affine(operator=transposed(weight, stride=scale), bias=bias)
    after = Affine(
        operator=convolution(
            torch.randn(4, 5, *(3,) * ndim, generator=seeded(3), dtype=torch.float64), padding=1
        ),
        bias=torch.randn(1, 4, generator=seeded(4), dtype=torch.float64),
    )
    found = chain_gain([up, after])
    y = upsample(upsample(torch.zeros(1, 6, *(9,) * ndim, dtype=torch.float64), up), after)
    middle = y[0][:, *(slice(4 * s, 5 * s) for s in scale)]
    spectrum = torch.fft.fftn(middle, dim=tuple(range(1, 1 + ndim))).movedim(0, -1)
    assert close(found.bias, spectrum, bound=float(spectrum.abs().max()))


def test_a_blur_behind_an_upsampler_takes_its_images_down():
    odd = Affine(operator=transposed(torch.ones(1, 1, 3, 3), stride=2))
    blur = Affine(operator=box(1, length=2 + 1))
    assert float(chain_gain([odd]).worst) == pytest.approx(20 * math.log10(1 / 3))
    assert float(chain_gain([odd, blur]).worst) == pytest.approx(20 * math.log10(1 / 9))


def test_what_rounding_leaves_is_no_image():
    chain = [
        Affine(operator=nearest((2, 3))),
        Affine(operator=convolution(torch.randn(7, 5, 3, 3, generator=seeded(0)), padding=1)),
    ]
    assert chain_gain(chain).worst == -math.inf
    assert chain_gain([Affine(operator=nearest((8, 5)))]).worst == -math.inf


def test_biases_of_phases_are_an_image_of_their_own():
    bias = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    chain = [Affine(operator=nearest(2, ndim=1), bias=bias)]
    found = chain_gain(chain)
    assert found.worst == -math.inf
    # half of 1 up and down, against a constant of 1
    assert float(found.worst_bias) == pytest.approx(20 * math.log10(0.5))


def test_kernels_that_sum_to_zero_are_said_apart():
    edge = Affine(operator=transposed(torch.tensor([[[1.0, -1.0]]]), stride=2))
    found = chain_gain([edge])
    assert found.zero_sum
    assert math.isnan(found.worst)
    assert float(found.response.abs().max()) == pytest.approx(2)


def test_shared_stages_take_the_channels_that_come():
    conv = Affine(operator=convolution(torch.randn(12, 2, 3, 3, generator=seeded(5)), padding=1))
    found = chain_gain([conv, Affine(operator=shuffle(2))])
    assert found.response.shape == (2, 2, 3, 2)


def test_refusals():
    with pytest.raises(ShapeError, match=r"^a chain must have at least one stage; got none$"):
        chain_gain([])
    three = Affine(operator=convolution(torch.ones(3, 3, 1)))
    two = Affine(operator=convolution(torch.ones(2, 2, 1)))
    message = f"each stage must take the channels that come to it, here 3; got {two.operator}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        chain_gain([three, two])
    with pytest.raises(OptionError, match=r"^taps must be finite to have an image gain"):
        chain_gain([Affine(operator=convolution(torch.full((1, 1, 1), math.nan)))])
