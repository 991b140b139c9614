"""Turn a command line in which an option may stand without its value into one in which it has it."""

from collections.abc import Collection, Sequence

__all__ = ["with_value"]


def with_value(words: Sequence[str], option: str, *, default: str, values: Collection[str]) -> list[str]:
    """Give an option that is followed by none of its values the default, so that it takes no other word.

    Words behind `--`, which are no options, stay as they are.

    >>> with_value(["--probe", "model.onnx"], "--probe", default="values", values={"values", "all"})
    ['--probe=values', 'model.onnx']
    >>> with_value(["--probe", "all", "model.onnx"], "--probe", default="values", values={"values", "all"})
    ['--probe=all', 'model.onnx']
    """
    made: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*made, word, *rest]
        if word == option:
            word = f"{option}={rest.pop(0) if rest and rest[0] in values else default}"
        made.append(word)
    return made
