"""The attempts that came to nothing, as far as somebody may want to hear of them now.

The audit has them all; this is what `status` shows without waiting for the disk.
"""

from datetime import datetime

import msgspec

from domain.executions import ExecutionStatus, status_of, why_of
from domain.ids import PositionId, Symbol, TraderName
from domain.order import Order
from domain.trader_state import EntryDeclined

REMEMBERED = 1_000  # positions


class Failure(msgspec.Struct, frozen=True):
    """An attempt to place an order that was refused by us, by the venue, or never arrived."""

    execution_id: str
    status: str  # SKIPPED, FAILED
    source: str
    trader: TraderName
    position_id: PositionId
    symbol: Symbol
    side: str
    code: str
    message: str
    remedy: str
    at: datetime


class FailureBook:
    """The last failure of all, of each trader and of positions."""

    def __init__(self) -> None:
        self.latest: Failure | None = None
        self.of_trader: dict[TraderName, Failure] = {}
        self.of_position: dict[PositionId, Failure] = {}  # oldest first

    def note(self, failure: Failure) -> None:
        """Remember one; told in the order in which they happened."""
        self.latest = self.of_trader[failure.trader] = failure
        self.of_position.pop(failure.position_id, None)
        self.of_position[failure.position_id] = failure
        if len(self.of_position) > REMEMBERED:
            del self.of_position[next(iter(self.of_position))]

    def entered(self, trader: TraderName, symbol: Symbol, side: str) -> None:
        """An entry was approved: what failed last is no longer missing if it wanted the same."""
        last = self.latest
        if last is not None and (last.trader, last.symbol, last.side) == (trader, symbol, side):
            self.latest = None

    def retried(self, execution_id: str) -> None:
        """Somebody has had it made anew."""
        if self.latest is not None and self.latest.execution_id == execution_id:
            self.latest = None


def failure_of(order: Order) -> Failure | None:
    """Return what an order that has ended failed by; None when it was placed."""
    status, attempt = status_of(order), order.attempt
    if status not in {ExecutionStatus.SKIPPED, ExecutionStatus.FAILED} or attempt is None:
        return None
    code, message = why_of(order)
    terms = order.terms
    return Failure(
        execution_id=terms.client_order_id,
        status=status,
        source=attempt.source.value,
        trader=attempt.trader,
        position_id=terms.position_id,
        symbol=terms.symbol,
        side=terms.side.value,
        code=code,
        message=message,
        remedy=order.remedy,
        at=order.updated_at or order.intended_at,
    )


def failure_from(declined: EntryDeclined) -> Failure:
    """Return the failure that a refusal before any order is."""
    request = declined.request
    return Failure(
        execution_id=f"{request.trader}.{declined.number}",
        status=ExecutionStatus.SKIPPED,
        source=request.source.value,
        trader=request.trader,
        position_id=request.position_id,
        symbol=request.symbol,
        side=request.direction.entry_side.value,
        code=declined.rule,
        message=declined.message,
        remedy=declined.remedy,
        at=declined.at,
    )
