"""Hold what a user may give for a model's inputs, and what a model is called with."""

import re
from collections import UserDict

import numpy as np
import pytest
import torch
from torch import nn

from onnx_models import model, node
from upstroke.audit import check
from upstroke.audit.arguments import WANTED, arguments
from upstroke.errors import OptionError


class Two(nn.Module):
    """Takes two inputs and a keyword, and remembers what it was called with."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 3, 4, stride=2, dtype=torch.float64)
        self.seen = None

    def forward(self, x, scale=None, *, mask=None):
        self.seen = (x.dtype, tuple(x.shape), scale, mask)
        return self.up(x)


X = torch.rand(1, 2, 5, 7, dtype=torch.float64)


@pytest.mark.parametrize(
    "given",
    [
        X,
        (X,),
        [X],
        {"x": X},
        UserDict(x=X),
        ((X,), {}),
        ([X], {"scale": None}),
        X.numpy(),
        (X.numpy(),),
        {"x": X.numpy()[:, :, ::-1]},
        lambda: X,
        lambda: (X.numpy(), None),
        lambda: ((X,), {"mask": None}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_all_ways_to_give_an_input(given):
    net = Two()
    assert len(check(net, given).sites) == 1
    assert net.seen == (torch.float64, (1, 2, 5, 7), None, None)


def test_order_and_names_reach_the_model():
    net = Two()
    check(net, ((X, 3), {"mask": "all"}))
    assert net.seen[2:] == (3, "all")
    check(net, (X, 3), keywords={"mask": "all"})
    assert net.seen[2:] == (3, "all")
    check(net, {"x": X, "scale": 3}, keywords={"mask": "all"})
    assert net.seen[2:] == (3, "all")
    # two arguments of which the second is a mapping, in a list
    check(net, [X, {"a": 1}])
    assert net.seen[2:] == ({"a": 1}, None)


def test_arrays_get_the_type_of_the_weights_only_where_numpy_chose_it():
    net = nn.Conv2d(1, 1, 1)
    double, half, whole = np.zeros((1, 2)), np.zeros((1, 2), np.float16), np.zeros((1, 2), np.int64)
    assert [each.dtype for each in arguments(net, (double, half, whole))[0]] == [
        torch.float32, torch.float16, torch.int64,
    ]  # fmt: skip
    # a tensor's type is the user's choice
    assert arguments(net, torch.zeros(1, dtype=torch.float64))[0][0].dtype == torch.float64


def test_arrays_within_structures_become_tensors_and_are_copies():
    array = np.ones(3)
    (first,), keywords = arguments(nn.Identity(), (([{"a": array}],), {"b": (array, "word")}))
    assert torch.equal(first[0]["a"] if isinstance(first, list) else first["a"], torch.ones(3))
    assert torch.equal(keywords["b"][0], torch.ones(3))
    assert keywords["b"][1] == "word"
    array[:] = 7
    assert torch.equal(keywords["b"][0], torch.ones(3))


def test_nothing_is_given():
    assert arguments(nn.Identity(), None) == ((), {})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("1x3x64x64", f"{WANTED}; got str"),
        (3, f"{WANTED}; got int"),
        ({1, 2}, f"{WANTED}; got set"),
        (nn.ReLU(), f"{WANTED}; got ReLU, which is a model"),
        (dict, f"{WANTED}; got dict, which is a class"),
        (lambda: None, f"{WANTED}; the function gave None; let it return them"),
        (lambda: "words", f"{WANTED}; got str"),
        ({1: X}, "keywords of a model must be strings; got 1; give a dict from names to inputs"),
        (
            np.array(["a"]),
            "arrays must hold numbers that torch has; got one of type <U1; convert it first",
        ),
    ],
)
def test_what_is_no_input(given, sentence):
    with pytest.raises(OptionError, match=f"^{re.escape(sentence)}$"):
        check(Two(), given)


def test_what_the_users_function_raises_is_theirs():
    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check(Two(), fails)


def test_a_file_takes_sizes_and_no_function(tmp_path):
    import onnx

    weight = {"w": np.ones((2, 2, 4, 4), np.float32)}
    nodes = [node("ConvTranspose", ["x", "w"], "y", strides=[2, 2])]
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, {"x": [1, 2, "h", "w"]}, weights=weight), path)
    assert check(path, (1, 2, 5, 7)).sites[0].reading.site.size_in == (5, 7)
    sentence = (
        "an ONNX file is not run; got a function for its inputs; give their sizes, as in (1, 3, 64, 64)"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(sentence)}$"):
        check(path, lambda: X)


@pytest.mark.usefixtures("_unchecked")
def test_what_is_no_model():
    sentence = "the model must be a torch.nn.Module or the path of an ONNX file; got function"
    with pytest.raises(OptionError, match=f"^{re.escape(sentence)}$"):
        check(lambda x: x, X)
