"""What is wished of a network is held against the data before anything is made of it."""

import re
from dataclasses import replace

import pytest

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.planning import Wishes, design
from upstroke.apps.segment.presets import preset_named
from upstroke.apps.segment.survey import Extent, Survey
from upstroke.errors import OptionError


def found():
    def extent(*numbers):
        return Extent(least=numbers, median=numbers, largest=numbers)

    return Survey(
        cases=3,
        groups=3,
        ndim=2,
        channels=1,
        sizes=extent(120, 130),
        spacing=extent(1.0, 0.5),
        unit="mm",
        classes=Classes(values=(0, 1), names=("background", "cell")),
        masks=((9, 1),),
        intensity=(0.0, 1.0),
        notes=(),
    )


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (
            Wishes(widths=(8,)),
            "widths must be channels of two levels or more, each at least 1, such as 16,32; got 8",
        ),
        (
            Wishes(widths=(0, 4)),
            "widths must be channels of two levels or more, each at least 1, such as 16,32; got 0,4",
        ),
        (Wishes(spacing=(1.0, 1.0, 1.0)), "spacing must have a number for each of 2 axes; got 1x1x1"),
        (Wishes(patch=(9, 9, 9)), "patch must have a number for each of 2 axes; got 9x9x9"),
        (
            Wishes(patch=(99999, 99998)),
            "patch must have 2,147,483,648 voxels at most; got 99999x99998; give a smaller one",
        ),
        (
            # pools divide by 4 x 8, pixels being half as wide as they are high
            Wishes(patch=(124, 136)),
            (
                "a patch must lie in the images, the largest of which have 120x130; got 124x136; give a "
                "smaller one"
            ),
        ),
        (
            Wishes(patch=(572, 572), conv="valid"),
            (
                "a patch must lie in the images, the largest of which have 120x130; got 572x572, of which "
                "532x484 is answered; give a smaller one"
            ),
        ),
        (
            Wishes(spacing=(0.001, 0.002)),
            (
                "spacing must leave images 2,147,483,648 voxels at most; 0.001x0.002 makes 120x130 "
                "120000x32500; give a longer one"
            ),
        ),
    ],
)
def test_a_wish_that_fits_no_data_is_refused_in_a_sentence(wishes, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        design(found(), wishes.of(preset_named("tiny")), wishes)


def test_a_patch_may_be_as_large_as_what_pools_make_of_the_largest_image():
    wishes = Wishes(patch=(123, 137))
    assert design(found(), wishes.of(preset_named("tiny")), wishes).recipe.patch == (123, 137)


def test_a_wish_that_fits_is_taken():
    wishes = Wishes(widths=(2, 3), spacing=(2.0, 1.0), patch=(24, 40))
    made = design(found(), wishes.of(preset_named("tiny")), wishes)
    assert (made.recipe.spacing, made.recipe.patch) == ((2.0, 1.0), (24, 40))
    assert tuple(made.recipe.unet["widths"]) == (2, 3)


def test_spacings_in_several_units_are_refused_where_images_are_brought_to_one():
    mixed = replace(found(), unit="mixed")
    tiny = preset_named("tiny")
    assert design(mixed, tiny, Wishes()).recipe.spacing is None
    message = (
        "images that are brought to one spacing must state theirs in one unit; got several, and spacings of "
        "1x0.5 to 1x0.5; correct their headers"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        design(mixed, tiny, Wishes(spacing=(1.0, 1.0)))
    recipe = design(found(), tiny, Wishes(spacing=(1.0, 1.0))).recipe
    assert (recipe.spacing, recipe.unit) == ((1.0, 1.0), "mm")
    assert design(found(), tiny, Wishes()).recipe.unit is None
