"""Draw a photograph again through an unbalanced transposed convolution, so that it carries a checkerboard."""

import argparse
from pathlib import Path

import numpy
import torch
from matplotlib import cbook
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

STRIDE = 2


def photograph() -> Tensor:
    """Return matplotlib's sample photograph in grey, (height, width) in 0..1, cropped to even sides."""
    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(path) as picture:
        grey = torch.tensor(numpy.asarray(picture.convert("L")), dtype=torch.float32) / 255
    height, width = (size - size % STRIDE for size in grey.shape)
    return grey[:height, :width]


def unbalanced_kernel(seed: int) -> Tensor:
    """Return a mildly random 3x3 kernel around ½ 1 ½, of mass 4, so that the mean stays."""
    triangle = torch.tensor([0.5, 1.0, 0.5])
    noise = torch.rand(3, 3, generator=torch.Generator().manual_seed(seed))
    kernel = torch.outer(triangle, triangle) * (0.95 + 0.1 * noise)
    return kernel * STRIDE**2 / kernel.sum()


def redraw(picture: Tensor, kernel: Tensor) -> Tensor:
    """Halve a picture by block means and grow it back by a transposed convolution k3 s2 p1."""
    small = F.avg_pool2d(picture[None, None], STRIDE)
    grown = F.conv_transpose2d(small, kernel[None, None], stride=STRIDE, padding=1, output_padding=1)
    return grown[0, 0].clamp(0, 1)


def main() -> None:
    """Write photograph.png and checkerboard.png into the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where photograph.png and checkerboard.png go")
    parser.add_argument("--overwrite", action="store_true", help="replace pictures that are there")
    parser.add_argument("--seed", type=int, default=0, help="seed of the kernel")
    options = parser.parse_args()

    original = photograph()
    pictures = {
        "photograph.png": original,
        "checkerboard.png": redraw(original, unbalanced_kernel(options.seed)),
    }
    there = [name for name in pictures if (options.folder / name).exists()]
    if there and not options.overwrite:
        parser.error(f"{', '.join(there)} already in {options.folder}; give --overwrite to replace")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        grey = (picture * 255).round().to(torch.uint8).numpy()
        Image.fromarray(grey).save(options.folder / name)
    print(f"Wrote {' and '.join(pictures)} to {options.folder}; the second is drawn by a k3 s2 kernel.")


if __name__ == "__main__":
    main()
