"""Hold that a probe of the geometry agrees where grids are right, says so where they are not, and guesses nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from upstroke.audit import check
from upstroke.audit.geometry import geometry_record
from upstroke.graph import Measured, Unmeasured, joins, sites
from upstroke.graph.torch import record


class Skip(nn.Module):
    """Down by (2, 3) and up again, on another grid, joined with the input."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, (3, 5), stride=(2, 3), padding=(1, 2))
        self.up = nn.Upsample(scale_factor=(2, 3))

    def forward(self, x):
        return torch.cat([self.up(self.down(x)), x], dim=1)


X = torch.rand(1, 3, 16, 24)


@pytest.fixture(scope="module")
def graph():
    return record(Skip(), [X], geometry=True)


def recorded(graph, measured):
    return geometry_record(graph, joins(graph, sites(graph)), measured)


def test_where_grids_are_right_every_join_and_output_agrees():
    found = check(Skip(), X, select=["UP201"], probe="geometry").as_json()["probe"]["geometry"]
    ((join,), (output,)) = found["joins"], found["outputs"]
    assert (join["name"], join["nominal"], join["agrees"]) == ("cat", [-0.5, -1.0], True)
    assert join["measured"] == pytest.approx([-0.5, -1.0], abs=1e-6)
    # four of seven channels come from the drifting branch
    assert output["measured"] == pytest.approx([-0.5 * 4 / 7, -1.0 * 4 / 7], abs=1e-6)
    assert (found["compared"], found["disagreeing"]) == (2, 0)
    assert found["largest_difference"] < 1e-6


@pytest.mark.parametrize("part", ["offset", "first", "last", "spacing"])
@pytest.mark.parametrize(("off", "agrees"), [(0.06, False), (0.04, True)])
def test_what_is_measured_elsewhere_on_one_axis_is_a_disagreement(graph, part, off, agrees):
    (join,) = joins(graph, sites(graph))
    tensor = join.branches[0].tensor
    here = graph.measured[tensor]
    down, across = getattr(here, part)
    moved = {**graph.measured, tensor: replace(here, **{part: (down, across + off)})}
    found = recorded(graph, moved)
    assert found["joins"][0]["agrees"] is agrees
    assert found["joins"][0]["difference"] == pytest.approx(off, abs=1e-6)
    assert found["disagreeing"] == (not agrees)
    assert found["outputs"][0]["agrees"] is True


def test_what_was_not_measured_is_not_compared(graph):
    (join,) = joins(graph, sites(graph))
    lost = dict.fromkeys((join.branches[1].tensor, *graph.outputs), Unmeasured(reason="attention mixes them"))
    found = recorded(graph, {**graph.measured, **lost})
    for each in (*found["joins"], *found["outputs"]):
        assert (each["agrees"], each["difference"], each["reason"]) == (None, None, "attention mixes them")
    assert (found["compared"], found["disagreeing"], found["largest_difference"]) == (0, 0, None)
    found = recorded(graph, {})
    assert {each["reason"] for each in (*found["joins"], *found["outputs"])} == {
        "it was not met by the probe"
    }


def test_another_number_of_axes_is_not_compared(graph):
    line = Measured(offset=(0.0,), spacing=(1.0,), first=(0.0,), last=(0.0,))
    found = recorded(graph, {**graph.measured, graph.outputs[0]: line})
    assert found["outputs"][0]["reason"] == "its grid has 2 axes, and 1 were measured"
