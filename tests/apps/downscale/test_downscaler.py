"""Laws of the fixed methods: means and totals are kept, whatever the grid, the mask and the field."""

import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_cells import coarse_cells, errors, fields, fractions, globe, plane, region
from upstroke.apps.downscale.downscaler import MOST_MASKS, Downscaler, downscaler
from upstroke.errors import OptionError, ShapeError

METHODS = ("nearest", "linear", "cubic")
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}
DTYPES = tuple(TOLERANCE)
# each case refines several steps
SOME = settings(max_examples=20)
FACTORS = ((2, 3), (4, 4), (1, 3), (5, 1), (3, 2))


def noise(shape, *, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@given(data=st.data())
@pytest.mark.parametrize("quantity", ["mean", "total"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_block_and_the_total_come_back(data, dtype, quantity):
    coarse = data.draw(coarse_cells())
    factor = data.draw(st.sampled_from(FACTORS))
    refine = downscaler(
        coarse,
        factor,
        method=data.draw(st.sampled_from(METHODS)),
        quantity=quantity,
        fraction=data.draw(fractions(coarse.refined(factor)[0].shape)),
    )
    x = data.draw(fields(coarse.shape)).astype(dtype)
    fine = refine(x)
    assert fine.dtype == dtype
    block, total = errors(refine, fine, x)
    assert block <= TOLERANCE[dtype]
    assert total <= TOLERANCE[dtype]


@SOME
@given(data=st.data())
@pytest.mark.parametrize("form", ["multiplicative", "softmax"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_corrections_keep_them_too(data, dtype, form):
    coarse = data.draw(coarse_cells())
    fraction = data.draw(fractions(coarse.refined((2, 3))[0].shape))
    refine = downscaler(coarse, (2, 3), correction=form, fraction=fraction)
    x = data.draw(fields(coarse.shape)).astype(dtype)
    fine = refine(x)
    assert max(errors(refine, fine, x)) <= TOLERANCE[dtype]
    if form == "softmax":
        sign = np.sign(np.nan_to_num(x)).repeat(2, axis=1).repeat(3, axis=2)
        rows = refine.coarse.refined((2, 3))[1][0]
        sign = sign[:, rows : rows + refine.fine.shape[0]]
        assert not (np.nan_to_num(fine) * sign < 0).any()


@SOME
@given(data=st.data())
def test_there_is_a_value_where_both_the_coarse_and_the_fine_cell_are_valid(data):
    coarse = data.draw(coarse_cells())
    fraction = data.draw(fractions(coarse.refined((2, 3))[0].shape))
    for conserve in (True, False):
        refine = downscaler(coarse, (2, 3), fraction=fraction, conserve=conserve)
        x = data.draw(fields(coarse.shape))
        whole = np.isfinite(x).repeat(2, axis=1).repeat(3, axis=2)
        before = coarse.refined((2, 3))[1][0]
        there = whole[:, before : before + refine.fine.shape[0]]
        if fraction is not None:
            there = there & (fraction > 0)
        np.testing.assert_array_equal(np.isfinite(refine(x)), there)


@SOME
@given(data=st.data())
def test_each_step_is_refined_as_if_it_were_alone(data):
    coarse = data.draw(coarse_cells())
    fraction = data.draw(fractions(coarse.refined(2)[0].shape))
    refine = downscaler(coarse, 2, fraction=fraction)
    x = data.draw(fields(coarse.shape, steps=4))
    dtype = data.draw(st.sampled_from(DTYPES))
    together = refine(x.astype(dtype))
    for step, fine in zip(x.astype(dtype), together, strict=True):
        # not to the bit: a kernel may add in another order where there are fewer maps
        largest = np.nanmax(np.abs(fine), initial=0.0)
        np.testing.assert_allclose(refine(step), fine, rtol=0, atol=TOLERANCE[dtype] * largest)
    axes = refine(x.astype(dtype).reshape(2, 2, *coarse.shape))
    np.testing.assert_array_equal(axes.reshape(together.shape), together)


def dense(method, factor, cells, *, weights, is_periodic):
    """T (D T)^-1 of one axis as a matrix, from the definition of the kernel."""
    kernels = {
        "linear": lambda t: np.maximum(0, 1 - t),
        "cubic": lambda t: np.where(
            t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, np.abs(2 - t) ** 3 / 6, 0)
        ),
    }
    up = np.zeros((factor * cells, cells))
    for n in range(factor * cells):
        place = (n + 0.5) / factor - 0.5
        for m in range(-3, cells + 3):
            column = m % cells if is_periodic else min(max(m, 0), cells - 1)
            up[n, column] += kernels[method](np.abs(np.float64(place - m)))
    down = np.kron(np.eye(cells), np.ones(factor)) * weights
    down /= down.sum(axis=1, keepdims=True)
    return up @ np.linalg.inv(down @ up)


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("coarse", [globe(5, 7), globe(5, 7, falls=True), region(6, 5), plane(4, 6)])
def test_it_is_the_product_of_dense_matrices(method, coarse):
    x = noise((2, *coarse.shape))
    fine = coarse.refined((2, 3))[0]
    y, across = (
        dense(method, factor, axis.size, weights=part.weights, is_periodic=axis.is_periodic)
        for factor, axis, part in ((2, coarse.y, fine.y), (3, coarse.x, fine.x))
    )
    np.testing.assert_allclose(
        downscaler(coarse, (2, 3), method=method)(x), y @ x @ across.T, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_at_float32_needs_its_rounding_mended(dtype):
    # among so many blocks of noise some lie far below the coefficients around them
    coarse = globe(90, 120)
    for x in (noise((2, 90, 120)), np.exp(5 * noise((2, 90, 120)))):
        refine = downscaler(coarse, 4)
        assert max(errors(refine, refine(x.astype(dtype)), x.astype(dtype))) <= TOLERANCE[dtype]


@pytest.mark.parametrize(("method", "mode"), [("linear", "bilinear"), ("cubic", "bicubic")])
def test_without_conserving_it_is_the_interpolation_of_pytorch(method, mode):
    x = noise((2, 5, 7))
    for coarse, pad in ((region(5, 7), "replicate"), (globe(5, 7), "circular")):
        padded = torch.nn.functional.pad(torch.from_numpy(x)[:, None], (3, 3, 0, 0), mode=pad)
        expected = torch.nn.functional.interpolate(padded, scale_factor=(2.0, 3.0), mode=mode)
        fine = downscaler(coarse, (2, 3), method=method, conserve=False)(x)
        np.testing.assert_allclose(fine, expected[:, 0, :, 9:-9].numpy(), rtol=0, atol=1e-6)


def test_nearest_copies():
    x = noise((2, 5, 7))
    expected = x.repeat(2, axis=1).repeat(3, axis=2)
    for conserve in (True, False):
        np.testing.assert_array_equal(
            downscaler(globe(5, 7), (2, 3), method="nearest", conserve=conserve)(x), expected
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("conserve", [True, False])
def test_a_constant_stays_constant_over_coasts_and_poles(method, conserve):
    coarse = globe(9, 12, on_poles=True)
    fraction = np.random.default_rng(4).integers(0, 3, size=coarse.refined(3)[0].shape) / 2
    x = np.full(coarse.shape, 7.0)
    x[2:5, 3:6] = np.nan
    fine = downscaler(coarse, 3, method=method, conserve=conserve, fraction=fraction)(x)
    np.testing.assert_allclose(fine[np.isfinite(fine)], 7.0, rtol=1e-13)


@SOME
@given(data=st.data())
def test_it_is_linear_for_one_mask(data):
    coarse = data.draw(coarse_cells())
    refine = downscaler(coarse, (2, 3), fraction=data.draw(fractions(coarse.refined((2, 3))[0].shape)))
    one, two = noise((2, *coarse.shape), seed=3)
    one[np.random.default_rng(5).random(coarse.shape) < 0.3] = np.nan
    np.testing.assert_allclose(refine(3 * one + two), 3 * refine(one) + refine(two + 0 * one), atol=1e-10)


def test_turning_the_globe_turns_the_field_and_the_seam_is_nowhere():
    coarse = globe(6, 8)
    fraction = np.random.default_rng(1).uniform(0, 1, (12, 24)).round(1)
    x = noise(coarse.shape)
    x[2, 6:] = x[3, :2] = np.nan
    fine = downscaler(coarse, (2, 3), fraction=fraction)(x)
    turned = downscaler(coarse, (2, 3), fraction=np.roll(fraction, 9, axis=1))(np.roll(x, 3, axis=1))
    np.testing.assert_allclose(turned, np.roll(fine, 9, axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("on_poles", [True, False])
def test_north_to_south_is_the_same_field(on_poles):
    x = noise((6, 8))
    x[2, 6:] = np.nan
    rising = downscaler(globe(6, 8, on_poles=on_poles), (4, 3))(x)
    falling = downscaler(globe(6, 8, on_poles=on_poles, falls=True), (4, 3))(x[::-1])
    np.testing.assert_allclose(falling, rising[::-1], rtol=0, atol=1e-12)


def test_rows_beyond_the_poles_are_dropped():
    refine = downscaler(globe(7, 8, on_poles=True), (4, 2))
    assert refine(noise((7, 8))).shape == (24, 16)
    assert refine.fine.y.edges[[0, -1]].tolist() == [-90.0, 90.0]


@pytest.mark.parametrize("falls", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_beyond_one_pole_only_are_dropped_at_that_end(dtype, falls):
    ends = (96.0, 36.0) if falls else (36.0, 96.0)
    refine = downscaler(region(6, 5, south=ends[0], north=ends[1]), (5, 2))
    x = noise((2, 6, 5)).astype(dtype)
    fine = refine(x)
    assert fine.shape == (2, 27, 10)
    assert max(errors(refine, fine, x)) <= TOLERANCE[dtype]


def test_a_sea_hardly_sees_one_beyond_a_land():
    coarse = region(8, 24)
    x = noise(coarse.shape)
    x[:, 8:16] = np.nan
    other = x.copy()
    other[:, 16:] += 1.0
    change = np.abs(downscaler(coarse, 4)(other) - downscaler(coarse, 4)(x))[:, :32]
    # the coefficients of the cubic's prefilter fall by 0.28 a cell
    assert change.max() < 0.3**4
    # and what lies in the land, which is no value, does not matter at all
    with_land = x.copy()
    with_land[:, 8:16] = -np.nan
    np.testing.assert_array_equal(downscaler(coarse, 4)(with_land), downscaler(coarse, 4)(x))


def test_a_total_is_the_density_times_what_counts():
    coarse = globe(5, 7)
    fraction = np.random.default_rng(2).uniform(0, 1, (10, 21))
    x = np.abs(noise((2, *coarse.shape)))
    totals = downscaler(coarse, (2, 3), quantity="total", fraction=fraction)
    means = downscaler(coarse, (2, 3), fraction=fraction)
    weights = coarse.refined((2, 3))[0].areas() * fraction
    blocks = weights.reshape(5, 2, 7, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(totals(x), means(x / blocks) * weights, rtol=1e-10, atol=1e-13)


def test_values_that_no_fine_cell_can_hold_are_counted():
    fraction = np.ones((10, 21))
    fraction[:2, :3] = fraction[4:6, 9:12] = 0
    x = noise((3, 5, 7))
    x[1, 0, 0] = np.nan
    for quantity in ("mean", "total"):
        refine = downscaler(globe(5, 7), (2, 3), fraction=fraction, quantity=quantity)
        assert refine.lost(x) == 5
        assert max(errors(refine, refine(x), x)) <= 1e-12
    assert downscaler(globe(5, 7), (2, 3)).lost(x) == 0


def test_block_means_are_those_of_a_loop():
    coarse = globe(4, 5, on_poles=True)
    fine_cells = coarse.refined((4, 3))[0]
    fraction = np.random.default_rng(6).integers(0, 3, size=fine_cells.shape) / 2
    fine = np.where(fraction > 0, noise(fine_cells.shape), np.nan)
    means = downscaler(coarse, (4, 3), fraction=fraction).block_means(fine)
    totals = downscaler(coarse, (4, 3), fraction=fraction, quantity="total").block_means(fine)
    weights = fine_cells.areas() * fraction
    starts = [0, 2, 6, 10, 12]  # two of four rows are beyond the poles in the first and the last row of cells
    for i in range(4):
        for j in range(5):
            block = np.s_[starts[i] : starts[i + 1], 3 * j : 3 * j + 3]
            there = fraction[block] > 0
            values = fine[block][there]
            assert totals[i, j] == pytest.approx(values.sum(), rel=1e-12)
            share = weights[block][there]
            assert means[i, j] == pytest.approx((values * share).sum() / share.sum(), rel=1e-12, abs=1e-14)


def test_masks_are_kept_but_not_without_bound():
    coarse = globe(4, 5)
    refine = downscaler(coarse, 2)
    x = noise((3 * MOST_MASKS, 4, 5))
    for number, step in enumerate(x):
        step.ravel()[number % 20] = step.ravel()[(3 * number) % 20] = np.nan
    first = refine(x)
    assert 0 < len(refine._masks) <= MOST_MASKS
    np.testing.assert_array_equal(refine(x), first)
    refine(x[0])
    newest = refine._masks._kept.copy()
    refine(x[0])
    assert refine._masks._kept == newest


def test_it_may_be_pickled_and_called_in_threads():
    coarse = globe(12, 20)
    fraction = np.random.default_rng(3).uniform(0, 1, (24, 40)).round()
    refine = downscaler(coarse, 2, fraction=fraction)
    x = noise((24, 12, 20)).astype(np.float32)
    for number, step in enumerate(x):
        step[number % 12, : number % 5] = np.nan
    expected = refine(x)
    copy = pickle.loads(pickle.dumps(refine))
    assert isinstance(copy, Downscaler)
    np.testing.assert_array_equal(copy(x), expected)
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(np.stack(list(pool.map(copy, x))), expected)


def test_what_comes_in_is_left_as_it_was_and_may_be_stored_in_any_way():
    coarse = globe(5, 7)
    refine = downscaler(coarse, (2, 3), fraction=np.random.default_rng(3).uniform(0, 1, (10, 21)).round())
    x = noise((2, 5, 7)).astype(np.float32)
    x[0, 1, 1] = np.nan
    expected = refine(x)
    kept = x.copy()
    x.flags.writeable = False
    np.testing.assert_array_equal(refine(x), expected)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(refine(x.astype(">f4")), expected)
    np.testing.assert_array_equal(refine(np.asfortranarray(x)), expected)
    for axis in (0, 1, 2):
        turned = np.flip(np.ascontiguousarray(np.flip(x, axis)), axis)
        assert turned.strides[axis] < 0
        np.testing.assert_array_equal(refine(turned), expected)
    assert refine(x.astype(">f4")).dtype == np.dtype("=f4")
    assert refine(x[:0]).shape == (0, 10, 21)
    assert refine(x[0]).shape == (10, 21)


def refused(error, message, call):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_what_is_not_finite_is_refused_with_its_place():
    x = noise((2, 5, 7))
    x[1, 0, 3], x[1, 2, 6] = np.inf, -np.inf
    refused(
        OptionError,
        "fields must be finite, or NaN where there is no value; got 2 infinite values, the first at (1, 0, 3): "
        "mask them",
        lambda: downscaler(globe(5, 7), 2)(x),
    )


def test_fields_of_another_kind_or_shape_are_refused():
    refine = downscaler(globe(5, 7), 2)
    refused(
        OptionError,
        "fields must be float32 or float64; got int16: convert them first",
        lambda: refine(np.zeros((5, 7), dtype=np.int16)),
    )
    refused(
        OptionError,
        "fields must be float32 or float64; got float16: convert them first",
        lambda: refine(np.zeros((5, 7), dtype=np.float16)),
    )
    shape = "fields must end in 5x7, the coarse cells along lat and lon; got shape (7, 5)"
    refused(ShapeError, shape, lambda: refine(np.zeros((7, 5))))
    refused(ShapeError, shape, lambda: refine.lost(np.zeros((7, 5))))
    refused(
        ShapeError,
        "fields must end in 10x14, the fine cells along lat and lon; got shape (5, 7)",
        lambda: refine.block_means(np.zeros((5, 7))),
    )


@pytest.mark.usefixtures("_unchecked")
def test_options_without_a_meaning_are_refused():
    cells = globe(5, 7)
    refused(
        OptionError,
        "method must be one of nearest, linear, cubic; got 'quintic'",
        lambda: downscaler(cells, 2, method="quintic"),
    )
    refused(
        OptionError,
        "correction must be one of additive, multiplicative, softmax; got 'none'",
        lambda: downscaler(cells, 2, correction="none"),
    )
    refused(
        OptionError,
        "quantity must be one of mean, total; got 'sum'",
        lambda: downscaler(cells, 2, quantity="sum"),
    )
    refused(
        OptionError, "the factor must be at least 1 on every axis; got 0x2", lambda: downscaler(cells, (0, 2))
    )


def test_fractions_that_are_none_are_refused():
    cells = globe(5, 7)
    refused(
        ShapeError,
        "fraction must have shape 10x14, one number for each fine cell along lat and lon; got 5x7",
        lambda: downscaler(cells, 2, fraction=np.ones((5, 7))),
    )
    fraction = np.ones((10, 14))
    fraction[3, 4] = 1.5
    fraction[4, 4] = np.nan
    refused(
        OptionError,
        "fraction must be from 0 to 1 everywhere; got 2 others, such as 1.5",
        lambda: downscaler(cells, 2, fraction=fraction),
    )
