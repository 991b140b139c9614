"""Hold the words, the exit codes and the silence of `upstroke plan`."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from upstroke.axes import times
from upstroke.cli import app
from upstroke.errors import FileError
from upstroke.nn import UNet
from upstroke.plan import Conv, Resize, Transposed, plan_generator, plan_unet
from upstroke.report.plan_text import plan_text

GENERATOR = [
    "plan",
    "generator",
    "--from",
    "4",
    "--to",
    "64",
    "--kernel",
    "4",
    "--stride",
    "2",
    "--padding",
    "1",
]
UNET = ["plan", "unet", "--size", "572", "--depth", "4", "--conv", "valid"]


def call(*words, columns=100):
    return CliRunner().invoke(app, list(words), prog_name="upstroke", env={"COLUMNS": str(columns)})


def test_generator_as_text():
    result = call(*GENERATOR)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == (
        """\
Generator 4 → 64: 4 steps of transposed k4 s2 p1

 step   size   sample i sits at (seed pixels)
 ──────────────────────────────────────────────
 0      4      0 + 1·i
 1      8      -1/4 + 1/2·i
 2      16     -3/8 + 1/4·i
 3      32     -7/16 + 1/8·i
 4      64     -15/32 + 1/16·i

coverage  even: every output sample is made by 2 taps
"""
    )


def test_the_original_unet_as_text():
    result = call(*UNET)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == (
        """\
U-Net 572 → 388: depth 4; 2 convolutions k3 (valid) per level; pool k2 s2 down, transposed k2 s2 up

 level   encoder     crop per side   decoder     drift (px)
 ────────────────────────────────────────────────────────────
 0       572 → 568   88              392 → 388   0
 1       284 → 280   40              200 → 196   0
 2       140 → 136   16              104 → 100   0
 3       68 → 64     4               56 → 52     0
 4       32 → 28

size    572 fits: nothing is dropped on the way down, every crop is the same on both sides; sizes
        that fit: 188+16k
grids   no drift: at every join both maps sit on one grid
output  sample 0 sits at input pixel 92; the output's middle is the input's middle
"""
    )


def test_an_odd_unet_with_drift_as_text():
    result = call(
        *(
            "plan",
            "unet",
            "--size",
            "97x131",
            "--depth",
            "2",
            "--conv",
            "same",
            "--down",
            "conv",
            "--up",
            "nearest",
        )
    )
    assert result.exit_code == 0
    assert result.stdout == (
        """\
U-Net 97x131 → 97x131: depth 2; 2 convolutions k3x3 (same) per level; conv k3 s2 p1 down, nearest ×2
up

 level   encoder   decoder   the upsampled map needs   drift (px)
 ──────────────────────────────────────────────────────────────────
 0       97x131    97x131    crop 1 left               -0.5
 1       49x66     49x66     crop 1 right on axis 0    -1
 2       25x33

size, axis 0  97 works as the table says; sizes that need nothing: 4+4k, nearest 96 and 100
size, axis 1  131 works as the table says; sizes that need nothing: 4+4k, nearest 128 and 132
grids         drift: the two maps of a join lie that many input pixels apart; negative: the
              upsampled one is too far left
output        sample 0 sits at input pixel -1/2; the output's middle is -0.5 px from the input's
              middle
"""
    )


@pytest.mark.parametrize("columns", [40, 60, 100, 200])
def test_text_keeps_to_the_width_and_has_no_control_codes(columns):
    for words in (GENERATOR, UNET, ["plan", "unet", "--size", "97x131x64", "--conv", "same", "-v"]):
        result = call(*words, columns=columns)
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= columns
        assert "\x1b" not in result.stdout


def test_colour_only_where_asked_for():
    record = plan_generator(4, 64, kernel=4, stride=2, padding=1).as_json()
    coloured = plan_text(record, colour=True)
    assert "\x1b[32meven\x1b[0m" in coloured


def test_verbose_lists_every_grid():
    result = call(*UNET, "-v")
    assert "upsampled 3" not in call(*UNET).stdout
    maps = [line.split()[0] for line in result.stdout.split("\n map ", 1)[1].splitlines()[2:]]
    assert maps == ["entry", "encoder"] * 5 + ["upsampled", "decoder"] * 4 + ["output"]


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (3, "coverage  uneven: output samples are made by 1, 2 taps in turn, which invites a checkerboard;"),
        (2, "coverage  even: every output sample is made by 1 tap\n"),
    ],
)
def test_coverage_is_worded(kernel, words):
    output_padding = kernel % 2
    plan = plan_generator(
        4, 8, kernel=kernel, stride=2, padding=(kernel - 1) // 2, output_padding=output_padding
    )
    assert words in plan_text(plan.as_json())


@pytest.mark.parametrize(
    ("size", "settings", "words"),
    [
        (100, {"up": Transposed(kernel=3, stride=2)}, "100 does not fit exactly; sizes that fit: none\n"),
        (
            (64, 65),
            {"conv": "same", "down": Conv(kernel=1), "up": Resize(scale=1)},
            "65 fits: every upsampled map has the size of its join; sizes that fit: any from 1\n",
        ),
        (
            585,
            {},
            "on each side would drift: -6 at level 0; -6 at level 1; -4\n        at level 2; 0 at",
        ),
    ],
)
def test_other_fits_are_worded(size, settings, words):
    assert words in plan_text(plan_unet(size, depth=4 if size == 585 else 2, **settings).as_json())


def test_crops_of_unequal_axes_are_told_apart():
    words = plan_text(plan_unet((573, 572), 3).as_json())
    assert "40 left, 41 right; 40 " in words
    assert " 16  " in words


def test_a_set_of_remainders_is_worded():
    record = plan_unet(96, 2).as_json()
    record["fit"][0] |= {"period": 4, "remainders": [0, 3], "smallest": 40}
    assert "those from 40 that leave 0, 3 modulo 4" in plan_text(record)


def test_json_is_the_record_of_the_library():
    result = call(*GENERATOR, "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == plan_generator(4, 64, kernel=4, stride=2, padding=1).as_json()
    words = "--size 97x131 --depth 3 --conv same --convs-per-level 1 --kernel 3x5 --stride 2x3 --down conv "
    words += "--down-kernel 4x5 --up transposed --up-kernel 4x3 --up-padding 1x0 --up-output-padding 0x1"
    result = call("plan", "unet", *words.split(), "--format", "json")
    plan = plan_unet(
        (97, 131),
        3,
        conv="same",
        convs_per_level=1,
        kernel=(3, 5),
        down=Conv(kernel=(4, 5), stride=(2, 3), padding=(1, 2)),
        up=Transposed(kernel=(4, 3), stride=(2, 3), padding=(1, 0), output_padding=(0, 1)),
    )
    assert json.loads(result.stdout) == plan.as_json()


@pytest.mark.parametrize(
    ("words", "down", "up"),
    [
        ([], "pool k2 s2", "transposed k2 s2"),
        (["--down", "conv"], "conv k3 s2 p1", "transposed k2 s2"),
        (["--down-kernel", "3", "--down-padding", "1", "--up", "linear"], "pool k3 s2 p1", "linear ×2"),
        (["--stride", "3", "--up", "shuffle"], "pool k3 s3", "shuffle ×3"),
        (["--down", "conv", "--down-kernel", "5", "--up", "nearest"], "conv k5 s2 p2", "nearest ×2"),
        (["--pool", "ceil"], "pool k2 s2 ceil", "transposed k2 s2"),
        (["--pool", "floor"], "pool k2 s2", "transposed k2 s2"),
    ],
)
def test_down_and_up_are_what_was_asked_for(words, down, up):
    result = call("plan", "unet", "--size", "81", "--depth", "1", "--format", "json", *words)
    record = json.loads(result.stdout)
    assert (record["down"], record["up"]) == (down, up)


def nets():
    """Settings of `UNet`, the words that describe it, and a size that it takes, every axis its own."""
    axes = st.sampled_from([2, 3])
    return axes.flatmap(
        lambda ndim: st.fixed_dictionaries(
            {
                "stride": st.tuples(*[st.integers(1, 3)] * ndim).filter(lambda stride: max(stride) > 1),
                "kernel": st.tuples(*[st.sampled_from([1, 3, 5])] * ndim),
                "depth": st.integers(1, 3),
                "convs": st.integers(1, 2),
                "way": st.sampled_from(["same pool", "same conv", "valid pool"]),
                "more": st.tuples(*[st.integers(0, 11)] * ndim),
            }
        )
    )


def words_of(drawn):
    conv, down = drawn["way"].split()
    stride, kernel = drawn["stride"], drawn["kernel"]
    words = ["--depth", drawn["depth"], "--conv", conv, "--convs-per-level", drawn["convs"]]
    words += ["--stride", times(stride), "--kernel", times(kernel)]
    if drawn["way"] == "same pool":
        words += ["--pool", "ceil"]
    if down == "conv":
        # on samples: a kernel that sits on one on the way down, and on the way up as long as the gaps allow
        up = [2 * s - 1 for s in stride]
        words += ["--down", "conv", "--down-kernel", times([1 if s == 1 else 3 for s in stride])]
        words += ["--up-kernel", times(up), "--up-padding", times([k // 2 for k in up])]
        words += ["--up-output-padding", times([s - 1 for s in stride])]
    return [str(word) for word in words]


@given(drawn=nets())
def test_a_plan_is_that_of_the_net_and_its_sizes_are_those_of_a_forward_pass(drawn):
    conv, down = drawn["way"].split()
    ndim = len(drawn["stride"])
    net = UNet(
        1,
        2,
        ndim=ndim,
        widths=(1,) * (drawn["depth"] + 1),
        strides=(drawn["stride"],) * drawn["depth"],
        kernels=(drawn["kernel"],) * (drawn["depth"] + 1),
        convs=drawn["convs"],
        conv=conv,
        down="max" if down == "pool" else "conv",
        norm="none",
    )
    size = tuple(least + more for least, more in zip(net.least_size, drawn["more"], strict=True))
    result = call("plan", "unet", "--size", times(size), *words_of(drawn), "--format", "json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record == net.plan(size).as_json()
    seen = {}
    for name in ("encoder", "downs", "decoder"):
        for level, part in enumerate(getattr(net, name)):
            part.register_forward_hook(
                lambda _, __, out, key=(name, level): seen.update({key: list(out.shape[2:])})
            )
    with torch.no_grad():
        assert list(net(torch.zeros(1, 1, *size)).shape[2:]) == record["output"]["size"]
    for level, planned in enumerate(record["levels"]):
        assert planned["encoder"]["size"] == seen["encoder", level]
        if level:
            assert planned["entry"]["size"] == seen["downs", level - 1]
        if level < drawn["depth"]:
            assert planned["decoder"]["size"] == seen["decoder", level]


@pytest.mark.parametrize("form", ["text", "json"])
def test_output_goes_to_a_file_as_a_whole(tmp_path, form):
    target = tmp_path / "plan.out"
    result = call(*UNET, "--format", form, "--output", str(target))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"wrote {target}\n")
    assert target.read_text(encoding="utf-8") == call(*UNET, "--format", form).stdout
    result = call(*GENERATOR, "--format", form, "--output", str(target), "--overwrite", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert target.read_text(encoding="utf-8") == call(*GENERATOR, "--format", form).stdout


BAD = {
    "half a size": (
        "unet --size 97x",
        "--size must be a whole number such as 4, or one for each axis such as 97x131; got '97x'",
    ),
    "a word": (
        "unet --size large",
        "--size must be a whole number such as 4, or one for each axis such as 97x131; got 'large'",
    ),
    "foreign digits": (
        "unet --size ٣",
        "--size must be a whole number such as 4, or one for each axis such as 97x131; got '٣'",
    ),
    "size 0": ("unet --size 0", "size must be at least 1 on every axis; got 0"),
    "too small": (
        "unet --size 100 --depth 4",
        (
            "a U-Net of depth 4 with valid convolutions needs a size of at least 188; got 100; "
            "use 188 or more, or fewer levels"
        ),
    ),
    "not exact": (
        "unet --size 570 --exact",
        (
            "a U-Net of depth 4 with valid convolutions should fit exactly; got 570, which does not; "
            "the nearest that do are 556 and 572"
        ),
    ),
    "depth 0": ("unet --size 572 --depth 0", "depth must be at least 1; got 0"),
    "depth in words": (
        "unet --size 572 --depth four",
        "--depth must be a whole number such as 4; got 'four'",
    ),
    "depth in foreign digits": (
        "unet --size 572 --depth ٤",
        "--depth must be a whole number such as 4; got '٤'",
    ),
    "axes": (
        "unet --size 97x131 --kernel 3x3x3",
        (
            "all settings given per axis must have the same number of axes; got size 97x131, kernel 3x3x3; "
            "give one number for all axes, or one for each"
        ),
    ),
    "unknown conv": (
        "unet --size 572 --conv full",
        "invalid value for '--conv': 'full' is not one of 'valid', 'same'; see 'upstroke plan unet --help'",
    ),
    "unknown up": (
        "unet --size 572 --up bicubic",
        (
            "invalid value for '--up': 'bicubic' is not one of 'transposed', 'nearest', 'linear', 'shuffle'; "
            "see 'upstroke plan unet --help'"
        ),
    ),
    "a kernel for nearest": (
        "unet --size 572 --up nearest --up-kernel 3",
        "--up-kernel belongs to --up transposed; got --up nearest; leave --up-kernel out",
    ),
    "a rounding for convolutions": (
        "unet --size 572 --down conv --pool ceil",
        "--pool belongs to --down pool; got --down conv; leave --pool out",
    ),
    "no size": ("unet", "missing option '--size'; see 'upstroke plan unet --help'"),
    "unknown verb": ("pyramid", "no such command 'pyramid'; see 'upstroke plan --help'"),
    "unknown format": (
        "unet --size 572 --format yaml",
        "invalid value for '--format': 'yaml' is not one of 'text', 'json'; see 'upstroke plan unet --help'",
    ),
    "kernel 0": ("generator --from 4 --to 64 --kernel 0", "kernel must be at least 1 on every axis; got 0"),
    "stride 0": (
        "generator --from 4 --to 64 --kernel 4 --stride 0",
        "stride must be at least 1 on every axis; got 0",
    ),
    "dilation 0": (
        "generator --from 4 --to 64 --kernel 4 --dilation 1x0",
        "dilation must be at least 1 on every axis; got 1x0",
    ),
    "negative": (
        "generator --from 4 --to 64 --kernel 4 --padding -1",
        "--padding must be at least 0; got '-1'",
    ),
    "missed": (
        "generator --from 4 --to 64 --kernel 3 --padding 1",
        (
            "the ladder from 4 by transposed k3 s2 p1 should reach 64; it goes from 49 to 97; "
            "use padding 1 with output_padding 1, or aim for 49 or 97"
        ),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_exit_code_2(tmp_path, case):
    words, sentence = BAD[case]
    target = tmp_path / "plan.json"
    result = call("plan", *words.split(), "--output", str(target))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_stays(tmp_path):
    target = tmp_path / "plan.json"
    target.write_text("old")
    result = call(*UNET, "--output", str(target))
    sentence = f"cannot write {target}: it exists already; choose another name or allow overwriting"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")
    assert target.read_text() == "old"


def test_a_folder_that_is_missing_is_not_made(tmp_path):
    target = tmp_path / "no" / "plan.json"
    result = call(*UNET, "--output", str(target))
    sentence = f"cannot write {target}: the folder {target.parent} does not exist; create it first"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_version_and_help():
    result = call("--version")
    assert result.exit_code == 0
    assert re.fullmatch(
        r"upstroke 0\.1\.0\.dev0, compiled kernels: \w+( \(PyTorch's forms serve\))?\n", result.stdout
    )
    for words in ([], ["plan"], ["plan", "unet"], ["plan", "generator"]):
        result = call(*words, "--help")
        assert result.exit_code == 0
        assert "Usage: upstroke" in result.stdout
    assert call().exit_code == 2


def test_a_programming_error_is_not_hidden(monkeypatch):
    def fail(*arguments, **settings):
        message = "a bug"
        raise KeyError(message)

    monkeypatch.setattr("upstroke.cli.plan.plan_unet", fail)
    result = call(*UNET)
    assert (result.exit_code, result.stderr) == (
        2,
        "upstroke: this should not have happened: KeyError: 'a bug'; run it again with UPSTROKE_TRACEBACKS=1 to see where, and report that\n",
    )
    monkeypatch.setenv("UPSTROKE_TRACEBACKS", "1")
    assert isinstance(call(*UNET).exception, KeyError)


def test_any_error_of_ours_ends_in_one_sentence(monkeypatch):
    def fail(*arguments, **settings):
        message = "the disk said no"
        raise FileError(message)

    monkeypatch.setattr("upstroke.cli.plan.plan_unet", fail)
    result = call(*UNET)
    assert (result.exit_code, result.stderr) == (2, "upstroke: the disk said no\n")


def test_the_module_is_the_command():
    environment = {**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "latin-1"}
    result = subprocess.run(
        [sys.executable, "-m", "upstroke", *GENERATOR],
        capture_output=True,
        encoding="latin-1",
        env=environment,
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith("Generator 4 ? 64: 4 steps of transposed k4 s2 p1\n")


def test_planning_loads_nothing_heavy():
    code = "import sys, upstroke; before = set(sys.modules); import upstroke.cli; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib", "numpy", "PIL", "scipy"} & set(loaded.stdout.split())
