"""Resize maps by a fixed kernel, with positions computed exactly: a layer without parameters."""

from dataclasses import replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError
from upstroke.grid import Grid
from upstroke.layers.family import lifts
from upstroke.nn._arguments import check_axes, check_maps
from upstroke.ops import native
from upstroke.ops.recorded import is_recorded
from upstroke.ops.transposed import draw
from upstroke.polyphase import Affine, Polyphase, as_transposed, cubic, linear, nearest

__all__ = ["Centre", "Interpolation", "Mode"]

Mode = Literal["nearest", "linear", "cubic"]
Centre = Literal["cell", "sample"]

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Interpolation(nn.Module):
    """Nearest, linear or cubic resize by a whole scale, in 1, 2 or 3 axes; the edge is clamped.

    Positions are exact, so the result is right to rounding for every scale, where `nn.Upsample` computes
    them in float32: its linear and cubic are off by up to 2e-4 for scales that are no power of two, and its
    nearest copies wrong cells for some scales from 41 on. Linear and cubic compute in float32 at least and
    round the result to the dtype of x, also under autocast.

    On the CPU linear and cubic run in compiled kernels. On other devices, without the kernels, and in a graph
    that is exported, traced or recorded they are PyTorch's own operators, as nearest is everywhere; there the
    above holds up to 2^22 output samples along an axis, beyond which PyTorch's float32 positions round.

    Args:
        scale: output samples per input cell, one number or one per axis.
        mode: the kernel; cubic has a = -0.75, as PyTorch has.
        centre: "cell" for half-pixel positions; "sample" where output sample s * m sits on cell m.
        ndim: number of axes.

    Raises:
        OptionError: nearest with centre="sample" and an even scale, whose middle lies between two samples.

    >>> Interpolation(3, mode="nearest", centre="sample", ndim=1)(torch.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2., 2., 2.]]])
    """

    def __init__(
        self, scale: int | tuple[int, ...], *, mode: Mode = "nearest", centre: Centre = "cell", ndim: int = 2
    ) -> None:
        super().__init__()
        check_axes(ndim)
        for name, value, known in (("mode", mode, get_args(Mode)), ("centre", centre, get_args(Centre))):
            if value not in known:
                msg = f"{name} must be {' or '.join(map(repr, known))}; got {value!r}"
                raise OptionError(msg)
        self.scale = whole_per_axis(scale, ndim, name="scale", least=1)
        self.mode: Mode = mode
        self.centre: Centre = centre
        if mode == "nearest" and centre == "sample" and any(s % 2 == 0 for s in self.scale):
            msg = (
                "a cell copied an even number of times has its middle between two samples, so nearest with "
                f"centre='sample' needs odd scales; got {times(self.scale)}, so use mode='linear'"
            )
            raise OptionError(msg)
        self._name, self._factors = self._pytorchs_name(), [float(s) for s in self.scale]
        # on the cpu even where parameters are made on another device, or on none
        with torch.device("cpu"):
            self.operator = _operator(self.scale, mode, centre)
            self._form = as_transposed(self.operator)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *grown"]:
        """Resize a batch of maps of any number of channels."""
        check_maps(x, ndim=len(self.scale))
        if self.mode == "nearest" and self._name is not None:
            return self._resized(x)
        if x.is_floating_point() and native.runs_on(x.device) and not is_recorded() and native.pays(x):
            return native.upsample(x, self.operator)
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._in_enough_bits(x)
        return self._in_enough_bits(x)

    @property
    def grid(self) -> Grid:
        """Where the output's samples sit, in input pixels."""
        coordinates = "half_pixel" if self.centre == "cell" else "asymmetric"
        return Grid.of_input(len(self.scale)).resize_onnx(
            self.scale, coordinates=coordinates, mode=self.mode, rounding="round_prefer_floor"
        )

    def extra_repr(self) -> str:
        """The settings, as PyTorch's layers print theirs."""
        return f"scale={self.scale}, mode={self.mode!r}, centre={self.centre!r}"

    def _in_enough_bits(self, x: Tensor) -> Tensor:
        """Resize with weights that are not rounded to fewer bits than float32 has."""
        return self._resized(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)

    def _resized(self, x: Tensor) -> Tensor:
        if self._name is not None:
            return nn.functional.interpolate(x, scale_factor=self._factors, mode=self._name)
        # a number for the exporter, which otherwise has a kernel of unknown shape
        channels = int(x.shape[1]) if torch.onnx.is_in_onnx_export() else x.shape[1]
        weight = self._form.weight.to(x).repeat(channels, *[1] * (1 + len(self.scale)))
        return draw(x, replace(self._form, weight=weight, groups=channels))

    def _pytorchs_name(self) -> str | None:
        """The name of PyTorch's resize that computes the same to rounding, where there is one."""
        if self.centre == "sample":
            return None
        # Powers of two have exact reciprocals => PyTorch's float32 positions are exact.
        exact = all(s & (s - 1) == 0 for s in self.scale)
        if self.mode == "nearest":
            # "nearest-exact" looks at the middles of samples, which rounding cannot push into the next cell
            return "nearest" if exact else "nearest-exact"
        if not exact:
            return None
        if self.mode == "linear":
            return _LINEAR[len(self.scale)]
        return "bicubic" if len(self.scale) == 2 else None


def _operator(scale: tuple[int, ...], mode: Mode, centre: Centre) -> Polyphase:
    if mode == "nearest":
        return nearest(scale, ndim=len(scale), centre=centre, rounding="round_prefer_floor")
    return (linear if mode == "linear" else cubic)(scale, ndim=len(scale), centre=centre)


@lifts(Interpolation)
def lift_interpolation(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a resize, for any number of channels; exact everywhere, the edge clamped."""
    assert isinstance(layer, Interpolation)
    return Affine(operator=layer.operator)
