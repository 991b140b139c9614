"""Turn numbers that several rules speak of into words."""

import math

__all__ = ["ONE_CELL", "level"]

ONE_CELL = "the map that comes in has one cell (1x1), so nothing repeats and no pattern can form"


def level(decibel: float) -> str:
    """Word a level relative to the constant that it comes with.

    >>> level(-20.0), level(6.0)
    ('20.0 dB below it (10 % of it)', '6.0 dB above it (200 % of it)')
    """
    if math.isnan(decibel):
        return "and nothing else, because its weights sum to zero"
    share = 100 * 10 ** (decibel / 20)
    side = "below" if decibel <= 0 else "above"
    return (
        f"{abs(decibel):.1f} dB {side} it ({share:.2g} % of it)"
        if share < 100
        else (f"{abs(decibel):.1f} dB {side} it ({share:.0f} % of it)")
    )
