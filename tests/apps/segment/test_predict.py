"""Predictions keep names, places and values; what is there stays; what is wrong is said, and nothing is cut."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from thresholds import thresholds_for

from upstroke.apps.segment.predict import predict
from upstroke.apps.segment.synthetic import synthetic_cells
from upstroke.errors import FileError, OptionError, ShapeError

AFFINE = np.array([[0, -0.7, 0.1, 3.5], [0.9, 0, 0, -80.25], [0, 0.2, 2.5, 1e-3], [0, 0, 0, 1]])


@pytest.fixture
def thresholds(monkeypatch):
    return thresholds_for(monkeypatch)


@pytest.fixture
def images(tmp_path):
    """Three pictures of odd sizes, one of them in a folder below."""
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.v2.jpg", "below/c.png")):
        drawn = synthetic_cells((33 + 2 * number, 41 - 4 * number), seed=number)
        Image.fromarray(drawn.image).save(folder / name)
    (tmp_path / "model.safetensors").write_bytes(b"")
    return folder


def expected(path):
    values = np.asarray(Image.open(path)).astype(int)
    return np.select([values > 200, values > 100], [255, 128], 0)


def test_a_folder_becomes_a_folder_with_the_same_names_and_sizes(images, tmp_path, thresholds):
    network = thresholds()
    found = predict(tmp_path / "model.safetensors", images, tmp_path / "new" / "masks", tile=16)
    masks = sorted(path for path in (tmp_path / "new").rglob("*") if path.is_file())
    names = ["a.png", "b.v2.png", "below/c.png"]
    assert [path.relative_to(tmp_path / "new/masks").as_posix() for path in masks] == names
    for mask, image in zip(masks, ("a.png", "b.v2.jpg", "below/c.png"), strict=True):
        read = Image.open(mask)
        assert read.mode == "L"
        assert (np.asarray(read) == expected(images / image)).all()
    assert network.seen == [("a.png", 16), ("b.v2.jpg", 16), ("c.png", 16)]
    record = found.as_json()
    first = record["files"][0]
    assert [one["voxels"] for one in first["classes"]] == [
        int((expected(images / "a.png") == value).sum()) for value in (0, 128, 255)
    ]
    assert sum(one["share"] for one in first["classes"]) == pytest.approx(1)
    assert {one["volume"] for one in first["classes"]} == {None}
    assert first["tiles"]["kind"] == "blended"
    assert first["tiles"]["tile"] == [16, 16]
    assert record["failed"] == record["skipped"] == []


def test_a_volume_keeps_its_affine_and_header_bit_for_bit(tmp_path, thresholds):
    thresholds(ndim=3, spacing=(1.0, 1.0, 1.0))
    values = np.random.default_rng(0).integers(0, 300, (7, 9, 5)).astype(np.int16)
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(AFFINE, code=2)
    nibabel.save(image, tmp_path / "x.nii.gz")
    (tmp_path / "run").mkdir()
    found = predict(
        tmp_path / "run", tmp_path / "x.nii.gz", tmp_path / "y.nii.gz", probabilities=tmp_path / "p"
    )
    image, mask = nibabel.load(tmp_path / "x.nii.gz"), nibabel.load(tmp_path / "y.nii.gz")
    assert mask.affine.tobytes() == image.affine.tobytes()
    for key in ("srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_y", "pixdim", "qform_code", "sform_code"):
        assert mask.header[key].tobytes() == image.header[key].tobytes(), key
    assert mask.get_data_dtype() == np.uint8
    assert (np.asarray(mask.dataobj) == np.select([values > 200, values > 100], [255, 128], 0)).all()
    soft = nibabel.load(found.files[0].probabilities)
    assert soft.shape == (7, 9, 5, 3)
    assert soft.affine.tobytes() == image.affine.tobytes()
    (one,) = found.as_json()["files"]
    assert one["volume_unit"] == "mm3"
    voxel = np.prod(image.header.get_zooms()[:3])
    assert one["classes"][2]["volume"] == pytest.approx(int((values > 200).sum()) * voxel)
    # the network reads it at its own spacing, of which the plan speaks
    zooms = image.header.get_zooms()[:3]
    assert one["tiles"]["size"] == [
        max(1, round(n * z)) for n, z in zip((7, 9, 5), map(float, zooms), strict=True)
    ]


def test_channels_in_files_of_their_own_become_one_mask(tmp_path, thresholds):
    thresholds(ndim=3, channels=2)
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(1)
    parts = random.integers(0, 150, (2, 6, 5, 7)).astype(np.int16)
    for channel, values in enumerate(parts):
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "in" / f"head_7_{channel:04d}.nii.gz")
    predict(tmp_path, tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["head_7.nii.gz"]
    mask = np.asarray(nibabel.load(tmp_path / "out" / "head_7.nii.gz").dataobj)
    assert (mask == np.select([parts.sum(0) > 200, parts.sum(0) > 100], [255, 128], 0)).all()


def test_a_folder_goes_on_behind_what_cannot_be_predicted(images, tmp_path, thresholds):
    thresholds()
    whole = (images / "a.png").read_bytes()
    (images / "a.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((3, 9), np.uint8)).save(images / "small.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(images / "colour.png")
    spoilt = np.ones((9, 8), np.float32)
    spoilt[2, 3:5] = np.nan
    tifffile.imwrite(images / "spoilt.tif", spoilt)
    found = predict(tmp_path, images, tmp_path / "masks")
    reasons = {path.name: reason for path, reason in found.failed}
    assert reasons.keys() == {"a.png", "small.png", "colour.png", "spoilt.tif"}
    assert reasons["a.png"].startswith(f"{images / 'a.png'} ")
    assert reasons["small.png"].startswith(f"{images / 'small.png'}: ")
    assert reasons["colour.png"] == (
        f"{images / 'colour.png'} must have the channels of the images of the training, 1; it has 3; convert it"
    )
    assert "finite" in reasons["spoilt.tif"] or "NaN" in reasons["spoilt.tif"]
    assert sorted(path.name for path in (tmp_path / "masks").rglob("*.*")) == ["b.v2.png", "c.png"]


def test_a_single_image_that_cannot_be_predicted_raises(tmp_path, thresholds):
    thresholds(ndim=3)
    Image.fromarray(np.zeros((9, 11), np.uint8)).save(tmp_path / "flat.png")
    message = (
        f"{tmp_path / 'flat.png'} must have 3 axes of space, as the images of the training had; it has 2, 9x11; "
        "use a model of such images"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, tmp_path / "flat.png", tmp_path / "mask.tif")
    assert not (tmp_path / "mask.tif").exists()
    # the name would fit such an image, and is not what is wrong
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, tmp_path / "flat.png", tmp_path / "mask.png")
    thresholds()
    deep = tmp_path / "deep.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 11, 5), np.int16), AFFINE), deep)
    message = (
        f"{deep} must have 2 axes of space, as the images of the training had; it has 3, 9x11x5; "
        "use a model of such images"
    )
    for name in ("mask.nii.gz", "mask.png"):
        with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
            predict(tmp_path, deep, tmp_path / name)
    Image.fromarray(np.zeros((3, 11), np.uint8)).save(tmp_path / "thin.png")
    with pytest.raises(ShapeError, match=f"^{re.escape(str(tmp_path / 'thin.png'))}: "):
        predict(tmp_path, tmp_path / "thin.png", tmp_path / "mask.png")


def test_what_is_there_is_refused_before_the_first_prediction(images, tmp_path, thresholds):
    network = thresholds()
    masks = tmp_path / "masks"
    (masks / "below").mkdir(parents=True)
    (masks / "below" / "c.png").write_bytes(b"mine")
    message = (
        f"cannot write {masks / 'below/c.png'}: it exists already; name another folder, replace them with "
        "--overwrite, or go on with --skip-existing"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, images, masks)
    assert network.seen == []
    assert not (masks / "a.png").exists()
    found = predict(tmp_path, images, masks, skip_existing=True)
    assert [path.name for path in found.skipped] == ["c.png"]
    assert len(found.files) == 2
    assert (masks / "below" / "c.png").read_bytes() == b"mine"
    predict(tmp_path, images, masks, overwrite=True)
    assert (np.asarray(Image.open(masks / "below/c.png")) == expected(images / "below/c.png")).all()
    with pytest.raises(OptionError, match="leave one out"):
        predict(tmp_path, images, masks, overwrite=True, skip_existing=True)


def test_going_on_writes_the_probabilities_that_are_missing(images, tmp_path, thresholds):
    thresholds()
    predict(tmp_path, images, tmp_path / "masks")
    before = (tmp_path / "masks" / "a.png").stat().st_ino
    found = predict(tmp_path, images, tmp_path / "masks", probabilities=tmp_path / "soft", skip_existing=True)
    assert len(found.files) == 3
    assert (tmp_path / "masks" / "a.png").stat().st_ino == before
    soft = tifffile.imread(tmp_path / "soft" / "a_probabilities.tif")
    assert soft.dtype == np.float32
    assert sorted(soft.shape) == [3, 33, 41]
    again = predict(tmp_path, images, tmp_path / "masks", probabilities=tmp_path / "soft", skip_existing=True)
    assert (len(again.files), len(again.skipped)) == (0, 3)


def test_images_are_never_replaced(images, tmp_path, thresholds):
    network = thresholds()
    before = (images / "a.png").read_bytes()
    message = f"{images / 'a.png'} is an image that is read and must not be replaced; name another folder"
    for overwrite in (True, False):
        with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
            predict(tmp_path, images, images, overwrite=overwrite)
        with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
            predict(tmp_path, images / "a.png", images / "a.png", overwrite=overwrite)
    assert network.seen == []
    assert (images / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "mask.jpg",
            "a mask with 2 axes is written as .png, .tif, .tiff, .nii.gz, .nii; got {target}; name it mask.png",
        ),
        ("model.safetensors/mask.png", "cannot write into {folder}: {folder} is no folder; name a folder"),
    ],
)
def test_what_no_mask_can_be_written_to_is_refused_first(images, tmp_path, thresholds, target, words):
    network = thresholds()
    message = words.format(target=tmp_path / target, folder=(tmp_path / target).parent)
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, images / "a.png", tmp_path / target)
    assert network.seen == []


def test_one_image_goes_into_a_folder_that_is_there(images, tmp_path, thresholds):
    thresholds()
    (tmp_path / "masks").mkdir()
    found = predict(tmp_path, images / "b.v2.jpg", tmp_path / "masks")
    assert found.files[0].target == tmp_path / "masks" / "b.v2.png"
    assert found.files[0].target.exists()


def test_a_disk_that_is_full_ends_the_run_with_whole_files_alone(images, tmp_path, thresholds, monkeypatch):
    network = thresholds()
    real = os.fsync

    def full(descriptor):
        if len(network.seen) > 1:
            raise OSError(28, os.strerror(28))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    message = (
        f"cannot write {tmp_path / 'masks/b.v2.png'}: No space left on device; free some space or choose another "
        "disk; 1 mask was written before it, which --skip-existing keeps"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, images, tmp_path / "masks")
    assert [path.name for path in (tmp_path / "masks").rglob("*") if path.is_file()] == ["a.png"]
    monkeypatch.setattr(os, "fsync", real)
    found = predict(tmp_path, images, tmp_path / "masks", skip_existing=True)
    assert (len(found.skipped), len(found.files)) == (1, 2)


def test_an_interrupt_leaves_whole_files_alone(images, tmp_path, thresholds, monkeypatch):
    network = thresholds()
    ask = network.probabilities

    def interrupted(volume, *, tile=None):
        if network.seen:
            raise KeyboardInterrupt
        return ask(volume, tile=tile)

    monkeypatch.setattr(network, "probabilities", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(tmp_path, images, tmp_path / "masks")
    assert [path.name for path in (tmp_path / "masks").rglob("*")] == ["a.png"]
    assert (np.asarray(Image.open(tmp_path / "masks/a.png")) == expected(images / "a.png")).all()


def test_a_kill_leaves_whole_masks_alone_and_the_next_call_goes_on(images, tmp_path):
    script, masks = Path(__file__).with_name("killed_predict.py"), tmp_path / "masks"
    killed = subprocess.run([sys.executable, script, tmp_path, images, masks, "1"], check=False)
    assert killed.returncode == -signal.SIGKILL
    whole = [path for path in masks.rglob("*") if path.suffix == ".png"]
    assert [path.name for path in whole] == ["a.png"]
    assert (np.asarray(Image.open(whole[0])) == expected(images / "a.png")).all()
    # what was being written is hidden, and no mask by its name
    (left,) = (path for path in masks.rglob("*") if path.is_file() and path not in whole)
    assert left.name.startswith(".upstroke-")
    before = whole[0].stat().st_ino
    subprocess.run([sys.executable, script, tmp_path, images, masks, "-1"], check=True)
    assert whole[0].stat().st_ino == before
    for mask, image in (("b.v2.png", "b.v2.jpg"), ("below/c.png", "below/c.png")):
        assert (np.asarray(Image.open(masks / mask)) == expected(images / image)).all()


def test_a_model_that_is_not_there_is_said_before_the_images_are(tmp_path, thresholds):
    thresholds()
    with pytest.raises(FileError, match="run is no model"):
        predict(tmp_path / "run", tmp_path / "nowhere", tmp_path / "masks")


def test_two_images_never_become_one_file(tmp_path, thresholds):
    network = thresholds()
    (tmp_path / "in").mkdir()
    for name in ("a.tif", "a_probabilities.tif"):
        tifffile.imwrite(tmp_path / "in" / name, np.zeros((9, 7), np.uint8))
    out = tmp_path / "out"
    first, second = (tmp_path / "in" / name for name in ("a.tif", "a_probabilities.tif"))
    message = f"{first} and {second} would both become {out / second.name}; rename one of them"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        predict(tmp_path, tmp_path / "in", out, probabilities=out)
    assert network.seen == []
