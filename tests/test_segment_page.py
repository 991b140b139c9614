"""Hold page, text and table of an evaluated segmentation: the record's numbers, inert names, lines where labels end."""

import csv
import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn
from PIL import Image

from test_downscale_page import Page
from upstroke.apps.segment.evaluate import evaluate
from upstroke.report.segment_csv import segment_csv
from upstroke.report.segment_overlay import outline, overlay
from upstroke.report.segment_page import segment_page
from upstroke.report.segment_text import segment_text

HOSTILE = "<script>alert(1)<,\"'"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segment")
    for name in ("data/images", "data/labels", "made"):
        (folder / name).mkdir(parents=True)
    for number, name in enumerate(("1", HOSTILE, "empty")):
        true = np.zeros((20, 30), np.uint8)
        if name != "empty":
            true[4:12, 5:20], true[13:18, 5 : 9 + number] = 1, 2
        predicted = np.roll(true, number + 1, 1)
        if number:
            predicted[predicted == 2] = 0
        for part, values in (("data/images", true * 50), ("data/labels", true), ("made", predicted)):
            Image.fromarray(values).save(folder / part / f"{name}.png")
    return evaluate(folder / "made", folder / "data")


def test_the_page_says_what_the_record_says_and_names_are_inert(found):
    record, text = found.as_json(), segment_page(found.as_json(), found.pictures)
    page = Page(text)
    assert not page.all("script")
    assert page.text.count(HOSTILE) >= 2
    assert "src=" not in text.replace('src="data:', "")
    assert f"Mean Dice {record['mean']['dice']:.3f} over 3 cases" in page.text
    for part in record["classes"]:
        assert f"{part['dice']['mean']:.3f} ± {part['dice']['sd']:.3f}" in page.text
    assert "missed: nothing was outlined" in page.text
    heads = [case["name"] for case in record["cases"]]
    assert heads == [HOSTILE, "1", "empty"]
    places = [text.index(f'<h3 class="name">{name}') for name in ("&lt;script", "1", "empty")]
    assert places == sorted(places)
    assert len([each for each in page.all("image") if each["href"].startswith("data:image/png")]) == 3
    for word in ("label (the truth): blue, solid", "prediction: orange, dashed", "Worst 3 cases"):
        assert word in page.text


def test_the_text_has_the_same_numbers_at_any_width(found):
    record = found.as_json()
    for width in (30, 60, 110):
        text = segment_text(record, width=width, verbose=True)
        assert f"Mean Dice {record['mean']['dice']:.3f} over 3" in " ".join(text.split())
        assert HOSTILE in text
    lines = segment_text(record, width=100).splitlines()
    assert lines[0] == "made  All 3 cases in data."
    worst = next(line for line in lines if HOSTILE in line)
    assert worst.split()[-1] == "missed"
    assert next(line for line in lines if "empty" in line).split()[1:] == ["–", "–", "–", "–", "–"]


def test_the_table_comes_back_as_it_was_the_worst_first(found):
    record, text = found.as_json(), segment_csv(found.as_json())
    assert text.count("\r\n") == text.count("\n") == 7
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["case"] for row in rows] == [HOSTILE, "1", HOSTILE, "1", "empty", "empty"]
    dice = [float(row["dice"]) for row in rows[:4]]
    assert dice == sorted(dice)
    assert rows[0]["presence"] == "missed"
    assert rows[0]["hausdorff95"] == ""
    assert rows[-1]["dice"] == ""
    scores = {(case["name"], part["name"]): part for case in record["cases"] for part in case["scores"]}
    for row in rows[:4]:
        assert float(row["dice"]) == scores[row["case"], row["class"]]["dice"]
        assert int(row["true_voxels"]) == scores[row["case"], row["class"]]["true"]


@given(drawn.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 7)), elements=st.integers(0, 2)))
def test_lines_run_along_every_side_between_two_labels_once(labels):
    sides = []
    for line in outline(labels):
        for (r, c), (down, right) in itertools.pairwise(line):
            assert (r == down) != (c == right)
            span = range(min(r, down), max(r, down)) if c == right else range(min(c, right), max(c, right))
            sides += [("|", at, c) if c == right else ("-", r, at) for at in span]
    wanted = {("-", r + 1, c) for r, c in np.argwhere(labels[1:] != labels[:-1]).tolist()}
    wanted |= {("|", r, c + 1) for r, c in np.argwhere(labels[:, 1:] != labels[:, :-1]).tolist()}
    assert len(sides) == len(set(sides))
    assert set(sides) == wanted


def test_a_page_without_pictures_or_scores_is_written(found):
    record = found.as_json()
    page = Page(segment_page(record, ()))
    assert "Worst" not in re.sub("worst first", "", page.text).split("How it was judged")[0]


def test_numbers_in_regions_at_the_edge_of_a_picture_are_whole():
    true = np.zeros((40, 60), np.uint8)
    picture = {
        "true": true,
        "predicted": true,
        "image": true,
        "spacing": (1.0, 1.0),
        "sides": None,
        "marks": ((1, 0.5, 59.5), (2, 39.5, 0.5), (3, 20.0, 30.0)),
    }
    drawn_over = overlay(picture, is_marked=True)
    assert (drawn_over.width, drawn_over.height) == (320.0, 213.3)
    numbers = {word: (x, y) for word, x, y in drawn_over.marks}
    assert numbers["1"] == (310.0, 10.0)
    assert numbers["2"] == (10.0, pytest.approx(203.3, abs=0.1))
    assert numbers["3"] == pytest.approx((160.0, 106.7), abs=0.1)
