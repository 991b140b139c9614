"""Hold that records of operators are plain data, agree with the diagnostics, and can be shown."""

import json
import math

import numpy
import pytest
import torch

from upstroke import diagnose
from upstroke.describe import UNIFORM, describe_layer, layer_arrays
from upstroke.polyphase import compose, convolution, kernel_form, nearest, transposed, triangle
from upstroke.report.figure import draw_layer
from upstroke.report.inspect_text import inspect_text, layer_title


def drawn_operator(c_in=2, c_out=3):
    weight = torch.randn(c_in, c_out, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return transposed(weight, stride=(2, 3), padding=(1, 0))


OPERATORS = {
    "drawn": drawn_operator,
    "shared": lambda: nearest((2, 3)),
    "one axis": lambda: triangle(3, ndim=1),
    "three axes": lambda: nearest((2, 1, 3), ndim=3),
    "zero": lambda: transposed(torch.zeros(1, 1, 2, 3), stride=(2, 3)),
    "nothing grows": lambda: convolution(torch.ones(3, 2, 3, 4)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_any_operator_becomes_plain_data_text_and_a_figure(name):
    operator = OPERATORS[name]()
    record = describe_layer(operator)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert inspect_text(record).startswith(layer_title(record["layer"]))
    assert draw_layer(layer_arrays(operator), title="k", file_format="png").startswith(b"\x89PNG")


def test_the_record_says_what_the_diagnostics_say():
    operator = drawn_operator()
    record = describe_layer(operator)
    assert record["coverage"] == diagnose.coverage(operator).counts.tolist()
    assert record["phase_gain"] == diagnose.phase_gain(operator).tolist()
    assert record["mass"] == diagnose.mass(operator).tolist()
    assert record["strang_fix_order"] == diagnose.strang_fix_order(operator)
    assert record["cost"]["parameters"] == diagnose.cost(operator).parameters == 2 * 3 * 12
    assert record["layer"] == {
        "kind": "operator", "ndim": 2, "scale": [2, 3], "in_channels": 2, "out_channels": 3,
    }  # fmt: skip
    assert inspect_text(record).startswith("Operator ×2x3, 2 → 3 channels\nWeights: those of the operator.\n")


def test_a_chain_costs_its_stages_and_equals_one_operator():
    after = convolution(torch.randn(3, 2, 3, 3, dtype=torch.float64), padding=1)
    whole = compose(nearest((2, 3)), after)
    cost = describe_layer(whole, stages=(nearest((2, 3)), after))["cost"]
    assert cost["channels"] == 2
    assert [stage["multiply_adds_per_input"] for stage in cost["stages"]] == [0, 6 * 54]
    assert cost["multiply_adds_per_input"] == 6 * 54
    alone = describe_layer(whole)["cost"]
    assert cost["as_one"]["multiply_adds_per_input"] == alone["multiply_adds_per_input"]
    assert "as_one" not in alone


def test_uniform_weights_have_no_centre_of_gravity_of_their_own():
    operator = transposed(torch.ones(1, 1, 4, 4), stride=2, padding=1)
    assert describe_layer(operator)["centroid"] == pytest.approx([-0.25, -0.25])
    assert describe_layer(operator, weights=UNIFORM)["centroid"] is None


def test_the_arrays_are_those_of_the_most_uneven_pair():
    operator = drawn_operator()
    arrays = layer_arrays(operator)
    pair = describe_layer(operator)["phase_gain_summary"]["worst_pair"]
    footprint = kernel_form(operator).kernel[pair["out"], pair["in"]].numpy()
    assert (numpy.trim_zeros(footprint) == arrays["footprint"]).all()
    assert arrays["slice"] == f"Footprint: channel {pair['in']} to {pair['out']}, the most uneven pair."


def test_the_response_is_relative_to_frequency_0_and_absolute_without_one():
    down, right = layer_arrays(nearest((2, 3)))["frequencies"]
    middle = (len(down) // 2, len(right) // 2)
    assert layer_arrays(nearest((2, 3)))["response"][middle] == pytest.approx(0, abs=1e-9)
    difference = convolution(torch.tensor([[[1.0, -1.0]]], dtype=torch.float64))
    # |1 - exp(i pi)| = 2
    assert layer_arrays(difference)["cut"][-1] == pytest.approx(20 * math.log10(2))
