import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import affines, fixed_operators
from upstroke.diagnose import equivariance_error
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import Affine, linear, nearest
from upstroke.probe import measured_equivariance

CELLS = {1: (13,), 2: (9, 7), 3: (5, 3, 7)}


@given(
    affines(ndims=(1, 2, 3), max_scale=2),
    st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3),
    st.sampled_from(["white", "1/f2"]),
)
def test_closed_form_and_measurement_are_one(affine, shifts, spectrum):
    operator = affine.operator
    cells, shift = CELLS[operator.ndim], shifts[: operator.ndim]
    closed = equivariance_error(operator, shift, spectrum=spectrum, points=cells)
    found = measured_equivariance(
        affine,
        operator.scale,
        shift,
        channels=operator.in_channels,
        spectrum=spectrum,
        cells=cells,
        reach=9,
    )
    torch.testing.assert_close(found.error, closed.error, rtol=1e-6, atol=1e-6)
    for one, other in zip(found.frequency, closed.frequency, strict=True):
        torch.testing.assert_close(one, other)
    # nothing is fed at frequency 0
    middle = tuple(n // 2 for n in cells)
    assert found.by_frequency[middle].isnan()
    found.by_frequency[middle] = closed.by_frequency[middle]
    loud = closed.by_frequency.isfinite()
    torch.testing.assert_close(found.by_frequency[loud], closed.by_frequency[loud], rtol=1e-4, atol=1e-4)


@given(fixed_operators(max_scale=3), st.floats(-1, 1))
def test_fixed_kernels(operator, shift):
    cells = CELLS[operator.ndim]
    closed = equivariance_error(operator, shift, points=cells)
    found = measured_equivariance(Affine(operator=operator), operator.scale, shift, cells=cells)
    torch.testing.assert_close(found.error, closed.error, rtol=1e-6, atol=1e-7)


def test_pytorchs_own_resize():
    for mode, make in (("nearest", nearest), ("bilinear", linear)):
        layer = torch.nn.Upsample(scale_factor=2, mode=mode)
        found = measured_equivariance(layer, (2, 2), (0.3, 0.1), channels=3, cells=(15, 11))
        closed = equivariance_error(make(2), (0.3, 0.1), points=(15, 11))
        assert found.error.item() == pytest.approx(closed.error.item(), rel=1e-6)


def test_something_nonlinear_can_be_measured_too():
    chain = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.ReLU())
    smooth = measured_equivariance(chain[0], (2, 2), 0.5)
    bent = measured_equivariance(chain, (2, 2), 0.5)
    assert smooth.error < bent.error < 1


def test_a_callable_that_ignores_its_input_does_not_follow():
    still = torch.randn(200, generator=torch.Generator().manual_seed(0)).double()
    found = measured_equivariance(lambda x: 0 * x + still[: x.shape[-1]], (1,), 0.5)
    assert found.error > 0.5


def test_errors():
    message = "cells must be odd on every axis, or the field has a part that cannot move; got (9, 8)"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        measured_equivariance(torch.nn.Identity(), (1, 1), 0.5, cells=(9, 8))
    message = "shift must be one number or 2 numbers, one per axis; got (0.5,)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        measured_equivariance(torch.nn.Identity(), (1, 1), (0.5,))
