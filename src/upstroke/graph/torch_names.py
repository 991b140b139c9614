"""Turn the modules that run while a model is recorded into names that a reader of its code knows."""

from typing import Any

from torch import nn
from torch.nn.modules import module as every_module
from torch.utils.hooks import RemovableHandle

from upstroke.graph.steps import Pad, Reshape, Same, Step, Transpose

__all__ = ["Running", "Unique", "layer_type"]

# By name, because the layers stand on this room: what is upstroke's, and the row of it that computes its two
# layers as one, which only a recorded pass takes one by one.
_OURS, _AS_ONE = "upstroke.", "ResizeConv"

# What a layer such as Conv2d does around its own work, unless it is made for just that.
_AUXILIARY = (Pad, Reshape, Same, Transpose)
_MADE_FOR_THAT = ("torch.nn.modules.padding", "torch.nn.modules.flatten")
# The answers of layer_type, which is asked for every operator that runs.
_LAYERS: dict[type[nn.Module], type[nn.Module] | None] = {}


class Unique:
    """Hands out names, each once.

    >>> name = Unique()
    >>> name("up"), name("up"), name("down")
    ('up', 'up:2', 'down')
    """

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def __call__(self, wanted: str) -> str:
        """The name, with a number behind it from the second time on."""
        count = self._given[wanted] = self._given.get(wanted, 0) + 1
        return wanted if count == 1 else self(f"{wanted}:{count}")


class Running:
    """Which module of a model runs right now; to be used as a context while the model runs.

    The innermost module that has not come to its end stays known after an exception.
    """

    def __init__(self, model: nn.Module) -> None:
        self._paths = {id(part): _as_written(path) for path, part in model.named_modules()}
        self._stack: list[nn.Module] = []
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> "Running":
        self._hooks = [
            every_module.register_module_forward_pre_hook(self._begin),
            every_module.register_module_forward_hook(self._end),
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def path(self) -> str:
        """The path of the innermost module; empty for the model itself."""
        return self._paths[id(self._stack[-1])] if self._stack else ""

    def layer(self, step: Step) -> str | None:
        """The layer whose own work a step is, PyTorch's or, with its name in front, upstroke's; or None."""
        kind = layer_type(self._stack[-1]) if self._stack else None
        if kind is None or (isinstance(step, _AUXILIARY) and kind.__module__ not in _MADE_FOR_THAT):
            return None
        around = layer_type(self._stack[-2]) if len(self._stack) > 1 else None
        if around is not None and _computes_as_one(around, self._stack[-2]):
            kind = around
        return f"{_OURS}{kind.__name__}" if kind.__module__.startswith(_OURS) else kind.__name__

    def _begin(self, part: nn.Module, inputs: Any) -> None:  # noqa: ANN401 - whatever the module takes
        if id(part) in self._paths:
            self._stack.append(part)

    def _end(self, part: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ANN401 - as above
        # a module that raised, and whose exception was caught, is still above this one
        while part in self._stack and self._stack.pop() is not part:
            pass


def _computes_as_one(kind: type[nn.Module], part: nn.Module) -> bool:
    """Whether a module is upstroke's layer for a resize and a convolution, with nothing added to it."""
    family = [each.__name__ for each in kind.__mro__ if each.__module__.startswith(_OURS)]
    is_as_made = getattr(part, "is_as_made", None)
    return _AS_ONE in family and is_as_made is not None and bool(is_as_made())


def _as_written(path: str) -> str:
    """A path without the steps that `torch.compile` adds."""
    if "_orig_mod" not in path:
        return path
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


def layer_type(part: nn.Module) -> type[nn.Module] | None:
    """The class of PyTorch or upstroke that a module is or extends; None for containers and others.

    >>> layer_type(nn.utils.parametrizations.weight_norm(nn.ConvTranspose2d(2, 2, 2))).__name__
    'ConvTranspose2d'
    """
    kind = type(part)
    if kind not in _LAYERS:
        _LAYERS[kind] = _layer_among(kind)
    return _LAYERS[kind]


def _layer_among(kind: type[nn.Module]) -> type[nn.Module] | None:
    for each in kind.__mro__:
        if each.__module__.startswith(_OURS):
            # what only runs a model, such as one that notes the nodes of a traced one, is none
            return None if each.__name__.startswith("_") else each
        family = each.__module__.removeprefix("torch.nn.modules.")
        if family != each.__module__ and family not in ("module", "container", "transformer"):
            return each
    return None
