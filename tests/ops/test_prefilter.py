"""A prefilter undoes D T to rounding, for every operator, border, weight and size, and so do its gradients."""

import pickle
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blocks_by_hand import seeded
from strategies import BORDERS
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import block_means, bordered, prefilter, upsample
from upstroke.polyphase import bspline, cubic, linear, nearest, shuffle

KERNELS = {"nearest": nearest, "linear": linear, "cubic": bspline, "keys": cubic}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def bspline_of_degree_5(scale, ndim):
    return bspline(scale, ndim=ndim, degree=5)


@st.composite
def axes(draw, *, least=1, most=9):
    """A fixed operator of one axis, its size and weights of its samples, or None."""
    kernel = draw(st.sampled_from([*KERNELS.values(), bspline_of_degree_5]))
    operator = replace(kernel(draw(st.integers(1, 5)), ndim=1), border=(draw(st.sampled_from(BORDERS)),))
    size = draw(st.one_of(st.integers(least, most), st.integers(20, 40)))
    samples = operator.scale[0] * size
    kind = draw(st.sampled_from(("none", "alike", "drawn", "poles")))
    generator = seeded(draw(st.integers(0, 2**31 - 1)))
    if kind == "none":
        return operator, size, None
    # neighbouring areas differ little, as those of a sphere do
    weights = 1 + torch.rand(samples, generator=generator, dtype=torch.float64)
    weights = torch.ones_like(weights) if kind == "alike" else weights
    if kind == "poles" and samples > 2:
        # half a cell beyond either pole
        edges = torch.linspace(-0.5, size - 0.5, samples + 1, dtype=torch.float64).clamp(0, size - 1)
        weights = torch.sin(torch.pi * (edges / (size - 1) - 0.5)).diff() if size > 1 else weights
    return operator, size, weights


def means_of(operator, c, weights):
    """D T by the formula, along the last axis."""
    y = upsample(c[:, None], operator, impl="reference")[:, 0]
    return block_means(y, operator.scale, weights=weights)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@given(axis=axes(), seed=st.integers(0, 2**20))
def test_what_is_solved_has_the_block_means_that_went_in(dtype, axis, seed):
    operator, size, weights = axis
    x = torch.randn(3, size, generator=seeded(seed), dtype=torch.float64).to(dtype)
    c = prefilter(operator, size, weights=weights)(x, dim=-1)
    assert c.dtype == dtype
    found = means_of(operator, c.double(), weights)
    there = ~found.isnan()
    assert there.any()
    assert (found - x.double())[there].abs().max() <= TOLERANCE[dtype] * x.abs().max()


@given(axis=axes(), seed=st.integers(0, 2**20))
def test_the_rows_by_pytorch_and_the_compiled_solve_agree(axis, seed):
    operator, size, weights = axis
    x = torch.randn(2, size, 3, 7, generator=seeded(seed), dtype=torch.float64)
    factors = prefilter(operator, size, weights=weights).factors
    torch.testing.assert_close(factors.solve(x, 1), factors._by_rows(x, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [2, 5, 23])
@pytest.mark.parametrize("kernel", [bspline(4, ndim=1), linear(3, ndim=1, centre="sample")], ids=str)
def test_both_solves_undo_an_operator_of_either_kind(kernel, size, border):
    # the second one reads the cell ahead only, so that its band has one side
    operator = replace(kernel, border=(border,))
    x = torch.randn(3, size, generator=seeded(6), dtype=torch.float64)
    factors = prefilter(operator, size).factors
    for solve in (factors.solve, factors._by_rows):
        torch.testing.assert_close(means_of(operator, solve(x, 1), None), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2])
def test_any_axis_can_be_the_one(dim):
    shape = [4, 5, 6]
    shape[dim] = 11
    x = torch.randn(shape, generator=seeded(1))
    solve = prefilter(bspline(3, ndim=1), 11)
    whole = solve(x, dim=dim).movedim(dim, -1).reshape(-1, 11)
    lines = x.movedim(dim, -1).reshape(-1, 11)
    for line, found in zip(lines, whole, strict=True):
        torch.testing.assert_close(found, solve(line, dim=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 7, 8, 16, 31, 32, 33, 70])
@pytest.mark.parametrize("inner", [1, 3, 40])
def test_any_number_of_lines_is_solved(columns, inner):
    x = torch.randn(columns, 30, inner, generator=seeded(2), dtype=torch.float64)
    operator = replace(bspline(4, ndim=1), border=("circular",))
    c = prefilter(operator, 30)(x, dim=1)
    found = means_of(operator, c.movedim(1, -1).reshape(-1, 30), None)
    torch.testing.assert_close(found, x.movedim(1, -1).reshape(-1, 30), rtol=1e-12, atol=1e-12)


@given(axis=axes(), value=st.floats(-1e6, 1e6))
def test_constants_stay_constant(axis, value):
    operator, size, weights = axis
    # beyond a border of zeros no constant goes on
    operator = replace(operator, border=("clamp" if operator.border == ("zero",) else operator.border[0],))
    x = torch.full((size,), value, dtype=torch.float64)
    c = prefilter(operator, size, weights=weights)(x, dim=0)
    torch.testing.assert_close(c, x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kernel", "degree"), [(linear, 1), (bspline, 3)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_polynomials_up_to_the_order_of_the_kernel_are_found_again_inside(kernel, degree, scale):
    size, operator = 60, kernel(scale, ndim=1)
    places = (torch.arange(scale * size, dtype=torch.float64) + 0.5) / (scale * size)
    for power in range(degree + 1):
        fine = places**power
        c = prefilter(operator, size)(block_means(fine, (scale,)), dim=0)
        inside = slice(25 * scale, -25 * scale)
        y = upsample(c[None, None], operator)[0, 0]
        torch.testing.assert_close(y[inside], fine[inside], rtol=0, atol=1e-10)


@pytest.mark.parametrize("border", ["clamp", "circular"])
@pytest.mark.parametrize(("kernel", "condition"), [(nearest, 1.0), (linear, 2.0), (bspline, 4.7)])
def test_at_scale_4_little_is_magnified(kernel, condition, border):
    solve = prefilter(replace(kernel(4, ndim=1), border=(border,)), 90)
    assert round(solve.condition, 1) == condition


def test_the_condition_number_is_that_of_the_dense_matrix():
    operator = replace(bspline(3, ndim=1), border=("circular",))
    weights = torch.rand(33, generator=seeded(3), dtype=torch.float64) + 1
    dense = means_of(operator, torch.eye(11, dtype=torch.float64), weights).T
    wanted = float(torch.linalg.cond(dense, torch.inf))
    assert abs(prefilter(operator, 11, weights=weights).condition / wanted - 1) < 1e-12


@given(axis=axes(), seed=st.integers(0, 2**20))
def test_the_gradient_is_the_solve_with_the_transposed_matrix(axis, seed):
    operator, size, weights = axis
    solve = prefilter(operator, size, weights=weights)
    x, g = torch.randn(2, size, generator=seeded(seed), dtype=torch.float64).unbind()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(solve(x, dim=0), x, g)
    forward = torch.stack([solve(row, dim=0) for row in torch.eye(size, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(gradient, forward.T @ g, rtol=1e-10, atol=1e-10)


def test_gradients_have_gradients():
    solve = prefilter(replace(bspline(4, ndim=1), border=("circular",)), 7, weights=torch.arange(28.0) + 9)
    x = torch.randn(2, 7, 3, generator=seeded(4), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: solve(x, dim=1), x)
    assert torch.autograd.gradgradcheck(lambda x: solve(x, dim=1), x)


def test_a_missing_value_spoils_its_own_line_only():
    solve = prefilter(bspline(4, ndim=1), 12)
    x = torch.randn(40, 12, generator=seeded(5))
    clean = solve(x, dim=1)
    x[3, 5] = torch.nan
    spoilt = solve(x, dim=1)
    assert spoilt[3].isnan().any()
    others = torch.arange(40) != 3
    assert torch.equal(spoilt[others], clean[others])


def test_a_block_without_weight_is_taken_with_all_alike():
    operator, weights = linear(2, ndim=1), torch.ones(10, dtype=torch.float64)
    weights[:2] = 0
    x = torch.randn(5, generator=seeded(6), dtype=torch.float64)
    expected = prefilter(operator, 5)(x, dim=0)
    torch.testing.assert_close(prefilter(operator, 5, weights=weights)(x, dim=0), expected)


@pytest.mark.parametrize("size", [7, 50])
def test_it_can_be_sent_to_another_process(size):
    solve = prefilter(replace(bspline(4, ndim=1), border=("circular",)), size)
    x = torch.randn(size, generator=seeded(7))
    assert torch.equal(pickle.loads(pickle.dumps(solve))(x, dim=0), solve(x, dim=0))


def test_half_types_are_solved_in_float64():
    x = torch.randn(3, 20, generator=seeded(8)).bfloat16()
    solve = prefilter(bspline(4, ndim=1), 20)
    assert torch.equal(solve(x, dim=1), solve(x.double(), dim=1).bfloat16())


def test_a_long_axis_is_right_to_its_ends():
    operator = replace(bspline(2, ndim=1), border=("circular",))
    x = torch.randn(2, 3000, generator=seeded(9), dtype=torch.float64)
    found = means_of(operator, prefilter(operator, 3000)(x, dim=1), None)
    assert (found - x).abs().max() <= 1e-13 * x.abs().max()


def test_without_kernels_it_solves_the_same(monkeypatch):
    monkeypatch.setattr(bordered, "solver", lambda: None)
    solve = prefilter(bspline(4, ndim=1), 20)
    x = torch.randn(3, 20, 2, generator=seeded(10), dtype=torch.float64)
    c = solve(x, dim=1)
    monkeypatch.undo()
    torch.testing.assert_close(solve(x, dim=1), c, rtol=1e-13, atol=1e-13)


def refused(error, message, make):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


def test_what_does_not_fit_is_refused():
    cubics = bspline(4, ndim=1)
    wanted = (
        "a prefilter needs an operator of 1 axis with one channel in and out and no excess, such as "
        "polyphase.bspline(4, ndim=1); got "
    )
    for other in (bspline(4), shuffle(2, ndim=1), replace(cubics, excess=(1,))):
        refused(ShapeError, f"{wanted}{other}", lambda other=other: prefilter(other, 5))
    refused(OptionError, "size must be at least 1; got 0", lambda: prefilter(cubics, 0))
    message = "weights must have shape (20,), one for each of 4 samples of 5 cells; got (5,)"
    refused(ShapeError, message, lambda: prefilter(cubics, 5, weights=torch.ones(5)))
    message = "weights must be finite and at least 0 everywhere, such as areas of cells; got others"
    for bad in (torch.nan, -1.0, torch.inf):
        weights = torch.ones(20).index_fill(0, torch.tensor([3]), bad)
        refused(OptionError, message, lambda weights=weights: prefilter(cubics, 5, weights=weights))
    message = "x must have 5 cells along axis 1, for which the prefilter was made; got shape (5, 6)"
    refused(ShapeError, message, lambda: prefilter(cubics, 5)(torch.zeros(5, 6), dim=1))


@pytest.mark.parametrize("size", [8, 40])
def test_means_that_do_not_tell_cells_apart_are_refused(size):
    # a box over two cells: alternating cells cancel
    half = nearest(1, ndim=1)
    operator = replace(
        half,
        taps=torch.tensor([[[[0.5, 0.5]]]], dtype=torch.float64),
        support=torch.ones(1, 2, dtype=torch.bool),
        border=("circular",),
    )
    message = (
        "the block means of what the operator makes must tell cells apart, or nothing keeps them all; "
        "got a D T without an inverse, so use another operator, such as polyphase.bspline"
    )
    refused(OptionError, message, lambda: prefilter(operator, size))
