"""A drawn flower is the same for the same seed, has a middle, petals and a meadow, and fills no edge."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.synthetic import synthetic_flower
from upstroke.errors import OptionError


@given(seed=st.integers(0, 10**6), size=st.integers(16, 70))
def test_a_flower_lies_inside_and_its_meadow_around(seed, size):
    picture = synthetic_flower(size, seed=seed).astype(int)
    assert picture.shape == (size, size, 3)
    assert numpy.array_equal(picture, synthetic_flower(size, seed=seed))
    # the meadow is green, and at most a quarter lighter at the bottom than at the top
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.argmax(axis=1) == 1).all()
    assert numpy.abs(picture[0, 0] - picture[0, -1]).max() == 0
    # something that is no meadow around the middle
    middle = picture[size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1].mean(axis=(0, 1))
    assert numpy.abs(middle - corners.mean(axis=0)).max() > 25


def test_flowers_differ():
    pictures = {synthetic_flower(16, seed=seed).tobytes() for seed in range(200)}
    assert len(pictures) == 200


def test_a_flower_has_petals():
    # along a circle the outline is crossed twice for each petal
    counts = set()
    for seed in range(40):
        picture = synthetic_flower(96, seed=seed).astype(float)
        meadow = picture[0].mean(axis=0)
        is_flower = numpy.abs(picture - meadow).max(axis=2) > 40
        rows, columns = numpy.nonzero(is_flower)
        middle = rows.mean(), columns.mean()
        angles = numpy.linspace(0, 2 * numpy.pi, 400, endpoint=False)
        radius = numpy.sqrt(is_flower.sum() / numpy.pi)
        around = is_flower[
            (middle[0] + radius * numpy.sin(angles)).astype(int),
            (middle[1] + radius * numpy.cos(angles)).astype(int),
        ]
        counts.add(int((around != numpy.roll(around, 1)).sum()) // 2)
    assert {5, 6, 7, 8} <= counts


def test_a_flower_needs_pixels():
    with pytest.raises(OptionError, match=r"^a flower needs 8 pixels along each side; got 7$"):
        synthetic_flower(7, seed=0)
