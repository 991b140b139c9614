"""Models that turn gradients on or off while they run are read like others."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from upstroke.graph import sites
from upstroke.graph.steps import Convolution, Resize, TransposedConvolution, Unread
from upstroke.graph.torch import record


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 2, 4, 2, 1)

    def drawn(self, x):
        y = self.down(x)
        return self.up(y.flatten(2).view(y.shape))


class Plain(Layers):
    def forward(self, x):
        return self.drawn(x)


class PlainResizes(Layers):
    """What PyTorch takes apart by itself, and a compiler takes apart in other ways."""

    def grown(self, x):
        for mode in ("bilinear", "bicubic", "nearest"):
            x = F.interpolate(x, scale_factor=(2, 3), mode=mode)
        return F.conv2d(F.pixel_shuffle(F.dropout(x.repeat(1, 4, 1, 1)), 2), torch.ones(1, 2, 3, 3))

    def forward(self, x):
        return self.up(F.layer_norm(self.grown(x).repeat(1, 4, 1, 1), [14, 52]))


class InferenceResizes(PlainResizes):
    def forward(self, x):
        with torch.inference_mode():
            y = self.grown(x)
        return self.up(F.layer_norm(y.repeat(1, 4, 1, 1), [14, 52]))


class WithoutGradients(Layers):
    @torch.no_grad()
    def forward(self, x):
        return self.drawn(x)


class Inference(Layers):
    @torch.inference_mode()
    def forward(self, x):
        return self.drawn(x)


class WithGradients(Layers):
    @torch.enable_grad()
    def forward(self, x):
        return self.drawn(x)


def steps_of(net, x):
    return [(node.name, type(node.step)) for node in record(net, [x]).nodes]


@pytest.mark.parametrize("kind", [WithoutGradients, Inference, WithGradients])
def test_a_mode_changes_nothing(kind):
    x = torch.rand(1, 2, 6, 8)
    assert steps_of(kind(), x) == steps_of(Plain(), x)
    assert {Convolution, TransposedConvolution} <= {step for _, step in steps_of(kind(), x)}


@pytest.mark.parametrize("kind", [PlainResizes, InferenceResizes])
def test_what_pytorch_takes_apart_in_inference_mode_is_what_it_takes_apart_outside(kind):
    with torch.inference_mode():
        inside = torch.rand(1, 2, 1, 1)
    expected = steps_of(PlainResizes(), torch.rand(1, 2, 1, 1))
    assert Unread not in {step for _, step in expected}
    assert [step for _, step in expected].count(Resize) == 3
    assert steps_of(kind(), torch.rand(1, 2, 1, 1)) == expected
    assert steps_of(kind(), inside) == expected


class Descent(Layers):
    """One step downhill, as energy models and guided samplers take it."""

    def forward(self, x):
        with torch.enable_grad():
            energy = self.drawn(x.requires_grad_()).square().sum()
            (slope,) = torch.autograd.grad(energy, x)
        return F.interpolate(x - slope, scale_factor=(2, 3))


def test_gradients_taken_inside_are_seen_and_what_grows_in_them_is_named():
    net, x = Descent(), torch.rand(1, 2, 6, 8)
    up, backward, resize = sites(record(net, [x]))
    assert (up.name, type(up.node.step)) == ("up", TransposedConvolution)
    assert isinstance(backward.node.step, Unread)
    assert backward.node.step.reason == "convolution_backward grows 3x4 to 6x8 in a way that is not read"
    assert isinstance(resize.node.step, Resize)
    assert not x.requires_grad
    assert x.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())
