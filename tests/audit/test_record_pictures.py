"""Hold the numbers that pictures of a checked model are drawn from: order, sources, responses, filters."""

import json

import pytest
import torch
from torch import nn

from strategies import seeded
from upstroke.audit import check


class Skipping(nn.Module):
    """Down and up again by other strides on either axis, with a skip and a gate."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=(2, 3), padding=1)
        self.up = nn.ConvTranspose2d(4, 3, (3, 5), stride=(2, 3))
        self.gate = nn.Linear(3, 3)

    def forward(self, x):
        grown = self.up(self.down(x))[..., : x.shape[2], : x.shape[3]]
        gate = self.gate(x.mean(dim=(2, 3)))[:, :, None, None]
        return torch.cat([torch.relu(grown) * gate, x], dim=1)


@pytest.fixture(scope="module")
def record():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return check(Skipping().eval(), torch.rand(1, 3, 12, 18, generator=seeded(1))).as_json()


def test_steps_stand_in_running_order_with_what_feeds_them(record):
    steps = record["network"]["steps"]
    told = [(step["kind"], step["name"], step["size"], step["from"]) for step in steps]
    assert [each[0] for each in told] == ["input", "reduction", "site", "join", "output"]
    assert told[1][2:] == ([6, 6], [0])
    assert told[2][1:] == ("up", [13, 20], [1])
    # the gate is no branch: the join takes the grown map and the input
    assert told[3][2:] == ([12, 18], [2, 0])
    assert told[4][3] == [3]
    assert [step["order"] for step in steps] == sorted(step["order"] for step in steps)
    lists = {"site": "sites", "join": "joins", "reduction": "reductions", "output": "outputs"}
    for step in steps[1:]:
        assert record[lists[step["kind"]]][step["index"]]["name"] == step["name"]


def test_places_stand_with_the_steps_and_the_branches(record):
    join = record["joins"][0]
    grids = [branch["grid"] for branch in join["branches"]]
    apart = [a - b for a, b in zip(grids[0]["offset"], grids[1]["offset"], strict=True)]
    assert apart == pytest.approx(join["mean_drift"])
    assert record["network"]["steps"][0]["place"]["grid"]["offset"] == [0.0, 0.0]
    assert record["outputs"][0]["place"]["grid"]["spacing"] == [1.0, 1.0]


def test_a_record_of_pictures_is_json_without_nan(record):
    json.dumps(record, allow_nan=False)
    assert record["reductions"][0]["coverage"] == [[1, 1, 1], [2, 2, 2]]


def test_the_response_holds_what_the_image_gain_says():
    """At half a cycle per sample, the image of a scale of 2, it is the image gain along that axis."""
    weight = torch.randn(4, 3, 4, generator=seeded(2))
    layer = nn.ConvTranspose1d(4, 3, 4, stride=2)
    layer.weight.data = weight
    (site,) = check(nn.Sequential(layer, nn.ReLU()), torch.rand(1, 4, 9)).as_json()["sites"]
    (level,) = site["response"]["db"]
    assert level[-1] - level[0] == pytest.approx(site["image_gain_db"], abs=0.02)
    assert site["response"]["frequency"][-1] == 0.5
    assert max(level) == 0


def test_the_worst_filter_is_the_kernel_of_its_channel_pair():
    layer = nn.ConvTranspose2d(4, 6, (3, 5), stride=(2, 3), groups=2)
    (site,) = check(nn.Sequential(layer, nn.ReLU()), torch.rand(1, 4, 5, 7)).as_json()["sites"]
    worst = site["worst_filter"]
    of_group = worst["out"] % 3
    kernel = layer.weight.detach()[worst["in"], of_group]
    assert torch.tensor(worst["taps"]) == pytest.approx(kernel, rel=1e-3)


def test_large_kernels_are_no_pictures():
    layer = nn.ConvTranspose2d(1, 1, 18, stride=2)
    (site,) = check(nn.Sequential(layer, nn.ReLU()), torch.rand(1, 1, 5, 7)).as_json()["sites"]
    assert site["worst_filter"] is None
    assert site["response"] is not None


def test_savings_stand_beside_what_they_save_from():
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
    (site,) = check(net, torch.rand(1, 3, 5, 7)).as_json()["sites"]
    numbers = site["cheaper"]["UP301"]
    assert numbers["now"] / numbers["then"] == pytest.approx(2.25)
    assert numbers["now"] - numbers["then"] == site["verdicts"]["UP301"]["measure"]
