"""Hold what `import upstroke` offers and what it costs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import upstroke

# Removing a name breaks somebody's code; adding one is a promise. Either is an edit to this list.
PUBLIC = (
    "Affine",
    "Choice",
    "Grid",
    "Polyphase",
    "__version__",
    "check",
    "choose",
    "fix",
    "from_module",
    "nn",
    "to_module",
    "upsample",
)
HEAVY = {"matplotlib", "onnx", "lightning", "xarray", "triton", "jinja2", "scipy", "typer"}
BUDGET_MS = 150


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )


def test_public_names_are_pinned():
    assert tuple(sorted(upstroke.__all__)) == tuple(sorted(PUBLIC))
    assert all(hasattr(upstroke, name) for name in upstroke.__all__)


def test_import_loads_nothing_heavy():
    loaded = python("-c", "import upstroke, sys; print(*sys.modules)").stdout.split()
    assert not HEAVY & set(loaded), f"import upstroke loads {sorted(HEAVY & set(loaded))}"


def test_fixing_and_whole_networks_are_loaded_when_they_are_asked_for():
    program = (
        "import sys, upstroke\n"
        "assert 'fix' in dir(upstroke) and 'upstroke.rewrite' not in sys.modules\n"
        "assert {'UNet', 'Generator', 'Discriminator'} <= set(dir(upstroke.nn))\n"
        "assert 'upstroke.plan' not in sys.modules\n"
        "print(upstroke.nn.Discriminator.__module__, 'upstroke.nn.generator' in sys.modules)\n"
        "print(upstroke.nn.Generator.__module__, upstroke.nn.Generator is upstroke.nn.Generator)\n"
        "print(upstroke.nn.UNet.__module__, upstroke.nn.UNet is upstroke.nn.UNet)\n"
        "print(upstroke.fix.__module__, upstroke.fix is upstroke.fix)"
    )
    assert python("-c", program).stdout == (
        "upstroke.nn.discriminator False\nupstroke.nn.generator True\n"
        "upstroke.nn.unet True\nupstroke.rewrite.fix True\n"
    )
    with pytest.raises(AttributeError, match=r"^module 'upstroke' has no attribute 'fixed'$"):
        _ = upstroke.fixed
    with pytest.raises(AttributeError, match=r"^module 'upstroke\.nn' has no attribute 'UNets'$"):
        _ = upstroke.nn.UNets


def cost_beyond_torch_ms(byte_code: Path) -> float:
    """Read off -X importtime what `import upstroke` costs once torch is loaded.

    Compiled files are kept from one time to the next, as Python does unless it is told otherwise; and torch's
    objects are not searched for garbage, which takes as long as all else and comes when it comes.
    """
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(byte_code)}
    program = "import torch\nimport gc\ngc.freeze()\nimport upstroke"
    lines = python("-X", "importtime", "-c", program, **kept).stderr.splitlines()
    for line in lines:
        match = re.fullmatch(r"import time:\s*\d+ \|\s*(\d+) \| upstroke", line)
        if match:
            return int(match.group(1)) / 1000
    message = "-X importtime has no line for upstroke"
    raise AssertionError(message)


@pytest.mark.alone
def test_import_is_light(tmp_path):
    best = min(cost_beyond_torch_ms(tmp_path) for _ in range(4))
    assert best < BUDGET_MS, f"import upstroke costs {best:.0f} ms beyond torch; the budget is {BUDGET_MS} ms"
