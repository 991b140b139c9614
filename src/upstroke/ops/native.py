"""Apply an operator that treats every channel by itself, or its adjoint, by the compiled kernels."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.errors import BackendError
from upstroke.ops import kernels
from upstroke.ops import native_operators as _registered  # noqa: F401 - it defines what is called below
from upstroke.ops.fit import kept
from upstroke.ops.layout import is_channels_last
from upstroke.ops.native_call import BORDERS
from upstroke.polyphase import Polyphase
from upstroke.polyphase.kernel_form import kernel_crop, kernel_numbers
from upstroke.polyphase.support import as_constant

__all__ = ["adjoint", "is_depthwise", "pays", "runs_on", "upsample"]

# float32 numbers in the widest vector that the kernels are built for
_LANES = 16


def upsample(x: Float[Tensor, "b c_in *space"], operator: Polyphase) -> Float[Tensor, "b c_out *grown"]:
    """Apply an operator that treats every channel by itself, over as many channels as x has if it is shared.

    Channels-last maps give channels-last maps, in 1 axis too. Gradients flow to x and the taps. Sums are kept
    in float64 for float64 maps, else in float32, and rounded once.

    Raises:
        BackendError: the operator, this device or this installation has no such form.
    """
    _check(x, operator)
    drawn = _drawn(x, operator)
    y: Tensor = torch.ops.upstroke.upsample.default(x, drawn.kernel, None, *drawn.numbers)
    return y


def adjoint(y: Float[Tensor, "b c_out *grown"], operator: Polyphase) -> Float[Tensor, "b c_in *space"]:
    """The adjoint of `upsample`.

    Raises:
        BackendError: as `upsample`.
    """
    _check(y, operator)
    size = operator.input_size(y.shape[2:])
    drawn = _drawn(y, operator)
    x: Tensor = torch.ops.upstroke.upsample_adjoint.default(y, drawn.kernel, size, *drawn.numbers)
    return x


def is_depthwise(operator: Polyphase) -> bool:
    """Whether every channel is upsampled by itself: one channel in and out per group.

    >>> from upstroke.polyphase import linear, shuffle
    >>> is_depthwise(linear(2)), is_depthwise(shuffle(2))
    (True, False)
    """
    return operator.taps.shape[2] == 1 and operator.taps.shape[1] == operator.groups


def runs_on(device: torch.device) -> bool:
    """Whether the compiled kernels are here and serve maps on this device."""
    return device.type == "cpu" and _are_here()


def pays(x: Tensor) -> bool:
    """Whether these maps are of a kind for which the compiled kernels are the faster ones.

    Contiguous rows of fewer cells than a vector has lanes leave most of it empty; PyTorch's own operators are
    faster then, but for bfloat16. A compiled graph is for maps of any size.
    """
    if torch.compiler.is_compiling():
        return True
    return x.shape[-1] >= _LANES or x.ndim == 3 or x.dtype == torch.bfloat16 or is_channels_last(x)


@as_constant
def _are_here() -> bool:
    return kernels.native() is not None


def _check(x: Tensor, operator: Polyphase) -> None:
    """Refuse what there are no kernels for."""
    if not is_depthwise(operator):
        msg = (
            "native works on every channel by itself, with one channel in and out per group; got "
            f"{operator.out_channels} outputs of {operator.in_channels} inputs in {operator.groups} groups, "
            "so use impl='auto'"
        )
        raise BackendError(msg)
    if x.device.type not in ("cpu", "meta"):
        msg = f"native needs a map on the CPU; got one on {x.device}, so use impl='auto'"
        raise BackendError(msg)
    if not _are_here():
        msg = (
            "native needs the compiled kernels, which this installation lacks; install a C++17 compiler and "
            "then upstroke again, or use impl='auto'"
        )
        raise BackendError(msg)


class _Drawn(NamedTuple):
    """An operator as the kernels take it: a kernel (channels or 1, 1, *length), then one list per number."""

    kernel: Tensor
    numbers: tuple[tuple[int, ...], ...]


def _drawn(maps: Tensor, operator: Polyphase) -> _Drawn:
    """What every cell draws, in the dtype of the sums and on the device of these maps; kept."""
    dtype, device = torch.float64 if maps.dtype == torch.float64 else torch.float32, maps.device
    return kept(operator, ("native", dtype, device), lambda: _made(operator, dtype, device))


def _made(operator: Polyphase, dtype: torch.dtype, device: torch.device) -> _Drawn:
    border = tuple(BORDERS.index(each) for each in operator.border)
    numbers = (operator.scale, kernel_crop(operator), operator.excess, border)
    return _Drawn(kernel_numbers(operator).to(dtype=dtype, device=device), numbers)
