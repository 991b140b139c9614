"""Hold that pictures of every kind become the right grey levels, or one sentence."""

import os
import re
import struct
import zlib

import numpy
import pytest
from PIL import Image

from upstroke.errors import FileError
from upstroke.files.pictures import Picture, Skipped, read_picture, read_pictures

RAMP = numpy.arange(35, dtype=numpy.uint8).reshape(5, 7) * 7
COLOURS = numpy.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)
CUT = ("16 bits, cut to 8",)
LUMINANCE = COLOURS @ numpy.array([0.299, 0.587, 0.114])


def saved(tmp_path, image, name="p.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def refused(path, message):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_picture(path)


def test_grey_is_kept(tmp_path):
    read = read_picture(saved(tmp_path, Image.fromarray(RAMP)))
    assert (read.grey == RAMP).all()
    assert read.notes == ()


def test_colour_becomes_luminance_with_its_fractions(tmp_path):
    read = read_picture(saved(tmp_path, Image.fromarray(COLOURS)))
    numpy.testing.assert_allclose(read.grey, LUMINANCE)
    assert read.notes == ("luminance 0.299 R + 0.587 G + 0.114 B",)


def test_colourless_colour_equals_grey(tmp_path):
    path = saved(tmp_path, Image.fromarray(RAMP).convert("RGB"))
    assert (read_picture(path).grey == RAMP).all()


def test_sixteen_bits_come_out_on_the_same_scale(tmp_path):
    deep = RAMP.astype(numpy.uint16) * 257 + 3
    read = read_picture(saved(tmp_path, Image.fromarray(deep)))
    numpy.testing.assert_allclose(read.grey, RAMP + 3 / 257)
    assert read.notes == ("16 bits, divided by 257",)


def deep_png(path, values):
    """Write a PNG file of 16 bits per channel, which pillow reads and cannot write: grey, with alpha, or RGB."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows, columns, channels = values.shape
    header = struct.pack(">IIBBBBB", columns, rows, 16, {1: 0, 2: 4, 3: 2}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize(("channels", "notes"), [(1, ("16 bits, divided by 257",)), (2, CUT), (3, CUT)])
def test_sixteen_bits_that_pillow_cuts_are_said(tmp_path, channels, notes):
    values = COLOURS[..., :channels].astype(numpy.uint16) * 257
    if channels == 2:
        values[..., 1] = 65535
    read = read_picture(deep_png(tmp_path / "p.png", values))
    numpy.testing.assert_allclose(read.grey, LUMINANCE if channels == 3 else RAMP)
    assert read.notes[: len(notes)] == notes


def test_floats_are_kept_as_stored(tmp_path):
    stored = RAMP.astype(numpy.float32) / 1000 - 0.1
    read = read_picture(saved(tmp_path, Image.fromarray(stored), "p.tif"))
    assert (read.grey == stored).all()
    assert read.notes == ("32-bit values, kept as stored",)


def test_palette_is_looked_up(tmp_path):
    image = Image.fromarray(RAMP).convert("P")
    read = read_picture(saved(tmp_path, image))
    assert (read.grey == numpy.asarray(image.convert("L"))).all()
    assert read.notes[0] == "palette, looked up"


def test_two_levels_are_black_and_white(tmp_path):
    read = read_picture(saved(tmp_path, Image.fromarray(RAMP > 100)))
    assert (read.grey == 255 * (RAMP > 100)).all()


def test_cmyk_is_turned_into_rgb(tmp_path):
    image = Image.fromarray(COLOURS).convert("CMYK")
    read = read_picture(saved(tmp_path, image, "p.tif"))
    numpy.testing.assert_allclose(read.grey, LUMINANCE, atol=1)
    assert read.notes[0] == "CMYK, turned into RGB"


def test_what_shows_through_lies_on_white(tmp_path):
    alpha = numpy.full_like(RAMP, 255)
    alpha[0] = 0
    image = Image.fromarray(numpy.dstack([RAMP, alpha]), mode=None)
    read = read_picture(saved(tmp_path, image))
    assert (read.grey[0] == 255).all()
    assert (read.grey[1:] == RAMP[1:]).all()
    assert read.notes == ("transparent parts laid over white",)


def test_an_opaque_alpha_changes_nothing(tmp_path):
    opaque = Image.fromarray(numpy.dstack([COLOURS, numpy.full_like(RAMP, 255)]))
    numpy.testing.assert_allclose(read_picture(saved(tmp_path, opaque)).grey, LUMINANCE)


def test_the_first_frame_is_read_and_said(tmp_path):
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    path = saved(tmp_path, first, "p.tif", save_all=True, append_images=[second])
    read = read_picture(path)
    assert (read.grey == RAMP).all()
    assert read.notes == ("first of 2 frames",)


def test_what_is_no_picture_is_said(tmp_path):
    path = tmp_path / "p.png"
    refused(path, f"{path} must be a picture; there is no such file")
    path.touch()
    refused(path, f"{path} must be a picture; it is empty (0 bytes); copy it again")
    refused(tmp_path, f"{tmp_path} must be a picture; it is a folder; name a file")
    long = tmp_path / ("n" * 300)
    refused(long, f"{long} must be a picture; there is no such file")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, f"{pipe} must be a picture; it is a device or a pipe; name a file")
    path.write_text("not a picture at all")
    refused(path, f"{path} is not a picture that pillow can read")


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.tif"])
def test_half_a_picture_is_said(tmp_path, name):
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64), dtype=numpy.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileError, match=rf"^{re.escape(str(path))} is not a (whole picture: |picture that)"):
        read_picture(path)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_a_picture_too_large_to_unpack_is_said(tmp_path, monkeypatch, factor):
    path = saved(tmp_path, Image.fromarray(RAMP))
    limit = int(RAMP.size / factor)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    refused(path, f"{path} has more than {limit} pixels once unpacked; cut a part out of it")


def test_a_folder_is_read_by_name_and_says_what_it_skips(tmp_path):
    for name in ("b.png", "a.png", ".hidden.png"):
        saved(tmp_path, Image.fromarray(RAMP), name)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "below").mkdir()
    found = list(read_pictures(tmp_path))
    assert [type(each) for each in found] == [Picture, Picture, Skipped]
    assert [each.file for each in found] == [str(tmp_path / name) for name in ("a.png", "b.png", "notes.txt")]
    assert found[2].reason == f"{tmp_path / 'notes.txt'} is not a picture that pillow can read"


def test_a_folder_without_pictures_is_refused(tmp_path):
    message = f"{tmp_path} must be a picture or a folder of pictures; the folder holds no files of its own"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        list(read_pictures(tmp_path))
    (tmp_path / "a.txt").write_text("a")
    message = f"{tmp_path} must hold pictures; none of its 1 files could be read: {tmp_path / 'a.txt'} is not"
    with pytest.raises(FileError, match=f"^{re.escape(message)} a picture that pillow can read$"):
        list(read_pictures(tmp_path))
