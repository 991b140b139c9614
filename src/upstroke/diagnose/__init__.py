"""Numbers that follow from an operator or a picture, each in closed form, without thresholds."""

from upstroke.diagnose.border import border_loss
from upstroke.diagnose.chain import ChainGain, chain_gain, chain_response
from upstroke.diagnose.chain_rejection import chain_rejection
from upstroke.diagnose.cost import Cost, cost
from upstroke.diagnose.coverage import Coverage, coverage
from upstroke.diagnose.equivariance import (
    Equivariance,
    Spectrum,
    equivariance_error,
    field_frequencies,
    spectral_density,
)
from upstroke.diagnose.gain import bias_spread, gain_spread, phase_gain
from upstroke.diagnose.image import ImageGain, image_gain
from upstroke.diagnose.independence import dependence
from upstroke.diagnose.keypoint import (
    Decoder,
    KeypointError,
    keypoint_error,
    keypoint_positions,
    peak_sample,
    summarised,
)
from upstroke.diagnose.mass import block_mean_error, mass, total_kept
from upstroke.diagnose.order import strang_fix_order
from upstroke.diagnose.peaks import SpectralPeaks, spectral_peaks
from upstroke.diagnose.picture import (
    PictureSubgrid,
    SetSubgrid,
    phase_means,
    picture_subgrid_variance,
    set_subgrid_variance,
)
from upstroke.diagnose.position import centroid, grid_of
from upstroke.diagnose.radial import RadialRatio, RadialSpectrum, radial_ratio, radial_spectrum
from upstroke.diagnose.rejection import ImageRejection, image_rejection
from upstroke.diagnose.response import Response, frequency_response, kernel_transform, response_power
from upstroke.diagnose.separability import Separability, separability
from upstroke.diagnose.spectrum import power_spectrum
from upstroke.diagnose.subgrid import Subgrid, subgrid_variance

__all__ = [
    "ChainGain",
    "Cost",
    "Coverage",
    "Decoder",
    "Equivariance",
    "ImageGain",
    "ImageRejection",
    "KeypointError",
    "PictureSubgrid",
    "RadialRatio",
    "RadialSpectrum",
    "Response",
    "Separability",
    "SetSubgrid",
    "SpectralPeaks",
    "Spectrum",
    "Subgrid",
    "bias_spread",
    "block_mean_error",
    "border_loss",
    "centroid",
    "chain_gain",
    "chain_rejection",
    "chain_response",
    "cost",
    "coverage",
    "dependence",
    "equivariance_error",
    "field_frequencies",
    "frequency_response",
    "gain_spread",
    "grid_of",
    "image_gain",
    "image_rejection",
    "kernel_transform",
    "keypoint_error",
    "keypoint_positions",
    "mass",
    "peak_sample",
    "phase_gain",
    "phase_means",
    "picture_subgrid_variance",
    "power_spectrum",
    "radial_ratio",
    "radial_spectrum",
    "response_power",
    "separability",
    "set_subgrid_variance",
    "spectral_density",
    "spectral_peaks",
    "strang_fix_order",
    "subgrid_variance",
    "summarised",
    "total_kept",
]
