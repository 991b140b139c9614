"""What torch.compile and torch.export make of models, and what of operators of ours stands in it.

Run by test_compiled_rewrites.py in a process of its own, because the compiler cannot read the checks of
annotations with which all other tests run.
"""

import subprocess
import sys

import pytest
import torch
from torch import nn

from tolerance import assert_same
from upstroke import upsample
from upstroke.graph import sites
from upstroke.graph.torch import record
from upstroke.nn import ResizeConv, TransposedConv
from upstroke.polyphase import linear
from upstroke.rewrite.torch_export import save_exported

X = torch.rand(1, 3, 8, 12)
OTHERS = (torch.rand(2, 3, 9, 7), torch.rand(1, 3, 13, 18), torch.rand(3, 3, 5, 6))


class Upsamples(nn.Module):
    """An operator of ours stands in what is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.operator, self.conv = linear((2, 3)), nn.Conv2d(3, 2, 3)

    def forward(self, x):
        return self.conv(upsample(x, self.operator))


def test_saved_programs_load(tmp_path):
    net = Upsamples().eval()
    path = tmp_path / "net.pt2"
    assert save_exported(net, [X], path) == ()
    module = torch.export.load(path).module()
    for x in OTHERS:
        assert_same(module(x), net(x))
    # and are read as what they are
    assert [site.node.operator for site in sites(record(module, [X]))] == ["upstroke.upsample"]


LOAD = """
import sys, torch
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "upstroke":
            raise ImportError("upstroke is hidden")
if sys.argv[2] == "hidden":
    sys.meta_path.insert(0, Refuses())
else:
    import upstroke
module = torch.export.load(sys.argv[1]).module()
print(tuple(module(torch.rand(3, 3, 9, 7)).shape))
"""


@pytest.mark.parametrize(
    ("make", "with_ours"),
    [(lambda: nn.Sequential(ResizeConv(3, 4), TransposedConv(4, 2, 4)), True), (Upsamples, False)],
)
def test_what_loading_needs(tmp_path, make, with_ours):
    path = tmp_path / "net.pt2"
    save_exported(make().eval(), [X], path)

    def loaded(*, hidden):
        command = [sys.executable, "-c", LOAD, str(path), "hidden" if hidden else "seen"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = loaded(hidden=True)
    if with_ours:
        assert found.stdout == "(3, 2, 36, 28)\n", found.stderr
    else:
        assert found.returncode == 1
        assert "upstroke" in found.stderr
        assert loaded(hidden=False).stdout == "(3, 2, 16, 19)\n"
