"""Hold what was measured on one CPU thread: the fastest form for each kind of operator and map.

Generated from benchmarks/results/ops.json by `python -m benchmarks.table`; not edited by hand.
"""

__all__ = ["FASTEST"]

# (family, axes, layout, dtype): the form with the least geometric mean time, its wins, the cases measured
FASTEST: dict[tuple[str, int, str, str], tuple[str, int, int]] = {
    ("dense", 1, "contiguous", "bfloat16"): ("shuffle", 1, 1),
    ("dense", 1, "contiguous", "float32"): ("transposed", 1, 1),
    ("dense", 2, "channels-last", "bfloat16"): ("transposed", 2, 5),
    ("dense", 2, "channels-last", "float32"): ("transposed", 3, 5),
    ("dense", 2, "contiguous", "bfloat16"): ("transposed", 4, 5),
    ("dense", 2, "contiguous", "float32"): ("transposed", 4, 5),
    ("dense", 3, "channels-last", "bfloat16"): ("transposed", 1, 1),
    ("dense", 3, "channels-last", "float32"): ("shuffle", 1, 1),
    ("dense", 3, "contiguous", "bfloat16"): ("transposed", 1, 1),
    ("dense", 3, "contiguous", "float32"): ("transposed", 1, 1),
    ("depthwise", 1, "contiguous", "bfloat16"): ("shuffle", 1, 1),
    ("depthwise", 1, "contiguous", "float32"): ("transposed", 1, 1),
    ("depthwise", 2, "channels-last", "bfloat16"): ("shuffle", 3, 4),
    ("depthwise", 2, "channels-last", "float32"): ("transposed", 4, 4),
    ("depthwise", 2, "contiguous", "bfloat16"): ("shuffle", 3, 4),
    ("depthwise", 2, "contiguous", "float32"): ("transposed", 4, 4),
    ("depthwise", 3, "channels-last", "bfloat16"): ("shuffle", 1, 1),
    ("depthwise", 3, "channels-last", "float32"): ("shuffle", 1, 1),
    ("depthwise", 3, "contiguous", "bfloat16"): ("shuffle", 1, 1),
    ("depthwise", 3, "contiguous", "float32"): ("shuffle", 1, 1),
}
