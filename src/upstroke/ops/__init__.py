"""Operator and data in, data out: the formula as loops, and faster forms with the same signature."""

from upstroke.ops.adjoint import adjoint
from upstroke.ops.choose import Choice, Impl, choose
from upstroke.ops.interleave import deinterleave, interleave
from upstroke.ops.upsample import IMPLS, upsample

__all__ = ["IMPLS", "Choice", "Impl", "adjoint", "choose", "deinterleave", "interleave", "upsample"]
