"""Make records of checked models as a check writes them, for the tests of what is shown of them."""

CODES = {
    "UP101": ("warning", 0, "taps apart"),
    "UP102": ("error", -40.0, "dB"),
    "UP202": ("note", 0, "pixels of its input"),
}
TITLES = {
    "UP101": "uneven overlap",
    "UP102": "unbalanced phases",
    "UP202": "grid that depends on the size",
}
WORDS = {
    "transposed": "transposed convolution k3 s2, 8 → 4 channels",
    "resize": "nearest resize ×2",
    "shuffle": "pixel shuffle ×2",
    "unread": "acme::Grow",
}
REMEDY = "make it balanced"

TAPS = {1: [1, 2], 2: [[1, 2, 1], [2, 4, 2]], 3: [[[1, 2], [2, 4], [0, 1]], [[2, 4], [4, 8], [1, 1]]]}
GAINS = {
    1: [0.25, 1.0],
    2: [[0.25, 1.0, 0.5], [-0.5, 0.75, 0.125]],
    3: [[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [[0.9, 0.8], [0.7, 0.6], [0.5, 0.4]]],
}
SCALES = {1: [2], 2: [2, 3], 3: [2, 3, 2]}


def ok(words, *, note=False, measure=None, unit=""):
    return {"verdict": "ok", "measure": measure, "unit": unit, "words": words, "note": note}


def found(words, code, *, measure=-6.25):
    severity, _, unit = CODES[code]
    return {
        "verdict": "finding", "severity": severity, "measure": measure, "unit": unit, "words": words, "note": False,
    }  # fmt: skip


def passed_over(words):
    return {"verdict": "skipped", "measure": None, "unit": "", "words": words, "note": False}


def site(name, kind, verdicts, *, axes=2, skipped=None, known=True, **changes):
    """A site with numbers on as many axes; without any where they are not known."""
    scale = SCALES[axes]
    sizes = [4 + axis for axis in range(axes)]
    fields = {
        "name": name, "operator": "Op", "kind": kind, "words": WORDS[kind],
        "scale": scale, "kernel": [3] * axes, "in_channels": 8, "out_channels": 4,
        "size_in": sizes, "size_out": [s * n for s, n in zip(scale, sizes, strict=True)],
        "coverage": TAPS[axes], "image_gain_db": -6.25, "chain_image_gain_db": -7.5, "bias_db": -33.0,
        "pattern": {"gain": GAINS[axes], "out": 3, "in": 1}, "strang_fix_order": 0,
        "grid": {
            "offset": [0.0] * axes, "spacing": [1 / s for s in scale],
            "exact": {"offset": ["0"] * axes, "spacing": [f"1/{s}" for s in scale]},
        },
        "trained": True, "chain": [{"name": name, "operator": "Op"}], "ends_at": "Relu r", "verdicts": verdicts,
        "skipped": skipped,
    }  # fmt: skip
    if not known:
        kept = {"name", "operator", "kind", "words", "chain", "verdicts", "skipped"}
        fields = {key: value if key in kept else None for key, value in fields.items()}
        fields["chain"] = []
    return fields | changes


def record(sites, *, model="net.onnx", source="ONNX, opset 12", joins=(), inputs=(("x", [1, 3, None]),)):
    """The record of these sites, with the findings and the counts that follow from their verdicts."""
    findings = [
        {
            "code": code, "title": TITLES[code], "severity": verdict["severity"], "site": each["name"],
            "measure": verdict["measure"], "unit": verdict["unit"], "threshold": CODES[code][1],
            "message": verdict["words"], "remedy": REMEDY, "fix": None,
        }
        for each in sites
        for code, verdict in each["verdicts"].items()
        if verdict["verdict"] == "finding"
    ]  # fmt: skip
    severities = [each["severity"] for each in findings]
    skipped = [
        {"site": each["name"], "operator": each["operator"], "reason": each["skipped"]}
        for each in sites
        if each["skipped"] is not None
    ]
    return {
        "schema": "upstroke.check/1", "version": "1.2.3", "model": model,
        "source": {
            "words": source, "operators": 30,
            "inputs": [{"name": name, "shape": shape} for name, shape in inputs],
        },
        "rules": [
            {
                "code": code, "title": TITLES[code], "severity": severity, "threshold": threshold,
                "unit": unit, "reason": f"why {code}",
            }
            for code, (severity, threshold, unit) in CODES.items()
        ],
        "sites": list(sites), "joins": list(joins), "findings": findings, "skipped": skipped,
        "summary": {
            "sites": len(sites), "errors": severities.count("error"), "warnings": severities.count("warning"),
            "notes": severities.count("note"), "skipped": len(skipped),
        },
    }  # fmt: skip


def small(*, name="up", fine="even", skipped="grow", model="net.onnx"):
    """One site with an error and a warning, two that are fine, one that was skipped."""
    return record(
        [
            site(fine, "resize", {"UP101": ok("1 tap"), "UP102": ok("balanced")}),
            site(f"{fine}2", "resize", {"UP101": ok("1 tap"), "UP102": ok("balanced")}),
            site(
                name, "transposed",
                {"UP101": found("1 to 4 taps", "UP101", measure=3), "UP102": found("a checkerboard", "UP102"),
                 "UP202": ok("one grid")},
            ),
            site(skipped, "unread", {"UP102": passed_over("not read")}, known=False, skipped="no operator of ONNX"),
        ],
        model=model,
        joins=[{"name": f"join of {name}", "operator": "Add", "kind": "add", "sites": [name, None]}],
    )  # fmt: skip


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</style></title></svg><b>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;i&gt;",
    "a\nb\rc\td\x1b[31me\x00\x9b",
    "\u202egnp.exe\u200b\ud83d\udcff",
    "[red]x[/red] :smile: [link=http://x]y",
    "https://evil.example/a.js",
)
