"""What torch.compile and torch.export make of models, and what of operators of ours stands in it.

Run by test_compiled_rewrites.py in a process of its own, because the compiler cannot read the checks of
annotations with which all other tests run.
"""

import copy
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_torch_parts import EXPORTED, made
from torch import nn

from function_calls import RRDBNet, StyleNet
from tolerance import assert_same
from upstroke import upsample
from upstroke.errors import OptionError
from upstroke.graph import sites
from upstroke.graph.torch import record
from upstroke.nn import ResizeConv, TransposedConv
from upstroke.polyphase import linear
from upstroke.rewrite import torch_compile
from upstroke.rewrite.torch_compile import backend, rewritten
from upstroke.rewrite.torch_export import save_exported

X = torch.rand(1, 3, 8, 12)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.set_num_threads(1)
    torch._dynamo.reset()


OTHERS = (torch.rand(2, 3, 9, 7), torch.rand(1, 3, 13, 18), torch.rand(3, 3, 5, 6))


class Upsamples(nn.Module):
    """An operator of ours stands in what is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.operator, self.conv = linear((2, 3)), nn.Conv2d(3, 2, 3)

    def forward(self, x):
        return self.conv(upsample(x, self.operator))


def test_saved_programs_load(tmp_path):
    net = Upsamples().eval()
    path = tmp_path / "net.pt2"
    assert save_exported(net, [X], path) == ()
    module = torch.export.load(path).module()
    for x in OTHERS:
        assert_same(module(x), net(x))
    # and are read as what they are
    assert [site.node.operator for site in sites(record(module, [X]))] == ["upstroke.upsample"]


LOAD = """
import sys, torch
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "upstroke":
            raise ImportError("upstroke is hidden")
sys.meta_path.insert(0, Refuses())
for path in sys.argv[1:]:
    print(tuple(torch.export.load(path).module()(torch.rand(3, 3, 9, 7)).shape), flush=True)
"""


def test_only_a_file_with_our_operators_needs_us(tmp_path):
    plain, ours = tmp_path / "plain.pt2", tmp_path / "ours.pt2"
    save_exported(nn.Sequential(ResizeConv(3, 4), TransposedConv(4, 2, 4)).eval(), [X], plain)
    save_exported(Upsamples().eval(), [X], ours)
    command = [sys.executable, "-c", LOAD, str(plain), str(ours)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "(3, 2, 36, 28)\n"
    assert found.returncode == 1
    assert "upstroke.upsample" in found.stderr


class Functional(nn.Module):
    """Transposed convolutions called as functions, dense, of each channel, and with numbers for each axis."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Parameter(torch.randn(3, 4, 4, 3) / 4)
        self.each = nn.Parameter(torch.randn(4, 1, 3, 4) / 4)
        self.bias = nn.Parameter(torch.randn(4))

    def forward(self, x):
        y = F.conv_transpose2d(x, self.dense, stride=(2, 3), padding=(1, 0), output_padding=(0, 1))
        return F.conv_transpose2d(y.relu(), self.each, self.bias, stride=2, padding=1, groups=4)


class Spelled(nn.Module):
    """A pixel shuffle written as views."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        n, c, h, w = y.shape
        return y.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


class ToSize(nn.Module):
    """Resizes to sizes computed from the input's, to one that is no multiple, and to one that is fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.other = nn.Conv2d(4, 4, (3, 2))

    def forward(self, x):
        y = self.conv(F.interpolate(x, size=(x.shape[2] * 3, x.shape[3] * 2)))
        y = self.other(F.interpolate(y, size=(y.shape[2] + 3, 2 * y.shape[3] + 1)))
        return self.other(F.interpolate(y, size=(40, 60)))


class Trained(nn.Module):
    """Batch normalisation and dropout beside sites, and weights that are computed in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.conv = nn.utils.parametrizations.weight_norm(
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate")
        )
        self.up = nn.Upsample(scale_factor=2)
        self.thin = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = self.conv(self.up(self.norm(x)))
        return self.thin(F.interpolate(y, scale_factor=(1, 2), mode="bilinear"))


class Written(nn.Module):
    """What comes in, and what lies between, is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        x = x + 1
        up = F.interpolate(x, scale_factor=2)
        x.mul_(3)
        y = self.conv(up)
        again = F.interpolate(x, scale_factor=2)
        again += 1
        return y + self.conv(again), self.conv(F.leaky_relu(F.interpolate(y, scale_factor=2), 0.1, True))


class Looked(nn.Module):
    """Something else takes what lies between, and a float32 map meets half of its bits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fixed = nn.Upsample(scale_factor=(4, 2), mode="bicubic")

    def forward(self, x):
        up = F.interpolate(x, scale_factor=2)
        return self.conv(up) + up.mean(), self.fixed(x)


def of_diffusers():
    # late, because collecting doctests imports this file, and the package takes seconds
    from diffusers.models.upsampling import Upsample2D

    return nn.Sequential(nn.Conv2d(3, 4, 1), Upsample2D(4, use_conv=True))


# what stands in the graph afterwards where sites change wherever it is exact, by name
MODELS = {
    "RRDB": (lambda: RRDBNet(blocks=1), {"resized_and_convolved": 2}),
    "style": (StyleNet, {"resized_and_convolved": 2}),
    "diffusers": (of_diffusers, {"resized_and_convolved": 1}),
    "functional": (Functional, {"upstroke.conv_transpose": 1, "conv_transpose": 1}),
    "spelled": (Spelled, {"shuffled": 1}),
    "to sizes": (ToSize, {"resized_and_convolved": 1, "interpolate": 2}),
    "trained": (Trained, {"resized_and_convolved": 1, "interpolate": 1}),
    "written": (Written, {"interpolate": 3}),
    "looked at": (Looked, {"interpolate": 1, "resized": 1}),
}
every_model = pytest.mark.parametrize("name", MODELS)
OURS = (
    "resized_and_convolved",
    "resized",
    "shuffled",
    "conv_transpose",
    "upstroke.conv_transpose",
    "conv_transpose2d",
    "interpolate",
)


class Watched:
    """The backend, and what stood in the graphs that it made."""

    def __init__(self, **options) -> None:
        self.graphs, self.options = [], options

    def __call__(self, gm, example_inputs):
        self.graphs.append(rewritten(gm, which="all"))
        return backend(gm, example_inputs, options={"sites": "all", **self.options})

    def ours(self):
        names = [
            str(n.target).removesuffix(".default")
            if isinstance(n.target, torch._ops.OpOverload)
            else getattr(n.target, "__name__", "")
            for n in self.graphs[-1].graph.nodes
        ]
        return {name: names.count(name) for name in OURS if name in names}


def _leaves(output):
    return list(torch.utils._pytree.tree_leaves(output))


@every_model
def test_what_is_compiled_for_any_size_computes_the_same(name):
    torch.manual_seed(0)
    make, wanted = MODELS[name]
    net, watched = make().eval(), Watched()
    compiled = torch.compile(net, backend=watched, dynamic=True)
    for size in ((2, 3, 9, 7), (3, 3, 5, 6), (2, 3, 12, 17)):
        x = torch.rand(size)
        for one, two in zip(_leaves(compiled(x)), _leaves(net(x)), strict=True):
            assert_same(one.detach(), two.detach())
    assert watched.ours() == wanted
    assert len(watched.graphs) == 1


@every_model
def test_gradients_and_a_step_of_training(name):
    torch.manual_seed(0)
    make, _ = MODELS[name]
    net = make().double().train()
    twin = copy.deepcopy(net)
    compiled = torch.compile(net, backend=Watched())
    for _ in range(2):
        x = OTHERS[0].double().requires_grad_()
        # the second time weights are other ones, and the graph is the same
        for module, model in ((compiled, net), (twin, twin)):
            loss = sum(y.square().mean() for y in _leaves(module(x)))
            found = torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)
            if model is net:
                ours = found
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), found[1:], strict=True):
                    parameter -= 0.1 * (torch.zeros_like(parameter) if gradient is None else gradient)
        for one, two in zip(ours, found, strict=True):
            assert (one is None) == (two is None)
            if one is not None:
                assert_same(one, two)
    for one, two in zip(net.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.allclose(one, two, rtol=1e-10)
    assert len(compiled.state_dict()) == len(twin.state_dict())


# what inductor loads scripts a module; can go when it no longer does
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["functional", "looked at"])
def test_the_rest_by_another_backend(name):
    torch.manual_seed(0)
    net = MODELS[name][0]().eval()
    compiled = torch.compile(net, backend=Watched(fallback="aot_eager"), dynamic=True)
    x = OTHERS[0].clone().requires_grad_()
    for one, two in zip(_leaves(compiled(x)), _leaves(net(x)), strict=True):
        assert_same(one.detach(), two.detach())
    ours, expected = (torch.autograd.grad(_leaves(each(x))[0].sum(), [x])[0] for each in (compiled, net))
    assert_same(ours, expected)
    assert_same(_leaves(compiled(OTHERS[1]))[0].detach(), _leaves(net(OTHERS[1]))[0].detach())


def captured_of(net, x, **settings):
    """The first graph that is captured of a call, and what becomes of it where sites change if that is faster."""
    found = []

    def take(gm, example_inputs):
        found.append((gm, rewritten(gm, **settings)))
        return gm.forward

    torch.compile(net, backend=take)(x)
    return found[0]


def test_only_what_was_measured_to_be_faster_changes():
    net = (
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(32, 32, 3, padding=1))
        .eval()
        .requires_grad_(False)
    )
    old, new = captured_of(net, torch.rand(1, 32, 4, 5))
    assert new is old
    old, new = captured_of(net, torch.rand(1, 32, 32, 40))
    assert new is not old
    assert "interpolate" in old.code
    assert "interpolate" not in new.code


def test_a_graph_that_cannot_be_read_stays(monkeypatch, caplog):
    def fails(gm):
        msg = "no such thing"
        raise ValueError(msg)

    monkeypatch.setattr(torch_compile, "captured", fails)
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3)).eval()
    assert torch.equal(torch.compile(net, backend=backend)(X), net(X))
    message = "a captured graph stays as it is, because it cannot be read: no such thing"
    assert [record.getMessage() for record in caplog.records if "upstroke" in record.name] == [message]


def test_derivatives_and_batches_of_torch_func_stay():
    net = Functional().eval()
    many = torch.rand(2, 1, 3, 4, 5)
    compiled = torch.compile(torch.vmap(net), backend=(watched := Watched()))
    assert_same(compiled(many).detach(), torch.vmap(net)(many).detach())
    assert watched.ours() == {"conv_transpose2d": 2}


def test_under_autocast_it_computes_in_as_many_bits_as_before():
    net = Functional().eval()
    compiled = torch.compile(net, backend=(watched := Watched()))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert_same(compiled(X), net(X))
    assert watched.ours() == {"conv_transpose2d": 2}


def test_layouts_of_compiled_maps():
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(6, 4, 3)).to(memory_format=torch.channels_last)
    compiled = torch.compile(net, backend=Watched())
    x = torch.rand(2, 6, 5, 7)
    for each in (x, x.contiguous(memory_format=torch.channels_last)):
        assert compiled(each).is_contiguous(memory_format=torch.channels_last)


def test_options_are_checked():
    gm = torch.fx.symbolic_trace(nn.ReLU())
    for options, message in (
        (
            {"falback": "eager"},
            "options of the backend upstroke are fallback and sites; got 'falback', so leave it out",
        ),
        (
            {"sites": "some"},
            'the option sites must be "faster" or "all"; got \'some\', so choose one of these',
        ),
    ):
        with pytest.raises(OptionError) as caught:
            backend(gm, [], options=options)
        assert str(caught.value) == message


def test_it_is_known_by_name():
    # what the installation says to PyTorch
    table = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, _, name = table["project"]["entry-points"]["torch_dynamo_backends"]["upstroke"].partition(":")
    function = getattr(importlib.import_module(module), name)
    assert function is backend
    if "upstroke" not in torch._dynamo.list_backends():
        torch._dynamo.register_backend(function, name="upstroke")
    net = RRDBNet(blocks=1).eval()
    compiled = torch.compile(net, backend="upstroke", options={"sites": "all"})
    assert_same(compiled(X).detach(), net(X).detach())


@pytest.mark.parametrize(("name", "make", "shape", "form"), EXPORTED, ids=lambda value: "")
def test_parts_are_compiled_whole(name, make, shape, form):
    net, x, _, part = made(make, shape, form)
    compiled = torch.compile(part, backend="eager", fullgraph=True)
    assert (compiled(x) - net(x)).detach().abs().max() <= 1e-12
