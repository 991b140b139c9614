"""Turn numbers that are to be compared, and sizes that work or fail, into bars and strips."""

from collections.abc import Sequence

from upstroke.report.inspect_text import figures
from upstroke.report.svg import Drawing, Mark, box

__all__ = ["compared", "share", "size_strip"]

LEFT, WIDE, ROW = 70.0, 190.0, 26.0
# Cells of a strip in one row, and sizes beyond which it stops.
IN_ROW, MOST = 16, 64
SHAPES = {"works": "✓", "fails": "✕", "changes": "▲", "unknown": "–"}
STATES = {"works": "ok", "fails": "error", "changes": "warning", "unknown": "skipped"}
SIGNS = {"works": "works", "fails": "fails", "changes": "comes out as another", "unknown": "does not work"}


def compared(rows: Sequence[tuple[str, int | float]], *, unit: str) -> Drawing | None:
    """Draw one bar for each number, as long as it is large.

    >>> compared([("now", 9.0), ("then", 4.0)], unit="multiply–adds").title
    'now 9 multiply–adds, then 4 multiply–adds'
    """
    most = max((value for _, value in rows), default=0.0)
    if most <= 0:
        return None
    marks = []
    for number, (name, value) in enumerate(rows):
        y = ROW * number
        wide = WIDE * max(0.0, value) / most
        marks += [
            Mark(kind="name", x=LEFT - 8, y=y + ROW / 2, words=name),
            Mark(kind="rail", path=box(LEFT, y + 4, WIDE, ROW - 8)),
            Mark(kind="cell shade-4", path=box(LEFT, y + 4, wide, ROW - 8)),
            Mark(kind="start", x=LEFT + WIDE + 8, y=y + ROW / 2, words=_large(value)),
        ]
    return Drawing(
        width=LEFT + WIDE + 70, height=ROW * len(rows), label=unit, marks=tuple(marks),
        title=", ".join(f"{name} {_large(value)} {unit}" for name, value in rows),
    )  # fmt: skip


def share(value: int | float, *, threshold: int | float | None, name: str) -> Drawing:
    """Draw a number between 0 and 1 as a part of a bar, with the threshold that it is held against.

    >>> share(0.97, threshold=0.9, name="energy").title
    'energy 0.97 of 1; threshold 0.9'
    """
    part = min(1.0, max(0.0, value))
    marks = [
        Mark(kind="rail", path=box(4.0, 18.0, WIDE + LEFT, 18.0)),
        Mark(kind="cell shade-4", path=box(4.0, 18.0, (WIDE + LEFT) * part, 18.0)),
        Mark(kind="start", x=4.0 + WIDE + LEFT + 8, y=27.0, words=figures(value, 3)),
        Mark(kind="index", x=8.0, y=47.0, words="0"),
        Mark(kind="index", x=WIDE + LEFT, y=47.0, words="1"),
    ]
    if threshold is not None and 0 <= threshold <= 1:
        at = 4.0 + (WIDE + LEFT) * threshold
        marks += [
            Mark(kind="limit", path=f"M{at:.5g} 12v30"),
            Mark(kind="index", x=min(at, WIDE + LEFT - 24), y=6.0, words=f"threshold {figures(threshold)}"),
        ]
    against = "" if threshold is None else f"; threshold {figures(threshold)}"
    return Drawing(
        width=LEFT + WIDE + 60, height=54.0, label="", marks=tuple(marks),
        title=f"{name} {figures(value, 3)} of 1{against}",
    )  # fmt: skip


def size_strip(cells: Sequence[tuple[int, str]], *, label: str = "") -> Drawing | None:
    """Draw which sizes work, fail, or come out changed: a sign and a colour for each.

    >>> size_strip([(64, "works"), (65, "fails")]).title
    'sizes: 64 works, 65 fails'
    """
    shown = list(cells[:MOST])
    if not shown:
        return None
    wide = max(30.0, 7.5 * len(str(max(size for size, _ in shown))) + 8)
    marks = []
    for number, (size, word) in enumerate(shown):
        x, y = wide * (number % IN_ROW), 44.0 * (number // IN_ROW)
        state = STATES.get(word, "skipped")
        marks += [
            Mark(kind=f"over {state}", path=box(x + 1, y, wide - 2, 24.0)),
            Mark(kind=f"state {state}", x=x + wide / 2, y=y + 12, words=SHAPES.get(word, "○")),
            Mark(kind="index", x=x + wide / 2, y=y + 33, words=str(size)),
        ]
    rows = (len(shown) + IN_ROW - 1) // IN_ROW
    more = f" and {len(cells) - len(shown)} more" if len(cells) > len(shown) else ""
    signs = ", ".join(
        f"{SHAPES[word]} {SIGNS[word]}" for word in SHAPES if word in {each for _, each in shown}
    )
    signs = f"{label}: {signs}" if label else signs
    return Drawing(
        width=wide * min(IN_ROW, len(shown)), height=44.0 * rows, label=f"{signs}{more}", marks=tuple(marks),
        title=f"sizes: {', '.join(f'{size} {word}' for size, word in shown)}{more}",
    )  # fmt: skip


def _large(value: int | float) -> str:
    """A number with a letter for its thousands.

    >>> _large(1_234_000.0), _large(2.25)
    ('1.23 M', '2.25')
    """
    for letter, unit in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= unit:
            return f"{figures(value / unit, 3)} {letter}"
    return figures(value, 3)
