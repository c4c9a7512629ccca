"""The desk's commands on attempts: retry one that failed, make a test order."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec
from msgspec.structs import replace

from actors import names
from actors.approvals import unknown_symbol
from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.desk_owners import OPERATOR, DeskOwners
from daemon.desk_positions import EXISTS, DeskPositions
from daemon.desk_reads import DeskReads, Result
from daemon.execution_views import execution_view
from domain.commands import (
    AddToPosition,
    ClosePosition,
    EntryRequest,
    ProtectionPlan,
    RequestedBy,
    SizeBy,
    Source,
)
from domain.errors import Refusal
from domain.executions import ExecutionStatus
from domain.ids import (
    MANUAL,
    AccountName,
    ClientOrderId,
    PositionId,
    Symbol,
    TraderName,
    identity_of,
)
from domain.instrument import Direction
from domain.money import ONE, ceil_to
from domain.order import OrderStatus
from domain.position import Position
from domain.position_additions import MAX_ADDITIONS
from domain.position_life import entry_filled
from domain.protection import ExitReason
from storage.rows import ExecutionRow

FILLS_WITHIN_S = 10.0
TEST_ENDS_AFTER_S = 60.0  # should nobody be there to close it
_POLL_S = 0.005
_FAILED = frozenset({ExecutionStatus.SKIPPED, ExecutionStatus.FAILED})
_REQUEST = msgspec.json.Decoder(EntryRequest)


class DeskExecutions:
    """Has attempts made anew."""

    def __init__(
        self, assembly: Assembly, reads: DeskReads, owners: DeskOwners, positions: DeskPositions
    ) -> None:
        self._parts = assembly
        self._world = assembly.world
        self._reads = reads
        self._owners = owners
        self._positions = positions

    async def handle(self, request: ask.Retry | ask.TestOrder) -> Result | Refusal:
        """Answer a command."""
        refusal = self._owners.not_now()
        if refusal is not None:
            return refusal
        if isinstance(request, ask.Retry):
            return await self._retry(request.execution, again=request.again)
        return await self._test(request)

    # --- retry ---

    async def _retry(self, name: str | None, *, again: bool) -> Result | Refusal:
        """Ask for the same again, as a new decision: same checks, fresh ids."""
        last = self._world.failures.latest
        if name is None and last is None:
            return Refusal(
                "NOTHING_FAILED",
                "No attempt has failed that was not made since.",
                "Name one that failed before: holdfast executions --failed",
            )
        name = last.execution_id if name is None and last is not None else name
        rows = await self._reads.archive.executions(1, execution_id=name)
        if not rows:
            text = f"There is no attempt {name}."
            return Refusal("UNKNOWN_EXECUTION", text, "List them: holdfast executions --failed")
        (row,) = rows
        request = _not_retried(row) or await self._entry_of(row)
        if isinstance(request, Refusal):
            return request
        request = replace(
            request,
            trader=request.trader if request.trader in self._parts.settings else MANUAL,
            requested_by=RequestedBy.USER_MANUAL,
            source=Source.TERMINAL,
            user=OPERATOR,
            decision_id=None,
            expires_at=None,
            rationale=f"Retry of {row.execution_id}.",
            request_id=self._owners.request_id(),
        )
        async with self._positions.turn_of(PositionId(row.position_id)):
            result = await self._retried(row, request, again=again)
        if isinstance(result, Refusal):
            return result
        self._world.failures.retried(row.execution_id)
        return {"retried": row.execution_id, **result}

    async def _retried(
        self, row: ExecutionRow, request: EntryRequest, *, again: bool
    ) -> Result | Refusal:
        """Have it made, unless it was made since and `again` does not say that this is known."""
        is_known = await self._positions.is_known(request.position_id)
        held = self._world.position(request.position_id)
        is_open = held is not None and not held.is_closed
        if is_open and (row.client_order_id or await self._was_held_at(row)):
            since = await self._added_since(row)
            if since is not None and not again:
                if _came_to_nothing(held, since):
                    return _in_vain(row, f"addition {since}", request.position_id)
                return _made_since(row, f"addition {since}", request.position_id)
            return await self._told(_addition(request))
        if is_known and not _is_first_entry(row):
            if is_open:  # also with `again`: whether to enlarge it or to open another is not ours
                return _opened_since(row, request.position_id)
            text = f"The position that {row.execution_id} was for is closed."
            return Refusal("POSITION_CLOSED", text, "Open a new one.")
        if again:
            return await self._told(
                replace(request, position_id=PositionId(self._world.ids.uuid()))
            )
        position_id = retry_id(self._world.account, row.execution_id)
        if await self._positions.is_known(position_id):
            return await self._retried_since(row, position_id)
        result = await self._told(replace(request, position_id=position_id))
        if isinstance(result, Refusal) and result.rule in EXISTS:
            return await self._retried_since(row, position_id)
        return result

    async def _retried_since(self, row: ExecutionRow, position_id: PositionId) -> Refusal:
        """Name the position that a retry has opened, or the attempt by which that failed too."""
        found = self._reads.position_by_id(position_id)
        position = await self._reads.find_any(position_id) if found is None else found
        if isinstance(position, Position) and position.exit_reason is ExitReason.NEVER_FILLED:
            failed = await self._reads.archive.executions(
                1, failed=True, with_order=True, position_id=position_id, reduce_only="0"
            )
            if failed:
                return _failed_again(row, failed[0].execution_id)
            return _in_vain(row, f"position {position_id}", position_id)
        return _made_since(row, "position", position_id)

    async def _told(self, asked: EntryRequest | AddToPosition) -> Result | Refusal:
        held = self._world.position(asked.position_id)
        before = 0 if held is None else len(held.additions)
        result = await self._owners.tell(names.trader(_trader_of(asked, self._world)), asked)
        if isinstance(result, Refusal):
            return result
        if isinstance(asked, AddToPosition):
            return await self._positions.told_when_added(asked, before)
        return await self._positions.told_when_settled(asked.position_id)

    async def _entries_of(self, position_id: str) -> list[ExecutionRow]:
        """Return the orders that opened a position and added to it, newest first."""
        return await self._reads.archive.executions(
            MAX_ADDITIONS + 1, with_order=True, position_id=position_id, reduce_only="0"
        )

    async def _was_held_at(self, row: ExecutionRow) -> bool:
        """Whether its position was there when it was refused: then it was to enlarge it."""
        return any(each.seq < row.seq for each in await self._entries_of(row.position_id))

    async def _added_since(self, row: ExecutionRow) -> str | None:
        """Return the last order that enlarged the position after this attempt; None: none did."""
        later = (
            each.execution_id
            for each in await self._entries_of(row.position_id)
            if each.seq > row.seq and each.status not in _FAILED
        )
        return next(later, None)

    async def _entry_of(self, row: ExecutionRow) -> EntryRequest | Refusal:
        """Return what was asked for: kept with a refusal; of an order its position tells it."""
        if not row.client_order_id:
            return _REQUEST.decode(row.request)
        position = await self._reads.find_any(row.position_id)
        if isinstance(position, Refusal):
            return position
        identity = identity_of(ClientOrderId(row.client_order_id))
        if identity is not None and identity.leg != "entry-0" and position.is_closed:
            text = f"The position that {row.execution_id} was to enlarge is closed."
            return Refusal("POSITION_CLOSED", text, "Open a new one.")
        return EntryRequest(
            position_id=position.id,
            trader=TraderName(row.trader or position.trader),
            symbol=Symbol(row.symbol),
            direction=position.direction,
            size_by=SizeBy(row.size_by) if row.size_by else SizeBy.QUANTITY,
            size=Decimal(row.size or row.quantity),
            plan=position.plan,
            limit_price=Decimal(row.price) if row.price else None,
            leverage=Decimal(row.leverage),
        )

    # --- test order ---

    async def _test(self, request: ask.TestOrder) -> Result | Refusal:
        """Buy a little and sell it, through all that any order goes through."""
        world, symbol = self._world, Symbol(request.symbol)
        if request.venue != world.venue:
            text = f"Orders go to {world.venue}, not to {request.venue}."
            return Refusal("OTHER_VENUE", text, f"Name {world.venue}, or change account.venue.")
        if symbol not in world.instruments:
            return unknown_symbol(symbol, world.instruments)
        position_id = PositionId(world.ids.uuid())
        size_by, size = self._size_of(request)
        entry = EntryRequest(
            position_id=position_id,
            trader=MANUAL,
            symbol=symbol,
            direction=Direction.LONG,
            size_by=size_by,
            size=size,
            plan=ProtectionPlan(max_holding_s=TEST_ENDS_AFTER_S),
            rationale="Test order.",
            user=OPERATOR,
            request_id=self._owners.request_id(),
        )
        clock = _Stopwatch()
        result = await self._owners.tell(names.trader(MANUAL), entry)
        if isinstance(result, Refusal):
            return result
        clock.note("approved")
        if await self._until(position_id, lambda found: found.is_closed or found.remaining > 0):
            clock.note("bought")
        close = ClosePosition(position_id, request_id=self._owners.request_id())
        closed = await self._owners.tell(names.position(position_id), close)
        if await self._until(position_id, lambda found: found.is_closed, gone=True):
            clock.note("closed")
        rows = await self._reads.archive.executions(10, position_id=position_id)
        told = await self._reads.position(position_id)
        answer: Result = {
            "venue": world.venue,
            "symbol": symbol,
            "passed": len(clock.steps) == _ALL_STEPS,
            "steps": clock.steps,
            "executions": [execution_view(row) for row in rows],
        }
        if isinstance(closed, Refusal):
            answer["close_refused"] = {"rule": closed.rule, "message": closed.message}
        return answer | ({} if isinstance(told, Refusal) else told)

    def _size_of(self, request: ask.TestOrder) -> tuple[SizeBy, Decimal]:
        """Return what was asked for, else the least that may be bought and sold again."""
        if request.notional is not None:
            return SizeBy.NOTIONAL, request.notional
        instrument = self._world.instruments[Symbol(request.symbol)]
        lot = instrument.lot_size
        least = max(instrument.min_quantity, lot)
        last = self._world.prices.last(instrument.symbol)
        if last:
            worth = ONE - 2 * self._world.limits.slippage_ratio
            least = max(least, instrument.min_notional / (last * worth))
        kept = ONE - self._world.limits.fee_ratio  # on spot the fee comes out of what was bought
        return SizeBy.QUANTITY, ceil_to(least / kept, lot)

    async def _until(
        self, position_id: PositionId, is_so: Callable[[Position], bool], *, gone: bool = False
    ) -> bool:
        """Wait until it is so; `gone` is the answer when the position has left the memory."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FILLS_WITHIN_S
        while loop.time() < deadline:
            found = self._reads.position_by_id(position_id)
            if gone if found is None else is_so(found):
                return True
            await asyncio.sleep(_POLL_S)
        return False


_ALL_STEPS = 3


class _Stopwatch:
    """What was done, and how many milliseconds after the beginning."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.steps: list[dict[str, object]] = []

    def note(self, step: str) -> None:
        after_ms = round((self._loop.time() - self._began) * 1000, 1)
        self.steps.append({"step": step, "after_ms": after_ms})


def _trader_of(asked: EntryRequest | AddToPosition, world: Any) -> TraderName:
    if isinstance(asked, EntryRequest):
        return asked.trader
    position = world.position(asked.position_id)
    return MANUAL if position is None else position.trader


def retry_id(account: AccountName, execution_id: str) -> PositionId:
    """Return the id of the position that a retry opens: the same each time, so it opens once."""
    return PositionId(str(uuid5(NAMESPACE_OID, f"{account}/{execution_id}")))


def _not_retried(row: ExecutionRow) -> Refusal | None:
    if row.status not in _FAILED:
        return Refusal(
            "NOT_FAILED",
            f"{row.execution_id} is {row.status}, not failed.",
            "List those that failed: holdfast executions --failed",
        )
    if row.reduce_only:
        return Refusal(
            "RETRIED_BY_POSITION",
            f"{row.execution_id} is an exit of position {row.position_id}, which tries it "
            "again by itself while anything remains.",
            f"Look at it, or close it: holdfast position {row.position_id}",
        )
    return None


def _failed_again(row: ExecutionRow, failed: str) -> Refusal:
    return Refusal(
        "RETRY_FAILED",
        f"{row.execution_id} was retried as {failed}, which failed too.",
        f"Retry that one: holdfast retry {failed}",
    )


def _opened_since(row: ExecutionRow, position_id: PositionId) -> Refusal:
    return Refusal(
        "MADE_ALREADY",
        f"What {row.execution_id} failed to do has been done since: position {position_id}.",
        f"Look at it: holdfast position {position_id}. To enlarge it: holdfast add {position_id}, "
        "with a size",
    )


def _made_since(row: ExecutionRow, what: str, position_id: PositionId) -> Refusal:
    which = f"position {position_id}" if what == "position" else f"{what} of {position_id}"
    return Refusal(
        "MADE_ALREADY",
        f"What {row.execution_id} failed to do has been done since: {which}.",
        f"Look at it: holdfast position {position_id}. "
        f"For one more: holdfast retry {row.execution_id} --again",
    )


def _in_vain(row: ExecutionRow, what: str, position_id: PositionId) -> Refusal:
    return Refusal(
        "RETRIED_IN_VAIN",
        f"{row.execution_id} was retried as {what}, which was canceled or expired unfilled.",
        f"Look at it: holdfast position {position_id}. "
        f"For one more: holdfast retry {row.execution_id} --again",
    )


def _came_to_nothing(position: Position | None, client_order_id: str) -> bool:
    """Whether that order of the position is over, and filled nothing."""
    return position is not None and any(
        each.client_order_id == client_order_id
        and each.status is not OrderStatus.INTENT
        and not entry_filled(position, each)
        for each in position.entries
    )


def _is_first_entry(row: ExecutionRow) -> bool:
    """Whether it is the order that was to open its position, which is over by that."""
    identity = identity_of(ClientOrderId(row.client_order_id))
    return identity is not None and identity.leg == "entry-0"


def _addition(request: EntryRequest) -> AddToPosition:
    return AddToPosition(
        position_id=request.position_id,
        size_by=request.size_by,
        size=request.size,
        limit_price=request.limit_price,
        requested_by=request.requested_by,
        rationale=request.rationale,
        request_id=request.request_id,
        source=request.source,
        user=request.user,
    )
