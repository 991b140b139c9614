"""Time minimal filtering against what serves otherwise, and write `upstroke.ops.minimal_measured`."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch

from benchmarks.cases import CASES, Case, Transposed
from benchmarks.contender import in_layout, random_map
from benchmarks.layers import pytorchs
from benchmarks.machine import machine
from benchmarks.results import RESULTS
from upstroke.ops import dense
from upstroke.ops.kernels import instructions
from upstroke.ops.minimal import MOST_TAPS, Filtering, prepare, run
from upstroke.timing import interleaved

PATH = RESULTS / "minimal.json"
TABLE = Path(__file__).resolve().parent.parent / "src" / "upstroke" / "ops" / "minimal_measured.py"

# Sizes beside those of the other suites: channels, channels out, cells along an axis, kernel, stride, batch.
MORE = (
    (64, 32, 32, 4, 2, 8),
    (256, 256, 16, 4, 2, 1),
    (128, 128, 32, 4, 2, 1),
    (32, 32, 128, 4, 2, 1),
    (256, 128, 8, 4, 2, 1),
    (128, 64, 16, 4, 2, 1),
    (1024, 512, 8, 4, 2, 1),
    (64, 64, 64, 6, 2, 1),
    (128, 64, 32, 5, 2, 1),
    (256, 128, 32, 3, 2, 1),
    (64, 64, 32, 5, 3, 1),
)

# Seconds for each call of a row.
SECONDS = 0.3

HEAD = '''"""Hold the times of dense transposed convolutions by minimal filtering and otherwise.

Generated from benchmarks/results/minimal.json by `python -m benchmarks.minimal`; not edited by hand.
"""

from typing import NamedTuple

__all__ = ["INSTRUCTIONS", "MEASURED", "MinimalRow"]


class MinimalRow(NamedTuple):
    """One layer without a bias on one float32 map, forward.

    Attributes:
        axes: number of axes.
        layout: "contiguous" or "channels-last".
        batch: number of maps.
        channels: that come in and go out.
        cells: of one map, all axes together.
        taps: of the kernel, all axes together.
        phases: all axes together.
        otherwise: milliseconds of the thread's own time that the form takes which serves otherwise.
        filtered: milliseconds by minimal filtering of a weight that is prepared.
        preparing: milliseconds that the preparation takes.
    """

    axes: int
    layout: str
    batch: int
    channels: tuple[int, int]
    cells: int
    taps: int
    phases: int
    otherwise: float
    filtered: float
    preparing: float


# the sets of instructions with which these times were taken, or that make no difference to them
'''

# Sets of which the wider kernels are compiled alike.
ALIKE = {"avx512_bf16": ("avx512", "avx512_bf16"), "avx512": ("avx512", "avx512_bf16")}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row, as `MinimalRow` has it, with the name of its case."""

    case: str
    axes: int
    layout: str
    batch: int
    channels: tuple[int, int]
    cells: int
    taps: int
    phases: int
    otherwise: float
    filtered: float
    preparing: float


def cases() -> Iterator[Case]:
    """The dense cases of one or two axes whose phases have few taps, some of them more than one."""
    for channels, out, cells, kernel, stride, batch in MORE:
        layer = Transposed(
            out=out, kernel=kernel, stride=stride, padding=(kernel - stride + 1) // 2, bias=False
        )
        name = f"{channels}->{out} k{kernel} s{stride} @{cells}x{cells}, batch {batch}"
        yield Case(suite="minimal", name=name, layer=layer, shape=(batch, channels, cells, cells))
    for case in CASES:
        found = case.as_transposed or case
        layer = found.layer
        if found.suite not in ("dense", "resize_conv", "choice") or not isinstance(layer, Transposed):
            continue
        few = layer.stride < layer.kernel <= MOST_TAPS * layer.stride
        if layer.out is not None and found.ndim < 3 and few and layer.stride > 1:
            yield replace(found, layer=replace(layer, bias=False))


def measured(case: Case, layout: str) -> Measured:
    """The row of a case, after a look at what is computed."""
    layer = pytorchs(case)
    assert isinstance(case.layer, Transposed)
    assert case.layer.out is not None
    x, weight = random_map(case.shape, torch.float32, layout), layer.weight.detach()
    settings = ("stride", "padding", "output_padding", "dilation")
    numbers = {name: getattr(layer, name) for name in settings}
    filtering = Filtering(layer.kernel_size, layer.stride, layer.padding)

    def otherwise(weight: torch.Tensor) -> torch.Tensor:
        with mock.patch.object(dense, "_filtered_use", return_value="never"):
            return dense.conv_transpose(x, weight, None, **numbers)

    prepared, right = prepare(weight, filtering), layer.double()(x.double())
    samples = tuple(right.shape[2:])

    def filtered() -> torch.Tensor:
        return run(x, prepared, None, filtering, case.layer.out, samples)

    error = ((filtered() - right).norm() / right.norm()).item()
    if not error < 2e-6:
        msg = f"{case.name}/{layout}: off by {error:.1e}, so not timed"
        raise SystemExit(msg)
    calls = {
        "otherwise": lambda: otherwise(weight),
        "filtered": filtered,
        "preparing": lambda: prepare(weight, filtering),
    }
    if layout == "channels-last":
        inside = in_layout(weight, layout)
        calls["otherwise, weight too"] = lambda: otherwise(inside)
    # the thread's own time, so that what else the machine does counts little
    with torch.inference_mode(), mock.patch.object(time, "perf_counter", time.thread_time):
        times = {
            name: 1e3 * each.median for name, each in interleaved(calls, seconds=SECONDS, turns=7).items()
        }
    return Measured(
        case=case.name,
        axes=case.ndim,
        layout=layout,
        batch=case.shape[0],
        channels=(case.shape[1], case.layer.out),
        cells=math.prod(case.shape[2:]),
        taps=case.layer.kernel**case.ndim,
        phases=case.layer.stride**case.ndim,
        otherwise=_rounded(min(ms for name, ms in times.items() if name.startswith("otherwise"))),
        filtered=_rounded(times["filtered"]),
        preparing=_rounded(times["preparing"]),
    )


def table(path: Path = PATH) -> str:
    """The text of the module, from the results."""
    found = json.loads(path.read_text())
    sets = ", ".join(f'"{name}"' for name in ALIKE.get(found["instructions"], (found["instructions"],)))
    lines = []
    for row in found["rows"]:
        layout = f'"{row["layout"]}"'
        values = (row["axes"], layout, row["batch"], tuple(row["channels"]), row["cells"], row["taps"])
        times = (row["phases"], row["otherwise"], row["filtered"], row["preparing"])
        lines.append(f"    MinimalRow({', '.join(map(str, (*values, *times)))}),\n")
    return (
        f"{HEAD}# fmt: off\nINSTRUCTIONS: tuple[str, ...] = ({sets},)\n\n"
        f"MEASURED: tuple[MinimalRow, ...] = (\n{''.join(lines)})\n"
    )


def main() -> None:
    """Measure all rows, write them and the module."""
    torch.set_num_threads(1)
    rows = []
    for case in cases():
        for layout in case.layouts:
            rows.append(measured(case, layout))
            print(rows[-1], flush=True)
    lines = ",\n".join("  " + json.dumps(vars(row)) for row in rows)
    head = json.dumps({"machine": machine(), "instructions": instructions()}, indent=1).removesuffix("\n}")
    PATH.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')
    TABLE.write_text(table())


def _rounded(milliseconds: float) -> float:
    return float(f"{milliseconds:.3g}")


if __name__ == "__main__":
    main()
