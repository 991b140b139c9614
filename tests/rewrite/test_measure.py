"""The fastest form is chosen by its times alone, runtimes agree, and memory that is known is found."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from onnx_models import model, node, normal
from upstroke import timing
from upstroke.errors import FileError, MissingExtraError, OptionError
from upstroke.rewrite import measure, memory
from upstroke.rewrite.measure import Choice, Gain, choose, gained, one_thread, session_of, words_of_gain
from upstroke.rewrite.memory import peak_of_module, peak_of_onnx
from upstroke.rewrite.runtime_onnxruntime import written_for_runtimes
from upstroke.rewrite.runtime_pytorch import calls_of
from upstroke.timing import Timing


class Clock:
    """A clock that only calls move."""

    def __init__(self):
        self.now, self.runs = 0.0, {}

    def perf_counter(self):
        return self.now

    process_time = perf_counter

    def get_clock_info(self, name):
        assert name == "process_time"
        return SimpleNamespace(resolution=1e-9)

    def takes(self, name, *seconds):
        """A call that takes these seconds, then the last of them again and again."""
        left = list(seconds)

        def call():
            self.runs[name] = self.runs.get(name, 0) + 1
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call

    def candidates(self, **seconds):
        return {
            name.replace("_", " "): self.takes(name, *(each if isinstance(each, tuple) else (each,)))
            for name, each in seconds.items()
        }


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(measure, "time", clock)
    return clock


def a_timing(seconds):
    return Timing(median=seconds, spread=0.0, runs=5)


# The choice


def test_the_fastest_form_is_chosen_and_its_ratio_is_told(clock):
    found = choose(clock.candidates(as_it_is=0.5, transposed=0.25, phases=0.3125))
    assert (found.form, found.best, found.ratio) == ("transposed", "transposed", 2.0)
    assert found.ratio_of("phases") == 1.6
    assert list(found.timings) == ["as it is", "transposed", "phases"]


def test_a_form_that_gains_too_little_is_not_used_and_is_told(clock):
    candidates = clock.candidates(as_it_is=0.5, transposed=0.46875)
    found = choose(candidates)
    assert (found.form, found.best, found.ratio) == (None, "transposed", 0.5 / 0.46875)
    assert choose(candidates, least=1.05).form == "transposed"
    assert choose(clock.candidates(as_it_is=0.5, transposed=0.5), least=1.0).form == "transposed"
    assert choose(clock.candidates(as_it_is=0.5, transposed=0.625), least=1.0).form is None


def test_of_forms_that_take_the_same_the_first_is_used(clock):
    forms = {"as_it_is": 1.0, "phases": 0.25, "shuffle": 0.25, "transposed": 0.25}
    assert choose(clock.candidates(**forms)).form == "phases"
    assert choose(clock.candidates(**dict(reversed(forms.items())))).form == "transposed"


def test_two_that_are_close_are_timed_again(clock):
    # 3 % apart at first, because one was interrupted: a first run and two turns; then the truth
    slow_at_first = (0.515625, 0.515625, 0.515625, 0.25)
    found = choose(clock.candidates(as_it_is=1.0, transposed=0.5, phases=slow_at_first), seconds=1.0)
    assert found.form == "phases"
    assert clock.runs == {"as_it_is": 3, "transposed": 5, "phases": 5}


def test_what_gains_barely_enough_does_so_twice(clock):
    # 1.25 times as fast, a first run and two turns, and then no more
    forms = {"as_it_is": (1.25, 1.25, 1.25, 1.125), "transposed": 1.0}
    found = choose(clock.candidates(**forms), seconds=1.0)
    assert (found.form, found.best, found.ratio) == (None, "transposed", 1.125)
    assert choose(clock.candidates(as_it_is=1.25, transposed=1.0), seconds=1.0).form == "transposed"


def test_slow_sites_run_twice_and_quick_ones_many_times(clock):
    slow = choose(clock.candidates(as_it_is=8.0, transposed=4.0), seconds=1.0)
    assert [each.runs for each in slow.timings.values()] == [2, 2]
    assert clock.now == 3 * 12
    clock.now = 0.0
    quick = choose(clock.candidates(as_it_is=0.000488281250, transposed=0.000244140625), seconds=1.0)
    assert quick.timings["as it is"].runs >= 15 * 6
    assert clock.now < 0.2


def test_what_a_site_takes_stays_within_its_seconds(clock):
    choose(clock.candidates(as_it_is=0.03125, transposed=0.015625, phases=0.0234375), seconds=2.0)
    assert clock.now < 2.5


def test_a_form_that_cannot_run_is_left_out_and_what_there_is_must_run(clock):
    def fails():
        msg = "no kernel\nfor this"
        raise RuntimeError(msg)

    found = choose({**clock.candidates(as_it_is=0.5, phases=0.25), "transposed": fails})
    assert (found.form, found.failed) == ("phases", {"transposed": "no kernel for this"})
    alone = choose({**clock.candidates(as_it_is=0.5), "transposed": fails})
    assert (alone.form, alone.best, alone.ratio) == (None, None, None)
    with pytest.raises(RuntimeError, match=r"^no kernel"):
        choose({"as it is": fails, **clock.candidates(phases=0.25)})


def test_bad_arguments_are_refused_with_a_remedy():
    with pytest.raises(
        OptionError, match=r"^what a form is compared with must be given as 'as it is'; got phases$"
    ):
        choose({"phases": lambda: None})
    with pytest.raises(OptionError, match=r"^the least ratio must be above 0; got 0\.0$"):
        choose({"as it is": lambda: None}, least=0.0)


def test_torch_keeps_to_one_thread_inside_and_gets_its_threads_back():
    before = torch.get_num_threads()
    seen = []
    try:
        torch.set_num_threads(2)
        choose({"as it is": lambda: seen.append(torch.get_num_threads())}, seconds=0.001)
        assert set(seen) == {1}
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# The whole model


def test_the_gain_of_a_model_and_the_share_of_what_was_changed(clock):
    said = []
    found = gained(
        clock.takes("before", 0.5),
        clock.takes("after", 0.4375),
        sites=[0.0625, 0.0625],
        progress=lambda text, share: said.append((text, share)),
    )
    assert (found.ratio, found.share, found.limit) == (0.5 / 0.4375, 0.25, 1 / 0.75)
    assert said == [("timing the whole model before and after", 0.0)]
    assert words_of_gain(found) == (
        "the model takes 438 ms, before 500, so it is 1.14 times as fast; what was changed took 25 % of its "
        "time before, so that no more than 1.33 times was to be had: the other 75 % is elsewhere"
    )


def test_little_is_said_where_little_is_known_or_most_was_changed():
    before, after = a_timing(0.04), a_timing(0.02)
    known = Gain(before=before, after=after, share=0.9)
    fast = "the model takes 20 ms, before 40, so it is 2.00 times as fast"
    assert words_of_gain(known) == f"{fast}; what was changed took 90 % of its time before"
    assert words_of_gain(Gain(before=before, after=after)) == fast
    assert Gain(before=before, after=after, share=1.0).limit == float("inf")
    assert Gain(before=before, after=after).limit is None


def test_sites_that_take_longer_alone_than_the_model_are_all_of_it(clock):
    assert gained(clock.takes("b", 0.5), clock.takes("a", 0.5), sites=[0.5, 0.25]).share == 1.0


# Runtimes


def resized():
    return model(
        [
            node("Resize", ["x", "", "scales"], "a", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            node("Conv", ["a", "w"], "b", pads=[1, 0, 1, 2]),
            node("Relu", ["b"], "y"),
        ],
        {"x": [1, 3, "H", "W"]},
        ("y", "a"),
        weights={
            "scales": np.array([1, 1, 2, 3], np.float32),
            "w": normal(0, 4, 3, 3, 3).numpy(),
        },
    )  # fmt: skip


def test_both_runtimes_give_equal_numbers(tmp_path):
    built = resized()
    path = tmp_path / "model.onnx"
    path.write_bytes(built.SerializeToString())
    x = normal(1, 1, 3, 5, 7)
    found = [
        session_of(of, runtime)([x.numpy()])
        for runtime in ("onnxruntime", "openvino")
        for of in (built, path)
    ]
    for y, a in found:
        assert y.shape == (1, 4, 10, 21)
        assert a.shape == (1, 3, 10, 21)
        np.testing.assert_allclose(y, found[0][0], atol=1e-5)
        np.testing.assert_array_equal(a, found[0][1])
    weight = normal(0, 4, 3, 3, 3)
    grown = nn.functional.pad(nn.functional.interpolate(x, scale_factor=(2, 3)), (0, 2, 1, 1))
    np.testing.assert_allclose(found[0][0], nn.functional.conv2d(grown, weight).relu(), atol=1e-5)


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("onnxruntime", "running ONNX models needs the package onnxruntime; pip install 'upstroke[onnx]'"),
        ("openvino", "measuring for OpenVINO needs the package openvino; pip install openvino"),
    ],
)
def test_a_runtime_that_is_missing_says_what_to_install(runtime, message, monkeypatch):
    monkeypatch.setitem(sys.modules, runtime, None)
    with pytest.raises(MissingExtraError) as error:
        session_of(resized(), runtime)
    assert str(error.value) == message


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_model_that_a_runtime_cannot_load_is_refused_with_its_words(runtime):
    pytest.importorskip(runtime)
    broken = resized()
    broken.graph.node[2].op_type = "Rilu"
    with pytest.raises(
        FileError, match=r"^the model must run in (ONNX Runtime|OpenVINO), which says: .*Rilu"
    ):
        session_of(broken, runtime)


def test_a_model_too_large_for_one_message_is_written_beside_its_weights(monkeypatch):
    monkeypatch.setattr("upstroke.rewrite.runtime_onnxruntime.LARGEST_MESSAGE", 100)
    built = resized()
    size = built.ByteSize()
    with written_for_runtimes(built) as given:
        assert given.endswith("model.onnx")
    x = normal(1, 1, 3, 5, 7).numpy()
    found = session_of(built, "onnxruntime")([x])
    assert built.ByteSize() == size
    monkeypatch.undo()
    np.testing.assert_array_equal(found[0], session_of(built, "onnxruntime")([x])[0])


def test_modules_are_called_as_they_are_used_and_left_as_they_were():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
    x = torch.ones(2, 3, requires_grad=True)
    with calls_of({"as it is": net, "twice": nn.Sequential(net, net)}, [x]) as calls:
        y = calls["as it is"]()
        calls["twice"]()
    assert not y.requires_grad
    assert torch.equal(y, net[0].eval()(x) * 1)
    net.train()
    assert net[0].num_batches_tracked == 0


# Memory


def test_the_peak_of_a_module_is_what_is_alive_at_once():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)

        def forward(self, x):
            y = self.conv(x)
            # a view and what is written in place are no further memory
            y = y.view(-1).add_(1).view_as(y)
            z = torch.cat([y, y], 1)
            del y
            # z and its square, of 16 channels each, and their sum
            return (z * z).sum()

    x = normal(0, 1, 3, 10, 14)
    bytes_of_a_channel = 4 * 10 * 14
    net = Net()
    net.train()
    assert peak_of_module(net, [x]).bytes == 2 * 16 * bytes_of_a_channel + 4
    assert net.training


def test_inputs_and_weights_are_not_counted():
    net = nn.Sequential(nn.Linear(100, 2), nn.Flatten())
    found = peak_of_module(net, [torch.rand(5, 100)])
    assert found.bytes == 5 * 2 * 4
    assert "without weights and inputs" in found.how


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says how much a run takes")
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_peak_of_a_file_grows_as_its_maps_do(runtime):
    pytest.importorskip(runtime)
    built = model(
        [node("Exp", ["x"], "a"), node("Sqrt", ["a"], "b"), node("ReduceSum", ["b"], "y")],
        {"x": [1, 8, "H", 1024]},
    )
    few, many = (
        peak_of_onnx(built, [np.ones((1, 8, height, 1024), np.float32)], runtime=runtime).bytes
        for height in (256, 1024)
    )
    one_map = 4 * 8 * 1024 * (1024 - 256)
    # one map at least, where the second is written over the first; not many times as much
    assert 0.9 * one_map < many - few < 4 * one_map


def test_what_cannot_be_measured_says_why(monkeypatch):
    x = [np.ones((1, 3, 5, 7), np.float32)]
    assert peak_of_onnx(resized(), x, runtime="onnxruntime", seconds=0.01).how == (
        "measuring it took more than 0.01 s"
    )
    broken = resized()
    broken.graph.node[2].op_type = "Rilu"
    found = peak_of_onnx(broken, x, runtime="onnxruntime")
    assert found.bytes is None
    assert "the process that measures it failed: upstroke.errors.FileError: the model must run" in found.how

    class Nowhere(type(memory.Path())):
        def exists(self):
            return False

    monkeypatch.setattr(memory, "Path", Nowhere)
    assert peak_of_onnx(resized(), x, runtime="onnxruntime").how == (
        "this system does not say how much memory a run takes"
    )


# Real times


@pytest.mark.alone
def test_a_call_that_does_half_the_work_is_chosen():
    a = torch.rand(256, 256)
    found = choose(
        {"as it is": lambda: a @ a @ a @ a, "transposed": lambda: a @ a, "phases": lambda: a @ a @ a}
    )
    assert isinstance(found, Choice)
    assert found.form == "transposed"
    assert 2 < found.ratio < 4.5


def test_a_model_that_takes_as_long_is_not_called_faster_or_slower():
    times = [Timing(median=seconds, spread=0.0, runs=5) for seconds in (0.100, 0.101)]
    assert (
        words_of_gain(Gain(before=times[0], after=times[1]))
        == "the model takes 101 ms, before 100, which is as fast"
    )
    # of a model in which no site was rewritten there is no part to speak of
    moved = Gain(before=times[0], after=times[0], share=0.0)
    assert words_of_gain(moved) == "the model takes 100 ms, before 100, which is as fast"
