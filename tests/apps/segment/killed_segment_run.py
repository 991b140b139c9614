"""Train whole, and killed in the middle and resumed, in PRECISION with so many WORKERS; say how the weights compare."""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import torch
from small_pictures import write_spots

from upstroke.apps.segment.learning import Learning
from upstroke.apps.segment.training import train

STEPS, DIES = 24, 17


def run(data, out, **options):
    return train(
        data, out, preset="tiny", steps=STEPS, widths=(3, 5), patch=(16, 18), precision=sys.argv[1], device="cpu",
        workers=int(sys.argv[2]), augment="full", seed=3, progress=False, command=["test"], **options,
    )  # fmt: skip


def killed(data, out):
    """Die in a step between two checkpoints, in a process of its own."""
    child = os.fork()
    if child == 0:
        real = Learning.training_step

        def step(self, batch):
            if self.global_step == DIES:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, batch)

        Learning.training_step = step
        run(data, out)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = write_spots(Path(folder, "data"))
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        first = run(data, whole)
        ended = killed(data, broken)
        kept = torch.load(broken / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["upstroke"][
            "step"
        ]
        second = run(data, broken, resume=True)
        told = {
            "killed": ended,
            "kept": kept,
            "steps": second.steps,
            "same": first.weights.read_bytes() == second.weights.read_bytes(),
            "dice": [first.mean_dice, second.mean_dice],
        }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
