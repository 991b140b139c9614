"""Hold where a project's settings are found, and what is said of those that mean nothing."""

import re
from pathlib import Path

import pytest

from upstroke.errors import FileError, OptionError
from upstroke.files.project import Project, Silence, found_project, read_project

WHOLE = """
[tool.other]
upstroke = 1

[tool.upstroke]
select = ["up1", "UP202"]
ignore = ["UP105"]
fail-on = "warning"
baseline = "old.json"
conserve = true

[[tool.upstroke.suppress]]
site = "decoder.*"
code = "UP101"
reason = "known"

[[tool.upstroke.suppress]]
site = "up"
code = "UP2"
reason = "known, too"
model = "*.onnx"
"""


def written(folder, text, name="pyproject.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path):
    path = written(tmp_path, WHOLE)
    place = "of tool.upstroke.suppress in"
    assert read_project(path) == Project(
        file=path,
        select=("UP1", "UP202"),
        ignore=("UP105",),
        fail_on="warning",
        baseline=tmp_path / "old.json",
        conserve=True,
        suppress=(
            Silence(
                site="decoder.*", code="UP101", reason="known", model="*", place=f"number 1 {place} {path}"
            ),
            Silence(
                site="up", code="UP2", reason="known, too", model="*.onnx", place=f"number 2 {place} {path}"
            ),
        ),
    )


def test_an_empty_table_says_nothing(tmp_path):
    path = written(tmp_path, "[tool.upstroke]\n")
    assert read_project(path) == Project(file=path)


def test_the_nearest_file_with_the_table_is_found(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    outer = written(tmp_path, "[tool.upstroke]\n")
    written(tmp_path / "a", "[tool.ruff]\nline-length = 3\n")
    assert found_project(deep) == outer
    inner = written(deep, "[tool.upstroke]\nconserve = true\n")
    assert found_project(deep) == inner
    assert found_project(tmp_path) == outer


def test_where_there_is_none(tmp_path):
    assert found_project(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("selct = []", "tool.upstroke in {path} has no key 'selct'; did you mean select?"),
        ("fail_on = 'note'", "tool.upstroke in {path} has no key 'fail_on'; did you mean fail-on?"),
        ("x = 1", "tool.upstroke in {path} has no key 'x'; did you mean suppress?"),
        (
            "select = 'UP1'",
            'tool.upstroke.select in {path} must be a list of codes such as ["UP101", "UP2"]; got \'UP1\'',
        ),
        (
            "ignore = [1]",
            'tool.upstroke.ignore in {path} must be a list of codes such as ["UP101", "UP2"]; got [1]',
        ),
        ("fail-on = 1", "tool.upstroke.fail-on in {path} must be a severity; got 1"),
        ("baseline = true", "tool.upstroke.baseline in {path} must be the name of a file; got True"),
        ("conserve = 1", "tool.upstroke.conserve in {path} must be true or false; got 1"),
        (
            "suppress = ['up']",
            (
                "tool.upstroke.suppress in {path} must be tables; got ['up']; write [[tool.upstroke.suppress]] with "
                'site = "decoder.*", code = "UP101" and reason = "..."'
            ),
        ),
        (
            "[[tool.upstroke.suppress]]\nsite = 'up'\ncode = 'UP1'\n",
            (
                "number 1 of tool.upstroke.suppress in {path} must have a reason in words; it has none; say why the finding "
                "may stand"
            ),
        ),
        (
            "[[tool.upstroke.suppress]]\nsite = 'up'\ncode = 'UP1'\nreason = ' '\n",
            (
                "number 1 of tool.upstroke.suppress in {path} must have a reason in words; got ' '; say why the finding may "
                "stand"
            ),
        ),
        (
            "[[tool.upstroke.suppress]]\nsite = 'up'\ncode = 7\nreason = 'x'\n",
            (
                "number 1 of tool.upstroke.suppress in {path} must have a code in words; got 7; write "
                '[[tool.upstroke.suppress]] with site = "decoder.*", code = "UP101" and reason = "..."'
            ),
        ),
        (
            "[[tool.upstroke.suppress]]\nsites = 'up'\n",
            "number 1 of tool.upstroke.suppress in {path} has no key 'sites'; did you mean site?",
        ),
    ],
)
def test_what_means_nothing(tmp_path, text, sentence):
    path = written(tmp_path, f"[tool.upstroke]\n{text}\n")
    with pytest.raises(OptionError, match=f"^{re.escape(sentence.format(path=path))}$"):
        read_project(path)


def test_files_that_cannot_be_read(tmp_path):
    for text, sentence in {
        "[tool.upstroke": "{path} must be TOML; Expected ']' at the end of a table declaration (at end of document); "
        "mend it, or give --isolated to go without it",
        "[project]\n": "{path} must have a table [tool.upstroke]; it has none; write one, or name another file",
    }.items():
        path = written(tmp_path, text)
        with pytest.raises(FileError, match=f"^{re.escape(sentence.format(path=path))}$"):
            read_project(path)
    path = written(tmp_path, "tool.upstroke = 3\n")
    sentence = f"tool.upstroke in {path} must be a table; got 3; write [tool.upstroke] above its keys"
    with pytest.raises(OptionError, match=f"^{re.escape(sentence)}$"):
        read_project(path)
    path.write_bytes(b"\xff\xfe")
    sentence = (
        f"{path} must be TOML; 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte; mend it, or "
        "give --isolated to go without it"
    )
    with pytest.raises(FileError, match=f"^{re.escape(sentence)}$"):
        found_project(tmp_path)
    sentence = "cannot read no.toml: no such file or directory; give --isolated to go without it"
    with pytest.raises(FileError, match=f"^{re.escape(sentence)}$"):
        read_project(Path("no.toml"))


def test_a_broken_file_above_is_not_passed_over(tmp_path):
    (tmp_path / "a").mkdir()
    path = written(tmp_path, "[tool")
    with pytest.raises(FileError, match=f"^{re.escape(f'{path} must be TOML; ')}"):
        found_project(tmp_path / "a")
