"""Turn the options of a run into a plan in which every one of them has a meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from upstroke.errors import OptionError

__all__ = ["Mode", "Plan", "Precision", "plan_for"]

Mode = Literal["min", "max"]
Precision = Literal["32-true", "64-true", "16-mixed", "bf16-mixed", "bf16-true"]
# Validations of a run, and rows of numbers between two of them, where nobody says how many.
VALIDATIONS, ROWS = 20, 10
KINDS = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to do, when, and where.

    Attributes:
        steps: of the whole run.
        every: steps between validations, and between checkpoints.
        patience: validations without a new best after which training stops, or None.
        monitor: the number that says which validation is best, or None without validation.
        mode: whether it is best when least or when largest.
        log_every: steps between rows of numbers.
        seed: of everything that is drawn.
        precision: as Lightning names it.
        device: "auto", "cpu", "cuda", "mps", or one of several as "cuda:1".
        devices: processes, each on a device of its own.
        workers: processes that make batches ahead.
        clip: the largest norm of the gradients, or None.
    """

    steps: int
    every: int
    patience: int | None
    monitor: str | None
    mode: Mode
    log_every: int
    seed: int
    precision: Precision
    device: str
    devices: int
    workers: int
    clip: float | None

    def kept(self) -> Mapping[str, Any]:
        """What a resumed run must share, because the weights depend on it."""
        names = ("every", "patience", "monitor", "mode", "precision", "devices", "clip")
        return {name: getattr(self, name) for name in names}


def plan_for(
    *,
    steps: int,
    every: int | None,
    patience: int | None,
    monitor: str | None,
    mode: Mode,
    log_every: int | None,
    seed: int,
    precision: Precision,
    device: str,
    devices: int,
    workers: int,
    clip: float | None,
) -> Plan:
    """Fill in what nobody said, and see that the rest can be.

    Raises:
        OptionError: a number is too small, or a device has no such name.
    """
    _at_least(1, steps=steps, every=every, patience=patience, log_every=log_every, devices=devices)
    _at_least(0, workers=workers, seed=seed)
    every = max(1, steps // VALIDATIONS) if every is None else every
    kind, colon, number = device.partition(":")
    if kind not in KINDS or (colon and not number.isdecimal()):
        msg = f"a device is one of {', '.join(KINDS)}, or cuda:1 for the second of several; got {device!r}"
        raise OptionError(msg)
    if number and devices > 1:
        msg = f"several processes take a device each; got devices {devices} on {device}; name no number"
        raise OptionError(msg)
    if clip is not None and not clip > 0:
        msg = f"clip is the largest norm that gradients may have, above 0; got {clip}; leave it out for none"
        raise OptionError(msg)
    return Plan(
        steps=steps,
        every=every,
        patience=patience,
        monitor=monitor,
        mode=mode,
        log_every=max(1, every // ROWS) if log_every is None else log_every,
        seed=seed,
        precision=precision,
        device=device,
        devices=devices,
        workers=workers,
        clip=clip,
    )


def _at_least(least: int, **numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < least:
            msg = f"{name} must be a whole number of at least {least}; got {value}"
            raise OptionError(msg)
