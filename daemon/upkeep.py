"""What the daemon does once a day for its own tidiness.

Old read rows leave, and old records for archive files where the configuration says so. In steps
on the storage thread; between two of them commits get their turn.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from daemon.admin_requests import JournalArchive
from daemon.background import Background
from daemon.config_models import Config
from daemon.maintenance import Maintenance
from domain.errors import Refusal
from runtime.ports import Clock
from storage.errors import StorageError
from storage.retention import Pruned, Pruning, Retention
from storage.store import Store

log = structlog.get_logger("system")
EVERY_S = 86_400.0


class Upkeep:
    """Prunes the read tables, and archives, at once and then once a day, until it is closed."""

    def __init__(
        self,
        in_force: Callable[[], Config],
        store: Store,
        background: Background,
        clock: Clock,
        maintenance: Maintenance,
    ) -> None:
        self._in_force = in_force
        self._maintenance = maintenance
        self._store = store
        self._background = background
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Positions are armed by now."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_tell_of_bug)

    async def close(self) -> None:
        """End after the step under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await self.prune()
            keep_days = self._in_force().journal.archive_after_days
            if keep_days is not None:
                await self._archive(keep_days)
            await asyncio.sleep(EVERY_S)

    async def prune(self) -> Pruned:
        """Take out what is too old; return the counts."""
        retention = Retention(**self._in_force().retention.model_dump())
        pruning = Pruning(self._store.database, retention, self._clock.now())
        try:
            await self._background.steps(pruning.advance)
        except StorageError as error:  # whoever commits next tells of the disk
            log.warning("pruning_stopped", error=str(error))
        counts: dict[str, Any] = msgspec.structs.asdict(pruning.pruned)
        report = log.info if pruning.pruned.total else log.debug
        report("pruned", **counts)
        return pruning.pruned

    async def _archive(self, keep_days: int) -> None:
        result = await self._maintenance.handle(JournalArchive(keep_days=keep_days))
        if isinstance(result, Refusal):
            log.warning("not_archived", rule=result.rule, message=result.message)
        elif result["records"]:
            log.info("archived", **result)


def _tell_of_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (bug := task.exception()):
        log.error("upkeep_failed", exc_info=bug)
