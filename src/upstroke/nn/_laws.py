"""Turn laws about an upsampling kernel into the affine map that projects weights onto them, built once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from upstroke import polyphase
from upstroke.errors import ShapeError
from upstroke.ops.layout import is_channels_last
from upstroke.ops.recorded import is_recorded
from upstroke.polyphase import Polyphase

__all__ = ["Laws", "Mass", "OneBias", "WeightOf"]

Mass = float | Tensor | Literal["kept"] | None

# Singular values of a projection's rest are 0 or at least as large as one part in the number of taps.
NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class WeightOf:
    """What of a layer's settings ties its weight to the taps that the laws are about.

    Paddings do not: they only say which phase comes first.
    """

    transposed: bool
    pairs: tuple[int, int]
    kernel: tuple[int, ...]
    scale: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def elements(self) -> int:
        """The elements of the weight that one channel pair has."""
        return math.prod(self.kernel) * (1 if self.transposed else math.prod(self.scale))

    def rows(self, weight: Tensor) -> Tensor:
        """The n elements of every channel pair in a row, (out, in / groups, n) or (in, out / groups, n)."""
        if self.transposed:
            return weight.flatten(2)
        phases = math.prod(self.scale)
        by_channel = weight.reshape(-1, phases, *weight.shape[1:])
        return by_channel.transpose(1, 2).flatten(2)

    def weight(self, rows: Tensor) -> Tensor:
        """The weight with these rows."""
        if self.transposed:
            return rows.reshape(*rows.shape[:2], *self.kernel)
        by_channel = rows.reshape(*rows.shape[:2], math.prod(self.scale), *self.kernel)
        return by_channel.transpose(1, 2).flatten(0, 1)

    def per_pair(self, values: Tensor) -> Tensor:
        """Values of shape (out, in / groups) in the order of the rows, one in each."""
        if self.transposed:
            values = values.reshape(self.groups, -1, values.shape[1]).transpose(1, 2).flatten(0, 1)
        return values[..., None]

    def operators(self, rows: Tensor) -> Polyphase:
        """One input channel to as many output channels as there are rows, uncropped."""
        if self.transposed:
            weight = rows.reshape(1, -1, *self.kernel)
            return polyphase.transposed(weight, stride=self.scale, dilation=self.dilation)
        return polyphase.sub_pixel(
            rows.reshape(-1, 1, *self.kernel), scale=self.scale, dilation=self.dilation
        )

    def rows_of(self, operator: Polyphase) -> Tensor:
        """The rows that give these operators, shape (rows, n)."""
        if self.transposed:
            return polyphase.as_transposed(operator).weight.reshape(-1, self.elements)
        lattice = tuple(slice(None, None, d) for d in self.dilation)
        return polyphase.as_conv_shuffle(operator).weight[:, :, *lattice].reshape(-1, self.elements)


class Laws(nn.Module):
    """The projection of a weight onto laws, as a parametrization.

    Every law is affine and the same for all channel pairs: a pair's n elements w become P w + mass * u, with
    P (n, n) and u (n,) that follow from settings alone. Both are read off the exact projections of the n unit
    kernels, when this is made. They are settings, not state: no part of the state dict, always float64, and
    with values also while the layer is on no device.
    """

    def __init__(self, of: WeightOf, *, balanced: bool, mass: Mass, symmetric: bool) -> None:
        super().__init__()
        self.of = of
        self.balanced, self.symmetric = balanced, symmetric
        if isinstance(mass, Tensor) and not mass.ndim:
            mass = float(mass.detach())
        self.mass = "one per channel pair" if isinstance(mass, Tensor) else mass
        self.per_pair: Tensor | None = None
        self.shift: Tensor | None = None
        project = self._projection
        # on the cpu even where parameters are made on another device, or on none
        with torch.device("cpu"):
            units = torch.eye(of.elements, dtype=torch.float64)
            if mass is None or isinstance(mass, str):
                self.matrix = project(units, mass=mass).T.contiguous()
                return
            self.matrix = project(units, mass=0.0).T.contiguous()
            self.shift = project(torch.zeros(1, of.elements, dtype=torch.float64), mass=1.0)[0]
        if isinstance(mass, Tensor):
            self.per_pair = of.per_pair(self._checked(mass))
        else:
            self.shift = self.shift * mass

    def forward(self, weight: Tensor) -> Tensor:
        """The nearest weight that keeps the laws."""
        if self._is_cheap(weight):
            return self._little(weight)
        # in float64, or complex128
        rows = self.of.rows(weight).to(torch.promote_types(weight.dtype, torch.float64))
        matrix = self.matrix.to(rows)
        if self.shift is None:
            rows = nn.functional.linear(rows, matrix)
        elif self.per_pair is None:
            rows = nn.functional.linear(rows, matrix, self.shift.to(rows))
        else:
            rows = nn.functional.linear(rows, matrix) + self.per_pair.to(rows) * self.shift.to(rows)
        return self.of.weight(rows.to(weight.dtype))

    def _is_cheap(self, weight: Tensor) -> bool:
        """Whether the laws take so little from a weight that float32 rounds the result alone."""
        return (
            self.of.transposed
            and self.shift is None
            # taps that mirror each other are one number, bit for bit
            and not self.symmetric
            and weight.dtype == torch.float32
            and not torch.is_autocast_enabled(weight.device.type)
            # what is recorded is done with the one matrix that needs no factors
            and not torch.compiler.is_compiling()
            and not is_recorded()
        )

    def _little(self, weight: Tensor) -> Tensor:
        """The weight less what the laws take from it, in the weight's own layout.

        Laws bind few directions, three for a kernel of four phases that are balanced. So P w = w - back (down
        w), down (r, n) and back (n, r): few sums over a kernel, and little that is subtracted from it.
        """
        down, back = (each.to(weight.device, weight.dtype) for each in self._factors)
        if is_channels_last(weight):
            columns = weight.movedim(1, -1).flatten(1, -2)
            down, back = (each.expand(len(columns), -1, -1) for each in (down, back))
            columns = torch.baddbmm(columns, back, torch.bmm(down, columns), alpha=-1)
            return columns.view(len(columns), *self.of.kernel, -1).movedim(-1, 1)
        rows = weight.flatten(2).flatten(0, 1)
        return torch.addmm(rows, rows @ down.t(), back.t(), alpha=-1).view(weight.shape)

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor]:
        """The rest of P, as down and back, so that rest = back @ down; with no more rows than directions."""
        with torch.device("cpu"):
            rest = torch.eye(self.of.elements, dtype=torch.float64) - self.matrix.cpu()
            _, values, right = torch.linalg.svd(rest)
            down = right[: int((values > NOTHING).sum())].contiguous()
            return down, rest @ down.t()

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight that keeps the laws is its own projection."""
        return weight

    def extra_repr(self) -> str:
        """The laws, as they were given."""
        return f"balanced={self.balanced}, mass={self.mass}, symmetric={self.symmetric}"

    def _projection(self, rows: Tensor, *, mass: float | Literal["kept"] | None) -> Tensor:
        """The nearest rows that keep the laws; symmetry commutes with the others."""
        operator = self.of.operators(rows)
        if self.symmetric:
            operator = polyphase.symmetric(operator)
        if self.balanced:
            operator = polyphase.balanced(operator, mass="free" if mass is None else mass)
        elif mass is not None:
            assert not isinstance(mass, str)
            operator = polyphase.with_mass(operator, mass)
        return self.of.rows_of(operator)

    def _checked(self, mass: Tensor) -> Tensor:
        if mass.shape != self.of.pairs:
            msg = (
                f"mass must be one number, or have shape (out, in) = {self.of.pairs}; "
                f"got shape {tuple(mass.shape)}"
            )
            raise ShapeError(msg)
        return mass.detach().to("cpu", torch.float64, copy=True)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Laws":
        """Follow the layer to other devices, and nowhere else: not to another dtype, nor to no values."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0, device=self.matrix.device)).device
        if device.type != "meta":
            self.matrix = self.matrix.to(device)
            self.shift = None if self.shift is None else self.shift.to(device)
            self.per_pair = None if self.per_pair is None else self.per_pair.to(device)
        return self


class OneBias(nn.Module):
    """The mean over the phases of each channel in place of a bias per phase, as a parametrization."""

    def __init__(self, phases: int) -> None:
        super().__init__()
        self.phases = phases

    def forward(self, bias: Tensor) -> Tensor:
        """The nearest bias that is the same for all phases of a channel."""
        rows = bias.reshape(-1, self.phases)
        return rows.mean(dim=1, keepdim=True).expand_as(rows).reshape(bias.shape)

    def right_inverse(self, bias: Tensor) -> Tensor:
        """A bias that is the same for all phases is its own mean."""
        return bias

    def extra_repr(self) -> str:
        """The number of phases."""
        return f"phases={self.phases}"
