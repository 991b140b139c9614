import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.diagnose import centroid, grid_of, strang_fix_order
from upstroke.grid import Grid
from upstroke.polyphase import Affine, bspline, cubic, linear, nearest, transposed, triangle
from upstroke.probe import measured_grid

NUMBERS = st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 3), st.integers(1, 2))


def assert_grid(found, grid):
    for measured, exact in ((found.offset, grid.offset), (found.spacing, grid.spacing)):
        for row in measured.tolist():
            assert row == pytest.approx([float(number) for number in exact], abs=1e-9)


@given(NUMBERS, NUMBERS, st.integers(0, 2))
def test_uniform_transposed_convolutions(first, second, bias):
    stride, extra, padding, channels = zip(first, second, strict=True)
    # a kernel shorter than the stride leaves phases that read nothing
    kernel = tuple(s + e for s, e in zip(stride, extra, strict=True))
    weight = torch.ones(channels[0], 3, *kernel, dtype=torch.float64)
    operator = transposed(weight, stride=stride, padding=padding)
    affine = Affine(operator=operator, bias=torch.full((operator.phases, 3), float(bias)).double())
    found = measured_grid(affine, stride, channels=channels[0], cells=(21, 24))
    assert_grid(found, grid_of(operator))
    assert_grid(found, Grid.of_input(2).transposed(kernel, stride=stride, padding=padding))


@pytest.mark.parametrize("scale", [(2, 3), (4, 1)])
@pytest.mark.parametrize("make", [nearest, linear, cubic, bspline, triangle])
def test_fixed_kernels(make, scale):
    operator = make(scale)
    found = measured_grid(Affine(operator=operator), scale, cells=(15, 17))
    assert_grid(found, grid_of(operator))
    order = strang_fix_order(operator)
    # lines come out as lines exactly for order 2 and more
    for axis, s in enumerate(scale):
        if s > 1:
            assert (found.residual[0, axis] < 1e-9).item() is (order >= 2)


def test_a_balanced_lopsided_kernel_shows_its_centroid():
    weight = torch.tensor([[[0.2, 0.9, 0.8, 0.1]]], dtype=torch.float64)
    operator = transposed(weight, stride=2, padding=1)
    found = measured_grid(Affine(operator=operator), (2,))
    assert found.offset.item() == pytest.approx(centroid(operator).item())
    assert found.offset.item() != pytest.approx(float(grid_of(operator).offset[0]))


@pytest.mark.parametrize(("scale", "residual"), [(2, 3 / 64), (3, 1 / 27), (4, 21 / 512)])
def test_pytorchs_bicubic_returns_a_ramp_off_by_four_hundredths_of_a_pixel(scale, residual):
    def resize(x):
        return torch.nn.functional.interpolate(x, scale_factor=scale, mode="bicubic")

    found = measured_grid(resize, (scale, scale))
    assert found.residual[0].tolist() == pytest.approx([residual, residual], rel=1e-3)
    closed = measured_grid(Affine(operator=cubic(scale)), (scale, scale))
    torch.testing.assert_close(closed.residual, found.residual, rtol=1e-3, atol=1e-6)
    keys = measured_grid(Affine(operator=cubic(scale, a=-0.5)), (scale, scale))
    assert keys.residual.max() < 1e-9


def test_a_chain_of_layers_in_three_axes():
    chain = torch.nn.Sequential(
        torch.nn.Upsample(scale_factor=2, mode="nearest"), torch.nn.AvgPool3d(3, stride=1, padding=1)
    )
    found = measured_grid(chain, (2, 2, 2), dtype=torch.float32)
    assert found.offset[0].tolist() == pytest.approx([-0.25] * 3, abs=1e-5)
