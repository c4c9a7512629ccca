"""Long work on the files of a daemon that runs: checking, archiving, backing up.

One at a time, in small steps on the threads that own the files, so that commits and prices do not
notice.
"""

import asyncio
from datetime import timedelta

import msgspec

from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.background import Background
from daemon.errors import named
from domain.errors import Refusal
from storage.admin import ChainCheck
from storage.archiving import Archiving, Wish
from storage.errors import (
    ArchiveError,
    ArchiveRefusedError,
    DamagedRecordError,
    JournalUnavailableError,
)

Result = dict[str, object]
_RESTART = "Restart the daemon: it moves the damaged tail aside and asks the venue."


class Maintenance:
    """Implements the admin commands that take long."""

    def __init__(self, parts: Assembly, background: Background) -> None:
        self._parts = parts
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
                        raise NotImplementedError
            except JournalUnavailableError as error:
                return Refusal("JOURNAL_DOWN", f"{error}.", "See holdfast health.")
            except DamagedRecordError as error:
                return Refusal("JOURNAL_DAMAGED", f"{error}.", _RESTART)

    async def _verify(self, *, archives: bool) -> Result:
        journal = self._parts.store.journal
        check = ChainCheck(self._parts.store.database, archives=archives)
        await self._background.steps(check.advance)
        return {
            "verified": check.records,
            "last_seq": journal.tail.seq,
            "journal_hash": journal.journal_hash,
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
