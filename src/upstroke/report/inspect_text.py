"""Turn the record of an inspected layer into text for a terminal."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from upstroke.report.page import written

__all__ = ["figures", "inspect_text", "layer_title", "percent"]

Json = dict[str, Any]
GOOD, BAD = "green", "yellow"
SHADES = " ░▒▓█"
GAP = 4
MOST_ROWS = 16
# Decibels within which two images are as loud.
TIED = 1e-6


def inspect_text(record: Json, *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.inspect/1` record of a layer as text."""
    width = min(width, 100)
    return written(lambda console: _write(console, record, width=width), width=width, colour=colour)


def _write(console: Console, record: Json, *, width: int) -> None:
    console.print(Text(layer_title(record["layer"]), "bold"))
    console.print(Text(_source(record)))
    for line in _maps(record, width=width):
        console.print(Text(line), no_wrap=True, crop=False)
    console.print()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, words in _rows(record):
        table.add_row(name, words)
    console.print(table)
    console.print()
    console.print(_verdict(record))


def layer_title(layer: Json) -> str:
    """Name a layer in the shorthand that papers use.

    >>> layer_title({"kind": "resize", "mode": "linear", "scale": [2, 2], "centre": "cell"})
    'Linear resize ×2, half-pixel'
    """
    kind = layer["kind"]
    if kind == "resize":
        centre = {"cell": ", half-pixel", "sample": ", centred on samples"}.get(layer.get("centre", ""), "")
        slope = f", a = {layer['a']:g}" if "a" in layer else ""
        title = f"{_MODES.get(layer['mode'], layer['mode'].capitalize())} resize ×{_same(layer['scale'])}"
        title += centre + slope
        return title + (f", then convolution {_window(layer)}{_channels(layer)}" if "kernel" in layer else "")
    if kind == "operator":
        return f"Operator ×{_same(layer['scale'])}{_channels(layer)}"
    if kind == "shuffle":
        return f"Convolution {_window(layer)}, then pixel shuffle ×{_same(layer['scale'])}{_channels(layer)}"
    if kind == "separable":
        order = layer["order"].replace("-", " ")
        return f"Depthwise-separable transposed convolution {_window(layer)}{_channels(layer)}, {order}"
    return f"Transposed convolution {_window(layer)}{_channels(layer)}"


_MODES = {"bspline": "Cubic B-spline", "kaiser": "Kaiser-windowed sinc"}


def _window(layer: Json) -> str:
    """k4 s2 p1, and what is not at its default."""
    words = [f"k{_same(layer['kernel'])}"]
    if "stride" in layer:
        words.append(f"s{_same(layer['stride'])}")
    words.append(f"p{_same(layer['padding'])}")
    if any(layer.get("output_padding", ())):
        words.append(f"op{_same(layer['output_padding'])}")
    if any(d != 1 for d in layer.get("dilation", ())):
        words.append(f"d{_same(layer['dilation'])}")
    return " ".join(words)


def _channels(layer: Json) -> str:
    if layer["in_channels"] == layer["out_channels"] == 1:
        return ""
    groups = f" in {layer['groups']} groups" if layer.get("groups", 1) > 1 else ""
    return f", {layer['in_channels']} → {layer['out_channels']} channels{groups}"


def _source(record: Json) -> str:
    weights = record["weights"]
    if weights == "fixed by the mode":
        return "Weights: fixed by the mode."
    if weights == "those of the operator":
        return "Weights: those of the operator."
    if isinstance(weights, str):
        return (
            "Weights: uniform (none given), mean gain 1. Taps, size, grid and cost follow from the shape; "
            "gains, image gain, order, mass and PSV are those of this uniform kernel."
        )
    stages = weights.items() if "depthwise" in weights else [("", weights)]
    named = [f"{stage} {_file(each)}".strip() for stage, each in stages]
    return f"Weights: {', '.join(named)}."


def _file(weights: Json) -> str:
    key = "" if weights["key"] is None else f":{weights['key']}"
    return f"{weights['file']}{key} ({'x'.join(map(str, weights['shape']))} {weights['dtype']})"


def _maps(record: Json, *, width: int) -> list[str]:
    """Taps, gains and image gain of every phase side by side, as far as they fit."""
    if record["pattern"]["shape"] == "none":
        return []
    summary = record["phase_gain_summary"]
    pair = summary["worst_pair"]
    gains = "gain per phase"
    if summary["channel_pairs"] > 1:
        gains += f", channel {pair['in']}→{pair['out']}"
    blocks = [
        _map(record["coverage"], title="taps per phase", shaded=True),
        _map(pair["gain"], title=gains, unit=_unit(record)),
        _map(record["image_gain_db"], title="image gain, dB", index="j =", none="·"),
    ]
    rows: list[list[list[str]]] = []
    for block in blocks:
        if max(map(len, block)) > width or len(block) > 3 * MOST_ROWS:
            continue
        used = sum(max(map(len, other)) + GAP for other in rows[-1]) if rows else width
        if used + max(map(len, block)) > width:
            rows.append([])
        rows[-1].append(block)
    lines: list[str] = []
    for row in rows:
        lines.append("")
        height = max(map(len, row))
        padded = [
            [line.ljust(max(map(len, block))) for line in block + [""] * (height - len(block))]
            for block in row
        ]
        lines += [(" " * GAP).join(parts) for parts in zip(*padded, strict=True)]
    return lines


def _map(
    values: Any,  # noqa: ANN401 - nested lists
    *,
    title: str,
    index: str = "phase",
    shaded: bool = False,
    none: str = "",
    unit: float = 1.0,
) -> list[str]:
    """One number per phase, in rows and columns; of three axes, one map under the other."""
    ndim = _depth(values)
    planes = values if ndim == 3 else [values if ndim == 2 else [values]]
    numbers = [value for plane in planes for row in plane for value in row]
    cells = [_cell(value, none=none, unit=unit) for value in numbers]
    most = max((abs(value) for value in numbers if value is not None), default=0) or 1
    size = max(map(len, cells))
    lines = [title]
    for place, plane in enumerate(planes):
        if ndim == 3:
            lines.append(f"{index} {place} of the first axis")
        for row in plane:
            line = []
            for value in row:
                block = ""
                if shaded:
                    block = " " + SHADES[math.ceil((len(SHADES) - 1) * abs(value) / most)] * 2
                line.append(_cell(value, none=none, unit=unit).rjust(size) + block)
            lines.append("  " + "  ".join(line))
    return lines


def _depth(values: Any) -> int:  # noqa: ANN401 - nested lists
    return 1 + _depth(values[0]) if isinstance(values, list) else 0


def _cell(value: int | float | None, *, none: str, unit: float) -> str:
    if value is None:
        return none
    return str(value) if isinstance(value, int) else _number(value, unit)


def _rows(record: Json) -> list[tuple[str, str]]:
    """The facts, one a line, each with what it means."""
    rows = [("Size", _size(record)), ("Grid", _grid(record))]
    if any(side for sides in record["margin"] for side in sides):
        rows.append(("Margin", _margin(record)))
    if record["pattern"]["shape"] != "none":
        rows += [("Coverage", _coverage(record)), ("Phase gain", _gain(record))]
        rows += [("Image gain", _image(record)), ("Order", _order(record))]
    rows += [("Mass", _mass(record)), ("PSV", _psv(record)), ("Cost", _cost(record))]
    return rows


def _size(record: Json) -> str:
    size = record["size"]
    axes = [_grown(s, e) for s, e in zip(size["scale"], size["excess"], strict=True)]
    words = f"n → {axes[0]} on every axis" if len(set(axes)) == 1 and len(axes) > 1 else ", ".join(
        f"n → {axis}" for axis in axes
    )  # fmt: skip
    least = max(size["least_input"])
    return words if least == 1 else f"{words}; the input needs n ≥ {least}"


def _grown(scale: int, excess: int) -> str:
    times = "n" if scale == 1 else f"{scale}n"
    return times if excess == 0 else f"{times} {'+' if excess > 0 else '−'} {abs(excess)}"


def _grid(record: Json) -> str:
    exact = record["grid"]["exact"]
    axes = [
        (o.replace("-", "−"), s, _place(Fraction(o), scale))
        for o, s, scale in zip(exact["offset"], exact["spacing"], record["size"]["scale"], strict=True)
    ]
    parts = [
        f"sample i sits at {offset} + {spacing}·i input pixels: {place}" for offset, spacing, place in axes
    ]
    words = (
        parts[0] if len(set(parts)) == 1 else "; ".join(f"axis {i}: {part}" for i, part in enumerate(parts))
    )
    if record["centroid"] is not None:
        apart = [c - o for c, o in zip(record["centroid"], record["grid"]["offset"], strict=True)]
        if max(map(abs, apart)) > 5e-4:
            words += (
                f". The weights' centre of gravity moves that by {', '.join(f'{_signed(a)}' for a in apart)}"
            )
    return words


def _place(offset: Fraction, scale: int) -> str:
    """Where the grid sits, by what it is registered to."""
    half_pixel = Fraction(1 - scale, 2 * scale)
    if scale == 1:
        return "in place" if offset == 0 else f"moved by {_fraction(offset)} px"
    if offset == half_pixel:
        partner = "2x2 pooling and convolution k4 s2 p1" if scale == 2 else f"{scale}x{scale} pooling"
        return f"half-pixel, registered to {partner}"
    if offset == 0:
        partner = (
            f"convolution k{3 if scale == 2 else 2 * scale - 1} s{scale} p{1 if scale == 2 else scale - 1}"
        )
        return f"centred on samples, registered to {partner}"
    return (
        f"{_fraction(offset - half_pixel)} px from half-pixel, {_fraction(offset)} px from centred on samples"
    )


def _margin(record: Json) -> str:
    sides = [f"{left} left, {right} right" for left, right in record["margin"]]
    words = (
        sides[0] if len(set(sides)) == 1 else "; ".join(f"axis {i}: {each}" for i, each in enumerate(sides))
    )
    return f"the layer may differ from these numbers in the outermost output samples: {words}"


def _coverage(record: Json) -> str:
    counts = _flat(record["coverage"])
    if record["pattern"]["shape"] == "even":
        return f"even: {_count(counts[0], 'tap')} in every phase"
    if min(counts) == 0:
        return f"{counts.count(0)} of {len(counts)} phases have no tap; the others up to {max(counts)}"
    layer = record["layer"]
    why = ""
    if "stride" in layer:
        axes = [
            f"{k} is no multiple of {s}" if math.gcd(d, s) == 1 else f"dilation {d} shares a factor with {s}"
            for k, s, d in zip(layer["kernel"], layer["stride"], layer["dilation"], strict=True)
            if k % s or math.gcd(d, s) > 1
        ]
        why = f", because {', '.join(dict.fromkeys(axes))}" if axes else ""
    return f"uneven: {min(counts)} to {_count(max(counts), 'tap')} per phase{why}"


def _gain(record: Json) -> str:
    summary = record["phase_gain_summary"]
    pairs = summary["channel_pairs"]
    gains = _flat(summary["worst_pair"]["gain"])
    equal = record["pattern"]["weights"] in {"balanced", "no answer", "all zero"}
    unit = _unit(record)
    if any(gain is None for gain in (*gains, summary["least"], summary["most"], summary["mean"])):
        return "beyond the largest number of float64"
    if pairs == 1:
        if equal:
            return f"{_number(summary['mean'], unit)} in every phase: a constant comes out constant"
        return f"{_range(gains, unit)}, mean {_number(summary['mean'], unit)}"
    if equal:
        return f"equal in all phases for each of {pairs} channel pairs: a constant comes out constant"
    pair = summary["worst_pair"]
    return (
        f"worst of {pairs} channel pairs is {pair['in']}→{pair['out']}: {_range(gains, unit)}; all gains "
        f"{_range([summary['least'], summary['most']], unit)}"
    )


def _image(record: Json) -> str:
    image = record["image_gain"]
    if image["zero_sum"]:
        return "no reference: the taps sum to zero, so a constant itself comes out as nothing"
    if image["worst_db"] is None:
        return "none: all image frequencies are zero to rounding" + _replica(record)
    places, name = _loudest(record["image_gain_db"])
    shown = [
        ", ".join(str(Fraction(j, s)) for j, s in zip(place, record["size"]["scale"], strict=True))
        for place in places[:3]
    ]
    where = " and ".join(f"({axes})" if len(places[0]) > 1 else axes for axes in shown)
    where += f" and {len(places) - 3} more" if len(places) > 3 else ""
    level = f"{image['worst_db']:.1f}".replace("-", "−")
    return f"loudest {level} dB at {where} cycles per sample{name}" + _replica(record)


def _replica(record: Json) -> str:
    replica = record["replica"]
    if replica is None or replica["worst_db"] is None:
        return ""
    level = f"{replica['worst_db']:.1f}".replace("-", "−")
    return f"; worst replica of the band's lower half {level} dB"


def _loudest(levels: Any) -> tuple[list[tuple[int, ...]], str]:  # noqa: ANN401 - nested lists
    """Indices of the loudest images, of j and -j one, and what two axes make of them."""
    flat = _flat(levels)
    shape, inner = [], levels
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0]
    everywhere = list(itertools.product(*map(range, shape)))
    most = max(level for level in flat[1:] if level is not None)
    places = [
        place
        for place, level in zip(everywhere[1:], flat[1:], strict=True)
        if level is not None
        and level > most - TIED
        and place <= tuple(-j % s for j, s in zip(place, shape, strict=True))
    ]
    if len(shape) != 2:
        return places, ""
    stripes = [name for name, i in (("vertical", 0), ("horizontal", 1)) if any(not p[i] for p in places)]
    names = [f"{' and '.join(stripes)} stripes"] if stripes else []
    names += ["a checkerboard"] if any(all(place) for place in places) else []
    return places, f", {' and '.join(names)}"


def _order(record: Json) -> str:
    order = record["strang_fix_order"]
    if order is None:
        return "Strang–Fix: nothing to measure"
    meaning = {
        0: "a constant comes out with a pattern",
        1: "constants come out constant, lines with a pattern",
        2: "lines come out as lines, parabolas with a pattern",
    }.get(order, f"polynomials up to degree {order - 1} come out without a pattern")
    return f"Strang–Fix {order}: {meaning}"


def _mass(record: Json) -> str:
    mass = record["mass_summary"]
    phases = math.prod(record["size"]["scale"])
    if record["phase_gain_summary"]["channel_pairs"] > 1:
        words = (
            f"{_number(mass['least'], _unit(record))} to {_number(mass['most'], _unit(record))} over channel "
            f"pairs ({phases} keeps a mean, 1 keeps a total)"
        )
    else:
        words = f"{_number(mass['mean'], _unit(record))}, {_mass_meaning(record)}"
    if record["block_mean_error"] is not None and record["image_gain"]["worst_db"] is None:
        error = record["block_mean_error"]
        words += (
            "; block means come back"
            if error < 1e-6
            else f"; block means off by up to {_number(error)} of a cell"
        )
    kept = record["total_kept"]
    if kept is not None and (kept["least"] < 1 - 1e-6 or kept["most"] > 1 + 1e-6):
        size = "x".join(map(str, kept["size"]))
        lost = [f"{100 * (1 - kept[end]):.1f}" for end in ("most", "least")]
        share = lost[0] if lost[0] == lost[1] else f"{lost[0]} to {lost[1]}"
        words += f"; a constant {size} map loses {share} % at its border".replace("-", "−")
    return words


def _mass_meaning(record: Json) -> str:
    mass, phases = record["mass_summary"]["mean"], math.prod(record["size"]["scale"])
    if record["image_gain"]["zero_sum"]:
        return "so the mean comes out as 0"
    if mass is None:
        return "so neither mean nor total can be told"
    if math.isclose(mass, phases, rel_tol=1e-6):
        keeps = "keeps the mean of an intensive field (a temperature)"
        return keeps + (" and the total of an extensive one" if phases == 1 else "")
    if math.isclose(mass, 1, rel_tol=1e-6):
        return "keeps the total of an extensive field (a count)"
    return (
        f"so the mean comes out {figures(mass / phases)} times and the total {figures(mass)} times as large"
    )


def _psv(record: Json) -> str:
    psv = record["psv"]
    worst = " (worst channel)" if record["phase_gain_summary"]["channel_pairs"] > 1 else ""
    noise = (
        f"white noise is up to {100 * psv['worst_noise_spread']:.0f} % weaker (in variance) in some phases"
        if psv["worst_noise_spread"] > 1e-6
        else "white noise is as strong in every phase"
    )
    # what rounding leaves of a constant that comes out constant is no variance
    drawn = record["pattern"]["weights"] in {"unbalanced", "pattern alone"}
    variance = _number(psv["worst_constant"], 0.0 if drawn else _unit(record) * _unit(record))
    return f"a constant 1 gives {variance} squared output units{worst}; {noise}"


def _cost(record: Json) -> str:
    cost = record["cost"]
    if cost["multiply_adds_per_input"] == 0:
        return "copies only: no parameters, no multiply–adds"
    channel = " and channel" if cost["per_channel"] else ""
    held = [_count(cost["parameters"], "parameter")] if cost["parameters"] else []
    held = held or [_count(cost["fixed_taps"], "fixed tap")]
    work = _count(cost["multiply_adds_per_input"], "multiply–add")
    words = f"{', '.join(held)}, {work} per input position{channel}"
    if "as_one" not in cost:
        return words
    one = cost["as_one"]["multiply_adds_per_input"]
    built = cost["multiply_adds_per_input"]
    if record["layer"]["kind"] == "separable":
        stages = " + ".join(f"{stage['multiply_adds_per_input']:,}" for stage in cost["stages"])
        return f"{words} ({stages}); the dense layer takes {one:,}, {_ratio(one, built)}"
    return f"{words}; as one operator {one:,}, {_ratio(one, built)}"


def _ratio(one: int, built: int) -> str:
    return (
        f"{figures(one / built, 3)} times as many"
        if one >= built
        else f"{figures(built / one, 3)} times fewer"
    )


def _verdict(record: Json) -> Text:
    """Whether there is a checkerboard, by shape and by weights, and why these are two statements."""
    pattern = record["pattern"]
    shape, weights = pattern["shape"], pattern["weights"]
    if shape == "none":
        return Text("Nothing grows on any axis, so there are no phases to differ and no checkerboard.", GOOD)
    board = "stripes" if len(record["size"]["scale"]) == 1 else "a checkerboard"
    owner = {"uniform (none given)": "uniform weights", "fixed by the mode": "its fixed weights"}.get(
        str(record["weights"]), "these weights"
    )
    clean = weights in {"balanced", "no answer", "all zero"}
    by_weights = f"{owner} {_drawn(record)}"
    if record["weights"] == "fixed by the mode":
        # nothing is learned, so that the gains alone count
        return Text(f"{by_weights[0].upper()}{by_weights[1:]}.", GOOD if clean else BAD)
    by_shape = {
        "even": f"By its shape this layer does not invite {board}: every output sample is made of as many "
        "taps",
        "uneven": f"By its shape this layer invites {board}: some output samples are made of more taps than "
        "others",
        "empty phases": "By its shape this layer leaves holes: some output samples are made of no tap",
    }[shape]
    if record["layer"]["kind"] == "shuffle":
        untied = (
            "Taps are even, but nothing ties the phases together: untied random weights draw a pattern until "
            "trained, tied (ICNR) or balanced"
        )
        good = clean and record["weights"] != "uniform (none given)"
        return Text(f"{untied}; {by_weights}.", GOOD if good else BAD)
    joint = "and" if clean == (shape == "even") else "yet"
    why = (
        "The first says where equal weights lead, and training cannot change it; the second says what the "
        "weights at hand do, and training can change that either way."
    )
    good = shape == "even" and clean
    return Text.assemble((f"{by_shape}, {joint} {by_weights}.", GOOD if good else BAD), f" {why}")


def _drawn(record: Json) -> str:
    """What the weights make of a constant, in the most uneven channel pair."""
    pattern = record["pattern"]
    pair = pattern["pair"]
    several = record["phase_gain_summary"]["channel_pairs"] > 1
    of = f" for channel {pair['in']} to {pair['out']}, the most uneven pair," if several else ""
    if pattern["weights"] == "unbalanced":
        size = (
            f"one of {percent(pattern['rms'])} of its mean (rms), {percent(pattern['peak'])} at its peak"
            if pattern["rms"] is not None and pattern["peak"] is not None
            else "one"
        )
        return f"draw a pattern:{of} a constant comes out with {size}"
    return {
        "balanced": "draw no pattern, since a constant comes out constant",
        "pattern alone": f"draw a pattern:{of} a constant comes out as pure pattern, with mean 0",
        "no answer": "draw no pattern, since a constant comes out as nothing",
        "all zero": "are all zero and draw nothing",
    }[pattern["weights"]]


def percent(share: int | float) -> str:
    """A share in per cent to three digits, and as a multiple from ten times on.

    >>> percent(0.4843), percent(0.9999), percent(0.0), percent(-2e-7), percent(30.0)
    ('48.4 %', '100 %', '0 %', '−0.00002 %', '30 times')
    """
    return f"{figures(100 * share, 3)} %" if abs(share) < 10 else f"{figures(share, 3)} times"


def figures(value: int | float, digits: int = 4) -> str:
    """A number to this many digits, with a power of ten only where it is very large or very small.

    >>> figures(99.7, 2), figures(12345.6), figures(-0.25), figures(1.6e201), figures(0.0)
    ('100', '12346', '−0.25', '1.6e201', '0')
    """
    if value == 0 or not math.isfinite(value):
        text = "0" if value == 0 else str(value)
    elif 1e-5 <= abs(value) < 1e7:
        text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(power)}"
    return text.replace("-", "−")


def _unit(record: Json) -> float:
    """The largest tap, beside which rounding is told from a number."""
    largest = record["largest_tap"]
    return float(largest) if largest else 1.0


def _range(values: Sequence[int | float], unit: float) -> str:
    least, most = _number(min(values), unit), _number(max(values), unit)
    if least != most:
        return f"{least} to {most}"
    apart = max(values) - min(values)
    return f"{least}, differing by {figures(apart, 2)}" if apart else least


def _same(numbers: Sequence[int]) -> str:
    """One number where all axes have the same."""
    return str(numbers[0]) if len(set(numbers)) == 1 else "x".join(map(str, numbers))


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _fraction(value: Fraction) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{abs(value)}"


def _signed(value: int | float) -> str:
    return f"{value:+.3f}".replace("-", "−") + " px"


def _number(value: int | float | None, unit: float = 1.0) -> str:
    """Four digits, without a sign on zero; beside a unit, what is rounding of it is zero."""
    if value is None:
        return "beyond float64"
    return figures(value) if abs(value) >= 5e-13 * unit else "0"


def _flat(values: Any) -> list[Any]:  # noqa: ANN401 - nested lists
    return [leaf for part in values for leaf in _flat(part)] if isinstance(values, list) else [values]
