"""Hold that weights are read exactly or refused in one sentence, and never run."""

import pickle
import re
import zipfile

import numpy
import pytest
import torch
from safetensors.torch import save_file

from upstroke.errors import FileError
from upstroke.files.weights import read_weights

WANTED = "weights must be a .npy file, or one tensor of a .safetensors file named as FILE:KEY"


class Trap:
    def __reduce__(self):
        return pytest.fail, ("the pickle was run",)


def refused(source, message):
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_weights(str(source))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_npy_comes_back_exactly(tmp_path, dtype):
    path = tmp_path / "kernel.npy"
    stored = numpy.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(dtype)
    numpy.save(path, stored)
    read = read_weights(str(path))
    assert (read.array == stored).all()
    assert read.array.dtype == ("float64" if dtype == "float64" else "float32")
    assert (read.file, read.key, read.dtype) == (str(path), None, str(numpy.dtype(dtype)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_safetensors_come_back_exactly(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    stored = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_file({"up.weight": stored, "a:b": stored + 1}, path)
    read = read_weights(f"{path}:up.weight")
    assert torch.equal(torch.from_numpy(read.array).to(dtype), stored)
    assert read.name == f"{path}:up.weight"
    assert read_weights(f"{path}:a:b").key == "a:b"


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = tmp_path / "kernel:2.pth"
    with path.open("wb") as file:
        numpy.save(file, numpy.ones((3, 3)))
    assert read_weights(str(path)).array.shape == (3, 3)


def test_a_missing_key_lists_the_kernels(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"up.weight": torch.ones(2, 3, 4, 5), "up.bias": torch.ones(3)}, path)
    listed = "it holds up.weight (2x3x4x5) and 1 more"
    refused(path, f"name one tensor of {path} as {path}:KEY; no key was given; {listed}")
    refused(f"{path}:down", f"name one tensor of {path} as {path}:KEY; there is no 'down'; {listed}")


def test_nothing_is_unpickled(tmp_path):
    objects, plain = tmp_path / "o.npy", tmp_path / "k.npy"
    numpy.save(objects, numpy.array([Trap()], dtype=object), allow_pickle=True)
    refused(
        objects, f"{objects} holds pickled Python objects, which are never run; save a plain array of floats"
    )
    plain.write_bytes(pickle.dumps(Trap()))
    refused(
        plain,
        f"{WANTED}; {plain} is a pickle, which is a program and is never run; save the tensors with safetensors",
    )
    torch.save({"w": torch.ones(2)}, plain)
    zipped = "a zip archive, as .npz and PyTorch's .pt and .pth files are; save the array with numpy.save"
    refused(plain, f"{WANTED}; {plain} is {zipped}")
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a.npy", b"")
    refused(plain, f"{WANTED}; {plain} is {zipped}")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "empty"), (b"hello, weights", "neither; save the array with numpy.save")],
)
def test_what_is_no_weights_file_is_said(tmp_path, content, kind):
    path = tmp_path / "k.npy"
    path.write_bytes(content)
    refused(path, f"{WANTED}; {path} is {kind}")


def test_a_missing_file_is_said(tmp_path):
    refused(tmp_path / "no.npy", f"{WANTED}; there is no file {tmp_path / 'no.npy'}")
    refused(tmp_path, f"{WANTED}; {tmp_path} is a folder")
    refused("x" * 5000, f"{WANTED}; there is no file {'x' * 5000}")


def test_what_is_cut_short_is_said(tmp_path):
    whole, cut = tmp_path / "whole.npy", tmp_path / "cut.npy"
    numpy.save(whole, numpy.ones((8, 8)))
    cut.write_bytes(whole.read_bytes()[:-12])
    refused(cut, f"{cut} is cut short: its header promises 512 bytes of numbers and 500 are there")
    cut.write_bytes(whole.read_bytes()[:20])
    refused(
        cut, f"{cut} starts like a .npy file, but its header cannot be read; save it again with numpy.save"
    )
    save_file({"w": torch.ones(8, 8)}, whole)
    cut.write_bytes(whole.read_bytes()[:-12])
    with pytest.raises(FileError, match=f"^{re.escape(str(cut))} starts like a .safetensors file, but"):
        read_weights(f"{cut}:w")


@pytest.mark.parametrize("dtype", ["int64", "complex64", "bool"])
def test_weights_are_floats(tmp_path, dtype):
    path = tmp_path / "k.npy"
    numpy.save(path, numpy.ones((3, 3), dtype=dtype))
    refused(path, f"weights must be floating-point numbers; {path} holds {dtype}; save an array of float32")


def test_tensors_are_floats(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"steps": torch.ones(3, dtype=torch.int64)}, path)
    refused(
        f"{path}:steps",
        f"weights must be floating-point numbers; {path}:steps holds int64; name a tensor of floats",
    )


def test_weights_are_finite_and_there(tmp_path):
    path = tmp_path / "k.npy"
    numpy.save(path, numpy.array([1.0, numpy.nan, -numpy.inf]))
    refused(
        path,
        f"weights must be finite; 2 of the 3 in {path} are NaN or infinite; take a checkpoint from before they "
        "became so",
    )
    numpy.save(path, numpy.ones((0, 3)))
    refused(path, f"weights must be an array of one number or more; {path} has shape (0, 3)")


def test_an_array_has_no_key(tmp_path):
    path = tmp_path / "k.npy"
    numpy.save(path, numpy.ones(3))
    refused(f"{path}:w", f"{path} is a .npy file, which holds one array without a name; leave out ':w'")
