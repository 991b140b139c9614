"""Hold the search for sizes that work: for every rule that sizes can follow, the rule is what it finds."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.graph import Graph, Node
from upstroke.graph.sizes import Along, Outcome, coarseness, sized_inputs, sizes_that_work
from upstroke.graph.steps import Convolution, Other, Pool, Reshape, Resize, TransposedConvolution


def search(attempt, start, coarse=None, *, free=None, patience=10**6):
    """All that a search finds; it may go on for so many attempts."""
    left = iter(range(patience))
    return sizes_that_work(
        start,
        coarse or (1,) * len(start),
        attempt,
        free=tuple(range(len(start))) if free is None else free,
        may_go_on=lambda share: next(left, None) is not None,
    )


def outcome(*output):
    return Outcome(outputs=((2, 3, *output),))


FAULT = Outcome(error="they do not meet", place="up")


@given(period=st.sampled_from([2, 3, 4, 6, 8, 16, 32]), remainder=st.integers(0, 31), times=st.integers(1, 3))
def test_the_period_and_the_remainder_of_sizes_that_work_are_found(period, remainder, times):
    remainder %= period
    start = period * 3 + remainder

    def joined(size):
        return outcome(*size) if size[0] % period == remainder else FAULT

    (along,) = search(joined, (start,), (period * times if period * times <= 32 else period,))
    assert (along.period, along.remainders) == (period, (remainder,))
    assert all(n % period != remainder for (n,) in (each.size for each in along.failed))
    assert along.failed[0].size == (start + 1,)
    assert (along.failed[0].error, along.failed[0].place) == ("they do not meet", "up")
    assert set(along.right) == {n for n in along.tried if n % period == remainder}


def test_several_remainders_may_work():
    (along,) = search(lambda size: FAULT if size[0] % 6 in (2, 3, 5) else outcome(*size), (13,), (6,))
    assert (along.period, along.remainders) == (6, (0, 1, 4))


@pytest.mark.parametrize("patience", [0, 3, 6])
def test_without_time_the_sizes_that_tell_most_are_tried_first(patience):
    tried = []

    def joined(size):
        tried.append(size[0])
        return FAULT if size[0] % 8 else outcome(*size)

    (along,) = search(joined, (64,), (32,), patience=patience)
    assert tried == [64, 96, 65, 66, 68, 72, 80, 128, 67][: len(tried)]
    assert along.tried == tuple(sorted(tried))
    # 72 is the first multiple of 8 behind 64; only where it was tried can the period be 8
    assert along.period == (8 if 72 in tried else 32)
    assert along.right == tuple(n for n in sorted(tried) if n % 8 == 0)


def test_the_first_axis_leaves_time_to_the_others_and_five_sizes_may_take_longer():
    tried, shares = [], []

    def joined(size):
        tried.append(size)
        return outcome(*size)

    def overtime(share):
        shares.append(share)
        return share > 1

    sizes_that_work((64, 96), (32, 32), joined, free=(0, 1), may_go_on=overtime)
    assert [size for size in tried if size[1] == 96] == [(n, 96) for n in (64, 96, 65, 66, 68, 72)]
    assert [size for size in tried if size[0] == 64][1:] == [(64, 97), (64, 98)]
    assert shares[:4] == [2.0, 2.0, 2.0, 0.6]
    assert shares[4:] == [1.0]


def test_no_other_size_works_is_no_period():
    first, second = search(lambda size: outcome(*size) if size == (14, 21) else FAULT, (14, 21), (14, 7))
    assert (first.period, first.right, first.tried[-1]) == (None, (14,), 14 + 192)
    assert (second.period, second.right) == (None, (21,))
    assert not first.takes_all


def test_sizes_far_away_are_tried_where_no_near_one_works():
    (along,) = search(lambda size: FAULT if size[0] % 64 else outcome(*size), (64,))
    assert (along.period, along.remainders) == (64, (0,))


def test_each_axis_has_a_period_of_its_own():
    def joined(size):
        return outcome(*size) if size[0] % 2 == 0 and size[1] % 3 == 1 else FAULT

    first, second = search(joined, (8, 13), (2, 3))
    assert (first.axes, first.period, first.remainders) == ((0,), 2, (0,))
    assert (second.axes, second.period, second.remainders) == ((1,), 3, (1,))
    assert second.failed[0].size == (8, 14)


def test_an_axis_like_one_before_it_takes_few_attempts():
    tried = []

    def joined(size):
        tried.append(size)
        return outcome(*size) if all(n % 16 == 0 for n in size[1:]) else FAULT

    one, two, three = search(joined, (5, 32, 48), (1, 16, 16))
    assert (one.period, two.period, three.period) == (1, 16, 16)
    assert sum(size[2] != 48 and size[1] == 32 for size in tried) < 10
    assert three.failed[0].size == (5, 32, 49)


def test_axes_that_must_be_alike_work_only_together():
    found = search(lambda size: outcome(*size) if size[0] == size[1] else FAULT, (12, 12))
    assert [each.axes for each in found] == [(0,), (1,), (0, 1)]
    assert [each.period for each in found] == [None, None, 1]


def test_axes_that_stay_are_left_alone():
    (along,) = search(lambda size: outcome(*size), (1, 9), free=(1,))
    assert along.axes == (1,)
    assert along.takes_all


@given(
    stride=st.sampled_from([2, 4, 8]),
    scale=st.integers(1, 3),
    start=st.integers(40, 60),
    up=st.booleans(),
)
def test_outputs_that_round_the_size_are_changed(stride, scale, start, up):
    def rounded(size):
        return outcome(scale * stride * ((size[0] + (stride - 1) * up) // stride))

    (along,) = search(rounded, (start,), (stride,))
    assert (along.period, along.remainders) == (stride, (0,))
    assert along.changed[0].due == scale * along.changed[0].size[0]
    assert along.changed[0].came == rounded(along.changed[0].size).outputs[0][2]
    assert not along.failed


@given(margin=st.integers(-40, 40), scale=st.integers(1, 4))
def test_outputs_that_lose_or_gain_a_margin_are_right(margin, scale):
    (along,) = search(lambda size: outcome(scale * size[0] + margin), (64,), (8,))
    assert (along.takes_all, along.period) == (True, 1)


@given(stride=st.sampled_from([2, 4, 8]), start=st.integers(64, 71))
def test_smaller_outputs_may_round(stride, start):
    (along,) = search(lambda size: outcome(-(-size[0] // stride)), (start,), (stride,))
    assert along.takes_all


def test_an_output_of_a_fixed_size_is_changed_only_if_the_input_had_that_size():
    (along,) = search(lambda size: outcome(24), (24,))
    assert (along.right, along.period) == ((24,), None)
    assert (along.changed[0].came, along.changed[0].due) == (24, Fraction(25))
    (along,) = search(lambda size: outcome(7), (24,))
    assert along.takes_all


def test_tokens_are_no_map_and_a_map_without_channels_is_one():
    (along, _) = search(lambda size: Outcome(outputs=((1, size[0] // 2 * size[1], 24),)), (8, 4))
    assert along.takes_all
    (along, _) = search(lambda size: Outcome(outputs=((1, size[0] // 2 * 2, size[1]),)), (8, 4))
    assert along.changed[0].size == (9, 4)


def test_sizes_that_cannot_be_tried_are_not_among_the_tried():
    (along,) = search(lambda size: None if size[0] % 2 else outcome(*size), (8,))
    assert len(along.tried) > 2
    assert all(n % 2 == 0 for n in along.tried)
    assert along.takes_all


def chain(*steps, shapes):
    """A graph of steps in a row on maps of these shapes."""
    nodes = tuple(
        Node(name=f"n{i}", operator="Op", inputs=(f"t{i}",), output=f"t{i + 1}", step=step)
        for i, step in enumerate(steps)
    )
    names = {f"t{i}": shape for i, shape in enumerate(shapes)}
    return Graph(
        model="m", source="s", nodes=nodes, inputs=("t0",), outputs=(f"t{len(steps)}",), shapes=names
    )


def strided(*stride):
    return Convolution(
        weight=torch.ones(1, 1, 3, 3), bias=None, stride=stride, padding=((1, 1),) * 2, dilation=(1, 1)
    )


def test_the_coarsest_map_is_measured_in_samples_of_the_input():
    grows = TransposedConvolution(
        weight=torch.ones(1, 1, 2, 2), bias=None, stride=(2, 2), padding=((0, 0),) * 2,
        output_padding=(0, 0), dilation=(1, 1),
    )  # fmt: skip
    pool = Pool(kernel=(2, 3), stride=(2, 3), padding=((0, 0),) * 2, kind="max")
    shapes = [(1, 1, 24, 36), (1, 1, 12, 36), (1, 1, 6, 12), (1, 1, 12, 24), (1, 1, 4, 24)]
    graph = chain(strided(2, 1), pool, grows, Other(), shapes=shapes)
    # 2, 4, 2 and, by the shapes, 6 along the first axis; 3 and 3/2 along the second
    assert coarseness(graph, "t0") == (12, 6)


def test_an_input_is_a_map_where_a_layer_takes_all_its_axes():
    shapes = [(1, 4, 6, 8)] * 4
    assert sized_inputs(chain(Other(), strided(1, 1), shapes=shapes)) == ("t0",)
    assert sized_inputs(chain(Other(), shapes=shapes)) == ()
    assert sized_inputs(chain(Reshape(), strided(1, 1), shapes=shapes)) == ()
    resize = Resize(mode="nearest", scale=(2.0,), coordinates="asymmetric")
    assert sized_inputs(chain(resize, shapes=shapes)) == ()


def test_what_takes_all_was_right_everywhere():
    along = Along(axes=(0,), tried=(8, 9), right=(8, 9), period=1, remainders=(0,))
    assert along.takes_all
