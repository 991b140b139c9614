"""Turn the rows of our own forms into `upstroke.ops.measured`, which the choice between them reads."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.cases import CASES, Case, Fixed, ResizeConv, Transposed
from benchmarks.forms import PART
from benchmarks.results import RESULTS, Row, load
from upstroke.ops.dense_choice import is_lean
from upstroke.ops.dense_forms import OWN

IN_A_ROW = "in a row"
# what a form may take of the time of PyTorch's own way to be worth its name in a table
WORTH = 0.95

TABLE = Path(__file__).resolve().parent.parent / "src" / "upstroke" / "ops" / "measured.py"

DENSE_TABLE = TABLE.with_name("dense_measured.py")
RESIZE_TABLE = TABLE.with_name("resize_conv_measured.py")
PEER_TABLE = TABLE.with_name("peer_measured.py")

HEAD = '''"""Hold what was measured on one CPU thread: milliseconds of every form, for each case, map, part.

Generated from benchmarks/results by `python -m benchmarks.table`; not edited by hand.
"""

from typing import NamedTuple

__all__ = ["MEASURED", "Row"]


class Row(NamedTuple):
    """The forms of one operator on one map, in one layout and dtype.

    Attributes:
        family: "fixed" one kernel for all channels, "depthwise" one for each, "dense" over all channels.
        part: "forward", "input gradient" or "weight gradient".
        axes: number of axes; every axis has the scale and the kernel.
        scale: output samples per cell.
        kernel: samples from the first to the last tap, all phases together.
        channels: coming in and going out.
        batch: number of maps.
        cells: of one map, all axes together.
        layout: "contiguous" or "channels-last".
        dtype: name of the map's.
        milliseconds: by form, results in memory that was used before. A form that is missing does not serve
            the operator or takes more than three times as long as another.
    """

    family: str
    part: str
    axes: int
    scale: int
    kernel: int
    channels: tuple[int, int]
    batch: int
    cells: int
    layout: str
    dtype: str
    milliseconds: dict[str, float]


# fmt: off
MEASURED: tuple[Row, ...] = (
'''
# samples from the first to the last tap of a fixed kernel of scale s, for even s
SPAN = {"nearest": 1, "linear": 2, "cubic": 4, "bspline": 4}


DENSE_HEAD = '''"""Hold which form of a dense transposed convolution was the fastest on one CPU thread.

Generated from benchmarks/results by `python -m benchmarks.table`; not edited by hand.
"""

__all__ = ["MEASURED"]

# (part, axes, layout, kind): calls as (batch, channels in, channels out, cells, taps, phases) and their form
# fmt: off
MEASURED: dict[tuple[str, int, str, str], tuple[tuple[tuple[int, ...], str], ...]] = {
'''


RESIZE_HEAD = '''"""Hold which way to compute a resize and a convolution was the fastest on one CPU thread.

Generated from benchmarks/results by `python -m benchmarks.table`; not edited by hand.
"""

from typing import Literal

__all__ = ["MEASURED", "Form"]

Form = Literal["in a row", "in a row, channels-last", "one operator"]

# (axes, layout, whether the ends need a pass of their own, part): calls as (cells, channels in, channels out,
# taps in a row, taps as one operator) and their form
# fmt: off
MEASURED: dict[tuple[int, str, bool, str], tuple[tuple[tuple[int, ...], Form], ...]] = {
'''


PEER_HEAD = '''"""Hold the times of PyTorch and upstroke for upsampling each channel by itself, on one thread.

Generated from benchmarks/results by `python -m benchmarks.table`; not edited by hand.
"""

from typing import NamedTuple

__all__ = ["MEASURED", "PeerRow"]


class PeerRow(NamedTuple):
    """One layer on one float32 map in the contiguous layout, forward, results in memory that was used before.

    Attributes:
        case: what the benchmark calls it.
        kind: "depthwise", or the mode of a resize.
        axes: number of axes; every axis has the scale and the kernel.
        scale: output samples per cell.
        kernel: samples from the first to the last tap.
        channels: that come in and go out.
        cells: of the map, all axes and the batch together.
        pytorch, upstroke: milliseconds.
    """

    case: str
    kind: str
    axes: int
    scale: int
    kernel: int
    channels: int
    cells: int
    pytorch: float
    upstroke: float


# fmt: off
MEASURED: tuple[PeerRow, ...] = (
'''


def table(folder: Path = RESULTS) -> str:
    """The text of the module of the forms of `upsample`."""
    lines = []
    for case, row in _rows(("depthwise", "dense", "resize_conv", "choice"), folder):
        for layout, milliseconds in _forms(row, "form").items():
            family, scale, kernel, out = _operator(case.as_transposed or case)
            values = {
                "family": family,
                "part": PART[str(row["work"])],
                "axes": case.ndim,
                "scale": scale,
                "kernel": kernel,
                "channels": (case.shape[1], out),
                "batch": case.shape[0],
                "cells": math.prod(case.shape[2:]),
                "layout": layout,
                "dtype": str(row["dtype"]),
                "milliseconds": milliseconds,
            }
            lines.append(f"    Row({', '.join(map(_written, values.values()))}),\n")
    return HEAD + "".join(lines) + ")\n"


def dense_table(folder: Path = RESULTS) -> str:
    """The text of the module of the forms of a dense transposed convolution."""
    found: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for case, row in _rows(("dense", "resize_conv", "choice"), folder):
        case = case.as_transposed or case
        for layout, milliseconds in _forms(row, "convolution").items():
            _, scale, kernel, out = _operator(case)
            cells = math.prod(case.shape[2:])
            size = (case.shape[0], case.shape[1], out, cells, kernel**case.ndim, scale**case.ndim)
            # as `upstroke.ops.dense_choice` names them
            lies = layout if row["dtype"] == "float32" else f"{layout}, {row['dtype']}"
            lean = {form: ms for form, ms in milliseconds.items() if is_lean(form, lies, size)}
            best = _winner(lean, plain=OWN)
            key = (PART[str(row["work"])], case.ndim, lies, _kind(case))
            found[key].append(f"        {_written((size, best))},\n")
    lines = [f"    {_written(key)}: (\n{''.join(rows)}    ),\n" for key, rows in sorted(found.items())]
    return DENSE_HEAD + "".join(lines) + "}\n"


def resize_table(folder: Path = RESULTS) -> str:
    """The text of the module of the forms of a resize and a convolution."""
    found: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for case, row in _rows(("resize_conv", "choice"), folder):
        # a convolution of one tap asks no table
        if not isinstance(case.layer, ResizeConv) or case.layer.kernel == 1:
            continue
        part = "forward" if row["work"] == "forward" else "training"
        for layout, milliseconds in _forms(row, "resize").items():
            k, s = case.layer.kernel, case.layer.scale
            drawn = SPAN[case.layer.mode] * s + k - 1
            cells = case.shape[0] * math.prod(case.shape[2:])
            size = (cells, case.shape[1], case.layer.out, (s * k) ** case.ndim, drawn**case.ndim)
            best = _winner(milliseconds, plain=IN_A_ROW)
            key = (case.ndim, layout, case.layer.mode != "nearest", part)
            found[key].append(f"        {_written((size, best))},\n")
    lines = [f"    {_written(key)}: (\n{''.join(rows)}    ),\n" for key, rows in sorted(found.items())]
    return RESIZE_HEAD + "".join(lines) + "}\n"


def peer_table(folder: Path = RESULTS) -> str:
    """The text of the module of the times of PyTorch's layers and ours."""
    lines = []
    for case, row in _rows(("depthwise",), folder):
        taken = {
            time["who"]: time["ms"]
            for time in row["times"]
            if (time["layout"], time["outputs"]) == ("contiguous", "reused")
        }
        if (row["work"], row["dtype"]) != ("forward", "float32") or not {"PyTorch", "upstroke"} <= set(taken):
            continue
        family, scale, kernel, _ = _operator(case)
        kind = case.layer.mode if isinstance(case.layer, Fixed) else family
        cells = case.shape[0] * math.prod(case.shape[2:])
        size = (case.ndim, scale, kernel, case.shape[1], cells)
        values = (case.name, kind, *size, taken["PyTorch"], taken["upstroke"])
        lines.append(f"    PeerRow({', '.join(map(_written, values))}),\n")
    return PEER_HEAD + "".join(lines) + ")\n"


def _winner(milliseconds: Mapping[str, float], *, plain: str) -> str:
    """The fastest form; PyTorch's own way where no other saves more than two runs differ by."""
    best = min(milliseconds, key=lambda form: milliseconds[form])
    near = plain in milliseconds and milliseconds[best] > WORTH * milliseconds[plain]
    return plain if near else best


def write() -> None:
    """Write the modules."""
    TABLE.write_text(table())
    DENSE_TABLE.write_text(dense_table())
    RESIZE_TABLE.write_text(resize_table())
    PEER_TABLE.write_text(peer_table())


def _rows(suites: tuple[str, ...], folder: Path) -> Iterator[tuple[Case, Row]]:
    """The rows of one thread with their cases."""
    cases = {case.name: case for case in CASES}
    for suite in suites:
        for row in load(suite, folder)[1]:
            if row["threads"] == 1 and row["case"] in cases:
                yield cases[str(row["case"])], row


def _forms(row: Row, wanted: str) -> Mapping[str, dict[str, float]]:
    """Milliseconds of each form of a kind, by layout; parts that no form computes alone have none."""
    forms: dict[str, dict[str, float]] = defaultdict(dict)
    for time in row["times"]:
        kind, _, name = time["who"].partition(" ")
        if kind == wanted and time["outputs"] == "reused":
            forms[time["layout"]][name] = time["ms"]
    return forms


def _written(value: object) -> str:
    return repr(value).replace("'", '"')


def _kind(case: Case) -> str:
    """As `upstroke.ops.dense_choice` tells calls apart."""
    assert isinstance(case.layer, Transposed)
    if math.prod(case.shape[2:]) == 1:
        return "one cell"
    is_tiling = case.layer.kernel == case.layer.stride and not case.layer.padding + case.layer.output_padding
    return "tiling" if is_tiling else "overlapping"


def _operator(case: Case) -> tuple[str, int, int, int]:
    """Family, scale, kernel and channels going out."""
    match case.layer:
        case Fixed(mode=mode, scale=scale):
            return "fixed", scale, SPAN[mode] * scale, case.shape[1]
        case Transposed(out=None, stride=stride, kernel=kernel):
            return "depthwise", stride, kernel, case.shape[1]
        case Transposed(out=int(out), stride=stride, kernel=kernel):
            return "dense", stride, kernel, out
    msg = f"{case.layer} has no forms of its own"
    raise TypeError(msg)


if __name__ == "__main__":
    write()
