"""Define what a node of a model does to its maps: the vocabulary that every reader translates into."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from upstroke.polyphase import Border, Margin, Polyphase

__all__ = [
    "Columns",
    "Concatenation",
    "Convolution",
    "Coordinates",
    "Expansion",
    "Filter",
    "Join",
    "Lookup",
    "Mixing",
    "Other",
    "Pad",
    "Part",
    "PerChannel",
    "PixelShuffle",
    "PixelUnshuffle",
    "Pointwise",
    "Pool",
    "Product",
    "Reduction",
    "Reshape",
    "Resize",
    "Reversal",
    "Roll",
    "Rounding",
    "Same",
    "Slice",
    "Softmax",
    "Stays",
    "Step",
    "Transpose",
    "TransposedConvolution",
    "Unread",
    "Upsampling",
    "Windows",
]

Coordinates = Literal["half_pixel", "asymmetric", "align_corners"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
JoinKind = Literal["concatenate", "add", "multiply", "choose"]


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
class Filter:
    """A convolution with weights that the model computes from its input.

    Attributes:
        kernel, stride, dilation: per axis.
        padding: (left, right) per axis.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[Margin, ...]
    dilation: tuple[int, ...]


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
        rescaled: whether weights beyond the edge are left out and the others made larger, as a kernel that
            guards against aliasing does; otherwise the edge value stands there.
    """

    mode: Literal["nearest", "linear", "cubic"]
    scale: tuple[float, ...]
    coordinates: Coordinates
    rounding: Rounding = "floor"
    a: float = -0.75
    given: bool = True
    rescaled: bool = False


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
        mirrored: whether they are the map's own, reflected at its outermost sample.
    """

    sides: tuple[Margin, ...]
    border: Border | None = "zero"
    mirrored: bool = False


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


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the tensors that a concatenation lays side by side.

    Attributes:
        length: along the axis, if known.
        is_map: whether it is a map; a constant otherwise.
    """

    length: int | None
    is_map: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Join:
    """Several maps become one, sample by sample: nothing is mixed with its neighbours.

    So a pattern over the phases in one of them passes: through a sum, and through a maximum, a choice by a
    mask or a quotient where these take or keep it.

    Attributes:
        kind: how; a concatenation is one of channels, and a choice takes each sample from one of the maps.
        parts: of a concatenation, in order, constants among them; empty where they are the maps alone.
    """

    kind: JoinKind
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Concatenation:
    """Maps, and constants among them, laid side by side along another axis than the channels of (N, C, ...).

    Attributes:
        axis: along which, of the output.
        parts: in order.
        is_new: whether the axis is one that the parts do not have.
    """

    axis: int
    parts: tuple[Part, ...]
    is_new: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Stays:
    """Every sample stays where it is and depends on more than itself: on statistics, or on where it is.

    A normalisation by the data's own statistics, a constant added that varies over the map.

    Attributes:
        by_place: whether it may treat neighbours differently, as a constant that varies over the map does; a
            normalisation with numbers per channel treats all places alike.
    """

    by_place: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax:
    """Numbers along an axis become their shares.

    Attributes:
        axis: along which.
    """

    axis: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixing:
    """New numbers made of all that stands along one axis, at every place of the others alike.

    Attributes:
        axis: along which.
        what: makes them, such as a linear layer.
    """

    axis: int
    what: str = "a linear layer"


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """The matrix product of two maps over the last axis of the first and the last but one of the second."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction:
    """One number for all that stands along some axes: a mean, a sum, a maximum.

    Attributes:
        axes: along which.
        is_kept: whether the axes stay, with length one.
    """

    axes: tuple[int, ...]
    is_kept: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """A part of a map.

    Attributes:
        cuts: per axis that is cut: the axis, the first index that is taken, and the distance to the next.
        is_dropped: whether one index alone is taken, and the axis with it.
    """

    cuts: tuple[tuple[int, int, int], ...]
    is_dropped: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Roll:
    """Samples moved along axes, those that leave at one end coming in at the other.

    Attributes:
        moves: pairs of an axis and how far its samples move to the right.
    """

    moves: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reversal:
    """What stands along some axes the other way round.

    Attributes:
        axes: along which.
    """

    axes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Windows cut along one axis, each laid along a new last axis.

    Attributes:
        axis: along which; afterwards it counts windows.
        stride: how far apart they start.
    """

    axis: int
    stride: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Windows cut from a map (N, C, *space), each a column: (N, C * window, windows).

    Attributes:
        kernel, stride, dilation: per axis.
        padding: on the left, per axis.
        count: windows per axis.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    count: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelUnshuffle:
    """Blocks of samples become channels (space to depth).

    Attributes:
        scale: size of a block, per axis.
    """

    scale: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Expansion:
    """Copies along axes of length one and along new first ones, as many as the output's shape says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lookup:
    """Every number is a row of a table, which is laid along a new last axis."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Other:
    """Something known that is none of these.

    Attributes:
        reason: why nobody can say where its samples sit, without a full stop; empty where there is no more to
            say than its name.
    """

    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unread:
    """Something that could matter and could not be read.

    Attributes:
        reason: why, in one sentence without a full stop.
        moves: the steps that it is, each with the shape of what it gives, where these say where samples go
            although no operator describes them together.
    """

    reason: str
    moves: "tuple[tuple[Step, tuple[int | None, ...]], ...]" = ()


Step = (
    Convolution
    | Filter
    | TransposedConvolution
    | Resize
    | Upsampling
    | PixelShuffle
    | PixelUnshuffle
    | Reshape
    | Transpose
    | PerChannel
    | Pad
    | Pool
    | Same
    | Pointwise
    | Stays
    | Softmax
    | Mixing
    | Product
    | Reduction
    | Slice
    | Reversal
    | Roll
    | Windows
    | Columns
    | Expansion
    | Lookup
    | Join
    | Concatenation
    | Other
    | Unread
)
