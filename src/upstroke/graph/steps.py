"""Define what a node of a model does to its maps: the vocabulary that every reader translates into."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from upstroke.polyphase import Border, Margin, Polyphase

__all__ = [
    "Convolution",
    "Coordinates",
    "Join",
    "Other",
    "Pad",
    "PerChannel",
    "PixelShuffle",
    "Pointwise",
    "Pool",
    "Reshape",
    "Resize",
    "Rounding",
    "Same",
    "Step",
    "Transpose",
    "TransposedConvolution",
    "Unread",
    "Upsampling",
]

Coordinates = Literal["half_pixel", "asymmetric", "align_corners"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """A convolution.

    Attributes:
        weight: (out, in / groups, *kernel), the effective one, not a copy.
        bias: (out), or None.
        stride, dilation: per axis.
        padding: (left, right) per axis.
        groups: channel groups.
        border: what the padding is filled with; None where no border of an operator does that (reflection).
    """

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[Margin, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    border: Border | None = "zero"


@dataclass(frozen=True, kw_only=True, eq=False)
class TransposedConvolution:
    """A transposed convolution.

    Attributes:
        weight: (in, out / groups, *kernel), the effective one, not a copy.
        bias: (out), or None.
        stride, output_padding, dilation: per axis.
        padding: what is cut off (left, right) per axis.
        groups: channel groups.
    """

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[Margin, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Resize:
    """A resize by a fixed kernel.

    Attributes:
        mode: the kernel.
        scale: output samples per input cell, per axis, whole or not.
        coordinates: where output samples sit, in ONNX's names.
        rounding: which cell a nearest resize copies, in ONNX's names.
        a: slope of the cubic kernel.
        given: whether the scale was given as a number; otherwise a size was, and the scale depends on it.
    """

    mode: Literal["nearest", "linear", "cubic"]
    scale: tuple[float, ...]
    coordinates: Coordinates
    rounding: Rounding = "floor"
    a: float = -0.75
    given: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Upsampling:
    """An operator applied as it is, with a border or a kernel that no layer of PyTorch has.

    Attributes:
        operator: the operator.
        bias: one number per channel, added to every sample.
    """

    operator: Polyphase
    bias: Tensor | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelShuffle:
    """Channels become phases.

    Attributes:
        scale: per axis.
        source: which input channel becomes phase p of output channel o, shape (phases, out); None for
            channel o * phases + p.
    """

    scale: tuple[int, ...]
    source: Tensor | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reshape:
    """The same numbers in the same order, in another shape, which the output's shape says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Transpose:
    """Axes in another order.

    Attributes:
        order: output axis i is input axis order[i].
    """

    order: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class PerChannel:
    """Each channel multiplied by a number, then another added: batch normalisation, a bias, a scale.

    Attributes:
        gain, shift: (channels), or (1) where all channels share it; None for 1 and 0.
    """

    gain: Tensor | None
    shift: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad:
    """Samples added around the map (cut where negative).

    Attributes:
        sides: (left, right) per axis.
        border: what they hold; None where no border of an operator does that (reflection, other constants).
    """

    sides: tuple[Margin, ...]
    border: Border | None = "zero"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A mean or a maximum over windows.

    Attributes:
        kernel, stride: per axis.
        padding: (left, right) per axis.
        kind: what is taken of each window.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[Margin, ...]
    kind: Literal["mean", "max"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Same:
    """The input as it is: identity, dropout in evaluation, a cast between floating types."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pointwise:
    """A function of each sample alone that is not linear, such as ReLU."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Join:
    """Several maps become one.

    Attributes:
        kind: how.
    """

    kind: Literal["concatenate", "add", "multiply"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Other:
    """Something known that is none of the above: attention, a normalisation by the data's own statistics."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unread:
    """Something that could matter and could not be read.

    Attributes:
        reason: why, in one sentence without a full stop.
    """

    reason: str


Step = (
    Convolution
    | TransposedConvolution
    | Resize
    | Upsampling
    | PixelShuffle
    | Reshape
    | Transpose
    | PerChannel
    | Pad
    | Pool
    | Same
    | Pointwise
    | Join
    | Other
    | Unread
)
