"""Hold planned sizes, crops and drifts against nets that PyTorch builds and runs."""

import itertools
import json
import re
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid
from upstroke.plan import (
    Conv,
    Crop,
    Need,
    Pad,
    Pool,
    Resize,
    Shuffle,
    Transposed,
    Unshuffle,
    plan_generator,
    plan_unet,
    trace,
)

SIZES = range(17, 131)
CONV_3 = Conv(kernel=3, stride=2, padding=1)
POOL_2 = Pool(kernel=2)
NETS = {
    "pool, transposed k2": (POOL_2, Transposed(kernel=2, stride=2)),
    "pool, nearest": (POOL_2, Resize(scale=2)),
    "pool, linear": (POOL_2, Resize(scale=2, mode="linear")),
    "pool, shuffle": (POOL_2, Shuffle(scale=2)),
    "pool k3, transposed k4": (
        Pool(kernel=3, stride=2, padding=1),
        Transposed(kernel=4, stride=2, padding=1),
    ),
    "pool, transposed k4 uncropped": (POOL_2, Transposed(kernel=4, stride=2)),
    "conv, nearest": (CONV_3, Resize(scale=2)),
    "conv, transposed k3": (CONV_3, Transposed(kernel=3, stride=2, padding=1, output_padding=1)),
    "conv k4, transposed k4": (
        Conv(kernel=4, stride=2, padding=1),
        Transposed(kernel=4, stride=2, padding=1),
    ),
    "pool x3, transposed k3 s3": (Pool(kernel=3), Transposed(kernel=3, stride=3)),
}


def balanced(kernel, stride):
    """Give the smoothest symmetric kernel of that size that keeps constants constant: two boxes convolved."""
    box, smooth = (torch.ones(1, 1, n, dtype=torch.float64) for n in (stride, kernel - stride + 1))
    return F.conv1d(box, smooth, padding=kernel - stride) / (kernel - stride + 1)


def run(layer, x):
    """Pass a 1-D map through the layer that is described, with a uniform kernel, in PyTorch."""
    kernel = torch.ones(1, 1, getattr(layer, "kernel", 1), dtype=torch.float64)
    if isinstance(layer, Conv):
        return F.conv1d(x, kernel / layer.kernel, None, layer.stride, layer.padding, layer.dilation)
    if isinstance(layer, Pool):
        return F.avg_pool1d(x, layer.kernel, layer.stride, layer.padding, layer.ceil_mode)
    if isinstance(layer, Transposed):
        settings = (layer.stride, layer.padding, layer.output_padding, 1, layer.dilation)
        return F.conv_transpose1d(x, balanced(layer.kernel, layer.stride), None, *settings)
    if isinstance(layer, Resize):
        return F.interpolate(x, scale_factor=float(layer.scale), mode=layer.mode)
    return F.interpolate(x, scale_factor=float(layer.scale), mode="nearest")  # the shuffle of equal channels


class TestLayers:
    @pytest.mark.parametrize("size", SIZES)
    def test_sizes_of_windows(self, size):
        x = torch.zeros(1, 1, size)
        for k, s, p, d in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
            conv = nn.Conv1d(1, 1, k, s, p, d)(x)
            assert Conv(kernel=k, stride=s, padding=p, dilation=d).size((size,)) == conv.shape[2:]
            if 2 * p <= k:
                for ceil_mode in (False, True):
                    pool = nn.MaxPool1d(k, s, p, d, ceil_mode=ceil_mode)(x)
                    layer = Pool(kernel=k, stride=s, padding=p, dilation=d, ceil_mode=ceil_mode)
                    assert layer.size((size,)) == pool.shape[2:]
            for op in range(max(s, d)):
                up = nn.ConvTranspose1d(1, 1, k, s, p, op, dilation=d)(x)
                layer = Transposed(kernel=k, stride=s, padding=p, output_padding=op, dilation=d)
                assert layer.size((size,)) == up.shape[2:]

    @pytest.mark.parametrize("scale", [1, 2, 3, Fraction(1, 2), Fraction(3, 2), Fraction(5, 4)])
    def test_sizes_of_resizes(self, scale):
        for size in SIZES:
            for mode in ("nearest", "linear"):
                out = F.interpolate(torch.zeros(1, 1, size), scale_factor=float(scale), mode=mode)
                assert Resize(scale=scale, mode=mode).size((size,)) == out.shape[2:]

    def test_sizes_of_shuffles_crops_and_pads(self):
        x = torch.zeros(1, 4, 6, 10)
        assert Shuffle(scale=2).size((6, 10)) == F.pixel_shuffle(x, 2).shape[2:]
        assert Unshuffle(scale=2).size((6, 10)) == F.pixel_unshuffle(x, 2).shape[2:]
        assert Pad(left=(1, 2), right=(3, 4)).size((6, 10)) == F.pad(x, (2, 4, 1, 3)).shape[2:]
        assert Crop(left=(1, 2), right=(3, 4)).size((6, 10)) == F.pad(x, (-2, -4, -1, -3)).shape[2:]

    def test_unread_samples_change_nothing(self):
        """The gradient is zero there, and not zero one sample further left."""
        for size, k, s, p in itertools.product(range(7, 19), (2, 3, 4), (1, 2), (0, 1)):
            for layer in (
                Conv(kernel=k, stride=s, padding=p),
                Pool(kernel=k, stride=s, padding=min(p, k // 2)),
                Pool(kernel=k, stride=s, padding=min(p, k // 2), ceil_mode=True),
            ):
                x = torch.rand(1, 1, size, dtype=torch.float64, requires_grad=True)
                run(layer, x).sum().backward()
                reads = x.grad[0, 0].nonzero().max().item()
                assert layer.unread((size,)) == (size - 1 - reads,)

    def test_grids_are_those_of_the_algebra(self):
        start = Grid.of_input(2).resize((2, 1)).shift((1, 3))
        window = {"kernel": (3, 4), "stride": (2, 3), "padding": (0, 1), "dilation": (1, 2)}
        expected = {
            Conv(**window): start.conv(**window),
            Pool(**window): start.conv(**window),
            Pool(kernel=(2, 3)): start.conv((2, 3), stride=(2, 3)),
            Transposed(**window, output_padding=(1, 0)): start.transposed(**window),
            Resize(scale=(2, 3)): start.resize((2, 3)),
            Resize(scale=(2, 3), mode="linear"): start.resize((2, 3)),
            Resize(scale=Fraction(3, 2), mode="cubic"): start.resize(Fraction(3, 2)),
            Resize(scale=Fraction(3, 2)): start.resize_onnx(
                Fraction(3, 2), coordinates="asymmetric", rounding="floor"
            ),
            Shuffle(scale=(2, 3)): start.resize((2, 3)),
            Unshuffle(scale=(2, 3)): start.unshuffle((2, 3)),
            Crop(left=(1, 2), right=(5, 5)): start.crop((1, 2)),
            Pad(left=(1, 2), right=(5, 5)): start.pad((1, 2)),
        }
        for layer, grid in expected.items():
            assert layer.grid(start) == grid, layer.name

    def test_trace_follows_sizes_and_grids(self):
        steps = trace([Conv(kernel=(3, 5)), POOL_2, Pad(left=1), Resize(scale=(2, 3))], (20, 23))
        assert [step.name for step in steps] == [
            "input",
            "conv k3x5",
            "pool k2 s2",
            "pad 1|0",
            "nearest ×2x3",
        ]
        assert [step.size for step in steps] == [(20, 23), (18, 19), (9, 9), (10, 10), (20, 30)]
        assert steps[-1].grid == Grid((Fraction(-1), Fraction(-1, 6)), (Fraction(1), Fraction(2, 3)))
        assert trace([], 5)[0].as_json() == {
            "name": "input",
            "size": [5],
            "grid": Grid.of_input(1).as_json(),
        }


class TestGenerator:
    def test_the_usual_ladder(self):
        plan = plan_generator(4, 64, kernel=4, stride=2, padding=1)
        assert [step.size for step in plan.steps] == [(4,), (8,), (16,), (32,), (64,)]
        assert plan.steps[-1].grid == Grid.of_input(1).resize(16)
        assert plan.coverage[0].even
        assert plan.coverage[0].taps_per_phase == (2, 2)

    def test_axes_have_their_own_ladders(self):
        plan = plan_generator((4, 5), (16, 45), kernel=(4, 3), stride=(2, 3), padding=(1, 0))
        assert [step.size for step in plan.steps] == [(4, 5), (8, 15), (16, 45)]
        assert [coverage.even for coverage in plan.coverage] == [True, True]

    @pytest.mark.parametrize("kernel", range(1, 12))
    def test_coverage_counts_what_a_layer_of_ones_writes(self, kernel):
        for stride, padding, dilation in itertools.product(range(2, 6), (0, 1, 2), (1, 2, 3)):
            reach = dilation * (kernel - 1) + 1
            ladder = stride * 199 + reach - 2 * padding
            if 2 * padding > reach:
                continue
            plan = plan_generator(
                200, ladder, kernel=kernel, stride=stride, padding=padding, dilation=dilation
            )
            ones = torch.ones(1, 1, 200)
            weight = torch.ones(1, 1, kernel)
            written = F.conv_transpose1d(ones, weight, None, stride, padding, dilation=dilation)
            counts = written[0, 0, 60 * stride : 61 * stride].int().tolist()
            assert list(plan.coverage[0].taps_per_phase) == counts
            assert plan.coverage[0].even == (len(set(counts)) == 1 and counts[0] > 0)

    @given(
        st.tuples(*[st.integers(1, 6)] * 2),
        st.tuples(*[st.integers(1, 40)] * 2),
        st.integers(1, 5),
        st.integers(1, 3),
    )
    def test_the_paddings_it_names_do_hit(self, start, more, kernel, stride):
        to = tuple(n + m for n, m in zip(start, more, strict=True))
        try:
            plan = plan_generator(start, to, kernel=kernel, stride=stride, padding=0)
        except ShapeError as error:
            hint = re.search(r"use padding (\S+) with output_padding ([^\s,]+)", str(error))
            if hint is None:
                assert not self.can_be_hit(start, to, kernel, stride)
                return
            padding, output_padding = (tuple(map(int, words.split("x"))) for words in hint.groups())
            plan = plan_generator(
                start, to, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding
            )
        assert plan.steps[-1].size == to

    def can_be_hit(self, start, to, kernel, stride):
        """Try every padding on every axis, for as many steps as it takes."""
        by_axis = []
        for n, t in zip(start, to, strict=True):
            counts = set()
            for p, op in itertools.product(range(kernel), range(stride)):
                size = n
                for step in range(1, 50):
                    size = stride * (size - 1) + kernel - 2 * p + op
                    if size < 1:
                        break
                    if size == t:
                        counts.add(step)
            by_axis.append(counts)
        return bool(set.intersection(*by_axis))

    def test_json(self):
        record = plan_generator((4, 6), (8, 12), kernel=(4, 3), stride=2, padding=1, output_padding=(0, 1))
        assert json.loads(json.dumps(record.as_json())) == {
            "schema": "upstroke.plan/1",
            "kind": "generator",
            "layer": "transposed k4x3 s2 p1 output_padding 0x1",
            "from": [4, 6],
            "to": [8, 12],
            "coverage": [
                {"taps_per_phase": [2, 2], "even": True},
                {"taps_per_phase": [1, 2], "even": False},
            ],
            "steps": [
                {"name": "seed", "size": [4, 6], "grid": Grid.of_input(2).as_json()},
                {
                    "name": "transposed k4x3 s2 p1 output_padding 0x1",
                    "size": [8, 12],
                    "grid": {
                        "offset": [-0.25, 0.0],
                        "spacing": [0.5, 0.5],
                        "exact": {"offset": ["-1/4", "0"], "spacing": ["1/2", "1/2"]},
                        "size_dependent": False,
                    },
                },
            ],
        }


def sides(level):
    return [(each.left, each.right) for each in level.crop]


class UnetInPyTorch:
    """Run a planned 1-D U-Net on a ramp, doing at each join exactly what the plan says."""

    def __init__(self, plan):
        self.plan = plan
        self.drifts = {}
        self.sizes = {}
        x = torch.arange(plan.size[0], dtype=torch.float64)[None, None]
        bottom = len(plan.levels) - 1
        skips = []
        for level in range(bottom + 1):
            x = run(plan.down, x) if level else x
            self.sizes[f"entry {level}"] = x.shape[-1]
            x = self.convs(x)
            self.sizes[f"encoder {level}"] = x.shape[-1]
            skips.append(x)
        for level in reversed(range(bottom)):
            x = self.join(plan.levels[level], x, skips[level])
            self.sizes[f"upsampled {level}"] = x.shape[-1]
            x = self.convs(x)
            self.sizes[f"decoder {level}"] = x.shape[-1]
        self.output = x

    def convs(self, x):
        k = self.plan.kernel[0]
        weight = torch.ones(1, 1, k, dtype=torch.float64) / k
        for _ in range(self.plan.convs_per_level):
            if self.plan.conv == "same":
                x = F.pad(x, ((k - 1) // 2, k // 2))
            x = F.conv1d(x, weight)
        return x

    def join(self, level, x, skip):
        needs = {need.action: need for need in level.needs}
        up = self.plan.up
        if "output_padding" in needs:
            output_padding = needs["output_padding"].right
            up = Transposed(
                kernel=up.kernel, stride=up.stride, padding=up.padding, output_padding=output_padding
            )
        x = run(up, x)
        for action, sign in (("pad", 1), ("crop", -1)):
            if action in needs:
                x = F.pad(x, (sign * needs[action].left, sign * needs[action].right))
        (crop,) = level.crop
        skip = skip[..., crop.left : skip.shape[-1] - crop.right]
        assert torch.cat([skip, x], 1).shape[-1] == x.shape[-1]
        # Over a whole period of all phases, in the middle, borders are far and kernels' wobble averages out.
        period = next(s for s in (2, 3) if up.grid(Grid.of_input(1)).spacing[0] * s == 1)
        length = period ** (len(self.plan.levels) - 1 - level.level)
        start = (x.shape[-1] - length) // 2
        self.drifts[level.level] = float((x - skip)[..., start : start + length].mean())
        return x


class TestUnet:
    def test_the_original(self):
        plan = plan_unet(572, 4, conv="valid")
        assert plan.output.size == (388,)
        assert [level.encoder.size[0] for level in plan.levels] == [568, 280, 136, 64, 28]
        assert [level.upsampled.size[0] for level in plan.levels[:-1]] == [392, 200, 104, 56]
        assert [sides(level) for level in plan.levels[:-1]] == [[(n, n)] for n in (88, 40, 16, 4)]
        assert [level.drift for level in plan.levels[:-1]] == [(0,)] * 4
        assert plan.output.grid == Grid.of_input(1).crop(92)
        assert plan.output_drift == (0,)
        assert plan.fit[0].as_json() == {
            "exact": True,
            "period": 16,
            "remainders": [12],
            "least": 188,
            "smallest": 188,
            "below": 572,
            "above": 572,
        }

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize(("conv", "depth", "kernel"), [("valid", 2, 3), ("same", 3, 4)])
    def test_every_size_runs_in_pytorch_as_planned(self, name, conv, depth, kernel):
        down, up = NETS[name]
        planned = 0
        for size in SIZES:
            try:
                plan = plan_unet(size, depth, conv=conv, kernel=kernel, down=down, up=up)
            except ShapeError:
                continue
            planned += 1
            net = UnetInPyTorch(plan)
            steps = [s for level in plan.levels for s in (level.entry, level.encoder)]
            steps += [s for level in plan.levels[:-1] for s in (level.upsampled, level.decoder)]
            assert {step.name: step.size[0] for step in steps} == net.sizes
            assert net.output.shape[2:] == plan.output.size
            if conv == "same":
                assert plan.output.size == (size,)
        assert planned > 50

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("conv", ["valid", "same"])
    @pytest.mark.parametrize("kernel", [3, 4])
    def test_drifts_are_what_a_ramp_shows(self, name, conv, kernel):
        down, up = NETS[name]
        for size in range(960, 969):
            plan = plan_unet(size, 2, conv=conv, kernel=kernel, down=down, up=up)
            measured = UnetInPyTorch(plan).drifts
            for level in plan.levels[:-1]:
                assert measured[level.level] == pytest.approx(float(level.drift[0]), abs=1e-9), size

    def test_half_pixel_upsampling_drifts_under_strided_convolutions_and_odd_kernels_do_not(self):
        nearest = plan_unet((96, 128), 4, conv="same", down=CONV_3, up=Resize(scale=2))
        assert [level.drift for level in nearest.levels[:-1]] == [
            (d, d) for d in (Fraction(-15, 2), -7, -6, -4)
        ]
        assert nearest.output_drift == (Fraction(-15, 2),) * 2
        odd = Transposed(kernel=3, stride=2, padding=1, output_padding=1)
        assert not any(
            any(level.drift)
            for level in plan_unet((97, 128), 4, conv="same", down=CONV_3, up=odd).levels[:-1]
        )

    @pytest.mark.parametrize("up", [Resize(scale=2), Transposed(kernel=2, stride=2), Shuffle(scale=2)])
    @given(st.tuples(st.integers(16, 200), st.integers(16, 200), st.integers(16, 200)))
    def test_pools_and_half_pixel_upsampling_never_drift(self, up, size):
        plan = plan_unet(size, 4, conv="same", up=up)
        assert plan.output.grid == Grid.of_input(3)
        assert not any(any(level.drift) for level in plan.levels[:-1])

    def test_odd_sizes_say_what_each_level_and_axis_needs(self):
        plan = plan_unet((97, 131), 4, conv="same")
        assert [level.encoder.size for level in plan.levels] == [
            (97, 131),
            (48, 65),
            (24, 32),
            (12, 16),
            (6, 8),
        ]
        assert [level.needs for level in plan.levels] == [
            tuple(Need(axis=axis, action="output_padding", left=0, right=1) for axis in (0, 1)),
            (Need(axis=1, action="output_padding", left=0, right=1),),
            (),
            (),
            (),
        ]
        resized = plan_unet((97, 131), 4, conv="same", up=Resize(scale=2))
        assert resized.levels[1].needs == (Need(axis=1, action="pad", left=0, right=1),)

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("conv", ["valid", "same"])
    def test_no_other_sides_bring_the_grids_closer(self, name, conv):
        down, up = NETS[name]
        for size in range(200, 216):
            plan = plan_unet(size, 3, conv=conv, kernel=4, convs_per_level=1, down=down, up=up)
            for level in plan.levels[:-1]:
                (crop,), (distance,) = level.crop, level.drift
                spacing = level.encoder.grid.spacing[0]
                choices = [(crop, -spacing)]
                choices += [(n, {"pad": -1, "crop": 1}.get(n.action, 0) * spacing) for n in level.needs]
                for chosen, move in choices:
                    for left in range(chosen.left + chosen.right + 1):
                        other = abs(distance + move * (left - chosen.left))
                        assert abs(distance) < other or (abs(distance) == other and chosen.left <= left)

    def test_an_output_padding_that_pytorch_refuses_is_not_asked_for(self):
        up = Transposed(kernel=4, stride=2, padding=2)
        plan = plan_unet((32, 33), 1, conv="same", up=up)
        assert plan.levels[0].needs == tuple(
            Need(axis=axis, action="pad", left=1, right=1 + axis) for axis in (0, 1)
        )
        assert plan.levels[0].drift == (0, 0)

    def test_an_output_padding_that_is_too_much_is_taken_back(self):
        up = Transposed(kernel=3, stride=2, padding=1, output_padding=1)
        plan = plan_unet((97, 98), 1, conv="same", down=CONV_3, up=up)
        assert plan.levels[0].needs == (Need(axis=0, action="output_padding", left=0, right=0),)

    def test_odd_differences_are_cropped_where_the_grids_meet(self):
        """585 drops samples at every pool; a centre crop would be up to 6 px off, the plan's crop is not."""
        plan = plan_unet(585, 4)
        assert [sides(level) for level in plan.levels[:-1]] == [
            [(88, 101)],
            [(40, 46)],
            [(16, 19)],
            [(4, 5)],
        ]
        assert [level.drift for level in plan.levels[:-1]] == [(0,)] * 4
        assert [level.centre_crop_drift for level in plan.levels[:-1]] == [(-6,), (-6,), (-4,), (0,)]
        assert [level.unread for level in plan.levels] == [(1,), (0,), (1,), (1,), None]
        assert plan.output_drift == (Fraction(-13, 2),)

    def test_each_axis_is_planned_as_if_alone(self):
        both = plan_unet((97, 131), 3, conv="same", kernel=(3, 4), down=CONV_3, up=Resize(scale=2))
        alone = [
            plan_unet(n, 3, conv="same", kernel=k, down=CONV_3, up=Resize(scale=2))
            for n, k in ((97, 3), (131, 4))
        ]
        assert both.fit == tuple(plan.fit[0] for plan in alone)
        assert both.output_drift == tuple(plan.output_drift[0] for plan in alone)
        for level in range(3):
            ours, theirs = both.levels[level], [plan.levels[level] for plan in alone]
            assert ours.drift == tuple(each.drift[0] for each in theirs)
            assert ours.crop == tuple(each.crop[0] for each in theirs)
            assert [(need.axis, need.action, need.left) for need in ours.needs] == [
                (axis, need.action, need.left) for axis, each in enumerate(theirs) for need in each.needs
            ]

    def test_factors_may_differ_between_axes(self):
        plan = plan_unet(
            (96, 54), 2, conv="same", down=Pool(kernel=(2, 3)), up=Transposed(kernel=(2, 3), stride=(2, 3))
        )
        assert plan.levels[2].encoder.size == (24, 6)
        assert [fit.period for fit in plan.fit] == [4, 9]
        assert all(fit.exact for fit in plan.fit)


def original_fits(size, depth):
    """Follow the original net by hand: every pool divides, everything stays positive."""
    for _ in range(depth):
        size -= 4
        if size % 2 or size < 2:
            return False
        size //= 2
    size -= 4
    for _ in range(depth):
        size = 2 * size - 4
        if size < 1:
            return False
    return size >= 1


class TestFit:
    @pytest.mark.parametrize("depth", [1, 2, 3, 4])
    def test_sizes_that_fit_the_original_by_brute_force(self, depth):
        fitting = [n for n in range(1, 700) if original_fits(n, depth)]
        for size in range(fitting[0], fitting[0] + 70):
            fit = plan_unet(size, depth).fit[0]
            assert fit.exact == (size in fitting)
            assert fit.smallest == fitting[0]
            assert fit.below == max(n for n in fitting if n <= size)
            assert fit.above == min(n for n in fitting if n >= size)
            assert {n % fit.period for n in fitting} == set(fit.remainders)

    @pytest.mark.parametrize("name", NETS)
    @pytest.mark.parametrize("conv", ["valid", "same"])
    def test_the_least_size_and_the_period_by_brute_force(self, name, conv):
        down, up = NETS[name]
        plans = {}
        for size in range(1, 140):
            try:
                plans[size] = plan_unet(size, 2, conv=conv, down=down, up=up)
            except ShapeError:
                assert not plans, "a larger size must not fail where a smaller one ran"
        least = min(plans)
        exact = {size for size, plan in plans.items() if plan.fit[0].exact}
        for size, plan in plans.items():
            (fit,) = plan.fit
            assert fit.least == least
            assert fit.smallest == min(exact, default=None)
            assert (size in exact) == (size % fit.period in fit.remainders)
            assert (size in exact) == self.joins_without_patching(plan)

    def joins_without_patching(self, plan):
        if plan.conv == "same":
            return not any(level.needs for level in plan.levels)
        whole = all(not any(level.unread) for level in plan.levels[:-1])
        spare = [side.left + side.right for level in plan.levels[:-1] for side in (*level.crop, *level.needs)]
        return whole and not any(n % 2 for n in spare)

    def test_exact_refuses_what_does_not_fit(self):
        assert plan_unet((572, 556), 4, exact=True).output.size == (388, 372)

    def test_no_size_may_fit(self):
        fit = plan_unet(100, 2, up=Transposed(kernel=3, stride=2)).fit[0]
        assert (fit.exact, fit.remainders, fit.smallest, fit.below, fit.above) == (
            False,
            (),
            None,
            None,
            None,
        )


def test_unet_json():
    record = json.loads(json.dumps(plan_unet((97, 131), 1, conv="same").as_json()))
    levels = record.pop("levels")
    fit = record.pop("fit")
    assert record == {
        "schema": "upstroke.plan/1",
        "kind": "unet",
        "size": [97, 131],
        "depth": 1,
        "conv": "same",
        "convs_per_level": 2,
        "kernel": [3, 3],
        "down": "pool k2 s2",
        "up": "transposed k2 s2",
        "untapped": [{"fill": "transposed k4 s2 p1"}] * 2,
        "output": {
            "name": "output",
            "size": [97, 131],
            "grid": Grid.of_input(2).as_json(),
            "drift": {"value": [0.0, 0.0], "exact": ["0", "0"]},
        },
    }
    assert levels[0] == {
        "level": 0,
        "entry": {"name": "entry 0", "size": [97, 131], "grid": Grid.of_input(2).as_json()},
        "encoder": {"name": "encoder 0", "size": [97, 131], "grid": Grid.of_input(2).as_json()},
        "unread": [1, 1],
        "upsampled": {"name": "upsampled 0", "size": [97, 131], "grid": Grid.of_input(2).as_json()},
        "crop": [{"left": 0, "right": 0}] * 2,
        "needs": [{"axis": axis, "action": "output_padding", "left": 0, "right": 1} for axis in (0, 1)],
        "drift": {"value": [0.0, 0.0], "exact": ["0", "0"]},
        "centre_crop_drift": {"value": [0.0, 0.0], "exact": ["0", "0"]},
        "decoder": {"name": "decoder 0", "size": [97, 131], "grid": Grid.of_input(2).as_json()},
    }
    assert levels[1]["drift"] is levels[1]["upsampled"] is levels[1]["crop"] is levels[1]["unread"] is None
    assert fit[1] == {
        "exact": False,
        "period": 2,
        "remainders": [0],
        "least": 2,
        "smallest": 2,
        "below": 130,
        "above": 132,
    }


REFUSED = {
    "too small": (
        lambda: plan_unet((572, 187), 4),
        ShapeError,
        (
            "a U-Net of depth 4 with valid convolutions needs a size of at least 188x188; got 572x187; "
            "use 188x188 or more, or fewer levels"
        ),
    ),
    "too small, and the least does not fit": (
        lambda: plan_unet(40, 2, down=CONV_3),
        ShapeError,
        (
            "a U-Net of depth 2 with valid convolutions needs a size of at least 41; got 40; "
            "use 44, which fits exactly, or fewer levels"
        ),
    ),
    "does not fit": (
        lambda: plan_unet((572, 570), 4, exact=True),
        ShapeError,
        (
            "a U-Net of depth 4 with valid convolutions should fit exactly; got 572x570, which does not; "
            "the nearest that do are 572x556 and 572x572"
        ),
    ),
    "nothing fits": (
        lambda: plan_unet(100, 2, up=Transposed(kernel=3, stride=2), exact=True),
        ShapeError,
        (
            "a U-Net of depth 2 with valid convolutions should fit exactly; got 100, which does not; "
            "no size does"
        ),
    ),
    "axes": (
        lambda: plan_unet((97, 131), 4, kernel=(3, 3, 3)),
        ShapeError,
        (
            "all settings given per axis must have the same number of axes; got size 97x131, kernel 3x3x3; "
            "give one number for all axes, or one for each"
        ),
    ),
    "factors": (
        lambda: plan_unet(96, 2, down=Pool(kernel=3)),
        ShapeError,
        (
            "up must multiply the spacing by what down divides it by, or the grids cannot be joined; "
            "got pool k3 s3 and transposed k2 s2; give both the same factor on every axis"
        ),
    ),
    "conv": (
        lambda: plan_unet(96, 2, conv="full"),
        OptionError,
        "conv must be one of valid, same; got 'full'",
    ),
    "depth 0": (lambda: plan_unet(96, 0), OptionError, "depth must be at least 1; got 0"),
    "no convolutions": (
        lambda: plan_unet(96, 1, convs_per_level=0),
        OptionError,
        "convs_per_level must be at least 1; got 0",
    ),
    "too deep": (
        lambda: plan_unet(96, 13),
        OptionError,
        "depth and stride must shrink a map at most 4096 times; got depth 13 with stride 2; use fewer levels",
    ),
    "size 0": (
        lambda: plan_unet((96, 0), 1),
        OptionError,
        "size must be at least 1 on every axis; got 96x0",
    ),
    "stride 0": (
        lambda: plan_unet(96, 1, down=Conv(kernel=3, stride=0)),
        OptionError,
        "stride must be at least 1 on every axis; got 0",
    ),
    "negative padding": (
        lambda: plan_unet(96, 1, down=Conv(kernel=3, stride=2, padding=-1)),
        OptionError,
        "padding must be at least 0 on every axis; got -1",
    ),
    "a pool's padding": (
        lambda: plan_unet(96, 1, down=Pool(kernel=2, padding=2)),
        OptionError,
        (
            "a pool's padding must be at most half of what its kernel covers; got padding 2 for 2 samples; "
            "use padding 1 or less"
        ),
    ),
    "a resize's mode": (
        lambda: plan_unet(96, 1, up=Resize(scale=2, mode="area")),
        OptionError,
        "mode of a resize must be one of nearest, linear, cubic; got 'area'",
    ),
    "output_padding": (
        lambda: plan_generator(4, 64, kernel=4, stride=2, padding=1, output_padding=2),
        OptionError,
        (
            "output_padding must be smaller than the stride or the dilation; got 2 with stride 2 "
            "and dilation 1; use at most 1"
        ),
    ),
    "a ladder that steps over": (
        lambda: plan_generator(4, 64, kernel=3, stride=2, padding=1),
        ShapeError,
        (
            "the ladder from 4 by transposed k3 s2 p1 should reach 64; it goes from 49 to 97; "
            "use padding 1 with output_padding 1, or aim for 49 or 97"
        ),
    ),
    "a ladder that steps over on one axis": (
        lambda: plan_generator((4, 8), (64, 128), kernel=(3, 4), stride=2, padding=1),
        ShapeError,
        (
            "the ladder from 4x8 by transposed k3x4 s2 p1 should reach 64x128; it goes from 49x128 to "
            "97x256; use padding 1x1 with output_padding 1x0, or aim for 49x128 or 97x256"
        ),
    ),
    "a ladder nothing helps": (
        lambda: plan_generator(4, 60, kernel=4, stride=2, padding=1),
        ShapeError,
        "the ladder from 4 by transposed k4 s2 p1 should reach 60; it goes from 32 to 64; aim for 32 or 64",
    ),
    "a ladder on the spot": (
        lambda: plan_generator(4, 64, kernel=1, stride=1),
        ShapeError,
        (
            "the ladder from 4 by transposed k1 should reach 64; it goes from 4 to 4 and grows no further; "
            "use another kernel or stride"
        ),
    ),
    "a ladder without end": (
        lambda: plan_generator(1, 5000, kernel=2, stride=1),
        ShapeError,
        (
            "the ladder from 1 by transposed k2 should reach 5000; it has only come to 1001 after "
            "1000 steps; use another kernel or stride"
        ),
    ),
    "a ladder that falls": (
        lambda: plan_generator(64, 4, kernel=4, stride=2, padding=1),
        OptionError,
        (
            "a generator must grow: to (--to) must be larger than from (--from); got from 64 to 4; "
            "swap them, or name a larger size to reach"
        ),
    ),
    "nothing left": (
        lambda: plan_generator(1, 4, kernel=2, stride=2, padding=1),
        ShapeError,
        (
            "transposed k2 s2 p1 must leave at least 1 sample on every axis; got 0 from 1; "
            "use less padding or a larger map"
        ),
    ),
    "kernel 0": (
        lambda: plan_generator(4, 64, kernel=0, stride=2),
        OptionError,
        "kernel must be at least 1 on every axis; got 0",
    ),
    "a crop of everything": (
        lambda: trace([Crop(left=3, right=(1, 2))], (5, 5)),
        ShapeError,
        "crop 3|1x2 must leave at least 1 sample on every axis; got none of 5x5",
    ),
    "an odd map unshuffled": (
        lambda: trace([Unshuffle(scale=2)], (6, 5)),
        ShapeError,
        "unshuffle ÷2 needs a size that is a multiple of 2x2; got 6x5",
    ),
    "a kernel larger than the map": (
        lambda: trace([Conv(kernel=7, padding=1)], (9, 4)),
        ShapeError,
        "conv k7 p1 needs at least 5 samples on every axis; got 9x4; use a larger map or a smaller kernel",
    ),
    "a map resized away": (
        lambda: trace([Resize(scale=Fraction(1, 8))], 4),
        ShapeError,
        "nearest ×1/8 must leave at least 1 sample on every axis; got none of 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
