"""Turn the stored values of a volume into values that a network takes, each volume and channel by itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy
from jaxtyping import Float, Num
from numpy.typing import NDArray

from upstroke.errors import OptionError

__all__ = ["Normalisation", "normalised"]

Kind = Literal["volume", "window", "none"]


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """How stored values become those that a network takes.

    `volume` (magnetic resonance, microscopes, photographs: the scale of the values says nothing) clips each
    channel of each volume to two of its percentiles, `low` and `high` in per cent, and moves it to mean 0 and
    standard deviation 1. `window` (computed tomography: a value means the same in every file) clips to the
    values `low` and `high` and moves those to -1 and 1. `none` takes the values as they are.

    Raises `OptionError` for another kind, and for bounds that are out of order or no percentages.

    >>> Normalisation()
    Normalisation(kind='volume', low=0.5, high=99.5)
    >>> Normalisation.from_json(Normalisation(kind="window", low=-1000, high=400).as_json())
    Normalisation(kind='window', low=-1000.0, high=400.0)
    """

    kind: Kind = "volume"
    # one voxel in two hundred at most is worth a scale of their own: vessels, metal, the scanner's spikes
    low: float | int = 0.5
    high: float | int = 99.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            msg = f"a normalisation is one of {', '.join(get_args(Kind))}; got {self.kind!r}"
            raise OptionError(msg)
        for name in ("low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not -numpy.inf < self.low < self.high < numpy.inf:
            msg = f"low must be below high; got {self.low:g} and {self.high:g}"
            raise OptionError(msg)
        if self.kind == "volume" and not (self.low >= 0 and self.high <= 100):
            msg = (
                f"the percentiles of a volume lie between 0 and 100; got {self.low:g} and {self.high:g} "
                "(a window takes values)"
            )
            raise OptionError(msg)

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes the same object."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Normalisation":
        """Read what `as_json` wrote; raises `OptionError` for fields that are missing or unknown."""
        wanted = {field.name for field in fields(cls)}
        if set(record) != wanted:
            msg = (
                f"a normalisation has the fields {', '.join(sorted(wanted))}; got {', '.join(sorted(record))}"
            )
            raise OptionError(msg)
        return cls(**record)


def normalised(
    values: Num[NDArray[Any], "channels *space"], how: Normalisation
) -> Float[NDArray[numpy.float32], "channels *space"]:
    """The values of a volume as a network takes them, in units of `how`.

    Sums are taken in float64, so that values of millions lose nothing; a channel that is the same everywhere
    becomes 0. Where the two percentiles are equal (nearly all of a volume is one value, air) nothing is
    clipped, since clipping would leave nothing. Values must be finite.

    >>> normalised(numpy.array([[0, 10], [7, 7]]), Normalisation(low=0, high=100))
    array([[-1.,  1.],
           [ 0.,  0.]], dtype=float32)
    """
    if how.kind == "none":
        return values.astype(numpy.float32)
    turned = _in_window if how.kind == "window" else _standardised
    result = numpy.empty(values.shape, numpy.float32)
    for channel, target in zip(values, result, strict=True):
        target[...] = turned(channel.astype(numpy.float64), how)
    return result


def _in_window(channel: NDArray[numpy.float64], how: Normalisation) -> NDArray[numpy.float64]:
    shares: NDArray[numpy.float64] = (channel.clip(how.low, how.high) - how.low) / (how.high - how.low)
    return 2 * shares - 1


def _standardised(channel: NDArray[numpy.float64], how: Normalisation) -> NDArray[numpy.float64]:
    least, most = (float(each) for each in numpy.percentile(channel, (how.low, how.high)))
    if least == most:
        least, most = float(channel.min()), float(channel.max())
    # compared, not by a standard deviation of 0: rounding gives a constant one of about 1e-17
    if least == most:
        return numpy.zeros_like(channel)
    # to 0 ... 1 first, so that no square is too large to hold, whatever the unit
    shares: NDArray[numpy.float64] = (channel.clip(least, most) - least) / (most - least)
    shares -= shares.mean()
    shares /= shares.std()
    return shares
