"""Levels, kernels and patches follow from voxels by the rules that are stated."""

from upstroke.apps.segment.presets import patch_for, shape_for


def test_coarse_axes_wait_until_the_others_have_caught_up():
    shape = shape_for((16, 64, 64), (3.0, 1.0, 1.0), levels=3)
    assert shape.strides == ((1, 2, 2), (2, 2, 2))
    assert shape.kernels == ((1, 3, 3), (3, 3, 3), (3, 3, 3))
    # twice as long waits, less does not
    assert shape_for((64, 64), (2.0, 1.0), levels=2).strides == ((1, 2),)
    assert shape_for((64, 64), (1.9, 1.0), levels=2).strides == ((2, 2),)


def test_no_level_has_an_axis_of_fewer_than_four_voxels():
    # 35, 18, 9, 5; 50, 25, 13, 7, 4
    shape = shape_for((35, 50), (1.0, 1.0), levels=6)
    assert shape.strides == ((2, 2), (2, 2), (2, 2), (1, 2))
    assert shape_for((6, 50), (1.0, 1.0), levels=2).strides == ((1, 2),)


def test_patches_have_no_more_voxels_than_they_may():
    assert patch_for((512, 512), (1.0, 1.0), voxels=2**16, multiple=(8, 8)) == (256, 256)
    patch = patch_for((20, 512, 400), (3.0, 1.0, 1.0), voxels=2**17, multiple=(4, 8, 8))
    assert patch == (20, 80, 80)
    assert 20 * 80 * 80 <= 2**17
