"""Pictures become a run that draws, goes on after a kill bit for bit, and refuses other pictures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from drawn_pictures import encoded, write_pictures

from upstroke.apps.generate import learning
from upstroke.apps.generate.learning import Learning
from upstroke.apps.generate.model import load_model
from upstroke.apps.generate.training import train
from upstroke.errors import FileError, OptionError
from upstroke.files.safetensors import read_safetensors, write_safetensors
from upstroke.train.folder import read_config

HERE = Path(__file__).parent
SMALL = {
    "steps": 4,
    "size": 32,
    "latent": 5,
    "width": 2,
    "batch": 4,
    "precision": "32",
    "device": "cpu",
    "progress": False,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures") / "data", channels=1)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    plans = []
    return train(data, tmp_path_factory.mktemp("runs") / "run", show=plans.append, **SMALL), plans


def test_a_run_holds_all_that_drawing_needs(trained, data):
    found, (plan,) = trained
    model = load_model(found.out)
    assert model.settings == read_config(found.out)["settings"]["generator"]
    assert (model.settings["balanced"], model.network.balanced) == (True, False)
    assert model.record["data"]["path"] == str(data.resolve())
    assert (model.record["data"]["pictures"], model.record["data"]["size"]) == (20, 32)
    pictures = model.draw(model.latents(range(3), seed=0))
    assert (pictures.shape, pictures.dtype) == ((3, 1, 32, 32), numpy.uint8)
    assert plan["generator"]["parameters"] == sum(each.numel() for each in model.network.parameters())
    assert plan["epochs"] == 4 / 5
    assert (plan["judged"], plan["every"], found.steps) == (64, 1, 4)
    sheets = sorted(path.name for path in (found.out / "pictures").glob("*.png"))
    assert sheets == [f"samples-{step:08}.png" for step in range(1, 5)]
    assert model.record["judged"] == {"kid": found.kid, "diversity": found.diversity}
    assert "samples" in found.report.read_text()


def test_samples_follow_from_seed_and_number_alone(trained):
    model = load_model(trained[0].weights)
    many, few = (model.draw(model.latents(numbers, seed=7)) for numbers in (range(20), (3, 17)))
    # another batch may be rounded otherwise
    assert numpy.abs(many[[3, 17]].astype(int) - few).max() <= 1
    assert not numpy.array_equal(few, model.draw(model.latents((3, 17), seed=8)))


def test_weights_are_the_averaged_ones_in_balance(trained):
    model = load_model(trained[0].out)
    checkpoint = torch.load(trained[0].out / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(model.network.sketch.weight, checkpoint["average.module.levels.0.0.weight"])
    for up in model.network.ups:
        # kernel 4, stride 2: taps of a phase are every other one
        gains = up.weight.unflatten(2, (2, 2)).unflatten(4, (2, 2)).sum(dim=(2, 4))
        torch.testing.assert_close(gains, gains[..., :1, :1].expand_as(gains), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("recipe", "precision", "workers"), [("r1", "32", 0), ("spectral", "bf16", 1), ("dcgan", "32", 0)]
)
def test_a_run_that_is_killed_and_resumed_has_the_weights_of_one_that_is_not(recipe, precision, workers):
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_generate_run.py"), recipe, precision, str(workers)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    told = json.loads(done.stdout)
    assert (told["killed"], told["steps"], told["same"], told["last"]) == (-9, 24, True, True)
    assert told["kept"] == 16
    assert told["drawn"] == [1, 1, 32, 32]
    assert told["kid"][0] == told["kid"][1]


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
def test_two_processes_train_one_generator(tmp_path):
    write_pictures(tmp_path / "data", channels=1)
    done = subprocess.run(
        [sys.executable, str(HERE / "two_generate_processes.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # no advert and no warning of others, from either process
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "parts")
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor)


def test_other_pictures_or_settings_are_refused_at_a_resume(trained, data, tmp_path):
    out = trained[0].out
    more = write_pictures(tmp_path / "more", count=21, channels=1)
    message = (
        "a resumed run must have the pictures, the size and the fit it was started with; these differ; bring "
        "them back, or start a new run"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        train(more, out, resume=True, **SMALL)
    with pytest.raises(OptionError, match=r"^a resumed run must have the settings it was started with; "):
        train(data, out, resume=True, **{**SMALL, "batch": 5})
    with pytest.raises(FileError, match=r"holds a run already; resume it, or choose another name$"):
        train(data, out, **SMALL)


def test_pictures_are_learnt(tmp_path):
    # a white square on one of nine places of a black picture
    more = {}
    for number in range(45):
        levels = numpy.zeros((32, 32), numpy.uint8)
        top, left = 4 + 8 * (number % 3), 4 + 8 * (number // 3 % 3)
        levels[top : top + 8, left : left + 8] = 200 + number
        more[f"{number}.png"] = encoded(levels)
    data = write_pictures(tmp_path / "data", count=0, more=more)
    options = {**SMALL, "width": 8, "batch": 16, "augment": "none", "average": 0.98, "steps": 300}
    found = train(data, tmp_path / "run", **options)
    model = load_model(found.out)
    drawn = model.draw(model.latents(range(64), seed=1)).astype(float)
    # mostly black, and somewhere bright
    assert numpy.median(drawn) < 60
    assert numpy.median(drawn.max(axis=(1, 2, 3))) > 150
    begun = train(data, tmp_path / "begun", **{**options, "steps": 1})
    assert found.kid < begun.kid / 2


def test_minutes_become_steps(data, tmp_path):
    options = {name: value for name, value in SMALL.items() if name != "steps"}
    plans = []
    found = train(data, tmp_path / "run", minutes=0.01, show=plans.append, **options)
    assert found.steps == plans[0]["steps"] >= 1
    # a resumed run has the steps that were found, not those of another measurement
    again = train(data, tmp_path / "run", minutes=0.01, resume=True, **options)
    assert again.steps == found.steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "wgan"}, "a recipe is one of r1, spectral, dcgan; got 'wgan'"),
        ({"size": 48}, None),
        ({"rate": 0.0}, "a learning rate must be a number above 0; got 0"),
        ({"average": 1.0}, "average is a share of the old from 0, which keeps none, to below 1; got 1"),
        ({"batch": 1}, "a recipe has a batch of 2 or more, because norms and spreads are over pictures, and 1 or more steps; got a batch of 1, 20000 steps and a penalty every 8"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_before_pictures_are_read(tmp_path, options, message):
    with pytest.raises(OptionError, match=None if message is None else f"^{re.escape(message)}$"):
        train(tmp_path / "nothing", tmp_path / "run", **{**SMALL, **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.pop("schema"), "has none; name what upstroke generate train wrote"),
        (lambda record: record.pop("generator"), "does not say how its generator is made; fetch it again, or train anew"),
        (lambda record: record["generator"].update(width=10**9), "width of a generator must be a whole number from 1 to 2048; "),
        (lambda record: record["generator"].update(width=3), "do not fit what the file says of them: "),
        (lambda record: record["generator"].update(method="magic"), "do not fit what the file says of them: "),
        (lambda record: record["generator"].update(more=1), "do not fit what the file says of them: "),
    ],
)  # fmt: skip
def test_a_file_that_says_something_else_is_refused(trained, tmp_path, change, words):
    tensors, record = read_safetensors(trained[0].weights)
    change(record)
    write_safetensors(tmp_path / "model.safetensors", tensors, record)
    with pytest.raises(FileError, match=re.escape(words)):
        load_model(tmp_path)


def test_weights_that_are_no_numbers_are_refused(trained, tmp_path):
    tensors, record = read_safetensors(trained[0].weights)
    tensors["levels.0.0.weight"][0, 0, 0, 0] = torch.nan
    write_safetensors(tmp_path / "a.safetensors", tensors, record)
    message = f"weights must be numbers; {tmp_path / 'a.safetensors'} holds NaN or infinity; train anew"
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path / "a.safetensors")
    message = (
        f"a model that draws must be a training run or its model.safetensors; there is no {tmp_path / 'b'}; "
        "train one by upstroke generate train"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        load_model(tmp_path / "b")


def test_the_last_weights_are_kept_unless_samples_have_collapsed(data, tmp_path, monkeypatch):
    real = Learning.validation_step
    varied = {1: 0.3, 2: 0.7, 3: 1.1, 4: 0.4}

    def seen(task, batch):
        monkeypatch.setattr(learning, "diversity", lambda *_: SimpleNamespace(ratio=varied[task.global_step]))
        real(task, batch)

    monkeypatch.setattr(Learning, "validation_step", seen)
    found = train(data, tmp_path / "run", **SMALL)
    assert (found.steps, found.best_step, found.diversity) == (4, 3, 1.1)
    varied.update({2: 2.3, 3: 0.4})
    found = train(data, tmp_path / "all", **SMALL)
    # where all have collapsed, the last
    assert (found.best_step, found.diversity) == (4, 0.4)
    varied[4] = 1.9
    assert train(data, tmp_path / "none", **SMALL).best_step == 4
