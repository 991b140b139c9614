"""Turn a row of operators into the loudest replica that one of them leaves of the lower half of the band."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from upstroke.diagnose._finite import check_taps
from upstroke.diagnose.cost import fewest_channels
from upstroke.diagnose.rejection import POINTS, ImageRejection
from upstroke.diagnose.response import response_power
from upstroke.errors import ShapeError
from upstroke.polyphase import Polyphase, kernel_form

__all__ = ["chain_rejection"]

# Frequencies of the band per axis where several stages mix channels, so that matrices have to be multiplied.
FEW_POINTS = {1: 9, 2: 3, 3: 3}
# Channels up to which every one of them is followed; of more, so many random mixtures.
MOST_COLUMNS = 32
# Channel pairs from which on the norm is taken of products of taps in their own dtype.
MANY_PAIRS = 2**14
# Values of a stage's transforms held at once: 32 MB.
MOST_VALUES = 2**22


def chain_rejection(stages: Sequence[Polyphase], *, source: int) -> ImageRejection:
    """Worst gain of a replica that the source leaves, behind the whole row, relative to the passband.

    max over |w| <= pi / 2 per axis and j != 0 of |H_j(w)| / |H_0(w)|, w in radians per cell of the source's
    input. H_j(w) is the product of what the stages before it do at w, of the source at v = (w + 2 pi j) / s
    and of what comes behind at v, norms over channel pairs. The other stages that grow the map are taken to
    leave no replicas of their own. One stage has its `image_rejection`. Derivation:
    docs/idea.md#image-rejection.

    Fixed kernels that all channels share, and numbers per channel, are exact factors. Where more than one
    stage mixes channels, 3 frequencies per axis are taken (9 where there is but one axis), and, where more
    than 32 channels come in and go out, the norm is that of 32 random mixtures of them, drawn alike
    every time, which puts it within about 1 dB.

    Args:
        stages: in the order in which they are applied.
        source: the stage whose replicas are counted.

    Raises:
        OptionError: a tap is not finite.
        ShapeError: there is no such stage, or one cannot take the channels that come to it.

    >>> from upstroke.polyphase import box, nearest
    >>> row = [nearest(2, ndim=1), box(1, ndim=1, length=3)]
    >>> [round(float(chain_rejection(stages, source=0).decibel), 2) for stages in (row[:1], row)]
    [-7.66, -22.27]
    """
    if not 0 <= source < len(stages):
        msg = f"source must be the place of one of {len(stages)} stages; got {source}"
        raise ShapeError(msg)
    stages = [replace(stage, taps=stage.taps.detach()) for stage in stages]
    for stage in stages:
        # a sum is finite only where all are, and a good deal faster
        if not bool(stage.taps.sum().isfinite()):
            check_taps(stage.taps, purpose="have an image rejection")
    scalars, matrices = _sorted(stages)
    ndim = stages[source].ndim
    count = (POINTS if len(matrices) < 2 else FEW_POINTS)[ndim]
    band = torch.linspace(-math.pi / 2, math.pi / 2, count, dtype=torch.float64)
    at = _frequencies(stages, source, band)
    power = torch.ones([len(each) for each in at[source]], dtype=torch.float64)
    for place, stage in scalars:
        power = power * _power(stage, at[place])
    if len(matrices) == 1:
        ((place, stage),) = matrices
        power = power * _power(stage, at[place])
    elif matrices:
        power = power * _power_of_product(matrices, at)
    return _worst(power, stages[source].scale, band)


def _sorted(stages: Sequence[Polyphase]) -> tuple[list[tuple[int, Polyphase]], list[tuple[int, Polyphase]]]:
    """Stages of one kernel for all channels, and the others; numbers per channel are put into neighbours."""
    scalars: list[tuple[int, Polyphase]] = []
    matrices: list[tuple[int, Polyphase]] = []
    waiting: Tensor | None = None
    for place, stage in enumerate(stages):
        if stage.shared and stage.in_channels == stage.out_channels == 1:
            scalars.append((place, stage))
        elif _is_per_channel(stage) and matrices:
            before, last = matrices[-1]
            matrices[-1] = before, _with_gain_behind(last, stage.taps.flatten())
        elif _is_per_channel(stage):
            waiting = stage.taps.flatten() if waiting is None else waiting * stage.taps.flatten()
        else:
            first = stage if waiting is None else _with_gain_before(stage, waiting)
            waiting = None
            matrices.append((place, first))
    if waiting is not None:
        # nothing mixes channels: the norm over them is one number at all frequencies, and cancels
        matrices = []
    return scalars, matrices


def _is_per_channel(stage: Polyphase) -> bool:
    """Whether a stage multiplies each channel by a number and does nothing else."""
    return stage.phases == 1 and stage.taps[0, 0].numel() == 1 and stage.groups == stage.out_channels


def _with_gain_behind(stage: Polyphase, gain: Tensor) -> Polyphase:
    whole = stage.expand(_channels_in(stage, gain.numel())) if stage.shared else stage
    _check_fit(whole.out_channels, gain.numel())
    return replace(whole, taps=whole.taps * gain.to(whole.taps).reshape(1, -1, 1, *(1,) * whole.ndim))


def _with_gain_before(stage: Polyphase, gain: Tensor) -> Polyphase:
    whole = stage.expand(gain.numel())
    _check_fit(whole.in_channels, gain.numel())
    # channel c of a group comes to all outputs of the group
    of_group = gain.to(whole.taps).reshape(whole.groups, 1, -1)
    rows = of_group.expand(-1, whole.out_channels // whole.groups, -1).flatten(0, 1)
    return replace(whole, taps=whole.taps * rows.reshape(1, *rows.shape, *(1,) * whole.ndim))


def _channels_in(stage: Polyphase, out: int) -> int:
    return out // stage.out_channels * stage.in_channels


def _check_fit(wanted: int, came: int) -> None:
    if wanted != came:
        msg = f"each stage must take the channels that come to it, here {came}; got one for {wanted}"
        raise ShapeError(msg)


def _frequencies(stages: Sequence[Polyphase], source: int, band: Tensor) -> list[list[Tensor]]:
    """Per stage and axis the frequencies of its output: for every image j of the source in turn the band."""
    scale = stages[source].scale
    low = [band.repeat(s) for s in scale]
    high = [
        torch.cat([_wrapped((band + 2 * math.pi * j) / s) for j in range(s)]) if s > 1 else band
        for s in scale
    ]
    at: list[list[Tensor]] = [[] for _ in stages]
    at[source] = high
    for place in range(source + 1, len(stages)):
        grown = stages[place].scale
        at[place] = [each / s for each, s in zip(at[place - 1], grown, strict=True)]
    coming = low
    for place in reversed(range(source)):
        at[place] = coming
        coming = [each * s for each, s in zip(coming, stages[place].scale, strict=True)]
    return at


def _wrapped(frequency: Tensor) -> Tensor:
    """The same frequency in (-pi, pi]."""
    return frequency - 2 * math.pi * torch.ceil((frequency - math.pi) / (2 * math.pi) - 1e-12)


def _power(stage: Polyphase, frequencies: Sequence[Tensor]) -> Tensor:
    """Sum over channel pairs of |H|^2 on a grid; 0 where it is no more than what the sums leave of a zero."""
    taps = stage.taps
    if math.prod(taps.shape[1:3]) < MANY_PAIRS:
        power = response_power(stage, frequencies)
        sizes = taps.double().abs().flatten(3).sum(dim=(0, -1))
        rounding = (64 * torch.finfo(torch.float64).eps) ** 2 * float(sizes.square().sum())
    else:
        products = _products(taps.flatten(3).flatten(1, 2))
        power = _power_of_products(stage, products, frequencies)
        rounding = 64 * torch.finfo(taps.dtype).eps * float(products.trace())
    return torch.where(power > rounding, power, torch.zeros_like(power))


def _products(taps: Tensor) -> Tensor:
    """Sums over channel pairs of the products of any two taps, given as (phases, pairs, kernel)."""
    kernel = taps.shape[2]
    products = torch.zeros(len(taps), kernel, len(taps), kernel, dtype=torch.float64)
    for p, q in combinations_with_replacement(range(len(taps)), 2):
        block = (taps[p].T @ taps[q]).double()
        products[p, :, q], products[q, :, p] = block, block.T
    return products.flatten(2).flatten(0, 1)


def _power_of_products(stage: Polyphase, products: Tensor, frequencies: Sequence[Tensor]) -> Tensor:
    """|H|^2 is a sum over pairs of taps of their product times the wave of their distance."""
    phases = torch.unravel_index(torch.arange(stage.phases), stage.scale)
    places = torch.unravel_index(torch.arange(math.prod(stage.kernel)), stage.kernel)
    angle = torch.zeros(products.shape[0], 1, dtype=torch.float64)
    for axis, along in enumerate(frequencies):
        # tap k of phase p is sample p + s (origin - k)
        back = stage.scale[axis] * (stage.origin[axis] - places[axis])
        sample = (phases[axis][:, None] + back[None]).flatten().double()
        angle = (angle[:, :, None] + torch.outer(sample, along)[:, None]).flatten(1)
    wave = torch.polar(torch.ones_like(angle), -angle)
    power = (wave.conj() * (products.to(wave.dtype) @ wave)).sum(dim=0).real
    return power.reshape([len(along) for along in frequencies])


def _power_of_product(matrices: Sequence[tuple[int, Polyphase]], at: Sequence[Sequence[Tensor]]) -> Tensor:
    """Squared norm of the product of the stages' responses, as matrices over channels, point by point."""
    operators = [stage for _, stage in matrices]
    width = fewest_channels(operators)
    ends = [width]
    for stage in operators:
        ends.append(ends[-1] // stage.in_channels * stage.out_channels)
    from_left = ends[-1] < ends[0]
    columns = _mixtures(min(ends[0], ends[-1]))
    order = list(reversed(matrices)) if from_left else list(matrices)
    shape = [len(each) for each in at[matrices[0][0]]]
    points = math.prod(shape)
    heaviest = max(math.prod(stage.taps.shape[1:3]) for stage in operators)
    batch = max(1, MOST_VALUES // heaviest)
    found = []
    for first in range(0, points, batch):
        chosen = torch.arange(first, min(first + batch, points))
        value = columns.to(torch.complex64).expand(len(chosen), -1, -1)
        for place, stage in order:
            where = [
                line[index] for line, index in zip(at[place], torch.unravel_index(chosen, shape), strict=True)
            ]
            value = _passed(stage, where, value, adjoint=from_left)
        found.append(value.abs().double().square().sum(dim=(-2, -1)))
    return torch.cat(found).reshape(shape)


def _mixtures(channels: int) -> Tensor:
    """Every channel by itself, or so many mixtures with random signs whose mean square is that of all."""
    if channels <= MOST_COLUMNS:
        return torch.eye(channels)
    drawn = torch.randint(0, 2, (channels, MOST_COLUMNS), generator=torch.Generator().manual_seed(0))
    return (2.0 * drawn - 1) / math.sqrt(MOST_COLUMNS)


def _passed(stage: Polyphase, where: Sequence[Tensor], columns: Tensor, *, adjoint: bool) -> Tensor:
    """Multiply columns (points, channels, n) by the stage's response at these points, or by its transpose."""
    form = kernel_form(stage)
    kernel = form.kernel.detach().float()
    angle = torch.zeros(1, len(where[0]), dtype=torch.float64)
    for axis, crop in enumerate(form.crop):
        sample = torch.arange(kernel.shape[2 + axis], dtype=torch.float64) - crop
        # every sample of this axis with every one of those before it
        angle = (angle[:, None] - torch.outer(sample, where[axis])[None]).flatten(0, 1)
    wave = torch.cat([angle.cos(), angle.sin()], dim=1).float()
    both = (kernel.flatten(2) @ wave).movedim(-1, 0)
    response = torch.complex(*both.chunk(2))
    in_group, out = kernel.shape[1], kernel.shape[0]
    groups = stage.groups
    if stage.shared:
        groups = columns.shape[1] // (out if adjoint else in_group)
        response = response.repeat(1, groups, 1)
    blocks = response.reshape(len(columns), groups, -1, in_group)
    blocks = blocks.transpose(-2, -1) if adjoint else blocks
    answer: Tensor = blocks @ columns.reshape(len(columns), groups, -1, columns.shape[-1])
    return answer.flatten(1, 2)


def _worst(power: Tensor, scale: Sequence[int], band: Tensor) -> ImageRejection:
    """The loudest replica, power given on the grid of (image, frequency) per axis."""
    ndim, count = len(scale), len(band)
    split = power.reshape([n for s in scale for n in (s, count)])
    by_image = split.permute([2 * axis for axis in range(ndim)] + [2 * axis + 1 for axis in range(ndim)])
    by_image = by_image.reshape(math.prod(scale), -1)
    wanted, replicas = by_image[0], by_image[1:]
    nowhere = torch.zeros(ndim, dtype=torch.float64)
    if not len(replicas):
        return ImageRejection(
            decibel=torch.tensor(-math.inf, dtype=torch.float64), frequency=nowhere, image=(0,) * ndim
        )
    ratio = torch.where(replicas == 0, torch.zeros_like(replicas), replicas / wanted)
    decibel = 10 * torch.log10(ratio)
    image, point = divmod(int(decibel.argmax()), decibel.shape[1])
    places = torch.unravel_index(torch.tensor(point), [count] * ndim)
    numbers = torch.unravel_index(torch.tensor(image + 1), list(scale))
    return ImageRejection(
        decibel=decibel.max(),
        frequency=torch.stack([band[place] for place in places]),
        image=tuple(int(number) for number in numbers),
    )
