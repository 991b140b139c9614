"""Hold the plan of a re-registration: which resize moves where, what that does to every drift, what is refused."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from decoders import Net, PoolUNet, ResNetUNet
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from torch import nn

from onnx_models import model, node
from upstroke.graph import joins, sites
from upstroke.graph.onnx import read_onnx
from upstroke.graph.torch import record
from upstroke.rewrite.reregister import Kernel, plan

HALF = Fraction(1, 2)
X = torch.rand(1, 3, 64, 96)
SMALL = torch.rand(1, 3, 24, 36)
ON_CELLS = "nearest ×2 half-pixel becomes linear ×2 on the cells, the kernel 1 1 becomes 0.5 1 0.5"


def planned(function, *maps, **layers):
    return plan(record(Net(function, **layers), maps or (SMALL,)))


def up(y, scale=2, mode="nearest", **more):
    return F.interpolate(y, scale_factor=scale, mode=mode, **more)


def down(kernel=3, stride=2, padding=1, channels=3):
    return nn.Conv2d(channels, 4, kernel, stride, padding)


def moves(found):
    """Per join the drift before and after; axis 0 alone where both are alike."""

    def short(drift):
        return None if drift is None else drift[0] if len(set(drift)) == 1 else drift

    return [(short(each.before), short(each.after)) for each in found.drifts if not each.is_output]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_resnets_decoder_is_brought_onto_its_encoders_grid_by_triangles(mode):
    found = plan(record(ResNetUNet(mode=mode), [X]))
    assert moves(found) == [(-8, 0), (-12, 0), (-14, 0), (-15, 0)]
    (output,) = [each for each in found.drifts if each.is_output]
    assert output.before == (Fraction(-31, 2),) * 2
    assert output.after == (0, 0)
    assert found.refused == ()
    assert [each.delta for each in found.mended] == [(0, 0)] * 5
    for each in found.mended:
        assert [kernel.taps() for kernel in each.after] == [(0.5, 1.0, 0.5)] * 2
    # deeper ones first, each named after the join that wants it, the last one after the output
    assert [each.join for each in found.mended] == ["cat", "cat:2", "cat:3", "cat:4", output.name]
    again = joins(found.graph, sites(found.graph))
    assert [each.drift for each in again] == [(0, 0)] * 4


def test_words_say_what_becomes_of_the_kernel():
    found = plan(record(ResNetUNet(), [X]), outputs=False)
    assert {each.words for each in found.mended} == {f"{ON_CELLS}, on every axis"}
    assert len(found.mended) == 4
    assert found.drifts[-1].is_output
    assert found.drifts[-1].after == (-HALF,) * 2


def test_there_is_nothing_to_do_under_pools_that_half_pixel_resizes_undo():
    found = plan(record(PoolUNet(), [torch.rand(1, 3, 16, 24)]))
    assert (found.mended, found.refused, found.drifts) == ((), (), ())


def test_an_axis_without_drift_keeps_its_kernel():
    found = planned(lambda net, x: torch.cat([up(net.a(x)), x], 1), a=down((3, 2), 2, (1, 0)))
    (each,) = found.mended
    assert [kernel.mode for kernel in each.after] == ["linear", "nearest"]
    assert each.delta == (0, Fraction(-1, 4))
    assert each.words == f"on axis 0 {ON_CELLS}"
    assert moves(found) == [((Fraction(-1, 2), 0), 0)]


def test_scales_of_every_axis_are_their_own():
    found = planned(lambda net, x: torch.cat([up(net.a(x), (2, 3)), x], 1), a=down(3, (2, 3), 1))
    (each,) = found.mended
    # a cell copied three times has a sample in its middle, so nearest stays what it is
    assert [str(kernel) for kernel in each.after] == ["linear ×2 on the cells", "nearest ×3 on the cells"]
    assert (
        each.words == f"on axis 0 {ON_CELLS}; on axis 1 nearest ×3 half-pixel becomes nearest ×3 on the cells"
    )
    assert moves(found) == [((Fraction(-1, 2), -1), 0)]


def test_one_axis_and_three():
    for ndim, conv in ((1, nn.Conv1d), (3, nn.Conv3d)):
        x = torch.rand(1, 2, *(8, 12, 6)[:ndim])
        found = planned(
            lambda net, x: torch.cat([up(net.a(x)), x], 1), x, a=conv(2, 4, 3, stride=2, padding=1)
        )
        assert [each.delta for each in found.mended] == [(0,) * ndim]
        assert found.mended[0].words == ON_CELLS + (", on every axis" if ndim > 1 else "")


@pytest.mark.parametrize(
    ("encode", "scale", "delta", "mode"),
    [
        (down(3, 2, 1), 2, Fraction(0), "linear"),
        (nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), down(4, 2, 0)), 2, Fraction(-3, 4), "nearest"),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), down(3, 2, 0)), 2, Fraction(-1, 2), "linear"),
        (nn.Sequential(down(3, 2, 1), nn.AvgPool2d(2)), 4, Fraction(-1, 4), "linear"),
        (nn.Sequential(nn.AvgPool2d(2), down(3, 2, 1)), 4, Fraction(-1, 8), "nearest"),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(4, 3)), 3, Fraction(-1, 2), "linear"),
    ],
)
def test_the_offset_is_what_the_join_needs(encode, scale, delta, mode):
    found = planned(lambda net, x: torch.cat([up(net.a(x), scale), x], 1), a=encode)
    (each,) = found.mended
    assert each.delta == (delta, delta)
    assert {kernel.mode for kernel in each.after} == {mode}
    assert moves(found)[0][1] == 0


def test_cubic_stays_cubic():
    found = planned(lambda net, x: torch.cat([up(net.a(x), mode="bicubic"), x], 1), a=down())
    (each,) = found.mended
    assert each.after[0] == Kernel(mode="cubic", scale=2, offset=Fraction(0), a=-0.75)


def test_of_resizes_in_a_row_as_few_move_as_need_to():
    def net(layers, x):
        return torch.cat([up(up(layers.b(layers.a(x)))), x], 1)

    both = planned(net, a=down(), b=down(channels=4))
    assert [each.delta for each in both.mended] == [(0, 0)] * 2
    # below, a pool and a half-pixel resize are a pair already
    one = planned(net, a=down(), b=nn.AvgPool2d(2))
    (each,) = one.mended
    assert (each.site, each.delta) == ("upsample_nearest2d:2", (0, 0))


def test_corners_that_are_kept_in_place_give_way_to_a_kernel():
    def net(layers, x):
        return torch.cat([up(layers.a(x), mode="bilinear", align_corners=True), x], 1)

    found = planned(net, a=nn.MaxPool2d(2))
    (each,) = found.mended
    assert each.before is None
    assert (
        each.words == "linear ×2 with its corners kept in place becomes linear ×2 half-pixel, on every axis"
    )
    assert moves(found) == [(None, 0)]


def test_all_branches_of_a_join_come_to_the_one_that_no_resize_made():
    def net(layers, x):
        y = layers.a(x)
        return x.mean(1, keepdim=True) + up(y) + up(layers.b(y), 4, "bilinear")

    found = planned(net, a=down(), b=down(channels=4))
    assert {each.delta for each in found.mended} == {(0, 0)}
    assert len(found.mended) == 2
    assert found.drifts[-1].after == (0, 0)


def test_where_resizes_made_all_branches_the_first_stays():
    def net(layers, x):
        return up(x, mode="bilinear") + up(layers.a(x))

    found = planned(net, a=nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(3, 3, 2)))
    (each,) = found.mended
    assert (each.before[0].mode, each.delta) == ("nearest", (Fraction(1, 4),) * 2)


REFUSALS = {
    "u is a transposed convolution, and trained kernels are not moved": (
        lambda net, x: torch.cat([net.u(net.a(x)), x], 1),
        {"a": down(), "u": nn.ConvTranspose2d(4, 4, 2, 2)},
        (-HALF,) * 2,
    ),
    "pixel_shuffle is a pixel shuffle, and trained phases are not moved": (
        lambda net, x: torch.cat([F.pixel_shuffle(net.u(net.a(x)), 2), x], 1),
        {"a": down(), "u": nn.Conv2d(4, 16, 1)},
        (-HALF,) * 2,
    ),
    "e and n are apart by 0.5 pixels on every axis, and no upsampler made either": (
        lambda net, x: net.n(x) + net.e(x),
        {"n": down(), "e": down((2, 4), 2, (0, 1))},
        (-HALF,) * 2,
    ),
    "upsample_nearest2d would have to look −2 of its cells away, and a kernel is moved by 1 at most": (
        lambda net, x: torch.cat([up(net.a(x)), x], 1),
        {"a": nn.Sequential(nn.ZeroPad2d((0, 7, 0, 7)), down(9, 2, 0))},
        (Fraction(7, 2),) * 2,
    ),
    "upsample_bilinear2d is a resize by 1.5x1.5, which is no whole scale": (
        lambda net, x: torch.cat([up(net.a(x), 1.5, "bilinear"), net.b(x)], 1),
        {"a": nn.Conv2d(3, 4, 3, 3), "b": down()},
        (HALF, HALF),
    ),
    "a branch has no place (a Fourier transform mixes all positions)": (
        lambda net, x: torch.cat([up(torch.fft.irfft2(torch.fft.rfft2(net.a(x)))), x], 1),
        {"a": nn.MaxPool2d(2)},
        None,
    ),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_cannot_be_mended_is_refused_by_name(reason):
    function, layers, drift = REFUSALS[reason]
    found = planned(function, **layers)
    (refused,) = found.refused
    assert (refused.reason, refused.drift) == (reason, drift)
    assert found.mended == ()
    assert all(each.before == each.after for each in found.drifts)


def test_what_a_drift_below_mixed_is_not_parted_above():
    def net(layers, x):
        y = layers.a(x)
        z = torch.cat([layers.u(layers.b(y)), y], 1)
        return torch.cat([up(z), x], 1)

    found = planned(net, a=down(), b=down(channels=4), u=nn.ConvTranspose2d(4, 4, 2, 2))
    assert [each.reason for each in found.refused] == [
        "u is a transposed convolution, and trained kernels are not moved",
        "upsample_nearest2d is a mixture of maps that do not sit together, and no move brings them together",
    ]


def test_a_move_that_would_part_another_join_is_not_made():
    def net(layers, x):
        y, fine = up(layers.a(x)), layers.other(x)
        return torch.cat([y, fine], 1), torch.cat([y, x], 1)

    half = nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(3, 4, 2))
    found = planned(net, a=down(), other=half)
    # on the grid of one of them already, it cannot come to the other
    assert found.mended == ()
    assert [each.reason for each in found.refused] == [
        "upsample_nearest2d stays as it is: moving it would move the branches of cat apart"
    ]
    assert moves(found) == [(Fraction(-1, 2), Fraction(-1, 2))]


def test_one_resize_cannot_serve_two_joins_that_want_different_places():
    def net(layers, x):
        y = up(layers.a(x))
        return torch.cat([y, x], 1), torch.cat([y, layers.other(x)], 1)

    other = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 2))
    found = planned(net, a=down(), other=other)
    assert [each.join for each in found.mended] == ["cat"]
    (refused,) = found.refused
    assert (refused.name, refused.reason) == ("cat:2", "upsample_nearest2d was moved already, for cat")


def test_what_must_stay_stays_with_its_reason():
    graph = record(Net(lambda net, x: torch.cat([up(net.a(x)), x], 1), a=down()), [SMALL])
    found = plan(graph, kept={"upsample_nearest2d": "it is mine"})
    assert [each.reason for each in found.refused] == ["upsample_nearest2d stays as it is: it is mine"]


@given(
    encoder=st.lists(
        st.tuples(st.sampled_from([2, 3, 4, 7]), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=3
    ),
    mode=st.sampled_from(["nearest", "bilinear"]),
)
def test_whatever_is_not_refused_meets(encoder, mode):
    """Encoders of drawn kernels and paddings, under a decoder that resizes to the size of every skip."""

    def net(layers, x):
        skips = [x]
        for layer in layers.row:
            skips.append(layer(skips[-1]))
        y = skips.pop()
        while skips:
            like = skips.pop()
            y = torch.cat([up(y, 2, mode)[:, :, : like.shape[2], : like.shape[3]], like], 1)
        return y

    row, channels = [], 2
    for kernel, left, right in encoder:
        side = kernel - 2 - left + right
        row.append(nn.Sequential(nn.ZeroPad2d((left, side, left, side)), nn.Conv2d(2, 2, kernel, 2)))
    try:
        graph = record(Net(net, row=nn.ModuleList(row)), [torch.rand(1, channels, 32, 48)])
    except ValueError:  # the sizes do not meet
        return
    found = plan(graph)
    refused = {each.name for each in found.refused}
    after = {each.node.name: each.drift for each in joins(found.graph, sites(found.graph))}
    for name, drift in after.items():
        assert name in refused or not any(drift)
    for each in found.drifts:
        assert each.before is None or max(map(abs, each.after)) <= max(map(abs, each.before))


def test_resizes_of_onnx_move_from_where_they_are():
    """Half-pixel with floor sits elsewhere than half-pixel with its own rounding."""
    weights = {"s": torch.tensor([1.0, 1.0, 2.0, 2.0]).numpy(), "w": torch.rand(2, 2, 3, 3).numpy()}

    def graph(**attributes):
        nodes = [
            node("Conv", ["x", "w"], "d", strides=[2, 2], pads=[1, 1, 1, 1]),
            node("Resize", ["d", "", "s"], "u", **attributes),
            helper.make_node("Add", ["u", "x"], ["y"], name="meet"),
        ]
        return read_onnx(model(nodes, {"x": (1, 2, 8, 12)}, weights=weights))

    found = plan(graph(coordinate_transformation_mode="half_pixel", nearest_mode="floor"))
    assert found.drifts[0].before == (Fraction(-3, 2),) * 2
    assert found.mended[0].delta == (0, 0)
    registered = plan(graph(coordinate_transformation_mode="asymmetric", mode="linear"))
    assert registered.mended == ()
