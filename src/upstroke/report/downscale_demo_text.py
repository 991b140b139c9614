"""Turn the record of the demonstration of downscaling into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["downscale_demo_text"]

Json = dict[str, Any]


def downscale_demo_text(record: Json, *, width: int = 100, colour: bool = False, quiet: bool = False) -> str:
    """Write an `upstroke.downscale-demo/1` record as text; `quiet` leaves what was made unsaid."""
    return written(lambda console: _write(console, record, quiet=quiet), width=width, colour=colour)


def _write(console: Console, record: Json, *, quiet: bool) -> None:
    found, made = record["evaluation"], record["run"]["fields"]["sst"]
    coarse, fine = (" x ".join(map(str, record["run"][key])) for key in ("coarse", "fine"))
    if not quiet:
        say(
            console,
            "",
            Text(f"A drawn sea of {fine} cells became {coarse} means, and these {fine} cells again."),
        )
    say(
        console,
        "",
        Text(
            f"fine.nc: the integral was {made['before']:.10g} K sr before and {made['after']:.10g} K sr "
            f"after; no block's mean is off by more than {made['error']:.0e} of it."
        ),
    )
    say(console, "", Text())
    head = f"{'method':<10}{'RMSE, K':>10}{'at coasts':>11}{'worst block':>13}{'total':>12}"
    say(console, "  ", Text(head, "bold"))
    for each in found["methods"]:
        inside, coast = (each["scores"][name] for name in ("interior", "coast"))
        cells = (
            _number(inside and inside["rmse"]),
            _number(coast and coast["rmse"]),
            f"{each['block_means']['relative']:.0e}",
            f"{100 * each['total']['relative_change']:+.1e} %",
        )
        line = f"{visible(each['name']):<10}{cells[0]:>10}{cells[1]:>11}{cells[2]:>13}{cells[3]:>12}"
        say(console, "  ", Text(line))
    say(console, "", Text())
    heat = record["heat"]
    say(
        console,
        "",
        Text(
            f"Heat above freezing in the uppermost metre: {heat['before']:.3f} ZJ. "
            "One transposed convolution, stride 4, whose kernel has the mass"
        ),
    )
    for mass, after in heat.items():
        if mass == "before":
            continue
        change = 100 * (after / heat["before"] - 1)
        what = "makes" if change > 1e-6 else "loses" if change < -1e-6 else "keeps"
        by = (
            "the total"
            if what == "keeps"
            else f"{abs(change):.3g} % {'from nothing' if change > 0 else ''}".strip()
        )
        say(console, "  ", Text(f"{float(mass):.1f}: {after:.3f} ZJ, {what} {by}"))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
