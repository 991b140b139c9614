"""Hold what a report shows of itself: at a prompt, in a notebook, as a table."""

import html
import re
import sys

import pytest
import torch
from torch import nn

from upstroke.audit import Suppression, check
from upstroke.errors import MissingExtraError, OptionError
from upstroke.report.check_page import check_page
from upstroke.report.check_text import check_text


class Hostile(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module('<script>alert("1")</script>', nn.ConvTranspose2d(2, 3, 3, stride=2))

    def forward(self, x):
        return next(self.children())(x)


@pytest.fixture(scope="module")
def report():
    meant = Suppression(site="*", code="UP101", reason="it is meant")
    return check(Hostile(), torch.rand(1, 2, 5, 7), suppress=[meant], name="net")


def test_a_prompt_shows_what_the_command_prints(report, monkeypatch):
    monkeypatch.setenv("COLUMNS", "71")
    assert repr(report) == str(report) == check_text(report.as_json(), width=71).rstrip("\n")
    assert max(map(len, repr(report).splitlines())) <= 71
    assert repr(report).startswith("net: ")
    assert "1 suppressed" in repr(report)
    assert "\x1b" not in repr(report)


def test_the_text_takes_a_width_and_detail(report):
    assert report.as_text(width=60) == check_text(report.as_json(), width=60)
    assert report.as_text(width=60, verbose=True) == check_text(report.as_json(), width=60, verbose=True)
    assert "suppressed: it is meant" in " ".join(report.as_text(verbose=True).split())


def test_a_notebook_shows_the_page_by_itself(report):
    shown = report._repr_html_()
    assert report.as_html() == check_page(report.as_json())
    found = re.fullmatch(r'<iframe style="[^"<>]*" sandbox srcdoc="([^"<>]*)"></iframe>', shown, re.DOTALL)
    # escaped twice: a name in the page, and the page in the attribute
    assert html.unescape(found[1]) == report.as_html()
    assert "<script" not in html.unescape(found[1])


def test_a_table_has_a_row_for_each_verdict(report):
    table = report.to_frame()
    assert list(table.columns) == [
        "site", "kind", "code", "title", "verdict", "severity", "measure", "unit", "threshold", "words", "suppressed",
    ]  # fmt: skip
    assert len(table) == sum(len(judged.verdicts) for judged in report.judged)
    found = table[table.verdict == "finding"]
    assert sorted(zip(found.code, found.site, found.severity, strict=True)) == sorted(
        (each.rule.code, each.site, each.severity)
        for each in (*report.findings, *(every.finding for every in report.suppressed))
    )
    row = table[table.code == "UP101"].iloc[0]
    assert (row.kind, row.measure, row.threshold, row.unit, row.suppressed) == (
        "transposed", 3.0, 0.0, "taps apart", "it is meant",
    )  # fmt: skip
    assert table[table.code == "UP102"].suppressed.isna().all()


def test_one_code_stands_for_a_sequence_of_one():
    net, x = nn.ConvTranspose2d(2, 3, 3, stride=2), torch.rand(1, 2, 5, 7)
    for one in ({"select": "up1"}, {"ignore": "UP2"}, {"select": "UP1", "ignore": "UP102"}):
        several = {name: [code] for name, code in one.items()}
        asked = [rule.code for rule in check(net, x, **one).rules]
        assert asked == [rule.code for rule in check(net, x, **several).rules]
    with pytest.raises(OptionError, match=r"; got 'UP9'$"):
        check(net, x, select="UP9")


def test_a_table_of_nothing_has_its_columns():
    empty = check(nn.ReLU(), torch.rand(1, 2, 5, 7), select=["UP101"]).to_frame()
    assert len(empty) == 0
    assert "measure" in empty.columns


def test_a_table_needs_pandas(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    sentence = "a report becomes a table through pandas, which is not installed; pip install pandas"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(sentence)}$"):
        report.to_frame()
