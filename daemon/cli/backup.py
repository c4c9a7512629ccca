"""Commands that put a whole data directory into one file, and back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from daemon.admin_requests import Backup
from daemon.backup import back_up_stopped, check_place, failed, restored, told, told_of_restored
from daemon.cli.console import clean, fail, print_json, say
from daemon.cli.link import ConfigOption, JsonOption, SocketOption, ask, fail_config
from daemon.config import load
from daemon.config_file import ConfigError, find
from daemon.config_text import portable
from daemon.errors import StartError, named
from domain.errors import Refusal
from runtime.disk import RealDisk
from storage.codec import time_text
from storage.errors import AlreadyRunningError, BackupError, NoJournalError, StorageError


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Such as holdfast.tar.gz.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is a backup.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all of one data directory into a file.

    Journal, snapshots, the paper venue's ledger and the configuration without secrets.

    Whether the daemon runs or not; one that runs goes on trading.

    \b
    holdfast backup holdfast.tar.gz
    """  # noqa: D301
    file = file.absolute()
    try:
        loaded = load(find(config))
    except ConfigError as error:
        fail_config(error)
    disk = RealDisk()
    try:
        manifest = back_up_stopped(
            loaded.config.data_dir,
            file,
            portable(loaded.config, loaded.file.base),
            time_text(datetime.now(UTC)),
            lambda: check_place(file, loaded.config, disk, force=force),
        )
        answer = told(file, manifest)
    except AlreadyRunningError:
        afterwards = f"Look whether {file} is there; a part of one never is."
        answer = ask(Backup(file=str(file), force=force), config, socket, afterwards=afterwards)
    except StartError as error:
        fail(error.refusal)
    except NoJournalError as error:
        fail(named(error, "Name the daemon's --config; a first holdfast run makes a journal."))
    except (BackupError, OSError) as error:
        fail(failed(file, error))
    except StorageError as error:
        fail(named(error))
    if as_json:
        print_json(answer)
    else:
        records = f"the journal up to record {answer['last_seq']}"
        say(f"{clean(answer['file'])}: {records}, {int(str(answer['bytes'])):,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What holdfast backup wrote.")],
    *,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="A new or empty directory.")],
    as_json: JsonOption = False,
) -> None:
    """Unpack a backup into a new directory and check it.

    \b
    holdfast restore holdfast.tar.gz --into ./restored
    holdfast run --config ./restored/config.yaml
    """  # noqa: D301
    try:
        manifest, report = restored(file, into.absolute(), RealDisk())
    except BackupError as error:
        why = f"{file} cannot be restored: {error}."
        fail(Refusal("NOT_RESTORED", why, "Nothing was written. See holdfast restore --help."))
    except OSError as error:
        why = f"{into} cannot be written: {error.strerror or error}."
        fail(Refusal("DIRECTORY_UNUSABLE", why, "Choose another directory, or make room."))
    if as_json:
        print_json(told_of_restored(into.absolute(), file, manifest, report))
        return
    say(f"{into}: the journal up to record {manifest.journal.last_seq}, sound")
    say(f"start it: holdfast run --config {into / 'config.yaml'}")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("backup")(backup)
    app.command("restore")(restore)
