"""The verb `rules`: the table of rules becomes text or JSON."""

from typing import Any

from upstroke.cli.options import Format, Output, Overwrite, Quiet, refuse_existing
from upstroke.cli.output import deliver, json_text, page_for

__all__ = ["rules"]

FACTS = ("code", "title", "severity", "threshold", "unit", "reason", "remedy", "fix", "conserves")


def rules(
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """List the rules of `upstroke check`: what each finds, how it weighs, and from where on it is a finding.

    upstroke rules --format json
    """
    refuse_existing(output, overwrite=overwrite)
    from upstroke.audit import RULES
    from upstroke.report.rule_text import rules_table

    record: dict[str, Any] = {
        "schema": "upstroke.rules/1",
        "rules": [{name: getattr(RULES[code], name) for name in FACTS} for code in sorted(RULES)],
    }
    page = page_for(output)
    text = json_text(record) if form == "json" else rules_table(record, width=page.width, colour=page.colour)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet)
