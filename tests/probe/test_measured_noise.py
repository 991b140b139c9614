from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import affines, dense, operators, tensors
from upstroke.diagnose import phase_means, subgrid_variance
from upstroke.ops import upsample
from upstroke.polyphase import Affine, cubic, triangle
from upstroke.probe import measured_subgrid_variance, on_period


@settings(max_examples=20)
@given(affines())
def test_operators_add_what_the_closed_form_says(affine):
    operator = affine.operator
    expected = subgrid_variance(operator)
    cells = (7, 5)[: operator.ndim]
    found = measured_subgrid_variance(
        affine, operator.scale, channels=operator.in_channels, cells=cells, draws=150, reach=9
    )
    torch.testing.assert_close(found.constant, subgrid_variance(dense(operator)).constant)
    # five standard errors, by the scatter itself, over a few dozen numbers
    assert ((found.white - expected.white).abs() <= 5 * found.error + 1e-12).all()


def test_the_error_shrinks_with_draws():
    fn = Affine(operator=triangle(2, ndim=1).expand(1))
    assert measured_subgrid_variance(fn, (2,), draws=5).white < 1e-20
    lopsided = Affine(operator=cubic(2, ndim=1))

    def uneven(x):
        return lopsided(x) * torch.tensor([1.0, 2.0]).double().repeat(x.shape[-1])

    few, many = (measured_subgrid_variance(uneven, (2,), draws=draws) for draws in (50, 5000))
    assert 5 < few.error / many.error < 20
    assert many.white.item() == pytest.approx(0.25, rel=0.1)


@given(operators(ndims=(1, 2)), st.data())
def test_one_period_is_that_of_a_circular_border(operator, data):
    x = data.draw(tensors((2, operator.in_channels, *(5, 7)[: operator.ndim])))
    whole = replace(operator, border=("circular",) * operator.ndim, excess=(0,) * operator.ndim)
    found = on_period(Affine(operator=operator), x, operator.scale, reach=9)
    torch.testing.assert_close(found, upsample(x, whole))


def test_reach_may_differ_between_axes():
    x = torch.rand(1, 1, 4, 6)
    seen = []
    y = on_period(lambda wide: seen.append(wide) or wide, x, (1, 1), reach=(1, 9))
    assert seen[0].shape == (1, 1, 6, 24)
    assert torch.equal(y, x)
    assert torch.equal(seen[0][0, 0, 0], x[0, 0, 3].roll(9).repeat(4))


def test_a_picture_made_of_noise_has_the_variance_between_phases_that_the_operator_adds():
    generator = torch.Generator().manual_seed(0)
    operator = next(iter([triangle((2, 3))]))
    uneven = replace(operator, taps=operator.taps * torch.arange(1.0, 7).reshape(6, 1, 1, 1, 1))
    found = []
    for _ in range(300):
        x = torch.randn(1, 1, 5, 4, generator=generator, dtype=torch.float64)
        picture = on_period(Affine(operator=uneven), x, (2, 3))[0, 0]
        found.append(phase_means(picture, (2, 3)).var(correction=0))
    expected = subgrid_variance(uneven).white.item() / 20
    assert torch.stack(found).mean().item() == pytest.approx(expected, rel=0.35)
