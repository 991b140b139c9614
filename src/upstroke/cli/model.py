"""Turn what was typed for a model into the path of an ONNX file, or into the module that code builds."""

import contextlib
import difflib
import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from upstroke.errors import FileError, OptionError, ShapeError
from upstroke.files.kind import Kind, holds_objects, kind_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from upstroke.files import StateDict

__all__ = [
    "Factory",
    "Origin",
    "built",
    "built_with",
    "current_folder_first",
    "function_of",
    "load",
    "located",
    "made_by",
    "notes_on",
    "origin_of",
]

WANTED = "MODEL must be an .onnx file or package.module:factory"
LISTED_NAMES = 3
MOST_LETTERS = 300

WEIGHTS_ALONE = (
    "holds weights without a graph; name the code that builds the model as package.module:factory and give "
    "this file as --weights"
)
OBJECTS = (
    "holds pickled Python objects, perhaps a whole model, which are programs and are never unpickled; name "
    "the code that builds the model as package.module:factory and give its state dict alone as --weights"
)
PROGRAM = "and loading it can run code; export it to ONNX, or name the code that builds the model"
NO_MODEL: Mapping[Kind, str] = {
    "empty": "is empty",
    "safetensors": WEIGHTS_ALONE,
    "torch.save": WEIGHTS_ALONE,
    "old torch.save": WEIGHTS_ALONE,
    "TorchScript": f"is a TorchScript program, {PROGRAM}",
    "exported program": f"is an exported program, {PROGRAM}",
    "pickle": "is a pickle, which is a program and is never run; export the model to ONNX",
    "npy": "is an array of numpy",
    "hdf5": "is an HDF5 file; export the model to ONNX",
    "zip": "is a zip archive; unpack it, or export the model to ONNX",
    "cut zip": "starts like a zip archive, but is cut short or damaged",
}


@dataclass(frozen=True, kw_only=True)
class Factory:
    """Where the code that builds a model is found: the part before the colon, and the part after it."""

    module: str
    name: str

    @property
    def words(self) -> str:
        """What was typed."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model comes from.

    Attributes:
        file: the ONNX file, or the file of the code that builds the model.
        line: of that code; None for an ONNX file, and where the line is not known.
    """

    file: Path
    line: int | None


def located(words: str) -> Path | Factory:
    """Tell a file, which comes first, from package.module:factory; a file is known by its content.

    Raises:
        FileError: there is neither, or the file is of a kind that holds no graph.

    >>> located("nets.small:generator")
    Factory(module='nets.small', name='generator')
    """
    # os.path answers no where pathlib raises, for instance for names that are too long
    if words and os.path.exists(words):
        path = Path(words)
        kind = kind_of(path, wanted=WANTED)
        if kind in NO_MODEL:
            is_object = kind in ("torch.save", "old torch.save") and holds_objects(path)
            msg = f"{WANTED}; {path} {OBJECTS if is_object else NO_MODEL[kind]}"
            raise FileError(msg)
        if path.suffix == ".py":
            msg = f"{WANTED}; {path} is code; name what builds the model in it as {path.stem}:factory"
            raise FileError(msg)
        return path
    module, _, name = words.partition(":")
    if module.endswith(".py") and os.path.isfile(module):
        dotted = ".".join(Path(module).with_suffix("").parts)
        msg = f"{WANTED}; {module} is a file and no module; write {dotted}:{name or 'factory'}"
        raise FileError(msg)
    if not (_is_dotted(module) and _is_dotted(name)):
        msg = f"{WANTED}; there is no file {words!r}, and it is no package.module:factory"
        raise FileError(msg)
    return Factory(module=module, name=name)


@contextlib.contextmanager
def current_folder_first() -> Iterator[None]:
    """Let imports look into the current folder first, as `python -m` does; put both back afterwards."""
    before, folder = list(sys.path), os.getcwd()
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
        # the model's code may have changed it, and --output is meant from where the user is
        os.chdir(folder)


def built(factory: Factory) -> "nn.Module":
    """Import the module and call the factory, unless what it names is a model already.

    Raises:
        OptionError: the module or the name is missing, the code fails, or it gives something else.
    """
    from torch import nn

    found = _named(factory, purpose="builds the model")
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        msg = (
            f"{factory.words} must be a factory or an nn.Module; it is {_article(type(found).__name__)}; "
            "name a function that builds the model"
        )
        raise OptionError(msg)
    _refuse_arguments(found, factory, role="factory")
    model = _called(found, factory)
    if not isinstance(model, nn.Module):
        msg = (
            f"{factory.words} must give an nn.Module; it gave {_article(type(model).__name__)}; "
            "let it return the model"
        )
        raise OptionError(msg)
    return model


def function_of(words: str) -> Factory:
    """Read the name of a function that makes a model's inputs.

    >>> function_of("data.small:batch").module
    'data.small'
    """
    module, _, name = words.partition(":")
    if not (_is_dotted(module) and _is_dotted(name)):
        msg = (
            f"--inputs must be package.module:function, which makes the inputs; got {words!r}; give a shape "
            "such as 1x3x64x64 as --input"
        )
        raise OptionError(msg)
    return Factory(module=module, name=name)


def made_by(function: Factory) -> Any:  # noqa: ANN401 - whatever the model takes
    """Import the module and call the function that makes the inputs, unless what it names are inputs already.

    Raises:
        OptionError: the module or the name is missing, the function fails or gives nothing.
    """
    found = _named(function, purpose="makes the inputs")
    if not callable(found):
        return found
    _refuse_arguments(found, function, role="function")
    made = _called(found, function)
    if made is None:
        msg = f"{function.words} must give the inputs of the model; it gave nothing; let it return them"
        raise OptionError(msg)
    return made


def origin_of(subject: Path | Factory) -> Origin | None:
    """Where a model is defined, once it was built; None where its code has no file."""
    if isinstance(subject, Path):
        return Origin(file=subject, line=None)
    found: Any = sys.modules.get(subject.module)
    for part in subject.name.split("."):
        found = getattr(found, part, None)
    found = inspect.unwrap(found) if callable(found) else found
    try:
        return Origin(file=Path(inspect.getfile(found)), line=inspect.getsourcelines(found)[1])
    except (TypeError, OSError):
        # a model made when its module is imported has no lines of its own
        file = getattr(sys.modules.get(subject.module), "__file__", None)
        return None if file is None else Origin(file=Path(file), line=None)


def _named(factory: Factory, *, purpose: str) -> Any:  # noqa: ANN401 - whatever users name
    with _blamed(f"importing {factory.module}", f"import {factory.module}", hint=_missing(factory)):
        found: Any = importlib.import_module(factory.module)
    for part in factory.name.split("."):
        found = _attribute(found, part, factory, purpose=purpose)
    return found


def _called(function: Callable[[], Any], named: Factory) -> Any:  # noqa: ANN401 - whatever it gives
    call = f"from {named.module} import {named.name.split('.')[0]}; {named.name}()"
    with _blamed(f"calling {named.words}", call):
        return function()


def load(model: "nn.Module", state: "StateDict", *, words: str) -> None:
    """Load weights into the model they are of, every one of them.

    Raises:
        ShapeError: names or shapes are not those of the model.
    """
    try:
        model.load_state_dict(dict(state.tensors), strict=True)
    except Exception as error:
        # mostly RuntimeError; a model may have hooks of its own that raise anything
        differences = _differences(_own(model), state.tensors) or _one_line(error)
        msg = (
            f"the weights in {state.file} must be those of {words}: {differences}; give the weights of this "
            "model, or build the model that they are of"
        )
        raise ShapeError(msg) from error


def built_with(factory: Factory, state: "StateDict | None", *, quiet: bool) -> "nn.Module":
    """What a factory builds, with its weights; what was taken away to get at them is said on stderr.

    Raises:
        OptionError: the factory is missing, fails, or gives something else.
        ShapeError: the weights are not those of the model.
    """
    model = built(factory)
    if state is not None:
        load(model, state, words=factory.words)
        for note in () if quiet else notes_on(state):
            typer.echo(f"upstroke: {note}", err=True)
    return model


def notes_on(state: "StateDict") -> tuple[str, ...]:
    """Say what was taken away to get at the tensors.

    >>> from upstroke.files import StateDict
    >>> notes_on(StateDict(tensors={}, file="g.pth", key="g_ema", prefix=""))
    ("took the weights under 'g_ema' in g.pth",)
    """
    taken = f"took the weights under {state.key!r} in {state.file}" if state.key is not None else ""
    cut = f"left out {state.prefix!r} before every name in {state.file}" if state.prefix else ""
    return tuple(note for note in (taken, cut) if note)


def _is_dotted(words: str) -> bool:
    return all(part.isidentifier() for part in words.split("."))


def _missing(factory: Factory) -> Callable[[BaseException], str]:
    """Tell a module that is not there from one that is and fails."""

    def hint(error: BaseException) -> str:
        parts = factory.module.split(".")
        outer = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        if isinstance(error, ModuleNotFoundError) and error.name in outer:
            where = "the current folder and what is installed"
            return f"there is no module {error.name} in {where}; name the module as import statements do"
        return ""

    return hint


def _attribute(found: Any, part: str, factory: Factory, *, purpose: str) -> Any:  # noqa: ANN401
    missing = object()
    with _blamed(f"looking up {factory.words}", f"import {factory.module}"):
        value = getattr(found, part, missing)
    if value is not missing:
        return value
    names = [name for name in dir(found) if not name.startswith("_")]
    close = difflib.get_close_matches(part, names, n=LISTED_NAMES)
    like = f"did you mean {' or '.join(close)}?" if close else f"name a function that {purpose}"
    msg = f"there is no {part} in {getattr(found, '__name__', factory.module)}; {like}"
    raise OptionError(msg)


def _refuse_arguments(function: Callable[..., Any], named: Factory, *, role: str) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        # some callables have none; calling will tell
        return
    needed = [
        each.name
        for each in signature.parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed:
        msg = (
            f"the {role} {named.words} must take no arguments; it needs {', '.join(needed)}; write a "
            "function without arguments that calls it"
        )
        raise OptionError(msg)


@contextlib.contextmanager
def _blamed(
    doing: str, statement: str, *, hint: Callable[[BaseException], str] = lambda _: ""
) -> Iterator[None]:
    """Make one sentence of whatever the user's code raises, with the place in their code.

    KeyboardInterrupt is not theirs and passes.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        said = _one_line(error)
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        place = _place(error)
        at = f" at {place}" if place else ""
        known = hint(error)
        msg = known or f"{doing} failed with {what}{at}; python -c {statement!r} shows more"
        raise OptionError(msg) from error


def _place(error: BaseException) -> str:
    """File and line of the innermost frame in the user's code, not in ours or an installed package's."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{_short(error.filename)}:{error.lineno}"
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    ours = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", ours + os.sep))
    ]
    theirs = [
        frame for frame in frames if not frame.filename.startswith(tuple(f + os.sep for f in installed if f))
    ]
    innermost = (theirs or frames)[-1:]
    return "".join(f"{_short(frame.filename)}:{frame.lineno}" for frame in innermost)


def _short(file: str) -> str:
    """Write a path from the current folder on, if it is in there."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)


def _own(model: "nn.Module") -> "dict[str, Tensor]":
    from torch.nn.parameter import is_lazy

    return {name: tensor for name, tensor in model.state_dict().items() if not is_lazy(tensor)}


def _differences(own: "Mapping[str, Tensor]", given: "Mapping[str, Tensor]") -> str:
    """Count what is missing, left over or of another shape, and name the first few."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    other = [
        f"{name} ({_size(given[name])} for {_size(own[name])})"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
    return ", ".join(f"{len(names)} {kind} ({_listed(names)})" for kind, names in kinds if names)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    return ", ".join(name if name.isprintable() else repr(name) for name in names[:LISTED_NAMES]) + more


def _size(tensor: "Tensor") -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _one_line(error: BaseException) -> str:
    """Write what an exception says on one line of bounded length, without control characters."""
    try:
        # the place that a SyntaxError adds is said anyway
        said = error.msg if isinstance(error, SyntaxError) else error
        words = " ".join(str(said).split()).rstrip(".")
    except Exception:
        # an exception of the user's own may fail at telling what it is
        return ""
    shown = "".join(letter for letter in words if letter.isprintable())
    return shown if len(shown) <= MOST_LETTERS else f"{shown[:MOST_LETTERS]}…"


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
