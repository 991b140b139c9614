"""What pixels depend on: measured never beyond algebra, and told in numbers, words and pictures."""

import json
import re
from typing import get_args

import numpy as np
import pytest
import torch

from apps.generate.generate_saved import saved
from upstroke.apps.generate.trace import trace
from upstroke.cli import app
from upstroke.errors import OptionError
from upstroke.files.safetensors import read_safetensors, write_safetensors
from upstroke.nn.upsampler import Method
from upstroke.report.generate_trace_page import generate_trace_page
from upstroke.report.generate_trace_text import WHOLE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("traced") / "run", width=4)


@pytest.mark.parametrize("method", get_args(Method))
def test_what_is_measured_is_what_kernels_allow(method, tmp_path):
    found = trace(saved(tmp_path / "run", method=method, width=8))
    record = found.as_json()
    assert record["beyond"] == 0
    assert (record["agrees"], record["missed"]) == (True, 0)
    np.testing.assert_array_equal(found.maps["seen"], found.maps["measured"])
    assert sum(each["pixels"] for each in record["algebra"]["counts"]) == 32 * 32
    assert sum(each["pixels"] for each in record["reach"]) == record["pairs"] == found.maps["seen"].sum()


def test_kernels_of_4_let_pixels_depend_on_1_to_9_of_16_cells(run):
    record = trace(run, pixel=(0, 31), cell=(3, 0)).as_json()
    assert [record["algebra"][each] for each in ("least", "most")] == [1, 9]
    # a corner sees the cell in it alone, whose reach ends at its two sides
    assert [each["cell"] for each in record["pixel"]["reads"]] == [[0, 3]]
    assert record["pixel"]["reads"][0]["share"] == 1.0
    assert (record["cell"]["rows"][1], record["cell"]["columns"][0]) == (31, 0)
    assert record["cell"] in record["reach"]


def test_changes_are_where_the_cell_reaches_and_shares_add_up(run):
    found = trace(run)
    assert found.as_json()["pixel"]["pixel"] == [16, 16]
    assert found.as_json()["cell"]["cell"] == [1, 1]
    assert bool((found.maps["change"][~found.maps["reach"]] == 0).all())
    assert bool((found.maps["change"][found.maps["reach"]] > 0).all())
    assert sum(each["share"] for each in found.as_json()["pixel"]["reads"]) == pytest.approx(1)


def test_taps_that_are_dead_are_missed_and_said(run, tmp_path, capfd):
    tensors, record = read_safetensors(run / "model.safetensors")
    # the outer taps of the last kernel let nothing through
    weight = tensors["levels.3.0.weight"]
    inner = torch.zeros_like(weight)
    inner[..., 1:3, 1:3] = weight[..., 1:3, 1:3]
    (tmp_path / "dead").mkdir()
    write_safetensors(
        tmp_path / "dead" / "model.safetensors", {**tensors, "levels.3.0.weight": inner}, record
    )
    found = trace(tmp_path / "dead")
    told = found.as_json()
    assert (told["agrees"], told["beyond"]) == (False, 0)
    assert told["missed"] == told["pairs"] - found.maps["measured"].sum() > 0
    with pytest.raises(SystemExit) as ended:
        app(["generate", "trace", str(tmp_path / "dead")])
    assert ended.value.code == 0
    said = " ".join(capfd.readouterr().out.split())
    assert f"kernels allow, {told['missed']:,} change nothing with these weights; none beyond" in said


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"pixel": (32, 0)},
            "a pixel of the picture is a row and a column from 0,0 to 31,31; got 32,0",
        ),
        ({"pixel": (0, -1)}, "a pixel of the picture is a row and a column from 0,0 to 31,31; got 0,-1"),
        ({"cell": (1, 4)}, "a cell of the sketch is a row and a column from 0,0 to 3,3; got 1,4"),
    ],
)
def test_places_outside_are_refused(run, asked, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        trace(run, **asked)


def test_the_page_says_what_the_record_says_and_loads_nothing(run):
    found = trace(run, pixel=(20, 3), cell=(1, 2))
    record = {**found.as_json(), "run": "<script>"}
    page = generate_trace_page(record, found.maps)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert WHOLE in page
    assert "A pixel depends on 1 to 9 of the 16 cells of the sketch." in page
    assert page.count("<svg") == 1 + 16 + 2
    for each in record["reach"]:
        row, column = each["cell"]
        assert f"{row},{column}: {each['pixels']:,}" in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)


def test_a_page_shows_status_in_words_where_both_differ(run):
    found = trace(run)
    page = generate_trace_page({**found.as_json(), "agrees": False, "missed": 3}, found.maps)
    assert "3 change nothing with these weights; none beyond" in page


def ended(words, capfd):
    with pytest.raises(SystemExit) as stopped:
        app(words)
    out, err = capfd.readouterr()
    return stopped.value.code, out, err


def test_words_become_text_json_and_a_page(run, tmp_path, capfd):
    words = ["generate", "trace", str(run), "--pixel", "0,0", "--cell", "3,3"]
    code, out, err = ended(words, capfd)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "algebra and measurement agree on all" in said
    assert WHOLE in said
    assert "pixel 0,0 depends on 1 cell, measured 1" in said
    assert said.endswith("cell 0,0 100.0 % of its change")
    code, out, err = ended([*words, "--format", "json"], capfd)
    assert json.loads(out)["schema"] == "upstroke.generate-trace/1"
    page = tmp_path / "trace.html"
    assert ended([*words, "--format", "html", "--output", str(page), "-q"], capfd) == (0, "", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    code, out, err = ended([*words, "--format", "html"], capfd)
    assert err == (
        "upstroke: a page is for a browser and not for a terminal; got no --output; give --output trace.html\n"
    )
    code, out, err = ended(["generate", "trace", str(run), "--pixel", "3x4"], capfd)
    assert (code, err) == (2, "upstroke: --pixel must be a row and a column, such as 1,2; got '3x4'\n")
