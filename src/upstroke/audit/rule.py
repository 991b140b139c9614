"""Define a rule, its verdict on a site, and the table that rules enter by being imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from upstroke.audit.reading import Reading
from upstroke.errors import OptionError

__all__ = ["RULES", "SEVERITIES", "Rule", "Severity", "Verdict", "chosen", "rule"]

Severity = Literal["note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a rule says of a site.

    Attributes:
        kind: "ok", "finding", or "skipped" where the site could not be read.
        words: why, in one sentence without a full stop.
        measure: the number behind it in the rule's unit; None where there is none.
        severity: of a finding, where it is not the rule's own.
        note: whether the words of an ok verdict are worth a reader's time.
    """

    kind: Literal["ok", "finding", "skipped"]
    words: str
    measure: float | None = None
    severity: Severity | None = None
    note: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that is checked at every site.

    Attributes:
        code: by which it is selected and explained.
        title: what it finds, in a few words.
        severity: of its findings.
        threshold: of its measure, in `unit`.
        unit: of its measure.
        reason: why the threshold lies where it does.
        remedy: what to do about a finding.
        reads_steps: whether the rule needs the layer's settings alone, so that it can judge a layer that no
            operator describes.
        judge: the rule itself.
    """

    code: str
    title: str
    severity: Severity
    threshold: float
    unit: str
    reason: str
    remedy: str
    reads_steps: bool
    judge: Callable[[Reading], Verdict]


_RULES: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = MappingProxyType(_RULES)


def rule(
    code: str,
    title: str,
    *,
    severity: Severity,
    threshold: float,
    unit: str,
    reason: str,
    remedy: str,
    reads_steps: bool = False,
) -> Callable[[Callable[[Reading], Verdict]], Callable[[Reading], Verdict]]:
    """Enter a function from a site's reading to a verdict into the table of rules."""

    def enter(judge: Callable[[Reading], Verdict]) -> Callable[[Reading], Verdict]:
        _RULES[code] = Rule(
            code=code,
            title=title,
            severity=severity,
            threshold=threshold,
            unit=unit,
            reason=reason,
            remedy=remedy,
            reads_steps=reads_steps,
            judge=judge,
        )
        return judge

    return enter


def chosen(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules whose code starts as one of `select` does (all if there are none) and as none of `ignore`.

    Raises:
        OptionError: a code is the beginning of no rule's, or no rule is left.
    """
    for code in (*select, *ignore):
        if not code or not any(known.startswith(code.upper()) for known in _RULES):
            msg = f"rules are {', '.join(sorted(_RULES))}, or what these begin with; got {code!r}"
            raise OptionError(msg)
    wanted = tuple(code.upper() for code in select) or ("",)
    unwanted = tuple(code.upper() for code in ignore)
    left = tuple(
        _RULES[code]
        for code in sorted(_RULES)
        if code.startswith(wanted) and not (unwanted and code.startswith(unwanted))
    )
    if not left:
        asked, silenced = ", ".join(select) or "all", ", ".join(ignore)
        msg = f"at least one rule must be asked; {asked} without {silenced} leaves none; ignore fewer"
        raise OptionError(msg)
    return left
