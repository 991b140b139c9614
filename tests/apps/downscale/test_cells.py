"""Cells: areas of the sphere, nesting without loss, one sentence for what is no grid of cells."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.downscale.cells import CellAxis, Cells, simplest_between
from upstroke.errors import OptionError, ShapeError

STEPS = [Fraction(1, 4), Fraction(11, 25), Fraction(1, 3), Fraction(5, 2), Fraction(45, 16), Fraction(1, 12)]


def axis(edges, kind="projected", *, name="a", is_periodic=False, units=""):
    return CellAxis(
        name=name, kind=kind, edges=np.asarray(edges, dtype=float), is_periodic=is_periodic, units=units
    )


def globe(rows, columns, *, first=0.0):
    return Cells(
        y=axis(np.linspace(-90, 90, rows + 1), "latitude", name="lat"),
        x=axis(np.linspace(first, first + 360, columns + 1), "longitude", name="lon", is_periodic=True),
    )


@st.composite
def axes(draw, kinds=("latitude", "longitude", "projected")):
    kind = draw(st.sampled_from(kinds))
    step = draw(st.sampled_from(STEPS))
    if kind == "latitude" and draw(st.booleans()):
        # from pole to pole, or with a row centred on each
        rows = draw(st.integers(2, 40))
        beyond = draw(st.sampled_from([0, Fraction(90, rows - 1)]))
        edges = np.linspace(float(-90 - beyond), float(90 + beyond), rows + 1)
    else:
        size = draw(st.integers(1, 30))
        first = draw(st.sampled_from([Fraction(-1201, 25), Fraction(-10), Fraction(0), Fraction(1, 8)]))
        edges = np.array([float(first + step * k) for k in range(size + 1)])
        edges = edges[np.abs(edges) <= 90][:31] if kind == "latitude" else edges
    return axis(edges[::-1] if draw(st.booleans()) else edges, kind)


def refuses(error, message, call):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


# weights


@given(axes(), st.integers(1, 6))
def test_weights_of_the_parts_add_up_to_that_of_the_cell(coarse, factor):
    fine, (before, after) = coarse.refined(factor)
    whole = np.concatenate([np.zeros(before), fine.weights, np.zeros(after)])
    np.testing.assert_allclose(whole.reshape(-1, factor).sum(axis=1), coarse.weights, rtol=1e-14)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 5), st.integers(1, 5))
def test_the_globe_has_4_pi_steradians(rows, columns, by_rows, by_columns):
    fine, dropped = globe(rows, columns).refined((by_rows, by_columns))
    assert dropped == (0, 0)
    np.testing.assert_allclose(fine.areas().sum(), 4 * np.pi, rtol=1e-13)


@pytest.mark.parametrize(("rows", "factor", "kept", "dropped"), [
    (181, 1, 181, (0, 0)),
    (181, 2, 360, (1, 1)),
    (721, 4, 2880, (2, 2)),
    # three parts of a polar row: one beyond the pole, one across it
    (181, 3, 541, (1, 1)),
    (181, 5, 901, (2, 2)),
])  # fmt: skip
def test_rows_beyond_a_pole_are_dropped_and_counted(rows, factor, kept, dropped):
    reach = 90 + 90 / (rows - 1)
    poles = Cells(
        y=axis(np.linspace(reach, -reach, rows + 1), "latitude"),
        x=axis(np.arange(0, 361, 10), "longitude", is_periodic=True),
    )
    np.testing.assert_allclose(poles.areas().sum(), 4 * np.pi, rtol=1e-13)
    fine, lost = poles.refined((factor, 2))
    assert (fine.y.size, lost) == (kept, dropped)
    assert (fine.y.weights > 0).all()
    np.testing.assert_allclose(fine.areas().sum(), 4 * np.pi, rtol=1e-13)
    assert np.abs(fine.y.bounds).max() == 90


def test_rows_are_dropped_at_the_end_that_is_beyond():
    rows = axis(np.arange(80.0, 93.0, 4), "latitude")
    assert [rows.refined(4)[1], rows.flipped().refined(4)[1]] == [(0, 2), (2, 0)]
    assert rows.refined(4)[0].edges.tolist() == list(range(80, 91))


@pytest.mark.parametrize("pole", [90, -90])
@pytest.mark.parametrize("step", [2**-2, 2**-7, 2**-10])
def test_polar_weights_keep_their_digits(step, pole):
    # 1 - cos of a small angle, by its series, which loses nothing
    small = np.deg2rad(step)
    polar = axis(np.sign(pole) * np.array([90 - step, 90]), "latitude").weights[0]
    exact = small**2 / 2 - small**4 / 24 + small**6 / 720
    assert abs(polar / exact - 1) < 1e-14


def test_weights_are_sines_of_latitudes_and_lengths_else():
    rows = axis([-30, 0, 30, 60, 90], "latitude")
    np.testing.assert_allclose(rows.weights, np.diff(np.sin(np.deg2rad(rows.edges))), rtol=1e-14)
    assert axis([10, 7.5, 5], "longitude").weights.tolist() == [2.5, 2.5]
    assert axis([0, 12000, 24000]).weights.tolist() == [12000, 12000]


def test_areas_cross_rows_with_columns():
    cells = Cells(y=axis([0, 30, 60], "latitude"), x=axis([0, 10, 20, 30], "longitude"))
    assert cells.areas().shape == cells.shape == (2, 3)
    np.testing.assert_allclose(cells.areas()[:, 2], np.deg2rad(10) * np.array([0.5, np.sqrt(0.75) - 0.5]))
    flat = Cells(y=axis([0, 2, 4]), x=axis([0, 3, 6, 9]))
    assert (flat.areas() == 6).all()


# nesting


@given(axes(), st.integers(1, 7))
def test_coarsened_is_the_inverse_of_refined(coarse, factor):
    fine, dropped = coarse.refined(factor)
    if dropped == (0, 0):
        assert fine.coarsened(factor).edges.tolist() == coarse.edges.tolist()
        assert fine.edges[::factor].tolist() == coarse.edges.tolist()


@given(st.floats(-1e7, 1e7), st.floats(1e-3, 1e5), st.integers(1, 9), st.integers(1, 4))
def test_any_edges_come_back_to_the_last_bit(first, length, size, factor):
    coarse = axis(np.linspace(first, first + length, size + 1))
    assert axis(coarse.edges).edges.tolist() == coarse.edges.tolist()
    fine, _ = coarse.refined(factor)
    assert fine.edges[::factor].tolist() == coarse.edges.tolist()
    assert fine.coarsened(factor).edges.tolist() == coarse.edges.tolist()
    np.testing.assert_allclose(fine.weights.sum(), coarse.weights.sum(), rtol=1e-14)


@given(axes(), st.integers(1, 4), st.integers(1, 4))
def test_refining_twice_is_refining_by_the_product(coarse, first, second):
    twice = coarse.refined(first)[0].refined(second)[0]
    once = coarse.refined(first * second)[0]
    assert twice.edges.tolist() == once.edges.tolist()


@given(axes(), st.integers(1, 5))
def test_flipping_commutes(coarse, factor):
    fine, dropped = coarse.refined(factor)
    other, other_dropped = coarse.flipped().refined(factor)
    assert other_dropped == dropped[::-1]
    for name in ("edges", "centres", "weights"):
        assert getattr(other, name)[::-1].tolist() == getattr(fine, name).tolist()
    assert other.bounds[::-1, ::-1].tolist() == fine.bounds.tolist()


@given(axes(), st.integers(1, 5))
def test_an_axis_finds_its_own_cells_in_any_direction(coarse, factor):
    fine, _ = coarse.refined(factor)
    # a globe that is cut elsewhere is told apart below
    assert fine.places_of(fine.flipped()).tolist() == list(range(fine.size))[::-1]
    assert fine.flipped().places_of(fine).tolist() == list(range(fine.size))[::-1]


def test_longitudes_are_found_by_whole_turns():
    columns = globe(2, 8).x
    assert columns.places_of(axis(np.arange(-90, 91, 45), "longitude")).tolist() == [6, 7, 0, 1]
    assert columns.places_of(globe(2, 8, first=-180).x).tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert columns.flipped().places_of(axis([765, 720], "longitude")).tolist() == [7]


def test_edges_are_the_nearest_numbers_to_simple_fractions():
    third = axis(np.cumsum([0] + [1 / 3] * 9))
    assert third.edges.tolist() == [k / 3 for k in range(10)]
    assert axis(np.arange(-45.98, 42.5, 0.44)).refined(2)[0].centres[0] == -45.87


@given(axes(), axes(), st.integers(1, 6), st.integers(1, 6))
def test_factor_to_is_the_factor(y, x, rows, columns):
    if (y.kind, x.kind) not in {("latitude", "longitude"), ("projected", "projected")}:
        with pytest.raises(OptionError, match=r"^cells are latitudes by longitudes"):
            Cells(y=y, x=x)
        return
    cells = Cells(y=y, x=x)
    fine, _ = cells.refined((rows, columns))
    assert cells.factor_to(Cells(y=fine.y.flipped(), x=fine.x)) == (rows, columns)


def test_simplest_between_is_the_least_denominator():
    assert simplest_between(Fraction(-7, 3), Fraction(-9, 4)) == Fraction(-7, 3)
    assert simplest_between(Fraction(-1, 3), Fraction(1, 9)) == 0
    assert simplest_between(Fraction(31, 10), Fraction(57, 10)) == 4
    low, high = Fraction(314, 100), Fraction(315, 100)
    least = next(Fraction(n, d) for d in range(1, 99) for n in range(4 * d) if low <= Fraction(n, d) <= high)
    assert simplest_between(low, high) == least == Fraction(22, 7)


# refusals


def test_edges_must_be_even_finite_and_at_least_two():
    refuses(
        ShapeError,
        "the edges of a must be one more than its cells, on one axis, and at least two; got shape (1,)",
        lambda: axis([1.0]),
    )
    refuses(
        OptionError,
        "the edges of a must be finite numbers; got nan at place 2",
        lambda: axis([1.0, 2.0, np.nan]),
    )
    refuses(
        ShapeError,
        "the cells of a must be equally long and not empty; got edges that are off by 0.5 from even steps of 1.5; "
        "interpolate the field to a uniform grid first",
        lambda: axis([0.0, 1.0, 3.0]),
    )
    refuses(
        ShapeError,
        "the cells of a must be equally long and not empty; got edges that are off by 0 from even steps of 0; "
        "interpolate the field to a uniform grid first",
        lambda: axis([2.0, 2.0]),
    )


@pytest.mark.parametrize("edges", [[89, 90, 91], [-91, -90, -89], [92, 91, 90, 89]])
def test_no_row_lies_beyond_a_pole(edges):
    refuses(
        OptionError,
        f"no row of a may lie wholly beyond a pole; got edges from {edges[0]} to {edges[-1]} degrees; "
        "drop the rows beyond +-90",
        lambda: axis(edges, "latitude"),
    )


def test_once_round_the_globe_at_most():
    refuses(
        OptionError,
        "a must go round the globe once at most; got cells over 361 degrees; drop the columns that come twice",
        lambda: axis(np.arange(362.0), "longitude"),
    )
    refuses(
        OptionError,
        "a periodic axis is one of longitudes whose cells go round the globe; got a, 90 of longitude; "
        "pass is_periodic=False",
        lambda: axis([0, 45, 90], "longitude", is_periodic=True),
    )
    refuses(
        OptionError,
        "a periodic axis is one of longitudes whose cells go round the globe; got a, 360 of projected; "
        "pass is_periodic=False",
        lambda: axis([0, 180, 360], is_periodic=True),
    )


def test_rows_and_columns_are_of_one_kind():
    refuses(
        OptionError,
        "cells are latitudes by longitudes or two lengths of a projection; got a of longitude by a of latitude",
        lambda: Cells(y=axis([0, 1], "longitude"), x=axis([0, 1], "latitude")),
    )


def test_factors_are_whole_and_divide():
    cells = Cells(y=axis(np.arange(7)), x=axis(np.arange(6)))
    refuses(
        OptionError,
        "the factor must divide the 5 cells of a; got 3, which leaves 2; crop the axis or take another factor",
        lambda: cells.coarsened(3),
    )
    refuses(
        OptionError,
        "the factor must be at least 1 on every axis; got 2x0",
        lambda: cells.refined((2, 0)),
    )


def test_other_cells_are_not_found():
    own = globe(4, 8)
    refuses(
        ShapeError,
        "the 4 cells of a from 10 to 190 must be among the 8 cells of lon from 0 to 360; got others; "
        "interpolate one of the two to the grid of the other first",
        lambda: own.x.places_of(axis([10, 55, 100, 145, 190], "longitude")),
    )
    for other in (
        axis([0, 45], "projected"),
        axis([0, 22.5], "longitude"),
        axis([0, 46], "longitude"),
    ):
        with pytest.raises(ShapeError, match="must be among the 8 cells of lon"):
            own.x.places_of(other)
    with pytest.raises(ShapeError, match="must be among the 2 cells of a"):
        axis([0, 10, 20], "longitude").places_of(axis([0, 10, 20, 30], "longitude"))


@pytest.mark.parametrize(("rows", "columns"), [(6, 8), (8, 12), (4, 8), (7, 16)])
def test_grids_that_are_not_nested_are_refused(rows, columns):
    fine = globe(rows, columns)
    if rows % 4 == columns % 8 == 0:
        assert globe(4, 8).factor_to(fine) == (rows // 4, columns // 8)
        return
    with pytest.raises(ShapeError, match="must be equal parts of the"):
        globe(4, 8).factor_to(fine)


def test_a_grid_that_is_not_nested_is_told():
    refuses(
        ShapeError,
        "the 12 cells of lon from 0 to 360 must be equal parts of the 8 cells of lon from 0 to 360; got cells of 30 "
        "and 45; interpolate one of the two to a nested grid first",
        lambda: globe(4, 8).factor_to(globe(8, 12)),
    )


def test_an_axis_cannot_be_changed():
    own = axis([0, 1, 2])
    with pytest.raises(ValueError, match="read-only"):
        own.edges[0] = 5


def test_cells_that_begin_a_rounding_before_the_seam_are_found():
    own, other = (
        CellAxis(name="lon", kind="longitude", edges=np.linspace(0, 360, 9) + shift, is_periodic=True)
        for shift in (0.0, -1e-3)
    )
    assert own.places_of(other).tolist() == other.places_of(own).tolist() == list(range(8))


def test_longer_cells_with_middles_on_the_others_are_others():
    own = CellAxis(name="x", kind="projected", edges=np.arange(7.0), is_periodic=False)
    longer = CellAxis(name="x", kind="projected", edges=np.array([-0.5, 1.5, 3.5]), is_periodic=False)
    message = "the 2 cells of x from -0.5 to 3.5 must be among the 6 cells of x from 0 to 6; got others; "
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}interpolate one of the two"):
        own.places_of(longer)
