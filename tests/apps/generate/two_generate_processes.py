"""Train a generator in two processes, whole and in two parts, in the folder that is given."""

import sys
from pathlib import Path

import torch

from upstroke.apps.generate.training import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    options = {
        "recipe": "r1", "size": 32, "latent": 5, "width": 2, "batch": 4, "precision": "32", "device": "cpu",
        "devices": 2, "progress": False, "command": ["two"],
    }  # fmt: skip
    train(folder / "data", folder / "whole", steps=6, **options)
    train(folder / "data", folder / "parts", steps=3, **options)
    train(folder / "data", folder / "parts", steps=6, resume=True, **options)
