"""Commands about the journal in the data directory; `verify` also asks a daemon that runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from actors.streams import registry
from daemon.admin_requests import JournalVerify
from daemon.cli.console import Exit, clean, fail, print_json, print_pairs, say
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, fail_config
from daemon.config import load
from daemon.config_file import ConfigError, find
from daemon.errors import named
from domain.errors import Refusal
from runtime.disk import RealDisk
from storage import admin
from storage.errors import AlreadyRunningError, DamagedRecordError, NoJournalError, StorageError
from storage.projections import PROJECTIONS, ReadTables

T = TypeVar("T")

journal = typer.Typer(no_args_is_help=True, help="Verify, dump or rebuild the journal.")


@journal.command("verify")
def verify(
    *, config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """Check every record, the tables' file and the snapshots; exit 1 if one is bad.

    A daemon that runs is asked to check its journal itself.
    """
    directory = _directory(config)
    try:
        report = admin.verify(directory, registry(), RealDisk())
    except AlreadyRunningError:
        answer = ask(JournalVerify(), config, socket)
        if as_json:
            print_json(answer)
        else:
            print_pairs((name.replace("_", " "), clean(item)) for name, item in answer.items())
        return
    except (StorageError, OSError) as error:
        fail(_refusal(error))
    if as_json:
        snapshots = [{"name": one.name, "problem": one.problem} for one in report.snapshots]
        print_json(
            {
                "sound": report.is_sound,
                "records": report.records,
                "last_hash": report.last_hash,
                "first_bad": report.first_bad,
                "problems": list(report.problems),
                "snapshots": snapshots,
                "quarantined": report.quarantined,
            }
        )
    else:
        _print_report(report)
    if not report.is_sound:
        raise typer.Exit(Exit.REFUSED)


@journal.command("dump")
def dump(
    *,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only one, such as position/ID.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print the journal of a daemon that does not run: one JSON object a record."""
    directory = _directory(config)
    _stopped(lambda: admin.dump(directory, sys.stdout, stream))


@journal.command("rebuild")
def rebuild(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Write the read tables anew from the journal of a daemon that does not run."""
    directory = _directory(config)
    tables = ReadTables(PROJECTIONS)
    rebuilt = _stopped(lambda: admin.rebuild_directory(directory, registry(), tables))
    if as_json:
        print_json({"records": rebuilt.records, "problems": list(rebuilt.problems)})
        return
    say(f"the read tables are rebuilt from {rebuilt.records} records")
    for problem in rebuilt.problems:
        say(f"problem: {problem}")


def _print_report(report: admin.Report) -> None:
    print_pairs(
        [
            ("journal", "sound" if report.is_sound else "DAMAGED"),
            ("records", f"{report.records}, the last one's hash is {clean(report.last_hash)}"),
            ("first bad", "" if report.first_bad is None else clean(report.first_bad)),
            *(("problem", clean(problem)) for problem in report.problems),
            *(
                ("snapshot", f"{clean(one.name)}: {clean(one.problem) or 'usable'}")
                for one in report.snapshots
            ),
            ("quarantined", str(report.quarantined) if report.quarantined else ""),
        ]
    )


def _directory(config: Path | None) -> Path:
    try:
        return load(find(config)).config.data_dir
    except ConfigError as error:
        fail_config(error)


def _stopped(work: Callable[[], T]) -> T:
    """Work on the directory of a stopped daemon."""
    try:
        return work()
    except BrokenPipeError:
        raise  # typer ends quietly when the reader has gone
    except (StorageError, OSError) as error:
        fail(_refusal(error))


def _refusal(error: StorageError | OSError) -> Refusal:
    if isinstance(error, NoJournalError):
        return named(error, "Name the daemon's --config; a first holdfast run makes a journal.")
    if isinstance(error, AlreadyRunningError):
        return named(error, "Stop it first: holdfast drain.")
    if isinstance(error, DamagedRecordError):
        return named(error, "See all that is damaged: holdfast journal verify.")
    return named(error)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(journal, name="journal")
