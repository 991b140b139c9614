"""Turn example inputs of a model into the same inputs with a test signal in the place of their maps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upstroke.errors import OptionError

__all__ = ["Signals", "signals_for"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Signals:
    """Which inputs are replaced, and around what.

    Attributes:
        inputs: as the user gave them.
        places: of those that are replaced: the maps, or the latents of a generator that takes no map.
        size: spatial size of the maps; empty for a generator.
        level: of each replaced input, what the constant is.
        spread: of each replaced input, the standard deviation of the noise.
    """

    inputs: tuple[Tensor, ...]
    places: tuple[int, ...]
    size: tuple[int, ...]
    level: tuple[float, ...]
    spread: tuple[float, ...]

    @property
    def step(self) -> float:
        """What is added to a constant to measure a derivative, in units of the inputs' spread.

        Small beside what the model is used to, and large beside the rounding of its numbers.
        """
        eps = max(torch.finfo(self.inputs[place].dtype).eps for place in self.places)
        return max(2.0**-6, math.sqrt(eps))

    def constant(self) -> tuple[Tensor, ...]:
        """The inputs with each map at its level."""
        return self._with([torch.zeros(()).double()] * len(self.places))

    def noise(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The inputs with white Gaussian noise about each level, independent in every channel."""
        return self._with(
            [torch.randn(self.inputs[place].shape, generator=generator).double() for place in self.places]
        )

    def moved(self, inputs: Sequence[Tensor], direction: Tensor) -> tuple[Tensor, ...]:
        """The inputs, whatever stands in their places, a step further in this direction in every channel."""
        made = list(inputs)
        for place, spread in zip(self.places, self.spread, strict=True):
            step = (self.step * spread * direction).to(inputs[place].device)
            made[place] = (inputs[place].double() + step).to(inputs[place].dtype)
        return tuple(made)

    def _with(self, fields: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The inputs with level + spread * field in each place."""
        made = list(self.inputs)
        for place, level, spread, field in zip(self.places, self.level, self.spread, fields, strict=True):
            given = self.inputs[place]
            filled = (level + spread * field).to(dtype=given.dtype, device=given.device)
            made[place] = filled.expand(given.shape).contiguous()
        return tuple(made)


def signals_for(inputs: Sequence[Tensor]) -> Signals:
    """Find the maps among the inputs, and around what the model is used to see them.

    1. Maps are the floating inputs with the most axes, at least 3 (batch, channels, space), that share the
       spatial size of the first of them whose size is above 1. Token numbers, time steps, masks of whole
       numbers and maps of other sizes stay as given.
    2. Without one, all floating inputs are the latents of a generator.
    3. The level is the mean of the example, and the spread its standard deviation. An example without a level
       (a mean below half of its spread) is taken at half its spread, because around zero a kernel shows
       nothing of what it makes of a level; an example without a spread is given half its level, or 1.

    Raises:
        OptionError: no input is floating, or one that is to be replaced is not finite.

    >>> found = signals_for([torch.ones(1, 3, 5, 7), torch.zeros(1, dtype=torch.long)])
    >>> found.places, found.size, found.level, found.spread
    ((0,), (5, 7), (1.0,), (0.5,))
    """
    floating = [place for place, each in enumerate(inputs) if each.is_floating_point() and each.numel()]
    if not floating:
        msg = (
            "the model must take at least one tensor of floating numbers for noise to take its place; got "
            f"{len(inputs)} inputs, none of which is"
        )
        raise OptionError(msg)
    spatial = [place for place in floating if inputs[place].ndim > 2 and max(inputs[place].shape[2:]) > 1]
    most = max((inputs[place].ndim for place in spatial), default=0)
    spatial = [place for place in spatial if inputs[place].ndim == most]
    size = tuple(inputs[spatial[0]].shape[2:]) if spatial else ()
    places = [place for place in spatial if tuple(inputs[place].shape[2:]) == size] or floating
    levels, spreads = zip(*(_habit(inputs[place]) for place in places), strict=True)
    return Signals(inputs=tuple(inputs), places=tuple(places), size=size, level=levels, spread=spreads)


def _habit(example: Tensor) -> tuple[float, float]:
    """Level and spread of an example input."""
    values = example.detach().double()
    if not bool(values.isfinite().all()):
        msg = "an example input must be finite to be probed around; got NaN or infinity; give another"
        raise OptionError(msg)
    mean, spread = float(values.mean()), float(values.std(correction=0))
    # a constant in float32 has a spread of rounding
    if spread <= 1e-6 * abs(mean):
        return (mean, abs(mean) / 2) if mean else (0.5, 1.0)
    return (mean if abs(mean) >= spread / 2 else spread / 2), spread
