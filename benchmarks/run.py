"""Time every implementation on every case behind a gate; the results go to a file, the choice to a table."""

import json
import platform
import subprocess
from pathlib import Path

import torch

from benchmarks.cases import Case, cases
from benchmarks.table import RESULTS, TABLE, table
from upstroke.ops import IMPLS, upsample
from upstroke.timing import interleaved

TIMED = [name for name in IMPLS if name != "reference"]


def agrees(case: Case, impl: str) -> bool:
    """Whether an implementation gives the reference's map, to the dtype's rounding over some hundred taps."""
    x = case.map()[:1, ..., :9]
    expected = upsample(x.double(), case.operator, impl="reference")
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 3e-2}[case.dtype]
    difference = (upsample(x, case.operator, impl=impl).double() - expected).abs().max()
    return bool(difference <= tolerance * expected.abs().max())


def row(case: Case) -> dict[str, object]:
    """Median milliseconds of each implementation, taken in turns; fresh outputs."""
    for impl in TIMED:
        if not agrees(case, impl):
            msg = f"{case.name}/{impl}: wrong, so not timed"
            raise SystemExit(msg)
    x = case.map()
    with torch.inference_mode():
        calls = {impl: (lambda impl=impl: upsample(x, case.operator, impl=impl)) for impl in TIMED}
        times = interleaved(calls, seconds=0.25)
    return {
        "case": case.name,
        "family": case.family,
        "axes": case.operator.ndim,
        "layout": "channels-last" if case.channels_last else "contiguous",
        "dtype": str(case.dtype).removeprefix("torch."),
        "median_ms": {impl: round(1e3 * timing.median, 3) for impl, timing in times.items()},
        "spread_ms": {impl: round(1e3 * timing.spread, 3) for impl, timing in times.items()},
        "fastest": min(times, key=lambda impl: times[impl].median),
    }


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    name = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "processor": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gpu": "not measured on a GPU",
        "outputs": "freshly allocated",
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    """Run every case, print a line for each, write the results."""
    torch.set_num_threads(1)
    rows = []
    for case in cases():
        rows.append(row(case))
        print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(
        json.dumps({"schema": "upstroke.bench/1", "machine": machine(), "rows": rows}, indent=1) + "\n"
    )
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
