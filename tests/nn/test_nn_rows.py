"""A layer that is a row of two runs as `nn.Sequential` whatever is done to the row, and tells only what is so."""

import copy
import re

import pytest
import torch
from torch import nn

from tolerance import assert_same
from upstroke import diagnose
from upstroke.errors import NotRepresentableError
from upstroke.nn import ResizeConv, SeparableTransposedConv, SubpixelConv, constrain

ROWS = {
    "resize": lambda: ResizeConv(16, 16),
    "sub-pixel": lambda: SubpixelConv(16, 16),
    "depthwise first": lambda: SeparableTransposedConv(16, 16, 4),
    "pointwise first": lambda: SeparableTransposedConv(16, 16, 4, order="pointwise-first"),
}
EVERY_ROW = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys(), indirect=True)


@pytest.fixture
def row(request):
    torch.manual_seed(0)
    return request.param().double()


@pytest.fixture
def x():
    # large enough for the two layers to be computed as one
    return torch.randn(1, 16, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Wrapper(nn.Module):
    """Computes what another layer does, and adds one."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, x):
        return self.base(x) + 1


def plain(row):
    return nn.Sequential(*row)


@EVERY_ROW
def test_layers_appended_to_the_row_run(row, x):
    row.append(nn.ReLU())
    assert float(row(x).detach().min()) == 0
    row.append(nn.Conv2d(16, 3, 3).double())
    assert row(x).shape == (1, 3, 126, 94)
    assert_same(row(x).detach(), plain(row)(x).detach())


@EVERY_ROW
@pytest.mark.parametrize("place", [0, 1])
def test_a_wrapped_layer_runs_and_what_it_hides_is_refused(row, x, place):
    row[place] = Wrapper(row[place])
    assert_same(row(x).detach(), plain(row)(x).detach())
    kinds = ", ".join(type(layer).__name__ for layer in row)
    message = (
        f"{type(row).__name__} has a grid only as the two layers it is made of; "
        f"got a row of {kinds}, so ask its layers one by one"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        row.grid  # noqa: B018
    for tell in (row.affine, row.polyphase):
        with pytest.raises(NotRepresentableError, match=f"^layer {place} of the sequence has no operator: "):
            tell()
    with pytest.raises(NotRepresentableError, match="has weights to hold only as the two layers"):
        constrain(row, balanced=True)
    assert "Wrapper" in repr(row)


@EVERY_ROW
@pytest.mark.parametrize("place", [0, 1])
def test_a_layer_replaced_by_nothing_leaves_the_other(row, x, place):
    rest = row[1 - place]
    row[place] = nn.Identity()
    if place == 0 and isinstance(row, SubpixelConv):
        x = x.repeat(1, 4, 1, 1)
    assert_same(row(x).detach(), rest(x).detach())
    assert "Identity" in repr(row)


@EVERY_ROW
def test_a_layer_of_other_channels_may_stand_in_the_row(row):
    row[0], row[1] = nn.Conv2d(5, 16, 3), nn.Conv2d(16, 2, 1)
    assert row.float()(torch.zeros(1, 5, 6, 7)).shape == (1, 2, 4, 5)


@EVERY_ROW
def test_a_row_cut_out_is_a_plain_sequence_of_the_same_layers(row):
    for cut in (slice(1), slice(1, None), slice(None), slice(None, None, -1)):
        part = row[cut]
        assert type(part) is nn.Sequential
        assert [id(layer) for layer in part] == [id(layer) for layer in list(row)[cut]]
    assert list(row[1:].state_dict()) == [key for key in row.state_dict() if key.startswith("1.")]
    assert row[-1] is row[1]


def test_a_convolution_with_a_stride_moves_the_grid():
    row = ResizeConv(2, 2, scale=3)
    row[1] = nn.Conv2d(2, 2, 3, stride=2)
    # the resize's first sample is at -1/3; the window's middle lies one sample on, and the next two further
    assert row.grid.offset == (0, 0)
    assert [float(step) for step in row.grid.spacing] == pytest.approx([2 / 3] * 2)


@EVERY_ROW
def test_an_output_size_needs_the_layer_that_takes_it(row, x):
    if not isinstance(row, SeparableTransposedConv):
        return
    appended = copy.deepcopy(row).append(nn.ReLU())
    assert appended(x, output_size=(129, 97)).shape == (1, 16, 129, 97)
    place = 0 if row.order == "depthwise-first" else 1
    row[place] = Wrapper(row[place])
    with pytest.raises(NotRepresentableError, match="has a depthwise part only as the two layers"):
        row(x, output_size=(129, 97))


@EVERY_ROW
def test_an_untouched_row_tells_everything(row):
    assert row.grid == diagnose.grid_of(row.polyphase())
    assert row.grid == copy.deepcopy(row).grid
