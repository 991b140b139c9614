"""Operator and data in, data out: the formula as loops, and faster forms with the same signature."""

from upstroke.ops.adjoint import adjoint
from upstroke.ops.block_means import block_means
from upstroke.ops.choose import Choice, Impl, choose
from upstroke.ops.conserving import conserving_upsample
from upstroke.ops.correction import Correction, corrected
from upstroke.ops.interleave import deinterleave, interleave
from upstroke.ops.prefilter import Prefilter, prefilter
from upstroke.ops.upsample import IMPLS, upsample

__all__ = [
    "IMPLS",
    "Choice",
    "Correction",
    "Impl",
    "Prefilter",
    "adjoint",
    "block_means",
    "choose",
    "conserving_upsample",
    "corrected",
    "deinterleave",
    "interleave",
    "prefilter",
    "upsample",
]
