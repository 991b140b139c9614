"""Turn the lists of a record of a checked model into its subjects, each with its findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PLURALS", "SEVERITIES", "Subject", "status", "subjects_of"]

Json = dict[str, Any]
SEVERITIES = ("error", "warning", "note")
# The lists of a record that hold what rules judge, in the order in which they are shown.
LISTS = {"site": "sites", "join": "joins", "reduction": "reductions", "output": "outputs"}
PLURALS = {
    "site": "sites",
    "join": "joins",
    "reduction": "strided layers",
    "output": "outputs",
    "model": "models",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One thing that was judged.

    Attributes:
        kind: site, join, reduction, output or model.
        index: place in the record's list of its kind.
        name: what the model calls it.
        entry: what the record says of it.
        findings: of it, in the order of the record.
    """

    kind: str
    index: int
    name: str
    entry: Json
    findings: tuple[Json, ...]

    @property
    def state(self) -> str:
        """What became of it; empty where no rule was asked."""
        return status(self.entry, self.findings)

    @property
    def notes(self) -> list[str]:
        """Codes of the verdicts that are ok and still worth a reader's time."""
        return [
            code
            for code, each in self.entry["verdicts"].items()
            if each["verdict"] == "ok" and each.get("note")
        ]


def subjects_of(record: Json) -> tuple[list[Subject], list[Json]]:
    """Everything that was judged, in the order of the record's lists, and findings of nothing listed.

    Two subjects may have one name; each then takes the findings that its own verdicts tell of.
    """
    entries = [
        (kind, index, entry["name"], entry)
        for kind, key in LISTS.items()
        for index, entry in enumerate(record.get(key, ()))
    ]
    whole = {"verdicts": record.get("verdicts", {}), "sizes": record.get("sizes")}
    entries.append(("model", 0, record["model"], whole))
    found: list[list[Json]] = [[] for _ in entries]
    elsewhere: list[Json] = []
    for finding in record["findings"]:
        code = finding["code"]
        of_name = [i for i, each in enumerate(entries) if each[2] == finding["site"]]
        told = [i for i in of_name if _is_found(entries[i][3], code)]
        free = [i for i in told if code not in {each["code"] for each in found[i]}]
        sites = [i for i in of_name if entries[i][0] == "site"]
        place = next(iter([*free, *told, *sites]), None)
        (elsewhere if place is None else found[place]).append(finding)
    return [
        Subject(kind=kind, index=index, name=name, entry=entry, findings=tuple(own))
        for (kind, index, name, entry), own in zip(entries, found, strict=True)
    ], elsewhere


def _is_found(entry: Json, code: str) -> bool:
    verdict = entry["verdicts"].get(code)
    return verdict is not None and verdict["verdict"] == "finding"


def status(entry: Json, findings: Sequence[Json]) -> str:
    """Name what became of a subject: its worst severity, ok, partly checked, or skipped; empty if not judged.

    Where nothing is said of its findings, they are suppressed, or known from the baseline.

    >>> verdicts = {"UP101": {"verdict": "skipped"}, "UP102": {"verdict": "ok"}}
    >>> status({"skipped": None, "verdicts": verdicts}, [])
    'partly checked'
    >>> verdicts["UP101"]["aside"] = True
    >>> status({"skipped": None, "verdicts": verdicts}, [])
    'ok'
    """
    found = {finding["severity"] for finding in findings}
    worst = next((severity for severity in SEVERITIES if severity in found), None)
    if worst is not None:
        return worst
    silent = [each for each in entry["verdicts"].values() if each["verdict"] == "finding"]
    if silent:
        return "suppressed" if all("suppressed" in each for each in silent) else "known"
    verdicts = {each["verdict"] for each in entry["verdicts"].values()}
    if entry.get("skipped") is not None or verdicts == {"skipped"}:
        return "skipped"
    if not verdicts:
        return ""
    left_out = [each for each in entry["verdicts"].values() if each["verdict"] == "skipped"]
    return "ok" if all(each.get("aside") for each in left_out) else "partly checked"
