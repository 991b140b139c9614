"""Draw PyTorch layers that have an operator, every axis with its own numbers."""

import torch
from hypothesis import strategies as st
from torch import nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
PADS = [
    {1: nn.ZeroPad1d, 2: nn.ZeroPad2d, 3: nn.ZeroPad3d},
    {1: nn.ReplicationPad1d, 2: nn.ReplicationPad2d, 3: nn.ReplicationPad3d},
    {1: nn.CircularPad1d, 2: nn.CircularPad2d, 3: nn.CircularPad3d},
]
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
SIZES = {1: (7,), 2: (5, 7), 3: (5, 4, 6)}


def per_axis(ndim, least, most):
    return st.tuples(*[st.integers(least, most)] * ndim)


def seeded(layer, seed):
    """Fill parameters and statistics from a seed, so that a failure can be repeated."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in layer.state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(values.square() + 0.3 if name.endswith("running_var") else values)
    return layer.double().eval()


@st.composite
def transposed_convs(draw, *, ndim, channels):
    groups = draw(st.sampled_from([1, channels]))
    stride, dilation = draw(per_axis(ndim, 1, 3)), draw(per_axis(ndim, 1, 2))
    layer = CONV_TRANSPOSE[ndim](
        channels,
        groups * draw(st.integers(1, 3)),
        draw(per_axis(ndim, 1, 4)),
        stride=stride,
        padding=draw(per_axis(ndim, 0, 2)),
        output_padding=tuple(
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        ),
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return layer, layer.out_channels


@st.composite
def convs(draw, *, ndim, channels):
    groups = draw(st.sampled_from([1, channels]))
    layer = CONV[ndim](
        channels,
        groups * draw(st.integers(1, 4)),
        draw(per_axis(ndim, 1, 4)),
        padding=draw(st.sampled_from(["same", "valid"]) | per_axis(ndim, 0, 2)),
        dilation=draw(per_axis(ndim, 1, 2)),
        groups=groups,
        padding_mode=draw(st.sampled_from(["zeros", "replicate", "circular"])),
        bias=draw(st.booleans()),
    )
    return layer, layer.out_channels


@st.composite
def resizes(draw, *, ndim, channels):
    modes = ["nearest", "nearest-exact", LINEAR[ndim], *(["bicubic"] if ndim == 2 else [])]
    # powers of two: for others PyTorch's own float32 coordinates are off
    scale = tuple(float(draw(st.sampled_from([1, 2, 4]))) for _ in range(ndim))
    return nn.Upsample(scale_factor=scale, mode=draw(st.sampled_from(modes))), channels


@st.composite
def batch_norms(draw, *, ndim, channels):
    return BATCH_NORM[ndim](channels, affine=draw(st.booleans())), channels


@st.composite
def pads(draw, *, ndim, channels):
    return draw(st.sampled_from(PADS))[ndim](draw(per_axis(2 * ndim, 0, 2))), channels


@st.composite
def shuffles(draw, *, ndim, channels):
    if ndim == 2 and channels % 4 == 0:
        return nn.PixelShuffle(2), channels // 4
    return draw(batch_norms(ndim=ndim, channels=channels))


FAMILIES = [transposed_convs, convs, resizes, batch_norms, pads, shuffles]


@st.composite
def sequences(draw, *, most=3):
    """A row of one to three linear layers, and a map it may take."""
    ndim = draw(st.sampled_from([1, 2, 2, 3]))
    channels = given = draw(st.sampled_from([1, 2, 4]))
    layers = []
    for _ in range(draw(st.integers(1, most))):
        layer, channels = draw(draw(st.sampled_from(FAMILIES))(ndim=ndim, channels=channels))
        layers.append(layer)
    seed = draw(st.integers(0, 999))
    return seeded(nn.Sequential(*layers), seed), random_map(ndim, given, seed)


@st.composite
def single_layers(draw, family):
    """One layer of a family, and a map it may take."""
    ndim = draw(st.sampled_from([1, 2, 3]))
    channels, seed = draw(st.sampled_from([2, 4])), draw(st.integers(0, 999))
    layer, _ = draw(family(ndim=ndim, channels=channels))
    return seeded(layer, seed), random_map(ndim, channels, seed)


def random_map(ndim, channels, seed):
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(2, channels, *SIZES[ndim], generator=generator, dtype=torch.float64)
