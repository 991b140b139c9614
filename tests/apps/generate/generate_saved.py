"""Save a generator that was never trained, with all that a trained one has in its file."""

import torch

from upstroke.apps.generate.drawing import settled
from upstroke.files.safetensors import write_safetensors
from upstroke.nn import Generator


def saved(folder, *, latent=6, width=3, channels=1, size=32, **settings):
    """A run folder with model.safetensors alone; pictures of it are no constants."""
    torch.manual_seed(0)
    net = settled(Generator(latent, width, channels, size, **settings))
    metadata = {
        "schema": "upstroke.generate-model/1",
        "generator": {**net.settings, "balanced": settings.get("balanced", False)},
        "recipe": {"name": "r1"},
        "seed": 0,
        "data": {"path": "/home/me/faces.zip", "pictures": 400},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", net.state_dict(), metadata)
    return folder
