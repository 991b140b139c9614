"""Hold that a finding that is meant is kept apart with its reason, and nothing else is."""

import functools
import re

import pytest
import torch
from torch import nn

from upstroke.audit import RULES, Suppression, check
from upstroke.errors import OptionError

CODES = ("UP101", "UP102", "UP105")


@functools.cache
def model():
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        first, last = nn.ConvTranspose2d(2, 2, 3, stride=2), nn.ConvTranspose2d(2, 3, (3, 5), stride=(2, 3))
        return nn.Sequential(first, nn.ReLU(), last)


def report(*suppressions, select=CODES, name="net"):
    return check(model(), torch.rand(1, 2, 5, 7), select=select, suppress=suppressions, name=name)


def meant(site, code, reason="it is meant", **more):
    return Suppression(site=site, code=code, reason=reason, **more)


def pairs(findings):
    return [(each.rule.code, each.site) for each in findings]


def test_what_is_suppressed_is_no_finding_and_nothing_is_lost():
    bare = report()
    suppressed = report(meant("0", "UP101"))
    assert ("UP101", "0") in pairs(bare.findings)
    assert ("UP101", "2") in pairs(bare.findings)
    assert pairs(suppressed.findings) == [each for each in pairs(bare.findings) if each != ("UP101", "0")]
    assert [(*pairs([each.finding]), each.suppression.reason) for each in suppressed.suppressed] == [
        (("UP101", "0"), "it is meant")
    ]


@pytest.mark.parametrize(
    ("suppression", "covered"),
    [
        (meant("*", "UP101"), {("UP101", "0"), ("UP101", "2")}),
        (meant("[01]", "up1"), {("UP101", "0"), ("UP102", "0")}),
        (meant("?", "UP105"), {("UP105", "2")}),
        (meant("0.*", "UP1"), set()),
        (meant("0", "UP101", model="net"), {("UP101", "0")}),
        (meant("0", "UP101", model="n*"), {("UP101", "0")}),
        (meant("0", "UP101", model="other"), set()),
    ],
)
def test_what_a_pattern_covers(suppression, covered):
    assert {pair for each in report(suppression).suppressed for pair in pairs([each.finding])} == covered


def test_a_name_that_looks_like_a_pattern_is_a_name():
    assert meant("up[0]", "UP101").covers(code="UP101", site="up[0]", model="m")
    assert not meant("UP", "UP101").covers(code="UP101", site="up", model="m")


def test_the_first_suppression_gives_the_reason():
    (only,) = report(
        meant("0", "UP101", "first"), meant("*", "UP101", "second"), select=["UP101"], name="net"
    ).suppressed[:1]
    assert only.suppression.reason == "first"


def test_what_covers_nothing_is_known_where_all_its_rules_were_asked():
    nowhere, elsewhere = meant("up*", "UP101"), meant("up*", "UP101", model="other")
    unasked, partly_asked, used = meant("up*", "UP202"), meant("up*", "UP"), meant("0", "UP101")
    assert report(nowhere, elsewhere, unasked, partly_asked, used).needless == (nowhere,)
    whole_group = meant("up*", "UP1")
    assert report(whole_group, select=["UP1"]).needless == (whole_group,)


def test_the_record_of_what_is_suppressed():
    bare, record = report().as_json(), report(meant("0", "UP101", "because")).as_json()
    taken = next(each for each in bare["findings"] if (each["code"], each["site"]) == ("UP101", "0"))
    assert record["suppressed"] == [{**taken, "reason": "because"}]
    assert record["findings"] == [each for each in bare["findings"] if each != taken]
    assert record["summary"]["warnings"] == bare["summary"]["warnings"] - 1
    assert (record["summary"]["suppressed"], bare["summary"]["suppressed"]) == (1, 0)
    verdicts = {site["name"]: site["verdicts"]["UP101"] for site in record["sites"]}
    assert verdicts["0"]["suppressed"] == "because"
    assert "suppressed" not in verdicts["2"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"reason": " "},
            "a suppression must have a reason; got an empty one; give why the finding may stand",
        ),
        (
            {"site": ""},
            "a suppression must have a site; got an empty one; give the name of a site, or a pattern such as decoder.*",
        ),
        (
            {"code": ""},
            "a suppression must have a code; got an empty one; give the code of a rule, such as UP101",
        ),
        (
            {"model": ""},
            "a suppression must have a model; got an empty one; give the name of a model, or a pattern such as *.onnx",
        ),
        ({"code": "UP9"}, f"rules are {', '.join(sorted(RULES))}, or what these begin with; got 'UP9'"),
    ],
)
def test_what_a_suppression_must_say(fields, sentence):
    with pytest.raises(OptionError, match=f"^{re.escape(sentence)}$"):
        Suppression(**{"site": "up", "code": "UP101", "reason": "why"} | fields)
