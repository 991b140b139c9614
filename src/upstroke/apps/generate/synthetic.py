"""A seed becomes a picture of a flower: something to learn from that needs no file of anybody's."""

import math

import numpy
from jaxtyping import Float64, UInt8

from upstroke.errors import OptionError

__all__ = ["synthetic_flower"]

# Samples along each axis of a pixel, of which a pixel is the mean.
FINER = 3
LEAST = 8
# Red, green and blue of petals, of hearts and of the meadow behind; a flower lies between two of a kind.
PETALS = ((222, 70, 88), (240, 168, 48), (168, 92, 196), (236, 236, 228))
HEARTS = ((250, 214, 70), (110, 62, 28))
MEADOWS = ((38, 74, 44), (86, 124, 66))


def synthetic_flower(size: int, *, seed: int) -> UInt8[numpy.ndarray, "size size 3"]:
    """A flower of five to eight petals on a meadow, without jagged edges; the same for the same seed.

    The outline is r = R (1 + a cos(k t + u)) around the middle, with k petals; number, size, depth, turn,
    place and colours are drawn.

    Args:
        size: rows and columns, 8 or more.
        seed: of everything that is drawn.

    Raises:
        OptionError: the size is less.

    >>> synthetic_flower(32, seed=0).shape
    (32, 32, 3)
    """
    if size < LEAST:
        msg = f"a flower needs {LEAST} pixels along each side; got {size}"
        raise OptionError(msg)
    random = numpy.random.default_rng(seed)
    count = int(random.integers(5, 9))
    radius, depth, turn = random.uniform(0.26, 0.36), random.uniform(0.25, 0.45), random.uniform(0, math.tau)
    middle = 0.5 + random.uniform(-0.06, 0.06, 2)
    places = (numpy.arange(size * FINER) + 0.5) / (size * FINER)
    down, right = places[:, None] - middle[0], places[None] - middle[1]
    distance, angle = numpy.hypot(down, right), numpy.arctan2(down, right)
    edge = radius * (1 + depth * numpy.cos(count * angle + turn))
    meadow = _between(random, MEADOWS) * (1 + 0.25 * (places[:, None, None] - 0.5))
    # petals are darker towards the heart
    petal = _between(random, PETALS) * (0.72 + 0.28 * numpy.clip(distance / radius, 0, 1))[..., None]
    picture = numpy.where((distance < edge)[..., None], petal, numpy.broadcast_to(meadow, petal.shape))
    heart = distance < radius * random.uniform(0.28, 0.4)
    picture = numpy.where(heart[..., None], _between(random, HEARTS), picture)
    pixels = picture.reshape(size, FINER, size, FINER, 3).mean(axis=(1, 3))
    levels: UInt8[numpy.ndarray, "size size 3"] = pixels.clip(0, 255).round().astype(numpy.uint8)
    return levels


def _between(
    random: numpy.random.Generator, colours: tuple[tuple[int, int, int], ...]
) -> Float64[numpy.ndarray, "3"]:
    """A colour between two of these that stand side by side."""
    place = random.uniform(0, len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    share = place - first
    low, high = (numpy.array(colours[first + step], dtype=numpy.float64) for step in (0, 1))
    mixed: Float64[numpy.ndarray, 3] = (1 - share) * low + share * high
    return mixed
