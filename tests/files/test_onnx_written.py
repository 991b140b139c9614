"""A network is recorded as ONNX with words in its metadata, and ONNX Runtime answers as it does."""

import json
import re

import pytest
import torch
from torch import nn

from upstroke.errors import BackendError, FileError
from upstroke.files.onnx_session import onnx_session
from upstroke.files.onnx_written import KEY, OPSET, difference_of, onnx_bytes


def recorded(network, example, **more):
    free = ({0: "batch"}, {0: "batch"})
    settings = {"name": "net", "words": {"scale": [2, 3]}, "remedy": "take another", **more}
    return onnx_bytes(network, example, ends=("in", "out"), free=free, **settings)


def test_a_network_answers_alike_at_another_batch_and_says_what_it_is():
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 12), nn.Unflatten(1, (3, 2, 2))).eval()
    data = recorded(network, torch.zeros(2, 5))
    model = onnx.load_model_from_string(data)
    assert [(each.key, json.loads(each.value)) for each in model.metadata_props] == [(KEY, {"scale": [2, 3]})]
    assert [each.version for each in model.opset_import] == [OPSET]
    assert (model.producer_name, model.graph.name) == ("upstroke", "net")
    x = torch.randn(7, 5)
    answer = onnx_session(data, source="net.onnx", ranks=(2, 4))(x)
    assert difference_of(network(x).detach(), answer) < 1e-6


def test_other_ends_than_were_wanted_are_said():
    data = recorded(nn.Linear(5, 4).eval(), torch.zeros(2, 5))
    message = (
        "net.onnx must have one input and one output, tensors of floats of 2 and 4 axes; got tensor(float) of "
        "2 axes, tensor(float) of 2 axes; export it again"
    )
    with pytest.raises(FileError, match=f"^{re.escape(message)}$"):
        onnx_session(data, source="net.onnx", ranks=(2, 4))


def test_a_network_without_standard_operators_is_refused():
    class Determinant(nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x)

    with pytest.raises(BackendError, match=r"^the network could not be recorded as ONNX: .*; take another$"):
        recorded(Determinant().eval(), torch.zeros(2, 3, 3))


def test_shapes_that_differ_are_infinitely_far_apart():
    assert difference_of(torch.ones(2, 3), torch.ones(3, 2)) == float("inf")
