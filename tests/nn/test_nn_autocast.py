"""Under autocast a depthwise layer computes in the dtype that PyTorch's would, by our own kernels."""

import pytest
import torch
from torch.nn import functional as F

from upstroke.nn import SeparableTransposedConv, TransposedConv
from upstroke.ops import depthwise, kernels


@pytest.mark.skipif(kernels.native() is None, reason="the compiled kernels are not installed")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_depthwise_layer_takes_what_a_layer_before_it_has_left(dtype, layout):
    torch.manual_seed(0)
    layer = TransposedConv(6, 6, (4, 3), stride=(2, 3), padding=0, groups=6)
    x = torch.randn(2, 6, 5, 17).to(dtype, memory_format=layout).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert depthwise.serves(x, layer.weight, 6)
        y = layer(x)
        wanted = F.conv_transpose2d(x, layer.weight, layer.bias, stride=(2, 3), groups=6)
    assert y.dtype == wanted.dtype == torch.bfloat16
    # one rounding of the result against one of each weight as well
    torch.testing.assert_close(y, wanted, rtol=2**-6, atol=2**-6)
    found = torch.autograd.grad(y.float().square().sum(), (x, layer.weight, layer.bias), retain_graph=True)
    given = torch.autograd.grad(wanted.float().square().sum(), (x, layer.weight, layer.bias))
    for mine, its in zip(found, given, strict=True):
        assert mine.dtype == its.dtype
        assert (mine.float() - its.float()).norm() < 2**-5 * its.float().norm()


def test_other_dtypes_than_autocasts_are_left_to_pytorch():
    layer = TransposedConv(4, 4, 4, groups=4)
    x = torch.randn(1, 4, 16, 16)
    with torch.autocast("cpu", torch.float16):
        assert not depthwise.serves(x.to(torch.bfloat16), layer.weight, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert not depthwise.serves(x.double(), layer.weight.double(), 4)
        assert SeparableTransposedConv(4, 3, 4)(x).dtype == torch.bfloat16
