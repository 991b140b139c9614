"""Turn the page of a rule, or the list of all rules, into text for a terminal."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions
from rich.markdown import CodeBlock, Heading, Markdown
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from upstroke.report.check_words import measured
from upstroke.report.page import written

__all__ = ["LOCAL_LINK", "rule_text", "rules_table", "rules_text"]

Json = dict[str, Any]
WIDEST = 100
# no backgrounds, which would suit dark terminals only
THEME = Theme({"markdown.code": "cyan", "markdown.h1": "bold", "markdown.h2": "bold"})
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
# a page beside this one, which a terminal cannot follow
LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+://)[^)]*\)")


class _Heading(Heading):
    """A heading at the left, bold and without a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        self.text.justify = "default"
        yield self.text


class _Code(CodeBlock):
    """Code as it is, four blanks in, whose lines are not broken."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for line in str(self.text).rstrip().splitlines():
            yield Text(f"    {line}", no_wrap=True, overflow="ignore")


class _Page(Markdown):
    elements: ClassVar = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
    }


def rule_text(markdown: str, *, width: int = WIDEST, colour: bool = False) -> str:
    r"""Write the page of a rule at most 100 columns wide.

    >>> print(rule_text("# UP9: a rule\n\nSee [another](UP8.md).\n"), end="")
    UP9: a rule
    <BLANKLINE>
    See another.
    """
    page = _Page(LOCAL_LINK.sub(r"\1", markdown), hyperlinks=False)

    def write(console: Console) -> None:
        with console.use_theme(THEME):
            console.print(page, crop=False)

    return written(write, width=min(width, WIDEST), colour=colour).lstrip("\n")


def rules_text(record: Json, *, width: int = WIDEST, colour: bool = False) -> str:
    """Write the rules of an `upstroke.explain/1` record, one a line: code, severity, what must hold."""

    def write(console: Console) -> None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for rule in record["rules"]:
            severity = Text(rule["severity"], style=COLOURS.get(rule["severity"], ""))
            table.add_row(Text(rule["code"], style="bold"), severity, Text(rule["title"]))
        console.print(table)
        console.print()
        console.print(Text("upstroke explain CODE says more"))

    return written(write, width=min(width, WIDEST), colour=colour)


def rules_table(record: Json, *, width: int = WIDEST, colour: bool = False) -> str:
    """Write an `upstroke.rules/1` record: of each rule what it finds, how it weighs and from where on."""

    def write(console: Console) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for heading in ("code", "severity", "finds", "threshold"):
            table.add_column(heading)
        for rule in record["rules"]:
            severity = Text(rule["severity"], style=COLOURS.get(rule["severity"], ""))
            asked = " (with --conserve)" if rule["conserves"] else ""
            threshold = measured(rule["threshold"], rule["unit"])
            table.add_row(
                Text(rule["code"], style="bold"), severity, Text(f"{rule['title']}{asked}"), Text(threshold)
            )
        console.print(table)
        console.print()
        console.print(Text("upstroke explain CODE says more"))

    return written(write, width=min(width, WIDEST), colour=colour)
