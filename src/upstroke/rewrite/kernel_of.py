"""Turn a site into the operator whose taps are its weights, and such an operator back into weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upstroke.graph import Graph, Node, Site, affine_of
from upstroke.graph.steps import Convolution, PerChannel, PixelShuffle, TransposedConvolution, Upsampling
from upstroke.polyphase import Polyphase, as_conv_shuffle, as_transposed, sub_pixel

__all__ = ["CannotRepairError", "Layer", "layer_of", "layout_of"]


class CannotRepairError(Exception):
    """A site's kernels cannot be had; the message is the reason."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """The kernel of a site as an operator whose taps are the layer's weights, and the way back.

    Attributes:
        node: the convolution that holds the weights.
        operator: in float64, with the numbers per channel that stand before a shuffle multiplied in.
        bias: what reaches each phase of each channel, (phases, out); None where there is nothing.
        weight_of: the weight that gives an operator.
        bias_of: the bias that gives rows; None where the layer has none to change.
    """

    node: Node
    operator: Polyphase
    bias: Tensor | None
    weight_of: Callable[[Polyphase], Tensor]
    bias_of: Callable[[Tensor], Tensor] | None


def layer_of(site: Site, graph: Graph) -> Layer:
    """What of a site can be changed.

    Raises:
        CannotRepairError: nothing.
    """
    own = site.layer[0].step
    if isinstance(own, TransposedConvolution):
        return _of_transposed(site, own)
    if isinstance(own, Convolution) and isinstance(site.node.step, PixelShuffle):
        return _of_shuffle(site, own, site.node.step, graph)
    if isinstance(own, Upsampling):
        reason = "its operator is laid out while the model runs, so that no parameter holds its kernel"
        raise CannotRepairError(reason)
    reason = "its kernel is fixed, so that there are no weights to change"
    raise CannotRepairError(reason)


def layout_of(site: Site) -> tuple[object, ...]:
    """What of a site, beside its weights, says what kernels it should have: equal for uses that agree."""
    own = site.layer[0].step
    if isinstance(own, TransposedConvolution):
        return ("transposed", own.stride, own.dilation, own.groups, own.padding, own.output_padding)
    shuffle = site.node.step
    between = [
        None if each is None else tuple(each.flatten().tolist())
        for node in site.layer[1:-1]
        if isinstance(node.step, PerChannel)
        for each in (node.step.gain, node.step.shift)
    ]
    if isinstance(own, Convolution) and isinstance(shuffle, PixelShuffle):
        source = None if shuffle.source is None else tuple(shuffle.source.flatten().tolist())
        return ("shuffle", shuffle.scale, source, own.dilation, own.groups, own.padding, *between)
    return ("other", site.name)


def _of_transposed(site: Site, step: TransposedConvolution) -> Layer:
    exact = affine_of(replace(step, weight=step.weight.detach().double()), ndim=site.ndim)

    def weight_of(operator: Polyphase) -> Tensor:
        return as_transposed(operator).weight.reshape(step.weight.shape)

    return Layer(
        node=site.layer[0],
        operator=exact.operator,
        bias=None if step.bias is None else _rows(step.bias, exact.operator),
        weight_of=weight_of,
        bias_of=lambda rows: rows.mean(dim=0),
    )


def _rows(bias: Tensor, operator: Polyphase) -> Tensor:
    return bias.detach().double().expand(operator.phases, -1)


def _of_shuffle(site: Site, step: Convolution, shuffle: PixelShuffle, graph: Graph) -> Layer:
    """A convolution whose channels become phases, with numbers per channel between the two."""
    _check_taken_alone(site, graph)
    weight, phases = step.weight.detach().double(), math.prod(shuffle.scale)
    gain, shift = _between(site, len(weight))
    if not bool((gain != 0).all()):
        reason = (
            "a number that stands between its convolution and the shuffle is zero, so that no kernel would "
            "come through; remove these channels"
        )
        raise CannotRepairError(reason)
    order = _order(shuffle, len(weight), step.groups)
    effective = (weight * gain.reshape(-1, *(1,) * (weight.ndim - 1)))[order]
    bias = gain * (0 if step.bias is None else step.bias.detach().double()) + shift
    lattice = tuple(slice(None, None, d) for d in step.dilation)

    def weight_of(operator: Polyphase) -> Tensor:
        rows = as_conv_shuffle(operator).weight[:, :, *lattice].reshape(weight.shape)
        return _put(rows, order) / gain.reshape(-1, *(1,) * (weight.ndim - 1))

    def bias_of(rows: Tensor) -> Tensor:
        return (_put(rows.T.flatten(), order) - shift) / gain

    return Layer(
        node=site.layer[0],
        operator=sub_pixel(
            effective,
            scale=shuffle.scale,
            padding=step.padding,
            dilation=step.dilation,
            groups=step.groups,
            # by what the map is continued matters at its edge alone
            border=step.border or "zero",
        ),
        bias=bias[order].reshape(-1, phases).T,
        weight_of=weight_of,
        bias_of=None if step.bias is None else bias_of,
    )


def _check_taken_alone(site: Site, graph: Graph) -> None:
    """Refuse a convolution whose channels do not only become phases."""
    for node, after in zip(site.layer, site.layer[1:], strict=False):
        if graph.only_consumer(node.output) is not after:
            others = [each.name for each in graph.consumers.get(node.output, ()) if each is not after]
            taker = ", ".join(others) or "an output of the model"
            reason = f"what {node.name} gives is taken by {taker} as well, where its channels are no phases"
            raise CannotRepairError(reason)


def _between(site: Site, channels: int) -> tuple[Tensor, Tensor]:
    """What each channel is multiplied with, and what is then added, between convolution and shuffle."""
    gain, shift = torch.ones(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    for node in site.layer[1:-1]:
        if isinstance(node.step, PerChannel):
            own = 1.0 if node.step.gain is None else node.step.gain.detach().double().flatten()
            gain, shift = gain * own, shift * own
            shift = shift + (0.0 if node.step.shift is None else node.step.shift.detach().double().flatten())
    return gain, shift


def _order(shuffle: PixelShuffle, channels: int, groups: int) -> Tensor:
    """Which channel of the convolution is phase p of channel o, in the order o * phases + p."""
    if shuffle.source is None:
        return torch.arange(channels)
    order = shuffle.source.T.flatten()
    size = channels // groups
    if groups > 1 and not torch.equal(order // size, torch.arange(channels) // size):
        reason = (
            "the phases of a channel come from several groups of its convolution, which read other channels"
        )
        raise CannotRepairError(reason)
    return order


def _put(rows: Tensor, order: Tensor) -> Tensor:
    """Undo the order."""
    return torch.empty_like(rows).index_copy(0, order, rows)
