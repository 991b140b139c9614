"""The value noun: a linear upsampler as the taps of its phases, and what can be done with one."""

from upstroke.polyphase._channels import swap_channels
from upstroke.polyphase.affine import Affine, compose_affine
from upstroke.polyphase.compose import compose
from upstroke.polyphase.kernel_form import KernelForm, from_kernel_form, kernel_form, trimmed, with_kernel
from upstroke.polyphase.kernels import (
    box,
    bspline,
    cubic,
    identity,
    interpolation,
    kaiser_sinc,
    linear,
    nearest,
    pad,
    triangle,
)
from upstroke.polyphase.learned import convolution, separable, shuffle, sub_pixel, transposed
from upstroke.polyphase.lowering import (
    ConvShuffleForm,
    PhaseConvsForm,
    TransposedForm,
    as_conv_shuffle,
    as_phase_convs,
    as_transposed,
    from_conv_shuffle,
    from_phase_convs,
    from_transposed,
)
from upstroke.polyphase.operator import Border, Margin, Polyphase, Reach
from upstroke.polyphase.projections import balanced, symmetric, with_mass

__all__ = [
    "Affine",
    "Border",
    "ConvShuffleForm",
    "KernelForm",
    "Margin",
    "PhaseConvsForm",
    "Polyphase",
    "Reach",
    "TransposedForm",
    "as_conv_shuffle",
    "as_phase_convs",
    "as_transposed",
    "balanced",
    "box",
    "bspline",
    "compose",
    "compose_affine",
    "convolution",
    "cubic",
    "from_conv_shuffle",
    "from_kernel_form",
    "from_phase_convs",
    "from_transposed",
    "identity",
    "interpolation",
    "kaiser_sinc",
    "kernel_form",
    "linear",
    "nearest",
    "pad",
    "separable",
    "shuffle",
    "sub_pixel",
    "swap_channels",
    "symmetric",
    "transposed",
    "triangle",
    "trimmed",
    "with_kernel",
    "with_mass",
]
