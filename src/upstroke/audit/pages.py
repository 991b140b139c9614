"""Turn the code of a rule into the page that explains it."""

from pathlib import Path

from upstroke.audit.rule import RULES
from upstroke.errors import FileError, OptionError

__all__ = ["page_of"]

# Beside this file where the package is installed, in docs/ where it runs from the repository.
PLACES = (Path(__file__).parent / "pages", Path(__file__).parents[3] / "docs" / "rules")


def page_of(code: str) -> str:
    """The page of a rule, in Markdown.

    Raises:
        OptionError: there is no such rule.
        FileError: the installation lacks its page.

    >>> page_of("up101").splitlines()[0]
    '# UP101: uneven overlap'
    """
    known = code.upper()
    if known not in RULES:
        msg = f"there is no rule {code!r}; rules are {', '.join(sorted(RULES))}"
        raise OptionError(msg)
    for place in PLACES:
        path = place / f"{known}.md"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    msg = f"the page of {known} should be at {PLACES[0]}; install upstroke again"
    raise FileError(msg)
