"""Hold re-registered models: their drifts, what they compute, sizes that are odd, in PyTorch and in ONNX."""

import copy
import io
import pickle
import re
from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from decoders import Net, PoolUNet, ResNetUNet, at_offset
from onnx import helper
from torch import nn

from onnx_models import model, node, run
from tolerance import assert_same
from upstroke import check, from_module
from upstroke.errors import ShapeError
from upstroke.graph import joins, sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.torch import record
from upstroke.polyphase import interpolation, linear
from upstroke.rewrite.function_calls import with_modules
from upstroke.rewrite.reregister_onnx import reregistered_onnx
from upstroke.rewrite.reregister_torch import reregistered
from upstroke.rewrite.resampling import Resampling

# the exporter's own advice to use another one, which needs a package that no other test does
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)

GRIDS = ("UP201", "UP202", "UP204")
X = torch.rand(1, 3, 64, 96)
KINDS = {
    "nearest function": lambda: ResNetUNet(),
    "bilinear function": lambda: ResNetUNet(mode="bilinear"),
    "nearest to the skip": lambda: ResNetUNet(to_skip=True),
    "nearest layer": lambda: ResNetUNet(lambda: nn.Upsample(scale_factor=2)),
    "bilinear layer": lambda: ResNetUNet(lambda: nn.UpsamplingBilinear2d(scale_factor=2)),
}


def drifts(graph):
    return [each.drift for each in joins(graph, sites(graph))]


def exported(net, *inputs, opset=18, **more):
    buffer = io.BytesIO()
    torch.onnx.export(net.eval(), inputs, buffer, dynamo=False, opset_version=opset, **more)
    return onnx.load_from_string(buffer.getvalue())


def triangled(net):
    """The model as it should be, by hand: every doubling interpolates at the cells and half-way between."""

    def up(y, like=None):
        grown = at_offset(y.double(), (2, 2), (0, 0), 2).to(y.dtype)
        return grown if like is None else grown[:, :, : like.shape[2], : like.shape[3]]

    new = copy.deepcopy(net)
    new.doubled = lambda place, y, like: up(y, like if net.to_skip else None)
    return new


@pytest.mark.parametrize("kind", KINDS)
def test_a_resnets_decoder_meets_its_encoder_in_pytorch(kind):
    net = KINDS[kind]().eval()
    found = reregistered(net, [X])
    assert found.plan.refused == ()
    assert [each.after for each in found.plan.drifts] == [(0, 0)] * 5
    report = check(found.model, X, probe="geometry", select=GRIDS)
    assert drifts(report.graph) == [(0, 0)] * 4
    assert report.findings == ()
    assert all(each["agrees"] for each in report.probe["geometry"]["joins"])
    with torch.no_grad():
        assert_same(found.model(X), triangled(net)(X))
    # the weights are the model's own, under their own names
    assert {name: id(each) for name, each in found.model.named_parameters()} == {
        name: id(each) for name, each in net.named_parameters()
    }
    assert {"UP201"} <= {each.rule.code for each in check(net, X, select=GRIDS).findings} | {
        # corners kept in place leave nothing to compare
        "UP201" if kind == "bilinear layer" else ""
    }


def test_the_repaired_model_is_a_fixed_point_and_can_be_copied_kept_and_exported():
    found = reregistered(ResNetUNet().eval(), [X]).model
    again = reregistered(found, [X])
    assert (again.model, again.plan.mended) == (found, ())
    assert found.training is False
    with torch.no_grad():
        expected = found(X)
        assert torch.equal(copy.deepcopy(found)(X), expected)
        assert torch.equal(pickle.loads(pickle.dumps(found))(X), expected)
        assert_same(torch.export.export(found, (X,)).module()(X), expected)
        assert_same(run(exported(found, X, input_names=["x"]), x=X), expected)


@pytest.mark.parametrize("size", [(63, 95), (65, 97), (33, 50)])
def test_odd_sizes_that_are_met_by_asking_for_the_size_of_the_skip(size):
    net, x = ResNetUNet(to_skip=True).eval(), torch.rand(2, 3, *size)
    found = reregistered(net, [X]).model
    with torch.no_grad():
        assert_same(found(x), triangled(net)(x))
    # read where sizes are odd, the scales are no whole numbers, and it says so
    for refused in reregistered(net, [x]).plan.refused:
        assert " is a resize by " in refused.reason
        assert refused.reason.endswith(", which is no whole scale")


def test_a_size_larger_than_the_cells_make_goes_on_with_the_last_cell():
    up = Resampling(linear((2, 3), centre="sample"))
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    full = at_offset(F.pad(x, (0, 1, 0, 1), mode="replicate"), (2, 3), (0, 0), 2)
    assert_same(up(x, size=(9, 16)), full[:, :, :9, :16])
    message = (
        "a resize by 2x3 makes 8x15 of 4x5, give or take less than one cell; got size 10x15, so give the "
        "model inputs whose sizes grow and shrink by its scales"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        up(x, size=(10, 15))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_constant_comes_out_constant_at_any_offset(dtype):
    for offset in (Fraction(0), Fraction(-3, 4), Fraction(1, 4)):
        for mode in ("linear", "cubic"):
            up = Resampling(interpolation((2, 4), offset=offset, mode=mode))
            y = up(torch.full((1, 2, 5, 20), 3.0, dtype=dtype))
            assert_same(y, torch.full((1, 2, 10, 80), 3.0, dtype=dtype))


def test_it_is_lifted_and_recorded_as_the_operator_that_it_is():
    operator = interpolation((2, 3), offset=(Fraction(1, 4), 0), mode=("linear", "nearest"))
    up = Resampling(operator)
    assert from_module(up).operator is operator
    graph = record(nn.Sequential(up), [torch.rand(1, 3, 5, 7)])
    (site,) = sites(graph)
    assert site.affine().operator.isclose(operator)


def test_a_layer_that_is_called_for_several_joins_is_exchanged_once_if_all_want_the_same():
    def twice(net, x):
        y = net.a(x)
        z = torch.cat([net.up(net.b(y)), y], 1)
        return torch.cat([net.up(z), x], 1)

    layers = {"a": nn.Conv2d(3, 4, 3, 2, 1), "up": nn.Upsample(scale_factor=2)}
    net = Net(twice, **layers, b=nn.Conv2d(4, 4, 3, 2, 1))
    found = reregistered(net, [X])
    assert isinstance(found.model.up, Resampling)
    assert isinstance(net.up, nn.Upsample)
    assert drifts(record(found.model, [X])) == [(0, 0)] * 2
    other = Net(twice, **layers, b=nn.AvgPool2d(2))
    found = reregistered(other, [X])
    assert found.model is other
    assert [each.reason for each in found.plan.refused] == [
        "up:2 stays as it is: up is called 2 times, and not all should change alike"
    ]


class Decides(nn.Module):
    """A forward that Python decides by the sizes in."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, x):
        y = F.interpolate(self.a(x), scale_factor=2)
        if y.shape[2] > x.shape[2]:
            y = y[:, :, :-1]
        return torch.cat([y, x], 1)


def test_a_forward_that_decides_by_sizes_refuses_those_that_would_go_another_way():
    net = Decides()
    found = reregistered(net, [X]).model
    assert drifts(record(found, [X])) == [(0, 0)]
    with torch.no_grad():
        assert_same(found(X[:, :, :32])[:, :4], at_offset(net.a(X[:, :, :32]), (2, 2), (0, 0), 2))
    message = (
        "the forward of Decides was traced where it takes another way than for these inputs; repair the model "
        "again, with inputs like them"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        found(X[:, :, :33])


class Hidden(Decides):
    """A forward that asks for numbers that no node of torch.fx can stand for."""

    def forward(self, x):
        return torch.cat([F.interpolate(self.a(x), scale_factor=range(x.shape[1])[2]), x], 1)


def test_a_forward_that_cannot_be_traced_is_refused_with_the_reason():
    net = Hidden()
    found = reregistered(net, [X])
    assert found.model is net
    (refused,) = found.plan.refused
    assert refused.reason == (
        "upsample_nearest2d stays as it is: aten.upsample_nearest2d is no layer and no call that can be "
        "exchanged; the forward of Hidden cannot be traced by torch.fx ('Proxy' object cannot be interpreted "
        "as an integer)"
    )
    assert refused.drift == (Fraction(-1, 2),) * 2


def test_only_the_forward_that_calls_it_is_traced_and_arguments_without_tensors_stay_as_they_were():
    class Up(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, 1, 1)

        def forward(self, y, size=None, scale=2, *args, **kwargs):
            if len(args) > 0 or kwargs.get("old") is not None:
                raise NotImplementedError
            assert y.shape[1] == 4
            if y.dtype == torch.bfloat16 or y.shape[0] >= 64:
                y = y.contiguous().float()
            if size is None:
                return self.conv(F.interpolate(y, scale_factor=scale))
            return self.conv(F.interpolate(y, size=size))

    class Outer(Decides):
        def __init__(self):
            super().__init__()
            self.up = Up()

        def forward(self, x):
            y = self.up(self.a(x))
            return torch.cat([y[:, :, : x.shape[2]] if y.shape[2] > x.shape[2] else y, x], 1)

    net = Outer().eval()
    found = reregistered(net, [X])
    assert type(found.model) is Outer
    assert drifts(record(found.model, [X])) == [(0, 0)]
    with torch.no_grad():
        expected = net.up.conv(at_offset(net.a(X), (2, 2), (0, 0), 2))
        assert_same(found.model(X)[:, :4], expected)
    # what raised inside is raised alone, without code printed in front of it
    with pytest.raises(RuntimeError):
        found.model(torch.rand(1, 3, 8, 9))


def test_an_original_forward_stays_where_nothing_in_it_changes():
    class Plain(nn.Module):
        def forward(self, y):
            return F.interpolate(y, scale_factor=2)

    def both(net, x):
        y = net.pooled(F.max_pool2d(x, 2))
        return torch.cat([net.up(net.a(x)), x, y], 1)

    net = Net(both, a=nn.Conv2d(3, 4, 3, 2, 1), up=Plain(), pooled=Plain())
    found = reregistered(net, [X]).model
    assert type(found.pooled) is Plain
    assert type(found.up) is not Plain


def test_modules_are_put_for_functions_without_a_change_in_what_is_computed():
    net = ResNetUNet().eval()
    found = with_modules(net, [F.interpolate], [X])
    with torch.no_grad():
        assert torch.equal(found.model(X), net(X))
    assert (list(found.replaced), dict(found.refused)) == ([""], {})


def test_nothing_to_mend_leaves_the_model_itself():
    net = PoolUNet()
    assert reregistered(net, [torch.rand(1, 3, 16, 24)]).model is net


# --- ONNX -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_resnets_decoder_meets_its_encoder_in_onnx(kind):
    net = KINDS[kind]().eval()
    old = exported(net, X, input_names=["x"])
    kept = old.SerializeToString()
    found = reregistered_onnx(old)
    assert old.SerializeToString() == kept
    assert drifts(read_onnx(found.model)) == [(0, 0)] * 4
    resizes = [each for each in found.model.graph.node if each.op_type == "Resize"]
    assert len(resizes) == 5
    for each in resizes:
        said = {one.name: helper.get_attribute_value(one) for one in each.attribute}
        assert (said["mode"], said["coordinate_transformation_mode"]) == (b"linear", b"asymmetric")
    # nothing else is there that was not there
    assert [each.op_type for each in found.model.graph.node] == [each.op_type for each in old.graph.node]
    with torch.no_grad():
        assert_same(run(found.model, x=X), triangled(net)(X))
    assert reregistered_onnx(found.model).plan.mended == ()


def test_sizes_that_are_computed_are_kept_to():
    net = ResNetUNet(to_skip=True).eval()
    axes = {"x": {2: "h", 3: "w"}}
    old = exported(net, X, input_names=["x"], dynamic_axes=axes)
    found = reregistered_onnx(old, sizes=tuple(X.shape))
    assert drifts(read_onnx(found.model, sizes=tuple(X.shape))) == [(0, 0)] * 4
    with torch.no_grad():
        for size in ((64, 96), (63, 95), (33, 50)):
            x = torch.rand(1, 3, *size)
            assert_same(run(found.model, x=x), triangled(net)(x))


def of_one_join(conv, resize, *, scale, opset, space=(12, 18), weights=None):
    """A model of one reduction, one resize and their join with the input."""
    ndim = len(space)
    given = {"w": torch.rand(2, 2, *conv.pop("kernel")).numpy(), **(weights or {})}
    inputs, kind, more = ["d", "", "s"], "Resize", {}
    if opset < 11:
        inputs = ["d", "s"]
    if opset < 10:
        kind = "Upsample"
    if opset < 9:
        inputs, more = ["d"], {"scales": [1.0, 1.0, *map(float, scale)]}
    else:
        given["s"] = np.array([1, 1, *scale], np.float32)
    if opset == 11:
        inputs[1], given["roi"] = "roi", np.zeros(0, np.float32)
    nodes = [
        node("Conv", ["x", "w"], "d", **conv),
        node(kind, inputs, "u", **resize, **more),
        node("Add", ["u", "x"], "y"),
    ]
    assert len(scale) == ndim
    return model(nodes, {"x": (1, 2, *space)}, ("y",), weights=given, opset=opset)


OFFSETS = {
    # kernel, padding on the left, scale, offset that is needed
    "on the cells": ((3, 3), (1, 1), (2, 2), (0, 0)),
    "half-pixel": ((2, 4), (0, 1), (2, 2), ("-1/4", "-1/4")),
    "to the left": ((4, 3), (0, 0), (2, 2), ("-3/4", "-1/2")),
    "to the right": ((5, 4), (3, 2), (2, 2), ("1/2", "1/4")),
    "between, of three": ((4, 5), (1, 2), (3, 3), ("-1/6", "0")),
    "one axis alone": ((3, 2), (1, 0), (2, 2), ("0", "-1/4")),
}


MODES = ("nearest", "linear", "cubic")
WRITTEN = [(name, mode, 18) for name in OFFSETS for mode in MODES]
WRITTEN += [
    (name, mode, opset)
    for opset in (7, 9, 10, 11)
    for name in ("to the left", "between, of three")
    for mode in MODES[: 2 if opset < 11 else 3]
]


@pytest.mark.parametrize(("name", "mode", "opset"), WRITTEN)
def test_every_offset_is_written_with_standard_operators(name, mode, opset):
    kernel, first, scale, offset = OFFSETS[name]
    space = (12, 18)
    # as many on the right as give the size of the input again
    last = [(n // s - 1) * s + k - n - p for n, s, k, p in zip(space, scale, kernel, first, strict=True)]
    pads = [*first, *last]
    conv = {"kernel": kernel, "pads": pads, "strides": list(scale)}
    attributes = {"mode": mode}
    if opset >= 11:
        attributes |= {"coordinate_transformation_mode": "half_pixel"}
    old = of_one_join(conv, attributes, scale=scale, opset=opset, space=space)
    found = reregistered_onnx(old)
    if found.plan.refused:
        assert opset < 10
        assert found.plan.refused[0].reason == (
            f"the_u stays as it is: opset {opset} has no slice that takes every second sample"
        )
        return
    if found.plan.mended:
        assert found.plan.mended[0].delta == tuple(map(Fraction, offset))
    again = read_onnx(found.model)
    assert drifts(again) == [(0, 0)]
    x = torch.rand(1, 2, *space)
    cells = run(_up_to(found.model, "d"), x=x)
    if found.plan.mended:
        operator = found.plan.mended[0].operator
        assert_same(run(found.model, x=x), Resampling(operator)(cells) + x)


def _up_to(built, name):
    """The model that gives one of its maps."""
    new = onnx.ModelProto()
    new.CopyFrom(built)
    del new.graph.output[:]
    new.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    keep = [each for each in new.graph.node if name in each.output]
    del new.graph.node[:]
    new.graph.node.extend(keep)
    return new


def test_one_axis_in_onnx():
    conv = {"kernel": (3,), "pads": [1, 1], "strides": [2]}
    resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    old = of_one_join(conv, resize, scale=(2,), opset=18, space=(12,))
    found = reregistered_onnx(old)
    assert drifts(read_onnx(found.model)) == [(0,)]
    x = torch.rand(1, 2, 12)
    cells = run(_up_to(found.model, "d"), x=x)
    assert_same(run(found.model, x=x), at_offset(cells, (2,), (0,), 1).float() + x)


def test_a_resize_inside_of_another_graph_is_refused():
    inner = helper.make_graph(
        [node("Resize", ["d", "", "s"], "u", mode="nearest")],
        "inside",
        [],
        [helper.make_tensor_value_info("u", onnx.TensorProto.FLOAT, None)],
    )
    weights = {
        "w": torch.rand(2, 2, 3, 3).numpy(),
        "s": np.array([1, 1, 2, 2], np.float32),
        "c": np.array(True),
    }
    nodes = [
        node("Conv", ["x", "w"], "d", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("If", ["c"], ["v"], then_branch=inner, else_branch=inner, name="if"),
        node("Add", ["v", "x"], "y"),
    ]
    old = model(nodes, {"x": (1, 2, 8, 12)}, weights=weights)
    found = reregistered_onnx(old)
    assert found.model is old
    assert found.plan.mended == ()
