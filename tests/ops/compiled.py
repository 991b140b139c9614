"""torch.compile and torch.export pass through upsampling whole, for sizes that change too.

Run by test_compiled.py in a process of its own, because the compiler cannot read the checks of annotations with
which all other tests run.
"""

import io
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from tolerance import assert_same
from upstroke import upsample
from upstroke.nn.conserve import Conserve, ConservingInterpolation
from upstroke.nn.interpolation import Interpolation
from upstroke.nn.upsampler import Upsampler
from upstroke.ops import Correction, block_means, native
from upstroke.ops.kernels import instructions
from upstroke.polyphase import Affine, Polyphase, cubic, linear, transposed

DEPTHWISE = transposed(torch.randn(4, 1, 3, 4), stride=(2, 3), padding=1, groups=4)
# three taps at stride two: a support with holes
DENSE = transposed(torch.randn(4, 3, 3, 3), stride=2, padding=1)
X, LARGER = torch.randn(2, 4, 5, 6), torch.randn(3, 4, 9, 7)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.set_num_threads(1)
    torch._dynamo.reset()


class Holds(nn.Module):
    """An operator as a constant."""

    def __init__(self, operator: Polyphase | Affine) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return upsample(x, self.operator)


class Learns(nn.Module):
    """An operator with taps that are trained."""

    def __init__(self, operator: Polyphase) -> None:
        super().__init__()
        self.operator = operator
        self.taps = nn.Parameter(operator.taps.float())

    def forward(self, x):
        return upsample(x, replace(self.operator, taps=self.taps))


class Keeps(nn.Module):
    """A resize that keeps block means, and a correction over the samples that count."""

    def __init__(self, form: Correction) -> None:
        super().__init__()
        self.resize = ConservingInterpolation((2, 3), border=("clamp", "circular"))
        self.conserve = Conserve((2, 3), form=form)

    def forward(self, x):
        y = self.resize(x)
        return self.conserve(y.sin() + 2, x, (y > -1).to(y.dtype))


MODULES = {
    "fixed": Holds(linear((2, 3))),
    "depthwise": Holds(DEPTHWISE),
    "dense": Holds(DENSE),
    "with a bias": Holds(Affine(operator=DENSE, bias=torch.randn(4, 3))),
    "depthwise, learned": Learns(DEPTHWISE),
    "dense, learned": Learns(DENSE),
    "interpolation": Interpolation((2, 3), mode="cubic"),
    "layer": Upsampler(4, 2, method="separable", scale=(2, 3)),
}
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


@every_module
def test_compiled_whole(module):
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    wanted = [X.clone().requires_grad_(), *module.parameters()]
    assert_same(compiled(X), module(X))
    ours, expected = (
        torch.autograd.grad(each(wanted[0]).square().sum(), wanted) for each in (compiled, module)
    )
    for one, two in zip(ours, expected, strict=True):
        assert_same(one, two)


@every_module
def test_compiled_for_sizes_that_change(module):
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    for x in (X, LARGER):
        assert_same(compiled(x), module(x))


@every_module
def test_exported_saved_and_loaded(module):
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    program = torch.export.export(module, (X,), dynamic_shapes=(sizes,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for x in (X, LARGER):
        assert_same(loaded(x), module(x))
    ours = [node for node in program.graph.nodes if str(node.target).startswith("upstroke.")]
    # a layer that leaves Python is made of PyTorch's own operators
    has_kernels = instructions() is not None and isinstance(module, Holds | Learns)
    assert bool(ours) == (has_kernels and native.is_depthwise(_operator(module)))


def _operator(module):
    return module.operator.operator if isinstance(module.operator, Affine) else module.operator


@pytest.mark.parametrize("form", get_args(Correction))
def test_what_keeps_block_means_is_compiled_whole(form):
    module = Keeps(form)
    # one of them for sizes that change
    is_dynamic = form == "additive"
    compiled = torch.compile(module, fullgraph=True, backend="eager", dynamic=is_dynamic)
    for x in (X, LARGER) if is_dynamic else (X,):
        assert_same(compiled(x), module(x))


def test_what_keeps_block_means_is_exported_in_pytorchs_own_operators():
    module = Keeps("additive")
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    program = torch.export.export(module, (X,), dynamic_shapes=(sizes,))
    for x in (X, LARGER):
        assert_same(program.module()(x), module(x))
    assert not [node for node in program.graph.nodes if str(node.target).startswith("upstroke.")]


def test_areas_are_solved_for_where_they_are_compiled():
    areas = torch.linspace(0, 3.1, 11, dtype=torch.float64).cos().diff().abs()
    areas[:2] = 0
    module, x = ConservingInterpolation(2, weights=(areas, None)), X.double()
    compiled = torch.compile(module, fullgraph=True, backend="eager")(x)
    assert_same(compiled, module(x))
    assert_same(block_means(compiled, (2, 2), weights=areas[:, None])[..., 1:, :], x[..., 1:, :])


def test_torch_func_passes_through_what_keeps_block_means():
    module, x = Keeps("additive"), X.double()
    assert_same(torch.func.vmap(lambda x: module(x[None])[0])(x), module(x))
    (expected,) = torch.autograd.grad(module(x.requires_grad_()).square().sum(), x)
    assert_same(torch.func.grad(lambda x: module(x).square().sum())(x.detach()), expected)


def test_operators_alike_in_all_but_their_support_are_told_apart():
    compiled = torch.compile(upsample, fullgraph=True, backend="aot_eager")
    weight = torch.randn(4, 3, 4, 4)
    long = transposed(weight, stride=2, padding=1)
    present = long.mask.clone()
    present[0] = present[:, 0] = False
    short = replace(long, support=present)
    for operator in (short, long, short, linear(2), cubic(2), long):
        assert_same(compiled(X, operator), upsample(X, operator))


def test_layouts_of_compiled_maps():
    compiled = torch.compile(Holds(linear(2)), fullgraph=True, backend="aot_eager")
    last = X.contiguous(memory_format=torch.channels_last)
    for x in (X, last):
        assert compiled(x).stride() == upsample(x, linear(2)).stride()


# torch says so of tracing itself; can go with the test
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_traced_it_is_made_of_pytorchs_operators():
    traced = torch.jit.trace(Interpolation((2, 3), mode="linear"), X)
    assert "upstroke::" not in str(traced.graph)
    assert_same(traced(LARGER), Interpolation((2, 3), mode="linear")(LARGER))


# what inductor loads scripts a module; can go when it no longer does
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("last", [False, True])
def test_by_the_compiler_that_people_use(last):
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), Holds(linear(2)), nn.ReLU())
    x = X.contiguous(memory_format=torch.channels_last) if last else X
    module = module.to(memory_format=torch.channels_last) if last else module
    y = torch.compile(module, fullgraph=True)(x)
    assert_same(y.detach(), module(x).detach())
