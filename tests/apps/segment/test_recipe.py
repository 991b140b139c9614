"""Hold what stands beside the weights of a network: it comes back as it was, or is refused in a sentence."""

import json
import re

import pytest

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.normalise import Normalisation
from upstroke.apps.segment.recipe import SCHEMA, Recipe
from upstroke.errors import FileError, OptionError

START = "a segmentation model must say how it is applied"


def recipe(**changes):
    settings = {
        "classes": Classes(values=(0, 7, 255), names=("background", "Zellkern", "膜")),
        "channels": 2,
        "ndim": 3,
        "unet": {"in_channels": 2, "classes": 3, "ndim": 3, "strides": [[1, 2, 2], 2], "norm": "batch"},
        "normalisation": Normalisation(low=1.0, high=99.0),
        "spacing": (2.5, 1.0, 0.75),
        "patch": (8, 32, 48),
    }
    return Recipe(**settings | changes)


def test_it_comes_back_from_words_as_it_was():
    given = recipe()
    words = json.dumps(given.as_json() | {"trained_on": {"cases": 3}}, allow_nan=False)
    back = Recipe.from_json(json.loads(words), source="model.safetensors")
    assert back == given
    assert Recipe.from_json(recipe(unit="mm").as_json()).unit == "mm"
    assert back.unet["strides"] == ((1, 2, 2), 2)
    assert back.as_json() == given.as_json()
    assert given.as_json()["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ndim": 1}, "images must have 2 or 3 axes; got 1; give one of these"),
        (
            {"spacing": (1.0, 2.0)},
            "spacing must be 3 numbers above 0, one for each axis; got 1, 2; give one for each",
        ),
        (
            {"spacing": (1.0, 0.0, 2.0)},
            "spacing must be 3 numbers above 0, one for each axis; got 1, 0, 2; give one for each",
        ),
        (
            {"spacing": (1.0, float("nan"), 2.0)},
            "spacing must be 3 numbers above 0, one for each axis; got 1, nan, 2; give one for each",
        ),
        (
            {"patch": (8, 8)},
            "patch must be 3 numbers above 0, one for each axis; got 8, 8; give one for each",
        ),
        (
            {"channels": 1},
            "the network must have in_channels 1, as the images and classes have; got 2",
        ),
        (
            {"unet": {"in_channels": 2, "classes": 3}},
            "the network must have ndim 3, as the images and classes have; got 2",
        ),
        (
            {"unet": recipe().unet | {"convs": 10**8}},
            "a network has 64 convs at most; got 100000000; give fewer",
        ),
        (
            {"unet": recipe().unet | {"widths": [1] * 65}},
            "a network has 64 levels at most; got 65; give fewer",
        ),
    ],
)
def test_what_does_not_fit_each_other_is_refused(changes, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        recipe(**changes)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            {"schema": "upstroke.downscale-learned/1"},
            (
                f"{START}, with the schema {SCHEMA}; x.onnx has upstroke.downscale-learned/1; "
                "name what upstroke segment train or export wrote"
            ),
        ),
        (
            {"schema": None},
            (
                f"{START}, with the schema {SCHEMA}; x.onnx has none; "
                "name what upstroke segment train or export wrote"
            ),
        ),
        (
            {"classes": 3},
            (
                f"{START}; what x.onnx says cannot be: classes is no set of names and values; "
                "fetch it again, or train anew"
            ),
        ),
        (
            {"ndim": True},
            f"{START}; what x.onnx says cannot be: True is no whole number; fetch it again, or train anew",
        ),
        (
            {"patch": 7},
            (
                f"{START}; what x.onnx says cannot be: 'int' object is not iterable; "
                "fetch it again, or train anew"
            ),
        ),
        (
            {"channels": 5},
            (
                f"{START}; what x.onnx says cannot be: the network must have in_channels 5, as the images and "
                "classes have; got 2; fetch it again, or train anew"
            ),
        ),
    ],
)
def test_a_record_of_something_else_is_refused(broken, message):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        Recipe.from_json(recipe().as_json() | broken, source="x.onnx")


@pytest.mark.parametrize("key", sorted(recipe().as_json()))
def test_a_record_that_lacks_something_is_refused(key):
    record = recipe().as_json()
    del record[key]
    with pytest.raises(FileError) as refused:
        Recipe.from_json(record)
    assert str(refused.value).startswith(START)
