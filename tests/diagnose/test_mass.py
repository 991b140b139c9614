import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import dense, fixed_operators, operators, sizes
from upstroke.diagnose import block_mean_error, mass, total_kept
from upstroke.errors import ShapeError
from upstroke.ops import upsample
from upstroke.polyphase import convolution, cubic, kernel_form, linear, nearest, transposed, with_mass


@given(operators())
def test_mass_is_the_sum_of_the_kernel(operator):
    torch.testing.assert_close(mass(operator), kernel_form(operator).kernel.flatten(2).sum(-1))


@given(fixed_operators())
def test_interpolation_keeps_means(operator):
    assert mass(operator).item() == pytest.approx(operator.phases)


@given(st.data())
def test_total_kept_is_the_total_that_arrives(data):
    operator = data.draw(operators(ndims=(1, 2, 3), max_scale=2))
    size = data.draw(sizes(operator.ndim, most=8))
    one = dense(operator)
    kept = total_kept(one, size)
    for channel in range(one.in_channels):
        x = torch.zeros(1, one.in_channels, *size, dtype=torch.float64)
        x[:, channel] = 1
        arrived = upsample(x, one).flatten(2).sum(-1)[0]
        whole = mass(one)[:, channel] * math.prod(size)
        drawn = whole != 0
        torch.testing.assert_close((kept[:, channel] * whole)[drawn], arrived[drawn])


@given(st.data(), st.sampled_from([1.1, 0.9, 1.0]))
def test_mass_makes_or_loses_where_nothing_is_cropped(data, wanted):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    kernel = torch.rand(1, 1, 3, 4, generator=generator, dtype=torch.float64)
    operator = with_mass(transposed(kernel, stride=(2, 3)), wanted)
    x = torch.rand(1, 1, 5, 7, generator=generator, dtype=torch.float64)
    assert (upsample(x, operator).sum() / x.sum()).item() == pytest.approx(wanted)
    assert total_kept(operator, (5, 7)).item() == pytest.approx(1)


@pytest.mark.parametrize(("kernel", "lost"), [((1, 1, 1, 1), 31 / 252), ((1, 3, 3, 1), 1 / 16)])
def test_kernel_4_stride_2_padding_1_loses_at_the_border(kernel, lost):
    line = torch.tensor(kernel, dtype=torch.float64)
    operator = transposed(torch.outer(line, line)[None, None], stride=2, padding=1)
    assert 1 - total_kept(operator, (7, 9)).item() == pytest.approx(lost)


def test_a_border_that_continues_the_input_keeps_interpolation_whole():
    assert total_kept(linear((2, 3)), (5, 7)).item() == pytest.approx(1)
    wide = convolution(torch.ones(1, 1, 3, 3), padding=2)
    assert total_kept(wide, (5, 7)).item() == pytest.approx(1)
    clamped = convolution(torch.ones(1, 1, 3, 3), padding=2, border="clamp")
    assert total_kept(clamped, (5, 7)).item() == pytest.approx(7 / 5 * 9 / 7)


def test_total_kept_takes_one_size_for_all_axes():
    assert total_kept(nearest(2), 5).shape == (1, 1)
    message = (
        "the input must be large enough to leave at least one output sample per axis; got size (1, 1), which "
        "gives (0, 0) at scale (1, 1) and excess (-1, -1)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        total_kept(convolution(torch.ones(1, 1, 2, 2)), 1)


def block_means(y, scale):
    for axis, s in enumerate(scale):
        y = y.unflatten(2 + axis, (-1, s)).mean(dim=3 + axis)
    return y


@given(operators(same_channels=True))
def test_block_means_are_off_by_at_most_the_error_per_cell(operator):
    operator = replace(operator, excess=(0,) * operator.ndim)
    error = block_mean_error(operator)
    # so large that no origin leads out of it
    size = (11, 12)[: operator.ndim]
    worst = 0.0
    for channel in range(operator.in_channels):
        x = torch.zeros(1, operator.in_channels, *size, dtype=torch.float64)
        x[(0, channel, *(n // 2 for n in size))] = 1
        off = block_means(upsample(x, operator), operator.scale) - x
        worst = max(worst, off.abs().max().item())
    assert error.item() == pytest.approx(worst)


def test_block_means_of_the_known_kernels():
    assert block_mean_error(nearest((2, 3))) == 0
    assert block_mean_error(linear(2, ndim=1)) == 0.25
    assert block_mean_error(cubic((2, 3))) > 0.1
    assert block_mean_error(nearest((2, 3)).expand(4).regroup(2)) == 0


def test_a_kernel_that_never_reads_its_own_cell_is_off_by_one():
    for before, after in (((2, 0), (0, 0)), ((0, 0), (2, 0))):
        weight = torch.ones(1, 1, 1, 1)
        shifted = convolution(weight, padding=[(before[0], after[0]), (0, 0)])
        shifted = replace(shifted, excess=(0, 0), origin=(before[0] - after[0], 0))
        assert block_mean_error(shifted) == 1


def test_block_means_need_blocks():
    message = (
        "block means are defined where the output is one block of scale samples per cell, which needs "
        "excess 0 on every axis; got (1, 2)"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        block_mean_error(transposed(torch.ones(1, 1, 3, 4), stride=2))
    message = (
        "block means are compared channel by channel, so as many must go out as come in; got 2 in and 3 out"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        block_mean_error(transposed(torch.ones(2, 3, 2), stride=2))


def test_elements_that_are_cropped_for_every_cell_count_nothing():
    weight = torch.arange(1.0, 12, dtype=torch.float64)[None, None]
    x = torch.ones(1, 1, 3, dtype=torch.float64)
    y = torch.nn.functional.conv_transpose1d(x, weight, padding=5)
    kept = total_kept(transposed(weight, stride=1, padding=5), 3)
    assert kept.item() == pytest.approx(y.sum().item() / (3 * 66))
