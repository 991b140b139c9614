"""Turn a graph and its upsampling sites into the periods that patterns may have in its outputs."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from upstroke.audit.reading import Reading
from upstroke.graph import Graph
from upstroke.graph.steps import Convolution, PixelShuffle, Pool, Resize, TransposedConvolution, Upsampling

__all__ = ["periods_of"]

# As many are listed; a deep generator's longest fit no output anyway.
MOST = 6
Rate = tuple[Fraction, ...]


def periods_of(graph: Graph, readings: Sequence[Reading]) -> list[tuple[int, ...]]:
    """Per site and output: the samples of the output for each cell of the site's input, where whole.

    A pattern that a site of scale s makes has a period of s samples, and of s times as many where later
    sites grow the map further.

    >>> import torch
    >>> from upstroke.audit import check
    >>> grow = [torch.nn.ConvTranspose2d(2, 2, (4, 6), stride=(2, 3)) for _ in range(2)]
    >>> report = check(torch.nn.Sequential(*grow), torch.rand(1, 2, 5, 7))
    >>> periods_of(report.graph, [each.reading for each in report.sites])
    [(2, 3), (4, 9)]
    """
    if not readings:
        return []
    axes = max(reading.site.ndim for reading in readings)
    rates = _rates(graph, axes)
    found = set()
    for reading in readings:
        cells = rates.get(reading.site.layer[0].inputs[0]) if reading.site.layer[0].inputs else None
        for name in graph.outputs:
            if cells is None or name not in rates or reading.site.ndim != axes:
                continue
            period = tuple(out / cell for out, cell in zip(rates[name], cells, strict=True))
            if all(each == int(each) for each in period) and max(period) > 1:
                found.add(tuple(map(int, period)))
    return sorted(found, key=lambda period: (max(period), period))[:MOST]


def _rates(graph: Graph, axes: int) -> Mapping[str, Rate]:
    """Samples of every map for each sample of what comes in, where strides and scales tell."""
    rates: dict[str, Rate] = {name: (Fraction(1),) * axes for name in graph.inputs}
    for node in graph.nodes:
        known = next((rates[name] for name in node.inputs if name in rates), (Fraction(1),) * axes)
        factors = _factors(node.step)
        if len(factors) not in (0, axes):
            continue
        rates[node.output] = tuple(
            r * f for r, f in zip(known, factors or (Fraction(1),) * axes, strict=True)
        )
    return rates


def _factors(step: object) -> Rate:
    """What a step multiplies the number of samples by; empty where it leaves it."""
    if isinstance(step, Convolution | Pool):
        return tuple(Fraction(1, s) for s in step.stride)
    if isinstance(step, TransposedConvolution):
        return tuple(map(Fraction, step.stride))
    if isinstance(step, Resize):
        return tuple(Fraction(s).limit_denominator(1000) for s in step.scale)
    if isinstance(step, PixelShuffle):
        return tuple(map(Fraction, step.scale))
    if isinstance(step, Upsampling):
        return tuple(map(Fraction, step.operator.scale))
    return ()
