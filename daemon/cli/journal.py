"""Commands about the journal in the data directory; `verify` also asks a daemon that runs."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from actors.streams import registry
from daemon.admin_requests import JournalArchive, JournalVerify
from daemon.cli.console import Exit, Row, clean, fail, print_json, print_pairs, say
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, fail_config, rows_of
from daemon.config import load
from daemon.config_file import ConfigError, find
from daemon.config_models import Config
from daemon.errors import named
from domain.errors import Refusal
from runtime.disk import RealDisk
from storage import admin
from storage.archiving import Wish
from storage.connection import Database
from storage.errors import (
    AlreadyRunningError,
    ArchiveRefusedError,
    DamagedRecordError,
    NoJournalError,
    StorageError,
)
from storage.projections import PROJECTIONS, ReadTables
from storage.retention import Pruned, Pruning, Retention

T = TypeVar("T")
_LOOK = "Look before you ask again: holdfast journal archive --dry-run."
_OUTLIVED = (
    "safe: a snapshot from after the damage can be used, and a start goes on from there. Do not"
    " upgrade; see the runbook, “A damaged journal”."
)

journal = typer.Typer(no_args_is_help=True, help="Verify, dump, rebuild or archive the journal.")


@journal.command("verify")
def verify(
    *,
    archives: Annotated[bool, typer.Option("--archives", help="Archive files, too.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every record and snapshot; exit 1 if one is bad.

    A daemon that runs is asked to check its journal itself.

    Of a stopped daemon also the database file, and whether the tables say what the journal says.

    \b
    holdfast journal verify
    holdfast journal verify --archives --json
    """  # noqa: D301
    directory = _config(config).data_dir
    try:
        report = admin.verify(
            directory, registry(), RealDisk(), archives=archives, tables=ReadTables(PROJECTIONS)
        )
    except AlreadyRunningError:
        answer = ask(JournalVerify(archives=archives), config, socket)
        files = rows_of(answer, "archives")
        if as_json:
            print_json(answer)
        else:
            _print_running(answer, files)
        if any(each["problem"] for each in files):
            raise typer.Exit(Exit.REFUSED) from None
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
                "archived": report.archived,
                "archives": msgspec.to_builtins(report.archives),
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
    """Print the journal, one JSON object a record.

    Of a daemon that does not run.

    \b
    holdfast journal dump > journal.jsonl
    holdfast journal dump --stream trader/trend
    """  # noqa: D301
    directory = _config(config).data_dir
    _stopped(lambda: admin.dump(directory, sys.stdout, stream))


@journal.command("rebuild")
def rebuild(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Write the read tables anew from the journal.

    Of a daemon that does not run.

    From its archives, too, as far as they are there; then old rows leave as the configuration says.
    """
    loaded = _config(config)
    retention = Retention(**loaded.retention.model_dump())
    tables = ReadTables(PROJECTIONS)
    pruned = Pruned()

    def prune(database: Database) -> None:
        nonlocal pruned
        pruned = Pruning(database, retention, datetime.now(UTC)).finish()

    disk = RealDisk()
    rebuilt = _stopped(
        lambda: admin.rebuild_directory(loaded.data_dir, registry(), tables, disk, prune)
    )
    if as_json:
        counts = msgspec.structs.asdict(pruned)
        print_json(
            {"records": rebuilt.records, "problems": list(rebuilt.problems), "pruned": counts}
        )
        return
    say(f"the read tables are rebuilt from {rebuilt.records} records")
    if pruned.total:
        say(f"{pruned.total} rows that are older than the configuration keeps left again")
    for problem in rebuilt.problems:
        say(f"problem: {problem}")


@journal.command("archive")
def archive(
    *,
    before: Annotated[
        int | None, typer.Option(metavar="SEQ", min=1, help="Only records below this number.")
    ] = None,
    keep_days: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Only records older than N days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the oldest records into a file in data_dir/archive.

    Whether the daemon runs or not. What the kept snapshots need stays.

    \b
    holdfast journal archive --keep-days 90 --dry-run
    holdfast journal archive --before 120000
    """  # noqa: D301
    directory = _config(config).data_dir
    older = None if keep_days is None else datetime.now(UTC) - timedelta(days=keep_days)
    wish = Wish(before_seq=before, before=older, dry_run=dry_run)
    try:
        outcome = admin.archive(directory, registry(), RealDisk(), wish)
        answer = dict(msgspec.to_builtins(outcome))
    except AlreadyRunningError:
        request = JournalArchive(before=before, keep_days=keep_days, dry_run=dry_run)
        answer = ask(request, config, socket, afterwards=_LOOK)
    except ArchiveRefusedError as error:
        fail(named(error, error.remedy))
    except (StorageError, OSError) as error:
        fail(_refusal(error))
    if as_json:
        print_json(answer)
    elif not answer["records"]:
        say(f"nothing to archive; records up to {answer['up_to']} might leave")
    else:
        what = f"{answer['records']} records, {answer['first_seq']} to {answer['last_seq']}"
        done = "would go" if dry_run else "are now"
        say(f"{what}, {done} in {answer['file']}; {answer['remaining']} remain in the journal")


def _print_running(answer: Row, archives: Sequence[Row]) -> None:
    archived = answer.get("archived")
    print_pairs(
        [
            ("journal", "sound; the daemon goes on writing"),
            (
                "records",
                (
                    f"{clean(answer.get('records'))} checked; the last one now is "
                    f"{clean(answer.get('last_seq'))}, its hash {clean(answer.get('last_hash'))}"
                ),
            ),
            ("archived", _archived(archived) if archived else ""),
            *(("archive", _archive_line(one.get("file"), one.get("problem"))) for one in archives),
        ]
    )


def _archived(records: object) -> str:
    return f"{clean(records)} records before these"


def _print_report(report: admin.Report) -> None:
    print_pairs(
        [
            ("journal", "sound" if report.is_sound else "DAMAGED"),
            ("records", f"{report.records}, the last one's hash is {clean(report.last_hash)}"),
            ("first bad", "" if report.first_bad is None else clean(report.first_bad)),
            ("open", _OUTLIVED if report.is_outlived else ""),
            *(("problem", clean(problem)) for problem in report.problems),
            *(
                ("snapshot", f"{clean(one.name)}: {clean(one.problem) or 'usable'}")
                for one in report.snapshots
            ),
            ("quarantined", str(report.quarantined) if report.quarantined else ""),
            ("archived", _archived(report.archived) if report.archived else ""),
            *(("archive", _archive_line(one.file, one.problem)) for one in report.archives),
        ]
    )


def _archive_line(file: object, problem: object) -> str:
    return f"{clean(file)}: {clean(problem or 'whole')}"


def _config(config: Path | None) -> Config:
    try:
        return load(find(config)).config
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
