"""What a new model does otherwise is found, at whatever size it does it; what it does alike is not."""

import copy
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from onnx_models import model, node, normal
from upstroke.graph.onnx import read_onnx
from upstroke.graph.torch import record
from upstroke.rewrite.variants import OpenAxis, open_axes_of_module, open_axes_of_onnx, variants
from upstroke.rewrite.verify import differences, named_tensors, verified
from upstroke.rewrite.verify_onnx import verified_onnx
from upstroke.rewrite.verify_torch import verified_modules


def compared(old, new, *, shape=(1, 3, 6, 9), axes=True, **options):
    open_axes = [OpenAxis(leaf=0, axis=i, name=f"space {i}", kind="space") for i in (2, 3)] if axes else []
    inputs = variants([normal(0, *shape)], open_axes=open_axes)
    return verified(old, new, inputs, **({"tolerance": 1e-6, "dtype": "float32"} | options))


def of_one(old, new):
    (found,) = differences({"y": old}, {"y": new})
    return found.relative, found.words


# How far two outputs are apart


def test_a_difference_is_relative_to_the_largest_value_of_the_old_one():
    assert of_one(torch.tensor([-8.0, 1.0]), torch.tensor([-8.0, 3.0])) == (0.25, "")
    assert of_one(torch.tensor([3j, 4.0]), torch.tensor([3j, 5.0])) == (0.25, "")


def test_zeros_are_equal_and_nothing_else_is_close_to_them():
    zeros = torch.zeros(3)
    assert of_one(zeros, zeros) == (0.0, "")
    assert of_one(torch.ones(0, 3), torch.ones(0, 3)) == (0.0, "")
    assert of_one(zeros, zeros + 1e-30)[0] == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_must_be_so_in_the_same_places(value):
    old = torch.tensor([2.0, value, 3.0])
    assert of_one(old, old.clone()) == (0.0, "")
    assert of_one(old, torch.tensor([2.0, value, 4.5]))[0] == 0.5
    for wrong in ([2.0, 1.0, 3.0], [value, value, 3.0], [2.0, -value if math.isinf(value) else 0.0, 3.0]):
        assert of_one(old, torch.tensor(wrong))[0] == math.inf


def test_shapes_types_and_whole_numbers_must_be_equal():
    ones = torch.ones(2, 3)
    assert of_one(ones, ones.T) == (math.inf, "has the shape 3x2 and not 2x3")
    assert of_one(ones, ones.double()) == (math.inf, "is float64 and not float32")
    whole = torch.arange(5)
    assert of_one(whole, whole.clone()) == (0.0, "")
    assert of_one(whole, whole.clamp(max=2)) == (math.inf, "differs in 2 of 5 numbers")
    assert of_one(whole > 2, whole > 3) == (math.inf, "differs in 1 of 5 numbers")


def test_outputs_are_told_by_name():
    one = torch.ones(1)
    found = differences({"a": one, "b": one}, {"b": one, "c": one})
    assert [(each.name, each.relative, each.words) for each in found] == [
        ("a", math.inf, "is missing"),
        ("b", 0.0, ""),
        ("c", math.inf, "is one more"),
    ]


# Models


def test_equal_models_are_equal_at_every_size():
    found = compared(lambda x: x / 3, lambda x: x * (1 / 3))
    assert found.ok
    assert found.words == ""
    assert [case.sizes[0][2:] for case in found.cases] == [
        (6, 9), (6, 9), (4, 4), (7, 11), (7, 10), (5, 8), (9, 13),
    ]  # fmt: skip
    assert 0 < found.largest < 2e-7


def test_a_model_that_is_off_at_one_size_alone_is_caught():
    def new(x):
        return x if x.shape[2] % 2 == 0 else x * 1.001

    found = compared(lambda x: x, new)
    assert [case.largest > 1e-6 for case in found.cases] == [False, False, False, True, True, True, True]
    assert found.words == (
        "for inputs of 1x3x7x11 (longer) in float32 'output' differs by 1.0e-03 of its largest value; "
        "allowed are 1e-06"
    )
    assert found.largest == pytest.approx(1e-3, rel=1e-2)


def refuses(size):
    def run(x):
        if x.shape[2] == size:
            msg = f"{size} is too much;\nand more"
            raise ValueError(msg)
        return x

    return run


def test_a_size_that_both_refuse_is_no_fault():
    found = compared(refuses(7), refuses(7))
    assert found.ok
    assert [case.refused for case in found.cases] == [None, None, None, "7 is too much", "7 is too much", None, None]  # fmt: skip


def test_a_size_that_one_of_them_refuses_is_a_fault():
    words = "for inputs of 1x3x7x11 (longer) in float32 only the {} model fails: 7 is too much"
    assert compared(lambda x: x, refuses(7)).words == words.format("new")
    assert compared(refuses(7), lambda x: x).words == words.format("old")
    assert compared(lambda x: x, refuses(7)).largest == math.inf


def test_models_that_refuse_everything_are_not_verified():
    found = compared(refuses(6), refuses(6), axes=False)
    assert not found.ok
    assert found.words == "nothing could be compared in float32: 6 is too much"


def test_random_parts_draw_the_same():
    def old(x):
        return x + torch.randn(x.shape)

    assert compared(old, lambda x: torch.randn(x.shape) + x).ok
    assert not compared(old, lambda x: x + torch.rand(x.shape)).ok


def test_a_model_that_draws_other_numbers_in_double_precision_is_not_allowed_more():
    class Noisy(nn.Module):
        def __init__(self, by=1.0):
            super().__init__()
            self.by = by

        def forward(self, x):
            return x + self.by * torch.randn_like(x)

    inputs = variants([normal(0, 1, 3, 5, 7)])
    assert verified_modules(Noisy(), Noisy(), inputs).ok
    found = verified_modules(Noisy(), Noisy(1.01), inputs)
    assert not found.double.ok
    assert not found.own.ok


def test_tensors_are_found_in_structures_of_every_kind():
    class Output(OrderedDict):
        pass

    class Held:
        def __init__(self):
            self.mean = torch.ones(2)

    value = {
        "a": [torch.ones(1), (torch.ones(1),)],
        "b": Output(c=torch.ones(1)),
        "d": Held(),
        "e": 3,
        "f": None,
    }
    assert list(named_tensors(value)) == ["a.0", "a.1.0", "b.c", "d.0"]
    assert list(named_tensors(torch.ones(1))) == ["output"]


def test_what_is_drawn_depends_on_the_seed_alone():
    drawn = []

    def old(x):
        drawn.append(float(torch.randn(1)))
        return x

    for before, seed in ((1, 0), (2, 0), (2, 7)):
        torch.manual_seed(before)
        compared(old, lambda x: x, axes=False, seed=seed)
    assert drawn[0] == drawn[1] == drawn[2] == drawn[3] != drawn[4]


def test_random_numbers_of_the_caller_are_left():
    torch.manual_seed(5)
    compared(lambda x: x, lambda x: x + 0 * torch.randn(1))
    after = torch.randn(1)
    torch.manual_seed(5)
    assert after == torch.randn(1)


def test_after_the_time_is_up_no_further_size_is_begun():
    found = compared(lambda x: x, lambda x: x, seconds=0.0)
    assert len(found.cases) == 2
    assert found.untried == ("small", "longer", "one more", "one less", "half as many more")


def test_progress_is_told():
    said = []
    compared(lambda x: x, lambda x: x, axes=False, progress=lambda text, share: said.append((text, share)))
    assert said == [("comparing in float32: as given", 0.0), ("comparing in float32: random", 0.5)]


# Inputs


def test_maps_of_one_size_and_of_its_half_vary_together_and_whole_numbers_stay():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(3, 2, 2, stride=2)
            self.side = nn.Conv2d(2, 2, 1)

        def forward(self, x, half, *, mask, step):
            return self.down(x * mask) + self.side(half) + step[:, None, None, None]

    x, half = normal(0, 1, 3, 6, 10), normal(1, 1, 2, 3, 5)
    keywords = {"mask": torch.ones(1, 1, 6, 10, dtype=torch.int64), "step": torch.tensor([7])}
    axes = open_axes_of_module(record(Net(), [x, half], kwargs=keywords), [x, half], keywords)
    assert {axis.step for axis in axes if axis.kind == "space"} == {2}
    made = variants([x, half], keywords, open_axes=axes)
    sizes = {variant.words: list(variant.sizes) for variant in made}
    assert sizes["longer"] == [(1, 3, 8, 14), (1, 2, 4, 7), (1, 1, 8, 14), (1,)]
    assert sizes["a batch of one more"] == [(2, 3, 6, 10), (2, 2, 3, 5), (2, 1, 6, 10), (2,)]
    # 7 samples are no whole number of samples of the half
    assert "one more" not in sizes
    batch = next(variant for variant in made if variant.words == "a batch of one more")
    assert batch.keywords["step"].tolist() == [7, 7]
    old = Net()
    assert verified_modules(old, copy.deepcopy(old), made).ok


def test_random_inputs_are_numbers_that_were_given():
    values = torch.tensor([[0.25, 0.5, 1.0]])
    random = variants([values, torch.zeros(4), 3.0])[1]
    assert set(random.inputs[0].flatten().tolist()) <= {0.25, 0.5, 1.0}
    assert len(set(random.inputs[1].tolist())) == 4
    assert random.inputs[2] == 3.0
    again = variants([values, torch.zeros(4), 3.0])[1]
    assert torch.equal(random.inputs[1], again.inputs[1])
    assert not torch.equal(random.inputs[1], variants([values, torch.zeros(4)], seed=1)[1].inputs[1])


def test_axes_behind_the_batch_vary_alone_where_no_input_is_a_map():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    x = normal(0, 1, 5, 3)
    made = variants([x], open_axes=open_axes_of_module(record(net, [x]), [x]))
    assert [variant.sizes[0] for variant in made] == [(1, 5, 3), (1, 5, 3), (2, 5, 3), (1, 6, 3), (1, 5, 4)]
    found = verified_modules(net, copy.deepcopy(net), made)
    assert [case.refused is None for case in found.own.cases] == [True, True, True, True, False]


# Modules


class Scaled(nn.Module):
    def __init__(self, by=1.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.by = by

    def forward(self, x):
        return {"y": self.conv(x) * self.by}


def pair(by):
    old = Scaled()
    new = copy.deepcopy(old)
    new.by = by
    return old, new


def test_double_precision_sees_what_float32_does_not():
    inputs = variants([normal(0, 1, 3, 5, 7)])
    found = verified_modules(*pair(1 + 1e-9), inputs)
    assert found.own.ok
    assert not found.double.ok
    assert found.words.startswith("for inputs of 1x3x5x7 (as given) in float64 'y' differs by 1.0e-09 ")
    assert verified_modules(*pair(1.0), inputs).ok


def test_a_module_is_left_as_it_was():
    old, new = pair(1.0)
    old.counted = nn.BatchNorm2d(3)
    old.train()
    weight = old.conv.weight.detach().clone()
    verified_modules(old, new, variants([normal(0, 1, 3, 5, 7)]))
    assert old.training
    assert new.training
    assert old.conv.weight.dtype == torch.float32
    assert torch.equal(old.conv.weight, weight)
    assert old.counted.num_batches_tracked == 0


def test_a_module_that_keeps_state_does_not_carry_it_from_size_to_size():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    class Fixed(nn.Module):
        def forward(self, x):
            return x.clone()

    old = Counter()
    assert verified_modules(old, Fixed(), variants([normal(0, 2, 3)])).ok
    assert old.calls == 0


def test_a_model_that_does_not_run_in_double_precision_says_so():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 1)

        def forward(self, x):
            return self.conv(x) + x @ torch.ones(5, 5)

    old = Single()
    found = verified_modules(old, copy.deepcopy(old), variants([normal(0, 1, 2, 5)]))
    assert found.ok
    assert found.double is None
    assert found.without_double.startswith("the model does not run in double precision: expected ")


def test_a_model_that_shortens_its_numbers_is_compared_in_its_own_precision():
    class Shortened(Scaled):
        def forward(self, x):
            return super().forward(x.float().to(x.dtype) * self.by)

    old = Shortened()
    new = copy.deepcopy(old)
    inputs = variants([normal(0, 1, 3, 5, 7)])
    assert verified_modules(old, new, inputs).double.ok
    new.by = 1 + 1e-9
    found = verified_modules(old, new, inputs)
    assert found.double is None
    assert found.without_double == "the model itself turns numbers to float32"
    assert found.ok


def test_what_the_old_model_is_off_by_itself_is_allowed():
    # PyTorch's float32 places in a map: 1/3 is none of them
    old = nn.Upsample(scale_factor=3, mode="bicubic")

    class Exact(nn.Module):
        def forward(self, x):
            return old(x.double()).to(x.dtype)

    class Wrong(nn.Module):
        def forward(self, x):
            return old(x) * (1 + 4e-5)

    found = verified_modules(old, Exact(), variants([normal(0, 1, 1, 97, 113)]), tolerance=1e-6)
    assert found.ok
    assert found.own.largest > 5e-6
    assert found.own.cases[0].outputs[0].own == pytest.approx(found.own.cases[0].largest, rel=0.2)
    wrong = verified_modules(old, Wrong(), variants([normal(0, 1, 1, 97, 113)]), tolerance=1e-6)
    assert not wrong.own.ok
    assert "that it is off by itself" in wrong.own.words


def test_a_wrong_half_precision_model_is_caught():
    old, new = (each.bfloat16() for each in pair(1.2))
    found = verified_modules(old, new, variants([normal(0, 1, 3, 5, 7).bfloat16()]))
    assert found.own.dtype == "bfloat16"
    assert not found.own.ok


# ONNX


def net(kernel, *, opset=18, shape=("N", 2, "H", 9)):
    return model(
        [
            node("Conv", ["x", "w"], "a", pads=[1, 1, 1, 1], strides=[2, 1]),
            node("Relu", ["a"], "y"),
        ],
        {"x": list(shape)},
        weights={"w": kernel},
        opset=opset,
    )


def test_open_axes_of_a_file_vary_and_fixed_ones_stay():
    kernel = normal(0, 3, 2, 3, 3).numpy()
    old = net(kernel)
    axes = open_axes_of_onnx(old, read_onnx(old))
    assert [(axis.axis, axis.name, axis.kind, axis.step) for axis in axes] == [
        (0, "N", "batch", 1),
        (2, "H", "space", 2),
    ]
    made = variants([normal(1, 1, 2, 6, 9)], open_axes=axes)
    assert [variant.sizes[0] for variant in made] == [
        (1, 2, 6, 9), (1, 2, 6, 9), (1, 2, 4, 9), (1, 2, 8, 9), (1, 2, 7, 9), (1, 2, 5, 9), (1, 2, 10, 9),
        (2, 2, 6, 9),
    ]  # fmt: skip
    assert verified_onnx(old, net(kernel, opset=17), made).ok
    wrong = verified_onnx(old, net(kernel * np.float32(1.01)), made)
    assert wrong.largest == pytest.approx(0.01, rel=1e-3)
    assert wrong.dtype == "float32"


def test_two_inputs_with_axes_of_one_name_vary_together():
    built = model(
        [
            node("Conv", ["x", "w"], "a"),
            node("Add", ["a", "z"], "y"),
        ],
        {"x": ["N", 3, "L"], "z": ["N", "L"]},
        weights={"w": normal(0, 1, 3, 1).numpy()},
    )
    axes = open_axes_of_onnx(built, read_onnx(built))
    assert {(axis.leaf, axis.axis, axis.name, axis.kind) for axis in axes} == {
        (0, 0, "N", "batch"), (0, 2, "L", "space"), (1, 0, "N", "batch"), (1, 1, "L", "space"),
    }  # fmt: skip
    made = variants([normal(0, 1, 3, 8), normal(1, 1, 8)], open_axes=axes)
    assert all(case.outputs for case in verified_onnx(built, built, made).cases)


def test_a_sigmoid_of_few_digits_is_compared_as_far_as_these_go():
    def saturated(*, more=0.0, by=1.0):
        return model(
            [
                node("Add", ["x", "more"], "a"),
                node("Sigmoid", ["a"], "b"),
                node("Mul", ["b", "by"], "y"),
            ],
            {"x": [1, 64]},
            weights={"more": np.float32(more), "by": np.float32(by)},
        )

    inputs = variants([0.1 * normal(0, 1, 64) - 10])
    # one in the last bit of numbers near 10
    found = verified_onnx(saturated(), saturated(more=2.0**-20), inputs)
    assert 1e-5 < found.largest < 2e-2
    assert found.ok
    assert all(case.outputs[0].own >= case.largest for case in found.cases if case.largest > 1e-5)
    wrong = verified_onnx(saturated(), saturated(by=1.1), inputs)
    assert not wrong.ok
    assert "that it is off by itself" in wrong.words


def test_nodes_that_draw_random_numbers_draw_the_same_in_both():
    noise = node("RandomNormalLike", ["x"], "noise")
    old = model([noise, node("Add", ["x", "noise"], "y")], {"x": [2, 3]})
    new = model([node("Identity", ["x"], "same"), noise, node("Sum", ["noise", "same"], "y")], {"x": [2, 3]})
    inputs = variants([normal(0, 2, 3)])
    assert verified_onnx(old, new, inputs).ok
    new.graph.node[2].input[0] = "same"
    assert not verified_onnx(old, new, inputs).ok
