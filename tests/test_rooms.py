"""Hold the table of rooms: which part of src may import which."""

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "upstroke"

OPEN_TO_ALL = {"errors", "axes", "_version"}
EVERY_ROOM = "all"
MAY_IMPORT: dict[str, set[str]] = {
    "polyphase": set(),
    "grid": set(),
    "timing": set(),
    "plan": {"grid"},
    "layers": {"polyphase", "ops"},
    "ops": {"polyphase"},
    "nn": {"polyphase", "grid", "plan", "layers", "ops"},
    "diagnose": {"polyphase", "grid"},
    "probe": {"polyphase", "grid", "diagnose", "ops"},
    "describe": {"polyphase", "grid", "diagnose"},
    "graph": {"polyphase", "grid", "layers"},
    "audit": {"polyphase", "grid", "graph", "diagnose", "probe", "ops"},
    "rewrite": {
        "polyphase",
        "grid",
        "graph",
        "layers",
        "ops",
        "nn",
        "audit",
        "timing",
        "diagnose",
        "files",
    },
    "files": set(),
    "report": set(),
    "train": {"files", "report"},
    "apps": {
        "polyphase",
        "grid",
        "plan",
        "layers",
        "ops",
        "nn",
        "diagnose",
        "timing",
        "files",
        "report",
        "train",
    },
    "xarray": {"ops", "apps"},
    "cli": {EVERY_ROOM},
}
# Imports that go the other way are made late, inside the call. An Affine is callable and calling it is ops.upsample;
# a Report shows itself where Python asks it to, at a prompt and in a notebook, as the command line shows its record.
LATE_EXCEPTIONS = {
    ("polyphase/affine.py", "ops"),
    ("audit/shown.py", "report"),
    ("rewrite/shown.py", "report"),
}
NAMES_OF_NOTHING = {"utils.py", "common.py", "helpers.py", "misc.py"}


class Import(NamedTuple):
    """One import of one of our rooms, and where it stands."""

    file: str
    line: int
    room: str
    target: str
    late: bool


@functools.cache
def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    """Name the room of a file: its folder, or the file itself; the two front doors have no name."""
    first = Path(relative(path)).parts[0]
    return "" if first in ("__init__.py", "__main__.py") else first.removesuffix(".py")


def rooms() -> set[str]:
    return {room_of(path) for path in modules()} - {""} - OPEN_TO_ALL


def imported_names(node: ast.AST) -> list[str]:
    """List the dotted names that a statement imports; `from upstroke import x` counts as upstroke.x."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
        if node.module == "upstroke":
            return [f"upstroke.{alias.name}" for alias in node.names]
        return [node.module]
    return []


@functools.cache
def imports_in(path: Path) -> list[Import]:
    """Walk a file for imports of our rooms, wherever they stand in it."""
    nodes = list(ast.walk(tree_of(path)))
    inside_functions = {
        id(inner)
        for function in nodes
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(function)
    }
    found = []
    known = {*rooms(), *MAY_IMPORT, *OPEN_TO_ALL}
    for node in nodes:
        for name in imported_names(node):
            parts = name.split(".")
            if parts[0] != "upstroke":
                continue
            target = parts[1] if len(parts) > 1 and parts[1] in known else "the front door"
            late = id(node) in inside_functions
            found.append(Import(relative(path), node.lineno, room_of(path), target, late))
    return found


def imports_between_rooms() -> list[Import]:
    found = [each for path in modules() for each in imports_in(path)]
    return [each for each in found if each.room != "" and each.target not in {each.room, *OPEN_TO_ALL}]


def test_every_room_is_in_the_table_and_exists():
    assert rooms() == set(MAY_IMPORT), "src/upstroke and the table of rooms differ"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_rooms_open_inwards(path):
    room = room_of(path)
    if room in OPEN_TO_ALL:
        allowed = set()
    elif room == "" or EVERY_ROOM in MAY_IMPORT[room]:
        allowed = {*MAY_IMPORT, "the front door"}
    else:
        allowed = {room, *MAY_IMPORT[room]}
    for each in imports_in(path):
        if each.late and (each.file, each.target) in LATE_EXCEPTIONS:
            continue
        assert each.target in allowed | OPEN_TO_ALL, (
            f"{each.file}:{each.line}: room {each.room or 'front door'} imports {each.target}; "
            f"it may import {', '.join(sorted(allowed - {room})) or 'nothing of ours'}"
        )


def program_of(path: str) -> str:
    """Name the program that a file of apps belongs to, "" outside of them."""
    parts = Path(path).parts
    return parts[1] if parts[0] == "apps" and len(parts) > 2 else ""


def names_from(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Give (module, name) for each name that a statement takes from one of our modules."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("upstroke."):
        yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", [each for each in modules() if program_of(relative(each))], ids=relative)
def test_programs_take_what_rooms_export_and_leave_each_other_alone(path):
    own = program_of(relative(path))
    for module, name in (each for node in ast.walk(tree_of(path)) for each in names_from(node)):
        parts = module.split(".")
        if parts[1] == "apps":
            assert parts[2:3] == [own] or own == "tour", f"{relative(path)} imports {module}"
        elif parts[1] not in OPEN_TO_ALL:
            assert name in importlib.import_module(module).__all__, f"{module} does not export {name}"


def test_each_exception_is_still_needed():
    used = {(each.file, each.target) for each in imports_between_rooms() if each.late}
    assert used >= LATE_EXCEPTIONS, f"no longer needed: {sorted(LATE_EXCEPTIONS - used)}"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_are_absolute(path):
    lines = [
        node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert not lines, f"{relative(path)} imports relatively in lines {lines}; write upstroke.<room>"


def test_file_names_say_what_is_inside():
    nothing = [relative(path) for path in modules() if path.name in NAMES_OF_NOTHING]
    assert not nothing, f"{nothing} could hold anything; name the file after what it turns into what"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_each_module_starts_with_one_sentence(path):
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, f"{relative(path)} has no docstring that says what it turns into what"
    first = docstring.splitlines()[0]
    assert first.endswith("."), f"{relative(path)}: the first line must be one whole sentence, got {first!r}"
    assert not re.search(r"[.?!] +[A-Z]", first), f"{relative(path)}: one sentence, got {first!r}"


def table_in_contributing() -> dict[str, set[str]]:
    """Read the table under the heading "Rooms": | `room` | what it does | `a`, `b` |."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("\n## Rooms\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip().strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {
        room.strip().strip("`"): {EVERY_ROOM} if may.strip() == "all" else set(re.findall(r"`(\w+)`", may))
        for room, _, may in rows
    }


def test_contributing_shows_the_same_table():
    assert table_in_contributing() == MAY_IMPORT
