"""A trained generator and numbers of samples become the pictures on the way from one to the next."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from upstroke._version import __version__
from upstroke.apps.generate.model import load_model
from upstroke.apps.generate.placed import Told, check_share, place_for
from upstroke.apps.generate.slerp import Arc, arc_between, slerp
from upstroke.errors import OptionError
from upstroke.train import check_device, device_for

__all__ = ["Interpolated", "interpolate"]

SCHEMA = "upstroke.generate-interpolate/1"
# Steps between two samples: more than there are levels change nothing that could be seen.
MOST_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class Interpolated:
    """What was drawn.

    Attributes:
        run: the trained generator.
        target: the sheet, or the folder.
        kind: "sheet" or "folder".
        numbers: of the samples that are passed, in order.
        steps: pictures from each to the next, both included.
        rows: whether every way from one to the next has a row of its own.
        count: of all pictures.
        seed: from which the latent vectors follow, with their numbers.
        truncate: share of their lengths that they kept.
        arcs: of each way, from first to last.
        picture: channels, rows and columns of each.
        size: rows and columns of the sheet in pixels; None for a folder.
        device: that drew.
        seconds: it took.
    """

    run: Path
    target: Path
    kind: str
    numbers: tuple[int, ...]
    steps: int
    rows: bool
    count: int
    seed: int
    truncate: float
    arcs: tuple[Arc, ...]
    picture: tuple[int, int, int]
    size: tuple[int, int] | None
    device: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain data, schema `upstroke.generate-interpolate/1`."""
        ways = zip(self.numbers, self.numbers[1:], self.arcs, strict=False)
        return {
            "schema": SCHEMA,
            "version": __version__,
            "run": str(self.run),
            "target": str(self.target),
            "kind": self.kind,
            "numbers": list(self.numbers),
            "steps": self.steps,
            "rows": self.rows,
            "count": self.count,
            "seed": self.seed,
            "truncate": self.truncate,
            "ways": [
                {"first": first, "last": last, "angle": math.degrees(arc.angle), "lengths": list(arc.lengths)}
                for first, last, arc in ways
            ],
            "picture": list(self.picture),
            "size": None if self.size is None else list(self.size),
            "device": self.device,
            "seconds": self.seconds,
        }


def interpolate(
    run: str | Path,
    out: str | Path,
    *,
    numbers: Sequence[int],
    steps: int = 9,
    rows: bool = False,
    seed: int = 0,
    truncate: int | float | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    told: Told | None = None,
) -> Interpolated:
    """Draw the pictures on the way from one sample to the next, by `slerp` of their latent vectors.

    Args:
        run: the folder of a training run, or its model.safetensors.
        out: a name ending in .png is a strip of all pictures; any other a folder, which gets a PNG file for
            each, numbered from 0 in the order of the way.
        numbers: of the samples, 2 or more; they are those of `sample` with the same seed.
        steps: pictures from each sample to the next, both included.
        rows: whether every way from one to the next has a row of its own, which its end begins again; a strip
            has every sample once.
        seed: of the latent vectors.
        truncate: share of its length that every latent vector keeps, from 0 to 1.
        overwrite: whether what is there may be replaced; of a folder, if it holds such pictures alone.
        device: where it computes.
        told: is told how many are drawn, and of how many.

    Raises:
        FileError: the run cannot be read, or the target cannot be written.
        OptionError: an argument has no meaning, or the generator draws NaN.
    """
    started = time.monotonic()
    _check(numbers, steps)
    share = check_share(truncate)
    check_device(device, "32")
    place = place_for(out, overwrite=overwrite)
    device = device_for(device)
    model = load_model(run, device=device)
    network = model.network
    picture = (network.channels, network.size, network.size)
    ways = len(numbers) - 1
    count = ways * steps if rows else ways * (steps - 1) + 1
    columns = None if place.kind == "folder" else steps if rows else count
    place.check(count, picture, columns=columns)
    ends = list(model.latents(numbers, seed=seed) * share)
    pairs = list(pairwise(ends))
    parts = [slerp(first, last, steps) for first, last in pairs]
    z = torch.cat([part[0 if rows or not at else 1 :] for at, part in enumerate(parts)])
    size = place.write(model, lambda part: z[part], range(count), columns=columns, told=told)
    return Interpolated(
        run=Path(run),
        target=place.path,
        kind=place.kind,
        numbers=tuple(numbers),
        steps=steps,
        rows=rows,
        count=count,
        seed=seed,
        truncate=share,
        arcs=tuple(arc_between(first, last) for first, last in pairs),
        picture=picture,
        size=size,
        device=device,
        seconds=time.monotonic() - started,
    )


def _check(numbers: Sequence[int], steps: int) -> None:
    if len(numbers) < 2:
        msg = f"a way needs 2 or more samples, such as 3,17; got {len(numbers)}"
        raise OptionError(msg)
    if min(numbers) < 0:
        msg = f"numbers of samples are 0 and more; got {min(numbers)}"
        raise OptionError(msg)
    for first, last in pairwise(numbers):
        if first == last:
            msg = f"a way leads from one sample to another; got {first} twice in a row; leave one out"
            raise OptionError(msg)
    if not 2 <= steps <= MOST_STEPS:
        msg = f"steps must be from 2, because both ends are among them, to {MOST_STEPS}; got {steps}"
        raise OptionError(msg)
