"""Long work on the files of a daemon that runs: checking, archiving, backing up.

One at a time, in small steps on the threads that own the files, so that commits and prices do not
notice.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import structlog

from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.background import Background
from daemon.backup import check_place, failed, told
from daemon.errors import StartError, named
from daemon.version import installed_version
from domain.errors import Refusal
from runtime.threads import WorkerClosingError
from storage.admin import ChainCheck
from storage.archiving import Archiving, Wish
from storage.backup import CONFIG, LEDGER, Staging, copy_database
from storage.codec import time_text
from storage.connection import NAME
from storage.errors import (
    ArchiveError,
    ArchiveRefusedError,
    BackupError,
    DamagedRecordError,
    JournalUnavailableError,
)
from storage.snapshot import snapshot_paths

log = structlog.get_logger("system")
Result = dict[str, object]
_KEEP = (
    "Take a snapshot (holdfast snapshot): what is open is in it, and a start goes on from there. No"
    " restart mends the journal, and do not upgrade: see the runbook, “A damaged journal”."
)


class Maintenance:
    """Implements the admin commands that take long."""

    def __init__(
        self, parts: Assembly, background: Background, config_text: Callable[[], str]
    ) -> None:
        """Prepare; `config_text` writes what is in force, as it goes into a backup."""
        self._parts = parts
        self._config_text = config_text
        self._background = background
        self._one_at_a_time = asyncio.Lock()

    async def handle(
        self, request: ask.JournalVerify | ask.JournalArchive | ask.Backup
    ) -> Result | Refusal:
        """Do it, or refuse while something of the kind is being done."""
        if self._one_at_a_time.locked():
            why = "The journal is being checked, archived or backed up."
            return Refusal("MAINTENANCE_UNDER_WAY", why, "Ask again when that is done.")
        async with self._one_at_a_time:
            try:
                match request:
                    case ask.JournalVerify(archives=archives):
                        return await self._verify(archives=archives)
                    case ask.JournalArchive():
                        return await self._archive(request)
                    case ask.Backup():
                        return await self._back_up(Path(request.file), force=request.force)
            except JournalUnavailableError as error:
                return Refusal("JOURNAL_DOWN", f"{error}.", "See holdfast health.")
            except DamagedRecordError as error:
                return Refusal("JOURNAL_DAMAGED", f"{error}.", _KEEP)
            except WorkerClosingError:
                return Refusal("STOPPING", "The daemon is stopping.", "Ask again without it.")

    async def _verify(self, *, archives: bool) -> Result:
        journal = self._parts.store.journal
        check = ChainCheck(self._parts.store.database, archives=archives)
        await self._background.steps(check.advance)
        return {
            "sound": True,
            "records": check.records,
            "last_seq": journal.tail.seq,
            "last_hash": journal.journal_hash,
            "archived": check.archived.seq,
            "archives": msgspec.to_builtins(check.archives),
        }

    async def _archive(self, request: ask.JournalArchive) -> Result | Refusal:
        older = None if request.keep_days is None else timedelta(days=request.keep_days)
        wish = Wish(
            before_seq=request.before,
            before=None if older is None else self._parts.world.clock.now() - older,
            dry_run=request.dry_run,
        )
        store = self._parts.store
        archiving = Archiving(store.database, store.registry, store.disk, wish)
        try:
            await self._background.steps(archiving.advance)
        except ArchiveRefusedError as error:
            return named(error, error.remedy)
        except (ArchiveError, OSError) as error:
            why = f"The archive cannot be written: {error}. The journal has everything."
            return Refusal("ARCHIVE_FAILED", why, "Free or repair the disk.")
        return dict(msgspec.to_builtins(archiving.outcome))

    async def _back_up(self, file: Path, *, force: bool) -> Result | Refusal:
        store, staging = self._parts.store, Staging(file)
        try:
            await asyncio.to_thread(check_place, file, self._parts.config, store.disk, force=force)
        except StartError as error:
            return error.refusal
        except OSError as error:
            return failed(file, error)
        try:
            await asyncio.to_thread(staging.__enter__)
            await self._gather(staging)
            made_at = time_text(self._parts.world.clock.now())
            manifest = await asyncio.to_thread(staging.pack, installed_version(), made_at)
            return await asyncio.to_thread(told, file, manifest)
        except (BackupError, OSError) as error:
            log.warning("backup_failed", file=str(file), error=str(error))
            return failed(file, error)
        finally:
            await asyncio.to_thread(staging.clear)

    async def _gather(self, staging: Staging) -> None:
        """Copy the parts. The ledger comes after the journal: so it lacks nothing of it."""
        store, parts = self._parts.store, staging.directory
        for path in snapshot_paths(store.directory):
            await asyncio.to_thread(staging.snapshot, path)
        give_way = self._background.give_way
        await self._background.call(
            lambda: copy_database(lambda: store.database.connection, parts / NAME, give_way)
        )
        if self._parts.paper is not None:
            await self._parts.paper.on_ledger(
                lambda connection_of, way: copy_database(connection_of, parts / LEDGER, way)
            )
        await asyncio.to_thread(staging.write, CONFIG, self._config_text().encode())
