"""Turn ONNX's resizes and DepthToSpace into steps."""

import math
import operator
from dataclasses import replace
from typing import get_args

import torch

from upstroke.graph.onnx_call import LARGEST, Call, CannotReadError
from upstroke.graph.steps import Coordinates, Other, PixelShuffle, Resize, Rounding, Same, Step

__all__ = ["depth_to_space", "resize", "upsample"]

# Coordinates (n + 1/2) / s without the - 1/2 of half_pixel: half a cell further on, so round otherwise.
HALF_A_CELL_ON: dict[str, Rounding] = {"round_prefer_floor": "ceil", "floor": "round_prefer_ceil"}

# Their order is kept one by one.
MOST_CHANNELS = 2**20


def resize(call: Call) -> Step:
    """Resize, in the forms it has had since version 10."""
    scale, given = _scale(call, places=(1, 4) if call.version < 11 else (2, 3))
    _check_scale(scale)
    if len(scale) not in (3, 4, 5):
        return Other()
    if all(factor == 1 for factor in scale):
        return Same()
    if any(factor != 1 for factor in scale[:2]):
        reason = f"it resizes by {_times(scale)}, not only the axes of a map (batch, channels, *size)"
        raise CannotReadError(reason)
    step = _kernel(call, scale[2:], given=given)
    return step if call.version < 11 else _placed(call, step)


def upsample(call: Call) -> Step:
    """Upsample, which Resize took the place of: sample s * m sits on cell m, nearest rounds down."""
    given = call.attributes.get("scales")
    scale, is_given = (tuple(given), True) if given is not None else _scale(call, places=(1, 2))
    _check_scale(scale)
    if len(scale) not in (3, 4, 5):
        return Other()
    if any(factor != 1 for factor in scale[:2]):
        reason = f"it resizes by {_times(scale)}, not only the axes of a map (batch, channels, *size)"
        raise CannotReadError(reason)
    return _kernel(call, scale[2:], given=is_given)


def depth_to_space(call: Call) -> Step:
    """DepthToSpace; mode DCR, the default, takes channel p * out + o for phase p of output channel o."""
    block = operator.index(call.attributes["blocksize"])
    if not 1 <= block <= LARGEST:
        reason = f"its blocksize {block} is no number from 1 to {LARGEST}"
        raise CannotReadError(reason)
    shape = call.shape()
    channels = None if shape is None or len(shape) != 4 else shape[1]
    if channels is not None and (channels % block**2 or channels > MOST_CHANNELS):
        most = f" up to {MOST_CHANNELS}" if channels > MOST_CHANNELS else ""
        reason = f"its {channels} channels are no multiple of {block}x{block}{most}"
        raise CannotReadError(reason)
    if call.attributes.get("mode", "DCR") == "CRD":
        return PixelShuffle(scale=(block, block))
    if channels is None:
        reason = "the order of its channels depends on how many there are, which is not known"
        raise CannotReadError(reason)
    source = torch.arange(channels).reshape(block * block, -1)
    return PixelShuffle(scale=(block, block), source=None if source.shape[1] == 1 else source)


def _check_scale(scale: tuple[float, ...]) -> None:
    for factor in scale:
        # not a number is not within
        if not 0 < factor <= LARGEST:
            reason = f"it has a scale of {factor:g}, which is not above 0 and up to {LARGEST}"
            raise CannotReadError(reason)


def _scale(call: Call, *, places: tuple[int, int]) -> tuple[tuple[float, ...], bool]:
    """Output samples per cell for every axis, batch and channels among them; whether it was given so."""
    scales = call.constant(places[0])
    if scales is not None and scales.size:
        is_given = call.inputs[places[0]] not in call.sized
        return _on_axes(call, tuple(scales.flatten().tolist())), is_given
    if not call.has(places[1]):
        reason = "its scales are computed while the model runs"
        raise CannotReadError(reason)
    before, after = call.shape(), call.shapes.get(call.outputs[0])
    if before is None or after is None or None in (*before[2:], *after[2:]):
        reason = "its output size is not known before the model runs; give the size of the input"
        raise CannotReadError(reason)
    # batch and channels of unknown number are taken to stay as they are
    scale = tuple(1.0 if n is None or m is None else m / n for n, m in zip(before, after, strict=True))
    if call.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch" and len(set(scale[2:])) > 1:
        reason = "it keeps the aspect ratio by rounding its scale, so that no axis has the one its sizes say"
        raise CannotReadError(reason, grows=max(scale) > 1)
    return scale, False


def _on_axes(call: Call, numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers for the axes that the node names, 1 for the others."""
    axes = call.numbers("axes", ())
    if not axes:
        return numbers
    shape = call.shape()
    if shape is None:
        reason = "the number of axes of its map is not known"
        raise CannotReadError(reason)
    full = [1.0] * len(shape)
    for axis, number in zip(axes, numbers, strict=True):
        full[axis] = number
    return tuple(full)


def _kernel(call: Call, scale: tuple[float, ...], *, given: bool) -> Resize:
    """The resize as versions below 11 place it."""
    mode = call.attributes.get("mode", "nearest")
    if mode == "nearest":
        return Resize(mode="nearest", scale=scale, coordinates="asymmetric", given=given)
    if mode in ("linear", "bilinear"):
        return Resize(mode="linear", scale=scale, coordinates="asymmetric", given=given)
    if mode == "cubic":
        a = float(call.attributes.get("cubic_coeff_a", -0.75))
        return Resize(mode="cubic", scale=scale, coordinates="asymmetric", a=a, given=given)
    reason = f"its mode {mode!r} is none of nearest, linear and cubic"
    raise CannotReadError(reason, grows=max(scale) > 1)


def _placed(call: Call, step: Resize) -> Step:
    """The resize where version 11 and later put its samples."""
    grows, shrinks = max(step.scale) > 1, min(step.scale) < 1
    if call.attributes.get("exclude_outside", 0) and step.mode == "cubic":
        reason = "exclude_outside changes the kernel at the border, as no border of an operator does"
        raise CannotReadError(reason, grows=grows)
    # the filter is stretched by max(1, 1 / scale)
    if call.attributes.get("antialias", 0) and shrinks and step.mode != "nearest":
        reason = "antialias stretches the kernel along the axes that become smaller"
        raise CannotReadError(reason, grows=grows)
    rounding: Rounding = "floor"
    if step.mode == "nearest":
        rounding = call.attributes.get("nearest_mode", "round_prefer_floor")
        if rounding not in get_args(Rounding):
            reason = f"its nearest_mode {rounding!r} is none of {', '.join(get_args(Rounding))}"
            raise CannotReadError(reason, grows=grows)
    coordinates, rounding = _coordinates(call, step, rounding)
    rescaled = bool(call.attributes.get("antialias", 0)) and step.mode != "nearest"
    return replace(step, coordinates=coordinates, rounding=rounding, rescaled=rescaled)


def _coordinates(call: Call, step: Resize, rounding: Rounding) -> tuple[Coordinates, Rounding]:
    named = call.attributes.get("coordinate_transformation_mode", "half_pixel")
    grows, whole = max(step.scale) > 1, all(factor == int(factor) for factor in step.scale)
    if named in ("half_pixel", "asymmetric", "align_corners"):
        return named, rounding
    # one sample is placed on the first cell instead of the centre: the same where it comes from one cell
    if named == "pytorch_half_pixel" and not _leaves_one_of_several(call, step):
        return "half_pixel", rounding
    # the output is centred on the input, which it is anyway where it covers the input exactly
    if named == "half_pixel_symmetric" and (whole or _covers(call, step)):
        return "half_pixel", rounding
    if named == "tf_half_pixel_for_nn" and step.mode == "nearest" and rounding in HALF_A_CELL_ON:
        return "half_pixel", HALF_A_CELL_ON[rounding]
    reason = f"its coordinates are {named}, with {step.mode} by {_times(step.scale)}"
    raise CannotReadError(reason, grows=grows)


def _leaves_one_of_several(call: Call, step: Resize) -> bool:
    size = call.size(len(step.scale))
    return any(
        factor < 1 and (n is None or math.floor(n * factor) <= 1)
        for n, factor in zip(size, step.scale, strict=True)
    )


def _covers(call: Call, step: Resize) -> bool:
    """Whether the output size is scale times the input size without rounding."""
    size = call.size(len(step.scale))
    return not step.given or all(
        n is not None and (n * factor).is_integer() for n, factor in zip(size, step.scale, strict=True)
    )


def _times(scale: tuple[float, ...]) -> str:
    return "x".join(f"{factor:g}" for factor in scale)
