"""Hold that figures are drawn for every number of axes, the same way every time, without touching anyone's settings."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy
import pytest

from upstroke.cli.inspect_layers import resize_subject, transposed_subject
from upstroke.describe import layer_arrays
from upstroke.errors import MissingExtraError, OptionError
from upstroke.report.figure import draw_layer, draw_picture, figure_format

HEADS = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}


def words(**given):
    options = ("kernel", "stride", "padding", "output_padding", "dilation")
    return {f"--{name.replace('_', '-')}": given.get(name) for name in options}


def layer(**given):
    return transposed_subject(words(**given), groups=1, channels=(None, None), weights=None, ndim=None)


def drawn(subject, *, title="k", file_format="svg"):
    return draw_layer(layer_arrays(subject.operator), title=title, file_format=file_format)


SUBJECTS = {
    "one axis": lambda: resize_subject(
        {"--scale": "3", "--kernel": None, "--padding": None},
        mode="kaiser", centre=None, a=None, channels=(None, None), weights=None, ndim=1,
    ),
    "two axes": lambda: layer(kernel="3x4", stride="2x3"),
    "three axes": lambda: layer(kernel="3x4x5", stride="2x3x2", padding="1"),
    "nothing grows": lambda: layer(kernel="3", stride="1"),
    "empty phases": lambda: layer(kernel="1", stride="3"),
    "many phases": lambda: layer(kernel="16", stride="16"),
    "large kernel": lambda: layer(kernel="200", stride="64"),
    "many squares": lambda: layer(kernel="24x12", stride="12x3"),
}  # fmt: skip


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("file_format", HEADS)
def test_every_layer_is_drawn(name, file_format):
    assert drawn(SUBJECTS[name](), file_format=file_format).startswith(HEADS[file_format])


@pytest.mark.parametrize("file_format", HEADS)
def test_the_same_figure_is_the_same_bytes(file_format):
    subject = SUBJECTS["two axes"]()
    assert drawn(subject, file_format=file_format) == drawn(subject, file_format=file_format)


def test_no_settings_of_anyone_matter_or_change():
    subject = SUBJECTS["one axis"]()
    plain = drawn(subject)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert drawn(subject) == plain
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_loaded():
    code = (
        "import sys, numpy; from upstroke.report.figure import draw_picture; z = numpy.zeros((4, 4));"
        "draw_picture({'picture': z, 'detail': z, 'spectrum': z, 'peaks': [(0.5, 0.5, None)],"
        "'phase_means': z}, title='t', file_format='svg'); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_title_is_text_and_not_markup():
    svg = drawn(SUBJECTS["two axes"](), title="<script> & $").decode()
    assert "<script>" not in svg
    assert "date" not in re.findall(r"<dc:(\w+)>", svg)


def test_a_long_title_is_wrapped_and_no_formula():
    title = (
        "Depthwise-separable transposed convolution k4 s2 p1, 64 → 128 channels, of $one$, pointwise first"
    )
    svg = drawn(SUBJECTS["two axes"](), title=title).decode()
    lines = [line for line in re.findall(r"<!-- (.*?) -->", svg, re.S) if "Depthwise" in line]
    assert max(map(len, lines[0].splitlines())) <= 48
    assert "$one$" in svg


def test_image_frequencies_are_those_of_the_scale():
    data = layer_arrays(layer(kernel="3x4", stride="2x3").operator)
    numpy.testing.assert_allclose(data["cut_images"], [2 * numpy.pi / 3])
    # a uniform kernel of 4 at stride 3 has phase gains 1, 1, 2: |sum of exp| / 4
    numpy.testing.assert_allclose(data["cut_image_levels"], [20 * numpy.log10(1 / 4)])
    assert data["response"].max() <= 1e-9


@pytest.mark.parametrize("kind", ["peak", "none measured"])
def test_a_picture_is_drawn(kind):
    grey = numpy.random.default_rng(0).random((9, 7)) * 255
    level = 31.0 if kind == "peak" else None
    data = {
        "picture": grey, "detail": grey, "spectrum": grey, "phase_means": grey[:2, :3],
        "peaks": [(0.5, 0.0, level), (0.0, 1 / 3, level), (0.5, -1 / 3, level)],
    }  # fmt: skip
    assert draw_picture(data, title="p", file_format="svg").startswith(HEADS["svg"])


def test_the_ending_says_the_format():
    assert figure_format(Path("a.b/k.PDF")) == "pdf"
    for name, came in (("k.gif", "'k.gif'"), ("k", "'k', which has no ending")):
        message = f"a figure's file name must end in .svg, .pdf, .png; got {came}"
        with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
            figure_format(Path(name))


def test_a_missing_matplotlib_names_the_extra(monkeypatch):
    subject = SUBJECTS["one axis"]()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = "drawing a figure needs the package matplotlib; pip install 'upstroke[report]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$"):
        drawn(subject)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_figure_is_a_small_file(name):
    for file_format in ("svg", "pdf"):
        assert len(drawn(SUBJECTS[name](), file_format=file_format)) < 150_000
