"""Turn a module that keeps what it made in a forward pass into one that has kept none of it."""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["nothing_kept"]


@contextmanager
def nothing_kept(module: nn.Module) -> Iterator[None]:
    """Let the module run inside, then put back every attribute of it and of its parts.

    Tables of positions, masks of windows and counters that a forward pass leaves on a module are gone
    afterwards; so is what functions decorated with `functools.lru_cache` keep, in the classes of the parts
    and in the files these are defined in, if they kept anything new. Lists, dicts and sets get their contents
    back, one level deep.
    """
    parts = list(module.modules())
    attributes = [(vars(part), dict(vars(part))) for part in parts]
    contents = [
        (held, type(held)(held))
        for _, before in attributes
        for held in before.values()
        if type(held) in (dict, list, set)
    ]
    caches = [(cache, cache.cache_info().misses) for cache in _caches(parts)]
    try:
        yield
    finally:
        for now, before in attributes:
            if now.keys() != before.keys() or any(now[name] is not before[name] for name in before):
                now.clear()
                now.update(before)
        for held, before_held in contents:
            _restore(held, before_held)
        for cache, misses in caches:
            if cache.cache_info().misses != misses:
                cache.cache_clear()


def _restore(held: Any, before: Any) -> None:  # noqa: ANN401 - a dict, a list or a set
    if isinstance(held, list):
        if len(held) != len(before) or any(one is not other for one, other in zip(held, before, strict=True)):
            held[:] = before
    elif isinstance(held, set):
        if len(held) != len(before) or held != before:
            held.clear()
            held.update(before)
    elif held.keys() != before.keys() or any(held[key] is not before[key] for key in before):
        held.clear()
        held.update(before)


def _caches(parts: list[nn.Module]) -> list[Any]:
    """Functions that remember, among what the parts' classes and their files define."""
    classes = {kind for part in parts for kind in type(part).__mro__ if kind not in (object, nn.Module)}
    files = [sys.modules.get(name) for name in {kind.__module__ for kind in classes}]
    named = [value for owner in (*classes, *files) if owner for value in list(vars(owner).values())]
    return [value for value in named if isinstance(value, functools._lru_cache_wrapper)]
