"""Hold what `upstroke inspect` prints, writes and refuses, from the words a user types."""

import json
import math
import re

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from upstroke.cli import app

RUNNER = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
K3 = ("transposed", "--kernel", "3", "--stride", "2", "--padding", "1", "--output-padding", "1")
K4 = ("transposed", "--kernel", "4", "--stride", "2", "--padding", "1")


def run(*words):
    return RUNNER.invoke(app, ["inspect", *map(str, words)])


def text_of(*words):
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def json_of(*words):
    def no_constant(name):
        pytest.fail(f"{name} is no JSON")

    record = json.loads(text_of(*words, "--format", "json"), parse_constant=no_constant)
    assert record["schema"] == "upstroke.inspect/1"
    return record


def refused(sentence, *words):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"upstroke: {sentence}\n"


@pytest.fixture
def kernels(tmp_path):
    """A folder with weights: one transposed convolution 2 -> 3 k3x4, and a separable pair."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, 3, 4, generator=generator)
    numpy.save(tmp_path / "k.npy", weight.numpy())
    numpy.save(tmp_path / "triangle.npy", numpy.outer([0.5, 1, 0.5], [0.5, 1, 0.5]))
    save_file(
        {
            "up": weight,
            "depthwise": torch.randn(2, 1, 4, 4, generator=generator),
            "pointwise": torch.randn(3, 2, 1, 1, generator=generator),
        },
        tmp_path / "m.safetensors",
    )
    return tmp_path


def test_the_text_of_k3_s2():
    assert (
        text_of(*K3)
        == """\
Transposed convolution k3 s2 p1 op1
Weights: uniform (none given), mean gain 1. Taps, size, grid and cost follow
from the shape; gains, image gain, order, mass and PSV are those of this uniform
kernel.

taps per phase    gain per phase      image gain, dB
  1 ░░  2 ▒▒        0.4444  0.8889           0  −9.542
  2 ▒▒  4 ██        0.8889   1.778      −9.542  −19.08

Size        n → 2n on every axis
Grid        sample i sits at 0 + 1/2·i input pixels: centred on samples,
            registered to convolution k3 s2 p1
Coverage    uneven: 1 to 4 taps per phase, because 3 is no multiple of 2
Phase gain  0.4444 to 1.778, mean 1
Image gain  loudest −9.5 dB at (0, 1/2) and (1/2, 0) cycles per sample, vertical
            and horizontal stripes; worst replica of the band's lower half −9.5
            dB
Order       Strang–Fix 0: a constant comes out with a pattern
Mass        4, keeps the mean of an intensive field (a temperature); a constant
            16x16 map loses 4.1 % at its border
PSV         a constant 1 gives 0.2346 squared output units; white noise is up to
            75 % weaker (in variance) in some phases
Cost        9 parameters, 9 multiply–adds per input position

By its shape this layer invites a checkerboard: some output samples are made of
more taps than others, and uniform weights draw a pattern: a constant comes out
with one of 48.4 % of its mean (rms), 77.8 % at its peak. The first says where
equal weights lead, and training cannot change it; the second says what the
weights at hand do, and training can change that either way.
"""
    )


def test_the_text_of_nearest_on_one_axis():
    assert (
        text_of("resize", "--mode", "nearest", "--scale", "3", "--ndim", "1")
        == """\
Nearest resize ×3
Weights: fixed by the mode.

taps per phase        gain per phase    image gain, dB
  1 ██  1 ██  1 ██      1  1  1           0  ·  ·

Size        n → 3n
Grid        sample i sits at −1/3 + 1/3·i input pixels: half-pixel, registered
            to 3x3 pooling
Coverage    even: 1 tap in every phase
Phase gain  1 in every phase: a constant comes out constant
Image gain  none: all image frequencies are zero to rounding; worst replica of
            the band's lower half −8.7 dB
Order       Strang–Fix 1: constants come out constant, lines with a pattern
Mass        3, keeps the mean of an intensive field (a temperature); block means
            come back
PSV         a constant 1 gives 0 squared output units; white noise is as strong
            in every phase
Cost        copies only: no parameters, no multiply–adds

Its fixed weights draw no pattern, since a constant comes out constant.
"""
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("words", [K3, ("transposed", "--kernel", "3x4x5", "--stride", "2x3x2")])
def test_text_keeps_to_the_width_and_has_no_escape_codes(width, words):
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["inspect", *words])
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout
    longest = max(map(len, result.stdout.splitlines()))
    assert longest <= max(width, 54)


def test_k3_s2_in_numbers():
    record = json_of(*K3)
    assert record["layer"]["kernel"] == [3, 3]
    assert record["weights"] == "uniform (none given)"
    assert record["coverage"] == [[1, 2], [2, 4]]
    numpy.testing.assert_allclose(
        record["phase_gain"], numpy.reshape([4 / 9, 8 / 9, 8 / 9, 16 / 9], (4, 1, 1))
    )
    db = 20 * math.log10(1 / 3)
    numpy.testing.assert_allclose(record["image_gain_db"], [[0, db], [db, 2 * db]])
    assert record["strang_fix_order"] == 0
    numpy.testing.assert_allclose(record["mass"], [[4]])
    numpy.testing.assert_allclose(record["psv"]["constant"], numpy.var([4 / 9, 8 / 9, 8 / 9, 16 / 9]))
    assert record["size"] == {"scale": [2, 2], "excess": [0, 0], "least_input": [1, 1]}
    assert (record["grid"]["offset"], record["grid"]["spacing"]) == ([0, 0], [0.5, 0.5])
    assert record["cost"]["parameters"] == record["cost"]["multiply_adds_per_input"] == 9
    assert record["margin"] == [[0, 0], [0, 0]]
    assert record["pattern"]["shape"] == "uneven"
    assert record["pattern"]["weights"] == "unbalanced"
    gains = numpy.array([4 / 9, 8 / 9, 8 / 9, 16 / 9])
    assert record["pattern"]["rms"] == pytest.approx(gains.std() / gains.mean())
    assert record["pattern"]["peak"] == pytest.approx(7 / 9)


def test_triangle_is_uneven_and_balanced(kernels):
    fixed = json_of("resize", "--mode", "triangle", "--scale", "2")
    given = json_of(*K3, "--weights", kernels / "triangle.npy")
    for record in (fixed, given):
        assert record["coverage"] == [[1, 2], [2, 4]]
        assert record["phase_gain"] == [[[1]]] * 4
        assert record["image_gain_db"] == [[0, None], [None, None]]
        assert record["strang_fix_order"] == 2
        assert (record["pattern"]["shape"], record["pattern"]["weights"]) == ("uneven", "balanced")
    # nothing of a fixed kernel is learned, so that its uneven taps lead nowhere
    assert "Its fixed weights draw no pattern" in text_of("resize", "--mode", "triangle")
    assert "invites" not in text_of("resize", "--mode", "linear", "--scale", "3")
    assert "invites a checkerboard" in text_of(*K3, "--weights", kernels / "triangle.npy")


def test_channels_and_groups_of_weights_are_counted(kernels):
    record = json_of("transposed", "--stride", "2x3", "--weights", kernels / "k.npy")
    assert (record["layer"]["in_channels"], record["layer"]["out_channels"]) == (2, 3)
    weight = numpy.load(kernels / "k.npy").astype(numpy.float64)
    gains = [weight[:, :, p::2, q::3].sum(axis=(2, 3)).T for p in range(2) for q in range(3)]
    numpy.testing.assert_allclose(record["phase_gain"], gains, rtol=1e-6)
    numpy.testing.assert_allclose(record["mass"], weight.sum(axis=(2, 3)).T, rtol=1e-6)
    pair = record["phase_gain_summary"]["worst_pair"]
    spread = numpy.ptp(gains, axis=0)
    assert (pair["out"], pair["in"]) == numpy.unravel_index(spread.argmax(), spread.shape)
    same = json_of("transposed", "--stride", "2x3", "--weights", f"{kernels / 'm.safetensors'}:up")
    assert same["phase_gain"] == record["phase_gain"]
    grouped = json_of("transposed", "--stride", "2x3", "--groups", "2", "--weights", kernels / "k.npy")
    assert grouped["layer"]["out_channels"] == 6
    assert (
        grouped["phase_gain_summary"]["worst_pair"]["in"]
        == grouped["phase_gain_summary"]["worst_pair"]["out"] // 3
    )


def test_long_lists_are_left_out_of_json_and_said(tmp_path):
    numpy.save(tmp_path / "k.npy", numpy.random.default_rng(0).standard_normal((70, 70, 2, 2)))
    record = json_of("transposed", "--stride", "2", "--weights", tmp_path / "k.npy")
    assert record["phase_gain"] is None
    assert record["mass"] is None
    assert record["left_out"] == ["phase_gain", "mass"]
    assert record["phase_gain_summary"]["channel_pairs"] == 4900


def test_a_zero_sum_kernel_has_no_reference(tmp_path):
    numpy.save(tmp_path / "k.npy", numpy.array([[[1.0, -1.0]]]))
    record = json_of("transposed", "--ndim", "1", "--weights", tmp_path / "k.npy")
    assert record["image_gain_db"] == [None, None]
    assert record["image_gain"]["zero_sum"] is True
    pair = {"in": 0, "out": 0}
    expected = {"shape": "even", "weights": "pattern alone", "rms": None, "peak": None, "pair": pair}
    assert record["pattern"] == expected
    text = text_of("transposed", "--ndim", "1", "--weights", tmp_path / "k.npy")
    assert "no reference" in text
    assert "comes out as pure pattern, with mean 0" in " ".join(text.split())


def test_the_pattern_is_that_of_the_most_uneven_pair(tmp_path):
    weight = numpy.ones((2, 1, 2))
    weight[1, 0] = [1, 3]
    numpy.save(tmp_path / "k.npy", weight)
    words = ("transposed", "--ndim", "1", "--weights", tmp_path / "k.npy")
    expected = {"shape": "even", "weights": "unbalanced", "rms": 0.5, "peak": 0.5}
    assert json_of(*words)["pattern"] == expected | {"pair": {"in": 1, "out": 0}}
    text = " ".join(text_of(*words).split())
    assert "for channel 1 to 0, the most uneven pair, a constant comes out with one of 50 % of its" in text


@pytest.mark.parametrize("size", [1e200, 1e-30, 1e-200])
def test_huge_and_small_weights_are_measured_like_others(size, tmp_path):
    plain, scaled = tmp_path / "plain.npy", tmp_path / "scaled.npy"
    kernel = numpy.outer([1.0, 2, 3], [2.0, 1, 5])
    numpy.save(plain, kernel)
    numpy.save(scaled, size * kernel)
    words = ("transposed", "--stride", "2", "--weights")
    usual, record = json_of(*words, plain), json_of(*words, scaled)
    for name in ("coverage", "strang_fix_order", "grid", "cost"):
        assert record[name] == usual[name]
    assert record["pattern"]["rms"] == pytest.approx(usual["pattern"]["rms"])
    assert record["image_gain"]["worst_db"] == pytest.approx(usual["image_gain"]["worst_db"])
    numpy.testing.assert_allclose(record["phase_gain"], size * numpy.array(usual["phase_gain"]))
    numpy.testing.assert_allclose(record["mass"], size * numpy.array(usual["mass"]))
    if size == 1e200:
        assert record["psv"]["worst_constant"] is None
    plot = tmp_path / "k.png"
    text = text_of(*words, scaled, "--plot", plot, "--quiet")
    assert "no reference" not in text
    assert "Mass        0" not in text
    assert f"Mass        4.8e{round(math.log10(size)) + 1}".replace("-", "−") in text


def test_a_shuffle_is_not_cleared_by_its_even_taps():
    text = " ".join(text_of("shuffle", "--kernel", "3", "--padding", "1").split())
    assert "nothing ties the phases together" in text
    assert "does not invite" not in text


@pytest.mark.parametrize(
    ("mode", "order"),
    [("nearest", 1), ("linear", 3), ("cubic", 1), ("bspline", 4), ("box", 1), ("triangle", 2), ("kaiser", 1)],
)
def test_every_mode_keeps_constants(mode, order):
    record = json_of("resize", "--mode", mode, "--scale", "2")
    assert record["strang_fix_order"] >= order
    assert record["pattern"]["weights"] == "balanced"
    assert record["weights"] == "fixed by the mode"


def test_the_parameters_of_a_resize_arrive():
    assert json_of("resize", "--mode", "cubic", "--a", "-0.5")["strang_fix_order"] == 3
    assert json_of("resize", "--mode", "linear", "--centre", "sample")["grid"]["offset"] == [0, 0]


def test_a_resize_with_its_convolution():
    record = json_of("resize", "--mode", "nearest", "--scale", "2", "--kernel", "3", "--padding", "1")
    assert record["cost"]["multiply_adds_per_input"] == 36
    assert record["cost"]["as_one"]["multiply_adds_per_input"] == 16
    words = ("resize", "--mode", "linear", "--scale", "2x3", "--kernel", "3", "--padding", "1x0")
    assert json_of(*words)["margin"] == [[1, 1], [0, 0]]
    assert "the layer may differ" in text_of(*words)


def test_a_shuffle_is_even_whatever_its_kernel():
    record = json_of("shuffle", "--scale", "2x3", "--kernel", "3x4", "--padding", "1")
    assert record["coverage"] == [[12] * 3] * 2
    assert record["size"]["excess"] == [0, -3]
    assert record["cost"]["parameters"] == 72


def test_separable_costs_and_equals_the_dense_layer(kernels):
    words = ("--kernel", "4", "--padding", "1", "--in-channels", "64", "--out-channels", "128")
    record = json_of("separable", *words)
    dense = json_of("transposed", *words)
    for name in ("coverage", "grid", "size", "phase_gain", "psv"):
        assert record[name] == dense[name]
    assert record["cost"]["multiply_adds_per_input"] == 64 * 16 + 4 * 64 * 128
    assert record["cost"]["as_one"]["multiply_adds_per_input"] == dense["cost"]["multiply_adds_per_input"]
    first = json_of("separable", *words, "--order", "pointwise-first")
    assert first["cost"]["multiply_adds_per_input"] == 64 * 128 + 128 * 16
    stages = (f"{kernels / 'm.safetensors'}:depthwise", f"{kernels / 'm.safetensors'}:pointwise")
    given = json_of("separable", "--weights", stages[0], "--pointwise-weights", stages[1])
    assert given["layer"]["out_channels"] == 3
    refused(
        "depthwise weights must have shape (3, 1, *kernel) to match the pointwise weights (3, 2) pointwise-first; "
        f"{stages[0]} has shape (2, 1, 4, 4)",
        "separable", "--weights", stages[0], "--pointwise-weights", stages[1], "--order", "pointwise-first",
    )  # fmt: skip


NONSENSE = [
    (("--kernel", "0"), "--kernel must be at least 1 on every axis; got 0"),
    (("--kernel", "4", "--stride", "2x0"), "--stride must be at least 1 on every axis; got 2x0"),
    (("--kernel", "4", "--dilation", "0"), "--dilation must be at least 1 on every axis; got 0"),
    (("--kernel", "3x4x5x6"), "--kernel must have 1 to 3 numbers, one per axis; got '3x4x5x6'"),
    (
        ("--kernel", "3x4", "--stride", "2x2x2"),
        "--stride must have one number for each axis like --kernel 3x4; got '2x2x2'",
    ),
    (
        ("--kernel", "3x4", "--ndim", "1"),
        "--kernel must have one number for each axis like --ndim 1; got '3x4'",
    ),
    ((), "--kernel must be given, as a whole number such as 4, unless --weights gives it; got neither"),
    (
        ("--kernel", "4", "--output-padding", "2"),
        "output_padding must be smaller than stride or dilation on every axis; got 2x2 with stride 2x2 and dilation 1x1",
    ),
    (
        ("--kernel", "4", "--groups", "2", "--in-channels", "3"),
        "--in-channels must be a multiple of --groups; got 3 channels in 2 groups",
    ),
    (
        ("--kernel", "99999"),
        "a layer of at most 50000000 weights can be inspected; got 9999800001; give smaller numbers",
    ),
    (
        ("--kernel", "4", "--stride", "100"),
        "a scale of at most 4096 phases can be inspected; got 100x100, which has 10000; give a smaller one",
    ),
    (
        ("--kernel", "4", "--plot", "k.gif"),
        "a figure's file name must end in .svg, .pdf, .png; got 'k.gif'",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), NONSENSE, ids=lambda value: str(value)[:40])
def test_nonsense_is_refused_in_one_sentence(words, sentence):
    refused(sentence, "transposed", *words)


def test_options_without_meaning_are_refused():
    refused(
        "--a is the parameter of --mode cubic; got --mode linear; leave --a out",
        "resize", "--mode", "linear", "--a", "-0.5",
    )  # fmt: skip
    refused(
        "--centre has no meaning for --mode nearest, which sits where it sits; leave it out",
        "resize", "--mode", "nearest", "--centre", "cell",
    )  # fmt: skip
    refused(
        "--a must be a finite number from -100 to 100, such as -0.75; got 1e+300",
        "resize", "--mode", "cubic", "--a", "1e300",
    )  # fmt: skip


def test_weights_of_another_shape_are_refused(kernels):
    path = kernels / "k.npy"
    refused(
        f"weights must have shape (in, out / groups, 4, 4) or (4, 4) for kernel 4x4 on 2 axes; {path} has shape "
        "(2, 3, 3, 4); give the --kernel and --ndim of these weights",
        *K4, "--weights", path,
    )  # fmt: skip
    line = kernels / "line.npy"
    numpy.save(line, numpy.ones(3))
    refused(
        f"weights must have at least as many axes as the layer, which has 2; {line} has shape (3,); give --ndim 1",
        "transposed", "--weights", line,
    )  # fmt: skip
    refused(
        "--in-channels must be a multiple of --groups; got 2 channels in 5 groups",
        "transposed",
        "--groups",
        "5",
        "--weights",
        path,
    )
    refused(
        f"--in-channels must match the weights; {path} has 2, got 7; leave --in-channels out",
        "transposed", "--in-channels", "7", "--weights", path,
    )  # fmt: skip
    refused(
        f"a pixel shuffle by 2x2 needs weights with a multiple of 4 output channels; {path} has 2; give the scale "
        "that they were made for",
        "shuffle", "--scale", "2", "--weights", path,
    )  # fmt: skip


def test_pickled_weights_are_refused_and_nothing_is_written(kernels):
    path = kernels / "pickled.npy"
    numpy.save(path, numpy.array([{}], dtype=object), allow_pickle=True)
    before = sorted(kernels.iterdir())
    refused(
        f"{path} holds pickled Python objects, which are never run; save a plain array of floats",
        *K4, "--weights", path, "--plot", kernels / "p.svg", "--output", kernels / "o.txt",
    )  # fmt: skip
    assert sorted(kernels.iterdir()) == before


def test_files_are_written_whole_and_kept_unless_told(tmp_path):
    plot, output = tmp_path / "k.svg", tmp_path / "k.json"
    words = (*K3, "--plot", plot, "--output", output, "--format", "json")
    result = run(*words)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"wrote {plot}\nwrote {output}\n"
    assert json.loads(output.read_text())["coverage"] == [[1, 2], [2, 4]]
    drawn = plot.read_bytes()
    assert drawn.startswith(b"<?xml")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["k.json", "k.svg"]
    refused(f"{plot} exists already; give --overwrite to replace it, or another name", *words)
    assert run(*words, "--overwrite", "--quiet").stderr == ""
    assert plot.read_bytes() == drawn


def test_neither_file_is_written_where_one_cannot_be(tmp_path):
    kept = tmp_path / "o.txt"
    kept.write_text("mine")
    refused(
        f"{kept} exists already; give --overwrite to replace it, or another name",
        *K3, "--plot", tmp_path / "k.svg", "--output", kept,
    )  # fmt: skip
    assert (kept.read_text(), [each.name for each in tmp_path.iterdir()]) == ("mine", ["o.txt"])
    refused(
        f"--plot and --output must be two files; got {tmp_path / 'k.svg'} for both",
        *K3, "--plot", tmp_path / "k.svg", "--output", tmp_path / "k.svg",
    )  # fmt: skip


def test_the_plot_is_moved_into_place(tmp_path, monkeypatch):
    """The only writer is the one that writes beside the target and moves."""
    calls = []
    monkeypatch.setattr(
        "upstroke.cli.output.write_atomically", lambda *args, **options: calls.append((args, options))
    )
    assert run(*K3, "--plot", tmp_path / "k.svg").exit_code == 0
    assert list(tmp_path.iterdir()) == []
    [((path, data), options)] = calls
    assert (path, data[:5], options) == (tmp_path / "k.svg", b"<?xml", {"overwrite": False})


def saved(path, values):
    Image.fromarray(numpy.clip(numpy.round(values), 0, 255).astype(numpy.uint8)).save(path)
    return path


def noise(seed, shape=(64, 48)):
    return 128 + 20 * numpy.random.default_rng(seed).standard_normal(shape)


CHECKER = numpy.tile([[3.0, -3.0], [-3.0, 3.0]], (32, 24))


def test_a_checkerboard_in_a_picture_is_found(tmp_path):
    record = json_of("image", saved(tmp_path / "p.png", noise(0) + 2 * CHECKER))
    [picture] = record["pictures"]
    assert picture["psv"]["amplitude"] == pytest.approx(6, abs=0.5)
    assert picture["psv"]["ratio_to_chance"] > 50
    assert picture["worst_peak_db"] == picture["peaks_db"][1][1] > 20
    assert picture["peaks_db"][0][0] is None
    numpy.testing.assert_allclose(picture["phase_means"], [[6, -6], [-6, 6]], atol=1)
    text = text_of("image", tmp_path / "p.png")
    assert "it carries a pattern of this period" in " ".join(text.split())


def test_noise_is_no_pattern(tmp_path):
    record = json_of("image", saved(tmp_path / "p.png", noise(1)), "--period", "2x3")
    [picture] = record["pictures"]
    assert numpy.shape(picture["phase_means"]) == (2, 3)
    assert not picture["stands_out"]


def test_a_brightness_ramp_is_not_called_a_pattern(tmp_path):
    ramp = numpy.linspace(0, 255, 48) + (noise(2) - 128) / 10
    text = " ".join(text_of("image", saved(tmp_path / "p.png", ramp)).split())
    assert "it carries a pattern" not in text


def test_a_set_shares_what_one_picture_hides(tmp_path):
    for name, strength in (("clean", 0), ("drawn", 0.5)):
        (tmp_path / name).mkdir()
        for seed in range(12):
            saved(tmp_path / name / f"{seed}.png", noise(seed) + strength * CHECKER)
    (tmp_path / "drawn" / "notes.txt").write_text("mine")
    clean, drawn = json_of("image", tmp_path / "clean"), json_of("image", tmp_path / "drawn")
    assert clean["set"]["p_value"] > 0.01 >= drawn["set"]["p_value"]
    ratios = [each["psv"]["ratio_to_chance"] for each in drawn["pictures"]]
    assert ratios == sorted(ratios, reverse=True)
    assert len(ratios) == 12
    assert drawn["skipped"][0]["file"].endswith("notes.txt")
    assert json_of("image", tmp_path / "drawn", "--seed", "1")["set"]["seed"] == 1
    text = text_of("image", tmp_path / "drawn")
    assert "The pictures share a pattern" in text
    assert "The 10 highest of 12" in text
    assert "1 file skipped" in text


def test_a_shared_composition_is_no_pattern(tmp_path):
    down, right = numpy.ogrid[:65, :49]
    head = 100 * numpy.exp(-(((down - 20) / 14) ** 2 + ((right - 24) / 12) ** 2))
    for seed in range(12):
        saved(tmp_path / f"{seed}.png", 60 + head + (noise(seed, (65, 49)) - 128) / 40)
    found = json_of("image", tmp_path, "--period", "4")["set"]
    assert (found["aligned"], found["stands_out"], found["shared"]) == (True, False, False)
    assert found["peaks_of"] == "mean picture"
    text = " ".join(text_of("image", tmp_path, "--period", "4").split())
    assert "no spectral peak stands out: a common composition does that; no pattern" in text


def test_pictures_of_several_sizes_share_a_peak_by_their_median(tmp_path):
    for seed in range(12):
        saved(tmp_path / f"{seed}.png", noise(seed)[: 40 + 2 * seed] + 2 * CHECKER[: 40 + 2 * seed])
    found = json_of("image", tmp_path)["set"]
    assert (found["peaks_of"], found["shared"]) == ("median over pictures", True)


def test_a_flat_or_tiny_picture_is_no_accident(tmp_path):
    flat = json_of("image", saved(tmp_path / "flat.png", numpy.full((32, 32), 7)))["pictures"][0]
    assert flat["psv"]["value"] == flat["psv"]["ratio_to_chance"] == 0
    tiny = json_of("image", saved(tmp_path / "tiny.png", numpy.eye(5) * 255))["pictures"][0]
    assert tiny["peaks_db"] is None
    for name in ("flat", "tiny"):
        plot = tmp_path / f"{name}.svg"
        assert run("image", tmp_path / f"{name}.png", "--plot", plot).exit_code == 0
        assert plot.read_bytes().startswith(b"<?xml")


def test_pictures_that_cannot_be_measured_are_refused(tmp_path):
    path = saved(tmp_path / "p.png", numpy.eye(5))
    refused(
        f"{path}: a picture must hold at least one period per axis; got shape (5, 5) for period (8, 8)",
        "image", path, "--period", "8",
    )  # fmt: skip
    refused(
        "--period must be at least 2, or down x right such as 2x4 with 1 for no period; got '1'",
        "image", path, "--period", "1",
    )  # fmt: skip
    refused(
        f"{tmp_path / 'no.png'} must be a picture; there is no such file",
        "image", tmp_path / "no.png",
    )  # fmt: skip
    empty = tmp_path / "e.png"
    empty.touch()
    refused(f"{empty} must be a picture; it is empty (0 bytes); copy it again", "image", empty)


def test_real_micrographs_share_no_pattern(data_dir):
    record = json_of("image", data_dir / "medical" / "isbi2012_membrane" / "image")
    assert len(record["pictures"]) == 24
    assert record["set"]["shared"] is False
    assert max(each["psv"]["ratio_to_chance"] for each in record["pictures"]) < 1


def test_help_names_every_option():
    result = run("transposed", "--help")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
    for option in ("--kernel", "--stride", "--padding", "--weights", "--plot", "--format", "--overwrite"):
        assert option in plain
