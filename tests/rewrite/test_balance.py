"""Hold new kernels to their laws: nearest of all that keep them, on every kind of site, or refused with a reason."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from upstroke import nn as ours
from upstroke.audit import check
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.graph import sites
from upstroke.graph.torch import record
from upstroke.ops import upsample
from upstroke.polyphase import Polyphase, balanced, linear, nearest, transposed
from upstroke.rewrite.balance import REPAIRED, Refused, Repair, repaired_kernels
from upstroke.rewrite.balance_torch import repaired_module
from upstroke.rewrite.block_means import with_blocks
from upstroke.rewrite.outputs import moved
from upstroke.rewrite.verify_torch import runner

CELLS = (5, 7, 4)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(net, seed=0):
    """The module in evaluation mode with numbers of no pattern in every parameter and statistic."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator).abs() + 0.2)
        for tensor in net.parameters():
            tensor.mul_(torch.randn(tensor.shape, generator=generator))
    return net.eval()


def found(net, x, *codes):
    return [(each.rule.code, each.site) for each in check(net, x, select=codes, conserve=True).findings]


def repaired(net, x, *codes, **options):
    """The repaired copy, and the one outcome."""
    made = repaired_module(net, record(net, [x]), codes, **options)
    (outcome,) = made.outcomes
    return made.model, outcome


def refused(net, x, *codes):
    _, outcome = repaired(net, x, *codes)
    assert isinstance(outcome, Refused)
    return outcome.reason


def answers(layer, channels):
    """What a real layer makes, in the interior, of a constant in one channel after the other, and of nothing."""
    found = []
    for channel in range(channels + 1):
        x = torch.zeros(1, channels, 9, 10, dtype=torch.float64)
        x[:, channel : channel + 1] = 1
        with torch.no_grad():
            found.append(layer(x)[..., 6:-6, 6:-6].flatten(2))
    return found


@st.composite
def transposed_layers(draw):
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2]))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    if max(stride) == 1:
        stride = (2, *stride[1:])
    # coprime with every stride, so that no phase is without taps
    dilation = tuple(draw(st.sampled_from([1, 5])) if axes < 3 else 1 for _ in range(axes))
    kernel = tuple(s + draw(st.integers(0, 2)) for s in stride)
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    layer = kind(2 * groups, 3 * groups, kernel, stride, dilation=dilation, groups=groups)
    return filled(layer, seed=draw(st.integers(0, 99))), axes


@given(transposed_layers())
def test_every_phase_of_a_transposed_convolution_answers_alike_by_the_least_change(drawn):
    layer, axes = drawn
    net = nn.Sequential(layer, nn.Tanh())
    x = normal(1, layer.in_channels, *CELLS[:axes])
    if not found(net, x, "UP102"):
        return
    model, outcome = repaired(net, x, "UP102")
    assert isinstance(outcome, Repair)
    assert found(model, x, "UP102", "UP105") == []
    old, new = layer.weight.detach().double(), model[0].weight.detach().double()
    # the laws as plain equations on the elements of one kernel, and the pseudo-inverse of those
    places = torch.cartesian_prod(*(torch.arange(k) for k in layer.kernel_size)).reshape(-1, axes)
    phase = sum(
        ((places[:, axis] * layer.dilation[axis]) % layer.stride[axis]) * 5**axis for axis in range(axes)
    )
    sums = (phase.unique()[:, None] == phase).double()
    laws = sums[1:] - sums[:1]
    nearest_kernels = old.flatten(2) - (old.flatten(2) @ laws.T) @ torch.linalg.pinv(laws).T
    assert torch.allclose(new.flatten(2), nearest_kernels, atol=1e-5)
    assert torch.equal(net[0].bias, model[0].bias)
    assert outcome.relative_change == pytest.approx(float((new - old).norm() / old.norm()))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("between", [False, True])
def test_a_convolution_before_a_shuffle_is_balanced_with_its_biases(groups, between):
    conv = nn.Conv2d(4, 24, (3, 2), padding=(1, 0), groups=groups)
    net = filled(
        nn.Sequential(conv, *([nn.BatchNorm2d(24)] if between else []), nn.PixelShuffle(2), nn.ReLU())
    )
    x = normal(1, 4, *CELLS[:2])
    model, outcome = repaired(net, x, "UP102")
    assert outcome.words.endswith("so that every phase answers a constant alike; its biases change too")
    assert found(model, x, "UP102", "UP105") == []
    assert [part.part for part in outcome.parts] == ["weight", "bias"]
    layer = model[:-1].double()
    for y in answers(layer, 4):
        assert torch.allclose(y, y[..., :1], atol=1e-5)
    # the mean over the phases of what the biases add stays
    before, after = (answers(each, 4)[-1].mean(dim=-1) for each in (net[:-1].double(), layer))
    assert torch.allclose(before, after, atol=1e-5)


def test_a_spelled_shuffle_of_other_channels_is_balanced():
    class Spelled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 24, 3, padding=1)

        def forward(self, x):
            y = self.conv(x)
            n, _, h, w = y.shape
            # phases first: the order of DepthToSpace's DCR
            return y.reshape(n, 2, 3, 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, 4, 2 * h, 3 * w).relu()

    net = filled(Spelled())
    x = normal(1, 3, 5, 7)
    model, outcome = repaired(net, x, "UP102")
    assert isinstance(outcome, Repair)
    (site,) = sites(record(model, [x]))
    assert site.node.step.source is not None
    assert found(model, x, "UP102", "UP105") == []


@pytest.mark.parametrize(
    "layer",
    [
        ours.TransposedConv(4, 4, 4, stride=2),
        ours.SubpixelConv(4, 4, 3, scale=2),
        ours.SeparableTransposedConv(4, 6, 5, stride=2),
        nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=4),
    ],
    ids=["transposed", "sub-pixel", "separable", "depthwise"],
)
def test_layers_are_balanced_inside_a_chain(layer):
    net, x = nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.LazyConv2d(2, 3), nn.ReLU()), normal(1, 3, 5, 7)
    net(x)
    filled(net)
    assert [code for code, _ in found(net, x, "UP102")] == ["UP102"]
    model, outcome = repaired(net, x, "UP102")
    assert isinstance(outcome, Repair)
    assert found(model, x, "UP102") == []
    assert torch.equal(net[0].weight, model[0].weight)
    assert net[1] is not model[1]


def test_what_is_balanced_stays_as_it_is():
    net = filled(nn.Sequential(nn.ConvTranspose2d(3, 4, 4, stride=2), nn.ReLU()))
    ours.project_(net[0], balanced=True)
    made = repaired_module(net, record(net, [normal(1, 3, 5, 7)]), REPAIRED[:3])
    assert made.outcomes == ()
    assert torch.equal(made.model[0].weight, net[0].weight)


def test_even_answers_of_uneven_overlap_stay_as_they_are():
    net = filled(nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.ReLU()))
    x = normal(1, 3, 5, 7)
    model, outcome = repaired(net, x, "UP101")
    assert isinstance(outcome, Repair)
    again, outcome = repaired(model, x, "UP101")
    assert outcome.reason == "its phases answer a constant alike as it is; its overlap is that of its shape"
    assert torch.equal(again[0].weight, model[0].weight)


def test_half_precision_is_balanced_to_its_rounding():
    net = filled(nn.Sequential(nn.ConvTranspose2d(3, 4, 4, stride=2), nn.ReLU())).bfloat16()
    x = normal(1, 3, 5, 7).bfloat16()
    model, outcome = repaired(net, x, "UP102")
    assert model[0].weight.dtype == torch.bfloat16
    assert isinstance(outcome, Repair)
    assert outcome.measured[0].before > -20
    assert outcome.measured[0].after is None or outcome.measured[0].after < -40


@pytest.mark.parametrize("codes", [("UP401",), ("UP401", "UP102")])
def test_the_nearer_of_total_and_mean_is_kept(codes):
    for wanted, gain in (("total", 0.3), ("mean", 0.9)):
        layer = nn.ConvTranspose2d(2, 2, 2, stride=2)
        net = nn.Sequential(layer, nn.ReLU())
        with torch.no_grad():
            layer.weight[:] = gain * torch.eye(2)[:, :, None, None] + 0.02 * normal(2, 2, 2, 2)
        x = normal(1, 2, 5, 7)
        model, outcome = repaired(net, x, *codes)
        assert f"the {wanted} is kept" in outcome.words
        assert found(model, x, *codes) == []
        assert not model[0].bias.any()
        mass = model[0].weight.sum(dim=(2, 3))
        assert torch.allclose(mass, (1 if wanted == "total" else 4) * torch.eye(2), atol=1e-5)


def test_channels_that_differ_keep_the_total_together():
    net = filled(nn.Sequential(nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), nn.ReLU()))
    x = normal(1, 4, 5, 7)
    model, _ = repaired(net, x, "UP401")
    assert found(model, x, "UP401") == []
    change = (model[0].weight - net[0].weight).detach()
    # the same on every tap and every channel that an input channel reaches
    assert torch.allclose(change, change[:, :1, :1, :1].expand_as(change), atol=1e-6)


def test_mass_does_not_unbalance_what_is_balanced():
    net = filled(nn.Sequential(nn.ConvTranspose1d(2, 2, 3, stride=2), nn.ReLU()))
    ours.project_(net[0], balanced=True)
    x = normal(1, 2, 8)
    model, _ = repaired(net, x, "UP401")
    assert found(model, x, "UP401", "UP102") == []


def test_what_the_border_takes_is_said():
    net = filled(nn.Sequential(nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1), nn.ReLU()))
    _, outcome = repaired(net, normal(1, 2, 5, 7), "UP401")
    assert re.search(
        r"UP401 still finds that at 5x7 a total .* the border takes or adds 12\.7 %", outcome.words
    )


@pytest.mark.parametrize("kernel", [2, 4])
@pytest.mark.parametrize("codes", [("UP402",), ("UP402", "UP102")])
def test_blocks_keep_their_cells(kernel, codes):
    net = filled(
        nn.Sequential(nn.ConvTranspose2d(3, 3, kernel, stride=2, padding=kernel // 2 - 1), nn.ReLU())
    )
    x = normal(1, 3, 5, 7)
    assert {code for code, _ in found(net, x, *codes)} == set(codes)
    model, outcome = repaired(net, x, *codes)
    assert found(model, x, *codes) == []
    with torch.no_grad():
        blocks = nn.functional.avg_pool2d(model[0](x), 2)
    kept = 1 if "mean" in outcome.words else 1 / 4
    assert torch.allclose(blocks, kept * x, atol=1e-5)


def test_blocks_and_balance_are_one_projection():
    operator = transposed(normal(2, 2, 6, 4), stride=(2, 2), padding=(2, 1))
    joint = with_blocks(operator, 4.0, balanced=True)
    # alternating the two projections comes to the nearest point that both keep
    turn = operator
    for _ in range(200):
        turn = with_blocks(balanced(turn, mass=4 * torch.eye(2)), 4.0)
    assert torch.allclose(joint.taps, turn.taps, atol=1e-5)
    assert torch.allclose(balanced(joint).taps, joint.taps, atol=1e-5)


def test_blocks_that_are_kept_stay_as_they_are():
    operator = nearest(2).expand(3)
    assert torch.allclose(with_blocks(operator, 4.0, balanced=True).taps, operator.taps)


def test_blocks_without_the_taps_are_refused():
    beside = transposed(torch.ones(1, 1, 2), stride=2, padding=0)
    away = type(beside)(**{**vars(beside), "origin": (3,)})
    message = (
        "blocks can only be kept where the taps for it are there; a kernel of these sizes has none at the "
        "sample's own cell, or too few to keep its phases alike as well, so use a longer one"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        with_blocks(away, 1.0)
    message = (
        "blocks are kept where the output is one block of samples per cell and as many channels go out as "
        "come in; got excess (1,), 1 channels in and 1 out"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        with_blocks(transposed(torch.ones(1, 1, 3), stride=2), 1.0)
    assert with_blocks(linear(2, ndim=1), 2.0, balanced=True).scale == (2,)


def test_stages_of_a_linear_model_are_not_repaired_one_by_one():
    net = filled(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ConvTranspose2d(2, 2, 2, stride=2)))
    assert refused(net, normal(1, 2, 5, 7), "UP401") == (
        "the model is linear throughout and is judged as a whole, so that what one stage makes another may "
        "lose; repair its stages before they are put in a row"
    )


def test_phases_without_taps_are_refused():
    net = filled(nn.Sequential(nn.ConvTranspose1d(8, 8, 1, stride=2), nn.ReLU()))
    assert refused(net, normal(1, 8, 5), "UP102").startswith(
        "an operator can only be balanced if every phase has a tap; phases [1] of scale (2,) have none"
    )


def test_computed_weights_are_refused():
    reason = (
        "its weight is computed from others while the model runs (weight normalisation, a parametrization, a "
        "cast); remove that first, so that a parameter holds it"
    )
    x = normal(1, 4, 5)
    layer = nn.ConvTranspose1d(4, 4, 4, stride=2)
    net = filled(nn.Sequential(nn.utils.parametrizations.weight_norm(layer), nn.ReLU()))
    assert refused(net, x, "UP102") == reason


def test_a_fixed_kernel_is_refused():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kernel", normal(4, 4, 4))

        def forward(self, x):
            return nn.functional.conv_transpose1d(x, self.kernel, stride=2).relu()

    assert refused(Fixed(), normal(1, 4, 5), "UP102") == (
        "its weight is the buffer kernel, a fixed kernel that no training has made"
    )


def test_kernels_that_are_no_weights_are_refused():
    net = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU())
    reason = "its kernel is fixed, so that there are no weights to change"
    assert refused(net, normal(1, 4, 5, 7), "UP402") == reason

    class Drawn(nn.Module):
        def __init__(self):
            super().__init__()
            self.taps = nn.Parameter(normal(4, 1, 1, 3))

        def forward(self, x):
            clamp = ("clamp",)
            operator = Polyphase(
                taps=self.taps.reshape(2, 1, 2, 3)[:, :, :1],
                scale=(2,),
                origin=(1,),
                excess=(0,),
                border=clamp,
                shared=True,
            )
            return upsample(x, operator).relu()

    assert refused(Drawn(), normal(1, 1, 8), "UP102") == (
        "its operator is laid out while the model runs, so that no parameter holds its kernel"
    )


def test_a_weight_with_another_use_is_refused():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(4, 4, 4, stride=2)

        def forward(self, x):
            return nn.functional.conv2d(self.up(x).relu(), self.up.weight).relu()

    assert (
        refused(filled(Tied()), normal(1, 4, 5, 7), "UP102")
        == "its weight up.weight is used by conv2d as well"
    )

    net = filled(nn.Sequential(nn.ConvTranspose1d(4, 4, 4, stride=2), nn.ReLU()))
    net[1].weight = net[0].weight
    assert refused(net, normal(1, 4, 5), "UP102") == (
        "its weight 0.weight is 1.weight too, which may be used otherwise"
    )


def test_a_layer_that_runs_twice_is_repaired_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(4, 4, 4, stride=2)

        def forward(self, x):
            return self.up(self.up(x).relu()).relu()

    net, x = filled(Twice()), normal(1, 4, 5, 7)
    made = repaired_module(net, record(net, [x]), ["UP102"])
    assert [each.site for each in made.outcomes] == ["up", "up:2"]
    assert all(isinstance(each, Repair) for each in made.outcomes)
    assert found(made.model, x, "UP102") == []


def test_a_convolution_that_others_take_is_refused():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.up, self.side = nn.Conv2d(4, 16, 3), nn.PixelShuffle(2), nn.Conv2d(16, 2, 1)

        def forward(self, x):
            y = self.conv(x)
            return self.up(y), self.side(y)

    net = filled(Shared())
    assert refused(net, normal(1, 4, 5, 7), "UP102") == (
        "what conv gives is taken by side as well, where its channels are no phases"
    )


def test_zeros_and_missing_biases_between_are_refused():
    net = filled(nn.Sequential(nn.Conv2d(4, 16, 3, bias=False), nn.BatchNorm2d(16), nn.PixelShuffle(2)))
    x = normal(1, 4, 5, 7)
    assert refused(net, x, "UP102") == (
        "what stands between its convolution and the shuffle adds another number to every phase, and the "
        "convolution has no bias to take that back; give it one"
    )
    with torch.no_grad():
        net[1].weight[3] = 0
    assert refused(net, x, "UP102") == (
        "a number that stands between its convolution and the shuffle is zero, so that no kernel would come "
        "through; remove these channels"
    )


def test_only_named_sites_and_known_codes_are_asked():
    net = filled(
        nn.Sequential(nn.ConvTranspose1d(4, 4, 4, 2), nn.ReLU(), nn.ConvTranspose1d(4, 4, 4, 2), nn.ReLU())
    )
    graph = record(net, [normal(1, 4, 5)])
    assert [each.site for each in repaired_kernels(graph, ["UP102"], sites_named=["2"])] == ["2"]
    message = "kernels are repaired for UP101, UP102, UP105, UP401, UP402; got 'UP301'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        repaired_kernels(graph, ["UP301"])
    message = "sites to repair must be among 0, 2; got 'up'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        repaired_kernels(graph, ["UP102"], sites_named=["up"])


def test_changed_outputs_say_by_how_much():
    class Two(nn.Module):
        def __init__(self, gain):
            super().__init__()
            self.gain = gain

        def forward(self, x):
            return {"same": x, "more": self.gain * x}

    x = torch.tensor([[[-2.0, 2.0, 0.0, 0.0]]])
    one, two = (runner(Two(gain))(x) for gain in (1.0, 1.25))
    same, more = moved(one, two)
    assert (same.name, same.relative, same.rms) == ("same", 0.0, 0.0)
    assert (more.name, more.relative, more.rms) == ("more", 0.25, 0.25)
    (gone,) = moved({"more": x}, {"more": x[..., :3]})
    assert (gone.relative, gone.rms) == (math.inf, math.inf)


def test_a_model_that_cannot_be_copied_is_said():
    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose1d(4, 4, 4, 2)
            self.last = self.up.weight * 2

        def forward(self, x):
            return self.up(x).relu()

    net = Held()
    with pytest.raises(OptionError, match=r"^a model is repaired in a copy, and this one cannot be copied: "):
        repaired_module(net, record(net, [normal(1, 4, 5)]), ["UP102"])
