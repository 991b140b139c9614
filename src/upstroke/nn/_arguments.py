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


def check_maps(x: Tensor, *, channels: int | None = None, ndim: int) -> None:
    """Refuse maps that a layer for so many axes, and so many channels if it says, cannot take."""
    # not `channels in (...)`, which a compiler answers wrongly for sizes that may change
    if x.ndim == 2 + ndim and (channels is None or channels == x.shape[1]):
        return
    wanted = "" if channels is None else f"{channels} channels and "
    remedy = ", give x[None]" if x.ndim == 1 + ndim and channels in (None, x.shape[0]) else ""
    msg = (
        f"x must have shape (batch, channels, *size) with {wanted}{ndim} spatial axes to match the layer; "
        f"got shape {tuple(x.shape)}{remedy}"
    )
    raise ShapeError(msg)


def listed(
    output_size: int | Sequence[int], ndim: int, *, before: tuple[int, int] | None = None
) -> tuple[int, ...]:
    """The spatial part of an output size: one number for all axes, one per axis, or with batch and channels.

    Args:
        output_size: as it was given.
        ndim: the number of axes.
        before: the batch and channels that the output has.

    >>> listed((2, 8, 10, 14), 2, before=(2, 8)), listed(10, 2)
    ((10, 14), (10, 10))
    """
    given = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * ndim
    if len(given) not in (ndim, 2 + ndim):
        msg = (
            f"output_size must have {ndim} numbers, or {2 + ndim} with batch and channels; "
            f"got {times(given) or 'none'}"
        )
        raise ShapeError(msg)
    if any(isinstance(number, float) for number in given):
        msg = f"output_size must be made of whole numbers; got {times(given)}"
        raise OptionError(msg)
    if before is not None and len(given) > ndim and given[:2] != before:
        msg = (
            f"output_size must begin with batch and channels {times(before)}, or leave them out; "
            f"got {times(given)}"
        )
        raise ShapeError(msg)
    return given[-ndim:]
