"""Hold that what predict writes of a data set is what evaluate finds, however images and masks lie in it."""

import json
import re
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image
from thresholds import thresholds_for

from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.evaluate import evaluate
from upstroke.apps.segment.predict import predict
from upstroke.errors import FileError

CLASSES = Classes(values=(0, 1, 2), names=("background", "cell", "membrane"))


@pytest.fixture
def thresholds(monkeypatch):
    """The class follows from the value: 1 above 100, 2 above 200, in the sum of channels."""

    def made(**options):
        network = thresholds_for(monkeypatch)(**options)
        network.recipe = replace(network.recipe, classes=CLASSES)
        return network

    return made


def values_of(number, size):
    """Two boxes of their own places, one of each class."""
    values = np.full(size, 20, np.uint8)
    values[1 + number % 2 : 6, 2:7], values[6:9, 3 : 9 + number % 3] = 150, 250
    return values


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 1, 3, 1])), path)
    else:
        Image.fromarray(values).save(path)


def pair(image, label, number, *, channels=0):
    """An image, or as many as it has channels whose sum it is, and its mask."""
    size = (11, 13, 5) if label.name.endswith(".nii.gz") else (17, 23)
    values = values_of(number, size)
    save(label, (values > 100).astype(np.uint8) + (values > 200))
    for channel in range(channels):
        whole = values // channels + (channel == 0) * (values % channels)
        save(image.with_name(image.name.format(channel)), whole.astype(np.uint8))
    if not channels:
        save(image, values)


def of_channels(data):
    for number, name in enumerate(("one/x", "two/x", "y")):
        file = data / "images" / f"{name}_000{{}}.nii.gz"
        pair(file, data / "labels" / f"{name}.nii.gz", number, channels=2)


def of_one_channel(data):
    for number in range(2):
        file = data / "images" / f"x{number}_000{{}}.nii.gz"
        pair(file, data / "labels" / f"x{number}.nii.gz", number, channels=1)


def nested(data):
    for number, name in enumerate(("1.png", "a/1.png", "a/b c/1.v2.png")):
        pair(data / "images" / name, data / "labels" / name, number)


def jpegs(data):
    for number, name in enumerate(("x.jpg", "y.JPEG", "a/x.jpg")):
        pair(data / "images" / name, (data / "labels" / name).with_suffix(".png"), number)


def in_parts(data):
    for number, part in enumerate(("train", "valid")):
        pair(data / part / "images" / "x.png", data / part / "masks" / "x.png", number)


def beside(data):
    for number, name in enumerate("xy"):
        pair(data / f"{name}_image.png", data / f"{name}_mask.png", number)


def channels_beside(data):
    for number, name in enumerate("xy"):
        pair(data / f"{name}_000{{}}.nii.gz", data / f"{name}_seg.nii.gz", number, channels=2)


def coco(data):
    """Boxes as polygons, in two parts, with the pictures as JPEG and PNG beside the outlines."""
    for number, part in enumerate(("train", "valid")):
        name, values = ("x.jpg", "below/y.png")[number], values_of(number, (17, 23))
        save(data / part / name, values)
        outlines = []
        for identity, least, most in ((1, 100, 200), (2, 200, 256)):
            rows, columns = np.nonzero((values > least) & (values < most))
            (top, bottom), (left, right) = (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)
            ring = [int(each) for each in (left, top, right, top, right, bottom, left, bottom)]
            outlines.append({"id": identity, "image_id": 0, "category_id": identity, "segmentation": [ring]})
        record = {
            "images": [{"id": 0, "file_name": name, "height": 17, "width": 23}],
            "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "membrane"}],
            "annotations": outlines,
        }
        (data / part / "_annotations.coco.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("layout", "source", "options", "written"),
    [
        (of_channels, "images", {"ndim": 3, "channels": 2}, ["one/x.nii.gz", "two/x.nii.gz", "y.nii.gz"]),
        (of_channels, ".", {"ndim": 3, "channels": 2}, ["one/x.nii.gz", "two/x.nii.gz", "y.nii.gz"]),
        (of_one_channel, "images", {"ndim": 3}, ["x0_0000.nii.gz", "x1_0000.nii.gz"]),
        (nested, "images", {}, ["1.png", "a/1.png", "a/b c/1.v2.png"]),
        (nested, ".", {}, ["1.png", "a/1.png", "a/b c/1.v2.png"]),
        (jpegs, "images", {}, ["a/x.png", "x.png", "y.png"]),
        (in_parts, ".", {}, ["train/x.png", "valid/x.png"]),
        (beside, ".", {}, ["x_image.png", "y_image.png"]),
        (channels_beside, ".", {"ndim": 3, "channels": 2}, ["x.nii.gz", "y.nii.gz"]),
        (coco, ".", {}, ["train/x.png", "valid/below/y.png"]),
    ],
)
def test_what_was_predicted_is_found_and_right(tmp_path, thresholds, layout, source, options, written):
    data, masks = tmp_path / "data", tmp_path / "masks"
    layout(data)
    thresholds(**options)
    predict(tmp_path, data / source, masks)
    assert sorted(path.relative_to(masks).as_posix() for path in masks.rglob("*.*")) == written
    found = evaluate(masks, data)
    record = found.as_json()
    assert record["selection"]["without_answer"] == []
    assert len(record["cases"]) == len(written)
    assert found.dice == 1.0


def test_one_file_of_several_channels_stands_for_all_of_them(tmp_path, thresholds):
    of_channels(tmp_path / "data")
    thresholds(ndim=3, channels=2)
    folder = tmp_path / "data" / "images" / "one"
    predict(tmp_path, folder / "x_0001.nii.gz", tmp_path / "mask.nii.gz")
    mask, true = (
        np.asarray(nibabel.load(path).dataobj)
        for path in (tmp_path / "mask.nii.gz", tmp_path / "data" / "labels" / "one" / "x.nii.gz")
    )
    assert (mask == true).all()
    (folder / "x_0001.nii.gz").unlink()
    message = f"{folder}: x must have 2 files, one a channel; it has 1; add them"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, folder / "x_0000.nii.gz", tmp_path / "other.nii.gz")


def test_predictions_of_other_programs_may_have_another_suffix(tmp_path):
    data, masks = tmp_path / "data", tmp_path / "masks"
    jpegs(data)
    for path in (data / "labels").rglob("*.png"):
        save(masks / path.relative_to(data / "labels").with_suffix(".tif"), np.asarray(Image.open(path)))
    assert evaluate(masks, data).dice == 1.0
    # of two the one that predict would have written is taken, and of two others none
    save(masks / "x.png", np.zeros((17, 23), np.uint8))
    assert evaluate(masks, data).dice == pytest.approx(2 / 3)
    (masks / "x.png").rename(masks / "x.bmp")
    message = f"x must have one prediction; {masks / 'x.bmp'} and x.tif both are of it; keep one"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        evaluate(masks, data)
