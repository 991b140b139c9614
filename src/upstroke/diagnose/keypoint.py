"""Turn an operator into the error of a keypoint that is read from a heat map after upsampling."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from upstroke.axes import whole_per_axis
from upstroke.diagnose._finite import check_finite, check_taps
from upstroke.diagnose.position import centroid, grid_of
from upstroke.errors import OptionError
from upstroke.polyphase import Polyphase, kernel_form, trimmed

__all__ = ["Decoder", "KeypointError", "keypoint_error", "keypoint_positions", "peak_sample", "summarised"]

Decoder = Literal["centre_of_mass", "peak", "log_parabola"]

POSITIONS = {1: 64, 2: 16, 3: 4}
# Samples that are drawn at once, 32 MB.
MOST_SAMPLES = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class KeypointError:
    """Read minus true position over sub-pixel positions, in input pixels, per axis.

    Attributes:
        bias: mean of the error.
        spread: population standard deviation of the error.
        worst: largest absolute error.
    """

    bias: Float[Tensor, "out in_group axes"]
    spread: Float[Tensor, "out in_group axes"]
    worst: Float[Tensor, "out in_group axes"]


def keypoint_error(
    operator: Polyphase,
    *,
    sigma: float,
    decoder: Decoder = "centre_of_mass",
    positions: int | tuple[int, ...] | None = None,
) -> KeypointError:
    """Bias and spread of a keypoint read from an upsampled Gaussian, per channel pair, away from borders.

    The heat map is exp(-|m - u|^2 / (2 sigma^2)) at cell m, with u at the middles of this many equal parts of
    a cell per axis. Samples are turned into places by the operator's nominal grid, `grid_of`. Centre of mass:
    the error is the kernel's centroid minus the middle of its footprint, in closed form, plus the heat map's
    own, which falls as exp(-2 pi^2 sigma^2). Peak: the sample of the largest value. Log-parabola: the peak
    moved, per axis, to the top of the parabola through the logarithms of it and its two neighbours; it stays
    where one of them is not positive.

    Args:
        operator: the upsampler.
        sigma: of the Gaussian, in input pixels.
        decoder: how the place is read.
        positions: sub-pixel positions per axis, by default 64, 16 or 4 in 1, 2 or 3 axes.

    Raises:
        OptionError: sigma is not a finite number above 0, the decoder has another name, or a tap is not
            finite and the decoder reads a peak; the centre of mass is NaN then.

    >>> from upstroke.polyphase import linear
    >>> keypoint_error(linear(2, ndim=1), sigma=1.5, decoder="peak").worst.item()
    0.2421875
    """
    ndim = operator.ndim
    counts = whole_per_axis(
        POSITIONS[ndim] if positions is None else positions, ndim, name="positions", least=1
    )
    if not 0 < sigma < math.inf:
        msg = f"sigma must be above 0 input pixels and finite; got {sigma}"
        raise OptionError(msg)
    if decoder == "centre_of_mass":
        errors = _centre_of_mass_errors(operator, keypoint_positions(counts), sigma)
    elif decoder in ("peak", "log_parabola"):
        check_taps(operator.taps, purpose="draw a heat map with a peak")
        errors = _peak_errors(operator, counts, sigma, decoder=decoder)
    else:
        msg = f"decoder must be 'centre_of_mass', 'peak' or 'log_parabola'; got {decoder!r}"
        raise OptionError(msg)
    return summarised(errors)


def keypoint_positions(counts: tuple[int, ...]) -> Float[Tensor, "positions axes"]:
    """Middles of this many equal parts per axis of the cell around 0, in input pixels.

    >>> keypoint_positions((4,)).flatten().tolist()
    [-0.375, -0.125, 0.125, 0.375]
    """
    axes = [(torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5 for n in counts]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


def peak_sample(heat: Float[Tensor, "maps *samples"], *, decoder: Decoder) -> Float[Tensor, "maps axes"]:
    """Read the sample index of the peak of each map, as `keypoint_error` says.

    Values equal to rounding count as equal, and the first of them is taken.

    Raises:
        OptionError: a value is not finite.

    >>> peak_sample(torch.tensor([[0.1, 0.5, 1.0, 0.5]]), decoder="log_parabola").item()
    2.0
    """
    flat = heat.flatten(1)
    highest = flat.amax(dim=1, keepdim=True)
    if not bool(torch.isfinite(highest + flat.amin(dim=1, keepdim=True)).all()):
        check_finite(
            heat,
            name="a heat map",
            purpose="have a peak",
            remedy="look for the layer or the input that made them",
        )
    rounding = 16 * torch.finfo(heat.dtype).eps * highest.abs()
    first = (flat >= highest - rounding).byte().argmax(dim=1)
    index = torch.stack(torch.unravel_index(first, heat.shape[1:]), dim=1)
    if decoder == "peak":
        return index.to(heat.dtype)
    moved = index.to(heat.dtype)
    maps = torch.arange(len(heat), device=heat.device)
    last = torch.tensor(heat.shape[1:], device=heat.device) - 1
    for axis in range(heat.ndim - 1):
        step = torch.zeros_like(last)
        step[axis] = 1
        around = [(index + i * step).clamp(min=0).minimum(last) for i in (-1, 0, 1)]
        low, middle, high = (heat[(maps, *at.T)].clamp(min=0).log() for at in around)
        bend = low - 2 * middle + high
        usable = torch.isfinite(bend) & (bend < 0)
        top = (low - high) / (2 * bend)
        moved[:, axis] += torch.where(usable, top, torch.zeros_like(top))
    return moved


def summarised(errors: Float[Tensor, "positions out in_group axes"]) -> KeypointError:
    """Turn errors at all positions into their bias, spread and worst.

    >>> summarised(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)).bias.item()
    2.0
    """
    return KeypointError(
        bias=errors.mean(dim=0), spread=errors.std(dim=0, correction=0), worst=errors.abs().amax(dim=0)
    )


def _centre_of_mass_errors(operator: Polyphase, places: Tensor, sigma: float) -> Tensor:
    """The kernel's part, the same everywhere, and the heat map's own, the same for every kernel."""
    middle = torch.tensor([float(offset) for offset in grid_of(operator).offset], dtype=torch.float64)
    reach = math.ceil(10 * sigma) + 1
    cells = torch.arange(-reach, reach + 1, dtype=torch.float64)
    heat = torch.exp(-((cells - places[..., None]) ** 2) / (2 * sigma**2))
    own = (heat @ cells) / heat.sum(dim=-1) - places
    return (middle - centroid(operator)) + own[:, None, None]


def _peak_errors(operator: Polyphase, counts: tuple[int, ...], sigma: float, *, decoder: Decoder) -> Tensor:
    """Make the samples around the peak, for some of the channels that come in at a time, and read them."""
    ndim = operator.ndim
    form = trimmed(kernel_form(operator))
    kernel = form.kernel.detach().cpu().double()
    # where taps have both signs the peak stands beside what they read: for differences, within sqrt(3) sigma
    beyond = 1 + math.ceil(math.sqrt(3) * sigma)
    windows = [
        torch.arange(-s * beyond - crop, length + s * beyond - crop, dtype=torch.float64)
        for s, crop, length in zip(operator.scale, form.crop, kernel.shape[2:], strict=True)
    ]
    waves = [
        _wave(window + crop, length, s, keypoint_positions((count,)), sigma)
        for window, crop, length, s, count in zip(
            windows, form.crop, kernel.shape[2:], operator.scale, counts, strict=True
        )
    ]
    places = keypoint_positions(counts)
    first = torch.stack([window[0] for window in windows])
    grid = grid_of(operator)
    numbers = ([float(f) for f in part] for part in (grid.offset, grid.spacing))
    offset, spacing = (torch.tensor(part, dtype=torch.float64) for part in numbers)
    errors = places.new_empty(len(places), *kernel.shape[:2], ndim)
    step = max(1, MOST_SAMPLES // (len(places) * math.prod(map(len, windows))))
    # positions before samples, which the axes make in turn
    order = [0, *range(1, 2 * ndim, 2), *range(2, 2 * ndim + 1, 2)]
    for out in range(kernel.shape[0]):
        for start in range(0, kernel.shape[1], step):
            some = slice(start, start + step)
            drawn = kernel[out, some]
            for wave in waves:
                # takes the first kernel axis that is left and puts its positions and samples last
                drawn = torch.tensordot(drawn, wave, dims=([1], [2]))
            maps = drawn.permute(order).reshape(-1, *map(len, windows))
            read = (peak_sample(maps, decoder=decoder) + first).reshape(-1, len(places), ndim)
            errors[:, out, some] = (offset + spacing * read).transpose(0, 1)
    return errors - places[:, None, None]


def _wave(sample: Tensor, length: int, scale: int, places: Tensor, sigma: float) -> Tensor:
    """What each kernel element brings to each sample, counted from the kernel's first element for cell 0.

    Shape (positions, samples, elements): the Gaussian, a product over axes, along this one.
    """
    away = sample[:, None] - torch.arange(length, dtype=torch.float64)
    heat = torch.exp(-((away / scale - places[..., None]) ** 2) / (2 * sigma**2))
    # element i of cell j stands at sample i + scale * j, so between the cells it brings nothing
    return torch.where(away % scale == 0, heat, torch.zeros_like(heat))
