"""Set up every test run: run-time shape checks, the number of examples, one thread, the real data."""

import os
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

from checked_calls import check_calls

# Before anything imports upstroke, and here at the root, so that the doctests in src are checked as well.
check_calls("upstroke")

ROOT = Path(__file__).resolve().parent
IN_CI = os.environ.get("CI") == "true"

hypothesis.settings.register_profile(
    "default",
    deadline=None,
    derandomize=IN_CI,
    max_examples=60,
    print_blob=not IN_CI,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "fast",
    parent=hypothesis.settings.get_profile("default"),
    derandomize=True,
    database=None,
    max_examples=8,
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Keep torch to one thread: the tensors are small, and two pools of threads would wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data: UPSTROKE_DATA, or ../shared/data next to the project."""
    folder = Path(os.environ.get("UPSTROKE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        message = f"no real data at {folder}; set UPSTROKE_DATA to the folder that holds it"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def _unchecked():
    """Turn the run-time checks of annotations off, to see what a caller without them is told."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
