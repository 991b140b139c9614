"""Turn the record of a training run into one self-contained HTML page."""

import json
from typing import Any

from upstroke.report.check_sections import badge
from upstroke.report.html import page
from upstroke.report.inspect_text import figures
from upstroke.report.svg_lines import line_chart

__all__ = ["training_page"]

Json = dict[str, Any]
# Whether a run that ended so is as it should be, and the words for it.
STATES = {
    "finished": ("ok", "Finished after {step} steps"),
    "early": ("ok", "Finished early after {step} of {steps} steps, because validation got no better"),
    "stopped": ("warning", "Stopped after {step} of {steps} steps; it can be resumed"),
    "failed": ("error", "Broken off at step {step} of {steps}, where a number became NaN or infinite"),
}
# Of a setting that is longer, such as the names of all cases, so many characters are shown.
SHOWN = 400
# What is a time and not a measure of training.
TIMES = ("seconds",)
TRAINED, HELD_OUT = "", "val_"


def training_page(record: Json) -> str:
    """Write an `upstroke.training/1` record as an HTML page that needs nothing beside it."""
    config = record["config"]
    kind, words = STATES[record["state"]]
    return page(
        "training.html",
        {
            "title": f"{record['name']} – upstroke training",
            "name": record["name"],
            "state": badge(kind),
            "verdict": f"{words.format(step=record['step'], steps=config['steps'])}{_best(record)}.",
            "where": f"{config['task']}, in {_time(record['seconds'])}.",
            "facts": [("Command", " ".join(config["command"])), ("Seed", str(config["seed"]))],
            "charts": list(_charts(record)),
            "pictures": record["pictures"],
            "settings": [(name, _plain(value)) for name, value in config["settings"].items()],
            "harness": [(name, _plain(value)) for name, value in config["fit"].items()],
            "versions": list(config["versions"].items()),
            "schema": record["schema"],
            "version": config["versions"]["upstroke"],
        },
    )


def _best(record: Json) -> str:
    if record["best"] is None:
        return ""
    monitor = record["config"]["fit"]["monitor"]
    return f"; {monitor} was best, {figures(record['best'], 4)}, after step {record['best_step']}"


def _charts(record: Json) -> list[Json]:
    """One chart for each number; what is validated stands on that of the same number in training."""
    series = {name: points for name, points in record["series"].items() if name not in TIMES}
    monitor = record["config"]["fit"]["monitor"]
    charts = []
    for name in sorted(series, key=lambda each: (HELD_OUT + each != monitor, each != monitor, each)):
        if name.startswith(HELD_OUT) and name.removeprefix(HELD_OUT) in series:
            continue
        names = [name, *([HELD_OUT + name] if HELD_OUT + name in series else [])]
        is_best = monitor in names and record["best"] is not None
        drawing = line_chart(
            [(each, [(step, value) for step, value in series[each]]) for each in names],
            marked=(record["best_step"], record["best"]) if is_best else None,
            mark_words=f"best {figures(record['best'], 3)} after step {record['best_step']}"
            if is_best
            else "",
        )
        if drawing is not None:
            words = f"{drawing.label}{'; the ring is the best' if is_best else ''}."
            charts.append({"head": " and ".join(names), "words": words, "panel": drawing})
    return charts


def _time(seconds: int | float) -> str:
    """Words for a duration.

    >>> _time(0.25), _time(75), _time(7300)
    ('0.25 seconds', '1 minute 15 seconds', '2 hours 1 minute')
    """
    if seconds < 60:
        return f"{figures(seconds, 2)} seconds"
    units = (("hour", 3600), ("minute", 60), ("second", 1))
    left, words = round(seconds), []
    for name, size in units:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {name}{'s' if count != 1 else ''}")
    return " ".join(words[:2])


def _plain(value: Any) -> str:  # noqa: ANN401 - plain data
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(words) <= SHOWN:
        return words
    return f"{words[:SHOWN]} … and {len(words) - SHOWN:,} characters more, in config.json"
