"""Hold that reshapes and transposes are read as the pixel shuffle they spell, and as nothing else."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.graph import Graph, Node, affine_of, pixel_shuffle_of, rearrange, with_shuffles
from upstroke.graph.rearrange import mixes_into_space, shuffle_between_layouts
from upstroke.graph.steps import PixelShuffle, Pointwise, Reshape, Same, Transpose, Unread
from upstroke.ops import upsample


def run(x, steps, shapes):
    """Do what the steps say."""
    for step, shape in zip(steps, shapes[1:], strict=True):
        x = x.permute(step.order) if isinstance(step, Transpose) else x.reshape(shape)
    return x


@st.composite
def spelled_shuffles(draw):
    """A shuffle of any scale and order of channels, with its channel axis split in one or in several steps."""
    ndim = draw(st.sampled_from((1, 2, 3)))
    scale = [draw(st.integers(1, 3)) for _ in range(ndim)]
    out, batch = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    cells = [draw(st.integers(1, 4)) for _ in range(ndim)]
    # the channel's factors in any order: the output channels and one scale per axis
    order = draw(st.permutations(range(ndim + 1)))
    factors = [(out, *scale)[which] for which in order]
    split = (batch, *factors, *cells)
    where = {which: 1 + place for place, which in enumerate(order)}
    moved = [0, where[0]]
    for axis in range(ndim):
        moved += [ndim + 2 + axis, where[1 + axis]]
    start = (batch, out * math.prod(scale), *cells)
    end = (batch, out, *(s * n for s, n in zip(scale, cells, strict=True)))
    middle = tuple(split[axis] for axis in moved)
    steps = [Reshape(), Transpose(order=tuple(moved)), Reshape()]
    shapes = [start, split, middle, end]
    if draw(st.booleans()):
        # a detour on the way: the outer factors first
        steps = [Reshape(), *steps]
        shapes = [start, (batch, factors[0], math.prod(factors[1:]), *cells), *shapes[1:]]
    return steps, shapes, tuple(scale), out


@given(spelled=spelled_shuffles())
def test_a_spelled_shuffle_does_what_the_steps_do(spelled):
    steps, shapes, scale, out = spelled
    found = pixel_shuffle_of(steps, shapes)
    if math.prod(scale) == 1:
        assert found is None
        return
    assert found is not None
    assert found.scale == scale
    x = torch.arange(math.prod(shapes[0]), dtype=torch.float64).reshape(shapes[0])
    y = upsample(x, affine_of(found, ndim=len(scale)))
    assert torch.equal(y, run(x, steps, shapes))
    assert y.shape[1] == out


def test_pytorchs_order_needs_no_table():
    x = torch.rand(1, 12, 5, 7)
    steps = [Reshape(), Transpose(order=(0, 1, 4, 2, 5, 3)), Reshape()]
    shapes = [(None, 12, 5, 7), (None, 3, 2, 2, 5, 7), (None, 3, 5, 2, 7, 2), (None, 3, 10, 14)]
    found = pixel_shuffle_of(steps, shapes)
    assert found is not None
    assert found.source is None
    assert torch.equal(upsample(x, affine_of(found, ndim=2)), torch.nn.functional.pixel_shuffle(x, 2))


NOT_SHUFFLES = {
    "space to depth": (
        [Reshape(), Transpose(order=(0, 1, 3, 5, 2, 4)), Reshape()],
        [(1, 3, 4, 6), (1, 3, 2, 2, 3, 2), (1, 3, 2, 2, 2, 3), (1, 12, 2, 3)],
    ),
    "tiling: the channel's factor outside the cells": (
        [Reshape(), Transpose(order=(0, 1, 2, 3)), Reshape()],
        [(1, 6, 5), (1, 3, 2, 5), (1, 3, 2, 5), (1, 3, 10)],
    ),
    "phases of one axis inside the other": (
        [Reshape(), Transpose(order=(0, 1, 3, 4, 2)), Reshape()],
        [(1, 4, 3, 3), (1, 2, 2, 3, 3), (1, 2, 3, 3, 2), (1, 2, 9, 2)],
    ),
    "channels in another order": (
        [Reshape(), Transpose(order=(0, 2, 1, 3)), Reshape()],
        [(1, 6, 5), (1, 2, 3, 5), (1, 3, 2, 5), (1, 6, 5)],
    ),
    "batch and channels mixed": (
        [Reshape(), Transpose(order=(0, 2, 1)), Reshape()],
        [(2, 6, 5), (6, 2, 5), (6, 5, 2), (6, 1, 10)],
    ),
    "flattened": ([Reshape()], [(1, 3, 4, 6), (1, 72)]),
    "two sizes unknown": ([Reshape()], [(None, 4, None), (None, 2, None)]),
}


@pytest.mark.parametrize("name", sorted(NOT_SHUFFLES))
def test_other_rearrangements_are_none(name):
    steps, shapes = NOT_SHUFFLES[name]
    assert pixel_shuffle_of(steps, shapes) is None


def chain_of(steps, shapes):
    """A graph of these steps in a row, between two ReLUs."""
    steps = [Pointwise(), *steps, Pointwise()]
    shapes = [shapes[0], *shapes, shapes[-1]]
    nodes = tuple(
        Node(name=f"n{k}", operator=type(step).__name__, inputs=(f"t{k}",), output=f"t{k + 1}", step=step)
        for k, step in enumerate(steps)
    )
    return Graph(
        model="chain",
        source="by hand",
        nodes=nodes,
        inputs=("t0",),
        outputs=(f"t{len(steps)}",),
        shapes={f"t{k}": shape for k, shape in enumerate(shapes)},
    )


def test_a_run_in_a_graph_becomes_one_node():
    steps = [Reshape(), Same(), Transpose(order=(0, 1, 4, 2, 5, 3)), Reshape(), Reshape()]
    split, moved = (1, 3, 2, 2, 5, 7), (1, 3, 5, 2, 7, 2)
    graph = with_shuffles(chain_of(steps, [(1, 12, 5, 7), split, split, moved, (1, 3, 10, 14), (1, 420)]))
    assert [type(node.step) for node in graph.nodes] == [Pointwise, PixelShuffle, Reshape, Pointwise]
    shuffle = graph.nodes[1]
    assert (shuffle.inputs, shuffle.output) == (("t1",), "t5")
    assert shuffle.operator == "Reshape–Transpose–Reshape"
    assert graph.makers["t5"] is shuffle


def test_a_row_of_any_length_is_searched_in_short_parts(monkeypatch):
    lengths = []

    def counted(steps, shapes):
        lengths.append(len(steps))
        return pixel_shuffle_of(steps, shapes)

    monkeypatch.setattr(rearrange, "pixel_shuffle_of", counted)
    steps = [Reshape(), Transpose(order=(0, 1, 3, 2))] * 50
    shapes = [(1, 4, 5, 7), (1, 4, 7, 5)] * 50
    graph = chain_of(steps, [(1, 4, 7, 5), *shapes])
    assert with_shuffles(graph) is graph
    assert max(lengths) == 16
    assert len(lengths) <= 16 * len(steps)


@pytest.mark.parametrize("ahead", [0, 1, 7, 40])
def test_a_shuffle_is_found_wherever_it_stands_in_a_row(ahead):
    steps = [Transpose(order=(0, 1, 3, 2))] * ahead
    shapes = [(1, 12, 5, 7) if (ahead - step) % 2 == 0 else (1, 12, 7, 5) for step in range(ahead + 1)]
    steps += [Reshape(), Transpose(order=(0, 1, 4, 2, 5, 3)), Reshape()]
    shapes += [(1, 3, 2, 2, 5, 7), (1, 3, 5, 2, 7, 2), (1, 3, 10, 14)]
    nodes = with_shuffles(chain_of(steps, shapes)).nodes
    assert sum(isinstance(node.step, PixelShuffle) for node in nodes) == 1


@pytest.mark.parametrize("batch", [1, 2])
def test_patches_laid_out_as_a_picture_are_a_shuffle(batch):
    steps = [Reshape(), Transpose(order=(0, 5, 1, 3, 2, 4)), Reshape()]
    shapes = [(batch, 6, 12), (batch, 2, 3, 2, 2, 3), (batch, 3, 2, 2, 3, 2), (batch, 3, 4, 6)]
    found = shuffle_between_layouts(steps, shapes)
    tokens = torch.rand(shapes[0])
    y = tokens.permute(found[0].step.order).reshape(found[1].shape)
    assert [stage.shape for stage in found] == [(batch, 12, 6), (batch, 12, 2, 3), (batch, 3, 4, 6)]
    y = upsample(y, affine_of(found[2].step, ndim=2))
    assert torch.equal(y, run(tokens, steps, shapes))
    nodes = with_shuffles(chain_of(steps, shapes)).nodes
    assert [type(node.step) for node in nodes[1:-1]] == [Transpose, Reshape, PixelShuffle]


def test_patches_of_a_batch_of_unknown_size_are_not_read():
    batch = None
    steps = [Reshape(), Transpose(order=(0, 5, 1, 3, 2, 4)), Reshape()]
    shapes = [(batch, 6, 12), (batch, 2, 3, 2, 2, 3), (batch, 3, 2, 2, 3, 2), (batch, 3, 4, 6)]
    reason = "the rearrangement Reshape–Transpose–Reshape mixes channels into space in a way that is not read"
    _, node, _ = with_shuffles(chain_of(steps, shapes)).nodes
    assert isinstance(node.step, Unread)
    assert node.step.reason == reason


def test_frames_of_patches_are_not_read():
    # (b, t, h w, pt p q c) to (b, c, t pt, h p, w q)
    steps = [Reshape(), Transpose(order=(0, 7, 1, 4, 2, 5, 3, 6)), Reshape()]
    split, moved = (2, 3, 2, 5, 2, 3, 2, 4), (2, 4, 3, 2, 2, 3, 5, 2)
    assert mixes_into_space(steps, [(2, 3, 10, 48), split, moved, (2, 4, 6, 6, 10)])
    # t is cut in two: a part of it stays outside
    assert not mixes_into_space(steps[1:], [split, moved, (2, 4, 6, 6, 10)])


def test_axes_that_are_cut_before_something_is_dealt_to_them_are_left():
    steps = [Reshape(), Transpose(order=(0, 1, 5, 3, 6, 2, 4)), Reshape()]
    shapes = [(1, 4, 6, 6), (1, 2, 2, 3, 2, 2, 3), (1, 2, 2, 3, 3, 2, 2), (1, 4, 9, 4)]
    assert not mixes_into_space(steps, shapes)


def test_copies_of_a_map_side_by_side_are_left():
    # channels outside of space: tiles of a picture, not larger cells
    steps = [Reshape(), Transpose(order=(0, 3, 1, 4, 2, 5)), Reshape()]
    shapes = [(1, 5, 7, 12), (1, 5, 7, 2, 3, 2), (1, 2, 5, 3, 7, 2), (1, 10, 21, 2)]
    assert not mixes_into_space(steps, shapes)


def test_a_run_whose_middle_is_used_elsewhere_stays():
    steps = [Reshape(), Transpose(order=(0, 1, 4, 2, 5, 3)), Reshape()]
    graph = chain_of(steps, [(1, 12, 5, 7), (1, 3, 2, 2, 5, 7), (1, 3, 5, 2, 7, 2), (1, 3, 10, 14)])
    spy = Node(name="spy", operator="Relu", inputs=("t3",), output="s", step=Pointwise())
    spied = Graph(
        model="spied",
        source="by hand",
        nodes=(*graph.nodes, spy),
        inputs=graph.inputs,
        outputs=graph.outputs,
        shapes=graph.shapes,
    )
    assert with_shuffles(spied) is spied
