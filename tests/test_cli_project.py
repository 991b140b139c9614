"""Hold how `upstroke check` works in a project: its settings, suppressions, baselines, several models, SARIF."""

import json
import os
import shlex
import sys
import tomllib
from pathlib import Path

import jsonschema
import onnx
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from onnx_models import model, node
from upstroke.audit import RULES
from upstroke.cli import app
from upstroke.cli.options import FAIL_ON

ROOT = Path(__file__).resolve().parent.parent
RUNNER = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})

CODE = '''\
"""Models and the inputs that they need."""

import numpy as np
import torch
from decorating import decorated
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 2, 3, stride=2)
        nn.init.ones_(self.up.weight)

    def forward(self, x, scale=None, *, mask=None):
        assert (scale, mask) in ((None, None), (3, "all"))
        return self.up(x)


@decorated
def make():
    return Net()


built = Net()
batch = torch.rand(1, 2, 5, 7)


def positional():
    return np.zeros((1, 2, 5, 7)), None


def by_name():
    return {"x": torch.rand(1, 2, 5, 7)}


def both():
    return (torch.rand(1, 2, 5, 7), 3), {"mask": "all"}


def words():
    return "1x2x5x7"


def nothing():
    return None


def fails():
    raise KeyError("no such\\nthing")


def needs(size):
    return size
'''

DECORATOR = """\
import functools


def decorated(function):
    @functools.wraps(function)
    def inner():
        return function()

    return inner
"""


def run(*words):
    return RUNNER.invoke(app, ["check", *map(str, words)], prog_name="upstroke", catch_exceptions=False)


def refused(sentence, *words):
    before = sorted(os.listdir())
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"upstroke: {sentence}\n")
    assert sorted({*os.listdir(), "__pycache__"}) == sorted({*before, "__pycache__"})


def record_of(*words):
    result = run(*words, "--format", "json", "-q")
    return json.loads(result.stdout), result.exit_code


def found(record):
    return {(each["code"], each["site"], each["severity"]) for each in record["findings"]}


def notes(result):
    return [line for line in result.stderr.splitlines() if line.startswith("upstroke: ")]


def last(result):
    return result.stdout.splitlines()[-2:]


def loud(path, *, rows=1.5, names=("up",)):
    """An ONNX file of transposed convolutions k4 s2 whose every second row is louder, or as loud."""
    weight = torch.ones(2, 2, 4, 4)
    weight[:, :, ::2] *= rows
    grow = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes, into = [], "x"
    for name in names:
        nodes.append(onnx.helper.make_node("ConvTranspose", [into, "w"], [name], name=name, **grow))
        into = f"{name}_relu"
        nodes.append(node("Relu", [name], into))
    nodes.append(node("Tanh", [into], "y"))
    onnx.save(model(nodes, {"x": [1, 2, 5, 7]}, weights={"w": weight.numpy()}), path)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(CODE)
    (tmp_path / "decorating.py").write_text(DECORATOR)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("nets", "decorating"):
        sys.modules.pop(name, None)


@pytest.fixture
def loud_file(folder):
    loud(folder / "loud.onnx")
    return "loud.onnx"


def settle(folder, text):
    (folder / "pyproject.toml").write_text(f"[tool.upstroke]\n{text}", encoding="utf-8")


SUPPRESS = '[[tool.upstroke.suppress]]\nsite = "{}"\ncode = "{}"\nreason = "{}"\n'
ONLY = 'select = ["UP102", "UP105"]\n'
LOUD = {("UP102", "up", "error"), ("UP105", "up", "error")}


def test_the_project_settles_what_is_asked(folder, loud_file):
    settle(folder, 'select = ["up102"]\nfail-on = "never"\n')
    assert record_of(loud_file)[0]["rules"][0]["code"] == "UP102"
    assert (found(record_of(loud_file)[0]), record_of(loud_file)[1]) == ({("UP102", "up", "error")}, 0)
    (folder / "below").mkdir()
    os.chdir("below")
    assert record_of(f"../{loud_file}")[1] == 0


def test_the_command_line_wins(folder, loud_file):
    settle(folder, 'select = ["UP102"]\nignore = ["UP105"]\nfail-on = "never"\nconserve = true\n')
    record, code = record_of(loud_file, "--select", "UP1", "--ignore", "UP101", "--fail-on", "error")
    assert found(record) >= LOUD
    assert code == 1
    assert found(record_of(loud_file, "--isolated")[0]) >= LOUD
    (folder / "other.toml").write_text('[tool.upstroke]\nselect = ["UP105"]\n')
    assert found(record_of(loud_file, "--config", "other.toml")[0]) == {("UP105", "up", "error")}


def test_conservation_is_asked_where_the_project_promises_it(folder, loud_file, monkeypatch):
    asked = []
    from upstroke import audit

    whole = audit.check
    monkeypatch.setattr(audit, "check", lambda *a, **k: (asked.append(k["conserve"]), whole(*a, **k))[1])
    settle(folder, "conserve = true\n")
    for words in ((), ("--no-conserve",), ("--isolated",), ("--isolated", "--conserve")):
        run(loud_file, *words)
    assert asked == [True, False, False, True]


def test_what_the_project_says_wrongly(folder, loud_file):
    whole = ", ".join(sorted(RULES))
    for text, sentence in {
        'select = ["UP9"]\n': (
            f"tool.upstroke.select in pyproject.toml: rules are {whole}, or what these begin with; got 'UP9'"
        ),
        'fail-on = "warn"\n': (
            "tool.upstroke.fail-on in pyproject.toml must be one of error, warning, note, never; got 'warn'; did you "
            "mean warning?"
        ),
        SUPPRESS.format("up", "UP9", "why"): (
            f"number 1 of tool.upstroke.suppress in pyproject.toml: rules are {whole}, or what these begin with; got "
            "'UP9'"
        ),
        SUPPRESS.format("up", "UP101", ""): (
            "number 1 of tool.upstroke.suppress in pyproject.toml must have a reason in words; got ''; say why the "
            "finding may stand"
        ),
    }.items():
        settle(folder, text)
        refused(sentence, loud_file)
    settle(folder, "")
    refused(
        "--isolated goes without a project's settings; got --config pyproject.toml as well; leave one out",
        *(loud_file, "--isolated", "--config", "pyproject.toml"),
    )
    same = "--output must not be what is checked; got pyproject.toml for both; name another file"
    refused(same, loud_file, "--config", "pyproject.toml", "--output", "pyproject.toml", "--overwrite")


def test_what_is_meant_is_counted_and_no_more(folder, loud_file):
    settle(
        folder,
        ONLY + SUPPRESS.format("u*", "UP102", "it is meant") + SUPPRESS.format("up", "UP105", "so is this"),
    )
    result = run(loud_file)
    assert (result.exit_code, last(result)) == (0, ["", "Nothing wrong found: 2 suppressed"])
    record, _ = record_of(loud_file)
    assert [(each["code"], each["reason"]) for each in record["suppressed"]] == [
        ("UP102", "it is meant"), ("UP105", "so is this"),
    ]  # fmt: skip
    assert record["findings"] == []
    run(loud_file, "--format", "html", "--output", "page.html")
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "suppressed: it is meant" in page


def test_a_suppression_that_covers_nothing_is_said(folder, loud_file):
    settle(
        folder, ONLY + SUPPRESS.format("down", "UP102", "why") + SUPPRESS.format("down", "UP101", "not asked")
    )
    said = "upstroke: number 1 of tool.upstroke.suppress in pyproject.toml (site 'down', UP102) covers nothing in "
    assert notes(run(loud_file)) == [f"{said}loud.onnx; take it out"]
    assert notes(run(loud_file, "-q")) == []
    loud(folder / "b.onnx", names=("down",))
    assert notes(run(loud_file, "b.onnx")) == []
    loud(folder / "c.onnx", names=("in",))
    assert notes(run(loud_file, "c.onnx")) == [f"{said}loud.onnx, c.onnx; take it out"]


def test_only_what_is_new_counts(folder, loud_file):
    words = (loud_file, "--select", "UP102,UP105")
    assert run(*words, "--format", "json", "--output", "old.json").exit_code == 1
    result = run(*words, "--baseline", "old.json")
    assert (result.exit_code, last(result)[-1]) == (0, "Nothing new found: 2 known from the baseline")
    # the site that grows behind it is new, and a rule that speaks of the end has moved to it
    loud(folder / loud_file, names=("up", "more"))
    result = run(*words, "--baseline", "old.json")
    assert result.exit_code == 1
    assert last(result)[0] == (
        "2 new errors in 1 of 2 sites; 1 known from the baseline; 1 of the baseline gone"
    )
    assert "Gone since the baseline\n  UP105: up\n" in result.stdout
    record, code = record_of(*words, "--baseline", "old.json")
    assert (found(record), code) == ({("UP102", "more", "error"), ("UP105", "more", "error")}, 1)
    assert [each["site"] for each in record["baseline"]["gone"]] == ["up"]


def test_a_baseline_is_renewed_in_place(folder, loud_file):
    settle(folder, ONLY + 'baseline = "old.json"\n')
    renew = (loud_file, "--format", "json", "--output", "old.json", "--overwrite", "-q")
    refused(
        "a baseline must be what upstroke check --format json --output FILE wrote; cannot read old.json: no such file or "
        "directory; give --no-baseline to go without",
        loud_file,
    )
    assert run(*renew, "--no-baseline").exit_code == 1
    loud(folder / loud_file, names=("up", "more"))
    assert run(*renew).exit_code == 1
    assert run(loud_file).exit_code == 0
    assert len(record_of(loud_file)[0]["baseline"]["known"]) == 3
    assert run(loud_file, "--no-baseline").exit_code == 1
    settle(folder, ONLY + 'baseline = "nowhere.json"\n')
    assert run(loud_file, "--baseline", "old.json").exit_code == 0
    refused(
        "--no-baseline goes without one; got --baseline old.json as well; leave one out",
        *(loud_file, "--baseline", "old.json", "--no-baseline"),
    )


def test_a_model_that_was_renamed_or_is_not_in_the_baseline(folder, loud_file):
    run(loud_file, "--select", "UP102", "--format", "json", "--output", "old.json", "-q")
    os.rename(loud_file, "renamed.onnx")
    result = run("renamed.onnx", "--select", "UP102", "--baseline", "old.json")
    assert (result.exit_code, notes(result)) == (
        0, ["upstroke: old.json is of loud.onnx; renamed.onnx is compared with it"],
    )  # fmt: skip
    loud(folder / "loud.onnx")
    result = run("renamed.onnx", "loud.onnx", "--select", "UP102", "--baseline", "old.json")
    assert (result.exit_code, notes(result)) == (
        1, ["upstroke: old.json says nothing of renamed.onnx, so all its findings are new"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no JSON"),
        (b'{"schema": ', "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is other JSON"),
        (b"3", "is other JSON"),
        (b'{"schema": "upstroke.plan/1"}', "is other JSON"),
        (b'{"schema": "upstroke.check/1", "model": "m", "findings": [{"code": "UP101"}]}', "is other JSON"),
        (b'{"schema": "upstroke.check/1", "findings": []}', "is other JSON"),
        (
            b'{"schema": "upstroke.check/1", "model": "m", "findings": [], "baseline": {"known": 3}}',
            "is other JSON",
        ),
        (b'{"schema": "upstroke.checks/1", "checks": 3}', "is other JSON"),
        (b'{"schema": "upstroke.checks/1", "checks": [3]}', "is other JSON"),
        (b'{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": []}', "is other JSON"),
    ],
)
def test_what_is_no_baseline(folder, loud_file, content, what):
    (folder / "old.json").write_bytes(content)
    wanted = "a baseline must be what upstroke check --format json --output FILE wrote"
    refused(f"{wanted}; old.json {what}; write it anew", loud_file, "--baseline", "old.json")


def test_several_models_one_after_the_other(folder, loud_file):
    loud(folder / "fine.onnx", rows=1.0)
    words = ("--select", "UP102,UP105")
    result = run(loud_file, "fine.onnx", *words)
    single = [run(each, *words).stdout for each in (loud_file, "fine.onnx")]
    assert result.stdout == "\n".join([*single, "2 models: 2 errors\n"])
    assert result.exit_code == 1
    assert run("fine.onnx", "fine.onnx", *words).stdout.endswith("\n2 models: no findings\n")
    record, code = record_of(loud_file, "fine.onnx", *words)
    assert (record["schema"], record["failed"], code) == ("upstroke.checks/1", [], 1)
    assert record["checks"] == [record_of(each, *words)[0] for each in (loud_file, "fine.onnx")]
    # it is a baseline of both
    (folder / "old.json").write_text(json.dumps(record))
    assert run(loud_file, "fine.onnx", *words, "--baseline", "old.json").exit_code == 0
    assert run("fine.onnx", *words, "--baseline", "old.json").exit_code == 0
    # and of no third one
    os.rename(loud_file, "third.onnx")
    result = run("third.onnx", *words, "--baseline", "old.json")
    assert (result.exit_code, notes(result)) == (
        1,
        ["upstroke: old.json says nothing of third.onnx, so all its findings are new"],
    )


def test_one_that_cannot_be_read_does_not_keep_the_others(folder, loud_file):
    loud(folder / "fine.onnx", rows=1.0)
    (folder / "empty.onnx").touch()
    words = ("fine.onnx", "empty.onnx", "--select", "UP102")
    sentence = "MODEL must be an .onnx file or package.module:factory; empty.onnx is empty"
    result = run(*words)
    assert (result.exit_code, result.stderr) == (2, f"upstroke: {sentence}\n")
    assert result.stdout.endswith("2 models: no findings; 1 model could not be checked\n")
    record, code = record_of(*words)
    assert (len(record["checks"]), record["failed"], code) == (
        1,
        [{"model": "empty.onnx", "reason": sentence}],
        2,
    )
    result = run("empty.onnx", "no.onnx")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 2)


def test_the_worst_of_several_decides(folder, loud_file):
    weight = torch.full((2, 2, 4, 4), torch.nan)
    nodes = [node("ConvTranspose", ["x", "w"], "y", strides=[2, 2])]
    onnx.save(model(nodes, {"x": [1, 2, 5, 7]}, weights={"w": weight.numpy()}), "lost.onnx")
    loud(folder / "fine.onnx", rows=1.0)
    only = ("--select", "UP102")
    assert [run(each, *only).exit_code for each in ("fine.onnx", "lost.onnx", loud_file)] == [0, 3, 1]
    assert run("fine.onnx", "lost.onnx", *only).exit_code == 3
    assert run("lost.onnx", loud_file, "fine.onnx", *only).exit_code == 1
    assert run("lost.onnx", loud_file, "fine.onnx", *only, "--fail-on", "never").exit_code == 3


def test_what_belongs_to_one_model(loud_file):
    refused(
        "a page shows one model; got 2 models; check them one by one",
        *(loud_file, loud_file, "--format", "html", "--output", "page.html"),
    )
    refused(
        "--weights belongs to one model; got 2 models; check them one by one",
        *("nets:make", "nets:Net", "--weights", "w.pth"),
    )


@pytest.mark.parametrize("name", ["batch", "positional", "by_name", "both"])
def test_a_function_makes_the_inputs(name):
    record, _ = record_of("nets:make", "--inputs", f"nets:{name}")
    assert record["sites"][0]["size_in"] == [5, 7]


@pytest.mark.parametrize(
    ("words", "sentence"),
    {
        "nets": (
            "--inputs must be package.module:function, which makes the inputs; got 'nets'; give a shape such as "
            "1x3x64x64 as --input"
        ),
        "1x2x5x7": (
            "--inputs must be package.module:function, which makes the inputs; got '1x2x5x7'; give a shape such as "
            "1x3x64x64 as --input"
        ),
        "nets:positionl": "there is no positionl in nets; did you mean positional?",
        "nets:xyzzy": "there is no xyzzy in nets; name a function that makes the inputs",
        "nosuch:batch": (
            "there is no module nosuch in the current folder and what is installed; name the module as import "
            "statements do"
        ),
        "nets:needs": (
            "the function nets:needs must take no arguments; it needs size; write a function without arguments that "
            "calls it"
        ),
        "nets:nothing": "nets:nothing must give the inputs of the model; it gave nothing; let it return them",
        "nets:words": (
            "inputs must be a tensor, a tuple or list of arguments, a dict of keywords, a pair of both, or a function "
            "without arguments that makes them; got str"
        ),
        "nets:fails": (
            "calling nets:fails failed with KeyError: 'no such\\nthing' at nets.py:LINE; python -c 'from nets import "
            "fails; fails()' shows more"
        ),
    }.items(),
)
def test_functions_that_make_none(words, sentence):
    line = CODE.splitlines().index("def fails():") + 2
    refused(sentence.replace("LINE", str(line)), "nets:make", "--inputs", words)


def test_inputs_are_given_in_one_way(loud_file):
    refused(
        "--inputs makes all inputs; got --input '1x2x5x7' as well; leave one of the two out",
        *("nets:make", "--inputs", "nets:batch", "--input", "1x2x5x7"),
    )
    refused(
        "--inputs belongs to package.module:factory; loud.onnx is read and not run; give sizes that it leaves open as "
        "--input 1x3x64x64",
        *(loud_file, "--inputs", "nets:batch"),
    )


def sarif_of(*words):
    result = run(*words, "--format", "sarif", "-q")
    log = json.loads(result.stdout)
    schema = json.loads((ROOT / "tests" / "data" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(log)
    return log["runs"][0], result.exit_code


def test_sarif_says_what_json_says(folder, loud_file):
    settle(folder, ONLY + SUPPRESS.format("up", "UP105", "it is meant"))
    (folder / "empty.onnx").touch()
    run_, code = sarif_of(loud_file, "nets:make", "empty.onnx", "--input", "1x2x5x7")
    assert code == 2
    assert [
        (
            each["ruleId"],
            each["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
            [every["justification"] for every in each.get("suppressions", ())],
        )
        for each in run_["results"]
    ] == [
        ("UP102", "loud.onnx/up", []),
        ("UP105", "loud.onnx/up", ["it is meant"]),
        ("UP102", "nets:make/up", []),
        ("UP105", "nets:make/up", ["it is meant"]),
    ]
    (failed,) = run_["invocations"][0]["toolExecutionNotifications"]
    assert failed["message"]["text"].startswith("empty.onnx could not be checked: MODEL must be")


@pytest.mark.parametrize(
    ("name", "line"),
    [("Net", "class Net(nn.Module):"), ("make", "@decorated"), ("built", None)],
)
def test_sarif_points_at_the_code_that_builds_a_model(name, line):
    run_, _ = sarif_of(f"nets:{name}", "--inputs", "nets:batch", "--select", "UP102")
    place = run_["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "nets.py"
    assert place["region"]["startLine"] == (1 if line is None else CODE.splitlines().index(line) + 1)


def test_rules_are_listed():
    result = RUNNER.invoke(app, ["rules"], prog_name="upstroke")
    assert result.exit_code == 0
    head, *rows = result.stdout.split("\n\n")[0].splitlines()
    assert head.split() == ["code", "severity", "finds", "threshold"]
    listed = [row.split()[0] for row in rows if row.startswith("UP")]
    assert listed == sorted(RULES)
    for row in rows:
        rule = RULES.get(row.split()[0])
        assert rule is None or row.split()[1] == rule.severity
    assert result.stdout.endswith("\nupstroke explain CODE says more\n")
    record = json.loads(RUNNER.invoke(app, ["rules", "--format", "json"], prog_name="upstroke").stdout)
    assert record["schema"] == "upstroke.rules/1"
    assert [(each["code"], each["threshold"], each["unit"], each["remedy"]) for each in record["rules"]] == [
        (rule.code, rule.threshold, rule.unit, rule.remedy) for _, rule in sorted(RULES.items())
    ]


def parsed(words):
    """What a command line says, read by the program itself and not run."""
    group = typer.main.get_command(app)
    verb, *rest = words
    return group.commands[verb].make_context(verb, rest).params


def test_the_hook_of_pre_commit_is_a_command_of_ours():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["id"], hook["language"], hook["files"]) == ("upstroke-check", "system", r"\.onnx$")
    program, *words = shlex.split(hook["entry"])
    assert program == "upstroke"
    params = parsed([*words, "--fail-on", "warning", "a.onnx", "b.onnx"])
    assert (params["models"], params["fail_on"]) == (["a.onnx", "b.onnx"], "warning")


def test_the_example_for_code_hosts_is_made_of_commands_of_ours():
    text = (ROOT / "examples" / "ci" / "github.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["check"]["steps"]
    commands = [shlex.split(each["run"]) for each in steps if each.get("run", "").startswith("upstroke ")]
    assert [parsed(words[1:])["form"] for words in commands] == ["text", "sarif"]
    baselines = {parsed(words[1:])["baseline"] for words in commands}
    written = shlex.split(next(line for line in text.splitlines() if "upstroke check" in line).lstrip("# "))
    assert baselines == {parsed(written[1:])["output"]}
    (upload,) = [each for each in steps if "upload-sarif" in each.get("uses", "")]
    assert upload["with"]["sarif_file"] == str(parsed(commands[1][1:])["output"])


def test_the_table_of_the_documentation_has_every_key():
    from upstroke.files import project

    page = (ROOT / "docs" / "howto" / "project.md").read_text(encoding="utf-8")
    block = page.split('```toml title="pyproject.toml"\n')[1].split("```")[0]
    table = tomllib.loads(block.replace("\n# ", "\n"))["tool"]["upstroke"]
    assert set(table["suppress"][0]) == set(project.SILENCE_KEYS)
    assert all(key in block for key in project.KEYS)
    assert table["fail-on"] in FAIL_ON


def test_help_fits_a_terminal():
    for verb in ("check", "rules"):
        result = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"}).invoke(app, [verb, "--help"])
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 80
    flat = " ".join(
        CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["check", "--help"]).stdout.split()
    )
    for option in ("--inputs", "--baseline", "--config", "--isolated", "--fail-on", "--conserve"):
        assert option in flat
    assert "tool.upstroke" in flat
