"""Hold what a terminal shows of a checked model: every verdict, at every width, and nothing that names smuggle in."""

import re
import subprocess
import sys

import pytest

from check_records import HOSTILE, found, ok, passed_over, record, site, small
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
