"""Hold what people are told while a model is trained, and the moving average of its weights."""

import io
import re
import sys

import pytest
import torch
from torch import nn

from upstroke.errors import OptionError
from upstroke.train import MovingAverage, derived_seed, seeded
from upstroke.train import progress as telling_module
from upstroke.train.keeper import Told
from upstroke.train.progress import telling


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(step, value=None):
    return Told(step=step, steps=10, losses={"loss": 0.25}, monitor="val_loss", value=value, best=value)


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    clock, written = [100.0], io.StringIO()
    monkeypatch.setattr(telling_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sys, "stderr", written)
    with telling(is_wanted=True, start=2) as tell:
        for step, now in ((3, 110.0), (4, 131.0), (5, 132.0), (7, 170.0)):
            clock[0] = now
            tell(told(step, value=0.5 if step == 7 else None))
    assert written.getvalue().splitlines() == [
        "step 4 of 10, loss 0.25, 1:33 left",
        "step 7 of 10, loss 0.25, val_loss 0.5, 0:42 left",
    ]


def test_a_terminal_has_a_bar_that_goes_away(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with telling(is_wanted=True, start=0) as tell:
        tell(told(5, value=0.5))
    words = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "5/10 loss 0.25, val_loss 0.5, 0:00 left" in words


def test_who_wants_nothing_is_told_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with telling(is_wanted=False, start=0) as tell:
        tell(told(5))
    assert terminal.getvalue() == ""


def test_an_average_follows_as_its_formula_says():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = MovingAverage(net, decay=0.2)
    expected = [each.detach().clone() for each in net.parameters()]
    for count in range(5):
        with torch.no_grad():
            for each in net.parameters():
                each.add_(torch.randn_like(each))
        net(torch.randn(4, 2))
        average.update(net)
        share = min(0.2, count / (count + 10))
        expected = [
            share * old + (1 - share) * new for old, new in zip(expected, net.parameters(), strict=True)
        ]
    for mine, wanted in zip(average.module.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, wanted.detach())
        assert not mine.requires_grad
    assert torch.equal(average.module[1].running_mean, net[1].running_mean)
    assert average.updates == 5
    x = torch.randn(4, 2)
    assert torch.equal(average.eval()(x), average.module(x))
    message = "decay is the share of the old average that stays, at least 0 and below 1; got 1.0"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        MovingAverage(net, decay=1.0)


def test_seeds_follow_from_every_part():
    parts = [(0, "step", 1), (0, "step", 11), (0, "batch", 1), (1, "step", 1), (0, "step", 1, 1)]
    assert len({derived_seed(*each) for each in parts}) == len(parts)
    with seeded(0, "a"):
        one = torch.rand(3)
    with seeded(0, "b"):
        other = torch.rand(3)
    assert not torch.equal(one, other)
