"""Turn the functions of a package into ones that check their annotations, at little cost where none is of arrays.

jaxtyping's own decorator binds every call's arguments anew, for the axes that annotations of arrays name, and
makes two functions for each before it is called at all: together about a third of the time of all tests. Where
no annotation is of an array there is nothing to compare, so beartype alone checks, from the first call on.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, ForwardRef, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

__all__ = ["check_calls"]

_with_arrays = jaxtyping.jaxtyped
# of one type, whoever finds it, and a TypeError, as without checks
_without_arrays = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))


def check_calls(package: str) -> None:
    """Check annotations in all modules of a package that are imported from now on."""
    # what the hook writes in front of every function and class is this name
    jaxtyping.jaxtyped = _checked
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _checked(what: Any = None, *, typechecker: Callable) -> Any:
    if what is None:
        return functools.partial(_checked, typechecker=typechecker)
    if isinstance(what, FunctionType):
        return _checked_when_called(what, typechecker)
    if inspect.isclass(what) and dataclasses.is_dataclass(what):
        # what is inherited is checked already
        if isinstance(vars(what).get("__init__"), FunctionType):
            what.__init__ = _checked_when_called(what.__init__, typechecker)
        return what
    return _with_arrays(what, typechecker=typechecker)


def _checked_when_called(function: FunctionType, typechecker: Callable) -> Callable:
    made: list[Callable] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if not made:
            made.append(_checks(function, typechecker))
        return made[0](*args, **kwargs)

    return call


def _checks(function: FunctionType, typechecker: Callable) -> Callable:
    if not any(map(_needs_names, function.__annotations__.values())):
        try:
            return _without_arrays(function)
        except BeartypeDecorHintException:
            # defaults that only stand for what a dataclass makes anew
            pass
    return _with_arrays(function, typechecker=typechecker)


def _needs_names(annotation: object) -> bool:
    """Whether it is of an array, or a name in quotes, which jaxtyping reads where it can and beartype must."""
    if isinstance(annotation, str | ForwardRef):
        return True
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    if isinstance(annotation, list | tuple):
        return any(map(_needs_names, annotation))
    return any(map(_needs_names, get_args(annotation)))
