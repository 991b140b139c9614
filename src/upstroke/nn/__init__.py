"""Trainable upsampling layers in 1, 2 and 3 axes that know their operator and their grid."""

from typing import TYPE_CHECKING, Any

from upstroke.nn.conserve import Conserve, ConservingInterpolation
from upstroke.nn.constrain import constrain, project_
from upstroke.nn.initialise import bilinear_, icnr_
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.subpixel import SubpixelConv
from upstroke.nn.transposed import TransposedConv
from upstroke.nn.upsampler import Upsampler

if TYPE_CHECKING:
    from upstroke.nn.unet import UNet

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


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as Python asks for it
    """Load the U-Net, and the planner it asks, when it is first asked for: layers cost no more to import."""
    if name != "UNet":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from upstroke.nn.unet import UNet

    globals()[name] = UNet
    return UNet


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
