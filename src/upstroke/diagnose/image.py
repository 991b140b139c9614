"""Turn an operator into its response at the image frequencies, where the stripes and checkerboards are."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from upstroke.diagnose._finite import check_taps
from upstroke.diagnose.gain import phase_gain
from upstroke.polyphase import Polyphase

__all__ = ["ImageGain", "image_gain"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageGain:
    """The pattern that a constant input turns into, frequency by frequency.

    Attributes:
        response: H(2 pi j / scale) in output units per input unit, shape (*scale, out, in_group), index j
            first; entry 0 is the gain at frequency 0, the mass.
        decibel: norm of the response over channel pairs relative to that at frequency 0, shape (*scale), in
            dB: 0 at j = 0, -inf where nothing but rounding is left, and nan everywhere if zero_sum.
        zero_sum: whether the gain at frequency 0 is zero to rounding, so that it is no reference.
    """

    response: Complex[Tensor, "*scale_out_in"]
    decibel: Float[Tensor, "*scale"]
    zero_sum: bool

    @property
    def worst(self) -> Float[Tensor, ""]:
        """The loudest image, in dB; -inf without images (scale 1 on every axis), nan if zero_sum."""
        images = self.decibel.flatten()[1:]
        return images.max() if images.numel() else self.decibel.new_tensor(-math.inf)


def image_gain(operator: Polyphase) -> ImageGain:
    """Response at the image frequencies 2 pi j / scale: the discrete Fourier transform of the phase gains.

    H(2 pi j / s) = sum over p of G[p] * exp(-2 pi i j p / s). What is smaller than the machine epsilon of the
    taps' dtype times the norm over channel pairs of sum |taps| is the rounding of the taps and counts as
    zero. Derivation: docs/idea.md#image-gain.

    Raises:
        OptionError: a tap is not finite.

    >>> import torch
    >>> from upstroke.polyphase import linear, transposed
    >>> image_gain(transposed(torch.ones(1, 1, 3), stride=2)).decibel
    tensor([ 0.0000, -9.5424], dtype=torch.float64)
    >>> image_gain(linear(2, ndim=1)).worst
    tensor(-inf, dtype=torch.float64)
    """
    check_taps(operator.taps, purpose="have an image gain")
    gains = phase_gain(operator)
    axes = tuple(range(operator.ndim))
    response = torch.fft.fftn(gains.reshape(*operator.scale, *gains.shape[1:]).to(torch.complex128), dim=axes)
    norm = response.abs().square().sum(dim=(-2, -1)).sqrt()
    # every tap is stored with an error of up to half an epsilon of itself
    sizes = operator.taps.double().abs().flatten(3).sum(dim=(0, -1))
    rounding = torch.finfo(operator.taps.dtype).eps * sizes.square().sum().sqrt()
    norm = torch.where(norm > rounding, norm, torch.zeros_like(norm))
    reference = norm.flatten()[0]
    zero_sum = not bool(reference > 0)
    decibel = torch.full_like(norm, math.nan) if zero_sum else 20 * torch.log10(norm / reference)
    return ImageGain(response=response, decibel=decibel, zero_sum=zero_sum)
