"""Lay out the ladder of sizes that one transposed convolution, repeated, climbs from a seed to a picture."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd
from typing import Any

from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.grid import Grid
from upstroke.plan.layers import Step, Transposed, axes_of, check_most, on_axis, window_of

__all__ = ["Coverage", "GeneratorPlan", "plan_generator"]

SCHEMA = "upstroke.plan/1"
MOST_STEPS = 1000
# a window this long or a stride this large is in no net; the search for better paddings grows with both
LONGEST_WINDOW = 1000
MOST_STRIDE = 100


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many taps reach each output phase of one axis.

    Attributes:
        taps_per_phase: Taps k with (d k - P) mod s = p, for p = 0 .. s - 1.
        even: Whether all phases get the same number, and at least one: s divides K and gcd(d, s) = 1.
    """

    taps_per_phase: tuple[int, ...]
    even: bool

    def as_json(self) -> dict[str, Any]:
        """Give the coverage as plain data."""
        return {"taps_per_phase": list(self.taps_per_phase), "even": self.even}


@dataclass(frozen=True, kw_only=True)
class GeneratorPlan:
    """The maps of a generator, from the seed (step 0) to the picture; grids are in pixels of the seed."""

    layer: Transposed
    coverage: tuple[Coverage, ...]
    steps: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        """Give the plan as plain data."""
        return {
            "schema": SCHEMA,
            "kind": "generator",
            "layer": self.layer.name,
            "from": list(self.steps[0].size),
            "to": list(self.steps[-1].size),
            "coverage": [each.as_json() for each in self.coverage],
            "steps": [step.as_json() for step in self.steps],
        }


def plan_generator(
    start: int | tuple[int, ...],
    to: int | tuple[int, ...],
    *,
    kernel: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] = 0,
    output_padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
) -> GeneratorPlan:
    """Repeat one transposed convolution until the map has the size asked for.

    Each step takes n to s (n - 1) + d (K - 1) + 1 - 2 P + output_padding. A ladder that steps over the target
    is refused, with the padding that would hit it.

    >>> [step.size for step in plan_generator(4, 64, kernel=4, stride=2, padding=1).steps]
    [(4,), (8,), (16,), (32,), (64,)]
    """
    layer = Transposed(
        kernel=kernel, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    ndim = axes_of(
        {
            "from": start,
            "to": to,
            "kernel": kernel,
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
        }
    )
    seed = whole_per_axis(start, ndim, name="from", least=1)
    target = whole_per_axis(to, ndim, name="to", least=1)
    for k, s, _, d in window_of(layer, ndim):
        check_most(s, MOST_STRIDE, name="stride")
        check_most(d * (k - 1) + 1, LONGEST_WINDOW, name="dilation * (kernel - 1) + 1")
    if seed == target or any(t < n for n, t in zip(seed, target, strict=True)):
        would_swap = seed != target and all(t <= n for n, t in zip(seed, target, strict=True))
        message = (
            "a generator must grow: to (--to) must be larger than from (--from); "
            f"got from {times(seed)} to {times(target)}; "
            f"{'swap them, or ' if would_swap else ''}name a larger size to reach"
        )
        raise OptionError(message)
    sizes = _climb(layer, seed, target)
    if sizes[-1] != target:
        raise ShapeError(_why_missed(layer, sizes, target))
    grid = Grid.of_input(ndim)
    steps = [Step(name="seed", size=seed, grid=grid)]
    for size in sizes[1:]:
        grid = layer.grid(grid)
        steps.append(Step(name=layer.name, size=size, grid=grid))
    coverage = tuple(_coverage(on_axis(layer, axis)) for axis in range(ndim))
    return GeneratorPlan(layer=layer, coverage=coverage, steps=tuple(steps))


def _climb(layer: Transposed, seed: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Repeat the layer until the target is met, stepped over on an axis, or out of reach."""
    sizes = [seed]
    while sizes[-1] != target and all(n <= t for n, t in zip(sizes[-1], target, strict=True)):
        sizes.append(layer.size(sizes[-1]))
        stuck = all(new <= old for old, new in zip(sizes[-2], sizes[-1], strict=True))
        if stuck or len(sizes) > MOST_STEPS:
            break
    return sizes


def _why_missed(layer: Transposed, sizes: list[tuple[int, ...]], target: tuple[int, ...]) -> str:
    *_, before, after = sizes
    grew = any(new > old for old, new in zip(before, after, strict=True))
    wanted = f"the ladder from {times(sizes[0])} by {layer.name} should reach {times(target)}"
    if not grew:
        got = f"it goes from {times(before)} to {times(after)} and grows no further"
    elif len(sizes) > MOST_STEPS:
        got = f"it has only come to {times(after)} after {MOST_STEPS} steps"
    else:
        got = f"it goes from {times(before)} to {times(after)}"
    hit = _paddings_that_hit(layer, sizes[0], target)
    others = [n for n in (before, after) if n != sizes[0] and grew and len(sizes) <= MOST_STEPS]
    remedies = []
    if hit is not None:
        remedies.append(f"use padding {times(hit.paddings)} with output_padding {times(hit.output_paddings)}")
    if others:
        remedies.append(f"aim for {' or '.join(map(times, others))}")
    remedy = ", or ".join(remedies) or "use another kernel or stride"
    return f"{wanted}; {got}; {remedy}"


@dataclass(frozen=True, kw_only=True, order=True)
class _Hit:
    """Paddings that take the ladder to the target; the least in this order is the best to offer."""

    axes_not_times_stride: int
    change: int
    output_paddings: tuple[int, ...]
    paddings: tuple[int, ...]


def _paddings_that_hit(layer: Transposed, seed: tuple[int, ...], target: tuple[int, ...]) -> _Hit | None:
    """Find paddings that hit the target, at best by multiplying by the stride on every step."""
    by_steps: list[dict[int, _Hit]] = []
    for axis, (n, t) in enumerate(zip(seed, target, strict=True)):
        best: dict[int, _Hit] = {}
        own = on_axis(layer, axis)
        kernel, stride, given, dilation = window_of(own, 1)[0]
        for p, op in product(range(dilation * (kernel - 1) + 1), range(max(stride, dilation))):
            excess = dilation * (kernel - 1) + 1 - 2 * p + op - stride
            hit = _Hit(
                axes_not_times_stride=int(excess != 0),
                change=abs(p - given),
                output_paddings=(op,),
                paddings=(p,),
            )
            for steps in _steps_to_hit(n, t, stride=stride, excess=excess):
                best[steps] = min(hit, best.get(steps, hit))
        by_steps.append(best)
    together = [
        _Hit(
            axes_not_times_stride=sum(best[steps].axes_not_times_stride for best in by_steps),
            change=sum(best[steps].change for best in by_steps),
            output_paddings=tuple(best[steps].output_paddings[0] for best in by_steps),
            paddings=tuple(best[steps].paddings[0] for best in by_steps),
        )
        for steps in set.intersection(*(set(best) for best in by_steps))
    ]
    return min(together, default=None)


@lru_cache(maxsize=4096)
def _steps_to_hit(size: int, target: int, *, stride: int, excess: int) -> list[int]:
    """List after how many steps n -> stride * n + excess is at the target."""
    hits = []
    for steps in range(1, MOST_STEPS + 1):
        grown = stride * size + excess
        if grown == target:
            hits.append(steps)
        if grown < size or grown < 1 or grown > target or (grown == size and grown != target):
            break
        size = grown
    return hits


def _coverage(layer: Transposed) -> Coverage:
    """Count, on the one axis of this layer, the taps that reach each phase."""
    kernel, stride, padding, dilation = window_of(layer, 1)[0]
    phases = [(dilation * k - padding) % stride for k in range(kernel)]
    return Coverage(
        taps_per_phase=tuple(phases.count(p) for p in range(stride)),
        even=kernel % stride == 0 and gcd(dilation, stride) == 1,
    )
