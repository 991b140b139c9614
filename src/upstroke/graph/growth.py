"""Tell whether a map grows, and say so."""

from upstroke.graph.form import Shape

__all__ = ["grown", "is_larger"]


def is_larger(before: Shape, after: Shape) -> bool:
    """Whether a map has more samples along an axis, other than as copies of its only one.

    >>> is_larger((1, 4, 5, 7), (1, 4, 5, 14)), is_larger((1, 4, 1, 1), (1, 4, 5, 7))
    (True, False)
    """
    if len(before) != len(after) or not 3 <= len(before) <= 5 or before[0] != after[0]:
        return False
    sizes = zip(before[2:], after[2:], strict=True)
    return any(was is not None and now is not None and 1 < was < now for was, now in sizes)


def grown(name: str, before: Shape, after: Shape) -> str:
    """Say that a map grows in a way that is not read.

    >>> grown("Tile", (1, 4, 5, None), (1, 4, 10, None))
    'Tile grows 5x? to 10x? in a way that is not read'
    """
    return f"{name} grows {_times(before[2:])} to {_times(after[2:])} in a way that is not read"


def _times(sizes: Shape) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)
