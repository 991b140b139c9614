"""Turn what a user gives for a model's inputs into the arguments of one forward pass."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from upstroke.errors import OptionError

__all__ = ["arguments"]

WANTED = (
    "inputs must be a tensor, a tuple or list of arguments, a dict of keywords, a pair of both, or a "
    "function without arguments that makes them"
)


def arguments(model: nn.Module, given: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call a model with, in order and by name.

    A tensor or an array is the only argument; a tuple or a list holds them in order; a mapping holds
    keywords; a tuple of two, a tuple or list and a mapping with names, is both. A function is called, and
    what it gives is read likewise. Arrays of numpy become tensors, and those in double precision, which numpy
    makes unless it is told otherwise, get the type of the model's weights.

    Raises:
        OptionError: it is nothing of that, or an array of a type that no tensor has.

    >>> arguments(nn.Identity(), {"x": np.zeros((1, 2))})
    ((), {'x': tensor([[0., 0.]])})
    >>> arguments(nn.Identity(), ((1, 2), {"scale": 3}))
    ((1, 2), {'scale': 3})
    """
    if callable(given) and not isinstance(given, Tensor | Mapping):
        given = _made_by(given)
    own = next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)
    if given is None:
        return (), {}
    if isinstance(given, Tensor | np.ndarray):
        return (_with_tensors(given, own),), {}
    if isinstance(given, Mapping):
        return (), _keywords(given, own)
    if isinstance(given, tuple | list):
        if _is_pair(given):
            return tuple(_with_tensors(list(given[0]), own)), _keywords(given[1], own)
        return tuple(_with_tensors(list(given), own)), {}
    msg = f"{WANTED}; got {type(given).__name__}"
    raise OptionError(msg)


def _made_by(function: Callable[[], object]) -> object:
    if isinstance(function, nn.Module | type):
        name = function.__name__ if isinstance(function, type) else type(function).__name__
        msg = f"{WANTED}; got {name}, which is {'a class' if isinstance(function, type) else 'a model'}"
        raise OptionError(msg)
    made = function()
    if made is None:
        msg = f"{WANTED}; the function gave None; let it return them"
        raise OptionError(msg)
    return made


def _is_pair(given: tuple[Any, ...] | list[Any]) -> bool:
    """Whether these are arguments and keywords; a list of two may as well be two arguments."""
    return (
        isinstance(given, tuple)
        and len(given) == 2
        and isinstance(given[0], tuple | list)
        and isinstance(given[1], Mapping)
        and all(isinstance(name, str) for name in given[1])
    )


def _keywords(given: Mapping[Any, Any], own: torch.dtype) -> dict[str, Any]:
    unnamed = next((name for name in given if not isinstance(name, str)), None)
    if unnamed is not None:
        msg = f"keywords of a model must be strings; got {unnamed!r}; give a dict from names to inputs"
        raise OptionError(msg)
    return {name: _with_tensors(value, own) for name, value in given.items()}


def _with_tensors(value: Any, own: torch.dtype) -> Any:  # noqa: ANN401 - whatever models take
    """The value with every array in it as a tensor; other values stay what they are."""
    return pytree.tree_map(lambda leaf: _tensor(leaf, own) if isinstance(leaf, np.ndarray) else leaf, value)


def _tensor(array: np.ndarray, own: torch.dtype) -> Tensor:
    try:
        # torch takes no array that runs backwards or that must not be written to
        tensor = torch.from_numpy(np.array(array, order="C"))
    except TypeError as error:
        msg = f"arrays must hold numbers that torch has; got one of type {array.dtype}; convert it first"
        raise OptionError(msg) from error
    return tensor.to(own) if tensor.dtype == torch.float64 else tensor
