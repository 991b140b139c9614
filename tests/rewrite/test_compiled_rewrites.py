"""Compiled and exported, in a process without the checks of annotations, which a compiler cannot read."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).with_name("compiled_rewrites.py")


def test_what_is_compiled_and_exported():
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parents[2])
    assert found.returncode == 0, found.stdout[-8000:]
