"""Hold what was measured on one CPU thread: milliseconds of every form, for each operator, map and part.

Generated from benchmarks/results by `python -m benchmarks.table`; not edited by hand.
"""

from typing import NamedTuple

__all__ = ["MEASURED", "Row"]


class Row(NamedTuple):
    """The forms of one operator on one map, in one layout and dtype.

    Attributes:
        family: "fixed" one kernel for all channels, "depthwise" one for each, "dense" over all channels: forms
            of `upsample`; "convolution" for forms of a dense transposed convolution.
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
            the operator or takes more than four times as long as another.
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
    Row("dense", "forward", 2, 2, 4, (128, 64), 2, 1024, "contiguous", "float32", {"transposed": 9.65, "shuffle": 15.333, "phases": 11.147}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 2, 1024, "contiguous", "bfloat16", {"transposed": 6.615, "shuffle": 8.568, "phases": 7.045}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 2, 1024, "channels-last", "float32", {"transposed": 7.994, "shuffle": 13.839, "phases": 13.571}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 2, 1024, "channels-last", "bfloat16", {"transposed": 5.624, "shuffle": 7.426, "phases": 8.027}),
    Row("dense", "forward", 2, 2, 3, (64, 64), 2, 1024, "contiguous", "float32", {"transposed": 5.4, "shuffle": 5.717, "phases": 7.186}),
    Row("dense", "forward", 2, 2, 3, (64, 64), 2, 1024, "contiguous", "bfloat16", {"transposed": 3.174, "shuffle": 3.718, "phases": 3.991}),
    Row("dense", "forward", 2, 2, 3, (64, 64), 2, 1024, "channels-last", "float32", {"transposed": 6.166, "shuffle": 4.103, "phases": 8.331}),
    Row("dense", "forward", 2, 2, 3, (64, 64), 2, 1024, "channels-last", "bfloat16", {"transposed": 2.138, "shuffle": 2.122, "phases": 4.99}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 4096, "contiguous", "float32", {"transposed": 7.066, "shuffle": 6.436, "phases": 7.26}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 4096, "contiguous", "bfloat16", {"transposed": 3.932, "shuffle": 5.059, "phases": 6.836}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 4096, "channels-last", "float32", {"transposed": 5.72, "shuffle": 7.013, "phases": 14.997}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 4096, "channels-last", "bfloat16", {"transposed": 2.134, "shuffle": 2.103, "phases": 9.009}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 1, 1024, "contiguous", "float32", {"transposed": 4.951, "shuffle": 6.967, "phases": 5.002}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 1, 1024, "contiguous", "bfloat16", {"transposed": 4.844, "shuffle": 5.022, "phases": 4.61}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 1, 1024, "channels-last", "float32", {"transposed": 4.491, "shuffle": 6.478, "phases": 5.363}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 1, 1024, "channels-last", "bfloat16", {"transposed": 4.312, "shuffle": 4.475, "phases": 4.81}),
    Row("dense", "forward", 2, 4, 4, (64, 32), 1, 1024, "contiguous", "float32", {"transposed": 2.183, "shuffle": 2.21, "phases": 3.297}),
    Row("dense", "forward", 2, 4, 4, (64, 32), 1, 1024, "contiguous", "bfloat16", {"transposed": 1.932, "shuffle": 2.249, "phases": 4.351}),
    Row("dense", "forward", 2, 4, 4, (64, 32), 1, 1024, "channels-last", "float32", {"transposed": 1.346, "shuffle": 1.165, "phases": 4.762}),
    Row("dense", "forward", 2, 4, 4, (64, 32), 1, 1024, "channels-last", "bfloat16", {"transposed": 1.055, "shuffle": 0.82, "phases": 4.414}),
    Row("dense", "forward", 1, 8, 16, (128, 64), 1, 256, "contiguous", "float32", {"transposed": 1.348, "shuffle": 1.49, "phases": 1.888}),
    Row("dense", "forward", 1, 8, 16, (128, 64), 1, 256, "contiguous", "bfloat16", {"transposed": 1.898, "shuffle": 1.579, "phases": 2.108}),
    Row("dense", "forward", 3, 2, 2, (64, 32), 1, 4096, "contiguous", "float32", {"transposed": 3.358, "shuffle": 3.448, "phases": 4.718}),
    Row("dense", "forward", 3, 2, 2, (64, 32), 1, 4096, "contiguous", "bfloat16", {"transposed": 2.792, "shuffle": 3.021, "phases": 5.231}),
    Row("dense", "forward", 3, 2, 2, (64, 32), 1, 4096, "channels-last", "float32", {"transposed": 6.347, "shuffle": 6.066, "phases": 9.542}),
    Row("dense", "forward", 3, 2, 2, (64, 32), 1, 4096, "channels-last", "bfloat16", {"transposed": 1.624, "shuffle": 4.889, "phases": 6.199}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "float32", {"transposed": 1.455, "shuffle": 4.972, "phases": 5.027}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "bfloat16", {"transposed": 10.355, "shuffle": 4.711, "phases": 4.748}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "float32", {"transposed": 1.236, "shuffle": 2.172, "phases": 8.922}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "bfloat16", {"transposed": 8.64, "shuffle": 3.058, "phases": 8.133}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "float32", {"transposed": 2.759, "shuffle": 5.947, "phases": 6.12}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "bfloat16", {"transposed": 8.54, "shuffle": 5.54, "phases": 5.706}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "float32", {"transposed": 6.134, "shuffle": 9.629, "phases": 9.452}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "bfloat16", {"transposed": 11.92, "shuffle": 8.632, "phases": 8.848}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 4096, "contiguous", "float32", {"transposed": 3.07, "shuffle": 9.088, "phases": 6.354}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 4096, "contiguous", "bfloat16", {"transposed": 13.133, "shuffle": 7.356, "phases": 6.02}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 4096, "channels-last", "float32", {"transposed": 6.461, "shuffle": 12.639, "phases": 9.878}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 4096, "channels-last", "bfloat16", {"transposed": 16.505, "shuffle": 10.615, "phases": 9.289}),
    Row("fixed", "forward", 2, 4, 8, (16, 16), 1, 4096, "contiguous", "float32", {"transposed": 2.158, "shuffle": 4.151, "phases": 6.442}),
    Row("fixed", "forward", 2, 4, 8, (16, 16), 1, 4096, "contiguous", "bfloat16", {"transposed": 6.68, "shuffle": 4.064, "phases": 6.006}),
    Row("fixed", "forward", 2, 4, 8, (16, 16), 1, 4096, "channels-last", "float32", {"transposed": 3.863, "shuffle": 5.906, "phases": 8.195}),
    Row("fixed", "forward", 2, 4, 8, (16, 16), 1, 4096, "channels-last", "bfloat16", {"transposed": 7.724, "shuffle": 5.17, "phases": 7.146}),
    Row("fixed", "forward", 1, 2, 4, (64, 64), 1, 4096, "contiguous", "float32", {"transposed": 2.253, "shuffle": 2.658, "phases": 3.046}),
    Row("fixed", "forward", 1, 2, 4, (64, 64), 1, 4096, "contiguous", "bfloat16", {"transposed": 3.952, "shuffle": 2.635, "phases": 2.973}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 4096, "contiguous", "float32", {"transposed": 5.729, "shuffle": 3.715, "phases": 4.393}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 4096, "contiguous", "bfloat16", {"transposed": 9.624, "shuffle": 3.539, "phases": 3.696}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 4096, "channels-last", "float32", {"transposed": 6.262, "shuffle": 4.203, "phases": 4.996}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 4096, "channels-last", "bfloat16", {"transposed": 9.198, "shuffle": 3.866, "phases": 3.907}),
)
