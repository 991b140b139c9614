"""Hold that a survey counts what is there, and that each kind of bad data gets its sentence."""

import json
import re

import nibabel
import numpy as np
import pytest
from PIL import Image

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.survey import survey
from upstroke.errors import FileError, OptionError

SIZE = (5, 7, 6)


def volume(path, values, affine=None):
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 2, 3, 1.0]) if affine is None else affine), path)


@pytest.fixture
def data(tmp_path):
    """Three volumes with masks of the values 0 and 2."""
    for at in (1, 2, 3):
        image = np.arange(210, dtype=np.float32).reshape(SIZE) * at
        volume(tmp_path / "images" / f"{at}.nii", image)
        volume(tmp_path / "labels" / f"{at}.nii", ((image > 100 * at) * 2).astype(np.uint8))
    return tmp_path


def refused(data, words, **options):
    with pytest.raises(FileError, match=f"^{re.escape(words)}$"):
        survey(find_cases(data), **options)


def test_everything_is_counted(data):
    volume(data / "images" / "4.nii", np.full((4, 9, 8), -7, np.float32), np.diag([2, 1, 5, 1.0]))
    volume(data / "labels" / "4.nii", np.zeros((4, 9, 8), np.uint8), np.diag([2, 1, 5, 1.0]))
    seen = []
    record = survey(find_cases(data), progress=lambda done, of: seen.append((done, of))).as_json()
    ones = 3 * 109
    total = 3 * 210 + 4 * 9 * 8
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert record == {
        "cases": 4,
        "groups": 4,
        "ndim": 3,
        "channels": 1,
        "sizes": {"least": [4, 7, 6], "median": [5, 7, 6], "largest": [5, 9, 8]},
        "spacing": {"least": [1.0, 1.0, 3.0], "median": [1.0, 2.0, 3.0], "largest": [2.0, 2.0, 5.0]},
        "unit": "mm",
        "classes": [
            {"value": 0, "name": "background", "voxels": total - ones, "share": (total - ones) / total},
            {"value": 2, "name": "foreground", "voxels": ones, "share": ones / total},
        ],
        "empty": 1,
        "intensity": [-7.0, 627.0],
        "notes": [],
    }


def test_voxels_that_are_not_finite(data):
    image = np.ones(SIZE, np.float32)
    image[1, 2, 3], image[0, 0, 0] = np.nan, np.inf
    volume(data / "images" / "2.nii", image)
    refused(
        data,
        f"{data}/images/2.nii must hold finite values; 2 of its 210 voxels are NaN or infinite; fill them",
    )


def test_a_mask_of_another_size(data):
    volume(data / "labels" / "2.nii", np.zeros((5, 6, 6), np.uint8))
    refused(
        data,
        f"{data}/labels/2.nii must have the size of its image {data}/images/2.nii, 5x7x6; it has 5x6x6; resample the "
        "mask to its image",
    )


def test_a_mask_that_lies_elsewhere(data):
    mask = np.zeros(SIZE, np.uint8)
    near, far = np.diag([1, 2, 3, 1.0]), np.diag([1, 2, 3, 1.0])
    near[0, 3], far[2, 3] = 0.04, 0.06
    volume(data / "labels" / "2.nii", mask, near)
    assert survey(find_cases(data)).cases == 3
    volume(data / "labels" / "2.nii", mask, far)
    refused(
        data,
        f"{data}/labels/2.nii must lie where its image {data}/images/2.nii does; their affines put corners more than "
        "0.05 voxels apart; resample the mask to its image",
    )


def test_labels_of_no_class(data):
    known = Classes(values=(0, 1), names=("outside", "inside"))
    with pytest.raises(FileError, match=r"^3 of 3 cases cannot be used: .* voxels have the value 2; "):
        survey(find_cases(data), classes=known)
    (data / "dataset.json").write_text('{"labels": {"0": "outside", "2": "inside"}}')
    assert survey(find_cases(data)).classes == Classes(values=(0, 2), names=("outside", "inside"))
    volume(data / "labels" / "2.nii", np.full(SIZE, 3, np.uint8))
    refused(
        data,
        f"{data}/labels/2.nii: labels must be one of 0 (outside), 2 (inside); 210 voxels have the value 3; correct "
        "the mask, or train with masks that have them",
    )


def test_masks_of_one_class_alone(data):
    for at in (1, 2, 3):
        volume(data / "labels" / f"{at}.nii", np.zeros(SIZE, np.uint8))
    refused(
        data, "masks must hold two classes or more; all 3 hold only the value 0; outline something in them"
    )


def test_a_picture_in_place_of_a_mask(data):
    volume(data / "labels" / "2.nii", np.arange(210, dtype=np.int16).reshape(SIZE))
    refused(
        data,
        f"{data}/labels/2.nii must be a mask, one whole number per class; it holds 210 values, 0 to 209 as a picture "
        "does; save the mask without smoothing or shading",
    )


def test_mixed_channels_and_axes(data):
    volume(data / "images" / "2.nii", np.ones((*SIZE, 2), np.float32))
    one = f"{data}/images/2.nii must have as many channels as {data}/images/1.nii, 1; it has 2 channels; convert one"
    refused(data, one)
    volume(data / "images" / "3.nii", np.ones((5, 7), np.float32))
    other = (
        f"{data}/images/3.nii must have 3 axes of space as {data}/images/1.nii has; it has 2; take one away"
    )
    refused(data, f"2 of 3 cases cannot be used: {one}; {other}")


def test_images_that_are_too_small(data):
    assert survey(find_cases(data), least=SIZE).cases == 3
    said = (
        f"{data}/images/{{}}.nii must have 5x8x6 voxels or more for this network; it has 5x7x6; take it away or choose "
        "fewer levels"
    )
    refused(data, "3 of 3 cases cannot be used: " + "; ".join(map(said.format, (1, 2, 3))), least=(5, 8, 6))


def test_of_many_damaged_files_three_are_explained(data):
    for at in (4, 5):
        for kind in ("images", "labels"):
            (data / kind / f"{at}.nii").write_bytes((data / kind / "1.nii").read_bytes())
    for at in (1, 2, 4, 5):
        path = data / "images" / f"{at}.nii"
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileError, match=r"^4 of 5 cases cannot be used: [^\n]*; and 1 more$") as error:
        survey(find_cases(data))
    assert [f"images/{at}.nii" in str(error.value) for at in (1, 2, 4, 5)] == [True, True, True, False]


def test_images_without_masks_are_surveyed_too(tmp_path):
    Image.fromarray(np.eye(9, 13, dtype=np.uint8)).save(tmp_path / "x.png")
    found = survey(find_cases(tmp_path, labelled=False))
    assert (found.classes, found.voxels, found.unit, found.sizes.least) == (None, (), "pixel", (9, 13))
    with pytest.raises(OptionError, match=r"^a survey needs one case or more; got none; name a folder"):
        survey([])


def test_the_tumours_are_surveyed_in_one_pass(data_dir):
    found = survey(find_cases(data_dir / "medical" / "brain_tumor_coco"))
    assert (found.cases, found.groups, found.channels, found.sizes.least) == (174, 106, 3, (256, 256))
    assert found.classes == Classes(values=(0, 1), names=("background", "object"))
    assert found.empty == 0


def in_parts(folder, **categories):
    """A COCO file and a picture in each of some folders, whose every category outlines a square."""
    for part, names in categories.items():
        (folder / part).mkdir()
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(folder / part / "a.png")
        record = {
            "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 9}],
            "categories": [{"id": at, "name": name} for at, name in enumerate(names)],
            "annotations": [
                {"id": at, "image_id": 1, "category_id": at, "segmentation": [[at, 0, at + 1, 0, at + 1, 2]]}
                for at in range(len(names))
            ],
        }
        (folder / part / "_annotations.coco.json").write_text(json.dumps(record))
    return folder


def test_parts_of_a_data_set_that_number_classes_differently_are_refused(tmp_path):
    data = in_parts(tmp_path, train=["tumour"], valid=["vessel", "tumour"])
    files = [tmp_path / part / "_annotations.coco.json" for part in ("train", "valid")]
    refused(
        data,
        f"all parts of the data must name classes alike; {files[0]} calls the value 1 tumour and {files[1]} "
        "calls it vessel; give both one list",
    )


def test_classes_are_those_of_all_parts_of_a_data_set(tmp_path):
    found = survey(find_cases(in_parts(tmp_path, train=["tumour"], valid=["tumour", "vessel"])))
    assert found.classes == Classes(values=(0, 1, 2), names=("background", "tumour", "vessel"))
    assert sum(found.voxels) == 2 * 8 * 9
