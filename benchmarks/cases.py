"""List the operators and maps that are timed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from upstroke.polyphase import Polyphase, compose, convolution, cubic, linear, nearest, transposed


@dataclass(frozen=True, kw_only=True)
class Case:
    """An operator on a map of one shape, layout and dtype."""

    name: str
    family: str
    operator: Polyphase
    shape: tuple[int, ...]
    channels_last: bool
    dtype: torch.dtype

    def map(self) -> torch.Tensor:
        """A random map with the case's shape, layout and dtype."""
        x = torch.randn(self.shape, generator=torch.Generator().manual_seed(0)).to(self.dtype)
        layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
        return x.contiguous(memory_format=layouts[x.ndim]) if self.channels_last else x


def cases() -> Iterator[Case]:
    """Every operator in every layout and dtype that the choice between implementations sees."""
    for name, family, operator, shape in _operators():
        layouts = (False, True) if len(shape) > 3 else (False,)
        for channels_last in layouts:
            for dtype in (torch.float32, torch.bfloat16):
                yield Case(
                    name=name,
                    family=family,
                    operator=operator,
                    shape=shape,
                    channels_last=channels_last,
                    dtype=dtype,
                )


def _operators() -> Iterator[tuple[str, str, Polyphase, tuple[int, ...]]]:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))

    yield (
        "k4 s2 p1, 128->64 @32",
        "dense",
        transposed(random(128, 64, 4, 4), stride=2, padding=1),
        (2, 128, 32, 32),
    )
    yield (
        "k3 s2 p1, 64->64 @32",
        "dense",
        transposed(random(64, 64, 3, 3), stride=2, padding=1, output_padding=1),
        (2, 64, 32, 32),
    )
    yield "k2 s2, 128->64 @64", "dense", transposed(random(128, 64, 2, 2), stride=2), (1, 128, 64, 64)
    resize = compose(nearest(2), convolution(random(64, 128, 3, 3), padding=1))
    yield "nearest x2 then conv k3 p1, 128->64 @32", "dense", resize, (1, 128, 32, 32)
    yield "k4 s4, 64->32 @32", "dense", transposed(random(64, 32, 4, 4), stride=4), (1, 64, 32, 32)
    yield (
        "k16 s8 p4, 128->64 @256",
        "dense",
        transposed(random(128, 64, 16), stride=8, padding=4),
        (1, 128, 256),
    )
    yield "k2 s2, 64->32 @16^3", "dense", transposed(random(64, 32, 2, 2, 2), stride=2), (1, 64, 16, 16, 16)
    yield (
        "depthwise k4 s2 p1, 64 @64",
        "depthwise",
        transposed(random(64, 1, 4, 4), stride=2, padding=1, groups=64),
        (1, 64, 64, 64),
    )
    yield "bilinear x2, 64 @64", "depthwise", linear(2), (1, 64, 64, 64)
    yield "bicubic x2, 64 @64", "depthwise", cubic(2), (1, 64, 64, 64)
    yield "bilinear x4, 16 @64", "depthwise", linear(4), (1, 16, 64, 64)
    yield "linear x2, 64 @4096", "depthwise", linear(2, ndim=1), (1, 64, 4096)
    yield "trilinear x2, 16 @16^3", "depthwise", linear(2, ndim=3), (1, 16, 16, 16, 16)
