"""Tell which pixels of a picture depend on which cells of the 4x4 map that it is grown from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from upstroke.errors import ShapeError
from upstroke.layers import from_module
from upstroke.nn._ladder import BASE
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.upsampler import Layer
from upstroke.polyphase import Polyphase

__all__ = ["Measured", "Trace", "measured", "traced"]

# Sums in float64 in another order differ by some 1e-16 of the largest; four weights in a row that are each a
# thousandth of the usual are 1e-12 of it.
ROUNDING = 1e-13


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Which pixels depend on which cells.

    Beside this, every pixel depends on every number of the latent vector, of which all cells are made.

    Attributes:
        reads: true where pixel (row, column) depends on cell (row, column).
    """

    reads: Bool[Tensor, "height width cells_high cells_wide"]

    def reach(self, cell: tuple[int, int]) -> Bool[Tensor, "height width"]:
        """The pixels that depend on a cell (row, column).

        Raises:
            ShapeError: there is no such cell.
        """
        row, column = _place(cell, self.reads.shape[2:], name="cell", of="sketch")
        return self.reads[:, :, row, column]

    def sees(self, pixel: tuple[int, int]) -> Bool[Tensor, "cells_high cells_wide"]:
        """The cells that a pixel (row, column) depends on.

        Raises:
            ShapeError: there is no such pixel.
        """
        row, column = _place(pixel, self.reads.shape[:2], name="pixel", of="picture")
        return self.reads[row, column]

    @property
    def seen(self) -> Int[Tensor, "height width"]:
        """How many cells each pixel depends on."""
        return self.reads.sum(dim=(2, 3))

    @property
    def reached(self) -> Int[Tensor, "cells_high cells_wide"]:
        """How many pixels depend on each cell."""
        return self.reads.sum(dim=(0, 1))

    @property
    def least(self) -> int:
        """The fewest cells that a pixel depends on."""
        return int(self.seen.min())

    @property
    def most(self) -> int:
        """The most cells that a pixel depends on."""
        return int(self.seen.max())


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(Trace):
    """Which pixels changed when cells were exchanged between pictures.

    Attributes:
        change: the largest change of any channel in any picture, before tanh, for every pixel and cell.
    """

    change: Float[Tensor, "height width cells_high cells_wide"]


def traced(layers: Sequence[Layer], *, cells: int = BASE) -> Trace:
    """Follow what every sample reads through layers in a row, from a map of cells x cells.

    A layer is the product of what it reads along either axis: with n a sample, m a cell and k a tap that
    exists, n = s m + p reads m + k - origin, or nothing, the edge or the other end beyond the map's border.
    The steps of a resize and a convolution are followed one by one, because each has its own border.
    """
    axes = []
    with torch.no_grad():
        operators = [from_module(part).operator for layer in layers for part in _parts(layer)]
    for axis in range(2):
        reads = torch.eye(cells, dtype=torch.bool)
        for operator in operators:
            reads = (_along(operator, axis, len(reads)).float() @ reads.float()).bool()
        axes.append(reads)
    rows, columns = axes
    return Trace(reads=rows[:, None, :, None] & columns[None, :, None, :])


def measured(layers: nn.Module, sketches: Float[Tensor, "b c cells_high cells_wide"]) -> Measured:
    """Change one cell after the other into that of the next map, and compare what layers make of them."""
    before = layers(sketches)
    others = sketches.roll(1, dims=0)
    change = before.new_empty(*before.shape[2:], *sketches.shape[2:])
    for row in range(sketches.shape[2]):
        for column in range(sketches.shape[3]):
            changed = sketches.clone()
            changed[:, :, row, column] = others[:, :, row, column]
            change[:, :, row, column] = (layers(changed) - before).abs().amax(dim=(0, 1))
    return Measured(reads=change > ROUNDING * before.abs().max(), change=change)


def _parts(layer: Layer) -> tuple[nn.Module, ...]:
    """The layers within one that read other positions than their own, each with its border."""
    if isinstance(layer, ResizeConv):
        return (layer.resize, layer.conv)
    return (layer.depthwise,) if isinstance(layer, SeparableTransposedConv) else (layer,)


def _along(operator: Polyphase, axis: int, cells: int) -> Bool[Tensor, "samples cells"]:
    """Which cells every sample reads along one axis."""
    scale, origin, border = operator.scale[axis], operator.origin[axis], operator.border[axis]
    taps = operator.known_support.present(operator.scale, axis)
    reads = torch.zeros(scale * cells + operator.excess[axis], cells, dtype=torch.bool)
    for sample, row in enumerate(reads):
        own, phase = divmod(sample, scale)
        for tap in taps[phase]:
            cell = own + tap - origin
            if border == "clamp":
                cell = min(max(cell, 0), cells - 1)
            elif border == "circular":
                cell %= cells
            if 0 <= cell < cells:
                row[cell] = True
    return reads


def _place(place: tuple[int, int], size: Sequence[int], *, name: str, of: str) -> tuple[int, int]:
    if len(place) != 2 or not all(0 <= n < most for n, most in zip(place, size, strict=True)):
        msg = (
            f"a {name} of the {of} has a row and a column from 0 on, below {size[0]} and {size[1]}; "
            f"got {tuple(place)}"
        )
        raise ShapeError(msg)
    row, column = place
    return row, column
