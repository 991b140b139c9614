"""Trainable upsampling layers in 1, 2 and 3 axes that know their operator and their grid."""

from upstroke.nn.conserve import Conserve, ConservingInterpolation
from upstroke.nn.constrain import constrain, project_
from upstroke.nn.initialise import bilinear_, icnr_
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.subpixel import SubpixelConv
from upstroke.nn.transposed import TransposedConv
from upstroke.nn.unet import UNet
from upstroke.nn.upsampler import Upsampler

__all__ = [
    "Conserve",
    "ConservingInterpolation",
    "ResizeConv",
    "SeparableTransposedConv",
    "SubpixelConv",
    "TransposedConv",
    "UNet",
    "Upsampler",
    "bilinear_",
    "constrain",
    "icnr_",
    "project_",
]
