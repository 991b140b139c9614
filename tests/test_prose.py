"""Run every example in README and docs: python blocks as code or files, console blocks as commands."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block: its text, the words after the language, and the line its text starts on."""

    text: str
    info: str
    line: int


class Command(NamedTuple):
    """One `$ upstroke ...` or `$ python ...` line, the output shown under it, and the exit code it must have."""

    words: list[str]
    shown: str
    exit_code: int
    line: int


def blocks(page: Path, language: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["body"], found["info"].strip(), text.count("\n", 0, found.start("body")) + 1)
        for found in FENCE.finditer(text)
        if found["language"] == language
    ]


def commands(page: Path) -> list[Command]:
    """Split console blocks at their prompts; a backslash at the end of a line continues a command."""
    found = []
    for block in blocks(page, "console"):
        said = re.search(r"exit code (\d+)", block.info)
        exit_code = int(said[1]) if said else 0
        joined = block.text.replace("\\\n", " ")
        for session in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            typed, _, shown = session.partition("\n")
            words = shlex.split(typed, comments=True)
            if words[:1] in (["upstroke"], ["python"]):
                found.append(Command(words, shown, exit_code, block.line))
    return found


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of code and settings that have a title to files of that name, as a reader would."""
    for block in (*blocks(page, "python"), *blocks(page, "toml")):
        title = re.search(r'title="([^"]+)"', block.info)
        if title is not None:
            (folder / title[1]).write_text(block.text, encoding="utf-8")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", pages_with("python"), ids=page_name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(page, tmp_path)
    namespace = {"__name__": "__prose__"}
    for block in blocks(page, "python"):
        if "title=" in block.info:
            compile(block.text, block.info, "exec")
        elif block.text.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(
                block.text, namespace, page_name(page), str(page), block.line - 1
            )
            runner = doctest.DebugRunner(optionflags=FLAGS)
            runner.run(test, clear_globs=False)
            namespace.update(test.globs)
        else:
            # Leading newlines make a traceback point at the line of the page.
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_name)
def test_commands_do_what_the_page_shows(page, tmp_path):
    programs = {"upstroke": Path(sys.executable).with_name("upstroke"), "python": sys.executable}
    surroundings = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    checker = doctest.OutputChecker()
    write_files(page, tmp_path)
    for command in commands(page):
        where = f"{page_name(page)}:{command.line}: {shlex.join(command.words)}"
        done = subprocess.run(
            [programs[command.words[0]], *command.words[1:]],
            cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == command.exit_code, f"{where}: exit {done.returncode}\n{said}"
        if command.shown.strip():
            assert checker.check_output(command.shown, said, FLAGS), f"{where} printed\n{said}"


def anchors(page: Path) -> set[str]:
    """Name the headings of a page the way mkdocs links to them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = [unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() for text in headings]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in plain}


def test_the_code_points_at_derivations_that_are_there():
    named = {
        (found[1], found[2])
        for path in (ROOT / "src").rglob("*.py")
        for found in re.finditer(r"\b(docs/[\w/]+\.md)#([\w-]+)", path.read_text(encoding="utf-8"))
    }
    missing = sorted(f"{page}#{anchor}" for page, anchor in named if anchor not in anchors(ROOT / page))
    assert not missing, f"src points at {missing}"
