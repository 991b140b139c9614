"""Learned upsampling, measured and mended: the front door, which re-exports and does nothing else."""

from typing import TYPE_CHECKING, Any

from upstroke import nn
from upstroke._version import __version__
from upstroke.audit import check
from upstroke.grid import Grid
from upstroke.layers import from_module, to_module
from upstroke.ops import Choice, choose, upsample
from upstroke.polyphase import Affine, Polyphase

if TYPE_CHECKING:
    from upstroke.rewrite import fix

__all__ = [
    "Affine",
    "Choice",
    "Grid",
    "Polyphase",
    "__version__",
    "check",
    "choose",
    "fix",
    "from_module",
    "nn",
    "to_module",
    "upsample",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as Python asks for it
    """Open the room of rewriting when it is first asked for, so that the import costs nothing more."""
    if name != "fix":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from upstroke.rewrite import fix

    globals()[name] = fix
    return fix


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
