"""Hold the laws of resampling: half-pixel grids, nothing moved, no new label, every axis with its own numbers."""

import re

import numpy
import pytest
import torch
from scipy.ndimage import zoom

from upstroke.apps.segment.resample import resampled, size_at
from upstroke.errors import OptionError, ShapeError

SIZES = [
    ((5, 7), (11, 3)),
    ((6, 9), (6, 4)),
    ((4, 5, 7), (9, 5, 3)),
    ((3, 8, 2), (6, 5, 7)),
    ((1, 4), (3, 1)),
]


def drawn(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(5).normal(size=shape)


def by_pytorch(values: numpy.ndarray, size: tuple[int, ...]) -> numpy.ndarray:
    """Each axis by PyTorch's antialiased resize of pictures, in float64."""
    x = torch.from_numpy(values)
    for axis, new in enumerate(size, start=1):
        rows = x.movedim(axis, -1)
        picture = rows.reshape(1, 1, -1, rows.shape[-1])
        wanted = (picture.shape[2], new)
        grown = torch.nn.functional.interpolate(picture, wanted, mode="bilinear", antialias=True)
        x = grown.reshape(*rows.shape[:-1], new).movedim(-1, axis)
    return x.numpy()


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_linear_is_pytorchs_antialiased_resize_axis_by_axis(old, new):
    values = drawn(2, *old)
    numpy.testing.assert_allclose(
        resampled(values, size=new, order=1), by_pytorch(values, new), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize(("old", "new"), [((5, 7), (11, 9)), ((4, 5, 3), (9, 5, 7))])
def test_growing_is_scipys_zoom_between_half_pixel_grids(old, new):
    values = drawn(1, *old)
    factors = [after / before for before, after in zip(old, new, strict=True)]
    theirs = zoom(values[0], factors, order=1, mode="nearest", grid_mode=True)
    numpy.testing.assert_allclose(resampled(values, size=new, order=1)[0], theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_labels_are_pytorchs_exact_nearest_and_none_appears(old, new):
    labels = numpy.random.default_rng(7).choice([0, 3, 200], size=(2, *old)).astype(numpy.uint8)
    ours = resampled(labels, size=new, order=0)
    assert ours.dtype == labels.dtype
    assert set(ours.ravel()) <= set(labels.ravel())
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(labels)[None].double(), new, mode="nearest-exact"
    )
    numpy.testing.assert_array_equal(ours, theirs[0].numpy())


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_an_equal_size_gives_the_same_bits_in_an_array_of_its_own(order, dtype):
    values = drawn(2, 5, 7, 3).astype(dtype)
    before = values.copy()
    result = resampled(values, size=(5, 7, 3), order=order)
    assert result.tobytes() == before.tobytes()
    result[...] = 0
    numpy.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_constants_stay_constant(old, new):
    result = resampled(numpy.full((1, *old), 0.3), size=new, order=1)
    numpy.testing.assert_allclose(result, 0.3, rtol=1e-14)


@pytest.mark.parametrize(("old", "new", "tolerance"), [(40, 97, 1e-12), (40, 13, 0.02), (41, 37, 0.08)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_ramp_stays_where_it_is(old, new, tolerance, axis):
    ramp = numpy.ones((2, 3, 4))
    ramp = numpy.moveaxis(ramp[..., None] * numpy.arange(float(old)), -1, axis + 1)[..., 0]
    size = [3, 3]
    size[axis], size[1 - axis] = new, ramp.shape[2 - axis]
    result = numpy.moveaxis(resampled(ramp, size=size, order=1), axis + 1, -1)
    positions = (numpy.arange(new) + 0.5) * old / new - 0.5
    inner = (positions > old / new) & (positions < old - 1 - old / new)
    assert inner.sum() > new / 2
    # the widened triangle, summed over whole samples, has its mean beside its middle, now left, now right
    error = (result - positions)[..., inner]
    assert abs(error).max() < tolerance
    assert abs(error.mean()) < 1e-3


def test_mirrored_in_is_mirrored_out():
    values = drawn(2, 5, 8, 6)
    turned = resampled(values[:, ::-1, :, ::-1], size=(9, 3, 7), order=1)
    there = resampled(values, size=(9, 3, 7), order=1)
    numpy.testing.assert_allclose(turned, there[:, ::-1, :, ::-1], atol=1e-14)


def test_what_the_coarse_grid_cannot_hold_is_averaged_out():
    stripes = numpy.tile([1.0, -1.0], 60).reshape(1, 120)
    assert abs(resampled(stripes, size=(37,), order=1)[:, 2:-2]).max() < 0.08


@pytest.mark.parametrize("factors", [(2, 3), (3, 5), (4, 1)])
def test_labels_that_grow_by_whole_factors_come_back(factors):
    labels = numpy.random.default_rng(1).integers(0, 9, (1, 5, 7))
    size = tuple(s * f for s, f in zip((5, 7), factors, strict=True))
    there = resampled(labels, size=size, order=0)
    numpy.testing.assert_array_equal(there, labels.repeat(factors[0], 1).repeat(factors[1], 2))
    numpy.testing.assert_array_equal(resampled(there, size=(5, 7), order=0), labels)


def test_a_smooth_field_comes_back_nearly():
    axes = numpy.meshgrid(numpy.linspace(0, 3, 30), numpy.linspace(0, 2, 41), indexing="ij")
    field = numpy.sin(axes[0])[None] * numpy.cos(axes[1])
    there = resampled(field, size=(47, 63), order=1)
    assert abs(resampled(there, size=(30, 41), order=1) - field)[:, 1:-1, 1:-1].max() < 0.01


@pytest.mark.parametrize("dtype", [">f4", ">i2", "uint16", "float16"])
def test_stored_types_come_in_as_they_are(dtype):
    values = (abs(drawn(1, 4, 5)) * 3).astype(dtype)
    result = resampled(values, size=(8, 5), order=1)
    assert result.dtype == numpy.float32
    expected = resampled(values.astype(numpy.float64), size=(8, 5), order=1)
    numpy.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "spacing", "wanted", "expected"),
    [
        ((10, 20, 30), (1.0, 2.0, 0.5), (1.0, 1.0, 1.0), (10, 40, 15)),
        ((35, 51), (1.0, 1.0), (0.7, 3.0), (50, 17)),
        ((3, 200), (1.0, 1.0), (100.0, 1.0), (1, 200)),
        ((5, 7), (0.1 + 0.2, 1.0), (0.3, 1.0), (5, 7)),
    ],
)
def test_sizes_follow_from_spacings(size, spacing, wanted, expected):
    assert size_at(size, spacing, wanted) == expected


def test_numbers_that_mean_nothing_are_refused():
    message = "the new size must have 2 numbers from 1 up, one for each axis; got (3,)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        resampled(drawn(1, 4, 5), size=(3,), order=1)
    message = "the new size must have 2 numbers from 1 up, one for each axis; got (3, 0)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        resampled(drawn(1, 4, 5), size=(3, 0), order=0)
    message = "a spacing must be above 0; got (1.0, 0.0) and (1.0, 1.0)"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        size_at((4, 5), (1.0, 0.0), (1.0, 1.0))
    message = "a size, its spacing and the wanted one have a number for each axis; got (4, 5), (1.0, 1.0) and (1.0,)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        size_at((4, 5), (1.0, 1.0), (1.0,))


def test_values_keep_their_bits_inside_of_a_training_in_16_bits():
    values = drawn(2, 5, 6, 7).astype(numpy.float32)
    alone = resampled(values, size=(4, 9, 7), order=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = resampled(values, size=(4, 9, 7), order=1)
    assert inside.dtype == numpy.float32
    numpy.testing.assert_array_equal(inside, alone)
