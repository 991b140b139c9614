"""Hold the SARIF log of a check: valid by its schema and by Microsoft's validator, and true to the record."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from check_records import HOSTILE, found, ok, record, site, small
from upstroke.audit import RULES, page_of, since
from upstroke.report.sarif import Source, sarif

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "tests" / "data" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
VALIDATOR = ROOT / ".venv/npm/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool"
FOLDER = Path("/project")
PAGES = {
    code: f"# {code}\n\nSee [another](UP9.md) and [a paper](https://example.org)."
    for code in ("UP101", "UP102", "UP202")
}


def log_of(*checks, failed=(), pages=PAGES):
    log = sarif(checks, pages=pages, failed=failed, folder=FOLDER)
    jsonschema.Draft202012Validator(SCHEMA).validate(log)
    return log


def run_of(*checks, **more):
    (run,) = log_of(*checks, **more)["runs"]
    return run


def with_suppressed(plain, number, reason):
    """The record with one of its findings suppressed."""
    findings = list(plain["findings"])
    taken = findings.pop(number)
    return plain | {"findings": findings, "suppressed": [*plain["suppressed"], taken | {"reason": reason}]}


IN_FILE = Source(file=FOLDER / "nets" / "my model.onnx", line=None)


def test_every_finding_is_a_result_with_its_number():
    run = run_of((small(), IN_FILE))
    assert [
        (each["ruleId"], each["level"], each["message"]["text"], each["properties"]) for each in run["results"]
    ] == [
        (
            "UP101", "warning", "up: 1 to 4 taps. What to do: make it balanced.",
            {"measure": 3, "unit": "taps apart", "threshold": 0, "remedy": "make it balanced", "fix": None},
        ),
        (
            "UP102", "error", "up: a checkerboard. What to do: make it balanced.",
            {"measure": -6.25, "unit": "dB", "threshold": -40.0, "remedy": "make it balanced", "fix": None},
        ),
    ]  # fmt: skip
    rules = run["tool"]["driver"]["rules"]
    assert [rules[each["ruleIndex"]]["id"] for each in run["results"]] == ["UP101", "UP102"]
    assert not any("suppressions" in each or "baselineState" in each for each in run["results"])


def test_a_result_names_its_site_and_its_file():
    (first, _) = run_of((small(), IN_FILE))["results"]
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "nets/my%20model.onnx", "uriBaseId": "%SRCROOT%", "index": 0},
                "region": {"startLine": 1},
            },
            "logicalLocations": [
                {"name": "up", "fullyQualifiedName": "net.onnx/up", "kind": "transposed"},
            ],
        }
    ]


def test_code_has_its_line_and_what_is_elsewhere_its_whole_path():
    code = Source(file=Path("nets.py"), line=12)
    there = Source(file=Path("/elsewhere/m.onnx"), line=None)
    run = run_of((small(model="nets:make"), code), (small(), there), (small(model="from memory"), None))
    places = [each["locations"][0].get("physicalLocation") for each in run["results"][::2]]
    assert [None if place is None else (place["artifactLocation"], place["region"]) for place in places] == [
        ({"uri": "nets.py", "uriBaseId": "%SRCROOT%", "index": 0}, {"startLine": 12}),
        ({"uri": "file:///elsewhere/m.onnx", "index": 1}, {"startLine": 1}),
        None,
    ]
    assert [each["location"]["uri"] for each in run["artifacts"]] == ["nets.py", "file:///elsewhere/m.onnx"]


def test_several_models_are_one_run_and_a_rule_stands_in_it_once():
    run = run_of((small(model="a.onnx"), None), (small(model="b.onnx"), None))
    assert len(run["results"]) == 4
    assert [each["id"] for each in run["tool"]["driver"]["rules"]] == ["UP101", "UP102", "UP202"]


def test_a_rule_carries_its_page_without_links_that_lead_nowhere():
    rule = run_of((small(), None))["tool"]["driver"]["rules"][1]
    assert rule == {
        "id": "UP102",
        "name": "UnbalancedPhases",
        "shortDescription": {"text": "Unbalanced phases."},
        "fullDescription": {"text": "Unbalanced phases. Threshold: -40 dB: why UP102."},
        "help": {
            "text": "What to do: make it balanced.",
            "markdown": "# UP102\n\nSee another and [a paper](https://example.org).",
        },
        "defaultConfiguration": {"level": "error"},
        "properties": {
            "threshold": -40.0,
            "unit": "dB",
            "tags": ["upsampling"],
            "precision": "high",
            "problem.severity": "error",
        },
    }


def test_a_suppressed_finding_says_why():
    run = run_of((with_suppressed(small(), 1, "it is meant"), None))
    first, second = run["results"]
    assert "suppressions" not in first
    assert second["ruleId"] == "UP102"
    assert second["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "it is meant"}
    ]


def test_against_a_baseline_what_is_left_is_new():
    plain = with_suppressed(small(), 1, "it is meant")
    states = []
    for earlier in (None, small(), plain):
        states.append([each["baselineState"] for each in run_of((since(plain, earlier), None))["results"]])
    assert states[0] == ["new", "new"]
    # what stood is not shown again, and what is meant by now stood before
    assert states[1:] == [["unchanged"], ["unchanged"]]


def test_what_was_not_read_is_a_notification_and_no_result():
    run = run_of((small(), IN_FILE), failed=[("gone.onnx", "there is no file")])
    (invocation,) = run["invocations"]
    skipped, failed = invocation["toolExecutionNotifications"]
    assert (skipped["level"], skipped["message"]["text"]) == (
        "note",
        "grow was skipped: no operator of ONNX.",
    )
    assert skipped["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "net.onnx/grow"
    assert (failed["level"], failed["message"]["text"]) == (
        "error", "gone.onnx could not be checked: there is no file.",
    )  # fmt: skip
    kinds = run["tool"]["driver"]["notifications"]
    assert [kinds[each["descriptor"]["index"]]["id"] for each in (skipped, failed)] == ["skipped", "failed"]
    assert invocation["executionSuccessful"] is False
    assert run_of((small(), None))["invocations"][0]["executionSuccessful"] is True


def fingerprints(plain):
    return [tuple(sorted(each["partialFingerprints"].items())) for each in run_of((plain, None))["results"]]


def two_alike():
    verdicts = {"UP101": found("1 to 4 taps", "UP101")}
    return record([site("twin", "transposed", verdicts), site("twin", "transposed", verdicts)])


def test_a_fingerprint_stays_when_the_number_moves():
    moved = small()
    for each in moved["findings"]:
        each["measure"], each["message"] = -1.5, "other words"
    assert fingerprints(moved) == fingerprints(small())


def test_a_fingerprint_is_that_of_one_finding_alone():
    whole = [*fingerprints(small()), *fingerprints(small(name="down")), *fingerprints(small(model="b.onnx"))]
    assert set(Counter([*whole, *fingerprints(two_alike())]).values()) == {1}
    # a suppressed finding keeps its own
    assert fingerprints(with_suppressed(small(), 1, "why")) == fingerprints(small())


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_makes_a_valid_log(name):
    run = run_of(
        (small(name=name, model=name, skipped=name), Source(file=FOLDER / "a b\udcff%.onnx", line=None))
    )
    assert run["artifacts"][0]["location"]["uri"] == "a%20b%FF%25.onnx"
    words = json.dumps(run, ensure_ascii=False)
    assert not any(ord(letter) < 32 or letter in "\u202e\u200b" for letter in words)


def test_no_number_is_null():
    verdicts = {"UP101": found("1 to 4 taps", "UP101", measure=None), "UP102": ok("balanced")}
    assert (
        run_of((record([site("up", "transposed", verdicts)]), None))["results"][0]["properties"]["measure"]
        is None
    )


def test_the_real_rules_and_their_pages_are_valid():
    facts = ("code", "title", "severity", "threshold", "unit", "reason", "remedy")
    rules = [{name: getattr(rule, name) for name in facts} for rule in RULES.values()]
    log_of((small() | {"rules": rules}, None), pages={code: page_of(code) for code in RULES})


@pytest.mark.skipif(not VALIDATOR.exists(), reason="npm gave no validator; make setup asks for it")
def test_microsofts_validator_finds_nothing_wrong(tmp_path):
    facts = ("code", "title", "severity", "threshold", "unit", "reason", "remedy")
    rules = [{name: getattr(rule, name) for name in facts} for rule in RULES.values()]
    plain = with_suppressed(small(), 1, "it is meant") | {"rules": rules}
    checks = [
        (plain, IN_FILE),
        (small(model="nets:make") | {"rules": rules}, Source(file=Path("nets.py"), line=3)),
    ]
    log = log_of(
        *checks, pages={code: page_of(code) for code in RULES}, failed=[("gone.onnx", "there is no file")]
    )
    path = tmp_path / "log.sarif"
    path.write_text(json.dumps(log), encoding="utf-8")
    done = subprocess.run(
        [VALIDATOR, "validate", path, "--rule-kind", "Sarif;Ghas"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if ": error " in line or ": warning " in line]
    # upstroke has no page of its own yet, whose address it could give
    assert [line.split(": ")[1] for line in said] == ["warning SARIF2005"], done.stdout + done.stderr
    assert "Analysis completed successfully" in done.stdout
