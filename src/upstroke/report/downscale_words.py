"""Turn numbers of an evaluated downscaling into the words that text and page share."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from upstroke.report.inspect_text import figures

__all__ = [
    "KEPT",
    "beside_words",
    "best_of",
    "by_rmse",
    "column",
    "decimals_for",
    "difference_unit",
    "grid_words",
    "how_judged",
    "is_kept",
    "kept_words",
    "pair_words",
    "percent",
    "region_of",
    "resolved_words",
    "scores_of",
    "signed",
    "two_digits",
    "unit_of",
    "verdict_words",
]

Json = dict[str, Any]
# Block means that differ by no more than this of the largest value are kept: what float32 rounds.
KEPT = 1e-6
CELSIUS = {"celsius", "degc", "deg_c", "degree_celsius", "degrees_celsius", "degrees c", "degree c", "°c"}
NOTHING = "–"


def unit_of(record: Json) -> str:
    """The field's unit as it is written.

    >>> unit_of({"units": "degrees C"}), unit_of({"units": "m"})
    ('°C', 'm')
    """
    units = str(record["units"])
    return "°C" if units.strip().lower() in CELSIUS else units


def difference_unit(record: Json) -> str:
    """The unit of a difference: kelvins for degrees.

    >>> difference_unit({"units": "Celsius"})
    'K'
    """
    return "K" if unit_of(record) == "°C" else unit_of(record)


def decimals_for(values: Iterable[float | None], *, digits: int = 3) -> int:
    """How many decimals show the least of these numbers with so many digits, from 0 to 6.

    >>> decimals_for([0.12, 0.2719, None]), decimals_for([71.877, 62.7]), decimals_for([0.0])
    (3, 1, 0)
    """
    sizes = [abs(each) for each in values if each is not None and each and math.isfinite(each)]
    return min(max(digits - 1 - math.floor(math.log10(min(sizes))), 0), 6) if sizes else 0


def column(values: Iterable[float | None], *, decimals: int | None = None) -> list[str]:
    """Write numbers that stand below each other, with as many decimals as the least of them needs.

    >>> column([0.12, 0.2719, None]), column([-1e-9], decimals=3)
    (['0.120', '0.272', '–'], ['0.000'])
    """
    given = list(values)
    places = decimals_for(given) if decimals is None else decimals
    # rounded first, so that no zero has a sign
    return [
        NOTHING if each is None else f"{round(each, places) + 0.0:.{places}f}".replace("-", "−")
        for each in given
    ]


def signed(text: str) -> str:
    """Put a plus before what is positive.

    >>> signed("0.12"), signed("−0.12"), signed("0.00"), signed("–")
    ('+0.12', '−0.12', '0.00', '–')
    """
    is_plain = text.startswith(("−", NOTHING)) or not any(each in "123456789" for each in text)
    return text if is_plain else f"+{text}"


def two_digits(value: float) -> str:
    """A positive number to two digits at least, all of them written.

    >>> two_digits(2.0), two_digits(8.46e-7), two_digits(406.5), two_digits(0.0)
    ('2.0', '8.5e−7', '406', '0.0')
    """
    if 100 <= value < 1e5:
        return f"{value:,.0f}"
    text = f"{value:.1e}" if value and not 0.01 <= value < 100 else f"{value:#.2g}".rstrip(".")
    mantissa, _, power = text.partition("e")
    return f"{mantissa}e{int(power)}".replace("-", "−") if power else mantissa


def percent(share: float | None, *, digits: int = 2) -> str:
    """A part in per cent.

    >>> percent(-2.3e-5), percent(3e-11), percent(None)
    ('−0.0023 %', '3e−9 %', '–')
    """
    return NOTHING if share is None else f"{figures(100 * share, digits).replace('e-', 'e−')} %"


def region_of(record: Json, name: str) -> Json:
    """What the record says of a region."""
    return next(each for each in record["regions"] if each["name"] == name)


def scores_of(record: Json, region: str, key: str) -> list[float | None]:
    """One score of every method, in the record's order."""
    return [
        None if each["scores"][region] is None else each["scores"][region][key] for each in record["methods"]
    ]


def best_of(record: Json) -> Json:
    """The method that the verdict names."""
    return next(each for each in record["methods"] if each["name"] == record["verdict"]["best"])


def by_rmse(record: Json) -> list[Json]:
    """The methods, the nearest to the truth first; those without a number last."""
    region = record["verdict"]["region"]
    return sorted(
        record["methods"],
        key=lambda each: math.inf if each["scores"][region] is None else each["scores"][region]["rmse"],
    )


def is_kept(method: Json) -> bool:
    """Whether every coarse value comes back from the fine field, to rounding in float32."""
    return bool(method["block_means"]["relative"] <= KEPT)


def verdict_words(record: Json) -> str:
    """Say in one line which method is closest to the truth.

    >>> verdict_words({"units": "Celsius", "verdict": {"best": "cubic", "rmse": 0.12002, "nearest": 0.27194}})
    'Closest to the truth: cubic, RMSE 0.120 K'
    """
    verdict = record["verdict"]
    (rmse,) = column([verdict["rmse"]])
    return f"Closest to the truth: {verdict['best']}, RMSE {rmse} {difference_unit(record)}".rstrip()


def beside_words(record: Json) -> str:
    """Say of which cells the verdict is, and what nearest has there."""
    verdict = record["verdict"]
    where = "Away from coasts, by area" if verdict["region"] == "interior" else "Over all cells, by area"
    if verdict["best"] == "nearest" or verdict["nearest"] is None:
        return f"{where}."
    _, nearest = column([verdict["rmse"], verdict["nearest"]])
    return f"{where}; nearest has {nearest} {difference_unit(record)}".rstrip() + "."


def kept_words(record: Json) -> str:
    """Say which methods keep every coarse value and by how much the others change one."""
    kept = [each["name"] for each in record["methods"] if is_kept(each)]
    moved = [each for each in record["methods"] if not is_kept(each)]
    what = "mean" if record["quantity"] == "mean" else "total"
    unit = difference_unit(record)
    parts = []
    if kept:
        parts.append(f"{_and(kept)} {'keeps' if len(kept) == 1 else 'keep'} the {what} of every coarse cell")
    if moved:
        worst = max(moved, key=lambda each: each["block_means"]["largest"])
        names = _and([each["name"] for each in moved])
        verb = "changes" if len(moved) == 1 else "change"
        far = f"{figures(worst['block_means']['largest'], 3)} {unit}".strip()
        parts.append(f"{names} {verb} it by up to {far}")
    return f"{_upper('; '.join(parts))}."


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def pair_words(record: Json) -> str | None:
    """Say what no method can find that keeps the coarse model's own values; None without a coarse model."""
    pair = record["pair"]
    if pair is None:
        return None
    region, unit = record["verdict"]["region"], difference_unit(record)
    far = f"{figures(pair['rms'][region], 3)} {unit}".strip()
    most = f"{figures(pair['largest'], 3)} {unit}".strip()
    words = (
        "The coarse field is a model's own: block means of the fine one differ from it by "
        f"{far} in root mean square, {most} at most. No method that keeps the coarse values can have a lower "
        "RMSE than that."
    )
    without = pair["without_truth"]
    return f"{words} {without:,} coarse cells have no true value." if without else words


def resolved_words(record: Json, method: Json, way: str) -> str:
    """The wavelength down to which a method's error has less than half of the true power."""
    if record["spectra"] is None or method["spectra"] is None:
        return NOTHING
    value = method["spectra"][way]["resolved"]
    unit = record["spectra"][way]["unit"].replace("degrees of longitude", "°")
    return "none" if value is None else f"{figures(value, 3)} {unit}".replace(" °", "°").strip()


def grid_words(record: Json) -> str:
    """The two grids and the factor between them.

    >>> grid = {"fine": [720, 1440], "coarse": [180, 360]}
    >>> grid_words({"grid": grid, "factor": [4, 4]})
    '180×360 coarse cells to 720×1440 fine ones, factor 4'
    """
    fine, coarse = ("×".join(map(str, record["grid"][key])) for key in ("fine", "coarse"))
    factor = record["factor"]
    words = str(factor[0]) if factor[0] == factor[1] else "×".join(map(str, factor))
    return f"{coarse} coarse cells to {fine} fine ones, factor {words}"


def how_judged(record: Json) -> list[tuple[str, str]]:
    """What the numbers mean, by their heads."""
    inner, coast = region_of(record, "interior"), region_of(record, "coast")
    is_pair = record["pair"] is not None
    given = (
        f"the values of {record['coarse_source'] or 'the coarse field'}"
        if is_pair
        else "area-weighted means of the truth over the cells that have a value"
        if record["quantity"] == "mean"
        else "sums of the truth over the cells that have a value"
    )
    parts = [
        (
            "The truth",
            f"{record['source'] or 'The fine field'}, {record['variable']}, {_maps(record['maps'])}.",
        ),
        ("What methods get", f"{_upper(given)}, and the valid part of each fine cell."),
        (
            "Away from coasts",
            (
                f"{_upper(inner['words'])}: {inner['coarse_cells']:,} of them, "
                f"{percent(inner['area_share'], digits=3)} of the area."
            ),
        ),
        (
            "At coasts",
            (
                f"{_upper(coast['words'])}: {coast['coarse_cells']:,}, "
                f"{percent(coast['area_share'], digits=3)} of the area."
            ),
        ),
        ("Land fill", f"{_upper(record['fill'])}."),
        (
            "Numbers",
            (
                "Means are by valid area; 1 % and 99 % are percentiles by area, of each map, and least "
                "and greatest are its "
                "extreme values, all minus those of the truth, mean over maps; overshoot is how far a "
                "method leaves the range of the "
                "truth at most. Block means and totals are summed up in float64 from the fine field alone."
            ),
        ),
    ]
    if record["spectra"] is not None:
        size = "×".join(map(str, record["spectra"]["window"]))
        parts.append(
            (
                "Spectra",
                (
                    f"Of {record['spectra']['windows']:,} windows of {size} fine cells in which every "
                    "cell has a value, half over "
                    "each other, so that no land is filled; none beyond 60° of latitude; a plane is "
                    "taken off each and a Hann "
                    "taper laid on; mean by area. A wave is resolved while the error has less than half "
                    "of the true power."
                ),
            )
        )
    else:
        parts.append(("Spectra", "None: there is no window of 8×8 coarse cells without land."))
    return parts


def _upper(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _maps(count: int) -> str:
    return "one map" if count == 1 else f"{count:,} maps"
