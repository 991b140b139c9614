"""Hold that whatever the rules find of real networks to be cheaper is changed exactly, or left with a reason."""

import warnings

import pytest
import torch
from steps_in_torch import largest, run_steps

import zoo
from upstroke.audit import check
from upstroke.graph.torch import record
from upstroke.rewrite.change import Change, Together
from upstroke.rewrite.changes import changes

CODES = ["UP301", "UP302", "UP303"]
SIZES = {1: (7,), 2: (5, 6), 3: (4, 5, 3)}


# one of each family that has findings, and the quick ones
SAMPLE = (
    "autoencoder_kl",
    "autoencoder_tiny",
    "dac",
    "dit_unpatchify",
    "monai_basic_unet",
    "monai_basic_unet_shuffle",
    "monai_segresnet",
    "monai_vnet",
    "sam_mask_decoder",
    "speech_t5_hifi_gan",
    "swin2sr_nearest",
    "unet2d",
    "vit_pose_simple",
    "vq_model",
)


def recorded(name):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # what these packages say of themselves and each other while they are loaded
        warnings.simplefilter("ignore")
        try:
            specimen = zoo.MODELS[name]()
        except ImportError as error:
            pytest.skip(str(error).splitlines()[0])
        return record(specimen.module.eval(), specimen.inputs, kwargs=specimen.keywords)


@pytest.mark.parametrize("name", SAMPLE)
def test_every_finding_is_changed_exactly_or_left_with_a_reason(name):
    graph = recorded(name)
    found_at = {finding.site for finding in check(graph, select=CODES).findings}
    for target in ("onnx", "pytorch"):
        found = changes(graph, target=target)
        changed = [each for each in found if isinstance(each, Change)]
        # what two sites share goes to the first, and to the next in the next round
        taken = {node.name for change in changed for node in change.nodes}
        assert found_at <= {each.site for each in found} | taken
        for change in changed:
            check_one(change, graph)


def check_one(change, graph):
    """Compare a change with what it replaces, and see that nothing else takes what it swallows."""
    assert (change.first, change.last) == (change.nodes[0].inputs[0], change.nodes[-1].output)
    assert all(graph.only_consumer(node.output) is not None for node in change.nodes[:-1])
    if not isinstance(change.does, Together) or change.does.plain:
        return
    operator = change.does.affine.operator
    x = torch.randn(1, operator.in_channels, *SIZES[operator.ndim], dtype=torch.float64)
    expected, y = run_steps([node.step for node in change.nodes], x), change.does.affine(x)
    inner = [
        slice(left, size - right) for (left, right), size in zip(operator.margin, y.shape[2:], strict=True)
    ]
    assert largest(y[:, :, *inner], expected[:, :, *inner]) <= 1e-12
