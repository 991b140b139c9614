"""The verb `segment train`: a folder of images with masks becomes a run folder that outlines others."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from upstroke.cli.options import Format, Quiet, Seed, file_name, per_axis, seed_number, whole
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

__all__ = ["train"]

# The heads under which help lists options.
DATA, NETWORK = "What is held out", "Network and patches"


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            parser=file_name,
            help="A folder of images with masks: images/ and labels/, x.png beside x_mask.png, or COCO.",
        ),
    ],
    out: Run,
    preset: Annotated[
        Literal["tiny", "base", "original"],
        typer.Option("--preset", help="Small and quick, as nnU-Net has it, or the unpadded one of 2015."),
    ] = "base",
    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation",
            metavar="DATA",
            parser=file_name,
            help="A folder to judge by, instead of holding cases out.",
            rich_help_panel=DATA,
        ),
    ] = None,
    hold_out: Annotated[
        str | None,
        typer.Option(
            "--hold-out",
            metavar="0.2|40",
            help="Share or number of cases to hold out, drawn by the seed (default: 0.2).",
            rich_help_panel=DATA,
        ),
    ] = None,
    hold_out_last: Annotated[
        str | None,
        typer.Option(
            "--hold-out-last",
            metavar="0.2|40",
            help="The last ones in order of their names instead.",
            rich_help_panel=DATA,
        ),
    ] = None,
    hold_out_folder: Annotated[
        bool,
        typer.Option(
            "--hold-out-folder", help="Those in the data's own folder val or valid.", rich_help_panel=DATA
        ),
    ] = False,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="REGEX",
            help="What in a name says which cases belong together, such as '(.*)_slice'.",
            rich_help_panel=DATA,
        ),
    ] = None,
    patch: Annotated[
        str | None,
        typer.Option("--patch", metavar="96x96", help="Size to train on.", rich_help_panel=NETWORK),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="N", help="Patches in a step.", rich_help_panel=NETWORK),
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option("--widths", metavar="16,32,64", help="Channels of each level.", rich_help_panel=NETWORK),
    ] = None,
    up: Annotated[
        str | None,
        typer.Option(
            "--up",
            metavar="METHOD",
            help="The way up: transposed, nearest, linear and so on.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    conv: Annotated[
        Literal["same", "valid"] | None,
        typer.Option("--conv", help="Convolutions with or without padding.", rich_help_panel=NETWORK),
    ] = None,
    norm: Annotated[
        Literal["instance", "batch", "group", "none"] | None,
        typer.Option("--norm", help="Behind each convolution.", rich_help_panel=NETWORK),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            "--spacing",
            metavar="1x1x1",
            help="To which images are brought (default: the median where they differ).",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    augment: Annotated[
        Literal["none", "light", "full"] | None,
        typer.Option("--augment", help="How patches are changed.", rich_help_panel=NETWORK),
    ] = None,
    steps: Steps = None,
    minutes: Minutes = None,
    patience: Annotated[
        str | None,
        typer.Option(
            "--patience",
            metavar="N",
            help="Stop after so many judgements, of twenty, that were no better.",
            rich_help_panel=TRAINING,
        ),
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
    """Train a U-Net whose skips line up, and judge it on whole cases that are held out.

    What the data holds and what is trained is said first. Killed at any step, a run goes on with
    --resume and ends with the same weights. Exit codes: 0 done; 2 could not be read or written.

    upstroke segment train hippocampus --out run --preset tiny --minutes 10

    upstroke segment predict run scan.nii.gz outlines.nii.gz
    """
    if resume and overwrite:
        msg = "--resume goes on with a run and --overwrite begins anew; give one of them"
        raise OptionError(msg)
    share, count, by = _held_out(
        validation,
        hold_out,
        "--hold-out-last" if hold_out_last else "",
        hold_out_last,
        folder=hold_out_folder,
    )
    from upstroke.apps.segment.training import train as train_on

    is_told = not quiet and shown == "text"
    trained = train_on(
        data,
        out,
        preset=preset,
        steps=None if steps is None else whole(steps, option="--steps"),
        minutes=minutes,
        validation_data=validation,
        share=share,
        count=count,
        split_by=by,
        group=group,
        patch=None if patch is None else _axes(patch, option="--patch"),
        batch=None if batch is None else whole(batch, option="--batch"),
        widths=None if widths is None else _widths(widths),
        up=up,
        conv=conv,
        norm=norm,
        spacing=None if spacing is None else _lengths(spacing),
        augment=augment,
        patience=None if patience is None else whole(patience, option="--patience"),
        precision=precision,
        device=device,
        devices=whole(devices, option="--devices"),
        workers=0 if workers == "0" else whole(workers, option="--workers"),
        seed=seed_number(seed),
        resume=resume,
        overwrite=overwrite,
        progress=not quiet,
        show=_show if is_told else None,
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
    from upstroke.report.segment_plan_text import segment_plan_text

    page = page_for(None)
    colour = page.colour and sys.stderr.isatty()
    typer.echo(segment_plan_text(dict(plan), width=page.width, colour=colour), err=True)


def _words(record: dict[str, Any]) -> str:
    from upstroke.report.segment_trained_text import segment_trained_text

    page = page_for(None)
    return segment_trained_text(record, width=page.width, colour=page.colour)


def _held_out(
    validation: Path | None, drawn: str | None, option: str, last: str | None, *, folder: bool
) -> tuple[float, int | None, Literal["random", "order", "folder"]]:
    """A share, a number and how; at most one way of holding out."""
    ways = {"--validation": validation, "--hold-out": drawn, "--hold-out-last": last}
    given = [name for name, value in ways.items() if value is not None]
    given += ["--hold-out-folder"] if folder else []
    if len(given) > 1:
        msg = f"cases are held out in one way; got {' and '.join(given)}; give one of them"
        raise OptionError(msg)
    if folder:
        return 0.2, None, "folder"
    share, count = _part(drawn or last or "0.2", option=option or "--hold-out")
    return share, count, "order" if last is not None else "random"


def _part(words: str, *, option: str) -> tuple[float, int | None]:
    """A share below 1, or a number of cases.

    >>> _part("0.25", option="--hold-out"), _part("40", option="--hold-out")
    ((0.25, None), (0.2, 40))
    """
    if "." not in words:
        return 0.2, whole(words, option=option)
    try:
        share = float(words)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        msg = f"{option} must be a share between 0 and 1 such as 0.2, or a number of cases; got {words!r}"
        raise OptionError(msg)
    return share, None


def _axes(words: str, *, option: str) -> tuple[int, ...]:
    numbers = per_axis(words, option=option)
    if isinstance(numbers, int):
        msg = f"{option} must have a number for each axis, such as 96x96; got {words!r}"
        raise OptionError(msg)
    return numbers


def _widths(words: str) -> tuple[int, ...]:
    """Channels of levels, divided by commas.

    >>> _widths("16,32,64")
    (16, 32, 64)
    """
    return tuple(whole(each.strip(), option="--widths") for each in words.split(","))


def _lengths(words: str) -> tuple[float, ...]:
    """Lengths of a voxel along each axis.

    >>> _lengths("1x0.5x0.5")
    (1.0, 0.5, 0.5)
    """
    try:
        lengths = tuple(float(each) for each in words.split("x"))
    except ValueError:
        lengths = ()
    if not lengths or not all(0 < each < float("inf") for each in lengths):
        msg = f"--spacing must be lengths above 0, one for each axis, such as 1x0.5x0.5; got {words!r}"
        raise OptionError(msg)
    return lengths
