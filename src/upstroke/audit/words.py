"""Turn numbers that several rules speak of into words."""

__all__ = ["ONE_CELL", "ONE_OUTPUT", "level"]

ONE_CELL = "the map that comes in has one cell (1x1), so nothing repeats and no pattern can form"
ONE_OUTPUT = "its map has one sample, so nothing repeats and its gradient has no pattern"


def level(decibel: float, *, of: str = "it") -> str:
    """Word a level relative to what it comes with.

    >>> level(-20.0), level(6.0, of="them")
    ('20.0 dB below it (10 % of it)', '6.0 dB above them (200 % of them)')
    """
    share = 100 * 10 ** (decibel / 20)
    part = f"{share:.2g}" if share < 99.5 else f"{share:.0f}"
    if abs(decibel) < 0.05:
        return f"as loud as {of} ({part} % of {of})"
    return f"{abs(decibel):.1f} dB {'below' if decibel < 0 else 'above'} {of} ({part} % of {of})"
