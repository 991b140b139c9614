"""UP401 and UP402: judge whether totals or means are kept, over the whole map and in every block."""

import math
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor

from upstroke.audit.reading import Reading
from upstroke.audit.rule import Verdict, rule
from upstroke.axes import times
from upstroke.diagnose import block_mean_error, mass, total_kept
from upstroke.errors import ShapeError
from upstroke.polyphase import Affine, Polyphase, compose_affine

__all__ = ["block_means", "mass_kept"]

# Channels up to which the stages of a model that is linear throughout are put together.
FEW_CHANNELS = 32
PER_CENT, PART = 0.01, 1e-4
REASON = (
    "a hundred times what sums in float32 leave of an exact law; what is kept by its form is kept far better"
)


@rule(
    "UP401",
    "mass not kept",
    Reading,
    severity="error",
    threshold=PER_CENT,
    unit="per cent",
    reason=REASON,
    remedy=(
        "train with upstroke.nn.constrain(layer, mass=1.0) (the product of the scales for a mean), mend once "
        "with upstroke.nn.project_, and crop nothing that was drawn"
    ),
    fix="repair: adds the same number to all weights of a kernel, so that they sum to what keeps the total",
    conserves=True,
)
def mass_kept(reading: Reading) -> Verdict:
    """Compare the total that arrives with the total and with the mean that came."""
    affine = _judged(reading)
    operator = affine.operator
    size = _known(reading.site.size_in)
    inside = _dense(mass(operator), operator)
    arrives, mean = inside, float(operator.phases)
    where = "inside"
    exact = not any(side for sides in operator.margin for side in sides)
    if size is not None and exact:
        arrives = _dense((total_kept(operator, size) * mass(operator)).nan_to_num(), operator)
        mean = math.prod(operator.output_size(size)) / math.prod(size)
        where = f"at {times(size)}"
    # of a constant of 1; a total has the bias of all samples that a cell becomes
    bias = _bias(affine)
    as_total = 100 * max(_off(arrives, 1.0), bias * mean)
    as_mean = 100 * max(_off(arrives, mean), bias)
    measure = min(as_total, as_mean)
    words = f"{where} a total {_comes_out(arrives, 1.0)}, a mean {_comes_out(arrives, mean)}"
    at_border = 100 * float((arrives - inside).abs().max() / inside.abs().max().clamp(min=1e-300))
    if at_border > PER_CENT:
        words += f"; the border takes or adds {at_border:.3g} %"
    if bias:
        words += f"; its bias adds up to {bias:.3g} to every sample"
    words += _of_what(reading)
    return Verdict(kind="finding" if measure > PER_CENT else "ok", measure=measure, words=words)


@rule(
    "UP402",
    "block means not kept",
    Reading,
    severity="error",
    threshold=PART,
    unit="of a cell's value",
    reason=REASON,
    remedy=(
        "correct the output so that every block has the mean of its cell, or use a kernel whose phases have "
        "a mean of 1 on the cell itself and 0 on its neighbours, such as nearest"
    ),
    fix="repair: changes its weights by the least that gives every block what its cell holds",
    conserves=True,
)
def block_means(reading: Reading) -> Verdict:
    """Measure the largest error that one cell causes in the mean, or in the total, of a block."""
    affine = _judged(reading)
    operator = affine.operator
    try:
        as_mean = float(block_mean_error(operator))
        as_total = float(block_mean_error(replace(operator, taps=operator.taps * operator.phases)))
    except ShapeError as error:
        return Verdict(kind="skipped", words=str(error))
    bias = _bias(affine)
    measure = min(max(as_mean, bias), max(as_total, bias * operator.phases))
    words = (
        f"a cell of 1 changes the mean of a block by up to {as_mean:.3g} more or less than it should, "
        f"its total by {as_total:.3g}"
    )
    if measure <= PART:
        words = f"every block keeps the {'mean' if as_mean <= as_total else 'total'} of its cell"
    if bias:
        words += f"; its bias adds up to {bias:.3g} to every sample"
    words += _of_what(reading)
    return Verdict(kind="finding" if measure > PART else "ok", measure=measure, words=words)


def _judged(reading: Reading) -> Affine:
    """The whole model where it is linear throughout and not too wide, else the layer."""
    if not _is_whole(reading):
        return _detached(reading.site.affine())
    whole: Affine = reduce(compose_affine, map(_detached, reading.site.stages()))
    return whole


def _detached(affine: Affine) -> Affine:
    operator = replace(affine.operator, taps=affine.operator.taps.detach())
    return Affine(operator=operator, bias=None if affine.bias is None else affine.bias.detach())


def _bias(affine: Affine) -> float:
    """What the biases add to every sample, on average over the phases, of the channel that has most."""
    return 0.0 if affine.bias is None else float(affine.bias.double().mean(dim=0).abs().max())


def _is_whole(reading: Reading) -> bool:
    if not reading.is_whole_model:
        return False
    return all(max(stage.operator.taps.shape[1:3]) <= FEW_CHANNELS for stage in reading.site.stages())


def _of_what(reading: Reading) -> str:
    if _is_whole(reading):
        return " (the whole model)" if len(reading.site.chain) > len(reading.site.layer) else ""
    return " (this layer alone: there is more to the model)"


def _known(size: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    known = tuple(cells for cells in size or () if cells is not None)
    return known if size is not None and len(known) == len(size) else None


def _dense(matrix: Tensor, operator: Polyphase) -> Tensor:
    """A matrix (out, in of one group) with zeros between channels that do not meet."""
    blocks = matrix.double().reshape(operator.groups, -1, matrix.shape[1])
    dense = blocks.new_zeros(len(blocks), blocks.shape[1], len(blocks), blocks.shape[2])
    index = torch.arange(len(blocks))
    dense[index, :, index] = blocks
    return dense.flatten(2).flatten(0, 1)


def _off(matrix: Tensor, wanted: float) -> float:
    """Largest deviation, as a part of what is wanted: per channel, or of all channels where they differ."""
    out, into = matrix.shape
    if out == into:
        return float((matrix - wanted * torch.eye(out, dtype=matrix.dtype)).abs().max()) / wanted
    return float((matrix.sum(dim=0) - wanted).abs().max()) / wanted


def _comes_out(matrix: Tensor, wanted: float) -> str:
    if matrix.numel() == 1:
        part = matrix.item() / wanted
        change = 100 * (part - 1)
        made = (
            "kept" if abs(change) <= PER_CENT else f"{abs(change):.3g} % {'made' if change > 0 else 'lost'}"
        )
        return f"comes out as {part:.4g} of itself ({made})"
    what = "in its own channel" if matrix.shape[0] == matrix.shape[1] else "of all channels together"
    return f"{what} comes out up to {100 * _off(matrix, wanted):.3g} % off"
