"""Draw fine maps with their blocks and weights, every axis with its own numbers."""

import torch
from hypothesis import strategies as st

__all__ = ["blocks", "seeded"]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@st.composite
def blocks(draw, *, weighted=None):
    """Maps (batch, rows, columns) in float64, the scale, and weights of which some are 0, or None."""
    scale = draw(st.sampled_from([(2, 3), (3, 2), (1, 4), (5, 1), (1, 1)]))
    cells = tuple(draw(st.integers(1, 3)) for _ in scale)
    size = tuple(s * n for s, n in zip(scale, cells, strict=True))
    generator = seeded(draw(st.integers(0, 2**31 - 1)))
    batch = draw(st.sampled_from([(), (2,), (2, 1)]))
    # blocks whose sizes differ by six orders
    magnitude = 10 ** (6 * torch.rand(*batch, *cells, generator=generator, dtype=torch.float64) - 3)
    y = torch.randn(*batch, *size, generator=generator, dtype=torch.float64)
    for axis, s in enumerate(scale):
        magnitude = magnitude.repeat_interleave(s, dim=axis - 2)
    y = y * magnitude
    if not (draw(st.booleans()) if weighted is None else weighted):
        return y, scale, None
    shape = draw(st.sampled_from([size, (size[0], 1), y.shape]))
    weights = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.01
    return y, scale, weights * (torch.rand(shape, generator=generator) < 0.7)
