"""Compile parts of every kind whole: one graph each, which computes the same; run by test_torch_parts.py."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from test_torch_parts import EXPORTED, made


def main() -> None:
    torch.set_num_threads(1)
    for name, make, shape, form in EXPORTED:
        net, x, _, part = made(make, shape, form)
        torch._dynamo.reset()
        compiled = torch.compile(part, backend="eager", fullgraph=True)
        difference = (compiled(x) - net(x)).detach().abs().max()
        if not difference <= 1e-12:
            message = f"{name}: compiled, it differs by {difference}"
            raise SystemExit(message)
    sys.stdout.write(f"{len(EXPORTED)} parts\n")


if __name__ == "__main__":
    main()
