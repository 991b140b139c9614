"""Find the compiled kernels, or say once that they are missing."""

import functools
import importlib
import warnings
from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

__all__ = ["Kernel", "Kernels", "MissingKernelsWarning", "instructions", "native"]


class Kernel(Protocol):
    """One compiled function: the addresses of two arrays and of the one it writes, then numbers.

    The arrays lie in memory without gaps: maps (batch, channels, *size), the channels outside or innermost,
    and taps (phases, tap_channels, *kernel), in float64 beside float64 maps and in float32 beside others.
    """

    def __call__(
        self,
        first: int,
        second: int,
        into: int,
        /,
        batch: int,
        channels: int,
        tap_channels: int,
        cells: Sequence[int],
        samples: Sequence[int],
        scale: Sequence[int],
        kernel: Sequence[int],
        origin: Sequence[int],
        border: Sequence[int],
        channels_last: bool,
        number: int,
        threads: int,
    ) -> None:
        """Write the array; ValueError for numbers that mean nothing, MemoryError where there was none.

        Args:
            first: address of the first array.
            second: address of the second one.
            into: address of the one that is written.
            batch: of the maps.
            channels: of the maps.
            tap_channels: the same, or 1 where one kernel serves all channels.
            cells: size of the map at the low rate, like all that follow up to border one number per axis.
            samples: size of the map at the high rate.
            scale: of the operator.
            kernel: taps of one phase.
            origin: of the operator.
            border: 0 zero, 1 clamp, 2 circular.
            channels_last: whether the channels lie innermost.
            number: of the maps: 0 float32, 1 float64, 2 bfloat16.
            threads: at most so many work.
        """


@runtime_checkable
class Kernels(Protocol):
    """What native/module.cpp offers."""

    upsample: Kernel  # x, taps, into y
    adjoint: Kernel  # y, taps, into x
    taps_gradient: Kernel  # y, x, into taps

    def instructions(self) -> str:
        """The set of instructions in use."""

    def available_instructions(self) -> list[str]:
        """The sets that this machine can run, the best first."""

    def use_instructions(self, name: str) -> None:
        """Use another of these, to test it."""


class MissingKernelsWarning(RuntimeWarning):
    """The compiled kernels are not there, so something slower does their work."""


@functools.cache
def _find() -> tuple[Kernels | None, str]:
    """The module, or the reason why it cannot be loaded; one that was never built needs no reason."""
    try:
        return cast(Kernels, importlib.import_module("upstroke._native")), ""
    except ModuleNotFoundError:
        return None, ""
    except ImportError as error:
        return None, " ".join(str(error).split())


@functools.cache
def native() -> Kernels | None:
    """The compiled kernels, or None where PyTorch's forms serve, which is said once.

    Warns:
        MissingKernelsWarning: at the first call, where there are none.
    """
    found, reason = _find()
    if found is None:
        why = f" ({reason})" if reason else ""
        warnings.warn(
            f"the compiled kernels of upstroke are missing{why}, so PyTorch's slower forms serve; "
            "to have them, install a C++17 compiler and then upstroke again",
            MissingKernelsWarning,
            stacklevel=2,
        )
    return found


def instructions() -> str | None:
    """The set of instructions that the compiled kernels use here, None where there are no kernels."""
    found, _ = _find()
    return None if found is None else found.instructions()
