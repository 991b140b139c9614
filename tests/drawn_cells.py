"""Draw grids, masks and fields for tests of downscaling, and measure how well block means are kept."""

import numpy as np
from hypothesis import strategies as st

from upstroke.apps.downscale.cells import CellAxis, Cells


def globe(rows, columns, *, on_poles=False, falls=False, first=0.0):
    """Cells of the whole sphere; rows may be centred on the poles, and run from north to south."""
    reach = 90 + 90 / (rows - 1) if on_poles else 90
    edges = np.linspace(-reach, reach, rows + 1)
    return Cells(
        y=CellAxis(name="lat", kind="latitude", edges=edges[::-1] if falls else edges, is_periodic=False),
        x=CellAxis(
            name="lon",
            kind="longitude",
            edges=np.linspace(first, first + 360, columns + 1),
            is_periodic=True,
        ),
    )


def region(rows, columns, *, south=40.0, north=80.0):
    """Cells of a part of the sphere."""
    return Cells(
        y=CellAxis(name="lat", kind="latitude", edges=np.linspace(south, north, rows + 1), is_periodic=False),
        x=CellAxis(name="lon", kind="longitude", edges=np.linspace(-30, 15, columns + 1), is_periodic=False),
    )


def plane(rows, columns):
    """Cells of a projection."""
    y, x = (
        CellAxis(name=name, kind="projected", edges=5.0 * np.arange(size + 1), is_periodic=False, units="km")
        for name, size in (("y", rows), ("x", columns))
    )
    return Cells(y=y, x=x)


@st.composite
def coarse_cells(draw):
    """Global cells, with and without rows on the poles, of either direction; a region to a pole; a plane."""
    rows, columns = draw(st.integers(2, 7)), draw(st.integers(1, 8))
    kind = draw(st.sampled_from(["globe", "poles", "region", "plane"]))
    if kind == "plane":
        return plane(rows, columns)
    if kind == "region":
        return region(rows, columns, south=draw(st.sampled_from([90.0, 75.0, -60.0])), north=20.0)
    return globe(rows, columns, on_poles=kind == "poles", falls=draw(st.booleans()), first=-20.0)


@st.composite
def fractions(draw, shape):
    """None, a mask of zeros and ones, or fractions of which many are 0 and many are 1."""
    kind = draw(st.sampled_from(["none", "mask", "fractions"]))
    if kind == "none":
        return None
    random = np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    fraction = np.clip(random.uniform(-0.7, 1.7, size=shape), 0, 1)
    return np.round(fraction) if kind == "mask" else fraction


@st.composite
def fields(draw, shape, *, steps=3):
    """Steps of noise of very different sizes, each with its own mask, of which some leave nothing."""
    random = np.random.default_rng(draw(st.integers(0, 2**31 - 1)))
    values = random.standard_normal((steps, *shape))
    if draw(st.booleans()):
        values = np.exp(4 * values)
    values = values * draw(st.sampled_from([1e-6, 1.0, 1e4])) + draw(st.sampled_from([0.0, 1.0, 280.0]))
    for step in values:
        step[random.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))] = np.nan
    return values


def errors(refine, fine, coarse):
    """The largest error of a block, and that of the total, both relative, as `Downscaler` promises them.

    Also holds that there are means exactly where there should be.
    """
    coarse = coarse.astype(np.float64)
    means, sizes = refine.block_means(fine), refine.block_means(np.abs(fine))
    counts = counted(refine)
    there = np.isfinite(coarse) & (counts > 0)
    np.testing.assert_array_equal(np.isfinite(means), there)
    if not there.any():
        return 0.0, 0.0
    size = np.maximum(np.abs(coarse), sizes)[there]
    off = (means - coarse)[there]
    weight = np.broadcast_to(counts if refine.quantity == "mean" else 1.0, there.shape)[there]
    total = (np.abs(coarse[there]) * weight).sum()
    block = np.abs(off) / np.where(size > 0, size, 1)
    return float(block.max()), float(abs((off * weight).sum()) / (total if total > 0 else 1))


def counted(refine):
    """Area times valid fraction in every coarse cell, summed by a loop over blocks."""
    areas = refine.fine.areas() * (1 if refine.fraction is None else refine.fraction)
    before = refine.coarse.refined(refine.factor)[1][0]
    totals = np.zeros(refine.coarse.shape)
    for row, values in enumerate(areas):
        totals[(row + before) // refine.factor[0]] += values.reshape(-1, refine.factor[1]).sum(axis=1)
    return totals
