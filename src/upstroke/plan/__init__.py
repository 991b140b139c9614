"""A list of layers becomes the size, the crop and the grid of every map on the way."""

from upstroke.plan.generator import Coverage, GeneratorPlan, plan_generator
from upstroke.plan.layers import (
    Chain,
    Conv,
    Crop,
    Layer,
    Pad,
    Pool,
    Resize,
    Shuffle,
    Step,
    Transposed,
    Unshuffle,
    trace,
)
from upstroke.plan.unet import Fit, Need, Sides, UnetLevel, UnetPlan, plan_unet, plan_unet_levels

__all__ = [
    "Chain",
    "Conv",
    "Coverage",
    "Crop",
    "Fit",
    "GeneratorPlan",
    "Layer",
    "Need",
    "Pad",
    "Pool",
    "Resize",
    "Shuffle",
    "Sides",
    "Step",
    "Transposed",
    "UnetLevel",
    "UnetPlan",
    "Unshuffle",
    "plan_generator",
    "plan_unet",
    "plan_unet_levels",
    "trace",
]
