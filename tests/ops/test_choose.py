"""The choice is pure, measured, printable, and made from the committed results."""

import sys

import pytest
import torch
from benchmarks.table import RESULTS, TABLE, table
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import depthwise_operators, sizes
from upstroke import choose, upsample
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import IMPLS, kernels
from upstroke.ops.measured import Row
from upstroke.polyphase import linear, transposed

# the function has the module's name
choice_of = sys.modules["upstroke.ops.choose"]


def test_the_table_is_what_the_results_say():
    assert TABLE.read_text() == table(RESULTS)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_map_has_a_choice_with_a_reason(ndim, channels_last, dtype):
    shape = (1, 4, *(8,) * ndim)
    for operator in (linear(2, ndim=ndim), transposed(torch.zeros(4, 4, *(3,) * ndim), stride=2)):
        for part in ("forward", "gradient in x", ("forward", "gradient in x", "gradient in taps")):
            choice = choose(operator, x_shape=shape, dtype=dtype, channels_last=channels_last, part=part)
            assert choice.impl in IMPLS
            assert choice.impl != "reference"
            assert "measured cases" in choice.reason


@pytest.mark.usefixtures("_unchecked")
def test_a_part_that_is_none_is_said():
    message = "part must be made of forward, gradient in x, gradient in taps; got backward"
    with pytest.raises(OptionError, match=f"^{message}$"):
        choose(linear(2), x_shape=(1, 4, 8, 8), part="backward")


@pytest.mark.parametrize("last", [False, True])
def test_the_nearest_measured_case_decides(last, monkeypatch):
    layout = "channels-last" if last else "contiguous"

    def row(channels, cells, **milliseconds):
        return Row(
            "fixed", "forward", 2, 2, 4, (channels, channels), 1, cells, layout, "float32", milliseconds
        )

    rows = (row(64, 4096, transposed=3.0, shuffle=2.0), row(8, 64, transposed=0.25, shuffle=0.5, phases=4.0))
    monkeypatch.setattr(choice_of, "MEASURED", rows)
    monkeypatch.setattr(kernels, "native", lambda: None)
    choice_of._nearest.cache_clear()
    large = choose(linear(2), x_shape=(1, 60, 70, 60), channels_last=last)
    small = choose(linear(2), x_shape=(1, 7, 9, 7), channels_last=last)
    choice_of._nearest.cache_clear()
    assert (large.impl, small.impl) == ("shuffle", "transposed")
    assert small.reason == (
        f"nearest of 2 measured cases: fixed k4 s2, 8 channels @64 cells, {layout}, float32: transposed 0.25 ms, "
        "next shuffle 0.5 ms; native is left out, its compiled kernels are not installed"
    )


@given(operator=depthwise_operators(), data=st.data())
def test_auto_is_what_choose_says(operator, data):
    size = data.draw(sizes(operator.ndim, least=2, most=6))
    assume(all(s * n + e > 0 for s, n, e in zip(operator.scale, size, operator.excess, strict=True)))
    x = torch.randn(1, operator.in_channels, *size)
    named = choose(operator, x_shape=x.shape).impl
    assert torch.equal(upsample(x, operator), upsample(x, operator, impl=named))


def test_a_gpu_is_said_to_be_unmeasured():
    choice = choose(linear(2), x_shape=(1, 4, 8, 8), device="cuda:0")
    assert choice.impl == "transposed"
    assert choice.reason == "fixed on cuda:0: not measured there; one library call"


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 4, 8), torch.float32), ((1, 4, 8, 8), torch.int32), ((8, 8), torch.float32)]
)
def test_a_map_that_does_not_fit_has_no_choice(shape, dtype):
    with pytest.raises(
        ShapeError, match=r"^a choice is made for maps .* with 2 spatial axes and a floating dtype; got"
    ):
        choose(linear(2), x_shape=shape, dtype=dtype)
