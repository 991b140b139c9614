"""ResizeConv is PyTorch's resize and convolution in a row, whichever way it computes them."""

import copy
import pickle
from unittest import mock

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import CONV, LINEAR, SIZES, per_axis, random_map, seeded
from tolerance import assert_same
from upstroke import diagnose, from_module, upsample
from upstroke.nn import ResizeConv, resize
from upstroke.nn.interpolation import Interpolation
from upstroke.ops import resize_conv
from upstroke.ops.resize_conv_choice import ResizeConvChoice

# as one operator wherever that serves
ALWAYS = mock.patch.multiple(
    resize_conv,
    WORTH_A_CHOICE=0,
    nearest_case=lambda **_: ResizeConvChoice(form="one operator", reason=""),
)


@st.composite
def layers(draw, **fixed):
    """A layer, and a map."""
    ndim = draw(st.sampled_from(fixed.get("ndims", (1, 2, 3))))
    groups = draw(st.sampled_from([1, 2]))
    centre = draw(st.sampled_from(fixed.get("centres", ("cell", "sample"))))
    modes = ["nearest", "linear", *(["cubic"] if ndim == 2 else [])]
    mode = draw(st.sampled_from(fixed.get("modes", modes)))
    scale = draw(per_axis(ndim, 1, 4))
    if mode == "nearest" and centre == "sample":
        scale = tuple(s | 1 for s in scale)
    channels, seed = groups * draw(st.integers(1, 2)), draw(st.integers(0, 999))
    settings = {
        "kernel_size": draw(per_axis(ndim, 1, 4)),
        "padding": draw(st.just("same") | per_axis(ndim, 0, 3)),
        "dilation": draw(st.just(1) | per_axis(ndim, 1, 2)),
        "padding_mode": draw(st.sampled_from(fixed.get("paddings", ("zeros", "replicate", "circular")))),
        "bias": draw(st.booleans()),
    }
    out = groups * draw(st.integers(1, 3))
    with ALWAYS:
        layer = ResizeConv(
            channels, out, scale=scale, mode=mode, centre=centre, groups=groups, ndim=ndim, **settings
        )
    return seeded(layer, seed), random_map(ndim, channels, seed)


def twin_of(layer):
    """The two layers of PyTorch, made from the settings alone."""
    mode = {"nearest": "nearest", "linear": LINEAR[layer.ndim], "cubic": "bicubic"}[layer.resize.mode]
    conv = layer.conv
    theirs = CONV[layer.ndim](
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        padding_mode=conv.padding_mode,
        bias=conv.bias is not None,
    )
    scale = tuple(float(s) for s in layer.resize.scale)
    return nn.Sequential(nn.Upsample(scale_factor=scale, mode=mode), theirs).double()


def output(layer, x):
    """What the layers give in a row, if they take this size at all."""
    try:
        y = nn.Sequential.forward(layer, x)
    except RuntimeError as error:  # kernels larger than the map, a map wrapped around more than once
        assume("Kernel size" not in str(error))
        assume("wrapping" not in str(error))
        raise
    assume(0 < y.numel() < 3e5)
    return y.detach()


def inside(y, margin):
    sizes = zip(margin, y.shape[2:], strict=True)
    return y[:, :, *(slice(left, max(left, size - right)) for (left, right), size in sizes)]


@given(drawn=layers(centres=("cell",)))
def test_it_computes_what_pytorchs_layers_compute(drawn):
    layer, x = drawn
    theirs = twin_of(layer)
    theirs.load_state_dict(layer.state_dict(), strict=True)
    expected = output(theirs, x)
    assert_same(layer(x).detach(), expected)
    with ALWAYS:
        assert_same(layer(x).detach(), expected)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(2).add_(1)
    layer.load_state_dict(theirs.state_dict(), strict=True)
    assert_same(layer(x).detach(), output(theirs, x))


@given(drawn=layers())
def test_the_layers_in_a_row_are_the_layer(drawn):
    layer, x = drawn
    expected = output(layer, x)
    with ALWAYS:
        assert_same(layer(x).detach(), expected)


@given(drawn=layers(modes=("nearest",), centres=("cell",), paddings=("zeros",)))
def test_one_transposed_convolution_is_both_layers_in_float32_and_any_layout(drawn):
    layer, x = (each.float() for each in drawn)
    expected = output(layer, x)
    with ALWAYS:
        assert_same(layer(x).detach(), expected)
        if x.ndim == 4:
            assert_same(layer(x.contiguous(memory_format=torch.channels_last)).detach(), expected)


@given(drawn=layers())
def test_its_gradients_are_those_of_the_layers_in_a_row(drawn):
    layer, x = drawn
    output(layer, x)
    loss = nn.Sequential.forward(layer, x.requires_grad_()).square().sum()
    expected = torch.autograd.grad(loss, [x, *layer.parameters()])
    with ALWAYS:
        actual = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    for one, two in zip(actual, expected, strict=True):
        assert_same(one, two)


def test_gradients_are_those_of_the_values():
    with ALWAYS:
        assert_gradients_are_those_of_the_values()


def assert_gradients_are_those_of_the_values():
    layer = ResizeConv(2, 2, (3, 2), scale=(2, 3)).double()
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def output_of(x, weight, bias):
        return torch.func.functional_call(layer, {"1.weight": weight, "1.bias": bias}, (x,))

    assert torch.autograd.gradcheck(output_of, (x, layer.conv.weight, layer.conv.bias))


def made_of(layer, x):
    """The names of the layers that run."""
    seen = []
    hooks = [part.register_forward_hook(lambda part, *_: seen.append(type(part).__name__)) for part in layer]
    layer(x)
    for hook in hooks:
        hook.remove()
    return seen


def runs_as_one(layer, x):
    """Whether the transposed convolution runs, seen without touching the two layers."""
    with mock.patch.object(resize, "resize_conv", return_value=x) as one:
        layer(x)
    return one.called


def comes_first(layer, x):
    """Whether the convolution works on the small map."""
    with mock.patch.object(ResizeConv, "_commuted", return_value=x) as first:
        layer(x)
    return first.called


WATCHES = {
    "forward": nn.Module.register_forward_hook,
    "before forward": nn.Module.register_forward_pre_hook,
    "backward": nn.Module.register_full_backward_hook,
    "before backward": nn.Module.register_full_backward_pre_hook,
}
WATCHES_ALL = {
    "forward": nn.modules.module.register_module_forward_hook,
    "before forward": nn.modules.module.register_module_forward_pre_hook,
    "backward": nn.modules.module.register_module_full_backward_hook,
    "before backward": nn.modules.module.register_module_full_backward_pre_hook,
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("watch", WATCHES.values(), ids=WATCHES.keys())
def test_a_hook_on_either_part_sees_it_run(watch, place):
    layer, x = ResizeConv(16, 2), torch.randn(1, 16, 64, 64, requires_grad=True)
    seen = []
    watch(layer[place], lambda part, *_: seen.append(part))
    layer(x).sum().backward()
    assert seen == [layer[place]]


@pytest.mark.parametrize("watch", WATCHES_ALL.values(), ids=WATCHES_ALL.keys())
def test_a_hook_on_every_layer_sees_both_parts_run(watch):
    layer, x = ResizeConv(16, 2), torch.randn(1, 16, 64, 64, requires_grad=True)
    seen = []
    handle = watch(lambda part, *_: seen.append(part))
    try:
        layer(x).sum().backward()
    finally:
        handle.remove()
    assert {id(part) for part in layer} <= {id(part) for part in seen}


def in_a_row(layer, x):
    return nn.Sequential.forward(layer, x).detach()


class Doubled(nn.Conv2d):
    """A convolution that computes something else."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


@pytest.mark.parametrize(
    "settings", [{"padding_mode": "circular"}, {"scale": 1}, {"groups": 16}, {"mode": "cubic"}]
)
def test_only_what_is_the_same_map_and_faster_is_computed_as_one(settings):
    layer = ResizeConv(**({"in_channels": 16, "out_channels": 16} | settings))
    x = torch.randn(1, 16, 64, 64)
    assert not runs_as_one(layer, x)
    assert torch.equal(layer(x).detach(), in_a_row(layer, x))


def test_only_large_maps_are_computed_as_one():
    layer = ResizeConv(64, 32)
    assert runs_as_one(layer, torch.zeros(1, 64, 64, 64))
    assert not runs_as_one(layer, torch.zeros(1, 64, 6, 6))


@given(drawn=layers(), dtype=st.sampled_from([torch.float64, torch.bfloat16]))
def test_a_convolution_of_one_tap_comes_first(drawn, dtype):
    layer, _ = drawn
    conv, scale = layer.conv, layer.resize.scale
    one = ResizeConv(
        conv.in_channels,
        conv.out_channels,
        1,
        scale=scale,
        mode=layer.resize.mode,
        centre=layer.resize.centre,
        groups=conv.groups,
        bias=conv.bias is not None,
        ndim=layer.ndim,
    ).to(dtype)
    x = torch.randn(2, conv.in_channels, *(4, 3, 5)[: layer.ndim], dtype=dtype)
    assert comes_first(one, x)
    assert_same(one(x).detach(), in_a_row(one, x))
    with torch.autocast("cpu", torch.bfloat16):
        assert one(x).dtype == in_a_row(one, x).dtype


def test_a_kernel_that_the_map_does_not_hold_is_refused_as_by_the_two_layers():
    layer, x = ResizeConv(16, 2, (9, 3), padding=0), torch.zeros(1, 16, 4, 600)
    with ALWAYS:
        with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
            layer(x)
        assert runs_as_one(layer, torch.zeros(1, 16, 5, 600))


def pattern(y):
    """What a constant came out as, inside: its spread over the map, relative to its size."""
    inside = y.detach().double()[..., 8:-8, 8:-8].flatten(2)
    return float(((inside.amax(2) - inside.amin(2)) / inside.abs().amax(2)).max())


COMPUTED_IN = [
    (torch.float64, False),
    (torch.float32, False),
    (torch.float32, True),
    (torch.bfloat16, False),
    (torch.float16, False),
]


@pytest.mark.parametrize(("dtype", "autocast"), COMPUTED_IN)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scale", [2, 3, 5])
def test_a_constant_has_no_more_of_a_pattern_than_from_the_two_layers(scale, mode, dtype, autocast):
    torch.manual_seed(0)
    layer = ResizeConv(16, 4, 3, scale=scale, mode=mode, bias=False).to(dtype)
    with torch.no_grad():
        layer.conv.weight.abs_()
    named = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
    theirs = nn.Sequential(nn.Upsample(scale_factor=scale, mode=named), copy.deepcopy(layer.conv))
    x = torch.linspace(0.7, 2, 16).to(dtype)[None, :, None, None].expand(-1, -1, 32, 32).contiguous()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        actual, expected = layer(x), theirs(x)
    # one rounding of the dtype's sums: taps that are summed before they meet the map are rounded once more
    slack = {torch.float64: 2e-15, torch.float32: 1e-6}.get(actual.dtype, 0)
    assert pattern(actual) <= pattern(expected) + slack


@pytest.mark.parametrize("centre", ["cell", "sample"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("mode", "scale"), [("linear", 3), ("cubic", 5), ("linear", 2)])
def test_a_resize_in_few_bits_is_the_exact_one_rounded_once(mode, scale, dtype, centre):
    x = torch.randn(1, 3, 9, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    layer = Interpolation(scale, mode=mode, centre=centre)
    expected = layer(x.double())
    # half a unit in the last place of the largest value within reach, and the rounding of float32 before it
    error = (layer(x).double() - expected).abs().max() / expected.abs().max()
    assert layer(x).dtype == dtype
    assert error <= torch.finfo(dtype).eps / 2 * 1.001


def test_a_resize_under_autocast_keeps_the_dtype_and_the_bits():
    x = torch.randn(1, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    for settings in ({"mode": "linear"}, {"mode": "cubic"}, {"mode": "nearest", "centre": "sample"}):
        layer = Interpolation(3, **settings)
        with torch.autocast("cpu", torch.bfloat16):
            actual = layer(x)
        assert torch.equal(actual, layer(x))


def test_what_watches_or_replaces_a_layer_is_respected():
    x = torch.randn(1, 16, 64, 64)
    layer = ResizeConv(16, 16)
    assert made_of(layer, x) == ["Interpolation", "Conv2d"]
    with ALWAYS:
        assert runs_as_one(layer, x)
        assert_watches_are_respected(layer, x)


def assert_watches_are_respected(layer, x):
    layer[1] = nn.Conv2d(16, 16, 3, stride=2, padding=1)
    assert_same(layer(x).detach(), in_a_row(layer, x))
    layer[1] = nn.Conv2d(16, 16, 3, padding=1, dilation=2)
    assert_same(layer(x).detach(), in_a_row(layer, x))
    layer[1] = Doubled(16, 16, 3, padding=1)
    assert_same(layer(x).detach(), in_a_row(layer, x))
    layer[1].forward = lambda x: x
    assert torch.equal(layer(x), in_a_row(layer, x))


def test_a_reparametrized_weight_acts_in_both_forms():
    layer, x = ResizeConv(16, 16), torch.randn(1, 16, 64, 64)
    nn.utils.parametrizations.weight_norm(layer.conv)
    layer.conv.parametrizations.weight.original0.data.mul_(2)
    with ALWAYS:
        assert runs_as_one(layer, x)
        assert_same(layer(x).detach(), in_a_row(layer, x))


def test_a_recorded_graph_keeps_the_two_layers():
    layer, x = ResizeConv(16, 16), torch.randn(1, 16, 64, 64)
    exported = torch.export.export(layer, (x,))
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert any("upsample_nearest2d" in name for name in names)
    assert_same(exported.module()(x).detach(), layer(x).detach())


def test_a_recorded_graph_holds_a_resize_that_pytorch_computes_less_exactly():
    layer, x = Interpolation(3, mode="linear"), torch.randn(1, 2, 4, 5)
    sizes = {2: torch.export.Dim("rows", min=4, max=99)}
    exported = torch.export.export(layer, (x,), dynamic_shapes=(sizes,)).module()
    x = torch.randn(1, 2, 7, 5)
    assert_same(exported(x), layer(x))


@given(drawn=layers())
def test_same_is_scale_times_the_input(drawn):
    layer, x = drawn
    conv = layer.conv
    same = ResizeConv(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        scale=layer.resize.scale,
        dilation=conv.dilation,
        groups=conv.groups,
        mode=layer.resize.mode,
        centre=layer.resize.centre,
        ndim=layer.ndim,
    ).double()
    assert same(x).shape[2:] == tuple(s * n for s, n in zip(layer.resize.scale, x.shape[2:], strict=True))


@given(drawn=layers())
def test_its_affine_map_is_the_layer_outside_its_margin(drawn):
    layer, x = drawn
    expected = output(layer, x)
    affine = layer.affine()
    actual, margin = affine(x).detach(), affine.operator.margin
    assert actual.shape == expected.shape
    if inside(expected, margin).numel():
        assert_same(inside(actual, margin), inside(expected, margin))
    if (
        layer.resize.mode == "nearest"
        and layer.resize.centre == "cell"
        and layer.conv.padding_mode == "zeros"
    ):
        assert all(side == 0 for axis in margin for side in axis)


@given(drawn=layers())
def test_its_grid_is_that_of_its_operator(drawn):
    layer, _ = drawn
    assert layer.grid == diagnose.grid_of(layer.polyphase())


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("centre", ["cell", "sample"])
def test_the_resize_is_its_operator_by_the_formula(mode, ndim, centre):
    for scale in ((3, 5, 1), (1, 4, 2), (2, 8, 4)):
        if mode == "nearest" and centre == "sample":
            scale = tuple(s | 1 for s in scale)
        layer = Interpolation(scale[:ndim], mode=mode, centre=centre, ndim=ndim)
        x = random_map(ndim, 2, 5)
        assert_same(layer(x), upsample(x, layer.operator, impl="reference"))
        assert layer.grid == diagnose.grid_of(layer.operator)


def test_nearest_copies_the_right_cells_at_scales_where_pytorchs_positions_round_down():
    for scale in (1, 2, 3, 7, 40, 41, 47, 55, 61, 64):
        x = torch.arange(129.0)[None, None]
        assert torch.equal(Interpolation(scale, ndim=1)(x), x.repeat_interleave(scale, dim=2))


def test_linear_is_right_at_scales_where_pytorchs_positions_are_not():
    x = torch.randn(1, 1, 2000, generator=torch.Generator().manual_seed(1))
    position = ((torch.arange(6000, dtype=torch.float64) + 0.5) / 3 - 0.5).clamp(0, 1999)
    left, rest = position.long(), position.frac()
    cells = torch.cat([x[0, 0].double(), x[0, 0, -1:].double()])
    expected = torch.lerp(cells[left], cells[left + 1], rest).float()
    assert_same(Interpolation(3, mode="linear", ndim=1)(x)[0, 0], expected)
    theirs = nn.functional.interpolate(x, scale_factor=3, mode="linear")[0, 0]
    assert (theirs - expected).abs().max() > 1e-4


@pytest.mark.parametrize("scale", [1, 3, 5])
def test_sample_centred_nearest_has_each_cell_in_the_middle_of_its_copies(scale):
    x = torch.randn(1, 1, 6)
    y = Interpolation(scale, centre="sample", ndim=1)(x)
    for cell in range(1, 6):
        first = scale * cell - scale // 2
        assert (y[..., first : first + scale] == x[..., cell : cell + 1]).all()


def test_it_has_an_operator_inside_a_sequence():
    row = nn.Sequential(ResizeConv(2, 3, (1, 2), scale=(3, 2)), nn.BatchNorm2d(3)).double().eval()
    x = random_map(2, 2, 5)
    assert_same(from_module(row)(x).detach(), row(x).detach())


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_compute_the_same(remake):
    layer = ResizeConv(2, 3, (4, 3), mode="linear", scale=(2, 3))
    x = torch.randn(1, 2, 4, 5)
    assert torch.equal(remake(layer)(x), layer(x))


def test_device_and_dtype_are_those_asked_for():
    layer = ResizeConv(2, 3, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}
    with torch.device("meta"):
        layer = ResizeConv(2, 3, mode="linear", scale=3)
    layer = layer.to_empty(device="cpu")
    assert layer(torch.zeros(1, 2, *SIZES[2])).shape == (1, 3, 15, 21)


def test_its_repr_says_which_grid_results():
    assert repr(ResizeConv(2, 3, scale=(2, 3), mode="linear")) == (
        "ResizeConv(\n"
        "  grid=Grid(offset=(-1/4, -1/3), spacing=(1/2, 1/3))\n"
        "  (0): Interpolation(scale=(2, 3), mode='linear', centre='cell')\n"
        "  (1): Conv2d(2, 3, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
        ")"
    )
