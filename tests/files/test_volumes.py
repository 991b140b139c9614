"""Hold that pictures and volumes are read as they are stored, and masks written like them or not at all."""

import errno
import gzip
import os
import re
import struct
import sys

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from upstroke.errors import FileError, MissingExtraError, OptionError
from upstroke.files import place
from upstroke.files.volumes import (
    COLOUR,
    prediction_name,
    probability_name,
    read_labels,
    read_volume,
    stem_of,
    write_labels,
    write_probabilities,
)

AFFINE = np.array([[-0.5, 0.1, 0, 3], [0, 1.25, 0, -7], [0.02, 0, 3, 11], [0, 0, 0, 1]])
RAMP = np.arange(35, dtype=np.uint8).reshape(5, 7)


def nifti(path, values, affine=AFFINE, **fields):
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"scanner 7"
    if "slope" in fields:
        image.header.set_slope_inter(*fields.pop("slope"))
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=2)
    nibabel.save(image, path)
    return path


def picture(path, values):
    Image.fromarray(values).save(path)
    return path


def refused(path, message, read=read_volume):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_a_nifti_volume_comes_with_affine_and_spacing(tmp_path, suffix):
    values = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    made = nifti(tmp_path / f"made{suffix.lower()}", values)
    read = read_volume(made.rename(tmp_path / f"x{suffix}"))
    assert (read.values == values[np.newaxis]).all()
    assert read.values.dtype == np.int16
    np.testing.assert_allclose(read.spacing, np.sqrt((AFFINE[:3, :3] ** 2).sum(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(read.affine, AFFINE, rtol=1e-6)
    assert (read.unit, read.kind, read.ndim, read.size) == ("mm", "nifti", 3, (3, 4, 5))


def test_channels_are_the_last_axis_of_nifti_and_slices_are_flat(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    assert (read_volume(nifti(tmp_path / "c.nii", values)).values == np.moveaxis(values, -1, 0)).all()
    read = read_volume(nifti(tmp_path / "s.nii", values[:, :, :1]))
    assert (read.values == np.moveaxis(values[:, :, 0], -1, 0)).all()
    assert len(read.spacing) == 2
    assert (
        read_volume(nifti(tmp_path / "t.nii", values[:, :, :1, :1])).values[0] == values[:, :, 0, 0]
    ).all()
    assert (
        read_volume(nifti(tmp_path / "v.nii", values[:, :, :, None])).values == np.moveaxis(values, -1, 0)
    ).all()


def test_the_slope_of_a_file_is_applied_and_either_order_of_bytes_read(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(values, AFFINE, header)
    image.header.set_slope_inter(0.25, 3)
    nibabel.save(image, tmp_path / "x.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "x.nii").values[0], values * 0.25 + 3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 7, 1)])
def test_a_mask_has_the_header_of_its_image_bit_for_bit(tmp_path, suffix, shape):
    image = nifti(tmp_path / f"x{suffix}", np.ones(shape, np.int16) * 7, slope=(0.5, 1))
    like = read_volume(image)
    labels = np.random.default_rng(1).integers(0, 3, like.size)
    target = tmp_path / f"out{suffix}"
    write_labels(target, labels, like=like)
    assert (read_labels(target).values[0] == labels).all()
    one, other = nibabel.load(image).header, nibabel.load(target).header
    kept = ["pixdim", "qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z", "descrip"]
    for field in [*kept, "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "dim"]:
        assert one[field].tobytes() == other[field].tobytes(), field
    assert other.get_data_dtype() == np.uint8
    assert nibabel.load(image).affine.tobytes() == nibabel.load(target).affine.tobytes()


def test_probabilities_are_read_back(tmp_path):
    like = read_volume(nifti(tmp_path / "x.nii.gz", np.zeros((3, 4, 5), np.int16)))
    values = np.random.default_rng(2).random((2, 3, 4, 5), dtype=np.float32)
    write_probabilities(tmp_path / "p.nii.gz", values, like=like)
    read = read_volume(tmp_path / "p.nii.gz")
    assert (read.values == values).all()
    assert read.affine.tobytes() == like.affine.tobytes()
    flat = read_volume(picture(tmp_path / "x.png", RAMP))
    for count in (2, 3, 4):
        values = np.random.default_rng(3).random((count, 5, 7), dtype=np.float32)
        write_probabilities(tmp_path / "p.tif", values, like=flat, overwrite=True)
        assert (read_volume(tmp_path / "p.tif").values == values).all()
    with pytest.raises(FileError, match=r"cannot hold probabilities, which have fractions"):
        write_probabilities(tmp_path / "p.png", values, like=flat)


def test_pictures_keep_what_they_store(tmp_path):
    deep = RAMP.astype(np.uint16) * 1000
    colours = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)
    for suffix in (".png", ".bmp", ".tif"):
        assert (read_volume(picture(tmp_path / f"x{suffix}", RAMP)).values == RAMP[None]).all()
        read = read_volume(picture(tmp_path / f"c{suffix}", colours))
        assert (read.values == np.moveaxis(colours, 2, 0)).all()
    for suffix in (".png", ".tif"):
        read = read_volume(picture(tmp_path / f"d{suffix}", deep))
        assert (read.values == deep[None]).all()
        assert read.values.dtype == np.uint16
    read = read_volume(picture(tmp_path / "x.JPG", np.full((8, 16), 90, np.uint8)))
    assert (read.kind, read.values.shape) == ("jpeg", (1, 8, 16))
    assert abs(int(read.values.max()) - 90) <= 1


def test_transparency_is_left_out_and_said(tmp_path):
    colours = np.stack([RAMP, RAMP[::-1], 255 - RAMP, RAMP], axis=2)
    for suffix in (".png", ".tif"):
        read = read_volume(picture(tmp_path / f"x{suffix}", colours))
        assert (read.values == np.moveaxis(colours[..., :3], 2, 0)).all()
        assert read.notes == ("transparency left out",)


def test_a_palette_keeps_its_indices_as_a_mask_and_shows_colours_as_an_image(tmp_path):
    image = Image.fromarray(RAMP % 3)
    image.putpalette([0, 0, 0, 200, 10, 20, 30, 40, 250] + [0] * 759)
    assert image.mode == "P"
    image.save(tmp_path / "x.png")
    assert (read_labels(tmp_path / "x.png").values[0] == RAMP % 3).all()
    assert read_volume(tmp_path / "x.png").values.shape == (3, 5, 7)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_each_colour_of_a_mask_is_a_label_and_written_as_that_colour(tmp_path, suffix):
    colours = np.zeros((5, 7, 3), np.uint8)
    colours[1, 2], colours[3, 4:], colours[0] = (255, 0, 0), (0, 0, 255), (9, 9, 9)
    path = picture(tmp_path / f"x{suffix}", colours)
    labels = read_labels(path).values[0]
    assert sorted(np.unique(labels)) == [0, 9, COLOUR + 255, COLOUR + 0xFF0000]
    write_labels(tmp_path / f"y{suffix}", labels, like=read_volume(path))
    assert (read_labels(tmp_path / f"y{suffix}").values[0] == labels).all()
    assert (read_volume(tmp_path / f"y{suffix}").values == np.moveaxis(colours, 2, 0)).all()


def test_stacks_are_volumes_and_what_imagej_and_ome_state_is_their_spacing(tmp_path):
    stack = np.arange(3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7)
    tifffile.imwrite(tmp_path / "plain.tif", stack, photometric="minisblack")
    read = read_volume(tmp_path / "plain.tif")
    assert (read.values == stack[None]).all()
    assert (read.spacing, read.unit) == ((1.0, 1.0, 1.0), "pixel")
    stated = {"axes": "ZYX", "spacing": 3.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "j.tif", stack, imagej=True, resolution=(2, 4), metadata=stated)
    read = read_volume(tmp_path / "j.tif")
    assert (read.spacing, read.unit) == ((3.0, 0.25, 0.5), "micron")
    labels = (stack % 5).astype(np.int64)
    write_labels(tmp_path / "l.tif", labels, like=read)
    again = read_labels(tmp_path / "l.tif")
    assert (again.values[0] == labels).all()
    assert (again.spacing, again.unit) == (read.spacing, read.unit)
    probabilities = np.random.default_rng(4).random((2, 3, 5, 7), dtype=np.float32)
    write_probabilities(tmp_path / "p.tif", probabilities, like=read)
    assert (read_volume(tmp_path / "p.tif").values == probabilities).all()
    stated = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.75, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "o.ome.tif", stack, metadata=stated)
    assert read_volume(tmp_path / "o.ome.tif").spacing == (2.0, 0.75, 0.5)


def test_channels_of_stacks_come_first(tmp_path):
    both = np.arange(3 * 2 * 5 * 7, dtype=np.uint16).reshape(3, 2, 5, 7)
    tifffile.imwrite(tmp_path / "x.tif", both, imagej=True, metadata={"axes": "ZCYX"})
    assert (read_volume(tmp_path / "x.tif").values == both.transpose(1, 0, 2, 3)).all()
    colours = np.arange(2 * 5 * 7 * 3, dtype=np.uint8).reshape(2, 5, 7, 3)
    tifffile.imwrite(tmp_path / "c.tif", colours, photometric="rgb")
    assert (read_volume(tmp_path / "c.tif").values == np.moveaxis(colours, -1, 0)).all()


def test_values_are_stored_in_the_smallest_integers(tmp_path):
    like = read_volume(nifti(tmp_path / "x.nii", np.zeros((2, 3, 4), np.int16)))
    for values, kind in (
        ((0, 255), np.uint8),
        ((0, 256), np.uint16),
        ((-1, 3), np.int8),
        ((0, 2**20), np.uint32),
    ):
        labels = np.resize(values, like.size)
        write_labels(tmp_path / "y.nii", labels, like=like, overwrite=True)
        assert nibabel.load(tmp_path / "y.nii").get_data_dtype() == kind
        assert (read_labels(tmp_path / "y.nii").values[0] == labels).all()


def test_masks_that_do_not_fit_are_refused(tmp_path):
    like = read_volume(picture(tmp_path / "x.png", RAMP))
    good = np.zeros((5, 7), np.int64)
    with pytest.raises(
        OptionError, match=re.escape(f"labels for {like.path} must have its size, (5, 7); got (7, 5)")
    ):
        write_labels(tmp_path / "y.png", good.T, like=like)
    for name, labels, words in (
        (
            "y.jpg",
            good,
            "cannot hold a mask, whose values must be kept exactly; name a .png, .tif or .nii.gz file",
        ),
        ("y.png", good - 1, "holds values of 0 to 65535 or colours; got -1 to 0; name a .tif or .nii.gz"),
        (
            "y.png",
            good + 70000,
            "holds values of 0 to 65535 or colours; got 0 to 70000; name a .tif or .nii.gz",
        ),
        ("x.png", good, "it exists already; choose another name or allow overwriting"),
    ):
        with pytest.raises(FileError, match=re.escape(words) + "$"):
            write_labels(tmp_path / name, labels, like=like)
    assert sorted(os.listdir(tmp_path)) == ["x.png"]


def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch):
    like = read_volume(nifti(tmp_path / "x.nii.gz", np.zeros((2, 3, 4), np.int16)))

    def full(descriptor, pieces):
        os.close(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, "_write_through", full)
    target = tmp_path / "y.nii.gz"
    message = f"cannot write {target}: No space left on device; free some space or choose another disk"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        write_labels(target, np.zeros((2, 3, 4), np.int64), like=like)
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        write_probabilities(target, np.zeros((2, 2, 3, 4), np.float32), like=like)
    assert os.listdir(tmp_path) == ["x.nii.gz"]


def test_every_cut_of_a_volume_is_refused_in_one_sentence(tmp_path):
    values = np.random.default_rng(5).integers(0, 999, (6, 7, 8)).astype(np.int16)
    for suffix in (".nii", ".nii.gz"):
        whole = nifti(tmp_path / f"x{suffix}", values).read_bytes()
        cut = tmp_path / f"cut{suffix}"
        for end in (1, 3, 200, 349, len(whole) // 2, len(whole) - 1):
            cut.write_bytes(whole[:end])
            with pytest.raises(FileError, match=r"^[^\n]*copy it again$|^[^\n]*convert it$"):
                read_volume(cut)
    damaged = bytearray(gzip.compress((tmp_path / "x.nii").read_bytes(), compresslevel=0))
    damaged[600] ^= 4
    cut.write_bytes(damaged)
    with pytest.raises(FileError, match=r"CRC check failed"):
        read_volume(cut)


def test_headers_that_promise_too_much_are_refused_before_room_is_made(tmp_path):
    path = nifti(tmp_path / "x.nii.gz", np.zeros((2, 3, 4), np.int16))
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[42:48] = struct.pack("<3h", 30000, 30000, 3000)
    path.write_bytes(gzip.compress(raw))
    promised, stored = 30000 * 30000 * 3000 * 2, path.stat().st_size
    refused(
        path,
        f"{path} promises {promised} bytes of voxels and its {stored} bytes cannot hold them; it is cut off or "
        "damaged; copy it again",
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".nii", ".nii.gz", ".bmp"])
def test_files_of_noise_folders_devices_and_nothing_are_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    refused(path, f"{path} must be a picture or a volume; there is no such file")
    path.write_bytes(b"")
    refused(path, f"{path} must be a picture or a volume; it is empty (0 bytes); copy it again")
    path.write_bytes(np.random.default_rng(6).bytes(999))
    with pytest.raises(FileError, match=f"^{re.escape(str(path))} [^\n]*$"):
        read_volume(path)
    path.unlink()
    path.mkdir()
    refused(path, f"{path} must be a picture or a volume; it is a folder; name a file")
    path.rmdir()
    os.mkfifo(path)
    refused(path, f"{path} must be a picture or a volume; it is a device or a pipe; name a file")


def test_a_cut_picture_is_refused(tmp_path):
    noise = np.random.default_rng(7).integers(0, 255, (40, 50)).astype(np.uint8)
    for suffix in (".png", ".jpg", ".tif", ".bmp"):
        path = picture(tmp_path / f"x{suffix}", noise)
        path.write_bytes(path.read_bytes()[:-600])
        with pytest.raises(FileError, match=f"^{re.escape(str(path))} [^\n]*$"):
            read_volume(path)


def test_colours_and_complex_numbers_in_nifti_are_refused_by_name(tmp_path):
    colours = np.zeros((2, 3, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = tmp_path / "x.nii"
    for values, what in ((colours, "colours (RGB)"), (np.zeros((2, 3, 4), np.complex64), "complex numbers")):
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
        refused(path, f"{path} must hold one real number per voxel and channel; it holds {what}; convert it")


def test_an_affine_that_is_no_number_is_refused(tmp_path):
    path = nifti(tmp_path / "x.nii", np.zeros((2, 3, 4), np.uint8))
    raw = bytearray(path.read_bytes())
    # srow_y of the header; sform_code says that it holds
    raw[296:300] = np.array(np.nan, "<f4").tobytes()
    path.write_bytes(bytes(raw))
    assert nibabel.load(path).header["sform_code"] > 0
    refused(
        path,
        f"{path} must say where its voxels lie; its affine holds NaN or infinity; mend its header",
    )


def test_what_is_no_mask_is_refused(tmp_path):
    path = picture(tmp_path / "x.jpg", RAMP)
    message = (
        f"{path} must be a mask; JPEG does not keep its values exactly; save masks as PNG, TIFF or NIfTI"
    )
    refused(path, message, read=read_labels)
    path = nifti(tmp_path / "f.nii", np.full((2, 3, 4), 0.5, np.float32))
    message = (
        f"{path} must be a mask of whole numbers; it holds 24 others, 0.5 the first; write class numbers"
    )
    refused(path, message, read=read_labels)
    path = nifti(tmp_path / "c.nii", np.zeros((2, 3, 4, 2), np.uint8))
    message = f"{path} must be a mask, one value per voxel; it has 2 channels; write class numbers"
    refused(path, message, read=read_labels)
    whole = read_labels(nifti(tmp_path / "w.nii", np.full((2, 3, 4), 2, np.float32)))
    assert whole.values.dtype.kind == "i"


def test_pages_of_several_sizes_are_refused(tmp_path):
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RAMP, photometric="minisblack")
        file.write(RAMP[:3], photometric="minisblack")
    refused(path, f"{path} must hold one picture or one stack; it holds 2 ((5, 7), (3, 7)); keep one")


@pytest.mark.parametrize(
    ("package", "name", "words"),
    [
        ("nibabel", "x.nii", "NIfTI files are read and written by nibabel; pip install 'upstroke[medical]'"),
        ("tifffile", "x.tif", "TIFF files are read and written by tifffile; pip install 'upstroke[medical]'"),
        ("PIL", "x.png", "pictures are read and written by pillow; pip install 'upstroke[medical]'"),
    ],
)
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, package, name, words):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(MissingExtraError, match=f"^{re.escape(words)}$"):
        read_volume(tmp_path / name)


def test_nothing_is_said_on_the_terminal(tmp_path, capfd):
    path = nifti(tmp_path / "x.nii", np.zeros((2, 3, 4), np.int16))
    raw = bytearray(path.read_bytes())
    raw[76:80] = struct.pack("<f", 0.5)  # pixdim[0], which must be 1 or -1 and is repaired
    path.write_bytes(raw)
    assert read_volume(path).size == (2, 3, 4)
    assert capfd.readouterr() == ("", "")


def test_names(tmp_path):
    assert [prediction_name(tmp_path / name) for name in ("a b.nii.gz", "x.bmp", "x.TIF")] == [
        "a b.nii.gz",
        "x.png",
        "x.TIF",
    ]
    assert probability_name(tmp_path / "x.png") == "x_probabilities.tif"
    assert stem_of(tmp_path / "a.b.nii.gz") == "a.b"


def test_the_hippocampus_comes_back_as_it_was(data_dir, tmp_path):
    folder = data_dir / "medical" / "msd_hippocampus"
    image = read_volume(folder / "images" / "hippocampus_001.nii.gz")
    labels = read_labels(folder / "labels" / "hippocampus_001.nii.gz")
    assert (image.values.shape, image.spacing, image.unit) == ((1, 35, 51, 35), (1.0, 1.0, 1.0), "mm")
    assert set(np.unique(labels.values)) == {0, 1, 2}
    write_labels(tmp_path / "x.nii.gz", labels.values[0], like=image)
    again = read_labels(tmp_path / "x.nii.gz")
    assert (again.values == labels.values).all()
    assert again.affine.tobytes() == image.affine.tobytes()
