"""The desk: answers admin requests.

Reads look at durable states and never wait; changes ask their owner.

What people see is what survives a crash: positions, stops and money come from durable states,
trailing levels from journaled extremes. Only prices are of the moment.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, assert_never

from actors import messages, names
from actors.messages import Answered
from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.desk_reads import DeskReads
from daemon.desk_watch import DeskWatch
from daemon.maintenance import Maintenance
from domain.commands import (
    AddToPosition,
    ClosePosition,
    EntryRequest,
    ModificationType,
    ModifyProtection,
    ProtectionPlan,
    SizeBy,
    TargetPlan,
)
from domain.errors import Refusal
from domain.ids import MANUAL, ExitId, PositionId, RequestId, Symbol, TraderName
from domain.inputs import ResolveConflict
from domain.limit_changes import AccountOverrides, Overrides, TraderOverrides
from domain.modes import Mode
from domain.order import OrderStatus
from domain.position import Position, PositionStatus
from storage.errors import ArchiveError, JournalUnavailableError
from storage.snapshot import DIRECTORY as SNAPSHOTS

ANSWER_WITHIN_S = 10.0
SETTLES_WITHIN_S = 2.0  # how long an answer waits for a fill it can tell about
_POLL_S = 0.005
Result = dict[str, object]
_Command = (
    ask.Open
    | ask.Add
    | ask.Close
    | ask.CloseAll
    | ask.MoveStop
    | ask.TrailStop
    | ask.AddTarget
    | ask.ModifyTarget
    | ask.CancelTarget
    | ask.AcceptConflict
    | ask.RefuseConflict
    | ask.Pause
    | ask.Resume
    | ask.SetTraderLimits
    | ask.SetAccountLimits
    | ask.StopEntries
    | ask.ResumeEntries
    | ask.ResetKillSwitch
)


class Desk:
    """Implements `daemon.admin.AdminHandler` on the running actors."""

    def __init__(
        self,
        assembly: Assembly,
        reads: DeskReads,
        drain: Callable[[], None],
        watch: DeskWatch,
        reload: Callable[[], Awaitable[Result | Refusal]],
        config_text: str = "",
    ) -> None:
        """Prepare; `config_text` is the configuration as it goes into a backup."""
        self.parts = assembly
        self.reads = reads
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
                | ask.Market()
                | ask.ListConflicts()
                | ask.Mode()
                | ask.Why()
            ):
                return await self.reads.handle(request)
            case ask.Watch():
                return await self.watch.answer(request)
            case ask.JournalVerify() | ask.JournalArchive() | ask.Backup():
                return await self.maintenance.handle(request)
            case ask.Drain():
                self.drain()
                return {"draining": True, "positions": len(self.reads.open_positions())}
            case ask.Reload():
                return await self.reload()
            case ask.Kill(name=name):
                return self._kill(name)
            case ask.Snapshot():
                return await self._snapshot()
            case _:
                return await self._command(request)

    async def _command(self, request: _Command) -> Result | Refusal:
        match request:
            case ask.Open():
                return await self._open(request)
            case ask.Add():
                return await self._add(request)
            case ask.CloseAll():
                return await self._close_all()
            case ask.Pause(trader=trader) | ask.Resume(trader=trader):
                return await self._pause(request, trader)
            case ask.SetTraderLimits(trader=trader):
                return await self._set_trader_limits(request, trader)
            case ask.SetAccountLimits():
                return await self._set_account_limits(request)
            case ask.StopEntries():
                return await self._portfolio(messages.StopEntries(self._request_id(), _WHO))
            case ask.ResumeEntries():
                return await self._portfolio(messages.ResumeEntries(self._request_id(), _WHO))
            case ask.ResetKillSwitch():
                return await self._portfolio(messages.ResetKillSwitch(self._request_id(), _WHO))
            case (
                ask.Close()
                | ask.MoveStop()
                | ask.TrailStop()
                | ask.AddTarget()
                | ask.ModifyTarget()
                | ask.CancelTarget()
            ):
                return await self._change(request)
            case ask.AcceptConflict() | ask.RefuseConflict():
                return await self._resolve(request)
            case _:
                assert_never(request)

    # --- asking an owner ---

    def _request_id(self) -> RequestId:
        return RequestId(self.parts.world.ids.uuid())

    async def _tell(self, name: str, message: Any) -> Result | Refusal:
        """Tell an actor, wait for its answer. Nothing heard in time is said as that."""
        edge = self.parts.actor(names.EDGE)
        if edge is None:
            return Refusal("RESTARTING", "The daemon restarts a part of itself.", "Try again.")
        future: asyncio.Future[Answered] = edge.expect(message.request_id)
        told = self.parts.system.tell(name, message)
        if told is not True:
            future.cancel()
            return Refusal(
                "BUSY", f"{name} cannot take a command now.", "Try again; see holdfast health."
            )
        try:
            answered = await asyncio.wait_for(future, ANSWER_WITHIN_S)
        except TimeoutError:
            _, causes = self.reads.mode_and_causes()
            why = "".join(f" {cause.message}" for cause in causes if cause.mode > Mode.NO_ENTRY)
            return Refusal(
                "NO_ANSWER",
                f"No answer within {ANSWER_WITHIN_S:.0f} s: it may still be done.{why}",
                "Look before asking again: holdfast positions, holdfast health.",
            )
        if answered.refusal is not None:
            return answered.refusal
        result: Result = {"done": True}
        if answered.position_id is not None:
            result["position_id"] = answered.position_id
        if answered.note:
            result["note"] = answered.note
        return result

    async def _portfolio(self, message: Any) -> Result | Refusal:
        result = await self._tell(names.PORTFOLIO, message)
        return result if isinstance(result, Refusal) else result | self.reads.mode()

    def _not_now(self) -> Refusal | None:
        """Refuse changes that cannot be made durable."""
        mode, causes = self.reads.mode_and_causes()
        if mode < Mode.PROTECT_ONLY:
            return None
        cause = max(causes, key=lambda each: each.mode)
        return Refusal(mode.name, f"{cause.code}: {cause.message}", cause.way_out)

    # --- entries ---

    async def _open(self, request: ask.Open) -> Result | Refusal:
        symbol = Symbol(request.symbol)
        refusal = self.reads.unknown_symbol(symbol) or self._not_now()
        if refusal is not None:
            return refusal
        position_id = PositionId(request.position_id or self.parts.world.ids.uuid())
        again = await self._known_already(position_id)
        if again is not None:
            return again
        size_by, size = _size_of(request)
        plan = ProtectionPlan(
            stop_price=request.stop,
            targets=tuple(TargetPlan(each.price, each.part) for each in request.targets),
            trail_ratio=request.trail_ratio,
            trail_distance=request.trail_distance,
            breakeven_price=request.breakeven,
            max_holding_s=request.max_holding_s,
            watches=request.watches,
            stop_watches=request.stop_watches,
            target_watches=request.target_watches,
        )
        entry = EntryRequest(
            position_id=position_id,
            trader=MANUAL,
            symbol=symbol,
            direction=request.direction,
            size_by=size_by,
            size=size,
            plan=plan,
            limit_price=request.limit_price,
            leverage=request.leverage,
            request_id=self._request_id(),
        )
        result = await self._tell(names.trader(MANUAL), entry)
        if isinstance(result, Refusal):
            return result
        waits_for_fill = request.limit_price is None
        return await self._told_about(
            position_id, lambda found: not waits_for_fill or _is_settled(found)
        )

    async def _known_already(self, position_id: PositionId) -> Result | Refusal | None:
        """Answer a request that comes again with the id of its first try."""
        if self.reads.position_by_id(position_id) is not None:
            return await self._told_about(position_id, _is_settled)
        if await self.reads.is_closed(position_id):
            return Refusal(
                "ALREADY_CLOSED",
                f"Position {position_id} was opened before and is closed.",
                "Leave the id out to open another.",
            )
        return None

    async def _told_about(
        self, position_id: PositionId, is_told: Callable[[Position], bool]
    ) -> Result | Refusal:
        """Return the position once there is something to tell, or as it stands after a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLES_WITHIN_S
        while loop.time() < deadline:
            found = self.reads.position_by_id(position_id)
            if found is None or is_told(found):
                break
            await asyncio.sleep(_POLL_S)
        return await self.reads.position(position_id)

    async def _add(self, request: ask.Add) -> Result | Refusal:
        position = await self.reads.find_open(request.position)
        if isinstance(position, Refusal):
            return position
        refusal = self._not_now()
        if refusal is not None:
            return refusal
        if request.number is not None and request.number <= len(position.additions):
            return await self.reads.position(position.id)  # asked again
        if position.trader not in self.parts.settings:
            return Refusal(
                "UNKNOWN_TRADER",
                f"Trader {position.trader} is not configured, so its limits are not known.",
                "Open a position of your own: holdfast open.",
            )
        size_by, size = _size_of(request)
        command = AddToPosition(
            position_id=position.id,
            size_by=size_by,
            size=size,
            limit_price=request.limit_price,
            stop_price=request.stop,
            widen=request.widen,
            number=request.number,
            request_id=self._request_id(),
        )
        before = len(position.additions)
        result = await self._tell(names.trader(position.trader), command)
        if isinstance(result, Refusal):
            return result
        waits_for_fill = request.limit_price is None
        return await self._told_about(
            position.id,
            lambda found: (
                len(found.additions) > before
                and not (waits_for_fill and found.additions[-1].status is OrderStatus.INTENT)
            ),
        )

    # --- positions ---

    async def _change(
        self,
        request: ask.Close
        | ask.MoveStop
        | ask.TrailStop
        | ask.AddTarget
        | ask.ModifyTarget
        | ask.CancelTarget,
    ) -> Result | Refusal:
        position = await self.reads.find_open(request.position)
        if isinstance(position, Refusal):
            return position
        if isinstance(request, ask.Close):
            message: Any = ClosePosition(
                position.id, part=request.part, request_id=self._request_id()
            )
        else:
            refusal = self._not_now()
            if refusal is not None:
                return refusal
            message = self._modification(request, position)
        before = len(position.exits)
        result = await self._tell(names.position(position.id), message)
        if isinstance(result, Refusal):
            return result
        if isinstance(request, ask.Close):
            return await self._told_about(
                position.id, lambda found: len(found.exits) > before and found.exits[-1].done
            )
        return await self._told_when_armed(position)

    async def _told_when_armed(self, before: Position) -> Result | Refusal:
        version = before.protection.version
        return await self._told_about(
            before.id,
            lambda found: (
                found.protection.version > version
                and found.acknowledged_version == found.protection.version
            ),
        )

    async def _resolve(self, request: ask.AcceptConflict | ask.RefuseConflict) -> Result | Refusal:
        position = await self.reads.find_open(request.position)
        if isinstance(position, Refusal):
            return position
        refusal = self._not_now()
        if refusal is not None:
            return refusal
        accept = isinstance(request, ask.AcceptConflict)
        message = ResolveConflict(position.id, request.conflict, accept, self._request_id())
        result = await self._tell(names.position(position.id), message)
        if isinstance(result, Refusal):
            return result
        if accept:
            return await self._told_when_armed(position)
        return await self.reads.position(position.id)

    def _modification(
        self,
        request: ask.MoveStop | ask.TrailStop | ask.AddTarget | ask.ModifyTarget | ask.CancelTarget,
        position: Position,
    ) -> ModifyProtection:
        fields: dict[str, Any] = {"based_on": request.based_on}
        match request:
            case ask.MoveStop():
                kind = ModificationType.MOVE_SL
                fields |= {"price": request.price, "widen": request.widen}
            case ask.TrailStop():
                kind = ModificationType.TRAIL_SL
                fields |= {
                    "trail_ratio": request.trail_ratio,
                    "trail_distance": request.trail_distance,
                    "widen": request.widen,
                }
            case ask.AddTarget():
                kind = ModificationType.ADD_TP
                fields |= {"price": request.price, "part": request.part}
            case ask.ModifyTarget():
                kind = ModificationType.MODIFY_TP
                fields |= {"price": request.price, "part": request.part}
                fields["exit_id"] = ExitId(request.target)
            case ask.CancelTarget():
                kind = ModificationType.CANCEL_TP
                fields["exit_id"] = ExitId(request.target)
            case _:
                assert_never(request)
        return ModifyProtection(position.id, kind, request_id=self._request_id(), **fields)

    async def _close_all(self) -> Result:
        """Close everything. Told once it is durable: a crash does not forget what was promised."""
        known: Sequence[Position] = self.parts.world.states.latest_of("position")
        positions = [each for each in known if not each.is_closed]
        answers = await asyncio.gather(
            *(
                self._tell(
                    names.position(each.id), ClosePosition(each.id, request_id=self._request_id())
                )
                for each in positions
            )
        )
        refused = {
            position.id: answer
            for position, answer in zip(positions, answers, strict=True)
            if isinstance(answer, Refusal) and answer.rule not in _ENDS_ALREADY
        }
        result: Result = {"closing": [each.id for each in positions if each.id not in refused]}
        if refused:
            result["refused"] = [
                {"position": position_id, "rule": each.rule, "message": each.message}
                for position_id, each in refused.items()
            ]
        return result

    # --- the rest ---

    def _trader_refusal(self, trader: TraderName) -> Refusal | None:
        """Refuse a change of a trader that is not there, or that cannot be made durable."""
        return self.reads.unknown_trader(trader) or self._not_now()

    async def _set_trader_limits(self, request: ask.SetTraderLimits, name: str) -> Result | Refusal:
        trader = TraderName(name)
        refusal = self._trader_refusal(trader)
        if refusal is not None:
            return refusal
        message = messages.SetTraderLimits(
            trader=trader,
            wanted=_overrides(TraderOverrides, request),
            reset=request.reset,
            by=_WHO,
            request_id=self._request_id(),
        )
        result = await self._tell(names.trader(trader), message)
        if isinstance(result, Refusal):
            return result
        return result | {"trader": name} | self.reads.limits_of_trader(trader)

    async def _set_account_limits(self, request: ask.SetAccountLimits) -> Result | Refusal:
        refusal = self._not_now()
        if refusal is not None:
            return refusal
        message = messages.SetAccountLimits(
            wanted=_overrides(AccountOverrides, request),
            reset=request.reset,
            by=_WHO,
            request_id=self._request_id(),
        )
        result = await self._tell(names.PORTFOLIO, message)
        if isinstance(result, Refusal):
            return result
        return result | {"account": self.parts.world.account} | self.reads.limits_of_account()

    async def _pause(self, request: ask.Pause | ask.Resume, name: str) -> Result | Refusal:
        trader = TraderName(name)
        refusal = self._trader_refusal(trader)
        if refusal is not None:
            return refusal
        kind = messages.PauseTrader if isinstance(request, ask.Pause) else messages.ResumeTrader
        result = await self._tell(names.trader(trader), kind(trader, self._request_id(), _WHO))
        return result if isinstance(result, Refusal) else result | {"trader": name}

    async def _snapshot(self) -> Result | Refusal:
        taken = await self._tell(names.PERSISTENCE, messages.TakeSnapshot(self._request_id()))
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


_ENDS_ALREADY = frozenset({"ALREADY_CLOSED", "ALREADY_CLOSING"})
_WHO = f"uid {os.getuid()}"


def _overrides(
    kind: type[Overrides], request: ask.SetTraderLimits | ask.SetAccountLimits
) -> Overrides:
    return kind(**{name: getattr(request, name) for name in kind.__struct_fields__})


def _size_of(request: ask.Open | ask.Add) -> tuple[SizeBy, Decimal]:
    if request.quantity is not None:
        return SizeBy.QUANTITY, request.quantity
    if request.notional is not None:
        return SizeBy.NOTIONAL, request.notional
    assert request.risk is not None  # the grammar wants exactly one
    return SizeBy.RISK_RATIO, request.risk


def _is_settled(position: Position) -> bool:
    """Whether an entry at market has come to something."""
    if position.status is PositionStatus.ENTRY_PENDING:
        return False
    is_filled = position.entry.status is not OrderStatus.INTENT
    armed = position.acknowledged_version == position.protection.version
    return position.is_closed or (is_filled and armed)
