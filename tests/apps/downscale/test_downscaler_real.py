"""Fixed methods on real fields: SST of the globe and of a sea, temperature over a land, orography of a model.

Errors of SST are area-weighted RMSE in K, after coarsening the field to 1 degree by means over its valid cells and
refining it again: at sea, on coarse cells whose 3 x 3 neighbourhood is ocean in every fine cell; at coasts, on the
other ones.
"""

import functools

import numpy as np
import pytest

from drawn_cells import errors
from upstroke.apps.downscale.cf import cells_of
from upstroke.apps.downscale.downscaler import downscaler

xarray = pytest.importorskip("xarray")

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}
DTYPES = tuple(TOLERANCE)
DAYS = ("oisst-avhrr-v02r01.20211025.nc", "sst4-metopab-eot-intv2.20160116_Ligang.nc")


@functools.cache
def sst(folder, name):
    """The cells at 0.25 degrees, and the field in float64."""
    with xarray.open_dataset(folder / "climate" / "oisst_daily_025" / name, decode_times=False) as dataset:
        return cells_of(dataset["sst"]), dataset["sst"].values.squeeze().astype(np.float64)


@functools.cache
def temperature(folder):
    """Every 31st hour."""
    pytest.importorskip("cfgrib")
    path = folder / "climate" / "era5_t2m_uk" / "era5-2mt-2019-03-uk.grib"
    with xarray.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""}) as dataset:
        return dataset["t2m"][::31].load()


def coarsened(fine, y):
    """Area-weighted means over the valid cells of blocks of 4 x 4, NaN where there is none."""
    weights = fine.areas() * np.isfinite(y)
    sums, areas = (
        values.reshape(fine.shape[0] // 4, 4, fine.shape[1] // 4, 4).sum(axis=(1, 3))
        for values in (np.nan_to_num(y) * weights, weights)
    )
    return np.divide(sums, areas, out=np.full(sums.shape, np.nan), where=areas > 0)


def rmse(fine, y, truth):
    """At sea and at coasts."""
    valid = np.isfinite(truth)
    is_sea = valid.reshape(180, 4, 360, 4).all(axis=(1, 3))
    padded = np.pad(np.pad(is_sea, ((1, 1), (0, 0)), constant_values=True), ((0, 0), (1, 1)), mode="wrap")
    away = np.all([padded[i : i + 180, j : j + 360] for i in range(3) for j in range(3)], axis=0)
    away = away.repeat(4, axis=0).repeat(4, axis=1)
    weights = fine.areas() * valid
    square = np.where(valid, y - truth, 0.0) ** 2
    return tuple(
        float(np.sqrt((square * weights)[where].sum() / weights[where].sum())) for where in (away, ~away)
    )


# (method, conserving): at sea, at coasts with the fine mask, at coasts without
SST_ERRORS = {
    DAYS[0]: {
        ("nearest", True): (0.272, 0.315, 0.315),
        ("linear", False): (0.187, 0.245, 0.245),
        ("linear", True): (0.132, 0.173, 0.188),
        ("cubic", False): (0.144, 0.197, 0.197),
        ("cubic", True): (0.120, 0.160, 0.180),
    },
    DAYS[1]: {("cubic", True): (0.121, 0.173, 0.208)},
}


@pytest.mark.parametrize(
    ("day", "method", "conserve"), [(day, *case) for day, cases in SST_ERRORS.items() for case in cases]
)
def test_the_error_on_sst_is_as_stated(data_dir, day, method, conserve):
    fine, truth = sst(data_dir, day)
    x = coarsened(fine, truth)
    sea, with_mask, without = SST_ERRORS[day][method, conserve]
    coarse = fine.coarsened(4)
    masked = downscaler(coarse, 4, method=method, conserve=conserve, fraction=1.0 * np.isfinite(truth))
    assert rmse(fine, masked(x), truth) == pytest.approx((sea, with_mask), abs=0.001)
    plain = downscaler(coarse, 4, method=method, conserve=conserve)
    assert rmse(fine, plain(x), truth) == pytest.approx((sea, without), abs=0.001)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("quantity", ["mean", "total"])
def test_global_sst_keeps_every_cell(data_dir, dtype, quantity):
    fine, truth = sst(data_dir, DAYS[0])
    coarse = fine.coarsened(4)
    assert coarse.x.is_periodic
    x = (coarsened(fine, truth) * (1.0 if quantity == "mean" else coarse.areas())).astype(dtype)
    for fraction in (None, 1.0 * np.isfinite(truth)):
        for method in ("linear", "cubic"):
            refine = downscaler(coarse, 4, method=method, quantity=quantity, fraction=fraction)
            assert refine.lost(x) == 0
            assert max(errors(refine, refine(x), x)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_ice_that_comes_and_goes_has_a_mask_for_every_step(data_dir, dtype):
    fine, truth = sst(data_dir, DAYS[0])
    coarse = fine.coarsened(4)
    x = np.stack([coarsened(fine, truth)] * 3).astype(dtype)
    x[1][x[1] < 2] = np.nan
    x[2] = np.nan
    refine = downscaler(coarse, 4, fraction=1.0 * np.isfinite(truth))
    y = refine(x)
    assert max(errors(refine, y, x)) <= TOLERANCE[dtype]
    assert np.isfinite(y[0]).sum() > np.isfinite(y[1]).sum() > np.isfinite(y[2]).sum() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_july_means_of_a_sea_keep_every_cell(data_dir, dtype):
    files = sorted((data_dir / "climate" / "oisst_natl_july_means_025").glob("*.nc"))
    assert len(files) == 10
    steps = []
    for path in files:
        with xarray.open_dataset(path, decode_times=False) as dataset:
            fine = cells_of(dataset["sst"])
            steps.append(dataset["sst"].values.squeeze().astype(np.float64))
    truth = np.stack(steps)
    coarse = fine.coarsened(4)
    assert not coarse.x.is_periodic
    x = np.stack([coarsened(fine, step) for step in truth]).astype(dtype)
    for fraction in (None, 1.0 * np.isfinite(truth[0])):
        refine = downscaler(coarse, 4, fraction=fraction)
        assert max(errors(refine, refine(x), x)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_temperature_from_north_to_south_keeps_every_cell(data_dir, dtype):
    t2m = temperature(data_dir)
    coarse, x = cells_of(t2m), t2m.values.astype(dtype)
    assert coarse.y.edges[0] > coarse.y.edges[-1]
    assert x.shape == (24, 33, 49)
    refine = downscaler(coarse, (2, 3))
    assert max(errors(refine, refine(x), x)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_orography_of_a_model_keeps_every_cell_and_comes_nearer_to_the_finer_model(data_dir, dtype):
    folder = data_dir / "climate" / "orography_2to1"
    cells, height = zip(
        *(_orography(folder / f"orog_mod{model}_rectilinear_grid_2D.nc") for model in (2, 3)), strict=True
    )
    x = height[0].astype(dtype)
    refine = downscaler(cells[0], 2)
    y = refine(x)
    for made, given in zip((refine.fine.y, refine.fine.x), (cells[1].y, cells[1].x), strict=True):
        np.testing.assert_allclose(made.edges, given.edges, rtol=0, atol=1e-4)
    assert max(errors(refine, y, x)) <= TOLERANCE[dtype]
    weights = refine.fine.areas()
    nearest = downscaler(cells[0], 2, method="nearest")(x)
    square = [float((weights * (field - height[1]) ** 2).sum()) for field in (y, nearest)]
    assert square[0] < square[1]


def _orography(path):
    with xarray.open_dataset(path, decode_times=False) as dataset:
        return cells_of(dataset["orog"]), dataset["orog"].values.squeeze().astype(np.float64)
