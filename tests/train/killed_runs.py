"""Train tiny tasks whole, and killed at every place one can think of; say how their weights compare.

Run as a program of its own: it loads Lightning once and then forks a process for every run that dies.
"""

import json
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from torch import nn

from upstroke.train import MovingAverage, Task, fit, seeded

STEPS, EVERY = 13, 4


class Line(Task):
    """Everything that a resume could lose: dropout, batch norm, noise from three generators, averages, rates."""

    def __init__(self, dies=None):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 1))
        self.average = MovingAverage(self.net, decay=0.9)
        self.dies = dies

    def loss(self, batch):
        x, y = batch
        return (self.net(x) - y).square().mean()

    def training_step(self, batch):
        if self.dies == ("step", self.global_step):
            os.kill(os.getpid(), signal.SIGKILL)
        noise = random.random() + numpy.random.rand() + torch.rand(())
        return self.loss(batch) * (1 + 0.1 * noise)

    def on_train_batch_end(self, *_):
        self.average.update(self.net)

    def validation_step(self, batch):
        if self.dies == ("validation", self.global_step):
            os.kill(os.getpid(), signal.SIGKILL)
        torch.rand(7)
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), 0.05)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        rate = {"scheduler": plateau, "interval": "step", "frequency": EVERY, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": rate}


class Pair(Task):
    """Two networks against each other, each with its own optimizer and rate: a GAN as small as can be."""

    def __init__(self, dies=None):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = (
            nn.Linear(2, 3),
            nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1)),
        )
        self.dies = dies

    def training_step(self, batch):
        if self.dies == ("step", self.global_step):
            os.kill(os.getpid(), signal.SIGKILL)
        real, _ = batch
        first, second = self.optimizers()
        fake = self.generator(torch.randn(len(real), 2))
        critic = (
            self.critic(fake.detach()).mean() - self.critic(real).mean() + self.critic(real).square().mean()
        )
        first.zero_grad()
        self.manual_backward(critic)
        first.step()
        if self.dies == ("between", self.global_step):
            os.kill(os.getpid(), signal.SIGKILL)
        generator = -self.critic(fake).mean()
        second.zero_grad()
        self.manual_backward(generator)
        second.step()
        for each in self.lr_schedulers():
            each.step()
        return {"critic": critic, "generator": generator}

    def configure_optimizers(self):
        optimizers = [
            torch.optim.Adam(each.parameters(), 0.01, betas=(0.5, 0.9))
            for each in (self.critic, self.generator)
        ]
        rates = [torch.optim.lr_scheduler.ExponentialLR(each, 0.9) for each in optimizers]
        return optimizers, [{"scheduler": each, "interval": "step"} for each in rates]


class Drawn:
    """Batches that draw from the global generators, as a careless program's would."""

    def batch(self, step):
        x = torch.randn(6, 3) + float(numpy.random.rand())
        return x, x.sum(1, keepdim=True)


def train(kind, out, *, held_out=None, steps=STEPS, **options):
    dies = options.pop("dies", None)
    with seeded(3):
        task = kind(dies)
    numbers = torch.Generator().manual_seed(5)
    pairs = [(x := torch.randn(4, 3, generator=numbers), x.sum(1, keepdim=True)) for _ in range(2)]
    validation = pairs if (kind is Line if held_out is None else held_out) else None
    return fit(
        task, out, steps=steps, batches=Drawn(), validation=validation, every=EVERY, seed=11, log_every=3,
        progress=False, tensorboard=False, command=["test"], **options,
    )  # fmt: skip


def forked(run):
    """Run in a process of its own; how it ended."""
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def state_of(out):
    """Everything a finished run leaves that must be the same, bit for bit."""
    checkpoint = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["callbacks"]["upstroke"].pop("seconds")
    checkpoint.pop("loops")
    checkpoint.pop("global_step")
    rows = (out / "metrics.csv").read_text().splitlines()
    place = rows[0].split(",").index("seconds")
    return {
        "weights": (out / "model.safetensors").read_bytes(),
        "checkpoint": checkpoint,
        "metrics": [[cell for at, cell in enumerate(row.split(",")) if at != place] for row in rows],
    }


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return one == other


def dying_writer(at):
    """Die in the middle of the nth file that is written, when half of it is there."""
    import upstroke.files.place as place

    real, count = place._write_through, [0]

    def write(descriptor, pieces):
        count[0] += 1
        if count[0] == at:
            data = b"".join(pieces)
            os.write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor, pieces)

    place._write_through = write


def dying_mover(at):
    """Die before the nth file is moved into place."""
    import upstroke.files.place as place

    real, count = os.replace, [0]

    def move(*names):
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*names)

    place.os = type("Os", (), {**vars(os), "replace": staticmethod(move)})


def places_of(kind):
    """Where to die: at each step, in a validation, between two optimizers, and around each file."""
    if "--all" in sys.argv:
        yield from (("step", step) for step in range(STEPS))
        yield from (("validation" if kind is Line else "between", step) for step in range(STEPS + 1))
        yield from ((what, at) for at in range(1, 14) for what in ("write", "move"))
    elif kind is Line:
        yield from (("step", 9), ("validation", 8))
        # the first file is config.json, the second metrics.csv; then come best, model and last together
        yield from (("write", 1), ("write", 6), ("move", 4), ("move", 8))
    else:
        yield from (("step", 12), ("between", 7), ("move", 6))


def killed_and_resumed(kind, out, what, at):
    """How the first process ended, and the second; each checkpoint that the first left loads."""

    def dies():
        if what == "write":
            dying_writer(at)
        elif what == "move":
            dying_mover(at)
        train(kind, out, dies=(what, at))

    killed = forked(dies)
    for path in out.glob("checkpoints/*.ckpt"):
        torch.load(path, weights_only=True)
    left = list(out.rglob("*.tmp"))
    resumed = forked(lambda: train(kind, out, resume=(out / "config.json").exists()))
    swept = not list(out.rglob("*.tmp"))
    return {"killed": killed, "resumed": resumed, "left": len(left), "swept": swept}


def main():
    torch.set_num_threads(1)
    told = []
    # in memory where that can be, because every file is flushed to the disk
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        for kind in (Line, Pair):
            whole = Path(folder, kind.__name__)
            train(kind, whole)
            unbroken = state_of(whole)
            for what, at in places_of(kind):
                out = Path(folder, f"{kind.__name__}-{what}-{at}")
                ends = killed_and_resumed(kind, out, what, at)
                new = state_of(out) if ends["resumed"] == 0 else {}
                other = [key for key in unbroken if not same(new.get(key), unbroken[key])]
                told.append({"run": out.name, **ends, "other": other})
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
