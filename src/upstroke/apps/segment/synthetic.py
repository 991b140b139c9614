"""Turn a seed into pictures of cells, or volumes of nodules, that do not exist, with exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upstroke.errors import OptionError

__all__ = ["CELL", "MEMBRANE", "NODULE", "RIM", "Drawn", "synthetic_cells", "synthetic_nodules"]

Map = NDArray[np.float64]

# What masks of pictures hold, so that they can be looked at, and what masks of volumes hold.
CELL, MEMBRANE = 128, 255
RIM, NODULE = 1, 2
# Mean radius of a cell and thickness of its membrane, in pixels.
RADIUS, THICKNESS = (11.0, 21.0), 2.6
# Mean radii of a nodule with its rim, and thickness of the rim, in the unit of the spacing.
RADII, RIM_THICKNESS = (5.0, 9.0), 2.0
# A cell is tried so often for each that could lie in the picture; then it is full.
TRIES = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A picture or a volume, with what is where in it.

    Attributes:
        image: values, on the axes of space.
        labels: value of the class of each pixel's centre.
    """

    image: NDArray[Any]
    labels: NDArray[np.uint8]


def synthetic_cells(size: tuple[int, int] = (117, 141), *, seed: int | Sequence[int] = 0) -> Drawn:
    """A picture of cells under a microscope: grey levels, and a mask with 0, `CELL` and `MEMBRANE`.

    It is made, not measured. What it has is what makes such pictures hard, each by a formula in this file:

    1. Cells in polar coordinates, radius R (1 + sum over k of a_k cos(k theta + phi_k)), which do not overlap
       and may leave the picture. The outermost 2.6 pixels are membrane. A pixel has the class of its centre.
    2. Membranes are bright, and fade out on a part of their way round, where the mask goes on.
    3. Debris as bright as membranes, spots and threads, which belongs to no class; darker nuclei in cells.
    4. Texture of the background, light that comes from one side, the blur of a lens, noise of photons.

    Args:
        size: rows and columns.
        seed: of everything that is drawn; a list of numbers is one seed.

    Raises:
        OptionError: a size is not positive.

    >>> drawn = synthetic_cells((67, 81), seed=3)
    >>> drawn.image.shape, str(drawn.image.dtype), np.unique(drawn.labels).tolist()
    ((67, 81), 'uint8', [0, 128, 255])
    """
    _refuse_size(size)
    random = np.random.default_rng(seed)
    rows, columns = (np.arange(n, dtype=np.float64) for n in size)
    place = (rows[:, None], columns[None, :])
    labels = np.zeros(size, np.uint8)
    light = 0.30 + 0.05 * _texture(size, 14, random) + 0.02 * _texture(size, 4, random)
    for centre, radius in _apart(size, RADIUS, (1.0, 1.0), 1.3, random):
        outside, angle = _beyond(place, centre, radius, random)
        labels[outside <= 0] = CELL
        labels[(outside <= 0) & (outside > -THICKNESS)] = MEMBRANE
        light = light + _cell(outside, angle, radius, random)
        light = light - _nucleus(place, centre, radius, random)
    light = light + _debris(place, size, random)
    light = light * _lamp(place, size, random)
    photons = 260.0
    counted = random.poisson(np.maximum(light, 0.02) * photons) / photons
    levels = 235 * (counted + random.normal(0, 0.015, size))
    return Drawn(image=np.clip(np.rint(levels), 0, 255).astype(np.uint8), labels=labels)


def synthetic_nodules(
    size: tuple[int, int, int] = (37, 45, 29),
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 2.0),
    seed: int | Sequence[int] = 0,
) -> Drawn:
    """A volume of nodules with a rim: values as int16, and a mask with 0, `RIM` and `NODULE`.

    Turned ellipsoids in the unit of the spacing, so that they are the same on any voxels; a voxel has the
    class of its centre. The rim is the outermost 2 units of the shortest axis. Around them lies tissue with a
    texture; a slow change of gain, as of a coil, and noise are on everything.

    Args:
        size: voxels along each axis.
        spacing: length of a voxel along each axis.
        seed: of everything that is drawn; a list of numbers is one seed.

    Raises:
        OptionError: a size or a length is not positive.

    >>> drawn = synthetic_nodules((21, 25, 15), seed=1)
    >>> drawn.image.shape, str(drawn.image.dtype), np.unique(drawn.labels).tolist()
    ((21, 25, 15), 'int16', [0, 1, 2])
    """
    _refuse_size(size)
    if not all(0 < each < np.inf for each in spacing):
        msg = f"voxels of a drawn volume must have positive lengths; got {spacing}"
        raise OptionError(msg)
    random = np.random.default_rng(seed)
    lengths = [np.arange(n) * each for n, each in zip(size, spacing, strict=True)]
    place = np.stack(np.meshgrid(*lengths, indexing="ij"))
    labels = np.zeros(size, np.uint8)
    tissue = 0.45 + 0.06 * _texture(size, 9, random) + 0.03 * _texture(size, 4, random)
    for centre, radius in _apart(size, RADII, spacing, 1.25, random):
        # the shortest of the three half axes is the one that the rim is measured on
        half = radius * np.array([1.0, random.uniform(0.75, 1.0), random.uniform(0.6, 0.8)])
        turned = np.tensordot(_turn(random), place - np.reshape(centre, (3, 1, 1, 1)), axes=1)
        depth = half.min() * (1 - np.sqrt(((turned / half.reshape(3, 1, 1, 1)) ** 2).sum(0)))
        labels[depth >= 0] = RIM
        labels[depth >= RIM_THICKNESS] = NODULE
        tissue = tissue + 0.35 * _soft(depth, 0.5) - 0.22 * _soft(depth - RIM_THICKNESS, 0.5)
    gain = np.exp(0.15 * _texture(size, max(size), random))
    values = 900 * (tissue * gain + random.normal(0, 0.05, size))
    return Drawn(image=np.rint(values).astype(np.int16), labels=labels)


def _refuse_size(size: tuple[int, ...]) -> None:
    if min(size) < 1:
        msg = f"a drawn picture must have one pixel or more along each axis; got {size}"
        raise OptionError(msg)


def _apart(
    size: tuple[int, ...],
    radii: tuple[float, float],
    spacing: Sequence[float],
    around: float,
    random: np.random.Generator,
) -> list[tuple[Map, float]]:
    """Centres and radii of balls, each with some room around it, that do not touch."""
    extent = np.array(size) * np.array(spacing)
    tries = TRIES * int(np.ceil(np.prod(extent / radii[0])))
    found: list[tuple[Map, float]] = []
    for _ in range(tries):
        # the first lies within, so that no picture is empty
        inside = extent / 4 if not found else np.zeros(len(size))
        centre = random.uniform(inside, extent - inside)
        radius = float(random.uniform(*radii))
        if all(np.linalg.norm(centre - other) > around * (radius + beside) for other, beside in found):
            found.append((centre, radius))
    return found


def _beyond(
    place: tuple[Map, Map], centre: Map, radius: float, random: np.random.Generator
) -> tuple[Map, Map]:
    """How far each pixel lies outside the outline of a cell, along the ray from its centre, and its angle."""
    down, right = (axis - middle for axis, middle in zip(place, centre, strict=True))
    angle = np.arctan2(down, right)
    waves = sum(
        random.normal(0, 0.16 / k) * np.cos(k * angle + random.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)
    )
    return np.hypot(down, right) - radius * np.clip(1 + waves, 0.75, 1.25), angle


def _cell(outside: Map, angle: Map, radius: float, random: np.random.Generator) -> Map:
    """The light of a cell: its inside, and a membrane that fades on a part of its way round."""
    inside = random.uniform(0.02, 0.14) * _soft(-outside - THICKNESS / 2, 1.2)
    faded = 0.5 + 0.5 * np.cos(angle + random.uniform(0, 2 * np.pi))
    strength = random.uniform(0.32, 0.45) * (1 - 0.75 * faded ** (radius / 4))
    light: Map = inside + strength * np.exp(-(((outside + THICKNESS / 2) / 1.5) ** 2))
    return light


def _nucleus(place: tuple[Map, Map], centre: Map, radius: float, random: np.random.Generator) -> Map:
    """What a nucleus near the centre takes from the light of its cell."""
    middle = centre + random.normal(0, 0.1 * radius, 2)
    distance = np.hypot(*(axis - at for axis, at in zip(place, middle, strict=True)))
    dark: Map = random.uniform(0.05, 0.16) * _soft(random.uniform(0.3, 0.45) * radius - distance, 1.0)
    return dark


def _debris(place: tuple[Map, Map], size: tuple[int, int], random: np.random.Generator) -> Map:
    """Spots and threads as bright as membranes, anywhere."""
    light = np.zeros(size)
    for _ in range(1 + int(np.prod(size)) // 1500):
        middle = random.uniform((0, 0), size)
        down, right = (axis - at for axis, at in zip(place, middle, strict=True))
        turn = random.uniform(0, np.pi)
        along, across = (
            np.cos(turn) * right + np.sin(turn) * down,
            np.cos(turn) * down - np.sin(turn) * right,
        )
        length = random.choice([1.0, 1.0, random.uniform(4, 9)])
        bend = across - random.uniform(-0.03, 0.03) * along**2
        width = random.uniform(0.9, 1.7)
        light += random.uniform(0.2, 0.45) * np.exp(
            -((np.maximum(np.abs(along) - length, 0) / width) ** 2) - (bend / width) ** 2
        )
    return light


def _lamp(place: tuple[Map, Map], size: tuple[int, int], random: np.random.Generator) -> Map:
    """Light that comes from one side and is weaker at the edges of the picture."""
    down, right = (2 * axis / max(size) - n / max(size) for axis, n in zip(place, size, strict=True))
    turn = random.uniform(0, 2 * np.pi)
    lamp: Map = 1 + 0.25 * (np.cos(turn) * right + np.sin(turn) * down) - 0.2 * (down**2 + right**2)
    return lamp


def _soft(depth: Map, width: float) -> Map:
    """0 outside and 1 inside, with the edge that a lens of this width leaves."""
    edge: Map = 0.5 + 0.5 * np.tanh(depth / width)
    return edge


def _texture(size: tuple[int, ...], length: int, random: np.random.Generator) -> Map:
    """Smooth noise of unit variance: a cubic B-spline on random nodes so many voxels apart."""
    noise = random.standard_normal([int(np.ceil(n / length)) + 4 for n in size])
    for axis, n in enumerate(size):
        at = np.arange(n) / length + 1.5
        distance = np.abs(at[:, None] - np.arange(noise.shape[axis])[None, :])
        near, far = np.clip(1 - distance, 0, None), np.clip(2 - distance, 0, None)
        spline = (far**3 - 4 * near**3) / 6
        # brought to unit variance row by row, which between nodes it has not
        spline /= np.sqrt((spline**2).sum(1, keepdims=True))
        noise = np.moveaxis(np.tensordot(spline, noise, axes=(1, axis)), 0, axis)
    return noise


def _turn(random: np.random.Generator) -> Map:
    """A drawn rotation."""
    axes, upper = np.linalg.qr(random.standard_normal((3, 3)))
    turned: Map = axes * np.sign(np.diag(upper))
    return turned
