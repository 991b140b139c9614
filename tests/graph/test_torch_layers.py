"""What is read back from a recorded layer is the layer, and a recorded row of layers is the row."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from drawn_layers import FAMILIES, SIZES, random_map, seeded, sequences, single_layers
from tolerance import assert_same
from upstroke import from_module, upsample
from upstroke.graph import affine_of, joins, sites
from upstroke.graph.steps import Convolution, Pad, PerChannel, Pointwise, Stays, TransposedConvolution, Unread
from upstroke.graph.torch import record
from upstroke.polyphase import compose_affine


class Function(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *maps):
        return self.function(*maps)


def output_of(layer, x):
    try:
        y = layer(x)
    except RuntimeError:  # PyTorch says so of kernels and pads larger than the map
        assume(False)
    assume(0 < y.numel() < 3e5)
    return y.detach()


def replayed(graph, x):
    """What the recorded steps make of a map, one after the other."""
    name = graph.inputs[0]
    for node in graph.nodes:
        assert node.inputs == (name,)
        x, name = upsample(x, affine_of(node.step, ndim=x.ndim - 2)).detach(), node.output
        assert graph.shapes[name] == x.shape
    assert graph.outputs == (name,)
    return x


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_a_recorded_layer_is_the_layer(family, data):
    layer, x = data.draw(single_layers(family))
    expected = output_of(layer, x)
    assert_same(replayed(record(layer, [x]), x), expected)


@given(drawn=sequences())
def test_a_recorded_row_is_the_row_wherever_its_operator_is(drawn):
    layers, x = drawn
    expected = output_of(layers, x)
    graph = record(layers, [x])
    assert_same(replayed(graph, x), expected)
    if graph.nodes:
        first, *rest = (affine_of(node.step, ndim=x.ndim - 2) for node in graph.nodes)
        for each in rest:
            first = compose_affine(first, each)
        whole = from_module(layers, ndim=x.ndim - 2)
        assert first.operator.scale == whole.operator.scale
        actual = upsample(x, first).detach()
        places = zip(first.operator.margin, expected.shape[2:], strict=True)
        inside = (..., *(slice(left, max(left, size - right)) for (left, right), size in places))
        if expected[inside].numel():
            assert_same(actual[inside], expected[inside])


def test_a_pad_that_is_more_than_a_wrap_is_read_as_one_pad():
    layer = nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular")
    graph = record(layer, [torch.rand(2, 2, 5, 7)])
    pad, convolution = (node.step for node in graph.nodes)
    assert isinstance(pad, Pad)
    assert (pad.sides, pad.border) == (((1, 1), (2, 2)), "circular")
    assert [node.operator for node in graph.nodes] == ["aten._pad_circular", "Conv2d"]
    assert convolution.padding == ((0, 0), (0, 0))


@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_what_no_border_does_is_a_pad_without_one(mode):
    value = 1.0 if mode == "constant" else None
    graph = record(Function(lambda x: F.pad(x, (1, 2, 0, 3), mode, value)), [torch.rand(1, 2, 5, 7)])
    assert graph.nodes[0].step.sides == ((0, 3), (1, 2))
    assert graph.nodes[0].step.border is None


@given(cuts=st.tuples(*[st.integers(0, 2)] * 4), ndim=st.sampled_from([2, 3]))
def test_slices_and_negative_pads_cut(cuts, ndim):
    x = random_map(ndim, 2, 0)
    top, bottom, left, right = cuts
    height, width = x.shape[-2:]

    def sliced(x):
        return x[..., top : height - bottom, left : width - right]

    expected = sliced(x)
    assume(expected.numel())
    assert_same(replayed(record(Function(sliced), [x]), x), expected)
    padded = Function(lambda x: F.pad(x, (-left, -right, -top, -bottom)))
    assert_same(replayed(record(padded, [x]), x), expected)


def with_weight_norm(layer):
    return parametrizations.weight_norm(layer)


def with_old_weight_norm(layer):
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(layer)


def with_spectral_norm(layer):
    return parametrizations.spectral_norm(layer)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def with_parametrization(layer):
    parametrize.register_parametrization(layer, "weight", Doubled())
    return layer


@pytest.mark.parametrize(
    "wrap", [with_weight_norm, with_old_weight_norm, with_spectral_norm, with_parametrization]
)
def test_a_weight_that_is_made_is_read_as_it_is_used(wrap):
    torch.manual_seed(0)
    layer = wrap(nn.ConvTranspose2d(2, 3, (3, 4), stride=(2, 3), padding=1)).double().eval()
    x = random_map(2, 2, 0)
    graph = record(nn.Sequential(layer), [x])
    assert [(node.name, node.operator) for node in graph.nodes] == [("0", "ConvTranspose2d")]
    assert_same(replayed(graph, x), layer(x).detach())


def test_weights_are_not_copied():
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 4, stride=2))
    steps = [node.step for node in record(layers, [torch.rand(1, 2, 5, 7)]).nodes]
    for step, layer in zip(steps, layers, strict=True):
        assert isinstance(step, Convolution | TransposedConvolution)
        assert step.weight.data_ptr() == layer.weight.data_ptr()
        assert step.bias.data_ptr() == layer.bias.data_ptr()


def test_functions_are_seen_as_layers_are():
    weight = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    graph = record(
        Function(lambda x: F.conv_transpose2d(x, weight, stride=(2, 3), output_padding=1)),
        [random_map(2, 2, 0)],
    )
    assert [(node.name, node.operator) for node in graph.nodes] == [
        ("conv_transpose2d", "aten.conv_transpose2d")
    ]
    assert graph.nodes[0].step.weight is weight
    assert_same(
        replayed(graph, random_map(2, 2, 0)),
        F.conv_transpose2d(random_map(2, 2, 0), weight, None, (2, 3), 0, 1),
    )


CONSTANT = torch.randn(4, dtype=torch.float64)
PER_CHANNEL = {
    "plus a number": lambda x: x + 3,
    "minus a number": lambda x: x - 3,
    "a number minus": lambda x: 3 - x,
    "alpha": lambda x: torch.add(x, 2, alpha=3),
    "less alpha": lambda x: torch.rsub(x, 2, alpha=3),
    "times": lambda x: 0.3 * x,
    "over": lambda x: x / 3,
    "twice": lambda x: x + x,
    "negative": lambda x: -x,
    "a bias": lambda x: x + CONSTANT.reshape(4, *(1,) * (x.ndim - 2)),
    "less a bias": lambda x: x - CONSTANT.reshape(1, 4, *(1,) * (x.ndim - 2)),
    "from a bias": lambda x: CONSTANT.reshape(4, *(1,) * (x.ndim - 2)) - x,
    "a gain": lambda x: x * CONSTANT.reshape(4, *(1,) * (x.ndim - 2)),
    "over a gain": lambda x: x / CONSTANT.reshape(4, *(1,) * (x.ndim - 2)),
    "a number in a tensor": lambda x: x * torch.tensor(2.0),
    "in place": lambda x: x.clone().mul_(2).add_(1),
    "counted in whole numbers": lambda x: x + torch.arange(4).reshape(4, *(1,) * (x.ndim - 2)),
}


@pytest.mark.parametrize("spelling", PER_CHANNEL)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_arithmetic_with_constants_is_per_channel(spelling, ndim):
    x = random_map(ndim, 4, 0)
    graph = record(Function(PER_CHANNEL[spelling]), [x])
    assert any(isinstance(node.step, PerChannel) for node in graph.nodes)
    assert_same(replayed(graph, x), PER_CHANNEL[spelling](x))


NOT_PER_CHANNEL = {
    "a picture": lambda x: x + torch.ones(5, 7),
    "along a row": lambda x: x * torch.ones(7),
    "per picture": lambda x: x * torch.ones(2, 1, 1, 1),
    "more channels": lambda x: x[:, :1] + torch.ones(3, 1, 1),
    "its own statistics": nn.InstanceNorm2d(4),
    "channels in groups": nn.GroupNorm(2, 4),
    "batch statistics": nn.BatchNorm2d(4, track_running_stats=False),
}


@pytest.mark.parametrize("spelling", NOT_PER_CHANNEL)
def test_what_differs_from_place_to_place_leaves_samples_where_they_are(spelling):
    graph = record(Function(NOT_PER_CHANNEL[spelling]), [torch.rand(2, 4, 5, 7)])
    steps = [node.step for node in graph.nodes]
    assert any(isinstance(step, Stays) for step in steps)
    assert not any(isinstance(step, PerChannel | Unread) for step in steps)


@pytest.mark.parametrize("like", [True, False])
def test_noise_that_is_added_is_joined(like):
    graph = record(
        Function(lambda x: x + (torch.randn_like(x) if like else torch.rand(2, 1, 5, 7))),
        [torch.rand(2, 4, 5, 7)],
    )
    assert graph.inputs == ("input", "randn_like" if like else "rand")
    assert [node.step.kind for node in graph.nodes] == ["add"]


POINTWISE = [
    nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.SiLU(), nn.ELU(),
    nn.SELU(), nn.CELU(), nn.Hardtanh(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(), nn.Mish(), nn.PReLU(4),
    nn.Softshrink(), nn.Hardshrink(), nn.LogSigmoid(), nn.Threshold(0.1, 0.0), nn.RReLU(),
]  # fmt: skip


@pytest.mark.parametrize("layer", POINTWISE, ids=str)
def test_activations_are_pointwise_and_named_by_their_layer(layer):
    (node,) = record(nn.Sequential(layer), [torch.rand(1, 4, 5, 7)]).nodes
    assert isinstance(node.step, Pointwise)
    assert (node.name, node.operator) == ("0", type(layer).__name__)


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Dropout(), nn.Dropout2d()], ids=str)
def test_what_does_nothing_leaves_no_trace(layer):
    graph = record(layer, [torch.rand(1, 4, 5, 7)])
    assert graph.nodes == ()
    assert graph.outputs == graph.inputs == ("input",)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pools_are_read_in_any_number_of_axes(ndim):
    kinds = {
        1: (nn.MaxPool1d, nn.AvgPool1d),
        2: (nn.MaxPool2d, nn.AvgPool2d),
        3: (nn.MaxPool3d, nn.AvgPool3d),
    }
    for pool, kind in zip(kinds[ndim], ("max", "mean"), strict=True):
        (node,) = record(pool(3, stride=2, padding=1), [torch.rand(1, 4, *SIZES[ndim])]).nodes
        assert (node.step.kernel, node.step.stride) == ((3,) * ndim, (2,) * ndim)
        assert (node.step.padding, node.step.kind) == (((1, 1),) * ndim, kind)


class UNet(nn.Module):
    """Two levels, one upsampler called twice, one written as a function, ReLU in place."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 2, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.mix = nn.Conv2d(4, 2, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        middle = self.relu(self.down(x))
        deep = self.relu(self.down(middle))
        middle = self.mix(torch.cat([middle, self.up(deep)], dim=1))
        grown = F.interpolate(middle, scale_factor=2.0, mode="bilinear")
        return {"grown": self.up(middle) + x, "plain": grown}


def test_skips_and_layers_that_run_twice():
    graph = record(UNet(), [torch.rand(1, 2, 8, 12)])
    found = sites(graph)
    assert [site.name for site in found] == ["up", "upsample_bilinear2d", "up:2"]
    assert [site.operator for site in found] == [
        "ConvTranspose2d",
        "aten.upsample_bilinear2d",
        "ConvTranspose2d",
    ]
    assert [site.size_in for site in found] == [(2, 3), (4, 6), (4, 6)]
    branchings = joins(graph, found)
    assert [each.node.step.kind for each in branchings] == ["concatenate", "add"]
    assert [[each.name if each else None for each in branching.sites] for branching in branchings] == [
        [None, "up"],
        ["up:2", None],
    ]
    assert len(graph.outputs) == 2
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)


def test_a_map_stays_a_map_when_it_is_changed_in_place():
    class Net(nn.Module):
        def forward(self, x):
            y = x.clone()
            view = y.view(1, 2, 35)
            view.relu_()
            return y * 2

    clone, _, relu, seen, twice = record(Net(), [torch.rand(1, 2, 5, 7)]).nodes
    assert isinstance(relu.step, Pointwise)
    assert seen.inputs == (clone.output, relu.output)
    assert twice.inputs == (seen.output,)


def test_the_model_is_left_as_it_was():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm2d(2), nn.Dropout()
            self.register_buffer("calls", torch.zeros(3))
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x):
            self.calls[1:] += 1
            self.seen = self.seen + 1
            return self.norm(self.drop(x)) + torch.randn(1)

    net, x = Net(), torch.rand(1, 2, 5, 7)
    net.norm.eval()
    state, inputs, random = copy.deepcopy(net.state_dict()), x.clone(), torch.get_rng_state()
    record(net, [x])
    assert [part.training for part in net.modules()] == [True, False, True]
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert torch.equal(x, inputs)
    assert torch.equal(torch.get_rng_state(), random)


def test_an_input_that_is_changed_in_place_is_put_back():
    x = torch.rand(1, 2, 5, 7)
    before = x.clone()
    graph = record(Function(lambda x: x.mul_(2) + 1), [x])
    assert torch.equal(x, before)
    assert [type(node.step) for node in graph.nodes] == [PerChannel, PerChannel]


def test_a_weight_made_from_the_input_is_not_read():
    def modulated(x, style):
        weight = torch.ones(2, 3, 4, 4) * style.reshape(1, 2, 1, 1).mT.reshape(2, 1, 1, 1)
        return F.conv_transpose2d(x, weight, stride=2)

    graph = record(Function(modulated), [torch.rand(1, 2, 5, 7), torch.rand(1, 2)])
    (step,) = [node.step for node in graph.nodes if isinstance(node.step, Unread | TransposedConvolution)]
    assert isinstance(step, Unread)
    assert step.reason == "its weight is computed from the input"


@pytest.mark.parametrize("way", ["function", "layer"])
def test_statistics_are_left_as_they_were_by_a_model_that_trains_itself(way):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x):
            if way == "layer":
                return self.norm.train()(x)
            return F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)

    net = Net().eval()
    before = copy.deepcopy(net.state_dict())
    record(net, [torch.rand(2, 2, 5, 7)])
    assert not net.norm.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_transposed_convolution_of_complex_numbers_is_one_that_is_not_read(ndim):
    layer = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[ndim - 1]
    net = nn.Sequential(layer(2, 3, 3, stride=2, dtype=torch.complex64))
    (site,) = sites(record(net, [random_map(ndim, 2, 0).to(torch.complex64)]))
    assert isinstance(site.node.step, Unread)
    assert site.node.step.reason == "a transposed convolution of complex numbers is not read"
    assert (site.name, site.operator) == ("0", f"ConvTranspose{ndim}d")


@pytest.mark.parametrize("outside", [False, True])
def test_a_compiled_part_is_read_as_what_it_was_made_from(outside):
    inner = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2, 2, 3, stride=2))
    net = nn.Sequential(nn.Identity(), torch.compile(inner, backend="eager"))
    graph = record(torch.compile(net, backend="eager") if outside else net, [torch.rand(1, 2, 5, 7)])
    assert [node.name for node in graph.nodes] == ["1.0", "1.1"]


def test_outputs_are_found_in_any_structure():
    class Holder:
        def __init__(self, value):
            self.value = value

    graph = record(Function(lambda x: (x + 1, [Holder(x * 2)], {"none": None})), [torch.rand(1, 2, 5)])
    assert graph.outputs == ("add", "mul")


def test_lazy_layers_learn_their_shape():
    graph = record(nn.Sequential(nn.LazyConvTranspose2d(3, 2, stride=2)), [torch.rand(1, 2, 5, 7)])
    assert graph.nodes[0].step.weight.shape == (2, 3, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_casts_between_floating_types_change_nothing(dtype):
    layers = seeded(nn.Sequential(nn.ConvTranspose2d(2, 2, 4, stride=2)), 0).float()
    graph = record(
        Function(lambda x: layers(x.to(torch.float64).float())), [torch.rand(1, 2, 5, 7).to(dtype)]
    )
    assert sites(graph)[0].chain == graph.nodes


class Generator(nn.Module):
    """Noise to a digit of 28 x 28 pixels, as the weights in the shared data were trained."""

    def __init__(self):
        super().__init__()
        plan = [(64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2)]
        rows = []
        for row, (channels, out, kernel, stride) in enumerate(plan):
            conv = nn.ConvTranspose2d(channels, out, kernel, stride)
            last = row == len(plan) - 1
            rows.append(
                nn.Sequential(conv, nn.Tanh())
                if last
                else nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())
            )
        self.gen = nn.Sequential(*rows)

    def forward(self, noise):
        return self.gen(noise)


def test_a_trained_generator(data_dir):
    net = Generator()
    state = torch.load(data_dir / "models" / "dcgan_mnist" / "generator.pth", weights_only=True)
    net.load_state_dict(state)
    graph = record(net, [torch.rand(1, 64, 1, 1)], name="dcgan")
    found = sites(graph)
    assert [site.name for site in found] == ["gen.0.0", "gen.1.0", "gen.2.0", "gen.3.0"]
    assert [len(site.chain) for site in found] == [2, 2, 2, 1]
    assert [site.size_out for site in found] == [(3, 3), (6, 6), (13, 13), (28, 28)]
    assert [site.ends.operator for site in found] == ["ReLU", "ReLU", "ReLU", "Tanh"]
    assert torch.equal(found[2].node.step.weight, net.gen[2][0].weight)
    x, layers = random_map(2, 128, 0).float(), net.eval().gen[2][:2]
    assert_same(replayed(record(layers, [x]), x), layers(x).detach())
