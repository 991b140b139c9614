"""A trained generator becomes which pixels each cell of its 4x4 sketch reaches, by algebra and measured."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor

from upstroke._version import __version__
from upstroke.apps.generate.model import load_model
from upstroke.errors import OptionError
from upstroke.nn import Generator

__all__ = ["Traced", "trace"]

SCHEMA = "upstroke.generate-trace/1"
# Latent vectors between whose sketches cells are exchanged.
PICTURES = 16
# The cell that is shown unless another is named: one that has neighbours on all sides.
CELL = (1, 1)

Json = dict[str, Any]
Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """What depends on what.

    Attributes:
        record: plain data, schema `upstroke.generate-trace/1`.
        maps: arrays for a page: "seen" and "measured", how many cells each pixel depends on; "change", how
            much the chosen cell changes each pixel; "reach", which pixels it reaches by algebra.
    """

    record: Json
    maps: Mapping[str, ndarray]

    def as_json(self) -> Json:
        """The record."""
        return self.record


def trace(run: str | Path, *, pixel: Place | None = None, cell: Place | None = None, seed: int = 0) -> Traced:
    """Tell which pixels depend on which cells of the 4x4 map that a picture is grown from.

    1. By algebra: from kernels, strides and crops, whatever the weights.
    2. Measured: in 16 pictures one cell after the other is exchanged for that of another picture, and pixels
       are compared before tanh, in float64. Where weights or dead channels let nothing through, fewer cells
       are seen than algebra allows; more would be an error of one of the two.

    Args:
        run: the folder of a training run, or its model.safetensors.
        pixel: row and column of the pixel whose cells are told; the middle one unless given.
        cell: row and column of the cell whose pixels are told; (1, 1) unless given.
        seed: of the 16 latent vectors.

    Raises:
        FileError: the run cannot be read.
        OptionError: there is no such pixel or cell.
    """
    started = time.monotonic()
    model = load_model(run)
    network = model.network
    pixel = (network.size // 2,) * 2 if pixel is None else pixel
    cell = CELL if cell is None else cell
    allowed = network.trace()
    _check(pixel, allowed.reads.shape[:2], name="pixel", of="picture")
    _check(cell, allowed.reads.shape[2:], name="cell", of="sketch")
    found = network.measured(pictures=PICTURES, seed=seed)
    missed, beyond = allowed.reads & ~found.reads, found.reads & ~allowed.reads
    record = {
        "schema": SCHEMA,
        "version": __version__,
        "run": str(run),
        "generator": _settings(network),
        "size": list(allowed.reads.shape[:2]),
        "cells": list(allowed.reads.shape[2:]),
        "latent": network.latent,
        "pictures": PICTURES,
        "seed": seed,
        "algebra": _counts(allowed.seen),
        "measured": _counts(found.seen),
        "agrees": not bool(missed.any() | beyond.any()),
        "pairs": int(allowed.reads.sum()),
        "missed": int(missed.sum()),
        "beyond": int(beyond.sum()),
        "reach": [
            _reach(allowed.reach(each), found.reach(each), each) for each in _places(allowed.reads.shape[2:])
        ],
        "pixel": _seen(pixel, allowed.sees(pixel), found.sees(pixel), found.change[pixel]),
        "cell": _reach(allowed.reach(cell), found.reach(cell), cell),
        "seconds": time.monotonic() - started,
    }
    row, column = cell
    maps = {
        "seen": allowed.seen.numpy(),
        "measured": found.seen.numpy(),
        "change": found.change[:, :, row, column].numpy(),
        "reach": allowed.reach(cell).numpy(),
    }
    return Traced(record=record, maps=maps)


def _check(place: Place, size: Sequence[int], *, name: str, of: str) -> None:
    if not all(0 <= n < most for n, most in zip(place, size, strict=True)):
        msg = (
            f"a {name} of the {of} is a row and a column from 0,0 to {size[0] - 1},{size[1] - 1}; "
            f"got {place[0]},{place[1]}"
        )
        raise OptionError(msg)


def _settings(network: Generator) -> Json:
    return {name: network.settings[name] for name in ("method", "kernel", "width", "channels", "norm")}


def _places(size: Sequence[int]) -> list[Place]:
    return [(row, column) for row in range(size[0]) for column in range(size[1])]


def _counts(seen: Tensor) -> Json:
    """How many pixels depend on how many cells."""
    cells, pixels = torch.unique(seen, return_counts=True)
    return {
        "least": int(seen.min()),
        "most": int(seen.max()),
        "mean": float(seen.double().mean()),
        "counts": [
            {"cells": int(each), "pixels": int(count)} for each, count in zip(cells, pixels, strict=True)
        ],
    }


def _reach(allowed: Tensor, found: Tensor, cell: Place) -> Json:
    rows, columns = (allowed.any(dim=1 - axis).nonzero() for axis in range(2))
    return {
        "cell": list(cell),
        "rows": [int(rows.min()), int(rows.max())],
        "columns": [int(columns.min()), int(columns.max())],
        "pixels": int(allowed.sum()),
        "measured": int(found.sum()),
    }


def _seen(pixel: Place, allowed: Tensor, found: Tensor, change: Tensor) -> Json:
    """The cells of a pixel, and how much each of them changes it."""
    whole = float(change.sum())
    return {
        "pixel": list(pixel),
        "cells": int(allowed.sum()),
        "measured": int(found.sum()),
        "reads": [
            {
                "cell": [row, column],
                "change": float(change[row, column]),
                "share": float(change[row, column]) / whole if whole else 0.0,
            }
            for row, column in allowed.nonzero().tolist()
        ],
    }
