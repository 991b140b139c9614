"""A plan as JSON becomes a table and a few sentences for a terminal."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from upstroke.report.page import written

__all__ = ["plan_text"]

Json = dict[str, Any]
GOOD, BAD = "green", "yellow"


def plan_text(plan: Json, *, width: int = 100, colour: bool = False, detail: bool = False) -> str:
    """Write an `upstroke.plan/1` record as text; `detail` adds the grid of every map of a U-Net."""

    def write(console: Console) -> None:
        if plan["kind"] == "generator":
            _generator(console, plan)
        else:
            _unet(console, plan, detail=detail)

    return written(write, width=width, colour=colour)


def _generator(console: Console, plan: Json) -> None:
    steps = plan["steps"]
    count = "1 step" if len(steps) == 2 else f"{len(steps) - 1} steps"
    title = f"Generator {_size(plan['from'])} → {_size(plan['to'])}"
    console.print(Text.assemble((title, "bold"), f": {count} of {plan['layer']}"))
    table = _table("step", "size", "sample i sits at (seed pixels)")
    for number, step in enumerate(steps):
        table.add_row(str(number), _size(step["size"]), _grid(step["grid"]))
    console.print(table)
    facts = _facts()
    for axis, coverage in enumerate(plan["coverage"]):
        facts.add_row(_head("coverage", axis, axes=len(plan["coverage"])), _coverage(coverage))
    console.print(facts)


def _coverage(coverage: Json) -> Text:
    counts = coverage["taps_per_phase"]
    if coverage["even"]:
        taps = "1 tap" if counts[0] == 1 else f"{counts[0]} taps"
        return Text.assemble(("even", GOOD), f": every output sample is made by {taps}")
    return Text.assemble(
        ("uneven", BAD),
        f": output samples are made by {', '.join(map(str, counts))} taps in turn, which invites a "
        "checkerboard; even is a kernel that is a multiple of the stride, with a dilation that shares no "
        "factor with it",
    )


def _unet(console: Console, plan: Json, *, detail: bool) -> None:
    convs = "1 convolution" if plan["convs_per_level"] == 1 else f"{plan['convs_per_level']} convolutions"
    title = f"U-Net {_size(plan['size'])} → {_size(plan['output']['size'])}"
    console.print(
        Text.assemble(
            (title, "bold"),
            f": depth {plan['depth']}; {convs} k{_size(plan['kernel'])} ({plan['conv']}) per level; "
            f"{plan['down']} down, {plan['up']} up",
        )
    )
    console.print(_ladder(plan))
    facts = _facts()
    for axis, fit in enumerate(plan["fit"]):
        facts.add_row(_head("size", axis, axes=len(plan["fit"])), _fit(plan, fit, size=plan["size"][axis]))
    fills = dict.fromkeys(each["fill"] for each in plan["untapped"] if each is not None)
    if fills:
        facts.add_row("output_padding", _no_taps(plan["up"], list(fills)))
    joins = [level for level in plan["levels"] if level["drift"] is not None]
    facts.add_row("grids", _joins(joins))
    if any(level["centre_crop_drift"] != level["drift"] for level in joins):
        facts.add_row("", _centre_crops(joins))
    facts.add_row("output", _output(plan["output"]))
    console.print(facts)
    if detail:
        console.print(_all_grids(plan))


def _ladder(plan: Json) -> Table:
    joins = [level for level in plan["levels"] if level["drift"] is not None]
    has_crops = any(sides["left"] or sides["right"] for level in joins for sides in level["crop"])
    has_needs = any(level["needs"] for level in joins)
    columns = ["level", "encoder"]
    columns += ["crop per side"] if has_crops else []
    columns += ["decoder"]
    columns += ["the upsampled map needs"] if has_needs else []
    columns += ["drift (px)"]
    table = _table(*columns)
    for level in plan["levels"]:
        is_join = level["drift"] is not None
        cells: list[str | Text] = [str(level["level"]), _way(level["entry"], level["encoder"])]
        if has_crops:
            cells.append(_crops(level["crop"]) if is_join else "")
        cells.append(_way(level["upsampled"], level["decoder"]) if is_join else "")
        if has_needs:
            cells.append(_needs(level["needs"], axes=len(plan["size"])))
        cells.append(_drift(level["drift"]) if is_join else "")
        table.add_row(*cells)
    return table


def _fit(plan: Json, fit: Json, *, size: int) -> Text:
    # with same convolutions every size works if the table's needs are met; with valid ones something is lost
    misfit = (
        (f"{size} works as the table says", "")
        if plan["conv"] == "same"
        else (f"{size} does not fit exactly", BAD)
    )
    free = "sizes that need nothing" if plan["conv"] == "same" else "sizes that fit"
    if fit["smallest"] is None:
        return Text.assemble(misfit, f"; {free}: none")
    if len(fit["remainders"]) == fit["period"]:
        family = f"any from {fit['smallest']}"
    elif len(fit["remainders"]) == 1:
        family = f"{fit['smallest']}+{fit['period']}k"
    else:
        remainders = ", ".join(map(str, fit["remainders"]))
        family = f"those from {fit['smallest']} that leave {remainders} modulo {fit['period']}"
    if fit["exact"]:
        meaning = (
            "nothing is dropped on the way down, every crop is the same on both sides"
            if plan["conv"] == "valid"
            else "every upsampled map has the size of its join"
        )
        return Text.assemble((f"{size} fits", GOOD), f": {meaning}; sizes that fit: {family}")
    nearest = " and ".join(str(n) for n in (fit["below"], fit["above"]) if n is not None)
    return Text.assemble(misfit, f"; {free}: {family}, nearest {nearest}")


def _no_taps(up: str, fills: list[str]) -> Text:
    return Text.assemble(
        ("bias alone", BAD), f": its samples get no tap of {up}; {' and '.join(fills)} would fill them"
    )


def _joins(joins: list[Json]) -> Text:
    if any(any(level["drift"]["value"]) for level in joins):
        return Text.assemble(
            ("drift", BAD),
            ": the two maps of a join lie that many input pixels apart; "
            "negative: the upsampled one is too far left",
        )
    return Text.assemble(("no drift", GOOD), ": at every join both maps sit on one grid")


def _centre_crops(joins: list[Json]) -> Text:
    listed = "; ".join(
        f"{_distance(level['centre_crop_drift'])} at level {level['level']}" for level in joins
    )
    return Text.assemble("cropping half of the difference on each side ", ("would drift", BAD), f": {listed}")


def _output(output: Json) -> str:
    first = output["grid"]["exact"]["offset"]
    place = first[0] if len(set(first)) == 1 else ", ".join(first)
    if not any(output["drift"]["value"]):
        return f"sample 0 sits at input pixel {place}; the output's middle is the input's middle"
    drift = _distance(output["drift"])
    return f"sample 0 sits at input pixel {place}; the output's middle is {drift} px from the input's middle"


def _all_grids(plan: Json) -> Table:
    table = _table("map", "size", "samples sit at (input pixels)")
    levels = plan["levels"]
    maps = [level[name] for level in levels for name in ("entry", "encoder")]
    maps += [level[name] for level in levels[::-1] if level["upsampled"] for name in ("upsampled", "decoder")]
    for each in [*maps, plan["output"]]:
        table.add_row(each["name"], _size(each["size"]), _grid(each["grid"]))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _facts() -> Table:
    """Give a table of heads and sentences, so that long sentences wrap beside their head."""
    facts = Table.grid(padding=(0, 2, 0, 1))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _head(name: str, axis: int, *, axes: int) -> str:
    return name if axes == 1 else f"{name}, axis {axis}"


def _way(first: Json, last: Json) -> str:
    if first["size"] == last["size"]:
        return _size(last["size"])
    return f"{_size(first['size'])} → {_size(last['size'])}"


def _size(size: list[int]) -> str:
    return "x".join(map(str, size))


def _crops(crop: list[Json]) -> str:
    """Write crops, once where all axes have the same, and as one number where both sides have."""
    axes = [
        str(sides["left"])
        if sides["left"] == sides["right"]
        else f"{sides['left']} left, {sides['right']} right"
        for sides in crop
    ]
    return axes[0] if len(set(axes)) == 1 else "; ".join(axes)


def _needs(needs: list[Json], *, axes: int) -> str:
    """Word each need once, with the axes that have it unless all do."""
    words: dict[str, list[str]] = {}
    for need in needs:
        words.setdefault(_need(need), []).append(str(need["axis"]))
    return "; ".join(
        word if len(where) == axes else f"{word} on axis {' and '.join(where)}"
        for word, where in words.items()
    )


def _need(need: Json) -> str:
    if need["action"] == "output_padding":
        return f"output_padding {need['right']}"
    sides = [f"{need[side]} {side}" for side in ("left", "right") if need[side]]
    return f"{need['action']} {' and '.join(sides)}"


def _drift(drift: Json) -> Text:
    return Text(_distance(drift), BAD if any(drift["value"]) else GOOD)


def _distance(distance: Json) -> str:
    """Write distances, once where all axes have the same."""
    values = [f"{value:.4g}" for value in distance["value"]]
    return values[0] if len(set(values)) == 1 else ", ".join(values)


def _grid(grid: Json) -> str:
    exact = grid["exact"]
    axes = [f"{o} + {s}·i" for o, s in zip(exact["offset"], exact["spacing"], strict=True)]
    return axes[0] if len(set(axes)) == 1 else ", ".join(axes)
