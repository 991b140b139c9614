"""However an upsampler is spelled in PyTorch, it is read as what it is, or named as not read."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import LINEAR, SIZES, random_map
from tolerance import assert_same
from upstroke import upsample
from upstroke.graph import affine_of, sites
from upstroke.graph.steps import Convolution, PixelShuffle, Reshape, Resize, Same, Transpose, Unread
from upstroke.graph.torch import record


class Function(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *maps):
        return self.function(*maps)


def resize_of(function, x):
    (site,) = sites(record(Function(function), [x]))
    assert isinstance(site.node.step, Resize)
    return site.node.step


@given(
    scale=st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda scale: math.prod(scale) > 1),
    channels=st.integers(1, 3),
    depth_first=st.booleans(),
    merge=st.sampled_from(["reshape", "contiguous view", "flatten"]),
)
def test_pixel_shuffles_spelled_by_reshapes(scale, channels, depth_first, merge):
    ndim = len(scale)
    x = random_map(ndim, channels * math.prod(scale), 0)

    def spelled(x):
        b, _, *size = x.shape
        split = (*scale, channels) if depth_first else (channels, *scale)
        y = x.reshape(b, *split, *size)
        own, first = (ndim + 1, 1) if depth_first else (1, 2)
        y = y.permute(0, own, *(place for axis in range(ndim) for place in (ndim + 2 + axis, first + axis)))
        grown = [n * s for n, s in zip(size, scale, strict=True)]
        if merge == "contiguous view":
            return y.contiguous().view(b, channels, *grown)
        if merge == "flatten":
            for axis in range(ndim):
                y = y.flatten(2 + axis, 3 + axis)
            return y
        return y.reshape(b, channels, *grown)

    graph = record(Function(spelled), [x])
    (node,) = [node for node in graph.nodes if isinstance(node.step, PixelShuffle)]
    assert len(graph.nodes) == 1
    assert node.name == "pixel_shuffle"
    assert node.step.scale == tuple(scale)
    assert (node.step.source is None) == (not depth_first or channels == 1)
    assert_same(upsample(x, affine_of(node.step, ndim=ndim)), spelled(x))


@given(
    scale=st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda scale: math.prod(scale) > 1),
    way=st.sampled_from(["repeat_interleave", "expand", "index", "index_select"]),
)
def test_nearest_resizes_spelled_by_copies(scale, way):
    ndim = len(scale)
    x = random_map(ndim, 2, 0)

    def spelled(x):
        if way == "expand":
            wide = x[(..., *(part for _ in scale for part in (slice(None), None)))]
            sizes = (part for n, s in zip(x.shape[2:], scale, strict=True) for part in (n, s))
            grown = [n * s for n, s in zip(x.shape[2:], scale, strict=True)]
            return wide.expand(*x.shape[:2], *sizes).reshape(*x.shape[:2], *grown)
        for axis, s in enumerate(scale, start=2):
            if s == 1:
                continue
            if way == "repeat_interleave":
                x = x.repeat_interleave(s, dim=axis)
            else:
                index = torch.arange(s * x.shape[axis]) // s
                x = (
                    x.index_select(axis, index)
                    if way == "index_select"
                    else x[(slice(None),) * axis + (index,)]
                )
        return x

    graph = record(Function(spelled), [x])
    assert [node.step.mode for node in graph.nodes if isinstance(node.step, Resize)]
    y = x
    for node in graph.nodes:
        y = upsample(y, affine_of(node.step, ndim=ndim))
    assert_same(y, spelled(x))
    grown = [max(node.step.scale[axis] for node in graph.nodes) for axis in range(ndim)]
    assert grown == list(scale)


def test_copies_in_any_order_are_a_nearest_resize():
    def spelled(x):
        wide = x[:, :, None, None].expand(-1, -1, 3, 2, -1, -1)
        return wide.permute(0, 1, 4, 3, 5, 2).reshape(2, 2, 10, 21)

    x = random_map(2, 2, 0)
    step = resize_of(spelled, x)
    assert step.scale == (2.0, 3.0)
    assert_same(upsample(x, affine_of(step, ndim=2)), spelled(x))


MODES = ["nearest", "nearest-exact", "linear", "area"]
# PyTorch's cubic resize is for 2 axes
RESIZES = [*((mode, ndim) for mode in MODES for ndim in (1, 2, 3)), ("bicubic", 2)]


@pytest.mark.parametrize("said", ["factor", "size", "layer"])
@pytest.mark.parametrize(("mode", "ndim"), RESIZES)
def test_resizes(mode, said, ndim):
    x = random_map(ndim, 2, 0)
    factors = (2.0, 4.0, 1.0)[:ndim]
    size = [int(n * s) for n, s in zip(x.shape[2:], factors, strict=True)]
    kind = LINEAR[ndim] if mode == "linear" else mode

    def function(x):
        if said == "layer" and mode != "area":
            return nn.Upsample(scale_factor=factors, mode=kind)(x)
        return F.interpolate(
            x, mode=kind, **({"size": size} if said == "size" else {"scale_factor": factors})
        )

    step = resize_of(function, x)
    assert step.scale == factors
    # PyTorch computes the size before it takes means over areas
    assert step.given == (said != "size" and mode != "area")
    assert_same(upsample(x, affine_of(step, ndim=ndim)), function(x))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_factors_that_are_not_whole_are_read_exactly(mode):
    x = random_map(2, 2, 0)
    by_factor = resize_of(lambda x: F.interpolate(x, scale_factor=(1.7, 2.3), mode=mode), x)
    assert (by_factor.scale, by_factor.given) == ((1.7, 2.3), True)
    by_size = resize_of(
        lambda x: F.interpolate(x, scale_factor=(1.7, 2.3), mode=mode, recompute_scale_factor=True), x
    )
    assert (by_size.scale, by_size.given) == ((8 / 5, 16 / 7), False)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_aligned_corners_are_said(mode):
    step = resize_of(
        lambda x: F.interpolate(x, scale_factor=2.0, mode=mode, align_corners=True), random_map(2, 2, 0)
    )
    assert (step.coordinates, step.scale) == ("align_corners", (2.0, 2.0))


def test_aligned_corners_space_by_size_whatever_factor_is_given():
    step = resize_of(
        lambda x: F.interpolate(x, scale_factor=(1.7, 2.3), mode="bilinear", align_corners=True),
        random_map(2, 2, 0),
    )
    assert (step.coordinates, step.scale) == ("align_corners", (8 / 5, 16 / 7))


@pytest.mark.parametrize(("mode", "margin"), [("bilinear", 0), ("bicubic", 4)])
def test_antialiased_resizes_are_exact_away_from_the_border(mode, margin):
    x = random_map(2, 2, 0)
    inside = (..., *(slice(margin, 2 * n - margin) for n in SIZES[2]))

    def function(x):
        return F.interpolate(x, scale_factor=2.0, mode=mode, antialias=True)

    actual = upsample(x, affine_of(resize_of(function, x), ndim=2, interior=True))
    assert_same(actual[inside], function(x)[inside])


def pasted(x):
    grown = x.new_zeros(*x.shape[:2], *(2 * n for n in x.shape[2:]))
    grown[:, :, :5, 7:] = x
    return grown


def sampled(x):
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 2, 10, 14], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


KERNEL = torch.rand(2, 3)

UNREAD = {
    "grid_sample grows 5x7 to 10x14 in a way that is not read": sampled,
    "repeat grows 5x7 to 10x14 in a way that is not read": lambda x: x.repeat(1, 1, 2, 2),
    "mul grows 5x7 to 10x21 in a way that is not read": lambda x: torch.kron(x, KERNEL),
    "expand grows 5x7 to 10x14 in a way that is not read": lambda x: (
        x[:, :, None, :, None, :, None].expand(-1, -1, 3, -1, 2, -1, 2).reshape(1, 6, 10, 14)
    ),
    "index_select grows 5x7 to 10x7 in a way that is not read": lambda x: x.index_select(
        2, torch.arange(10) % 5
    ),
    "index grows 5x7 to 5x10 in a way that is not read": lambda x: x[..., torch.arange(10) * 7 // 10],
    "_adaptive_avg_pool2d grows 5x7 to 9x14 in a way that is not read": lambda x: F.interpolate(
        x, size=(9, 14), mode="area"
    ),
    "max_unpool2d grows 2x3 to 4x6 in a way that is not read": lambda x: F.max_unpool2d(
        *F.max_pool2d(x[..., 1:, 1:], 2, return_indices=True), 2
    ),
    "writing into parts of a larger map grows 5x7 to 10x14 in a way that is not read": lambda x: F.relu(
        pasted(x)
    ),
    "fold lays columns side by side on a larger map in a way that is not read": lambda x: F.fold(
        x.flatten(2).repeat(1, 4, 1), (10, 14), 2, stride=2
    ),
    "it pads a spectrum, which grows the map in a way that is not read": lambda x: torch.fft.irfft2(
        F.pad(torch.fft.rfft2(x), (0, 4)), s=(5, 14)
    ),
}


@pytest.mark.parametrize("reason", UNREAD)
def test_whatever_else_grows_a_map_is_named(reason):
    x = torch.rand(1, 2, 5, 7)
    assert max(UNREAD[reason](x).shape[2:]) > 3
    (site,) = sites(record(Function(UNREAD[reason]), [x]))
    assert isinstance(site.node.step, Unread)
    assert site.node.step.reason == reason


SILENT = {
    "attention": nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
    "wider matrices": nn.Linear(6, 24),
    "a mean spread out again": lambda x: x * x.mean(2, keepdim=True).expand_as(x),
    "a spectrum and back": lambda x: torch.fft.irfft(torch.fft.rfft(x), n=6),
    "a normalisation": nn.LayerNorm(6),
    "channels last": lambda x: x.permute(0, 2, 1).contiguous(),
    "a list of windows": lambda x: F.unfold(x[:, None], 2),
    "maps side by side": lambda x: torch.cat([x[:, None], x[:, None].flip(3)], 3),
    "room for whole windows, channels last": lambda x: F.pad(x[..., None], (0, 0, 0, 3, 0, 2)),
    "rotated pairs": lambda x: torch.stack([-x[..., 1::2], x[..., ::2]], -1)[:, None].flatten(-2),
}


@pytest.mark.parametrize("case", SILENT)
def test_what_only_looks_larger_is_no_site(case):
    assert sites(record(Function(SILENT[case]), [torch.rand(1, 5, 6)])) == ()


class Grown(nn.Module):
    """A function of a layer and a start of the model's own."""

    def __init__(self, function, *, upsampler=None):
        super().__init__()
        self.function = function
        self.up = upsampler or nn.ConvTranspose2d(4, 4, 3, stride=2)
        self.start = nn.Parameter(torch.rand(1, 4, 5, 7))

    def forward(self, x):
        return self.function(self, x)


DRAWN = {
    "randn": lambda net, x: net.up(torch.randn(2, 4, 5, 7)),
    "rand": lambda net, x: net.up(torch.rand(2, 4, 5, 7) * 2 - 1),
    "normal": lambda net, x: net.up(torch.empty(2, 4, 5, 7).normal_()),
    "uniform": lambda net, x: net.up(x.new_empty(2, 4, 5, 7).uniform_().relu()),
    "randn_like": lambda net, x: net.up(torch.randn_like(net.start)),
}


@pytest.mark.parametrize("draw", DRAWN)
def test_noise_that_a_model_draws_is_a_map(draw):
    net = Grown(DRAWN[draw])
    graph = record(net, [torch.tensor([3.0])])
    (site,) = sites(graph)
    assert site.name == "up"
    assert site.node.step.weight is net.up.weight
    assert graph.inputs == ("input", draw)
    assert graph.shapes[draw] == ((1 if draw == "randn_like" else 2), 4, 5, 7)


def test_noise_that_nothing_takes_is_no_input():
    def function(net, x):
        torch.randn(3, 3)
        return net.up(x)

    assert record(Grown(function), [torch.rand(1, 4, 5, 7)]).inputs == ("input",)


STARTS = [nn.ConvTranspose2d(4, 4, 3, stride=2), nn.Upsample(scale_factor=2), nn.PixelShuffle(2)]


@pytest.mark.parametrize("layer", STARTS, ids=str)
def test_a_learned_start_that_is_grown_is_a_map(layer):
    net = Grown(lambda net, x: net.up(net.start.expand(2, -1, -1, -1) + 1) * x, upsampler=layer)
    graph = record(net, [torch.rand(2, 1, 1, 1)])
    (site,) = sites(graph)
    assert site.name == "up"
    assert graph.inputs == ("input", "constant")
    assert graph.shapes["constant"] == (2, 4, 5, 7)


def test_a_constant_that_is_grown_for_nothing_leaves_no_trace():
    def function(net, x):
        net.up(net.start)
        return x + net.start

    graph = record(Grown(function), [torch.rand(1, 4, 5, 7)])
    assert graph.inputs == ("input",)
    assert [node.inputs for node in graph.nodes] == [("input",)]


def test_a_constant_that_keeps_its_size_is_none():
    graph = record(
        Grown(lambda net, x: x + F.interpolate(net.start, size=(5, 7), mode="bilinear")),
        [torch.rand(1, 4, 5, 7)],
    )
    assert graph.inputs == ("input",)


def test_a_constant_stays_one_for_what_does_not_grow_it():
    def function(net, x):
        return F.interpolate(net.start, scale_factor=2.0).mean() * F.conv2d(x, net.start)

    graph = record(Grown(function), [torch.rand(1, 4, 9, 9)])
    assert graph.inputs == ("input", "constant")
    assert any(isinstance(node.step, Convolution) for node in graph.nodes)


def unpatchified(x):
    """Tokens to a picture, as masked autoencoders and diffusion transformers do it."""
    y = torch.einsum("nhwpqc->nchpwq", x.reshape(x.shape[0], 3, 5, 2, 4, 6))
    return y.reshape(x.shape[0], 6, 6, 20)


def expanded(x):
    """Every token of a picture, channels last, to 2 x 3 of them."""
    b, h, w, c = x.shape
    return x.view(b, h, w, 2, 3, c // 6).permute(0, 1, 3, 2, 4, 5).contiguous().view(b, 2 * h, 3 * w, c // 6)


def expanded_3d(x):
    b, d, h, w, c = x.shape
    y = x.reshape(b, d, h, w, 2, 2, 2, c // 8).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return y.reshape(b, c // 8, 2 * d, 2 * h, 2 * w)


MIXED = {
    "patches to a picture": (nn.Sequential(nn.Linear(5, 48), Function(unpatchified)), (2, 15, 5)),
    "tokens, channels last": (
        nn.Sequential(nn.Linear(5, 12), Function(expanded), nn.Linear(2, 3)),
        (2, 3, 5, 5),
    ),
    "tokens to channels first": (nn.Sequential(nn.Linear(5, 16), Function(expanded_3d)), (2, 3, 4, 5, 5)),
}


def rearranged(graph, name, x):
    """What the rearrangements and shuffles behind one map make of it."""
    while (node := graph.only_consumer(name)) is not None:
        if isinstance(node.step, PixelShuffle):
            x = upsample(x, affine_of(node.step, ndim=x.ndim - 2))
        elif isinstance(node.step, Transpose):
            x = x.permute(node.step.order)
        elif isinstance(node.step, Reshape):
            x = x.reshape(graph.shapes[node.output])
        else:
            assert isinstance(node.step, Same)
        assert graph.shapes[node.output] == x.shape
        name = node.output
    return x


@pytest.mark.parametrize("case", MIXED)
def test_channels_that_are_dealt_out_to_space_in_other_layouts_are_shuffles(case):
    net, shape = MIXED[case]
    graph = record(net, [torch.rand(shape)])
    (site,) = sites(graph)
    assert isinstance(site.node.step, PixelShuffle)
    assert site.name == "1"
    x = torch.rand(*shape[:-1], {"patches to a picture": 48, "tokens, channels last": 12}.get(case, 16))
    graph = record(net[1], [x])
    assert_same(rearranged(graph, graph.inputs[0], x), net[1](x))


def test_a_map_that_loses_its_channels_is_shuffled():
    def scores(x):
        y = x.permute(0, 2, 3, 1)
        b, h, w, _ = y.shape
        return y.reshape(b, h, w, 2, 3).permute(0, 1, 3, 2, 4).reshape(b, 2 * h, 3 * w)

    x = torch.rand(2, 6, 5, 7)
    graph = record(Function(scores), [x])
    (site,) = sites(graph)
    assert (site.node.step.scale, site.size_out, graph.shapes[graph.outputs[0]]) == (
        (2, 3),
        (10, 21),
        (2, 10, 21),
    )
    assert_same(rearranged(graph, graph.inputs[0], x), scores(x))


def dealt_to_one_of_three(x):
    """Channels last, dealt out to rows and columns, with what is no part of space between them."""
    b, h, w, c = x.shape
    return x.view(b, h, w, 2, 3, c // 6).permute(0, 1, 3, 5, 2, 4).reshape(b, 2 * h, c // 6, 3 * w)


def test_a_mixture_that_is_no_shuffle_is_named():
    (site,) = sites(record(Function(dealt_to_one_of_three), [torch.rand(2, 5, 7, 12)]))
    assert isinstance(site.node.step, Unread)
    assert site.node.step.reason == (
        "the rearrangement view–permute–view mixes channels into space in a way that is not read"
    )
    assert site.name == "rearrangement"


def heads(x):
    b, n, c = x.shape
    q, k, v = x.reshape(b, n, 3, 3, c // 9).permute(2, 0, 3, 1, 4).unbind(0)
    y = (q @ k.transpose(-2, -1)).softmax(-1) @ v
    return y.transpose(1, 2).reshape(b, n, c // 3)


def windows(x):
    """Windows of 2 x 3 tokens, something done in each, and back."""
    b, h, w, c = x.shape
    y = x.view(b, h // 2, 2, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 6, c)
    y = y.relu().view(-1, 2, 3, c).view(b, h // 2, w // 3, 2, 3, c)
    return y.permute(0, 1, 3, 2, 4, 5).contiguous().view(b, h, w, c)


def windows_aside(x):
    """The same, with the windows as an axis of their own."""
    b, h, w, c = x.shape
    y = x.view(b, h // 2, 2, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h * w // 6, 6, c)
    y = y.relu().view(b, h // 2, w // 3, 2, 3, c)
    return y.permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


def merged(x):
    """Patches to longer tokens, the inverse of expanding them."""
    b, h, w, c = x.shape
    return x.view(b, h // 2, 2, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 3, 6 * c)


def patches(x):
    """A picture to tokens, channels outside or inside the patches; the inverse of laying them out."""
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 3, 3).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 6, 6 * c)


def unfolded_and_folded(x):
    """Tokens gathered by their place in a patch, and back, as mobile transformers do it."""
    b, c, h, w = x.shape
    y = x.reshape(b * c * (h // 2), 2, w // 3, 3).transpose(1, 2)
    y = y.reshape(b, c, h * w // 6, 6).transpose(1, 3).reshape(b * 6, h * w // 6, c).relu()
    y = y.contiguous().view(b, 6, h * w // 6, c).transpose(1, 3)
    return y.reshape(b * c * (h // 2), w // 3, 2, 3).transpose(1, 2).reshape(b, c, h, w)


def shuffled(x):
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


UNMIXED = {
    "heads split and merged": (heads, (2, 5, 36)),
    "a layer of attention": (nn.MultiheadAttention(6, 2), (5, 2, 6)),
    "a layer of attention, batch first": (nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), (2, 5, 6)),
    "windows": (windows, (2, 4, 9, 5)),
    "windows of one picture": (windows, (1, 4, 9, 5)),
    "windows aside": (windows_aside, (2, 4, 9, 5)),
    "merged patches": (merged, (2, 4, 9, 5)),
    "patches of a picture": (patches, (2, 5, 4, 9)),
    "patches of a grey picture": (patches, (2, 1, 4, 9)),
    "unfolded and folded": (unfolded_and_folded, (2, 5, 4, 9)),
    "unfolded and folded, one picture": (unfolded_and_folded, (1, 5, 4, 9)),
    "groups of channels": (shuffled, (2, 4, 5, 7)),
    "flattened for a linear layer": (nn.Sequential(nn.Flatten(), nn.Linear(24, 5)), (2, 2, 3, 4)),
    "a flat vector to a map": (
        nn.Sequential(nn.Linear(5, 24), nn.Unflatten(1, (2, 3, 4))), (2, 5)
    ),
    "transposed": (lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 2, 1), (2, 4, 5, 7)),
    "tokens and back": (lambda x: x.flatten(2).transpose(1, 2).relu().mT.unflatten(2, (5, 7)), (2, 4, 5, 7)),
    "to depth": (nn.PixelUnshuffle(2), (2, 3, 4, 6)),
}  # fmt: skip


@pytest.mark.parametrize("case", UNMIXED)
def test_other_rearrangements_are_no_sites(case):
    function, shape = UNMIXED[case]
    if isinstance(function, nn.MultiheadAttention):
        attention = function
        function = lambda x: attention(x, x, x)[0]  # noqa: E731 - one line
    net = function if isinstance(function, nn.Module) else Function(function)
    assert sites(record(net, [torch.rand(shape)])) == ()


def test_a_shuffle_of_a_map_without_a_batch_is_named():
    (site,) = sites(record(nn.PixelShuffle(2), [torch.rand(8, 5, 7)]))
    assert (
        site.node.step.reason == "pixel_shuffle works on a map without a batch axis; give the model a batch"
    )
