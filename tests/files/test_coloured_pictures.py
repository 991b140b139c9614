"""Hold that pictures of every kind become the right levels of grey or colour, or one sentence."""

import io
import re
import struct
import zlib

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from upstroke.errors import FileError
from upstroke.files.coloured_pictures import read_coloured

RAMP = numpy.arange(35, dtype=numpy.uint8).reshape(5, 7) * 7
COLOURS = numpy.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)
OVER_WHITE = ("transparent parts laid over white",)


def stored(image, kind="PNG", **options):
    """The bytes of a picture file, as a stream."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return io.BytesIO(buffer.getvalue())


def read(image, kind="PNG", **options):
    return read_coloured(stored(image, kind, **options), name="p")


def refused(source, message):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_coloured(source, name="p")


def deep_png(values, *, kind, clear=None):
    """A PNG file of 16 bits per channel, which pillow reads and cannot write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows, columns = values.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, kind, 0, 0, 0))
        + (b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear)))
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def deep_tiff(values, *, bits=16, white_is_zero=False, order="<"):
    """A TIFF file of one strip of grey levels of 12 or 16 bits."""
    rows, columns = values.shape
    if bits == 16:
        strip = values.astype(order + "u2").tobytes()
    else:
        bitmap = (values[..., None] >> numpy.arange(11, -1, -1)) & 1
        strip = numpy.packbits(bitmap.reshape(rows, -1), axis=1).tobytes()
    tags = [
        *(
            (256, 4, columns),
            (257, 4, rows),
            (258, 3, bits),
            (259, 3, 1),
            (262, 3, 0 if white_is_zero else 1),
        ),
        *((273, 4, 8), (277, 3, 1), (278, 4, rows), (279, 4, len(strip))),
    ]
    strip += b"\0" * (len(strip) % 2)
    entries = b"".join(
        struct.pack(order + "HHI", tag, kind, 1)
        + (struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value))
        for tag, kind, value in tags
    )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return io.BytesIO(
        mark
        + struct.pack(order + "I", 8 + len(strip))
        + strip
        + struct.pack(order + "H", len(tags))
        + entries
        + b"\0\0\0\0"
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
@pytest.mark.parametrize("pixels", [RAMP, COLOURS], ids=["grey", "colours"])
def test_what_loses_nothing_comes_back_equal(kind, options, pixels):
    found = read(Image.fromarray(pixels), kind, **options)
    assert (found.pixels == pixels.reshape(5, 7, -1)).all()
    assert found.pixels.shape == (5, 7, 1 if pixels.ndim == 2 else 3)
    assert (found.size, found.notes, found.file) == ((5, 7), (), "p")
    assert found.format == {"WEBP": "WebP"}.get(kind, kind)


def test_jpeg_and_gif_come_back_nearly():
    smooth = numpy.kron(COLOURS, numpy.ones((8, 8, 1), numpy.uint8))
    for kind, options, within in (("JPEG", {"quality": 100, "subsampling": 0}, 4), ("GIF", {}, 0)):
        found = read(Image.fromarray(smooth), kind, **options)
        assert numpy.abs(found.pixels.astype(int) - smooth).max() <= within
        assert (found.format, found.notes) == (kind, ())


def test_the_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(COLOURS).save(path, "BMP")
    found = read_coloured(path)
    assert (found.format, found.file) == ("BMP", str(path))


def test_colourless_colour_is_grey():
    assert read(Image.fromarray(RAMP).convert("RGB")).pixels.shape == (5, 7, 1)
    nearly = numpy.repeat(RAMP[..., None], 3, axis=2)
    nearly[4, 6, 2] += 1
    assert (read(Image.fromarray(nearly)).pixels == nearly).all()


def test_a_palette_is_looked_up():
    image = Image.fromarray(COLOURS).quantize(35)
    assert (read(image).pixels == numpy.asarray(image.convert("RGB"))).all()


def test_two_levels_are_black_and_white():
    assert (read(Image.fromarray(RAMP > 100)).pixels[..., 0] == 255 * (RAMP > 100)).all()


def test_cmyk_and_ycck_are_turned_into_rgb():
    smooth = numpy.full((16, 16, 3), (200, 40, 90), numpy.uint8)
    inks = Image.fromarray(smooth).convert("CMYK")
    plain = read(inks, "TIFF")
    assert (plain.pixels == smooth).all()
    packed = read(inks, "JPEG", quality=100)
    assert numpy.abs(packed.pixels.astype(int) - smooth).max() <= 4
    # Adobe's other kind: cyan, magenta and yellow as if they were red, green and blue turned into YCbCr
    *cmy, black = inks.split()
    turned = Image.merge("RGB", cmy).convert("YCbCr").split()
    inverted = [Image.eval(each, lambda level: 255 - level) for each in turned]
    data = bytearray(stored(Image.merge("CMYK", [*inverted, black]), "JPEG", quality=100).getvalue())
    data[data.index(b"Adobe") + 11] = 2  # the transform: YCCK
    other = read_coloured(io.BytesIO(bytes(data)), name="p")
    assert numpy.abs(other.pixels.astype(int) - smooth).max() <= 6
    assert plain.notes == packed.notes == other.notes == ("CMYK, turned into RGB",)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_shows_through_lies_on_white(mode):
    alpha = numpy.zeros_like(RAMP) + numpy.arange(0, 256, 42, dtype=numpy.uint8)
    if mode == "P":
        image = Image.fromarray(RAMP).convert("P")
        found = read(image, transparency=bytes([255] * 70 + [0] * 186))
        expected = numpy.where(RAMP >= 70, 255, RAMP)[..., None]
    else:
        below = RAMP[..., None] if mode == "LA" else COLOURS
        found = read(Image.fromarray(numpy.dstack([below, alpha])))
        share = alpha[..., None] / 255
        expected = numpy.round(below * share + 255 * (1 - share))
    assert (found.pixels == expected).all()
    assert found.notes == OVER_WHITE


def test_an_opaque_alpha_changes_nothing():
    found = read(Image.fromarray(numpy.dstack([COLOURS, numpy.full_like(RAMP, 255)])))
    assert (found.pixels == COLOURS).all()
    assert found.notes == ()


@given(st.lists(st.integers(0, 65535), min_size=6, max_size=6))
def test_sixteen_bits_of_grey_are_divided_by_257(levels):
    deep = numpy.array([*levels, 65535, 0], numpy.uint16).reshape(2, 4)
    expected = numpy.round(deep / 257)[..., None]
    for source in (stored(Image.fromarray(deep)), deep_tiff(deep), deep_tiff(deep, order=">")):
        found = read_coloured(source, name="p")
        assert (found.pixels == expected).all()
        assert found.notes == ("16 bits, divided by 257",)
    inverted = read_coloured(deep_tiff(deep, white_is_zero=True), name="p")
    assert (inverted.pixels == 255 - expected).all()


def test_twelve_bits_are_not_taken_for_sixteen():
    deep = numpy.array([[0, 1000, 2048, 4095]], numpy.uint16)
    found = read_coloured(deep_tiff(deep, bits=12), name="p")
    assert (found.pixels[..., 0] == [[0, 62, 128, 255]]).all()
    assert found.notes == ("12 bits, divided by 16.06",)


def test_sixteen_bits_of_colour_are_scaled_and_not_clipped():
    deep = COLOURS.astype(numpy.uint16) * 257
    found = read_coloured(deep_png(deep, kind=2), name="p")
    assert (found.pixels == COLOURS).all()
    assert found.notes == ("16 bits, cut to 8",)
    half = numpy.dstack([deep, numpy.full(RAMP.shape, 128 * 257, numpy.uint16)])
    found = read_coloured(deep_png(half, kind=6), name="p")
    assert (found.pixels == numpy.round((COLOURS * 128.0 + 255 * 127) / 255)).all()
    assert found.notes == ("16 bits, cut to 8", *OVER_WHITE)


def test_sixteen_bits_with_a_clear_level():
    deep = numpy.array([[0, 300, 65535, 300]], numpy.uint16)
    found = read_coloured(deep_png(deep, kind=0, clear=300), name="p")
    assert (found.pixels[..., 0] == [[0, 255, 255, 255]]).all()
    assert found.notes == ("16 bits, divided by 257", *OVER_WHITE)


def test_values_without_a_white_are_refused():
    said = "p stores 32-bit values, which have no agreed white; save it with 8 or 16 bits"
    for values in (RAMP.astype(numpy.float32), RAMP.astype(numpy.int32)):
        refused(stored(Image.fromarray(values), "TIFF"), said)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(kind, orientation):
    upright = numpy.kron(COLOURS, numpy.ones((8, 8, 1), numpy.uint8))
    # how a camera that was held so stores what is upright: rows and columns of the first pixel, EXIF 2.3
    flip = {1: "", 2: "c", 3: "rc", 4: "r", 5: "t", 6: "tr", 7: "trc", 8: "tc"}[orientation]
    held = upright.transpose(1, 0, 2) if "t" in flip else upright
    held = held[::-1] if "r" in flip else held
    held = held[:, ::-1] if "c" in flip else held
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    found = read(Image.fromarray(numpy.ascontiguousarray(held)), kind, exif=exif, **options)
    assert found.pixels.shape == upright.shape
    assert found.size == upright.shape[:2]
    assert numpy.abs(found.pixels.astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)


def test_broken_metadata_does_not_cost_a_picture():
    data = stored(Image.fromarray(COLOURS), exif=b"Exif\0\0II*\0\xff\xff\xff\xff").getvalue()
    found = read_coloured(io.BytesIO(data), name="p")
    assert (found.pixels == COLOURS).all()
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind):
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = read(first, kind, save_all=True, append_images=[second], **options)
    assert (found.pixels == COLOURS).all()
    assert found.notes == ("first frame of several",)


def test_a_colour_profile_is_left_alone():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    found = read(Image.fromarray(COLOURS), icc_profile=profile)
    assert (found.pixels == COLOURS).all()


def test_large_jpegs_are_read_smaller_where_that_is_enough():
    smooth = numpy.add.outer(numpy.arange(120), numpy.arange(200))[..., None] * [0.5, 0.7, 0.2]
    source = stored(Image.fromarray(smooth.astype(numpy.uint8)), "JPEG", quality=100, subsampling=0)
    found = read_coloured(source, name="p", at_least=30)
    assert found.pixels.shape == (30, 50, 3)
    assert found.size == (120, 200)
    means = smooth.reshape(30, 4, 50, 4, 3).mean((1, 3))
    assert numpy.abs(found.pixels - means).max() < 3
    source.seek(0)
    assert read_coloured(source, name="p", at_least=31).pixels.shape == (60, 100, 3)
    png = stored(Image.fromarray(COLOURS))
    assert read_coloured(png, name="p", at_least=1).pixels.shape == (5, 7, 3)


def noise_in(kind, **options):
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
    return stored(Image.fromarray(noise), kind, **options).getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_file_is_refused(kind, share, capfd):
    data = noise_in(kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    with pytest.raises(FileError, match=r"^p is not a (whole picture: [^\n]+|picture that pillow can read)$"):
        read_coloured(io.BytesIO(data[: int(share * len(data))]), name="p")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("PNG", {}), ("JPEG", {}), ("BMP", {}), ("WEBP", {}), ("GIF", {}), ("TIFF", {})),
        *(("TIFF", {"compression": each}) for each in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")),
    ],
)
def test_a_damaged_file_is_a_picture_or_one_sentence_and_nothing_on_the_terminal(kind, options, capfd):
    whole = noise_in(kind, **options)
    generator = numpy.random.default_rng(1)
    said = []
    for _ in range(60):
        data = bytearray(whole)
        for at in generator.integers(0, generator.choice([40, 200, len(data)]), 6):
            data[at] = generator.integers(256)
        try:
            found = read_coloured(io.BytesIO(bytes(data)), name="p")
        except FileError as error:
            said.append(str(error))
        else:
            assert found.pixels.shape[:2] == found.size
    assert len(said) > 5
    assert all(re.fullmatch("p [^\n]+", each) for each in said)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("factor", [1.5, 3])
def test_a_bomb_is_seen_in_the_header(kind, factor, monkeypatch):
    source = stored(Image.fromarray(COLOURS), kind)
    limit = int(RAMP.size / factor)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    # whoever unpacks it has already lost
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("the pixels were unpacked"))
    refused(source, f"p has more than {limit} pixels once unpacked; cut a part out of it")


def test_a_header_alone_costs_no_memory():
    bomb = deep_png(numpy.zeros((1, 1), numpy.uint16), kind=0).getvalue()
    header = struct.pack(">IIBBBBB", 60000, 60000, 16, 0, 0, 0, 0)
    bomb = bomb[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + bomb[33:]
    refused(
        io.BytesIO(bomb),
        f"p has more than {Image.MAX_IMAGE_PIXELS} pixels once unpacked; cut a part out of it",
    )


def test_other_formats_are_not_tried(tmp_path):
    refused(stored(Image.fromarray(COLOURS), "EPS"), "p is not a picture that pillow can read")
    refused(io.BytesIO(b"<html>not found</html>"), "p is not a picture that pillow can read")
    path = tmp_path / "p.png"
    path.touch()
    refused(path, "p must be a picture; it is empty (0 bytes); copy it again")
    refused(tmp_path, "p must be a picture; it is a folder; name a file")
