"""Hold models of any size to what they were at sizes that worked, and to the true size at all others."""

import re
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import zoo
from upstroke.audit import check
from upstroke.errors import OptionError, ShapeError
from upstroke.graph.sizes import Along, Outcome, Sizes, sizes_that_work
from upstroke.graph.torch import record
from upstroke.rewrite.anysize import AxisSizes, CannotPadError, Cut, padding_for
from upstroke.rewrite.anysize_torch import AnySize, any_size_module


def made(net, *inputs, **keywords):
    net.eval()
    return any_size_module(net, inputs, record(net, inputs, kwargs=keywords), kwargs=keywords)


class Net(nn.Module):
    """Strides 2 and 3 down and up again, joined with the input; fails where sizes are no multiples."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 4, (2, 3), stride=(2, 3))
        self.up = nn.ConvTranspose2d(4, 2, (2, 3), stride=(2, 3))

    def forward(self, x):
        return self.up(self.down(x).relu()) + x


@given(
    st.integers(1, 12).flatmap(
        lambda p: st.tuples(st.just(p), st.sets(st.integers(0, p - 1), min_size=1), st.integers(1, 30))
    ),
    st.integers(1, 60),
)
def test_the_right_size_is_the_least_that_is_right_and_not_below(drawn, n):
    period, remainders, least = drawn
    axis = AxisSizes(period=period, remainders=tuple(sorted(remainders)), least=least)
    wanted = next(m for m in range(max(n, least), 200) if m % period in remainders)
    assert axis.right(n) == wanted
    assert axis.right(wanted) == wanted


def test_nothing_changes_at_sizes_that_worked():
    net = Net()
    found = made(net, torch.rand(1, 2, 8, 12))
    assert found.words == (
        "inputs are padded to multiples of 2 on axis 0, multiples of 3 on axis 1 and outputs cut to what their "
        "true size promises"
    )
    for size in ((2, 3), (8, 12), (10, 9)):
        x = torch.rand(3, 2, *size)
        assert torch.equal(found.model(x), net(x))


def test_at_other_sizes_it_is_the_model_on_a_map_continued_by_its_edge():
    net = Net()
    found = made(net, torch.rand(1, 2, 8, 12))
    for height, width in ((1, 1), (7, 12), (9, 13), (8, 14)):
        x = torch.rand(2, 2, height, width)
        more = (0, -width % 3, 0, -height % 2)
        wanted = net(nn.functional.pad(x, more, mode="replicate"))[..., :height, :width]
        assert torch.equal(found.model(x), wanted)


def test_a_check_finds_no_size_that_breaks():
    net, x = Net(), torch.rand(1, 2, 8, 12)
    assert [each.rule.code for each in check(net.eval(), x, select=["UP203"]).findings] == ["UP203"]
    found = made(net, x)
    assert check(found.model, x, select=["UP203"]).findings == ()
    # and at an example that does not work by itself
    (verdict,) = check(found.model, torch.rand(1, 2, 9, 13), select=["UP203"]).model.verdicts.values()
    assert (verdict.kind, verdict.measure) == ("ok", 1.0)


def test_positions_do_not_move():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 4, stride=4),
        nn.ReLU(),
        nn.Upsample(scale_factor=4, mode="bilinear"),
        nn.Conv2d(2, 1, 1),
    )
    found = made(net, torch.rand(1, 1, 16, 16))
    outputs = [
        check(model, x).outputs
        for model, x in ((net, torch.rand(1, 1, 16, 16)), (found.model, torch.rand(1, 1, 15, 18)))
    ]
    assert outputs[0][0].reading.place.grid == outputs[1][0].reading.place.grid


def test_a_net_without_padding_takes_sizes_between_and_gives_less():
    class Valid(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.down = nn.Conv1d(1, 2, 3), nn.Conv1d(2, 2, 3)
            self.up, self.last = nn.ConvTranspose1d(2, 2, 2, stride=2), nn.Conv1d(4, 1, 3)

        def forward(self, x):
            a = self.first(x)
            b = self.up(self.down(nn.functional.max_pool1d(a, 2)))
            return self.last(torch.cat([a[..., 2:-2], b], dim=1))

    net, x = Valid(), torch.rand(1, 1, 40)
    found = made(net, x)
    assert str(found.model.padding) == "multiples of 2 from 10"
    (cut,) = found.model.padding.cuts
    assert (cut.slope, cut.offset) == (1, -8)
    assert found.model(torch.rand(1, 1, 37)).shape[-1] == 29
    assert check(found.model, x, select=["UP203"]).findings == ()
    message = "the input must be so large that something is left of output 0; got 7, of which -1 samples would be; give a larger one"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        found.model(torch.rand(1, 1, 7))


def test_too_small_sizes_are_padded_to_the_least_that_works():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1),
        nn.Conv2d(2, 2, 5, padding=4, padding_mode="reflect", dilation=2),
        nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1),
    )
    found = made(net, torch.rand(1, 1, 32, 36))
    assert str(found.model.padding) == "multiples of 2 from 10"
    with pytest.raises(RuntimeError, match="Padding size"):
        net(torch.rand(1, 1, 8, 8))
    assert found.model(torch.rand(1, 1, 3, 5)).shape == (1, 1, 3, 5)


@dataclass
class Answer:
    fine: torch.Tensor
    rest: dict


class Several(nn.Module):
    """Takes two maps, one at half the size, a mask and a number, and gives a structure."""

    def __init__(self):
        super().__init__()
        self.net, self.coarse = Net(), nn.Conv2d(1, 2, 1)

    def forward(self, x, *, maps, scale=1.0):
        y = self.net(x) * scale + nn.functional.interpolate(self.coarse(maps["half"]), scale_factor=2)
        y = torch.where(maps["mask"][:, None], y, -y)
        low = nn.functional.avg_pool2d(y, 2)
        return Answer(fine=y, rest={"low": low, "mean": y.mean(dim=(2, 3)), "name": "several"})


def several(height, width):
    return (torch.rand(1, 2, height, width),), {
        "maps": {
            "half": torch.rand(1, 1, -(-height // 2), -(-width // 2)),
            "mask": torch.rand(1, height, width) > 0.5,
        }
    }


def test_inputs_that_share_sizes_are_padded_together_and_structures_are_kept():
    net = Several()
    args, kwargs = several(16, 18)
    found = made(net, *args, **kwargs)
    assert isinstance(found.model, AnySize), found.words
    for place, each in enumerate((net, found.model)):
        gave = each(*args, **kwargs)
        assert isinstance(gave, Answer)
        assert gave.rest["name"] == "several"
        assert place == 0 or torch.equal(gave.fine, net(*args, **kwargs).fine)
    args, kwargs = several(13, 17)
    gave = found.model(*args, **kwargs, scale=2.0)
    assert gave.fine.shape == (1, 2, 13, 17)
    assert gave.rest["low"].shape == (1, 2, 7, 9)
    assert gave.rest["mean"].shape == (1, 2)
    # by name what came by place
    again = found.model(x=args[0], **kwargs, scale=2.0)
    assert torch.equal(gave.fine, again.fine)
    assert check(found.model, (several(16, 18)), select=["UP203"]).findings == ()


def test_calls_that_were_not_seen_are_refused():
    found = made(Several(), *several(16, 18)[0], **several(16, 18)[1])
    message = (
        "a model of any size must be called with a tensor of 2 axes of space as x, whose size it goes by; got "
        "none; give it"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        found.model(maps={})

    class Twice(Net):
        more = False

        def forward(self, x):
            y = super().forward(x)
            return (y, y) if self.more else y

    found = made(Twice(), torch.rand(1, 2, 8, 12))
    found.model.model.more = True
    assert len(found.model(torch.rand(1, 2, 8, 12))) == 2
    message = "the model must give 1 tensors, as it did when its sizes were found; got 2; find its sizes on such a call"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        found.model(torch.rand(1, 2, 7, 12))


def test_it_is_a_module_like_any_other():
    net = Net()
    found = made(net, torch.rand(1, 2, 8, 12)).model
    assert set(found.state_dict()) == {f"model.{name}" for name in net.state_dict()}
    assert repr(found).startswith(
        "AnySize(\n  sizes: multiples of 2 on axis 0, multiples of 3 on axis 1\n  (model): Net("
    )
    x = torch.rand(1, 2, 7, 11, requires_grad=True)
    found(x).sum().backward()
    assert x.grad.shape == x.shape
    assert not found.training
    exported = torch.export.export(found, (torch.rand(1, 2, 7, 11),)).module()
    assert torch.allclose(exported(x), found(x), atol=1e-6)


def test_other_types_and_maps_without_batch_are_padded():
    class Labels(Net):
        def forward(self, x, labels):
            return super().forward(x) * labels

    found = made(Labels(), torch.rand(1, 2, 8, 12), torch.ones(1, 1, 8, 12, dtype=torch.int64))
    y = found.model(torch.rand(1, 2, 7, 11), torch.arange(77).reshape(1, 1, 7, 11))
    assert y.shape == (1, 2, 7, 11)
    net = made(Net(), torch.rand(1, 2, 8, 12)).model
    assert net(torch.rand(2, 7, 11)).shape == (2, 7, 11)


def test_models_that_cannot_be_padded_are_left_with_the_reason():
    assert (
        made(nn.Conv2d(1, 1, 3), torch.rand(1, 1, 8, 8)).words == "every size that was tried works as it is"
    )
    linear = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2), nn.Flatten(), nn.Linear(288, 3))
    assert made(linear, torch.rand(1, 1, 8, 8)).words == (
        "no other size than 8 is right, so there is none to pad to"
    )

    class Tokens(Net):
        def forward(self, x):
            return super().forward(x).flatten(2)

    assert made(Tokens(), torch.rand(1, 2, 8, 12)).words == (
        "axis -1 of its output 0 follows several axes of the input, as a list of all samples does, so that no "
        "part of it is what a smaller input would give"
    )
    assert made(nn.Linear(3, 4), torch.rand(1, 2, 3)).words == (
        "no convolution, pool or resize takes an input of the model as it comes"
    )


def of_rule(rule, start=(8, 9)):
    """What a search finds of a model that does no more than follow a rule."""

    def attempt(size):
        return Outcome(outputs=((1, 1, *size),)) if rule(size) else Outcome(error="no")

    along = sizes_that_work(
        start, (4,) * len(start), attempt, free=tuple(range(len(start))), may_go_on=lambda share: True
    )
    return Sizes(start=start, along=along), attempt


def test_several_remainders_are_right():
    found, attempt = of_rule(lambda size: size[0] % 4 in (0, 1) and size[1] % 3 == 0)
    padding = padding_for(found, attempt)
    assert str(padding) == "4k + 0 or 4k + 1 on axis 0, multiples of 3 on axis 1"
    assert [padding.right((n, 7)) for n in (4, 5, 6, 7)] == [(4, 9), (5, 9), (8, 9), (8, 9)]


def test_axes_that_only_work_together_are_refused():
    found, attempt = of_rule(lambda size: size[0] == size[1], start=(8, 8))
    with pytest.raises(CannotPadError, match=r"^no other size than 8 is right, so there is none to pad to$"):
        padding_for(found, attempt)


def test_what_must_share_a_length_counts():
    found, attempt = of_rule(lambda size: size[0] % 2 == 0, start=(12,))
    assert padding_for(found, attempt, shares=[[3]]).right((7,)) == (12,)


def test_searches_that_mislead_are_said():
    along = Along(axes=(0,), tried=(8, 9, 10), right=(8, 10), period=2, remainders=(0,))
    sizes = Sizes(start=(8,), along=(along,))
    with pytest.raises(
        CannotPadError, match=r"^a size of 10 should be right by what was found, and fails: no$"
    ):
        padding_for(
            sizes, lambda size: Outcome(outputs=((1, 1, 8),)) if size == (8,) else Outcome(error="no")
        )
    odd = Along(axes=(0,), tried=(8, 9, 11), right=(8, 9), period=None, remainders=())
    with pytest.raises(CannotPadError, match=r"^2 of 3 sizes that were tried are right and follow no period"):
        padding_for(Sizes(start=(8,), along=(odd,)), lambda size: None)
    apart = (along, Along(axes=(0,), tried=(8, 9), right=(9,), period=2, remainders=(1,)))
    with pytest.raises(CannotPadError, match=r"^no size is right for all axes at once"):
        padding_for(Sizes(start=(8,), along=apart), lambda size: None)


def test_lengths_are_rounded_up():
    cut = Cut(output=0, dim=-1, axis=0, slope=Fraction(1, 2), offset=Fraction(1, 2))
    assert [cut.due(n) for n in (7, 8, 9)] == [4, 5, 5]


@pytest.mark.parametrize("name", ["monai_unet", "autoencoder_kl"])
def test_real_models_take_any_size(name):
    specimen = getattr(zoo, name)()
    net = specimen.module.eval()
    found = made(net, *specimen.inputs, **specimen.keywords)
    assert isinstance(found.model, AnySize), found.words
    assert all(along.takes_all for along in found.after.along)
    x = specimen.inputs[0]
    odd = x[(..., *(slice(0, n - 3) for n in x.shape[2:]))]
    with torch.no_grad():
        gave = found.model(odd, *specimen.inputs[1:], **specimen.keywords)
    y = gave if isinstance(gave, torch.Tensor) else next(iter(vars(gave).values()))
    assert y.shape[2:] == odd.shape[2:]
