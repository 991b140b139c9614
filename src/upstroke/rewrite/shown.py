"""Turn the record of a fix into what a reader sees of it: text, a page."""

import shutil
from typing import Any

__all__ = ["page_of_record", "text_of_record"]

Json = dict[str, Any]


def text_of_record(record: Json, *, width: int | None = None, verbose: bool = False) -> str:
    """The text that `upstroke fix` prints, as wide as the terminal unless told otherwise."""
    from upstroke.report.fix_text import fix_text

    columns = shutil.get_terminal_size(fallback=(100, 24)).columns if width is None else width
    return fix_text(record, width=columns, verbose=verbose)


def page_of_record(record: Json) -> str:
    """The page that `upstroke fix --format html` writes."""
    from upstroke.report.fix_page import fix_page

    return fix_page(record)
