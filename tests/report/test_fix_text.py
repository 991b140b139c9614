"""Hold what text and page say of a fixed model: all of the record, as sentences, and nothing that names smuggle in."""

import html
import re

import pytest

from fix_records import HOSTILE, fixed, pair, precision, repair, site
from upstroke.report.fix_page import fix_page
from upstroke.report.fix_text import fix_text

TIMES = (("as it is", 4.5), ("transposed", 1.5), ("phases", 3.0))
FULL = fixed(
    site("up", times=TIMES, how="swapped at up"),
    site("up2", outcome="left", words="that is 1.1 times as fast"),
    site("up3", outcome="left", words="that is 1.1 times as fast"),
    repairs=[
        repair("UP102", "last", measure=pair(-9.0)),
        repair("UP201", "p2o.Add.1", outcome="left", words="p2o.Conv.2 is trained", measure=pair(-1.5, -1.5),
               unit="input pixels"),
        repair("UP203", "the model", words="inputs are padded", measure=pair(32.0, 1.0), unit="samples of period"),
    ],
    verified=[precision(refused="sizes must be odd")],
    outputs_changed=[{"name": "y", "relative_difference": 0.5, "relative_rms": 0.125}],
    output="fixed.onnx",
    notes=["a batch normalisation is part of the weights"],
)  # fmt: skip
FULL["totals"] |= {
    "milliseconds": pair(100.0, 96.0), "peak_memory": pair(2e6, 1e6), "words": "what was changed took 8 %",
}  # fmt: skip
TEXT = """\
net.onnx: 1 site rewritten, 2 repairs made, 1 repair not possible, 2 sites left as they are
ONNX, opset 17; for onnxruntime, one thread

Rewritten
  up  UP301
    Two become one.
    One transposed convolution; 3.0× as fast, 4.5 ms before and 1.5 ms now; alone it differs by
      4e-07 of its largest value.

Left as they are
  up2, up3  UP301
    That is 1.1 times as fast.

Repairs, which change what the model computes
  last  UP102, repaired
    Its kernels move by 5 % of their norm.
    Pattern of a constant: −9 dB before, gone (below rounding) now.
  p2o.Add.1  UP201, left
    p2o.Conv.2 is trained.
    Its weights changed by 5 % of their norm.
    Drift: −1.5 input pixels.
  the model  UP203, repaired
    Inputs are padded.
    Its weights changed by 5 % of their norm.
    Sizes that come out right: every 32 samples before, every size now.
  On the example, output y moved by 12.5 % of its root mean square.

The whole model
  multiply–adds   2 k before, 1 k now, 50 % less
  parameters      1,234 before, 2,345 now, 90 % more
  time            100 ms before, 96 ms now, 1.04 times as fast
  peak memory     2 MB before, 1 MB now, 50 % less
  What was changed took 8 %.

Verified
  Old and new agree at 1 size of the inputs: largest relative difference 3e-07 in float32 (tolerance
    1e-05); both refuse 1 more.

Findings of the check
  UP301 2 → 0

A batch normalisation is part of the weights.

1 site rewritten, 2 repairs made, 1 repair not possible, 2 sites left as they are; written to
  fixed.onnx
"""
LISTED = """\
      Swapped at up.
      4.5 ms  as it is
      1.5 ms  one transposed convolution
      3 ms  one convolution per phase, interleaved
"""


def words_of(page):
    """The text that a browser shows, on one line."""
    bare = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(bare).split())


def test_the_text_tells_all_of_it():
    assert fix_text(FULL) == TEXT


def test_verbose_lists_forms_and_sizes():
    text = fix_text(FULL, verbose=True)
    assert LISTED in text
    assert "  1x3x5x7 float32: as given: y 3e-07\n" in text
    assert "  1x3x6x8 float32: one more: both refuse it: sizes must be odd\n" in text


def test_no_line_is_wider_than_the_terminal():
    text = fix_text(FULL, width=44, verbose=True)
    assert max(map(len, text.splitlines())) <= 44


def test_the_page_says_what_the_text_says():
    shown = words_of(fix_page(FULL))
    for part in (
        "1 site rewritten, 2 repairs made, 1 repair not possible, 2 sites left as they are",
        "Old and new agree at 1 size of the inputs",
        "Two become one.",
        "3.0× as fast, 4.5 ms before and 1.5 ms now",
        "In place of up, up.conv; swapped at up.",
        "That is 1.1 times as fast.",
        "✓ repaired −9 dB gone (below rounding) Its kernels move by 5 % of their norm.",
        "○ left −1.5 input pixels −1.5 input pixels p2o.Conv.2 is trained.",
        "every 32 samples every size Inputs are padded.",
        "On the example, output y moved by 12.5 % of its root mean square.",
        "parameters 1,234 2,345 90 % more",
        "UP301 2 0",
        "one more: both refuse it: sizes must be odd",
        "A batch normalisation is part of the weights.",
        "Written to fixed.onnx",
        "What was changed took 8 %.",
    ):
        assert part in shown, part


def test_figures_stand_with_their_site():
    page = fix_page(FULL)
    card = page[page.index('<article class="card ok">') : page.index("</article>")]
    assert "as it is 4.5 ms, transposed 1.5 ms, phases 3 ms" in words_of(card)
    whole = page[page.index('id="whole"') : page.index('id="rewritten"')]
    assert "before 100 ms, after 96 ms" in words_of(whole)
    assert "transposed" not in whole


@pytest.mark.parametrize("own", [0.002, 0.0])
def test_a_difference_above_the_tolerance_is_explained(own):
    said = fix_text(fixed(site("up"), verified=[precision(largest=0.0015, own=own)]))
    assert " ".join(said.split()).count(
        "0.0015 in float32 (tolerance 1e-05, beyond which the old model alone, computed in two ways, differs "
        f"by {own:.2g})."
    )


def test_what_was_not_verified_is_not_handed_back():
    record = fixed(
        site("up"),
        verified=[precision(largest=0.5, words="for inputs of 1x3x5x7 'y' differs")],
        notes=["site up is to blame"],
    )
    text = fix_text(record)
    assert text.startswith("net.onnx: Not verified, so nothing is handed back\n")
    assert "\nNot verified\n  Old and new do not agree: for inputs of 1x3x5x7 'y' differs.\n" in text
    assert text.endswith("\nSite up is to blame.\n\nNot verified, so nothing is handed back\n")
    assert "✕ Not verified, so nothing is handed back" in words_of(fix_page(record))


def test_nothing_to_do_is_said():
    record = fixed(findings={"before": None, "after": None})
    assert fix_text(record).endswith("\nNothing to do\n")
    assert "Nothing was changed, so nothing had to be compared." in words_of(fix_page(record))


def test_names_come_out_inert():
    record = fixed(
        site(HOSTILE, words=HOSTILE, how=HOSTILE),
        repairs=[repair("UP102", HOSTILE, words=HOSTILE)],
        model=HOSTILE,
        notes=[HOSTILE],
        output=HOSTILE,
    )
    page = fix_page(record)
    assert "<script" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 7
    assert "\x1b" not in fix_text(record, verbose=True)
