"""Multiply-adds are those that one counts by hand, and so are parameters."""

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn

from onnx_models import model, node, normal
from upstroke.graph.onnx import read_onnx
from upstroke.graph.torch import record
from upstroke.rewrite.counting import multiply_adds, parameters_of_module, parameters_of_onnx


def counted(module, *inputs):
    return multiply_adds(record(module, list(inputs)))


def test_a_convolution_costs_output_positions_times_taps():
    net = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2)
    # 5x7 becomes 3x6; 2 maps
    assert counted(net, torch.rand(2, 4, 5, 7)).total == 2 * 3 * 6 * (6 * 2 * 3 * 2)


def test_a_transposed_convolution_costs_input_positions_times_taps():
    net = nn.ConvTranspose2d(4, 6, (3, 4), stride=(2, 3), groups=2)
    assert counted(net, torch.rand(2, 4, 5, 7)).total == 2 * 5 * 7 * (4 * 3 * 3 * 4)


@pytest.mark.parametrize(("mode", "taps"), [("nearest", 0), ("bilinear", 4), ("bicubic", 16)])
def test_a_resize_costs_samples_times_taps_and_nearest_nothing(mode, taps):
    net = nn.Upsample(scale_factor=(2, 3), mode=mode)
    assert counted(net, torch.rand(2, 4, 5, 7)).total == 2 * 4 * 10 * 21 * taps


def test_an_axis_that_does_not_change_has_one_tap():
    net = nn.Upsample(scale_factor=(1, 3), mode="bilinear")
    assert counted(net, torch.rand(1, 4, 5, 7)).total == 4 * 5 * 21 * 2


def test_linear_layers_and_products_cost_what_each_number_is_made_of():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 5)

        def forward(self, x):
            y = self.first(x)
            return y @ y.transpose(1, 2)

    # 2 x 7 rows; then 7 x 7 numbers of 5 products each
    assert counted(Attention(), torch.rand(2, 7, 6)).total == 2 * 7 * 5 * 6 + 2 * 7 * 7 * 5


def test_activations_norms_and_pools_are_not_counted_and_recurrent_layers_are_said():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.AvgPool1d(2)).eval()
    found = counted(net, torch.rand(1, 4, 6))
    assert (found.by_map, found.uncounted, found.total) == ({}, {}, 0)
    found = counted(nn.LSTM(4, 3, batch_first=True), torch.rand(1, 5, 4))
    assert set(found.uncounted.values()) == {"a recurrent layer mixes all positions"}


def test_a_size_that_is_not_known_leaves_the_total_open():
    graph = read_onnx(
        model(
            [
                node("Conv", ["x", "w"], "a"),
                node("ConvTranspose", ["a", "v"], "y", strides=[2]),
            ],
            {"x": [1, 3, "length"]},
            weights={"w": normal(0, 5, 3, 1).numpy(), "v": normal(1, 5, 2, 4).numpy()},
        )
    )
    found = multiply_adds(graph)
    assert (found.by_map, found.total) == ({"a": None, "y": None}, None)


def test_an_onnx_net_costs_the_same_as_counted_by_hand():
    built = model(
        [
            node("Conv", ["x", "w"], "a", pads=[1, 1, 1, 1]),
            node("Resize", ["a", "", "scales"], "b", mode="linear"),
            node("ConvTranspose", ["b", "v"], "y", strides=[2, 3]),
        ],
        {"x": [1, 3, 5, 7]},
        weights={
            "w": normal(0, 4, 3, 3, 3).numpy(),
            "scales": np.array([1, 1, 2, 3], np.float32),
            "v": normal(1, 4, 2, 2, 3).numpy(),
            "nobody takes this": np.ones(99, np.float32),
        },
    )
    by_map = multiply_adds(read_onnx(built)).by_map
    assert by_map == {"a": 35 * 4 * 3 * 9, "b": 4 * 10 * 21 * 4, "y": 10 * 21 * 4 * 2 * 6}
    assert parameters_of_onnx(built) == 4 * 3 * 9 + 4 * 2 * 6


def test_numbers_in_bodies_and_constants_are_parameters_and_whole_numbers_are_not():
    from onnx import helper, numpy_helper

    constant = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.ones((2, 3), np.float32))
    )
    body = helper.make_graph(
        [constant, helper.make_node("Add", ["x", "c"], ["d"])],
        "then",
        [],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["e"])],
        "else",
        [],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)],
    )
    branch = helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=other)
    built = model([branch], {"x": [2, 3]}, weights={"w": np.ones(3, np.float32), "yes": np.array(True)})
    assert parameters_of_onnx(built) == 6 + 3


def test_parameters_that_share_memory_count_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    assert parameters_of_module(nn.Sequential(first, second)) == 32
    second.weight = first.weight
    assert parameters_of_module(nn.Sequential(first, second)) == 16
    # a view of half of another
    second.weight = nn.Parameter(first.weight.detach()[:2])
    assert parameters_of_module(nn.Sequential(first, second)) == 16
    # two thirds of something that the model does not hold as a whole
    first.weight = nn.Parameter(torch.ones(6, 4)[:2])
    second.weight = nn.Parameter(torch.ones(6, 4)[:2])
    assert parameters_of_module(nn.Sequential(first, second)) == 16


def test_counts_of_steps_taken_are_no_parameters():
    assert parameters_of_module(nn.BatchNorm2d(5)) == 4 * 5
