"""Hold what a terminal is told while a model is fixed."""

import io
import sys

import torch
from torch import nn

from upstroke.cli.fix import _clear, _teller
from upstroke.rewrite import fix


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_told_how_far_a_fix_is(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3, padding=1)).eval()
    fixed = fix(net, torch.rand(1, 3, 5, 7), form="transposed", progress=_teller(quiet=False))
    _clear(quiet=False)
    assert fixed.changed
    told = terminal.getvalue().split("\r\x1b[K")
    assert told[:2] == ["", "checking the model"]
    assert "rewriting 1 site (100%)" in told
    assert told[-1] == ""


def test_nothing_is_told_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert _teller(quiet=False) is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert _teller(quiet=True) is None
