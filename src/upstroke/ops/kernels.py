"""Find the compiled kernels, or say once that they are missing."""

import functools
import importlib
import warnings
from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

__all__ = [
    "Kernels",
    "MinimalNumbers",
    "MissingKernelsWarning",
    "Numbers",
    "Shuffle",
    "Solve",
    "instructions",
    "native",
    "solver",
]


@runtime_checkable
class Numbers(Protocol):
    """The numbers of one call, checked; good for any number of calls that are alike."""

    kernel_channels: int


@runtime_checkable
class MakeProblem(Protocol):
    """Check the numbers of a call; ValueError for such as mean nothing."""

    def __call__(
        self,
        *,
        batch: int,
        channels: int,
        kernel_channels: int,
        cells: Sequence[int],
        samples: Sequence[int],
        scale: Sequence[int],
        kernel: Sequence[int],
        crop: Sequence[int],
        border: Sequence[int],
        channels_last: bool,
        number: int,
        threads: int,
    ) -> Numbers:
        """Check them.

        Args:
            batch: of the maps.
            channels: of the maps.
            kernel_channels: the same, or 1 where one kernel serves all channels.
            cells: size of the map at the low rate, like all that follow up to border one number per axis.
            samples: size of the map at the high rate.
            scale: of the operator.
            kernel: its length.
            crop: numbers of the kernel that lie before the first sample of the first cell.
            border: 0 zero, 1 clamp, 2 circular.
            channels_last: whether the channels lie innermost.
            number: of the maps: 0 float32, 1 float64, 2 bfloat16.
            threads: at most so many work.
        """


@runtime_checkable
class Shuffle(Protocol):
    """One compiled shuffle: the addresses of the phases, (channels * phases, *cells), and of the samples."""

    def __call__(
        self,
        phases: int,
        samples: int,
        /,
        channels: int,
        cells: Sequence[int],
        scale: Sequence[int],
        phase_stride: int,
        sample_strides: Sequence[int],
        bytes: int,
        threads: int,
    ) -> None:
        """Write the one or the other; ValueError for numbers that mean nothing.

        Args:
            phases: address of the phases, the cells of each without gaps.
            samples: address of the samples, those of the innermost axis without gaps.
            channels: of the samples, those of all maps of a batch.
            cells: size of the map at the low rate, one number per axis.
            scale: samples per cell, one number per axis.
            phase_stride: numbers from one phase to the next.
            sample_strides: numbers from one channel to the next, and so for every axis but the innermost.
            bytes: of one number: 2, 4 or 8.
            threads: at most so many work.
        """


@runtime_checkable
class Solve(Protocol):
    """The compiled solve along one axis: the addresses of x, of the factors and of the solution."""

    def __call__(
        self,
        x: int,
        factors: int,
        y: int,
        /,
        outer: int,
        size: int,
        inner: int,
        below: int,
        above: int,
        border: int,
        number: int,
        threads: int,
    ) -> None:
        """Write the solution, which may be x itself; ValueError for numbers that mean nothing.

        Args:
            x: address of the map (outer, size, inner), without gaps.
            factors: address of a row of numbers for each row of the band, then the corner.
            y: address of the solution, of the same shape.
            outer: indices of the axes before.
            size: of the axis.
            inner: indices of the axes behind.
            below: diagonals of L.
            above: diagonals of U.
            border: last rows and columns that are dense.
            number: of the maps: 0 float32, 1 float64.
            threads: at most so many work.
        """


@runtime_checkable
class MinimalNumbers(Protocol):
    """The numbers of one transposed convolution by minimal filtering, checked."""

    prepared_size: int


@runtime_checkable
class MakeMinimal(Protocol):
    """Check the numbers of a transposed convolution; ValueError for such as mean nothing or do not fit."""

    def __call__(
        self,
        *,
        batch: int,
        channels: int,
        out: int,
        cells: Sequence[int],
        samples: Sequence[int],
        scale: Sequence[int],
        kernel: Sequence[int],
        padding: Sequence[int],
        channels_last: bool,
        threads: int,
    ) -> MinimalNumbers:
        """Check them.

        Args:
            batch: of the maps.
            channels: that come in.
            out: channels that go out.
            cells: size of the map at the low rate, like all that follow up to padding two numbers.
            samples: size of the map at the high rate.
            scale: of the operator.
            kernel: its length, at most three times the scale.
            padding: samples cut off before the first.
            channels_last: whether the channels of both maps lie innermost.
            threads: at most so many work.
        """


@runtime_checkable
class Kernels(Protocol):
    """What native/module.cpp offers.

    `upsample`, `adjoint` and `kernel_gradient` take the addresses of arrays without gaps: maps (batch,
    channels, *size), the channels outside or innermost, and kernel (kernel_channels, *length) and bias
    (channels), in float64 beside float64 maps and in float32 beside others. They raise ValueError for
    addresses that hold no such numbers, and MemoryError where there was none.
    """

    Problem: MakeProblem
    Minimal: MakeMinimal
    interleave: Shuffle  # into samples
    deinterleave: Shuffle  # into phases

    def upsample(self, x: int, kernel: int, bias: int, y: int, numbers: Numbers, /) -> None:
        """Write y, made from x, kernel and bias; 0 in place of a bias: none."""

    def adjoint(self, y: int, kernel: int, x: int, numbers: Numbers, /) -> None:
        """Write x, the adjoint applied to y."""

    def kernel_gradient(self, y: int, x: int, kernel: int, numbers: Numbers, /) -> None:
        """Write kernel, the gradient in it of the product of y with the upsampled x."""

    def prepare_minimal(self, weight: int, prepared: int, numbers: MinimalNumbers, /) -> None:
        """Write the sums of taps of a weight (channels, out, *kernel), all float32 and without gaps."""

    def minimal(self, x: int, prepared: int, bias: int, y: int, numbers: MinimalNumbers, /) -> None:
        """Write y, made from x, a prepared weight and bias (0: none), all float32 and without gaps."""

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


def solver() -> Solve | None:
    """The compiled solve, or None where there are no kernels, or those of a build before it."""
    return getattr(native(), "solve", None)


def instructions() -> str | None:
    """The set of instructions that the compiled kernels use here, None where there are no kernels."""
    found, _ = _find()
    return None if found is None else found.instructions()
