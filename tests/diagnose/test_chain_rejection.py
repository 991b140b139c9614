import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import operators, seeded
from upstroke.diagnose import chain_rejection, image_rejection
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import (
    box,
    compose,
    convolution,
    linear,
    nearest,
    shuffle,
    transposed,
    triangle,
)

EDGE = math.tan(math.pi / 8)


@given(operators(ndims=(1, 2)))
def test_one_stage_has_its_image_rejection(operator):
    alone, known = chain_rejection([operator], source=0), image_rejection(operator)
    torch.testing.assert_close(alone.decibel, known.decibel, atol=1e-6, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("operator", "power"),
    [(nearest((2, 1)), 1), (triangle(2), 2), (linear(2), 3)],
)
def test_known_kernels(operator, power):
    assert float(chain_rejection([operator], source=0).decibel) == pytest.approx(
        20 * power * math.log10(EDGE)
    )


def drawn(seed, *shape):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


ROWS = {
    "a resize and a convolution": ([nearest((2, 3)), convolution(drawn(0, 3, 2, 3, 4), padding=1)], 0),
    "a convolution, a layer, a blur": (
        [
            convolution(drawn(1, 4, 2, 3, 1), padding=(1, 0)),
            transposed(drawn(2, 4, 3, 4, 3), stride=(2, 3), padding=1),
            box(1, length=3),
        ],
        1,
    ),
    "a grouped layer and a dense one": (
        [transposed(drawn(3, 4, 4, 4, 3), stride=(2, 1), groups=2), convolution(drawn(5, 3, 8, 1, 2))],
        0,
    ),
    "a convolution and the shuffle of its channels": (
        [convolution(drawn(8, 12, 2, 3, 1)), shuffle((2, 3))],
        1,
    ),
}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_is_heard_as_its_composition_is(name):
    stages, source = ROWS[name]
    whole = stages[0]
    for stage in stages[1:]:
        whole = compose(whole, stage)
    points = 33 if name == "a resize and a convolution" else 3
    heard = image_rejection(whole, points=points)
    said = chain_rejection(stages, source=source)
    assert float(said.decibel) == pytest.approx(float(heard.decibel), abs=1e-3)


def test_later_stages_that_grow_hear_each_replica_at_its_own_frequency():
    """The first layer's replicas pass a later linear resize as they pass a blur of its kernel's passband."""
    first, later = nearest(2, ndim=1), triangle(2, ndim=1)
    said = chain_rejection([first, later], source=0)
    # the response of 1/2 1 1/2 at the output frequency v / 2 is 1 + cos(v / 2); v = pi / 4 and 3 pi / 4
    gain = (1 + math.cos(3 * math.pi / 8)) / (1 + math.cos(math.pi / 8))
    assert float(said.decibel) == pytest.approx(20 * math.log10(EDGE * gain))


def test_earlier_stages_change_nothing_where_channels_do_not_mix():
    first, later = triangle(3, ndim=1), nearest(2, ndim=1)
    alone = chain_rejection([later], source=0)
    assert float(chain_rejection([first, later], source=1).decibel) == pytest.approx(float(alone.decibel))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_numbers_per_channel_are_put_into_the_neighbour(place):
    layer = transposed(drawn(6, 4, 2, 4, 3), stride=(2, 3), groups=2)
    blur = box(1, length=3)
    gain = convolution(drawn(7, 4, 1, 1, 1), groups=4)
    stages = [layer, blur]
    stages.insert(place, gain)
    whole = compose(compose(stages[0], stages[1]), stages[2])
    said = chain_rejection(stages, source=stages.index(layer))
    assert float(said.decibel) == pytest.approx(float(image_rejection(whole).decibel), abs=1e-6)


@given(st.integers(0, 3))
def test_many_channels_are_heard_to_a_decibel(seed):
    first = transposed(drawn(seed, 48, 40, 4, 4), stride=2, padding=1)
    second = convolution(drawn(seed + 9, 64, 40, 3, 3), padding=1)
    heard = image_rejection(compose(first, second), points=3)
    said = chain_rejection([first, second], source=0)
    assert float(said.decibel) == pytest.approx(float(heard.decibel), abs=1)


def test_wide_layers_are_heard_by_products_of_their_taps():
    wide = transposed(drawn(3, 130, 150, 4, 3).float(), stride=(2, 3), padding=1)
    heard = image_rejection(wide)
    said = chain_rejection([wide], source=0)
    assert float(said.decibel) == pytest.approx(float(heard.decibel), abs=1e-4)
    assert said.image == heard.image
    row_of_two = [nearest((2, 3)), convolution(drawn(4, 150, 130, 4, 3).float(), padding=1)]
    heard = image_rejection(compose(*row_of_two))
    assert float(chain_rejection(row_of_two, source=0).decibel) == pytest.approx(
        float(heard.decibel), abs=1e-3
    )


def test_without_replicas_there_is_nothing_to_reject():
    assert float(chain_rejection([box(1, length=3)], source=0).decibel) == -math.inf


def test_refusals():
    message = "source must be the place of one of 1 stages; got 1"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        chain_rejection([nearest(2)], source=1)
    gain = convolution(torch.ones(3, 1, 1, 1), groups=3)
    message = "each stage must take the channels that come to it, here 3; got one for 4"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        chain_rejection([transposed(torch.ones(4, 4, 2, 2), stride=2), gain], source=0)
    message = (
        "taps must be finite to have an image rejection; got NaN or infinity in 2 of 2; take a checkpoint from "
        "before they became so"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        chain_rejection([transposed(torch.full((1, 1, 2), math.nan), stride=2)], source=0)
