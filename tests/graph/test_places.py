"""Hold where every map's samples sit: by the algebra of grids, by ramps through PyTorch, and in tokens."""

import time
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from torch import nn

from onnx_models import model, node
from upstroke.graph import Graph, Lost, Node, Place, joins, places, sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.steps import Convolution, Join, Pointwise
from upstroke.graph.torch import record
from upstroke.grid import Grid

HALF = Fraction(1, 2)


class Net(nn.Module):
    """A function as a model, with layers."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *maps):
        return self.function(self, *maps)


def graph_of(function, *maps, **layers):
    return record(Net(function, **layers), maps or (torch.rand(2, 3, 16, 24),))


def outcome(function, *maps, **layers):
    """The place of the only output, or why it has none."""
    graph = graph_of(function, *maps, **layers)
    (output,) = graph.outputs
    found = places(graph)[output]
    return found.reason if isinstance(found, Lost) else found


def grid_behind(function, *maps, **layers):
    found = outcome(function, *maps, **layers)
    assert isinstance(found, Place), found
    assert found.first == found.last == found.grid
    return found.grid


def drifts(graph):
    return [(each.drift, each.mean_drift) for each in joins(graph, sites(graph))]


def per_axis(*numbers):
    return tuple(tuple(map(Fraction, pair)) for pair in numbers)


class Encoder(nn.Module):
    """The strides of a ResNet-18 under a decoder of nearest resizes, with its maps concatenated."""

    def __init__(self, wide=8):
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 8, 7, 2, 3), nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList([nn.Conv2d(8, 8, 3, stride, 1) for stride in (1, 2, 2, 2)])
        self.mixes = nn.ModuleList([nn.Conv2d(8 + wide if n else 16, wide, 3, 1, 1) for n in range(4)])

    def forward(self, x):
        skips = [self.stem(x)]
        y = self.pool(skips[0])
        for stage in self.stages:
            y = stage(y)
            skips.append(y)
        y = skips.pop()
        for mix in self.mixes:
            y = mix(torch.cat([F.interpolate(y, scale_factor=2), skips.pop()], dim=1))
        return F.interpolate(y, scale_factor=2)


def test_a_resnet_under_nearest_resizes_drifts_as_the_design_says():
    graph = record(Encoder(), [torch.rand(1, 3, 64, 96)])
    worst, mean = zip(*drifts(graph), strict=True)
    assert worst == per_axis((-8, -8), (-12, -12), (-14, -14), (-15, -15))
    assert mean == per_axis((-8, -8), (-8, -8), (-6, -6), (-4, -4))
    out = places(graph)[graph.outputs[0]]
    assert (out.first.offset, out.last.offset) == per_axis((-15 - HALF, -15 - HALF), (-HALF, -HALF))
    assert out.grid == Grid(offset=per_axis((-2 - HALF, -2 - HALF))[0], spacing=per_axis((1, 1))[0])


def test_concatenation_weighs_branches_by_their_channels():
    graph = record(Encoder(wide=24), [torch.rand(1, 3, 64, 96)])
    worst, mean = zip(*drifts(graph), strict=True)
    assert [axis[0] for axis in worst] == [-8, -12, -14, -15]
    # behind the first join 8 and 8 channels meet, behind every later one 24 and 8
    centre = Fraction(-4)
    for step, found in zip((8, 4, 2), mean[1:], strict=True):
        assert found[0] == centre - step / 2
        centre = (3 * (centre - Fraction(step, 2)) + 0) / 4
    assert places(graph)[graph.outputs[0]].grid.offset[0] == centre - HALF


def test_added_branches_weigh_alike_and_a_first_branch_comes_before():
    def net(layers, x):
        return layers.narrow(x) + layers.even(x)

    layers = {"narrow": nn.Conv2d(3, 4, 3, 2, 1), "even": nn.Conv2d(3, 4, (2, 4), 2, (0, 1))}
    graph = graph_of(net, **layers)
    assert drifts(graph) == [per_axis((-HALF, -HALF), (-HALF, -HALF))]
    found = places(graph)[graph.outputs[0]]
    assert found.grid.offset == (HALF / 2, HALF / 2)
    assert (found.first.offset, found.last.offset) == ((0, 0), (HALF, HALF))


def test_even_pools_under_even_transposed_convolutions_are_registered():
    def net(layers, x):
        return torch.cat([layers.up(layers.deep(F.max_pool2d(x, 2))), x], dim=1)

    graph = graph_of(net, up=nn.ConvTranspose2d(4, 3, 2, 2), deep=nn.Conv2d(3, 4, 3, 1, 1))
    assert drifts(graph) == [per_axis((0, 0), (0, 0))]


SPELLINGS = {
    "cat": lambda a, b: torch.cat([a, b], 1),
    "add": lambda a, b: a + b,
    "in place": lambda a, b: a.clone().add_(b),
    "less": lambda a, b: a - b,
    "times": lambda a, b: a * b,
    "over": lambda a, b: a / (b + 1),
    "sum": lambda a, b: sum([a, b]),
    "stacked": lambda a, b: torch.stack([a, b]).sum(0),
    "stacked behind": lambda a, b: torch.stack([a, b], -1).mean(-1),
    "larger": torch.maximum,
    "smaller": torch.minimum,
    "between": lambda a, b: torch.lerp(a, b, 0.5),
    "one of": lambda a, b: torch.where(torch.ones(8, 12) > 0, a, b),
    "scaled": lambda a, b: torch.addcmul(torch.zeros(1), a, b),
    "channels last": lambda a, b: torch.cat([a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)], -1),
    "tokens": lambda a, b: a.flatten(2).transpose(1, 2) + b.flatten(2).transpose(1, 2),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_joins_in_every_spelling(spelling):
    def net(layers, x):
        return SPELLINGS[spelling](layers.odd(x), layers.even(x))

    graph = graph_of(net, odd=nn.Conv2d(3, 4, (3, 5), 2, (1, 2)), even=nn.Conv2d(3, 4, (2, 4), 2, (0, 1)))
    assert drifts(graph) == [per_axis((-HALF, -HALF), (-HALF, -HALF))]
    (join,) = joins(graph, sites(graph))
    assert join.reason == ""
    assert [branch.place.grid.offset for branch in join.branches] == list(per_axis((0, 0), (HALF, HALF)))


def test_constants_and_copies_are_no_branches():
    def net(layers, x):
        y = layers.conv(x)
        gate = layers.point(y.mean((2, 3), keepdim=True)).sigmoid()
        return torch.cat([y * gate + layers.picture, torch.ones(2, 1, 16, 24)], 1)

    picture = nn.Parameter(torch.rand(16, 24))
    graph = graph_of(net, conv=nn.Conv2d(3, 4, 3, 1, 1), point=nn.Conv2d(4, 4, 1), picture=picture)
    assert joins(graph, sites(graph)) == ()
    assert places(graph)[graph.outputs[0]].grid == Grid.of_input(2)


def test_noise_is_a_branch_from_elsewhere():
    graph = graph_of(lambda _, x: x + torch.randn(2, 1, 16, 24))
    (join,) = joins(graph, sites(graph))
    assert join.reason == "different origins: input, randn"


def test_branches_that_are_lost_are_said_and_do_not_count():
    def net(layers, x):
        return x + torch.fft.irfft2(torch.fft.rfft2(layers.conv(x)))

    graph = graph_of(net, conv=nn.Conv2d(3, 3, 2, padding="same"))
    (join,) = joins(graph, sites(graph))
    assert (join.drift, join.mean_drift) == (None, None)
    assert join.reason == "a branch has no place (a Fourier transform mixes all positions)"
    assert places(graph)[graph.outputs[0]].grid == Grid.of_input(2)


def test_spacings_that_differ_have_no_drift_and_a_mean():
    def net(layers, x):
        return F.interpolate(layers.pool(x), scale_factor=2, mode="bilinear", align_corners=True) + x

    graph = graph_of(net, pool=nn.AvgPool2d(2))
    (join,) = joins(graph, sites(graph))
    assert join.reason == "different spacings: (14/15, 22/23) and (1, 1) pixels"
    found = places(graph)[graph.outputs[0]].grid
    assert found.size_dependent
    assert found.spacing == (Fraction(29, 30), Fraction(45, 46))
    assert found.offset == (HALF / 2, HALF / 2)


# --- steps ------------------------------------------------------------------------------------------------


@st.composite
def linear_steps(draw):
    """A layer that keeps a ramp a ramp in its interior, and what it does to a grid."""
    kind = draw(st.sampled_from(["conv", "pool", "transposed", "nearest", "shuffle", "unshuffle", "crop"]))
    axes = [
        [draw(st.integers(least, most)) for _ in range(2)] for least, most in ((1, 4), (1, 3), (0, 2), (1, 2))
    ]
    kernel, stride, padding, dilation = map(tuple, axes)
    if kind == "conv":
        layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        return layer, lambda grid: grid.conv(kernel, stride=stride, padding=padding, dilation=dilation)
    if kind == "pool":
        padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
        layer = nn.AvgPool2d(kernel, stride, padding)
        return layer, lambda grid: grid.conv(kernel, stride=stride, padding=padding)
    if kind == "transposed":
        kernel = tuple(k * s for k, s in zip(kernel, stride, strict=True))
        layer = nn.ConvTranspose2d(1, 1, kernel, stride, padding, bias=False)
        return layer, lambda grid: grid.transposed(kernel, stride=stride, padding=padding)
    if kind == "nearest":
        return nn.Upsample(scale_factor=stride), lambda grid: grid.resize(stride)
    if kind == "shuffle":
        scale = stride[0]
        row = nn.Sequential(nn.Conv2d(1, scale**2, 1, bias=False), nn.PixelShuffle(scale))
        return row, lambda grid: grid.resize(scale)
    if kind == "unshuffle":
        row = nn.Sequential(
            nn.ZeroPad2d((0, 12, 0, 12)), Cut(), nn.PixelUnshuffle(2), nn.Conv2d(4, 1, 1, bias=False)
        )
        return row, lambda grid: grid.unshuffle(2)
    row = nn.ZeroPad2d((padding[1], -1, -1, 2))
    return row, lambda grid: grid.crop((1, -padding[1]))


class Cut(nn.Module):
    """A map cut to an even size."""

    def forward(self, x):
        return x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]


def means(layer):
    """The layer with every kernel replaced by the uniform mean."""
    for part in layer.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
        elif isinstance(part, nn.ConvTranspose2d):
            taps = part.kernel_size[0] * part.kernel_size[1] / (part.stride[0] * part.stride[1])
            nn.init.constant_(part.weight, 1 / taps)
    return layer


@given(rows=st.lists(linear_steps(), min_size=1, max_size=4))
def test_a_row_of_layers_sits_where_the_algebra_and_a_ramp_say(rows):
    size = (61, 67)
    ramps = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in size), indexing="ij")
    pictures = torch.stack([*ramps, torch.ones(size, dtype=torch.float64)])[:, None]
    net = nn.Sequential(*(means(layer) for layer, _ in rows)).double().eval()
    grid = Grid.of_input(2)
    for _, passed in rows:
        grid = passed(grid)
    try:
        with torch.no_grad():
            shown = net(pictures)[:, 0]
    except RuntimeError:  # nothing of the map is left
        return
    graph = record(net, [pictures])
    assert places(graph)[graph.outputs[0]].grid == grid
    # what no border reached, averaged over a whole period of phases, which divides this
    inside = (shown[2] - 1).abs() < 1e-9
    for axis in range(2):
        period = (2 * 3) ** len(rows)
        middle = inside.shape[1 - axis] // 2
        line, clean = (each.select(1 - axis, middle) for each in (shown[axis], inside))
        for start in range(len(line) - period):
            if clean[start : start + period].all():
                found = line[start : start + period].mean()
                at = Fraction(2 * start + period - 1, 2)
                assert abs(float(found) - float(grid.position(at)[axis])) < 1e-9
                break


RESIZES = [
    (coordinates, mode, rounding, scale)
    for coordinates in ("half_pixel", "asymmetric")
    for mode, roundings in (("nearest", ("floor", "ceil", "round_prefer_floor")), ("linear", ("floor",)))
    for rounding in roundings
    for scale in ((2.0, 3.0), (1.5, 0.5))
]


@pytest.mark.parametrize(("coordinates", "mode", "rounding", "scale"), RESIZES)
def test_resizes_of_onnx_sit_where_their_modes_say(coordinates, mode, rounding, scale):
    attributes = {"coordinate_transformation_mode": coordinates, "mode": mode, "nearest_mode": rounding}
    weights = {"s": torch.tensor([1.0, 1.0, *scale]).numpy()}
    graph = read_onnx(
        model([node("Resize", ["x", "", "s"], "y", **attributes)], {"x": (1, 2, 6, 8)}, weights=weights)
    )
    exact = tuple(Fraction(factor) for factor in scale)
    expected = Grid.of_input(2).resize_onnx(exact, coordinates=coordinates, mode=mode, rounding=rounding)
    assert places(graph)["y"].grid == expected


def test_corners_that_stay_make_a_grid_that_depends_on_the_size():
    found = outcome(lambda _, x: F.interpolate(x, size=(31, 47), mode="bilinear", align_corners=True))
    assert found.grid == Grid.of_input(2).align_corners((16, 24), (31, 47))


KEPT = {
    "batch statistics": (nn.BatchNorm2d(4), Grid.of_input(2)),
    "groups": (nn.GroupNorm(2, 4), Grid.of_input(2)),
    "instances": (nn.InstanceNorm2d(4), Grid.of_input(2)),
    "shares of channels": (nn.Softmax(1), Grid.of_input(2)),
    "local response": (nn.LocalResponseNorm(3), Grid.of_input(2)),
    "shuffled channels": (nn.ChannelShuffle(2), Grid.of_input(2)),
    "a holed pool": (
        nn.MaxPool2d(3, 2, 1, dilation=2),
        Grid.of_input(2).conv(3, stride=2, padding=1, dilation=2),
    ),
    "an adaptive pool": (nn.AdaptiveAvgPool2d((4, 12)), Grid.of_input(2).conv((4, 2), stride=(4, 2))),
    "an adaptive maximum": (nn.AdaptiveMaxPool2d((4, 12)), Grid.of_input(2).conv((4, 2), stride=(4, 2))),
    "mirrored": (nn.ReflectionPad2d((3, 0, 1, 2)), Grid.of_input(2).pad((1, 3))),
    "an average of odd size": (nn.AvgPool2d((3, 2), 1), Grid.of_input(2).conv((3, 2))),
}


@pytest.mark.parametrize("name", KEPT)
def test_layers_between_convolutions(name):
    layer, expected = KEPT[name]
    assert grid_behind(lambda layers, x: layers.layer(x), torch.rand(2, 4, 16, 24), layer=layer) == expected


LOST = {
    "pooled to one cell": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive pooling to a size that does not divide the map's has no even spacing": (
        lambda x: F.adaptive_avg_pool2d(x, (5, 7))
    ),
    "attention: a matrix product of two maps mixes all positions": (
        lambda x: x.flatten(2).transpose(1, 2) @ x.flatten(2)
    ),
    "softmax over positions": lambda x: x.flatten(2).softmax(-1),
    "a Fourier transform mixes all positions": lambda x: torch.fft.fft2(x).abs(),
    "a cumulative sum mixes all positions": lambda x: x.cumsum(2),
    "flipped, so that positions run backwards": lambda x: x.flip(3),
    "a recurrent layer mixes all positions": lambda x: nn.LSTM(3, 4)(x[:, :, 0].permute(2, 0, 1))[0],
    "sampled at positions that are computed": (
        lambda x: F.grid_sample(x, torch.zeros(2, 4, 5, 2), align_corners=False)
    ),
    "one of several positions": lambda x: x[:, :, 3],
    "laid side by side along positions": lambda x: torch.cat([x, x * 2], dim=2),
    "tokens: reshaped in a way that is not read": lambda x: F.relu(x.reshape(2, 9, 16, 8))[:, :, ::2],
    "copies of one cell": lambda x: x[:, :, :1].expand(2, 3, 7, 24),
    "aten.gather moves samples in a way that is not read": (
        lambda x: x.gather(2, torch.zeros(2, 3, 5, 24, dtype=torch.long))
    ),
}


@pytest.mark.parametrize("reason", LOST)
def test_what_loses_the_place_says_why(reason):
    assert outcome(lambda _, x: LOST[reason](x)) == reason


# --- tokens -----------------------------------------------------------------------------------------------

PATCHES = Grid.of_input(2).conv(4, stride=4)


def as_map(tokens, size=(4, 6)):
    return tokens.transpose(1, 2).unflatten(2, size)


TOKENS = {
    "convolved": lambda n, x: as_map(n.linear(n.norm(n.conv(x).flatten(2).transpose(1, 2)))),
    "channels last": lambda n, x: n.linear(n.norm(n.conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2),
    "unfolded": lambda n, x: as_map(n.patches(F.unfold(x, 4, stride=4).transpose(1, 2))),
    "cut by hand": lambda n, x: as_map(n.patches(x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2))),
    "reshaped": lambda n, x: as_map(n.patches(x.reshape(2, 3, 4, 4, 6, 4).permute(0, 2, 4, 1, 3, 5).reshape(2, 24, 48))),
    "a class token": lambda n, x: as_map(
        n.linear(torch.cat([n.token.expand(2, -1, -1), n.conv(x).flatten(2).transpose(1, 2)], 1) + n.place)[:, 1:]
    ),
    "a residual": lambda n, x: as_map((lambda t: t + n.attention(t, t, t)[0])(n.conv(x).flatten(2).transpose(1, 2))),
    "channels that attend": lambda n, x: (lambda y: ((y @ y.transpose(1, 2)).softmax(-1) @ y).unflatten(2, (4, 6)))(n.conv(x).flatten(2)),
}  # fmt: skip


def token_layers():
    return {
        "conv": nn.Conv2d(3, 8, 4, 4),
        "norm": nn.LayerNorm(8),
        "linear": nn.Linear(8, 8),
        "patches": nn.Linear(48, 8),
        "token": nn.Parameter(torch.rand(1, 1, 8)),
        "place": nn.Parameter(torch.rand(1, 25, 8)),
        "attention": nn.MultiheadAttention(8, 2, batch_first=True),
    }


@pytest.mark.parametrize("spelling", TOKENS)
def test_patches_keep_their_places_through_tokens(spelling):
    assert grid_behind(TOKENS[spelling], **token_layers()) == PATCHES


def test_patches_laid_out_again_are_registered_to_the_input():
    def net(layers, x):
        tokens = layers.back(layers.conv(x).flatten(2).transpose(1, 2)).view(2, 4, 6, 4, 4, 3)
        return tokens.permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 16, 24)

    assert grid_behind(net, back=nn.Linear(8, 48), **token_layers()) == Grid.of_input(2)


def test_windows_that_are_rolled_come_back():
    def net(layers, x):
        y = layers.conv(x).permute(0, 2, 3, 1)
        rolled = torch.roll(y, (-1, -2), (1, 2)).view(2, 2, 2, 2, 3, 8).permute(0, 1, 3, 2, 4, 5)
        inside = layers.linear(rolled.reshape(-1, 6, 8)).view(2, 2, 2, 2, 3, 8).permute(0, 1, 3, 2, 4, 5)
        return (y + torch.roll(inside.reshape(2, 4, 6, 8), (1, 2), (1, 2))).permute(0, 3, 1, 2)

    graph = graph_of(net, **token_layers())
    assert drifts(graph) == [per_axis((0, 0), (0, 0))]
    assert places(graph)[graph.outputs[0]].grid == PATCHES


def test_windows_that_come_back_without_the_roll_back_drift():
    def net(layers, x):
        y = layers.conv(x)
        return y + torch.roll(y, (-1, 2), (2, 3))

    assert drifts(graph_of(net, **token_layers())) == [per_axis((-4, 8), (-4, 8))]


PHASES = {
    "channels first": lambda x: torch.cat([x[..., a::2, b::2] for b in (0, 1) for a in (0, 1)], 1),
    "channels last": lambda x: torch.cat(
        [y[:, a::2, b::2] for y in [x.permute(0, 2, 3, 1)] for b in (0, 1) for a in (0, 1)], -1
    ).permute(0, 3, 1, 2),
    "unshuffled": lambda x: F.pixel_unshuffle(x, 2),
}


@pytest.mark.parametrize("spelling", PHASES)
def test_space_to_depth_in_slices_is_no_join(spelling):
    graph = graph_of(lambda _, x: PHASES[spelling](x))
    assert joins(graph, sites(graph)) == ()
    assert grid_behind(lambda _, x: PHASES[spelling](x)) == Grid.of_input(2).unshuffle(2)


def test_slices_that_are_not_all_phases_are_joined():
    graph = graph_of(lambda _, x: x[..., ::2, ::2] + x[..., 1::2, ::2])
    assert drifts(graph) == [per_axis((-1, 0), (-1, 0))]


# --- where positions are counted ---------------------------------------------------------------------------


def test_a_generator_counts_on_its_first_map_of_several_cells():
    def net(layers, z):
        return layers.second(layers.first(z))

    graph = graph_of(
        net,
        torch.rand(2, 5, 1, 1),
        first=nn.ConvTranspose2d(5, 4, (4, 3)),
        second=nn.ConvTranspose2d(4, 3, 4, 2, 1),
    )
    found = places(graph)
    assert found["input"].reason == "it has no positions: nothing in it came from a map of several cells"
    assert found[graph.outputs[0]].origin == "first"
    assert found[graph.outputs[0]].grid == Grid.of_input(2).resize(2)


def test_a_bottleneck_of_one_cell_keeps_its_place():
    row = nn.Sequential(
        nn.Conv2d(3, 3, 4, 2, 1),
        nn.Conv2d(3, 3, 4, 2, 1),
        nn.ConvTranspose2d(3, 3, 4, 2, 1),
        nn.ConvTranspose2d(3, 3, 4, 2, 1),
    )
    found = grid_behind(lambda layers, x: layers.row(x), torch.rand(1, 3, 4, 4), row=row)
    assert found == Grid.of_input(2)


def test_an_input_with_channels_last_is_counted_along_time():
    def net(layers, x):
        return layers.up(layers.conv(x.transpose(1, 2)))

    layers = {"conv": nn.Conv1d(5, 4, 7, 1, 3), "up": nn.ConvTranspose1d(4, 2, 16, 8, 4)}
    assert grid_behind(net, torch.rand(2, 20, 5), **layers) == Grid.of_input(1).transposed(
        16, stride=8, padding=4
    )


def test_inputs_that_come_from_elsewhere_are_not_compared():
    graph = graph_of(lambda _, a, b: torch.cat([a, b], 1), torch.rand(1, 2, 5, 7), torch.rand(1, 2, 5, 7))
    (join,) = joins(graph, sites(graph))
    assert (join.drift, join.reason) == (None, "different origins: input, input:2")
    assert places(graph)[graph.outputs[0]].origin == "input"


def test_parts_of_a_split_and_a_volume():
    def net(layers, x):
        first, second = layers.conv(x).chunk(2, dim=1)
        return layers.up(first * second.sigmoid())

    layers = {"conv": nn.Conv3d(2, 4, (3, 2, 5), 2, (1, 0, 1)), "up": nn.ConvTranspose3d(2, 3, 2, 2)}
    expected = Grid.of_input(3).conv((3, 2, 5), stride=2, padding=(1, 0, 1)).resize(2)
    assert grid_behind(net, torch.rand(1, 2, 6, 8, 10), **layers) == expected


# --- ONNX -------------------------------------------------------------------------------------------------


def unet_of_onnx():
    weights = {
        "down": torch.rand(4, 3, 3, 3).numpy(),
        "s": torch.tensor([1.0, 1.0, 2.0, 2.0]).numpy(),
        "up": torch.rand(4, 3, 2, 2).numpy(),
    }
    nodes = [
        node("Conv", ["x", "down"], "a", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("MaxPool", ["a"], "b", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node(
            "Resize", ["b", "", "s"], "c", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
        node("Concat", ["c", "a"], "d", axis=1),
        node("Split", ["d"], "e", axis=1, num_outputs=2),
    ]
    nodes[-1].output.append("f")
    nodes += [
        node("Mul", ["e", "f"], "g"),
        node("ConvTranspose", ["g", "up"], "y", strides=[2, 2]),
    ]
    return read_onnx(model(nodes, {"x": (1, 3, 16, 24)}, weights=weights))


def test_onnx_and_torch_agree():
    def net(layers, x):
        a = layers.down(x)
        d = torch.cat([F.interpolate(F.max_pool2d(a, 3, 2, 1), scale_factor=2), a], 1)
        e, f = d.chunk(2, 1)
        return layers.up(e * f)

    graph = graph_of(net, down=nn.Conv2d(3, 4, 3, 2, 1), up=nn.ConvTranspose2d(4, 3, 2, 2))
    other = unet_of_onnx()
    assert drifts(graph) == drifts(other) == [per_axis((-1, -1), (-1, -1)), per_axis((0, 0), (0, 0))]
    shown, read = places(graph)[graph.outputs[0]], places(other)["y"]
    assert (shown.grid, shown.first, shown.last) == (read.grid, read.first, read.last)


def test_onnx_keeps_places_through_tokens_of_unknown_batch():
    weights = {
        "patch": torch.rand(8, 3, 4, 4).numpy(),
        "flat": torch.tensor([0, 8, -1]).numpy(),
        "linear": torch.rand(8, 8).numpy(),
        "full": torch.tensor([-1, 8, 4, 6]).numpy(),
    }
    nodes = [
        node("Conv", ["x", "patch"], "a", strides=[4, 4]),
        node("Reshape", ["a", "flat"], "b"),
        node("Transpose", ["b"], "c", perm=[0, 2, 1]),
        node("MatMul", ["c", "linear"], "d"),
        node("Softmax", ["d"], "e", axis=-1),
        node("Transpose", ["e"], "f", perm=[0, 2, 1]),
        node("Reshape", ["f", "full"], "y"),
    ]
    graph = read_onnx(model(nodes, {"x": ("N", 3, 16, 24)}, weights=weights))
    assert places(graph)["y"].grid == PATCHES


def test_onnx_rolls_in_slices():
    weights = {"one": torch.tensor([1]).numpy(), "end": torch.tensor([2**62]).numpy(), "zero": torch.tensor([0]).numpy(), "axis": torch.tensor([2]).numpy()}  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["x", "one", "end", "axis"], ["a"]),
        helper.make_node("Slice", ["x", "zero", "one", "axis"], ["b"]),
        node("Concat", ["a", "b"], "y", axis=2),
    ]
    graph = read_onnx(model(nodes, {"x": (1, 3, 6, 8)}, weights=weights))
    assert places(graph)["y"].grid == Grid.of_input(2).crop((1, 0))


def test_a_thousand_nodes_take_no_time():
    weight = torch.rand(4, 4, 3, 3)
    conv = Convolution(weight=weight, bias=None, stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1))
    nodes, last = [], "x"
    for number in range(250):
        a, b, c, d = (f"{letter}{number}" for letter in "abcd")
        nodes += [
            Node(name=a, operator="conv", inputs=(last,), output=a, step=conv),
            Node(name=b, operator="relu", inputs=(a,), output=b, step=Pointwise()),
            Node(name=c, operator="conv", inputs=(b,), output=c, step=conv),
            Node(name=d, operator="add", inputs=(c, last), output=d, step=Join(kind="add")),
        ]
        last = d
    shapes = dict.fromkeys(["x", *(each.output for each in nodes)], (1, 4, 64, 96))
    graph = Graph(model="m", source="", nodes=tuple(nodes), inputs=("x",), outputs=(last,), shapes=shapes)
    begin = time.process_time()
    found = joins(graph, sites(graph))
    # 0.2 s by itself; the checks of types that run in tests make it ten times that
    assert time.process_time() - begin < 10
    assert len(found) == 250
    assert all(each.drift == (0, 0) for each in found)
