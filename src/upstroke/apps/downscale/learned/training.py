"""Files of fine fields become a run folder with a network that refines coarse ones, judged on others."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from upstroke.apps.downscale.learned.model import Network, made, packed, unpacked
from upstroke.apps.downscale.learned.networks import Residual, TransposedMass
from upstroke.apps.downscale.learned.reference import Reference, open_references, open_static
from upstroke.apps.downscale.learned.samples import Judged, Patches, Samples, joined
from upstroke.axes import whole_per_axis
from upstroke.errors import OptionError
from upstroke.files.safetensors import read_safetensors, write_safetensors
from upstroke.train import Fitted, fit, seeded

__all__ = ["HeldOut", "Trained", "train"]

Kind = Literal["residual", "transposed"]

STEPS = 3000
EVERY = 100
# Validations without a new best after which training ends.
PATIENCE = 8
FIXED = ("cubic", "linear", "nearest")
# Of maps that learning is set up from, and of steps that are timed.
LOOKED_AT, TIMED = 4, 5


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Errors of one variable where nothing was learnt from, in its units: root mean squares weighted by area.

    Attributes:
        variable: by name.
        learned: of the network.
        cubic: of the cubic that keeps means.
        linear: of the linear one that does.
        nearest: of blocks.
        gate: what the network's residual is multiplied by: the factor from 0 to 1 that is best here. None
            where the network has none.
        total: what the network by itself makes of a total of 1, by its kernel as it was trained. None where
            a correction follows, which keeps every cell.
    """

    variable: str
    learned: float
    cubic: float
    linear: float
    nearest: float
    gate: float | None
    total: float | None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of training.

    Attributes:
        out: the run folder.
        weights: the file in it that holds everything needed to apply the network.
        held_out: errors, by variable.
        steps: done.
        best_step: whose weights were kept.
        seconds: of training.
        notes: what a reader should know, a sentence each.
    """

    out: Path
    weights: Path
    held_out: tuple[HeldOut, ...]
    steps: int
    best_step: int
    seconds: float
    notes: tuple[str, ...]


def train(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    factor: int | tuple[int, int],
    variables: Sequence[str] = (),
    statics: Sequence[str] = (),
    network: Kind = "residual",
    mass: float = 1.0,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    width: int = 24,
    depth: int = 4,
    dropout: float = 0.0,
    fold: int = 1,
    y: str | None = None,
    x: str | None = None,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    command: Sequence[str] | None = None,
) -> Trained:
    """Train a network to refine what fine fields are when they are made coarse.

    1. Steps and stripes of the maps are held out; the rest is learnt from, in patches, as `samples` says.
    2. `upstroke.train.fit` trains, validates on what is held out, keeps the best and stops when it gets no
       better.
    3. There the gate of each variable is set, from 0 to 1, to what makes the error least: where nothing was
       learnt that holds elsewhere, the answer is the cubic.

    Args:
        files: of fine fields; NetCDF, Zarr or GRIB, on regions of their own but cells of one size.
        out: the run folder.
        factor: parts of a coarse cell along y and x.
        variables: learnt together; may be left out where a file has one.
        statics: fields that do not change, such as orography, as FILE or FILE:VARIABLE.
        network: "residual" over the cubic that keeps means, or one "transposed" convolution.
        mass: of the transposed convolution.
        steps: batches to learn from; 3000 unless given.
        minutes: instead of steps: as many as are done in that time, by the speed of the first ones.
        seed: of weights, patches and their order.
        width: channels of the residual network.
        depth: its convolutions.
        dropout: of its channels.
        fold: which of every four stripes of a map is held out.
        y: dimension along y, where attributes do not tell.
        x: dimension along x.
        device: as in `fit`.
        resume: go on with the run that is in the folder.
        overwrite: begin anew where there is one.
        progress: tell people how far it is.
        command: the words that started it.

    Raises:
        FileError: a file or the folder cannot be used.
        OptionError: an argument has no meaning, fields are too small, differ in cells or lack a variable.
    """
    begun = time.process_time()
    if network not in ("residual", "transposed"):
        msg = f"network must be 'residual' or 'transposed'; got {network!r}"
        raise OptionError(msg)
    parts = whole_per_axis(factor, 2, name="the factor", least=1)
    pair = parts[0], parts[1]
    references = open_references(files, pair, variables, y=y, x=x)
    fixed = [open_static(each, y=y, x=x) for each in statics]
    samples = Samples(references=references, factor=pair, statics=fixed, fold=fold)
    names = references[0].variables
    settings = _settings(network, len(names), len(fixed), mass=mass, width=width, depth=depth)
    with seeded(seed, "weights"):
        probe = made(network, pair, settings, dropout=dropout)
    patches = Patches(samples, halo=probe.halo, seed=seed)
    judged = list(samples.judged(halo=probe.halo))
    if not judged:
        msg = "there must be values in the stripes that are held out; got none; give larger fields"
        raise OptionError(msg)
    errors, usual = _scales(patches, probe)
    first = {name: tensor.clone() for name, tensor in probe.state_dict().items()}
    if "roughness" in first:
        first["roughness"] = usual

    def make() -> Network:
        one = made(network, pair, settings, dropout=dropout)
        one.load_state_dict(first)
        return one

    steps = _steps(make, patches, steps=steps, minutes=minutes, out=Path(out), resume=resume)
    from upstroke.apps.downscale.learned.learning import Learning

    trained_on = _trained_on(references, samples, fold)
    pack = partial(packed, variables=names, statics=fixed, trained_on=trained_on)
    task = Learning(make, errors=errors, steps=steps, packed=partial(pack, held_out=None))
    every = min(EVERY, max(1, steps // 5))
    fitted = fit(
        task,
        out,
        steps=steps,
        batches=patches,
        validation=judged,
        every=every,
        patience=PATIENCE,
        seed=seed,
        settings={
            **settings,
            "files": [reference.name for reference in references],
            "variables": list(names),
            "statics": list(statics),
            "factor": list(pair),
            "network": network,
            "dropout": dropout,
            "fold": fold,
        },
        command=command,
        resume=resume,
        overwrite=overwrite,
        device=device,
        clip=1.0,
        progress=progress,
    )
    return _finished(fitted, judged, pack, names, references, begun=None if resume else begun)


def _settings(
    network: Kind, variables: int, statics: int, *, mass: float, width: int, depth: int
) -> dict[str, Any]:
    if network == "residual":
        return {"variables": variables, "statics": statics, "width": width, "depth": depth}
    if statics:
        msg = "one transposed convolution reads no static fields; got some; take network='residual'"
        raise OptionError(msg)
    return {"variables": variables, "mass": mass}


def _scales(patches: Patches, network: Network) -> tuple[Tensor, Tensor]:
    """Of each variable the cubic's root mean square error, and the usual roughness."""
    sample = joined([patches.batch(step) for step in range(0, 16 * LOOKED_AT, 16)])
    counted = sample.counted.double()
    squares = (counted * (sample.inputs.baseline - sample.target).double() ** 2).sum(dim=(0, 2, 3))
    error = (squares / counted.sum(dim=(0, 2, 3)).clamp(min=1e-30)).sqrt()
    if not bool((error > 0).all()):
        msg = "there must be something to learn; the cubic already makes no error; the fields are too smooth"
        raise OptionError(msg)
    if not isinstance(network, Residual):
        return error.float(), torch.ones(len(error))
    _, rough = network.features(sample.inputs)
    known = sample.inputs.valid.sum(dim=(0, 2, 3)) > 0
    middles = torch.stack([each.flatten().median() for each in rough.transpose(0, 1)])
    return error.float(), torch.where(known & (middles > 0), middles, error).float()


def _steps(
    make: Callable[[], Network],
    patches: Patches,
    *,
    steps: int | None,
    minutes: float | None,
    out: Path,
    resume: bool,
) -> int:
    """How many steps a run has: as said, as it was begun, or as many as fit into the minutes."""
    if steps is not None and minutes is not None:
        msg = f"give steps or minutes, not both; got {steps} and {minutes:g}"
        raise OptionError(msg)
    if steps is not None:
        return steps
    if resume:
        from upstroke.train.folder import read_config

        return int(read_config(out)["steps"])
    if minutes is None:
        return STEPS
    if not minutes > 0:
        msg = f"minutes must be above 0; got {minutes:g}"
        raise OptionError(msg)
    network = make()
    for step in range(TIMED + 1):
        if step == 1:
            start = time.monotonic()
        batch = patches.batch(step)
        network(batch.inputs).nan_to_num().square().mean().backward()
    return max(1, int(minutes * 60 * TIMED / (time.monotonic() - start)))


def _trained_on(references: Sequence[Reference], samples: Samples, fold: int) -> dict[str, Any]:
    first = references[0].cells
    return {
        "files": [reference.name for reference in references],
        "steps": len(samples.learnt),
        "held_out_steps": len(samples.held_days),
        "fold": fold,
        "spacing": [abs(first.y.spacing), abs(first.x.spacing)],
        "kind": first.y.kind,
    }


def _finished(
    fitted: Fitted,
    judged: Sequence[Judged],
    pack: Callable[..., tuple[dict[str, Tensor], dict[str, Any]]],
    names: Sequence[str],
    references: Sequence[Reference],
    *,
    begun: float | None,
) -> Trained:
    """Set the gates, judge, and write the file anew with both."""
    tensors, metadata = read_safetensors(fitted.weights)
    network = unpacked(tensors, metadata, source=str(fitted.weights))
    if isinstance(network, Residual):
        network.gate.copy_(gates(network, judged))
    held_out = _held_out(network, judged, names)
    words = [vars(each) for each in held_out]
    # what a run took before it was resumed is not known
    spent = None if begun is None else round(time.process_time() - begun, 1)
    tensors, metadata = pack(
        network, held_out={"errors": words, "step": fitted.best_step, "cpu_seconds": spent}
    )
    if fitted.rank == 0:
        write_safetensors(fitted.weights, tensors, metadata, overwrite=True)
    return Trained(
        out=fitted.out,
        weights=fitted.weights,
        held_out=tuple(held_out),
        steps=fitted.step,
        best_step=fitted.best_step or fitted.step,
        seconds=fitted.seconds,
        notes=tuple(_notes(references)),
    )


def gates(network: Residual, judged: Sequence[Judged]) -> Tensor:
    """The factor from 0 to 1 for each variable that makes the error least where nothing was learnt from.

    With r what the cubic is short of and p what the network adds, both without their block means, it is
    sum(w p r) / sum(w p p), cut to 0..1.
    """
    variables = network.gate.numel()
    network.gate.fill_(1.0)
    both, own = torch.zeros(variables, dtype=torch.float64), torch.zeros(variables, dtype=torch.float64)
    for sample, _ in judged:
        baseline = sample.inputs.baseline
        counts = sample.counted > 0
        added = torch.where(counts, network(sample.inputs) - baseline, 0).double()
        short = (sample.target - baseline).double()
        both += (sample.counted * added * short).sum(dim=(0, 2, 3))
        own += (sample.counted * added * added).sum(dim=(0, 2, 3))
    return torch.where(own > 0, both / own.clamp(min=1e-300), 0.0).clamp(0, 1).float()


def _held_out(network: Network, judged: Sequence[Judged], names: Sequence[str]) -> list[HeldOut]:
    squares: dict[str, Tensor] = {}
    counted = torch.zeros(len(names), dtype=torch.float64)
    for sample, fixed in judged:
        away = torch.where(sample.counted > 0, network(sample.inputs) - sample.target, 0).double()
        own: Mapping[str, Tensor] = {"learned": (sample.counted * away**2).sum(dim=(0, 2, 3)), **fixed}
        for method, sums in own.items():
            squares[method] = squares.get(method, torch.zeros_like(sums)) + sums
        counted += sample.counted.double().sum(dim=(0, 2, 3))
    roots = {method: (sums / counted.clamp(min=1e-300)).sqrt().tolist() for method, sums in squares.items()}
    gate = network.gate.tolist() if isinstance(network, Residual) else [None] * len(names)
    total = network.totals().tolist() if isinstance(network, TransposedMass) else [None] * len(names)
    return [
        HeldOut(
            variable=name,
            gate=gate[number],
            total=total[number],
            learned=roots["learned"][number],
            **{method: roots[method][number] for method in FIXED},
        )
        for number, name in enumerate(names)
    ]


def _notes(references: Sequence[Reference]) -> list[str]:
    return [
        f"{reference.name}: left out {reference.cropped[0]} rows and {reference.cropped[1]} columns at its "
        "ends, "
        "which the factor leaves over"
        for reference in references
        if any(reference.cropped)
    ]
