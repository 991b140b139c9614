"""Turn the record of an exported generator into text for a terminal."""

from typing import Any

from rich.text import Text

from upstroke.report.html import visible
from upstroke.report.page import say, written

__all__ = ["generate_exported_text"]


def generate_exported_text(record: dict[str, Any], *, width: int = 100, colour: bool = False) -> str:
    """Write an `upstroke.generate-export/1` record as text.

    >>> compared = [{"batch": 1, "difference": 2e-7}, {"batch": 3, "difference": 1e-7}]
    >>> file = {"target": "m.onnx", "kind": "onnx", "opset": 18, "bytes": 2_000_000, "parameters": 499_000}
    >>> file |= {"latent": 100, "picture": [3, 64, 64], "compared": compared}
    >>> print(generate_exported_text(file), end="")
    m.onnx: 2.0 MB, 499,000 parameters, opset 18
      from 100 numbers to 64x64 pixels in 3 channels, from -1 to 1
      as the run draws them for 1 and 3 latent vectors at a time, to 2e-07 of the largest value
    """
    channels, *size = record["picture"]
    *batches, last = (str(each["batch"]) for each in record["compared"])
    worst = max(each["difference"] for each in record["compared"])
    opset = "" if record["opset"] is None else f", opset {record['opset']}"
    head = f": {record['bytes'] / 1e6:.1f} MB, {record['parameters']:,} parameters{opset}"
    pixels = f"{'x'.join(map(str, size))} pixels in {channels} channel{'s' * (channels != 1)}"
    counts = f"{', '.join(batches)} and {last}"
    how = "exactly" if worst == 0 else f"to {worst:.1g} of the largest value"

    def write(console: Any) -> None:  # noqa: ANN401 - rich's console
        say(console, "", Text.assemble((visible(record["target"]), "bold"), head), hang=2)
        say(console, "  ", Text(f"from {record['latent']} numbers to {pixels}, from -1 to 1"), hang=4)
        words = f"as the run draws them for {counts} latent vectors at a time, {how}"
        say(console, "  ", Text(words), hang=4)

    return written(write, width=width, colour=colour)
