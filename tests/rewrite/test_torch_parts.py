"""What stands in place of nodes computes what they computed, in every form, and stays a layer like any other."""

import copy
import functools
import pickle
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from changes_by_hand import change_of, commuted, doubled, read, relative, shuffled, together
from upstroke.errors import NotRepresentableError, OptionError
from upstroke.graph.affine_of import affine_of
from upstroke.graph.sites import sites
from upstroke.graph.steps import Upsampling
from upstroke.ops import upsample
from upstroke.polyphase import Affine, as_transposed, identity, transposed
from upstroke.rewrite.change import Commuted, Together
from upstroke.rewrite.torch_layers import Channelwise, Drawn, Resized, Rewritten
from upstroke.rewrite.torch_parts import part_of, stock_of

LEAST = {torch.float64: 1e-12, torch.float32: 1e-5}
DENSE = ("transposed", "phases", "shuffle", "native")


def norm(channels: int, ndim: int) -> nn.Module:
    """A batch normalisation that has seen something."""
    layer = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[ndim](channels)
    for tensor in (*layer.parameters(), layer.running_mean):
        nn.init.uniform_(tensor, -1, 1)
    nn.init.uniform_(layer.running_var, 0.5, 2)
    return layer


def cases():
    """Name, layers, a map, and the forms that serve."""
    nearest = {"scale_factor": (2.0, 3.0)}
    yield (
        "pad by reflection",
        lambda: [nn.Upsample(**nearest), nn.ReflectionPad2d(1), nn.Conv2d(4, 6, 3), norm(6, 2)],
        (2, 4, 5, 7),
        DENSE,
    )
    yield (
        "groups and dilation",
        lambda: [nn.Upsample(**nearest), nn.Conv2d(4, 6, (3, 4), padding=(2, 1), dilation=(2, 1), groups=2)],
        (2, 4, 5, 7),
        DENSE,
    )
    yield (
        "one axis, kernel longer than the scale",
        lambda: [nn.Upsample(scale_factor=3), nn.Conv1d(3, 5, 5, padding=2)],
        (2, 3, 7),
        DENSE,
    )
    yield (
        "three axes",
        lambda: [nn.Upsample(scale_factor=(2.0, 3.0, 1.0)), nn.Conv3d(2, 3, (3, 2, 3), padding=1)],
        (2, 2, 3, 4, 5),
        DENSE,
    )
    yield (
        "transposed and blur",
        lambda: [
            nn.ConvTranspose2d(4, 6, (2, 3), stride=(2, 3), bias=False),
            nn.Conv2d(6, 6, 3, padding=1, groups=6),
        ],
        (2, 4, 5, 7),
        ("transposed", "native"),
    )
    yield (
        "uneven crop",
        lambda: [nn.ConvTranspose2d(4, 6, (5, 4), stride=(2, 3), padding=(1, 1), output_padding=(0, 2))],
        (2, 4, 5, 7),
        DENSE,
    )
    yield (
        "depthwise",
        lambda: [nn.ConvTranspose2d(4, 4, (4, 5), stride=(2, 3), padding=1, groups=4)],
        (2, 4, 5, 17),
        DENSE,
    )
    yield (
        "depthwise, edge continued, dilated",
        lambda: [nn.Upsample(**nearest), nn.ReplicationPad2d(2), nn.Conv2d(4, 4, 3, groups=4, dilation=2)],
        (2, 4, 5, 17),
        DENSE,
    )
    yield (
        "linear resize",
        lambda: [nn.Upsample(scale_factor=(2.0, 4.0), mode="bilinear")],
        (2, 3, 5, 7),
        ("transposed", "native"),
    )
    yield (
        "cubic resize",
        lambda: [nn.Upsample(scale_factor=(4.0, 2.0), mode="bicubic")],
        (2, 3, 5, 7),
        ("native",),
    )
    yield (
        "linear resize and a convolution that pads",
        lambda: [nn.Upsample(scale_factor=(2.0, 4.0), mode="bilinear"), nn.Conv2d(3, 2, 3, padding=1)],
        (2, 3, 5, 7),
        ("native",),
    )


CASES = [(name, make, shape, form) for name, make, shape, forms in cases() for form in forms]
# one of every layer, because exporting takes a second; compiled_rewrites.py compiles them too
EXPORTED = [CASES[place] for place in (0, 1, 2)] + [case for case in CASES if case[3] == "native"][4:]
IDS = [f"{name}: {form}" for name, _, _, form in CASES]


def net_of(make, *, dtype=torch.float64) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(*make()).eval().to(dtype)


def map_of(shape, *, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)


@functools.cache
def changed(make, shape, dtype):
    """The net, a map, and the change that is all of it, for all forms and laws."""
    net, x = net_of(make, dtype=dtype), map_of(shape, dtype=dtype)
    graph, _ = read(net, x)
    return net, x, together(graph.nodes, ndim=len(shape) - 2)


def made(make, shape, form, *, dtype=torch.float64):
    """The net, a map, the change that is all of it, and a part in a form."""
    net, x, change = changed(make, shape, dtype)
    return net, x, change, part_of(change, form, dtype=dtype, device="cpu")


@pytest.mark.parametrize(("name", "make", "shape", "form"), CASES, ids=IDS)
@pytest.mark.parametrize("dtype", LEAST)
def test_a_part_gives_what_the_nodes_gave(name, make, shape, form, dtype):
    net, x, change, part = made(make, shape, form, dtype=dtype)
    expected = net(x)
    assert relative(stock_of(change)(x), expected) <= LEAST[dtype]
    y = part(x)
    assert y.dtype == dtype
    assert all(tensor.dtype == dtype for tensor in part.parameters())
    assert relative(y, expected) <= LEAST[dtype]
    # any size and batch, and channels innermost
    other = map_of((3, shape[1], *(n + 2 for n in shape[2:])), dtype=dtype)
    assert relative(part(other), net(other)) <= LEAST[dtype]
    if x.ndim == 4:
        last = other.to(memory_format=torch.channels_last)
        assert relative(part(last), net(other)) <= LEAST[dtype]


@pytest.mark.parametrize(("name", "make", "shape", "form"), CASES, ids=IDS)
def test_gradients_are_those_of_the_nodes(name, make, shape, form):
    net, x, _, part = made(make, shape, form)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = net(theirs)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    (part(mine) * weights).sum().backward()
    (expected * weights).sum().backward()
    assert relative(mine.grad, theirs.grad) <= 1e-12
    for parameter in part.parameters():
        assert parameter.requires_grad
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize(("name", "make", "shape", "form"), CASES, ids=IDS)
def test_a_part_is_copied_pickled_saved_and_loaded(name, make, shape, form):
    _, x, change, part = made(make, shape, form)
    y = part(x)
    assert torch.equal(copy.deepcopy(part)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(part))(x), y)
    other = part_of(change, form, dtype=torch.float64, device="cpu")
    for tensor in other.parameters():
        nn.init.zeros_(tensor)
    other.load_state_dict(part.state_dict())
    assert torch.equal(other(x), y)
    assert relative(part.float()(x.float()).double(), y) <= 1e-5
    assert "in place of" in repr(part)


@pytest.mark.parametrize(("name", "make", "shape", "form"), EXPORTED, ids=lambda value: "")
def test_a_part_leaves_python_by_pytorchs_operators(name, make, shape, form):
    net, x, _, part = made(make, shape, form)
    sizes = dict.fromkeys(range(2, x.ndim), torch.export.Dim.AUTO)
    program = torch.export.export(part, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO, **sizes},))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [target for target in targets if "upstroke" in target]
    other = map_of((3, shape[1], *(n + 2 for n in shape[2:])))
    assert relative(program.module()(other), net(other)) <= 1e-12


@pytest.mark.parametrize(("name", "make", "shape", "form"), CASES, ids=IDS)
def test_what_is_read_of_a_part_is_no_resize_and_no_stock_layer_that_grows(name, make, shape, form):
    _, x, _, part = made(make, shape, form)
    graph, _ = read(part, x)
    assert graph.source == "PyTorch"
    for site in sites(graph):
        assert site.node.operator.startswith("upstroke.") or site.node.operator == "aten.pixel_shuffle"
    assert len(sites(graph)) == 1


def test_the_shape_of_the_problem_chooses_the_layer():
    kinds = {}
    for name, make, shape, form in CASES:
        if form == "native":
            kinds[name] = [type(layer) for layer in made(make, shape, form)[3].row()]
    assert kinds["depthwise"] == [Drawn]
    assert kinds["depthwise, edge continued, dilated"] == [Channelwise]
    assert kinds["linear resize"] == kinds["cubic resize"] == [Resized]
    assert kinds["pad by reflection"] == [nn.ReplicationPad2d, Drawn]


def test_kernels_with_holes_and_an_edge_that_is_continued():
    weight = torch.randn(4, 1, 3, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    plain = transposed(weight, stride=(2, 3), padding=(3, 2), dilation=(3, 2), groups=4)
    operator = replace(plain, border=("clamp", "circular"))
    layer, x = (
        Channelwise(as_transposed(operator), torch.arange(4.0, dtype=torch.float64)),
        map_of((2, 4, 5, 7)),
    )
    assert layer.dilation == (3, 2)
    expected = upsample(x, operator, impl="reference") + torch.arange(4.0).reshape(-1, 1, 1)
    assert relative(layer(x), expected) <= 1e-12
    (node,) = read(layer, x)[0].nodes
    assert isinstance(node.step, Upsampling)


def test_the_composed_weights_are_rounded_once():
    make = CASES[0][1]
    _, _, change, part = made(make, (2, 4, 5, 7), "transposed", dtype=torch.float32)
    exact = part_of(change, "transposed", dtype=torch.float64, device="cpu")
    drawn = next(layer for layer in part.row() if isinstance(layer, Drawn))
    wide = next(layer for layer in exact.row() if isinstance(layer, Drawn))
    assert torch.equal(drawn.weight, wide.weight.float())
    assert not torch.equal(wide.weight, wide.weight.float().double())


def test_a_part_wants_gradients_only_if_the_weights_did():
    net = net_of(CASES[0][1]).requires_grad_(False)
    graph, _ = read(net, map_of((2, 4, 5, 7)))
    part = part_of(together(graph.nodes, ndim=2), "transposed", dtype=torch.float64, device="cpu")
    assert [parameter.requires_grad for parameter in part.parameters()] == [False, False]


def test_channels_last_weights_stay_channels_last():
    net = net_of(CASES[0][1]).to(memory_format=torch.channels_last)
    graph, _ = read(net, map_of((2, 4, 5, 7)))
    part = part_of(together(graph.nodes, ndim=2), "transposed", dtype=torch.float64, device="cpu")
    weight = next(layer for layer in part.row() if isinstance(layer, Drawn)).weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_making_a_part_draws_no_random_numbers():
    net = net_of(CASES[0][1])
    graph, _ = read(net, map_of((2, 4, 5, 7)))
    change = together(graph.nodes, ndim=2)
    before = torch.get_rng_state()
    for form in DENSE:
        part_of(change, form, dtype=torch.float64, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_convolution_that_moves_in_front_of_a_resize():
    resize, conv = (
        nn.Upsample(scale_factor=(2.0, 3.0), mode="bilinear", align_corners=True),
        nn.Conv2d(4, 3, 1),
    )
    net, x = nn.Sequential(resize, conv).double(), map_of((2, 4, 5, 7))
    graph, _ = read(net, x)
    change = commuted(graph.nodes)
    part = part_of(change, "commuted", dtype=torch.float64, device="cpu")
    assert [type(layer).__name__ for layer in part.row()] == ["Conv2d", "Upsample"]
    assert relative(part(x), net(x)) <= 1e-12
    assert relative(stock_of(change)(x), net(x)) == 0
    # where the resize is an operator with zeros around it, the bias comes last
    bias = conv.bias.detach()
    apart = Commuted(convolution=doubled(graph.nodes[-1].step), resize=graph.nodes[0].step, bias=bias)
    apart = Commuted(convolution=_without_bias(apart.convolution), resize=apart.resize, bias=bias)
    last = part_of(
        change_of(graph.nodes, apart, ("UP302",), ("commuted",), "up"),
        "commuted",
        dtype=torch.float64,
        device="cpu",
    )
    assert [type(layer).__name__ for layer in last.row()] == ["Conv2d", "Upsample", "PerChannelBias"]
    assert relative(last(x), net(x)) <= 1e-12


def _without_bias(step):
    return replace(step, bias=None)


class Spelled(nn.Module):
    """A pixel shuffle by reshaping, the phases before or behind the channels."""

    def __init__(self, scale, *, phases_first: bool) -> None:
        super().__init__()
        self.scale, self.phases_first = scale, phases_first

    def forward(self, x):
        batch, channels, height, width = x.shape
        s, t = self.scale
        out = channels // (s * t)
        if self.phases_first:
            y = x.reshape(batch, s, t, out, height, width).permute(0, 3, 4, 1, 5, 2)
        else:
            y = x.reshape(batch, out, s, t, height, width).permute(0, 1, 4, 2, 5, 3)
        return y.reshape(batch, out, height * s, width * t)


@pytest.mark.parametrize("scale", [(2, 2), (2, 3)])
@pytest.mark.parametrize("phases_first", [False, True])
def test_a_spelled_shuffle_is_one_operator(scale, phases_first):
    net, x = Spelled(scale, phases_first=phases_first), map_of((2, 12, 5, 7))
    if scale == (2, 2):
        x = map_of((2, 8, 5, 7))
    graph, _ = read(net, x)
    (node,) = graph.nodes
    change = shuffled(node)
    part = part_of(change, "depth to space", dtype=torch.float64, device="cpu")
    assert torch.equal(part(x), net(x))
    assert torch.equal(stock_of(change)(x), net(x))
    again, _ = read(part, x)
    grows = [site.node.operator for site in sites(again)]
    if not phases_first:
        assert grows == ["upstroke.Shuffle"]


def test_calls_with_further_arguments_go_to_the_replaced_module_or_are_refused():
    make, shape = CASES[0][1], (2, 4, 5, 7)
    _, x, _, part = made(make, shape, "transposed")
    assert torch.equal(part(x, None, output_size=None), part(x))
    wanted = (
        "in place of 0, 1, 2, 3 was rewritten for calls with a map alone; got further arguments, so use the model "
        "as it was"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(wanted)}$"):
        part(x, output_size=(10, 21))
    part.keep(Scaled())
    assert torch.equal(part(x, output_size=3.0), 3.0 * x)
    assert "otherwise" not in [type(layer).__name__ for layer in part.row()]


class Scaled(nn.Module):
    def forward(self, x, output_size=None):
        return x * output_size


def test_a_plain_transposed_convolution_still_takes_an_output_size():
    layer = nn.ConvTranspose2d(4, 3, 3, stride=(2, 3), padding=1).double()
    x = map_of((2, 4, 5, 7))
    graph, _ = read(layer, x)
    part = part_of(together(graph.nodes, ndim=2), "native", dtype=torch.float64, device="cpu")
    assert relative(part(x, output_size=(10, 20)), layer(x, output_size=(10, 20))) <= 1e-12


def test_what_the_replaced_module_said_can_still_be_asked():
    part = Rewritten(Drawn(2, 3, 4), words="up", said={"in_channels": 2})
    assert part.in_channels == 2
    assert part.weight is part.row()[0].weight
    assert copy.deepcopy(part).in_channels == 2
    with pytest.raises(AttributeError, match=r"^'Rewritten' object has no attribute 'kernel'$"):
        _ = part.kernel


@pytest.mark.parametrize("form", ["transposed", "phases", "shuffle"])
def test_what_is_exact_only_inside_is_refused(form):
    net = nn.Sequential(nn.Upsample(scale_factor=2.0, mode="bilinear"), nn.Conv2d(3, 2, 3, padding=1))
    graph, _ = read(net, map_of((2, 3, 5, 7), dtype=torch.float32))
    change = together(graph.nodes, ndim=2)
    message = f"up cannot be computed in the form {form!r}, because it is exact only away from the border; use another form"
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        part_of(change, form, dtype=torch.float32, device="cpu")


@pytest.mark.usefixtures("_unchecked")
def test_a_form_that_is_none_is_refused():
    graph, _ = read(nn.ConvTranspose2d(1, 1, 2, stride=2), torch.rand(1, 1, 3, 4))
    change = together(graph.nodes, ndim=2)
    with pytest.raises(OptionError, match=r"^form must be one of transposed, .*; got 'winograd'$"):
        part_of(change, "winograd", dtype=torch.float32, device="cpu")
    with pytest.raises(
        NotRepresentableError, match=r"^up cannot be computed in the form 'commuted', because one"
    ):
        part_of(change, "commuted", dtype=torch.float32, device="cpu")


def test_a_size_that_the_models_code_computes_is_for_the_graph():
    class Grows(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.conv(nn.functional.interpolate(x, size=[2 * n for n in x.shape[2:]]))

    graph, _ = read(Grows(), torch.rand(1, 3, 5, 7))
    message = (
        "the size that this resize makes is computed in the model's own code, which no layer sees; rewrite the "
        "graph instead"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        part_of(commuted(graph.nodes), "commuted", dtype=torch.float32, device="cpu")


def test_a_bias_that_differs_between_phases_is_left_to_forms_that_hold_one():
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.Conv2d(4, 2, 1)).double()
    x = map_of((2, 3, 5, 7))
    graph, _ = read(net, x)
    affine = affine_of(doubled(graph.nodes[0].step), ndim=2)
    bias = torch.arange(16.0, dtype=torch.float64).reshape(4, 4)
    change = change_of(
        graph.nodes[:1], Together(affine=Affine(operator=affine.operator, bias=bias)), ("fold",), DENSE, "up"
    )
    expected = nn.functional.conv_transpose2d(x, net[0].weight, stride=2)
    expected = expected + bias.T.reshape(4, 2, 2).repeat(1, 5, 7)
    for form in ("phases", "shuffle"):
        assert relative(part_of(change, form, dtype=torch.float64, device="cpu")(x), expected) <= 1e-12
    with pytest.raises(NotRepresentableError, match="has one bias per channel; this map has one per phase"):
        part_of(change, "transposed", dtype=torch.float64, device="cpu")


def test_what_is_no_layer_cannot_be_run_alone():
    graph, _ = read(nn.Sequential(nn.ConvTranspose2d(1, 1, 2, stride=2), nn.ReLU()), torch.rand(1, 1, 3, 4))
    does = Together(affine=Affine(operator=identity(ndim=2)))
    with pytest.raises(
        NotRepresentableError, match=r"^ReLU 1 is none of the layers that a change replaces, so it "
    ):
        stock_of(change_of(graph.nodes, does, ("fold",), ("native",), "up"))
