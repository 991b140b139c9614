"""Hold that two processes train as one does on both their batches, and that such a run is resumed exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from two_processes import train

from upstroke.files.safetensors import read_safetensors

PROGRAM = Path(__file__).with_name("two_processes.py")


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
def test_two_processes_train_as_one_on_both_batches(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # no advert and no warning of others, from either process
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    train(tmp_path / "one", steps=6, devices=1)
    two, one = (read_safetensors(tmp_path / name / "model.safetensors")[0] for name in ("two", "one"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor)
    checkpoint = torch.load(tmp_path / "two" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["callbacks"]["upstroke"]["step"] == 6
    steps = [row.split(",")[0] for row in (tmp_path / "two" / "metrics.csv").read_text().splitlines()]
    assert steps == ["step", "1", "2", "3", "4", "5", "6"]
