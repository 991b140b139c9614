"""The choice is pure, measured, printable, and made from the committed results."""

import pytest
import torch
from benchmarks.table import RESULTS, TABLE, table

from upstroke import choose
from upstroke.errors import ShapeError
from upstroke.ops import IMPLS
from upstroke.polyphase import linear, transposed


def test_the_table_is_what_the_results_say():
    assert TABLE.read_text() == table(RESULTS)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_map_has_a_choice_with_a_reason(ndim, channels_last, dtype):
    shape = (1, 4, *(8,) * ndim)
    for operator in (linear(2, ndim=ndim), transposed(torch.zeros(4, 4, *(3,) * ndim), stride=2)):
        choice = choose(operator, x_shape=shape, dtype=dtype, channels_last=channels_last and ndim > 1)
        assert choice.impl in IMPLS
        assert choice.impl != "reference"
        assert "measured cases" in choice.reason


def test_a_gpu_is_said_to_be_unmeasured():
    choice = choose(linear(2), x_shape=(1, 4, 8, 8), device="cuda:0")
    assert choice.impl == "transposed"
    assert choice.reason == "depthwise on cuda:0: not measured there; one library call"


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 4, 8), torch.float32), ((1, 4, 8, 8), torch.int32), ((8, 8), torch.float32)]
)
def test_a_map_that_does_not_fit_has_no_choice(shape, dtype):
    with pytest.raises(
        ShapeError, match=r"^a choice is made for maps .* with 2 spatial axes and a floating dtype; got"
    ):
        choose(linear(2), x_shape=shape, dtype=dtype)
