"""Turn numbers of a judged generator into the words that text and page share."""

import math
from typing import Any

from upstroke.report.inspect_text import figures
from upstroke.report.training_words import counted

__all__ = [
    "answers",
    "beside_words",
    "distance_rows",
    "diversity_rows",
    "how_judged",
    "is_as_wanted",
    "mark_rows",
    "near_words",
    "network_words",
    "note_words",
    "single_rows",
    "source_words",
    "state_of",
    "verdict_words",
]

Json = dict[str, Any]
NOTHING = "–"
HEADS = {
    "grid": "Grid",
    "shared": "Grid in common",
    "details": "Louder details",
    "spectrum": "High frequencies",
    "detector": "Spectral detector",
    "diversity": "Diversity",
    "copies": "Copies of the training",
}
KINDS = {"level": "levels", "detail": "details"}
CHANNELS = ("red", "green", "blue")
# What stands first, where it is so.
FAULTS = {
    ("copies", "learned by heart"): "pictures learned by heart",
    ("diversity", "collapsed"): "collapsed",
    ("copies", "some copies"): "some copies of real pictures",
    ("diversity", "repeating"): "samples that repeat",
    ("diversity", "too varied"): "samples that are too varied",
    ("grid", "above both"): "a grid in the samples",
    ("shared", "above both"): "a grid that samples have in common",
}
WANTED = {
    "grid": "no grid",
    "diversity": "no collapse",
    "copies": "no copies",
}
LISTED = 3


def state_of(is_good: bool | None) -> Json:
    """Whether an answer is as one wants it: a shape, a word and a colour."""
    if is_good is None:
        return {"kind": "skipped", "shape": NOTHING, "word": "not judged"}
    return (
        {"kind": "ok", "shape": "✓", "word": "good"}
        if is_good
        else {"kind": "warning", "shape": "▲", "word": "look"}
    )


def verdict_words(record: Json) -> str:
    """What came out, in a sentence.

    >>> answer = {"about": "diversity", "word": "collapsed", "is_good": False}
    >>> verdict_words({"verdicts": [answer]})
    'Collapsed'
    """
    said = {(each["about"], each["word"]) for each in record["verdicts"]}
    found = [words for key, words in FAULTS.items() if key in said]
    good = [
        WANTED[each["about"]] for each in record["verdicts"] if each["is_good"] and each["about"] in WANTED
    ]
    parts = found or good
    if not parts:
        return "Too little to judge"
    words = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
    return words[0].upper() + words[1:]


def is_as_wanted(record: Json) -> bool | None:
    """Whether nothing stands in the sentence that one does not want; None where too little was judged.

    >>> is_as_wanted({"verdicts": [{"about": "copies", "word": "some copies", "is_good": False}]})
    False
    """
    if any((each["about"], each["word"]) in FAULTS for each in record["verdicts"]):
        return False
    judged = [each for each in record["verdicts"] if each["about"] in WANTED and each["is_good"]]
    return True if judged else None


def beside_words(record: Json) -> str:
    """What was held against what, and the distance, in sentences."""
    data, found = record["data"], record["distances"]
    words = f"{counted(record['samples'], 'sample')} against {counted(data['pictures'], 'real picture')}."
    if found is not None:
        half, floor = found["half"], found["floor"]
        words += (
            f" FID {figures(half['fid'], 3)}, where real pictures have {figures(floor['fid'], 3)} from each "
            f"other; by {_eyes(found['network'])}."
        )
    return words


def source_words(record: Json) -> str:
    """How the generator was made."""
    source = record["source"]
    kernel = "" if source["kernel"] is None else f", kernel {source['kernel']}"
    held = ", balanced" if source["balanced"] else ""
    held += ", ICNR" if source["icnr"] else ""
    size = f"{source['size']}×{source['size']}, {'grey' if source['channels'] == 1 else 'colour'}"
    return (
        f"{source['method']}{kernel}{held}; width {source['width']}, {source['parameters']:,} "
        f"parameters; {size}"
    )


def answers(record: Json) -> list[Json]:
    """Each question with its answer, and the number that it rests on."""
    numbers = {
        "grid": _single(record),
        "shared": _marked(record, "level"),
        "details": _marked(record, "detail"),
        "spectrum": _spectrum(record),
        "detector": _detector(record),
        "diversity": _diversity(record),
        "copies": _copies(record),
    }
    return [
        {
            "head": HEADS[each["about"]],
            "word": each["word"],
            "state": state_of(each["is_good"]),
            "words": each["reason"] or numbers[each["about"]],
        }
        for each in record["verdicts"]
    ]


def _single(record: Json) -> str:
    """The period at which samples have most beside noise."""
    if not record["single"]:
        return NOTHING
    most = max(record["single"], key=lambda each: float(each["samples"]))
    return (
        f"at most {figures(most['samples'], 2)} times that of noise, at period {most['period']}, where real "
        f"pictures have {figures(most['real'], 2)}"
    )


def single_rows(record: Json) -> list[Json]:
    """Grids of single pictures, by period, in times that of noise."""
    return [
        {
            "period": each["period"],
            "samples": f"{figures(each['samples'], 2)} ± {figures(each['error'], 1)}",
            "real": figures(each["real"], 2),
        }
        for each in record["single"] or ()
    ]


def _marked(record: Json, kind: str) -> str:
    """The shortest period whose mark stands out most: longer ones have it as well."""
    rows = [each for each in mark_rows(record) if each["kind"] == kind]
    if not rows:
        return NOTHING
    found = [each for each in rows if each["word"] == "above both"] or rows
    shown = min(found, key=lambda each: (each["period"], -each["sizes"][0]))
    others = sorted({each["period"] for each in found} - {shown["period"]})
    more = f"; periods {', '.join(map(str, others))} too" if others and found != rows else ""
    return (
        f"period {shown['period']}: {shown['samples']}, chance up to {shown['chance']}, "
        f"real pictures {shown['real']}{more if shown['word'] == 'above both' else ''}"
    )


def _spectrum(record: Json) -> str:
    part = record["spectrum"]
    if part is None:
        return NOTHING
    words = (
        "no power to compare"
        if part["high_decibel"] is None
        else f"{_signed(part['high_decibel'])} dB of the power of real pictures above "
        f"{part['high_from']:g} cycles per pixel"
    )
    if part["beyond"]:
        side = "above" if part["beyond"] > 0 else "below"
        words += f"; up to {figures(abs(part['beyond']), 2)} dB {side} 90 % of them"
    return words


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def _detector(record: Json) -> str:
    part = record["detector"]
    if part is None:
        return NOTHING
    low, high = round(100 * part["chance_low"]), round(100 * part["chance_high"])
    return f"{100 * part['accuracy']:.0f} % told rightly; by chance {low} to {high} %"


def _diversity(record: Json) -> str:
    part = record["diversity"]
    words = [
        f"{name} {part[key]['ratio']:.2f} of real pictures'"
        for key, name in (("pixels", "pixels"), ("features", "features"))
        if part[key] is not None and part[key]["ratio"] is not None
    ]
    if part["samples"]["distinct"] < part["samples"]["pictures"]:
        words.append(f"{part['samples']['distinct']:,} of {part['samples']['pictures']:,} differ")
    return ", ".join(words) or NOTHING


def _copies(record: Json) -> str:
    return NOTHING if record["closest"] is None else near_words(record)


def near_words(record: Json) -> str:
    """How many samples are as good as copies, and how far the others are, beside real pictures."""
    part = record["closest"]
    count = record["samples"]
    equal = f", {part['copies']:,} byte for byte" if part["copies"] else ""
    ratio = "" if part["ratio"] is None else f"; half lie beyond {part['ratio']:.2f} of what real pictures do"
    return f"{part['near']:,} of {count:,} as good as a real picture{equal}{ratio}"


def mark_rows(record: Json) -> list[Json]:
    """Marks of grids by kind, period and channel: amounts as numbers and in words."""
    if record["grid"] is None:
        return []
    is_grey = record["data"]["channels"] == 1
    return [
        {
            "kind": each["kind"],
            "name": KINDS[each["kind"]],
            "period": each["period"],
            "channel": "" if is_grey else CHANNELS[each["channel"]],
            **_amounts(each),
            "word": each["verdict"],
            "state": state_of(each["verdict"] != "above both"),
        }
        for each in record["grid"]["marks"]
    ]


def _amounts(mark: Json) -> Json:
    """Roots of a mark: of levels in levels, of details by how loud they are."""
    sizes = (
        _root(mark["samples"], mark["samples"]["value"], mark["kind"]),
        _root(mark["samples"], mark["samples"]["null_95"], mark["kind"]),
        _root(mark["real"], mark["real"]["value"], mark["kind"]),
    )
    unit = "levels" if mark["kind"] == "level" else "%"
    samples, chance, real = (f"{figures(each, 2)} {unit}" for each in sizes)
    return {"sizes": sizes, "samples": samples, "chance": chance, "real": real}


def _root(part: Json, value: float, kind: str) -> float:
    if kind == "level":
        return math.sqrt(max(0.0, value))
    # the square of the mean square of details is what the one is by the other
    size = part["value"] / part["relative"] if part["relative"] else 0.0
    return 100 * math.sqrt(max(0.0, value) / size) if size else 0.0


def distance_rows(record: Json) -> list[Json]:
    """FID and KID, with the pictures that they are of."""
    found = record["distances"]
    if found is None:
        return []
    names = (
        ("half", "Samples, against half of the real pictures"),
        ("floor", "Real pictures, against the same half"),
        ("samples", "All samples, against all real pictures"),
    )
    return [
        {
            "name": name,
            "fid": figures(found[key]["fid"], 3),
            "kid": _kid(found[key]),
            "counts": f"{found[key]['counts'][0]:,} and {found[key]['counts'][1]:,}",
        }
        for key, name in names
    ]


def _kid(part: Json) -> str:
    """A kernel distance in thousandths, as it is mostly given, with its spread."""
    value, spread = 1000 * part["kid"], 1000 * part["kid_spread"]
    digits = 2 if max(abs(value), spread) < 10 else 1
    return f"{round(value, digits) + 0.0:.{digits}f} ± {spread:.{digits}f}".replace("-", "−")


def diversity_rows(record: Json) -> list[Json]:
    """How varied pixels and features are."""
    units = {"pixels": "levels", "features": ""}
    return [
        {
            "name": key,
            "samples": f"{figures(part['samples'], 3)} {units[key]}".strip(),
            "real": f"{figures(part['real'], 3)} {units[key]}".strip(),
            "ratio": NOTHING
            if part["ratio"] is None
            else f"{part['ratio']:.2f} ± {part['error'] or 0.0:.2f}",
        }
        for key in units
        for part in [record["diversity"][key]]
        if part is not None
    ]


def _eyes(network: Json) -> str:
    if network["network"] == "built-in":
        return "a network trained on these pictures"
    return f"the network {network['network']}"


def network_words(record: Json) -> str:
    """What the distances are by, and what they may be compared with."""
    found = record["distances"]
    if found is None:
        return ""
    network = found["network"]
    words = f"By {_eyes(network)}, {network['features']} features, fingerprint {network['fingerprint']}"
    return f"{words}: {network['scope']}."


def note_words(record: Json) -> list[str]:
    """What else has to be known, a sentence each."""
    data, notes = record["data"], []
    if not data["is_trained_on"]:
        notes.append(
            f"The pictures of {data['name']} are not those that it was trained on, or were changed since: "
            "all is judged by these."
        )
    if data["skipped"]:
        notes.append(f"{counted(data['skipped'], 'file')} could not be read and took no part.")
    if data["repeated"]:
        notes.append(f"{counted(data['repeated'], 'real picture')} came more than once.")
    if any(each["word"] == "collapsed" for each in record["verdicts"]):
        notes.append(
            "Whatever one sample shows, collapsed samples share: a mark of a grid may be no more than that."
        )
    heads = {"grid": "Grids", "detector": "The detector", "distances": "Distances", "nearest": "Neighbours"}
    notes += [
        f"{heads.get(each['measure'], each['measure'].capitalize())} not judged: {each['reason']}."
        for each in record["missing"]
    ]
    return notes


def how_judged(record: Json) -> list[tuple[str, str]]:
    """What the numbers mean, by their heads."""
    grid, near = record["grid"], record["closest"]
    parts = [
        (
            "Samples",
            f"Numbers 0 to {record['samples'] - 1:,} of seed {record['seed']}, as sample draws them.",
        )
    ]
    if record["single"] is not None:
        parts.append(
            (
                "Grid",
                (
                    "Periodic subgrid variance (PSV) of each picture: how far the means of the "
                    "phases of a period lie "
                    "apart, over what noise of the picture's variance has, mean over pictures. 1 "
                    "is chance; real "
                    "pictures lie below, since little of them is at high frequencies. Above "
                    "both: more than noise, "
                    "by two standard errors, and more than real pictures."
                ),
            )
        )
    if grid is not None:
        parts += [
            (
                "Grid in common",
                (
                    "Root of the periodic subgrid variance (PSV): how far the means of the "
                    "phases of a period lie "
                    "apart in the mean of all pictures, in levels of 0 to 255, under a window. "
                    "What repeats every "
                    "2 pixels repeats every 4, 8 and 16, so a grid marks all multiples of its period."
                ),
            ),
            (
                "Louder details",
                (
                    "The same of the squares of details, by how loud these are: an upsampler "
                    "whose phases have "
                    "equal gains and unequal taps leaves details that are louder in some phases "
                    "than in others."
                ),
            ),
            (
                "Chance, real",
                (
                    "At chance: shifted each by itself, the samples share as much. As in real "
                    "pictures: these have "
                    "as much of it. Above both: more than either, which is the upsampler's. All "
                    "verdicts together "
                    f"are wrong in {100 * grid['level']:.0f} of 100 cases by chance; {grid['draws']:,} draws."
                ),
            ),
        ]
    parts.append(
        (
            "Spectrum",
            (
                "Power by frequency in every direction, mean over pictures; bands hold 90 % of "
                "them. Good where the "
                "mean of samples stays within the band of real pictures at all high frequencies, where "
                "up-convolution leaves too much or too little."
            ),
        )
    )
    if record["detector"] is not None:
        found = record["detector"]
        parts.append(
            (
                "Detector",
                (
                    f"Logistic regression on logarithms of these spectra, {found['pictures']:,} "
                    "distinct pictures of each "
                    f"set, {found['folds']} folds, {found['repeats']} times; always asked about "
                    "pictures it has not seen. "
                    "It tells blur as well as grids: a good one finds nearly any generator."
                ),
            )
        )
    parts += [
        (
            "FID, KID",
            (
                "Distances of features, KID in thousandths ± its spread over subsets. They are "
                "too large for few "
                "pictures, so hold samples against the floor of as many real ones, and compare "
                "under one network."
            ),
        ),
        ("Diversity", "Mean distance of two samples by that of two real pictures: below 0.5 is a collapse."),
    ]
    if near is not None:
        parts.append(
            (
                "Copies",
                "Distance to the nearest real picture, root of the mean squared difference of levels after a "
                "blur of 1 pixel"
                + (", mirrored ones too" if record["data"]["is_mirrored"] else "")
                + f". As good as a copy: below {figures(near['limit'], 3)} levels, half of what the "
                f"closest 5 % of {near['references']:,} real pictures stay below to another.",
            )
        )
    return parts
