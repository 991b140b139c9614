"""Turn a layer that upsamples each channel by itself into the times of PyTorch and upstroke for its like."""

import math

from upstroke.ops.peer_measured import MEASURED, PeerRow

__all__ = ["nearest_peer"]

# How far a measured case may be: the sum over its numbers of log2 of the ratio to this layer's.
FARTHEST = 4.0


def nearest_peer(
    kind: str, *, axes: int, scale: float, kernel: float, channels: int, cells: int
) -> PeerRow | None:
    """The measured case most like a layer; None where nothing like it was measured.

    Args:
        kind: "depthwise", or the mode of a resize.
        axes: number of axes.
        scale: output samples per cell and axis; of several their geometric mean.
        kernel: samples from the first to the last tap, likewise.
        channels: that come in and go out.
        cells: of the map, all axes and the batch together.

    >>> nearest_peer("lanczos", axes=2, scale=2.0, kernel=12.0, channels=3, cells=64) is None
    True
    """
    size = (scale**axes, kernel**axes, channels, cells)

    def distance(row: PeerRow) -> float:
        other = (row.scale**row.axes, row.kernel**row.axes, row.channels, row.cells)
        return sum(abs(math.log2(max(one, 1) / two)) for one, two in zip(size, other, strict=True))

    alike = [row for row in MEASURED if (row.kind, row.axes) == (kind, axes)]
    near = min(alike, key=distance, default=None)
    return near if near is not None and distance(near) <= FARTHEST else None
