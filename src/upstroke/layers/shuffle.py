"""Turn pixel shuffles into affine maps; and make the shuffle layers that PyTorch lacks."""

from torch import Tensor, nn

from upstroke.layers.family import lifts
from upstroke.ops import interleave
from upstroke.polyphase import Affine, shuffle

__all__ = ["Interleave", "PixelShuffle", "lift_pixel_shuffle", "shuffle_layer"]


class PixelShuffle(nn.PixelShuffle):
    """PyTorch's layer, faster on contiguous maps.

    >>> import torch
    >>> PixelShuffle(2)(torch.rand(1, 12, 5, 7)).shape
    torch.Size([1, 3, 10, 14])
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Channel o * phases + p becomes phase p of channel o."""
        return interleave(maps, (self.upscale_factor,) * 2) if maps.ndim == 4 else super().forward(maps)


class Interleave(nn.Module):
    """Pixel shuffle over any number of axes with any scale per axis.

    Shape: (b, channels * phases, *cells) to (b, channels, *(scale * cells)).

    >>> import torch
    >>> Interleave((2, 3))(torch.rand(1, 12, 5, 7)).shape
    torch.Size([1, 2, 10, 21])
    """

    def __init__(self, scale: tuple[int, ...]) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, maps: Tensor) -> Tensor:
        """Channel o * phases + p becomes phase p of channel o."""
        return interleave(maps, self.scale)

    def extra_repr(self) -> str:
        """The scale, as PyTorch's layers print theirs."""
        return f"scale={self.scale}"


def shuffle_layer(scale: tuple[int, ...]) -> nn.Module:
    """A pixel shuffle of PyTorch's kind where it has one, else of ours."""
    if len(scale) == 2 and scale[0] == scale[1]:
        return PixelShuffle(scale[0])
    return Interleave(scale)


@lifts(nn.PixelShuffle, PixelShuffle, Interleave)
def lift_pixel_shuffle(layer: nn.Module, ndim: int | None = None) -> Affine:
    """The affine map of a pixel shuffle, for any number of channels."""
    if isinstance(layer, nn.PixelShuffle):
        return Affine(operator=shuffle(layer.upscale_factor))
    assert isinstance(layer, Interleave)
    return Affine(operator=shuffle(layer.scale, ndim=len(layer.scale)))
