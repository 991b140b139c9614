"""A traced model with new parts in it computes what the old one did, and only what it must is replaced."""

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from function_calls import DenseBlock, RRDBNet, StyleNet, change_of, merged_changes
from tolerance import assert_same
from upstroke.graph.torch import record
from upstroke.ops.resize_conv import Convolution, resize_conv
from upstroke.polyphase import nearest
from upstroke.rewrite.torch_fx import located, rewritten_fx

torch.manual_seed(0)
X = torch.rand(2, 3, 13, 18)


class Together(nn.Module):
    """A nearest resize and a convolution as one operator, made from the layers' weights."""

    def __init__(self, conv: nn.Conv2d, *, border: str = "zero") -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.border = border

    def forward(self, x):
        sides = ((1, 1), (1, 1))
        conv = Convolution(
            weight=self.weight, bias=self.bias, padding=sides, dilation=(1, 1), border=self.border
        )
        return resize_conv(x, nearest(2), conv, form="one operator")


def rewritten(gm, calls, chosen):
    result = rewritten_fx(gm, calls, chosen)
    assert not result.left
    assert result.done == tuple(change for change, _ in chosen)
    return result.module


def operators(gm):
    return [str(getattr(node.target, "__name__", node.target)) for node in gm.graph.nodes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions_in_forward_become_parts(dtype):
    net = RRDBNet().eval().to(dtype)
    gm = fx.symbolic_trace(net)
    before = gm.code
    found = located(gm, [X[:, :, :4, :5].to(dtype)])
    changes = merged_changes(found.graph)
    assert [change.last for change in changes] == ["conv_up1", "conv_up2"]
    new = rewritten(
        gm, found.calls, [(changes[0], Together(net.conv_up1)), (changes[1], Together(net.conv_up2))]
    )
    for size in ((1, 1), (5, 7), (13, 18)):
        x = X[:, :, : size[0], : size[1]].to(dtype)
        assert_same(new(x), net(x))
    assert gm.code == before
    assert "interpolate" in operators(gm)
    assert "interpolate" not in operators(new)
    assert not {"conv_up1.weight", "conv_up2.weight"} & set(new.state_dict())
    assert set(net.state_dict()) - set(new.state_dict()) == {
        f"conv_up{n}.{name}" for n in (1, 2) for name in ("weight", "bias")
    }
    # weights are the model's own
    assert new.conv_first.weight is net.conv_first.weight
    # read again, nothing is left to do
    assert not merged_changes(located(new, [x]).graph)


def test_gradients_are_those_of_the_model():
    net = RRDBNet().eval().double()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X.double()])
    changes = merged_changes(found.graph)
    new = rewritten(
        gm, found.calls, list(zip(changes, map(Together, (net.conv_up1, net.conv_up2)), strict=True))
    )
    x = X.double().requires_grad_()
    wanted = [x, *net.parameters()]
    ours, expected = (torch.autograd.grad(each(x).square().sum(), wanted) for each in (new, net))
    for one, two in zip(ours, expected, strict=True):
        assert_same(one, two)


def test_padding_by_reflection_within_the_stretch():
    net = StyleNet().eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X[:, :, :12, :16]])
    nodes = list(found.graph.nodes)
    places = [place for place, node in enumerate(nodes) if type(node.step).__name__ == "Resize"]
    # reflected by one, a map of doubled cells is the same as clamped
    chosen = [
        (change_of(nodes[place].name, *nodes[place : place + 3]), Together(layer.conv2d, border="clamp"))
        for place, layer in zip(places, (net.deconv1, net.deconv2), strict=True)
    ]
    new = rewritten(gm, found.calls, chosen)
    for height, width in ((12, 16), (13, 18)):
        x = X[:, :, :height, :width]
        assert_same(new(x), net(x))
    assert "deconv1.reflection_pad" not in dict(new.named_modules())
    assert "deconv3.reflection_pad" in dict(new.named_modules())


class Sized(nn.Module):
    """Grows by sizes that it computes, and asks for that of what lies between."""

    def __init__(self, *, asks: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.asks = asks

    def forward(self, x):
        height, width = x.shape[2], x.shape[3]
        grown = F.interpolate(x, size=(2 * height, 2 * width))
        y = self.conv(grown)
        return F.pad(y, (0, grown.shape[3] // width)) if self.asks else y


def test_sizes_that_led_to_it_go_too():
    net = Sized(asks=False).eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X])
    new = rewritten(gm, found.calls, [(merged_changes(found.graph)[0], Together(net.conv))])
    assert [node.op for node in new.graph.nodes] == ["placeholder", "call_module", "output"]
    assert_same(new(X), net(X))


def test_what_lies_between_and_is_asked_for_its_size_is_left():
    gm = fx.symbolic_trace(Sized(asks=True).eval())
    found = located(gm, [X])
    change = merged_changes(found.graph)[0]
    result = rewritten_fx(gm, found.calls, [(change, Together(gm.conv))])
    assert result.done == ()
    assert [(left.site, left.codes, left.reason) for left in result.left] == [
        (change.site, ("UP301",), "something else takes what interpolate gives, or asks for its size")
    ]
    assert result.module.code == gm.code


class Writes(nn.Module):
    """What goes in is overwritten once it has been read, and a bias is written between."""

    def __init__(self, *, between: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.between = between

    def forward(self, x):
        x = x + 1
        grown = F.interpolate(x, scale_factor=2)
        if self.between:
            grown.mul_(2)
        x.mul_(100)
        return self.conv(grown), x


def test_the_part_runs_before_its_input_is_overwritten():
    net = Writes(between=False).eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X])
    new = rewritten(gm, found.calls, [(merged_changes(found.graph)[0], Together(net.conv))])
    for one, two in zip(new(X), net(X), strict=True):
        assert_same(one, two)


def test_what_is_written_to_between_is_left():
    net = Writes(between=True).eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X])
    names = [node.name for node in found.graph.nodes]
    nodes = [found.graph.nodes[place] for place in (1, 2, 4)]
    assert [type(node.step).__name__ for node in nodes] == ["Resize", "PerChannel", "Convolution"], names
    result = rewritten_fx(gm, found.calls, [(change_of("up", *nodes), Together(net.conv))])
    assert [left.reason for left in result.left] == [
        "something else takes what interpolate gives, or asks for its size"
    ]


class InPlace(nn.Module):
    """The result of a function that writes is what goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2).mul_(2))


def test_a_node_that_writes_and_hands_on_is_left():
    net = InPlace().eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X])
    result = rewritten_fx(gm, found.calls, [(change_of("up", *found.graph.nodes), Together(net.conv))])
    assert [left.reason for left in result.left] == [
        "mul_, which is a part of it, writes into the map that it takes"
    ]


class Inside(nn.Module):
    """Resize, convolution and what follows in a module that is not traced into."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(x)


class Block(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())


class Whole(fx.Tracer):
    def is_leaf_module(self, m, module_qualified_name):
        return isinstance(m, Block | DenseBlock) or super().is_leaf_module(m, module_qualified_name)


def test_what_no_node_gives_is_left():
    net = Inside().eval()
    gm = fx.GraphModule(net, Whole().trace(net))
    found = located(gm, [X])
    change = merged_changes(found.graph)[0]
    result = rewritten_fx(gm, found.calls, [(change, Together(net.block[2]))])
    assert [left.reason for left in result.left] == [
        "the map block.0 is none that a node of the traced model gives"
    ]


def test_a_part_in_common_is_there_once():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    net = nn.Sequential(
        nn.Upsample(scale_factor=2), conv, nn.ReLU(), nn.Upsample(scale_factor=2), conv
    ).eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X])
    part = Together(conv)
    new = rewritten(gm, found.calls, [(change, part) for change in merged_changes(found.graph)])
    assert list(new.state_dict()) == ["rewritten._0.weight", "rewritten._0.bias"]
    assert_same(new(X), net(X))


def test_a_function_may_stand_there_and_weights_that_others_use_stay():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    net = nn.Sequential(nn.Upsample(scale_factor=2), conv, nn.Tanh(), conv).eval()
    gm = fx.symbolic_trace(net)
    found = located(gm, [X])
    new = rewritten(gm, found.calls, [(merged_changes(found.graph)[0], Together(conv).forward)])
    assert set(new.state_dict()) == {"1.weight", "1.bias"}
    assert_same(new(X), net(X))


def test_exported_modules_are_located_and_rewritten():
    net = RRDBNet().eval()
    sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    gm = torch.export.export(net, (X,), dynamic_shapes=(sizes,)).module()
    found = located(gm, [X])
    changes = merged_changes(found.graph)
    new = rewritten(
        gm, found.calls, list(zip(changes, map(Together, (net.conv_up1, net.conv_up2)), strict=True))
    )
    for height, width in ((5, 7), (13, 18)):
        x = X[:, :, :height, :width]
        assert_same(new(x), net(x))
    assert not {"conv_up1.weight", "conv_up2.weight"} & set(new.state_dict())
    assert "conv_hr.weight" in new.state_dict()


class Cast(nn.Module):
    """Casts what it has grown, as models do that may run in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2).to(torch.float32))


def test_what_an_exported_program_asserts_of_dtypes_goes_too():
    net = Cast().eval()
    gm = torch.export.export(net, (X,)).module()
    assert any("_assert_tensor_metadata" in name for name in operators(gm))
    found = located(gm, [X])
    new = rewritten(gm, found.calls, [(merged_changes(found.graph)[0], Together(net.conv))])
    assert not any("upsample" in name or "_assert_tensor_metadata" in name for name in operators(new))
    assert_same(new(X), net(X))


def test_keywords_and_defaults_reach_the_placeholders():
    class Takes(nn.Module):
        def forward(self, x, *, by, plus=1.0):
            return F.interpolate(x, scale_factor=2) * by + plus

    gm = fx.symbolic_trace(Takes())
    found = located(gm, [X], keywords={"by": X.repeat_interleave(2, 2).repeat_interleave(2, 3)})
    assert found.graph.inputs == ("input", "by")
    assert [call.outputs for call in found.calls.found][:2] == [("input",), ("by",)]


def test_the_recorded_graph_is_that_of_the_model():
    net = StyleNet().eval()
    x = X[:, :, :12, :16]
    ours, expected = located(fx.symbolic_trace(net), [x]).graph, record(net, [x])
    assert ours.model == "StyleNet"
    assert [type(node.step) for node in ours.nodes] == [type(node.step) for node in expected.nodes]
