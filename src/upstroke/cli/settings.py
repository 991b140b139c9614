"""Turn the options of a check, and the project's pyproject.toml, into what is asked and what counts."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstroke.cli.options import FAIL_ON, codes
from upstroke.errors import FileError, OptionError
from upstroke.files.project import Project, found_project, read_project

if TYPE_CHECKING:
    from upstroke.audit import Suppression

__all__ = ["Baseline", "Settings", "project_of", "settled"]

Json = dict[str, Any]
SCHEMA = "upstroke.check/1"
SCHEMA_OF_SEVERAL = "upstroke.checks/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """An earlier check, or several.

    Attributes:
        file: that they were read from.
        records: of the models.
    """

    file: Path
    records: tuple[Json, ...]

    def of(self, model: str, *, alone: bool) -> Json | None:
        """The earlier record of a model; that of one which was renamed, where there is one of each."""
        for record in self.records:
            if record["model"] == model:
                return record
        return self.records[0] if alone and len(self.records) == 1 else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """What is asked of a model, and which findings count.

    Attributes:
        select: codes of the rules to ask; all if there are none.
        ignore: codes of rules not to ask.
        conserve: whether the rules of conservation are asked.
        fail_on: least severity that makes the exit code 1.
        suppress: findings that are meant.
        places: where each suppression is written.
        baseline: an earlier check, whose findings are known.
    """

    select: tuple[str, ...]
    ignore: tuple[str, ...]
    conserve: bool
    fail_on: str
    suppress: tuple["Suppression", ...]
    places: tuple[str, ...]
    baseline: Baseline | None


def project_of(config: Path | None, *, isolated: bool) -> Project | None:
    """The project's settings: those of a named file, or of the nearest pyproject.toml that has some.

    Raises:
        FileError: the file cannot be read or has none.
        OptionError: both a file and none is asked for, or it says what means nothing.
    """
    if isolated and config is not None:
        msg = f"--isolated goes without a project's settings; got --config {config} as well; leave one out"
        raise OptionError(msg)
    if isolated:
        return None
    file = config if config is not None else found_project(Path.cwd())
    return None if file is None else read_project(_short(file))


def settled(
    project: Project | None,
    *,
    select: Sequence[str],
    ignore: Sequence[str],
    conserve: bool | None,
    fail_on: str | None,
    baseline: Path | None,
    no_baseline: bool,
) -> Settings:
    """Settle every option: the command line wins over the project, and the project over what is usual.

    Raises:
        OptionError: a code, a severity or a suppression means nothing, or two options exclude each other.
        FileError: the baseline cannot be read, or is no record of a check.
    """
    if no_baseline and baseline is not None:
        msg = f"--no-baseline goes without one; got --baseline {baseline} as well; leave one out"
        raise OptionError(msg)
    own = project or Project(file=Path())
    from_file = None if no_baseline else own.baseline
    earlier = baseline or from_file
    chosen, left_out = codes(list(select), option="--select"), codes(list(ignore), option="--ignore")
    settings = Settings(
        select=chosen or own.select or (),
        ignore=left_out or own.ignore or (),
        conserve=bool(own.conserve) if conserve is None else conserve,
        fail_on=fail_on or _severity(own),
        suppress=_suppressions(own),
        places=tuple(each.place for each in own.suppress),
        baseline=None if earlier is None else _read_baseline(earlier),
    )
    # a mistyped code is said before any model is loaded
    _refuse_codes(settings, own)
    return settings


def _refuse_codes(settings: Settings, own: Project) -> None:
    from upstroke.audit import chosen

    for key, words in (("select", own.select), ("ignore", own.ignore)):
        if words and getattr(settings, key) is words:
            try:
                chosen(words)
            except OptionError as error:
                msg = f"tool.upstroke.{key} in {own.file}: {error}"
                raise OptionError(msg) from error
    chosen(settings.select, settings.ignore, conserve=settings.conserve)


def _severity(own: Project) -> str:
    if own.fail_on is None:
        return "error"
    if own.fail_on not in FAIL_ON:
        wanted = f"tool.upstroke.fail-on in {own.file} must be one of {', '.join(FAIL_ON)}"
        close = difflib.get_close_matches(own.fail_on, FAIL_ON, n=1, cutoff=0)[0]
        msg = f"{wanted}; got {own.fail_on!r}; did you mean {close}?"
        raise OptionError(msg)
    return own.fail_on


def _suppressions(own: Project) -> tuple["Suppression", ...]:
    from upstroke.audit import Suppression

    made = []
    for each in own.suppress:
        try:
            made.append(Suppression(site=each.site, code=each.code, reason=each.reason, model=each.model))
        except OptionError as error:
            msg = f"{each.place}: {error}"
            raise OptionError(msg) from error
    return tuple(made)


def _read_baseline(path: Path) -> Baseline:
    wanted = "a baseline must be what upstroke check --format json --output FILE wrote"
    path = _short(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        msg = f"{wanted}; cannot read {path}: {reason}; give --no-baseline to go without"
        raise FileError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{wanted}; {path} is no JSON; write it anew"
        raise FileError(msg) from error
    records = _records_in(content)
    if records is None or not all(map(_is_record, records)):
        msg = f"{wanted}; {path} is other JSON; write it anew"
        raise FileError(msg)
    return Baseline(file=path, records=tuple(records))


def _records_in(content: object) -> list[Any] | None:
    """The records of one check or of several."""
    if not isinstance(content, dict):
        return None
    if content.get("schema") == SCHEMA_OF_SEVERAL:
        checks = content.get("checks")
        return checks if isinstance(checks, list) else None
    return [content]


def _is_record(record: object) -> bool:
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return False
    baseline = record.get("baseline")
    known = baseline.get("known") if isinstance(baseline, dict) else []
    findings, suppressed = record.get("findings"), record.get("suppressed", [])
    return (
        isinstance(record.get("model"), str)
        and isinstance(findings, list)
        and isinstance(known, list)
        and isinstance(suppressed, list)
        and all(
            isinstance(each, dict) and all(isinstance(each.get(key), str) for key in ("code", "site", "kind"))
            for each in (*findings, *known, *suppressed)
        )
    )


def _short(path: Path) -> Path:
    """The path from the current folder on, if it is in there, as people write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
