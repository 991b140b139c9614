"""Turn numbers of a record of a fixed model into the words that text and pages share."""

from collections.abc import Iterator
from typing import Any

from upstroke.axes import times
from upstroke.report.check_words import counted, measured
from upstroke.report.inspect_text import figures

__all__ = [
    "gain",
    "large",
    "milliseconds",
    "shown_sizes",
    "site_lines",
    "state",
    "summary",
    "totals",
    "verification",
    "way",
    "whole_gain",
]

Json = dict[str, Any]
FORMS = {
    "transposed": "one transposed convolution",
    "phases": "one convolution per phase, interleaved",
    "shuffle": "one convolution and a pixel shuffle",
    "commuted": "the 1×1 convolution first",
    "depth to space": "one pixel shuffle",
    "native": "compiled kernels",
    "as it is": "as it is",
}
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
# Below this part of its old time a model gained nothing that could be told from chance.
NOTICED = 1.02


def state(record: Json) -> str:
    """The word for what came of it all: ok, error, or note where nothing was changed."""
    verified = record["verified"]
    if verified is not None and not verified["passed"]:
        return "error"
    return "ok" if record["changed"] else "note"


def summary(record: Json) -> str:
    """Say in a few words what became of the model.

    >>> summary({"sites": [{"outcome": "rewritten"}, {"outcome": "left"}], "repairs": [], "verified": None})
    '1 site rewritten, 1 left as it is'
    """
    done = [each["outcome"] for each in record["sites"]]
    mended = [each["outcome"] for each in record["repairs"]]
    verified = record["verified"]
    if verified is not None and not verified["passed"]:
        return "Not verified, so nothing is handed back"
    parts = []
    if done.count("rewritten"):
        parts.append(f"{counted(done.count('rewritten'), 'site')} rewritten")
    if mended.count("repaired"):
        parts.append(f"{counted(mended.count('repaired'), 'repair')} made")
    if mended.count("left"):
        parts.append(f"{counted(mended.count('left'), 'repair')} not possible")
    if not parts and not done:
        return "Nothing to do"
    if done.count("left"):
        left = counted(done.count("left"), "site") if not done.count("rewritten") else str(done.count("left"))
        parts.append(f"{left} left as {'it is' if done.count('left') == 1 else 'they are'}")
    return ", ".join(parts)


def way(form: str | None) -> str:
    """A form in words.

    >>> way("phases")
    'one convolution per phase, interleaved'
    """
    return "" if form is None else FORMS.get(form, form)


def gain(ratio: float | None) -> str:
    """How many times faster, in words; empty where nothing was measured.

    >>> gain(2.125), gain(None)
    ('2.1×', '')
    """
    return "" if ratio is None else f"{ratio:.3g}×" if ratio >= 10 else f"{ratio:.2g}×"


def milliseconds(value: float | None) -> str:
    """A time with three figures.

    >>> milliseconds(0.01234), milliseconds(1234.5)
    ('0.0123 ms', '1.23 s')
    """
    if value is None:
        return "–"
    return f"{figures(value / 1e3, 3)} s" if value >= 1e3 else f"{figures(value, 3)} ms"


def large(value: float | None, unit: str = "") -> str:
    """A number with a letter for its thousands.

    >>> large(1_234_000.0), large(None), large(512.0, "B")
    ('1.23 M', '–', '512 B')
    """
    if value is None:
        return "–"
    for size, letter in UNITS:
        if abs(value) >= size:
            return f"{figures(value / size, 3)} {letter}{unit}".rstrip()
    return f"{figures(value, 3)} {unit}".rstrip()


def totals(record: Json) -> Iterator[tuple[str, str, str, str]]:
    """Of the whole model: what is counted or measured, before, after, and what that means."""
    whole = record["totals"]
    for key, title, unit in (
        ("multiply_adds", "multiply–adds", ""),
        ("parameters", "parameters", ""),
        ("milliseconds", "time", "ms"),
        ("peak_memory", "peak memory", "B"),
    ):
        pair = whole[key]
        if pair["before"] is None and pair["after"] is None:
            continue
        before, after = (
            milliseconds(each) if unit == "ms" else large(each, unit)
            for each in (pair["before"], pair["after"])
        )
        yield title, before, after, _meaning(key, pair)


def _meaning(key: str, pair: Json) -> str:
    before, after = pair["before"], pair["after"]
    if not before or not after or before == after:
        return "" if not before or not after else "the same"
    if key == "milliseconds":
        return f"{figures(before / after, 3)} times as fast"
    change = 100 * (after - before) / before
    return f"{figures(abs(change), 2)} % {'more' if change > 0 else 'less'}"


def verification(record: Json) -> str:
    """Say how old and new were compared; empty where they were not.

    >>> case = {"refused": None, "dtype": "float32", "sizes": {"x": [1, 3, 5, 7]}, "outputs": []}
    >>> verification({"verified": {"passed": True, "tolerance": {"float32": 1e-05}, "cases": [case, case],
    ...     "largest": {"float32": 3.1e-07}}})
    'old and new agree on inputs of 2 sizes: largest relative difference 3.1e-07 in float32 (tolerance 1e-05)'
    """
    verified = record["verified"]
    if verified is None:
        return ""
    parts = [
        f"{'not comparable' if worst is None else f'{worst:.2g}'} in {dtype} "
        f"(tolerance {verified['tolerance'][dtype]:.2g})"
        for dtype, worst in verified["largest"].items()
    ]
    sizes = {str(case["sizes"]) for case in verified["cases"] if not case["refused"]}
    refused = {str(case["sizes"]) for case in verified["cases"] if case["refused"]}
    verb = "agree" if verified["passed"] else "do not agree"
    words = f"old and new {verb} on inputs of {counted(len(sizes), 'size')}: largest relative difference "
    words += ", ".join(parts)
    return words + (f"; both refuse {counted(len(refused), 'other size')}" if refused else "")


def shown_sizes(sizes: Json) -> str:
    """The shapes of inputs as the command line writes them.

    >>> shown_sizes({"x": [1, 3, 5, 7]})
    'x 1x3x5x7'
    """
    return ", ".join(f"{name} {times(shape)}".strip() for name, shape in sizes.items())


def whole_gain(record: Json) -> str:
    """Say plainly whether the model as a whole gained; empty where that was not measured."""
    ratio, share = record["totals"]["ratio"], record["totals"]["share"]
    if ratio is None or not any(each["outcome"] == "rewritten" for each in record["sites"]):
        return ""
    if ratio >= NOTICED:
        words = f"the whole model is {figures(ratio, 3)} times as fast"
    else:
        words = "the whole model is about as fast as it was"
    if share is None:
        return words
    part = measured(round(100 * share), "%")
    return f"{words}: the sites that were rewritten took {part} of its time, all else took the rest"


def site_lines(site: Json) -> Iterator[str]:
    """What was done at a site, and what came of it."""
    yield site["words"]
    if site["outcome"] != "rewritten":
        return
    parts = [way(site["form"])]
    if site["ratio"] is not None:
        took = {each["form"]: each["milliseconds"] for each in site["times"]}
        parts.append(
            f"{gain(site['ratio'])} as fast, {milliseconds(took['as it is'])} before and "
            f"{milliseconds(took[site['form']])} now"
        )
    pair = site["multiply_adds"]
    if pair["before"] and pair["after"] and pair["before"] != pair["after"]:
        parts.append(f"{figures(pair['before'] / pair['after'], 3)} times fewer multiply–adds")
    if site["difference"] is not None:
        parts.append(f"relative difference {site['difference']:.2g}")
    yield "; ".join(parts)
