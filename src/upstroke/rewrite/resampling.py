"""Resize maps by a fixed operator, to its own size or to one that is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from operator import index
from typing import SupportsIndex, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from upstroke.axes import times, whole_per_axis
from upstroke.errors import ShapeError
from upstroke.layers.family import lifts
from upstroke.ops import native
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
        operator = self._grown_to(input, self.size if size is None else size)
        if native.runs_on(input.device) and not (leaves() or torch.compiler.is_exporting()):
            return native.upsample(input, operator)
        device = input.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return _drawn(input, operator)
        return _drawn(input, operator)

    def extra_repr(self) -> str:
        """What it is."""
        return self.words or f"scale={self.operator.scale}"

    def _grown_to(self, x: Tensor, size: object) -> Polyphase:
        """The operator with as many samples more or less at the end as this size wants."""
        if size is None:
            return self.operator
        scale, cells = self.operator.scale, tuple(x.shape[2:])
        wanted = whole_per_axis(_whole(size), len(scale), name="size", least=1)
        excess = tuple(n - s * m for n, s, m in zip(wanted, scale, cells, strict=True))
        if any(abs(each) >= s for each, s in zip(excess, scale, strict=True) if s > 1):
            msg = (
                f"a resize by {times(scale)} makes {times(s * m for s, m in zip(scale, cells, strict=True))} "
                f"of {times(cells)}, give or take less than one cell; got size {times(wanted)}, so give the "
                "model inputs whose sizes grow and shrink by its scales"
            )
            raise ShapeError(msg)
        return replace(self.operator, excess=excess)


def _whole(size: object) -> int | tuple[int, ...]:
    """A size as PyTorch takes it, which may be made of tensors."""
    return tuple(map(index, size)) if isinstance(size, Sequence) else index(cast(SupportsIndex, size))


def _drawn(x: Tensor, operator: Polyphase) -> Tensor:
    """The same by PyTorch's operators, in float32 at least, rounded once."""
    form = as_transposed(operator)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    weight = form.weight.to(wide).repeat(x.shape[1], *[1] * (1 + operator.ndim))
    return draw(wide, replace(form, weight=weight, groups=x.shape[1])).to(x.dtype)


@lifts(Resampling)
def lift_resampling(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a resize, for any number of channels; exact everywhere, the edge clamped."""
    assert isinstance(layer, Resampling)
    return Affine(operator=layer.operator)
