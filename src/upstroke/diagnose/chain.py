"""Turn a row of affine maps into the pattern that a constant input leaves behind the last of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from upstroke.diagnose._finite import check_taps
from upstroke.diagnose.cost import fewest_channels
from upstroke.diagnose.response import kernel_transform
from upstroke.errors import ShapeError
from upstroke.polyphase import Affine, Polyphase

__all__ = ["ChainGain", "chain_gain"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainGain:
    """The pattern of a chain, frequency by frequency; its scale is the product of all scales.

    Attributes:
        response: H(2 pi j / scale) of the whole chain in output units per input unit, (*scale, out, in),
            index j first; entry 0 is the mass.
        bias: what the biases add at the same frequencies, in the same units for an input of 1, (*scale, out).
        decibel: norm of the response over channel pairs relative to that at frequency 0, (*scale), in dB;
            -inf where nothing but rounding is left, nan everywhere if zero_sum.
        bias_decibel: norm of the bias over channels relative to the response at frequency 0, alike.
        zero_sum: whether the response at frequency 0 is zero to rounding, so that it is no reference.
    """

    response: Complex[Tensor, "*scale_out_in"]
    bias: Complex[Tensor, "*scale_out"]
    decibel: Float[Tensor, "*scale"]
    bias_decibel: Float[Tensor, "*scale"]
    zero_sum: bool

    @property
    def worst(self) -> Float[Tensor, ""]:
        """The loudest image of a constant input, in dB; -inf without images, nan if zero_sum."""
        return _loudest(self.decibel)

    @property
    def worst_bias(self) -> Float[Tensor, ""]:
        """The loudest image of the biases by themselves, in dB; -inf without images, nan if zero_sum."""
        return _loudest(self.bias_decibel)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Spectrum:
    """What has become of a constant in each input channel, at the frequencies of its period.

    Attributes:
        period: samples per cell of the first input, per axis.
        columns: per frequency, in C order, (channels, in + 1), the last column for the biases; None is zero.
        bound: what no column entry exceeds, (channels, in + 1): what rounding is relative to.
    """

    period: tuple[int, ...]
    columns: list[Tensor | None]
    bound: Tensor

    def at(self, image: Sequence[int]) -> Tensor | None:
        """The columns at a frequency, which repeat with the period."""
        place = 0
        for j, p in zip(image, self.period, strict=True):
            place = place * p + j % p
        return self.columns[place]


def chain_gain(stages: Sequence[Affine], *, channels: int | None = None) -> ChainGain:
    """Response of a chain at its image frequencies, without composing its kernels.

    With S the product of the scales and T that of the scales behind a stage, the stages' responses at
    2 pi j T / S multiply, as matrices over channels; a bias is a pattern with its stage's own period and
    passes what follows. One stage gives its image gain. What is smaller than the machine epsilon of the
    taps' dtype, and 8 of those of float64, times the product of the sums of |taps| is rounding and counts
    as zero.
    Derivation: docs/idea.md#image-gain.

    Args:
        stages: in the order in which they are applied.
        channels: that come in; by default what the first stage that is not shared needs, or the fewest that
            shared ones can take.

    Raises:
        OptionError: a tap is not finite.
        ShapeError: there is no stage, or one cannot take the channels that come to it.

    >>> from upstroke.polyphase import box, nearest, transposed
    >>> odd = Affine(operator=transposed(torch.ones(1, 1, 3), stride=2))
    >>> blur = Affine(operator=box(1, ndim=1, length=3))
    >>> [round(chain_gain(chain).worst.item(), 2) for chain in ([odd], [odd, blur])]
    [-9.54, -19.08]
    """
    if not stages:
        msg = "a chain must have at least one stage; got none"
        raise ShapeError(msg)
    for stage in stages:
        check_taps(stage.operator.taps, purpose="have an image gain")
    width = fewest_channels([stage.operator for stage in stages]) if channels is None else channels
    start = torch.eye(width, width + 1, dtype=torch.float64)
    state = _Spectrum(
        period=(1,) * stages[0].operator.ndim, columns=[start.to(torch.complex128)], bound=start
    )
    rounding = 0.0
    for stage in stages:
        eps = torch.finfo(stage.operator.taps.dtype).eps
        rounding = max(rounding, eps, 8 * torch.finfo(torch.float64).eps)
        state = _after(state, stage, rounding=rounding)
    nothing = torch.zeros_like(state.bound, dtype=torch.complex128)
    columns = torch.stack([nothing if each is None else each for each in state.columns])
    columns = columns.reshape(*state.period, *nothing.shape)
    signal, bias = columns[..., :-1], columns[..., -1]
    norms = signal.flatten(-2).norm(dim=-1), bias.norm(dim=-1)
    reference = norms[0].flatten()[0]
    zero_sum = not bool(reference > 0)
    decibel, bias_decibel = (
        torch.full_like(norm, math.nan) if zero_sum else 20 * torch.log10(norm / reference) for norm in norms
    )
    return ChainGain(
        response=signal, bias=bias, decibel=decibel, bias_decibel=bias_decibel, zero_sum=zero_sum
    )


def _after(state: _Spectrum, stage: Affine, *, rounding: float) -> _Spectrum:
    """Pass a spectrum through one more stage."""
    operator = stage.operator
    arriving = len(state.bound)
    copies, rest = divmod(arriving, operator.in_channels)
    if rest or (copies != 1 and not operator.shared):
        msg = f"each stage must take the channels that come to it, here {arriving}; got {operator}"
        raise ShapeError(msg)
    period = tuple(p * s for p, s in zip(state.period, operator.scale, strict=True))
    sizes = operator.taps.detach().double().abs().flatten(3).sum(dim=(0, -1))
    bound = _mixed(sizes, state.bound, operator)
    bias = None if stage.bias is None else _bias_spectrum(stage, copies) * math.prod(state.period)
    if bias is not None:
        bound[:, -1] += bias.abs().amax(dim=tuple(range(operator.ndim)))
    columns = []
    for image in product(*(range(p) for p in period)):
        heard, own = state.at(image), [divmod(j, p) for j, p in zip(image, state.period, strict=True)]
        answer = None if heard is None else _mixed(_transform(operator, image, period), heard, operator)
        # a bias has the stage's own period, so it is heard at that period's frequencies alone
        if bias is not None and not any(between for _, between in own):
            answer = torch.zeros_like(bound, dtype=torch.complex128) if answer is None else answer
            answer[:, -1] += bias[tuple(j for j, _ in own)]
        columns.append(_without_rounding(answer, rounding * bound))
    return _Spectrum(period=period, columns=columns, bound=bound)


def _transform(operator: Polyphase, image: Sequence[int], period: Sequence[int]) -> Tensor:
    """H at 2 pi j / period, shape (out, in_group)."""
    at = [2 * math.pi * j / p for j, p in zip(image, period, strict=True)]
    frequencies = [torch.tensor([w], dtype=torch.float64) for w in at]
    return kernel_transform(operator, frequencies).detach().flatten(1).reshape(operator.out_channels, -1)


def _mixed(matrix: Tensor, columns: Tensor, operator: Polyphase) -> Tensor:
    """Multiply a matrix (out, in_group), one block per group or one for all copies, with columns."""
    groups = len(columns) // matrix.shape[1]
    blocks = matrix.expand(groups, -1, -1) if operator.shared else matrix.reshape(groups, -1, matrix.shape[1])
    mixed: Tensor = blocks @ columns.reshape(groups, matrix.shape[1], -1)
    return mixed.flatten(0, 1)


def _bias_spectrum(stage: Affine, copies: int) -> Tensor:
    """The bias at the stage's own image frequencies, (*scale, channels)."""
    assert stage.bias is not None
    bias = stage.bias.detach().double().repeat(1, copies if stage.operator.shared else 1)
    axes = tuple(range(stage.operator.ndim))
    spectrum: Tensor = torch.fft.fftn(bias.reshape(*stage.operator.scale, -1), dim=axes)
    return spectrum


def _without_rounding(columns: Tensor | None, least: Tensor) -> Tensor | None:
    """Zeros where the norm of the inputs' columns, or of the bias' column, is what rounding leaves."""
    if columns is None:
        return None
    for part in (slice(None, -1), slice(-1, None)):
        if not bool(columns[:, part].norm() > least[:, part].norm()):
            columns[:, part] = 0
    return columns if bool(columns.any()) else None


def _loudest(decibel: Tensor) -> Tensor:
    images = decibel.flatten()[1:]
    return images.max() if images.numel() else decibel.new_tensor(-math.inf)
