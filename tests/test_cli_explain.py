"""Hold what `upstroke explain` prints, writes and refuses."""

import json

import pytest
from typer.testing import CliRunner

from upstroke.audit import RULES, page_of
from upstroke.cli import app
from upstroke.report.rule_text import rule_text

RUNNER = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})

PAGE = """\
# UP999: a rule of [its own](../idea.md#own)

Severity: error. It is in `upstroke.nn`, says [a paper](https://example.org/a), and the words go on until they are
longer than one line of a terminal would be.

## Example

```python
layer = torch.nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)  # a line of code that is never broken, whatever
if layer:
    pass
```

- one
- two, `<script>` [bold]not markup[/bold]

| a | b |
| --- | --- |
| 1 | 2 |
"""


def run(*words):
    return RUNNER.invoke(app, ["explain", *map(str, words)], prog_name="upstroke")


def text_of(*words):
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(sentence, *words):
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")


def test_the_list_of_rules():
    assert text_of() == "".join(
        f"{code}  {RULES[code].severity:<7}  {RULES[code].title}\n" for code in sorted(RULES)
    ) + ("\nupstroke explain CODE says more\n")


@pytest.mark.parametrize("code", sorted(RULES))
def test_a_page_has_every_word_of_its_source(code):
    text = text_of(code)
    assert text == text_of(code.lower())
    assert "\x1b" not in text
    assert text.startswith(f"{code}: ")
    assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= 80
    for heading in ("What it finds", "Why it matters", "Example", "Use instead", "Is the change exact?"):
        assert f"\n{heading}\n" in text
    for line in page_of(code).split("```python\n")[1].split("```")[0].splitlines():
        assert f"    {line}".rstrip() in text.splitlines()


def test_the_text_of_a_page():
    assert (
        rule_text(PAGE, width=60)
        == """\
UP999: a rule of its own

Severity: error. It is in upstroke.nn, says a paper
(https://example.org/a), and the words go on until they are
longer than one line of a terminal would be.

Example

    layer = torch.nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)  # a line of code that is never broken, whatever
    if layer:
        pass

 • one
 • two, <script> [bold]not markup[/bold]


 a  b
 ────
 1  2
"""
    )


def test_colour_only_where_it_is_wanted():
    assert rule_text("# UP9: `it`", colour=True) == "\x1b[1mUP9: \x1b[0m\x1b[1;36mit\x1b[0m\n"
    assert "\x1b" not in rule_text(PAGE)


def test_a_wide_terminal_still_gets_a_column_to_read():
    lines = rule_text("word " * 99, width=300).splitlines()
    assert max(map(len, lines)) <= 100


def test_json():
    record = json.loads(text_of("up102", "--format", "json"))
    rule = RULES["UP102"]
    assert record == {
        "schema": "upstroke.explain/1",
        "code": "UP102",
        "title": rule.title,
        "severity": rule.severity,
        "threshold": rule.threshold,
        "unit": rule.unit,
        "reason": rule.reason,
        "page": page_of("UP102"),
    }
    everything = json.loads(text_of("--format", "json"))
    assert everything["schema"] == "upstroke.explain/1"
    assert [each["code"] for each in everything["rules"]] == sorted(RULES)
    del record["page"], record["schema"]
    assert record in everything["rules"]


def test_codes_that_there_are_not():
    for code in ("UP999", "UP1", "", "../UP102", "UP102.md"):
        refused(f"there is no rule {code!r}; rules are {', '.join(sorted(RULES))}", code)
    refused("got unexpected extra argument(s) (UP101); see 'upstroke explain --help'", "UP102", "UP101")


def test_to_a_file(tmp_path):
    target = tmp_path / "up102.txt"
    result = run("UP102", "--output", target)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"wrote {target}\n")
    assert target.read_text(encoding="utf-8").startswith("UP102: ")
    refused(
        f"{target} exists already; give --overwrite to replace it, or another name",
        "UP102",
        "--output",
        target,
    )
    assert run("UP102", "--output", target, "--overwrite", "-q").stderr == ""
