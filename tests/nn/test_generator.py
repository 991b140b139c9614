"""The generator is DCGAN's at its defaults, grows pictures by any method, and knows which pixel sees what."""

import contextlib
import copy
import io
import re
import warnings
from fractions import Fraction
from itertools import product
from typing import get_args

import pytest
import torch
from torch import nn

import upstroke
from tolerance import assert_same
from upstroke import from_module
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid
from upstroke.nn import Generator, ResizeConv, SeparableTransposedConv, SubpixelConv, Upsampler
from upstroke.nn.generator_trace import measured, traced
from upstroke.nn.unet_ways import behind
from upstroke.nn.upsampler import Method
from upstroke.ops.layout import is_channels_last

METHODS = get_args(Method)
TRANSPOSED = ("transposed", "separable", "separable-pointwise-first")
RESIZES = ("nearest", "linear", "cubic")
# every method at its usual kernel, and at those of another shape
WAYS = [(method, None) for method in METHODS] + [(method, 3) for method in TRANSPOSED] + [("subpixel", 5)]
EVERY_WAY = pytest.mark.parametrize(("method", "kernel"), WAYS)
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


def tiny(**settings):
    torch.manual_seed(settings.pop("seed", 0))
    return Generator(**{"latent": 6, "width": 2, "channels": 3, "size": 32, **settings})


def latents(net, count=3, *, seed=7):
    dtype = next(net.parameters()).dtype
    return torch.randn(count, net.latent, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def stirred(net, by=0.2):
    """Other weights, off their laws where they are held, and other statistics, as training leaves them."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    net.train()
    for seed in range(5):
        net(latents(net, 8, seed=seed))
    return net.eval()


class Plain(nn.Module):
    """DCGAN's generator as it is usually written, by PyTorch's layers alone."""

    def __init__(self, net, **up):
        super().__init__()
        widths = [net.width * 2**step for step in reversed(range({32: 3, 64: 4, 128: 5}[net.size]))]
        layers = [nn.ConvTranspose2d(net.latent, widths[0], 4, 1, 0, bias=False)]
        for before, after in zip(widths, [*widths[1:], net.channels], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU()]
            layers.append(nn.ConvTranspose2d(before, after, **up, bias=False))
        self.main = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


K4 = {"kernel_size": 4, "stride": 2, "padding": 1}
K3 = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}


def test_it_has_the_parameters_of_the_original():
    net = Generator()
    assert sum(parameter.numel() for parameter in net.parameters()) == 3_576_704
    assert sum(parameter.numel() for parameter in Plain(net, **K4).parameters()) == 3_576_704
    of_norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    assert [len(bias) for bias in biases] == [512, 256, 128, 64]
    assert {id(bias) for bias in biases} < of_norms


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (128, 3)])
@pytest.mark.parametrize(("kernel", "up"), [(4, K4), (3, K3)])
def test_it_is_the_original_with_the_same_weights(size, channels, kernel, up):
    net = tiny(size=size, channels=channels, kernel=kernel, width=3).double()
    plain = Plain(net, **up).double()
    state = net.state_dict()
    assert [value.shape for value in state.values()] == [v.shape for v in plain.state_dict().values()]
    plain.load_state_dict(dict(zip(plain.state_dict(), state.values(), strict=True)))
    z = latents(net, 5)
    for mode in (True, False):
        ours, theirs = net.train(mode)(z), plain.train(mode)(z)
        assert ours.shape == (5, channels, size, size)
        assert_same(ours, theirs)
        wanted = torch.autograd.grad(theirs.square().sum(), list(plain.parameters()))
        got = torch.autograd.grad(ours.square().sum(), list(net.parameters()))
        for one, other in zip(got, wanted, strict=True):
            assert_same(one, other)
    for one, other in zip(net.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_widths_double_wherever_the_size_is_half():
    for size, sizes in ((32, [4, 8, 16]), (64, [4, 8, 16, 32]), (128, [4, 8, 16, 32, 64])):
        net = tiny(size=size, width=3)
        shapes = []
        for level in net.levels:
            level.register_forward_hook(lambda module, args, y, shapes=shapes: shapes.append(y.shape))
        net(latents(net))
        assert [shape[2] for shape in shapes] == [*sizes, size]
        assert [shape[1] for shape in shapes] == [3 * 2**n for n in reversed(range(len(sizes)))] + [3]


@EVERY_WAY
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_settings_and_state_make_the_same_net(method, kernel, balanced, norm):
    made = tiny(
        method=method, kernel=kernel, balanced=balanced, icnr=balanced, norm=norm, channels=1, width=5
    )
    stirred(made)
    again = Generator(**made.settings)
    assert again.settings == made.settings
    assert list(again.state_dict()) == list(made.state_dict())
    again.load_state_dict(made.state_dict())
    z = latents(made)
    assert torch.equal(made(z), again.eval()(z))
    assert torch.equal(made(z), copy.deepcopy(made)(z))
    assert made(z).shape == (3, 1, 32, 32)
    assert 0 < float(made(z).detach().abs().max()) <= 1


@EVERY_METHOD
def test_the_same_seed_draws_the_same_net(method):
    one, two, other = (tiny(method=method, balanced=True, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not torch.equal(one["levels.0.0.weight"], other["levels.0.0.weight"])


def trained(net, steps=3):
    """A net after a few steps towards noise."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    wanted = torch.randn(4, net.channels, net.size, net.size, generator=torch.Generator().manual_seed(1))
    for step in range(steps):
        optimiser.zero_grad()
        (net(latents(net, 4, seed=step)) - wanted).square().mean().backward()
        optimiser.step()
    return net


def gains(up):
    """The gain of every phase, shape (phases, out, in), of what the layer computes inside its margin."""
    return from_module(up).operator.regroup(1).taps.flatten(3).sum(-1).detach().double()


def pattern(net):
    """The largest distance between phases of a layer, over its largest gain, of all layers."""
    return max(
        float((each - each[:1]).abs().max() / each.abs().max()) for each in (gains(up) for up in net.ups)
    )


@EVERY_WAY
def test_balanced_holds_from_the_start_and_through_training(method, kernel):
    net = tiny(method=method, kernel=kernel, balanced=True)
    assert pattern(net) < 1e-5
    before = [gain.clone() for gain in map(gains, net.ups)]
    assert pattern(trained(net)) < 1e-5
    assert all(
        float((new - old).abs().max()) > 1e-3 for old, new in zip(before, map(gains, net.ups), strict=True)
    )
    free = tiny(method=method, kernel=kernel)
    assert (pattern(free) > 0.1) is (method not in RESIZES)
    assert (pattern(trained(free)) > 0.1) is (method not in RESIZES)


def test_what_is_held_starts_on_its_laws():
    for method in ("transposed", "subpixel", *TRANSPOSED[1:]):
        net = tiny(method=method, balanced=True)
        drawn = net.released()
        originals = [p for name, p in net.named_parameters() if name.endswith("weight.original")]
        assert len(originals) == len(net.ups)
        weights = [getattr(up, "depthwise", getattr(up, "conv", up)).weight for up in drawn.ups]
        for original, weight in zip(originals, weights, strict=True):
            torch.testing.assert_close(original, weight, rtol=0, atol=1e-7)


def test_a_constant_comes_out_constant_inside():
    net = tiny(balanced=True, kernel=3).double()
    for up in net.ups:
        y = up(torch.ones(1, up.in_channels, 9, 7, dtype=torch.float64))[..., 2:-2, 2:-2]
        assert float((y - y[..., :1, :1]).detach().abs().max()) < 1e-7


@EVERY_WAY
def test_icnr_starts_without_a_pattern_and_holds_nothing(method, kernel):
    net = tiny(method=method, kernel=kernel, icnr=True)
    assert pattern(net) < 1e-5
    assert not [name for name in net.state_dict() if "original" in name]
    assert (pattern(trained(net)) > 1e-3) is (method not in RESIZES)


def test_icnr_draws_one_kernel_for_all_phases_of_a_shuffle():
    for balanced in (False, True):
        for up in tiny(method="subpixel", icnr=True, balanced=balanced).ups:
            kernels = up.conv.weight.detach().unflatten(0, (-1, 4))
            torch.testing.assert_close(kernels, kernels[:, :1].expand_as(kernels), rtol=0, atol=1e-8)
            assert float(kernels.std()) > 0.01
    for up in tiny(method="subpixel", balanced=True).ups:
        kernels = up.conv.weight.detach().unflatten(0, (-1, 4))
        assert float((kernels - kernels[:, :1]).abs().max()) > 0.01


@EVERY_METHOD
def test_weights_start_as_those_of_the_original(method):
    net = tiny(method=method, width=24, latent=50)
    assert float(net.sketch.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    for up in net.ups[:-1]:
        if isinstance(up, SeparableTransposedConv):
            weight = (
                up.depthwise.weight.detach().std()
                * next(part for part in up if isinstance(part, nn.Conv2d)).weight.detach().std()
            )
        else:
            weight = getattr(up, "conv", up).weight.detach().std()
        assert float(weight) == pytest.approx(0.02, rel=0.1)
    factors = torch.cat([m.weight.detach() for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
    assert float(factors.mean()) == pytest.approx(1, abs=0.01)
    assert float(factors.std()) == pytest.approx(0.02, rel=0.3)
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, nn.BatchNorm2d))


def test_balancing_takes_as_much_of_the_deviation_as_the_gains_had():
    # 3 of the 4 gains of a pair follow from the fourth, and each is shared by 4 of 16 taps
    net = tiny(width=24, balanced=True)
    for up in net.ups[:-1]:
        assert float(up.weight.detach().std()) == pytest.approx(0.02 * (13 / 16) ** 0.5, rel=0.05)


@EVERY_METHOD
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_with_channels_innermost_all_maps_have_them_so(method, norm):
    net = stirred(tiny(method=method, norm=norm, channels=3))
    z = latents(net)
    wanted = net(z)
    net.to(memory_format=torch.channels_last)
    innermost = []
    for level in net.levels:
        level.register_forward_hook(lambda module, args, y: innermost.append(is_channels_last(y)))
    torch.testing.assert_close(net(z), wanted, rtol=0, atol=1e-5)
    assert all(innermost)
    assert len(innermost) == 4


@EVERY_METHOD
def test_without_norms_maps_keep_their_size_and_layers_have_biases(method):
    net = tiny(method=method, width=16, latent=64, norm="none")
    shapes = [bias.shape for name, bias in net.named_parameters() if name.endswith("bias")]
    assert len(shapes) == len(net.levels)
    assert all(not bias.any() for name, bias in net.named_parameters() if name.endswith("bias"))
    y = latents(net, 64)
    for level in net.levels[:-1]:
        y = level(y)
        assert 0.15 < float(y.detach().square().mean()) < 3


@EVERY_METHOD
def test_released_weights_are_plain_and_make_the_same_pictures(method):
    net = stirred(tiny(method=method, balanced=True, width=5))
    state = torch.get_rng_state()
    plain = net.released()
    assert torch.equal(state, torch.get_rng_state())
    z = latents(net)
    assert torch.equal(plain(z), net(z))
    assert list(plain.state_dict()) == list(tiny(method=method).state_dict())
    assert plain.settings == {**net.settings, "balanced": False}
    assert net.balanced
    assert pattern(trained(net.train())) < 1e-5


@EVERY_WAY
def test_every_map_has_the_planned_size_and_grid(method, kernel):
    net = tiny(method=method, kernel=kernel)
    sizes, grid = [], Grid.of_input(2)
    for level in net.levels:
        level.register_forward_hook(lambda module, args, y: sizes.append(tuple(y.shape[2:])))
    net(latents(net))
    assert [step.size for step in net.plan] == sizes == [(4, 4), (8, 8), (16, 16), (32, 32)]
    assert net.plan[0].name == "sketch"
    assert net.grids[0] == grid
    for up, said in zip(net.ups, net.grids[1:], strict=True):
        grid = behind(grid, up.grid)
        assert said == grid
    uneven = method in TRANSPOSED and kernel == 3
    assert net.is_registered is not uneven
    assert net.drift == (Fraction(7, 16) if uneven else 0,) * 2


@EVERY_WAY
@pytest.mark.parametrize("size", [32, 64])
def test_what_is_traced_is_what_is_measured(method, kernel, size):
    net = stirred(tiny(method=method, kernel=kernel, size=size, width=6)).train()
    trace, found = net.trace(), net.measured(pictures=12)
    assert trace.reads.shape == (size, size, 4, 4)
    assert torch.equal(trace.reads, found.reads)
    assert net.training
    assert next(net.parameters()).dtype == torch.float32
    for cell in product(range(4), repeat=2):
        assert torch.equal(trace.reach(cell), found.change[:, :, cell[0], cell[1]] > 1e-12)
    assert int(trace.seen.sum()) == int(trace.reached.sum())


def test_the_largest_picture_too():
    net = tiny(size=128, width=8)
    assert torch.equal(net.trace().reads, net.measured(pictures=12).reads)


@pytest.mark.parametrize(
    ("method", "kernel", "least", "most"),
    [
        ("transposed", 4, 1, 9),
        ("separable", 4, 1, 9),
        ("nearest", 3, 1, 9),
        ("transposed", 3, 1, 4),
        ("subpixel", 3, 4, 16),
        ("linear", 3, 4, 16),
        ("cubic", 3, 16, 16),
        ("transposed", 2, 1, 1),
    ],
)
def test_how_many_of_16_cells_a_pixel_sees(method, kernel, least, most):
    trace = tiny(method=method, kernel=kernel, size=64).trace()
    assert (trace.least, trace.most) == (least, most)


def test_where_a_cell_of_the_original_reaches():
    trace = tiny(size=64).trace()
    # per axis a cell becomes 16 pixels, and 15 more on either side: k4 adds 1 at each step, doubled by the next
    for axis, (first, last) in enumerate([(0, 30), (1, 46), (17, 62), (33, 63)]):
        rows = trace.reach((axis, 2)).any(dim=1).nonzero().flatten()
        columns = trace.reach((2, axis)).any(dim=0).nonzero().flatten()
        assert (int(rows[0]), int(rows[-1])) == (first, last) == (int(columns[0]), int(columns[-1]))
    assert trace.sees((0, 63)).nonzero().tolist() == [[0, 3]]
    assert int(trace.sees((30, 33)).sum()) == int(trace.seen[30, 33]) == 9
    assert int(trace.reach((1, 3)).sum()) == int(trace.reached[1, 3]) == 46 * 31


LAYERS = {
    "kernels": lambda: Upsampler(2, 3, method="transposed", kernel_size=(4, 3)),
    "scales": lambda: Upsampler(2, 3, method="separable", scale=(2, 3)),
    "both": lambda: Upsampler(2, 3, method="subpixel", scale=(3, 2), kernel_size=(1, 5)),
    "one tap of a resize": lambda: Upsampler(2, 3, method="linear", scale=(3, 2), kernel_size=(1, 3)),
    "no padding": lambda: Upsampler(2, 3, method="cubic", padding=0),
    "grown": lambda: Upsampler(2, 3, method="transposed", kernel_size=(5, 4), padding=(0, 1)),
    "replicated far out": lambda: ResizeConv(2, 3, (5, 3), padding=(4, 3), padding_mode="replicate"),
    "zeros far out": lambda: ResizeConv(2, 3, (3, 5), padding=(4, 3), mode="linear"),
    "circular": lambda: SubpixelConv(2, 3, (3, 5), padding_mode="circular"),
    "dilated": lambda: upstroke.nn.TransposedConv(2, 3, (3, 4), dilation=(3, 1)),
    "a phase without taps": lambda: upstroke.nn.TransposedConv(2, 3, (1, 2), stride=(2, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_axes_are_traced_by_themselves_with_every_border(name):
    torch.manual_seed(1)
    first, second = LAYERS[name]().double(), Upsampler(3, 2, method="transposed", dtype=torch.float64)
    for cells in (4, 5):
        sketches = torch.randn(3, 2, cells, cells, dtype=torch.float64)
        for layers in ([first], [first, second]):
            with torch.no_grad():
                found = measured(nn.Sequential(*layers), sketches)
            trace = traced(layers, cells=cells)
            assert trace.reads.shape[:2] == found.change.shape[:2]
            assert torch.equal(trace.reads, found.reads)


# while it is traced, what is asked of a size is answered by a tensor
@pytest.mark.usefixtures("_unchecked")
@EVERY_METHOD
@pytest.mark.parametrize("balanced", [False, True])
def test_as_onnx_it_gives_the_same_pictures(method, balanced):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net = stirred(tiny(method=method, balanced=balanced, width=6))
    file = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(2, net.latent),),
            file,
            dynamo=False,
            opset_version=18,
            input_names=["latent"],
            output_names=["picture"],
            dynamic_axes={"latent": {0: "batch"}, "picture": {0: "batch"}},
        )
    data = file.getvalue()
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        z = latents(net, count)
        (answer,) = session.run(None, {"latent": z.numpy()})
        wanted = net(z).detach()
        assert float(wanted.std()) > 0.05
        torch.testing.assert_close(torch.from_numpy(answer), wanted, rtol=0, atol=2e-6)


def test_the_check_reads_every_step_and_finds_the_uneven_kernel():
    for kernel, found in ((4, set()), (3, {"UP101"})):
        net = stirred(tiny(kernel=kernel, balanced=True))
        report = upstroke.check(net, latents(net)).as_json()
        assert report["skipped"] == []
        assert [site["name"] for site in report["sites"]] == [f"levels.{n}.0" for n in (1, 2, 3)]
        codes = {each["code"] for each in report["findings"]}
        assert codes & {"UP101", "UP102", "UP105"} == found


def test_it_says_what_it_is_made_with_and_where_the_picture_sits():
    assert tiny(kernel=3).extra_repr() == (
        "6, 2, 3, 32, method='transposed', kernel=3, balanced=False, icnr=False, norm='batch', "
        "off half pixels by 7/16 cells"
    )
    assert tiny(method="cubic", icnr=True, norm="none").extra_repr() == (
        "6, 2, 3, 32, method='cubic', kernel=3, balanced=False, icnr=True, norm='none', on half pixels"
    )
    assert repr(tiny().sketch) == "Sketch(6, 8, bias=False)"


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 48}, "size must be one of 32, 64, 128; got 48"),
        ({"latent": 0}, "latent must be at least 1; got 0"),
        ({"width": -1}, "width must be at least 1; got -1"),
        ({"channels": 2}, "channels of a picture must be 1 or 3; got 2"),
        ({"norm": "instance"}, "norm must be one of 'batch', 'none'; got 'instance'"),
        (
            {"method": "bilinear"},
            (
                "method must be one of 'transposed', 'nearest', 'linear', 'cubic', 'subpixel', 'separable', "
                "'separable-pointwise-first'; got 'bilinear'"
            ),
        ),
        (
            {"kernel": 1},
            "kernel of method='transposed' must be at least 2, to reach every sample; got 1",
        ),
        (
            {"method": "subpixel", "kernel": 4},
            "kernel of method='subpixel' must be odd, or maps move by half a sample at every step; got 4",
        ),
        (
            {"method": "nearest", "kernel": -1},
            "kernel of method='nearest' must be odd and at least 1; got -1",
        ),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        tiny(**settings)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("shape", [(6,), (2, 5), (2, 6, 1, 1)])
def test_other_latent_vectors_are_refused(shape):
    message = f"z must have shape (batch, 6), one latent vector per picture; got shape {shape}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        tiny()(torch.zeros(shape))


def test_places_outside_are_refused():
    trace = tiny().trace()
    message = "a cell of the sketch has a row and a column from 0 on, below 4 and 4; got (0, 4)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        trace.reach((0, 4))
    message = "a pixel of the picture has a row and a column from 0 on, below 32 and 32; got (-1, 0)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        trace.sees((-1, 0))
    message = "pictures must be at least 2, because cells are exchanged between them; got 1"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        tiny().measured(pictures=1)
