"""Turn the record of an exported network into text for a terminal."""

from typing import Any

from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["segment_exported_text"]


def segment_exported_text(record: dict[str, Any], *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.segment-export/1` record as text.

    >>> compared = [{"size": [17, 17], "output": [17, 17], "difference": 2e-7}]
    >>> file = {"target": "m.onnx", "opset": 18, "bytes": 2_000_000, "least": [17, 17]}
    >>> print(segment_exported_text({**file, "compared": compared}), end="")
    m.onnx: 2.0 MB, opset 18, any size from 17x17 up
      as PyTorch at 17x17, to 2e-07 of the largest logit
    """
    sizes = ["x".join(map(str, each["size"])) for each in record["compared"]]
    least = "x".join(map(str, record["least"]))
    worst = max(each["difference"] for each in record["compared"])
    head = f": {record['bytes'] / 1e6:.1f} MB, opset {record['opset']}, any size from {least} up"

    def write(console: Any) -> None:  # noqa: ANN401 - rich's console
        say(console, "", Text.assemble((visible(record["target"]), "bold"), head), hang=2)
        words = f"as PyTorch at {', '.join(sizes)}, to {worst:.1g} of the largest logit"
        say(console, "  ", Text(words), hang=4)

    return written(write, width=width, colour=colour)
