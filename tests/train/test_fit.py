"""Hold the training harness: its folder, its refusals, its ends, and that it leaves no traces elsewhere."""

import errno
import json
import os
import random
import re
import signal
import warnings

import numpy
import pandas
import pytest
import torch
from killed_runs import EVERY, STEPS, Drawn, Line, Pair, same, state_of, train
from torch import nn

from upstroke.errors import FileError, OptionError, TrainingError
from upstroke.files import place
from upstroke.files.safetensors import read_safetensors
from upstroke.train import Batches, Task, fit


class Slope(Task):
    """One weight that should become 3."""

    def __init__(self, rate=0.1, held_out=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.rate = rate
        self.held_out = held_out

    def training_step(self, batch):
        return ((self.weight - 3) * batch).square().mean()

    def validation_step(self, batch):
        value = (self.weight - 3).square() if self.held_out is None else self.held_out(self.global_step)
        self.log("val_loss", torch.as_tensor(value))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.rate)

    def export(self):
        return {"weight": self.weight}, {"scale": [2, 3], "name": "slope"}


class Ones:
    def batch(self, step):
        return torch.ones(2)


def go(task, out, **options):
    options = {"steps": 8, "every": 2, "batches": Ones(), "command": ["slope"], **options}
    return fit(task, out, progress=False, **{"tensorboard": False, **options})


def says(message):
    return f"^{re.escape(message)}$"


def test_a_run_folder_holds_everything(tmp_path):
    out = tmp_path / "run"
    fitted = go(
        Slope(), out, validation=[torch.ones(1)], settings={"factor": [4, 2]}, tensorboard=True, seed=5
    )
    assert (fitted.step, fitted.best_step, fitted.is_early, fitted.rank) == (8, 8, False, 0)
    assert sorted(each.name for each in out.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.csv",
        "model.safetensors",
        "report.html",
        "tensorboard",
    ]
    assert sorted(each.name for each in (out / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    config = json.loads((out / "config.json").read_text())
    assert (config["schema"], config["seed"], config["steps"]) == ("upstroke.train/1", 5, 8)
    assert (config["command"], config["settings"]) == (["slope"], {"factor": [4, 2]})
    assert set(config["versions"]) == {"upstroke", "python", "torch", "lightning", "numpy"}
    tensors, metadata = read_safetensors(fitted.weights)
    # w <- w - 0.2 (w - 3), eight times
    assert tensors["weight"].item() == pytest.approx(3 * (1 - 0.8**8), rel=1e-6)
    assert metadata == {"scale": [2, 3], "name": "slope"}
    table = pandas.read_csv(out / "metrics.csv")
    assert list(table.columns) == ["step", "loss", "seconds", "val_loss"]
    assert list(table["step"]) == list(range(1, 9))
    assert list(table["val_loss"].dropna()) == pytest.approx(
        [9 * 0.8 ** (2 * k) for k in (2, 4, 6, 8)], rel=1e-6
    )
    assert list(table["loss"]) == pytest.approx([9 * 0.8 ** (2 * k) for k in range(8)], rel=1e-6)
    assert any(each.name.startswith("events.out") for each in (out / "tensorboard").iterdir())
    assert "Finished after 8 steps; val_loss was best" in (out / "report.html").read_text()


# beartype draws from Python's generator, which is to be looked at
@pytest.mark.usefixtures("_unchecked")
def test_nothing_is_said_and_nothing_left_behind(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    before = (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state())
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        go(Slope(), tmp_path / "run", validation=[torch.ones(1)])
    after = (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state())
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert capfd.readouterr() == ("", "")
    assert [str(each.message) for each in caught] == []
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_without_validation_the_last_weights_are_kept(tmp_path):
    fitted = go(Slope(), tmp_path / "run", steps=5)
    assert (fitted.best_step, fitted.best) == (None, None)
    assert read_safetensors(fitted.weights)[0]["weight"].item() == pytest.approx(3 * (1 - 0.8**5), rel=1e-6)
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()


def test_the_best_weights_are_kept_and_training_stops_early(tmp_path):
    values = {2: 3.0, 4: 1.0, 6: 2.0, 8: 1.0, 10: 0.0}
    fitted = go(
        Slope(held_out=values.get), tmp_path / "run", validation=[torch.ones(1)], steps=20, patience=2
    )
    assert (fitted.step, fitted.best_step, fitted.best, fitted.is_early) == (8, 4, 1.0, True)
    assert read_safetensors(fitted.weights)[0]["weight"].item() == pytest.approx(3 * (1 - 0.8**4), rel=1e-6)
    again = go(
        Slope(held_out=values.get),
        tmp_path / "run",
        validation=[torch.ones(1)],
        steps=20,
        patience=2,
        resume=True,
    )
    assert (again.step, again.best_step, again.is_early) == (8, 4, True)


def test_the_largest_can_be_the_best(tmp_path):
    fitted = go(
        Slope(held_out={2: 1.0, 4: 5.0, 6: 2.0, 8: 3.0}.get),
        tmp_path / "run",
        validation=[torch.ones(1)],
        mode="max",
    )
    assert (fitted.best_step, fitted.best) == (4, 5.0)


def test_the_last_step_is_validated_too(tmp_path):
    fitted = go(Slope(), tmp_path / "run", validation=[torch.ones(1)], steps=7, every=3)
    assert fitted.best_step == 7
    assert list(pandas.read_csv(tmp_path / "run" / "metrics.csv").dropna()["step"]) == [3, 6, 7]


def test_a_run_may_be_made_longer(tmp_path):
    whole = go(Slope(), tmp_path / "whole", steps=9)
    go(Slope(), tmp_path / "run", steps=5)
    longer = go(Slope(), tmp_path / "run", steps=9, resume=True)
    assert longer.step == 9
    assert whole.weights.read_bytes() == longer.weights.read_bytes()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["steps"] == 9


def test_folders_that_are_not_for_a_new_run_are_refused(tmp_path):
    run, other, file = tmp_path / "run", tmp_path / "other", tmp_path / "file"
    go(Slope(), run, steps=2)
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    file.write_text("mine")
    kept = (run / "model.safetensors").read_bytes()
    message = f"a new run needs a new folder; {run} holds a run already; resume it, or choose another name"
    with pytest.raises(FileError, match=says(message)):
        go(Slope(), run, steps=2)
    message = f"a new run needs a new folder; {other} is not empty; choose another name"
    with pytest.raises(FileError, match=says(message)):
        go(Slope(), other)
    message = (
        f"only the folder of a run may be overwritten; {other} holds something else; choose another name"
    )
    with pytest.raises(FileError, match=says(message)):
        go(Slope(), other, overwrite=True)
    with pytest.raises(FileError, match=says(f"a run needs a folder; {file} is a file; choose another name")):
        go(Slope(), file)
    assert (run / "model.safetensors").read_bytes() == kept
    assert [each.name for each in other.iterdir()] == ["thesis.txt"]
    assert go(Slope(), run, steps=3, overwrite=True).step == 3


def test_what_cannot_be_resumed_is_named(tmp_path):
    run = tmp_path / "run"
    message = f"there must be a run to go on with; the folder {run} does not exist; start it without resuming"
    with pytest.raises(FileError, match=says(message)):
        go(Slope(), run, resume=True)
    go(Slope(), run, steps=4, seed=1, settings={"factor": 4, "kind": "mass"})
    same_settings = {"factor": 4, "kind": "mass"}
    for name, was, now, options in (
        ("factor", "4", "2", {"seed": 1, "settings": {"factor": 2, "kind": "mass"}}),
        ("kind", '"mass"', "nothing", {"seed": 1, "settings": {"factor": 4}}),
        ("seed", "1", "2", {"seed": 2, "settings": same_settings}),
        ("every", "2", "3", {"seed": 1, "settings": same_settings, "every": 3}),
        (
            "precision",
            '"32-true"',
            '"64-true"',
            {"seed": 1, "settings": same_settings, "precision": "64-true"},
        ),
    ):
        message = (
            f"a resumed run must have the settings it was started with; {name} was {was} in {run} and is {now} now; "
            "give the same, or start a new run"
        )
        with pytest.raises(OptionError, match=says(message)):
            go(Slope(), run, steps=4, resume=True, **options)
    message = (
        f"a resumed run may be longer but not shorter; {run} was started with steps 4, now they are 3; give at "
        "least as many"
    )
    with pytest.raises(OptionError, match=says(message)):
        go(Slope(), run, steps=3, seed=1, settings=same_settings, resume=True)


def test_another_network_cannot_be_resumed(tmp_path):
    class Wider(Slope):
        def __init__(self):
            super().__init__()
            self.more = nn.Parameter(torch.zeros(2))

    Wider.__qualname__ = Slope.__qualname__
    go(Slope(), tmp_path / "run", steps=2)
    message = (
        f"the weights in {tmp_path}/run/checkpoints/last.ckpt are those of another network; give its settings, "
        "or start a new run"
    )
    with pytest.raises(OptionError, match=says(message)):
        go(Wider(), tmp_path / "run", steps=4, resume=True)


def test_a_loss_that_becomes_nan_ends_the_run_and_keeps_the_last_good_weights(tmp_path):
    class Breaks(Slope):
        def training_step(self, batch):
            return super().training_step(batch) * (float("nan") if self.global_step == 4 else 1)

    message = (
        "training must stay finite; loss became NaN in step 5; the weights of step 4 are kept in "
        f"{tmp_path}/run/checkpoints/last.ckpt; lower the learning rate or clip the gradients"
    )
    with pytest.raises(TrainingError, match=says(message)):
        go(Breaks(), tmp_path / "run")
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["state_dict"]["weight"].item() == pytest.approx(3 * (1 - 0.8**4), rel=1e-6)
    assert "Broken off at step 5 of 8" in (tmp_path / "run" / "report.html").read_text()


def test_weights_that_become_infinite_are_not_kept(tmp_path):
    class Jumps(Slope):
        def on_train_batch_end(self, *_):
            if self.global_step == 3:
                self.weight.data.fill_(float("inf"))

        def training_step(self, batch):
            return super().training_step(batch).nan_to_num(0)

    message = (
        "training must stay finite; the weights weight became NaN or infinite by step 4; the weights of step 2 are "
        f"kept in {tmp_path}/run/checkpoints/last.ckpt; lower the learning rate or clip the gradients"
    )
    with pytest.raises(TrainingError, match=says(message)):
        go(Jumps(), tmp_path / "run")
    assert read_safetensors(tmp_path / "run" / "model.safetensors")[0]["weight"].isfinite()


def test_a_validation_that_is_nan_is_no_measure(tmp_path):
    values = {2: 3.0, 4: float("nan")}
    message = (
        "training must stay finite; val_loss became NaN in the validation after step 4; the weights of step 2 are "
        f"kept in {tmp_path}/run/checkpoints/last.ckpt; lower the learning rate or clip the gradients"
    )
    with pytest.raises(TrainingError, match=says(message)):
        go(Slope(held_out=values.get), tmp_path / "run", validation=[torch.ones(1)])


# a worker of pytest-xdist may not survive a signal to itself
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", [Line, Pair])
def test_a_run_that_is_interrupted_says_so_and_goes_on_exactly(tmp_path, kind, number):
    class Interrupted(kind):
        def training_step(self, batch):
            if self.global_step == 6:
                os.kill(os.getpid(), number)
            return super().training_step(batch)

    Interrupted.__qualname__ = kind.__qualname__
    train(kind, tmp_path / "whole")
    run = tmp_path / "run"
    message = f"training was stopped after step 7 of {STEPS}; step 7 is kept in {run}; resume it to go on"
    with pytest.raises(KeyboardInterrupt, match=says(message)):
        train(Interrupted, run, held_out=kind is Line)
    assert "can be resumed" in (run / "report.html").read_text()
    train(kind, run, resume=True)
    assert same(state_of(run), state_of(tmp_path / "whole"))


@pytest.mark.alone
def test_a_second_interrupt_ends_at_once(tmp_path):
    class Interrupted(Slope):
        def training_step(self, batch):
            if self.global_step == 5:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return super().training_step(batch)

    message = f"training was stopped after step 5 of 8; step 4 is kept in {tmp_path}/run; resume it to go on"
    with pytest.raises(KeyboardInterrupt, match=says(message)):
        go(Interrupted(), tmp_path / "run")


@pytest.mark.parametrize("at", [4, 6, 8])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_exactly(tmp_path, monkeypatch, at):
    real, count = place._write_through, [0]

    def write(descriptor, pieces):
        count[0] += 1
        if count[0] >= at:
            os.close(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, pieces)

    run = tmp_path / "run"
    train(Line, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(place, "_write_through", write)
        with pytest.raises(
            FileError, match=rf"^cannot write {run}\S+: No space left on device; free some space"
        ):
            train(Line, run)
    assert not list(run.rglob("*.tmp"))
    train(Line, run, resume=True)
    assert same(state_of(run), state_of(tmp_path / "whole"))


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_are_resumed_exactly(tmp_path, precision):
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(Line, whole, precision=precision)
    train(Line, run, precision=precision, steps=12)
    train(Line, run, precision=precision, resume=True)
    assert same(state_of(run), state_of(whole))


def test_workers_change_nothing(tmp_path):
    train(Line, tmp_path / "none")
    train(Line, tmp_path / "one", workers=1)
    assert same(state_of(tmp_path / "none"), state_of(tmp_path / "one"))


def test_pictures_are_kept_and_shown(tmp_path):
    class Draws(Slope):
        def pictures(self):
            return {"grid": numpy.full((5, 7, 3), self.global_step, numpy.uint8)}

        def captions(self):
            return {"grid": "Grey <b>by</b> step.", "nothing": "Is not there."}

    go(Draws(), tmp_path / "run", steps=4, validation=[torch.ones(1)])
    assert sorted(each.name for each in (tmp_path / "run" / "pictures").iterdir()) == [
        "grid-00000002.png",
        "grid-00000004.png",
        "grid.txt",
    ]
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "<strong>grid</strong> after step 4. Grey &lt;b&gt;by&lt;/b&gt; step.</figcaption>" in page


class Epochs(Slope):
    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 3)]


class Numbered(Slope):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch)


class Unvalidated(Task):
    def training_step(self, batch):
        return batch.sum()


class Elsewhere(Slope):
    def validation_step(self, batch):
        self.log("error", 1.0)


class Pickled(Slope):
    def on_save_checkpoint(self, checkpoint):
        checkpoint["path"] = os.DirEntry


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (
            Epochs,
            {},
            ('learning rates must change by steps, because a run has no epochs; StepLR has "interval": "epoch"; '
            'return {"optimizer": ..., "lr_scheduler": {"scheduler": ..., "interval": "step"}}'),
        ),
        (
            Numbered,
            {},
            ("training_step must take the batch alone, because a number of the batch would begin anew after a "
            "resume; it takes batch_idx; use self.global_step"),
        ),
        (
            Unvalidated,
            {"validation": [torch.ones(1)]},
            ("Unvalidated must have a validation_step where there are batches for it; it has none; write one that "
            "logs what is monitored, or give no validation"),
        ),
        (
            Elsewhere,
            {"validation": [torch.ones(1)]},
            "validation must log 'val_loss', by which the best is chosen; it logs error; monitor one",
        ),
        (Slope, {"steps": 0}, "steps must be a whole number of at least 1; got 0"),
        (Slope, {"patience": 0}, "patience must be a whole number of at least 1; got 0"),
        (Slope, {"clip": 0.0}, "clip is the largest norm that gradients may have, above 0; got 0.0; leave it out for none"),
        (
            Slope,
            {"device": "gpu"},
            "a device is one of auto, cpu, cuda, mps, or cuda:1 for the second of several; got 'gpu'",
        ),
        (
            Slope,
            {"settings": {"a": {1}}},
            ("settings must be what JSON can hold: numbers, words, lists and dicts; Object of type set is not JSON "
            "serializable; leave it out"),
        ),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)  # fmt: skip
def test_what_has_no_meaning_is_refused(tmp_path, task, options, message):
    with pytest.raises(OptionError, match=says(message)):
        go(task(), tmp_path / "run", **options)


def test_only_tensors_and_plain_data_go_into_checkpoints(tmp_path):
    with pytest.raises(
        OptionError, match=r"^what a task keeps in a checkpoint must be tensors and plain data"
    ):
        go(Pickled(), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    message = (
        "this machine cannot train on device cuda in precision 32-true; No supported gpu backend found!; choose "
        "another"
    )
    with pytest.raises(OptionError, match=says(message)):
        go(Slope(), tmp_path / "run", device="cuda")


def test_a_damaged_checkpoint_is_named(tmp_path):
    go(Slope(), tmp_path / "run", steps=2)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:500])
    message = f"{last} cannot be read as a checkpoint; take best.ckpt in its place, or start a new run"
    with pytest.raises(FileError, match=says(message)):
        go(Slope(), tmp_path / "run", steps=4, resume=True)


def test_anything_with_numbered_batches_will_do():
    assert isinstance(Ones(), Batches)
    assert isinstance(Drawn(), Batches)
    assert EVERY < STEPS
