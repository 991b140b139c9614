"""The verb `generate train`: a folder or a zip of pictures becomes a run folder that draws others."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from upstroke.cli.options import Format, Quiet, Seed, file_name, seed_number, whole
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.cli.training_options import (
    TRAINING,
    Anew,
    Device,
    Devices,
    Minutes,
    PrecisionOption,
    Resume,
    Run,
    Steps,
    Workers,
)
from upstroke.errors import OptionError
from upstroke.nn import Method

__all__ = ["train"]

# The heads under which help lists options.
DATA, NETWORK = "Pictures", "Networks"


def train(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", parser=file_name, help="A folder of pictures, or a zip of them."),
    ],
    out: Run,
    recipe: Annotated[
        Literal["r1", "spectral", "dcgan"],
        typer.Option("--recipe", help="Penalty on gradients, spectral norms, or as in 2015."),
    ] = "r1",
    size: Annotated[
        str,
        typer.Option("--size", metavar="32|64|128", help="Rows and columns.", rich_help_panel=DATA),
    ] = "64",
    fit: Annotated[
        Literal["crop", "stretch", "pad"],
        typer.Option("--fit", help="How pictures become square.", rich_help_panel=DATA),
    ] = "crop",
    channels: Annotated[
        Literal["auto", "grey", "colour"],
        typer.Option("--channels", help="What is drawn (default: as the pictures).", rich_help_panel=DATA),
    ] = "auto",
    flips: Annotated[
        bool, typer.Option("--flips", help="Mirror every other picture.", rich_help_panel=DATA)
    ] = False,
    method: Annotated[
        Method,
        typer.Option("--method", metavar="METHOD", help="Of upsampling.", rich_help_panel=NETWORK),
    ] = "transposed",
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="K",
            help="Of upsampling (default: 4 for transposed ones, else 3).",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced/--unbalanced",
            help="Hold the gains of all phases equal through training, or let them go.",
            rich_help_panel=NETWORK,
        ),
    ] = True,
    icnr: Annotated[
        bool, typer.Option("--icnr", help="Start with equal gains.", rich_help_panel=NETWORK)
    ] = False,
    width: Annotated[
        str,
        typer.Option("--width", metavar="N", help="Channels before the picture.", rich_help_panel=NETWORK),
    ] = "64",
    judge_width: Annotated[
        str | None,
        typer.Option(
            "--judge-width",
            metavar="N",
            help="Of the discriminator's first map (default: the same).",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    latent: Annotated[
        str,
        typer.Option("--latent", metavar="N", help="Numbers in a latent vector.", rich_help_panel=NETWORK),
    ] = "100",
    steps: Steps = None,
    minutes: Minutes = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="N", help="Real pictures in a step.", rich_help_panel=TRAINING),
    ] = None,
    loss: Annotated[
        Literal["non-saturating", "hinge"] | None,
        typer.Option("--loss", help="Instead of the recipe's.", rich_help_panel=TRAINING),
    ] = None,
    augment: Annotated[
        Literal["none", "full"] | None,
        typer.Option(
            "--augment", help="How pictures are changed before they are judged.", rich_help_panel=TRAINING
        ),
    ] = None,
    average: Annotated[
        float | None,
        typer.Option(
            "--average",
            metavar="SHARE",
            help="Of the old in averaged weights, such as 0.998; 0 averages nothing.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="R", help="Learning rate.", rich_help_panel=TRAINING),
    ] = None,
    precision: PrecisionOption = "auto",
    device: Device = "auto",
    devices: Devices = "1",
    workers: Workers = "0",
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Anew = False,
    shown: Format = "text",
    quiet: Quiet = False,
) -> None:
    """Train a generator on pictures, with upsampling that is chosen and held in balance.

    What the data holds and what is trained is said first; a sheet of samples is kept twenty times. Killed at
    any step, a run goes on with --resume and ends with the same weights. Exit codes: 0 done; 2 could not be
    read or written.

    upstroke generate train faces --out run --width 32 --minutes 10

    upstroke generate sample run --out grid.png
    """
    if resume and overwrite:
        msg = "--resume goes on with a run and --overwrite begins anew; give one of them"
        raise OptionError(msg)
    numbers = {
        "size": size,
        "width": width,
        "latent": latent,
        "devices": devices,
        "steps": steps,
        "kernel": kernel,
        "judge_width": judge_width,
        "batch": batch,
    }
    read = {
        name: None if words is None else whole(words, option=f"--{name.replace('_', '-')}")
        for name, words in numbers.items()
    }
    from upstroke.apps.generate.training import train as train_on

    is_told = not quiet and shown == "text"
    given: dict[str, Any] = {name: number for name, number in read.items() if number is not None}
    trained = train_on(
        data,
        out,
        recipe=recipe,
        minutes=minutes,
        fit_by=fit,
        channels={"auto": None, "grey": 1, "colour": 3}[channels],
        flips=flips,
        method=method,
        balanced=balanced,
        icnr=icnr,
        loss=loss,
        augment=augment,
        average=average,
        rate=rate,
        precision=precision,
        device=device,
        workers=0 if workers == "0" else whole(workers, option="--workers"),
        seed=seed_number(seed),
        resume=resume,
        overwrite=overwrite,
        progress=not quiet,
        show=_show if is_told else None,
        **given,
    )
    if trained.rank != 0:
        # the first process speaks for all
        return
    record = trained.as_json()
    deliver(
        json_text(record) if shown == "json" else _words(record), output=None, overwrite=False, quiet=quiet
    )


def _show(plan: Mapping[str, Any]) -> None:
    """The plan on stderr, because what comes of the command is yet to come."""
    from upstroke.report.generate_plan_text import generate_plan_text

    page = page_for(None)
    colour = page.colour and sys.stderr.isatty()
    typer.echo(generate_plan_text(dict(plan), width=page.width, colour=colour), err=True)


def _words(record: dict[str, Any]) -> str:
    from upstroke.report.generate_trained_text import generate_trained_text

    page = page_for(None)
    return generate_trained_text(record, width=page.width, colour=page.colour)
