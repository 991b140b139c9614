"""Models that call functions are traced for maps of any size, and are written as programs that load again."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.upsampling import Upsample2D
from diffusers.utils import BaseOutput
from torch import nn

from function_calls import RRDBNet, StyleNet, merged_changes
from tolerance import assert_same
from upstroke.errors import FileError, OptionError
from upstroke.graph import sites
from upstroke.graph.torch import record
from upstroke.nn import ResizeConv, TransposedConv
from upstroke.rewrite.torch_export import save_exported
from upstroke.rewrite.torch_fx import located, rewritten_fx
from upstroke.rewrite.torch_traced import _compare, traced

torch.manual_seed(0)
X = torch.rand(1, 3, 8, 12)
OTHERS = (torch.rand(2, 3, 9, 7), torch.rand(1, 3, 13, 18), torch.rand(3, 3, 5, 6))


@pytest.mark.parametrize("make", [RRDBNet, StyleNet])
def test_functions_are_seen_and_sizes_stay_free(make):
    net = make().eval()
    found = traced(net, [X])
    assert (found.how, found.whole, found.fixed) == ("torch.fx", (), ())
    for x in OTHERS:
        assert_same(found.module(x), net(x))
    assert list(found.module.state_dict()) == list(net.state_dict())
    assert all(one is two for one, two in zip(found.module.parameters(), net.parameters(), strict=True))
    assert not found.module.training


def test_by_export():
    net = RRDBNet(blocks=1).eval()
    found = traced(net, [X], how="torch.export")
    assert (found.how, found.whole, found.fixed) == ("torch.export", (), ())
    for x in OTHERS:
        assert_same(found.module(x), net(x))
    assert set(found.module.state_dict()) == set(net.state_dict())
    assert found.module.eval() is found.module
    assert type(found.module).__name__ == "RRDBNet"


class Branches(nn.Module):
    """A module whose code looks at the size: it cannot be traced by proxies."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x) if x.shape[2] > 1 else x


class Around(nn.Module):
    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.first, self.inner = nn.Conv2d(3, 4, 3, padding=1), nn.ModuleList(inner)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x):
        x = self.first(x)
        for each in self.inner:
            x = each(x)
        return self.last(F.interpolate(x, scale_factor=2))


def test_a_module_that_looks_at_sizes_stays_whole():
    net = Around(Branches(), nn.ReLU(), Branches()).eval()
    found = traced(net, [X])
    assert (found.how, found.whole) == ("torch.fx", ("inner.0", "inner.2"))
    changes = merged_changes(located(found.module, [X]).graph)
    assert [change.last for change in changes] == ["last"]


def test_an_upsampler_of_diffusers_is_replaced_as_a_whole():
    net = Around(Upsample2D(4, use_conv=True)).eval()
    found = traced(net, [X])
    assert found.whole == ("inner.0",)
    seen = located(found.module, [X])
    change = merged_changes(seen.graph)[0]
    part = ResizeConv(4, 4)
    part.load_state_dict({f"1.{name}": value for name, value in net.inner[0].conv.state_dict().items()})
    new = rewritten_fx(found.module, seen.calls, [(change, part)]).module
    assert "inner" not in dict(new.named_modules())
    for x in OTHERS:
        assert_same(new(x), net(x))


def test_our_layers_stay_whole():
    found = traced(nn.Sequential(ResizeConv(3, 4), nn.ReLU(), TransposedConv(4, 3, 4)).eval(), [X])
    assert [node.op for node in found.module.graph.nodes] == [
        "placeholder", "call_module", "call_module", "call_module", "output",
    ]  # fmt: skip


class Timed(nn.Module):
    """What the code asks of an argument's type sends a proxy the wrong way, as in diffusers' U-Nets."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, time):
        if not torch.is_tensor(time):
            time = torch.zeros(1)
        return self.conv(F.interpolate(x, scale_factor=2)) + time.reshape(-1, 1, 1, 1)


def test_what_was_traced_wrongly_is_noticed():
    net, time = Timed().eval(), torch.tensor([3.0])
    assert traced(net, [X, time]).how == "torch.export"
    message = (
        "the model must be traced for calls of functions in it to be replaced; it cannot be by torch.fx (what was "
        'traced gives other values than the model), so use torch.compile(model, backend="upstroke"), which '
        "replaces them while it runs"
    )
    with pytest.raises(OptionError) as caught:
        traced(net, [X, time], how="torch.fx")
    assert str(caught.value) == message


class Frozen(nn.Module):
    """Keeps the size of its first input in Python, so that a trace of one size holds for that alone."""

    def forward(self, x):
        return F.interpolate(x, scale_factor=2)[:, :, : int(x.sum()) + 4]


def test_a_model_that_nobody_can_trace_is_refused(capfd):
    with pytest.raises(OptionError) as caught:
        traced(Frozen().eval(), [X])
    said = str(caught.value)
    assert said.startswith(
        "the model must be traced for calls of functions in it to be replaced; it cannot be by torch.fx ("
    )
    assert said.endswith('so use torch.compile(model, backend="upstroke"), which replaces them while it runs')
    assert "torch.export (" in said
    assert capfd.readouterr() == ("", "")


@dataclass
class Output(BaseOutput):
    sample: torch.Tensor
    other: torch.Tensor | None = None


class Gives(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x, *, scale=None, return_dict=True):
        y = self.conv(F.interpolate(x, scale_factor=2))
        y = y if scale is None else y * scale
        return Output(sample=y) if return_dict else (y,)


@pytest.mark.parametrize("how", ["torch.fx", "torch.export"])
def test_objects_come_back_as_they_were(how):
    net = Gives().eval()
    found = traced(net, [X], how=how)
    given = found.module(OTHERS[0])
    assert isinstance(given, Output)
    assert list(given) == ["sample"]
    assert_same(given.sample, net(OTHERS[0]).sample)


def test_keywords_and_defaults_are_kept_and_frozen():
    net = Gives().eval()
    found = traced(net, [X], keywords={"scale": torch.tensor(2.0), "return_dict": False})
    assert found.how == "torch.fx"
    scale = torch.tensor(3.0)
    assert_same(found.module(X, scale=scale, return_dict=False)[0], net(X, scale=scale).sample)
    message = "return_dict must be False, with which the model was traced; got True, so trace it anew"
    with pytest.raises(OptionError) as caught:
        found.module(X, scale=scale)
    assert str(caught.value) == message


def test_a_model_in_training_is_left_so():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Upsample(scale_factor=2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = traced(net, [X])
    assert all(part.training for part in net.modules())
    assert not any(part.training for part in found.module.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert vars(net).keys() == vars(nn.Sequential()).keys()


def test_axes_that_cannot_be_free_are_named(tmp_path):
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Linear(24, 2)).eval()
    assert save_exported(net, [X], tmp_path / "net.pt2") == ("axis 3 of input is 12",)


def test_what_is_saved_loads_and_nothing_is_overwritten(tmp_path):
    net, path = RRDBNet(blocks=1).eval(), tmp_path / "net.pt2"
    assert save_exported(net, [X], path) == ()
    before = path.read_bytes()
    message = f"cannot write {path}: it exists already; choose another name or allow overwriting"
    with pytest.raises(FileError) as caught:
        save_exported(net, [X], path)
    assert str(caught.value) == message
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["net.pt2"]
    module = torch.export.load(path).module()
    for x in OTHERS:
        assert_same(module(x), net(x))
    # the program is read as a model like any other
    assert [site.node.operator for site in sites(record(module, [X]))] == ["aten.upsample_nearest2d"] * 2


def test_the_name_of_the_file_is_checked(tmp_path):
    message = f"the name of a file for a program of torch.export must end in .pt2; got {tmp_path / 'net.pt'}, so rename it"
    with pytest.raises(OptionError) as caught:
        save_exported(RRDBNet(), [X], tmp_path / "net.pt")
    assert str(caught.value) == message


def test_what_was_traced_may_not_give_numbers_where_the_model_gives_zeros():
    _compare(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"^what was traced gives other values than the model$"):
        _compare(torch.ones(3), torch.zeros(3))
