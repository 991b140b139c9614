"""Define the Polyphase: a linear whole-number upsampler as the taps of its output phases."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase.support import Margin, Reach, Support, cells_beyond

__all__ = ["Border", "Margin", "Polyphase", "Reach"]

Border = Literal["zero", "clamp", "circular"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Polyphase:
    """A linear upsampler that treats all cells alike.

    Per axis, with output sample n, input cell m and phase p::

        n = scale * m + p
        y[o, n] = sum over c, k of taps[p, o, c, k] * x[c, m + k - origin]
        output size = scale * input size + excess

    Derivation: docs/idea.md#polyphase.

    Attributes:
        taps: shape (phases, out channels, in channels of one group, *kernel); phases in C order of the axes.
        scale: output samples per input cell, per axis.
        origin: index of the tap that reads the sample's own cell m, per axis.
        excess: what the output has beyond scale * input size (negative: lacks), per axis.
        border: what stands outside the input, per axis: zeros, the edge value, or the other end.
        groups: channel groups, as in a convolution; a depthwise operator is never stored dense.
        shared: one kernel that serves every channel of whatever comes, or every group of channels where it
            takes more than one (a pixel shuffle).
        support: which taps exist, whatever their values; elsewhere taps are made zero. It tells a weight
            that is zero from a tap that is not there. Given as a tensor (phases, *kernel), true where a tap
            exists, and kept as plain numbers; `mask` is the tensor. By default true wherever any channel
            pair is not zero, and everywhere for taps that are to be trained, or while a graph is traced.
        margin: output samples (left, right) per axis inside which the layer that this operator stands for
            may differ from it; zeros wherever the operator is exact.

    >>> from upstroke.polyphase import nearest
    >>> nearest((2, 3))
    Polyphase(every channel, scale 2x3, 1x1 taps in each of 6 phases, origin 0x0, excess 0x0, border clamp)
    """

    taps: Float[Tensor, "phases out in_group *kernel"]
    scale: tuple[int, ...]
    origin: tuple[int, ...]
    excess: tuple[int, ...]
    border: tuple[Border, ...]
    groups: int = 1
    shared: bool = False
    support: Bool[Tensor, "phases *kernel"] | Support | None = None
    margin: tuple[Margin, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit one another, so that nothing downstream has to."""
        ndim = len(self.scale)
        if not 1 <= ndim <= 3 or self.taps.ndim != 3 + ndim:
            msg = (
                f"taps must have shape (phases, out, in, *kernel) with one kernel axis for each of the "
                f"{ndim} numbers in scale, 1 to 3 of them; got shape {tuple(self.taps.shape)}"
            )
            raise ShapeError(msg)
        if min(self.scale) < 1 or self.taps.shape[0] != math.prod(self.scale):
            msg = f"taps must have one entry per phase of scale {self.scale}; got {self.taps.shape[0]}"
            raise ShapeError(msg)
        if min(self.taps.shape) < 1:
            msg = f"taps must have at least one channel and one tap; got shape {tuple(self.taps.shape)}"
            raise ShapeError(msg)
        for name, numbers in (("origin", self.origin), ("excess", self.excess), ("border", self.border)):
            if len(numbers) != ndim:
                msg = f"{name} must have one entry per axis, {ndim} of them; got {numbers}"
                raise ShapeError(msg)
        if not set(self.border) <= set(get_args(Border)):
            msg = f"border must be zero, clamp or circular on every axis; got {self.border}"
            raise OptionError(msg)
        if self.groups < 1 or self.taps.shape[1] % self.groups:
            msg = f"groups must divide the {self.taps.shape[1]} output channels; got {self.groups}"
            raise ShapeError(msg)
        if self.shared and self.groups != 1:
            msg = f"a shared operator is one group, repeated as often as it takes; got groups={self.groups}"
            raise ShapeError(msg)
        if not self.taps.is_floating_point():
            msg = f"taps must have a floating dtype; got {self.taps.dtype}"
            raise OptionError(msg)
        if not self.margin:
            object.__setattr__(self, "margin", ((0, 0),) * ndim)
        if len(self.margin) != ndim or any(min(sides) < 0 for sides in self.margin):
            msg = f"margin must be two numbers of at least 0 per axis, for {ndim} axes; got {self.margin}"
            raise ShapeError(msg)
        support = _support_of(self.taps) if self.support is None else self.support
        if tuple(support.shape) != (self.taps.shape[0], *self.taps.shape[3:]):
            msg = f"support must have shape (phases, *kernel) like taps; got {tuple(support.shape)}"
            raise ShapeError(msg)
        support = Support.of(support) if isinstance(support, Tensor) else support
        object.__setattr__(self, "support", support)
        if _has_taps_outside(self.taps, support):
            object.__setattr__(self, "taps", self.taps * self.mask[:, None, None])

    def __repr__(self) -> str:
        """Sizes instead of numbers: taps of a trained layer would fill the screen."""
        channels = f"{self.in_channels} -> {self.out_channels} channels"
        if self.shared:
            channels = "every channel" if self.in_channels == self.out_channels == 1 else f"every {channels}"
        elif self.groups > 1:
            channels += f" in {self.groups} groups"
        borders = self.border[:1] if len(set(self.border)) == 1 else self.border
        text = (
            f"Polyphase({channels}, scale {times(self.scale)}, {times(self.kernel)} taps in each of "
            f"{self.phases} phases, origin {times(self.origin)}, excess {times(self.excess)}, "
            f"border {' '.join(borders)}"
        )
        exact = all(side == 0 for axis in self.margin for side in axis)
        return text + (")" if exact else f", exact outside a margin of {self.margin})")

    @property
    def ndim(self) -> int:
        """Number of axes, 1 to 3."""
        return len(self.scale)

    @property
    def phases(self) -> int:
        """Number of phases, the product of the scales."""
        return self.taps.shape[0]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Taps of one phase along each axis, the absent ones counted."""
        return tuple(self.taps.shape[3:])

    @property
    def in_channels(self) -> int:
        """Channels that come in; a shared operator takes any multiple of this number."""
        return self.taps.shape[2] * self.groups

    @property
    def out_channels(self) -> int:
        """Channels that go out; a shared operator gives the same multiple of this number."""
        return self.taps.shape[1]

    @property
    def mask(self) -> Bool[Tensor, "phases *kernel"]:
        """The support as a tensor: true where a tap exists."""
        return self.known_support.tensor(self.taps.device)

    @property
    def known_support(self) -> Support:
        """The support, which is always there once the operator is made."""
        assert isinstance(self.support, Support)
        return self.support

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Size of the output map for an input map of this size.

        >>> from upstroke.polyphase import nearest
        >>> nearest((2, 3)).output_size((5, 7))
        (10, 21)
        """
        if len(size) != self.ndim:
            msg = (
                f"the input must have {self.ndim} spatial axes to match the operator; got size {tuple(size)}"
            )
            raise ShapeError(msg)
        grown = tuple(s * n + e for s, n, e in zip(self.scale, size, self.excess, strict=True))
        if min(size) < 1 or min(grown) < 1:
            msg = (
                f"the input must be large enough to leave at least one output sample per axis; "
                f"got size {tuple(size)}, which gives {grown} at scale {self.scale} and excess {self.excess}"
            )
            raise ShapeError(msg)
        return grown

    def input_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Size of the input map that gives an output map of this size.

        >>> from upstroke.polyphase import nearest
        >>> nearest((2, 3)).input_size((10, 21))
        (5, 7)
        """
        if len(size) != self.ndim:
            msg = (
                f"the output must have {self.ndim} spatial axes to match the operator; got size {tuple(size)}"
            )
            raise ShapeError(msg)
        whole = [divmod(n - e, s) for s, n, e in zip(self.scale, size, self.excess, strict=True)]
        if any(cells < 1 or rest for cells, rest in whole):
            msg = (
                f"an output size of this operator is scale * cells + excess with scale {self.scale}, excess "
                f"{self.excess} and at least one cell per axis; got {tuple(size)}"
            )
            raise ShapeError(msg)
        return tuple(cells for cells, _ in whole)

    def reach(self, axis: int) -> tuple[Reach | None, ...]:
        """The cells each phase of one axis reads, relative to the sample's own cell; None: no tap.

        >>> from upstroke.polyphase import linear
        >>> linear(2, ndim=1).reach(0)
        (Reach(lowest=-1, highest=0), Reach(lowest=0, highest=1))
        """
        return self.known_support.reach(self.scale, self.origin, axis)

    def reads_outside(self, axis: int) -> bool:
        """Whether any output sample needs a cell beyond the input's edge along this axis."""
        return any(self.cells_beyond(axis))

    def samples_reading_beyond(self, axis: int, edge: Margin) -> Margin:
        """Output samples at either end that read nearer to the edge than this many cells (0: beyond it)."""
        scale, excess = self.scale[axis], self.excess[axis]
        left = right = 0
        for phase, reach in enumerate(self.reach(axis)):
            if reach is None:
                continue
            # left: samples n = scale * m + phase with m + lowest < edge
            left = max(left, scale * (edge[0] - 1 - reach.lowest) + phase + 1)
            # right: counted from the last sample, with m + highest > size - 1 - edge
            right = max(right, excess - scale * (-edge[1] - reach.highest) - phase)
        return left, right

    def cells_beyond(self, axis: int) -> Margin:
        """Cells that the output needs before the first and after the last cell of the input.

        >>> from upstroke.polyphase import cubic
        >>> cubic(2).cells_beyond(0)
        (2, 2)
        """
        return cells_beyond(self.reach(axis), self.scale[axis], self.excess[axis])

    def expand(self, channels: int) -> "Polyphase":
        """A shared operator over this many input channels, as one group per copy; others as they are.

        >>> from upstroke.polyphase import nearest, shuffle
        >>> nearest(2).expand(3).groups, shuffle(2).expand(12).groups
        (3, 3)
        """
        copies, rest = divmod(channels, self.in_channels)
        if self.shared and (rest or not copies):
            msg = f"a shared operator needs a multiple of {self.in_channels} channels; got {channels}"
            raise ShapeError(msg)
        return self.repeat(copies) if self.shared else self

    def repeat(self, copies: int) -> "Polyphase":
        """A shared operator over so many copies of its channels, without copying a single kernel's taps."""
        phases, out, in_group, *kernel = self.taps.shape
        taps = self.taps[:, None].expand(-1, copies, -1, -1, *(-1,) * self.ndim)
        taps = taps.reshape(phases, copies * out, in_group, *kernel)
        return replace(self, taps=taps, groups=copies, shared=False)

    def regroup(self, groups: int) -> "Polyphase":
        """The same operator in fewer groups, with zeros between the channels that do not meet.

        >>> from upstroke.polyphase import nearest
        >>> tuple(nearest(2).expand(6).regroup(2).taps.shape)
        (4, 6, 3, 1, 1)
        """
        if groups == self.groups:
            return self
        if self.groups % groups:
            msg = f"groups can only be merged into a divisor of {self.groups}; got {groups}"
            raise ShapeError(msg)
        inner = self.groups // groups
        phases, out, in_group, *kernel = self.taps.shape
        blocks = self.taps.reshape(phases, groups, inner, out // self.groups, in_group, *kernel)
        dense = blocks.new_zeros(phases, groups, inner, out // self.groups, inner, in_group, *kernel)
        index = torch.arange(inner, device=blocks.device)
        dense[:, :, index, :, index] = blocks.movedim(2, 0)
        return replace(self, taps=dense.reshape(phases, out, inner * in_group, *kernel), groups=groups)

    def padded(self, before: Sequence[int], after: Sequence[int]) -> "Polyphase":
        """The same operator with absent taps added before and after the present ones, per axis."""
        pads = [side for axis in zip(reversed(before), reversed(after), strict=True) for side in axis]
        return replace(
            self,
            taps=torch.nn.functional.pad(self.taps, pads),
            support=torch.nn.functional.pad(self.mask, pads),
            origin=tuple(o + b for o, b in zip(self.origin, before, strict=True)),
        )

    def isclose(self, other: "Polyphase", *, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
        """Whether both compute the same map: sizes equal, taps close, borders equal where they are read.

        How either is stored (absent taps around the present ones, groups, one shared kernel) does not matter.

        >>> from upstroke.polyphase import box, nearest
        >>> nearest(2).isclose(box(2))
        True
        """
        if (self.scale, self.excess, self.margin) != (other.scale, other.excess, other.margin):
            return False
        if self.shared is not other.shared:
            channels = other.in_channels if self.shared else self.in_channels
            if channels % (self.in_channels if self.shared else other.in_channels):
                return False
            return self.expand(channels).isclose(other.expand(channels), rtol=rtol, atol=atol)
        if (self.in_channels, self.out_channels) != (other.in_channels, other.out_channels):
            return False
        read = [axis for axis in range(self.ndim) if self.reads_outside(axis) or other.reads_outside(axis)]
        if any(self.border[axis] != other.border[axis] for axis in read):
            return False
        groups = math.gcd(self.groups, other.groups)
        one, two = (_in_window(op.regroup(groups), around=(self, other)) for op in (self, other))
        return torch.allclose(one.taps, two.taps.to(one.taps), rtol=rtol, atol=atol)


def _support_of(taps: Tensor) -> Support:
    """Where there are taps, as far as their values can say; of taps that training will change, everywhere."""
    if taps.requires_grad or taps.is_meta or _is_traced(taps):
        return Support((taps.shape[0], *taps.shape[3:]))
    return Support.of(taps.ne(0).any(dim=2).any(dim=1))


def _has_taps_outside(taps: Tensor, support: Support) -> bool:
    """Whether a tap that does not exist has a value, or may get one in training."""
    if taps.is_meta or support.flags is None:
        return False
    if _is_traced(taps) or (taps.is_leaf and taps.requires_grad):
        return True
    used = taps.detach().ne(0).any(dim=2).any(dim=1)
    return bool((used & ~support.tensor(taps.device)).any())


def _is_traced(taps: Tensor) -> bool:
    """Whether the numbers are not to be looked at: they will be others when the graph runs."""
    return torch.compiler.is_compiling() or type(taps) not in (Tensor, torch.nn.Parameter)


def _in_window(operator: Polyphase, *, around: tuple[Polyphase, Polyphase]) -> Polyphase:
    """Pad the kernel to the window that holds the taps of both operators."""
    before = [max(op.origin[axis] for op in around) - operator.origin[axis] for axis in range(operator.ndim)]
    after = [
        max(op.kernel[axis] - op.origin[axis] for op in around)
        - operator.kernel[axis]
        + operator.origin[axis]
        for axis in range(operator.ndim)
    ]
    return operator.padded(before, after)
