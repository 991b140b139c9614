"""A map that a product with a matrix makes larger along space is named as not read; other products are not."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from upstroke.graph import sites
from upstroke.graph.steps import PixelShuffle, Unread
from upstroke.graph.torch import record

ROWS, COLUMNS, BACK, ALL = torch.rand(10, 5), torch.rand(14, 7), torch.rand(5, 10), torch.rand(140, 35)


class Behind(nn.Module):
    """A function of what a convolution makes of a map of 4 channels and 5 x 7 samples."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.linear, self.function = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(7, 14), function

    def forward(self, x):
        return self.function(self, self.conv(x))


GROW = {
    "rows": (lambda _, x: ROWS @ x, ["5x7 to 10x7"]),
    "columns": (lambda _, x: x @ COLUMNS.T, ["5x7 to 5x14"]),
    "both": (lambda _, x: ROWS @ x @ COLUMNS.T, ["5x7 to 10x7", "10x7 to 10x14"]),
    "einsum": (lambda _, x: torch.einsum("oh,bchw->bcow", ROWS, x), ["5x7 to 10x7"]),
    "einsum of three": (
        lambda _, x: torch.einsum("oh,bchw,pw->bcop", ROWS, x, COLUMNS),
        ["5x7 to 10x7", "10x7 to 10x14"],
    ),
    "tensordot": (
        lambda _, x: torch.tensordot(x, ROWS, dims=([2], [1])).permute(0, 1, 3, 2),
        ["5x7 to 10x7"],
    ),
    "a linear layer": (lambda net, x: net.linear(x), ["5x7 to 5x14"]),
    "behind a norm": (lambda net, x: net.linear(F.group_norm(x, 2)), ["5x7 to 5x14"]),
    "of the whole map": (lambda _, x: F.linear(x.flatten(2), ALL).view(1, 4, 10, 14), ["5x7 to 10x14"]),
}
KEEP = {
    "features": lambda _, x: F.linear(x.permute(0, 2, 3, 1), torch.ones(12, 4)),
    "tokens": lambda _, x: F.linear(x.flatten(2).mT, torch.ones(12, 4)),
    "smaller": lambda _, x: BACK[:3, :5] @ x,
    "a hidden layer": lambda _, x: BACK @ torch.relu(ROWS @ x),
    "a classifier": lambda _, x: F.linear(x.flatten(1), torch.ones(200, 140)),
    "attention": lambda _, x: F.scaled_dot_product_attention(x, torch.cat([x, x], 2), torch.cat([x, x], 2)),
}


@pytest.mark.parametrize("case", GROW)
def test_growth_along_space_is_named(case):
    function, sizes = GROW[case]
    found = sites(record(Behind(function), [torch.rand(1, 4, 5, 7)]))
    assert all(isinstance(site.node.step, Unread) for site in found)
    said = [f"a matrix product grows {each} in a way that is not read" for each in sizes]
    assert [site.node.step.reason for site in found] == said


@pytest.mark.parametrize("case", KEEP)
def test_products_along_other_axes_are_no_upsamplers(case):
    assert not sites(record(Behind(KEEP[case]), [torch.rand(1, 4, 5, 7)]))


def test_an_input_is_a_map_where_windows_slide_over_what_comes_of_it():
    class First(nn.Module):
        def __init__(self, last):
            super().__init__()
            self.last = last

        def forward(self, x):
            return self.last(ROWS @ x)

    x = torch.rand(1, 4, 5, 7)
    assert len(sites(record(First(nn.Conv2d(4, 2, 3)), [x]))) == 1
    assert not sites(record(First(nn.ReLU()), [x]))


class Tokens(nn.Module):
    """A list of 5 x 7 tokens whose channels are dealt out to a longer list."""

    def forward(self, x):
        cells = x.view(2, 5, 7, 2, 3, 4).permute(0, 1, 3, 2, 4, 5)
        return cells.reshape(2, 10 * 21, 4)


def test_patches_that_expand_into_a_list_of_tokens_are_a_pixel_shuffle():
    (site,) = sites(record(Tokens(), [torch.rand(2, 35, 24)]))
    assert isinstance(site.node.step, PixelShuffle)
    assert (site.size_in, site.size_out) == ((5, 7), (10, 21))
    x = torch.rand(2, 24, 5, 7)
    source = site.node.step.source
    assert source is not None
    phases = x[:, source.flatten()].reshape(2, 2, 3, 4, 5, 7)
    shuffled = phases.permute(0, 3, 4, 1, 5, 2).reshape(2, 4, 10, 21)
    assert torch.equal(Tokens()(x.flatten(2).mT), shuffled.flatten(2).mT)


def test_windows_laid_back_into_a_list_of_tokens_are_none():
    class Windows(nn.Module):
        def forward(self, x):
            windows = x.view(1, 2, 3, 2, 2, 16).permute(0, 1, 3, 2, 4, 5)
            return windows.reshape(1, 24, 16)

    assert not sites(record(Windows(), [torch.rand(1, 6, 4, 16)]))
