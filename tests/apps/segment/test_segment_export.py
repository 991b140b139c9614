"""An exported network answers in ONNX Runtime as the run does in PyTorch, at any size, and is found so by `check`."""

import re

import numpy as np
import pytest
import torch

from upstroke import check
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.export import BOUND, export
from upstroke.apps.segment.model import load_model
from upstroke.apps.segment.normalise import Normalisation
from upstroke.apps.segment.recipe import Recipe
from upstroke.errors import BackendError, FileError
from upstroke.files.safetensors import write_safetensors
from upstroke.nn import UNet


def trained(folder, **settings):
    torch.manual_seed(0)
    net = UNet(2, 3, widths=(2, 4, 4), **settings)
    with torch.no_grad():
        for each in net.parameters():
            each.add_(torch.rand_like(each) * 0.1)
    recipe = Recipe(
        classes=Classes(values=(0, 7, 9), names=("background", "a", "b")),
        channels=2,
        ndim=net.ndim,
        unet=net.settings,
        normalisation=Normalisation(),
        spacing=None,
        patch=(32,) * net.ndim,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", net.state_dict(), recipe.as_json())
    return folder


FORMS = {
    "2-D": {},
    "2-D, samples": {"down": "conv", "up": "linear"},
    "2-D, mean, cubic": {"down": "mean", "up": "cubic", "norm": "group"},
    "2-D, separable, residual": {"up": "separable", "norm": "batch", "residual": True, "join": "add"},
    "2-D, valid": {"conv": "valid", "norm": "none", "activation": "relu"},
    "3-D, coarse": {"ndim": 3, "strides": [(1, 2, 2), 2], "kernels": [(1, 3, 3), 3, 3], "up": "nearest"},
    "3-D, cubic": {"ndim": 3, "up": "cubic"},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_answers_as_the_run_does_at_sizes_that_were_not_compared(form, tmp_path):
    run = trained(tmp_path / "run", **FORMS[form])
    made = export(run, tmp_path / "m.onnx")
    assert len(made.compared) == 3
    assert made.difference <= BOUND
    assert [sorted(each.size) for each in made.compared[1:]] != [sorted(made.least)] * 2
    ours, theirs = load_model(run), load_model(made.target)
    assert theirs.recipe == ours.recipe
    size = tuple(n + more for n, more in zip(made.least, (8, 21, 7), strict=False))
    x = np.random.default_rng(1).standard_normal((2, *size), dtype=np.float32)
    wanted = ours.logits(x)
    assert wanted.shape == (3, *size)
    np.testing.assert_allclose(theirs.logits(x), wanted, atol=BOUND * np.abs(wanted).max())


def test_an_exported_network_has_nothing_amiss_at_an_odd_size(tmp_path):
    made = export(trained(tmp_path / "run", up="linear", up_kernel=3), tmp_path / "m.onnx")
    report = check(made.target, (1, 2, 37, 50))
    assert {each.code for each in report.findings} & {"UP201", "UP202", "UP203", "UP204"} == set()
    assert len(report.as_json()["joins"]) == 2


def test_a_network_that_would_answer_otherwise_is_not_written(tmp_path, monkeypatch):
    run = trained(tmp_path / "run")
    monkeypatch.setattr(UNet, "forward", lambda self, x: self.heads[0](self._decoded(x)[0]) + x.mean().item())
    message = "ONNX Runtime must answer as PyTorch does, to 0.0001 of the largest logit; at size"
    with pytest.raises(BackendError, match=f"^{re.escape(message)} .*; nothing was written$"):
        export(run, tmp_path / "m.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run"]


def test_a_file_that_is_there_stays(tmp_path):
    run, target = trained(tmp_path / "run"), tmp_path / "m.onnx"
    target.write_text("mine")
    message = f"cannot write {target}: it exists already; choose another name or allow overwriting"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        export(run, target)
    assert target.read_text() == "mine"
    assert export(run, target, overwrite=True).bytes == target.stat().st_size


def test_a_name_that_predict_would_not_take_is_refused(tmp_path):
    run = trained(tmp_path / "run")
    message = f"the name of an ONNX file must end in .onnx; got {tmp_path / 'm.txt'}; name it m.onnx"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        export(run, tmp_path / "m.txt")
    assert not (tmp_path / "m.txt").exists()
