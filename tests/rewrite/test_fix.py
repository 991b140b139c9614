"""Hold what `fix` hands back to what it was given: the same function, and the given model as it was."""

import copy
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onnx_models import model, node
from upstroke.errors import OptionError
from upstroke.graph.torch_names import layer_type
from upstroke.rewrite import fix, torch_fx, work_onnx, work_torch
from upstroke.rewrite.fixed import Pair
from upstroke.rewrite.verify import differences, named_tensors
from upstroke.rewrite.verify_onnx import runner
from upstroke.rewrite.work import Measured


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch):
    """Leave out what takes seconds and is held elsewhere: times and memory of whole models."""
    nothing = Measured(milliseconds=Pair(), memory=Pair(), memory_of="", share=None, words="")
    for work in (work_onnx.WorkOnnx, work_torch.WorkTorch):
        monkeypatch.setattr(work, "measured", lambda self, **rest: nothing)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X = draw(2, 3, 5, 7)


def conv(width=3, **more):
    return nn.Conv2d(3, 4, width, **more)


def grow(scale=(2, 3), mode="nearest"):
    return nn.Upsample(scale_factor=scale, mode=mode)


@dataclass
class Answer:
    y: torch.Tensor


class Function(nn.Module):
    """A site that is calls of functions, with an answer of any form."""

    def __init__(self, wrap=lambda y: y, before=lambda x: x):
        super().__init__()
        self.weight = nn.Parameter(draw(4, 3, 3, 3))
        self.wrap, self.before = wrap, before

    def forward(self, x, *, factor=2.0):
        y = F.interpolate(self.before(x), scale_factor=(2.0, 3.0))
        return self.wrap(F.conv2d(y, self.weight, padding=1))


class Twice(nn.Module):
    """One convolution that two sites call, and a layer with the same weights that is none."""

    def __init__(self):
        super().__init__()
        self.up, self.conv, self.plain = grow(), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.plain.weight = self.conv.weight

    def forward(self, x):
        return self.plain(x), self.conv(self.up(self.conv(self.up(x))))


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.site = nn.Sequential(grow(), conv(padding=1))
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x):
        self.runs += 1
        y = self.site(x)
        return y + torch.randn_like(y)


MODELS = {
    "zeros": lambda: nn.Sequential(grow(), conv(padding=1)),
    "reflection": lambda: nn.Sequential(grow(), conv(padding=1, padding_mode="reflect")),
    "copies": lambda: nn.Sequential(grow(), conv(5, padding=2, padding_mode="replicate")),
    "around": lambda: nn.Sequential(grow(), conv(5, padding=2, padding_mode="circular")),
    "same, even": lambda: nn.Sequential(grow(), conv((2, 4), padding="same")),
    "uneven pads": lambda: nn.Sequential(grow(), nn.ZeroPad2d((1, 2, 0, 1)), conv()),
    "without bias": lambda: nn.Sequential(grow(), conv(padding=1, bias=False)),
    "1x1": lambda: nn.Sequential(grow(mode="bilinear"), nn.Conv2d(3, 2, 1)),
    "one axis": lambda: nn.Sequential(grow((1, 3)), conv(padding=1)),
    "norm": lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 4, 2, 3), nn.BatchNorm2d(4, affine=False)),
    "dilated": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 6, 3, (2, 3), dilation=2, groups=3), nn.BatchNorm2d(6)
    ),
    "weight norm": lambda: nn.Sequential(
        grow(), nn.utils.parametrizations.weight_norm(conv(padding=1))
    ),
    "shared": Twice,
    "noise": Noisy,
    "function": Function,
    "function, dict": lambda: Function(lambda y: {"y": y, "none": None}),
    "in double but for one": lambda: nn.Sequential(
        grow(), conv(padding=1), _To(torch.float64), nn.Conv2d(4, 9, 3).double()
    ),
    "huge weights": lambda: _filled(nn.Sequential(grow(), conv(padding=1)), 1e30),
}  # fmt: skip


class _To(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


def _filled(net, factor):
    net[1].weight.data *= factor
    return net


def state_of(net):
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    hooks = [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in net.modules()]
    flags = [part.training for part in net.modules()]
    return {name: (id(each), each.clone()) for name, each in held.items()}, hooks, flags, list(net.modules())


def assert_untouched(net, before):
    weights, *rest = state_of(net)
    assert rest == list(before[1:])
    assert weights.keys() == before[0].keys()
    for name, (place, values) in weights.items():
        assert place == before[0][name][0]
        assert torch.equal(values, before[0][name][1])


@pytest.mark.parametrize("name", MODELS)
def test_a_fixed_model_computes_the_same_and_the_given_one_is_left_alone(name):
    torch.manual_seed(0)
    net = MODELS[name]().eval()
    before, random, x = state_of(net), torch.get_rng_state(), X.clone()
    fixed = fix(net, x, form="transposed")
    assert_untouched(net, before)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, X)
    assert fixed.changed
    assert fixed.is_verified, [each.words for each in fixed.verified]
    old, new = _answers(copy.deepcopy(net)), _answers(fixed.model)
    largest = 1e-5 if old.keys() == new.keys() else 0.0
    assert max(each.relative for each in differences(old, new)) <= largest
    assert not fix(fixed.model, x, form="transposed").changed


def _answers(net):
    torch.manual_seed(1)
    with torch.no_grad():
        return named_tensors(net(X.clone()))


def test_functions_of_a_traced_model_are_no_layers_of_upstroke():
    # they were once taken for its own layer, so that no such site was ever rewritten
    found = torch_fx.located(torch.fx.symbolic_trace(Function()), [X])
    assert [each.operator for each in found.graph.nodes] == ["aten.upsample_nearest2d", "aten.conv2d"]
    assert layer_type(torch_fx._Run(torch.fx.symbolic_trace(Function()), found.calls)) is None


def test_where_nothing_comes_of_a_traced_model_the_given_one_is_handed_back(monkeypatch):
    real = work_torch.WorkTorch.planned
    monkeypatch.setattr(
        work_torch.WorkTorch, "planned", lambda self, graph: () if self._how else real(self, graph)
    )
    net = Function().eval()
    fixed = fix(net, X, form="transposed")
    assert (fixed.model is net, fixed.changed, fixed.notes) == (True, False, ())
    (outcome,) = fixed.outcomes
    assert outcome.words.endswith(": that takes a traced model, in which the site was not found again")


def test_a_traced_model_that_takes_fewer_sizes_is_not_used():
    # torch.export finds that the product of the sizes is never that of others, which holds not for all
    def to_fours(x):
        return F.avg_pool2d(F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4)), 2)

    net = Function(lambda y: y[:, :, :5], before=to_fours).eval()
    fixed = fix(net, X, form="transposed")
    assert fixed.is_verified
    assert fixed.changed or "takes other sizes than the model" in fixed.outcomes[0].words


def test_training_mode_is_not_taken_for_evaluation():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.norm = nn.ConvTranspose2d(3, 3, 4, 2, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.up(self.norm(x).relu()))

    words = "is in training mode, where it goes by the statistics of each batch; call model.eval() first"
    net = Both().train()
    fixed = fix(net, X, form="transposed", select=["fold"])
    # the second call of a layer has a number behind its name
    assert fixed.model is net
    assert [each.words for each in fixed.outcomes] == [f"batch normalisation norm:2 {words}"]
    fixed = fix(Function().train(), X, form="transposed")
    assert not fixed.changed
    assert fixed.outcomes[0].words.endswith(
        "a graph traced of it would evaluate from then on; call model.eval() first"
    )
    drawn = nn.Sequential(grow(), nn.utils.spectral_norm(conv(padding=1))).train()
    assert not fix(drawn, X, form="transposed").changed


def test_what_is_asked_for_is_done_and_no_more():
    net = nn.Sequential(grow(), nn.Conv2d(3, 3, 3, padding=1), grow(), nn.Conv2d(3, 3, 1)).eval()
    assert [each.site for each in fix(net, X, form="phases", select=["up302"]).outcomes] == ["2"]
    only = fix(net, X, form="phases", sites=["0"])
    assert [(each.site, each.became, each.form) for each in only.outcomes] == [("0", "rewritten", "phases")]
    assert not fix(net, X, select=["none"]).outcomes
    # nothing is a hundred times as fast
    left = fix(net, X, least=1e6, seconds=0.01)
    assert {each.became for each in left.outcomes} == {"left"}
    assert left.model is net
    one = fix(nn.Sequential(*net[2:]), X, form="shuffle")
    assert one.notes == ("no site can take the form 'shuffle', so each has the first that serves it",)


def test_the_same_seed_gives_the_same():
    net = MODELS["copies"]().eval()
    one, two = (fix(net, X, form="phases", seed=3).as_json() for _ in range(2))
    assert one == two


def test_progress_is_told():
    told = []
    fix(MODELS["zeros"]().eval(), X, form="transposed", progress=lambda words, share: told.append(share))
    assert len(told) > 4
    assert all(0 <= share <= 1 for share in told)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"least": 0.0}, "least (--least-gain) must be a number above 0; got 0.0"),
        ({"seconds": float("nan")}, "seconds must be a number above 0; got nan"),
        ({"tolerance": -1.0}, "tolerance must be a number from 0 on; got -1.0"),
        (
            {"sites": ["O"]},
            "there is no site 'O'; the nearest are '0'; name one as `upstroke check` does",
        ),
    ],
)
def test_settings_that_cannot_be_meant(asked, message):
    with pytest.raises(OptionError) as told:
        fix(MODELS["zeros"]().eval(), X, **asked)
    assert str(told.value) == message


def test_a_model_that_cannot_be_copied_is_refused():
    net = MODELS["zeros"]().eval()
    net.opened = open(__file__)  # noqa: SIM115 - held, as a logger does
    with (
        net.opened,
        pytest.raises(OptionError, match=r"^a model is changed in a copy, and this one cannot be"),
    ):
        fix(net, X, form="transposed")


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        net = MODELS["zeros"]().eval()
    assert fix(net, X, form="transposed").changed


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def shared(scale=(2, 3)):
    """Two sites and a layer that is none, all with one weight; a map of a site is an output as well."""
    nodes = [
        node("Resize", ["x", "", "s"], "u", mode="nearest"),
        node("Conv", ["u", "w"], "a", pads=[1] * 4),
        node("Resize", ["a", "", "s"], "v", mode="nearest"),
        node("Conv", ["v", "w"], "b", pads=[1] * 4),
        node("Conv", ["b", "w"], "y"),
    ]
    held = {"s": np.array([1, 1, *scale], np.float32), "w": weights(3, 3, 3, 3)}
    return model(nodes, {"x": ["N", 3, "H", "W"]}, ("y", "a"), weights=held)


# DepthToSpace lays out both axes by one factor
@pytest.mark.parametrize(("form", "scale"), [("transposed", (2, 3)), ("phases", (2, 2)), ("shuffle", (3, 3))])
def test_a_fixed_file_computes_the_same_and_the_given_one_is_left_alone(form, scale):
    given = shared(scale)
    given.metadata_props.add(key="kept", value="yes")
    before = given.SerializeToString(deterministic=True)
    fixed = fix(given, {"x": (1, 3, 4, 6)}, form=form)
    assert given.SerializeToString(deterministic=True) == before
    assert [each.form for each in fixed.outcomes] == [form, form]
    assert fixed.is_verified
    assert fixed.model.metadata_props[0].value == "yes"
    assert list(fixed.model.graph.input) == list(given.graph.input)
    assert list(fixed.model.graph.output) == list(given.graph.output)
    assert {each.domain for each in fixed.model.graph.node} == {""}
    assert list(fixed.model.opset_import) == list(given.opset_import)
    found = differences(runner(given)(X), runner(fixed.model)(X))
    assert max(each.relative for each in found) <= 1e-5
    assert not fix(fixed.model, {"x": (1, 3, 4, 6)}, form=form).changed
    held = [each.name for each in fixed.model.graph.initializer]
    # the layer that is no site keeps the weight, and both sites have one of their own in common
    assert "w" in held
    kernels = [each for each in fixed.model.graph.initializer if len(each.dims) == 4]
    assert len(kernels) == 1 + (4 if form == "phases" else 1)


def test_weights_that_a_caller_may_give_otherwise_stay():
    given = shared()
    given.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [3, 3, 3, 3]))
    fixed = fix(given, {"x": (1, 3, 4, 6)}, form="transposed")
    words = "its weights are an input of the model, which the caller may give otherwise"
    assert {each.words for each in fixed.outcomes} == {words}
    assert fixed.model == given


def test_pictures_of_whole_numbers_are_not_compared_as_zeros():
    nodes = [node("Cast", ["x"], "f", to=onnx.TensorProto.FLOAT), *shared().graph.node[:2]]
    nodes[1].input[0] = "f"
    held = {"s": np.array([1, 1, 2, 3], np.float32), "w": weights(3, 3, 3, 3)}
    given = model(nodes, {"x": ["N", 3, "H", "W"]}, ("a",), weights=held, dtype=onnx.TensorProto.FLOAT)
    given.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    fixed = fix(given, {"x": (1, 3, 4, 6)}, form="transposed")
    assert fixed.is_verified
    assert fixed.work._example()[0].unique().numel() > 10


def test_a_wrong_form_is_found_and_its_site_named(monkeypatch):
    right = work_onnx.rewritten

    def wrong(held, chosen):
        made = right(held, chosen)
        for each in made.graph.initializer if any(c.site == "the_v" for c, _ in chosen) else ():
            if len(each.dims) == 4 and each.name != "w":
                each.CopyFrom(
                    onnx.numpy_helper.from_array(1.01 * onnx.numpy_helper.to_array(each), each.name)
                )
        return made

    monkeypatch.setattr(work_onnx, "rewritten", wrong)
    given = shared()
    fixed = fix(given, {"x": (1, 3, 4, 6)}, form="transposed")
    assert not fixed.is_verified
    assert fixed.model == given
    note = "site the_v is to blame, in the form 'transposed'; name the others with --site"
    assert note in fixed.notes
    with pytest.raises(OptionError, match=r"^old and new must agree before the new model is written"):
        fixed.save("never.onnx")
