"""Turn a run folder into the record that its page shows."""

import base64
from typing import Any, Literal

from upstroke.train.folder import RunFolder, read_config
from upstroke.train.log import read_metrics

__all__ = ["State", "training_record"]

SCHEMA = "upstroke.training/1"
State = Literal["finished", "early", "stopped", "failed"]


def training_record(
    folder: RunFolder, *, state: State, step: int, best: float | None, best_step: int | None, seconds: float
) -> dict[str, Any]:
    """Plain data: how the run began and ended, all numbers by step, the last picture of each name."""
    series = read_metrics(folder.metrics)
    return {
        "schema": SCHEMA,
        "name": folder.path.resolve().name,
        "config": read_config(folder.path),
        "state": state,
        "step": step,
        "best": best,
        "best_step": best_step,
        "seconds": seconds,
        "series": {name: [list(each) for each in pairs] for name, pairs in series.items()},
        "pictures": _pictures(folder),
    }


def _pictures(folder: RunFolder) -> list[dict[str, Any]]:
    latest = {}
    for path in sorted(folder.pictures.glob("*.png")):
        name, _, step = path.stem.rpartition("-")
        caption = folder.pictures / f"{name}.txt"
        latest[name] = {
            "name": name,
            "step": int(step),
            "caption": caption.read_text(encoding="utf-8") if caption.exists() else "",
            "png": base64.b64encode(path.read_bytes()).decode(),
        }
    return list(latest.values())
