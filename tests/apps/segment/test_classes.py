"""Hold that values in masks and class numbers turn into each other, and that others are named."""

import re
from pathlib import Path

import numpy as np
import pytest

from upstroke.apps.segment.classes import Classes, inferred_classes
from upstroke.errors import FileError, OptionError
from upstroke.files.volumes import COLOUR, Volume

ODD = Classes(values=(7, -3, 300), names=("outside", "a", "b"))


def mask(values):
    return Volume(
        path=Path("m.png"),
        values=values[None],
        spacing=(1.0, 1.0),
        unit="pixel",
        affine=None,
        kind="png",
        header=None,
    )


def test_numbers_and_values_are_each_others_inverse():
    numbers = np.random.default_rng(0).integers(0, 3, (5, 7))
    values = ODD.values_of(numbers)
    assert values.dtype == np.int16
    assert (np.array(ODD.values)[numbers] == values).all()
    assert (ODD.numbers(values) == numbers).all()
    assert ODD.numbers(values).dtype == np.int64
    assert (ODD.numbers(mask(values)) == numbers).all()


def test_an_unknown_label_is_named_with_its_file():
    wrong = np.array([[7, 8, 9], [-3, 8, 300]])
    said = (
        "labels must be one of 7 (outside), -3 (a), 300 (b); 3 voxels have the values 8, 9; correct the mask, or train "
        "with masks that have them"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(said)}$"):
        ODD.numbers(wrong)
    with pytest.raises(FileError, match=f"^m.png: {re.escape(said)}$"):
        ODD.numbers(mask(wrong))


@pytest.mark.parametrize("number", [-1, 3])
def test_a_number_of_no_class_is_refused(number):
    with pytest.raises(OptionError, match=r"^class numbers are 0 to 2; got "):
        ODD.values_of(np.array([0, number]))


def test_classes_are_inferred_with_zero_or_the_least_as_background():
    assert inferred_classes({255, 0}) == Classes(values=(0, 255), names=("background", "foreground"))
    assert inferred_classes({3, 1, 2}).values == (1, 2, 3)
    assert inferred_classes({-1, 0, 2}).values == (0, -1, 2)
    assert inferred_classes({0}, {2: "b", 1: "a"}) == Classes(
        values=(0, 1, 2), names=("background", "a", "b")
    )
    assert inferred_classes({0, 1, 2}, {1: "x", 2: "x"}).names == ("background", "x 1", "x 2")
    assert inferred_classes({0, COLOUR + 0xFF0102}).names == ("background", "#ff0102")


def test_what_cannot_be_classes_is_refused():
    with pytest.raises(
        OptionError, match=r"^masks must hold two classes or more; they hold only the value 5; outline"
    ):
        inferred_classes({5})
    with pytest.raises(
        OptionError, match=r"got 256 values from 0 to 255; these look like pictures, not masks$"
    ):
        inferred_classes(range(256))
    with pytest.raises(OptionError, match=re.escape("got the values (0,)")):
        Classes(values=(0,), names=("a",))
    with pytest.raises(OptionError, match=r"got 1 names for 2 values$"):
        Classes(values=(0, 1), names=("a",))
    with pytest.raises(OptionError, match=r"got a, a; name each once$"):
        Classes(values=(0, 1), names=("a", "a"))


def test_json_and_back():
    assert Classes.from_json(ODD.as_json()) == ODD
    for record in ({}, {"values": [0, 1.5], "names": ["a", "b"]}, {"values": "01", "names": ["a", "b"]}):
        with pytest.raises(OptionError):
            Classes.from_json(record)
