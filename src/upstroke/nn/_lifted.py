"""Give the layers their affine map and their operator, read off their settings and parameters."""

from torch import nn

from upstroke.layers import from_module
from upstroke.polyphase import Affine, Polyphase

__all__ = ["Lifted"]


class Lifted(nn.Module):
    """What every upsampling layer can tell about what it does to values."""

    def affine(self) -> Affine:
        """The map that the layer computes, differentiable in the parameters; exact outside its margin."""
        return from_module(self)

    def polyphase(self) -> Polyphase:
        """The map without its bias."""
        return self.affine().operator
