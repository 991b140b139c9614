"""The words for a device and a precision become what this machine has, or are refused."""

import re
from pathlib import Path
from typing import Literal

import torch

from upstroke.errors import OptionError
from upstroke.train.plan import Precision

__all__ = ["PrecisionWord", "check_device", "device_for", "precision_for"]

PrecisionWord = Literal["auto", "32", "bf16", "16"]
NAMES: dict[str, Precision] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def precision_for(word: PrecisionWord, device: str) -> Precision:
    """What a run computes in, as `fit` names it; "auto" takes bf16 where there are instructions for it.

    >>> precision_for("32", "cpu"), precision_for("bf16", "cpu")
    ('32-true', 'bf16-mixed')
    """
    if word != "auto":
        return NAMES[word]
    kind = device_for(device)
    if kind.startswith("cuda"):
        has_it = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = kind == "cpu" and _processor_has_bf16()
    return "bf16-mixed" if has_it else "32-true"


def device_for(word: str) -> str:
    """What "auto" stands for on this machine; any other word itself.

    >>> device_for("cpu")
    'cpu'
    """
    if word != "auto":
        return word
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str, precision: PrecisionWord) -> None:
    """Refuse before files are read a device that is not there, and bits that it does not compute in.

    Raises:
        OptionError: the device is not there, or has no such precision.
    """
    has_cuda = torch.cuda.is_available()
    if device.partition(":")[0] == "cuda" and not has_cuda:
        msg = f"device must be one that this machine has; got {device} and there is no GPU; choose cpu"
        raise OptionError(msg)
    if device != "auto":
        try:
            torch.device(device)
        except RuntimeError as error:
            msg = f"device must be auto, cpu, cuda, mps or cuda:1; got {device!r}; choose one"
            raise OptionError(msg) from error
    if precision == "16" and (device == "cpu" or (device == "auto" and not has_cuda)):
        msg = "precision 16 needs a GPU; got 16 on the CPU; choose bf16 or 32"
        raise OptionError(msg)


def _processor_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16: without instructions for it, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None
