"""Train a generator in two processes, whole and in two parts, in the folder that is given."""

import functools
import sys
from pathlib import Path

import torch

from upstroke.apps.generate import training
from upstroke.apps.generate.features import own_features

training.own_features = functools.partial(own_features, steps=4)

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    options = {
        "recipe": "r1", "size": 32, "latent": 5, "width": 2, "batch": 4, "precision": "32", "device": "cpu",
        "devices": 2, "progress": False, "command": ["two"],
    }  # fmt: skip
    training.train(folder / "data", folder / "whole", steps=6, **options)
    training.train(folder / "data", folder / "parts", steps=3, **options)
    training.train(folder / "data", folder / "parts", steps=6, resume=True, **options)
