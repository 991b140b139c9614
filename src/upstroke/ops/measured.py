"""Hold what was measured on one CPU thread: milliseconds of every form, for each case, map, part.

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
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 64, "contiguous", "float32", {"native": 0.165, "transposed": 0.3777, "shuffle": 0.4}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 64, "channels-last", "float32", {"native": 0.08911}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 64, "contiguous", "bfloat16", {"native": 0.08264, "shuffle": 0.2317}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 64, "channels-last", "bfloat16", {"native": 0.04502}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "float32", {"native": 0.4866, "transposed": 1.158}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "float32", {"native": 0.5996, "transposed": 0.4184}),
    Row("depthwise", "input gradient", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "float32", {"native": 0.9655, "transposed": 0.7475}),
    Row("depthwise", "input gradient", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "float32", {"native": 0.4389, "transposed": 0.3826}),
    Row("depthwise", "weight gradient", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "float32", {"native": 1.54, "transposed": 4.754, "shuffle": 5.142}),
    Row("depthwise", "weight gradient", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "float32", {"native": 0.8212, "transposed": 3.623}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "bfloat16", {"native": 0.7946}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "bfloat16", {"native": 0.4724}),
    Row("depthwise", "input gradient", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "bfloat16", {"native": 0.4886, "transposed": 0.9984}),
    Row("depthwise", "input gradient", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "bfloat16", {"native": 0.3469, "transposed": 0.1981}),
    Row("depthwise", "weight gradient", 2, 2, 4, (64, 64), 1, 4096, "contiguous", "bfloat16", {"native": 1.501, "transposed": 4.179, "phases": 3.88}),
    Row("depthwise", "weight gradient", 2, 2, 4, (64, 64), 1, 4096, "channels-last", "bfloat16", {"native": 0.8055}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "contiguous", "float32", {"native": 1.46, "transposed": 5.332}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "channels-last", "float32", {"native": 1.107, "transposed": 2.77}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 1.159}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 1.005}),
    Row("depthwise", "forward", 2, 2, 4, (3, 3), 1, 65536, "contiguous", "float32", {"native": 0.2304}),
    Row("depthwise", "forward", 2, 2, 4, (3, 3), 1, 65536, "channels-last", "float32", {"native": 0.6006, "transposed": 1.13}),
    Row("depthwise", "forward", 2, 2, 4, (3, 3), 1, 65536, "contiguous", "bfloat16", {"native": 0.2038}),
    Row("depthwise", "forward", 2, 2, 4, (3, 3), 1, 65536, "channels-last", "bfloat16", {"native": 0.422}),
    Row("depthwise", "forward", 2, 2, 3, (64, 64), 1, 16384, "contiguous", "float32", {"native": 1.057}),
    Row("depthwise", "forward", 2, 2, 3, (64, 64), 1, 16384, "channels-last", "float32", {"native": 0.8371, "transposed": 4.205}),
    Row("depthwise", "forward", 2, 2, 3, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 1.127}),
    Row("depthwise", "forward", 2, 2, 3, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 0.885}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "contiguous", "float32", {"native": 2.841, "transposed": 6.738}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "channels-last", "float32", {"native": 2.848, "transposed": 4.376}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 1.967}),
    Row("depthwise", "forward", 2, 2, 4, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 2.302}),
    Row("fixed", "forward", 2, 2, 2, (64, 64), 1, 16384, "contiguous", "float32", {"native": 0.7053}),
    Row("fixed", "forward", 2, 2, 2, (64, 64), 1, 16384, "channels-last", "float32", {"native": 0.7739, "transposed": 1.578}),
    Row("fixed", "forward", 2, 2, 2, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 0.6516}),
    Row("fixed", "forward", 2, 2, 2, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 0.6295}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 16384, "contiguous", "float32", {"native": 1.158}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 16384, "channels-last", "float32", {"native": 0.8127}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 1.139}),
    Row("fixed", "forward", 2, 2, 4, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 0.8324}),
    Row("fixed", "forward", 2, 2, 4, (3, 3), 1, 262144, "contiguous", "float32", {"native": 0.6008}),
    Row("fixed", "forward", 2, 2, 4, (3, 3), 1, 262144, "channels-last", "float32", {"native": 1.984}),
    Row("fixed", "forward", 2, 2, 4, (3, 3), 1, 262144, "contiguous", "bfloat16", {"native": 0.6009}),
    Row("fixed", "forward", 2, 2, 4, (3, 3), 1, 262144, "channels-last", "bfloat16", {"native": 1.331}),
    Row("fixed", "forward", 2, 4, 8, (64, 64), 1, 4096, "contiguous", "float32", {"native": 0.9425}),
    Row("fixed", "forward", 2, 4, 8, (64, 64), 1, 4096, "channels-last", "float32", {"native": 0.749}),
    Row("fixed", "input gradient", 2, 4, 8, (64, 64), 1, 4096, "contiguous", "float32", {"native": 1.511, "transposed": 4.736}),
    Row("fixed", "input gradient", 2, 4, 8, (64, 64), 1, 4096, "channels-last", "float32", {"native": 1.26}),
    Row("fixed", "forward", 2, 4, 8, (64, 64), 1, 4096, "contiguous", "bfloat16", {"native": 0.8917}),
    Row("fixed", "forward", 2, 4, 8, (64, 64), 1, 4096, "channels-last", "bfloat16", {"native": 0.6971}),
    Row("fixed", "input gradient", 2, 4, 8, (64, 64), 1, 4096, "contiguous", "bfloat16", {"native": 1.307}),
    Row("fixed", "input gradient", 2, 4, 8, (64, 64), 1, 4096, "channels-last", "bfloat16", {"native": 0.8201}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "contiguous", "float32", {"native": 1.609}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "channels-last", "float32", {"native": 1.205}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 2.206}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 1.593}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "contiguous", "float32", {"native": 1.721}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "channels-last", "float32", {"native": 1.333}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 1.946}),
    Row("fixed", "forward", 2, 2, 8, (64, 64), 1, 16384, "channels-last", "bfloat16", {"native": 1.404}),
    Row("fixed", "forward", 1, 2, 4, (64, 64), 1, 16384, "contiguous", "float32", {"native": 0.4838}),
    Row("fixed", "input gradient", 1, 2, 4, (64, 64), 1, 16384, "contiguous", "float32", {"native": 0.6443, "transposed": 2.715}),
    Row("fixed", "forward", 1, 2, 4, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 0.3185}),
    Row("fixed", "input gradient", 1, 2, 4, (64, 64), 1, 16384, "contiguous", "bfloat16", {"native": 0.3369}),
    Row("depthwise", "forward", 1, 8, 16, (64, 64), 1, 2048, "contiguous", "float32", {"native": 0.1733, "transposed": 0.6002}),
    Row("depthwise", "forward", 1, 8, 16, (64, 64), 1, 2048, "contiguous", "bfloat16", {"native": 0.1755}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 32768, "contiguous", "float32", {"native": 3.588}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 32768, "channels-last", "float32", {"native": 1.18}),
    Row("fixed", "input gradient", 3, 2, 4, (16, 16), 1, 32768, "contiguous", "float32", {"native": 5.206, "transposed": 7.667}),
    Row("fixed", "input gradient", 3, 2, 4, (16, 16), 1, 32768, "channels-last", "float32", {"native": 3.413}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 32768, "contiguous", "bfloat16", {"native": 3.054}),
    Row("fixed", "forward", 3, 2, 4, (16, 16), 1, 32768, "channels-last", "bfloat16", {"native": 1.291}),
    Row("fixed", "input gradient", 3, 2, 4, (16, 16), 1, 32768, "contiguous", "bfloat16", {"native": 9.414, "transposed": 9.64}),
    Row("fixed", "input gradient", 3, 2, 4, (16, 16), 1, 32768, "channels-last", "bfloat16", {"native": 3.509}),
    Row("depthwise", "forward", 3, 2, 4, (16, 16), 1, 32768, "contiguous", "float32", {"native": 5.604}),
    Row("depthwise", "forward", 3, 2, 4, (16, 16), 1, 32768, "channels-last", "float32", {"native": 2.654}),
    Row("depthwise", "forward", 3, 2, 4, (16, 16), 1, 32768, "contiguous", "bfloat16", {"native": 4.732, "phases": 10.55}),
    Row("depthwise", "forward", 3, 2, 4, (16, 16), 1, 32768, "channels-last", "bfloat16", {"native": 1.794}),
    Row("dense", "forward", 2, 1, 4, (100, 512), 16, 1, "contiguous", "float32", {"transposed": 1.247, "shuffle": 5.606, "phases": 5.825}),
    Row("dense", "forward", 2, 1, 4, (100, 512), 16, 1, "channels-last", "float32", {"transposed": 1.192}),
    Row("dense", "input gradient", 2, 1, 4, (100, 512), 16, 1, "contiguous", "float32", {"transposed": 0.5539}),
    Row("dense", "input gradient", 2, 1, 4, (100, 512), 16, 1, "channels-last", "float32", {"transposed": 0.6589}),
    Row("dense", "weight gradient", 2, 1, 4, (100, 512), 16, 1, "contiguous", "float32", {"transposed": 0.9545}),
    Row("dense", "weight gradient", 2, 1, 4, (100, 512), 16, 1, "channels-last", "float32", {"transposed": 1.077}),
    Row("dense", "forward", 2, 2, 4, (512, 256), 16, 16, "contiguous", "float32", {"transposed": 43.53, "shuffle": 28.91, "phases": 23.67}),
    Row("dense", "forward", 2, 2, 4, (512, 256), 16, 16, "channels-last", "float32", {"transposed": 44.2, "shuffle": 45.5, "phases": 17.41}),
    Row("dense", "input gradient", 2, 2, 4, (512, 256), 16, 16, "contiguous", "float32", {"transposed": 11.99, "shuffle": 28.53, "phases": 25.47}),
    Row("dense", "input gradient", 2, 2, 4, (512, 256), 16, 16, "channels-last", "float32", {"transposed": 13.57, "phases": 20.29}),
    Row("dense", "weight gradient", 2, 2, 4, (512, 256), 16, 16, "contiguous", "float32", {"transposed": 28.85, "shuffle": 62.88, "phases": 37.3}),
    Row("dense", "weight gradient", 2, 2, 4, (512, 256), 16, 16, "channels-last", "float32", {"transposed": 28.91, "shuffle": 71.74, "phases": 36.58}),
    Row("dense", "forward", 2, 2, 4, (256, 128), 16, 64, "contiguous", "float32", {"transposed": 20.48, "shuffle": 25.34, "phases": 16.96}),
    Row("dense", "forward", 2, 2, 4, (256, 128), 16, 64, "channels-last", "float32", {"transposed": 19.56, "shuffle": 25.82, "phases": 15.28}),
    Row("dense", "input gradient", 2, 2, 4, (256, 128), 16, 64, "contiguous", "float32", {"transposed": 10.59, "shuffle": 25.35, "phases": 19.53}),
    Row("dense", "input gradient", 2, 2, 4, (256, 128), 16, 64, "channels-last", "float32", {"transposed": 10.92, "shuffle": 27.66, "phases": 20.02}),
    Row("dense", "weight gradient", 2, 2, 4, (256, 128), 16, 64, "contiguous", "float32", {"transposed": 14.88, "shuffle": 36.5, "phases": 20.5}),
    Row("dense", "weight gradient", 2, 2, 4, (256, 128), 16, 64, "channels-last", "float32", {"transposed": 15.84, "shuffle": 35.51, "phases": 20.54}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 16, 256, "contiguous", "float32", {"transposed": 14.5, "shuffle": 26.38, "phases": 17.53}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 16, 256, "channels-last", "float32", {"transposed": 12.4, "shuffle": 24.22, "phases": 20.15}),
    Row("dense", "input gradient", 2, 2, 4, (128, 64), 16, 256, "contiguous", "float32", {"transposed": 10.59, "shuffle": 25.34, "phases": 18.55}),
    Row("dense", "input gradient", 2, 2, 4, (128, 64), 16, 256, "channels-last", "float32", {"transposed": 10.57, "shuffle": 25.98, "phases": 21.36}),
    Row("dense", "weight gradient", 2, 2, 4, (128, 64), 16, 256, "contiguous", "float32", {"transposed": 11.69, "shuffle": 27.98, "phases": 17.41}),
    Row("dense", "weight gradient", 2, 2, 4, (128, 64), 16, 256, "channels-last", "float32", {"transposed": 11.98, "shuffle": 27.35, "phases": 18.94}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 16, 256, "contiguous", "bfloat16", {"transposed": 10.59, "shuffle": 14.82, "phases": 10.79}),
    Row("dense", "forward", 2, 2, 4, (128, 64), 16, 256, "channels-last", "bfloat16", {"transposed": 7.502, "shuffle": 12.43, "phases": 12.59}),
    Row("dense", "input gradient", 2, 2, 4, (128, 64), 16, 256, "contiguous", "bfloat16", {"transposed": 5.65, "shuffle": 14.81, "phases": 13.18}),
    Row("dense", "input gradient", 2, 2, 4, (128, 64), 16, 256, "channels-last", "bfloat16", {"transposed": 5.448, "shuffle": 16.1, "phases": 13.68}),
    Row("dense", "weight gradient", 2, 2, 4, (128, 64), 16, 256, "contiguous", "bfloat16", {"transposed": 7.469, "shuffle": 18.06, "phases": 11.49}),
    Row("dense", "weight gradient", 2, 2, 4, (128, 64), 16, 256, "channels-last", "bfloat16", {"transposed": 7.022, "shuffle": 16.25, "phases": 11.22}),
    Row("dense", "forward", 2, 2, 4, (64, 3), 16, 1024, "contiguous", "float32", {"transposed": 3.041, "shuffle": 7.042}),
    Row("dense", "forward", 2, 2, 4, (64, 3), 16, 1024, "channels-last", "float32", {"transposed": 4.112, "shuffle": 5.14, "phases": 11.15}),
    Row("dense", "input gradient", 2, 2, 4, (64, 3), 16, 1024, "contiguous", "float32", {"transposed": 1.644, "shuffle": 4.722}),
    Row("dense", "input gradient", 2, 2, 4, (64, 3), 16, 1024, "channels-last", "float32", {"transposed": 1.468, "shuffle": 3.815}),
    Row("dense", "weight gradient", 2, 2, 4, (64, 3), 16, 1024, "contiguous", "float32", {"transposed": 2.266, "shuffle": 5.174}),
    Row("dense", "weight gradient", 2, 2, 4, (64, 3), 16, 1024, "channels-last", "float32", {"transposed": 2.253, "shuffle": 4.869}),
    Row("dense", "forward", 2, 2, 2, (1024, 512), 1, 1024, "contiguous", "float32", {"transposed": 59.33, "shuffle": 57.44, "phases": 60.67}),
    Row("dense", "forward", 2, 2, 2, (1024, 512), 1, 1024, "channels-last", "float32", {"transposed": 49.47, "shuffle": 53.54, "phases": 79.69}),
    Row("dense", "input gradient", 2, 2, 2, (1024, 512), 1, 1024, "contiguous", "float32", {"transposed": 50.42, "shuffle": 50.22, "phases": 57.64}),
    Row("dense", "input gradient", 2, 2, 2, (1024, 512), 1, 1024, "channels-last", "float32", {"transposed": 44.93, "shuffle": 53.51, "phases": 61.17}),
    Row("dense", "weight gradient", 2, 2, 2, (1024, 512), 1, 1024, "contiguous", "float32", {"transposed": 52.33, "shuffle": 56.27, "phases": 54.92}),
    Row("dense", "weight gradient", 2, 2, 2, (1024, 512), 1, 1024, "channels-last", "float32", {"transposed": 60.57, "shuffle": 50.96, "phases": 57.27}),
    Row("dense", "forward", 2, 2, 2, (512, 256), 1, 4096, "contiguous", "float32", {"transposed": 58.82, "shuffle": 62.64, "phases": 69.74}),
    Row("dense", "forward", 2, 2, 2, (512, 256), 1, 4096, "channels-last", "float32", {"transposed": 44.0, "shuffle": 55.56, "phases": 99.56}),
    Row("dense", "input gradient", 2, 2, 2, (512, 256), 1, 4096, "contiguous", "float32", {"transposed": 51.16, "shuffle": 58.64, "phases": 69.03}),
    Row("dense", "input gradient", 2, 2, 2, (512, 256), 1, 4096, "channels-last", "float32", {"transposed": 41.05, "shuffle": 63.64, "phases": 72.26}),
    Row("dense", "weight gradient", 2, 2, 2, (512, 256), 1, 4096, "contiguous", "float32", {"transposed": 54.93, "shuffle": 59.48, "phases": 59.31}),
    Row("dense", "weight gradient", 2, 2, 2, (512, 256), 1, 4096, "channels-last", "float32", {"transposed": 55.57, "shuffle": 57.69, "phases": 63.56}),
    Row("dense", "forward", 2, 2, 2, (256, 128), 1, 16384, "contiguous", "float32", {"transposed": 79.79, "shuffle": 80.26, "phases": 92.54}),
    Row("dense", "forward", 2, 2, 2, (256, 128), 1, 16384, "channels-last", "float32", {"transposed": 45.09, "shuffle": 57.56}),
    Row("dense", "input gradient", 2, 2, 2, (256, 128), 1, 16384, "contiguous", "float32", {"transposed": 53.46, "shuffle": 82.15, "phases": 102.2}),
    Row("dense", "input gradient", 2, 2, 2, (256, 128), 1, 16384, "channels-last", "float32", {"transposed": 43.37, "shuffle": 79.08, "phases": 103.2}),
    Row("dense", "weight gradient", 2, 2, 2, (256, 128), 1, 16384, "contiguous", "float32", {"transposed": 57.7, "shuffle": 67.83, "phases": 76.65}),
    Row("dense", "weight gradient", 2, 2, 2, (256, 128), 1, 16384, "channels-last", "float32", {"transposed": 55.2, "shuffle": 70.77, "phases": 84.26}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 65536, "contiguous", "float32", {"transposed": 101.3, "shuffle": 111.4, "phases": 145.9}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 65536, "channels-last", "float32", {"transposed": 51.42, "shuffle": 71.2}),
    Row("dense", "input gradient", 2, 2, 2, (128, 64), 1, 65536, "contiguous", "float32", {"transposed": 55.67, "shuffle": 111.1, "phases": 160.1}),
    Row("dense", "input gradient", 2, 2, 2, (128, 64), 1, 65536, "channels-last", "float32", {"transposed": 46.36, "shuffle": 104.9}),
    Row("dense", "weight gradient", 2, 2, 2, (128, 64), 1, 65536, "contiguous", "float32", {"transposed": 69.63, "shuffle": 85.5, "phases": 105.0}),
    Row("dense", "weight gradient", 2, 2, 2, (128, 64), 1, 65536, "channels-last", "float32", {"transposed": 124.5, "shuffle": 91.61, "phases": 120.7}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 65536, "contiguous", "bfloat16", {"transposed": 126.1, "shuffle": 84.33, "phases": 97.51}),
    Row("dense", "forward", 2, 2, 2, (128, 64), 1, 65536, "channels-last", "bfloat16", {"transposed": 24.93, "shuffle": 30.78}),
    Row("dense", "input gradient", 2, 2, 2, (128, 64), 1, 65536, "contiguous", "bfloat16", {"transposed": 38.76, "shuffle": 72.47, "phases": 90.5}),
    Row("dense", "input gradient", 2, 2, 2, (128, 64), 1, 65536, "channels-last", "bfloat16", {"transposed": 22.9, "shuffle": 55.27, "phases": 67.78}),
    Row("dense", "weight gradient", 2, 2, 2, (128, 64), 1, 65536, "contiguous", "bfloat16", {"transposed": 93.08, "shuffle": 70.41, "phases": 92.98}),
    Row("dense", "weight gradient", 2, 2, 2, (128, 64), 1, 65536, "channels-last", "bfloat16", {"transposed": 89.33, "shuffle": 57.17, "phases": 73.09}),
)
