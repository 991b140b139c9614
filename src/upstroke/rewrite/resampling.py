"""Resize maps by a fixed operator, to its own size or to one that is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from operator import index
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import ShapeError
from upstroke.layers.family import lifts
from upstroke.ops import native
from upstroke.ops.border import extend
from upstroke.ops.recorded import leaves
from upstroke.ops.transposed import draw
from upstroke.polyphase import Affine, Polyphase, as_transposed

__all__ = ["Resampling"]


class Resampling(nn.Module):
    """What stands in the place of `nn.Upsample`, or of a call of `interpolate`, and keeps to its own kernel.

    It is called as `torch.nn.functional.interpolate` is: of the arguments beside the map only `size` counts.
    A size that is not scale * cells is met by leaving out the last samples, or by going on with the last
    cell, so that samples sit where they sit in any other size.

    Args:
        operator: the kernel, the same for all channels, with the edge clamped.
        words: what it is, for those who print the model.
        size: what is asked for where a call does not say.

    >>> from upstroke.polyphase import linear
    >>> up = Resampling(linear(2, ndim=1, centre="sample"), words="linear ×2 on the cells")
    >>> up(torch.tensor([[[1.0, 3.0]]])), up(torch.tensor([[[1.0, 3.0]]]), size=3)
    (tensor([[[1., 2., 3., 3.]]]), tensor([[[1., 2., 3.]]]))
    """

    def __init__(
        self, operator: Polyphase, *, words: str = "", size: int | Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.operator, self.words, self.size = operator, words, size
        # on the cpu even where parameters are made on another device, or on none
        with torch.device("cpu"):
            self._form = as_transposed(operator)

    def forward(
        self,
        input: Float[Tensor, "b c *space"],
        size: object = None,
        scale_factor: object = None,
        mode: object = None,
        align_corners: object = None,
        recompute_scale_factor: object = None,
        antialias: object = None,
    ) -> Float[Tensor, "b c *grown"]:
        """Resize a batch of maps of any number of channels."""
        size = self.size if size is None else size
        wanted = None if size is None else _per_axis(size, self.operator.ndim)
        if leaves() or torch.compiler.is_exporting():
            return self._drawn(input, wanted)
        operator = self.operator if wanted is None else self._grown_to(input, wanted)
        if native.runs_on(input.device):
            return native.upsample(input, operator)
        device = input.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._drawn(input, wanted)
        return self._drawn(input, wanted)

    def extra_repr(self) -> str:
        """What it is."""
        return self.words or f"scale={self.operator.scale}"

    def _grown_to(self, x: Tensor, size: tuple[int, ...]) -> Polyphase:
        """The operator with as many samples more or less at the end as this size wants."""
        scale, cells = self.operator.scale, tuple(x.shape[2:])
        wanted = whole_per_axis(size, len(scale), name="size", least=1)
        excess = tuple(n - s * m for n, s, m in zip(wanted, scale, cells, strict=True))
        if any(abs(each) >= max(s, 2) for each, s in zip(excess, scale, strict=True)):
            msg = (
                f"a resize by {times(scale)} makes {times(s * m for s, m in zip(scale, cells, strict=True))} "
                f"of {times(cells)}, give or take less than one cell; got size {times(wanted)}, so give the "
                "model inputs whose sizes grow and shrink by its scales"
            )
            raise ShapeError(msg)
        return replace(self.operator, excess=excess)

    def _drawn(self, x: Tensor, size: Sequence[Any] | None) -> Tensor:
        """The same by PyTorch's operators, in float32 at least, rounded once; no size is read on the way."""
        form, ndim = self._form, self.operator.ndim
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if size is not None:
            wide = extend(wide, ((0, 1),) * ndim, self.operator.border)
        channels = int(x.shape[1])
        weight = form.weight.to(wide).repeat(channels, *[1] * (1 + ndim))
        y = draw(wide, replace(form, weight=weight, groups=channels)).to(x.dtype)
        return y if size is None else y[:, :, *(slice(0, n) for n in size)]


def _per_axis(size: Any, ndim: int) -> tuple[Any, ...]:  # noqa: ANN401 - what PyTorch's function takes
    """A size as PyTorch takes it; its numbers may be tensors while a graph is traced, and stay such."""
    given = tuple(size) if isinstance(size, Sequence) else (size,) * ndim
    return given if leaves() else tuple(map(index, given))


@lifts(Resampling)
def lift_resampling(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a resize, for any number of channels; exact everywhere, the edge clamped."""
    assert isinstance(layer, Resampling)
    return Affine(operator=layer.operator)
