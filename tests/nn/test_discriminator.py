"""The discriminator is DCGAN's at its defaults, and every norm keeps what it says through states and copies."""

import copy
import re
from itertools import pairwise, product

import pytest
import torch
from torch import nn

import upstroke
from tolerance import assert_same
from upstroke.errors import OptionError, ShapeError
from upstroke.nn import Discriminator

NORMS = ("batch", "none", "spectral")
EVERY_NORM = pytest.mark.parametrize("norm", NORMS)


def tiny(**settings):
    torch.manual_seed(settings.pop("seed", 0))
    return Discriminator(**{"channels": 3, "width": 3, "size": 32, **settings})


def pictures(net, count=4, *, seed=7):
    dtype = next(net.parameters()).dtype
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, net.channels, net.size, net.size, generator=generator, dtype=dtype) * 2 - 1


class Plain(nn.Module):
    """DCGAN's discriminator as it is usually written."""

    def __init__(self, net):
        super().__init__()
        widths = [net.width * 2**step for step in range({32: 3, 64: 4, 128: 5}[net.size])]
        layers = [nn.Conv2d(net.channels, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))

    def forward(self, x):
        return self.main(x)[:, 0, 0, 0]


def test_it_has_the_parameters_of_the_original():
    for net in (Discriminator(), Plain(Discriminator())):
        assert sum(parameter.numel() for parameter in net.parameters()) == 2_765_568


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (128, 3)])
def test_it_is_the_original_with_the_same_weights(size, channels):
    net = tiny(size=size, channels=channels).double()
    plain = Plain(net).double()
    state = net.state_dict()
    assert [value.shape for value in state.values()] == [v.shape for v in plain.state_dict().values()]
    plain.load_state_dict(dict(zip(plain.state_dict(), state.values(), strict=True)))
    x = pictures(net)
    for mode in (True, False):
        ours, theirs = net.train(mode)(x), plain.train(mode)(x)
        assert ours.shape == (4,)
        assert_same(ours, theirs)
        wanted = torch.autograd.grad(theirs.square().sum(), list(plain.parameters()))
        got = torch.autograd.grad(ours.square().sum(), list(net.parameters()))
        for one, other in zip(got, wanted, strict=True):
            assert_same(one, other)


@EVERY_NORM
@pytest.mark.parametrize("spread", [False, True])
def test_settings_and_state_make_the_same_net(norm, spread):
    made = tiny(norm=norm, spread=spread, channels=1)
    for seed in range(3):
        made(pictures(made, seed=seed))
    again = Discriminator(**made.settings)
    assert again.settings == made.settings
    again.load_state_dict(made.state_dict())
    x = pictures(made)
    copied = copy.deepcopy(made)
    # in training, too, where a norm of weights goes on from the vectors that it keeps
    for mode in (False, True, True):
        logits = made.train(mode)(x)
        assert torch.equal(logits, again.train(mode)(x))
        assert torch.equal(logits, copied.train(mode)(x))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())


@EVERY_NORM
def test_which_layers_have_a_norm_and_a_bias(norm):
    net = tiny(norm=norm, size=64)
    has_norm = [any(isinstance(part, nn.BatchNorm2d) for part in level) for level in net.levels]
    assert has_norm == [False] + [norm == "batch"] * 3
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 5
    assert all((conv.bias is None) is (norm == "batch") for conv in convs)
    assert [hasattr(conv, "parametrizations") for conv in convs] == [norm == "spectral"] * 5


def test_spectral_weights_have_a_largest_singular_value_of_1():
    net = tiny(norm="spectral", width=8)
    for seed in range(60):
        net(pictures(net, seed=seed))
    for module in net.eval().modules():
        if isinstance(module, nn.Conv2d):
            assert float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)) == pytest.approx(
                1, rel=0.03
            )
            assert float(module.parametrizations.weight.original.detach().flatten(1).norm()) != pytest.approx(
                1
            )


def test_weights_start_as_those_of_the_original():
    net = tiny(width=24)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module is not net.head:
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.5)
            assert float(module.weight.detach().mean()) == pytest.approx(1, abs=0.02)
            assert not module.bias.any()


def test_without_norms_maps_keep_their_size():
    net = tiny(width=24, norm="none", size=128)
    y = torch.randn(4, 3, 128, 128)
    for level in net.levels:
        y = level(y)
        assert 0.4 < float(y.detach().square().mean()) < 2


@EVERY_NORM
def test_a_penalty_on_gradients_can_be_trained(norm):
    net = tiny(norm=norm, spread=True).double()
    x = pictures(net).requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    gradients = [p.grad for name, p in net.named_parameters() if not name.endswith("bias")]
    assert all(bool(torch.isfinite(gradient).all()) and bool(gradient.any()) for gradient in gradients)


def test_pictures_that_are_all_alike_are_found_out_by_their_spread():
    net = tiny(norm="none", spread=True, width=8).double()
    x = pictures(net)
    seen = []
    net.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    net(x)
    net(x[:1].expand(4, -1, -1, -1))
    net(x[:1])
    maps, alike, alone = (each.detach() for each in seen)
    assert maps.shape[1] == 4 * 8 + 1
    # one number for the whole batch: the mean deviation of what the maps say
    wanted = maps[:, :-1].std(dim=0, correction=0).mean()
    torch.testing.assert_close(maps[:, -1], wanted.expand(4, 4, 4), rtol=1e-6, atol=0)
    assert float(alike[:, -1].max()) == float(alone[:, -1].max()) == pytest.approx(1e-4)
    assert float(wanted) > 0.01


def test_without_it_no_picture_is_judged_by_others():
    for norm, spread in product(("none", "spectral"), (False, True)):
        net = tiny(norm=norm, spread=spread, width=8).double().eval()
        x = pictures(net)
        one_by_one = torch.cat([net(each[None]) for each in x])
        assert torch.allclose(net(x), one_by_one, rtol=0, atol=1e-12) is not spread


@EVERY_NORM
def test_every_pixel_has_its_gradient_through_as_many_taps(norm):
    net = tiny(norm=norm).eval()
    report = upstroke.check(net, pictures(net)).as_json()
    assert report["findings"] == []
    assert report["skipped"] == []
    # and a kernel of 3 in its place would be found
    net.levels[1][0] = nn.Conv2d(3, 6, 3, stride=2, padding=1)
    found = upstroke.check(net, pictures(net)).as_json()["findings"]
    assert [(each["code"], each["site"]) for each in found] == [("UP103", "levels.1.0")]


def test_it_says_what_it_is_made_with():
    assert tiny(norm="spectral").extra_repr() == "3, 3, 32, norm='spectral', spread=False"


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 16}, "size must be one of 32, 64, 128; got 16"),
        ({"width": 0}, "width must be at least 1; got 0"),
        ({"channels": 4}, "channels of a picture must be 1 or 3; got 4"),
        ({"norm": "layer"}, "norm must be one of 'batch', 'none', 'spectral'; got 'layer'"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        tiny(**settings)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 32, 64), "x must be pictures of 32x32 to match the discriminator; got 32x64"),
        (
            (2, 1, 32, 32),
            (
                "x must have shape (batch, channels, *size) with 3 channels and 2 spatial axes to match the "
                "layer; got shape (2, 1, 32, 32)"
            ),
        ),
    ],
)
def test_other_pictures_are_refused(shape, message):
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        tiny()(torch.zeros(shape))
