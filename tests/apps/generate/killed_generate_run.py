"""Train whole, and killed in the middle and resumed, by a RECIPE in PRECISION with so many WORKERS; say how they compare."""

import functools
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import torch
from drawn_pictures import write_pictures

from upstroke.apps.generate import training
from upstroke.apps.generate.features import own_features
from upstroke.apps.generate.learning import Learning
from upstroke.apps.generate.model import load_model

STEPS, DIES = 24, 17
# looks at samples every four steps, by features that are soon learnt
training.LOOKS = 6
training.own_features = functools.partial(own_features, steps=4)


def run(data, out, **options):
    return training.train(
        data, out, recipe=sys.argv[1], steps=STEPS, size=32, latent=5, width=2, batch=4, flips=True,
        precision=sys.argv[2], device="cpu", workers=int(sys.argv[3]), seed=3, progress=False, command=["test"],
        **options,
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
        data = write_pictures(Path(folder, "data"), channels=1)
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        first = run(data, whole)
        ended = killed(data, broken)
        # what a kill leaves can be drawn with
        drawn = load_model(broken).draw(torch.zeros(1, 5)).shape
        kept = torch.load(broken / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["upstroke"][
            "step"
        ]
        second = run(data, broken, resume=True)
        last = [
            torch.load(each / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            for each in (whole, broken)
        ]
        told = {
            "killed": ended,
            "kept": kept,
            "drawn": drawn,
            "steps": second.steps,
            "same": first.weights.read_bytes() == second.weights.read_bytes(),
            "last": all(torch.equal(value, last[1][name]) for name, value in last[0].items()),
            "kid": [first.kid, second.kid],
        }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
