"""Train in two processes, each on its own batches, whole and in two parts; say what the weights are."""

import sys
from pathlib import Path

import torch
from torch import nn

from upstroke.train import Task, fit, seeded


class Line(Task):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 1)

    def training_step(self, batch):
        return self.net(batch).sub(batch.sum(1, keepdim=True)).square().mean()

    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.05)


def batch(number):
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(number))


class Numbered:
    def batch(self, step):
        return batch(step)


class Both:
    """What two processes see together in a step."""

    def batch(self, step):
        return torch.cat([batch(2 * step), batch(2 * step + 1)])


def train(out, *, steps, devices=2, **options):
    with seeded(1):
        task = Line()
    return fit(
        task, out, steps=steps, batches=Numbered() if devices == 2 else Both(), validation=[batch(1000)], every=3,
        progress=False, tensorboard=False, device="cpu", devices=devices, command=["two"], **options,
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1], "two"), steps=3)
    train(Path(sys.argv[1], "two"), steps=6, resume=True)
