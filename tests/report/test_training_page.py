"""Hold the page of a training run: the numbers of the record, inert names, nothing from elsewhere."""

import base64
import re

import pytest
from test_check_page import Page

from upstroke.report.svg_lines import line_chart, round_steps
from upstroke.report.training_page import training_page

HOSTILE = "<script>alert(1)</script>"


def record(**changes):
    return {
        "schema": "upstroke.training/1",
        "name": "run",
        "config": {
            "command": ["upstroke", "downscale", "train", HOSTILE],
            "versions": {"upstroke": "0.1", "torch": "2.13"},
            "task": "Residual",
            "seed": 7,
            "steps": 40,
            "fit": {"every": 10, "monitor": "val_loss", "clip": None},
            "settings": {"factor": [4, 2], HOSTILE: True},
        },
        "state": "finished",
        "step": 40,
        "best": 0.25,
        "best_step": 30,
        "seconds": 75.0,
        "series": {
            "loss": [[5, 2.0], [10, 1.0], [40, 0.5]],
            "seconds": [[5, 1.0], [40, 75.0]],
            "val_loss": [[10, 1.5], [30, 0.25], [40, 0.3]],
            "rate": [[5, 0.1]],
            HOSTILE: [[5, float("nan")], [6, 1.0]],
        },
        "pictures": [
            {"name": HOSTILE, "step": 30, "caption": HOSTILE, "png": base64.b64encode(b"png").decode()}
        ],
        **changes,
    }


def test_a_long_setting_breaks_into_lines_and_is_cut_with_its_length_said():
    changed = record()
    names = [f"case_{number:03d}" for number in range(100)]
    changed["config"]["settings"] = {"cases": names, "unet": "x" * 50, "batch": 2}
    page = Page(training_page(changed))
    text = " ".join(page.words().split())
    assert '"case_032", "ca … and 800 characters more, in config.json' in text
    assert len(page.all("words")) == 2


def test_the_page_shows_the_record():
    page = Page(training_page(record()))
    words = page.words()
    assert "Finished after 40 steps; val_loss was best, 0.25, after step 30." in words
    assert "Residual, in 1 minute 15 seconds." in words
    titles = [each["attrs"]["aria-label"] for each in page.elements if each["tag"] == "svg"]
    # the validated number first, with that of training; times are no curve
    assert titles[0] == (
        "loss from 2 at step 5 to 0.5 at step 40, least 0.5 at step 40; val_loss from 1.5 at step 10 to 0.3 at step "
        "40, least 0.25 at step 30; best 0.25 after step 30"
    )
    assert len(titles) == 3
    assert len(page.all("ring")) == 1
    assert "factor [4, 2]" in words
    assert "clip none" in words


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("early", "Finished early after 40 of 40 steps, because validation got no better"),
        ("stopped", "Stopped after 40 of 40 steps; it can be resumed"),
        ("failed", "Broken off at step 40 of 40, where a number became NaN or infinite"),
    ],
)
def test_how_a_run_ended_is_said_in_words(state, words):
    assert words in Page(training_page(record(state=state))).words()


def test_names_are_inert_and_nothing_is_loaded():
    text = training_page(record())
    page = Page(text)
    assert not [each for each in page.elements if each["tag"] in ("script", "link")]
    sources = [
        value for each in page.elements for name, value in each["attrs"].items() if name in ("src", "href")
    ]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in sources)
    assert len(sources) == 1
    assert not re.search(r"https?://", text)


def test_a_run_without_numbers_has_a_page():
    page = Page(training_page(record(series={}, pictures=[], best=None, best_step=None, step=0)))
    assert not [each for each in page.elements if each["tag"] == "svg"]
    assert "Finished after 0 steps." in page.words()


def test_a_chart_is_as_high_as_its_numbers():
    # a linear scale from 0 to 4: half way up stands 2
    chart = line_chart([("loss", [(1, 4.0), (2, 2.0), (4, 0.0)])])
    (curve,) = [each.path for each in chart.marks if each.kind.startswith("curve")]
    places = [tuple(map(float, each.split())) for each in curve.removeprefix("M").split("L")]
    top, middle, bottom = (y for _, y in places)
    assert middle == pytest.approx((top + bottom) / 2)
    assert [x - places[0][0] for x, _ in places] == pytest.approx([0, 110, 330], abs=0.1)
    # far apart and all above 0: a log scale, on which equal ratios are equal heights
    chart = line_chart([("loss", [(1, 100.0), (2, 10.0), (3, 1.0)])])
    (curve,) = [each.path for each in chart.marks if each.kind.startswith("curve")]
    heights = [float(each.split()[1]) for each in curve.removeprefix("M").split("L")]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.1)
    assert "log scale" in chart.label
    assert line_chart([("loss", [(1, float("inf"))])]) is None


@pytest.mark.parametrize(("low", "high"), [(0, 7), (-3, 11), (0.5, 0.5), (1e-9, 4e-9), (0, 123456)])
def test_axes_have_few_round_numbers_around_all(low, high):
    ticks = round_steps(low, high)
    assert 1 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
