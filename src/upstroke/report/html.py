"""Turn a template and plain data into one self-contained HTML page, in which nothing comes out unescaped."""

from collections.abc import Mapping
from typing import Any

__all__ = ["page", "visible"]

# What is shown where a record has no value.
NOTHING = "–"


def page(template: str, data: Mapping[str, Any]) -> str:
    """Fill a template of this room with plain data.

    Every value is escaped, whatever it is; a name without a value raises instead of coming out empty; null
    is a dash. The pages load nothing: style and figures stand in them, and they run no scripts.

    Args:
        template: the name of a file in `templates`, which extends `page.html`.
        data: plain data under the names that the template uses.
    """
    # here, so that the front door does not load it
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("upstroke.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(data)


def visible(text: str) -> str:
    r"""Write as escapes what is invisible, moves the cursor or turns the direction of the text.

    >>> visible("up\x1b[31m\n[red]")
    'up\\x1b[31m\\n[red]'
    >>> visible("a\u202eb\udcff")
    'a\\u202eb\\xff'
    """
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    # Python keeps a byte b that is no UTF-8 as the character 0xdc00 + b
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(character)[1:-1]


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a template writes
    if value is None:
        return NOTHING
    # a subclass of str is text that a template has escaped already
    return visible(value) if type(value) is str else value
