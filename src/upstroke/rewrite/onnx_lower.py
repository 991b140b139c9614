"""Turn what a change computes, and the form in which it is to be computed, into ONNX nodes."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from upstroke.errors import NotRepresentableError
from upstroke.graph.steps import Resize, Upsampling
from upstroke.polyphase import Affine, Border, Margin
from upstroke.polyphase.lowering import as_conv_shuffle, as_phase_convs, as_transposed
from upstroke.rewrite.change import Change, Commuted, Form, Shuffled, Together
from upstroke.rewrite.onnx_draft import CRD, TO_THE_END, Draft
from upstroke.rewrite.onnx_edit import Edit
from upstroke.rewrite.rolled import rolled

__all__ = ["lower"]

# Version 9 of Upsample has its scales as an input, version 10 is Resize, version 11 says where samples are.
SCALES_ARE_INPUTS, PLACED_RESIZE = 9, 11
# Which input of Resize says the sizes of its output.
_SIZES = 3


def lower(change: Change, form: Form, edit: Edit, draft: Draft) -> None:
    """Draft the nodes that compute a change in a form.

    Raises:
        NotRepresentableError: standard operators of the model's version cannot; the message says why.
    """
    does = change.does
    if isinstance(does, Together) and form in ("transposed", "phases", "shuffle"):
        affine = _inside_zeros(_over_all_channels(does.affine, change.first, edit))
        {"transposed": _transposed, "phases": _phases, "shuffle": _shuffle}[form](draft, change.first, affine)
    elif isinstance(does, Commuted) and form == "commuted":
        _commuted(draft, change, does, edit)
    elif isinstance(does, Shuffled) and form == "depth to space":
        _depth_to_space(draft, change.first, does, edit)
    else:
        msg = f"{type(does).__name__} has no form {form!r} in ONNX"
        raise NotRepresentableError(msg)


def _over_all_channels(affine: Affine, first: str, edit: Edit) -> Affine:
    """With one kernel for each of the channels that come in."""
    if not affine.operator.shared:
        return affine
    channels = edit.channels(first)
    if channels is None:
        msg = f"one kernel serves all channels of {first}, and how many there are is not known"
        raise NotRepresentableError(msg)
    operator = affine.operator.expand(channels)
    bias = affine.bias
    if bias is not None:
        bias = bias.repeat(1, operator.out_channels // bias.shape[1])
    return Affine(operator=operator, bias=bias)


def _inside_zeros(affine: Affine) -> Affine:
    """With zeros around the map along the axes on which no sample sees what stands there.

    Forms that make more samples than there are, and cut them, then need nothing but zeros for these.
    """
    operator = affine.operator
    border: tuple[Border, ...] = tuple(
        kind if operator.reads_outside(axis) else "zero" for axis, kind in enumerate(operator.border)
    )
    return replace(affine, operator=replace(operator, border=border))


def _transposed(draft: Draft, source: str, affine: Affine) -> str:
    """One ConvTranspose, whose pads cut the output."""
    operator, bias = affine.operator, affine.bias
    if bias is not None and not bool((bias == bias[:1]).all()):
        msg = "each phase has a bias of its own, and a transposed convolution has one for all"
        raise NotRepresentableError(msg)
    form = as_transposed(operator)
    axes = zip(form.pad, form.crop, form.border, form.stride, form.dilation, strict=True)
    pad, crop, more = zip(*(_without_a_pad(*axis) for axis in axes), strict=True)
    inputs = [draft.padded(source, pad, form.border), draft.weight(form.weight, "weight")]
    if bias is not None:
        inputs.append(draft.weight(bias[0], "bias"))
    extra = {"output_padding": more} if any(more) else {}
    return draft.add(
        "ConvTranspose",
        inputs,
        "conv_transpose",
        dilations=form.dilation,
        group=form.groups,
        kernel_shape=form.weight.shape[2:],
        pads=_both_ends(crop),
        strides=form.stride,
        **extra,
    )


def _without_a_pad(
    pad: Margin, crop: Margin, border: Border, stride: int, dilation: int
) -> tuple[Margin, Margin, int]:
    """The pad, the crop and the output padding of an axis: a cell of zeros at the end draws nothing else."""
    more = stride - crop[1]
    if border != "zero" or pad[1] != 1 or not 0 < more < max(stride, dilation):
        return pad, crop, 0
    return (pad[0], 0), (crop[0], 0), more


def _phases(draft: Draft, source: str, affine: Affine) -> None:
    """A Conv for each phase, on its own window of the map, and all of them interleaved."""
    form = as_phase_convs(affine.operator)
    windows: dict[tuple[Margin, ...], tuple[str, tuple[Margin, ...]]] = {}
    maps = []
    for phase, (weight, start) in enumerate(zip(form.weights, form.starts, strict=True)):
        axes = zip(form.pad, form.kernel, start, weight.shape[2:], strict=True)
        sides = tuple((left - at, right - (length - at - own)) for (left, right), length, at, own in axes)
        if sides not in windows:
            windows[sides] = _window(draft, source, sides, form.border)
        taken, pads = windows[sides]
        bias = None if affine.bias is None else affine.bias[phase]
        label = "_".join(map(str, _place(phase, form.scale)))
        maps.append(_conv(draft, taken, weight, bias, pads, form.groups, suffix=f"_{label}"))
    together = draft.add("Concat", maps, "concat", axis=1) if len(maps) > 1 else maps[0]
    channels = affine.operator.out_channels
    together = draft.interleaved(together, form.scale, channels, phases_first=True)
    draft.cropped(together, [(0, more) for more in form.crop])


def _place(phase: int, scale: Sequence[int]) -> tuple[int, ...]:
    """The phase on each axis."""
    places = []
    for s in reversed(scale):
        phase, place = divmod(phase, s)
        places.append(place)
    return tuple(reversed(places))


def _shuffle(draft: Draft, source: str, affine: Affine) -> None:
    """One Conv that makes all phases, interleaved."""
    operator, moves = rolled(affine.operator)
    form = as_conv_shuffle(operator)
    channels, phases = operator.out_channels, operator.phases
    weight = form.weight.reshape(channels, phases, *form.weight.shape[1:])
    bias = None if affine.bias is None else _rolled_bias(affine.bias, operator.scale, moves).T
    # a group's channels stand together, so only without groups may the phases come first
    phases_first = operator.groups == 1 and draft.version < CRD
    if phases_first:
        weight = weight.transpose(0, 1)
        bias = None if bias is None else bias.T
    taken, pads = _window(draft, source, form.pad, form.border)
    bias = None if bias is None else bias.flatten()
    made = _conv(draft, taken, weight.flatten(0, 1), bias, pads, form.groups)
    made = draft.interleaved(made, form.scale, channels, phases_first=phases_first)
    draft.cropped(made, list(zip(moves, form.crop, strict=True)))


def _rolled_bias(bias: Tensor, scale: Sequence[int], moves: Sequence[int]) -> Tensor:
    """The bias of phases that are so many samples further on."""
    picture = bias.reshape(*scale, -1)
    return picture.roll(tuple(moves), dims=tuple(range(len(scale)))).reshape(bias.shape)


def _window(
    draft: Draft, source: str, sides: Sequence[Margin], border: Sequence[Border]
) -> tuple[str, tuple[Margin, ...]]:
    """The part of a map that a convolution reads, and what the convolution itself has to add to it.

    Args:
        draft: to which nodes are added.
        source: name of the map.
        sides: cells added (left, right) per axis, cut off where negative.
        border: what the added ones hold.
    """
    nothing = (0, 0)
    axes = list(zip(sides, border, strict=True))
    # zeros are added by the convolution, unless the map is cut as well, which comes after what is added
    own = tuple(side if kind == "zero" and min(side) >= 0 else nothing for side, kind in axes)
    rest = [nothing if mine == side else side for mine, side in zip(own, sides, strict=True)]
    padded = draft.padded(source, [(max(0, left), max(0, right)) for left, right in rest], border)
    cropped = draft.cropped(padded, [(max(0, -left), max(0, -right)) for left, right in rest], "window")
    return cropped, own


def _conv(
    draft: Draft,
    source: str,
    weight: Tensor,
    bias: Tensor | None,
    pads: Sequence[Margin],
    groups: int,
    *,
    suffix: str = "",
    dilation: Sequence[int] = (),
) -> str:
    inputs = [source, draft.weight(weight, f"weight{suffix}")]
    if bias is not None:
        inputs.append(draft.weight(bias, f"bias{suffix}"))
    return draft.add(
        "Conv",
        inputs,
        f"conv{suffix}",
        dilations=dilation or (1,) * len(pads),
        group=groups,
        kernel_shape=weight.shape[2:],
        pads=_both_ends(pads),
        strides=(1,) * len(pads),
    )


def _both_ends(sides: Sequence[Margin]) -> list[int]:
    """What is added or cut (left, right) per axis, in ONNX's order: all left ones first."""
    return [left for left, _ in sides] + [right for _, right in sides]


def _commuted(draft: Draft, change: Change, does: Commuted, edit: Edit) -> None:
    """The convolution, then the resize, then the bias that has to stay."""
    step = does.convolution
    made = _conv(
        draft, change.first, step.weight, step.bias, step.padding, step.groups, dilation=step.dilation
    )
    channels = step.weight.shape[0]
    if isinstance(does.resize, Upsampling):
        spread = does.resize.bias is None and does.resize.operator.shared
        if not spread:
            msg = "the operator in front of the 1x1 convolution does not treat all channels alike"
            raise NotRepresentableError(msg)
        made = _transposed(draft, made, Affine(operator=does.resize.operator.expand(channels)))
    else:
        made = _resized(draft, change, does, made, edit)
    if does.bias is not None:
        bias = does.bias.reshape(-1, *(1,) * (step.weight.ndim - 2))
        draft.add("Add", [made, draft.weight(bias, "bias")], "add")


def _resized(draft: Draft, change: Change, does: Commuted, source: str, edit: Edit) -> str:
    """The node that resizes, of a map with another number of channels."""
    steps = [(node, node.step.scale) for node in change.nodes if isinstance(node.step, Resize)]
    old, scale = (edit.makers.get(steps[0][0].output), steps[0][1]) if steps else (None, ())
    if old is None or old.op_type not in ("Resize", "Upsample"):
        return _copied(draft, source, does.resize)
    weight = does.convolution.weight
    before, after = weight.shape[1] * does.convolution.groups, weight.shape[0]
    copy = draft.copy(old, source, old.op_type.lower())
    if len(old.input) > _SIZES and old.input[_SIZES] and before != after:
        ndim = 2 + len(scale)
        axes = next((list(each.ints) for each in old.attribute if each.name == "axes"), None)
        whole = list(range(ndim)) if not axes else [axis % ndim for axis in axes]
        if 1 in whole:
            copy.input[_SIZES] = _mended(draft, old.input[_SIZES], whole.index(1), after, edit)
            # what is drafted for its sizes stands before it
            draft.nodes.remove(copy)
            draft.nodes.append(copy)
    return str(copy.output[0])


def _copied(draft: Draft, source: str, step: Resize | Upsampling) -> str:
    """Every cell copied: what a nearest resize does that the file spells by other nodes."""
    copies = isinstance(step, Resize) and (step.mode, step.coordinates, step.rounding)
    if not isinstance(step, Resize) or copies != ("nearest", "asymmetric", "floor"):
        msg = "what resizes in front of the 1x1 convolution is no Resize that stands in the file"
        raise NotRepresentableError(msg)
    scales = [1.0, 1.0, *step.scale]
    if draft.version < SCALES_ARE_INPUTS:
        return draft.add("Upsample", [source], "upsample", mode="nearest", scales=scales)
    stored = draft.floats(scales, "scales")
    if draft.version < PLACED_RESIZE:
        kind = "Resize" if draft.version > SCALES_ARE_INPUTS else "Upsample"
        return draft.add(kind, [source, stored], kind.lower(), mode="nearest")
    return draft.add(
        "Resize",
        [source, draft.floats([], "roi"), stored],
        "resize",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _mended(draft: Draft, sizes: str, place: int, channels: int, edit: Edit) -> str:
    """Sizes with another number of channels."""
    known = edit.constant(sizes)
    if known is not None:
        numbers = known.tolist()
        numbers[place] = channels
        return draft.whole_numbers(numbers, "sizes")
    ahead = [draft.sliced(sizes, [0], [0], [place], "sizes_ahead")] if place else []
    behind = draft.sliced(sizes, [0], [place + 1], [TO_THE_END], "sizes_behind")
    return draft.add("Concat", [*ahead, draft.whole_numbers([channels], "channels"), behind], "sizes", axis=0)


def _depth_to_space(draft: Draft, source: str, does: Shuffled, edit: Edit) -> None:
    scale, order = does.shuffle.scale, does.shuffle.source
    if len(scale) != 2 or scale[0] != scale[1]:
        msg = f"DepthToSpace makes square blocks of two axes, not {'x'.join(map(str, scale))}"
        raise NotRepresentableError(msg)
    if order is None and draft.version >= CRD:
        draft.add("DepthToSpace", [source], "depth_to_space", blocksize=scale[0], mode="CRD")
        return
    if order is None:
        channels = edit.channels(source)
        if channels is None:
            msg = f"DepthToSpace takes channels in this order from version {CRD} on; it has {draft.version}"
            raise NotRepresentableError(msg)
        order = torch.arange(channels).reshape(-1, math.prod(scale)).T
    wanted = order.flatten()
    if not bool((wanted == torch.arange(wanted.numel())).all()):
        places = draft.whole_numbers(wanted.tolist(), "order")
        source = draft.add("Gather", [source, places], "gather", axis=1)
    draft.add("DepthToSpace", [source], "depth_to_space", blocksize=scale[0])
