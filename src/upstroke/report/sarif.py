"""Turn records of checked models into one log in SARIF 2.1.0, which code hosts and editors read."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from upstroke.report.html import visible
from upstroke.report.rule_text import LOCAL_LINK

__all__ = ["Source", "sarif"]

Json = dict[str, Any]
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
SKIPPED, FAILED = "skipped", "failed"
NOTIFICATIONS = (
    {
        "id": SKIPPED,
        "shortDescription": {"text": "A site was skipped."},
        "fullDescription": {"text": "A site could not be read, so no rule judged it."},
        "help": {"text": "It is not known whether it is fine: the message says why it could not be read."},
    },
    {
        "id": FAILED,
        "shortDescription": {"text": "A model could not be checked."},
        "fullDescription": {"text": "A model could not be read or run, so nothing in it was judged."},
        "help": {"text": "The message says what was wanted, what came and what to do."},
    },
)
# What GitHub sorts its alerts by.
PROBLEMS = {"error": "error", "warning": "warning", "note": "recommendation"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a checked model is defined.

    Attributes:
        file: the model's own, or that of the code that builds it.
        line: of that code; None where there is none or it is not known.
    """

    file: Path
    line: int | None


def sarif(
    checks: Sequence[tuple[Json, Source | None]],
    *,
    pages: Mapping[str, str],
    failed: Sequence[tuple[str, str]] = (),
    folder: Path,
) -> Json:
    """Write `upstroke.check/1` records as one run of a SARIF log.

    Every finding is a result, a suppressed one with its reason as its justification; a site that was not
    read is a notification, because it is no finding and must not pass for clean.

    Args:
        checks: records, each with where its model is defined.
        pages: of the rules, in Markdown, by their codes.
        failed: models that could not be checked, each with the reason.
        folder: from which on files in it are named; others are named from the root on.
    """
    rules = list({rule["code"]: rule for record, _ in checks for rule in record["rules"]}.values())
    files = list(dict.fromkeys(_uri(source.file, folder) for _, source in checks if source is not None))
    places = {rule["code"]: index for index, rule in enumerate(rules)}
    results: list[Json] = []
    notifications: list[Json] = []
    for record, source in checks:
        where = None if source is None else _physical(source, files, folder)
        results += _results(record, where=where, places=places)
        notifications += [_skipped(each, where=where, model=record["model"]) for each in record["skipped"]]
    notifications += [_failure(model, reason) for model, reason in failed]
    driver = {
        "name": "upstroke",
        "fullName": "upstroke check: learned upsampling, measured and mended",
        "rules": [_rule(rule, pages[rule["code"]]) for rule in rules],
        "notifications": list(NOTIFICATIONS),
    }
    version = next((record["version"] for record, _ in checks), None)
    if version is not None:
        driver |= {"version": version, "semanticVersion": version}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": not failed, "toolExecutionNotifications": notifications}],
        "artifacts": [{"location": _artifact(uri), "roles": ["analysisTarget"]} for uri in files],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Json, page: str) -> Json:
    title = f"{rule['title'][:1].upper()}{rule['title'][1:]}"
    markdown = LOCAL_LINK.sub(r"\1", page).strip()
    threshold = f"Threshold: {rule['threshold']:g} {rule['unit']}".rstrip()
    return {
        "id": rule["code"],
        "name": "".join(word[:1].upper() + word[1:] for word in rule["title"].replace("-", " ").split()),
        "shortDescription": {"text": f"{title}."},
        "fullDescription": {"text": f"{title}. {threshold}: {rule['reason']}."},
        "help": {"text": f"What to do: {rule['remedy']}.", "markdown": markdown},
        "defaultConfiguration": {"level": rule["severity"]},
        "properties": {
            "threshold": rule["threshold"],
            "unit": rule["unit"],
            "tags": ["upsampling"],
            "precision": "high",
            "problem.severity": PROBLEMS[rule["severity"]],
        },
    }


def _results(record: Json, *, where: Json | None, places: Mapping[str, int]) -> list[Json]:
    seen: Counter[str] = Counter()
    results = []
    for finding in (*record["findings"], *record["suppressed"]):
        print_ = _fingerprint(record["model"], finding)
        seen[print_] += 1
        result = {
            "ruleId": finding["code"],
            "ruleIndex": places[finding["code"]],
            "level": finding["severity"],
            "message": {"text": _message(finding)},
            "locations": [_location(finding["site"], finding["kind"], record["model"], where)],
            # GitHub goes by the second name alone, and by the line of the file where it is missing
            "partialFingerprints": {
                "upstrokeFinding/v1": f"{print_}:{seen[print_]}",
                "primaryLocationLineHash": f"{print_[:16]}:{seen[print_]}",
            },
            "properties": {key: finding[key] for key in ("measure", "unit", "threshold", "remedy", "fix")},
        }
        if "reason" in finding:
            result["suppressions"] = [
                {"kind": "external", "status": "accepted", "justification": finding["reason"]}
            ]
        if record.get("baseline"):
            # of what is not suppressed only the new is left
            result["baselineState"] = "new" if finding.get("new", True) else "unchanged"
        results.append(result)
    return results


def _message(finding: Json) -> str:
    """What was found, in one sentence, then what to do in another."""
    words = f"{visible(finding['site'])}: {visible(finding['message'])}."
    return f"{words} What to do: {visible(finding['remedy'])}." if finding["remedy"] else words


def _fingerprint(model: str, finding: Json) -> str:
    """What stays the same of a finding as long as it is the same: never what it measures."""
    parts = (model, finding["code"], finding["site"], finding["kind"])
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _location(name: str, kind: str, model: str, where: Json | None) -> Json:
    qualified = f"{visible(model)}/{visible(name).lstrip('/')}"
    logical = {"name": visible(name), "fullyQualifiedName": qualified, "kind": kind}
    location: Json = {"logicalLocations": [logical]}
    return location if where is None else {"physicalLocation": where, **location}


def _physical(source: Source, files: list[str], folder: Path) -> Json:
    uri = _uri(source.file, folder)
    artifact = {**_artifact(uri), "index": files.index(uri)}
    # a file of weights has no lines, but code hosts show no result without one
    return {"artifactLocation": artifact, "region": {"startLine": source.line or 1}}


def _artifact(uri: str) -> Json:
    return {"uri": uri} if uri.startswith("file:") else {"uri": uri, "uriBaseId": "%SRCROOT%"}


def _uri(file: Path, folder: Path) -> str:
    """The name of a file from the folder on, or from the root on if it is not in there.

    >>> _uri(Path("/project/nets/my model.onnx"), Path("/project"))
    'nets/my%20model.onnx'
    >>> _uri(Path("/elsewhere/model.onnx"), Path("/project"))
    'file:///elsewhere/model.onnx'
    """
    whole = folder / file
    if ".." not in whole.parts and whole.is_relative_to(folder):
        return quote(PurePosixPath(whole.relative_to(folder)).as_posix(), errors="surrogateescape")
    return whole.resolve().as_uri()


def _skipped(each: Json, *, where: Json | None, model: str) -> Json:
    return {
        "descriptor": {"id": SKIPPED, "index": 0},
        "level": "note",
        "message": {"text": f"{visible(each['site'])} was skipped: {visible(each['reason'])}."},
        "locations": [_location(each["site"], each["operator"], model, where)],
    }


def _failure(model: str, reason: str) -> Json:
    return {
        "descriptor": {"id": FAILED, "index": 1},
        "level": "error",
        "message": {"text": f"{visible(model)} could not be checked: {visible(reason)}."},
    }
