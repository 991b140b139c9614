"""Drawn pictures and volumes: the masks follow from the formula, on any voxels, and a seed gives the same again."""

import re

import numpy as np
import pytest

from upstroke.apps.segment import synthetic
from upstroke.apps.segment.synthetic import (
    CELL,
    MEMBRANE,
    NODULE,
    RIM,
    RIM_THICKNESS,
    synthetic_cells,
    synthetic_nodules,
)
from upstroke.errors import OptionError


def test_a_seed_gives_the_same_picture_and_another_one_another():
    one, again, other = (
        synthetic_cells((45, 61)),
        synthetic_cells((45, 61)),
        synthetic_cells((45, 61), seed=1),
    )
    assert (one.image == again.image).all()
    assert (one.labels == again.labels).all()
    assert (one.labels != other.labels).any()


@pytest.mark.parametrize("seed", range(6))
def test_every_picture_has_all_classes_and_no_other_value(seed):
    assert np.unique(synthetic_cells((51, 47), seed=seed).labels).tolist() == [0, CELL, MEMBRANE]
    assert np.unique(synthetic_nodules((25, 21, 17), seed=seed).labels).tolist() == [0, RIM, NODULE]


def test_membranes_are_brighter_than_cells_and_debris_lies_where_no_class_is():
    for seed in range(4):
        drawn = synthetic_cells((121, 97), seed=seed)
        ground, cell, membrane = (drawn.image[drawn.labels == value] for value in (0, CELL, MEMBRANE))
        assert membrane.mean() > cell.mean() + 20
        # no threshold gives the mask: the brightest of the ground are brighter than most membrane
        assert ground.max() > np.quantile(membrane, 0.75)


def test_a_membrane_separates_the_inside_of_a_cell_from_the_ground():
    labels = synthetic_cells((161, 143), seed=5).labels
    for axis in (0, 1):
        one, other = (np.delete(labels, at, axis).astype(int) for at in (0, -1))
        beside = {
            tuple(sorted(pair)) for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        }
        assert (0, CELL) not in beside


def test_nodules_are_what_they_are_on_finer_voxels(monkeypatch):
    # without texture the random numbers that are left are those of the nodules
    monkeypatch.setattr(synthetic, "_texture", lambda size, *rest: np.zeros(size))
    coarse = synthetic_nodules((24, 30, 18), spacing=(1.0, 1.0, 2.0), seed=2).labels
    fine = synthetic_nodules((48, 60, 36), spacing=(0.5, 0.5, 1.0), seed=2).labels
    for value in (RIM, NODULE):
        voxels = (coarse == value).sum() * 2.0, (fine == value).sum() * 0.25
        assert voxels[0] == pytest.approx(voxels[1], rel=0.12)


def test_the_rim_is_as_thick_as_it_says():
    from scipy.ndimage import distance_transform_edt

    labels = synthetic_nodules((41, 37, 33), spacing=(1.0, 1.0, 1.0), seed=3).labels
    depth = distance_transform_edt(labels > 0)[labels == NODULE]
    # the shortest axis has the thickness, the others more; a voxel's centre lies up to one from the edge
    assert depth.min() > RIM_THICKNESS - 0.5


def test_what_cannot_be_drawn_is_refused():
    message = "a drawn picture must have one pixel or more along each axis; got (0, 5)"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        synthetic_cells((0, 5))
    message = "voxels of a drawn volume must have positive lengths; got (1.0, 0.0, 2.0)"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        synthetic_nodules(spacing=(1.0, 0.0, 2.0))
