"""Hold that totals and means are found kept or not as they are when the model is run."""

import pytest
import torch
from torch import nn

from upstroke.audit import check


def verdicts(model, x):
    (site,) = check(model, x, conserve=True, select=["UP4"]).sites
    return site.verdicts["UP401"], site.verdicts["UP402"]


def layer(kernel, mass, padding=0, bias=None):
    """One channel, stride (2, 3), weights that sum to this mass."""
    torch.manual_seed(0)
    net = nn.ConvTranspose2d(1, 1, kernel, stride=(2, 3), padding=padding, bias=bias is not None)
    with torch.no_grad():
        net.weight.uniform_()
        net.weight *= mass / net.weight.sum()
        if bias is not None:
            net.bias[:] = bias
    return net


X = torch.rand(1, 1, 5, 7)


@pytest.mark.parametrize(
    ("mass", "off", "words"),
    [
        (1.0, 0.0, "at 5x7 a total comes out as 1 of itself (kept), a mean comes out as 0.1667 of itself"),
        (
            6.0,
            0.0,
            "at 5x7 a total comes out as 6 of itself (500 % made), a mean comes out as 1 of itself (kept)",
        ),
        (1.1, 10.0, "at 5x7 a total comes out as 1.1 of itself (10 % made), a mean"),
        (0.9, 10.0, "at 5x7 a total comes out as 0.9 of itself (10 % lost), a mean"),
    ],
)
def test_mass_is_made_or_lost(mass, off, words):
    net = layer((2, 3), mass)
    found, _ = verdicts(net, X)
    assert (found.kind, found.measure) == ("finding" if off else "ok", pytest.approx(off, abs=1e-3))
    assert found.words.startswith(words)
    assert net(X).sum().item() / X.sum().item() == pytest.approx(mass, rel=1e-5)


def test_the_border_is_part_of_what_is_lost():
    net = layer((4, 5), 1.0, padding=(1, 1))
    found, _ = verdicts(net, X)
    arrived = net(torch.ones_like(X)).sum().item() / X.numel()
    assert found.kind == "finding"
    assert found.measure == pytest.approx(100 * (1 - arrived), rel=1e-4)
    assert f"; the border takes or adds {100 * (1 - arrived):.3g} %" in found.words


def test_a_bias_is_made_from_nothing():
    found, blocks = verdicts(layer((2, 3), 6.0, bias=0.25), X)
    assert (found.kind, found.measure) == ("finding", pytest.approx(25))
    assert found.words.endswith("; its bias adds up to 0.25 to every sample")
    assert blocks.kind == "finding"


def test_the_bias_of_a_total_is_that_of_all_samples_of_a_cell():
    net = layer((2, 3), 1.0, bias=0.01)
    found, _ = verdicts(net, X)
    made = (net(torch.ones_like(X)).sum().item() - X.numel()) / X.numel()
    assert (found.kind, found.measure) == ("finding", pytest.approx(100 * made, rel=1e-4))
    assert made == pytest.approx(6 * 0.01, rel=1e-4)
    with torch.no_grad():
        net.weight[:] = 1 / 6
    _, blocks = verdicts(net, X)
    assert (blocks.kind, blocks.measure) == ("finding", pytest.approx(6 * 0.01))


def test_a_model_that_is_linear_throughout_is_judged_as_a_whole():
    halves = [nn.Conv2d(1, 1, 1, bias=False) for _ in range(2)]
    with torch.no_grad():
        halves[0].weight[:], halves[1].weight[:] = 0.5, 0.5
    whole = nn.Sequential(halves[0], nn.Upsample(scale_factor=2), halves[1])
    found, blocks = verdicts(whole, X)
    assert (found.kind, blocks.kind) == ("ok", "ok")
    assert found.words.startswith("at 5x7 a total comes out as 1 of itself (kept), a mean comes out as 0.25")
    assert found.words.endswith(" (the whole model)")
    assert blocks.words == "every block keeps the total of its cell (the whole model)"
    parted = nn.Sequential(*whole, nn.ReLU())
    found, _ = verdicts(parted, X)
    assert found.words.endswith(" (this layer alone: there is more to the model)")


def test_channels_keep_their_own_or_what_they_have_together():
    torch.manual_seed(0)
    own = nn.ConvTranspose2d(4, 4, 2, stride=2, groups=4, bias=False)
    with torch.no_grad():
        own.weight /= own.weight.sum(dim=(1, 2, 3), keepdim=True)
    x = torch.rand(1, 4, 5, 7)
    assert verdicts(own, x)[0].kind == "ok"
    together = nn.ConvTranspose2d(4, 3, 2, stride=2, bias=False)
    with torch.no_grad():
        together.weight /= together.weight.sum(dim=(1, 2, 3), keepdim=True)
    found, blocks = verdicts(together, x)
    assert found.kind == "ok"
    assert found.words.startswith("at 5x7 a total of all channels together comes out up to ")
    assert together(x).sum().item() / x.sum().item() == pytest.approx(1, rel=1e-4)
    assert blocks.kind == "skipped"
    with torch.no_grad():
        own.weight[2] *= 1.02
    assert verdicts(own, x)[0].measure == pytest.approx(2, rel=1e-3)


def test_blocks_keep_their_means_or_do_not():
    _, nearest = verdicts(nn.Upsample(scale_factor=2), X)
    assert (nearest.kind, nearest.measure) == ("ok", 0.0)
    _, linear = verdicts(nn.Upsample(scale_factor=2, mode="bilinear"), X)
    # a cell keeps (3/4)^2 of its own block
    assert (linear.kind, linear.measure) == ("finding", pytest.approx(1 - 9 / 16))
    _, cropped = verdicts(layer((4, 5), 1.0), X)
    assert cropped.kind == "skipped"
    assert cropped.words.startswith("block means are defined where the output is one block")


def test_conservation_is_asked_for():
    net = layer((2, 3), 0.9)
    codes = {rule.code for rule in check(net, X).rules}
    assert not codes & {"UP401", "UP402"}
    assert {"UP401", "UP402"} <= {rule.code for rule in check(net, X, conserve=True).rules}
