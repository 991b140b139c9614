import math

import pytest
import torch
from hypothesis import given

from strategies import dense, operators
from upstroke.diagnose import border_loss
from upstroke.errors import OptionError
from upstroke.ops import upsample
from upstroke.polyphase import cubic, nearest, transposed
from upstroke.probe import measured_border_loss


@given(operators(borders=("zero", "clamp")))
def test_what_is_missing_is_what_the_outermost_samples_lack(operator):
    one = dense(operator)
    said = border_loss(one)
    heard = measured_border_loss(lambda x: upsample(x, one), one.scale, channels=one.in_channels)
    for axis, border in enumerate(one.border):
        if border == "zero":
            torch.testing.assert_close(said[axis], heard[axis], equal_nan=True)
        else:
            assert said[axis].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"),
    [((4, 3), (2, 2), (1, 1), (0, 1)), ((6, 4), (3, 2), (0, 2), (1, 0)), ((2, 3), (2, 3), (0, 0), (0, 0))],
)
def test_pytorchs_layer_lacks_as_much(kernel, stride, padding, extra):
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(2, 3, *kernel, generator=generator, dtype=torch.float64)
    operator = transposed(weight, stride=stride, padding=padding, output_padding=extra)

    def layer(x):
        return torch.nn.functional.conv_transpose2d(
            x, weight, stride=stride, padding=padding, output_padding=extra
        )

    torch.testing.assert_close(border_loss(operator), measured_border_loss(layer, stride, channels=2))


def test_known_kernels():
    row = torch.tensor([[[1.0, 3.0, 3.0, 1.0]]])
    assert border_loss(transposed(row, stride=2, padding=1)).tolist() == [[0.25, 0.25]]
    # registered to an encoder of centred strides: the first sample sits on a cell, the last one between two
    triangle = transposed(torch.tensor([[[0.5, 1.0, 0.5]]]), stride=2, padding=1, output_padding=1)
    assert border_loss(triangle).tolist() == [[0.0, 0.5]]
    assert border_loss(cubic((2, 3))).tolist() == border_loss(nearest((2, 3))).tolist() == [[0.0, 0.0]] * 2


def test_without_an_answer_to_a_constant_nothing_can_be_missing():
    edges = transposed(torch.tensor([[[1.0, 1.0, -1.0, -1.0]]]), stride=2, padding=1)
    assert all(map(math.isnan, border_loss(edges).flatten().tolist()))


def test_nan_is_refused():
    message = "taps must be finite to have a border; got NaN or infinity in 4 of 6; take a checkpoint from before they became so"
    with pytest.raises(OptionError, match=f"^{message}$"):
        border_loss(transposed(torch.full((1, 1, 4), math.nan), stride=2, padding=1))
