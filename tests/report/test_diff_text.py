"""Hold what text and page say of two models side by side, and that no name is more than a name in them."""

import html
import re

import pytest

from fix_records import HOSTILE, at_size, change, compared, found, side
from upstroke.report.diff_page import diff_page
from upstroke.report.diff_text import diff_text
from upstroke.report.diff_words import state

FULL = compared(
    side("old.onnx", drifts=[("join", [-8.0, -8.0]), ("other", [0.0, 2.0]), ("same", [0.0, 0.0])]),
    side(
        "new.onnx", parameters=1171721, multiply_adds=3e6,
        drifts=[("join", [0.0, 0.0]), ("other", None), ("same", [0.0, 0.0])],
    ),
    gone=[found("UP101", "up"), found("UP102", "up", severity="error", measure=-9.0, unit="dB")],
    added=[found("UP304", "up/conv", severity="note", measure=None, words="close to separable")],
    same=[found("UP103", "a"), found("UP103", "b", measure=5.0)],
    cases=[
        at_size(change(far=0.5, rms=0.25, shift=-0.125), change("z", far=0.0, rms=0.0)),
        at_size(change(far=0.125, rms=0.0625), sizes=(2, 3, 5, 7), words="a batch of one more"),
        at_size(change(words="its shape is 1x6 in the old model and 1x5 in the new one"), sizes=(1, 3, 6, 8)),
        at_size(sizes=(1, 3, 9, 9), words="odd", new="no such size"),
        at_size(sizes=(1, 3, 4, 4), words="small", old="too small", new="too small as well"),
    ],
    largest=None,
)  # fmt: skip
TEXT = """\
old  old.onnx  ONNX, opset 17, 2 upsampling sites, 3 joins
new  new.onnx  ONNX, opset 17, 2 upsampling sites, 3 joins

Found in the new model alone
  note UP304     up/conv: close to separable

Gone
  error UP102    up (−9 dB)
  warning UP101  up (2 taps apart)

Found in both
  warning UP103  a (2 taps apart), b (5 taps apart)

What they take
  multiply–adds   2 M → 3 M, 50 % more
  parameters      1,171,817 → 1,171,721, 0.0082 % less
  inputs          x 1x3x5x?, the same
  outputs         y, the same

Joins whose branches moved, in input pixels
  join: −8 → 0
  other: 0, 2 → –

Outputs of both on the same inputs
  1x3x5x7         as given: y differs by at most 50 % of its largest value, by 25 % in root mean
                  square; its mean moves by −12 % of that
  1x3x5x7         as given: z is equal
  1x3x6x8         as given: y: its shape is 1x6 in the old model and 1x5 in the new one
  1x3x9x9         odd: the new model alone refuses it: no such size
  1x3x4x4         small: both refuse it: too small
  4 more sizes of inputs were tried; -v lists them

2 findings gone, 1 new, 2 in both; outputs differ by up to 50 % of their largest value and cannot be
  compared at 2 sizes of the inputs
"""


def words_of(page):
    bare = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(bare).split())


def test_the_text_tells_all_of_it():
    assert diff_text(FULL) == TEXT


def test_verbose_lists_what_both_have_and_every_size():
    text = diff_text(FULL, verbose=True)
    assert "  warning UP103  b: 1 to 4 taps\n" in text
    assert "  2x3x5x7         a batch of one more: y differs by at most 12 %" in text
    assert "-v lists" not in text


def test_the_page_says_the_same():
    shown = words_of(diff_page(FULL))
    for part in (
        "old.onnx → new.onnx",
        "◆ 2 findings gone, 1 new, 2 in both",
        "Outputs differ by up to 50 % of their largest value and cannot be compared at 2 sizes of the inputs.",
        "up/conv UP304 ◆ note – close to separable",
        "up UP102 ✕ error −9 dB 1 to 4 taps",
        "b UP103 ▲ warning 5 taps apart",
        "1x3x9x9 odd: the new model alone refuses it: no such size",
        "parameters 1,171,817 1,171,721 0.0082 % less",
        "other 0, 2 –",
    ):
        assert part in shown, part


def test_two_equal_models_need_few_words():
    text = diff_text(compared(cases=[at_size(change(far=0.0, rms=0.0))], largest=0.0))
    assert text.endswith("\nNothing found in either; outputs are equal\n")
    assert state(compared()) == "ok"


@pytest.mark.parametrize("worst", ["error", "warning", "note"])
def test_the_state_is_that_of_the_worst_that_is_new(worst):
    order = ["error", "warning", "note"]
    added = [found("UP101", "up", severity=each) for each in order[order.index(worst) :]]
    assert state(compared(added=added[::-1])) == worst


def test_models_without_a_size_in_common_are_not_called_alike():
    text = diff_text(compared(cases=[at_size(old="no", new="no")], largest=0.0))
    assert text.endswith("; no outputs to compare\n")


def test_names_come_out_inert():
    record = compared(
        side(HOSTILE, drifts=[(HOSTILE, [1.0])]),
        side("new.onnx", drifts=[(HOSTILE, [0.0])]),
        added=[found("UP101", HOSTILE, words=HOSTILE)],
        cases=[at_size(change(HOSTILE, new_name="y2"), words=HOSTILE, old=HOSTILE)],
    )
    page = diff_page(record)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\x1b" not in diff_text(record)
    assert page.count("&lt;script&gt;alert(1)") >= 6
