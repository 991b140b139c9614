"""Learned upsampling, measured and mended: the front door, which re-exports and does nothing else."""

from upstroke import nn
from upstroke._version import __version__
from upstroke.audit import check
from upstroke.grid import Grid
from upstroke.layers import from_module, to_module
from upstroke.ops import Choice, choose, upsample
from upstroke.polyphase import Affine, Polyphase

__all__ = [
    "Affine",
    "Choice",
    "Grid",
    "Polyphase",
    "__version__",
    "check",
    "choose",
    "from_module",
    "nn",
    "to_module",
    "upsample",
]
