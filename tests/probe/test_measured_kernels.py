"""Impulses and constants fed to a callable measure what the closed forms say."""

import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import affines, dense, operators, sizes
from upstroke import diagnose, probe
from upstroke.errors import ShapeError
from upstroke.polyphase import Affine, separable, transposed

# enough that no drawn kernel, moved by its origin, meets the end of a map cut short by its excess
WIDE = {1: 31, 2: (21, 19), 3: 17}


def impulses(affine):
    operator = affine.operator
    return probe.measured_impulses(
        affine, operator.scale, channels=operator.in_channels, cells=WIDE[operator.ndim]
    )


@given(affines(ndims=(1, 2, 3), max_scale=2))
def test_phase_gain(affine):
    operator = affine.operator
    found = probe.measured_phase_gain(
        affine, operator.scale, channels=operator.in_channels, cells=WIDE[operator.ndim]
    )
    torch.testing.assert_close(found, diagnose.phase_gain(dense(operator)))


@given(affines())
def test_bias(affine):
    operator = affine.operator
    found = probe.measured_bias(
        affine, operator.scale, channels=operator.in_channels, cells=WIDE[operator.ndim]
    )
    torch.testing.assert_close(found, affine.bias)


@given(affines())
def test_coverage(affine):
    operator = affine.operator
    # taps that are there but happen to be zero cannot be seen from outside: none of the drawn ones is
    assert probe.measured_coverage(impulses(affine)).tolist() == diagnose.coverage(operator).counts.tolist()


@given(affines())
def test_image_gain(affine):
    found = probe.measured_image_gain(impulses(affine))
    torch.testing.assert_close(found, diagnose.image_gain(dense(affine.operator)).response)


@given(affines())
def test_frequency_response(affine):
    operator = dense(affine.operator)
    frequencies = [torch.linspace(-3, 3, 4 + axis).double() for axis in range(operator.ndim)]
    found = probe.measured_response(impulses(affine), frequencies)
    torch.testing.assert_close(found, diagnose.kernel_transform(operator, frequencies))


@given(affines())
def test_mass(affine):
    found = probe.measured_mass(impulses(affine))
    torch.testing.assert_close(found, diagnose.mass(dense(affine.operator)))


@given(affines())
def test_phase_variance(affine):
    found = probe.measured_phase_variance(impulses(affine))
    torch.testing.assert_close(found, diagnose.subgrid_variance(dense(affine.operator)).phase_variance)


@given(affines(same_channels=True))
def test_block_mean_error(affine):
    operator = replace(affine.operator, excess=(0,) * affine.operator.ndim)
    found = probe.measured_block_mean_error(impulses(Affine(operator=operator, bias=affine.bias)))
    torch.testing.assert_close(found, diagnose.block_mean_error(operator))


@given(affines(ndims=(1, 2, 3), max_scale=2))
def test_centroid(affine):
    expected = diagnose.centroid(dense(affine.operator))
    found = probe.measured_centroid(impulses(affine))
    # where next to no mass is left, rounding decides where it sits
    heavy = diagnose.mass(dense(affine.operator)).abs() > 1e-4
    torch.testing.assert_close(found[heavy], expected[heavy])


@given(st.data())
def test_total(data):
    affine = data.draw(affines())
    operator = dense(affine.operator)
    size = data.draw(sizes(operator.ndim))
    found = probe.measured_total(affine, size, channels=operator.in_channels)
    kept = diagnose.total_kept(operator, size) * diagnose.mass(operator)
    drawn = kept.isfinite()
    torch.testing.assert_close(found[drawn], kept[drawn])


@given(operators())
def test_impulses_are_the_kernel_itself(operator):
    found = impulses(Affine(operator=operator))
    assert found.scale == operator.scale
    first = [s * (n // 2) for s, n in zip(operator.scale, _cells(operator.ndim), strict=True)]
    assert found.first == tuple(-f for f in first)
    for p, phase in enumerate(
        torch.cartesian_prod(*(torch.arange(s) for s in operator.scale)).reshape(-1, operator.ndim)
    ):
        for k in range(operator.kernel[0]):
            # along the first axis: taps[p][k] lands on sample s * (origin - k) + p
            at = [
                f + s * o + int(q)
                for f, s, o, q in zip(first, operator.scale, operator.origin, phase, strict=True)
            ]
            at[0] -= operator.scale[0] * k
            taps = dense(operator).taps[(p, slice(None), slice(None), k, *(0,) * (operator.ndim - 1))]
            torch.testing.assert_close(found.value[(..., *at)], taps)


def _cells(ndim):
    cells = WIDE[ndim]
    return (cells,) * ndim if isinstance(cells, int) else cells


def test_a_torch_module_with_groups_and_unequal_axes():
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(4, 6, (3, 4), stride=(2, 3), padding=1, groups=2)
    operator = transposed(layer.weight.detach(), stride=(2, 3), padding=1, groups=2)
    settings = {"channels": 4, "dtype": torch.float32}
    gains = probe.measured_phase_gain(layer, (2, 3), **settings)
    torch.testing.assert_close(gains, diagnose.phase_gain(operator.regroup(1)), rtol=1e-5, atol=1e-6)
    found = probe.measured_impulses(layer, (2, 3), **settings)
    torch.testing.assert_close(
        probe.measured_mass(found), diagnose.mass(operator.regroup(1)), rtol=1e-5, atol=1e-6
    )
    # rounding leaves the bias's last bits behind, so only the counts above them are taps
    clean = replace(found, value=torch.where(found.value.abs() > 1e-6, found.value, 0))
    assert probe.measured_coverage(clean).tolist() == diagnose.coverage(operator).counts.tolist()


def test_a_depthwise_separable_layer_measures_like_its_one_operator():
    torch.manual_seed(0)
    depthwise = torch.nn.ConvTranspose2d(3, 3, (3, 4), stride=(2, 3), groups=3, bias=False).double()
    pointwise = torch.nn.Conv2d(3, 2, 1, bias=False).double()
    operator = separable(depthwise.weight.detach(), pointwise.weight.detach()[:, :, 0, 0], stride=(2, 3))
    found = probe.measured_impulses(torch.nn.Sequential(depthwise, pointwise), (2, 3), channels=3)
    torch.testing.assert_close(probe.measured_image_gain(found), diagnose.image_gain(operator).response)


def test_a_callable_must_keep_batch_and_axes():
    for wrong, shape in ((lambda x: x[0], "(1, 3)"), (lambda x: x[:1], "(1, 1, 3)")):
        message = f"a callable must turn maps of shape (2, 1, 3) into as many maps; got {shape}"
        with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
            probe.measured_impulses(wrong, (1,), cells=3)


def test_no_gradients_are_kept():
    layer = torch.nn.ConvTranspose1d(1, 1, 4, stride=2)
    found = probe.measured_phase_gain(layer, (2,), dtype=torch.float32)
    assert not found.requires_grad
    assert math.isfinite(found.sum())


@pytest.mark.parametrize("measure", [probe.measured_phase_gain, probe.measured_bias, probe.measured_grid])
def test_the_middle_must_be_there(measure):
    blocks = 2 if measure is probe.measured_grid else 1
    shape = "(4, 1, 4, 5)" if blocks == 2 else "(2, 1, 4, 5)"
    least = (4 + 2 * blocks, 6 + 3 * blocks)
    message = (
        f"a callable of scale (2, 3) must answer (4, 5) cells with at least {least} samples, the middle ones "
        f"included; got shape {shape}, so give the right scale or more cells"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        measure(torch.nn.Identity(), (2, 3), cells=(4, 5))


def test_samples_of_the_middle_cells():
    y = torch.arange(4 * 15).reshape(1, 1, 4, 15).double()
    found = probe.middle_samples(y, (1, 3), (4, 5), blocks=2)
    assert found[0, 0].tolist() == y[0, 0, 2:4, 6:12].tolist()
