"""Hold what the command line does at its edges: closed streams, odd names, pipes, numbers no net has."""

import json
import os
import subprocess
import sys

import numpy
import pytest
from PIL import Image
from typer.testing import CliRunner

from upstroke.cli import app, output
from upstroke.errors import FileError
from upstroke.plan import Transposed, plan_unet

LADDER = ("plan", "generator", "--from", "4", "--to", "64", "--kernel", "4", "--padding", "1")
LAYER = ("inspect", "transposed", "--kernel", "4", "--padding", "1")


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="upstroke")


def refused(sentence, *words):
    result = call(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "noise.png"
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64), dtype=numpy.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", [LADDER, ("--help",)])
@pytest.mark.parametrize(
    ("where", "reason"), [(">/dev/full", "no space left on device"), (">&-", "it is closed")]
)
def test_a_standard_output_that_takes_nothing(words, where, reason):
    command = ["sh", "-c", f'exec "$@" {where}', "sh", sys.executable, "-m", "upstroke", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sentence = f"upstroke: cannot write to the standard output: {reason}; write to a file with --output\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("convs_per_level must be at most 100; got 1000000", ("--convs-per-level", "1000000")),
        ("kernel must be at most 1000; got 1001", ("--kernel", "1001")),
        ("--kernel must be at least 1; got '-1'", ("--kernel", "-1")),
        ("--depth must be at least 1; got '-1'", ("--depth", "-1")),
        ("--kernel must be at most 999999999; got '1000000000'", ("--kernel", "1000000000")),
    ],
)
def test_numbers_no_unet_has(sentence, words):
    refused(sentence, "plan", "unet", "--size", "64", *words)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("stride must be at most 100; got 101", ("--stride", "101")),
        ("dilation * (kernel - 1) + 1 must be at most 1000; got 1501", ("--dilation", "500")),
        (
            (
                "a generator must grow: to (--to) must be larger than from (--from); got from 4 to 4; "
                "name a larger size to reach"
            ),
            ("--to", "4"),
        ),
    ],
)
def test_numbers_no_generator_has(sentence, words):
    refused(sentence, *LADDER, *words)


def test_a_pipe_is_neither_weights_nor_a_picture(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    wanted = "weights must be a .npy file, or one tensor of a .safetensors file named as FILE:KEY"
    refused(f"{wanted}; {pipe} is a device or a pipe, not a file", "inspect", "transposed", "--weights", pipe)
    refused(f"{pipe} must be a picture; it is a device or a pipe; name a file", "inspect", "image", pipe)


def test_a_picture_the_system_keeps_back(picture, monkeypatch):
    real = os.stat

    def stat(path, *words, **named):
        if os.fspath(path) == os.fspath(picture):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path, *words, **named)

    monkeypatch.setattr(os, "stat", stat)
    sentence = (
        f"{picture} must be a picture; it could not be read: permission denied; check that you may read it"
    )
    refused(sentence, "inspect", "image", picture)


def test_a_name_must_not_be_empty():
    sentence = "a file must have a name; got ''; name a file"
    refused(sentence, "inspect", "image", "")
    refused(sentence, *LADDER, "--output", "")


def test_a_name_that_is_no_text(picture, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png")
    os.rename(picture, odd)
    target = tmp_path / "record.json"
    words = ("inspect", "image", odd, "--format", "json")
    printed = call(*words)
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["pictures"][0]["file"].endswith("/bad\\xff.png")
    assert call(*words, "--output", target).exit_code == 0
    assert target.read_text(encoding="utf-8") == printed.stdout
    assert call("inspect", "image", odd, "--plot", tmp_path / "plot.svg").exit_code == 0


@pytest.mark.parametrize("extra", [(), ("--overwrite",)])
def test_no_figure_without_its_text(tmp_path, extra):
    plot = tmp_path / "b.svg"
    for target, reason in (
        (tmp_path / "no" / "x", f"the folder {tmp_path / 'no'} does not exist; create it first"),
        (tmp_path, "it is a folder; name a file inside it"),
        ("/dev/stdout", "it is a device or a pipe, not a file; name a file"),
    ):
        if target == "/dev/stdout" and os.path.isfile(os.path.realpath(target)):
            continue
        refused(f"cannot write {target}: {reason}", *LAYER, "--plot", plot, "--output", target, *extra)
    assert not plot.exists()


@pytest.mark.parametrize("was_there", [False, True])
def test_a_new_figure_is_taken_back_if_the_text_fails(tmp_path, monkeypatch, was_there):
    plot, target = tmp_path / "b.svg", tmp_path / "b.txt"
    real = output.write_atomically
    if was_there:
        plot.write_text("old")

    def full(path, data, *, overwrite):
        if path == target:
            message = "full"
            raise FileError(message)
        real(path, data, overwrite=overwrite)

    monkeypatch.setattr(output, "write_atomically", full)
    refused("full", *LAYER, "--plot", plot, "--output", target, "--overwrite")
    assert plot.exists() == was_there


def test_added_samples_without_a_tap():
    assert plan_unet(97, 1, conv="same").untapped == (
        Transposed(kernel=4, stride=2, padding=1, output_padding=0),
    )
    assert plan_unet(96, 1, conv="same").untapped == (None,)
    filled = plan_unet(97, 1, conv="same", up=Transposed(kernel=4, stride=2, padding=1))
    assert filled.levels[0].needs[0].action == "output_padding"
    assert filled.untapped == (None,)


@pytest.mark.parametrize(
    ("words", "said"), [(("stopped; resume it",), "upstroke: stopped; resume it\n"), ((), "")]
)
def test_what_is_stopped_says_how_to_go_on(monkeypatch, tmp_path, words, said):
    def stopped(*_, **__):
        raise KeyboardInterrupt(*words)

    monkeypatch.setattr("upstroke.apps.segment.demo.demo", stopped)
    done = CliRunner().invoke(app, ["segment", "demo", "--out", str(tmp_path / "x")])
    assert (done.exit_code, done.stderr.lstrip("\n")) == (130, said)
