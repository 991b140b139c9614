"""Where maps are found to sit: against the algebra of grids, and against ramps through real models."""

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from torch import nn

from upstroke.graph import Node, places
from upstroke.graph.measured import Measured, Unmeasured
from upstroke.graph.steps import Join
from upstroke.graph.torch import record
from upstroke.grid import Grid

CLOSE = 1e-6


def graph_of(net, *inputs):
    return record(net, list(inputs), geometry=True)


def output_of(net, *inputs):
    """What is measured at the only output of a model, on one map of 24 x 36 unless another is given."""
    graph = graph_of(net, *(inputs or (torch.rand(1, 2, 24, 36),)))
    (name,) = graph.outputs
    return graph.measured[name]


def is_on(found, grid, *, first=None, last=None):
    """Whether a map was found on a grid; its first and last branch on the same one unless said otherwise."""
    assert isinstance(found, Measured), found
    for values, wanted in (
        (found.offset, grid.offset),
        (found.spacing, grid.spacing),
        (found.first, first or grid.offset),
        (found.last, last or grid.offset),
    ):
        assert values == pytest.approx([float(each) for each in wanted], abs=CLOSE)


INPUT = Grid.of_input(2)


def half(*numbers):
    return tuple(Fraction(number).limit_denominator(64) for number in numbers)


class Decoder(nn.Module):
    """A ResNet-18's encoder under nearest resizes and concatenations."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList(nn.Conv2d(4, 4, 3, stride, 1) for stride in (1, 2, 2, 2))
        self.up = nn.ModuleList(nn.Conv2d(8, 4, 3, 1, 1) for _ in range(4))

    def forward(self, x):
        skips = [self.stem(x)]
        x = self.pool(skips[0])
        for stage in self.stages:
            x = stage(x).relu_()
            skips.append(x)
        x = skips.pop()
        for up in self.up:
            x = up(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], 1))
        return F.interpolate(x, scale_factor=2)


def joins_of(graph):
    return [node for node in graph.nodes if isinstance(node.step, Join)]


def drift_of(graph, join: Node, axis=0):
    """The worst pair of the maps that come in: first of one against last of the other."""
    a, b = (graph.measured[name] for name in join.inputs)
    pairs = (a.first[axis] - b.last[axis], a.last[axis] - b.first[axis])
    return max(pairs, key=abs)


@pytest.mark.parametrize("size", [(64, 96), (128, 64)])
def test_a_resnet_under_nearest_resizes_drifts_by_what_the_algebra_says(size):
    graph = graph_of(Decoder(), torch.rand(1, 3, *size))
    for axis in range(2):
        assert [drift_of(graph, join, axis) for join in joins_of(graph)] == pytest.approx([-8, -12, -14, -15])
    found = graph.measured[graph.outputs[0]]
    assert found.first == pytest.approx((-15.5, -15.5))
    assert found.spacing == pytest.approx((1, 1))
    # on average each join pulls it half way back to the skips, which sit where the input does
    assert found.offset == pytest.approx((-2.5, -2.5))


STEPS = {
    "k3 s2 p1 op1": (
        nn.ConvTranspose2d(2, 3, 3, 2, 1, 1),
        INPUT.transposed(3, stride=2, padding=1),
    ),
    "k4 s2 p1": (nn.ConvTranspose2d(2, 3, 4, 2, 1), INPUT.transposed(4, stride=2, padding=1)),
    "k5 s3": (nn.ConvTranspose2d(2, 3, 5, 3), INPUT.transposed(5, stride=3)),
    "k2x5 s1x3 p1x2 d2x1": (
        nn.ConvTranspose2d(2, 3, (2, 5), (1, 3), (1, 2), dilation=(2, 1)),
        INPUT.transposed((2, 5), stride=(1, 3), padding=(1, 2), dilation=(2, 1)),
    ),
    "empty phases": (nn.ConvTranspose2d(2, 3, (1, 2), (2, 3)), INPUT.transposed((1, 2), stride=(2, 3))),
    "depthwise": (nn.ConvTranspose2d(2, 2, 4, 2, 1, groups=2), INPUT.transposed(4, stride=2, padding=1)),
    "convolution": (
        nn.Conv2d(2, 3, (3, 5), (2, 3), (1, 0), dilation=(2, 1)),
        INPUT.conv((3, 5), stride=(2, 3), padding=(1, 0), dilation=(2, 1)),
    ),
    "same": (nn.Conv2d(2, 3, (4, 3), padding="same"), INPUT.conv((4, 3), padding=(1, 1))),
    "reflected": (nn.Conv2d(2, 3, 5, padding=(2, 1), padding_mode="reflect"), INPUT.conv(5, padding=(2, 1))),
    "circular": (nn.Conv2d(2, 3, 5, padding=(2, 1), padding_mode="circular"), INPUT.conv(5, padding=(2, 1))),
    "max pool": (
        nn.MaxPool2d((3, 2), (2, 3), (1, 0), ceil_mode=True),
        INPUT.conv((3, 2), stride=(2, 3), padding=(1, 0)),
    ),
    "mean pool": (nn.AvgPool2d((3, 2), (3, 2), (1, 1)), INPUT.conv((3, 2), stride=(3, 2), padding=(1, 1))),
    "adaptive pool": (nn.AdaptiveAvgPool2d((8, 9)), INPUT.conv((3, 4), stride=(3, 4))),
    "nearest": (nn.Upsample(scale_factor=(2, 3)), INPUT.resize((2, 3))),
    "nearest by 3/2": (
        nn.Upsample(size=(36, 54)),
        INPUT.resize_onnx((Fraction(3, 2), Fraction(3, 2)), coordinates="asymmetric", rounding="floor"),
    ),
    "nearest-exact": (nn.Upsample(scale_factor=2, mode="nearest-exact"), INPUT.resize(2)),
    "bilinear": (nn.Upsample(scale_factor=(2, 3), mode="bilinear"), INPUT.resize((2, 3))),
    "bilinear to a size": (
        nn.Upsample(size=(31, 50), mode="bilinear"),
        INPUT.resize((Fraction(31, 24), Fraction(50, 36))),
    ),
    "bicubic": (nn.Upsample(scale_factor=(2, 4), mode="bicubic"), INPUT.resize((2, 4))),
    "corners": (
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        INPUT.align_corners((24, 36), (48, 72)),
    ),
    "shuffle": (nn.Sequential(nn.Conv2d(2, 18, 3, 1, 1), nn.PixelShuffle(3)), INPUT.resize(3)),
    "unshuffle": (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(8, 3, 1)), INPUT.unshuffle(2)),
    "crop": (nn.ZeroPad2d((-3, -1, 2, -5)), INPUT.pad((2, -3))),
}


@pytest.mark.parametrize("case", STEPS)
def test_every_layer_moves_a_map_as_the_algebra_says(case):
    layer, grid = STEPS[case]
    is_on(output_of(layer), grid)


@pytest.mark.parametrize(
    "case", sorted(STEPS.keys() - {"adaptive pool", "nearest by 3/2", "bilinear to a size"})
)
def test_a_map_of_a_few_samples_is_found_where_a_large_one_is(case):
    layer, grid = STEPS[case]
    if case == "corners":
        grid = INPUT.align_corners((6, 7), (12, 14))
    is_on(
        output_of(layer, torch.rand(1, 2, 12 if case == "unshuffle" else 6, 7 + (case == "unshuffle"))), grid
    )


def test_one_axis_and_three():
    line = nn.Sequential(nn.Conv1d(2, 3, 4, 2, 1), nn.MaxPool1d(2), nn.ConvTranspose1d(3, 1, 9, 4, 2))
    grid = Grid.of_input(1).conv(4, stride=2, padding=1).conv(2, stride=2).transposed(9, stride=4, padding=2)
    is_on(output_of(line, torch.rand(1, 2, 40)), grid)
    box = nn.Sequential(nn.Conv3d(2, 3, (1, 3, 4), (1, 2, 3), (0, 1, 1)), nn.Upsample(scale_factor=(2, 1, 3)))
    grid = Grid.of_input(3).conv((1, 3, 4), stride=(1, 2, 3), padding=(0, 1, 1)).resize((2, 1, 3))
    is_on(output_of(box, torch.rand(1, 2, 3, 8, 10)), grid)


@st.composite
def rows(draw):
    """A row of layers that move a map, with the grid that each leaves it on.

    A stride that takes some phases of a grown map and not others is left out.
    """
    grid, layers, phases = INPUT, [], (1, 1)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "transposed", "nearest", "linear", "pool", "shuffle"]))
        two = st.tuples(st.integers(1, 3), st.integers(1, 3))
        stride, more, dilation = draw(two), draw(two), draw(two)
        kernel = tuple(s + m for s, m in zip(stride, more, strict=True))
        padding = tuple(min(1, k // 2) for k in kernel)
        if kind in ("conv", "pool"):
            assume(all(math.gcd(s, p) == 1 for s, p in zip(stride, phases, strict=True)))
        elif kind == "shuffle":
            phases = tuple(p * stride[0] for p in phases)
        elif kind != "linear":
            phases = tuple(p * s for p, s in zip(phases, stride, strict=True))
        if kind == "conv":
            layers.append(nn.Conv2d(2, 2, kernel, stride, padding, dilation))
            grid = grid.conv(kernel, stride=stride, padding=padding, dilation=dilation)
        elif kind == "transposed":
            layers.append(nn.ConvTranspose2d(2, 2, kernel, stride, padding))
            grid = grid.transposed(kernel, stride=stride, padding=padding)
        elif kind == "pool":
            layers.append(nn.AvgPool2d(kernel, stride, padding, count_include_pad=False))
            grid = grid.conv(kernel, stride=stride, padding=padding)
        elif kind == "shuffle":
            layers += [nn.Conv2d(2, 2 * stride[0] ** 2, 1), nn.PixelShuffle(stride[0])]
            grid = grid.resize(stride[0])
        else:
            mode = "nearest" if kind == "nearest" else "bilinear"
            layers.append(nn.Upsample(scale_factor=tuple(map(float, stride)), mode=mode))
            grid = grid.resize(stride)
    return nn.Sequential(*layers), grid


@given(rows())
def test_rows_of_layers_move_a_map_as_the_algebra_says(row):
    net, grid = row
    try:
        net(torch.rand(1, 2, 60, 67))
    except RuntimeError:  # the map has become smaller than a kernel
        reject()
    is_on(output_of(net, torch.rand(1, 2, 60, 67)), grid)


@pytest.mark.parametrize(("kernel", "shown"), [((1, 1, 1, 1), -5 / 6), ((1, 3, 3, 1), -1.0)])
def test_a_stride_that_takes_some_phases_alone_shows_what_its_kernel_does(kernel, shown):
    """The grid is that of every phase on its line, as a linear kernel has them; a uniform one has not."""
    net = nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ConvTranspose2d(1, 1, 4, 2, 1)).double()
    taps = torch.tensor(kernel).double()
    with torch.no_grad():
        net[0].weight.fill_(1 / 9)
        net[1].weight.copy_((taps[:, None] * taps / taps.sum() ** 2 * 4)[None, None])
        net[0].bias.zero_()
        net[1].bias.zero_()
        ramp = torch.arange(64).double()
        away = (net(net(ramp.expand(1, 1, 64, 64)))[0, 0, 32] - ramp)[28:36]
    assert float(away.mean()) == pytest.approx(shown)
    graph = graph_of(nn.Sequential(*net, *net), torch.rand(1, 1, 16, 20).double())
    assert graph.measured[graph.outputs[0]].offset == pytest.approx((-5 / 6, -5 / 6))
    assert places(graph)[graph.outputs[0]].grid.offset == (-1, -1)


def test_a_map_of_one_cell_knows_how_far_its_neighbours_would_be():
    net = nn.Sequential(*(nn.Conv2d(2, 2, 4, 2, 1) for _ in range(3)), nn.ConvTranspose2d(2, 2, 2, 2))
    grid = INPUT
    for _ in range(3):
        grid = grid.conv(4, stride=2, padding=1)
    is_on(output_of(net, torch.rand(1, 2, 8, 16)), grid.transposed(2, stride=2))


class Through(nn.Module):
    """A map with phases, taken through tokens."""

    def __init__(self):
        super().__init__()
        self.up, self.mix = nn.ConvTranspose2d(2, 4, 4, 4), nn.Linear(4, 6)

    def forward(self, x):
        x = self.up(x)
        y = self.mix(x.permute(0, 2, 3, 1).flatten(1, 2))
        return y.transpose(1, 2).reshape(len(x), 6, *x.shape[2:])


@pytest.mark.parametrize("size", [(2, 3), (3, 2), (5, 7)])
def test_phases_are_found_again_behind_tokens(size):
    is_on(output_of(Through(), torch.rand(1, 2, *size)), INPUT.transposed(4, stride=4))


def test_an_axis_that_nothing_tells_apart_any_more_is_not_guessed():
    found = output_of(Through(), torch.rand(1, 2, 1, 3))
    assert found == Unmeasured(reason="its samples are not laid out along the axes of the input")


class Crossing(nn.Module):
    """Two branches on different grids, joined, and what becomes of that."""

    def __init__(self, join):
        super().__init__()
        self.near, self.far = nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(2, 9, 4, 2, 0)
        self.back = nn.ConvTranspose2d(12 if join == "cat" else 9, 2, 4, 2, 1)
        self.join = join

    def forward(self, x):
        near, far = self.near(x)[..., :-1, :-1], self.far(x)
        if self.join == "cat":
            return self.back(torch.cat([near, far], 1))
        near = near.repeat(1, 3, 1, 1)
        if self.join == "add":
            return self.back(near + far)
        return self.back(near.mul_(far) if self.join == "mul_" else torch.maximum(near, far))


@pytest.mark.parametrize("join", ["cat", "add", "mul_", "maximum"])
def test_a_join_is_the_mean_of_its_branches(join):
    near = INPUT.conv(3, stride=2, padding=1).transposed(4, stride=2, padding=1)
    far = INPUT.conv(4, stride=2).transposed(4, stride=2, padding=1)
    share = Fraction(3, 4) if join == "cat" else Fraction(1, 2)
    mean = near.shift(share * (far.offset[0] - near.offset[0]))
    is_on(output_of(Crossing(join)), mean, first=near.offset, last=far.offset)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(2, 4, 4, 2, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())

    def forward(self, x):
        x = self.body(x)
        return x * self.gate(x) + x.amax((2, 3), keepdim=True)


def test_what_is_broadcast_over_a_map_does_not_move_it():
    is_on(output_of(Gated()), INPUT.conv(4, stride=2, padding=1))


class Tokens(nn.Module):
    """A patch embedding, a class token, residual attention, and the way back to a map."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(2, 8, (4, 6), (4, 6))
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.grow = nn.Linear(8, 2 * 4 * 6)

    def forward(self, x):
        x = self.embed(x)
        size = x.shape[2:]
        x = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        y = self.norm(x)
        x = (x + self.attention(y, y, y)[0])[:, 1:]
        x = self.grow(x).view(len(x), *size, 4, 6, 2).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(len(x), 2, size[0] * 4, size[1] * 6)


def test_a_map_that_went_through_tokens_is_found_again():
    graph = graph_of(Tokens(), torch.rand(2, 2, 12, 30))
    is_on(graph.measured[graph.outputs[0]], INPUT)
    is_on(graph.measured["embed"], INPUT.conv((4, 6), stride=(4, 6)))


def kept(x):
    return x.flatten(2).transpose(1, 2)


LISTED = {
    "rows of tokens": kept,
    "behind a class token": lambda x: torch.cat([torch.zeros(1, 1, x.shape[1]), kept(x)], 1),
    "windows": lambda x: x.view(1, -1, 3, 4, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(9, 8, -1),
    "heads": lambda x: kept(x).view(1, 72, 2, -1).transpose(1, 2),
    "channels last": lambda x: x.permute(0, 2, 3, 1),
    "one of the batch": lambda x: x.squeeze(0),
}


# windows with phases in them are not told from windows of other samples
@pytest.mark.parametrize(
    ("form", "has_phases"),
    [*((form, False) for form in LISTED), *((form, True) for form in LISTED if form != "windows")],
)
def test_positions_are_read_off_however_samples_are_listed(form, has_phases):
    grid, size = INPUT.conv((4, 3), stride=(2, 3)), (26, 18)
    layers = nn.Sequential(nn.Conv2d(2, 4, (4, 3), (2, 3)))
    if has_phases:
        layers.append(nn.ConvTranspose2d(4, 4, 4, 2, 1))
        grid, size = grid.transposed(4, stride=2, padding=1), (14, 9)
    is_on(output_of(Calls(lambda x: LISTED[form](layers(x))), torch.rand(1, 2, *size)), grid)


def test_an_axis_of_one_sample_stays_known_through_axes_that_come_and_go():
    conv = nn.Conv2d(2, 4, (4, 3), (4, 3))

    def call(x):
        return conv(x).unsqueeze(0).permute(0, 1, 4, 2, 3).permute(0, 1, 3, 4, 2).squeeze(0)

    is_on(output_of(Calls(call), torch.rand(1, 2, 4, 9)), INPUT.conv((4, 3), stride=(4, 3)))


def test_a_slice_of_one_sample_is_where_it_was_cut():
    is_on(output_of(Calls(lambda x: x[:, :, 3:4])), INPUT.shift((3, 0)))


def test_space_to_depth_spelled_by_slices_has_no_branches():
    reduce = nn.Conv2d(8, 3, 1)

    def call(x):
        return reduce(torch.cat([x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)], 1))

    is_on(output_of(Calls(call)), INPUT.unshuffle(2))


def test_slices_that_are_not_all_samples_stay_branches():
    def call(x):
        return torch.cat([x[:, :, ::2, ::2], x[:, :, 1::2, ::2], x[:, :, 1::2, ::2]], 1)

    found = output_of(Calls(call))
    assert (found.first, found.last) == ((0, 0), (1, 0))


class Film(nn.Module):
    """Frames laid into the batch for the layers that look at one, and into depth for those that look along."""

    def __init__(self):
        super().__init__()
        self.frame, self.along = nn.Conv2d(2, 4, 4, 2, 1), nn.Conv3d(4, 4, (3, 1, 1), (2, 1, 1), (1, 0, 0))

    def forward(self, x):
        n, c, frames, *size = x.shape
        x = self.frame(x.transpose(1, 2).reshape(n * frames, c, *size))
        x = x.view(n, frames, *x.shape[1:]).transpose(1, 2)
        return self.along(x)


def test_frames_in_the_batch_are_an_axis_of_space_where_a_kernel_slides_along_them():
    grid = Grid.of_input(3).conv((1, 4, 4), stride=(1, 2, 2), padding=(0, 1, 1))
    grid = grid.conv((3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
    graph = graph_of(Film(), torch.rand(1, 2, 6, 8, 10))
    is_on(graph.measured[graph.outputs[0]], grid)
    assert places(graph)[graph.outputs[0]].grid == grid


def test_time_in_front_of_channels_is_space_where_a_kernel_slides_along_it():
    conv = nn.Conv1d(5, 4, 3, 2)
    graph = graph_of(Calls(lambda x: conv(x.transpose(1, 2)).transpose(1, 2)), torch.rand(2, 9, 5))
    grid = Grid.of_input(1).conv(3, stride=2)
    is_on(graph.measured[graph.outputs[0]], grid)
    assert places(graph)[graph.outputs[0]].grid == grid


class Windows(nn.Module):
    """Windows cut out of a rolled map and put back, as a Swin transformer does."""

    def forward(self, x):
        n, c, h, w = x.shape
        x = torch.roll(x, (-2, -3), (2, 3))
        x = x.view(n, c, h // 4, 4, w // 6, 6).permute(0, 2, 4, 3, 5, 1).reshape(-1, 24, c)
        x = F.layer_norm(x, (c,))
        x = x.view(n, h // 4, w // 6, 4, 6, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
        return torch.roll(x, (2, 3), (2, 3))


def test_samples_that_are_moved_and_moved_back_are_where_they_were():
    is_on(output_of(Windows()), INPUT)


class Written(nn.Module):
    """A map whose four phases are written one by one into memory."""

    def forward(self, x):
        y = x.new_zeros(len(x), 2, 2 * x.shape[2], 2 * x.shape[3])
        for row in range(2):
            for column in range(2):
                y[:, :, row::2, column::2] = x
        return y * 2


def test_what_is_written_through_views_is_seen():
    is_on(output_of(Written()), INPUT.resize(2))


class Halves(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, 1)
        a.add_(b.flip(1)[:, :, :, :])
        return F.glu(torch.stack([x, x], 2).flatten(1, 2), 1)


def test_parts_of_a_map_are_where_it_is():
    is_on(output_of(Halves()), INPUT)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.up = nn.ConvTranspose2d(5, 4, 4), nn.ConvTranspose2d(4, 3, 4, 2, 1)

    def forward(self, z):
        return torch.tanh(self.up(self.first(z).relu()))


def test_a_generator_starts_where_its_first_map_of_several_cells_is():
    graph = graph_of(Generator(), torch.rand(1, 5, 1, 1))
    assert graph.measured["input"] == Unmeasured(reason="it has no samples side by side")
    is_on(graph.measured["first"], INPUT)
    is_on(graph.measured[graph.outputs[0]], INPUT.transposed(4, stride=2, padding=1))


class Two(nn.Module):
    def forward(self, x, noise):
        return x[..., 1:] + F.interpolate(noise, size=(x.shape[2], x.shape[3] - 1))


def test_maps_of_another_origin_do_not_move_the_first():
    is_on(output_of(Two(), torch.rand(1, 2, 8, 9), torch.rand(1, 2, 4, 4)), INPUT.crop((0, 1)))


LOST = {
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), "attention mixes all positions"),
    "product": (lambda x: x @ x.transpose(2, 3), "a product of two maps mixes all positions"),
    "pool": (lambda x: F.adaptive_avg_pool2d(x, 1).expand(1, 2, 24, 36), "pooled to one cell"),
    "sum": (lambda x: x.cumsum(2), "cumsum is not followed"),
    "all": (lambda x: nn.Linear(24 * 36 * 2, 60)(x.flatten(1)).view(1, 2, 5, 6), "all positions are mixed"),
    "mean": (lambda x: x.mean(), "pooled to one cell"),
    "spectrum": (lambda x: torch.fft.rfft2(x).abs(), "a Fourier transform mixes all positions"),
}


class Calls(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


@pytest.mark.parametrize("case", LOST)
def test_what_is_not_located_says_why(case):
    call, reason = LOST[case]
    assert output_of(Calls(call)) == Unmeasured(reason=reason)


@pytest.mark.parametrize("case", sorted(LOST.keys() - {"product", "all", "spectrum", "mean"}))
def test_a_branch_that_is_not_located_does_not_count(case):
    call, _ = LOST[case]
    conv = nn.Conv2d(2, 2, 4, 2, 1)
    is_on(output_of(Calls(lambda x: conv(x + call(x)))), INPUT.conv(4, stride=2, padding=1))


def test_rolled_positions_are_not_even():
    found = output_of(Calls(lambda x: torch.roll(x, 1, 2)))
    assert found == Unmeasured(reason="its samples are not laid out along the axes of the input")


def test_nothing_is_measured_unless_asked():
    assert record(nn.Conv2d(2, 2, 3), [torch.rand(1, 2, 5, 7)]).measured == {}


# ---- an outsider: real layers with uniform kernels, and a ramp through them


class Net(nn.Module):
    """A small U-Net with everything that moves maps in it."""

    def __init__(self, up):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, (7, 5), 2, (3, 2)), nn.BatchNorm2d(4), nn.ReLU())
        self.down = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 6, 3, padding=2, dilation=2), nn.SiLU())
        self.deep = nn.Sequential(nn.Conv2d(6, 8, 4, 2, 1), nn.GroupNorm(2, 8), nn.GELU())
        self.up = up
        self.out = nn.ConvTranspose2d(8 + 6, 4, (5, 3), 2, (2, 1), 1)
        self.last = nn.Conv2d(8, 3, (1, 3))

    def forward(self, x):
        stem = self.stem(x)
        down = self.down(stem)
        deep = self.up(self.deep(down))
        x = torch.cat([self.out(torch.cat([deep, down], 1)), stem], 1)
        return self.last(F.pad(x, (2, 1, 3, 0)))


def uniform(net):
    """The model with uniform kernels, means for maxima, and nothing that bends a ramp."""
    for name, part in net.named_children():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.ConvTranspose2d):
            reach = F.conv_transpose2d(
                torch.ones(1, 1, 9, 9), torch.ones(1, 1, *part.kernel_size), stride=part.stride
            )
            # every sample the mean of the cells that reach it: of each phase its own number
            s = part.stride
            middle = reach[0, 0, 4 * s[0] : 5 * s[0], 4 * s[1] : 5 * s[1]]
            with torch.no_grad():
                for i in range(part.kernel_size[0]):
                    for j in range(part.kernel_size[1]):
                        part.weight[:, :, i, j] = 1 / (float(middle[i % s[0], j % s[1]]) * part.in_channels)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.MaxPool2d):
            setattr(net, name, nn.AvgPool2d(part.kernel_size, part.stride, part.padding))
        elif isinstance(part, nn.Upsample | nn.PixelShuffle):
            pass
        elif isinstance(part, nn.Sequential):
            uniform(part)
        else:
            setattr(net, name, nn.Identity())
    return net


UPS = {
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(8, 8, 3, 2, 1, 1)),
    "shuffle": lambda: nn.Sequential(nn.Conv2d(8, 32, 3, 1, 1), nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("up", UPS)
def test_a_ramp_through_real_uniform_layers_comes_out_where_maps_are_found(up):
    torch.manual_seed(0)
    net = Net(UPS[up]()).eval()
    size = (192, 160)
    found = output_of(net, torch.rand(1, 2, 64, 64))
    real = uniform(net.double())
    for axis in range(2):
        line = torch.arange(size[axis], dtype=torch.float64)
        ramp = line.reshape((-1, 1) if axis == 0 else (1, -1)).expand(1, 2, *size)
        with torch.no_grad():
            # away from the border, over whole periods
            positions = real(ramp)[0, :, 40:56, 32:48].mean(0).mean(1 - axis)
        start = (40, 32)[axis]
        index = torch.arange(start, start + len(positions), dtype=torch.float64)
        assert found.spacing[axis] == pytest.approx(2)
        assert float((positions - 2 * index).mean()) == pytest.approx(found.offset[axis], abs=1e-6)
