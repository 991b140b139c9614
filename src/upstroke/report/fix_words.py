"""Turn numbers of a record of a fixed model into the words that text and pages share."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from upstroke.axes import times
from upstroke.report.check_words import counted, measured
from upstroke.report.inspect_text import figures

__all__ = [
    "before_and_after",
    "case_words",
    "change",
    "changed_findings",
    "gain",
    "large",
    "measure_words",
    "milliseconds",
    "moved_outputs",
    "reason",
    "repair_lines",
    "sentence",
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
# What the time of a whole model differs by from one run to the next.
SAME_TIME = 0.015
# What is measured by the rules that can be repaired.
MEASURES = {
    "UP102": "Pattern of a constant",
    "UP105": "Pattern of a constant",
    "UP201": "Drift",
    "UP203": "Sizes that come out right",
    "UP401": "Total",
    "UP402": "Blocks",
}
PERIOD = "samples of period"
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
        # right behind "1 site rewritten" it is clear what is counted
        is_clear = len(parts) == 1 and done.count("rewritten") > 0
        left = str(done.count("left")) if is_clear else counted(done.count("left"), "site")
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
    return "" if ratio is None else f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


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
        ratio = before / after
        return "as fast" if abs(ratio - 1) < SAME_TIME else f"{ratio:.2f} times as fast"
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
    'Old and new agree at 1 size of the inputs: largest relative difference 3e-07 in float32 (tolerance
    1e-05).'
    """
    verified = record["verified"]
    if verified is None:
        return ""
    wrong = [each["words"] for each in verified["precisions"] if each["words"]]
    if wrong:
        return sentence(f"old and new do not agree: {wrong[0]}")
    parts = [_in_precision(each) for each in verified["precisions"]]
    cases = [case for each in verified["precisions"] for case in each["cases"]]
    taken = {str(case["sizes"]) for case in cases if not case["refused"]}
    refused = {str(case["sizes"]) for case in cases if case["refused"]}
    words = f"Old and new agree at {counted(len(taken), 'size')} of the inputs: largest relative difference "
    return sentence(words + ", ".join(parts) + (f"; both refuse {len(refused)} more" if refused else ""))


def _in_precision(precision: Json) -> str:
    """The largest difference, and beside one above the tolerance what the old model is off by itself.

    >>> output = {"name": "y", "relative_difference": 2e-4, "own_error": 5e-4, "words": None}
    >>> precision = {"dtype": "float32", "tolerance": 1e-05, "largest": 2e-4}
    >>> _in_precision(precision | {"cases": [{"outputs": [output]}]})
    '0.0002 in float32 (tolerance 1e-05, beyond which the old model alone, computed in two ways, differs by
    0.0005)'
    """
    tolerance = f"tolerance {precision['tolerance']:.2g}"
    largest = precision["largest"] or 0.0
    if largest > precision["tolerance"]:
        outputs = [each for case in precision["cases"] for each in case["outputs"]]
        worst = max(outputs, key=lambda each: each["relative_difference"] or 0.0)
        own = worst["own_error"] or 0.0
        tolerance += f", beyond which the old model alone, computed in two ways, differs by {own:.2g}"
    return f"{largest:.2g} in {precision['dtype']} ({tolerance})"


def sentence(words: str) -> str:
    """Words as a paragraph: a full stop, and a capital letter unless a name comes first.

    >>> sentence("nothing was changed"), sentence("p2o.Conv.1 stays.")
    ('Nothing was changed.', 'p2o.Conv.1 stays.')
    """
    if not words:
        return words
    is_name = not words.split()[0].rstrip(",;:").isalpha()
    return f"{words if is_name else words[0].upper() + words[1:]}".rstrip(".") + "."


def before_and_after(repair: Json) -> tuple[str | None, str | None]:
    """The measure of a repair before and after; None where there is none.

    >>> pair = {"before": -9.0, "after": None}
    >>> before_and_after({"measure": pair, "unit": "dB", "outcome": "repaired"})
    ('−9 dB', 'gone (below rounding)')
    >>> pair = {"before": 32.0, "after": 1.0}
    >>> before_and_after({"measure": pair, "unit": "samples of period", "outcome": "repaired"})
    ('every 32 samples', 'every size')
    """
    unit = repair["unit"] or ""
    before, after = (_with_unit(repair["measure"][key], unit) for key in ("before", "after"))
    is_gone = before is not None and after is None and unit == "dB" and repair["outcome"] == "repaired"
    return before, "gone (below rounding)" if is_gone else after


def measure_words(repair: Json) -> str:
    """The same in a sentence; empty where there is no measure."""
    before, after = before_and_after(repair)
    if before is None and after is None:
        return ""
    pair = before if before == after else f"{before or '–'} before, {after or '–'} now"
    return f"{MEASURES.get(repair['code'], 'Measure')}: {pair}."


def _with_unit(value: int | float | None, unit: str) -> str | None:
    if value is None:
        return None
    if unit == PERIOD:
        return "every size" if value == 1 else f"every {figures(value)} samples"
    return measured(value, unit)


def repair_lines(repair: Json) -> Iterator[str]:
    """What a repair did, or why it was not made, and how far weights moved where that is not said."""
    yield sentence(repair["words"])
    moved = repair["relative_change"]
    if moved is not None and "of their norm" not in repair["words"]:
        yield f"Its weights changed by {figures(100 * moved, 3)} % of their norm."


def moved_outputs(record: Json) -> Iterator[str]:
    """How far repairs moved each output on the example."""
    for each in record["outputs_changed"]:
        rms = each["relative_rms"]
        part = None if rms is None else f"{figures(100 * rms, 3)} % of its root mean square"
        far = "cannot be compared" if part is None else f"moved by {part}"
        yield f"On the example, output {each['name']} {far}."


def changed_findings(record: Json) -> Iterator[tuple[str, int, int]]:
    """By rule, how many findings the check has before and after."""
    before, after = record["findings"]["before"], record["findings"]["after"]
    if before is None or after is None:
        return
    for code in sorted({*before, *after}):
        yield code, before.get(code, 0), after.get(code, 0)


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
    yield sentence(site["words"])
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
        far = (
            f"differs by {site['difference']:.1g} of its largest value" if site["difference"] else "is equal"
        )
        parts.append(f"alone it {far}")
    yield sentence("; ".join(parts))
