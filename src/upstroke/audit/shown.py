"""Turn a report into what a reader sees of it: text, a page, a table."""

import shutil
from typing import TYPE_CHECKING, Any

from upstroke.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of", "framed", "page_of_record", "text_of_record"]

Json = dict[str, Any]
COLUMNS = (
    "site",
    "kind",
    "code",
    "title",
    "verdict",
    "severity",
    "measure",
    "unit",
    "threshold",
    "words",
    "suppressed",
)


def text_of_record(record: Json, *, width: int | None = None, verbose: bool = False) -> str:
    """The text that `upstroke check` prints, as wide as the terminal unless told otherwise."""
    from upstroke.report.check_text import check_text

    columns = shutil.get_terminal_size(fallback=(100, 24)).columns if width is None else width
    return check_text(record, width=columns, verbose=verbose)


def page_of_record(record: Json) -> str:
    """The page that `upstroke check --format html` writes."""
    from upstroke.report.check_page import check_page

    return check_page(record)


def framed(page: str) -> str:
    """A page as a part of another one, in which neither changes how the other looks.

    >>> framed("<p>a & b").split(" sandbox ")[1]
    'srcdoc="&lt;p&gt;a &amp; b"></iframe>'
    """
    # here, so that the front door does not load its table of entities
    import html

    style = "width: 100%; height: 36em; border: 1px solid #8888; resize: vertical"
    return f'<iframe style="{style}" sandbox srcdoc="{html.escape(page)}"></iframe>'


def frame_of(subjects: list[tuple[str, str, Json]], record: Json) -> "pd.DataFrame":
    """One row for each verdict: what was judged, by which rule, and what the rule said.

    Args:
        subjects: name and kind of what was judged, and the verdicts on it by code.
        record: that says which rules there are.
    """
    try:
        import pandas as pd
    except ImportError as error:
        msg = "a report becomes a table through pandas, which is not installed; pip install pandas"
        raise MissingExtraError(msg) from error
    rules = {rule["code"]: rule for rule in record["rules"]}
    rows = [
        {
            **verdict,
            "site": name,
            "kind": kind,
            "code": code,
            "title": rules[code]["title"],
            "threshold": rules[code]["threshold"],
        }
        for name, kind, verdicts in subjects
        for code, verdict in verdicts.items()
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"measure": float, "threshold": float})
