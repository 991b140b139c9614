"""Hold that folders and zips give the same pictures, one by one, and that nothing odd in them does harm."""

import errno
import io
import os
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy
import pytest
from PIL import Image

from upstroke.errors import FileError
from upstroke.files.picture_sets import MOST_BYTES, find_pictures
from upstroke.files.pictures import Skipped


def levels(number):
    return numpy.random.default_rng(number).integers(0, 256, (5, 7, 3), dtype=numpy.uint8)


def png(number):
    buffer = io.BytesIO()
    Image.fromarray(levels(number)).save(buffer, "PNG")
    return buffer.getvalue()


def written(target, files):
    """A folder, or a zip if it is called so, of these files."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return target
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


def refused(path, message):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        find_pictures(path)


@pytest.fixture(params=["folder", "faces.zip"])
def target(request, tmp_path):
    return tmp_path / request.param


def test_all_pictures_are_found_in_natural_order(target):
    names = ["a2.png", "a10.PNG", "b/1.png", "b/02/10.jpeg", "b/11/3.webp"]
    passed_over = [".a.png", ".b/1.png", "__MACOSX/a2.png", "__MACOSX/._a2.png", "b/@eaDir/1.png"]
    others = ["readme.txt", "b/x.npy", "b/labels.txt", "without"]
    files = {name: png(number) for number, name in enumerate(names)}
    files |= dict.fromkeys([*passed_over, *others], png(99))
    found = find_pictures(written(target, dict(sorted(files.items(), reverse=True))))
    assert found.kind == ("zip" if target.suffix else "folder")
    assert [entry.name for entry in found.entries] == names
    assert found.others == ((".txt", 2), ("", 1), (".npy", 1))
    assert len(found) == 5
    for each in found.read():
        assert (each.pixels == levels(names.index(each.file))).all()


def test_a_bad_file_is_skipped_with_its_reason_and_the_rest_is_read(target):
    whole = png(0)
    files = {"1.png": whole, "2.png": whole[:80], "3.png": b"", "4.png": b"<html>", "5.png": whole}
    found = list(find_pictures(written(target, files)).read())
    assert [isinstance(each, Skipped) for each in found] == [False, True, True, True, False]
    assert found[1].reason.startswith("2.png is not a whole picture: ")
    assert found[2].reason == "3.png must be a picture; it is empty (0 bytes); copy it again"
    assert found[3].reason == "4.png is not a picture that pillow can read"
    assert [each.file for each in found] == list(files)


def test_jpegs_may_be_read_smaller(target):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG")
    found = find_pictures(written(target, {"a.jpg": buffer.getvalue()}))
    assert [each.pixels.shape for each in found.read(at_least=10)] == [(12, 16, 1)]
    assert [each.pixels.shape for each in found.read()] == [(48, 64, 1)]


def test_what_is_not_there_or_holds_no_pictures_is_refused(tmp_path):
    wanted = "must be a folder of pictures, or a zip of them"
    refused(tmp_path / "no", f"{tmp_path}/no {wanted}; there is no such file")
    refused(
        tmp_path / ("a" * 300), f"{tmp_path}/{'a' * 300} {wanted}; it could not be read: file name too long"
    )
    one = tmp_path / "one.png"
    one.write_bytes(png(0))
    refused(one, f"{one} {wanted}; it is a file of another kind")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", f"{tmp_path}/pipe {wanted}; it is a device or a pipe")


def test_a_set_without_pictures_says_what_it_has_instead(target):
    held = f"{target} must hold pictures (PNG, JPEG, BMP, WebP, GIF or TIFF)"
    written(target, {".hidden.png": png(0)})
    refused(target, f"{held}; it has no files, or hidden ones alone")
    written(target, {"a.txt": b"", "b/a.txt": b"", "c.npy": b"", "d": b"", "e.heic": b""})
    refused(
        target,
        f"{held}; none of its 5 files is called like one (2 .txt, 1 without ending, 1 .heic and more)",
    )


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "below" / "it").mkdir(parents=True)
    held = "must hold pictures (PNG, JPEG, BMP, WebP, GIF or TIFF); it has no files, or hidden ones alone"
    refused(tmp_path, f"{tmp_path} {held}")


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    written(tmp_path, {"a.png": png(0), "closed/a.png": png(0)})
    closed, list_of = [tmp_path / "closed"], os.scandir

    def listing(folder):
        if Path(folder) in closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return list_of(folder)

    monkeypatch.setattr(os, "scandir", listing)
    found = find_pictures(tmp_path)
    assert found.closed == (Skipped(file="closed", reason="closed could not be listed: permission denied"),)
    assert len(found) == 1
    (tmp_path / "a.png").unlink()
    held = f"{tmp_path} must hold pictures (PNG, JPEG, BMP, WebP, GIF or TIFF)"
    refused(tmp_path, f"{held}; its folder closed could not be listed: permission denied")
    closed.append(tmp_path)
    wanted = "must be a folder of pictures, or a zip of them"
    refused(tmp_path, f"{tmp_path} {wanted}; it could not be read: permission denied")


def test_links_are_followed_and_lead_in_no_circle(tmp_path):
    data = written(tmp_path / "data", {"a/1.png": png(1)})
    elsewhere = written(tmp_path / "elsewhere", {"2.png": png(2)})
    (data / "a" / "up").symlink_to(data)
    (data / "b").symlink_to(elsewhere)
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = list(find_pictures(data).read())
    assert [each.file for each in found] == ["a/1.png", "b/2.png", "gone.png"]
    assert found[2].reason.endswith("gone.png must be a picture; there is no such file")


def test_pipes_in_a_folder_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (found,) = find_pictures(tmp_path).read()
    assert found.reason == "a.png must be a picture; it is a device or a pipe; name a file"


def test_names_that_would_break_a_line_are_written_out(target):
    found = find_pictures(written(target, {"a\n\x1b[31m.png": png(0), "ü 漢.png": png(1)}))
    assert [each.file for each in found.read()] == ["a\\n\\x1b[31m.png", "ü 漢.png"]


def test_names_that_are_no_text_can_be_printed(tmp_path):
    path = os.fsencode(tmp_path) + b"/a\xff.png"
    with open(path, "wb") as file:
        file.write(png(0))
    (found,) = find_pictures(tmp_path).read()
    assert found.file == "a\\udcff.png"
    assert found.file.encode()


# Zips


def test_names_in_a_zip_lead_nowhere_and_nothing_is_written(tmp_path, monkeypatch):
    path = tmp_path / "p.zip"
    names = ["../../up.png", "/etc/root.png", "C:\\faces\\w.png", "a/../b.png"]
    written(path, {name: png(number) for number, name in enumerate(names)})
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = {each.file: each.pixels for each in find_pictures(path).read()}
    assert list(found) == ["a/b.png", "etc/root.png", "faces/w.png", "up.png"]
    assert (found["up.png"] == levels(0)).all()
    assert sorted(tmp_path.rglob("*")) == before


def test_encrypted_entries_are_skipped(tmp_path):
    path = written(tmp_path / "p.zip", {"a.png": png(0), "b.png": png(1)})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    data[data.index(b"PK\x03\x04") + 6] |= 1
    path.write_bytes(data)
    skipped, kept = find_pictures(path).read()
    assert skipped == Skipped(file="a.png", reason="a.png is encrypted; unpack the zip and give the folder")
    assert (kept.pixels == levels(1)).all()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_entries_whose_unpacking_has_no_bound_are_skipped(tmp_path, method):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", png(0))
    (skipped,) = find_pictures(path).read()
    way = f"a.png is packed by method {method}, not as most zips are; unpack it and give the folder"
    assert skipped.reason == way


def test_a_bomb_that_says_so_is_not_unpacked(tmp_path, monkeypatch):
    path = written(tmp_path / "p.zip", {"bomb.png": bytes(MOST_BYTES + 1)})
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("it was unpacked"))
    (skipped,) = find_pictures(path).read()
    said = f"bomb.png would unpack to {MOST_BYTES + 1} bytes; a picture may have {MOST_BYTES}"
    assert skipped.reason == said


def test_a_bomb_that_lies_about_its_size_takes_no_more_than_it_says(tmp_path):
    path = written(tmp_path / "p.zip", {"bomb.png": bytes(2**26)})
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(mark) + at
        data[start : start + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    found = find_pictures(path)
    tracemalloc.start()
    (skipped,) = found.read()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert skipped.reason == "bomb.png cannot be unpacked: bad CRC-32 for file 'bomb.png'"
    assert most < 2**20


def test_damaged_zips_are_refused_or_lose_pictures_but_never_end_in_a_traceback(tmp_path):
    path = written(tmp_path / "p.zip", {f"{number}.png": png(number) for number in range(4)})
    whole = path.read_bytes()
    said = f"{path} must be a folder of pictures, or a zip of them; it is not a whole zip, so copy it again"
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path, said)
    path.write_bytes(b"<html>")
    refused(path, said)
    generator = numpy.random.default_rng(0)
    lost = 0
    for _ in range(150):
        data = bytearray(whole)
        for at in generator.integers(4, len(whole), 8):
            data[at] = generator.integers(256)
        path.write_bytes(data)
        try:
            found = [*find_pictures(path).read()]
        except FileError as error:
            found = []
            lost += bool(re.fullmatch(r"[^\n]+", str(error)))
        for each in found:
            if isinstance(each, Skipped):
                lost += bool(re.fullmatch(r"[^\n]+", each.reason))
            else:
                assert each.pixels.ndim == 3
    assert lost > 50


def test_a_zip_that_goes_away_is_refused(tmp_path):
    path = written(tmp_path / "p.zip", {"a.png": png(0)})
    found = find_pictures(path)
    path.unlink()
    wanted = "must be a folder of pictures, or a zip of them"
    message = f"{path} {wanted}; it could not be read: no such file or directory"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        list(found.read())
