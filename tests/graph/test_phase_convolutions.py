"""Rows of phase convolutions are read as the one upsampler that they are, or as what they are."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from upstroke.graph import sites
from upstroke.graph.affine_of import affine_of
from upstroke.graph.steps import Upsampling
from upstroke.graph.torch import record


class Phases(nn.Module):
    """A convolution for each phase of a resize by 2, its window and its bias its own."""

    def __init__(
        self, *, groups=1, border="constant", bias=(0.5, 0.5, 0.5, 0.5), order=(0, 1, 2, 3), seen=False
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shape = (4, 6 // groups, 2, 3)
        self.weights = nn.ParameterList(torch.randn(shape, generator=generator).double() for _ in range(4))
        self.groups, self.border, self.bias, self.order, self.seen = groups, border, bias, order, seen

    def forward(self, x):
        maps = []
        for phase in self.order:
            below, right = divmod(phase, 2)
            window = F.pad(x, (1 - right + 1, right, 1 - below, below), mode=self.border)
            bias = torch.full((4,), self.bias[phase], dtype=x.dtype)
            maps.append(F.conv2d(window, self.weights[phase], bias, groups=self.groups))
        # channel o * 4 + p is phase p of channel o where a pixel shuffle has it
        y = torch.cat(maps, dim=1)
        batch, _, height, width = y.shape
        grown = y.reshape(batch, 2, 2, 4, height, width).permute(0, 3, 4, 1, 5, 2)
        grown = grown.reshape(batch, 4, 2 * height, 2 * width)
        return (grown, y) if self.seen else grown


X = torch.randn(2, 6, 5, 7, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("border", ["constant", "replicate"])
def test_it_computes_what_they_do(groups, border):
    net = Phases(groups=groups, border=border)
    (node,) = record(net, [X]).nodes
    assert isinstance(node.step, Upsampling)
    assert node.inputs == ("input",)
    with torch.no_grad():
        wanted = net(X)
        found = affine_of(node.step, ndim=2)(X)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    "other",
    [
        {"bias": (0.5, 0.5, 0.5, 0.25)},
        {"seen": True},
        {"border": "reflect"},
    ],
    ids=["a bias of its own", "channels that are an output too", "a border that no operator has"],
)
def test_what_is_something_else_is_left(other):
    graph = record(Phases(**other), [X])
    assert len(graph.nodes) > 1
    assert not any(isinstance(node.step, Upsampling) for node in graph.nodes)


def test_weights_that_a_caller_may_give_are_left():
    from upstroke.graph.phase_convolutions import with_phase_convolutions

    graph = record(Phases(seen=True), [X])
    loose = replace(graph, outputs=graph.outputs[:1])
    assert any(isinstance(node.step, Upsampling) for node in with_phase_convolutions(loose).nodes)
    some = next(node.output for node in graph.nodes if "conv" in node.operator)
    loose = replace(loose, loose={some: "weight w"})
    assert not any(isinstance(node.step, Upsampling) for node in with_phase_convolutions(loose).nodes)


def test_it_is_one_site():
    (site,) = sites(record(Phases(), [X]))
    assert "–aten.cat–" in site.node.operator
