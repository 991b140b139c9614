"""Turn the table [tool.upstroke] of a pyproject.toml into settings that are what they should be."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upstroke.errors import FileError, OptionError

__all__ = ["Project", "Silence", "found_project", "read_project"]

NAME = "pyproject.toml"
TABLE = "tool.upstroke"
KEYS = ("select", "ignore", "fail-on", "baseline", "conserve", "suppress")
NEEDED = ("site", "code", "reason")
SILENCE_KEYS = (*NEEDED, "model")
SHAPE = '[[tool.upstroke.suppress]] with site = "decoder.*", code = "UP101" and reason = "..."'


@dataclass(frozen=True, kw_only=True)
class Silence:
    """One table [[tool.upstroke.suppress]], as it is written.

    Attributes:
        site: name of a site, or a pattern of names.
        code: of a rule, or what several begin with.
        reason: why the finding may stand.
        model: name of a model, or a pattern of names.
        place: where it is written, for messages.
    """

    site: str
    code: str
    reason: str
    model: str
    place: str


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a project has settled for `upstroke check`; None where it says nothing.

    Attributes:
        file: where it is written.
        select: codes of the rules to ask.
        ignore: codes of rules not to ask.
        fail_on: least severity that fails a check.
        baseline: the record of an earlier check; beside the file if its name is relative.
        conserve: whether the rules of conservation are asked.
        suppress: findings that are meant.
    """

    file: Path
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    fail_on: str | None = None
    baseline: Path | None = None
    conserve: bool | None = None
    suppress: tuple[Silence, ...] = field(default=())


def found_project(folder: Path) -> Path | None:
    """The pyproject.toml with a table [tool.upstroke] in this folder, or in the nearest one above it.

    Raises:
        FileError: one on the way cannot be read.
    """
    for above in (folder, *folder.parents):
        path = above / NAME
        if os.path.isfile(path) and _table(path) is not None:
            return path
    return None


def read_project(path: Path) -> Project:
    """The settings in a file.

    Raises:
        FileError: it cannot be read, is no TOML or has no table [tool.upstroke].
        OptionError: a key is unknown, a value is of another type than it should be, or a suppression lacks
            one of its keys.
    """
    table = _table(path)
    if table is None:
        msg = f"{path} must have a table [{TABLE}]; it has none; write one, or name another file"
        raise FileError(msg)
    _refuse_unknown(table, KEYS, path=path, place=TABLE)
    name = _of_type(table, "baseline", str, "the name of a file", path=path)
    return Project(
        file=path,
        select=_codes(table, "select", path=path),
        ignore=_codes(table, "ignore", path=path),
        fail_on=_of_type(table, "fail-on", str, "a severity", path=path),
        baseline=None if name is None else path.parent / name,
        conserve=_of_type(table, "conserve", bool, "true or false", path=path),
        suppress=_silences(table, path=path),
    )


def _table(path: Path) -> Mapping[str, Any] | None:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        msg = f"cannot read {path}: {reason}; give --isolated to go without it"
        raise FileError(msg) from error
    except ValueError as error:
        msg = f"{path} must be TOML; {error}; mend it, or give --isolated to go without it"
        raise FileError(msg) from error
    tool = content.get("tool")
    table = tool.get("upstroke") if isinstance(tool, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        msg = f"{TABLE} in {path} must be a table; got {table!r}; write [{TABLE}] above its keys"
        raise OptionError(msg)
    return table


def _silences(table: Mapping[str, Any], *, path: Path) -> tuple[Silence, ...]:
    given = table.get("suppress", [])
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        msg = f"{TABLE}.suppress in {path} must be tables; got {given!r}; write {SHAPE}"
        raise OptionError(msg)
    return tuple(_silence(each, path=path, number=number) for number, each in enumerate(given, start=1))


def _silence(table: Mapping[str, Any], *, path: Path, number: int) -> Silence:
    place = f"{TABLE}.suppress"
    nth = f"number {number} of {place}"
    _refuse_unknown(table, SILENCE_KEYS, path=path, place=nth)
    for key in SILENCE_KEYS:
        value = table.get(key, "" if key in NEEDED else "*")
        if not isinstance(value, str) or not value.strip():
            got = f"got {value!r}" if key in table else "it has none"
            remedy = "say why the finding may stand" if key == "reason" else f"write {SHAPE}"
            msg = f"{nth} in {path} must have a {key} in words; {got}; {remedy}"
            raise OptionError(msg)
    return Silence(
        site=table["site"],
        code=table["code"],
        reason=table["reason"],
        model=table.get("model", "*"),
        place=f"{nth} in {path}",
    )


def _codes(table: Mapping[str, Any], key: str, *, path: Path) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
        msg = f'{TABLE}.{key} in {path} must be a list of codes such as ["UP101", "UP2"]; got {value!r}'
        raise OptionError(msg)
    return tuple(code.strip().upper() for code in value)


def _of_type(table: Mapping[str, Any], key: str, kind: type, wanted: str, *, path: Path) -> Any:  # noqa: ANN401
    value = table.get(key)
    if value is not None and not isinstance(value, kind):
        msg = f"{TABLE}.{key} in {path} must be {wanted}; got {value!r}"
        raise OptionError(msg)
    return value


def _refuse_unknown(table: Mapping[str, Any], keys: tuple[str, ...], *, path: Path, place: str) -> None:
    for key in table:
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=1, cutoff=0)[0]
            msg = f"{place} in {path} has no key {key!r}; did you mean {close}?"
            raise OptionError(msg)
