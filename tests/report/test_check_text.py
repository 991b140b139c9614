"""Hold what a terminal shows of a checked model: every verdict, at every width, and nothing that names smuggle in."""

import re
import subprocess
import sys

import pytest

from check_records import (
    HOSTILE,
    found,
    join,
    network,
    ok,
    output,
    passed_over,
    record,
    reduction,
    site,
    small,
)
from upstroke.report.check_text import check_text

SMALL = """\
net.onnx: 30 operators, 3 upsampling sites, 1 operator that could not be read
ONNX, opset 12; input 'x' 1x3x?

up  transposed convolution k3 s2, 8 → 4 channels, 4x5 → 8x15
  warning UP101  1 to 4 taps
  error UP102    a checkerboard

What to do
  UP101, UP102: make it balanced
  The remedies change the code or the training of the model; an ONNX file has to be exported anew.

Skipped
  grow: no operator of ONNX

Fine
  2 times nearest resize ×2: even, even2

1 error, 1 warning in 1 of 3 sites; 2 sites are fine; 1 operator could not be read
upstroke explain UP102 says more
"""
NARROW = """\
net.onnx: 30 operators, 3 upsampling
  sites, 1 operator that could not be
  read
ONNX, opset 12; input 'x' 1x3x?

up  transposed convolution k3 s2, 8 → 4
    channels, 4x5 → 8x15
  warning UP101  1 to 4 taps
  error UP102  a checkerboard

What to do
  UP101, UP102: make it balanced
  The remedies change the code or the
    training of the model; an ONNX file
    has to be exported anew.

Skipped
  grow: no operator of ONNX

Fine
  2 times nearest resize ×2: even, even2

1 error, 1 warning in 1 of 3 sites; 2
sites are fine; 1 operator could not be
read
upstroke explain UP102 says more
"""


@pytest.mark.parametrize(("width", "text"), [(100, SMALL), (40, NARROW)])
def test_a_small_record(width, text):
    assert check_text(small(), width=width) == text


@pytest.mark.parametrize("width", [20, 40, 60, 100, 300])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_width_cuts_words_and_none_is_lost(width, verbose):
    name = "a.very.long.name.that.is.longer.than.a.narrow.terminal.is.wide"
    shown = check_text(small(name=name), width=width, verbose=verbose)
    wide = check_text(small(name=name), width=100, verbose=verbose)
    assert shown.split() == wide.split()
    for line in shown.splitlines():
        assert len(line) <= min(width, 100) or len(line.split()) == 1 or name in line
        assert line == line.rstrip()


def test_verbose_lists_each_site_with_its_numbers():
    shown = check_text(small(), verbose=True)
    assert (
        """\
even  nearest resize ×2, 4x5 → 8x15
  image gain of the layer −6.2 dB, of the chain −7.5 dB
  ok UP101       1 tap
  ok UP102       balanced
"""
        in shown
    )
    assert "  ok UP202       one grid\n" in shown
    assert "\nFine\n" not in shown
    assert "ok UP202" not in check_text(small())


def test_notes_of_verdicts_that_are_ok_are_shown():
    noted = site(
        "first", "resize", {"UP102": ok("1x1 map: no pattern can form", note=True), "UP101": ok("even")}
    )
    shown = check_text(record([noted]))
    assert "first  nearest resize ×2, 4x5 → 8x15\n  ok UP102       1x1 map: no pattern can form\n" in shown
    assert "UP101" not in shown
    assert shown.endswith("Nothing wrong found: 1 site is fine\n")


def test_nothing_to_check():
    assert check_text(record([])).splitlines()[-1] == "nothing to check: no upsampling found"


def test_all_skipped_is_not_fine():
    sites = [
        site(
            name,
            "unread",
            {"UP102": passed_over("not read")},
            known=False,
            skipped="acme::Grow is no operator",
        )
        for name in "abcdef"
    ]
    shown = check_text(record(sites))
    assert "  a, b, c, d and 2 more: acme::Grow is no operator\n" in shown
    assert shown.endswith("\nNothing could be checked: 6 operators could not be read\n")
    assert "fine" not in shown


def test_a_rule_that_could_not_be_applied_is_said():
    partly = site("up", "resize", {"UP101": ok("even"), "UP102": passed_over("no weights")})
    shown = check_text(record([partly]))
    assert "Skipped\n  UP102 at up: no weights\n" in shown
    assert shown.endswith("\nNothing wrong found: 1 site partly checked\n")


def test_sites_and_operators_that_could_not_be_read_are_counted_apart():
    skipped = {"UP101": passed_over("?")}
    sites = [
        site("a", "unread", skipped, known=False, skipped="unknown"),
        site("b", "unread", skipped, known=False, skipped="unknown"),
        site("c", "transposed", skipped, skipped="2 of its weights are not finite"),
    ]
    first, *_, last = check_text(record(sites)).splitlines()
    assert first == "net.onnx: 30 operators, 1 upsampling site, 2 operators that could not be read"
    assert last == "Nothing could be checked: 1 site skipped; 2 operators could not be read"


def test_a_measure_of_zero_says_nothing_that_ok_does_not():
    verdicts = {
        "UP101": ok("9 taps in every phase", measure=0.0, unit="taps apart"),
        "UP102": ok("quiet", measure=-61.25, unit="dB"),
        "UP202": {**found("moves", "UP202", measure=0.0), "severity": "note"},
    }
    shown = check_text(record([site("up", "transposed", verdicts)]), verbose=True)
    assert "  ok UP101       9 taps in every phase\n" in shown
    assert "  ok UP102       quiet (measured −61.2 dB)\n" in shown


@pytest.mark.parametrize(
    ("biases", "words"),
    [
        (-7.5, "image gain of the layer −6.2 dB, of the chain −7.5 dB"),
        (-7.0, "image gain of the layer −6.2 dB, of the chain −7.5 dB, of the biases −7 dB"),
    ],
)
def test_biases_are_told_where_they_are_louder_than_the_chain(biases, words):
    shown = check_text(record([site("up", "transposed", {"UP102": ok("x")}, bias_db=biases)]), verbose=True)
    assert f"  {words}\n" in shown


def test_only_a_file_has_to_be_exported_anew():
    bad = [site("up", "transposed", {"UP102": found("stripes", "UP102")})]
    fine = [site("up", "transposed", {"UP102": ok("balanced")})]
    assert "exported" in check_text(record(bad))
    assert "exported" not in check_text(record(bad, source="PyTorch module"))
    assert "exported" not in check_text(record(fine))


def test_findings_of_no_listed_site_are_shown():
    data = small()
    data["findings"].append({**data["findings"][0], "site": "a join", "message": "two grids"})
    assert "\na join\n  warning UP101  two grids\n" in check_text(data)


def test_two_sites_of_one_name_keep_their_own_findings():
    sites = [
        site("up", "transposed", {"UP102": ok("balanced")}),
        site("up", "transposed", {"UP102": found("stripes", "UP102")}),
        site("up", "transposed", {"UP102": found("squares", "UP102")}),
    ]
    shown = check_text(record(sites))
    assert re.findall("stripes|squares", shown) == ["stripes", "squares"]
    assert shown.count("\nup  ") == 2
    assert "in 2 of 3 sites; 1 site is fine" in shown


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("colour", [False, True])
def test_names_neither_move_the_cursor_nor_colour_anything(name, colour):
    plain = check_text(small(), colour=colour)
    shown = check_text(small(name=name, fine=name, skipped=name, model=name), colour=colour, width=100)
    ours = re.compile(r"\x1b\[[0-9;]*m")
    assert set(ours.findall(shown)) <= set(ours.findall(plain))
    assert all(each.isprintable() or each == "\n" for each in ours.sub("", shown))
    shown.encode()
    if name.isprintable():
        assert name.split()[0] in shown


def test_colour_only_where_asked():
    assert "\x1b" not in check_text(small())
    assert "\x1b[31merror" in check_text(small(), colour=True)


def test_showing_needs_no_torch_and_no_jinja():
    code = (
        "import sys, types\n"
        "package = types.ModuleType('upstroke')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['upstroke'] = package\n"
        "import upstroke.report.check_text, upstroke.report.check_page\n"
        "print(*sorted({'torch', 'jinja2', 'numpy'} & set(sys.modules)))"
    )
    import upstroke

    done = subprocess.run(
        [sys.executable, "-c", code, upstroke.__path__[0]], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_what_is_no_site_has_a_block_of_its_own():
    shown = check_text(network(joins=3))
    assert (
        """\
Joins
  warning UP201  up.join0: 8 px apart
  warning UP201  up.join1: 9 px apart
  warning UP201  up.join2: 10 px apart

Strided layers
  warning UP103  2 strided layers (up.down0, up.down1): 1 to 4 taps

The model as a whole
  error UP203    heights that are not multiples of 4 fail
"""
        in shown
    )
    assert "Skipped\n  UP201 at up.lost: attention mixes all positions\n" in shown
    assert "Fine\n  1 join, 1 output\n" in shown
    assert "1 error, 6 warnings in 1 of 1 site, 3 joins, 2 strided layers, the model as a whole\n" in shown


def test_many_findings_of_one_rule_are_told_by_the_worst():
    shown = check_text(network(joins=150))
    (line,) = re.findall(r"  warning UP201 .*?(?=\n\n)", shown, re.DOTALL)
    assert " ".join(line.split()) == (
        "warning UP201 150 of 152 joins, the worst at up.join149: 157 px apart; also at up.join148 (156 input "
        "pixels), up.join147 (155 input pixels), up.join146 (154 input pixels), up.join145 (153 input pixels) "
        "and 145 more"
    )
    assert len(shown.splitlines()) < 40


def test_many_findings_that_say_the_same_are_one_line():
    strided = [reduction(f"d{i}", {"UP103": found("1 to 4 taps", "UP103", measure=3)}) for i in range(150)]
    shown = check_text(record([], reductions=strided))
    assert "  warning UP103  150 strided layers (d0, d1, d2, d3 and 146 more): 1 to 4 taps\n" in shown
    assert "\n150 warnings in 150 strided layers; no upsampling found\n" in shown


def test_verbose_lists_every_subject():
    data = network(joins=12)
    shown = check_text(data, verbose=True)
    for each in (*data["joins"], *data["reductions"], *data["outputs"]):
        (verdict,) = each["verdicts"].values()
        word = verdict.get("severity", verdict["verdict"])
        assert re.search(
            rf"^{each['name']}  (join|strided layer|output)\n  {word} .*{verdict['words']}",
            shown,
            re.MULTILINE,
        )


@pytest.mark.parametrize("width", range(40, 101, 4))
@pytest.mark.parametrize("verbose", [False, True])
def test_a_network_fits_every_width(width, verbose):
    data = network(name="decoder.blocks.3", joins=40)
    shown = check_text(data, width=width, verbose=verbose)
    assert all(len(line) <= width for line in shown.splitlines())
    assert shown.split() == check_text(data, verbose=verbose).split()


def test_what_nobody_judged_is_not_called_fine():
    data = record([], joins=[join("j", {})], reductions=[reduction("r", {})], outputs=[output("o", {})])
    assert "Fine" not in check_text(data)
    assert check_text(data) == check_text(data, verbose=True)


def test_notes_of_joins_are_shown():
    noted = join("j", {"UP201": ok("registered, but for its border", note=True)})
    assert "Joins\n  ok UP201       j: registered, but for its border\n" in check_text(
        record([], joins=[noted])
    )


def test_what_is_suppressed_and_what_the_baseline_knew_is_counted_last():
    meant = {"UP102": {**found("stripes", "UP102"), "suppressed": "by design"}}
    data = record(
        [site("up", "transposed", meant)],
        suppressed=[{"code": "UP102", "site": "up", "reason": "by design"}],
        baseline={"known": [{}, {}], "gone": [{"code": "UP201", "site": "old"}]},
    )
    shown = check_text(data, verbose=True)
    assert "  finding UP102  stripes (measured −6.2 dB); suppressed: by design\n" in shown
    assert "Gone since the baseline\n  UP201: old\n" in shown
    last = " ".join(shown.split("\n\n")[-1].split())
    assert last == "Nothing new found: 1 suppressed; 2 known from the baseline; 1 of the baseline gone"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_joins_and_layers_do_not_move_the_cursor_either(name):
    for verbose in (False, True):
        shown = check_text(network(name=name, joins=5), verbose=verbose)
        assert all(each.isprintable() or each == "\n" for each in shown)
        shown.encode()


def test_sizes_that_a_file_leaves_open_are_asked_for_once_at_the_end():
    open_ended = [("img", [None, 3, None, None]), ("mask", None), ("t", [None, 5])]
    unread = site(
        "up", "unread", {}, known=False, skipped="its output size is not known before the model runs"
    )
    asked = (
        "the file leaves open how large 'img', 'mask' are; with --input img=1x3x64x64 --input mask=1x3x64x64, as "
        "they should be, more can be read"
    )
    plain = record([unread, unread], inputs=open_ended)
    shown = " ".join(check_text(plain).split())
    assert shown.endswith(asked)
    assert shown.count("--input") == 2
    assert "--input" not in check_text(record([unread], inputs=[("img", [None, 3, 5, 7])]))
    other = site("up", "unread", {}, known=False, skipped="no operator of ONNX")
    assert "--input" not in check_text(record([other], inputs=open_ended))
    assert "--input" not in check_text(record([unread], inputs=open_ended, source="PyTorch"))
    judged = site("up", "resize", {"UP201": passed_over("its shape is not known")})
    assert "--input" in check_text(record([judged], inputs=open_ended))
