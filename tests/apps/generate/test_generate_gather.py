"""Hold that pictures are gathered as they are, that all is counted, and that bad data gets its sentence."""

import json
import re
import tracemalloc

import numpy
import pytest
import scipy.io
from drawn_pictures import drawn, encoded, write_pictures
from PIL import Image

from upstroke.apps.generate.gather import gather
from upstroke.errors import FileError, OptionError
from upstroke.files.pictures import Skipped


def refused(data, message, *, error=FileError, size=12, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        gather(data, size=size, **options)


@pytest.mark.parametrize("name", ["data", "data.zip"])
def test_every_picture_is_there_in_order_and_nothing_else(tmp_path, name):
    seen = []
    data = write_pictures(tmp_path / name, more={"notes.txt": b"", "__MACOSX/._1.png": b"x"})
    found = gather(data, size=12, progress=lambda done, of: seen.append((done, of)))
    assert found.pictures.shape == (20, 3, 12, 12)
    assert found.pictures.dtype == numpy.uint8
    for number in range(20):
        assert (found.pictures[number] == drawn(number).transpose(2, 0, 1)).all()
    assert found.names == tuple(f"{number}.png" for number in range(20))
    assert seen == [(done, 20) for done in range(1, 21)]
    record = found.as_json()
    assert (
        json.loads(json.dumps(record))
        == record
        == {
            "pictures": 20,
            "channels": 3,
            "size": 12,
            "fit": "crop",
            "sizes": {"least": [12, 12], "median": [12, 12], "largest": [12, 12]},
            "enlarged": 0,
            "formats": {"PNG": 20},
            "skipped": [],
            "others": {".txt": 1},
            "repeated": 0,
            "notes": [],
        }
    )


def test_faces_come_back_equal(tmp_path, data_dir):
    stored = scipy.io.loadmat(data_dir / "faces" / "olivetti" / "olivettifaces.mat")["faces"]
    faces = numpy.ascontiguousarray(stored.T.reshape(400, 64, 64).transpose(0, 2, 1))[::13]
    for number, face in enumerate(faces):
        folder = tmp_path / f"person{number // 4}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(face).save(folder / f"face{number}.png")
    found = gather(tmp_path, size=64)
    assert (found.pictures == faces[:, None]).all()
    assert found.groups == tuple(f"person{number // 4}" for number in range(31))
    assert (found.enlarged, found.repeated, found.notes) == (0, 0, ())
    # at half the size, a face is the mean of its squares of two by two but for the kernel's finer edge
    half = gather(tmp_path, size=32).pictures[:, 0].astype(float)
    means = faces.reshape(-1, 32, 2, 32, 2).mean((2, 4))
    assert numpy.abs(half - means).mean() < 3
    twice = gather(tmp_path, size=128)
    assert twice.enlarged == 31
    assert numpy.abs(twice.pictures[:, 0].reshape(-1, 64, 2, 64, 2).mean((2, 4)) - faces).mean() < 2


def test_sizes_formats_and_notes_are_counted(tmp_path):
    inks = Image.fromarray(drawn(50)).convert("CMYK")
    inks.save(tmp_path / "inks.tif")
    more = {
        "inks.tif": (tmp_path / "inks.tif").read_bytes(),
        "small.bmp": encoded(drawn(51, size=(9, 40)), "BMP"),
        "large.webp": encoded(drawn(52, size=(30, 14)), "WEBP", lossless=True),
        "clear.png": encoded(drawn(53, channels=4)),
        "clear2.png": encoded(drawn(54, channels=4)),
        "sub/0.png": encoded(drawn(0)),
    }
    found = gather(write_pictures(tmp_path / "data", more=more), size=12)
    record = found.as_json()
    assert record["pictures"] == 26
    assert record["sizes"] == {"least": [9, 12], "median": [12, 12], "largest": [30, 40]}
    assert record["enlarged"] == 1
    assert record["formats"] == {"PNG": 23, "BMP": 1, "TIFF": 1, "WebP": 1}
    assert record["repeated"] == 1
    assert record["notes"] == [
        "transparent parts laid over white (2 of 26)",
        "CMYK, turned into RGB (1 of 26)",
    ]
    assert found.groups == (*("",) * 25, "sub")


def test_grey_stays_grey_until_one_picture_has_colours(tmp_path):
    grey = write_pictures(tmp_path / "grey", channels=1)
    assert gather(grey, size=12).pictures.shape == (20, 1, 12, 12)
    # stored in three channels, and with a frame in colour that is cut away
    framed = numpy.full((12, 20, 3), (200, 0, 0), numpy.uint8)
    framed[:, 4:16] = drawn(60, channels=1)[..., None]
    three = numpy.repeat(drawn(61, channels=1)[..., None], 3, 2)
    write_pictures(grey, count=0, more={"framed.png": encoded(framed), "three.png": encoded(three)})
    found = gather(grey, size=12)
    assert found.pictures.shape == (22, 1, 12, 12)
    assert (found.pictures[20, 0] == drawn(60, channels=1)).all()
    write_pictures(grey, count=0, more={"z.png": encoded(drawn(70))})
    found = gather(grey, size=12)
    assert found.pictures.shape == (23, 3, 12, 12)
    assert (found.pictures[5] == drawn(5, channels=1)).all()
    assert (found.pictures[22] == drawn(70).transpose(2, 0, 1)).all()


def test_channels_may_be_chosen(tmp_path):
    data = write_pictures(tmp_path / "data")
    grey = gather(data, size=12, channels=1)
    assert grey.pictures.shape == (20, 1, 12, 12)
    for number, picture in enumerate(grey.pictures):
        # pillow's own grey rounds down
        expected = drawn(number) @ numpy.array([0.299, 0.587, 0.114])
        assert numpy.abs(picture[0] - expected).max() <= 0.51
    assert grey.notes == ("colours left out (20 of 20)",)
    colour = gather(write_pictures(tmp_path / "grey", channels=1), size=12, channels=3)
    assert colour.pictures.shape == (20, 3, 12, 12)
    assert (colour.pictures[3] == drawn(3, channels=1)).all()


def test_large_jpegs_become_what_they_would_be_unshrunk(tmp_path):
    along = numpy.linspace(0, 6, 256)
    for number in range(16):
        waves = 120 + 60 * numpy.sin(along * (1 + number / 5))[:, None] * numpy.cos(along * 3)[:, None].T
        levels = numpy.repeat(waves[..., None], 3, 2).astype(numpy.uint8)
        Image.fromarray(levels).save(tmp_path / f"{number}.jpg", quality=95)
    found = gather(tmp_path, size=16)
    assert found.sizes.least == (256, 256)
    for number in range(16):
        with Image.open(tmp_path / f"{number}.jpg") as whole:
            small = numpy.asarray(whole.convert("L").resize((16, 16), Image.Resampling.LANCZOS))
        assert numpy.abs(found.pictures[number, 0].astype(int) - small).max() <= 2


def test_some_bad_files_among_many_are_listed(tmp_path):
    whole = encoded(drawn(99))
    more = {
        "cut.png": whole[:200],
        "empty.png": b"",
        "page.jpg": b"<html>",
        "dot.gif": encoded(drawn(98, size=(1, 30)), "GIF"),
        "deep.tif": encoded(drawn(1, channels=1).astype(numpy.float32), "TIFF"),
    }
    found = gather(write_pictures(tmp_path / "data", more=more), size=12)
    assert len(found.pictures) == 20
    assert found.skipped[0].file == "cut.png"
    assert found.skipped[0].reason.startswith("cut.png is not a whole picture: ")
    assert found.skipped[1:] == (
        Skipped(
            file="deep.tif",
            reason="deep.tif stores 32-bit values, which have no agreed white; save it with 8 or 16 bits",
        ),
        Skipped(
            file="dot.gif", reason="dot.gif has 30 x 1 pixels; to be seen at 12 it needs 2 on either side"
        ),
        Skipped(file="empty.png", reason="empty.png must be a picture; it is empty (0 bytes); copy it again"),
        Skipped(file="page.jpg", reason="page.jpg is not a picture that pillow can read"),
    )
    assert found.as_json()["skipped"][3] == {"file": "empty.png", "reason": found.skipped[3].reason}


def test_more_than_half_that_fail_are_refused(tmp_path):
    bad = {f"bad{number}.png": b"" for number in range(20)}
    data = write_pictures(tmp_path / "data", more=bad)
    assert len(gather(data, size=12).skipped) == 20
    write_pictures(data, count=0, more={"worse.png": b"<html>"})
    empty = "must be a picture; it is empty (0 bytes); copy it again"
    refused(
        data, f"{data}: 21 of its 41 pictures cannot be used: bad0.png {empty}; bad1.png {empty}; and more"
    )
    one = write_pictures(tmp_path / "one", count=0, more={"bad.png": b""})
    refused(one, f"{one}: 1 of its 1 pictures cannot be used: bad.png {empty}")


def test_one_picture_repeated_is_refused(tmp_path):
    same = {f"{number}.png": encoded(drawn(0)) for number in range(40)}
    # the same pixels in other files
    same["a.bmp"] = encoded(drawn(0), "BMP")
    same["b.webp"] = encoded(drawn(0), "WEBP", lossless=True)
    data = write_pictures(tmp_path / "data", count=0, more=same)
    refused(
        data,
        f"{data} must hold different pictures; its 42 are all one and the same, 0.png; a generator would learn that one",
    )


def test_too_few_pictures_are_refused_naming_what_was_found(tmp_path):
    def words(folder, held):
        why = "must hold 16 different pictures or more, since fewer are learned by heart"
        return f"{folder} {why}; it holds {held}"

    few = write_pictures(tmp_path / "few", count=15)
    refused(few, words(few, "15 pictures"))
    write_pictures(few, count=0, more={"sub/0.png": encoded(drawn(0)), "sub/1.png": encoded(drawn(1))})
    refused(few, words(few, "17 pictures, of which 15 differ"))
    write_pictures(few, count=0, more={"z.png": b""})
    refused(few, words(few, "17 pictures, of which 15 differ and 1 that cannot be used"))
    write_pictures(few, count=16)
    assert gather(few, size=12).repeated == 2
    one = write_pictures(tmp_path / "one.zip", count=1)
    refused(one, words(one, "1 picture"))


def test_data_without_pictures_is_refused(tmp_path):
    held = "must hold pictures (PNG, JPEG, BMP, WebP, GIF or TIFF)"
    refused(tmp_path, f"{tmp_path} {held}; it has no files, or hidden ones alone")
    wanted = "must be a folder of pictures, or a zip of them"
    refused(tmp_path / "no", f"{tmp_path}/no {wanted}; there is no such file")


def test_pictures_that_take_too_much_memory_are_refused_before_they_are_read(tmp_path):
    data = write_pictures(tmp_path / "data", channels=1, more={"20.png": encoded(drawn(20))})

    def words(needed, memory):
        return (
            f"the 21 pictures of {data} take {needed} bytes at 12 x 12 pixels, and {memory} may be used; "
            "give fewer, or a smaller size"
        )

    told = []
    refused(
        data,
        words(21 * 144, 3000),
        error=OptionError,
        memory=3000,
        progress=lambda done, of: told.append(done),
    )
    assert told == []
    # the one in colour makes all three times as large
    refused(data, words(3 * 21 * 144, 4000), error=OptionError, memory=4000)
    assert gather(data, size=12, channels=1, memory=4000).pictures.nbytes == 21 * 144


def test_originals_are_not_kept(tmp_path):
    data = write_pictures(tmp_path / "data", count=16, size=(500, 500))
    tracemalloc.start()
    gather(data, size=8)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a picture takes 750,000 bytes, and a few of it are there at a time; sixteen would be twelve million
    assert most < 6_000_000


def test_nothing_is_written_on_the_terminal(tmp_path, capfd, recwarn):
    noise = encoded(drawn(0, size=(40, 40)), "TIFF", compression="tiff_lzw")
    more = {f"cut{number}.tif": noise[: 600 + 40 * number] for number in range(20)}
    gather(write_pictures(tmp_path / "data", more=more), size=12)
    assert capfd.readouterr() == ("", "")
    assert not recwarn


@pytest.mark.usefixtures("_unchecked")
def test_numbers_that_mean_nothing_are_refused(tmp_path):
    refused(tmp_path, "size must be 1 or more pixels; got 0", error=OptionError, size=0)
    refused(tmp_path, "fit is one of crop, stretch, pad; got 'fill'", error=OptionError, fit="fill")
    refused(
        tmp_path, "channels is 1 for grey or 3 for red, green and blue; got 2", error=OptionError, channels=2
    )
