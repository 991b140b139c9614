"""Turn what a probe of a whole model measured into the parts of its section on a page."""

from collections.abc import Iterator, Mapping
from typing import Any

from upstroke.report.check_words import measured
from upstroke.report.inspect_text import figures
from upstroke.report.probe_text import geometry_lines, probe_lines
from upstroke.report.svg import Drawing, picture_grid

__all__ = ["probe_parts"]

Json = dict[str, Any]
TITLES = {"values": "Test signals through the real model", "geometry": "Where samples sit, measured"}

LINES = {"values": probe_lines, "geometry": geometry_lines}


def probe_parts(probe: Mapping[str, Any]) -> list[Json]:
    """A title, sentences, pictures and all numbers for each part of a record's probe that there is.

    >>> geometry = {"tolerance": 0.05, "joins": [], "outputs": []}
    >>> probe_parts({"values": None, "geometry": geometry})[0]["rows"]
    [('tolerance', '0.05')]
    """
    return [
        {
            "title": TITLES.get(name, name),
            "lines": list(LINES[name](values)) if name in LINES else [],
            "figures": _pictures(values),
            "rows": list(_flat(values)),
        }
        for name, values in probe.items()
        if values
    ]


def _pictures(values: Any) -> list[Json]:  # noqa: ANN401 - plain data
    """What a constant came out as, of the first period that was looked at in each output."""
    found = []
    for output in values.get("outputs", ()) if isinstance(values, dict) else ():
        drawn = next(filter(None, (_picture(each) for each in output.get("constant", ()))), None)
        if drawn is not None:
            name = f"output {output['name']}" if output["name"] else "the output"
            drawing, words = drawn
            found.append(
                {"panels": [drawing], "head": "A constant comes out", "words": f" of {name} {words}"}
            )
    return found


def _picture(constant: Json) -> tuple[Drawing, str] | None:
    picture = constant.get("picture") or []
    drawing = picture_grid(picture, title="a part of what a constant comes out as") if picture else None
    if drawing is None:
        return None
    values = [value for row in picture for value in (row if isinstance(row, list) else [row])]
    black, white = figures(float(min(values)), 3), figures(float(max(values)), 3)
    channel = f", channel {constant['channel']}" if constant.get("channel") is not None else ""
    return drawing, f"like this{channel}: a part of it, black is {black}, white {white}."


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - nested plain data
    """Nested plain data as rows of a name and a value; what is nested without names is left to pictures."""
    if isinstance(values, dict):
        for key, each in values.items():
            yield from _flat(each, f"{name} {key}".strip().replace("_", " "))
    elif not isinstance(values, list):
        yield name, _plain(values)
    elif values and not any(isinstance(each, dict | list) for each in values):
        yield name, ", ".join(map(_plain, values))
    elif all(isinstance(each, dict) for each in values):
        for number, each in enumerate(values, start=1):
            yield from _flat(each, f"{name} {number}".strip())


def _plain(value: Any) -> str:  # noqa: ANN401 - a number, a word, a truth, or nothing
    if isinstance(value, bool):
        return "yes" if value else "no"
    return measured(value, "")
