"""Words on the command line become one library call, one rendering and one exit code."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from upstroke._version import __version__
from upstroke.cli import check, diff, downscale, explain, fix, generate, inspect, plan, rules, segment
from upstroke.cli.bare_options import with_value
from upstroke.errors import UpstrokeError
from upstroke.ops.kernels import instructions

__all__ = ["app", "main"]

BAD_USAGE = 2
ABORTED = 130
TRACEBACKS = "UPSTROKE_TRACEBACKS"
NO_KERNELS = "none (PyTorch's forms serve)"


class OneSentence(TyperGroup):
    """The one place where an error raised on purpose becomes a sentence on stderr and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401 - what click's own main takes
    ) -> Any:  # noqa: ANN401 - what click's own main gives
        """Run the command; with standalone_mode, end the process."""
        given = sys.argv[1:] if args is None else args
        args = with_value(given, "--probe", default="values", values=check.PROBES)
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except UpstrokeError as error:
            _complain(str(error))
            code = BAD_USAGE
        except typer.TyperException as error:
            sentence = _sentence(error)
            if sentence:
                _complain(sentence)
            code = BAD_USAGE
        except typer.Abort:
            code = ABORTED
        except OSError as error:
            _complain(_trouble(error))
            _silence_stdout()
            code = BAD_USAGE
        except Exception as error:
            # a fault of ours, which must not pass for findings
            if TRACEBACKS in os.environ:
                raise
            reason = " ".join(str(error).split())
            _complain(
                f"this should not have happened: {type(error).__name__}: {reason}; run it again with "
                f"{TRACEBACKS}=1 to see where, and report that"
            )
            code = BAD_USAGE
        return sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - what click has and a command gives
        """Run the command; what Ctrl-C stopped may say how far it came and how to go on."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            if str(error):
                _complain(str(error))
            raise


def _complain(sentence: str) -> None:
    """Say what is wrong on stderr, where there is one that takes it."""
    with contextlib.suppress(OSError):
        typer.echo(f"upstroke: {sentence}", err=True)


def _trouble(error: OSError) -> str:
    """Word an error of the system; one that names no file came from writing to the standard output."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    if error.filename is not None:
        return f"cannot use {error.filename}: {reason}; choose another file"
    if error.errno == errno.EBADF:
        reason = "it is closed"
    return f"cannot write to the standard output: {reason}; write to a file with --output"


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, or Python would try to write it again at the end."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def _sentence(error: typer.TyperException) -> str:
    """Word a usage error like our own: what was wrong, then what to do; empty where help was shown."""
    words = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    if not words:
        return ""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "upstroke"
    return f"{words[0].lower()}{words[1:]}; see '{command} --help'"


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"upstroke {__version__}, compiled kernels: {instructions() or NO_KERNELS}")
        raise typer.Exit
    return wanted


app = typer.Typer(
    name="upstroke",
    cls=OneSentence,
    help="Learned upsampling, measured and mended.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(inspect.app, name="inspect")
app.add_typer(plan.app, name="plan")
app.command("check")(check.check)
app.command("fix")(fix.fix)
app.command("diff")(diff.diff)
app.add_typer(downscale.app, name="downscale")
app.add_typer(generate.app, name="generate")
app.add_typer(segment.app, name="segment")
app.command("rules")(rules.rules)
app.command("explain")(explain.explain)


@app.callback()
def upstroke(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version and leave."),
    ] = False,
) -> None:
    """Learned upsampling, measured and mended."""


def main() -> None:
    """Run the command line; a terminal that lacks a character gets a question mark, not a crash."""
    if sys.stdout is None:
        # started with the standard output closed: a stream that refuses every write takes its place
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    app(prog_name="upstroke")
