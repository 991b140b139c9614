"""Held weights go wherever layers go: into recorded graphs, over stacks of parameters, to other devices and dtypes."""

import copy

import pytest
import torch

from tolerance import assert_same
from upstroke import from_module
from upstroke.diagnose import gain_spread, mass
from upstroke.nn import ResizeConv, SeparableTransposedConv, SubpixelConv, TransposedConv, constrain

LAYERS = {
    "transposed": lambda **made: TransposedConv(4, 6, (3, 4), groups=2, **made),
    "sub-pixel": lambda **made: SubpixelConv(4, 3, (3, 2), scale=(2, 3), **made),
    "resize": lambda **made: ResizeConv(4, 3, (3, 2), mode="linear", **made),
    "separable": lambda **made: SeparableTransposedConv(4, 3, 3, **made),
}
PAIRS = {"transposed": (6, 2), "sub-pixel": (3, 4), "resize": (3, 4), "separable": (4, 1)}
EVERY_LAYER = pytest.mark.parametrize("name", LAYERS)
EVERY_MASS = pytest.mark.parametrize("each", [False, True], ids=["one mass", "a mass per pair"])


def laws_for(name, *, each):
    out, into = PAIRS[name]
    masses = 1 + torch.arange(float(out * into)).reshape(out, into)
    return {"balanced": True, "symmetric": True, "mass": masses if each else 2.0}


def held(name, *, each, seed=0, **made):
    torch.manual_seed(seed)
    return constrain(LAYERS[name](**made), **laws_for(name, each=each))


def part(layer):
    return layer.depthwise if isinstance(layer, SeparableTransposedConv) else layer


def laws_of(layer):
    return next(each for each in layer.modules() if type(each).__name__ == "Laws")


def maps():
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(2))


def assert_holds(layer, name, *, each, tolerance=1e-5):
    with torch.no_grad():
        operator = from_module(part(layer)).operator
    wanted = torch.as_tensor(laws_for(name, each=each)["mass"]).double()
    found = mass(operator).double()
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()
    assert float(gain_spread(operator)) <= tolerance


@EVERY_MASS
@EVERY_LAYER
def test_a_recorded_graph_holds_the_laws(name, each):
    layer, x = held(name, each=each), maps()
    exported = torch.export.export(layer, (x,)).module()
    assert_same(exported(x).detach(), layer(x).detach())
    # the laws are in the graph: another weight in it is held as well
    other = held(name, each=each, seed=1)
    exported.load_state_dict(other.state_dict(), strict=False)
    assert_same(exported(x).detach(), other(x).detach())


@pytest.mark.usefixtures("_unchecked")
@EVERY_MASS
@EVERY_LAYER
def test_a_compiled_layer_is_one_graph(name, each):
    layer, x = held(name, each=each), maps()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert_same(compiled(x).detach(), layer(x).detach())


@EVERY_MASS
@EVERY_LAYER
def test_stacked_parameters_are_held_one_by_one(name, each):
    layers, x = [held(name, each=each)], maps()
    for seed in (1, 2):
        layers.append(copy.deepcopy(layers[0]))
        layers[-1].load_state_dict(held(name, each=each, seed=seed).state_dict())
    parameters, buffers = torch.func.stack_module_state(layers)

    def run(parameters, buffers):
        return torch.func.functional_call(layers[0], (parameters, buffers), (x,))

    expected = torch.stack([layer(x) for layer in layers])
    assert_same(torch.vmap(run)(parameters, buffers).detach(), expected.detach())


@EVERY_MASS
@EVERY_LAYER
def test_a_layer_on_no_device_holds_them_once_it_is_on_one(name, each):
    expected = held(name, each=each)
    with torch.device("meta"):
        made = LAYERS[name]()
    early = constrain(made, **laws_for(name, each=each))
    late = copy.deepcopy(expected).to("meta")
    for layer in (early, late):
        assert layer(maps().to("meta")).device.type == "meta"
        layer.to_empty(device="cpu").load_state_dict(expected.state_dict())
        assert_same(layer(maps()).detach(), expected(maps()).detach())
        assert_holds(layer, name, each=each)


@EVERY_MASS
@EVERY_LAYER
def test_rounding_a_layer_does_not_round_what_it_is_held_to(name, each):
    layer = held(name, each=each)
    there = copy.deepcopy(layer).half()
    assert from_module(part(there)).operator.taps.dtype == torch.float16
    assert laws_of(there).matrix.dtype == torch.float64
    # the law in few bits: to the rounding of each tap
    assert_holds(there, name, each=each, tolerance=4e-3)
    assert_holds(there.float(), name, each=each)
    assert_holds(copy.deepcopy(layer).bfloat16().double(), name, each=each, tolerance=1e-12)


@EVERY_MASS
@EVERY_LAYER
def test_what_it_is_held_to_is_no_state(name, each):
    layer = held(name, each=each)
    names = set(LAYERS[name]().state_dict())
    kept = {key.replace("parametrizations.", "").replace(".original", "") for key in layer.state_dict()}
    assert kept == names
    assert not list(layer.buffers())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_round_the_projection(dtype):
    layer = held("transposed", each=True)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        weight = layer.weight
    assert torch.equal(weight, layer.weight)


@pytest.mark.parametrize("shape", [(), (6, 2)])
def test_the_mass_is_a_setting_also_where_it_came_out_of_a_computation(shape):
    wanted = torch.full(shape, 3.0, requires_grad=True) * 2
    layer = copy.deepcopy(constrain(LAYERS["transposed"](), mass=wanted))
    with torch.no_grad():
        found = mass(layer.polyphase()).float().flatten()
    assert_same(found, torch.full_like(found, 6))
