"""Hold that a U-Net returns every size it is given, and that the maps of its joins sit on one grid."""

import re
from fractions import Fraction
from typing import get_args

import pytest
import torch

import upstroke
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import drift
from upstroke.nn import UNet
from upstroke.nn.unet_blocks import Block, InstanceNorm
from upstroke.nn.unet_ways import Down, described_down, described_up, grid_of
from upstroke.nn.upsampler import Method
from upstroke.plan import Pool, Transposed, plan_unet

ANISOTROPIC = {"widths": (2, 3, 2), "strides": [(1, 2, 3), 2], "kernels": [(1, 3, 3), 3, (3, 3, 5)]}
# Nothing copies or shuffles an even number of samples to sit on one, and a shuffle by 3 is a sample off.
UNREGISTERED = {("conv", "nearest"), ("conv", "subpixel")}
WAYS = [(down, up) for down in get_args(Down) for up in get_args(Method) if (down, up) not in UNREGISTERED]


def tiny(**settings):
    torch.manual_seed(0)
    return UNet(1, 2, **{"widths": (2, 2, 2, 2, 2), **settings})


def shapes_of(net, size):
    """The sizes of what the layers of a net really make, by their names."""
    seen = {}

    def remember(name):
        def hook(module, args, output):
            seen[name] = tuple(output.shape[2:])

        return hook

    for name, layer in net.named_modules():
        if isinstance(layer, Block) or re.fullmatch(r"(ups|downs)\.\d+", name):
            layer.register_forward_hook(remember(name))
    net(torch.zeros(1, 1, *size))
    return seen


def test_every_size_from_17_to_130_comes_back_in_two_axes():
    net = tiny(down="mean").train()
    for n in range(17, 131):
        size = (n, 17 + (5 * n + 3) % 114)
        assert net(torch.zeros(1, 1, *size)).shape == (1, 2, *size)
    assert {17 + (5 * n + 3) % 114 for n in range(17, 131)} == set(range(17, 131))


def test_every_size_from_17_to_50_comes_back_in_three_axes():
    net = tiny(ndim=3, widths=(1, 1, 1, 1, 1), convs=1).train()
    sizes = [(n, 17 + (5 * n + 3) % 34, 17 + (7 * n + 1) % 34) for n in range(17, 51)]
    for axis in range(3):
        assert {size[axis] for size in sizes} == set(range(17, 51))
    for size in sizes:
        assert net(torch.zeros(1, 1, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("conv", ["same", "valid"])
@pytest.mark.parametrize(("down", "up"), WAYS)
def test_joined_maps_sit_on_one_grid_and_have_the_planned_sizes(down, up, conv):
    net = tiny(ndim=3, down=down, up=up, conv=conv, residual=True, **ANISOTROPIC)
    size = tuple(least + more for least, more in zip(net.least_size, (1, 4, 5), strict=True))
    assert all(join.drift == (0, 0, 0) == drift(join.upsampled, join.skip) for join in net.joins)
    plan, seen = net.plan(size), shapes_of(net, size)
    assert plan.output.size == net.output_size(size) == seen["decoder.0"]
    for level, join in enumerate(net.joins):
        planned = plan.levels[level]
        assert seen[f"encoder.{level}"] == planned.encoder.size
        assert seen[f"downs.{level}"] == plan.levels[level + 1].entry.size
        assert seen[f"decoder.{level}"] == planned.decoder.size
        assert planned.upsampled.grid == join.upsampled
        assert tuple(sides.left for sides in planned.crop) == join.crop_left
        assert planned.drift == join.drift


@pytest.mark.parametrize("conv", ["same", "valid"])
@pytest.mark.parametrize(("down", "up"), WAYS)
def test_what_is_said_of_a_layer_that_leads_up_is_its_grid(down, up, conv):
    for layer in tiny(ndim=3, down=down, up=up, conv=conv, **ANISOTROPIC).ups:
        start = upstroke.Grid.of_input(3)
        assert described_up(layer).grid(start) == grid_of(layer)


@pytest.mark.parametrize("settings", [{"up": "cubic"}, {"down": "conv"}, {"up_kernel": 4, "down": "mean"}])
def test_samples_stay_where_they_are_when_the_map_grows_on_the_right(settings):
    net = tiny(widths=(2, 3, 2), norm="none", **settings).double()
    x = torch.randn(1, 1, 68, 72, dtype=torch.float64)
    whole = net(x)
    for rows, columns in ((67, 71), (66, 69), (65, 70)):
        kept = net(x[..., :rows, :columns])
        assert kept.shape[2:] == (rows, columns)
        torch.testing.assert_close(kept[..., :30, :30], whole[..., :30, :30], atol=1e-12, rtol=0)


def test_the_original_net_has_the_papers_sizes_and_crops():
    net = tiny(conv="valid", norm="none", widths=(1, 1, 1, 1, 1))
    assert net.output_size(572) == (388, 388)
    assert [join.crop_left for join in net.joins] == [(88, 88), (40, 40), (16, 16), (4, 4)]
    assert (net.border, net.least_size, net.is_local) == ((92, 92), (188, 188), True)
    assert net(torch.zeros(1, 1, 188, 203)).shape[2:] == net.output_size((188, 203)) == (4, 4)


def test_the_original_net_joins_the_middle_of_each_skip():
    net = tiny(widths=(2, 3, 2), conv="valid", norm="none", activation="relu")
    x = torch.randn(1, 1, 60, 48)
    assert all(fit.exact for fit in net.plan((60, 48)).fit)
    skips = [net.encoder[0](x)]
    for down, block in zip(net.downs, net.encoder[1:], strict=True):
        skips.append(block(down(skips[-1])))
    y = skips.pop()
    for level in (1, 0):
        up, skip = net.ups[level](y), skips.pop()
        top, left = ((n - m) // 2 for n, m in zip(skip.shape[2:], up.shape[2:], strict=True))
        middle = skip[:, :, top : top + up.shape[2], left : left + up.shape[3]]
        y = net.decoder[level](torch.cat((middle, up), dim=1))
    torch.testing.assert_close(net(x), net.heads[0](y), rtol=0, atol=0)


def test_samples_of_a_valid_net_do_not_depend_on_where_the_map_is_cut():
    net = tiny(conv="valid", norm="batch", widths=(2, 3, 4), up="linear").eval().double()
    x = torch.randn(1, 1, 90, 78, dtype=torch.float64)
    whole = net(x)
    tile = net(x[..., 4:, 8:])
    assert torch.allclose(tile, whole[..., 4 : 4 + tile.shape[2], 8 : 8 + tile.shape[3]], atol=1e-12)
    assert whole.shape[2] - tile.shape[2] == 4


def test_same_net_pools_in_whole_windows_and_a_partial_one():
    plan = plan_unet(
        (17, 22), 2, conv="same", down=Pool(kernel=2, ceil_mode=True), up=Transposed(kernel=2, stride=2)
    )
    own = tiny(widths=(2, 2, 2)).plan((17, 22))
    assert own.levels == plan.levels
    assert [level.encoder.size for level in own.levels] == [(17, 22), (9, 11), (5, 6)]


def test_deep_logits_sit_on_the_grids_that_are_said():
    net = tiny(deep=2, widths=(2, 3, 4, 5))
    maps = net.forward_deep(torch.zeros(2, 1, 21, 18))
    assert [tuple(each.shape) for each in maps] == [(2, 2, 21, 18), (2, 2, 11, 9), (2, 2, 6, 5)]
    assert [grid.offset[0] for grid in net.output_grids] == [0, Fraction(1, 2), Fraction(3, 2)]
    assert [grid.spacing[1] for grid in net.output_grids] == [1, 2, 4]
    assert torch.equal(maps[0], net(torch.zeros(2, 1, 21, 18)))


@pytest.mark.parametrize("norm", ["instance", "batch", "group", "none"])
@pytest.mark.parametrize("join", ["concat", "add"])
def test_settings_make_the_same_net(norm, join):
    made = tiny(
        ndim=3,
        norm=norm,
        join=join,
        residual=True,
        dropout=0.2,
        bottom_dropout=0.3,
        deep=1,
        activation="silu",
        **ANISOTROPIC,
    )
    again = UNet(**made.settings)
    again.load_state_dict(made.state_dict())
    x = torch.randn(2, 1, 5, 13, 14)
    assert again.settings == made.settings
    assert torch.equal(made.eval()(x), again.eval()(x))
    torch.manual_seed(7)
    first = UNet(**made.settings).state_dict()
    torch.manual_seed(7)
    assert all(torch.equal(value, first[name]) for name, value in UNet(**made.settings).state_dict().items())


@pytest.mark.parametrize("residual", [False, True])
def test_samples_are_dropped_one_by_one_at_the_end_of_the_way_down(residual):
    settings = {"widths": (2, 3, 4, 5), "norm": "none", "activation": "silu", "residual": residual}
    net, without = tiny(**settings, bottom_dropout=0.25), tiny(**settings)
    without.load_state_dict(net.state_dict())
    assert net.joins == without.joins
    x = torch.randn(2, 1, 256, 208)
    seen = {}
    for level, block in enumerate(net.encoder):
        block.register_forward_hook(lambda _, given, made, level=level: seen.update({level: (*given, made)}))
    net.train()(x)
    for level, block in enumerate(without.encoder):
        given, made = seen[level]
        kept = made != 0
        whole = block(given)
        torch.testing.assert_close(made, torch.where(kept, whole / (0.75 if level >= 2 else 1), 0.0))
        # of thousands of samples at least, to five times the spread of their share
        gone = 1 - kept.double().mean()
        assert abs(float(gone) - (0.25 if level >= 2 else 0)) < 5 * (0.25 * 0.75 / kept.numel()) ** 0.5
        # each by itself, in every channel
        assert bool(((~kept).flatten(2).any(2) & kept.flatten(2).any(2)).all()) == (level >= 2)
    assert torch.equal(net.eval()(x), without.eval()(x))


def test_the_way_up_and_the_joins_have_the_same_samples_dropped():
    net = tiny(widths=(2, 3, 4), norm="none", bottom_dropout=0.5).train()
    seen = {}
    net.encoder[1].register_forward_hook(lambda _, given, made: seen.update(made=made))
    net.downs[1].register_forward_pre_hook(lambda _, given: seen.update(down=given[0]))
    net.decoder[1].register_forward_pre_hook(lambda _, given: seen.update(join=given[0][:, :3]))
    net(torch.randn(1, 1, 40, 36))
    assert torch.equal(seen["down"], seen["made"])
    assert torch.equal(seen["join"], seen["made"])


def test_instance_norm_is_pytorchs_and_takes_one_sample():
    norm = InstanceNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    x = torch.randn(2, 3, 5, 7)
    wanted = torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias)
    torch.testing.assert_close(norm(x), wanted)
    # its distance from its own mean is 0 to rounding, which the norm divides by the root of eps
    torch.testing.assert_close(norm(torch.randn(2, 3, 1, 1))[1, :, 0, 0], norm.bias, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("size", "settings", "found"),
    [
        # a net that does not pad loses its border, whose size changes with the input's
        ((30, 26), {"conv": "valid", "norm": "none"}, {"UP203", "UP204"}),
        ((11, 14, 9), {"ndim": 3, "down": "conv", "up": "linear"}, set()),
    ],
)
def test_the_check_reads_it_and_finds_no_join_apart(size, settings, found):
    net = tiny(widths=(1, 1, 1), convs=1, **settings).eval()
    report = upstroke.check(net, torch.randn(1, 1, *size), probe="geometry").as_json()
    assert {each["code"] for each in report["findings"]} & {"UP201", "UP203", "UP204"} == found
    assert len(report["joins"]) == 2
    assert all(join["drift"] == [0.0] * net.ndim for join in report["joins"])
    assert report["skipped"] == []


@pytest.mark.parametrize("settings", [{}, {"down": "conv", "up": "linear", "residual": True}])
def test_it_exports_with_sizes_that_change(settings):
    net = tiny(widths=(2, 2, 2), norm="instance", **settings).eval()
    sizes = {2 + axis: torch.export.Dim(name, min=17, max=4096) for axis, name in enumerate("hw")}
    # that a pool's last window begins inside the map always holds, but no solver of guards finds it
    program = torch.export.export(
        net,
        (torch.zeros(1, 1, 22, 19),),
        dynamic_shapes=(sizes,),
        prefer_deferred_runtime_asserts_over_guards=True,
    ).module()
    for size in ((37, 50), (17, 18), (64, 33)):
        x = torch.randn(1, 1, *size)
        torch.testing.assert_close(program(x), net(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"down": "conv", "up": "nearest"},
            (
                "a cell copied an even number of times has its middle between two samples, so nearest with "
                "centre='sample' needs odd scales; got 2x2, so use mode='linear'"
            ),
        ),
        (
            {"down": "conv", "up": "subpixel", "widths": (1, 1)},
            (
                "the maps joined at level 0 must sit on one grid; got -1/2x-1/2 input pixels between them, with "
                "conv='same', down='conv', up='subpixel', up_kernel=None and kernels 3x3, 3x3; use odd kernels, "
                "and an up that fits the way down"
            ),
        ),
        (
            {"up_kernel": 3},
            (
                "up_kernel of up='transposed' must be 2, 4, 6, ... at stride 2, to be centred on cells as the way "
                "down is, and to reach every sample; got 3"
            ),
        ),
        (
            {"up": "linear", "up_kernel": 2},
            "up_kernel of up='linear' must be odd, or maps move by half a sample at every level; got 2",
        ),
        (
            {"kernels": [2, 3, 3, 3, 3]},
            (
                "kernels must be odd with conv='same', or maps are padded by more on one side than on the other; "
                "got 2x2, 3x3, 3x3, 3x3, 3x3"
            ),
        ),
        (
            {"conv": "valid", "residual": True, "convs": 1, "kernels": [(3, 2), 3, 3, 3, 3]},
            (
                "what the convolutions of a residual level take must be as much on the left as on the right, or "
                "the input that is added sits half a sample beside them; got 3x2, 3x3, 3x3, 3x3, 3x3 and "
                "convs=1; use odd kernels, or an even number of convolutions"
            ),
        ),
        ({"ndim": 1}, "a U-Net is defined here for 2 or 3 axes; got ndim=1"),
        ({"widths": (4,)}, "widths must have two levels or more; got 1"),
        ({"widths": (4, 0)}, "widths must be whole and at least 1; got 4, 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1; got 1.0"),
        ({"bottom_dropout": -0.5}, "bottom_dropout must be at least 0 and below 1; got -0.5"),
        ({"convs": 0}, "convs must be at least 1; got 0"),
        (
            {"deep": 4},
            "deep must be between 0 and 3, the levels between the full resolution and the bottom; got 4",
        ),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        tiny(**settings)


@pytest.mark.parametrize(("channels", "name"), [((0, 2), "in_channels"), ((1, 0), "classes")])
def test_maps_without_channels_are_refused(channels, name):
    with pytest.raises(OptionError, match=f"^{name} must be whole and at least 1; got 0$"):
        UNet(*channels)


def test_strides_that_are_not_one_per_step_are_refused():
    message = "strides must be one number, or one for each of 4 levels; got 2"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        tiny(strides=[2, 2])


@pytest.mark.parametrize(
    ("settings", "least"), [({}, "17x17"), ({"conv": "valid", "norm": "none"}, "188x188")]
)
def test_a_map_below_the_least_size_is_refused(settings, least):
    message = (
        f"a U-Net of depth 4 with {settings.get('conv', 'same')} convolutions needs a size of at least {least}; "
        "got 16x200; use a larger map or fewer levels"
    )
    net = tiny(**settings)
    for ask in (net.output_size, net.plan, lambda size: net(torch.zeros(1, 1, *size))):
        with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
            ask((16, 200))


def test_a_net_without_a_norm_takes_one_sample():
    net = tiny(norm="none")
    assert net(torch.zeros(1, 1, 1, 3)).shape == (1, 2, 1, 3)
    assert net.plan((1, 3)).output.size == (1, 3)


def test_pools_lead_down_by_their_stride():
    for layer in tiny(down="mean", strides=[(1, 3), 2, 2, 2]).downs[:1]:
        assert described_down(layer) == Pool(kernel=(1, 3), stride=(1, 3), ceil_mode=True)
        assert torch.equal(
            layer(torch.arange(8.0).reshape(1, 1, 2, 4))[0, 0], torch.tensor([[1.0, 3], [5, 7]])
        )
