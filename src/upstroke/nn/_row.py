"""Make rows of two layers that run as any `nn.Sequential` and know which two they were made of."""

from collections import OrderedDict
from typing import overload

from torch import nn

from upstroke.errors import NotRepresentableError
from upstroke.grid import Grid
from upstroke.nn._lifted import Lifted

__all__ = ["Row"]


class Row(Lifted, nn.Sequential):
    """Two layers in a row, to which more may be appended and of which either may be wrapped or replaced.

    It then runs as `nn.Sequential` would, and only what is told of the two as they were made is refused.
    """

    def is_as_made(self) -> bool:
        """Whether the row is exactly the two kinds of layers that it was made of."""
        raise NotImplementedError

    @property
    def grid(self) -> Grid:
        """Where the output's samples sit, in input pixels.

        Raises:
            NotRepresentableError: a layer was appended, removed, wrapped or replaced.
        """
        self.check_as_made("a grid")
        return self._grid()

    def check_as_made(self, wanted: str) -> None:
        """Refuse to tell of two layers what holds only as they were made."""
        if not self.is_as_made():
            raise self.refusal(wanted=wanted)

    def refusal(self, *, wanted: str) -> NotRepresentableError:
        """What is said when the row is not as it was made."""
        kinds = ", ".join(type(layer).__name__ for layer in self) or "nothing"
        msg = (
            f"{type(self).__name__} has {wanted} only as the two layers it is made of; "
            f"got a row of {kinds}, so ask its layers one by one"
        )
        return NotRepresentableError(msg)

    @overload
    def __getitem__(self, index: slice) -> nn.Sequential: ...

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...

    def __getitem__(self, index: slice | int) -> nn.Module:
        """One layer; or several, as a plain `nn.Sequential`."""
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def extra_repr(self) -> str:
        """The grid that results, if it is known."""
        return f"grid={self.grid}" if self.is_as_made() else ""

    def _grid(self) -> Grid:
        raise NotImplementedError
