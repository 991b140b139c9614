"""Turn the record of an evaluated segmentation into a table of comma-separated values (RFC 4180)."""

import csv
import io
from typing import Any

__all__ = ["segment_csv"]

Json = dict[str, Any]
HEADS = (
    "case", "group", "class", "value", "presence", "dice", "iou", "hausdorff95", "boundary", "unit",
    "true_voxels", "predicted_voxels", "common_voxels", "true_volume", "predicted_volume", "volume_error",
)  # fmt: skip


def segment_csv(record: Json) -> str:
    """Write a row for each case and class of an `upstroke.segment-evaluate/1` record, the worst first.

    What there is not, such as the distance to an outline that was missed, is an empty field. Volumes are in
    the unit to the power of as many axes as images have.
    """
    values = {each["number"]: each["value"] for each in record["classes"]}
    rows = [(case, part) for case in record["cases"] for part in case["scores"]]
    rows.sort(key=lambda row: _rank(*row))
    out = io.StringIO()
    # numbers as Python writes them come back bit for bit
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(HEADS)
    for case, part in rows:
        table.writerow(
            [case["name"], case["group"], part["name"], values[part["number"]], part["presence"]]
            + [part[key] for key in ("dice", "iou", "hausdorff95", "boundary")]
            + [case["unit"], part["true"], part["predicted"], part["common"]]
            + [part[key] for key in ("true_volume", "predicted_volume", "volume_error")]
        )
    return out.getvalue()


def _rank(case: Json, part: Json) -> tuple[bool, float, float, str, int]:
    far = part["hausdorff95"] or 0.0
    return part["dice"] is None, part["dice"] or 0.0, -far, case["name"], part["number"]
