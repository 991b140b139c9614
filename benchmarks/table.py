"""Turn the results file into the table that `upstroke.ops.choose` reads."""

import json
import math
from collections import defaultdict
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "ops.json"
TABLE = Path(__file__).parent.parent / "src" / "upstroke" / "ops" / "measured.py"

HEAD = '''"""Hold what was measured on one CPU thread: the fastest form for each kind of operator and map.

Generated from benchmarks/results/ops.json by `python -m benchmarks.table`; not edited by hand.
"""

__all__ = ["FASTEST"]

# (family, axes, layout, dtype): the form with the least geometric mean time, its wins, the cases measured
FASTEST: dict[tuple[str, int, str, str], tuple[str, int, int]] = {
'''


def table(results: Path = RESULTS) -> str:
    """The text of the module."""
    groups = defaultdict(list)
    for row in json.loads(results.read_text())["rows"]:
        groups[row["family"], row["axes"], row["layout"], row["dtype"]].append(row)
    lines = []
    for key, rows in sorted(groups.items()):
        best = min(rows[0]["median_ms"], key=lambda impl: math.prod(row["median_ms"][impl] for row in rows))
        wins = sum(row["fastest"] == best for row in rows)
        family, axes, layout, dtype = key
        lines.append(f'    ("{family}", {axes}, "{layout}", "{dtype}"): ("{best}", {wins}, {len(rows)}),\n')
    return HEAD + "".join(lines) + "}\n"


if __name__ == "__main__":
    TABLE.write_text(table())
