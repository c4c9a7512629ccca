"""What the audit keeps of an attempt, beside the terms of its order."""

from datetime import datetime
from decimal import Decimal

from actors.world import World
from domain.attempts import PASSED, Attempt
from domain.commands import EntryRequest, Source
from domain.errors import Refusal
from domain.ids import MANUAL
from domain.order import OrderTerms
from domain.portfolio_events import EntryReserved
from domain.portfolio_state import available
from domain.position import Position
from domain.protection import ExitReason


def judged(
    world: World, request: EntryRequest, outcome: EntryReserved | Refusal, at: datetime
) -> Attempt:
    """Return the attempt that an entry, or an addition, is: by which figures it was judged."""
    instrument = world.instruments.get(request.symbol)
    portfolio = world.portfolio()
    if isinstance(outcome, Refusal):
        precheck, required = outcome.rule, _needed(outcome)
    else:
        precheck, required = PASSED, outcome.amount
    return Attempt(
        source=request.source,
        trader=request.trader,
        venue=world.venue,
        market_type=None if instrument is None else instrument.kind,
        user=request.user,
        decision_id=request.decision_id,
        size_by=request.size_by,
        size=request.size,
        min_notional=None if instrument is None else instrument.min_notional,
        available=None if portfolio is None else available(portfolio, world.prices.marks()),
        required=required,
        decided_at=at,
        precheck=precheck,
    )


def _needed(refusal: Refusal) -> Decimal | None:
    return Decimal(refusal.actual) if refusal.rule == "INSUFFICIENT_BALANCE" else None


def attempt_of(
    world: World, terms: OrderTerms, entry: Attempt | None, decided_at: datetime | None
) -> Attempt:
    """Return the attempt that an order is: as it was judged, else from what its position tells.

    `entry` is the attempt that opened the position.
    """
    portfolio = world.portfolio()
    reservation = None if portfolio is None else portfolio.reservations.get(terms.client_order_id)
    if reservation is not None and reservation.attempt is not None:
        return reservation.attempt
    position = world.position(terms.position_id)
    instrument = world.instruments.get(terms.symbol)
    return Attempt(
        source=_source_of(position, terms, entry),
        trader=MANUAL if position is None else position.trader,
        venue=world.venue,
        market_type=None if instrument is None else instrument.kind,
        user="" if position is None else position.user,
        decision_id=None if position is None else position.decision_id,
        min_notional=None if instrument is None else instrument.min_notional,
        decided_at=decided_at,
    )


def _source_of(position: Position | None, terms: OrderTerms, entry: Attempt | None) -> Source:
    """Return who wants an order that no reservation tells of: an exit's reason says it."""
    opened_by = Source.STRATEGY if entry is None else entry.source
    exits = () if position is None else position.exits
    fired = next((each for each in exits if each.client_order_id == terms.client_order_id), None)
    if fired is None:
        return Source.SYSTEM if terms.reduce_only else opened_by
    if fired.reason is ExitReason.MANUAL_CLOSE:
        return Source.TERMINAL
    if fired.reason is ExitReason.DECISION_CLOSE:
        return Source.STRATEGY if opened_by is Source.TERMINAL else opened_by
    return Source.SYSTEM
