"""Draw operators, pictures and shapes for property tests, every axis with its own numbers."""

import math

import torch
from hypothesis import strategies as st

from upstroke.polyphase import Affine, Polyphase, bspline, cubic, kaiser_sinc, linear, nearest, triangle

BORDERS = ("zero", "clamp", "circular")
FIXED = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "bspline": bspline,
    "kaiser_sinc": kaiser_sinc,
    "triangle": triangle,
}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@st.composite
def tensors(draw, shape):
    """Normal numbers in float64 that are never all alike."""
    seed = draw(st.integers(0, 2**31 - 1))
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


@st.composite
def operators(draw, *, ndims=(1, 2), max_scale=3, borders=BORDERS, out_channels=None, same_channels=False):
    """An operator with its own scale, kernel, origin, excess and border per axis, in groups, float64.

    The origin may lie outside the kernel, taps may be absent at random, and no phase is special.
    """
    ndim = draw(st.sampled_from(ndims))
    per_axis = {"min_size": ndim, "max_size": ndim}
    largest = {1: 4, 2: 4, 3: 2}[ndim]
    scale = tuple(draw(st.lists(st.integers(1, max_scale), **per_axis)))
    kernel = tuple(draw(st.lists(st.integers(1, largest), **per_axis)))
    origin = tuple(draw(st.integers(-1, k)) for k in kernel)
    excess = tuple(draw(st.lists(st.integers(-4, 4), **per_axis)))
    border = tuple(draw(st.lists(st.sampled_from(borders), **per_axis)))
    groups = draw(st.sampled_from((1, 1, 2))) if out_channels is None else 1
    in_group = draw(st.integers(1, 2))
    per_group = in_group if same_channels else draw(st.integers(1, 3))
    out = groups * per_group if out_channels is None else out_channels
    phases = math.prod(scale)
    taps = draw(tensors((phases, out, in_group, *kernel)))
    present = torch.rand(phases, *kernel, generator=seeded(draw(st.integers(0, 2**31 - 1)))) < 0.8
    # a tap in the first and the last place, so that there is always something to draw
    present[(0, *(0 for _ in kernel))] = present[(-1, *(-1 for _ in kernel))] = True
    return Polyphase(
        taps=taps * present[:, None, None],
        support=present,
        scale=scale,
        origin=origin,
        excess=excess,
        border=border,
        groups=groups,
    )


@st.composite
def depthwise_operators(draw, *, ndims=(1, 2, 3), max_scale=3, borders=BORDERS, shared=None):
    """An operator that upsamples every channel by itself: one kernel each, or one that serves all.

    Per axis its own scale, kernel, origin (also far outside the kernel), excess and border; float64.
    """
    ndim = draw(st.sampled_from(ndims))
    per_axis = {"min_size": ndim, "max_size": ndim}
    scale = tuple(draw(st.lists(st.integers(1, max_scale), **per_axis)))
    kernel = tuple(draw(st.lists(st.integers(1, {1: 5, 2: 4, 3: 3}[ndim]), **per_axis)))
    shared = draw(st.booleans()) if shared is None else shared
    channels = 1 if shared else draw(st.sampled_from((1, 2, 3, 5, 17)))
    return Polyphase(
        taps=draw(tensors((math.prod(scale), channels, 1, *kernel))),
        scale=scale,
        origin=tuple(draw(st.integers(-3, k + 2)) for k in kernel),
        excess=tuple(draw(st.lists(st.integers(-4, 7), **per_axis))),
        border=tuple(draw(st.lists(st.sampled_from(borders), **per_axis))),
        groups=channels,
        shared=shared,
    )


@st.composite
def affines(draw, **settings):
    """An operator with a bias per phase and channel."""
    operator = draw(operators(**settings))
    return Affine(operator=operator, bias=draw(tensors((operator.phases, operator.out_channels))))


@st.composite
def fixed_operators(draw, *, ndims=(1, 2), names=tuple(FIXED), max_scale=4):
    """A fixed interpolation kernel with its own scale per axis."""
    ndim = draw(st.sampled_from(ndims))
    scale = tuple(draw(st.lists(st.integers(1, max_scale), min_size=ndim, max_size=ndim)))
    return FIXED[draw(st.sampled_from(names))](scale, ndim=ndim)


@st.composite
def sizes(draw, ndim, *, least=5, most=9):
    """A size with its own number per axis."""
    return tuple(draw(st.lists(st.integers(least, most), min_size=ndim, max_size=ndim)))


def dense(operator):
    """The operator in one group, for comparison with what is measured from outside."""
    return operator.expand(operator.in_channels).regroup(1)
