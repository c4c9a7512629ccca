"""The desk: answers admin requests.

Reads look at durable states and never wait; changes ask their owner.

What people see is what survives a crash: positions, stops and money come from durable states,
trailing levels from journaled extremes. Only prices are of the moment.
"""

from collections.abc import Awaitable, Callable

from actors import messages, names
from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.desk_executions import DeskExecutions
from daemon.desk_owners import DeskOwners
from daemon.desk_positions import DeskPositions
from daemon.desk_reads import DeskReads, Result
from daemon.desk_reconcile import DeskReconcile
from daemon.desk_traders import DeskTraders
from daemon.desk_watch import DeskWatch
from daemon.maintenance import Maintenance
from domain.errors import Refusal
from storage.errors import ArchiveError, JournalUnavailableError
from storage.snapshot import DIRECTORY as SNAPSHOTS


class Desk:
    """Implements `daemon.admin.AdminHandler` on the running actors."""

    def __init__(
        self,
        assembly: Assembly,
        reads: DeskReads,
        drain: Callable[[], None],
        watch: DeskWatch,
        reload: Callable[[], Awaitable[Result | Refusal]],
        config_text: Callable[[], str] = lambda: "",
    ) -> None:
        """Prepare; `config_text` writes what is in force, as it goes into a backup."""
        self.parts = assembly
        self.reads = reads
        self._owners = DeskOwners(assembly, reads)
        self._positions = DeskPositions(assembly, reads, self._owners)
        self._executions = DeskExecutions(assembly, reads, self._owners, self._positions)
        self._traders = DeskTraders(assembly, reads, self._owners)
        self._reconcile = DeskReconcile(assembly, self._owners)
        self.watch = watch
        self.drain = drain
        self.reload = reload
        self.maintenance = Maintenance(assembly, reads.archive.background, config_text)

    async def handle(self, request: ask.AnyAdminRequest) -> Result | Refusal:
        """Answer one request."""
        try:
            return await self._answer(request)
        except JournalUnavailableError as error:  # the past cannot be read; the present can
            return Refusal("JOURNAL_DOWN", f"{error}.", "See holdfast health; ask again later.")
        except ArchiveError as error:
            return Refusal("ARCHIVE_MISSING", f"It is in {error}.", "Put the file back there.")

    async def _answer(self, request: ask.AnyAdminRequest) -> Result | Refusal:
        match request:
            case (
                ask.Ping()
                | ask.Status()
                | ask.Health()
                | ask.ShowPortfolio()
                | ask.ListTraders()
                | ask.ListPositions()
                | ask.ShowPosition()
                | ask.ListOrders()
                | ask.ListExecutions()
                | ask.Latency()
                | ask.Market()
                | ask.ListConflicts()
                | ask.Mode()
                | ask.Why()
            ):
                return await self.reads.handle(request)
            case ask.Retry() | ask.TestOrder():
                return await self._executions.handle(request)
            case ask.Watch():
                return await self.watch.answer(request)
            case ask.JournalVerify() | ask.JournalArchive() | ask.Backup():
                return await self.maintenance.handle(request)
            case ask.Reconcile():
                return await self._reconcile.handle(request)
            case ask.Drain():
                self.drain()
                return {"draining": True, "positions": len(self.reads.open_positions())}
            case ask.Reload():
                return await self.reload()
            case ask.Kill(name=name):
                return self._kill(name)
            case ask.Snapshot():
                return await self._snapshot()
            case (
                ask.Open()
                | ask.Add()
                | ask.Close()
                | ask.CloseAll()
                | ask.MoveStop()
                | ask.TrailStop()
                | ask.AddTarget()
                | ask.ModifyTarget()
                | ask.CancelTarget()
                | ask.AcceptConflict()
                | ask.RefuseConflict()
            ):
                return await self._positions.handle(request)
            case _:
                return await self._traders.handle(request)

    async def _snapshot(self) -> Result | Refusal:
        taken = await self._owners.tell(
            names.PERSISTENCE, messages.TakeSnapshot(self._owners.request_id())
        )
        if isinstance(taken, Refusal):
            return taken
        name = str(taken["note"])
        file = self.parts.store.directory / SNAPSHOTS / name
        return {"done": True, "file": str(file), "last_seq": int(file.stem)}

    def _kill(self, name: str) -> Result | Refusal:
        system = self.parts.system
        found = [name] if name in system.find(name) else list(system.find(name))
        if len(found) != 1:
            known = ", ".join(found[:10]) or ", ".join(list(system.find(""))[:10])
            rule = "AMBIGUOUS_NAME" if found else "UNKNOWN_ACTOR"
            return Refusal(rule, f"{name!r} names no single actor.", f"Such as: {known}")
        if not system.kill(found[0]):
            return Refusal("NOT_RUNNING", f"{found[0]} is down already.", "Try again in a second.")
        return {"killed": found[0]}
