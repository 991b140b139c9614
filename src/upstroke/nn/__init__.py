"""Trainable upsampling layers in 1, 2 and 3 axes that know their operator and their grid."""

import importlib
from typing import TYPE_CHECKING, Any

from upstroke.nn.conserve import Conserve, ConservingInterpolation
from upstroke.nn.constrain import constrain, project_
from upstroke.nn.initialise import bilinear_, icnr_
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.subpixel import SubpixelConv
from upstroke.nn.transposed import TransposedConv
from upstroke.nn.upsampler import Method, Upsampler

if TYPE_CHECKING:
    from upstroke.nn.discriminator import Discriminator
    from upstroke.nn.generator import Generator
    from upstroke.nn.unet import UNet

__all__ = [
    "Conserve",
    "ConservingInterpolation",
    "Discriminator",
    "Generator",
    "Method",
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


_LATE = {"Discriminator": "discriminator", "Generator": "generator", "UNet": "unet"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as Python asks for it
    """Load whole networks, and the planner, when they are first asked for: layers cost no more to import."""
    if name not in _LATE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
