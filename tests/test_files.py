"""Hold that a file is written whole or not at all."""

import errno
import os
import re
import stat

import pytest

from upstroke.errors import FileError
from upstroke.files import write_atomically


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def refused(path, message, data="new", **options):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        write_atomically(path, data, **options)


@pytest.mark.parametrize("data", ["Ränder\r\n½ 1 ½\n", b"\x00\xff\r\n", ""])
def test_what_is_written_is_read_back(tmp_path, data):
    target = tmp_path / "plan.json"
    write_atomically(target, data)
    assert target.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert names(tmp_path) == ["plan.json"]


def test_paths_may_be_strings_and_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically("a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_an_existing_file_stays_unless_told(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    refused(target, f"cannot write {target}: it exists already; choose another name or allow overwriting")
    assert target.read_text() == "old"
    write_atomically(target, "new", overwrite=True)
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_folders_are_refused(tmp_path):
    missing = tmp_path / "no" / "a.txt"
    refused(missing, f"cannot write {missing}: the folder {missing.parent} does not exist; create it first")
    refused(tmp_path, f"cannot write {tmp_path}: it is a folder; name a file inside it", overwrite=True)
    assert names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("old")
    target = tmp_path / "a" / "b.txt"
    refused(target, f"cannot write {target}: the folder {target.parent} does not exist; create it first")


def test_a_pipe_is_no_file(tmp_path):
    target = tmp_path / "pipe"
    os.mkfifo(target)
    message = f"cannot write {target}: it is a device or a pipe, not a file; name a file"
    refused(target, message, overwrite=True)


def test_permissions_follow_the_umask_or_the_file_that_is_replaced(tmp_path):
    umask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new.txt", "new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o640
    (tmp_path / "new.txt").chmod(0o600)
    write_atomically(tmp_path / "new.txt", "newer", overwrite=True)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_atomically(tmp_path / "link.txt", "new", overwrite=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


FAILURES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EACCES: "choose a folder you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "choose a disk, or a limit of the shell (ulimit -f), that allows such files",
    errno.EIO: "choose another place",
}


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("number", FAILURES)
def test_a_failure_leaves_everything_as_it_was(tmp_path, monkeypatch, call, number):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        message = f"cannot write {target}: {os.strerror(number)}; {FAILURES[number]}"
        refused(target, message, overwrite=True)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_of_the_same_passing_name_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("upstroke.files.place.secrets.token_hex", lambda count: "taken")
    write_atomically(tmp_path / "a.txt", "first")
    (tmp_path / ".upstroke-taken.tmp").write_text("somebody else's")
    message = f"cannot write {tmp_path / 'b.txt'}: {os.strerror(errno.EEXIST)}; choose another place"
    refused(tmp_path / "b.txt", message)
    assert (tmp_path / ".upstroke-taken.tmp").read_text() == "somebody else's"
    assert names(tmp_path) == [".upstroke-taken.tmp", "a.txt"]


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", "new")
    assert names(tmp_path) == []


def test_a_name_that_is_too_long_is_refused(tmp_path):
    target = tmp_path / ("a" * 300)
    refused(target, f"cannot write {target}: {os.strerror(errno.ENAMETOOLONG)}; choose a shorter name")
    assert names(tmp_path) == []
