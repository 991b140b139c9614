"""Coarse maps and what is known of their cells become fine maps, by weights that are trained.

Both networks read their maps with a halo, so many coarse cells beyond each side of what they answer for, and
pad nothing themselves: what stands in the halo (the cells beyond, those round the globe, or the edge
repeated) is settled by `maps`, and an answer does not depend on which part of a map it was asked for in.
"""

from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError
from upstroke.nn import Conserve, SubpixelConv, TransposedConv, constrain

__all__ = ["AROUND", "LEAST_ROUGHNESS", "NEAR", "Inputs", "Residual", "TransposedMass"]

Quantity: TypeAlias = Literal["mean", "total"]

# Of a variable's own roughness: where a field is smoother than that, residuals are not scaled down any
# further.
LEAST_ROUGHNESS = 0.03
# Half widths of the means that a cell is compared with, and that its roughness is taken over.
NEAR, AROUND = 1, 2


class Inputs(NamedTuple):
    """A batch of b maps of v variables: h x w cells, each of fy x fx parts, and s static fields on these.

    Those marked + have the network's halo of H cells on every side, (h + 2H) x (w + 2H) cells or their parts.
    """

    x: Tensor  # + (b, v, cells): the coarse fields, filled where they have no value
    valid: Tensor  # + (b, v, cells): 1 where they have one
    aspect: Tensor  # + (b, 1, cells): logarithm of a cell's length along x over that along y
    areas: Tensor  # + (b, 1, cells): of the cells
    fraction: Tensor  # + (b, 1, parts): of each part, what is valid
    statics: Tensor  # + (b, s, parts): details of the static fields, those that the cubic cannot see
    levels: Tensor  # + (b, s, cells): the static fields, normalised
    baseline: (
        Tensor  # (b, v, parts): the fields refined by the cubic that keeps means, 0 where there is no value
    )
    means: Tensor  # (b, v, cells): what the blocks shall have; NaN where there is no value
    weights: Tensor  # (b, v, parts): area times valid fraction
    part_areas: Tensor  # (b, 1, parts)


class Residual(nn.Module):
    """Cubic conserving baseline, plus a trained residual, with the block means made exact at the end.

    1. Of each variable: the difference of a cell from the mean of the 3 x 3 around it, divided by the
       roughness (root mean square of these differences over the 5 x 5 around it); the logarithm of the
       roughness; where it has values. So neither units nor the level of a field matter.
    2. With them the shape of the cells and the valid fraction of their parts, parts as channels. Of each
       static field its level, and its details: what the cubic makes of its own block means is taken off it,
       and the rest divided by its own roughness. So what stays in one place, such as a coast, a current over
       a ridge or the slope of a mountain, can be read off a map of it.
    3. Convolutions 3 x 3 at the coarse rate, each added to what it reads; last `nn.SubpixelConv`.
    4. y = baseline + gate * roughness * that; then `nn.Conserve`: block means are exact for any weights.

    Before training the last layer is 0, and y is the baseline. A gate below 1 is what was learnt of how far
    the network can be trusted; at 0 the answer is the baseline.

    Args:
        factor: parts of a cell along y and x.
        variables: how many are refined together.
        statics: how many static fields there are.
        width: channels of the convolutions.
        depth: convolutions between the first and the last.
        dropout: of channels, while it is trained.

    Raises:
        OptionError: a number has no meaning.

    >>> network = Residual((2, 3), width=4, depth=1)
    >>> network.halo
    6
    """

    gate: Tensor
    roughness: Tensor

    def __init__(
        self,
        factor: int | tuple[int, int],
        *,
        variables: int = 1,
        statics: int = 0,
        width: int = 24,
        depth: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.factor = _factor(factor)
        _check(variables=(variables, 1), statics=(statics, 0), width=(width, 1), depth=(depth, 0))
        parts = self.factor[0] * self.factor[1]
        self.settings = {"variables": variables, "statics": statics, "width": width, "depth": depth}
        self.halo = NEAR + AROUND + depth + 2
        read = 3 * variables + 1 + statics + (1 + statics) * parts
        self.first = nn.Conv2d(read, width, 3)
        # PyTorch draws smaller weights for more channels; those of the mask are 0 off the coasts
        with torch.no_grad():
            self.first.weight *= (read / (3 * variables)) ** 0.5
        self.middle = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in range(depth))
        self.dropout = nn.Dropout2d(dropout)
        self.last = SubpixelConv(width, variables, 3, scale=self.factor, padding=0)
        nn.init.zeros_(self.last.conv.weight)
        if self.last.conv.bias is not None:
            nn.init.zeros_(self.last.conv.bias)
        self.conserve = Conserve(self.factor)
        self.register_buffer("gate", torch.ones(variables))
        self.register_buffer("roughness", torch.ones(variables))

    def forward(self, inputs: Inputs) -> Float[Tensor, "b v *parts"]:
        """Refine a batch; in the dtype of the means, float32 at least, whatever that of the weights is."""
        y: Tensor = self.conserve(self.uncorrected(inputs), inputs.means, inputs.weights)
        return y

    def uncorrected(self, inputs: Inputs) -> Float[Tensor, "b v *parts"]:
        """What `forward` gives before the block means are made exact."""
        return inputs.baseline + _by_variable(self.gate, inputs.baseline) * self.residual(inputs)

    def residual(self, inputs: Inputs) -> Float[Tensor, "b v *parts"]:
        """What the network adds to the baseline before the means are made exact, without the gate."""
        features, rough = self.features(inputs)
        h = F.gelu(self.first(features))
        for layer in self.middle:
            h = _inner(h, 1) + self.dropout(F.gelu(layer(h)))
        rough = _inner(rough, self.halo - NEAR - AROUND)
        spread = rough.repeat_interleave(self.factor[0], -2).repeat_interleave(self.factor[1], -1)
        y: Tensor = self.last(h)
        return y.to(inputs.baseline.dtype) * spread

    def features(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """What the convolutions read, and the roughness; both lack NEAR + AROUND cells of x on every side."""
        usual = _by_variable(self.roughness, inputs.x)
        away = _inner(inputs.x, NEAR) - F.avg_pool2d(inputs.x, 2 * NEAR + 1, 1)
        rough = (F.avg_pool2d(away**2, 2 * AROUND + 1, 1) + (LEAST_ROUGHNESS * usual) ** 2).sqrt()
        read = [
            _inner(away, AROUND) / rough,
            (rough / usual).log(),
            *(_inner(each, NEAR + AROUND) for each in (1 - inputs.valid, inputs.aspect, inputs.levels)),
            *(self._as_channels(each) for each in (1 - inputs.fraction, inputs.statics)),
        ]
        dtype = self.first.weight.dtype
        return torch.cat([each.to(dtype) for each in read], 1), rough

    def _as_channels(self, parts: Tensor) -> Tensor:
        """The parts of a cell as channels of the cell."""
        b, c, h, w = parts.shape
        fy, fx = self.factor
        cells = parts.reshape(b, c, h // fy, fy, w // fx, fx).permute(0, 1, 3, 5, 2, 4)
        return _inner(cells.reshape(b, c * fy * fx, h // fy, w // fx), NEAR + AROUND)


class TransposedMass(nn.Module):
    """One transposed convolution with a stride of the factor, whose kernel keeps a given mass while trained.

    Each variable has its own kernel of 3 x factor taps per axis, held by `nn.constrain` to its mass and to
    equal its mirror images. A cell gives `mass` of what is in it to the parts of itself and of its
    neighbours. At an edge that is repeated into the halo, what the kernel puts beyond the edge comes back
    from the repeated cell, because they are mirror images; round the globe nothing is lost anyway. So with
    mass 1 the total of the map is kept, though not that of each cell, for any weights; with mass 1.1 a tenth
    is made from nothing, with 0.9 a tenth is lost.

    Args:
        factor: parts of a cell along y and x.
        variables: how many are refined together, each by its own kernel.
        mass: what the kernel makes of a unit.
        quantity: "total": what cells hold, the mean times the area, is dealt out, and the sum over the kernel
            is the
            mass: totals on a sphere are kept. "mean": means are refined as they are, and the sum is the mass
                times the parts of a cell: the unweighted mean is kept.

    Raises:
        OptionError: a number has no meaning.

    >>> network = TransposedMass((2, 3), mass=1.0)
    >>> tuple(network.layer.weight.shape), round(network.layer.weight.sum().item(), 6)
    ((1, 1, 6, 9), 1.0)
    """

    halo = 1

    def __init__(
        self,
        factor: int | tuple[int, int],
        *,
        variables: int = 1,
        mass: float = 1.0,
        quantity: Quantity = "total",
    ) -> None:
        super().__init__()
        self.factor = _factor(factor)
        _check(variables=(variables, 1))
        if quantity not in ("mean", "total"):
            msg = f"quantity must be 'mean' or 'total'; got {quantity!r}"
            raise OptionError(msg)
        self.mass, self.quantity = float(mass), quantity
        self.settings = {"variables": variables, "mass": self.mass, "quantity": quantity}
        kernel = tuple(3 * f for f in self.factor)
        layer = TransposedConv(
            variables, variables, kernel, stride=self.factor, padding=0, groups=variables, bias=False
        )
        parts = self.factor[0] * self.factor[1]
        unit = self.mass * (1 if quantity == "total" else parts)
        with torch.no_grad():
            # the cell's own parts alike, nothing to the neighbours: blocks, from which training starts
            layer.weight.zero_()
            fy, fx = self.factor
            layer.weight[..., fy : 2 * fy, fx : 2 * fx] = unit / parts
        self.layer = constrain(layer, mass=unit, symmetric=True)

    def forward(self, inputs: Inputs) -> Float[Tensor, "b v *parts"]:
        """Refine a batch of means, in the dtype of x; no correction follows, so that the mass is seen."""
        return self.uncorrected(inputs)

    def uncorrected(self, inputs: Inputs) -> Float[Tensor, "b v *parts"]:
        """What `forward` gives."""
        x = inputs.x * inputs.areas if self.quantity == "total" else inputs.x
        y = self.deal_out(x)
        return y / inputs.part_areas.to(y.dtype) if self.quantity == "total" else y

    def totals(self) -> Float[Tensor, " v"]:
        """What the kernel of each variable makes of a total of 1, by its sum."""
        parts = 1 if self.quantity == "total" else self.factor[0] * self.factor[1]
        return self.layer.weight.detach().double().sum(dim=(1, 2, 3)) / parts

    def deal_out(self, x: Float[Tensor, "b v *cells"]) -> Float[Tensor, "b v *parts"]:
        """Apply the kernel to maps with a halo of one cell, and answer for the cells within it."""
        weight = self.layer.weight.to(x.dtype)
        y = F.conv_transpose2d(x, weight, stride=self.factor, groups=self.layer.groups)
        fy, fx = (2 * f for f in self.factor)
        return y[..., fy:-fy, fx:-fx]


def _factor(factor: int | tuple[int, int]) -> tuple[int, int]:
    fy, fx = whole_per_axis(factor, 2, name="factor", least=1)
    if fy * fx == 1:
        msg = f"the factor must be above 1 on one axis at least; got {times((fy, fx))}"
        raise OptionError(msg)
    return fy, fx


def _check(**numbers: tuple[int, int]) -> None:
    for name, (number, least) in numbers.items():
        if number < least:
            msg = f"{name} must be at least {least}; got {number}"
            raise OptionError(msg)


def _inner(maps: Tensor, cells: int) -> Tensor:
    """Maps without so many cells on every side."""
    return maps[..., cells : maps.shape[-2] - cells, cells : maps.shape[-1] - cells]


def _by_variable(numbers: Tensor, maps: Tensor) -> Tensor:
    return numbers.to(maps.dtype)[:, None, None]
