"""What every program's training has in common becomes words."""

__all__ = ["PRECISIONS", "counted"]

PRECISIONS = {
    "32-true": "float32",
    "64-true": "float64",
    "bf16-mixed": "bfloat16, the weights and the losses in float32",
    "16-mixed": "float16, the weights and the losses in float32",
    "bf16-true": "bfloat16",
}


def counted(number: int, word: str) -> str:
    """A number and what it counts.

    >>> counted(1, "step"), counted(1200, "step")
    ('1 step', '1,200 steps')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"
