"""The desk's commands on positions: open, add, change, decide, close.

An answer waits a moment for a fill or an arming, so that it can tell about it.
"""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, assert_never
from weakref import WeakValueDictionary

from actors import names
from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.desk_owners import OPERATOR, DeskOwners
from daemon.desk_reads import DeskReads, Result
from daemon.same_entry import differences
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
from domain.ids import MANUAL, ExitId, PositionId, Symbol
from domain.inputs import ResolveConflict
from domain.money import ONE
from domain.order import OrderStatus
from domain.position import Position, PositionStatus
from domain.position_additions import quarantined

SETTLES_WITHIN_S = 2.0  # how long an answer waits for a fill it can tell about
_POLL_S = 0.005
_ENDS_ALREADY = frozenset({"ALREADY_CLOSED", "ALREADY_CLOSING"})
EXISTS = frozenset({"POSITION_EXISTS", "DUPLICATE_ORDER"})
Command = (
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
)


class DeskPositions:
    """Has positions opened, changed and closed."""

    def __init__(self, assembly: Assembly, reads: DeskReads, owners: DeskOwners) -> None:
        self._parts = assembly
        self._reads = reads
        self._owners = owners
        # One request at a time for each id: a repeated one hears what became of the first.
        self._opening: WeakValueDictionary[PositionId, asyncio.Lock] = WeakValueDictionary()

    async def handle(self, request: Command) -> Result | Refusal:
        """Answer a command."""
        match request:
            case ask.Open():
                return await self._open(request)
            case ask.Add():
                return await self._add(request)
            case ask.CloseAll():
                return await self._close_all()
            case ask.AcceptConflict() | ask.RefuseConflict():
                return await self._resolve(request)
            case _:
                return await self._change(request)

    # --- entries ---

    async def _open(self, request: ask.Open) -> Result | Refusal:
        symbol = Symbol(request.symbol)
        refusal = self._owners.not_now()
        if refusal is not None:
            return refusal
        position_id = PositionId(request.position_id or self._parts.world.ids.uuid())
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
            user=OPERATOR,
            request_id=self._owners.request_id(),
        )
        async with self.turn_of(position_id):
            if not await self.is_known(position_id):
                result = await self._owners.tell(names.trader(MANUAL), entry)
                if not isinstance(result, Refusal):
                    waits_for_fill = request.limit_price is None
                    return await self._told_about(
                        position_id, lambda found: not waits_for_fill or _is_settled(found)
                    )
                if result.rule not in EXISTS:
                    return result
            return await self._told_again(entry)

    def turn_of(self, position_id: PositionId) -> asyncio.Lock:
        """Return what lets one request at a time open a position of this id, or retry to."""
        return self._opening.setdefault(position_id, asyncio.Lock())

    async def is_known(self, position_id: PositionId) -> bool:
        """Whether a position has this id: in memory, on its way to the disk, or long closed."""
        world = self._parts.world
        if world.position(position_id) is not None:
            return True
        return await self._reads.was_ever_used(position_id)

    async def _told_again(self, entry: EntryRequest) -> Result | Refusal:
        """Answer a request that comes again with the id of its first try.

        Its position may be on its way to the disk, or approved and not yet born.
        """
        position_id = entry.position_id
        held = await self._durable(position_id)
        if held is not None:
            different = differences(entry, held, await self._reads.size_asked(held))
            if different:
                return Refusal(
                    "ID_IN_USE",
                    f"Position {position_id} was asked for otherwise: {'; '.join(different)}.",
                    "Leave the id out, or draw a new one, to open another.",
                )
            return await self._told_about(position_id, _is_settled)
        if await self._reads.was_ever_used(position_id):
            return Refusal(
                "ALREADY_CLOSED",
                f"Position {position_id} was opened before and is closed.",
                "Leave the id out to open another.",
            )
        return Refusal(
            "NO_ANSWER",
            f"Position {position_id} is being opened, and nothing is known of it yet.",
            f"Look before asking again: holdfast position {position_id}",
        )

    async def _durable(self, position_id: PositionId) -> Position | None:
        """Return a position once it is durable; None: it is over and forgotten, or takes long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLES_WITHIN_S
        while True:
            found = self._reads.position_by_id(position_id)
            if found is not None or loop.time() >= deadline:
                return found
            is_coming = self._parts.world.position(position_id) is not None
            if not is_coming and await self._reads.was_ever_used(position_id):
                return self._reads.position_by_id(position_id)
            await asyncio.sleep(_POLL_S)

    async def told_when_settled(self, position_id: PositionId) -> Result | Refusal:
        """Return a position whose entry has come to something, or as it stands after a while."""
        return await self._told_about(position_id, _is_settled)

    async def told_when_added(self, command: AddToPosition, before: int) -> Result | Refusal:
        """Return a position once its addition has come to something; it had `before` of them."""
        waits_for_fill = command.limit_price is None
        return await self._told_about(
            command.position_id,
            lambda found: (
                len(found.additions) > before
                and not (waits_for_fill and found.additions[-1].status is OrderStatus.INTENT)
            ),
        )

    async def _told_when_closed(
        self, position_id: PositionId, part: Decimal, before: int
    ) -> Result | Refusal:
        """Return a position once the part is out, and say so where it is not yet.

        Its exit is journaled and tried until it is through; `before` is how many it had.
        """

        def is_out(found: Position) -> bool:
            is_sold = any(each.done and each.filled for each in found.exits[before:])
            return found.is_closed or (part < ONE and is_sold)

        answer = await self._told_about(position_id, is_out)
        found = self._reads.position_by_id(position_id)
        if isinstance(answer, Refusal) or found is None or is_out(found):
            return answer
        return {**answer, "under_way": True, "note": "NOT CLOSED YET: it is tried until it is done"}

    async def _told_about(
        self, position_id: PositionId, is_told: Callable[[Position], bool]
    ) -> Result | Refusal:
        """Return the position once there is something to tell, or as it stands after a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLES_WITHIN_S
        while loop.time() < deadline:
            found = self._reads.position_by_id(position_id)
            if found is None or is_told(found):
                break
            await asyncio.sleep(_POLL_S)
        return await self._reads.position(position_id)

    async def _add(self, request: ask.Add) -> Result | Refusal:
        position = await self._changeable(request.position)
        if isinstance(position, Refusal):
            return position
        if request.number is not None and request.number <= len(position.additions):
            return await self._reads.position(position.id)  # asked again
        if position.trader not in self._parts.settings:
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
            user=OPERATOR,
            request_id=self._owners.request_id(),
        )
        before = len(position.additions)
        result = await self._owners.tell(names.trader(position.trader), command)
        if isinstance(result, Refusal):
            return result
        return await self.told_when_added(command, before)

    # --- what is open ---

    async def _change(
        self,
        request: ask.Close
        | ask.MoveStop
        | ask.TrailStop
        | ask.AddTarget
        | ask.ModifyTarget
        | ask.CancelTarget,
    ) -> Result | Refusal:
        position = await self._reads.find_open(request.position)
        if isinstance(position, Refusal):
            return position
        if isinstance(request, ask.Close):
            message: Any = ClosePosition(
                position.id, part=request.part, request_id=self._owners.request_id()
            )
        else:
            refusal = self._owners.not_now()
            if refusal is not None:
                return refusal
            message = self._modification(request, position)
        before = len(position.exits)
        result = await self._tell(position.id, message)
        if isinstance(result, Refusal):
            return result
        if isinstance(request, ask.Close):
            return await self._told_when_closed(position.id, request.part, before)
        return await self._told_when_armed(position)

    async def _tell(self, position_id: PositionId, message: Any) -> Result | Refusal:
        """Tell a position's owner; asking one in quarantine again does not help."""
        result = await self._owners.tell(names.position(position_id), message)
        if isinstance(result, Refusal) and result.rule == "BUSY":
            held = self._parts.world.position(position_id)
            if held is not None and held.status is PositionStatus.QUARANTINED:
                return quarantined(position_id)
        return result

    async def _changeable(self, prefix: str) -> Position | Refusal:
        """Return the open position an id begins, unless nothing can be made durable now."""
        position = await self._reads.find_open(prefix)
        return position if isinstance(position, Refusal) else self._owners.not_now() or position

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
        position = await self._changeable(request.position)
        if isinstance(position, Refusal):
            return position
        accept = isinstance(request, ask.AcceptConflict)
        message = ResolveConflict(position.id, request.conflict, accept, self._owners.request_id())
        result = await self._tell(position.id, message)
        if isinstance(result, Refusal):
            return result
        if accept:
            return await self._told_when_armed(position)
        return await self._reads.position(position.id)

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
        return ModifyProtection(position.id, kind, request_id=self._owners.request_id(), **fields)

    async def _close_all(self) -> Result:
        """Close everything. Told once it is durable: a crash does not forget what was promised."""
        known: Sequence[Position] = self._parts.world.states.latest_of("position")
        positions = [each for each in known if not each.is_closed]
        answers = await asyncio.gather(
            *(
                self._tell(each.id, ClosePosition(each.id, request_id=self._owners.request_id()))
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
                {
                    "position": position_id,
                    "rule": each.rule,
                    "message": each.message,
                    "remedy": each.remedy,
                }
                for position_id, each in refused.items()
            ]
        return result


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
