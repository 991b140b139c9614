"""Hold that a chain's images are those of its composition, and those that a constant leaves when it is run."""

import math
import re
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import affines, operators, seeded
from upstroke.diagnose import chain_gain, chain_response, image_gain
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


def filled(columns, scale):
    """What is listed by image as one tensor, (*scale, out, in + 1)."""
    one = next(iter(columns.values()))
    return torch.stack(
        [columns.get(image, torch.zeros_like(one)) for image in product(*(range(s) for s in scale))]
    ).reshape(*scale, *one.shape)


def bias_spectrum(affine):
    """The Fourier transform of a bias over its phases."""
    axes = tuple(range(affine.operator.ndim))
    return torch.fft.fftn(affine.bias.reshape(*affine.operator.scale, -1), dim=axes)


@given(chain=chains())
def test_the_images_of_a_chain_are_those_of_its_composition(chain):
    both = chain[0]
    for stage in chain[1:]:
        both = compose_affine(both, stage)
    operator = both.operator.expand(both.operator.in_channels).regroup(1)
    dense = image_gain(operator).response
    found = filled(chain_response(chain), operator.scale)
    assert close(found[..., :-1], dense, bound=float(dense.abs().max()))
    bias = bias_spectrum(both)
    assert close(found[..., -1], bias, bound=float(bias.abs().max()))
    gain = chain_gain(chain)
    assert gain.scale == operator.scale
    for image, level in gain.level.items():
        assert level == pytest.approx(float(dense[image].norm()))


@given(operator=operators())
def test_one_stage_has_its_image_gain(operator):
    found, expected = chain_gain([Affine(operator=operator)]), image_gain(operator)
    assert found.zero_sum == expected.zero_sum
    if not found.zero_sum and operator.phases > 1:
        assert found.worst == pytest.approx(float(expected.worst), abs=1e-6)


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
    found = filled(chain_response([up, after]), scale)[..., -1]
    y = upsample(upsample(torch.zeros(1, 6, *(9,) * ndim, dtype=torch.float64), up), after)
    middle = y[0][:, *(slice(4 * s, 5 * s) for s in scale)]
    spectrum = torch.fft.fftn(middle, dim=tuple(range(1, 1 + ndim))).movedim(0, -1)
    assert close(found, spectrum, bound=float(spectrum.abs().max()))


def uneven(channels, out, dtype=torch.float32):
    """A transposed convolution whose every second row is louder."""
    weight = torch.randn(channels, out, 4, 4, generator=seeded(0))
    weight[:, :, ::2] *= 1.5
    return Affine(operator=transposed(weight.to(dtype), stride=2, padding=1))


def mixing(channels, out, dtype=torch.float32):
    return Affine(
        operator=convolution(torch.randn(out, channels, 3, 3, generator=seeded(9)).to(dtype), padding=1)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_wide_stages_do_not_drown_a_pattern_in_their_rounding(dtype):
    chain = [*[mixing(64, 64, dtype)] * 4, uneven(64, 64, dtype), mixing(64, 3, dtype)]
    exact = [*[mixing(64, 64)] * 4, uneven(64, 64), mixing(64, 3)]
    found, expected = chain_gain(chain).worst, chain_gain(exact).worst
    assert found > -20
    assert found == pytest.approx(expected, abs=1.0)


def test_each_stage_answers_for_its_own_images():
    chain = [Affine(operator=nearest(2)), mixing(8, 8), uneven(8, 8)]
    assert chain_gain(chain, source=0).worst == -math.inf
    assert chain_gain(chain, source=2).worst == pytest.approx(chain_gain(chain).worst, abs=1e-6)
    two = [uneven(8, 8), mixing(8, 8), uneven(8, 8)]
    first = chain_gain(two, source=0).level
    # what the first one makes has its own period, and the second one's replicas of that
    assert {tuple(j % 2 for j in image) for image in first} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert (2, 0) not in first
    assert (2, 0) in chain_gain(two, source=2).level


def test_a_chain_of_many_unbalanced_stages_is_refused():
    chain = [Affine(operator=transposed(torch.tensor([[[[1.0, 2.0, 4.0]]]])[0], stride=3))] * 9
    message = (
        "a chain may have at most 4096 frequencies at which something is heard; got 6561 behind stage 7; "
        "measure a shorter chain"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        chain_gain(chain)
    assert chain_gain([Affine(operator=nearest(2, ndim=1))] * 20).worst == -math.inf


def test_a_blur_behind_an_upsampler_takes_its_images_down():
    odd = Affine(operator=transposed(torch.ones(1, 1, 3, 3), stride=2))
    blur = Affine(operator=box(1, length=2 + 1))
    assert chain_gain([odd]).worst == pytest.approx(20 * math.log10(1 / 3))
    assert chain_gain([odd, blur]).worst == pytest.approx(20 * math.log10(1 / 9))


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
    assert found.worst_bias == pytest.approx(20 * math.log10(0.5))


def test_kernels_that_sum_to_zero_are_said_apart():
    edge = Affine(operator=transposed(torch.tensor([[[1.0, -1.0]]]), stride=2))
    found = chain_gain([edge])
    assert found.zero_sum
    assert math.isnan(found.worst)
    assert max(found.level.values()) == pytest.approx(2)


def test_shared_stages_take_the_channels_that_come():
    conv = Affine(operator=convolution(torch.randn(12, 2, 3, 3, generator=seeded(5)), padding=1))
    found = chain_response([conv, Affine(operator=shuffle(2))])
    assert {tuple(columns.shape) for columns in found.values()} == {(3, 3)}


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
