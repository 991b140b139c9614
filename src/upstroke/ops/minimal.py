"""Apply a dense transposed convolution by minimal filtering: fewer products than taps, weights prepared."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from upstroke.ops.kernels import Kernels, MinimalNumbers, native
from upstroke.ops.layout import empty, is_channels_last

__all__ = ["Filtering", "is_served", "prepare", "run", "seen_before"]

# Taps of a phase, per axis, that the kernels combine.
MOST_TAPS = 3

# Places of a weight that are looked at to see that it is as it was.
LOOKED_AT = 64


class Filtering(NamedTuple):
    """The numbers of one transposed convolution of one or two axes, sizes apart.

    Every phase is a small convolution. Where y0 = a x0 + b x1, y1 = a x1 + b x2 and y2 = a x2 + b x3, the
    four products (x0 - x2) a, (x1 + x2) (a + b) / 2, (x2 - x1) (a - b) / 2 and (x3 - x1) b are enough: y0 is
    the sum of the first three, y1 the second less the third, y2 the sum of the last three. Two samples of
    three taps take four as well. In two axes one is done within the other, and cells beyond the border make
    no products. Source: S. Winograd, Arithmetic Complexity of Computations, SIAM 1980; for convolutions of
    many channels A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


class _Prepared(NamedTuple):
    """A prepared weight, and what tells that the weight is still the one it was made of.

    version, place: of the weight's memory; None where PyTorch keeps no count of its changes.
    looked_at: some of its numbers, since changes through `weight.data` are not counted.
    weight: its sums of taps; None until somebody asks a second time.
    """

    version: int
    place: int
    looked_at: Tensor
    weight: Tensor | None


_PREPARED = cast("dict[Tensor, dict[Filtering, _Prepared]]", WeakTensorKeyDictionary())


def is_served(x: Tensor, numbers: Filtering, dilation: Sequence[int], groups: int) -> bool:
    """Whether the kernels can compute this: float32 on the CPU, one or two axes, few taps, some cells.

    >>> is_served(torch.zeros(1, 4, 5, 7), Filtering((4, 4), (2, 2), (1, 1)), (1, 1), 1)
    True
    >>> is_served(torch.zeros(1, 4, 5, 7), Filtering((7, 4), (2, 2), (1, 1)), (1, 1), 1)
    False
    """
    few = all(k <= MOST_TAPS * s for k, s in zip(numbers.kernel, numbers.stride, strict=True))
    return (
        few
        and groups == 1
        and x.ndim in (3, 4)
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel() > 0
        and set(dilation) == {1}
        and native() is not None
    )


def seen_before(weight: Tensor, numbers: Filtering) -> Tensor | None:
    """The prepared weight, if this weight was seen before as it is; None: it is new, or was changed.

    The first time a weight is only noted, the second time it is prepared, which takes as long as a few
    calls, and what was prepared is kept until the weight is changed in place or is gone. A change is told by
    the count that PyTorch keeps of them, by the place in memory, and, because `weight.data` is not counted,
    by some numbers of the weight.

    >>> weight, numbers = torch.ones(2, 3, 4, 4), Filtering((4, 4), (2, 2), (1, 1))
    >>> seen_before(weight, numbers) is None, seen_before(weight, numbers) is None
    (True, False)
    >>> _ = weight.mul_(2)
    >>> seen_before(weight, numbers) is None
    True
    """
    if weight.is_inference():
        # its changes are not counted
        return None
    ours = _PREPARED.setdefault(weight, {})
    known, version, place = ours.get(numbers), weight._version, weight.data_ptr()
    looked_at = _some_of(weight)
    is_same = (
        known is not None
        and (known.version, known.place) == (version, place)
        and torch.equal(known.looked_at, looked_at)
    )
    if not is_same:
        ours[numbers] = _Prepared(version, place, looked_at.clone(), None)
        return None
    assert known is not None
    if known.weight is None:
        known = known._replace(weight=prepare(weight, numbers))
        ours[numbers] = known
    return known.weight


def prepare(weight: Tensor, numbers: Filtering) -> Tensor:
    """The sums of taps that the products take, for a weight (channels in, channels out, *kernel).

    >>> prepare(torch.ones(2, 16, 4, 4), Filtering((4, 4), (2, 2), (1, 1))).shape
    torch.Size([2048])
    """
    problem = _problem(numbers, batch=1, sizes=(weight.shape[0], weight.shape[1]), cells=None, samples=None)
    prepared = torch.empty(problem.prepared_size, dtype=torch.float32)
    weight = weight.detach().contiguous()
    _kernels().prepare_minimal(weight.data_ptr(), prepared.data_ptr(), problem)
    return prepared


def run(
    x: Tensor, prepared: Tensor, bias: Tensor | None, numbers: Filtering, out: int, samples: Sequence[int]
) -> Tensor:
    """The output of so many channels and samples, in the layout that came in.

    >>> numbers = Filtering((4,), (2,), (1,))
    >>> run(torch.ones(1, 1, 3), prepare(torch.ones(1, 1, 4), numbers), None, numbers, 1, (6,))
    tensor([[[1., 2., 2., 2., 2., 1.]]])
    """
    last = is_channels_last(x)
    x = x if last else x.contiguous()
    y = empty(x, (x.shape[0], out, *samples), channels_last=last)
    problem = _problem(
        numbers,
        batch=x.shape[0],
        sizes=(x.shape[1], out),
        cells=tuple(x.shape[2:]),
        samples=tuple(samples),
        channels_last=last,
    )
    bias = None if bias is None else bias.contiguous()
    _kernels().minimal(
        x.data_ptr(), prepared.data_ptr(), 0 if bias is None else bias.data_ptr(), y.data_ptr(), problem
    )
    return y


def _problem(
    numbers: Filtering,
    *,
    batch: int,
    sizes: tuple[int, int],
    cells: tuple[int, ...] | None,
    samples: tuple[int, ...] | None,
    channels_last: bool = False,
) -> MinimalNumbers:
    """The numbers as the kernels take them; of a weight alone the maps' sizes do not matter."""
    axes = len(numbers.kernel)
    # one axis is the second of two
    one, none = ((1,), (0,)) if axes == 1 else ((), ())
    return _kernels().Minimal(
        batch=batch,
        channels=sizes[0],
        out=sizes[1],
        cells=one + (cells or (1,) * axes),
        samples=one + (samples or (1,) * axes),
        scale=one + numbers.stride,
        kernel=one + numbers.kernel,
        padding=none + numbers.padding,
        channels_last=channels_last,
        threads=torch.get_num_threads(),
    )


def _some_of(weight: Tensor) -> Tensor:
    """Numbers from all over a weight, those of its first row of a channel among them."""
    step = max(1, weight.numel() // LOOKED_AT)
    # odd, so that it meets every tap of a kernel whose taps are a power of two
    return weight.detach().reshape(-1)[:: step | 1]


def _kernels() -> Kernels:
    kernels = native()
    assert kernels is not None
    return kernels
