"""An image of any size is answered by a network in one piece, or in tiles that fit the memory there is."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.apps.segment.mirror import mirrored
from upstroke.axes import times, whole_per_axis
from upstroke.errors import MissingExtraError, OptionError, ShapeError
from upstroke.nn import UNet

__all__ = ["MEMORY", "TilePlan", "geometry", "plan_tiles", "predict_tiles"]

# Bytes that the maps of one image may take by default. The same on every machine, so that a blended answer
# does not depend on where it was computed.
MEMORY = 2 * 2**30
# Overlap of tiles that are blended, as share of a tile: MONAI's and nnU-Net's choice.
OVERLAP = 0.5
# Standard deviation of the Gaussian by which tiles are weighed, as share of a tile: MONAI's default.
SIGMA = 0.125

# By the settings of a network.
_LEAST: dict[str, tuple[int, ...]] = {}

Network = Callable[[Tensor], Tensor]
Kind = Literal["whole", "exact", "blended"]


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """How an image is cut up, and why; printed, it says so in a sentence.

    Attributes:
        kind: "whole": in one piece. "exact": in tiles that are set side by side. "blended": in tiles that
            overlap, weighed by a Gaussian.
        size: Of the image, per axis, like all below.
        tile: Size of what the network is given at once.
        output: Size of what it gives for that.
        step: From one tile to the next.
        offsets: Of the outputs of all tiles along each axis; of blended tiles with `border` 0, which MONAI
            places, none.
        border: Pixels on the left by which the image is mirrored: those that the network loses there, or
            those that it lacks to what the network was trained on.
        lead: Samples on the left of an output that lie beyond the image.
        is_exact: Whether the answer is that of the whole image, to rounding.
        reason: Why it is done so.
    """

    kind: Kind
    size: tuple[int, ...]
    tile: tuple[int, ...]
    output: tuple[int, ...]
    step: tuple[int, ...]
    offsets: tuple[tuple[int, ...], ...]
    border: tuple[int, ...]
    lead: tuple[int, ...]
    is_exact: bool
    reason: str

    @property
    def count(self) -> int:
        """How many tiles the network is given."""
        if self.offsets:
            return math.prod(map(len, self.offsets))
        sizes = zip(self.size, self.tile, self.step, strict=True)
        return math.prod(1 + max(0, math.ceil((n - t) / s)) for n, t, s in sizes)

    def __str__(self) -> str:
        """What is done and why, in a sentence."""
        mirrored = f", mirrored by {times(self.border)} on the left," if any(self.border) else ""
        if self.kind == "whole":
            return f"{times(self.size)} in one piece{mirrored or ','} because {self.reason}"
        how = "set side by side" if self.kind == "exact" else "blended by a Gaussian"
        return (
            f"{times(self.size)}{mirrored} in {self.count} tiles of {times(self.tile)} that step by "
            f"{times(self.step)}, {how}, because {self.reason}"
        )


def geometry(settings: Mapping[str, Any]) -> UNet:
    """A network without memory for its weights, which knows its sizes; settings as `UNet` takes them.

    >>> geometry({"in_channels": 1, "classes": 2, "widths": (8, 16, 32), "conv": "valid"}).output_size(92)
    (52, 52)
    """
    with torch.device("meta"):
        return UNet(**settings)


def plan_tiles(
    net: UNet | Mapping[str, Any],
    size: Sequence[int],
    *,
    tile: int | Sequence[int] | None = None,
    memory: int | None = None,
    trained: Sequence[int] | None = None,
) -> TilePlan:
    """Choose how an image is given to a network.

    A network without padding that looks at no whole map answers tiles exactly: one whose output begins at a
    multiple of the network's `scale` sees the same pools in the same places as the whole image does. So tiles
    of 572 at depth 4, which give 388, step by 384. The image is mirrored around its edge by what the network
    loses there, as Ronneberger and others do (2015). Other networks see the edge of every tile; theirs
    overlap by half and are blended. An image that is smaller than the patches of training is mirrored up to
    them, as it was there: a norm over whole maps, and a network that pads, know it in no other surroundings.

    Args:
        net: the network, or its settings.
        size: of the image, per axis.
        tile: largest size of what the network is given at once; None: the whole image, or what fits.
        memory: bytes that the maps of one tile may take; None: 2 GiB.
        trained: size of the patches of training; None: images are read in the size that they have.

    Raises:
        ShapeError: the image, or the tile, is too small for the network.
        OptionError: the memory is not enough for the least tile.

    >>> original = {"in_channels": 1, "classes": 2, "conv": "valid", "norm": "none"}
    >>> plan = plan_tiles(original, (512, 500), tile=572)
    >>> str(plan).split(", because ")  # doctest: +NORMALIZE_WHITESPACE
    ['512x500, mirrored by 92x92 on the left, in 4 tiles of 572x572 that step by 384x384, set side by side',
     'tiles at multiples of 16x16 see what the whole image shows']
    >>> plan.offsets
    ((0, 128), (0, 112))
    """
    net = net if isinstance(net, UNet) else geometry(net)
    sizes = whole_per_axis(tuple(size), net.ndim, name="size", least=1)
    limit = MEMORY if memory is None else memory
    asked = None if tile is None else whole_per_axis(tile, net.ndim, name="tile", least=1)
    _check_least(net, sizes, asked)
    whole = _input_for(net, _enlarged(net, sizes, trained))
    takes = _bytes(net, whole)
    fits = takes <= limit if asked is None else all(n <= m for n, m in zip(whole, asked, strict=True))
    if fits:
        return _whole(net, sizes, whole)
    chosen = _fitting(net, whole, limit) if asked is None else _tile_of(net, whole, asked)
    why = (
        f"its maps would take {_amount(takes)} of {_amount(limit)}"
        if asked is None
        else "they were asked for"
    )
    if net.conv == "same":
        return _blended(net, sizes, chosen, f"{why}, and a network that pads sees the edge of every tile")
    if not net.is_local:
        return _blended(net, sizes, chosen, f"{why}, and a norm over whole maps differs from tile to tile")
    output = _output(net, chosen)
    return TilePlan(
        kind="exact",
        size=sizes,
        tile=chosen,
        output=output,
        step=_steps(net, output),
        offsets=_offsets(net, sizes, output, _steps(net, output)),
        border=net.border,
        lead=(0,) * net.ndim,
        is_exact=True,
        reason=f"tiles at multiples of {times(net.scale)} see what the whole image shows",
    )


def predict_tiles(
    network: Network, x: Float[Tensor, "channels *space"], plan: TilePlan
) -> Float[Tensor, "classes *space"]:
    """The logits of an image, in the way that was planned for it.

    Args:
        network: batches (1, channels, *tile) into logits (1, classes, *output).
        x: an image of the planned size.
        plan: of `plan_tiles`.

    Raises:
        ShapeError: the image has another size.
        MissingExtraError: tiles are to be blended, and MONAI is not installed.
    """
    if tuple(x.shape[1:]) != plan.size:
        msg = f"the image must have the planned size {times(plan.size)}; got {times(x.shape[1:])}; plan again"
        raise ShapeError(msg)
    if not plan.offsets:
        return _slid(network, x, plan)
    weight = _gaussian(plan, x) if plan.kind == "blended" else None
    total: Tensor | None = None
    weights = x.new_zeros(plan.size)
    for offset in itertools.product(*plan.offsets):
        logits = network(_mirrored(x, offset, plan)[None])[0]
        # what lies beyond the edge of the image is mirrored, and nobody asked for it
        sides = zip(plan.output, plan.lead, plan.size, offset, strict=True)
        kept = tuple(min(o - before, n - at) for o, before, n, at in sides)
        ends = tuple(before + n for before, n in zip(plan.lead, kept, strict=True))
        logits = logits[(slice(None), *map(slice, plan.lead, ends))]
        if plan.count == 1:
            return logits
        if total is None:
            total = logits.new_zeros((len(logits), *plan.size))
        place = tuple(slice(at, at + n) for at, n in zip(offset, kept, strict=True))
        if weight is None:
            total[(slice(None), *place)] = logits
        else:
            part = weight[tuple(map(slice, kept))]
            total[(slice(None), *place)] += logits * part
            weights[place] += part
    assert total is not None
    return total if weight is None else total / weights


def _whole(net: UNet, size: tuple[int, ...], whole: tuple[int, ...]) -> TilePlan:
    output = _output(net, whole)
    # what is added is as much on either side, or one more on the left, as in the patches of training
    added = tuple(-((n - m) // 2) if net.conv == "same" else 0 for n, m in zip(size, whole, strict=True))
    return TilePlan(
        kind="whole",
        size=size,
        tile=whole,
        output=output,
        step=output,
        offsets=((0,),) * net.ndim,
        border=added if net.conv == "same" else net.border,
        lead=added,
        is_exact=True,
        reason=f"its maps take {_amount(_bytes(net, whole))}",
    )


def _blended(net: UNet, size: tuple[int, ...], tile: tuple[int, ...], reason: str) -> TilePlan:
    output = _output(net, tile)
    half = tuple(max(1, int(n * (1 - OVERLAP))) for n in output)
    step = (
        half
        if net.conv == "same"
        else tuple(max(s, n // s * s) for n, s in zip(half, net.scale, strict=True))
    )
    return TilePlan(
        kind="blended",
        size=size,
        tile=tile,
        output=output,
        step=step,
        offsets=() if net.conv == "same" else _offsets(net, size, output, step),
        border=net.border,
        lead=(0,) * net.ndim,
        is_exact=False,
        reason=reason,
    )


def _check_least(net: UNet, size: tuple[int, ...], tile: tuple[int, ...] | None) -> None:
    # a network without padding reads beyond the edge, where an image of any size is mirrored
    if net.conv == "same" and any(n < m for n, m in zip(size, net.least_size, strict=True)):
        msg = (
            f"the image must be at least {times(net.least_size)} for this network; got {times(size)}; "
            "use a larger one, or train a network of fewer levels"
        )
        raise ShapeError(msg)
    least = _least_tile(net)
    # along an axis that is shorter than the tile, the tile is the axis
    wanted = least if net.conv == "valid" else tuple(map(min, least, size))
    if tile is not None and any(n < m for n, m in zip(tile, wanted, strict=True)):
        msg = (
            f"a tile must be at least {times(wanted)} for this network; got {times(tile)}; give a larger one"
        )
        raise ShapeError(msg)


def _enlarged(net: UNet, size: tuple[int, ...], trained: Sequence[int] | None) -> tuple[int, ...]:
    """The size of an image with what is mirrored around it, so that it is no smaller than in training."""
    return size if trained is None or net.conv == "valid" else tuple(map(max, size, trained))


def _input_for(net: UNet, output: tuple[int, ...]) -> tuple[int, ...]:
    """The least size for which as much comes out along each axis."""
    if net.conv == "same":
        return output
    least = net.least_size
    # outputs grow by the scale whenever inputs do
    short = zip(output, _least_output(net), net.scale, least, strict=True)
    return tuple(low + max(0, math.ceil((n - o) / s)) * s for n, o, s, low in short)


def _output(net: UNet, size: tuple[int, ...]) -> tuple[int, ...]:
    """What `net.output_size` says, without following every size through all layers."""
    if net.conv == "same":
        return size
    each = zip(size, _least_output(net), net.scale, net.least_size, strict=True)
    return tuple(o + (n - low) // s * s for n, o, s, low in each)


def _least_output(net: UNet) -> tuple[int, ...]:
    """The output of the least input."""
    settings = json.dumps(net.settings)
    if settings not in _LEAST:
        _LEAST[settings] = net.output_size(net.least_size)
    return _LEAST[settings]


def _least_tile(net: UNet) -> tuple[int, ...]:
    """The smallest tile that is a multiple of the scale, or whose output steps by one."""
    if net.conv == "valid":
        return _input_for(net, net.scale)
    return tuple(math.ceil(m / s) * s for m, s in zip(net.least_size, net.scale, strict=True))


def _tile_of(net: UNet, whole: tuple[int, ...], most: tuple[int, ...]) -> tuple[int, ...]:
    """The largest tile that fits the scale and is no larger than wanted; an axis that fits is whole."""
    bases = _least_tile(net)
    each = zip(whole, most, bases, net.scale, strict=True)
    return tuple(n if n <= m else max(low, low + (m - low) // s * s) for n, m, low, s in each)


def _fitting(net: UNet, whole: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """The largest tile, its sides as equal as may be, whose maps fit."""
    least = tuple(map(min, _least_tile(net), whole))
    if _bytes(net, least) > limit:
        msg = (
            f"the maps of the least tile, {times(least)}, take {_amount(_bytes(net, least))}; "
            f"got a limit of {_amount(limit)}; allow more memory"
        )
        raise OptionError(msg)
    # 1 always fits: it asks for the least tile along every axis
    low, high = 1, max(whole)
    while high - low > 1:
        middle = (low + high) // 2
        fits = _bytes(net, _tile_of(net, whole, (middle,) * net.ndim)) <= limit
        low, high = (middle, high) if fits else (low, middle)
    return _tile_of(net, whole, (low,) * net.ndim)


def _steps(net: UNet, output: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n // s * s for n, s in zip(output, net.scale, strict=True))


def _offsets(
    net: UNet, size: tuple[int, ...], output: tuple[int, ...], step: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """Where outputs begin along each axis; the last as far left as still reaches the end."""
    every = []
    for n, o, by, s in zip(size, output, step, net.scale, strict=True):
        last = max(0, math.ceil((n - o) / s)) * s
        every.append((*range(0, last, by), last))
    return tuple(every)


def _bytes(net: UNet, size: tuple[int, ...]) -> int:
    """What the maps of one input take in float32 when most of them are needed, nearly.

    Every skip waits while the full resolution is decoded: there the joined map, what comes up, what goes in
    and out of a convolution, and its copy in the layout that the convolution wants.
    """
    level, voxels = float(math.prod(size)), 0.0
    for width, stride in zip(net.widths, (*net.strides, (1,)), strict=True):
        voxels += level * width
        level /= math.prod(stride)
    return int(4 * (voxels + math.prod(size) * (net.in_channels + 5 * net.widths[0] + 2 * net.classes)))


def _amount(count: int) -> str:
    """Bytes in words."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{math.ceil(count / 2**20)} MiB"


def _mirrored(x: Tensor, offset: tuple[int, ...], plan: TilePlan) -> Tensor:
    """The input of the tile whose output begins there, mirrored wherever it reaches beyond the image.

    The pixel at the edge is not repeated; an image that is shorter than its border is mirrored again.
    """
    for axis, (at, left, length) in enumerate(zip(offset, plan.border, plan.tile, strict=True), start=1):
        n = x.shape[axis]
        first = at - left
        if first >= 0 and first + length <= n:
            x = x.narrow(axis, first, length)
            continue
        x = x.index_select(axis, mirrored(torch.arange(first, first + length, device=x.device), n))
    return x


def _gaussian(plan: TilePlan, like: Tensor) -> Tensor:
    """What each sample of a tile weighs, as MONAI has it."""
    try:
        from monai.data.utils import compute_importance_map
    except ImportError as error:
        raise _without_monai() from error
    return compute_importance_map(plan.output, mode="gaussian", sigma_scale=SIGMA, device=like.device).to(
        like
    )


def _slid(network: Network, x: Tensor, plan: TilePlan) -> Tensor:
    """Tiles that overlap, blended by MONAI."""
    try:
        from monai.inferers.utils import sliding_window_inference
    except ImportError as error:
        raise _without_monai() from error
    answer = sliding_window_inference(
        x[None], plan.tile, 1, network, overlap=OVERLAP, mode="gaussian", sigma_scale=SIGMA
    )
    assert isinstance(answer, Tensor)
    return answer[0]


def _without_monai() -> MissingExtraError:
    return MissingExtraError("tiles are blended by the package monai; pip install 'upstroke[medical]'")
