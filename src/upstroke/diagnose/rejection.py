"""Turn an operator into the loudest replica that it leaves of the lower half of the input's band."""

import math
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose._finite import check_taps
from upstroke.diagnose.response import response_power
from upstroke.polyphase import Polyphase

__all__ = ["ImageRejection", "image_rejection"]

POINTS = {1: 65, 2: 33, 3: 9}


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageRejection:
    """The loudest replica.

    Attributes:
        decibel: its gain relative to the gain of what it is a replica of, in dB; -inf where there are none,
            inf where a replica stands of what is itself suppressed.
        frequency: of that input, in radians per input pixel, shape (axes).
        image: j, which replica it is, one number from 0 to scale - 1 per axis.
    """

    decibel: Float[Tensor, ""]
    frequency: Float[Tensor, "axes"]
    image: tuple[int, ...]


def image_rejection(operator: Polyphase, *, points: int | tuple[int, ...] | None = None) -> ImageRejection:
    """Worst gain of a replica over the lower half of the input's band, relative to the passband.

    max over |w| <= pi / 2 per axis and j != 0 of |H((w + 2 pi j) / s)| / |H(w / s)|, norms over channel
    pairs, at this many frequencies per axis, ends included. Nearest x2 has tan(pi / 8), -7.7 dB, and
    half-pixel bilinear x2 the third power of that. Where both gains are 0 there is no replica.

    Raises:
        OptionError: a tap is not finite.

    >>> from upstroke.polyphase import linear
    >>> image_rejection(linear(2, ndim=1)).decibel
    tensor(-22.9665, dtype=torch.float64)
    """
    check_taps(operator.taps, purpose="have an image rejection")
    ndim = operator.ndim
    counts = whole_per_axis(POINTS[ndim] if points is None else points, ndim, name="points", least=2)
    band = [torch.linspace(-math.pi / 2, math.pi / 2, count, dtype=torch.float64) for count in counts]
    # what waves and sums in float64 leave of a zero; a real kernel answers w and -w alike, so that either
    # may be named
    sizes = operator.taps.detach().double().abs().flatten(3).sum(dim=(0, -1))
    rounding = (64 * torch.finfo(torch.float64).eps) ** 2 * sizes.square().sum()
    loudest = (
        torch.tensor(-math.inf, dtype=torch.float64),
        torch.zeros(ndim, dtype=torch.float64),
        (0,) * ndim,
    )
    wanted: Tensor | None = None
    for image in product(*(range(s) for s in operator.scale)):
        moved = [(w + 2 * math.pi * j) / s for w, j, s in zip(band, image, operator.scale, strict=True)]
        power = response_power(operator, moved)
        power = torch.where(power > rounding, power, torch.zeros_like(power))
        if wanted is None:
            # the first image of all is the passband itself
            wanted = power
            continue
        ratio = torch.where(power == 0, torch.zeros_like(power), power / wanted)
        decibel = 10 * torch.log10(ratio)
        worst = int(decibel.argmax())
        if bool(decibel.flatten()[worst] > loudest[0]):
            at = torch.unravel_index(torch.tensor(worst), decibel.shape)
            where = torch.stack([w[index] for w, index in zip(band, at, strict=True)])
            loudest = (decibel.flatten()[worst], where, image)
    return ImageRejection(decibel=loudest[0], frequency=loudest[1], image=loudest[2])
