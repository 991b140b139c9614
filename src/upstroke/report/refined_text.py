"""Turn the record of a file that was refined into text for a terminal."""

from typing import Any

from rich.console import Console
from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["refined_text"]

Json = dict[str, Any]


def refined_text(
    record: Json, *, width: int = 100, colour: bool = False, verbose: bool = False, quiet: bool = False
) -> str:
    """Write an `upstroke.downscale-run/1` record as text; `verbose` adds pieces, `quiet` drops notes.

    >>> kept = {"error": 1e-7, "before": 2.0, "after": 2.0, "lost": 0, "quantity": "mean", "units": "K"}
    >>> record = {"source": "a.nc", "target": "b.nc", "coarse": [2, 3], "fine": [4, 6], "method": "cubic"}
    >>> record |= {"area_unit": "sr", "conserve": True, "fields": {"sst": kept}, "copied": [], "notes": []}
    >>> print(refined_text(record | {"resumed": 0, "pieces": 1, "seconds": 0.5}), end="")
    b.nc: 2 x 3 cells became 4 x 6 by cubic in 0.5 s
      sst: block means kept to 1.0e-07; integral 2 K sr before, 2 K sr after (+0.0e+00)
    """
    return written(
        lambda console: _write(console, record, verbose=verbose, quiet=quiet), width=width, colour=colour
    )


def _write(console: Console, record: Json, *, verbose: bool, quiet: bool) -> None:
    coarse, fine = (" x ".join(map(str, record[key])) for key in ("coarse", "fine"))
    plain = "" if record["conserve"] else " without keeping means"
    words = (
        f": {coarse} cells became {fine} by {visible(record['method'])}{plain} in {record['seconds']:.1f} s"
    )
    say(console, "", Text.assemble((visible(record["target"]), "bold"), words), hang=2)
    for name, each in record["fields"].items():
        say(console, "  ", Text(f"{visible(name)}: {_kept(each, record)}"), hang=4)
    if record["copied"]:
        say(console, "  ", Text(f"copied: {', '.join(map(visible, record['copied']))}"), hang=4)
    if record["resumed"]:
        say(
            console,
            "  ",
            Text(f"{record['resumed']} of {record['pieces']} pieces were there already"),
            hang=4,
        )
    elif verbose:
        say(console, "  ", Text("1 piece" if record["pieces"] == 1 else f"{record['pieces']} pieces"), hang=4)
    for note in () if quiet else record["notes"]:
        say(console, "  ", Text(f"note: {visible(note)}"), hang=4)


def _kept(field: Json, record: Json) -> str:
    is_total = field["quantity"] == "total"
    what, sum_ = ("totals", "total") if is_total else ("block means", "integral")
    units = " ".join(["", *filter(None, (visible(field["units"]), "" if is_total else record["area_unit"]))])
    how = "kept to" if record["conserve"] else "changed by up to"
    before, after = field["before"], field["after"]
    change = (after - before) / abs(before) if before else after - before
    lost = f"; {field['lost']} values without a valid fine cell" if field["lost"] else ""
    return (
        f"{what} {how} {field['error']:.1e}; {sum_} {before:.9g}{units} before, "
        f"{after:.9g}{units} after ({change:+.1e}){lost}"
    )
