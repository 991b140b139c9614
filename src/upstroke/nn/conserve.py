"""Keep block means: a last layer that restores them, and an upsampling that has them from the start."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid
from upstroke.nn._arguments import check_axes, check_maps
from upstroke.ops import Correction, Impl, Prefilter, block_means, corrected, prefilter, upsample
from upstroke.ops.blocks import block_sums, spread
from upstroke.ops.prefilter import solved_densely
from upstroke.ops.recorded import is_recorded
from upstroke.polyphase import Border, Polyphase, bspline, linear, nearest

__all__ = ["Conserve", "ConservingInterpolation"]

Mode = Literal["nearest", "linear", "cubic"]
_KERNELS = {"nearest": nearest, "linear": linear, "cubic": bspline}


class Conserve(nn.Module):
    """Give the blocks of fine maps the means that they shall have: `ops.corrected` as the last layer.

    Exact to rounding for whatever stands before it, with gradients to both inputs, and in float32 at least,
    also under autocast and in a model that was made half. The weights move with the model from device to
    device, keep their dtype, and are no part of its state dict: they belong to a grid, not to what was
    trained.

    Args:
        scale: samples of a block along each of the last axes.
        form: "additive", "multiplicative" or "softmax", as in `ops.corrected`.
        weights: of the samples, such as areas times valid fractions, of a shape that broadcasts to that of
            the fine maps; None: all alike. Those of a call can be given to the call.

    Raises:
        OptionError: there is no such form, or the scale has no meaning.

    >>> layer = Conserve((2, 3))
    >>> y = layer(torch.rand(1, 1, 4, 9), torch.full((1, 1, 2, 3), 5.0))
    >>> torch.allclose(y[0, 0, :2, :3].mean(), torch.tensor(5.0))
    True
    """

    weights: Tensor | None

    def __init__(
        self, scale: tuple[int, ...], *, form: Correction = "additive", weights: Tensor | None = None
    ) -> None:
        super().__init__()
        if form not in get_args(Correction):
            msg = f"form must be one of {', '.join(get_args(Correction))}; got {form!r}"
            raise OptionError(msg)
        self.scale = whole_per_axis(scale, len(scale), name="scale", least=1)
        self.form: Correction = form
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self, y: Float[Tensor, "*fine"], means: Float[Tensor, "*coarse"], weights: Tensor | None = None
    ) -> Float[Tensor, "*fine"]:
        """Correct fine maps, or logits, so that their block means are these.

        Args:
            y: (*batch, *fine).
            means: (*batch, *coarse).
            weights: in place of those of the layer, for masks that change from step to step.

        Raises:
            ShapeError: the blocks do not fill the maps, or means or weights do not fit.
        """
        used = self.weights if weights is None else weights
        return corrected(y, means, self.scale, weights=used, form=self.form)

    def extra_repr(self) -> str:
        """The settings, as PyTorch's layers print theirs."""
        weighted = "" if self.weights is None else f", weights of shape {tuple(self.weights.shape)}"
        return f"scale={self.scale}, form={self.form!r}{weighted}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Conserve":
        """Move the weights, but leave their dtype: a half one would round every mean."""
        before = self.weights
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before is not None and self.weights is not None and self.weights.dtype != before.dtype:
            self.weights = before.to(self.weights.device)
        return self


class ConservingInterpolation(nn.Module):
    """Nearest, linear or cubic upsampling in 1, 2 or 3 axes that keeps the mean of every block of samples.

    A prefilter per axis, then the kernel at half-pixel centres: cubic is the B-spline. A layer without
    parameters, linear in its input; it computes in float32 at least, the prefilter in float64, and gives the
    dtype of x. Prefilters are made for a size when it first comes, and kept.

    Args:
        scale: output samples per input cell, one number or one per axis.
        mode: the kernel.
        border: what stands beyond the edge, one word or one per axis: "clamp" for the edge value,
            "circular" where the axis is periodic, such as longitude round the globe, "zero".
        weights: for each axis those of its scale * size samples, or None for all alike; None: all alike
            on all axes.
        ndim: number of axes.

    Raises:
        OptionError: there is no such mode or border, or a weight has no meaning.
        ShapeError: there is not one number, word or entry per axis.

    >>> layer = ConservingInterpolation((2, 3), mode="cubic", border=("clamp", "circular"))
    >>> x = torch.rand(1, 1, 5, 7, dtype=torch.float64)
    >>> torch.allclose(nn.functional.avg_pool2d(layer(x), (2, 3)), x)
    True
    >>> layer.grid
    Grid(offset=(-1/4, -1/3), spacing=(1/2, 1/3))
    """

    def __init__(
        self,
        scale: int | tuple[int, ...],
        mode: Mode = "cubic",
        *,
        border: Border | Sequence[Border] = "clamp",
        weights: Sequence[Tensor | None] | None = None,
        ndim: int = 2,
    ) -> None:
        super().__init__()
        check_axes(ndim)
        if mode not in _KERNELS:
            msg = f"mode must be one of {', '.join(_KERNELS)}; got {mode!r}"
            raise OptionError(msg)
        self.scale = whole_per_axis(scale, ndim, name="scale", least=1)
        self.mode: Mode = mode
        self.border: tuple[Border, ...] = _per_axis(border, ndim)
        given = (None,) * ndim if weights is None else tuple(weights)
        if len(given) != ndim:
            msg = f"weights must have one entry for each of {ndim} axes, a tensor or None; got {len(given)}"
            raise ShapeError(msg)
        # numbers of a grid, on the CPU and in the dtype they came in, wherever the model goes
        self._weights = [None if each is None else each.detach().cpu() for each in given]
        with torch.device("cpu"):
            self._operators = [
                _one_axis(mode, s, kind) for s, kind in zip(self.scale, self.border, strict=True)
            ]
            self._operator = replace(_KERNELS[mode](self.scale, ndim=ndim), border=self.border)
        self._prefilters: dict[tuple[int, int], Prefilter] = {}

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *grown"]:
        """Upsample a batch of maps of any number of channels.

        Raises:
            ShapeError: x has other axes, or an axis another size than its weights.
        """
        check_maps(x, ndim=len(self.scale))
        enough = x.to(torch.promote_types(x.dtype, torch.float32))
        for axis, size in enumerate(x.shape[2:] if self.mode != "nearest" else ()):
            # a compiler, or an export for any size
            if torch.compiler.is_dynamo_compiling() or not isinstance(size, int):
                enough = solved_densely(self._means_of_cells(axis, size).to(x.device), enough, 2 + axis)
            else:
                enough = self._prefilter(axis, size)(enough, dim=2 + axis)
        # a layer that leaves Python is made of PyTorch's own operators
        impl: Impl = "transposed" if is_recorded() else "auto"
        y = upsample(enough.flatten(0, 1)[:, None], self._operator, impl=impl)
        return y.reshape(*x.shape[:2], *y.shape[2:]).to(x.dtype)

    @property
    def grid(self) -> Grid:
        """Where the output's samples sit, in input pixels."""
        return Grid.of_input(len(self.scale)).resize(self.scale)

    def extra_repr(self) -> str:
        """The settings, as PyTorch's layers print theirs."""
        weighted = "" if all(each is None for each in self._weights) else ", weighted"
        return f"scale={times(self.scale)}, mode={self.mode!r}, border={self.border}{weighted}"

    def _means_of_cells(self, axis: int, size: int) -> Tensor:
        """D T along an axis as a dense matrix, from what it makes of each cell: a compiler reads it."""
        cells = torch.eye(size, dtype=torch.float64)[:, None]
        made = upsample(cells, self._operators[axis], impl="transposed")
        weights, scale = self._weights[axis], (self.scale[axis],)
        if weights is not None:
            # a block without weight is taken with all alike, as in `prefilter`
            total = block_sums(weights, scale)
            weights = torch.where(spread(total, scale) > 0, weights, 1)
        return block_means(made[:, 0], scale, weights=weights).T

    def _prefilter(self, axis: int, size: int) -> Prefilter:
        if (axis, size) not in self._prefilters:
            self._prefilters[axis, size] = prefilter(self._operators[axis], size, weights=self._weights[axis])
        return self._prefilters[axis, size]


def _per_axis(border: Border | Sequence[Border], ndim: int) -> tuple[Border, ...]:
    borders = (border,) * ndim if isinstance(border, str) else tuple(border)
    if len(borders) != ndim or not set(borders) <= set(get_args(Border)):
        msg = (
            f"border must be one of {', '.join(get_args(Border))}, or one of these for each of {ndim} axes; "
            f"got {border!r}"
        )
        raise OptionError(msg)
    return borders


def _one_axis(mode: Mode, scale: int, border: Border) -> Polyphase:
    return replace(_KERNELS[mode](scale, ndim=1), border=(border,))
