"""Hold scores of label maps against their definitions written out, and against MONAI."""

import itertools
import re
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from upstroke.apps.segment.scores import scores
from upstroke.errors import OptionError, ShapeError

SPACINGS = st.sampled_from((0.5, 0.7, 1.0, 1.9, 3.0))


@st.composite
def pairs(draw):
    """Two label maps of up to three classes with sizes and a spacing of each axis its own."""
    ndim = draw(st.integers(2, 3))
    size = tuple(draw(st.integers(1, 7 if ndim == 2 else 4)) for _ in range(ndim))
    maps = [draw(drawn.arrays(np.int64, size, elements=st.integers(0, 2))) for _ in range(2)]
    return *maps, tuple(draw(SPACINGS) for _ in range(ndim))


def boundary(mask):
    """The voxels of a set with a neighbour across a side that is not in it, one by one."""
    inside = set(map(tuple, np.argwhere(mask).tolist()))
    steps = [
        tuple(sign * (axis == at) for at in range(mask.ndim)) for axis in range(mask.ndim) for sign in (-1, 1)
    ]
    return [p for p in sorted(inside) if any(tuple(np.add(p, s).tolist()) not in inside for s in steps)]


def directed(here, there, spacing):
    """From each point the least distance to those over there."""
    return [
        min(sum(((a - b) * s) ** 2 for a, b, s in zip(p, q, spacing, strict=True)) ** 0.5 for q in there)
        for p in here
    ]


def percentile(values, share):
    """Linear between the ranks."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


@given(pairs())
def test_every_score_is_its_definition(pair):
    predicted, true, spacing = pair
    found = scores(predicted, true, classes=3, spacing=spacing, background=True)
    assert [each.number for each in found] == [0, 1, 2]
    for each in found:
        a, b = (set(map(tuple, np.argwhere(m == each.number).tolist())) for m in (predicted, true))
        assert (each.predicted, each.true, each.common) == (len(a), len(b), len(a & b))
        assert each.dice == (2 * len(a & b) / (len(a) + len(b)) if a or b else None)
        assert each.iou == (len(a & b) / len(a | b) if a or b else None)
        if not a or not b:
            assert each.hausdorff95 is None
            assert each.boundary is None
            continue
        edges = [boundary(m == each.number) for m in (predicted, true)]
        ways = [directed(*edges, spacing), directed(*reversed(edges), spacing)]
        assert each.hausdorff95 == pytest.approx(max(percentile(way, 0.95) for way in ways), rel=1e-12)
        together = list(itertools.chain(*ways))
        assert each.boundary == pytest.approx(sum(together) / len(together), rel=1e-12)


@given(pairs(), st.integers(1, 3))
def test_a_map_agrees_with_itself_and_scores_do_not_know_which_is_which(pair, grown):
    predicted, true, spacing = pair
    for each in scores(true, true, classes=3, spacing=spacing):
        present = each.true > 0
        assert (each.dice, each.iou) == ((1.0, 1.0) if present else (None, None))
        assert (each.hausdorff95, each.boundary) == ((0.0, 0.0) if present else (None, None))
    there, back = (
        scores(*maps, classes=3, spacing=spacing) for maps in ((predicted, true), (true, predicted))
    )
    larger = scores(predicted, true, classes=3, spacing=[each * grown for each in spacing])
    for one, other, far in zip(there, back, larger, strict=True):
        assert (one.dice, one.iou) == (other.dice, other.iou)
        assert one.hausdorff95 == other.hausdorff95
        if one.hausdorff95 is not None:
            assert one.boundary == pytest.approx(other.boundary)
            assert far.hausdorff95 == pytest.approx(grown * one.hausdorff95)


@given(pairs())
def test_empty_space_around_both_changes_nothing(pair):
    predicted, true, spacing = pair
    wide = [np.pad(each, [(2, 1)] * each.ndim) for each in (predicted, true)]
    # inside a larger image a voxel at the old end has a neighbour, of another class, so it is still a boundary
    assert scores(*wide, classes=3, spacing=spacing) == scores(predicted, true, classes=3, spacing=spacing)


def test_a_class_in_one_map_alone_has_no_boundary_to_compare():
    true, predicted = np.zeros((4, 5), np.int64), np.zeros((4, 5), np.int64)
    true[1:3, 1:3], predicted[0, 4] = 1, 2
    missed, invented, absent = scores(predicted, true, classes=4, spacing=(1.0, 2.0))
    assert [each.presence for each in (missed, invented, absent)] == ["missed", "invented", "absent"]
    for each in (missed, invented):
        assert (each.dice, each.iou, each.hausdorff95, each.boundary) == (0.0, 0.0, None, None)
    assert (absent.dice, absent.iou, absent.hausdorff95, absent.boundary) == (None,) * 4


def test_a_shift_is_as_far_as_the_spacing_of_its_axis():
    true = np.zeros((9, 11, 7), np.int64)
    true[2:6, 3:7, 2:5] = 1
    spacing = (0.5, 2.0, 3.5)
    for axis in range(3):
        (found,) = scores(np.roll(true, 1, axis), true, classes=2, spacing=spacing)
        assert found.hausdorff95 == spacing[axis]


def test_voxels_that_are_not_counted_are_of_no_class():
    true = np.array([[1, 1, -1, 0], [1, 1, -1, 0]])
    predicted = np.array([[1, 1, 1, 0], [1, 0, 1, 0]])
    (found,) = scores(predicted, true, classes=2, spacing=(1.0, 1.0))
    assert (found.true, found.predicted, found.common) == (4, 3, 3)
    assert found.hausdorff95 == pytest.approx(0.85)


def test_monai_measures_the_same():
    with warnings.catch_warnings():
        # its own deprecations and its imports are not ours
        warnings.simplefilter("ignore")
        import torch
        from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

        generator = np.random.default_rng(0)
        spacing = (0.7, 1.1, 2.5)
        coarse = generator.random((2, 3, 4, 3))
        maps = np.kron(coarse, np.ones((1, 3, 3, 3))) + 0.3 * generator.random((2, 9, 12, 9))
        predicted, true = (maps > 0.8).astype(np.int64)
        (found,) = scores(predicted, true, classes=2, spacing=spacing)
        hot = [torch.from_numpy(np.stack([1 - each, each]))[None] for each in (predicted, true)]
        far = compute_hausdorff_distance(*hot, percentile=95, spacing=spacing)
        mean = compute_average_surface_distance(*hot, symmetric=True, spacing=spacing)
    assert 0 < found.boundary < found.hausdorff95
    assert found.hausdorff95 == pytest.approx(float(far), rel=1e-6)
    assert found.boundary == pytest.approx(float(mean), rel=1e-6)


def test_a_small_object_in_a_large_volume_takes_no_time():
    true = np.zeros((256, 256, 64), np.int8)
    true[100:130, 90:125, 20:40] = 1
    start = time.perf_counter()
    scores(np.roll(true, 2, 1), true, classes=2, spacing=(1.0, 1.0, 3.0))
    # 0.03 s alone; without the crop to what is not empty a second
    assert time.perf_counter() - start < 0.6


@pytest.mark.parametrize(
    ("predicted", "spacing", "error", "message"),
    [
        ((3, 5), (1.0, 1.0), ShapeError, "two label maps that are compared must have one size; got 3x5 for the predicted one and 3x4 for the true one"),
        ((3, 4), (1.0,), ShapeError, "the spacing must have a number for each of 2 axes; got 1"),
        ((3, 4), (1.0, 0.0), OptionError, "the spacing must be positive on every axis; got 1, 0"),
        ((3, 4), (float("nan"), 1.0), OptionError, "the spacing must be positive on every axis; got nan, 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(predicted, spacing, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        scores(np.zeros(predicted, np.int64), np.zeros((3, 4), np.int64), classes=2, spacing=spacing)
