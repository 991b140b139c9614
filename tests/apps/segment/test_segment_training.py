"""A folder becomes a run that can be applied, goes on after a kill bit for bit, and refuses other data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_pictures import write_spots

from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.survey import survey
from upstroke.apps.segment.training import train
from upstroke.apps.segment.weights import balance
from upstroke.errors import FileError, OptionError
from upstroke.files.safetensors import read_safetensors
from upstroke.nn import UNet
from upstroke.train.folder import read_config

HERE = Path(__file__).parent
SMALL = {
    "preset": "tiny",
    "steps": 4,
    "widths": (3, 5),
    "precision": "32",
    "device": "cpu",
    "progress": False,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_spots(tmp_path_factory.mktemp("spots"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    plans = []
    return train(data, tmp_path_factory.mktemp("runs") / "run", show=plans.append, **SMALL), plans


def test_a_run_holds_all_that_applying_it_needs(trained, data):
    found, (plan,) = trained
    tensors, metadata = read_safetensors(found.weights)
    recipe = Recipe.from_json(metadata)
    network = UNet(**recipe.unet)
    network.load_state_dict(dict(tensors))
    assert all(each.dtype == torch.float32 for each in tensors.values())
    assert recipe.classes.names == ("background", "foreground")
    settings = read_config(found.out)["settings"]
    cases = settings["cases"]
    assert sorted(cases["train"] + cases["validation"]) == [f"spot{k}" for k in range(6)]
    assert (len(cases["validation"]), found.cases, plan["validation"]["checked"]) == (1, 1, 1)
    assert metadata["held_out"] == {
        "dice": {"foreground": found.mean_dice},
        "cases": 1,
        "step": found.best_step,
    }
    assert [join["drift"] for join in plan["network"]["joins"]] == [["0", "0"]]
    assert (found.out / "pictures").is_dir()
    assert plan["steps"] == 4
    assert plan["weights"] is None


def test_the_original_network_is_trained_with_weights_of_what_it_learns_from_alone(data, tmp_path):
    plans, options = [], {**SMALL, "preset": "original", "patch": (28, 32)}
    found = train(data, tmp_path / "run", show=plans.append, **options)
    settings = read_config(found.out)["settings"]
    classes = Recipe.from_json(read_safetensors(found.weights)[1]).classes
    learnt = [case for case in find_cases(data) if case.name in settings["cases"]["train"]]
    wanted = {"classes": list(balance(survey(learnt, classes=classes).masks)), "border": 10.0, "sigma": 5.0}
    assert plans[0]["weights"] == settings["optimizer"]["weights"] == wanted
    assert wanted["classes"] != list(balance(survey(find_cases(data), classes=classes).masks))
    assert plans[0]["network"]["settings"]["bottom_dropout"] == 0.5
    again = train(data, tmp_path / "run", resume=True, **options)
    assert again.mean_dice == found.mean_dice


def test_the_original_network_learns_without_a_norm(data, tmp_path):
    options = {**SMALL, "preset": "original", "widths": (8, 16), "patch": (36, 40), "steps": 120}
    found = train(data, tmp_path / "run", **options)
    # what answers foreground everywhere, or nowhere, has less than half
    assert found.mean_dice > 0.8


@pytest.mark.parametrize(("precision", "workers"), [("32", 0), ("bf16", 1)])
def test_a_run_that_is_killed_and_resumed_has_the_weights_of_one_that_is_not(precision, workers):
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_segment_run.py"), precision, str(workers)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    told = json.loads(done.stdout)
    assert (told["killed"], told["kept"], told["steps"], told["same"]) == (-9, 10, 24, True)
    assert told["dice"][0] == told["dice"][1]


def test_other_cases_or_settings_are_refused_at_a_resume(trained, data, tmp_path):
    out = trained[0].out
    more = write_spots(tmp_path / "more", count=7)
    changed = "a resumed run must have the cases it was started with; of those to learn from "
    with pytest.raises(OptionError, match=f"^{re.escape(changed)}"):
        train(more, out, resume=True, **SMALL)
    with pytest.raises(
        OptionError, match=r"^a resumed run must have the settings it was started with; batch was 2 in "
    ):
        train(data, out, resume=True, batch=3, **SMALL)
    with pytest.raises(FileError, match=r"holds a run already; resume it, or choose another name$"):
        train(data, out, **SMALL)


def test_minutes_become_steps_and_volumes_a_network_that_fits_their_voxels(tmp_path):
    data = write_spots(tmp_path / "data", size=(9, 18, 21), count=3)
    options = {name: value for name, value in SMALL.items() if name != "steps"}
    plans = []
    found = train(data, tmp_path / "run", minutes=0.005, show=plans.append, **options)
    (plan,) = plans
    assert found.steps == plan["steps"] >= 1
    # voxels of 2 x 1 x 1 mm
    assert plan["network"]["settings"]["strides"] == [[1, 2, 2]]
    assert plan["network"]["settings"]["kernels"] == [[1, 3, 3], [3, 3, 3]]
