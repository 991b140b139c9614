"""PyTorch layer to affine map and back, exact or refused; importing it fills the table of families."""

from upstroke.layers import norm, pad, resize, sequence
from upstroke.layers.convolution import adjoint_of
from upstroke.layers.family import from_module
from upstroke.layers.lower import to_module
from upstroke.layers.shuffle import Interleave

__all__ = ["Interleave", "adjoint_of", "from_module", "norm", "pad", "resize", "sequence", "to_module"]
