"""Turn numbers by step into metrics.csv and TensorBoard's files."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers.logger import Logger

from upstroke.errors import FileError
from upstroke.files import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["RunLog", "read_metrics"]

STEP = "step"
# Lightning's count of epochs, of which a run has one
PASSED_OVER = ("epoch",)


class RunLog(Logger):
    """One row of metrics.csv for each step at which there is something to say.

    Args:
        path: of metrics.csv; rows after `start`, of a run that was killed later, are taken away.
        start: the step from which the run goes on.
        tensorboard: the folder for TensorBoard, or None.
        is_first: whether this is the process that writes.
    """

    def __init__(self, path: Path, *, start: int, tensorboard: Path | None, is_first: bool) -> None:
        super().__init__()
        self.path, self.step, self.is_first = path, start, is_first
        self.columns: list[str] = [STEP]
        self.row: dict[str, float] = {}
        self.writer: SummaryWriter | None = None
        if is_first:
            self._go_on(start)
            if tensorboard is not None:
                self.writer = _writer(tensorboard, start)

    @property
    def name(self) -> str:
        """Of the experiment, which the folder says."""
        return ""

    @property
    def version(self) -> str:
        """Of the experiment, which the folder says."""
        return ""

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None:
        """Settings are in config.json."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add numbers to the row of the present step."""
        self.row.update({name: float(value) for name, value in metrics.items() if name not in PASSED_OVER})

    def flush(self) -> None:
        """Write the row of the present step, if there is one."""
        row, self.row = self.row, {}
        if not row or not self.is_first:
            return
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite(_rows(self.path))
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self.columns, lineterminator="\n").writerow(
                    _words({STEP: self.step, **row})
                )
            if self.writer is not None:
                for name, value in row.items():
                    self.writer.add_scalar(name, value, self.step)
        except OSError as error:
            msg = f"cannot write {self.path}: {error.strerror}; free some space, then resume the run"
            raise FileError(msg) from error

    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.flush()
        if self.writer is not None:
            self.writer.close()

    def _go_on(self, start: int) -> None:
        rows = [row for row in _rows(self.path) if int(row[STEP]) <= start]
        self.columns = list(dict.fromkeys((STEP, *(name for row in rows for name in row))))
        self._rewrite(rows)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, text.getvalue(), overwrite=True)


def _words(row: Mapping[str, int | float]) -> dict[str, str]:
    """Numbers as they are read back exactly; whole numbers without a point."""
    return {name: str(value) if isinstance(value, int) else f"{value:.9g}" for name, value in row.items()}


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows that are whole; a killed run may have left half of one."""
    if not os.path.exists(path):
        return []
    with path.open(encoding="utf-8", newline="") as file:
        head, *rest = list(csv.reader(file)) or [[]]
    whole = [row for row in rest if len(row) == len(head) and row[0].isdecimal()]
    return [dict(zip(head, row, strict=True)) for row in whole]


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    r"""The numbers of a run by name, each with its step; what a row does not say is left out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metrics.csv"
    ...     _ = path.write_text("step,loss,val_loss\n5,0.5,\n10,0.25,0.3\n")
    ...     read_metrics(path)
    {'loss': [(5, 0.5), (10, 0.25)], 'val_loss': [(10, 0.3)]}
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for row in _rows(path):
        for name, value in row.items():
            if name != STEP and value:
                found.setdefault(name, []).append((int(row[STEP]), float(value)))
    return found


def _writer(folder: Path, start: int) -> "SummaryWriter | None":
    """TensorBoard's writer where the package is there; what a killed run wrote later is passed over."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)
