"""A trained generator and numbers become its pictures, in a sheet or in a folder."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstroke._version import __version__
from upstroke.apps.generate.model import load_model
from upstroke.apps.generate.placed import Told, check_share, place_for
from upstroke.errors import OptionError
from upstroke.train import check_device, device_for

__all__ = ["Sampled", "check_numbers", "runs_of", "sample"]

SCHEMA = "upstroke.generate-sample/1"
COUNT = 64


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """What was drawn.

    Attributes:
        run: the trained generator.
        target: the sheet, or the folder.
        kind: "sheet" or "folder".
        numbers: of the latent vectors.
        seed: from which they follow, with their numbers.
        truncate: share of their lengths that they kept.
        picture: channels, rows and columns of each.
        size: rows and columns of the sheet in pixels; None for a folder.
        device: that drew.
        seconds: it took.
    """

    run: Path
    target: Path
    kind: str
    numbers: Sequence[int]
    seed: int
    truncate: float
    picture: tuple[int, int, int]
    size: tuple[int, int] | None
    device: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.generate-sample/1`."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "run": str(self.run),
            "target": str(self.target),
            "kind": self.kind,
            "count": len(self.numbers),
            "numbers": runs_of(self.numbers),
            "seed": self.seed,
            "truncate": self.truncate,
            "picture": list(self.picture),
            "size": None if self.size is None else list(self.size),
            "device": self.device,
            "seconds": self.seconds,
        }


def sample(
    run: str | Path,
    out: str | Path,
    *,
    count: int | None = None,
    numbers: Sequence[int] | None = None,
    seed: int = 0,
    truncate: int | float | None = None,
    columns: int | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    told: Told | None = None,
) -> Sampled:
    """Draw pictures of latent vectors, each of which follows from the seed and its number alone.

    Args:
        run: the folder of a training run, or its model.safetensors.
        out: a name ending in .png is a sheet of all pictures, pixel by pixel; any other a folder, which gets
            a PNG file for each, named by its number.
        count: how many, from number 0 on; 64 unless given.
        numbers: instead: which ones, in this order.
        seed: of the latent vectors.
        truncate: share of its length that every latent vector keeps, from 0 to 1: pictures vary less, and are
            nearer to the one of the vector 0.
        columns: of a sheet; about as many as rows unless given.
        overwrite: whether what is there may be replaced; of a folder, if it holds such pictures alone.
        device: where it computes.
        told: is told how many are drawn, and of how many.

    Raises:
        FileError: the run cannot be read, or the target cannot be written.
        OptionError: an argument has no meaning, or the generator draws NaN.
    """
    started = time.monotonic()
    if count is not None and numbers is not None:
        msg = f"give a count or numbers, not both; got {count} and {len(numbers)} numbers"
        raise OptionError(msg)
    if count is not None and count < 1:
        msg = f"at least 1 picture must be drawn; got {count}"
        raise OptionError(msg)
    wanted = range(COUNT if count is None else count) if numbers is None else numbers
    check_numbers(wanted)
    share = check_share(truncate)
    check_device(device, "32")
    place = place_for(out, overwrite=overwrite)
    device = device_for(device)
    model = load_model(run, device=device)
    network = model.network
    picture = (network.channels, network.size, network.size)
    place.check(len(wanted), picture, columns=columns)
    size = place.write(
        model,
        lambda part: model.latents(wanted[part], seed=seed) * share,
        wanted,
        columns=columns,
        told=told,
    )
    return Sampled(
        run=Path(run),
        target=place.path,
        kind=place.kind,
        numbers=wanted,
        seed=seed,
        truncate=share,
        picture=picture,
        size=size,
        device=device,
        seconds=time.monotonic() - started,
    )


def check_numbers(numbers: Sequence[int]) -> None:
    """Refuse numbers of samples that mean nothing.

    Raises:
        OptionError: there is none, one is below 0, or one occurs twice.
    """
    # not one by one: it may be as long as anyone can type
    if isinstance(numbers, range) and numbers and min(numbers[0], numbers[-1]) >= 0:
        return
    seen: set[int] = set()
    for number in numbers:
        if number < 0:
            msg = f"numbers of samples are 0 and more; got {number}"
            raise OptionError(msg)
        if number in seen:
            msg = f"each sample may be asked for once; got the number {number} twice; leave one out"
            raise OptionError(msg)
        seen.add(number)
    if not seen:
        msg = "at least 1 picture must be drawn; got no numbers"
        raise OptionError(msg)


def runs_of(numbers: Sequence[int]) -> list[list[int]]:
    """The first and the last of numbers that follow each other.

    >>> runs_of([3, 17, 40, 41, 42])
    [[3, 3], [17, 17], [40, 42]]
    """
    if isinstance(numbers, range) and numbers.step == 1:
        return [[numbers[0], numbers[-1]]]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs
