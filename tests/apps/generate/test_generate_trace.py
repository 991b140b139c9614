"""Which pixels depend on which cells is told alike by algebra and measurement, and of all places of a picture."""

import re

import numpy as np
import pytest
from generate_saved import saved
from typer.testing import CliRunner

from upstroke.apps.generate.trace import trace
from upstroke.cli import app
from upstroke.errors import OptionError
from upstroke.report.generate_trace_page import generate_trace_page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("traced") / "<script>run", width=8)


def upstroke(*words):
    return CliRunner().invoke(app, ["generate", "trace", *map(str, words)])


def test_a_kernel_of_4_sees_one_to_nine_cells(run):
    found = trace(run, pixel=(11, 20), cell=(1, 2))
    record = found.as_json()
    assert (record["algebra"]["least"], record["algebra"]["most"]) == (1, 9)
    assert record["beyond"] == 0
    assert record["agrees"] is (record["missed"] == 0)
    assert sum(each["pixels"] for each in record["algebra"]["counts"]) == 32 * 32
    # every pair is counted once from either side
    assert sum(each["pixels"] for each in record["reach"]) == record["pairs"] == found.maps["seen"].sum()
    assert record["cell"] in record["reach"]
    assert len(record["pixel"]["reads"]) == record["pixel"]["cells"] == found.maps["seen"][11, 20]
    assert sum(each["share"] for each in record["pixel"]["reads"]) == pytest.approx(1)
    (top, bottom), (left, right) = record["cell"]["rows"], record["cell"]["columns"]
    inside = np.zeros((32, 32), bool)
    inside[top : bottom + 1, left : right + 1] = True
    assert np.array_equal(found.maps["reach"], inside)
    assert not (found.maps["change"][~inside] > 1e-9).any()


def test_a_kernel_of_3_sees_fewer(tmp_path):
    record = trace(saved(tmp_path / "run", kernel=3, width=8)).as_json()
    assert (record["algebra"]["least"], record["algebra"]["most"]) == (1, 4)


def test_the_page_and_the_text_say_the_same_and_are_inert(run, tmp_path):
    found = trace(run)
    page = generate_trace_page(found.as_json(), found.maps)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    result = upstroke(run)
    assert result.exit_code == 0
    assert "a pixel depends on 1 to 9 of the 16 cells of the sketch" in " ".join(result.stdout.split())
    for words in (result.stdout, page):
        assert "only through the latent vector" in " ".join(words.split())
    written = upstroke(run, "--format", "html", "--output", tmp_path / "trace.html")
    assert written.exit_code == 0
    assert (tmp_path / "trace.html").read_text() == page


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pixel": (32, 0)}, "a pixel of the picture is a row and a column from 0,0 to 31,31; got 32,0"),
        ({"cell": (0, 4)}, "a cell of the sketch is a row and a column from 0,0 to 3,3; got 0,4"),
    ],
)
def test_places_outside_are_refused(run, asked, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        trace(run, **asked)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pixel", "20x33"], "--pixel must be a row and a column, such as 1,2; got '20x33'"),
        (["--format", "html"], "a page is for a browser and not for a terminal; got no --output; give --output trace.html"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(run, words, message):
    result = upstroke(run, *words)
    assert (result.exit_code, result.stderr) == (2, f"upstroke: {message}\n")
