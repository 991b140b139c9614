"""Turn a row of affine maps into the pattern that a constant input leaves behind the last of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from upstroke.diagnose._finite import check_taps
from upstroke.diagnose.cost import fewest_channels
from upstroke.errors import OptionError, ShapeError
from upstroke.polyphase import Affine, KernelForm, Polyphase, kernel_form

__all__ = ["ChainGain", "chain_gain", "chain_response"]

Image = tuple[int, ...]

# Frequencies at which something is heard, beyond which a chain is not followed: unbalanced stages multiply.
MOST_IMAGES = 4096
# Values of a transform taken at all frequencies at once: 256 MB.
MOST_VALUES = 2**24
# What arithmetic in float64 leaves of a zero, in epsilons.
ARITHMETIC = 64 * torch.finfo(torch.float64).eps


@dataclass(frozen=True, kw_only=True)
class ChainGain:
    """How loud the images of a chain are; its scale is the product of all scales.

    Attributes:
        scale: of the chain, per axis.
        level: norm over channel pairs of the response at 2 pi j / scale, in output units per input unit, by
            j, one number per axis; what is not listed is zero.
        bias_level: norm over channels of what the biases add there, in the same units for an input of 1.
    """

    scale: tuple[int, ...]
    level: Mapping[Image, float]
    bias_level: Mapping[Image, float]

    @property
    def reference(self) -> float:
        """The level at frequency 0, which the others are relative to."""
        return self.level.get((0,) * len(self.scale), 0.0)

    @property
    def zero_sum(self) -> bool:
        """Whether a constant itself does not come through, so that it is no reference."""
        return self.reference == 0

    @property
    def worst(self) -> float:
        """The loudest image of a constant, in dB; -inf without images, nan if zero_sum."""
        return self._in_db(_loudest(self.level))

    @property
    def worst_bias(self) -> float:
        """The loudest image of the biases by themselves, in dB; -inf without images, nan if zero_sum."""
        return self._in_db(_loudest(self.bias_level))

    @property
    def is_silent(self) -> bool:
        """Whether there is no image at all, of a constant or of the biases."""
        return _loudest(self.level) == _loudest(self.bias_level) == 0

    def _in_db(self, level: float) -> float:
        if self.zero_sum:
            return math.nan
        return 20 * math.log10(level / self.reference) if level else -math.inf


def chain_gain(
    stages: Sequence[Affine], *, source: int | None = None, channels: int | None = None
) -> ChainGain:
    """Levels of a chain at its image frequencies, without composing its kernels.

    With S the product of the scales and T that of the scales behind a stage, the stages' responses at
    2 pi j T / S multiply, as matrices over channels; a bias is a pattern with its stage's own period and
    passes what follows. One stage gives its image gain. What a stage leaves at an image frequency counts as
    zero where it is smaller than the machine epsilon of its taps' dtype times the norm over channel pairs of
    its sum |taps|: the rounding of the taps. Derivation: docs/idea.md#image-gain.

    Args:
        stages: in the order in which they are applied.
        source: the stage whose images are counted, the others taken to leave none of a constant; by default
            those of all.
        channels: that come in; by default what the first stage that is not shared needs, or the fewest that
            shared ones can take.

    Raises:
        OptionError: a tap is not finite, or more than 4096 frequencies are heard.
        ShapeError: there is no stage, or one cannot take the channels that come to it.

    >>> from upstroke.polyphase import box, nearest, transposed
    >>> odd = Affine(operator=transposed(torch.ones(1, 1, 3), stride=2))
    >>> blur = Affine(operator=box(1, ndim=1, length=3))
    >>> [round(chain_gain(chain).worst, 2) for chain in ([odd], [odd, blur])]
    [-9.54, -19.08]
    """
    columns = chain_response(stages, source=source, channels=channels)
    return ChainGain(
        scale=tuple(map(math.prod, zip(*(stage.operator.scale for stage in stages), strict=True))),
        level={image: _norm(heard[:, :-1]) for image, heard in columns.items() if heard[:, :-1].any()},
        bias_level={image: _norm(heard[:, -1]) for image, heard in columns.items() if heard[:, -1].any()},
    )


def chain_response(
    stages: Sequence[Affine], *, source: int | None = None, channels: int | None = None
) -> dict[Image, Tensor]:
    """Response of a chain at its image frequencies, arguments as in `chain_gain`.

    Returns:
        By j, matrices of shape (out, in + 1): H(2 pi j / scale), and in the last column what the biases add;
        what is not listed is zero.

    >>> from upstroke.polyphase import triangle
    >>> {j: h[0, 0].real.item() for j, h in chain_response([Affine(operator=triangle(2, ndim=1))]).items()}
    {(0,): 2.0}
    """
    if not stages:
        msg = "a chain must have at least one stage; got none"
        raise ShapeError(msg)
    for stage in stages:
        check_taps(stage.operator.taps, purpose="have an image gain")
    width = fewest_channels([stage.operator for stage in stages]) if channels is None else channels
    ndim = stages[0].operator.ndim
    period = (1,) * ndim
    heard = {(0,) * ndim: torch.eye(width, width + 1, dtype=torch.complex128)}
    for place, stage in enumerate(stages):
        heard = _after(heard, period, stage, is_source=source is None or place == source)
        period = tuple(p * s for p, s in zip(period, stage.operator.scale, strict=True))
        if len(heard) > MOST_IMAGES:
            msg = (
                f"a chain may have at most {MOST_IMAGES} frequencies at which something is heard; got "
                f"{len(heard)} behind stage {place}; measure a shorter chain"
            )
            raise OptionError(msg)
    return heard


def _after(
    heard: Mapping[Image, Tensor], period: tuple[int, ...], stage: Affine, *, is_source: bool
) -> dict[Image, Tensor]:
    """Pass what is heard, at multiples of 2 pi / period, through one more stage."""
    operator = stage.operator
    # a chain of kernels that sum to zero may be silent
    arriving = len(next(iter(heard.values()))) if heard else operator.in_channels
    copies, rest = divmod(arriving, operator.in_channels)
    if rest or (copies != 1 and not operator.shared):
        msg = f"each stage must take the channels that come to it, here {arriving}; got {operator}"
        raise ShapeError(msg)
    found: dict[Image, Tensor] = {}
    nothing = (0,) * operator.ndim
    wanted = [
        (image, columns)
        for frequency, columns in heard.items()
        for image in _images(frequency, period, operator.scale)
        if is_source or frequency != nothing or image == nothing
    ]
    grown = tuple(p * s for p, s in zip(period, operator.scale, strict=True))
    for (image, columns), matrix in zip(
        wanted, _transforms(operator, [image for image, _ in wanted], grown), strict=True
    ):
        if matrix is None:
            continue
        answer = _mixed(matrix, columns, operator)
        if _norm(answer) > ARITHMETIC * _norm(matrix) * _norm(columns):
            found[image] = answer
    if stage.bias is not None:
        _add_bias(found, stage, period, copies, width=_width(heard, arriving), is_source=is_source)
    return found


def _width(heard: Mapping[Image, Tensor], arriving: int) -> int:
    return next(iter(heard.values())).shape[1] if heard else arriving + 1


def _images(frequency: Image, period: Sequence[int], scale: Sequence[int]) -> Iterator[Image]:
    """The frequencies at which an upsampler answers one, in multiples of 2 pi / (period * scale)."""
    return product(*(range(j, p * s, p) for j, p, s in zip(frequency, period, scale, strict=True)))


def _transforms(
    operator: Polyphase, images: Sequence[Image], period: tuple[int, ...]
) -> Iterator[Tensor | None]:
    """H at 2 pi j / period, (out, in_group) each; None where it is the rounding of the taps."""
    taps = operator.taps.detach()
    rounding = max(torch.finfo(taps.dtype).eps, ARITHMETIC) * _norm(_sizes(taps))
    kernel, samples = _folded(kernel_form(operator), period)
    values = math.prod(kernel.shape[:2]) * math.prod(period)
    # all at once where several are wanted and there is room, else one by one
    everywhere = [torch.arange(p) for p in period]
    at_once = len(images) > 2 and values < MOST_VALUES
    table = _transform(kernel, samples, everywhere, period) if at_once else None
    for image in images:
        if table is None:
            value = _transform(kernel, samples, [torch.tensor([j]) for j in image], period)[(0,) * len(image)]
        else:
            value = table[image]
        yield value if _norm(value) > rounding else None


def _sizes(taps: Tensor) -> Tensor:
    """Sum of |taps| of each channel pair."""
    return taps.double().abs().flatten(3).sum(dim=(0, -1))


def _folded(form: KernelForm, period: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """The kernel added up modulo the period, which is all that these frequencies see, and its samples."""
    kernel = form.kernel.detach().double()
    samples = []
    for axis, (crop, p) in enumerate(zip(form.crop, period, strict=True), start=2):
        length = kernel.shape[axis]
        place = torch.arange(length, device=kernel.device) - crop
        if length > p:
            shape = (*kernel.shape[:axis], p, *kernel.shape[axis + 1 :])
            kernel = kernel.new_zeros(shape).index_add_(axis, place % p, kernel)
            place = torch.arange(p, device=kernel.device)
        samples.append(place)
    return kernel, samples


def _transform(
    kernel: Tensor, samples: Sequence[Tensor], images: Sequence[Tensor], period: Sequence[int]
) -> Tensor:
    """Sum a kernel with these samples against the waves 2 pi j / period, (*images, out, in_group)."""
    value = kernel.to(torch.complex128)
    for place, j, p in zip(samples, images, period, strict=True):
        # whole turns are taken off while the numbers are whole
        turns = torch.outer(place, j.to(place)) % p
        angle = -2 * math.pi / p * turns.double()
        # takes the first kernel axis that is left and puts its frequencies last
        value = torch.tensordot(value, torch.polar(torch.ones_like(angle), angle), dims=([2], [0]))
    return value.movedim((0, 1), (-2, -1))


def _add_bias(
    found: dict[Image, Tensor],
    stage: Affine,
    period: Sequence[int],
    copies: int,
    *,
    width: int,
    is_source: bool,
) -> None:
    """Add a bias, which has its stage's own period and is heard at that period's frequencies alone."""
    assert stage.bias is not None
    operator = stage.operator
    bias = stage.bias.detach().double().repeat(1, copies if operator.shared else 1)
    spectrum = torch.fft.fftn(bias.reshape(*operator.scale, -1), dim=tuple(range(operator.ndim)))
    rounding = ARITHMETIC * _norm(bias) * operator.phases
    for place in product(*(range(s) for s in operator.scale)) if is_source else [(0,) * operator.ndim]:
        own = math.prod(period) * spectrum[place]
        if _norm(own) > rounding:
            image = tuple(j * p for j, p in zip(place, period, strict=True))
            columns = found.get(image)
            columns = own.new_zeros(len(own), width) if columns is None else columns
            columns[:, -1] += own
            found[image] = columns


def _mixed(matrix: Tensor, columns: Tensor, operator: Polyphase) -> Tensor:
    """Multiply a matrix (out, in_group), one block per group or one for all copies, with columns."""
    groups = len(columns) // matrix.shape[1]
    blocks = matrix.expand(groups, -1, -1) if operator.shared else matrix.reshape(groups, -1, matrix.shape[1])
    mixed: Tensor = blocks @ columns.reshape(groups, matrix.shape[1], -1)
    return mixed.flatten(0, 1)


def _norm(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values))


def _loudest(level: Mapping[Image, float]) -> float:
    """The largest level at any frequency but 0."""
    return max((value for image, value in level.items() if any(image)), default=0.0)
