"""Measure how much memory one call needs at its peak, each in a process of its own.

`Meter` starts this file as a process that has imported everything and computed nothing. It forks for every
question, so that nothing one contender keeps is there for the next to use.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.allocation import forget
from benchmarks.cases import CASES, Work
from benchmarks.contender import of_module
from benchmarks.layers import pytorchs, upstrokes

MODULES = {"upstroke": upstrokes, "PyTorch": pytorchs}


class Meter:
    """Answers how many bytes a call adds at its peak to what the process had before it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory"],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def peak(self, case_name: str, *, who: str, dtype: torch.dtype, layout: str, work: Work) -> int:
        """Bytes, the outputs among them; the second call, when everything that stays has been made."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        question = [case_name, who, str(dtype).removeprefix("torch."), layout, work]
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer.strip().isdigit():
            msg = f"the process that measures memory failed at {', '.join(question)}; its message is above"
            raise SystemExit(msg)
        return int(answer)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def _answer(case_name: str, who: str, dtype: str, layout: str, work: Work) -> int:
    case = next(case for case in CASES if case.name == case_name)
    contender = of_module(
        who, MODULES[who](case), case, dtype=getattr(torch, dtype), layout=layout, work=work
    )
    contender.call()
    forget()
    # 5 sets the high-water mark back to what is resident now
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    result = contender.call()
    peak = _kilobytes("VmHWM") - before
    del result
    return 1024 * max(peak, 0)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def main() -> None:
    """Answer each line of standard input by a line."""
    for line in sys.stdin:
        if os.fork() == 0:
            torch.set_num_threads(1)
            print(_answer(*json.loads(line)), flush=True)
            os._exit(0)
        _, status = os.wait()
        if status:
            print("failed", flush=True)


if __name__ == "__main__":
    main()
