"""Define what is to stand in place of what: the one form in which every exact rewrite is said."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from upstroke.graph import Node
from upstroke.graph.steps import Convolution, PixelShuffle, Resize, Upsampling
from upstroke.polyphase import Affine

__all__ = ["Change", "Code", "Commuted", "Does", "Form", "Left", "Shuffled", "Together"]

# How a change can be computed. "as it is" stands in measurements for what the model does now.
Form = Literal["transposed", "phases", "shuffle", "commuted", "depth to space", "native"]
# What is changed: a rule's, or "fold" for linear stages beside a site, "shuffle" for a spelled pixel shuffle,
# "native" for a layer that no rule finds slow and that another way to compute it may yet be faster than.
Code = Literal["UP301", "UP302", "UP303", "fold", "shuffle", "native"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Together:
    """Stages in a row as one affine map, which any form of lowering may compute.

    Attributes:
        affine: the map, border included, in the model's precision or better.
        plain: whether it is what one stage computed before, so that nothing was multiplied together.
    """

    affine: Affine
    plain: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Commuted:
    """A 1x1 convolution first, then the resize that stood in front of it, then the bias where it stays.

    Attributes:
        convolution: with its bias where that may go along.
        resize: the step that grows, as it was.
        bias: per channel, added last; None where it went along or there is none.
    """

    convolution: Convolution
    resize: Resize | Upsampling
    bias: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Shuffled:
    """A pixel shuffle that several operations spell.

    Attributes:
        shuffle: what it amounts to.
    """

    shuffle: PixelShuffle


Does = Together | Commuted | Shuffled


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """What may stand, exactly, in place of some nodes of a graph.

    Attributes:
        site: name of the site.
        codes: what it does away with.
        nodes: those that it replaces, in order; nothing else takes what they give, but for the last.
        first: name of the map that comes in.
        last: name of the map that goes out, which keeps its name.
        does: what the nodes compute together.
        forms: ways to compute it, for the target to choose among; the first is the one without measurements.
        words: what is done, in a sentence without a full stop.
        multiply_adds: of the nodes, at the sizes of the graph; None where these are not known.
    """

    site: str
    codes: tuple[Code, ...]
    nodes: tuple[Node, ...]
    first: str
    last: str
    does: Does
    forms: tuple[Form, ...]
    words: str
    multiply_adds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Left:
    """A site at which a rule finds something, or a pattern begins, that is left as it is.

    Attributes:
        site: name of the site.
        codes: what stays.
        reason: why, in a sentence without a full stop.
    """

    site: str
    codes: tuple[Code, ...]
    reason: str
