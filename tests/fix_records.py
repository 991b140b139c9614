"""Make records of fixed models, and of two models side by side, for the tests of what is shown of them."""

HOSTILE = "<script>alert(1)</script>\x1b[31m"


def pair(before=None, after=None):
    return {"before": before, "after": after}


def site(name, *, outcome="rewritten", words="two become one", form="transposed", times=(), how=None):
    took = dict(times)
    return {
        "site": name,
        "codes": ["UP301"],
        "outcome": outcome,
        "form": form if outcome == "rewritten" else None,
        "how": how,
        "words": words,
        "nodes": [name, f"{name}.conv"],
        "times": [{"form": key, "milliseconds": value} for key, value in times],
        "ratio": took["as it is"] / took[form] if form in took else None,
        "multiply_adds": pair(1000.0),
        "difference": 4e-7 if outcome == "rewritten" else None,
    }


def repair(
    code, name, *, outcome="repaired", words="its kernels move by 5 % of their norm", measure=None, unit="dB"
):
    return {
        "code": code,
        "site": name,
        "outcome": outcome,
        "words": words,
        "relative_change": 0.05,
        "measure": measure or pair(),
        "unit": unit,
        "details": {},
    }


def precision(*, largest=3e-7, own=0.0, words=None, refused=None):
    output = {"name": "y", "relative_difference": largest, "own_error": own, "words": None}
    cases = [
        {
            "words": "as given",
            "sizes": [[1, 3, 5, 7]],
            "largest": largest,
            "outputs": [output],
            "refused": None,
            "fault": None,
        }
    ]
    if refused is not None:
        cases.append(
            {
                "words": "one more",
                "sizes": [[1, 3, 6, 8]],
                "largest": None,
                "outputs": [],
                "refused": refused,
                "fault": None,
            }
        )
    return {
        "dtype": "float32", "tolerance": 1e-5, "largest": largest, "words": words, "cases": cases, "untried": [],
    }  # fmt: skip


def fixed(*sites, repairs=(), verified=None, **more):
    """A record of a fix; what is not given is of a model of which nothing was measured."""
    passed = verified is None or all(each["words"] is None for each in verified)
    record = {
        "schema": "upstroke.fix/1",
        "version": "1.2.3",
        "model": "net.onnx",
        "source": "ONNX, opset 17",
        "runtime": "onnxruntime",
        "seed": 0,
        "changed": any(each["outcome"] in ("rewritten", "repaired") for each in (*sites, *repairs)),
        "output": None,
        "rounds": 2,
        "sites": list(sites),
        "repairs": list(repairs),
        "verified": None if verified is None else {"passed": passed, "precisions": list(verified)},
        "outputs_changed": [],
        "totals": {
            "multiply_adds": pair(2000.0, 1000.0),
            "parameters": pair(1234, 2345),
            "milliseconds": pair(),
            "ratio": None,
            "peak_memory": pair(),
            "memory_of": None,
            "share": None,
            "words": None,
        },
        "findings": {"before": {"UP301": 2, "UP103": 1}, "after": {"UP103": 1}},
        "notes": [],
    }
    return record | more


def found(code, name, *, severity="warning", measure=2.0, unit="taps apart", words="1 to 4 taps"):
    return {
        "code": code, "title": "uneven overlap", "site": name, "severity": severity, "measure": measure,
        "unit": unit, "words": words,
    }  # fmt: skip


def change(name="y", *, far=3e-7, rms=1e-7, shift=0.0, new_name=None, words=None):
    return {
        "name": name,
        "new_name": name if new_name is None else new_name,
        "relative_difference": None if words else far,
        "relative_rms": None if words else rms,
        "mean_shift": None if words else shift,
        "words": words,
    }


def at_size(*outputs, sizes=(1, 3, 5, 7), words="as given", old=None, new=None):
    return {
        "inputs": words,
        "sizes": [list(sizes)],
        "refused": {"old": old, "new": new},
        "outputs": list(outputs),
    }


def side(model, *, drifts=(), parameters=1171817, multiply_adds=2e6):
    return {
        "model": model,
        "source": "ONNX, opset 17",
        "sites": 2,
        "joins": len(drifts),
        "drifts": [{"join": join, "drift": drift} for join, drift in drifts],
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "inputs": [{"name": "x", "shape": [1, 3, 5, None]}],
        "outputs": [{"name": "y", "shape": None}],
    }


def compared(old=None, new=None, *, gone=(), added=(), same=(), cases=(), largest=3e-7):
    """A record of two models side by side."""
    return {
        "schema": "upstroke.diff/1",
        "version": "1.2.3",
        "old": old or side("old.onnx"),
        "new": new or side("new.onnx"),
        "findings": {"gone": list(gone), "new": list(added), "same": list(same)},
        "largest": largest,
        "cases": list(cases) or [at_size(change())],
    }
