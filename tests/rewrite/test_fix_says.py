"""Hold what a fix says of itself to what it did."""

import sys

import pytest
import torch
import torch.nn.functional as F
from onnx import parser
from torch import nn

from upstroke.errors import FileError, NotRepresentableError
from upstroke.rewrite import fix, work_onnx, work_torch

exact = sys.modules["upstroke.rewrite.exact"]


class Calls(nn.Module):
    """Two sites that are calls of functions, so that both need a traced model."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        x = self.one(F.interpolate(x, scale_factor=(2.0, 3.0)))
        return self.norm(self.two(F.interpolate(x, scale_factor=(2.0, 3.0))))


@pytest.fixture
def wrong_parts(monkeypatch):
    """Parts whose numbers are off by a hundredth, which a site alone is not asked about."""
    right = work_torch.part_of

    def wrong(*args, **kwargs):
        part = right(*args, **kwargs)
        for parameter in part.parameters():
            parameter.data *= 1.01
        return part

    monkeypatch.setattr(work_torch, "part_of", wrong)
    monkeypatch.setattr(exact, "_differences", lambda candidates: dict.fromkeys(candidates, 0.0))


def test_what_is_not_verified_changes_nothing_and_a_site_in_a_graph_is_blamed(wrong_parts):
    net = Calls().eval()
    fixed = fix(net, torch.rand(2, 3, 5, 7), form="transposed", select=["UP301"])
    assert not fixed.is_verified
    assert fixed.model is net
    assert not fixed.changed
    assert fixed.as_json()["changed"] is False
    assert fixed.parameters.before == fixed.parameters.after
    site = fixed.outcomes[0].site
    assert fixed.notes == (f"site {site} is to blame, in the form 'transposed'; name the others with --site",)


def test_what_only_a_graph_could_compute_is_left_in_training_mode():
    net = Calls().eval()
    net.norm.train()
    x = torch.rand(2, 3, 5, 7)
    fixed = fix(net, x, form="transposed")
    assert [(each.site, each.became) for each in fixed.outcomes] == [("Calls:2", "left"), ("Calls", "left")]
    said = "the new model is a graph that torch.fx made, with the arguments of the old one"
    evaluating = fix(net.eval(), x, form="transposed")
    assert evaluating.notes == (said,)
    assert not any(part.training for part in evaluating.model.modules())


def test_a_form_that_gives_no_numbers_is_wrong(monkeypatch):
    monkeypatch.setattr(exact, "relative_difference", lambda old, new: float("nan"))
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1)).eval()
    fixed = fix(net, torch.rand(2, 3, 5, 7), form="transposed")
    assert [each.words for each in fixed.outcomes] == [
        "no form of it computes the same here: the nearest differs by nan of the largest number"
    ]


FILE = """<ir_version: 8, opset_import: ["" : 18]> net (float[N, 1, 5, 7] x) => (%s y)
<float[4] s = {1, 1, 2, 2}, float[1, 1, 3, 3] w = {1, 2, 1, 2, 4, 2, 1, 2, 1}>
{ u = Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , s)
  c = Conv <pads = [1, 1, 1, 1]> (u, w) y = %s (c) }"""
MAP, LIST = "float[N, 1, 10, 14]", "seq(float[N, 1, 10, 14])"


def test_what_cannot_be_compared_is_no_fault_of_a_site():
    fixed = fix(parser.parse_model(FILE % (LIST, "SequenceConstruct")), form="transposed")
    assert not fixed.is_verified
    assert fixed.notes == (
        "nothing could be compared in float32, so that no site can be said to compute the same",
    )


def test_a_form_that_the_runtime_does_not_have_is_not_chosen(monkeypatch):
    session_of = work_onnx.session_of

    def without_transposed(model, runtime):
        if any(node.op_type == "ConvTranspose" for node in model.graph.node):
            msg = "no such operator"
            raise FileError(msg)
        return session_of(model, runtime)

    monkeypatch.setattr(work_onnx, "session_of", without_transposed)
    fixed = fix(parser.parse_model(FILE % (MAP, "Relu")), form="transposed")
    assert [each.became for each in fixed.outcomes] == ["rewritten"]
    assert fixed.outcomes[0].form != "transposed"


def test_a_site_that_cannot_be_tried_alone_is_left(monkeypatch):
    def refused(*args, **kwargs):
        msg = "a size is computed elsewhere"
        raise NotRepresentableError(msg)

    monkeypatch.setattr(work_onnx, "alone", refused)
    fixed = fix(parser.parse_model(FILE % (MAP, "Relu")), form="transposed")
    assert [each.words for each in fixed.outcomes] == [
        "it cannot be tried alone: a size is computed elsewhere"
    ]
