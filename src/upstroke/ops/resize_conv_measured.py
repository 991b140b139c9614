"""Hold which way to compute a resize and a convolution was the fastest on one CPU thread.

Generated from benchmarks/results by `python -m benchmarks.table`; not edited by hand.
"""

from typing import Literal

__all__ = ["MEASURED", "Form"]

Form = Literal["in a row", "in a row, channels-last", "one operator"]

# (axes, layout, whether the ends need a pass of their own, part): calls as (cells, channels in, channels out,
# taps in a row, taps as one operator) and their form
# fmt: off
MEASURED: dict[tuple[int, str, bool, str], tuple[tuple[tuple[int, ...], Form], ...]] = {
    (1, "contiguous", False, "forward"): (
        ((4096, 64, 32, 6, 4), "one operator"),
        ((512, 256, 128, 6, 4), "one operator"),
    ),
    (1, "contiguous", False, "training"): (
        ((4096, 64, 32, 6, 4), "one operator"),
        ((512, 256, 128, 6, 4), "one operator"),
    ),
    (2, "channels-last", False, "forward"): (
        ((1024, 512, 512, 36, 16), "one operator"),
        ((4096, 256, 256, 36, 16), "one operator"),
        ((16384, 128, 128, 36, 16), "one operator"),
        ((16384, 64, 64, 36, 16), "one operator"),
        ((4096, 128, 64, 36, 16), "one operator"),
        ((64, 256, 128, 36, 16), "in a row"),
        ((256, 16, 16, 36, 16), "in a row"),
        ((256, 64, 64, 36, 16), "in a row"),
        ((256, 512, 512, 36, 16), "in a row"),
        ((1024, 256, 128, 36, 16), "one operator"),
        ((1024, 64, 64, 144, 36), "one operator"),
        ((4096, 3, 64, 36, 16), "one operator"),
        ((4096, 8, 8, 36, 16), "one operator"),
        ((4096, 32, 16, 36, 16), "one operator"),
        ((4096, 64, 32, 36, 16), "one operator"),
        ((4096, 32, 3, 144, 36), "one operator"),
        ((16384, 8, 3, 36, 16), "one operator"),
        ((65536, 64, 3, 36, 16), "one operator"),
    ),
    (2, "channels-last", False, "training"): (
        ((1024, 512, 512, 36, 16), "one operator"),
        ((4096, 256, 256, 36, 16), "one operator"),
        ((16384, 128, 128, 36, 16), "one operator"),
        ((16384, 64, 64, 36, 16), "one operator"),
        ((4096, 128, 64, 36, 16), "one operator"),
        ((64, 256, 128, 36, 16), "in a row, channels-last"),
        ((256, 16, 16, 36, 16), "one operator"),
        ((256, 64, 64, 36, 16), "one operator"),
        ((256, 512, 512, 36, 16), "one operator"),
        ((1024, 256, 128, 36, 16), "one operator"),
        ((1024, 64, 64, 144, 36), "one operator"),
        ((4096, 3, 64, 36, 16), "in a row"),
        ((4096, 8, 8, 36, 16), "one operator"),
        ((4096, 32, 16, 36, 16), "one operator"),
        ((4096, 64, 32, 36, 16), "one operator"),
        ((4096, 32, 3, 144, 36), "one operator"),
        ((16384, 8, 3, 36, 16), "one operator"),
        ((65536, 64, 3, 36, 16), "one operator"),
    ),
    (2, "channels-last", True, "forward"): (
        ((16384, 64, 64, 36, 36), "in a row"),
        ((4096, 128, 64, 36, 36), "in a row"),
    ),
    (2, "channels-last", True, "training"): (
        ((16384, 64, 64, 36, 36), "in a row"),
        ((4096, 128, 64, 36, 36), "in a row"),
    ),
    (2, "contiguous", False, "forward"): (
        ((1024, 512, 512, 36, 16), "one operator"),
        ((4096, 256, 256, 36, 16), "one operator"),
        ((16384, 128, 128, 36, 16), "one operator"),
        ((16384, 64, 64, 36, 16), "one operator"),
        ((4096, 128, 64, 36, 16), "one operator"),
        ((64, 256, 128, 36, 16), "one operator"),
        ((256, 16, 16, 36, 16), "in a row"),
        ((256, 64, 64, 36, 16), "one operator"),
        ((256, 512, 512, 36, 16), "one operator"),
        ((1024, 256, 128, 36, 16), "one operator"),
        ((1024, 64, 64, 144, 36), "one operator"),
        ((4096, 3, 64, 36, 16), "in a row"),
        ((4096, 8, 8, 36, 16), "in a row"),
        ((4096, 32, 16, 36, 16), "one operator"),
        ((4096, 64, 32, 36, 16), "one operator"),
        ((4096, 32, 3, 144, 36), "one operator"),
        ((16384, 8, 3, 36, 16), "one operator"),
        ((65536, 64, 3, 36, 16), "one operator"),
    ),
    (2, "contiguous", False, "training"): (
        ((1024, 512, 512, 36, 16), "one operator"),
        ((4096, 256, 256, 36, 16), "one operator"),
        ((16384, 128, 128, 36, 16), "one operator"),
        ((16384, 64, 64, 36, 16), "one operator"),
        ((4096, 128, 64, 36, 16), "one operator"),
        ((64, 256, 128, 36, 16), "in a row"),
        ((256, 16, 16, 36, 16), "one operator"),
        ((256, 64, 64, 36, 16), "one operator"),
        ((256, 512, 512, 36, 16), "one operator"),
        ((1024, 256, 128, 36, 16), "one operator"),
        ((1024, 64, 64, 144, 36), "one operator"),
        ((4096, 3, 64, 36, 16), "in a row"),
        ((4096, 8, 8, 36, 16), "one operator"),
        ((4096, 32, 16, 36, 16), "one operator"),
        ((4096, 64, 32, 36, 16), "one operator"),
        ((4096, 32, 3, 144, 36), "one operator"),
        ((16384, 8, 3, 36, 16), "one operator"),
        ((65536, 64, 3, 36, 16), "one operator"),
    ),
    (2, "contiguous", True, "forward"): (
        ((16384, 64, 64, 36, 36), "in a row"),
        ((4096, 128, 64, 36, 36), "in a row"),
    ),
    (2, "contiguous", True, "training"): (
        ((16384, 64, 64, 36, 36), "in a row"),
        ((4096, 128, 64, 36, 36), "in a row"),
    ),
    (3, "channels-last", False, "forward"): (
        ((1728, 64, 64, 216, 64), "one operator"),
        ((4096, 32, 16, 216, 64), "one operator"),
    ),
    (3, "channels-last", False, "training"): (
        ((1728, 64, 64, 216, 64), "one operator"),
        ((4096, 32, 16, 216, 64), "one operator"),
    ),
    (3, "contiguous", False, "forward"): (
        ((1728, 64, 64, 216, 64), "one operator"),
        ((4096, 32, 16, 216, 64), "one operator"),
    ),
    (3, "contiguous", False, "training"): (
        ((1728, 64, 64, 216, 64), "one operator"),
        ((4096, 32, 16, 216, 64), "one operator"),
    ),
}
