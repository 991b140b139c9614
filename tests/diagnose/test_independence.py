"""Hold that drawn kernels are told from kernels that training has shaped."""

import math

import pytest
import torch
from torch import nn

from strategies import seeded
from upstroke import from_module
from upstroke.diagnose import dependence
from upstroke.nn import icnr_
from upstroke.polyphase import linear, sub_pixel, transposed

DRAWS = {
    "pytorch": lambda weight: nn.init.kaiming_uniform_(weight, a=5**0.5),
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_uniform_,
    "dcgan": lambda weight: nn.init.normal_(weight, 0, 0.02),
    "truncated": lambda weight: nn.init.trunc_normal_(weight, std=0.02),
    "orthogonal": nn.init.orthogonal_,
}
SHAPES = {
    (24, 24, 2, 2): 2,
    (64, 1, 4, 4): 2,
    (16, 8, 3, 3): (2, 1),
    (32, 16, 16): 8,
    (6, 5, 3, 4, 2): (2, 1, 1),
}


@pytest.mark.parametrize("draw", sorted(DRAWS))
@pytest.mark.parametrize("shape", sorted(SHAPES, key=str))
def test_initialised_kernels_look_drawn(draw, shape):
    for seed in range(10):
        torch.manual_seed(seed)
        found = dependence(transposed(DRAWS[draw](torch.empty(shape)), stride=SHAPES[shape]))
        assert found is not None
        assert float(found) < 5


def shaped(how, weight):
    """What training does to a kernel, one thing at a time."""
    weight = weight.clone()
    if how == "neighbours alike":
        return weight + 0.5 * weight.roll(1, dims=3)
    if how == "one tap larger":
        weight[:, :, 1, 2] *= 2
    if how == "one input larger":
        weight[3] *= 3
    if how == "one output larger":
        weight[:, 5] *= 3
    if how == "a mean":
        weight += 0.3
    return weight


@pytest.mark.parametrize(
    "how", ["neighbours alike", "one tap larger", "one input larger", "one output larger", "a mean"]
)
def test_shaped_kernels_do_not(how):
    weight = torch.randn(24, 20, 3, 4, generator=seeded(0))
    for operator in (
        transposed(shaped(how, weight), stride=(2, 3)),
        sub_pixel(shaped(how, weight), scale=(2, 3), padding=1),
    ):
        assert float(dependence(operator)) > 5.5


def test_power_is_judged_by_how_many_weights_it_is_the_power_of():
    """Of 480 normal weights a power 1.35 times as large is 4.9 standard errors away, of half as many 3.5."""
    weight = torch.randn(20, 24, 4, 5, generator=seeded(3))
    weight = weight / weight.square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
    weight[:, 5] *= 1.35**0.5
    found = float(dependence(transposed(weight, stride=(2, 3))))
    assert 4.2 < found < 5.2


def test_neighbours_are_those_of_the_kernel_and_not_of_the_phases():
    torch.manual_seed(0)
    layer = nn.ConvTranspose1d(64, 64, 8, stride=4)
    with torch.no_grad():
        # elements 0 and 4 share a phase; elements 0 and 1 are neighbours
        layer.weight[..., 1] = layer.weight[..., 0]
    assert float(dependence(from_module(layer).operator)) > 5.5


@pytest.mark.parametrize("groups", [1, 4])
def test_phases_that_start_as_copies_of_one_draw_are_one_draw(groups):
    torch.manual_seed(0)
    layer = icnr_(nn.Conv2d(16, 96, 3, groups=groups), scale=(2, 3))
    assert float(dependence(sub_pixel(layer.weight, scale=(2, 3), groups=groups))) < 5


def test_taps_that_are_alike_are_no_draw_and_few_tell_nothing():
    assert dependence(transposed(torch.randn(3, 7, 3, generator=seeded(0)), stride=2)) is None
    assert dependence(transposed(torch.ones(8, 8, 4), stride=2)) == math.inf
    assert dependence(linear(2)) is None
