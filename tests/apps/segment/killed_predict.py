"""Predict a folder, and be killed once so many masks are whole, in the middle of writing the next one.

python killed_predict.py MODEL IN OUT COUNT; -1 is never killed, and goes on behind what is there.
"""

import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from thresholds import thresholds_for

from upstroke.apps.segment.predict import predict


def main(model, source, target, count):
    with pytest.MonkeyPatch.context() as patch:
        thresholds_for(patch)()
        flush = os.fsync

        def killed(descriptor):
            # folders are flushed too, once a mask is in place
            is_mask = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if is_mask and len([path for path in target.rglob("*.png") if path.is_file()]) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            flush(descriptor)

        patch.setattr(os, "fsync", killed)
        predict(model, source, target, skip_existing=True, progress=False)


if __name__ == "__main__":
    *paths, number = sys.argv[1:]
    main(*map(Path, paths), int(number))
