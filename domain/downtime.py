"""What happened to a position's levels while nobody watched, told by the venue's candles; pure.

A candle tells four prices and no order: first comes the open, last the close, in between high and
low, nobody knows which first. So only what is certain in both orders counts as crossed:

- A stop or target is crossed when the candle reaches it. When one candle reaches both, it was the
  stop.
- A trail is crossed when the low reaches its level by the best price before the candle (its open
  included), or the close reaches its level by the best price of the candle as well.
- A breakeven move counts from the moment that its trigger is reached, so in the same candle only
  the close can be behind it, unless the candle opened beyond the trigger already.

Everything else is left to the first live price, which judges as ever. A candle counts only if it
opened at or after the moment from which the position's rules hold; the one in which they were set
tells of prices before them as well, and is left out.

Exits watch the last price, the mark, the bid or the ask, and venues keep candles of the first two.
A trade at a price proves that the bid was there or below, and the ask there or above. Nothing else
is known of them: a level that would need more is not judged.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from domain.candles import Candle, Timeframe
from domain.ids import ExitId
from domain.instrument import Direction, PriceSource
from domain.position import Position
from domain.protection import (
    BREAKEVEN,
    STOP,
    TRAIL,
    Level,
    TrailLevel,
    has_crossed,
    is_tighter,
    levels_of,
)

FINE_CANDLES = 1440  # so many of one length, then longer ones in the middle
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Candles = Mapping[PriceSource, Sequence[Candle]]


class Missed(msgspec.Struct, frozen=True):
    """A level that was certainly crossed."""

    exit_id: ExitId
    level: Decimal
    price: Decimal  # the candle's price that crossed it
    source: PriceSource
    candle: Candle


class Findings(msgspec.Struct, frozen=True):
    """What candles tell of one position."""

    missed: tuple[Missed, ...] = ()  # in order; after a stop or trail nothing follows
    best: Decimal | None = None  # for the trail, where it is better than before
    low: Decimal | None = None  # of the last price, candles that count
    high: Decimal | None = None
    counted: int = 0  # candles


def evidence(source: PriceSource, *, below: bool) -> PriceSource | None:
    """Return whose candles prove that a level was crossed; None when none do."""
    if source in {PriceSource.LAST, PriceSource.MARK}:
        return source
    proves = (source is PriceSource.BID) is below
    return PriceSource.LAST if proves else None


def needed(position: Position) -> frozenset[PriceSource | None]:
    """Return whose candles a position's levels need; None among them: one cannot be judged."""
    levels = levels_of(position.protection, position.direction)
    return frozenset(evidence(_watched(level), below=level.below) for level in levels)


def _watched(level: Level | TrailLevel) -> PriceSource:
    return level.watches if isinstance(level, Level) else level.trail.watches


def pieces(
    begin_ms: int, end_ms: int, lengths: Sequence[Timeframe]
) -> Iterator[tuple[Timeframe, int, int]]:
    """Cut a time into what to ask for: short candles at its ends, longer ones in a long middle.

    `lengths`: what there is, shortest first, each a multiple of the one before.
    """
    if not lengths or begin_ms >= end_ms:
        return
    fine, coarser = lengths[0], lengths[1:]
    begin_ms = fine.open_of(begin_ms)
    if coarser and end_ms - begin_ms > FINE_CANDLES * fine.ms:
        coarse = coarser[0].ms
        middle, last = -(-begin_ms // coarse) * coarse, end_ms // coarse * coarse
        if begin_ms < middle:
            yield fine, begin_ms, middle
        yield from pieces(middle, last, coarser)
        begin_ms = last
    if begin_ms < end_ms:
        yield fine, begin_ms, end_ms


def counts_from(position: Position) -> datetime | None:
    """Return since when a position's rules hold; None when the feed never confirmed them.

    A trail that candles have moved holds from their end, should they be told again.
    """
    armed = position.armed_since
    if armed is None:
        return None
    return max(armed, position.modified_at or armed, position.judged_until or armed)


def began_at(signed: datetime | None, positions: Sequence[Position]) -> datetime | None:
    """Return the last moment of the life before that is known; None when nobody was guarded.

    `signed`: the feed's last stamp in the journal.
    """
    known = [since for position in positions if (since := counts_from(position)) is not None]
    if signed is not None and known:
        known.append(signed)
    return max(known, default=None)


class Before(msgspec.Struct, frozen=True):
    """What is known of the time before a downtime."""

    began: datetime  # the downtime
    best: Decimal | None = None  # price that the trail had seen by then


def findings(
    position: Position,
    candles: Candles,
    ahead: timedelta,
    before: Before | None = None,
    even_stop: Decimal | None = None,
) -> Findings:
    """Judge a position by the candles of a downtime. `ahead`: the venue's clock minus ours.

    `even_stop`: where a breakeven move would put the stop now; None: where it was planned.
    """
    since = counts_from(position)
    if since is None:
        return Findings()
    from_ms = _ms_of(since, ahead)
    steps = list(_steps(candles, from_ms))
    lasts = [step[PriceSource.LAST] for step in steps if PriceSource.LAST in step]
    walk = _Walk(position, even_stop)
    missed: list[Missed] = []
    for step in steps:
        # A candle that opened earlier may have been low before that best price.
        opened_ms = min(candle.open_ms for candle in step.values())
        if before is not None and opened_ms >= _ms_of(before.began, ahead):
            walk.has_seen(before.best)
        missed += walk.take(step)
        if walk.is_over:
            break
    return Findings(
        missed=tuple(missed),
        best=walk.better_best,
        low=min((each.low for each in lasts), default=None),
        high=max((each.high for each in lasts), default=None),
        counted=sum(len(step) for step in steps),
    )


def _ms_of(at: datetime, ahead: timedelta) -> int:
    """Return a moment on the venue's clock, rounded up."""
    return -((_EPOCH - at - ahead) // timedelta(milliseconds=1))


def _steps(candles: Candles, from_ms: int) -> Iterator[dict[PriceSource, Candle]]:
    """Go through time; candles of two prices over the same interval come together."""
    together: dict[tuple[int, int], dict[PriceSource, Candle]] = {}
    for source, series in candles.items():
        for candle in series:
            if candle.open_ms >= from_ms:
                key = (candle.close_ms, candle.open_ms)
                together.setdefault(key, {})[source] = candle
    yield from (together[key] for key in sorted(together))


class _Walk:
    """The rules of one position, going through candles. Mutable, and gone afterward."""

    def __init__(self, position: Position, even_stop: Decimal | None) -> None:
        protection = position.protection
        self._direction = position.direction
        self._long = position.direction is Direction.LONG
        self._stop = None if protection.stop is None else protection.stop.price
        self._stop_source = PriceSource.LAST if protection.stop is None else protection.stop.watches
        if protection.stop is None:
            self._stop_source = position.plan.guard_source
        self._trail = protection.trail
        self._best = self._known = None if protection.trail is None else protection.trail.anchor
        self._even = protection.breakeven
        if self._even is not None and self._even.done:
            self._even = None
        self._even_stop = even_stop
        self._targets = list(protection.open_targets())
        self._targets.sort(key=lambda target: target.price * position.direction.sign)
        self.is_over = False

    @property
    def better_best(self) -> Decimal | None:
        """The best price for the trail; None when candles showed no better one."""
        trail = self._trail
        return None if trail is None or self._best == self._known else self._best

    def has_seen(self, best: Decimal | None) -> None:
        """Let the trail know a price that was seen before."""
        if best is not None and self._best is not None and self._known is not None:
            self._best = self._better(self._best, best)
            self._known = self._better(self._known, best)

    def take(self, step: Mapping[PriceSource, Candle]) -> Iterator[Missed]:
        """Take the candles of one interval; yield what they certainly crossed, in order."""
        yield from self._breakeven_at_open(step)
        guards = [*self._stop_in(step), *self._trail_in(step)]
        moved = self._breakeven_in(step) if not guards else None
        if moved is not None:
            yield moved
        guards = guards or [
            *self._breakeven_stop_at_close(step, moved),
            *self._trail_at_close(step),
        ]
        if guards:
            self.is_over = True
            yield max(guards, key=lambda one: one.level * self._direction.sign)  # passed first
            return
        yield from self._targets_in(step)
        self._follow(step)

    def _candle(
        self, step: Mapping[PriceSource, Candle], source: PriceSource, *, below: bool
    ) -> Candle | None:
        proof = evidence(source, below=below)
        return None if proof is None else step.get(proof)

    def _adverse(self, candle: Candle) -> Decimal:
        return candle.low if self._long else candle.high

    def _favorable(self, candle: Candle) -> Decimal:
        return candle.high if self._long else candle.low

    def _better(self, *prices: Decimal) -> Decimal:
        return max(prices) if self._long else min(prices)

    def _crosses(self, level: Decimal, price: Decimal) -> bool:
        return has_crossed(level=level, below=self._long, price=price)

    def _stop_in(self, step: Mapping[PriceSource, Candle]) -> Iterator[Missed]:
        candle = self._candle(step, self._stop_source, below=self._long)
        if candle is None or self._stop is None:
            return
        price = self._adverse(candle)
        if self._crosses(self._stop, price):
            yield Missed(STOP, self._stop, price, self._stop_source, candle)

    def _trail_in(self, step: Mapping[PriceSource, Candle]) -> Iterator[Missed]:
        """By the best price before the candle, its open included: whatever came first after it."""
        trail, best = self._trail, self._best
        candle = None if trail is None else self._candle(step, trail.watches, below=self._long)
        if trail is None or best is None or candle is None:
            return
        known = self._better(best, candle.open) if self._is_followed else best
        level = trail.level(self._direction, known)
        if self._crosses(level, self._adverse(candle)):
            yield Missed(TRAIL, level, self._adverse(candle), trail.watches, candle)

    def _trail_at_close(self, step: Mapping[PriceSource, Candle]) -> Iterator[Missed]:
        """By the best price of the candle, too: the close comes after it."""
        trail, best = self._trail, self._best
        candle = None if trail is None else step.get(trail.watches)
        if trail is None or best is None or candle is None or not self._is_followed:
            return
        level = trail.level(self._direction, self._better(best, self._favorable(candle)))
        if self._crosses(level, candle.close):
            yield Missed(TRAIL, level, candle.close, trail.watches, candle)

    @property
    def _is_followed(self) -> bool:
        """Whether candles tell the best price of the trail, not only a fall from it."""
        return self._trail is not None and self._trail.watches in {
            PriceSource.LAST,
            PriceSource.MARK,
        }

    def _targets_in(self, step: Mapping[PriceSource, Candle]) -> Iterator[Missed]:
        left = []
        for target in self._targets:
            candle = self._candle(step, target.watches, below=not self._long)
            price = None if candle is None else self._favorable(candle)
            if (
                candle is not None
                and price is not None
                and has_crossed(level=target.price, below=not self._long, price=price)
            ):
                yield Missed(target.exit_id, target.price, price, target.watches, candle)
            else:
                left.append(target)
        self._targets = left

    def _breakeven_at_open(self, step: Mapping[PriceSource, Candle]) -> Iterator[Missed]:
        moved = self._breakeven_in(step, at_open=True)
        if moved is not None:
            yield moved

    def _breakeven_in(
        self, step: Mapping[PriceSource, Candle], *, at_open: bool = False
    ) -> Missed | None:
        """Move the stop if the trigger was reached; return that."""
        even = self._even
        candle = None if even is None else self._candle(step, even.watches, below=not self._long)
        if even is None or candle is None:
            return None
        price = candle.open if at_open else self._favorable(candle)
        if not has_crossed(level=even.trigger_price, below=not self._long, price=price):
            return None
        self._even = None
        new = even.stop_price if self._even_stop is None else self._even_stop
        if self._stop is None or is_tighter(self._direction, new=new, old=self._stop):
            self._stop = new
        return Missed(BREAKEVEN, even.trigger_price, price, even.watches, candle)

    def _breakeven_stop_at_close(
        self, step: Mapping[PriceSource, Candle], moved: Missed | None
    ) -> Iterator[Missed]:
        """By the stop that was moved within this candle: the close comes after that."""
        candle = self._candle(step, self._stop_source, below=self._long)
        if moved is None or self._stop is None or candle is None:
            return
        if self._crosses(self._stop, candle.close):
            yield Missed(STOP, self._stop, candle.close, self._stop_source, candle)

    def _follow(self, step: Mapping[PriceSource, Candle]) -> None:
        trail = self._trail
        if trail is None or self._best is None or not self._is_followed:
            return
        candle = step.get(trail.watches)
        if candle is not None:
            self._best = self._better(self._best, self._favorable(candle))
