"""Hold the times of PyTorch and upstroke for upsampling each channel by itself, on one thread.

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
    PeerRow("depthwise k4 s2 p1, 64 @8x8", "depthwise", 2, 2, 4, 64, 64, 0.06733, 0.08982),
    PeerRow("depthwise k4 s2 p1, 64 @64x64", "depthwise", 2, 2, 4, 64, 4096, 0.5499, 0.4512),
    PeerRow("depthwise k4 s2 p1, 64 @128x128", "depthwise", 2, 2, 4, 64, 16384, 4.865, 1.196),
    PeerRow("depthwise k4 s2 p1, 64 @512x512", "depthwise", 2, 2, 4, 64, 262144, 75.4, 20.22),
    PeerRow("depthwise k4 s2 p1, 3 @256x256", "depthwise", 2, 2, 4, 3, 65536, 2.569, 0.1978),
    PeerRow("depthwise k3 s2 p1, 64 @128x128", "depthwise", 2, 2, 3, 64, 16384, 3.94, 1.201),
    PeerRow("depthwise k4 s2 p1 with bias, 64 @128x128", "depthwise", 2, 2, 4, 64, 16384, 13.86, 1.109),
    PeerRow("nearest x2, 64 @128x128", "nearest", 2, 2, 2, 64, 16384, 2.554, 0.7229),
    PeerRow("bilinear x2, 64 @128x128", "linear", 2, 2, 4, 64, 16384, 6.057, 1.114),
    PeerRow("bilinear x2, 64 @512x512", "linear", 2, 2, 4, 64, 262144, 94.91, 15.16),
    PeerRow("bilinear x2, 3 @512x512", "linear", 2, 2, 4, 3, 262144, 10.82, 0.6205),
    PeerRow("bilinear x4, 64 @64x64", "linear", 2, 4, 8, 64, 4096, 5.956, 1.3),
    PeerRow("bicubic x2, 64 @128x128", "cubic", 2, 2, 8, 64, 16384, 31.37, 1.577),
    PeerRow("bicubic x2, 64 @512x512", "cubic", 2, 2, 8, 64, 262144, 516.0, 24.29),
    PeerRow("cubic B-spline x2, 64 @128x128", "bspline", 2, 2, 8, 64, 16384, 5.922, 1.727),
    PeerRow("linear x2, 64 @16384", "linear", 1, 2, 4, 64, 16384, 2.413, 0.3802),
    PeerRow("depthwise k16 s8 p4, 64 @2048", "depthwise", 1, 8, 16, 64, 2048, 0.5426, 0.2078),
    PeerRow("trilinear x2, 16 @32x32x32", "linear", 3, 2, 4, 16, 32768, 20.17, 2.791),
    PeerRow("depthwise k4 s2 p1, 16 @32x32x32", "depthwise", 3, 2, 4, 16, 32768, 31.72, 4.093),
    PeerRow("climate field bilinear x4, 720x1440", "linear", 2, 4, 8, 1, 1036800, 23.42, 2.574),
    PeerRow("climate field bicubic x4, 720x1440", "cubic", 2, 4, 16, 1, 1036800, 171.4, 3.534),
)
