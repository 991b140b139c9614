"""Make records of checked models as a check writes them, for the tests of what is shown of them."""

from fractions import Fraction

CODES = {
    "UP101": ("warning", 0, "taps apart"),
    "UP102": ("error", -40.0, "dB"),
    "UP103": ("warning", 0, "taps apart"),
    "UP201": ("warning", 0, "input pixels"),
    "UP202": ("note", 0, "pixels of its input"),
    "UP203": ("error", 1, "samples"),
}
TITLES = {
    "UP101": "uneven overlap",
    "UP102": "unbalanced phases",
    "UP103": "uneven overlap in the gradient",
    "UP201": "skip drift",
    "UP202": "grid that depends on the size",
    "UP203": "sizes that do not work",
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
        "response": {"frequency": [0.0, 0.25, 0.5], "db": [[0.0, -7.0 - axis, -120.0] for axis in range(axes)]},
        "worst_filter": {"taps": GAINS[axes], "out": 3, "in": 1},
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


def grid(offset, spacing):
    """The grid of a map, one offset and spacing for each axis, as fractions in words."""
    return {
        "offset": [float(Fraction(each)) for each in offset],
        "spacing": [float(Fraction(each)) for each in spacing],
        "exact": {"offset": list(offset), "spacing": list(spacing)}, "size_dependent": False,
    }  # fmt: skip


def join(name, verdicts, *, sites=("up", None), grids=None, drift=None, kind="concatenate", reason=None):
    """A join of two branches; without grids the places of both are lost."""
    places = grids or (None, None)
    return {
        "name": name, "operator": "Concat", "kind": kind, "sites": list(sites),
        "branches": [
            {"tensor": f"{name}.{number}", "site": of, "grid": place, "lost": None if place else "attention"}
            for number, (of, place) in enumerate(zip(sites, places, strict=True))
        ],
        "drift": drift, "mean_drift": drift, "reason": reason, "verdicts": verdicts,
    }  # fmt: skip


def reduction(name, verdicts, *, coverage=((1, 2), (2, 4))):
    """A convolution k3 s2."""
    return {
        "name": name, "operator": "Conv", "kernel": [3, 3], "stride": [2, 2],
        "coverage": [list(row) for row in coverage], "verdicts": verdicts,
    }  # fmt: skip


def output(name, verdicts):
    """A map that the model gives."""
    return {"name": name, "verdicts": verdicts}


def step(kind, index, name, size, sources, *, channels=8, place=None):
    """A step of the network."""
    return {
        "kind": kind, "index": index, "name": name, "order": 0, "size": size, "channels": channels,
        "from": list(sources), "place": place,
    }  # fmt: skip


def record(
    sites, *, model="net.onnx", source="ONNX, opset 12", joins=(), inputs=(("x", [1, 3, None]),), reductions=(),
    outputs=(), verdicts=None, steps=None, **further,
):  # fmt: skip
    """The record of these subjects, with the findings and the counts that follow from their verdicts."""
    whole = {"name": model, "verdicts": verdicts or {}}
    findings = [
        {
            "code": code, "title": TITLES[code], "severity": verdict["severity"], "site": each["name"],
            "kind": each.get("kind", "output"),
            "measure": verdict["measure"], "unit": verdict["unit"], "threshold": CODES[code][1],
            "message": verdict["words"], "remedy": REMEDY, "fix": verdict.get("fix"),
        }
        for each in (*sites, *joins, *reductions, *outputs, whole)
        for code, verdict in each["verdicts"].items()
        if verdict["verdict"] == "finding" and "suppressed" not in verdict
    ]  # fmt: skip
    severities = [each["severity"] for each in findings]
    skipped = [
        {"site": each["name"], "operator": each["operator"], "reason": each["skipped"]}
        for each in sites
        if each["skipped"] is not None
    ]
    asked = [code for code in CODES if code in ("UP101", "UP102", "UP202") or _is_asked(
        code, (*joins, *reductions, *outputs, whole))]  # fmt: skip
    return {
        "schema": "upstroke.check/1", "version": "1.2.3", "model": model,
        "source": {
            "words": source, "operators": 30,
            "inputs": [{"name": name, "shape": shape} for name, shape in inputs],
        },
        "rules": [
            {
                "code": code, "title": TITLES[code], "severity": CODES[code][0], "threshold": CODES[code][1],
                "unit": CODES[code][2], "reason": f"why {code}", "remedy": REMEDY,
            }
            for code in asked
        ],
        "sites": list(sites), "joins": list(joins), "reductions": list(reductions), "outputs": list(outputs),
        "verdicts": whole["verdicts"], "network": None if steps is None else {"steps": list(steps)},
        "findings": findings, "skipped": skipped,
        "suppressed": [], "baseline": None,
        "summary": {
            "sites": len(sites), "errors": severities.count("error"), "warnings": severities.count("warning"),
            "notes": severities.count("note"), "skipped": len(skipped),
        },
        **further,
    }  # fmt: skip


def _is_asked(code, subjects):
    return any(code in each["verdicts"] for each in subjects)


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
        joins=[join(f"join of {name}", {}, sites=(name, None), kind="add")],
    )  # fmt: skip


def network(*, name="up", joins=1):
    """A net that goes down and up again, with drift at its joins, one of which is fine, and a bad size."""
    near, far = grid(["-1/4", "0"], ["1/2", "1/2"]), grid(["31/4", "0"], ["1/2", "1/2"])
    drifting = [
        join(f"{name}.join{number}", {"UP201": found(f"{8 + number} px apart", "UP201", measure=8.0 + number)},
             sites=(name, None), grids=(near, far), drift=["-8", "0"])
        for number in range(joins)
    ]  # fmt: skip
    fine = join(f"{name}.fine", {"UP201": ok("one grid")}, grids=(near, near), drift=["0", "0"])
    lost = join(f"{name}.lost", {"UP201": passed_over("attention mixes all positions")}, reason="attention")
    down = [
        reduction(f"{name}.down{number}", {"UP103": found("1 to 4 taps", "UP103", measure=3)})
        for number in range(2)
    ]
    all_joins = [*drifting, fine, lost]
    place = {"grid": near, "lost": None}
    steps = [
        step("input", 0, f"{name}.in", [64, 96], (), channels=3, place=place),
        step("reduction", 0, f"{name}.down0", [32, 48], (0,)),
        step("reduction", 1, f"{name}.down1", [16, 24], (1,), place={"grid": None, "lost": "attention"}),
        step("site", 0, name, [32, 48], (2,), place=place),
        *(
            step("join", number, each["name"], [32, 48], (3 + number, 1))
            for number, each in enumerate(all_joins)
        ),
        step("output", 0, f"{name}.out", [64, None], (3 + len(all_joins),)),
    ]
    along = {
        "axes": [0], "tried": list(range(60, 69)), "right": [60, 64, 68], "period": 4, "remainders": [0],
        "failed": [{"size": [61], "error": "Sizes of tensors must match", "place": name}],
        "changed": [{"size": [62], "output": 0, "axis": 0, "came": 60, "due": 62.0}],
    }  # fmt: skip
    sizes = {"start": [64, 96], "tried": 9, "how": None, "fixed": [], "along": [along], "reason": None}
    return record(
        [site(name, "transposed", {"UP101": found("1 to 4 taps", "UP101", measure=3)}, border=[[0.5, 0], [0, 0.1]])],
        joins=all_joins, reductions=down, outputs=[output(f"{name}.out", {"UP202": ok("not moved")})],
        verdicts={"UP203": found("heights that are not multiples of 4 fail", "UP203", measure=4)},
        steps=steps, sizes=sizes, suppressed=[], baseline=None, probe=None,
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
