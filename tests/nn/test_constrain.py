"""A constrained layer keeps its laws through training, by the least change, and a projected one has them once."""

import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, weight_norm

from strategies import seeded
from tolerance import assert_same
from upstroke import from_module
from upstroke.diagnose import bias_spread, gain_spread, mass, phase_gain
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.layers import Interleave
from upstroke.nn import ResizeConv, SeparableTransposedConv, SubpixelConv, TransposedConv
from upstroke.nn.constrain import constrain, project_
from upstroke.polyphase import kernel_form, trimmed

LAYERS = {
    "uneven": lambda: TransposedConv(3, 2, 3),
    "one axis, long": lambda: TransposedConv(2, 3, 7, stride=3, ndim=1),
    "its own numbers on every axis": lambda: TransposedConv(4, 6, (3, 5), stride=(2, 3), groups=2),
    "padded and dilated": lambda: TransposedConv(
        2, 2, (3, 4), stride=2, padding=(1, 2), output_padding=1, dilation=(3, 1)
    ),
    "three axes": lambda: TransposedConv(2, 2, (3, 2, 1), stride=(2, 2, 1), ndim=3),
    "pytorch's": lambda: nn.ConvTranspose2d(
        4, 2, (4, 3), stride=(2, 3), padding=1, output_padding=(1, 2), groups=2
    ),
    "pytorch's depthwise": lambda: nn.ConvTranspose1d(3, 3, 5, stride=2, padding=2, groups=3, bias=False),
    "sub-pixel": lambda: SubpixelConv(3, 2, (3, 2), scale=(2, 3)),
    "sub-pixel in groups": lambda: SubpixelConv(4, 2, 3, scale=3, groups=2, dilation=2, ndim=1),
    "sub-pixel in three axes": lambda: SubpixelConv(2, 1, (1, 2, 3), scale=(3, 2, 1), ndim=3, bias=False),
    "separable": lambda: SeparableTransposedConv(3, 2, (3, 5), stride=2, inner_bias=True),
    "separable, pointwise first": lambda: SeparableTransposedConv(
        3, 4, 5, stride=2, order="pointwise-first", inner_bias=True
    ),
    "nearest": lambda: ResizeConv(3, 2, (3, 4), scale=(2, 3)),
    "linear": lambda: ResizeConv(2, 4, 3, scale=3, mode="linear", centre="sample", groups=2, ndim=1),
    "cubic": lambda: ResizeConv(2, 2, 3, mode="cubic"),
}
LAWS = {
    "balanced": {"balanced": True},
    "mass": {"mass": 1.5},
    "balanced, mass": {"balanced": True, "mass": -0.7},
    "balanced, mass kept": {"balanced": True, "mass": "kept"},
    "symmetric": {"symmetric": True},
    "all": {"balanced": True, "mass": 2.0, "symmetric": True},
    "symmetric, mass": {"mass": 3.0, "symmetric": True},
}
EVERY_LAYER = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys(), indirect=True)
SOME_LAWS = pytest.mark.parametrize(
    "laws", [LAWS[name] for name in ("balanced", "balanced, mass kept", "all")]
)
EVERY_LAW = pytest.mark.parametrize("laws", LAWS.values(), ids=LAWS.keys())


@pytest.fixture
def layer(request):
    torch.manual_seed(0)
    return request.param().double()


def part_of(layer):
    """What the laws are about: of a separable layer the depthwise part, else the layer."""
    return layer.depthwise if isinstance(layer, SeparableTransposedConv) else layer


def held(layer):
    """The module whose weight the laws hold."""
    part = part_of(layer)
    return part.conv if isinstance(part, SubpixelConv | ResizeConv) else part


def operator_with(layer, weight):
    """The operator that this weight gives in place of the layer's own, differentiable in the weight."""
    part = copy.deepcopy(part_of(layer))
    module = held(part)
    # a copy shares the class that its parametrizations live in, so removing these would change the layer too
    if parametrize.is_parametrized(module):
        module.__class__ = type(module).__base__
    module.__dict__["_parameters"] = {"bias": None}
    module.weight = weight
    return from_module(part).operator


def operator_of(layer):
    return operator_with(layer, held(layer).weight.detach())


def violations(layer, weight, *, balanced=False, mass=None, symmetric=False, kept=None):
    """What the laws say is zero, as one vector that is affine in the weight."""
    operator = operator_with(layer, weight)
    gains = phase_gain(operator)
    parts = [weight.new_zeros(1)]
    if balanced:
        parts.append((gains[1:] - gains[:-1]).flatten())
    if mass == "kept":
        parts.append((gains - phase_gain(operator_with(layer, kept))).sum(dim=0).flatten())
    elif mass is not None:
        parts.append((gains.sum(dim=0) - mass).flatten())
    if symmetric:
        kernel = trimmed(kernel_form(operator)).kernel
        parts += [(kernel - kernel.flip(2 + axis)).flatten() for axis in range(operator.ndim)]
    return torch.cat(parts)


def assert_same_weight(actual, expected):
    """Equal to rounding, relative to the weight's own size."""
    size = expected.abs().max()
    assert_same(actual / size, expected / size)


def assert_holds(layer, *, tolerance, kept=None, **laws):
    weight = held(layer).weight.detach().double()
    # the laws are about sums over a kernel, to which every tap brings its own rounding
    largest = operator_with(layer, weight).taps.abs().flatten(3).sum(dim=(0, 3)).max()
    wrong = violations(layer, weight, kept=kept, **laws).abs().max()
    assert wrong <= tolerance * largest
    if laws.get("balanced") and isinstance(layer, SubpixelConv):
        assert bias_spread(layer.affine()) == 0


@EVERY_LAW
@EVERY_LAYER
def test_the_change_is_the_least_that_reaches_the_laws(layer, laws):
    before = held(layer).weight.detach().clone()

    def residual(weight):
        return violations(layer, weight.reshape(before.shape), kept=before, **laws)

    rows = torch.autograd.functional.jacobian(residual, before.flatten())
    # the nearest point of an affine set: least squares with as small a change as there is
    expected = before - (torch.linalg.pinv(rows, atol=1e-9) @ residual(before.flatten())).reshape(
        before.shape
    )
    assert project_(layer, **laws) is layer
    assert_same_weight(held(layer).weight.detach(), expected)


@SOME_LAWS
@EVERY_LAYER
def test_once_is_enough(layer, laws):
    project_(layer, **laws)
    once = copy.deepcopy(layer.state_dict())
    project_(layer, **laws)
    for key, tensor in layer.state_dict().items():
        assert_same_weight(tensor, once[key])


def trained(layer, make_optimiser, *, steps):
    """The layer after so many steps towards a target that has none of the laws."""
    optimiser = make_optimiser(layer.parameters())
    dtype = next(layer.parameters()).dtype
    operator = from_module(layer).operator
    shape = (2, operator.in_channels, *(6, 7, 5)[: operator.ndim])
    generator = seeded(1)
    for _ in range(steps):
        x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        y = layer(x)
        target = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape).to(dtype)
        loss = (y - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return layer


OPTIMISERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.02),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.01),
}


@pytest.mark.parametrize(
    ("optimiser", "dtype"),
    [("adam", torch.float64), ("sgd", torch.float32), ("adam", torch.bfloat16), ("sgd", torch.bfloat16)],
)
@EVERY_LAW
@pytest.mark.parametrize(
    "layer", [LAYERS[name] for name in ("its own numbers on every axis", "sub-pixel")], indirect=True
)
def test_the_laws_hold_after_training(layer, laws, optimiser, dtype):
    layer = constrain(layer.to(dtype), **laws)
    module = held(layer)
    first = module.weight.detach().clone()
    trained(layer, OPTIMISERS[optimiser], steps=25)
    assert (module.weight.detach() - first).abs().max() > 0.01
    original = module.parametrizations["weight"].original.detach().double()
    assert_holds(layer, tolerance=4 * torch.finfo(dtype).eps, kept=original, **laws)


@EVERY_LAW
@EVERY_LAYER
def test_the_laws_hold_after_training_for_every_layer(layer, laws):
    constrain(layer, **laws)
    module = held(layer)
    trained(layer, OPTIMISERS["adam"], steps=5)
    kept = module.weight.detach()
    if parametrize.is_parametrized(module, "weight"):
        kept = module.parametrizations["weight"].original.detach()
    assert_holds(layer, tolerance=1e-12, kept=kept, **laws)


@EVERY_LAYER
def test_a_constant_comes_out_constant(layer):
    trained(constrain(layer, balanced=True), OPTIMISERS["sgd"], steps=3)
    operator = from_module(layer).operator
    x = torch.linspace(0.5, 2, operator.in_channels, dtype=torch.float64).reshape(
        1, -1, *(1,) * operator.ndim
    )
    with torch.no_grad():
        y = layer(x.expand(-1, -1, *(13,) * operator.ndim))
    margins = zip(operator.margin, range(operator.ndim), y.shape[2:], strict=True)
    inside = []
    for margin, axis, size in margins:
        edge = [max(both) for both in zip(margin, operator.samples_reading_beyond(axis, (0, 0)), strict=True)]
        edge = [side + 4 for side in edge]  # what the resize clamps, the convolution reads as zeros
        assert sum(edge) < size
        inside.append(slice(edge[0], size - edge[1]))
    y = y[:, :, *inside].flatten(2)
    assert (y.amax(dim=2) - y.amin(dim=2)).max() < 1e-12


@pytest.mark.parametrize("laws", [LAWS[name] for name in ("balanced", "balanced, mass kept")])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", ["its own numbers on every axis", "padded and dilated", "one axis, long"])
def test_a_float32_weight_is_projected_in_float32_in_its_own_layout(name, inside, laws):
    torch.manual_seed(0)
    layer = LAYERS[name]()
    exact = held(constrain(copy.deepcopy(layer).double(), **laws)).parametrizations["weight"]
    cheap = held(constrain(layer, **laws)).parametrizations["weight"]
    original = cheap.original.detach()
    if inside:
        original = original.movedim(1, -1).contiguous().movedim(-1, 1)
    original.requires_grad_()
    assert cheap[0]._is_cheap(original)
    projected = cheap[0](original)
    assert projected.stride() == original.stride()
    # a number and what is taken from it, rounded, and the rounding of the few sums
    largest = original.detach().abs().max()
    assert (projected - exact[0](original.double())).abs().max() <= 4 * torch.finfo(
        torch.float32
    ).eps * largest
    # what keeps the laws loses no more than its last bit
    assert (cheap[0](projected) - projected).abs().max() <= 2 * torch.finfo(torch.float32).eps * largest
    gradient = torch.randn(original.shape, generator=seeded(1))
    (ours,) = torch.autograd.grad(projected, original, gradient)
    wide = original.detach().double().requires_grad_()
    (right,) = torch.autograd.grad(exact[0](wide), wide, gradient.double())
    assert_same(ours, right.float())


@SOME_LAWS
@EVERY_LAYER
def test_gradients_are_right_through_the_laws(layer, laws):
    constrain(layer, **laws)
    module = held(layer)
    nothing_to_hold = isinstance(layer, ResizeConv) and set(laws) - {"mass"} == {"balanced"}
    nothing_to_hold = nothing_to_hold and laws.get("mass") in (None, "kept")
    assert parametrize.is_parametrized(module) == (not nothing_to_hold)
    if nothing_to_hold:
        return
    for name, chain in module.parametrizations.items():
        original = chain.original.detach().clone().requires_grad_()
        assert torch.autograd.gradcheck(chain[0], (original,), fast_mode=True), name


def test_gradients_are_right_through_the_layer():
    torch.manual_seed(0)
    layer = constrain(SubpixelConv(2, 1, (2, 3), scale=(2, 1)).double(), balanced=True, symmetric=True)
    x = torch.randn(1, 2, 3, 3, generator=seeded(0), dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["0.parametrizations.weight.original", "0.parametrizations.bias.original"]

    def forward(*tensors):
        return torch.func.functional_call(layer, dict(zip(names, tensors, strict=True)), (x,))

    tensors = tuple(tensor.detach().clone().requires_grad_() for tensor in layer.parameters())
    assert torch.autograd.gradcheck(forward, tensors)


@SOME_LAWS
@EVERY_LAYER
def test_constraining_and_projecting_give_the_same_and_removal_leaves_it(layer, laws):
    once = project_(copy.deepcopy(layer), **laws)
    assert constrain(layer, **laws) is layer
    x = torch.randn(1, from_module(layer).operator.in_channels, *(5, 6, 4), generator=seeded(2)).double()
    x = x[(..., *(0,) * (3 - from_module(layer).operator.ndim))]
    assert_same(layer(x).detach(), once(x).detach())
    module = held(layer)
    for name in ("weight", "bias"):
        if parametrize.is_parametrized(module, name):
            parametrize.remove_parametrizations(module, name)
    assert not parametrize.is_parametrized(module)
    for key, tensor in layer.state_dict().items():
        assert_same_weight(tensor, once.state_dict()[key])


def test_a_projected_weight_is_kept_when_it_is_constrained():
    torch.manual_seed(0)
    layer = project_(nn.ConvTranspose2d(3, 2, 3, stride=2).double(), balanced=True)
    before = layer.weight.detach().clone()
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    parameter = layer.weight
    constrain(layer, balanced=True)
    assert_same_weight(layer.weight.detach(), before)
    assert layer.parametrizations["weight"].original is parameter
    # so an optimiser made before goes on with the same tensor
    layer(torch.ones(1, 3, 4, 5).double()).square().sum().backward()
    optimiser.step()
    assert not torch.allclose(layer.weight, before)
    # and a weight may be assigned
    with torch.no_grad():
        layer.weight = before
    assert_same(layer.weight.detach(), before)


@EVERY_LAYER
def test_copies_and_state_dicts(layer):
    wanted = torch.full(operator_of(layer).taps.shape[1:3], 1.5).double()
    laws = {"balanced": True, "mass": wanted}
    other = copy.deepcopy(layer)
    constrain(layer, **laws)
    twin = copy.deepcopy(layer)
    state = layer.state_dict()
    assert not any(name.endswith("mass") for name in state)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=seeded(0), dtype=torch.float64))
    assert_holds(layer, tolerance=1e-12, **laws)
    assert_holds(twin, tolerance=1e-12, **laws)
    assert not torch.allclose(operator_of(layer).taps, operator_of(twin).taps)
    constrain(other, **laws).load_state_dict(layer.state_dict())
    assert_same(operator_of(other).taps, operator_of(layer).taps)
    assert torch.allclose(mass(operator_of(layer)), wanted)


def test_the_mass_given_is_copied():
    wanted = torch.ones(2, 3)
    layer = constrain(SubpixelConv(3, 2), mass=wanted)
    wanted.zero_()
    assert float(mass(layer.polyphase()).detach().min()) > 0.9


def test_a_shuffle_of_ones_own_is_a_sub_pixel_layer():
    for scale, shuffle in [((2, 2), nn.PixelShuffle(2)), ((2, 3), Interleave((2, 3)))]:
        torch.manual_seed(0)
        ours = SubpixelConv(3, 2, scale=scale).double()
        theirs = nn.Sequential(nn.Conv2d(3, 2 * math.prod(scale), 3, padding=1), shuffle).double()
        theirs.load_state_dict(ours.state_dict())
        for layer in (ours, theirs):
            constrain(layer, balanced=True, mass=1.0, symmetric=True)
        assert torch.equal(ours[0].weight, theirs[0].weight)
        assert torch.equal(ours[0].bias, theirs[0].bias)
        assert gain_spread(from_module(theirs).operator) < 1e-12


def test_the_bias_of_a_shuffle_becomes_its_mean_over_phases():
    layer = SubpixelConv(1, 2, scale=(1, 2))
    with torch.no_grad():
        layer.conv.bias.copy_(torch.tensor([1.0, 3.0, -2.0, 6.0]))
    untouched = project_(copy.deepcopy(layer), mass=1.0)
    assert torch.equal(untouched.conv.bias, layer.conv.bias)
    assert project_(layer, balanced=True).conv.bias.tolist() == [2.0, 2.0, 2.0, 2.0]


def test_a_resize_is_balanced_by_itself():
    for mode in ("nearest", "linear", "cubic"):
        for laws in ({"balanced": True}, {"balanced": True, "mass": "kept"}):
            layer = ResizeConv(3, 2, mode=mode)
            assert gain_spread(layer.polyphase()) < 1e-6
            before = copy.deepcopy(layer.state_dict())
            assert constrain(layer, **laws) is layer
            assert not parametrize.is_parametrized(layer.conv)
            assert project_(layer, **laws) is layer
            assert all(torch.equal(tensor, before[key]) for key, tensor in layer.state_dict().items())


def test_the_mass_of_a_resize_and_a_convolution_is_that_of_both():
    layer = constrain(ResizeConv(3, 2, scale=(2, 3), mode="linear").double(), mass=12.0)
    assert torch.allclose(layer.conv.weight.sum(dim=(2, 3)), torch.tensor(2.0).double())
    assert torch.allclose(mass(layer.polyphase()), torch.tensor(12.0).double())


@pytest.mark.parametrize("order", ["depthwise-first", "pointwise-first"])
def test_balancing_the_depthwise_part_balances_both(order):
    layer = SeparableTransposedConv(3, 2, 3, order=order).double()
    pointwise = next(part for part in layer if part is not layer.depthwise)
    constrain(layer, balanced=True)
    assert not parametrize.is_parametrized(pointwise)
    assert gain_spread(layer.polyphase()) < 1e-12


def test_laws_go_on_top_of_another_parametrization():
    layer = parametrizations.weight_norm(nn.ConvTranspose2d(3, 2, 3, stride=2).double())
    constrain(layer, balanced=True, mass=1.0)
    assert len(layer.parametrizations["weight"]) == 2
    with torch.no_grad():
        layer.parametrizations["weight"].original0.mul_(3)
    assert_holds(layer, tolerance=1e-12, balanced=True, mass=1.0)


def test_the_shortest_even_kernel_has_one_shape_left():
    layer = TransposedConv(1, 1, 3, ndim=1, dtype=torch.float64)
    constrain(layer, balanced=True, mass=2.0, symmetric=True)
    assert_same(layer.weight.detach().flatten(), torch.tensor([0.5, 1, 0.5], dtype=torch.float64))


def test_what_is_held_to_is_shown():
    text = repr(constrain(SubpixelConv(2, 1), balanced=True, mass=torch.ones(1, 2)))
    assert "Laws(balanced=True, mass=one per channel pair, symmetric=False)" in text
    assert "OneBias(phases=4)" in text
    text = repr(constrain(TransposedConv(2, 1, 4), mass=2.0, symmetric=True))
    assert "Laws(balanced=False, mass=2.0, symmetric=True)" in text


EMPTY = (
    "an operator can only be balanced if every phase has a tap; phases [1] of scale (2,) have none, so use a "
    "kernel at least as long as the stride, and no dilation that shares a factor with it"
)
KINDS = (
    "constrain and project_ take a transposed convolution, ResizeConv, SeparableTransposedConv, SubpixelConv, "
    "or nn.Sequential of a convolution and a pixel shuffle; got "
)
REFUSED = [
    (
        lambda: nn.ConvTranspose1d(1, 1, 4),
        {},
        OptionError,
        "there is nothing to hold the weight to; give at least one of balanced, mass and symmetric",
    ),
    (
        lambda: nn.ConvTranspose1d(1, 1, 4),
        {"mass": "kept"},
        OptionError,
        "mass='kept' says around which mass to balance; give balanced=True with it, or a number",
    ),
    (
        lambda: nn.ConvTranspose1d(1, 1, 4),
        {"mass": "same", "balanced": True},
        OptionError,
        "mass must be a number, a tensor of them or 'kept'; got 'same'",
    ),
    (
        lambda: nn.ConvTranspose1d(1, 1, 4),
        {"mass": math.inf},
        OptionError,
        "mass must be finite; got inf",
    ),
    (
        lambda: nn.ConvTranspose1d(2, 1, 4),
        {"mass": torch.ones(2, 1)},
        ShapeError,
        "mass must be one number, or have shape (out, in) = (1, 2); got shape (2, 1)",
    ),
    (lambda: nn.ConvTranspose1d(1, 1, 1, stride=2), {"balanced": True}, NotRepresentableError, EMPTY),
    (
        lambda: TransposedConv(1, 1, 4, stride=2, dilation=2, padding=0, ndim=1),
        {"balanced": True},
        NotRepresentableError,
        EMPTY,
    ),
    (lambda: nn.Conv2d(1, 4, 3), {"balanced": True}, OptionError, KINDS + "Conv2d"),
    (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 4, 3)),
        {"balanced": True},
        OptionError,
        KINDS + "Sequential of Upsample, Conv2d",
    ),
    (
        lambda: nn.Sequential(nn.Conv2d(1, 6, 3), nn.PixelShuffle(2)),
        {"mass": 1.0},
        ShapeError,
        "a pixel shuffle of scale 2x2 needs a multiple of 4 channels; got 6",
    ),
    (
        lambda: nn.LazyConvTranspose2d(2, 3),
        {"mass": 1.0},
        OptionError,
        "LazyConvTranspose2d has no weight before its first input; run it once, then call {name}",
    ),
    (
        lambda: hooked(nn.ConvTranspose1d(1, 1, 4)),
        {"mass": 1.0},
        OptionError,
        "{name} needs the weight of ConvTranspose1d as a parameter, and a parametrization or a hook makes it from other tensors; call {name} before that is registered",
    ),
]


def hooked(layer):
    with pytest.warns(FutureWarning, match="weight_norm"):
        return weight_norm(layer)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("act", [constrain, project_])
@pytest.mark.parametrize(("make", "laws", "kind", "message"), REFUSED)
def test_what_cannot_be_is_said_and_the_layer_left_as_it_was(act, make, laws, kind, message):
    layer = make()
    before = {key: tensor for key, tensor in layer.state_dict().items() if "Lazy" not in type(layer).__name__}
    before = copy.deepcopy(before)
    with pytest.raises(kind, match=f"^{re.escape(message.format(name=act.__name__))}$"):
        act(layer, **laws)
    assert not any(parametrize.is_parametrized(part) for part in layer.modules())
    assert all(torch.equal(tensor, layer.state_dict()[key]) for key, tensor in before.items())


def test_a_refused_shuffle_keeps_its_bias_free_too():
    layer = SubpixelConv(2, 1, ndim=1)
    with pytest.raises(ShapeError, match=r"^mass must be one number"):
        constrain(layer, balanced=True, mass=torch.ones(3, 3))
    assert not parametrize.is_parametrized(layer.conv)


@pytest.mark.parametrize("first", [{"balanced": True}, {"symmetric": True}])
def test_laws_are_given_once(first):
    layer = constrain(SubpixelConv(2, 1), **first)
    message = (
        "the weight of ParametrizedConv2d is held to laws already; call parametrize.remove_parametrizations "
        "first, then constrain with all the laws"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        constrain(layer, mass=1.0)
    message = (
        "project_ needs the weight of ParametrizedConv2d as a parameter, and a parametrization or a hook makes "
        "it from other tensors; call project_ before that is registered"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        project_(layer, mass=1.0)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mirrored_taps_are_one_number_bit_for_bit(balanced, layout):
    torch.manual_seed(0)
    layer = TransposedConv(3, 5, 4, stride=2).to(memory_format=layout)
    project_(layer, symmetric=True, balanced=balanced)
    assert torch.equal(layer.weight, layer.weight.flip(2))
    assert torch.equal(layer.weight, layer.weight.flip(3))
