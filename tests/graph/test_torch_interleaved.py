"""Maps whose samples take turns in a larger one are the upsampler that this is, in every spelling."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import random_map
from tolerance import assert_same
from upstroke import upsample
from upstroke.graph import affine_of, sites
from upstroke.graph.steps import Join, PixelShuffle, Resize, Same, Unread, Upsampling
from upstroke.graph.torch import record


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *maps):
        return self.function(*maps)


def replayed(graph, *maps):
    """What the recorded steps make of the maps that come in."""
    values = dict(zip(graph.inputs, maps, strict=True))
    for node in graph.nodes:
        taken = [values[name] for name in node.inputs]
        if isinstance(node.step, Join):
            assert node.step.kind == "concatenate"
            values[node.output] = torch.cat(taken, 1)
        else:
            values[node.output] = upsample(taken[0], affine_of(node.step, ndim=taken[0].ndim - 2))
        assert graph.shapes[node.output] == values[node.output].shape
    return values[graph.outputs[0]]


ZEROS = None


def stacked(turns, scale):
    """The turns as one larger map, written with stack and flatten, one axis after the other."""
    if not scale:
        return turns[0]
    like = next(turn for turn in turns if turn is not ZEROS)
    turns = [torch.zeros_like(like) if turn is ZEROS else turn for turn in turns]
    inner = len(turns) // scale[0]
    if scale[0] == 1:
        return stacked(turns, scale[1:])
    parts = [stacked(turns[i * inner : (i + 1) * inner], scale[1:]) for i in range(scale[0])]
    axis = parts[0].ndim - len(scale)
    return torch.stack(parts, axis + 1).flatten(axis, axis + 1)


def concatenated(turns, scale):
    """The same with cat of maps that have an axis more."""
    if not scale:
        return turns[0]
    like = next(turn for turn in turns if turn is not ZEROS)
    turns = [torch.zeros_like(like) if turn is ZEROS else turn for turn in turns]
    inner = len(turns) // scale[0]
    if scale[0] == 1:
        return concatenated(turns, scale[1:])
    parts = [concatenated(turns[i * inner : (i + 1) * inner], scale[1:]) for i in range(scale[0])]
    axis = parts[0].ndim - len(scale)
    return torch.cat([part.unsqueeze(axis + 1) for part in parts], axis + 1).flatten(axis, axis + 1)


def written(turns, scale):
    """The same, written into zeros every so many samples."""
    one = next(turn for turn in turns if turn is not ZEROS)
    grown = one.new_zeros(*one.shape[:2], *(n * s for n, s in zip(one.shape[2:], scale, strict=True)))
    for place, turn in zip(itertools.product(*map(range, scale)), turns, strict=True):
        if turn is not ZEROS:
            grown[(..., *(slice(p, None, s) for p, s in zip(place, scale, strict=True)))] = turn
    return grown


SPELLINGS = {"stack": stacked, "cat": concatenated, "writing": written}
scales = st.sampled_from([(3,), (2, 3), (1, 2), (3, 1), (2, 1, 3)])


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(scale=scales, kept=st.integers(0, 8))
def test_one_map_among_zeros(spelling, scale, kept):
    x = random_map(len(scale), 2, 0)
    places = torch.Size(scale).numel()

    def spelled(x):
        turns = [x if place == kept % places else ZEROS for place in range(places)]
        return SPELLINGS[spelling](turns, scale)

    graph = record(Function(spelled), [x])
    assert {type(node.step) for node in graph.nodes} <= {Upsampling, Same}
    assert_same(replayed(graph, x), spelled(x))
    grown = [site.affine().operator.scale for site in sites(graph)]
    assert tuple(map(max, zip(*grown, strict=True))) == scale


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(scale=scales)
def test_different_maps_are_joined_and_shuffled(spelling, scale):
    places = torch.Size(scale).numel()
    maps = [random_map(len(scale), 2, place) for place in range(places)]
    graph = record(Function(lambda *maps: SPELLINGS[spelling](list(maps), scale)), maps)
    assert {type(node.step) for node in graph.nodes} - {Same} == {Join, PixelShuffle}
    assert_same(replayed(graph, *maps), SPELLINGS[spelling](maps, scale))


@pytest.mark.parametrize("spelling", ["stack", "cat"])
@given(scale=scales)
def test_copies_are_a_nearest_resize(spelling, scale):
    x = random_map(len(scale), 2, 0)

    def spelled(x):
        return SPELLINGS[spelling]([x] * torch.Size(scale).numel(), scale)

    graph = record(Function(spelled), [x])
    if scale.count(1) == len(scale) - 1:
        assert {type(node.step) for node in graph.nodes} == {Resize}
    assume(all(isinstance(node.step, Resize) for node in graph.nodes))
    assert_same(replayed(graph, x), spelled(x))


@given(scale=scales)
def test_a_pad_of_axes_of_length_one_stuffs_with_zeros(scale):
    x = random_map(len(scale), 2, 0)
    grown = [n * s for n, s in zip(x.shape[2:], scale, strict=True)]

    def spelled(x):
        wide = x.reshape(*x.shape[:2], *(part for n in x.shape[2:] for part in (n, 1)))
        wide = F.pad(wide, [side for s in reversed(scale) for side in (s - 1, 0, 0, 0)])
        return wide.reshape(*x.shape[:2], *grown)

    graph = record(Function(spelled), [x])
    (node,) = graph.nodes
    assert isinstance(node.step, Upsampling)
    assert_same(replayed(graph, x), spelled(x))


def test_a_stuffed_map_and_its_blur_are_one_chain():
    kernel = torch.ones(4, 1, 4, 4) / 4
    stuff = Function(
        lambda x: F.conv2d(F.pad(written([x, ZEROS, ZEROS, ZEROS], (2, 2)), (2, 1, 2, 1)), kernel, groups=4)
    )
    (site,) = sites(record(stuff, [torch.rand(1, 4, 5, 7)]))
    assert [node.operator for node in site.after] == ["aten.constant_pad_nd", "aten.conv2d"]


def pairs_turned(x):
    """What rotary embeddings do to the features of every head."""
    return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)


SILENT = {
    "pairs of features": pairs_turned,
    "copies of frequencies": lambda x: torch.stack([x[..., None, 0] * torch.rand(6)] * 2, -1).flatten(-2),
}


@pytest.mark.parametrize("case", SILENT)
def test_features_that_take_turns_are_no_site(case):
    assert sites(record(Function(SILENT[case]), [torch.rand(2, 4, 5, 6)])) == ()


NAMED = {
    "ones": lambda x: torch.stack([x, torch.ones_like(x)], -1).flatten(-2),
    "two maps and zeros": lambda x: written([x, 2 * x, ZEROS, ZEROS], (2, 2)),
}


@pytest.mark.parametrize("case", NAMED)
def test_maps_and_constants_in_turns_are_named(case):
    (site,) = sites(record(Function(NAMED[case]), [torch.rand(1, 2, 5, 7)]))
    assert isinstance(site.node.step, Unread)
    assert site.node.step.reason == "maps and constants take turns in a larger map, which is not read"


def test_what_was_there_before_is_not_taken_for_zeros():
    def spelled(x):
        grown = torch.ones(1, 2, 10, 14)
        grown[..., ::2, ::2] = x
        return grown

    (site,) = sites(record(Function(spelled), [torch.rand(1, 2, 5, 7)]))
    assert isinstance(site.node.step, Unread)
