"""Fix every model for every runtime, one row each, and write what became of its sites and of its time."""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import fix_page
from benchmarks.asked import asked, named
from benchmarks.cases import CASES
from benchmarks.layers import pytorchs
from benchmarks.machine import commit, fingerprint, machine
from benchmarks.onnx_models import model as onnx_of
from benchmarks.results import RESULTS, Row, Unfinished, save
from benchmarks.subjects import SUBJECTS, Subject, Target, exported
from upstroke.rewrite.fix import fix
from upstroke.rewrite.fixed import Outcome, Pair
from upstroke.rewrite.measure import one_thread, session_of, timed
from upstroke.rewrite.verify import Verified

SUITE = "fix"
GENERATOR = "DCGAN generator 64x64, batch 16"
# of which the forms of a site, and then the whole model, are timed
SECONDS, QUICK = 4.0, 0.5
CLOSE_SECONDS = 30.0


def main() -> None:
    """Measure the rows asked for and write the results and the page."""
    wanted = asked("fix", __doc__, quick="an eighth of the time")
    rows = named(_rows(), wanted.only)
    if wanted.list:
        print("\n".join(rows))
        return
    seconds = QUICK if wanted.quick else SECONDS
    unfinished = Unfinished(
        f"{fingerprint()} {seconds} {torch.__version__}", RESULTS / "unfinished-fix.jsonl"
    )
    known = {} if wanted.quick else {str(row["row"]): row for row in unfinished.rows()}
    for place, name in enumerate(rows, start=1):
        if name in known:
            continue
        print(f"[{place}/{len(rows)}] {name}", flush=True)
        with one_thread():
            known[name] = _measured(name, seconds)
        print(f"    {_said(known[name])}", flush=True)
        if not wanted.quick:
            unfinished.add(known[name])
    if wanted.quick:
        return
    save(SUITE, machine(), [known[name] for name in rows], order=_rows())
    unfinished.forget()
    fix_page.write()


def _rows() -> list[str]:
    return [*(f"{subject.name} | {target}" for subject in SUBJECTS for target in subject.targets), GENERATOR]


def _measured(name: str, seconds: float) -> Row:
    began = time.perf_counter()
    torch.manual_seed(0)
    if name == GENERATOR:
        found = _generator(seconds)
    else:
        subject = next(each for each in SUBJECTS if name.startswith(f"{each.name} | "))
        target: Target = next(each for each in subject.targets if name.endswith(each))
        found = _of_subject(subject, target, seconds)
    return {
        "row": name,
        "suite": SUITE,
        **found,
        "commit": commit(),
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _of_subject(subject: Subject, target: Target, seconds: float) -> dict[str, object]:
    """What a fix for one target does to a model, and whether it does anything to what it made."""
    model, given = _for_target(subject, target)
    runtime = None if target == "pytorch" else target
    fixed = fix(model, given, seconds=seconds, target=runtime)
    again = fix(fixed.model, given, seconds=seconds, target=runtime)
    return {
        "model": subject.name,
        "target": target,
        "input": "×".join(map(str, _size(subject.inputs()))),
        "sites": [_site(each) for each in fixed.outcomes],
        "changed again": [each.site for each in again.outcomes if each.became == "rewritten"],
        "ms": _pair(fixed.milliseconds),
        "multiply-adds": _pair(fixed.multiply_adds),
        "memory": _pair(fixed.memory),
        "share": fixed.share,
        "gain": fixed.gain,
        "verified": [_verified(each) for each in fixed.verified],
        "notes": list(fixed.notes),
    }


def _size(inputs: tuple[Any, ...]) -> tuple[int, ...]:
    """The size of the first input, which is a tensor, or all that is said of a file's only one."""
    return tuple(inputs[0].shape) if isinstance(inputs[0], torch.Tensor) else inputs


def _for_target(subject: Subject, target: Target) -> tuple[Any, Any]:
    """The model that the target runs, and what `fix` is to be told of its inputs."""
    built, inputs = subject.build(), subject.inputs()
    if not isinstance(built, nn.Module):
        return built, inputs
    built.eval()
    # an exported model says the sizes of its inputs itself
    return (built, inputs) if target == "pytorch" else (exported(built, inputs), None)


def _generator(seconds: float) -> dict[str, object]:
    """A DCGAN generator fixed, against everybody who computes it as it is, in one run."""
    case = next(case for case in CASES if case.name == GENERATOR)
    module = pytorchs(case).eval()
    x = torch.randn(case.shape, generator=torch.Generator().manual_seed(0))
    last = x.contiguous(memory_format=torch.channels_last)
    in_last = pytorchs(case).eval().to(memory_format=torch.channels_last)
    in_last.load_state_dict(module.state_dict())
    proto = onnx_of(case)
    assert proto is not None
    calls: dict[str, Callable[[], object]] = {
        "PyTorch contiguous": _called(module, x),
        "PyTorch channels-last": _called(in_last, last),
    }
    fixed = fix(module, x, seconds=seconds)
    assert isinstance(fixed.model, nn.Module)
    calls["fixed contiguous"] = _called(fixed.model.eval(), x)
    calls["fixed channels-last"] = _called(fixed.model, last)
    array = [np.ascontiguousarray(x.numpy())]
    for name, runtime in (("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
        calls[name] = _session_call(proto, runtime, array)
        of_file = fix(proto, seconds=seconds, target=runtime)
        calls[f"fixed for {name}"] = _session_call(of_file.model, runtime, array)
    times = timed(calls, seconds=CLOSE_SECONDS if seconds == SECONDS else seconds * len(calls))
    return {
        "model": GENERATOR,
        "sites": [_site(each) for each in fixed.outcomes],
        "verified": [_verified(each) for each in fixed.verified],
        "times": [
            {"who": who, "ms": 1e3 * each.median, "spread": 1e3 * each.spread, "runs": each.runs}
            for who, each in times.items()
        ],
    }  # fmt: skip


def _called(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    def call() -> object:
        with torch.no_grad():
            return module(x)

    return call


def _session_call(model: Any, runtime: Any, arrays: Sequence[np.ndarray]) -> Callable[[], object]:  # noqa: ANN401
    session = session_of(model, runtime)
    return lambda: session(arrays)


def _site(outcome: Outcome) -> dict[str, object]:
    return {
        "site": outcome.site,
        "codes": list(outcome.codes),
        "became": outcome.became,
        "form": outcome.form,
        "ratio": outcome.ratio,
        "ms": {each.form: round(each.milliseconds, 4) for each in outcome.times},
        "difference": outcome.difference,
        "words": outcome.words,
    }


def _verified(verified: Verified) -> dict[str, object]:
    return {
        "dtype": verified.dtype,
        "largest": verified.largest if np.isfinite(verified.largest) else None,
        "sizes": sum(bool(case.outputs) for case in verified.cases),
        "wrong": verified.words,
    }


def _pair(pair: Pair) -> list[float | None]:
    return [pair.before, pair.after]


def _said(row: Mapping[str, Any]) -> str:
    """The row in one line."""
    if "times" in row:
        return "; ".join(f"{each['who']} {each['ms']:.3g} ms" for each in row["times"])
    ratios = [
        f"{each['site']} {each['ratio'] or 0:.2f}" for each in row["sites"] if each["became"] == "rewritten"
    ]
    before, after = row["ms"]
    whole = f"{before:.3g} to {after:.3g} ms" if before and after else "nothing rewritten"
    return f"{whole}; {', '.join(ratios) or 'no site'} ({row['seconds']} s)"


if __name__ == "__main__":
    main()
