"""Turn numbers of a record of a fixed model into the words that text and pages share."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from upstroke.axes import times
from upstroke.report.check_words import counted
from upstroke.report.inspect_text import figures

__all__ = [
    "change",
    "gain",
    "large",
    "milliseconds",
    "reason",
    "shown_sizes",
    "site_lines",
    "state",
    "summary",
    "totals",
    "verification",
    "way",
    "whole",
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
# What ONNX Runtime says that a node refuses: its kind, its name, a place in the source, the reason.
REFUSED = re.compile(
    r"\[ONNXRuntimeError\].* running (?P<kind>\w+) node\. Name:'(?P<name>[^']*)' Status Message: "
    r"(?:\S+:\d+ .*?\) )?(?P<why>.*)"
)
LONGEST_REASON = 160
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


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


def gain(ratio: int | float | None) -> str:
    """How many times faster, in words; empty where nothing was measured.

    >>> gain(2.125), gain(None)
    ('2.1×', '')
    """
    return "" if ratio is None else f"{ratio:.3g}×" if ratio >= 10 else f"{ratio:.2g}×"


def milliseconds(value: int | float | None) -> str:
    """A time with three figures.

    >>> milliseconds(0.01234), milliseconds(1234.5)
    ('0.0123 ms', '1.23 s')
    """
    if value is None:
        return "–"
    return f"{figures(value / 1e3, 3)} s" if value >= 1e3 else f"{figures(value, 3)} ms"


def large(value: int | float | None, unit: str = "") -> str:
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


def whole(value: int | float | None) -> str:
    """A count in full.

    >>> whole(1171721), whole(None)
    ('1,171,721', '–')
    """
    return "–" if value is None else f"{value:,.0f}"


def totals(record: Json) -> Iterator[tuple[str, str, str, str]]:
    """Of the whole model: what is counted or measured, before, after, and what that means."""
    all_of_it = record["totals"]
    for key, title, unit in (
        ("multiply_adds", "multiply–adds", ""),
        ("parameters", "parameters", ""),
        ("milliseconds", "time", "ms"),
        ("peak_memory", "peak memory", "B"),
    ):
        pair = all_of_it[key]
        if pair["before"] is None and pair["after"] is None:
            continue
        before, after = (
            milliseconds(each) if unit == "ms" else whole(each) if key == "parameters" else large(each, unit)
            for each in (pair["before"], pair["after"])
        )
        yield title, before, after, _meaning(key, pair)


def _meaning(key: str, pair: Json) -> str:
    before, after = pair["before"], pair["after"]
    if key == "milliseconds" and before and after:
        return f"{figures(before / after, 3)} times as fast"
    return change(before, after)


def change(before: int | float | None, after: int | float | None) -> str:
    """How much more or less a number became, in words; empty where one is not known.

    >>> change(200, 150), change(7, 7), change(None, 3)
    ('25 % less', 'the same', '')
    """
    if before is not None and before == after:
        return "the same"
    if not before or after is None:
        return ""
    part = 100 * (after - before) / before
    return f"{figures(abs(part), 2)} % {'more' if part > 0 else 'less'}"


def verification(record: Json) -> str:
    """Say how old and new were compared; empty where they were not.

    >>> case = {"refused": None, "sizes": [[1, 3, 5, 7]]}
    >>> precision = {"dtype": "float32", "tolerance": 1e-05, "largest": 3e-07, "words": None}
    >>> verification({"verified": {"passed": True, "precisions": [precision | {"cases": [case]}]}})
    'old and new agree at 1 size of the inputs: largest relative difference 3e-07 in float32 (tolerance
    1e-05)'
    """
    verified = record["verified"]
    if verified is None:
        return ""
    wrong = [each["words"] for each in verified["precisions"] if each["words"]]
    if wrong:
        return f"old and new do not agree: {wrong[0]}"
    parts = [
        f"{each['largest']:.2g} in {each['dtype']} (tolerance {each['tolerance']:.2g})"
        for each in verified["precisions"]
    ]
    cases = [case for each in verified["precisions"] for case in each["cases"]]
    taken = {str(case["sizes"]) for case in cases if not case["refused"]}
    refused = {str(case["sizes"]) for case in cases if case["refused"]}
    words = f"old and new agree at {counted(len(taken), 'size')} of the inputs: largest relative difference "
    return words + ", ".join(parts) + (f"; both refuse {len(refused)} more" if refused else "")


def case_words(case: Json) -> str:
    """What came of inputs of one size.

    >>> case_words({"refused": "sizes must be even", "fault": None, "words": "one more", "outputs": []})
    'one more: both refuse it: sizes must be even'
    """
    if case["refused"] is not None:
        return f"{case['words']}: both refuse it: {reason(case['refused'])}"
    if case["fault"] is not None:
        return f"{case['words']}: {case['fault']}"
    shown = (
        f"{each['name']} {each['words'] or format(each['relative_difference'], '.2g')}"
        for each in case["outputs"]
    )
    return f"{case['words']}: {', '.join(shown)}"


def reason(words: str) -> str:
    """Why a model refuses a size: of what ONNX Runtime says, the node and the message.

    >>> reason("[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Add node. "
    ...        "Name:'join' Status Message: /src/element_wise_ops.h:5 void Init(int, int) 21 by 22")
    'Add join: 21 by 22'
    """
    found = REFUSED.match(words)
    short = words if found is None else f"{found['kind']} {found['name']}: {found['why']}"
    return short if len(short) <= LONGEST_REASON else f"{short[:LONGEST_REASON]}…"


def shown_sizes(sizes: Sequence[Sequence[int]]) -> str:
    """The shapes of inputs as the command line writes them.

    >>> shown_sizes([[1, 3, 5, 7], [1]])
    '1x3x5x7, 1'
    """
    return ", ".join(times(shape) or "()" for shape in sizes)


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
