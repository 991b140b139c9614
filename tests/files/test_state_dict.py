"""Hold that a state dict is read exactly or refused in one sentence, and that nothing in it is run."""

import io
import os
import pickle
import re
import sys
import zipfile
from collections import OrderedDict

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from upstroke.errors import FileError, MissingExtraError
from upstroke.files import read_state_dict
from upstroke.files.kind import kind_of

WANTED = "weights must be tensors by name, in a .safetensors file or a state dict saved by torch.save"
ALONE = "save the state dict alone, with safetensors"
OBJECTS = f"holds pickled Python objects, which are programs and are never run; {ALONE}"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("the pickle was run",)


def refused(path, what):
    message = what if str(path) in what else f"{WANTED}; {path} {what}"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        read_state_dict(path)


def save_old(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


SAVERS = {"safetensors": save_file, "torch.save": torch.save, "old torch.save": save_old}


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    drawn = {str(dtype): (torch.randn(2, 3, 4, 5, generator=generator) * 4).to(dtype) for dtype in DTYPES}
    return drawn | {"up.bias": torch.randn(3, generator=generator), "one": torch.tensor(3)}


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("name", ["g.pth", "g.safetensors", "g"])
def test_tensors_come_back_exactly_whatever_the_file_is_called(tmp_path, tensors, kind, name):
    path = tmp_path / name
    SAVERS[kind](tensors, path)
    assert kind_of(path, wanted="") == kind
    state = read_state_dict(str(path))
    assert list(state.tensors) == list(tensors) or kind == "safetensors"
    assert state.tensors.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert state.tensors[key].dtype == tensor.dtype
        assert torch.equal(state.tensors[key], tensor)
    assert (state.file, state.key, state.prefix) == (str(path), None, "")


@pytest.mark.parametrize("kind", ["torch.save", "old torch.save"])
def test_the_state_dict_of_a_module(tmp_path, kind):
    path = tmp_path / "g.pth"
    model = nn.Sequential(nn.ConvTranspose2d(2, 3, 4), nn.BatchNorm2d(3))
    SAVERS[kind](model.state_dict(), path)
    model.load_state_dict(dict(read_state_dict(path).tensors))


@pytest.mark.parametrize(
    "key", ["state_dict", "model", "model_state_dict", "params", "params_ema", "generator", "g_ema"]
)
def test_a_checkpoint_with_one_state_dict(tmp_path, key):
    path = tmp_path / "last.ckpt"
    inner = OrderedDict({"up.weight": torch.ones(2, 3)})
    torch.save({"epoch": 3, key: inner, "optimizer": {"state": {}, "param_groups": [1]}}, path)
    state = read_state_dict(path)
    assert (list(state.tensors), state.key, state.prefix) == (["up.weight"], key, "")


def test_a_prefix_is_left_out_only_if_every_name_has_it(tmp_path):
    path = tmp_path / "g.safetensors"
    save_file({"module.a": torch.ones(2), "module.module.b": torch.ones(3)}, path)
    state = read_state_dict(path)
    assert (sorted(state.tensors), state.prefix) == (["a", "module.b"], "module.")
    save_file({"module.a": torch.ones(2), "b": torch.ones(3)}, path)
    state = read_state_dict(path)
    assert (sorted(state.tensors), state.prefix) == (["b", "module.a"], "")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (torch.ones(2), f"holds one tensor without a name; {ALONE}"),
        ([torch.ones(2)], f"holds a list; {ALONE}"),
        ({}, "holds nothing"),
        ({0: torch.ones(2)}, f"names tensors by numbers; {ALONE}"),
        ({"up": torch.ones(2), "epoch": 3}, f"holds entries that are none (epoch); {ALONE}"),
        ({"model": {}, "a\nb": 1}, f"holds entries that are none (model, 'a\\nb'); {ALONE}"),
        (
            dict.fromkeys("abcdef", 1),
            f"holds entries that are none (a, b, c, d and 2 more); {ALONE}",
        ),
        (
            {"params": {"w": torch.ones(2)}, "params_ema": {"w": torch.ones(2)}},
            (
                "holds several state dicts, params, params_ema; save the one that is meant alone, with "
                "safetensors"
            ),
        ),
    ],
)
@pytest.mark.parametrize("save", [torch.save, save_old])
def test_what_is_no_state_dict(tmp_path, content, what, save):
    path = tmp_path / "g.pth"
    save(content, path)
    refused(path, what)


@pytest.mark.parametrize(
    "content", [Trap(), {"w": torch.ones(2), "trap": Trap()}, nn.ConvTranspose2d(2, 3, 4)]
)
def test_nothing_is_run(tmp_path, content):
    path = tmp_path / "g.safetensors"
    for save in (torch.save, save_old):
        save(content, path)
        refused(path, OBJECTS)
    if not isinstance(content, nn.Module):
        for protocol in (2, 3, 4, 5):
            path.write_bytes(pickle.dumps(content, protocol=protocol))
            refused(path, OBJECTS)


def test_a_trap_in_an_archive_that_torch_would_read(tmp_path):
    path = tmp_path / "g.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("g/data.pkl", pickle.dumps(Trap(), protocol=2))
        archive.writestr("g/version", "3\n")
    refused(path, OBJECTS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_are_not_loaded(tmp_path):
    path = tmp_path / "g.pth"
    layer = nn.ConvTranspose2d(2, 3, 4)
    torch.jit.script(layer).save(path)
    code = "program, and loading it can run code"
    refused(path, f"is a TorchScript {code}; {ALONE}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("g/archive_format", "pt2")
        archive.writestr("g/models/model.json", "{}")
    refused(path, f"is an exported {code}; {ALONE}")


def test_other_files(tmp_path):
    path = tmp_path / "g.pth"
    again = "save the state dict with safetensors"
    for content, what in (
        (b"", "is empty"),
        (b"hello, weights", f"is neither; {again}"),
        (b"\x80", f"is neither; {again}"),
        (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file; {again}"),
        (b"PK\x03\x04", "starts like a zip archive, but is cut short or damaged; fetch it again"),
    ):
        path.write_bytes(content)
        refused(path, what)
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.ones(3))
    path.write_bytes(buffer.getvalue())
    refused(path, f"is one array without a name; {again}")
    numpy.savez(tmp_path / "g.npz", w=numpy.ones(3))
    refused(tmp_path / "g.npz", f"is a zip archive, but not PyTorch's; {again}")


def test_what_is_no_file(tmp_path):
    refused(tmp_path, f"{WANTED}; {tmp_path} is a folder")
    missing = tmp_path / "no.pth"
    refused(missing, f"{WANTED}; there is no file {missing}")
    refused("x" * 5000, f"{WANTED}; there is no file {'x' * 5000}")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", f"{WANTED}; {tmp_path / 'pipe'} is a device or a pipe, not a file")


@pytest.mark.parametrize("kind", SAVERS)
def test_what_is_cut_short_is_refused_wherever_it_is_cut(tmp_path, tensors, kind):
    path = tmp_path / "g.pth"
    SAVERS[kind](tensors, path)
    whole = path.read_bytes()
    for length in sorted({*range(len(whole) // 50, len(whole), len(whole) // 23), len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError) as caught:
            read_state_dict(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_sentence_of_a_file_that_is_damaged(tmp_path):
    path = tmp_path / "g.pth"
    save_old({"w": torch.ones(9)}, path)
    path.write_bytes(path.read_bytes()[:-12])
    refused(path, f"{path} starts like a file of torch.save, but it cannot be read; fetch it again")
    save_file({"w": torch.ones(9)}, path)
    path.write_bytes(path.read_bytes()[:-12])
    refused(path, f"{path} starts like a .safetensors file, but it cannot be read; fetch it again")


def test_a_file_the_system_keeps_back(tmp_path, monkeypatch):
    path = tmp_path / "g.pth"
    torch.save({"w": torch.ones(2)}, path)

    def no(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", no)
    refused(path, f"{WANTED}; {path} could not be read: permission denied")


def test_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "g.safetensors"
    save_file({"w": torch.ones(2)}, path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    message = f"reading {path} needs the package safetensors; pip install 'upstroke[train]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$"):
        read_state_dict(path)


def test_a_list_of_names_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(2**26 + 1))
        archive.writestr("bomb/version", "3")
    refused(
        path,
        f"{path} lists its tensors in 67108865 bytes, more than any network has names for; fetch it again from a source you trust",
    )
