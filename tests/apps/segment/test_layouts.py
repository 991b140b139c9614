"""Hold that folders as users have them become cases, and that what is missing is named."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from upstroke.apps.segment.layouts import find_cases
from upstroke.errors import FileError, OptionError
from upstroke.files.volumes import Volume

UNCLOSED = "missing ), unterminated subpattern at position 0"


def filled(folder, *names):
    """Files of these names, which are only looked at by name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def names_of(folder, **options):
    return [case.name for case in find_cases(folder, **options)]


def refused(folder, words, **options):
    with pytest.raises(FileError, match=f"^{re.escape(words)}$"):
        find_cases(folder, **options)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images", "labels"),
        ("image", "label"),
        ("imagesTr", "labelsTr"),
        ("img", "mask"),
        ("Images", "Masks"),
    ],
)
def test_two_folders_are_joined_by_name_in_natural_order(tmp_path, images, labels):
    filled(tmp_path, *(f"{images}/{name}" for name in ("10.PNG", "2.png", "a b.jpg", "._2.png", "Thumbs.db")))
    filled(tmp_path, *(f"{labels}/{name}" for name in ("10.png", "2_mask.png", "a b.tif", ".DS_Store")))
    cases = find_cases(tmp_path)
    assert [case.name for case in cases] == ["2", "10", "a b"]
    assert [case.label.name for case in cases] == ["2_mask.png", "10.png", "a b.tif"]
    assert [str(case.prediction) for case in cases] == ["2.png", "10.PNG", "a b.png"]
    assert [case.group for case in cases] == ["2", "10", "a b"]
    assert names_of(tmp_path, labelled=False) == ["2", "10", "a b"]


@pytest.mark.parametrize("nested", ["{part}/{kind}/x1.nii.gz", "{kind}/{part}/x1.nii.gz"])
def test_parts_of_a_data_set_are_told_by_their_folders(tmp_path, nested):
    for part in ("train", "valid", "test"):
        filled(tmp_path, *(nested.format(part=part, kind=kind) for kind in ("images", "labels")))
    cases = find_cases(tmp_path)
    assert [(case.name, case.part) for case in cases] == [
        ("test/x1", "test"),
        ("train/x1", "train"),
        ("valid/x1", "validation"),
    ]
    assert len({case.group for case in cases}) == 3
    assert str(cases[0].prediction) == "test/x1.nii.gz"


def test_channels_of_nnunet_make_one_image_and_test_images_need_no_masks(tmp_path):
    filled(tmp_path, *(f"imagesTr/{name}_000{at}.nii.gz" for name in "ab" for at in (0, 1)))
    filled(tmp_path, "labelsTr/a.nii.gz", "labelsTr/b.nii.gz", "imagesTs/c_0000.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "left": 1, "right": 2}}))
    cases = find_cases(tmp_path)
    assert [(case.name, len(case.images)) for case in cases] == [("a", 2), ("b", 2)]
    assert cases[0].names == ((0, "background"), (1, "left"), (2, "right"))
    assert [len(case.images) for case in find_cases(tmp_path / "imagesTr", labelled=False, channels=2)] == [
        2,
        2,
    ]
    assert names_of(tmp_path / "imagesTs", labelled=False) == ["c"]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "left"}}))
    assert find_cases(tmp_path)[0].names == ((0, "background"), (1, "left"))


def test_slices_with_numbers_of_four_digits_are_no_channels(tmp_path):
    filled(tmp_path, *(f"{kind}/s_000{at}.png" for kind in ("images", "labels") for at in range(3)))
    assert names_of(tmp_path) == ["s_0000", "s_0001", "s_0002"]
    assert names_of(tmp_path / "images", labelled=False) == ["s_0000", "s_0001", "s_0002"]


def test_masks_may_lie_beside_their_images(tmp_path):
    filled(tmp_path, "x2.png", "x2_mask.png", "x10.jpg", "x10_Label.png", "y_image.nii.gz", "y_seg.nii.gz")
    assert names_of(tmp_path) == ["x2", "x10", "y"]
    (case,) = find_cases(tmp_path / "x2.png")
    assert case.label.name == "x2_mask.png"
    assert names_of(tmp_path / "x2.png", labelled=False) == ["x2"]


def test_what_is_missing_is_named_and_counted(tmp_path):
    filled(
        tmp_path, *(f"images/{at}.png" for at in range(1, 7)), "labels/1.png", "labels/2.png", "labels/z.png"
    )
    refused(
        tmp_path,
        f"{tmp_path}: every image needs its mask; 4 of 6 images have no mask (3, 4, 5 and more) and 1 masks have no "
        "image (labels/z.png); add what is missing or take these away",
    )
    refused(
        tmp_path / "no",
        f"{tmp_path}/no must be an image or a folder of images; there is no such file or folder",
    )
    filled(tmp_path, "labels/1_mask.png")
    with pytest.raises(FileError, match=r"are both masks of 1; keep one$"):
        find_cases(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"must hold images with masks; none was found"):
        find_cases(tmp_path / "empty")
    filled(tmp_path / "bare", "images/1.png")
    refused(
        tmp_path / "bare",
        f"{tmp_path}/bare must have masks beside images; it has no folder labels or masks; add one",
    )


def test_two_images_of_one_name_are_refused(tmp_path):
    filled(tmp_path, "x.png", "x.jpg")
    with pytest.raises(FileError, match=r"have the same name, x; rename one$"):
        find_cases(tmp_path, labelled=False)


def test_links_are_followed_once(tmp_path):
    filled(tmp_path / "real", "1.png")
    (tmp_path / "data").mkdir()
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    assert names_of(tmp_path / "data") == ["1"]


def test_groups_come_from_an_expression_or_from_roboflow(tmp_path):
    filled(tmp_path, "p1_s1.png", "p1_s2.png", "p2_s1.png", "63_jpg.rf.0af.jpg")
    groups = [case.group for case in find_cases(tmp_path, labelled=False)]
    assert groups == ["p1_s1", "p1_s2", "p2_s1", "63"] or sorted(groups) == ["63", "p1_s1", "p1_s2", "p2_s1"]
    (tmp_path / "63_jpg.rf.0af.jpg").unlink()
    assert [case.group for case in find_cases(tmp_path, labelled=False, group=r"(p\d)")] == ["p1", "p1", "p2"]
    for group, words in (
        ("(", "the group must be a regular expression such as '(.*)_slice'; '(' is none: " + UNCLOSED),
        ("p", "the group must stand in brackets, as in '(.*)_slice'; 'p' has none; add them"),
        ("(q)", "the group must be found in every name; '(q)' finds none in p1_s1; widen it"),
    ):
        with pytest.raises(OptionError, match=f"^{re.escape(words)}$"):
            find_cases(tmp_path, labelled=False, group=group)


def test_channels_are_read_together_and_must_agree(tmp_path):
    filled(tmp_path, "imagesTr/a_0000.png", "imagesTr/a_0001.png", "labelsTr/a.png")
    rows = np.arange(35, dtype=np.uint8).reshape(5, 7)
    for name, values in (
        ("imagesTr/a_0000", rows),
        ("imagesTr/a_0001", rows[::-1]),
        ("labelsTr/a", rows % 2),
    ):
        Image.fromarray(np.ascontiguousarray(values)).save(tmp_path / f"{name}.png")
    (case,) = find_cases(tmp_path)
    read = case.read()
    assert isinstance(read, Volume)
    assert (read.values == np.stack([rows, rows[::-1]])).all()
    assert (case.read_labels().values == rows % 2).all()
    Image.fromarray(rows[:4]).save(tmp_path / "imagesTr" / "a_0001.png")
    with pytest.raises(FileError, match=re.escape("their sizes are (4, 7) and (5, 7); resample one")):
        case.read()


@pytest.mark.parametrize(
    ("folder", "cases", "groups", "first"),
    [
        ("msd_hippocampus", 160, 160, "hippocampus_001"),
        ("isbi2012_membrane", 24, 24, "0"),
        ("brain_tumor_coco", 174, 106, "train/0_jpg.rf.2822bba640ca555d39672f0b29ef92a3"),
        ("brain_tumor_coco/train", 154, 86, "0_jpg.rf.2822bba640ca555d39672f0b29ef92a3"),
    ],
)
def test_the_real_folders_are_taken_as_they_are(data_dir, folder, cases, groups, first):
    found = find_cases(data_dir / "medical" / folder)
    assert (len(found), len({case.group for case in found}), found[0].name) == (cases, groups, first)
    assert found[0].read_labels().size == found[0].read().size
