"""Hold the times of dense transposed convolutions by minimal filtering and otherwise.

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
# fmt: off
INSTRUCTIONS: tuple[str, ...] = ("avx512", "avx512_bf16",)

MEASURED: tuple[MinimalRow, ...] = (
    MinimalRow(2, "contiguous", 8, (64, 32), 1024, 16, 4, 8.74, 5.97, 0.102),
    MinimalRow(2, "channels-last", 8, (64, 32), 1024, 16, 4, 6.62, 5.7, 0.101),
    MinimalRow(2, "contiguous", 1, (256, 256), 256, 16, 4, 7.1, 2.86, 5.08),
    MinimalRow(2, "channels-last", 1, (256, 256), 256, 16, 4, 6.89, 3.03, 5.09),
    MinimalRow(2, "contiguous", 1, (128, 128), 1024, 16, 4, 7.49, 3.46, 1.2),
    MinimalRow(2, "channels-last", 1, (128, 128), 1024, 16, 4, 6.35, 3.3, 1.18),
    MinimalRow(2, "contiguous", 1, (32, 32), 16384, 16, 4, 13.0, 8.58, 0.0523),
    MinimalRow(2, "channels-last", 1, (32, 32), 16384, 16, 4, 6.51, 8.77, 0.0524),
    MinimalRow(2, "contiguous", 1, (256, 128), 64, 16, 4, 2.06, 0.533, 2.64),
    MinimalRow(2, "channels-last", 1, (256, 128), 64, 16, 4, 1.99, 0.541, 2.54),
    MinimalRow(2, "contiguous", 1, (128, 64), 256, 16, 4, 1.72, 0.417, 0.556),
    MinimalRow(2, "channels-last", 1, (128, 64), 256, 16, 4, 1.53, 0.349, 0.526),
    MinimalRow(2, "contiguous", 1, (1024, 512), 64, 16, 4, 35.8, 8.41, 94.3),
    MinimalRow(2, "channels-last", 1, (1024, 512), 64, 16, 4, 36.9, 7.93, 96.3),
    MinimalRow(2, "contiguous", 1, (64, 64), 4096, 36, 4, 14.3, 8.16, 0.407),
    MinimalRow(2, "channels-last", 1, (64, 64), 4096, 36, 4, 12.0, 7.97, 0.408),
    MinimalRow(2, "contiguous", 1, (128, 64), 1024, 25, 4, 5.55, 3.16, 0.503),
    MinimalRow(2, "channels-last", 1, (128, 64), 1024, 25, 4, 4.97, 2.97, 0.515),
    MinimalRow(2, "contiguous", 1, (256, 128), 1024, 9, 4, 8.06, 4.75, 0.649),
    MinimalRow(2, "channels-last", 1, (256, 128), 1024, 9, 4, 7.02, 4.67, 0.751),
    MinimalRow(2, "contiguous", 1, (64, 64), 1024, 25, 9, 4.29, 2.36, 0.248),
    MinimalRow(2, "channels-last", 1, (64, 64), 1024, 25, 9, 3.09, 2.02, 0.218),
    MinimalRow(2, "contiguous", 16, (512, 256), 16, 16, 4, 15.4, 5.43, 25.4),
    MinimalRow(2, "channels-last", 16, (512, 256), 16, 16, 4, 15.8, 5.2, 24.3),
    MinimalRow(2, "contiguous", 16, (256, 128), 64, 16, 4, 12.5, 6.3, 2.51),
    MinimalRow(2, "channels-last", 16, (256, 128), 64, 16, 4, 11.3, 6.04, 2.46),
    MinimalRow(2, "contiguous", 16, (128, 64), 256, 16, 4, 13.2, 6.14, 0.339),
    MinimalRow(2, "channels-last", 16, (128, 64), 256, 16, 4, 10.9, 6.05, 0.516),
    MinimalRow(2, "contiguous", 16, (64, 3), 1024, 16, 4, 4.05, 5.57, 0.0727),
    MinimalRow(2, "channels-last", 16, (64, 3), 1024, 16, 4, 4.09, 5.37, 0.0729),
    MinimalRow(2, "contiguous", 1, (128, 64), 4096, 16, 4, 14.0, 7.16, 0.498),
    MinimalRow(2, "channels-last", 1, (128, 64), 4096, 16, 4, 10.9, 6.63, 0.417),
    MinimalRow(2, "contiguous", 1, (64, 64), 4096, 9, 4, 6.19, 3.58, 0.0716),
    MinimalRow(2, "channels-last", 1, (64, 64), 4096, 9, 4, 3.84, 3.47, 0.0718),
    MinimalRow(1, "contiguous", 1, (512, 256), 64, 16, 8, 6.39, 2.94, 6.5),
    MinimalRow(1, "contiguous", 1, (256, 128), 512, 16, 8, 7.78, 5.81, 1.48),
    MinimalRow(1, "contiguous", 1, (128, 64), 4096, 4, 2, 5.21, 6.74, 0.0465),
    MinimalRow(1, "contiguous", 1, (128, 64), 512, 16, 8, 2.8, 2.87, 0.183),
    MinimalRow(2, "contiguous", 1, (512, 512), 1024, 16, 4, 110.0, 40.3, 46.5),
    MinimalRow(2, "channels-last", 1, (512, 512), 1024, 16, 4, 85.0, 41.0, 49.0),
    MinimalRow(2, "contiguous", 1, (256, 256), 4096, 16, 4, 120.0, 44.7, 4.94),
    MinimalRow(2, "channels-last", 1, (256, 256), 4096, 16, 4, 89.3, 42.4, 4.91),
    MinimalRow(2, "contiguous", 1, (128, 128), 16384, 16, 4, 201.0, 57.0, 1.09),
    MinimalRow(2, "channels-last", 1, (128, 128), 16384, 16, 4, 97.8, 53.1, 0.813),
    MinimalRow(2, "contiguous", 1, (64, 64), 16384, 16, 4, 40.0, 15.4, 0.167),
    MinimalRow(2, "channels-last", 1, (64, 64), 16384, 16, 4, 21.1, 15.2, 0.164),
    MinimalRow(2, "contiguous", 1, (128, 64), 4096, 16, 4, 13.8, 7.25, 0.434),
    MinimalRow(2, "channels-last", 1, (128, 64), 4096, 16, 4, 11.0, 6.84, 0.324),
    MinimalRow(2, "contiguous", 1, (512, 256), 16, 16, 4, 3.43, 2.78, 23.7),
    MinimalRow(2, "channels-last", 1, (512, 256), 16, 16, 4, 3.21, 2.78, 24.0),
    MinimalRow(2, "contiguous", 8, (1024, 512), 16, 16, 4, 46.8, 12.8, 96.7),
    MinimalRow(2, "channels-last", 8, (1024, 512), 16, 16, 4, 26.1, 12.5, 95.5),
    MinimalRow(2, "contiguous", 64, (512, 256), 16, 16, 4, 44.1, 19.8, 22.9),
    MinimalRow(2, "channels-last", 64, (512, 256), 16, 16, 4, 42.2, 18.7, 23.9),
    MinimalRow(2, "contiguous", 4, (512, 256), 64, 16, 4, 14.3, 6.23, 24.2),
    MinimalRow(2, "channels-last", 4, (512, 256), 64, 16, 4, 13.7, 6.06, 24.5),
    MinimalRow(2, "contiguous", 16, (128, 64), 64, 16, 4, 3.94, 1.68, 0.325),
    MinimalRow(2, "channels-last", 16, (128, 64), 64, 16, 4, 3.0, 1.45, 0.319),
    MinimalRow(2, "contiguous", 4, (32, 1), 4096, 16, 4, 1.06, 3.81, 0.042),
    MinimalRow(2, "channels-last", 4, (32, 1), 4096, 16, 4, 1.19, 3.4, 0.0416),
    MinimalRow(2, "contiguous", 4, (128, 3), 4096, 16, 4, 5.31, 8.91, 0.141),
    MinimalRow(2, "channels-last", 4, (128, 3), 4096, 16, 4, 5.82, 8.81, 0.142),
    MinimalRow(2, "contiguous", 1, (64, 3), 65536, 16, 4, 17.5, 23.1, 0.0733),
    MinimalRow(2, "channels-last", 1, (64, 3), 65536, 16, 4, 17.4, 21.5, 0.0728),
    MinimalRow(1, "contiguous", 1, (64, 32), 4096, 4, 2, 1.68, 4.88, 0.0171),
    MinimalRow(1, "contiguous", 1, (256, 128), 512, 4, 2, 2.53, 1.76, 0.178),
    MinimalRow(2, "contiguous", 1, (256, 128), 64, 16, 4, 1.94, 0.487, 2.35),
    MinimalRow(2, "channels-last", 1, (256, 128), 64, 16, 4, 1.75, 0.406, 2.38),
    MinimalRow(2, "contiguous", 1, (16, 16), 256, 16, 4, 0.323, 0.0591, 0.0239),
    MinimalRow(2, "channels-last", 1, (16, 16), 256, 16, 4, 0.238, 0.0525, 0.0241),
    MinimalRow(2, "contiguous", 1, (64, 64), 256, 16, 4, 0.662, 0.21, 0.163),
    MinimalRow(2, "channels-last", 1, (64, 64), 256, 16, 4, 0.536, 0.192, 0.162),
    MinimalRow(2, "contiguous", 1, (512, 512), 256, 16, 4, 26.1, 11.2, 47.0),
    MinimalRow(2, "channels-last", 1, (512, 512), 256, 16, 4, 25.8, 11.3, 47.8),
    MinimalRow(2, "contiguous", 1, (256, 128), 1024, 16, 4, 12.6, 6.05, 1.89),
    MinimalRow(2, "channels-last", 1, (256, 128), 1024, 16, 4, 11.4, 6.04, 2.13),
    MinimalRow(2, "contiguous", 1, (64, 64), 1024, 36, 16, 6.46, 3.49, 0.271),
    MinimalRow(2, "channels-last", 1, (64, 64), 1024, 36, 16, 4.03, 3.01, 0.293),
    MinimalRow(2, "contiguous", 1, (3, 64), 4096, 16, 4, 1.81, 1.79, 0.0113),
    MinimalRow(2, "channels-last", 1, (3, 64), 4096, 16, 4, 0.665, 1.25, 0.0115),
    MinimalRow(2, "contiguous", 1, (8, 8), 4096, 16, 4, 0.639, 0.734, 0.014),
    MinimalRow(2, "channels-last", 1, (8, 8), 4096, 16, 4, 0.438, 0.62, 0.0139),
    MinimalRow(2, "contiguous", 1, (32, 16), 4096, 16, 4, 1.83, 1.19, 0.0446),
    MinimalRow(2, "channels-last", 1, (32, 16), 4096, 16, 4, 1.06, 0.974, 0.0444),
    MinimalRow(2, "contiguous", 1, (64, 32), 4096, 16, 4, 4.85, 3.15, 0.102),
    MinimalRow(2, "channels-last", 1, (64, 32), 4096, 16, 4, 3.71, 3.5, 0.104),
    MinimalRow(2, "contiguous", 1, (32, 3), 4096, 36, 16, 2.55, 5.58, 0.0919),
    MinimalRow(2, "channels-last", 1, (32, 3), 4096, 36, 16, 1.53, 2.87, 0.0625),
    MinimalRow(2, "contiguous", 1, (8, 3), 16384, 16, 4, 1.51, 4.59, 0.0138),
    MinimalRow(2, "channels-last", 1, (8, 3), 16384, 16, 4, 1.08, 2.95, 0.0137),
    MinimalRow(2, "contiguous", 1, (64, 3), 65536, 16, 4, 16.9, 23.6, 0.0739),
    MinimalRow(2, "channels-last", 1, (64, 3), 65536, 16, 4, 18.4, 22.7, 0.0731),
)
