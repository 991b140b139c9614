"""How far two computations of the same map may differ, by dtype."""

import torch

# relative to the largest value: sums of some hundred products round by a few ulps of their largest term
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def assert_same(actual, expected):
    """Equal shape, dtype and, to the dtype's rounding, values."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert torch.isfinite(actual).all()
    difference = (actual.double() - expected.double()).abs().max()
    assert difference <= TOLERANCE[actual.dtype] * max(1.0, float(expected.detach().double().abs().max()))
