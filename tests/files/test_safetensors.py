"""Hold files of weights: what is written is read again, and nothing else is taken for one."""

import errno
import os
import re

import pytest
import torch

from upstroke.errors import FileError, OptionError
from upstroke.files import place
from upstroke.files.safetensors import read_safetensors, write_safetensors


def says(message):
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_and_metadata_come_back(tmp_path, dtype):
    tensors = {"a.weight": torch.arange(6).reshape(2, 3).to(dtype), "scale": torch.tensor(3).to(dtype)}
    metadata = {"factor": [4, 2], "names": {"sst": "°C"}, "none": None, "rate": 0.1}
    write_safetensors(tmp_path / "m.safetensors", tensors, metadata)
    found, words = read_safetensors(tmp_path / "m.safetensors")
    assert words == metadata
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor)


def test_tensors_with_gaps_and_shared_memory_are_written(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    write_safetensors(tmp_path / "m.safetensors", {"part": whole[:, 1::2], "turned": whole.T, "again": whole})
    found, words = read_safetensors(tmp_path / "m.safetensors")
    assert words == {}
    assert torch.equal(found["part"], whole[:, 1::2])
    assert torch.equal(found["turned"], whole.T)


def test_the_same_content_is_the_same_bytes(tmp_path):
    for name in "ab":
        tensors = {str(number): torch.full((3,), number) for number in range(20)}
        write_safetensors(tmp_path / name, tensors, {"x": 1, "y": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_is_there_stays(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {"a": torch.ones(1)})
    message = f"cannot write {path}: it exists already; choose another name or allow overwriting"
    with pytest.raises(FileError, match=says(message)):
        write_safetensors(path, {"a": torch.zeros(1)})

    def full(descriptor, pieces):
        os.close(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(place, "_write_through", full)
        message = f"cannot write {path}: No space left on device; free some space or choose another disk"
        with pytest.raises(FileError, match=says(message)):
            write_safetensors(path, {"a": torch.zeros(1)}, overwrite=True)
    assert read_safetensors(path)[0]["a"].item() == 1
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_metadata_that_json_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(OptionError, match=r"^metadata must be what JSON can hold: .*; leave it out$"):
        write_safetensors(tmp_path / "m.safetensors", {}, {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path):
    pickled, cut = tmp_path / "model.pt", tmp_path / "cut.safetensors"
    torch.save({"a": torch.ones(1)}, pickled)
    message = (
        f"weights must be tensors by name, in a .safetensors file; {pickled} is none; name the file that a training "
        "run has written"
    )
    with pytest.raises(FileError, match=says(message)):
        read_safetensors(pickled)
    write_safetensors(tmp_path / "m.safetensors", {"a": torch.ones(99)})
    cut.write_bytes((tmp_path / "m.safetensors").read_bytes()[:-8])
    message = f"{cut} starts like a .safetensors file, but it cannot be read; fetch it again"
    with pytest.raises(FileError, match=says(message)):
        read_safetensors(cut)
    with pytest.raises(FileError, match=r"^weights must be tensors by name, .*; there is no file"):
        read_safetensors(tmp_path / "none.safetensors")


def test_numbers_that_lie_between_the_addresses_of_numbers_are_moved(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": torch.arange(5.0)})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    for more in range(4):
        header = data[8 : 8 + length].rstrip() + b" " * more
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
        tensors, _ = read_safetensors(path)
        assert tensors["a"].tolist() == [0, 1, 2, 3, 4]
        assert tensors["a"].data_ptr() % 4 == 0
