"""Check what a layer is made with and what it is given, so that every layer says the same."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from upstroke.axes import times
from upstroke.errors import OptionError, ShapeError

__all__ = ["Padding", "check_axes", "check_channels", "check_maps", "check_padding", "listed"]

Padding = int | tuple[int, ...] | Literal["same"]


def check_axes(ndim: int) -> None:
    """Refuse a number of axes that has no layers."""
    if ndim not in (1, 2, 3):
        msg = f"upsampling is defined here for 1, 2 or 3 axes; got ndim={ndim}"
        raise OptionError(msg)


def check_channels(in_channels: int, out_channels: int, groups: int = 1) -> None:
    """Refuse channels that cannot be divided into these groups."""
    if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
        msg = (
            "in_channels and out_channels must be multiples of groups, all of them at least 1; "
            f"got {in_channels} and {out_channels} with groups={groups}"
        )
        raise ShapeError(msg)


def check_padding(padding: Padding) -> None:
    """Refuse a word for a padding that has no meaning."""
    if isinstance(padding, str) and padding != "same":
        msg = f"padding must be 'same', one number, or one per axis; got {padding!r}"
        raise OptionError(msg)


def check_maps(x: Tensor, *, channels: int, ndim: int) -> None:
    """Refuse maps that a layer for so many channels and axes cannot take."""
    if x.ndim != 2 + ndim or x.shape[1] != channels:
        msg = (
            f"x must have shape (batch, channels, *size) with {channels} channels and {ndim} spatial axes to "
            f"match the layer; got shape {tuple(x.shape)}"
        )
        raise ShapeError(msg)


def listed(output_size: Sequence[int], ndim: int) -> tuple[int, ...]:
    """The spatial part of an output size, given with or without batch and channels.

    >>> listed((2, 8, 10, 14), 2)
    (10, 14)
    """
    if len(output_size) not in (ndim, 2 + ndim):
        msg = (
            f"output_size must have {ndim} numbers, or {2 + ndim} with batch and channels; "
            f"got {times(output_size) or 'none'}"
        )
        raise ShapeError(msg)
    return tuple(output_size[-ndim:])
