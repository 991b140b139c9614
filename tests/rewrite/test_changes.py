"""Hold that what is planned computes what it replaces, border included, and that what stays has its reason."""

from dataclasses import replace

import pytest
import torch
from steps_in_torch import largest, run_steps
from torch import nn
from torch.nn import functional as F

from upstroke.graph.torch import record
from upstroke.polyphase import as_phase_convs, as_transposed
from upstroke.rewrite.change import Change, Commuted, Left, Shuffled, Together
from upstroke.rewrite.changes import changes, same_scales
from upstroke.rewrite.changes_two import resize_and_convolution

SIZES = {1: (7,), 2: (5, 7), 3: (4, 5, 3)}


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def norm(channels, ndim=2, **settings):
    """A trained batch normalisation."""
    layer = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[ndim - 1](channels, **settings)
    for numbers in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
        if numbers is not None:
            nn.init.uniform_(numbers, 0.5, 1.5)
    return layer


def read(net, *, size=None, channels=4, ndim=2):
    torch.manual_seed(0)
    return record(net.double().eval(), [drawn(2, channels, *(size or SIZES[ndim]))])


def planned(net, *, target="pytorch", **more):
    return changes(read(net, **more), target=target)


def only(net, **more):
    """The one change of a model."""
    (change,) = planned(net, **more)
    assert isinstance(change, Change), change
    return change


def check(change, *, channels=4, ndim=2):
    """Compare what is planned with what it replaces, on maps of two sizes."""
    for more in (0, 2):
        x = drawn(2, channels, *(n + more for n in SIZES[ndim]))
        expected = run_steps([node.step for node in change.nodes], x)
        does = change.does
        if isinstance(does, Together):
            found = does.affine(x)
            inner = tuple(slice(left, -right or None) for left, right in does.affine.operator.margin)
            if any(map(any, does.affine.operator.margin)):
                assert change.forms == ("native",)
                expected, found = expected[:, :, *inner], found[:, :, *inner]
        elif isinstance(does, Commuted):
            found = run_steps([does.convolution, does.resize], x)
            found = found if does.bias is None else found + does.bias.reshape(-1, *[1] * ndim)
        else:
            found = run_steps([does.shuffle], x)
        assert largest(found, expected) <= 1e-12


def up(scale=2, mode="nearest"):
    return nn.Upsample(scale_factor=scale, mode=mode)


EXACT = {
    "nearest": (lambda: nn.Sequential(up((2, 3)), nn.Conv2d(4, 6, (3, 5), padding=(1, 2))), ("UP301",)),
    "groups and holes": (
        lambda: nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=(2, 1), dilation=(2, 1), groups=2)),
        ("UP301",),
    ),
    "a pad of edge values": (
        lambda: nn.Sequential(up(3), nn.ReplicationPad2d((2, 1, 0, 3)), nn.Conv2d(4, 6, 3)),
        ("UP301",),
    ),
    "a reflection of one": (
        lambda: nn.Sequential(up(), nn.ReflectionPad2d(1), nn.Conv2d(4, 6, 3)),
        ("UP301",),
    ),
    "a reflection of two behind three": (
        lambda: nn.Sequential(up((3, 4)), nn.ReflectionPad2d((3, 1, 2, 0)), nn.Conv2d(4, 6, 3)),
        ("UP301",),
    ),
    "a convolution that reflects": (
        lambda: nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")),
        ("UP301",),
    ),
    "a norm behind": (
        lambda: nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=1), norm(6)),
        ("UP301", "fold"),
    ),
    "a gain ahead": (
        lambda: nn.Sequential(Gain(4), up(), nn.Conv2d(4, 6, 3, padding=1), norm(6)),
        ("UP301", "fold"),
    ),
    "no padding, linear": (
        lambda: nn.Sequential(up((2, 3), "bilinear"), nn.Conv2d(4, 6, 3), norm(6)),
        ("UP301", "fold"),
    ),
    "padding, linear": (
        lambda: nn.Sequential(up(2, "bilinear"), nn.Conv2d(4, 6, (3, 5), padding=(1, 2)), norm(6)),
        ("UP301", "fold"),
    ),
    "transposed and norm": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, (4, 3), stride=(2, 3), padding=1), norm(6)),
        ("fold",),
    ),
    "transposed of stride 1": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 4, bias=False), norm(6), nn.ReLU()),
        ("fold",),
    ),
    "a bias of its own and a matrix": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), norm(6), nn.Conv2d(6, 3, 1)),
        ("fold", "UP302"),
    ),
    "a matrix ahead": (
        lambda: nn.Sequential(nn.Conv2d(4, 9, 1, bias=False), nn.ConvTranspose2d(9, 3, 3, stride=2)),
        ("UP302",),
    ),
    "a blur": (
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 32, 2, stride=2, bias=False, groups=4), Blur(32)),
        ("fold",),
    ),
    "norms around a shuffle": (
        lambda: nn.Sequential(nn.Conv2d(4, 12, 3, padding=1), norm(12), nn.PixelShuffle(2), norm(3)),
        ("fold",),
    ),
    "a matrix": (lambda: nn.Sequential(up((2, 3)), nn.Conv2d(4, 6, 1), norm(6)), ("UP302", "fold")),
    "a matrix behind linear": (
        lambda: nn.Sequential(up((2, 3), "bilinear"), nn.Conv2d(4, 3, 1)),
        ("UP302",),
    ),
}


class Gain(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.5, 2, channels).reshape(-1, 1, 1))

    def forward(self, x):
        return x * self.gain


class Blur(nn.Module):
    """A shared filter, as antialiased networks have it behind what they grow."""

    def __init__(self, channels):
        super().__init__()
        row = torch.tensor([1.0, 3.0]) / 4
        self.register_buffer("kernel", torch.outer(row, row).expand(channels, 1, 2, 2).contiguous())

    def forward(self, x):
        return F.conv2d(x, self.kernel, groups=x.shape[1])


@pytest.mark.parametrize("name", sorted(EXACT))
def test_what_is_planned_is_what_it_replaces(name):
    make, codes = EXACT[name]
    change = only(make())
    assert change.codes == codes
    check(change)


@pytest.mark.parametrize("ndim", [1, 3])
def test_every_number_of_axes_is_planned(ndim):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
    back = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[ndim - 1]
    check(only(nn.Sequential(up(2), conv(4, 6, 3, padding=1), norm(6, ndim)), ndim=ndim), ndim=ndim)
    check(only(nn.Sequential(back(4, 6, 4, stride=3), norm(6, ndim)), ndim=ndim), ndim=ndim)


def test_a_change_names_what_comes_in_and_goes_out_and_counts_what_it_replaces():
    net = nn.Sequential(nn.ReLU(), up((2, 3)), nn.Conv2d(4, 6, 3, padding=1), norm(6), nn.ReLU())
    change = only(net)
    assert (change.site, change.first, change.last) == ("1", "0", "3")
    assert [node.name for node in change.nodes] == ["1", "2", "3"]
    assert change.words == "Upsample 1 and Conv2d 2 become one operator, with BatchNorm2d 3 folded in"
    # two maps, ten times 21 samples; as in the whole model, a copy and a norm are not counted
    assert change.multiply_adds == 2 * 10 * 21 * 6 * 4 * 9
    assert change.forms == ("native", "transposed", "phases", "shuffle")
    (change,) = planned(net, target="onnx")
    assert change.forms == ("transposed",)


def test_forms_are_those_that_compute_it():
    conv = nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=1))
    (change,) = planned(conv, target="onnx")
    assert change.forms == ("phases", "transposed", "shuffle")
    # a bias per phase is none of a transposed convolution
    shuffled = EXACT["norms around a shuffle"][0]()
    assert only(shuffled).forms == ("shuffle", "phases")
    assert only(nn.Sequential(nn.ConvTranspose2d(4, 6, 4), norm(6)), target="onnx").forms == ("transposed",)
    operator = only(conv).does.affine.operator
    assert tuple(as_transposed(operator).weight.shape) == (4, 6, 4, 4)
    assert len(as_phase_convs(operator).weights) == 4


REFLECTED = (
    "it pads by reflection, 2x1 samples, and only up to 1x1 of those before it are like the outermost one, so "
    "that no border of an operator does the same"
)
SIZED = (
    "it is given a size and no scale, and nothing shows that its scale is the same for maps of other sizes"
)
BORDER = (
    "Conv2d 1 pads what the resize gives in another way than the resize goes on, so that no one operator "
    "computes both up to the border"
)
HALVES = (
    "its weights are 16-bit numbers, and taps of both kernels, rounded one by one, would give phases of unequal "
    "gain"
)
STATISTICS = "BatchNorm2d 1 normalises by the statistics of the map itself, so that it has no numbers per channel to fold"
CASTS = "aten._to_copy 1._to_copy makes numbers of another type on the way"
STAYS = {
    "too much reflection": (
        lambda: nn.Sequential(up(), nn.ReflectionPad2d((0, 1, 2, 0)), nn.Conv2d(4, 6, 3)),
        "pytorch", ("UP301",), REFLECTED,
    ),
    "a size": (
        lambda: nn.Sequential(nn.Upsample(size=(10, 14)), nn.Conv2d(4, 6, 3, padding=1)),
        "pytorch", ("UP301",), SIZED,
    ),
    "a border between": (
        lambda: nn.Sequential(up(2, "bilinear"), nn.Conv2d(4, 6, 3, padding=1)),
        "onnx", ("UP301",), BORDER,
    ),
    "more to do": (
        lambda: nn.Sequential(up(2, "bicubic"), nn.Conv2d(4, 6, 3)),
        "onnx", ("UP301",), "as one operator it would take 2.14 times as many multiply–adds",
    ),
    "a cast": (
        lambda: nn.Sequential(up(), Cast(), nn.Conv2d(4, 6, 3, padding=1)),
        "pytorch", ("UP301",), CASTS,
    ),
    "no numbers": (
        lambda: lost(nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=1))),
        "onnx", ("UP301",), "there are NaN or infinite numbers among its weights",
    ),
}  # fmt: skip


class Cast(nn.Module):
    def forward(self, x):
        return x.float().double()


def lost(net):
    with torch.no_grad():
        net[1].weight[0, 1, 2, 0] = torch.nan
    return net


@pytest.mark.parametrize("name", sorted(STAYS))
def test_what_stays_has_its_reason(name):
    make, target, codes, reason = STAYS[name]
    left = planned(make(), target=target)
    assert [(each.codes, each.reason) for each in left if isinstance(each, Left)] == [(codes, reason)]
    assert not [each for each in left if isinstance(each, Change) and set(each.codes) & set(codes)]


def test_statistics_of_the_map_are_not_folded():
    net = nn.Sequential(nn.ConvTranspose2d(4, 6, 4, stride=2), norm(6, track_running_stats=False))
    assert [(each.codes, each.reason) for each in planned(net, target="onnx")] == [(("fold",), STATISTICS)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_of_16_bits_are_not_multiplied_together(dtype):
    net = nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 3), Spelled())
    graph = record(net.to(dtype).eval(), [torch.zeros(1, 4, 5, 7, dtype=dtype)])
    left, shuffle = changes(graph, target="onnx")
    assert (left.codes, left.reason) == (("UP301",), HALVES)
    assert isinstance(shuffle.does, Shuffled)


class Spelled(nn.Module):
    """A pixel shuffle as reshapes and a transpose, of which the phases may come first."""

    def __init__(self, scale=(2, 2), *, phases_first=False):
        super().__init__()
        self.scale, self.phases_first = scale, phases_first

    def forward(self, x):
        batch, channels, height, width = x.shape
        out = channels // (self.scale[0] * self.scale[1])
        if self.phases_first:
            y = x.view(batch, *self.scale, out, height, width).permute(0, 3, 4, 1, 5, 2)
        else:
            y = x.view(batch, out, *self.scale, height, width).permute(0, 1, 4, 2, 5, 3)
        return y.reshape(batch, out, height * self.scale[0], width * self.scale[1])


def test_spelled_shuffles_become_one_operator_where_the_target_has_it():
    for target, form in (("onnx", "depth to space"), ("pytorch", "native")):
        change = only(Spelled(), target=target, channels=12)
        assert (change.codes, change.forms) == (("shuffle",), (form,))
        check(change, channels=12)
    assert only(Spelled(phases_first=True), target="onnx", channels=12).forms == ("depth to space",)
    (left,) = planned(Spelled(phases_first=True), channels=12)
    assert left.reason == "PixelShuffle takes the channels in another order"
    (left,) = planned(Spelled((2, 3)), target="onnx", channels=12)
    assert left.reason == "DepthToSpace lays out two axes by one factor"
    assert planned(nn.PixelShuffle(2), channels=12) == ()


def test_a_spelled_shuffle_and_a_norm_are_one_change():
    net = nn.Sequential(nn.Conv2d(4, 12, 3, padding=1), norm(12), Spelled())
    change = only(net, target="onnx")
    assert (change.codes, change.forms) == (("fold", "shuffle"), ("shuffle", "phases", "transposed")[:2])
    check(change)


class Sized(nn.Module):
    """A decoder that resizes to twice its map, or to its skip."""

    def __init__(self, *, to_skip):
        super().__init__()
        self.conv, self.to_skip = nn.Conv2d(4, 6, 3, padding=1), to_skip

    def forward(self, x):
        small = F.max_pool2d(x, 2)
        size = tuple(x.shape[2:]) if self.to_skip else tuple(2 * n for n in small.shape[2:])
        return self.conv(F.interpolate(small, size=size))


def test_a_size_is_a_scale_only_where_it_is_one_at_every_size():
    graphs = {
        to_skip: [read(Sized(to_skip=to_skip), size=size) for size in ((8, 12), (9, 15), (14, 6))]
        for to_skip in (True, False)
    }
    for to_skip, (graph, *others) in graphs.items():
        (found,) = changes(graph, target="onnx", others=others)
        assert isinstance(found, Left if to_skip else Change)
        assert len(same_scales(graph, others)) == (0 if to_skip else 1)
        (found,) = changes(replace(graph, is_fixed=True), target="onnx")
        assert isinstance(found, Change)
    # an even size confirms nothing that an odd one does not, nor does one that is the same on an axis
    (graph, *_), (other, *_) = graphs[True], graphs[False]
    assert same_scales(graph, [read(Sized(to_skip=True), size=(10, 14))])
    assert not same_scales(other, [read(Sized(to_skip=False), size=(10, 12))])
    assert not same_scales(other, [])


def test_a_scale_that_was_given_is_given():
    made = (
        up(),
        up((2, 3), "bilinear"),
        Function(lambda x: F.interpolate(x, scale_factor=2)),
        Function(lambda x: F.interpolate(x, scale_factor=(2.0, 3.0), mode="bicubic")),
    )
    for layer in made:
        assert read(layer).nodes[0].step.given
    for layer in (
        nn.Upsample(size=(10, 14)),
        Function(lambda x: F.interpolate(x, scale_factor=2.0, recompute_scale_factor=True)),
    ):
        assert not read(layer).nodes[0].step.given


class Function(nn.Module):
    def __init__(self, work):
        super().__init__()
        self.work = work

    def forward(self, x):
        return self.work(x)


def test_the_border_of_a_kernel_against_aliasing_is_none_that_goes_on():
    layer = Function(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic", antialias=True))
    net = nn.Sequential(layer, nn.Conv2d(4, 6, 3))
    assert read(net).nodes[0].step.rescaled
    assert planned(net) == ()
    layer = Function(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", antialias=True))
    check(only(nn.Sequential(layer, nn.Conv2d(4, 6, 3))))


def test_codes_and_sites_are_chosen():
    net = nn.Sequential(up(), nn.Conv2d(4, 6, 3, padding=1), norm(6), nn.ReLU(), up(), nn.Conv2d(6, 3, 1))
    graph = read(net)
    assert [each.codes for each in changes(graph, target="onnx")] == [("UP301", "fold"), ("UP302",)]
    assert [each.codes for each in changes(graph, target="onnx", select=["UP30"])] == [("UP301",), ("UP302",)]
    assert [each.codes for each in changes(graph, target="onnx", select=["UP302"])] == [("UP302",)]
    assert [each.site for each in changes(graph, target="onnx", sites=["4"])] == ["4"]


def test_changes_of_one_round_share_no_node():
    # the matrix stands behind the one site and in front of the other
    net = nn.Sequential(
        nn.ConvTranspose2d(4, 8, 4, stride=2), nn.Conv2d(8, 4, 1, bias=False), nn.ConvTranspose2d(4, 2, 4, stride=2)
    )  # fmt: skip
    found = changes(read(net), target="onnx")
    taken = [node.name for each in found if isinstance(each, Change) for node in each.nodes]
    assert len(taken) == len(set(taken)) > 0


def test_maps_that_others_take_are_not_swallowed():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.conv, self.norm = up(), nn.Conv2d(4, 6, 3, padding=1), norm(6)

        def forward(self, x):
            y = self.conv(self.up(x))
            return self.norm(y), y

    change = only(Twice())
    assert [node.name for node in change.nodes] == ["up", "conv"]


def test_what_pytorch_is_slow_at_is_upstrokes_and_what_is_upstrokes_stays():
    from upstroke import nn as ours

    x = torch.zeros(1, 16, 128, 128)
    for layer in (up(2, "bicubic"), nn.ConvTranspose2d(16, 16, 4, 2, 1, groups=16)):
        (change,) = changes(record(layer, [x]), target="pytorch")
        assert (change.codes, change.forms, change.does.plain) == (("UP303",), ("native",), True)
        (left,) = changes(record(layer, [x]), target="onnx")
        assert (left.codes, left.reason) == (
            ("UP303",), "kernels of upstroke's own are for PyTorch, and an ONNX model has none"
        )  # fmt: skip
    dense = nn.ConvTranspose2d(16, 4, 4, 2, 1)
    (change,) = changes(record(dense, [x]), target="pytorch")
    assert (change.codes, change.forms) == (("native",), ("native",))
    for layer in (
        ours.TransposedConv(16, 16, 4, groups=16),
        ours.TransposedConv(16, 4, 4),
        ours.ResizeConv(16, 4, 3),
        ours.ResizeConv(16, 4, 1, mode="linear"),
        ours.ResizeConv(16, 4, 3, mode="cubic"),
        ours.SubpixelConv(16, 4, 3),
    ):
        graph = record(layer, [x])
        assert changes(graph, target="pytorch") == ()


def test_a_resize_and_a_convolution_are_read_off_their_row():
    net = nn.Sequential(up(2, "bilinear"), nn.ReplicationPad2d(1), nn.Conv2d(4, 6, 3), norm(6), norm(6))
    nodes = read(net).nodes
    resize, conv = resize_and_convolution(nodes)
    x = drawn(1, 4, 5, 7)
    assert largest(run_steps([resize, conv], x), run_steps([node.step for node in nodes], x)) <= 1e-12
    uneven = nn.Sequential(up(2, "bilinear"), nn.ReplicationPad2d((1, 0, 0, 0)), nn.Conv2d(4, 6, 3))
    assert resize_and_convolution(read(uneven).nodes) is None
    both = nn.Sequential(up(2, "bilinear"), nn.ReplicationPad2d(1), nn.Conv2d(4, 6, 3, padding=1))
    assert resize_and_convolution(read(both).nodes) is None
    (left,) = planned(both)
    assert left.reason == "what Conv2d 2 finds beyond the border is no padding that a layer has"


def test_a_bias_that_a_zero_border_would_show_is_not_folded_ahead():
    net = nn.Sequential(norm(4), nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1))
    (change,) = planned(net)
    assert (change.codes, [node.name for node in change.nodes]) == (("native",), ["1"])
    assert planned(net, target="onnx") == ()


def test_large_layers_are_planned_in_no_time():
    import time

    net = nn.Sequential(up(), nn.Conv2d(512, 512, 3, padding=1), norm(512))
    graph = record(net.eval(), [torch.zeros(1, 512, 4, 4)])
    start = time.process_time()
    (change,) = changes(graph, target="pytorch")
    assert change.does.affine.operator.taps.dtype == torch.float64
    assert time.process_time() - start < 10
