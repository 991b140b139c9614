"""Define a rule, its verdict on what it judges, and the table that rules enter by being imported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from upstroke.audit.reading import Reading
from upstroke.audit.subjects import JoinReading, ModelReading, OutputReading, ReductionReading
from upstroke.errors import OptionError

__all__ = ["RULES", "SEVERITIES", "Rule", "Severity", "Subject", "Verdict", "chosen", "rule"]

# What rules judge: an upsampling site, a join, an operation that makes maps smaller, an output, the model.
Subject = Reading | JoinReading | ReductionReading | OutputReading | ModelReading
S = TypeVar("S", bound=Subject)

Severity = Literal["note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a rule says of one subject.

    Attributes:
        kind: "ok", "finding", or "skipped" where the subject could not be read.
        words: why, in one sentence without a full stop.
        measure: the number behind it in the rule's unit; None where there is none.
        severity: of a finding, where it is not the rule's own.
        note: whether the words of an ok verdict are worth a reader's time.
        aside: whether a subject that was skipped here counts as judged all the same: the rule looks things up
            that are known of few subjects, and says nothing of what is right or wrong with the others.
        fix: what `upstroke fix` would do about a finding, where it is not that of the rule.
    """

    kind: Literal["ok", "finding", "skipped"]
    words: str
    measure: float | None = None
    severity: Severity | None = None
    note: bool = False
    aside: bool = False
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that is checked at every subject of its kind.

    Attributes:
        code: by which it is selected and explained.
        of: the type of what it judges.
        title: what it finds, in a few words.
        severity: of its findings.
        threshold: of its measure, in `unit`.
        unit: of its measure.
        reason: why the threshold lies where it does.
        remedy: what to do about a finding.
        fix: what `upstroke fix` would do about it, beginning with "exact: " where the model computes what it
            did and with "repair: " where it does not; empty where nothing can be done.
        reads_steps: whether the rule needs the layer's settings alone, so that it can judge a layer that no
            operator describes.
        conserves: whether it is asked only of models that promise to conserve what comes in.
        judge: the rule itself.
    """

    code: str
    of: type[Any]
    title: str
    severity: Severity
    threshold: float
    unit: str
    reason: str
    remedy: str
    fix: str
    reads_steps: bool
    conserves: bool
    judge: Callable[[Any], Verdict]


_RULES: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = MappingProxyType(_RULES)


def rule(
    code: str,
    title: str,
    of: type[S],
    *,
    severity: Severity,
    threshold: float,
    unit: str,
    reason: str,
    remedy: str,
    fix: str = "",
    reads_steps: bool = False,
    conserves: bool = False,
) -> Callable[[Callable[[S], Verdict]], Callable[[S], Verdict]]:
    """Enter a function from a subject's reading to a verdict into the table of rules."""

    def enter(judge: Callable[[S], Verdict]) -> Callable[[S], Verdict]:
        _RULES[code] = Rule(
            code=code,
            of=of,
            title=title,
            severity=severity,
            threshold=threshold,
            unit=unit,
            reason=reason,
            remedy=remedy,
            fix=fix,
            reads_steps=reads_steps,
            conserves=conserves,
            judge=judge,
        )
        return judge

    return enter


def chosen(
    select: str | Sequence[str] = (), ignore: str | Sequence[str] = (), *, conserve: bool = False
) -> tuple[Rule, ...]:
    """The rules whose code starts as one of `select` does (all if there are none) and as none of `ignore`.

    One code may stand for a sequence of one.

    Rules about conservation are asked with `conserve`, or where `select` names them.

    Raises:
        OptionError: a code is the beginning of no rule's, or no rule is left.
    """
    # a string is a sequence of letters, and never meant as one
    select = (select,) if isinstance(select, str) else select
    ignore = (ignore,) if isinstance(ignore, str) else ignore
    for code in (*select, *ignore):
        if not code or not any(known.startswith(code.upper()) for known in _RULES):
            msg = f"rules are {', '.join(sorted(_RULES))}, or what these begin with; got {code!r}"
            raise OptionError(msg)
    wanted = tuple(code.upper() for code in select) or ("",)
    unwanted = tuple(code.upper() for code in ignore)
    left = tuple(
        _RULES[code]
        for code in sorted(_RULES)
        if code.startswith(wanted)
        and not (unwanted and code.startswith(unwanted))
        and (conserve or select or not _RULES[code].conserves)
    )
    if not left:
        asked, silenced = ", ".join(select) or "all", ", ".join(ignore)
        msg = f"at least one rule must be asked; {asked} without {silenced} leaves none; ignore fewer"
        raise OptionError(msg)
    return left
