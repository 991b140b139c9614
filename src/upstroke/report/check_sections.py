"""Turn one subject of a checked model into the parts of its section on a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from upstroke.report.check_subjects import Subject
from upstroke.report.check_words import drift_words, measured, shown_measure
from upstroke.report.svg_network import place_words

__all__ = ["badge", "size", "subject_parts"]

Json = dict[str, Any]
# A name, words, and where they lead.
Fact = tuple[str, str, str | None]

# A shape for each word, so that no colour is needed to tell them apart.
SHAPES = {"error": "✕", "warning": "▲", "note": "◆", "ok": "✓", "partly checked": "◐", "skipped": "○"}
# Findings of which nothing is said, because they are meant or stood in the baseline.
SHAPES |= {"suppressed": "⊘", "known": "≡"}
QUIET = ("ok", "partly checked", "suppressed", "known", "")
NOT_JUDGED = "not judged"
ORDERS = {
    0: "0: a constant comes out with a pattern",
    1: "1: constants come out constant, lines with a pattern",
    2: "2: lines come out as lines, parabolas with a pattern",
}
WAYS = {"concatenate": "concatenates", "add": "adds", "multiply": "multiplies"}


def badge(word: str) -> Json:
    """A status as a shape, a word and a kind for the stylesheet.

    >>> badge("ok")["shape"], badge("")["word"]
    ('✓', 'not judged')
    """
    if not word:
        return {"word": NOT_JUDGED, "shape": "–", "kind": "skipped"}
    return {"word": word, "shape": SHAPES[word], "kind": word.split()[0]}


def subject_parts(
    subject: Subject, *, anchor: str, rules: Json, sites: Mapping[str, str], figures: Sequence[Json]
) -> Json:
    """What the template writes of a subject."""
    entry, state = subject.entry, subject.state
    return {
        "anchor": anchor,
        "number": subject.index + 1,
        "name": subject.name,
        "words": _words(subject),
        "sizes": _way(entry),
        "status": badge(state),
        "is_open": state not in QUIET or bool(subject.notes),
        "reason": entry.get("skipped"),
        "verdicts": [_verdict(code, each, subject, rules) for code, each in entry["verdicts"].items()],
        "facts": FACTS[subject.kind](entry, sites),
        "figures": figures,
        "chain": entry.get("chain", ()),
        "ends_at": entry.get("ends_at"),
    }


def _words(subject: Subject) -> str:
    """What a subject is, in a few words."""
    entry = subject.entry
    if subject.kind == "site":
        return str(entry["words"])
    if subject.kind == "join":
        branches = len(entry.get("branches") or entry["sites"])
        words = f"{WAYS.get(entry['kind'], 'joins')} {branches} maps"
        apart = drift_words(entry.get("drift") or ())
        return f"{words}, drift {apart}" if apart else words
    if subject.kind == "reduction":
        return f"{entry['operator']} k{_axes(entry['kernel'])} s{_axes(entry['stride'])}"
    return "a map that the model gives" if subject.kind == "output" else "sizes, and what all parts add up to"


def _verdict(code: str, verdict: Json, subject: Subject, rules: Json) -> Json:
    severity = next((each["severity"] for each in subject.findings if each["code"] == code), None)
    word = verdict["verdict"] if verdict["verdict"] != "finding" else severity or verdict["severity"]
    reason = verdict.get("suppressed")
    return {
        "code": code,
        "rule": rules.get(code),
        "status": badge(word),
        "measure": shown_measure(verdict),
        "words": verdict["words"] if reason is None else f"{verdict['words']}; suppressed: {reason}",
    }


def _site_facts(site: Json, _sites: Mapping[str, str]) -> list[Fact]:
    facts = [("Operator", site["operator"])]
    if site["scale"] is not None:
        facts.append(("Scale", f"×{_axes(site['scale'], '×')}"))
    if site["kernel"] is not None:
        facts.append(("Kernel", size(site["kernel"])))
    if site["in_channels"] is not None or site["out_channels"] is not None:
        ways = [each if each is not None else "?" for each in (site["in_channels"], site["out_channels"])]
        facts.append(("Channels", f"{ways[0]} → {ways[1]}"))
    facts.append(("Size", _way(site) or "unknown"))
    if site["grid"] is not None:
        exact = site["grid"]["exact"]
        axes = [
            f"{offset} + {spacing}·i".replace("-", "−")
            for offset, spacing in zip(exact["offset"], exact["spacing"], strict=True)
        ]
        facts.append(("Sample i sits at", f"{_each_axis(axes)} input px"))
    if site["image_gain_db"] is not None or site["chain_image_gain_db"] is not None:
        facts.append(("Image gain, layer", measured(site["image_gain_db"], "dB")))
        facts.append(("Image gain, chain", measured(site["chain_image_gain_db"], "dB")))
    if site["bias_db"] is not None:
        facts.append(("Pattern of the biases", measured(site["bias_db"], "dB")))
    if site["strang_fix_order"] is not None:
        order = site["strang_fix_order"]
        words = ORDERS.get(order, f"{order}: polynomials up to degree {order - 1} come out without a pattern")
        facts.append(("Strang–Fix order", words))
    if site.get("trained") is False:
        facts.append(("Weights", "look untrained"))
    return [(name, words, None) for name, words in facts]


def _join_facts(join: Json, sites: Mapping[str, str]) -> list[Fact]:
    facts: list[Fact] = [("Operator", join["operator"], None)]
    branches = join.get("branches") or [{"site": name} for name in join["sites"]]
    for number, branch in enumerate(branches, start=1):
        last = branch.get("site")
        words = "no upsampling since the last join" if last is None else f"last upsampling: {last}"
        facts.append((f"Branch {number}", words, None if last is None else sites.get(last)))
        placed = place_words(branch)
        facts += [("", placed, None)] if placed and (branch.get("grid") or branch.get("lost")) else []
    if join.get("drift"):
        facts.append(("Drift", drift_words(join["drift"]), None))
    if join.get("mean_drift"):
        facts.append(("Drift of the means", drift_words(join["mean_drift"]), None))
    if join.get("reason"):
        facts.append(("Drift", f"not told: {join['reason']}", None))
    return facts


def _reduction_facts(reduction: Json, _sites: Mapping[str, str]) -> list[Fact]:
    return [
        ("Operator", reduction["operator"], None),
        ("Kernel", size(reduction["kernel"]), None),
        ("Stride", size(reduction["stride"]), None),
    ]


def _output_facts(output: Json, _sites: Mapping[str, str]) -> list[Fact]:
    placed = place_words(output.get("place"))
    return [("Grid", placed, None)] if placed else []


def _model_facts(model: Json, _sites: Mapping[str, str]) -> list[Fact]:
    """The sizes that were tried, and the period of those that work."""
    sizes = model.get("sizes")
    if not sizes:
        return []
    facts: list[Fact] = [("Begun with", size(sizes["start"]), None)] if sizes.get("start") else []
    for along in sizes["along"]:
        name = f"{'Axis' if len(along['axes']) == 1 else 'Axes'} {', '.join(map(str, along['axes']))}"
        period = along["period"]
        rest = ", ".join(map(str, along["remainders"]))
        words = f"{len(along['right'])} of {len(along['tried'])} sizes work"
        words += (
            "" if period is None else f"; period {period}, remainders {rest}" if period > 1 else ", as all do"
        )
        facts.append((name, words, None))
        facts += [("", f"{size(each['size'])} fails: {each['error']}", None) for each in along["failed"]]
        facts += [
            ("", f"{size(each['size'])} comes out as {each['came']}", None) for each in along["changed"]
        ]
    facts += [("Not told", sizes["reason"], None)] if sizes.get("reason") else []
    return facts


FACTS = {
    "site": _site_facts,
    "join": _join_facts,
    "reduction": _reduction_facts,
    "output": _output_facts,
    "model": _model_facts,
}


def size(axes: Sequence[Any] | None) -> str:
    """A size by axis, with a question mark where one is unknown.

    >>> size([4, None]), size(None)
    ('4×?', '?')
    """
    return "?" if axes is None else "×".join("?" if axis is None else str(axis) for axis in axes)


def _way(entry: Json) -> str:
    if entry.get("size_in") is None and entry.get("size_out") is None:
        return ""
    return f"{size(entry['size_in'])} → {size(entry['size_out'])}"


def _axes(numbers: Sequence[Any], between: str = "×") -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else between.join(map(str, numbers))


def _each_axis(words: list[str]) -> str:
    if len(set(words)) == 1:
        return words[0]
    return "; ".join(f"axis {index}: {each}" for index, each in enumerate(words))
