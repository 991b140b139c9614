"""Samples with a planted fault are told by the word for it, in record, text and page alike."""

import functools
import html
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from generate_saved import saved
from typer.testing import CliRunner

from upstroke.apps.generate import measures as of_measures
from upstroke.apps.generate.evaluate import evaluate
from upstroke.apps.generate.features import own_features
from upstroke.apps.generate.measures import measured
from upstroke.apps.generate.model import Model
from upstroke.apps.generate.synthetic import synthetic_flower
from upstroke.apps.generate.verdicts import verdicts
from upstroke.cli import app
from upstroke.errors import FileError, OptionError
from upstroke.files.png import png_bytes
from upstroke.report.generate_evaluated_text import generate_evaluated_text
from upstroke.report.generate_page import generate_page

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def soon_learnt(monkeypatch):
    """Features that are learnt in a few steps."""
    monkeypatch.setattr(of_measures, "own_features", functools.partial(own_features, steps=3))


def flowers(numbers):
    return np.stack([synthetic_flower(32, seed=number).transpose(2, 0, 1)[1:2] for number in numbers])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "<b>flowers"
    folder.mkdir()
    for number, picture in enumerate(flowers(range(60))):
        (folder / f"{number}<i>.png").write_bytes(png_bytes(picture[0]))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("judged") / "<script>run", width=4)


def judged(samples, real, *, is_trained_on=True):
    found = measured(samples, real)
    return {each.about: each for each in verdicts(found, is_trained_on=is_trained_on)}


def test_real_pictures_are_told_from_no_others():
    words = judged(flowers(range(200, 320)), flowers(range(120)))
    assert {name: each.is_good for name, each in words.items()} == dict.fromkeys(words, True)
    assert (words["grid"].word, words["diversity"].word, words["copies"].word) == (
        "at chance",
        "as varied",
        "none found",
    )


def test_a_grid_is_told():
    samples = flowers(range(200, 320)).astype(int)
    samples[..., ::2, 1::2] += 14
    words = judged(samples.clip(0, 255).astype(np.uint8), flowers(range(120)))
    assert words["grid"].word == words["shared"].word == "above both"
    assert (words["grid"].is_good, words["shared"].is_good) == (False, False)
    assert words["spectrum"].word == "too much at high frequencies"
    assert words["detector"].word == "told apart"


def test_a_grid_that_no_eye_sees_is_called_so():
    # a fifth of a level in common: one more level in one of four phases of every fifth picture
    samples = flowers(range(200, 400)).astype(int)
    samples[::4, :, ::2, 1::2] += 1
    words = judged(samples.clip(0, 255).astype(np.uint8), flowers(range(200)))
    assert words["grid"].word == "at chance"
    assert words["shared"].word in ("too faint to see", "as in real pictures", "at chance")
    assert words["shared"].is_good


def test_a_collapse_is_told():
    # three flowers again and again, each with some noise of its own
    few = flowers([200, 201, 202])[np.arange(120) % 3].astype(int)
    noise = np.random.default_rng(0).integers(-2, 3, few.shape)
    near = few[:1] // 1 + noise
    words = judged(near.clip(0, 255).astype(np.uint8), flowers(range(120)))
    assert (words["diversity"].word, words["diversity"].is_good) == ("collapsed", False)
    same = judged(few.astype(np.uint8), flowers(range(120)))
    assert same["diversity"].word in ("collapsed", "repeating")
    assert same["diversity"].is_good is False


def test_copies_are_told():
    real = flowers(range(120))
    samples = np.concatenate([real[:10], flowers(range(200, 310))])
    words = judged(samples, real)
    assert (words["copies"].word, words["copies"].is_good) == ("some copies", False)
    noise = np.random.default_rng(0).integers(-2, 3, real.shape)
    by_heart = judged((real.astype(int) + noise).clip(0, 255).astype(np.uint8), real)
    assert (by_heart["copies"].word, by_heart["copies"].is_good) == ("learned by heart", False)
    other = judged(flowers(range(200, 320)), real, is_trained_on=False)
    assert (other["copies"].word, other["copies"].is_good) == ("not judged", None)


def test_record_text_and_page_say_the_same(run, data):
    found = evaluate(run, data, samples=40, progress=False)
    record = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert record["data"]["is_trained_on"] is False
    assert record["missing"] == []
    text = " ".join(generate_evaluated_text(record, verbose=True).split())
    page = generate_page(record, found.pictures)
    said = " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())
    for each in record["verdicts"]:
        assert each["word"] in text
        assert each["word"] in said
    for row in record["single"]:
        assert f"grid of period {row['period']}: samples" in text
    for name in ("<script>", "<b>", "<i>"):
        assert name not in page
        assert html.escape(name) in page
    assert "The pictures of <b>flowers are not those that it was trained on" in text
    assert "://" not in page


def test_what_cannot_be_measured_is_left_open_with_its_reason(run, data):
    found = evaluate(run, data, samples=3, progress=False)
    record = json.loads(json.dumps(found.as_json(), allow_nan=False))
    missing = {each["measure"]: each["reason"] for each in record["missing"]}
    assert {"grid", "detector"} <= set(missing)
    words = {each["about"]: each for each in record["verdicts"]}
    assert words["detector"]["word"] == "not judged"
    assert words["detector"]["reason"] == missing["detector"]
    assert "not judged" in generate_page(record, found.pictures)
    assert "not judged" in generate_evaluated_text(record)


def test_samples_are_those_that_sample_draws(run, data, monkeypatch):
    asked = []
    real = Model.latents
    monkeypatch.setattr(
        Model,
        "latents",
        lambda self, numbers, *, seed: asked.append((list(numbers), seed)) or real(self, numbers, seed=seed),
    )
    evaluate(run, data, samples=70, seed=9, progress=False)
    assert asked == [(list(range(64)), 9), (list(range(64, 70)), 9)]


def test_pictures_that_are_gone_are_asked_for(run):
    message = (
        f"samples are held against the pictures that {run} was trained on; /home/me/faces.zip is gone; "
        "give their folder or zip as DATA"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        evaluate(run, samples=3, progress=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "html"], "a page is for a browser and not for a terminal; got no --output; give --output report.html"),
        (["--samples", "0"], "samples must be a whole number from 1 to 10000; got 0"),
        (["--feature-scale", "unit"], "an output and a scale are of a feature network that is given; got none; name its ONNX file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(run, data, words, message):
    result = CliRunner().invoke(app, ["generate", "evaluate", str(run), str(data), *words])
    assert (result.exit_code, result.stderr) == (2, f"upstroke: {message}\n")


def test_the_verb_writes_a_page_and_overwrites_nothing(run, data, tmp_path):
    words = ["generate", "evaluate", str(run), str(data), "--samples", "20", "--format", "html"]
    target = tmp_path / "report.html"
    done = CliRunner().invoke(app, [*words, "--output", str(target)])
    assert (done.exit_code, done.stderr) == (0, f"wrote {target}\n")
    assert target.read_text().startswith("<!doctype html>")
    again = CliRunner().invoke(app, [*words, "--output", str(target)])
    assert again.exit_code == 2
    model = run / "model.safetensors"
    before = model.read_bytes()
    onto = [
        "generate",
        "evaluate",
        str(model),
        str(data),
        "--samples",
        "20",
        "--output",
        str(model),
        "--overwrite",
    ]
    assert CliRunner().invoke(app, onto).exit_code == 2
    assert model.read_bytes() == before


def test_samples_out_of_range_are_refused(run):
    with pytest.raises(OptionError, match=r"^samples must be a whole number from 1 to 10000; got 10001$"):
        evaluate(run, samples=10_001)
