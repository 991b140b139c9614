"""Compute a transposed convolution, and its gradients in the map and in the weight, in several forms each."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from upstroke.ops.convolutions import CONV, CONV_TRANSPOSE
from upstroke.ops.interleave import deinterleave_into, interleave_into
from upstroke.ops.layout import empty, is_channels_last
from upstroke.ops.relayout import relaid

__all__ = ["FORMS", "OWN", "Call", "Form", "Part"]

Part = str

# Numbers that are gathered at a time: enough for a fast matrix product, few beside the maps.
GATHERED = 2**17

# Numbers of a product that are made at a time, to be shuffled while they are in a cache: by one thread, since
# those of PyTorch wait for the next product without rest, and would be in the way of others.
PRODUCED = 2**19


class Call(NamedTuple):
    """The numbers of one transposed convolution: sample n = stride * m + dilation * k - padding.

    weight_last: whether the weight, or the gradient in it that is wanted, has the output channels innermost.
    """

    cells: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    weight_last: bool

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.cells)

    @property
    def samples(self) -> tuple[int, ...]:
        """The output's size."""
        each = zip(
            self.cells,
            self.kernel,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            strict=True,
        )
        return tuple(s * (n - 1) + d * (k - 1) + 1 - 2 * p + e for n, k, s, p, e, d in each)

    def on_axis(self, axis: int) -> "Call":
        """The same along one axis."""
        return self._replace(
            cells=self.cells[axis : axis + 1],
            kernel=self.kernel[axis : axis + 1],
            stride=self.stride[axis : axis + 1],
            padding=self.padding[axis : axis + 1],
            output_padding=self.output_padding[axis : axis + 1],
            dilation=self.dilation[axis : axis + 1],
        )

    @property
    def is_tiling(self) -> bool:
        """Whether every cell draws its own samples and no other cell draws there."""
        return (
            self.kernel == self.stride
            and set(self.dilation) == {1}
            and not any(self.padding)
            and not any(self.output_padding)
        )


Run = Callable[..., Tensor]


class Form(NamedTuple):
    """A way to compute one part, and the calls that it serves.

    run: takes the two tensors and the call; behind them a bias, or None, if takes_bias.
    adds_products: whether several products are rounded and then added, so that in bfloat16 it is less
        accurate than PyTorch's call.
    """

    run: Run
    serves: Callable[[Call], bool]
    takes_bias: bool = False
    adds_products: bool = False

    def is_exact_in(self, dtype: torch.dtype) -> bool:
        """Whether results in this dtype are sums that were rounded once, or as good."""
        return not self.adds_products or dtype in (torch.float32, torch.float64)


def _always(call: Call) -> bool:
    return True


def _is_dense(call: Call) -> bool:
    return call.groups == 1


def _is_one_cell(call: Call) -> bool:
    """Whether the map has one cell and its kernel is the output, so that the layer is one matrix product."""
    return (
        call.groups == 1
        and math.prod(call.cells) == 1
        and call.samples == call.kernel
        and not any(call.padding)
    )


def _folds(call: Call) -> bool:
    """Whether PyTorch's fold counts as many cells as the map has."""
    return call.groups == 1 and all(e < s for e, s in zip(call.output_padding, call.stride, strict=True))


def _is_dense_tiling(call: Call) -> bool:
    return call.groups == 1 and call.is_tiling


def _in_two_axes(run: Run) -> Run:
    """Calls in one axis as calls in two, the first of which has one row; others as they are."""

    def run_so(first: Tensor, second: Tensor, call: Call, *bias: Tensor | None) -> Tensor:
        if call.ndim > 1:
            return run(first, second, call, *bias)
        one, none = (1,), (0,)
        wide = Call(
            cells=one + call.cells,
            kernel=one + call.kernel,
            stride=one + call.stride,
            padding=none + call.padding,
            output_padding=none + call.output_padding,
            dilation=one + call.dilation,
            groups=call.groups,
            weight_last=call.weight_last,
        )
        return run(first.unsqueeze(2), second.unsqueeze(2), wide, *bias).squeeze(2)

    return run_so


# Forward: (x, weight) -> y


def _own(x: Tensor, weight: Tensor, call: Call, bias: Tensor | None = None) -> Tensor:
    """PyTorch's call, as it is."""
    return CONV_TRANSPOSE[call.ndim](
        x, weight, bias, call.stride, call.padding, call.output_padding, call.groups, call.dilation
    )


def _contiguous(x: Tensor, weight: Tensor, call: Call, bias: Tensor | None = None) -> Tensor:
    """PyTorch's call on maps with the channels outside."""
    return _own(relaid(x, channels_last=False), weight.contiguous(), call, bias)


@_in_two_axes
def _channels_last(x: Tensor, weight: Tensor, call: Call, bias: Tensor | None = None) -> Tensor:
    """PyTorch's call on maps with the channels innermost."""
    return _own(relaid(x, channels_last=True), weight, call, bias)


def _one_cell(x: Tensor, weight: Tensor, call: Call) -> Tensor:
    """One matrix product: a map of one cell draws one kernel."""
    kernels = weight.movedim(1, -1) if call.weight_last else weight
    y = (x.flatten(1) @ kernels.flatten(1)).view(-1, *kernels.shape[1:])
    return y.movedim(-1, 1) if call.weight_last else y


def _tiles(x: Tensor, weight: Tensor, call: Call, bias: Tensor | None = None) -> Tensor:
    """A matrix product and a shuffle, strip by strip: no two kernels overlap."""
    y = x.new_empty(x.shape[0], weight.shape[1], *call.samples)
    kernels, buffer = weight.flatten(1).t(), _strip_buffer(x, weight.shape[1], call)
    each = None if bias is None else bias.repeat_interleave(math.prod(call.kernel))[:, None]
    for cells, samples in zip(x, y, strict=True):
        for strip in _strips(call, kernels.shape[0]):
            some, product = cells.flatten(1)[:, strip.place], strip.of(buffer)
            if each is None:
                torch.mm(kernels, some, out=product)
            else:
                torch.addmm(each, kernels, some, out=product)
            interleave_into(product.view(-1, *strip.cells), samples[strip.samples], call.stride, threads=1)
    return y


def _columns(x: Tensor, weight: Tensor, call: Call, bias: Tensor | None = None) -> Tensor:
    """A matrix product draws every kernel; then they are added where they overlap, channels outside."""
    y = empty(x, (x.shape[0], weight.shape[1], *call.samples), channels_last=is_channels_last(x))
    kernels = weight.flatten(1).t()
    few = max(1, PRODUCED // (8 * kernels.shape[0] * math.prod(call.cells)))
    for cells, samples in zip(torch.split(x, few), torch.split(y, few), strict=True):
        columns = torch.bmm(kernels.expand(cells.shape[0], -1, -1), cells.flatten(2))
        drawn = _folded(columns, call)
        if bias is None:
            samples.copy_(drawn)
        else:
            torch.add(drawn, bias.view(-1, *[1] * call.ndim), out=samples)
    return y


def _folded(columns: Tensor, call: Call) -> Tensor:
    """Kernels (batch, channels * taps, cells) added where they overlap."""
    if call.ndim == 3:
        columns = columns.view(columns.shape[0], -1, math.prod(call.kernel), *call.cells)
        full = columns.new_zeros(*columns.shape[:2], *_whole(call))
        for place, tap in _taps(call):
            full[:, :, *_drawn(call, tap)] += columns[:, :, place]
        return _crop(full, call)
    # PyTorch's fold has two axes
    one, none = ((1,), (0,)) if call.ndim == 1 else ((), ())
    y = functional.fold(
        columns,
        one + call.samples,
        one + call.kernel,
        dilation=one + call.dilation,
        padding=none + call.padding,
        stride=one + call.stride,
    )
    return y.squeeze(2) if call.ndim == 1 else y


def _columns_inside(x: Tensor, weight: Tensor, call: Call) -> Tensor:
    """One matrix product draws every kernel; then they are added where they overlap, channels innermost."""
    rows = x.movedim(1, -1).reshape(-1, x.shape[1])
    columns = rows @ weight.movedim(1, -1).flatten(1)
    if call.is_tiling:
        drawn = columns.view(-1, *call.cells, *call.kernel, weight.shape[1])
        order = [place for axis in range(call.ndim) for place in (1 + axis, 1 + call.ndim + axis)]
        y = drawn.permute(0, *order, -1).reshape(-1, *call.samples, weight.shape[1])
        return y.movedim(-1, 1)
    full = x.new_zeros(x.shape[0], *_whole(call), weight.shape[1])
    drawn = columns.view(-1, *call.cells, math.prod(call.kernel), weight.shape[1])
    for place, tap in _taps(call):
        full[:, *_drawn(call, tap)] += drawn.select(-2, place)
    return _crop(full.movedim(-1, 1), call)


def _by_taps(x: Tensor, weight: Tensor, call: Call) -> Tensor:
    """One matrix product per tap, over the cells alone whose sample is in the output; the batch inside."""
    batch, channels = x.shape[:2]
    cells = x.permute(*_places(call), 0, 1).contiguous()
    y, kernel = x.new_zeros(*call.samples, batch, weight.shape[1]), weight.flatten(2)
    for place, tap in _taps(call):
        read, drawn = _within(call, tap)
        if read is not None:
            part = cells[read]
            product = part.reshape(-1, channels) @ kernel[:, :, place]
            y[drawn] += product.view(*part.shape[:-1], weight.shape[1])
    return y.permute(-2, -1, *range(call.ndim))


# Gradient in the map: (y, weight) -> x


def _own_input(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """What PyTorch does when it goes back through its own call."""
    x = y.new_empty(1).expand(y.shape[0], weight.shape[0], *call.cells)
    return _own_backward(y, x, weight, call, 0)


def _conv_input(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """The strided convolution with the same weight, channels outside."""
    return _convolved(relaid(y, channels_last=False), weight.contiguous(), call)


@_in_two_axes
def _conv_input_inside(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """The strided convolution with the same weight, channels innermost."""
    return _convolved(relaid(y, channels_last=True), weight, call)


def _one_cell_input(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """One matrix product, as forward."""
    y, weight = (each.movedim(1, -1) if call.weight_last else each for each in (y, weight))
    return (y.flatten(1) @ weight.flatten(1).t()).view(y.shape[0], -1, *call.cells)


def _tiles_input(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """A shuffle back and a matrix product, strip by strip."""
    x = y.new_empty(y.shape[0], weight.shape[0], *call.cells)
    kernels, buffer = weight.flatten(1), _strip_buffer(y, weight.shape[1], call)
    for cells, samples in zip(x, y, strict=True):
        for strip in _strips(call, kernels.shape[1]):
            phases = strip.of(buffer)
            deinterleave_into(samples[strip.samples], phases.view(-1, *strip.cells), call.stride, threads=1)
            torch.mm(kernels, phases, out=cells.flatten(1)[:, strip.place])
    return x


def _columns_input_inside(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """Every kernel's samples gathered, channels innermost, and one matrix product."""
    matrix = weight.movedim(1, -1).flatten(1).t()
    x = y.new_empty(y.shape[0] * math.prod(call.cells), weight.shape[0])
    for place, columns in _gathered(y, call):
        torch.mm(columns, matrix, out=x[place])
    return x.view(-1, *call.cells, weight.shape[0]).movedim(-1, 1)


def _by_taps_input(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    """One matrix product per tap, over the samples that it drew; the batch inside."""
    samples = y.permute(*_places(call), 0, 1).contiguous()
    x, kernel = y.new_zeros(*call.cells, y.shape[0], weight.shape[0]), weight.flatten(2)
    for place, tap in _taps(call):
        read, drawn = _within(call, tap)
        if read is not None:
            part = samples[drawn]
            product = part.reshape(-1, y.shape[1]) @ kernel[:, :, place].t()
            x[read] += product.view(*part.shape[:-1], weight.shape[0])
    return x.permute(-2, -1, *range(call.ndim))


# Gradient in the weight: (x, y) -> weight


def _own_weight(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """What PyTorch does when it goes back through its own call."""
    shape = (x.shape[1], y.shape[1] // call.groups, *call.kernel)
    return _written(_own_backward(y, x, x.new_empty(1).expand(shape), call, 1), call)


def _conv_weight(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """The gradient of the strided convolution in its weight, channels outside."""
    x, y = (relaid(each, channels_last=False) for each in (x, y))
    return _convolution_weight(x, y, call)


@_in_two_axes
def _conv_weight_inside(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """The gradient of the strided convolution in its weight, channels innermost."""
    x, y = (relaid(each, channels_last=True) for each in (x, y))
    return _written(_convolution_weight(x, y, call), call)


def _written(weight: Tensor, call: Call) -> Tensor:
    """The gradient, with zeros at taps that draw no sample of the output.

    In bfloat16 with channels innermost PyTorch 2.13 leaves whatever was in memory there.
    """
    if weight.element_size() >= 4:
        return weight
    for axis, taps in enumerate(call.kernel):
        alone = call.on_axis(axis)
        for tap in range(taps):
            if _within(alone, (tap,))[0] is None:
                weight.select(2 + axis, tap).zero_()
    return weight


def _one_cell_weight(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """One matrix product, as forward."""
    y = y.movedim(1, -1) if call.weight_last else y
    weight = (x.flatten(1).t() @ y.flatten(1)).view(-1, *y.shape[1:])
    return weight.movedim(-1, 1) if call.weight_last else weight


def _tiles_weight(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """A shuffle back and a matrix product, strip by strip where the products may be added up."""
    rows = y.shape[1] * math.prod(call.kernel)
    if x.element_size() < 4:
        # products come out rounded, so there is but one
        every = y.new_empty(rows, y.shape[0], *call.cells)
        for samples, phases in zip(y, every.unbind(1), strict=True):
            deinterleave_into(samples, phases, call.stride)
        weight = x.movedim(1, 0).flatten(1) @ every.flatten(1).t()
    else:
        weight, buffer = x.new_zeros(x.shape[1], rows), _strip_buffer(y, y.shape[1], call)
        for cells, samples in zip(x, y, strict=True):
            for strip in _strips(call, rows):
                phases = strip.of(buffer)
                deinterleave_into(
                    samples[strip.samples], phases.view(-1, *strip.cells), call.stride, threads=1
                )
                weight.addmm_(cells.flatten(1)[:, strip.place], phases.t())
    return weight.view(-1, y.shape[1], *call.kernel)


def _columns_weight_inside(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """Every kernel's samples gathered, channels innermost, and one matrix product."""
    rows = x.movedim(1, -1).reshape(-1, x.shape[1])
    weight = x.new_zeros(x.shape[1], math.prod(call.kernel) * y.shape[1])
    for place, columns in _gathered(y, call):
        weight.addmm_(rows[place].t(), columns)
    return weight.view(-1, *call.kernel, y.shape[1]).movedim(-1, 1)


def _by_taps_weight(x: Tensor, y: Tensor, call: Call) -> Tensor:
    """One matrix product per tap, over the cells alone whose sample is in the output."""
    cells, samples = (each.permute(*_places(call), 0, 1).contiguous() for each in (x, y))
    weight = x.new_empty(x.shape[1], math.prod(call.kernel), y.shape[1])
    for place, tap in _taps(call):
        read, drawn = _within(call, tap)
        if read is None:
            weight[:, place] = 0
            continue
        rows, columns = cells[read].reshape(-1, x.shape[1]), samples[drawn].reshape(-1, y.shape[1])
        torch.mm(rows.t(), columns, out=weight[:, place])
    return weight.view(-1, *call.kernel, y.shape[1]).movedim(-1, 1)


# What tests and benchmarks iterate over.
FORMS: Mapping[Part, Mapping[str, Form]] = {
    "forward": {
        "own": Form(_own, _always, takes_bias=True),
        "contiguous": Form(_contiguous, _always, takes_bias=True),
        "channels-last": Form(_channels_last, _always, takes_bias=True),
        "one cell": Form(_one_cell, _is_one_cell),
        "tiles": Form(_tiles, _is_dense_tiling, takes_bias=True),
        "columns": Form(_columns, _folds, takes_bias=True, adds_products=True),
        "columns, channels-last": Form(_columns_inside, _is_dense, adds_products=True),
        "taps": Form(_by_taps, _is_dense, adds_products=True),
    },
    "input gradient": {
        "own": Form(_own_input, _always),
        "contiguous": Form(_conv_input, _always),
        "channels-last": Form(_conv_input_inside, _always),
        "one cell": Form(_one_cell_input, _is_one_cell),
        "tiles": Form(_tiles_input, _is_dense_tiling),
        "columns, channels-last": Form(_columns_input_inside, _is_dense),
        "taps": Form(_by_taps_input, _is_dense, adds_products=True),
    },
    "weight gradient": {
        "own": Form(_own_weight, _always),
        "contiguous": Form(_conv_weight, _always),
        "channels-last": Form(_conv_weight_inside, _always),
        "one cell": Form(_one_cell_weight, _is_one_cell),
        "tiles": Form(_tiles_weight, _is_dense_tiling),
        "columns, channels-last": Form(_columns_weight_inside, _is_dense, adds_products=True),
        "taps": Form(_by_taps_weight, _is_dense),
    },
}

# What PyTorch computes when it is called in the layout that came in.
OWN = "own"


def _places(call: Call) -> range:
    """The spatial axes of a map."""
    return range(2, 2 + call.ndim)


def _taps(call: Call) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The taps, counted in C order."""
    return enumerate(itertools.product(*map(range, call.kernel)))


def _whole(call: Call) -> tuple[int, ...]:
    """Samples that all kernels draw on, and those that the output adds behind: all before the crop."""
    return tuple(n + 2 * p for n, p in zip(call.samples, call.padding, strict=True))


def _crop(full: Tensor, call: Call) -> Tensor:
    sizes = zip(call.padding, call.samples, strict=True)
    return full[:, :, *(slice(p, p + n) for p, n in sizes)]


def _drawn(call: Call, tap: tuple[int, ...]) -> tuple[slice, ...]:
    """Where a tap of all cells draws, before the crop."""
    each = zip(call.cells, call.stride, call.dilation, tap, strict=True)
    return tuple(slice(d * k, d * k + s * (n - 1) + 1, s) for n, s, d, k in each)


def _within(call: Call, tap: tuple[int, ...]) -> tuple[tuple[slice, ...] | None, tuple[slice, ...]]:
    """The cells whose sample at this tap is in the output, and these samples; None: there are none."""
    read, drawn = [], []
    each = zip(call.cells, call.samples, call.stride, call.padding, call.dilation, tap, strict=True)
    for n, size, s, p, d, k in each:
        shift = d * k - p
        first, last = max(0, -(shift // s)), min(n - 1, (size - 1 - shift) // s)
        if first > last:
            return None, ()
        read.append(slice(first, last + 1))
        drawn.append(slice(s * first + shift, s * last + shift + 1, s))
    return tuple(read), tuple(drawn)


class Strip(NamedTuple):
    """Cells of a map that lie one after the other, and the samples that they own.

    place: in a row of all cells.
    cells: so many per axis.
    samples: in a map (channels, *samples).
    """

    place: slice
    cells: tuple[int, ...]
    samples: tuple[slice, ...]

    def of(self, buffer: Tensor) -> Tensor:
        """The front of a buffer with a row of so many cells for each of its rows."""
        count = math.prod(self.cells)
        return buffer.flatten()[: buffer.shape[0] * count].view(-1, count)


def _strips(call: Call, numbers: int) -> Iterator[Strip]:
    """A map in strips of few enough cells, each of which has so many numbers."""
    # the outermost axis of which one step is few enough; along those before it go single cells
    steps = [math.prod(call.cells[axis + 1 :]) for axis in range(call.ndim)]
    axis = next((axis for axis, step in enumerate(steps) if step * numbers <= PRODUCED), call.ndim - 1)
    behind, step = call.cells[axis + 1 :], steps[axis]
    few = max(1, PRODUCED // (numbers * step))
    start = 0
    for outer in itertools.product(*map(range, call.cells[:axis])):
        for first in range(0, call.cells[axis], few):
            count = min(few, call.cells[axis] - first)
            cells = (1,) * axis + (count, *behind)
            firsts = (*outer, first, *(0,) * len(behind))
            each = zip(call.stride, firsts, cells, strict=True)
            samples = (slice(None), *(slice(s * m, s * (m + n)) for s, m, n in each))
            yield Strip(slice(start, start + count * step), cells, samples)
            start += count * step


def _strip_buffer(maps: Tensor, out: int, call: Call) -> Tensor:
    """Memory for one strip: a row of cells for each output channel and phase."""
    rows = out * math.prod(call.kernel)
    # none is larger than the first
    return maps.new_empty(rows, math.prod(next(_strips(call, rows)).cells))


def _gathered(y: Tensor, call: Call) -> Iterator[tuple[slice, Tensor]]:
    """The samples that the taps of each cell drew, a row of taps * channels per cell, in parts."""
    inside = y.movedim(1, -1)
    pad = [0, 0]
    for n, size, k, s, p, d in reversed(
        list(
            zip(call.cells, call.samples, call.kernel, call.stride, call.padding, call.dilation, strict=True)
        )
    ):
        pad += [p, s * (n - 1) + d * (k - 1) + 1 - p - size]
    if any(pad):
        inside = functional.pad(inside, pad)
    inside = inside.contiguous()
    batch, *steps, one = inside.stride()
    strides = (
        batch,
        *(s * step for s, step in zip(call.stride, steps, strict=True)),
        *(d * step for d, step in zip(call.dilation, steps, strict=True)),
        one,
    )
    windows = inside.as_strided((y.shape[0], *call.cells, *call.kernel, y.shape[1]), strides)
    line = math.prod(call.cells[1:])
    few = max(1, GATHERED // (line * math.prod(call.kernel) * y.shape[1]))
    # whole maps where many of them are few numbers, else some lines of one
    maps = max(1, few // call.cells[0])
    for first in range(0, y.shape[0], maps):
        some = windows[first : first + maps]
        for start in range(0, call.cells[0], few):
            part = some[:, start : start + few]
            begin = (first * call.cells[0] + start) * line
            count = part.shape[0] * part.shape[1] * line
            yield slice(begin, begin + count), part.reshape(count, -1)


def _own_backward(y: Tensor, x: Tensor, weight: Tensor, call: Call, which: int) -> Tensor:
    gradient: Tensor = torch.ops.aten.convolution_backward(
        y,
        x,
        weight,
        None,
        call.stride,
        call.padding,
        call.dilation,
        True,
        call.output_padding,
        call.groups,
        [which == 0, which == 1, False],
    )[which]
    return gradient


def _convolved(y: Tensor, weight: Tensor, call: Call) -> Tensor:
    x = CONV[call.ndim](y, weight, None, call.stride, call.padding, call.dilation, call.groups)
    # an output_padding of a stride or more, which a dilation allows, makes cells that were not there
    return x[:, :, *(slice(n) for n in call.cells)]


def _convolution_weight(x: Tensor, y: Tensor, call: Call) -> Tensor:
    each = zip(call.stride, call.output_padding, strict=True)
    beyond = [e // s for s, e in each]
    if any(beyond):
        x = functional.pad(x, [side for n in reversed(beyond) for side in (0, n)])
    weight = x.new_empty(1).expand(x.shape[1], y.shape[1] // call.groups, *call.kernel)
    gradient: Tensor = torch.ops.aten.convolution_backward(
        x,
        y,
        weight,
        None,
        call.stride,
        call.padding,
        call.dilation,
        False,
        (0,) * call.ndim,
        call.groups,
        [False, True, False],
    )[1]
    return gradient
