"""An exported generator draws what the run draws: in ONNX Runtime, read back, and in plain PyTorch layers."""

import json
import re
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from apps.generate.generate_saved import saved
from upstroke.apps.generate.export import BATCHES, BOUND, export
from upstroke.apps.generate.model import load_model
from upstroke.errors import BackendError, FileError
from upstroke.files.safetensors import read_safetensors
from upstroke.nn import Generator
from upstroke.nn.upsampler import Method

FORMS = {
    **{method: {"method": method} for method in get_args(Method)},
    "balanced, k4": {"balanced": True, "channels": 3},
    "k3": {"kernel": 3, "icnr": True},
    "biases": {"norm": "none", "method": "subpixel", "balanced": True},
    "64 pixels": {"size": 64, "width": 2},
}


def onnx_answer(path, z):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["latent"]
    return torch.from_numpy(session.run(["pictures"], {"latent": z.numpy()})[0])


@pytest.mark.parametrize("form", FORMS)
def test_onnx_runtime_draws_what_the_run_draws_in_numbers_that_were_not_compared(form, tmp_path):
    run = saved(tmp_path / "run", **FORMS[form])
    made = export(run, tmp_path / "m.onnx")
    assert [each.batch for each in made.compared] == list(BATCHES)
    assert made.difference <= BOUND
    model = load_model(run)
    z = model.latents(range(20, 27), seed=5)
    wanted = model.network(z)
    assert wanted.std() > 0.01
    got = onnx_answer(made.target, z)
    torch.testing.assert_close(got, wanted, atol=BOUND * float(wanted.abs().max()), rtol=0)
    assert tuple(got.shape[1:]) == made.picture


def test_the_file_says_what_it_is_and_not_where_pictures_lie(tmp_path):
    onnx = pytest.importorskip("onnx")
    run = saved(tmp_path / "run", balanced=True)
    model = onnx.load(export(run, tmp_path / "m.onnx").target)
    words = {each.key: json.loads(each.value) for each in model.metadata_props}["upstroke"]
    export(run, tmp_path / "m.safetensors")
    _, read = read_safetensors(tmp_path / "m.safetensors")
    assert words == read
    assert words["schema"] == "upstroke.generate-model/1"
    assert words["generator"] == load_model(run).settings
    assert words["data"] == {"path": "faces.zip", "pictures": 400}
    assert b"/home/me" not in (tmp_path / "m.safetensors").read_bytes()
    assert [each.version for each in model.opset_import if not each.domain] == [18]


@pytest.mark.parametrize("method", get_args(Method))
def test_weights_that_are_read_back_draw_the_same_bytes(method, tmp_path):
    run = saved(tmp_path / "run", method=method)
    made = export(run, tmp_path / "m.safetensors")
    assert (made.kind, made.opset, made.difference) == ("safetensors", None, 0.0)
    ours, theirs = load_model(run), load_model(made.target)
    z = ours.latents(range(5), seed=1)
    np.testing.assert_array_equal(theirs.draw(z), ours.draw(z))


def test_the_original_in_plain_layers_takes_the_weights(tmp_path):
    made = export(saved(tmp_path / "run", channels=3, size=64), tmp_path / "m.safetensors")
    tensors, _ = read_safetensors(made.target)
    layers: list[nn.Module] = [nn.ConvTranspose2d(6, 24, 4, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    for wide in (24, 12, 6):
        layers += [nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(wide // 2), nn.ReLU()]
    layers += [nn.ConvTranspose2d(3, 3, 4, 2, 1, bias=False), nn.Tanh()]
    plain = nn.Sequential(*layers).eval()
    # level i of ours is the three layers from 3 i on, there
    renamed = {}
    for name, tensor in tensors.items():
        _, level, layer, rest = name.split(".", 3)
        renamed[f"{3 * int(level) + int(layer)}.{rest}"] = tensor
    plain.load_state_dict(renamed, strict=True)
    model = load_model(made.target)
    z = model.latents(range(4), seed=0)
    torch.testing.assert_close(plain(z[:, :, None, None]), model.network(z), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "by"), [("m.onnx", "ONNX Runtime"), ("m.safetensors", "the file")])
def test_a_generator_that_would_draw_otherwise_is_not_written(name, by, tmp_path, monkeypatch):
    run = saved(tmp_path / "run")
    drawing = Generator.forward
    calls = []

    def drifting(self, z):
        calls.append(0)
        return drawing(self, z) + 0.01 * len(calls)

    monkeypatch.setattr(Generator, "forward", drifting)
    message = (
        f"{by} must draw as the run does, to 0.0001 of the largest value; of 1 latent vectors it differs by"
    )
    with pytest.raises(BackendError, match=f"^{re.escape(message)} .*; nothing was written$"):
        export(run, tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_file_that_is_there_stays(tmp_path):
    run, target = saved(tmp_path / "run"), tmp_path / "m.safetensors"
    target.write_text("mine")
    message = f"cannot write {target}: it exists already; choose another name or allow overwriting"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        export(run, target)
    assert target.read_text() == "mine"
    assert export(run, target, overwrite=True).bytes == target.stat().st_size


def test_a_run_is_not_written_over_by_itself(tmp_path):
    run = saved(tmp_path / "run")
    target = run / "model.safetensors"
    before = target.read_bytes()
    message = f"a result must not be what is read; got {target} for both; name another file"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        export(run, target, overwrite=True)
    assert target.read_bytes() == before


def test_a_name_of_no_kind_is_refused(tmp_path):
    run = saved(tmp_path / "run")
    message = (
        f"the name of an exported generator must end in .onnx or .safetensors; got {tmp_path / 'm.pt'}; "
        "name it m.onnx"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        export(run, tmp_path / "m.pt")
    assert not (tmp_path / "m.pt").exists()
