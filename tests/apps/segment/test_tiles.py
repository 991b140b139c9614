"""Hold that tiles give what the whole image gives, or say that they do not."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upstroke.apps.segment.tiles import plan_tiles, predict_tiles
from upstroke.errors import OptionError, ShapeError
from upstroke.nn import UNet

FLAT = {"strides": [(2, 3), (1, 2)], "kernels": [(3, 1), 3, (1, 3)]}
DEEP = {"ndim": 3, "strides": [(1, 2, 2), 2], "kernels": [(1, 3, 3), 3, 3]}


def net(conv="valid", norm="none", seed=0, **more):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet(2, 3, widths=(2, 3, 4), conv=conv, norm=norm, **more).eval()


@torch.no_grad()
def answer(network, x, plan):
    return predict_tiles(network, x, plan)


def test_tiles_of_572_step_by_384_and_begin_at_multiples_of_16():
    original = UNet(1, 2, widths=(1,) * 5, conv="valid", norm="none", activation="relu")
    plan = plan_tiles(original, (1000, 700), tile=572)
    assert (plan.kind, plan.is_exact) == ("exact", True)
    assert (plan.tile, plan.output, plan.step, plan.border) == ((572,) * 2, (388,) * 2, (384,) * 2, (92,) * 2)
    assert plan.offsets == ((0, 384, 624), (0, 320))
    assert not any(at % 16 for axis in plan.offsets for at in axis)
    assert str(plan) == (
        "1000x700, mirrored by 92x92 on the left, in 6 tiles of 572x572 that step by 384x384, set side by "
        "side, because tiles at multiples of 16x16 see what the whole image shows"
    )


CASES = {
    "2-D": {},
    "norm": {"norm": "batch", "residual": True},
    "axes": FLAT,
    "mean, linear": {"down": "mean", "up": "linear"},
    "conv": {"down": "conv"},
}
NETS = {name: net(**more) for name, more in CASES.items()}
SOLID = {"3-D": net(**DEEP), "3-D, mean": net(**DEEP, down="mean", up="subpixel")}


def differs(network, size, extra, dtype):
    """Largest difference between tiles and the whole, relative to the largest logit."""
    least = network.output_size(network.least_size)
    # as much as steps by the scale at least once
    tile = [m + 3 * s + e for m, s, e in zip(network.least_size, network.scale, extra, strict=True)]
    assert min(least) >= 1
    x = torch.randn(2, *size, dtype=dtype, generator=torch.Generator().manual_seed(1))
    whole, tiled = plan_tiles(network, size), plan_tiles(network, size, tile=tile)
    assert whole.kind == "whole"
    network.to(dtype)
    one, other = answer(network, x, whole), answer(network, x, tiled)
    assert one.shape == other.shape == (3, *size)
    return float((one - other).abs().max() / one.abs().max()), tiled


@pytest.mark.parametrize("name", sorted(NETS))
@settings(max_examples=3, deadline=None)
@given(
    size=st.tuples(st.integers(1, 37), st.integers(1, 29)),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 20)),
)
def test_tiles_equal_the_whole(name, size, extra):
    apart, plan = differs(NETS[name], size, extra, torch.float64)
    assert plan.kind in ("exact", "whole")
    # float64 rounds at 1e-16, and layers add up some hundred products
    assert apart <= 1e-13


@pytest.mark.parametrize("name", sorted(NETS))
def test_tiles_equal_the_whole_in_float32(name):
    apart, plan = differs(NETS[name], (37, 43), (3, 8), torch.float32)
    assert plan.kind == "exact"
    assert plan.count > 1
    assert apart <= 1e-6


@pytest.mark.parametrize("name", sorted(SOLID))
@pytest.mark.parametrize("size", [(5, 19, 23), (1, 8, 5)])
def test_tiles_equal_the_whole_in_three_axes(name, size):
    apart, plan = differs(SOLID[name], size, (1, 2, 3), torch.float32)
    assert plan.kind == ("exact" if size[2] > 20 else "whole")
    assert apart <= 1e-6


def test_tiles_at_other_places_would_not():
    network = NETS["2-D"].double()
    x = torch.randn(2, 60, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(x[None])[0]
        shifted = network(x[None, :, 1:, 1:])[0]
    assert (whole[:, 1:5, 1:5] - shifted[:, :4, :4]).abs().max() > 1e-3


def test_the_image_is_mirrored_as_numpy_does_it():
    seen = []
    network = NETS["2-D"]
    x = torch.arange(30.0).reshape(2, 3, 5)
    plan = plan_tiles(network, (3, 5))

    def look(batch):
        seen.append(batch)
        return torch.zeros(1, 3, *plan.output)

    predict_tiles(look, x, plan)
    pads = [(0, 0), *((b, t - b - n) for b, t, n in zip(plan.border, plan.tile, (3, 5), strict=True))]
    assert np.array_equal(seen[0][0].numpy(), np.pad(x.numpy(), pads, mode="reflect"))


def test_a_net_that_pads_is_blended_by_monai_and_says_so():
    network = net("same")
    plan = plan_tiles(network, (45, 70), tile=(24, 33))
    assert (plan.kind, plan.is_exact, plan.tile, plan.border) == ("blended", False, (24, 32), (0, 0))
    assert str(plan) == (
        "45x70 in 12 tiles of 24x32 that step by 12x16, blended by a Gaussian, because they were asked for, and "
        "a network that pads sees the edge of every tile"
    )
    x = torch.randn(2, 45, 70, generator=torch.Generator().manual_seed(2))
    calls = []

    def count(batch):
        calls.append(tuple(batch.shape))
        return network(batch)

    tiled = answer(count, x, plan)
    assert calls == [(1, 2, 24, 32)] * plan.count
    with torch.no_grad():
        whole = network(x[None])[0]
    assert tiled.shape == whole.shape
    # what one sample sees is short here, so that most of a tile is as in the whole
    assert (tiled - whole).abs().median() < 0.05 * whole.abs().median()


def test_a_constant_has_no_seams():
    plan = plan_tiles(net("valid", "instance"), (50, 61), tile=60)
    assert (plan.kind, plan.is_exact) == ("blended", False)
    assert plan.reason == "they were asked for, and a norm over whole maps differs from tile to tile"
    flat = predict_tiles(lambda _: torch.full((1, 3, *plan.output), 2.5), torch.zeros(2, 50, 61), plan)
    assert torch.allclose(flat, torch.tensor(2.5))


def test_an_axis_that_is_shorter_than_the_tile_is_taken_whole():
    plan = plan_tiles(net("same"), (9, 70), tile=32)
    assert plan.tile == (9, 32)


def test_memory_decides_where_no_tile_is_asked_for():
    network = net("same")
    assert plan_tiles(network, (400, 500)).kind == "whole"
    plan = plan_tiles(network, (400, 500), memory=2**20)
    assert plan.kind == "blended"
    # 84 bytes a pixel
    assert plan.tile == (108, 108)
    assert plan.reason.startswith("its maps would take 17 MiB of 1 MiB, and a network that pads")
    valid = plan_tiles(NETS["2-D"], (400, 500), memory=2**20)
    assert valid.kind == "exact"
    assert all(at % 4 == 0 for axis in valid.offsets for at in axis)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: plan_tiles(net("same", "instance"), (4, 9)),
            ShapeError,
            (
                "the image must be at least 5x5 for this network; got 4x9; use a larger one, or train a network of "
                "fewer levels"
            ),
        ),
        (
            lambda: plan_tiles(net("same", "instance"), (40, 9), tile=7),
            ShapeError,
            "a tile must be at least 8x8 for this network; got 7x7; give a larger one",
        ),
        (
            lambda: plan_tiles(NETS["2-D"], (40, 9), tile=20),
            ShapeError,
            "a tile must be at least 44x44 for this network; got 20x20; give a larger one",
        ),
        (
            lambda: plan_tiles(net("same"), (400, 9), memory=9),
            OptionError,
            "the maps of the least tile, 4x4, take 1 MiB; got a limit of 1 MiB; allow more memory",
        ),
        (
            lambda: predict_tiles(net("same"), torch.zeros(2, 9, 9), plan_tiles(net("same"), (9, 8))),
            ShapeError,
            "the image must have the planned size 9x8; got 9x9; plan again",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_what_is_smaller_than_in_training_is_mirrored_up_to_that():
    network = net("same", "instance").eval()
    x = torch.randn(2, 21, 40, generator=torch.Generator().manual_seed(3))
    plan = plan_tiles(network, (21, 40), trained=(32, 24))
    assert (plan.kind, plan.tile, plan.border, plan.lead, plan.is_exact) == (
        "whole",
        (32, 40),
        (6, 0),
        (6, 0),
        True,
    )
    around = np.pad(x.numpy(), ((0, 0), (6, 5), (0, 0)), mode="reflect")
    with torch.no_grad():
        wanted = network(torch.from_numpy(around)[None])[0][:, 6:27]
        torch.testing.assert_close(predict_tiles(network, x, plan), wanted)
