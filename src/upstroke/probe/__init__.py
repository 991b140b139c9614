"""Numbers measured from outside: any callable and a test signal, the twins of the closed forms."""

from upstroke.probe.border import measured_border_loss
from upstroke.probe.constant import measured_bias, measured_phase_gain, measured_total
from upstroke.probe.heat_map import measured_keypoint_error
from upstroke.probe.impulse import (
    Impulses,
    measured_block_mean_error,
    measured_centroid,
    measured_coverage,
    measured_image_gain,
    measured_impulses,
    measured_mass,
    measured_phase_variance,
    measured_response,
)
from upstroke.probe.middle import middle_samples
from upstroke.probe.noise import MeasuredSubgrid, measured_subgrid_variance
from upstroke.probe.periodic import on_period
from upstroke.probe.ramp import MeasuredGrid, measured_grid
from upstroke.probe.shift import measured_equivariance
from upstroke.probe.whole import MeasuredOutput, MeasuredValues, measured_values
from upstroke.probe.whole_answers import Middle
from upstroke.probe.whole_constant import ConstantPattern
from upstroke.probe.whole_drift import AxisDrift
from upstroke.probe.whole_noise import NoisePattern

__all__ = [
    "AxisDrift",
    "ConstantPattern",
    "Impulses",
    "MeasuredGrid",
    "MeasuredOutput",
    "MeasuredSubgrid",
    "MeasuredValues",
    "Middle",
    "NoisePattern",
    "measured_bias",
    "measured_block_mean_error",
    "measured_border_loss",
    "measured_centroid",
    "measured_coverage",
    "measured_equivariance",
    "measured_grid",
    "measured_image_gain",
    "measured_impulses",
    "measured_keypoint_error",
    "measured_mass",
    "measured_phase_gain",
    "measured_phase_variance",
    "measured_response",
    "measured_subgrid_variance",
    "measured_total",
    "measured_values",
    "middle_samples",
    "on_period",
]
