from math import gcd

import pytest
import torch
from hypothesis import given

from strategies import operators
from upstroke.diagnose import coverage, grid_of
from upstroke.polyphase import separable, transposed, triangle

CONV_TRANSPOSE = {1: torch.nn.functional.conv_transpose1d, 2: torch.nn.functional.conv_transpose2d}


def counted(kernel, stride, dilation):
    """Count by PyTorch: a transposed convolution of ones by ones, far from the border."""
    ndim = len(kernel)
    cells = [2 * d * (k - 1) // s + 3 for k, s, d in zip(kernel, stride, dilation, strict=True)]
    y = CONV_TRANSPOSE[ndim](
        torch.ones(1, 1, *cells), torch.ones(1, 1, *kernel), stride=stride, dilation=dilation
    )
    # the cell that the end of a kernel from cell 0 does not reach beyond
    first = [s * -(-d * (k - 1) // s) for k, s, d in zip(kernel, stride, dilation, strict=True)]
    return y[0, 0][tuple(slice(f, f + s) for f, s in zip(first, stride, strict=True))].long()


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
def test_even_exactly_when_the_scale_divides_the_taps_and_shares_no_factor_with_the_dilation(scale, dilation):
    for taps in range(1, 12):
        found = coverage(transposed(torch.ones(1, 1, taps), stride=scale, dilation=dilation))
        brute = counted((taps,), (scale,), (dilation,))
        assert found.counts.tolist() == brute.tolist()
        assert found.even is (taps % scale == 0 and gcd(dilation, scale) == 1)


def test_axes_are_counted_apart():
    found = coverage(transposed(torch.ones(2, 3, 3, 4), stride=(2, 3), dilation=(1, 2)))
    assert found.counts.tolist() == counted((3, 4), (2, 3), (1, 2)).tolist() == [[4, 2, 2], [2, 1, 1]]
    assert not found.even


def test_kernel_3_stride_2_in_two_axes():
    found = coverage(transposed(torch.ones(1, 1, 3, 3), stride=2, padding=1, output_padding=1))
    assert found.counts.tolist() == [[1, 2], [2, 4]]


def test_the_weights_do_not_matter():
    assert coverage(transposed(torch.zeros(1, 1, 4), stride=2)).counts.tolist() == [2, 2]
    assert coverage(triangle((2, 3))).counts.tolist() == [[1, 2, 2], [2, 4, 4]]


@given(operators())
def test_counts_add_up_to_all_taps(operator):
    found = coverage(operator)
    assert found.counts.shape == operator.scale
    assert found.counts.sum() == operator.mask.sum()
    assert found.even is (found.counts.min() == found.counts.max()).item()


@pytest.mark.parametrize("depthwise_first", [True, False])
def test_separable_has_the_coverage_and_the_grid_of_dense(depthwise_first):
    generator = torch.Generator().manual_seed(0)
    for taps in range(1, 8):
        for scale in range(1, 6):
            padding = (taps - 1) // 2
            settings = {"stride": (scale, 2), "padding": (padding, 1)}
            dense = transposed(torch.ones(3, 2, taps, 3), **settings)
            both = separable(
                torch.randn(3 if depthwise_first else 2, 1, taps, 3, generator=generator),
                torch.randn(2, 3, generator=generator),
                depthwise_first=depthwise_first,
                **settings,
            )
            assert coverage(both).counts.tolist() == coverage(dense).counts.tolist()
            assert grid_of(both) == grid_of(dense)
