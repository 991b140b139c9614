"""The verb `explain`: the code of a rule becomes the page that says what it finds and what to do."""

from typing import Annotated, Any

import typer

from upstroke.cli.options import Format, Output, Overwrite, Quiet, refuse_existing
from upstroke.cli.output import deliver, json_text, page_for

__all__ = ["explain"]


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="A rule, such as UP102 (default: list all).")
    ] = None,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Explain a rule of `upstroke check`, or list them all.

    upstroke explain UP102
    """
    refuse_existing(output, overwrite=overwrite)
    from upstroke.report.rule_text import rule_text, rules_text

    record = _all_rules() if code is None else _one_rule(code)
    page = page_for(output)
    if form == "json":
        text = json_text(record)
    elif code is None:
        text = rules_text(record, width=page.width, colour=page.colour)
    else:
        text = rule_text(record["page"], width=page.width, colour=page.colour)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet)


def _one_rule(code: str) -> dict[str, Any]:
    from upstroke.audit import RULES, page_of

    page = page_of(code)
    return {"schema": "upstroke.explain/1", **_facts(RULES[code.upper()]), "page": page}


def _all_rules() -> dict[str, Any]:
    from upstroke.audit import RULES

    return {"schema": "upstroke.explain/1", "rules": [_facts(RULES[code]) for code in sorted(RULES)]}


def _facts(rule: Any) -> dict[str, Any]:  # noqa: ANN401 - audit is not loaded before it is needed
    return {
        name: getattr(rule, name) for name in ("code", "title", "severity", "threshold", "unit", "reason")
    }
