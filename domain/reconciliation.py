"""The venue's holdings against ours: what differs, whether that counts yet, and what explains it.

Reads may be late, old or wrong for a moment, and fills are on their way all the time. So a
difference is only a suspicion until a second read, begun after the first one ended, says the same
while nothing of the symbol is in flight. What the venue's fills explain counts then; what nothing
explains must stand longer. Nothing here flattens: what is less at the venue is booked as gone, what
is more is somebody else's until a person, or the configuration, says otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from domain.ids import NO_ORDER, ClientOrderId, PositionId, Symbol, TradeId
from domain.instrument import Direction, Instrument, Kind
from domain.money import ZERO, Fee
from domain.order import Fill, Order, OrderStatus, OrderType
from domain.pnl import QUANTUM
from domain.venue import Outside, OutsideFill, VenuePosition

CONFIRM_S = 0.3  # between two reads that agree, when fills explain the difference
UNEXPLAINED_S = 4.0  # likewise, when nothing does
JUST_FILLED_S = 60.0  # after a fill of ours what the venue says it holds may be old, and then …
UNEXPLAINED_NEW_S = 20.0  # … what nothing explains must stand so long
SETTLED_S = 5.0  # after a fill of ours a read may still show what was before it
_CLOCKS_APART = timedelta(seconds=5)
_S = OrderStatus
_IN_FLIGHT = frozenset(
    {
        _S.INTENT,
        _S.SENDING,
        _S.UNKNOWN,
        _S.TRIGGERED,
        _S.CANCEL_PENDING,
        _S.AMEND_PENDING,
    }
)

Key = tuple[Symbol, Direction | None]  # None: long and short are one net quantity


class Held(msgspec.Struct, frozen=True):
    """A position of ours, as far as this is about it."""

    position_id: PositionId
    symbol: Symbol
    direction: Direction
    remaining: Decimal  # base units, > 0
    entry_price: Decimal  # quote
    opened_at: datetime
    fills: int = 0  # how many it has had: makes the id of an estimated one
    is_adopted: bool = False  # others opened it: they are the first to close it again


class Side(msgspec.Struct, frozen=True):
    """One symbol, or its long or short side in hedge mode: what we hold and what the venue says."""

    symbol: Symbol
    direction: Direction | None  # None: net
    ours: Decimal  # base units, signed
    venue: Decimal  # base units, signed
    held: tuple[Held, ...] = ()  # adopted ones first, then the oldest
    is_spot: bool = False
    lot_size: Decimal = ZERO  # zero: an instrument that is not configured
    dust: Decimal = ZERO  # base units of ours that no position has
    price: Decimal = ZERO  # the venue's average, quote
    liquidation_price: Decimal | None = None
    leverage: Decimal | None = None
    in_both_margins: bool = False  # the symbol, at the venue: what of it is ours cannot be told
    is_crossed: bool = False  # we have a long and a short of it, the venue only what they net to

    @property
    def key(self) -> Key:
        """Its identity."""
        return self.symbol, self.direction

    @property
    def gap(self) -> Decimal:
        """What the venue has more (less, below zero), base units, signed."""
        return self.venue - self.ours

    @property
    def is_shared(self) -> bool:
        """Whether somebody else holds of it too, as far as this tells; what is missing is nobody's.

        Where it cannot be told whose it is, it counts as shared.
        """
        is_unclear = self.in_both_margins or self.is_crossed
        return is_unclear or (self.differs and abs(self.venue) > abs(self.ours))

    @property
    def differs(self) -> bool:
        """Whether the venue contradicts us by a lot or more.

        On spot more is not ours: coins bought elsewhere. Dust is too little to be missed. Held in
        both margin modes the sum says nothing: a long in one is not closed by a short in the other.
        Where the venue keeps one net position, a long and a short of ours have closed each other.
        """
        if self.in_both_margins or self.is_crossed:
            return True
        if self.is_spot and self.gap > ZERO:
            return False
        return self.lacks_or_exceeds

    @property
    def lacks(self) -> bool:
        """Whether the venue holds less than ours together, by a lot or more."""
        return self.lacks_or_exceeds and self.gap * self.ours < ZERO

    @property
    def lacks_or_exceeds(self) -> bool:
        """Whether the sums are apart by a lot or more."""
        return abs(self.gap) >= max(self.lot_size, QUANTUM)


def compare(
    held: Iterable[Held],
    told: Iterable[VenuePosition],
    instruments: Mapping[Symbol, Instrument],
    dust: Mapping[Symbol, Decimal],
    *,
    hedged: bool,
) -> tuple[Side, ...]:
    """Return every side that we or the venue have, in the order of symbols.

    `hedged` is the venue's position mode; spot is always net.
    """
    ours: dict[Key, list[Held]] = {}
    theirs: dict[Key, list[VenuePosition]] = {}
    margins: dict[Symbol, set[str]] = {}
    for each in held:
        key = _key(each.symbol, each.direction, instruments, hedged=hedged)
        ours.setdefault(key, []).append(each)
    for position in told:
        direction = Direction.LONG if position.quantity > ZERO else Direction.SHORT
        key = _key(position.symbol, direction, instruments, hedged=hedged)
        theirs.setdefault(key, []).append(position)
        if position.quantity:
            margins.setdefault(position.symbol, set()).add(position.margin)
    keys = sorted(
        ours.keys() | theirs.keys(), key=lambda key: (key[0], key[1] is not Direction.LONG)
    )
    sides = (_side(key, ours.get(key, ()), theirs.get(key, ()), instruments, dust) for key in keys)
    return tuple(
        msgspec.structs.replace(each, in_both_margins=len(margins.get(each.symbol, ())) > 1)
        for each in sides
    )


def _key(
    symbol: Symbol,
    direction: Direction,
    instruments: Mapping[Symbol, Instrument],
    *,
    hedged: bool,
) -> Key:
    instrument = instruments.get(symbol)
    is_spot = instrument is not None and instrument.kind is Kind.SPOT
    return symbol, direction if hedged and not is_spot else None


def _side(
    key: Key,
    held: Sequence[Held],
    told: Sequence[VenuePosition],
    instruments: Mapping[Symbol, Instrument],
    dust: Mapping[Symbol, Decimal],
) -> Side:
    symbol, direction = key
    instrument = instruments.get(symbol)
    is_spot = instrument is not None and instrument.kind is Kind.SPOT
    shows_both = len({each.quantity > ZERO for each in told if each.quantity}) > 1
    largest = max(told, key=lambda each: abs(each.quantity), default=None)
    return Side(
        symbol=symbol,
        direction=direction,
        ours=sum((each.remaining * each.direction.sign for each in held), ZERO),
        venue=sum((each.quantity for each in told), ZERO),
        held=tuple(sorted(held, key=_first_to_go)),
        is_spot=is_spot,
        lot_size=ZERO if instrument is None else instrument.lot_size,
        dust=dust.get(symbol, ZERO),
        price=ZERO if largest is None else largest.average_price,
        liquidation_price=None if largest is None else largest.liquidation_price,
        leverage=None if largest is None else largest.leverage,
        is_crossed=not (is_spot or shows_both) and len({each.direction for each in held}) > 1,
    )


# --- whether it counts ---


def is_in_flight(order: Order, resting: Mapping[ClientOrderId, Decimal]) -> bool:
    """Whether an order of ours may have changed what the venue holds, and we do not know yet.

    `resting` has what the venue's list of open orders says each has filled, by our id.
    """
    if order.is_terminal:
        return False
    if order.status in _IN_FLIGHT or order.terms.type is OrderType.MARKET:
        return True
    return resting.get(order.terms.client_order_id) != order.filled


class Suspicion(msgspec.Struct, frozen=True):
    """A difference as first read."""

    ours: Decimal
    venue: Decimal
    since_s: float  # monotonic; when that read had ended


class Finding(msgspec.Struct, frozen=True):
    """A difference that stands, for how long by now."""

    side: Side
    age_s: float  # from the end of the first read to the beginning of the last


def confirm(
    suspicions: Mapping[Key, Suspicion],
    sides: Iterable[Side],
    unsettled: frozenset[Symbol],
    *,
    began_s: float,
    ended_s: float,
) -> tuple[dict[Key, Suspicion], tuple[Finding, ...]]:
    """Return what is suspected after a read, and what this read has confirmed.

    `unsettled` symbols have something in flight, or had a fill of ours too recently: what is read
    of them confirms nothing. A suspicion of before stays if it is read as it was, or exits that
    fail again and again, for want of what is missing, would keep it from ever being confirmed.
    """
    now: dict[Key, Suspicion] = {}
    confirmed: list[Finding] = []
    for side in sides:
        if not side.differs:
            continue
        is_settled = side.symbol not in unsettled
        before = suspicions.get(side.key)
        if before is None or (before.ours, before.venue) != (side.ours, side.venue):
            if is_settled:
                now[side.key] = Suspicion(side.ours, side.venue, ended_s)
            continue
        now[side.key] = before
        if is_settled and began_s > before.since_s:
            confirmed.append(Finding(side, began_s - before.since_s))
    return now, tuple(confirmed)


# --- what explains it ---


class Seen(msgspec.Struct, frozen=True):
    """An execution by somebody else, and how much of it has been booked."""

    outside: OutsideFill
    used: Decimal = ZERO  # base units
    noted_s: float = 0.0  # monotonic, when it was told

    @property
    def left(self) -> Decimal:
        """Base units that may still explain something."""
        return self.outside.fill.quantity - self.used


class Reduction(msgspec.Struct, frozen=True):
    """A part of a position that somebody else closed."""

    position_id: PositionId
    fill: Fill
    cause: Outside
    estimated: bool = False


class Explanation(msgspec.Struct, frozen=True):
    """What a difference comes down to."""

    reductions: tuple[Reduction, ...]  # told by fills
    guesses: tuple[Reduction, ...]  # by nothing: at the price of the moment
    surplus: Decimal  # base units that the venue holds and nobody here opened, >= 0
    surplus_direction: Direction


def _first_to_go(held: Held) -> tuple[bool, datetime, PositionId]:
    return not held.is_adopted, held.opened_at, held.position_id


def explain(side: Side, seen: Sequence[Seen], price: Decimal | None, now: datetime) -> Explanation:
    """Attribute a difference: reductions to the first of `side.held`, by the oldest fills first.

    Fills explain as much as they amount to together, both sides of the book counted; older than a
    position they say nothing of it. `price` is what a guess is booked at; None: the entry's.
    """
    if side.is_crossed and not side.lacks_or_exceeds:
        return Explanation((), _netted(side, price, now), ZERO, Direction.LONG)
    closes = _closing(side)
    held = [each for each in side.held if each.direction is closes]
    missing = abs(side.gap)
    if side.direction is not None and side.gap * side.direction.sign > ZERO:
        missing = ZERO  # more of the same side
    gone = min(missing, sum((each.remaining for each in held), ZERO))
    told = min(gone, _told_by(side, seen, closes))
    able = [each for each in seen if _may_explain(each, side, closes)]
    reductions, left = _by_fills(held, able, told)
    gone_untold = gone - sum((each.fill.quantity for each in reductions), ZERO)
    guesses = _guesses(side, left, gone_untold, price, now, Outside.PERSON)
    surplus = ZERO if side.is_spot else abs(side.gap) - gone
    more_of = Direction.LONG if side.gap > ZERO else Direction.SHORT
    direction = side.direction or more_of
    return Explanation(tuple(reductions), tuple(guesses), surplus, direction)


def _closing(side: Side) -> Direction:
    """Return the direction whose positions the difference makes smaller."""
    return side.direction or (Direction.LONG if side.gap < ZERO else Direction.SHORT)


def _may_explain(seen: Seen, side: Side, closes: Direction) -> bool:
    outside = seen.outside
    return (
        outside.fill.symbol == side.symbol
        and outside.fill.side is closes.exit_side
        and outside.direction in {None, closes}
        and seen.left > ZERO
    )


def _told_by(side: Side, seen: Sequence[Seen], closes: Direction) -> Decimal:
    """Return by how much others have reduced `closes`, less what they opened of it again."""
    told = ZERO
    for each in seen:
        outside = each.outside
        if outside.fill.symbol != side.symbol or outside.direction not in {None, closes}:
            continue
        told += each.left if outside.fill.side is closes.exit_side else -each.left
    return max(ZERO, told)


def _by_fills(
    held: Sequence[Held], seen: Sequence[Seen], told: Decimal
) -> tuple[list[Reduction], list[tuple[Held, Decimal]]]:
    """Return the pieces of fills, `told` base units in all, and what is left of each position."""
    oldest_first = sorted(seen, key=lambda each: (each.outside.fill.at, each.outside.fill.trade_id))
    used = [each.used for each in oldest_first]
    reductions: list[Reduction] = []
    left: list[tuple[Held, Decimal]] = []
    for each in held:
        remaining = each.remaining
        for number, one in enumerate(oldest_first):
            fill = one.outside.fill
            quantity = min(remaining, told, fill.quantity - used[number])
            if quantity <= ZERO or fill.at < each.opened_at - _CLOCKS_APART:
                continue
            piece = _piece(fill, used[number], quantity)
            reductions.append(Reduction(each.position_id, piece, one.outside.cause))
            used[number] += quantity
            remaining -= quantity
            told -= quantity
        left.append((each, remaining))
    return reductions, left


def _piece(fill: Fill, offset: Decimal, quantity: Decimal) -> Fill:
    """Return a part of a fill, under an id of its own unless it begins with it."""
    if quantity == fill.quantity:
        return fill
    fee = (fill.fee.amount * quantity / fill.quantity).quantize(QUANTUM)
    trade_id = TradeId(f"{fill.trade_id}{_FROM}{offset}") if offset else fill.trade_id
    return msgspec.structs.replace(
        fill, trade_id=trade_id, quantity=quantity, fee=Fee(fee, fill.fee.asset)
    )


_FROM = "+"  # between a trade's id and where in it a piece begins


def _guesses(
    side: Side,
    left: Sequence[tuple[Held, Decimal]],
    missing: Decimal,
    price: Decimal | None,
    now: datetime,
    cause: Outside,
) -> list[Reduction]:
    """Return the rest of the difference at the price of the moment, the first of `held` first."""
    found: list[Reduction] = []
    for held, remaining in left:
        quantity = min(remaining, missing)
        if quantity <= ZERO:
            continue
        missing -= quantity
        fill = Fill(
            trade_id=TradeId(f"estimated-{held.position_id}-{held.fills}"),
            client_order_id=NO_ORDER,
            symbol=side.symbol,
            side=held.direction.exit_side,
            quantity=quantity,
            price=price or held.entry_price,
            fee=Fee(ZERO, ""),
            at=now,
        )
        found.append(Reduction(held.position_id, fill, cause, estimated=True))
    return found


def _netted(side: Side, price: Decimal | None, now: datetime) -> tuple[Reduction, ...]:
    """Return what a long and a short have closed of each other: as much, and at one price."""
    found: list[Reduction] = []
    by_direction = {
        direction: [(each, each.remaining) for each in side.held if each.direction is direction]
        for direction in Direction
    }
    sums = (sum((left for _, left in some), ZERO) for some in by_direction.values())
    quantity, price = min(sums), price or side.held[0].entry_price
    for some in by_direction.values():
        found += _guesses(side, some, quantity, price, now, Outside.NETTING)
    return tuple(found)


def booked_of(fills: Iterable[Fill]) -> dict[TradeId, Decimal]:
    """Return how much of each trade of others is booked, from the pieces that positions have."""
    booked: dict[TradeId, Decimal] = {}
    for fill in fills:
        trade_id = whole_trade(fill.trade_id)
        booked[trade_id] = booked.get(trade_id, ZERO) + fill.quantity
    return booked


def whole_trade(trade_id: TradeId) -> TradeId:
    """Return the id of the trade that a piece is of."""
    return TradeId(trade_id.partition(_FROM)[0])
