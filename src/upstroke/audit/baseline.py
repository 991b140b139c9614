"""Turn the record of a check and an earlier one of the same model into what is new and what is gone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["since", "standing"]

Json = dict[str, Any]
Key = tuple[str, str, str]


def since(record: Json, earlier: Mapping[str, Any] | None) -> Json:
    """The record with only those findings that did not stand in an earlier one.

    A finding stood there if one of the same rule, at a site of the same name and kind, did: what it measures
    may have changed. Of several alike, as many stood as there were.

    Args:
        record: of the check, `upstroke.check/1`.
        earlier: such a record, which may itself have been made against another; None where the model has
            none, so that all its findings are new.

    Returns:
        The record whose `baseline` holds what stood, `known`, and what is gone, `gone`: findings that a rule
        which was asked again did not make again. A site that can no longer be read keeps its findings. Of
        every suppressed finding `new` says whether it stood nowhere there, suppressed or not.

    >>> found = {"code": "UP101", "site": "up", "kind": "transposed", "severity": "warning"}
    >>> record = {"rules": [{"code": "UP101"}], "sites": [], "findings": [found], "suppressed": [],
    ...           "summary": {"sites": 1, "errors": 0, "warnings": 1, "notes": 0, "skipped": 0}}
    >>> new = since(record, {"findings": [found, found | {"site": "gone"}]})
    >>> new["findings"], [each["site"] for each in new["baseline"]["gone"]], new["summary"]["warnings"]
    ([], ['gone'], 0)
    """
    before = [] if earlier is None else standing(earlier)
    left = Counter(map(_key, before))
    new: list[Json] = []
    known: list[Json] = []
    for finding in record["findings"]:
        if left[_key(finding)] > 0:
            left[_key(finding)] -= 1
            known.append(finding)
        else:
            new.append(finding)
    meant = left + Counter(map(_key, [] if earlier is None else earlier.get("suppressed", ())))
    suppressed: list[Json] = []
    for finding in record["suppressed"]:
        suppressed.append({**finding, "new": meant[_key(finding)] <= 0})
        meant[_key(finding)] -= 1
    left.subtract(map(_key, record["suppressed"]))
    gone = [finding for finding in _taken(before, left) if _is_asked(finding, record)]
    severities = Counter(finding["severity"] for finding in new)
    counts = {f"{severity}s": severities[severity] for severity in ("error", "warning", "note")}
    return {
        **record,
        "findings": new,
        "suppressed": suppressed,
        "baseline": {"known": known, "gone": gone},
        "summary": {**record["summary"], **counts},
    }


def standing(record: Mapping[str, Any]) -> list[Json]:
    """All findings of a record that are not suppressed, those that were known before included."""
    baseline = record.get("baseline") or {}
    return [*record["findings"], *baseline.get("known", ())]


def _key(finding: Mapping[str, Any]) -> Key:
    return finding["code"], finding["site"], finding["kind"]


def _taken(findings: Iterable[Json], left: Counter[Key]) -> list[Json]:
    """As many of the findings as are left of each key, the last ones."""
    taken = []
    for finding in reversed(list(findings)):
        if left[_key(finding)] > 0:
            left[_key(finding)] -= 1
            taken.append(finding)
    return taken[::-1]


def _is_asked(finding: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether the rule was asked again, and could judge the site if it is still there."""
    verdicts = (
        subject["verdicts"].get(finding["code"])
        for part in ("sites", "joins", "reductions", "outputs")
        for subject in record.get(part, ())
        if subject["name"] == finding["site"]
    )
    is_read = not any(verdict is not None and verdict["verdict"] == "skipped" for verdict in verdicts)
    return is_read and any(rule["code"] == finding["code"] for rule in record["rules"])
