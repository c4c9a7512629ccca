"""What candles prove of a downtime: rule by rule, then against a brute force over random candles.

The brute force knows nothing of candles: it walks every tick of both orders that a candle allows,
open-high-low-close and open-low-high-close, and takes for certain what happens in both.
"""

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from domain.candles import Candle, Timeframe
from domain.commands import ProtectionPlan, TargetPlan
from domain.downtime import FINE_CANDLES, Findings, evidence, findings, needed, pieces
from domain.inputs import Offline
from domain.instrument import Direction, PriceSource
from domain.position import PositionStatus
from domain.position_events import DowntimeJudged, ExitFired
from domain.protection import ExitReason
from tests.builders import BTC, NOW, D, Life, opened, plan, position_id

MINUTE, SECOND, HOUR = Timeframe(60_000), Timeframe(1_000), Timeframe(3_600_000)
FIRST_MS = (int(NOW.timestamp() * 1000) // 60_000 + 1) * 60_000  # opens after NOW
AT_ONCE = timedelta()
LAST, MARK, BID, ASK = PriceSource.LAST, PriceSource.MARK, PriceSource.BID, PriceSource.ASK


def candle(number: int, *prices: str | int | Decimal) -> Candle:
    """Open, high, low, close of the minute `number` after the arming."""
    first, high, low, last = (Decimal(price) for price in prices)
    return Candle(BTC, MINUTE, FIRST_MS + number * 60_000, first, high, low, last, D(1), 1)


def judged(life: Life, *candles: Candle, source: PriceSource = LAST) -> Findings:
    return findings(life.p, {source: candles}, AT_ONCE)


def ids(found: Findings) -> list[str]:
    return [missed.exit_id for missed in found.missed]


# --- rule by rule ---


def test_a_stop_that_the_low_reaches_was_crossed():
    life = opened(protection=plan("90"))
    assert ids(judged(life, candle(0, 100, 101, "90.01", 95))) == []
    found = judged(life, candle(0, 100, 101, 95, 100), candle(1, 100, 101, 90, 99))
    assert ids(found) == ["stop"]
    assert (found.missed[0].level, found.missed[0].price) == (90, 90)
    assert found.missed[0].candle.open_ms == FIRST_MS + 60_000


def test_a_candle_that_reaches_stop_and_target_was_the_stop():
    life = opened(protection=plan("90", [("110", "1")]))
    assert ids(judged(life, candle(0, 100, 111, 89, 100))) == ["stop"]
    assert ids(judged(life, candle(0, 100, 111, 95, 100), candle(1, 100, 100, 89, 90))) == [
        "target-1",
        "stop",
    ]


def test_a_candle_that_opened_before_the_rules_were_set_does_not_count():
    life = opened(protection=plan("90"))
    assert judged(life, candle(-1, 100, 101, 80, 100)) == Findings()
    assert ids(judged(life, candle(-1, 100, 101, 80, 100), candle(0, 100, 101, 80, 100))) == [
        "stop"
    ]
    moved = changed(life.p, modified_at=NOW + timedelta(seconds=120))
    early = {LAST: [candle(0, 100, 101, 80, 100)]}
    assert findings(moved, early, AT_ONCE) == Findings()
    assert ids(findings(moved, {LAST: [candle(2, 100, 101, 80, 100)]}, AT_ONCE)) == ["stop"]


def test_a_venue_whose_clock_is_ahead_or_behind_is_judged_by_its_own_time():
    life = opened(protection=plan("90"))
    crossing = {LAST: [candle(0, 100, 101, 80, 100)]}
    assert ids(findings(life.p, crossing, timedelta(minutes=-5))) == ["stop"]
    assert findings(life.p, crossing, timedelta(minutes=5)) == Findings()


def test_levels_that_the_feed_never_confirmed_are_left_to_the_first_price():
    life = Life(last="100").begin("1", plan("90")).fill("1", "100")
    assert life.p.armed_since is None
    assert judged(life, candle(0, 100, 101, 80, 100)) == Findings()


def test_a_trail_follows_candles_and_is_crossed_by_what_comes_after_the_best():
    life = opened(protection=plan(None, trail_distance=D(5)))
    assert judged(life, candle(0, 100, 103, 99, 101)).best == 103
    # In one candle nobody knows whether the high or the low came first ...
    found = judged(life, candle(0, 100, 103, 97, 101))
    assert (ids(found), found.best) == ([], 103)
    # ... but the close is the last, and the next candle comes after both.
    assert ids(judged(life, candle(0, 100, 106, 97, 101))) == ["trail"]
    assert ids(judged(life, candle(0, 100, 103, 97, 101), candle(1, 101, 101, 98, 100))) == [
        "trail"
    ]
    assert ids(judged(life, candle(0, 108, 108, 103, 106))) == ["trail"]  # it opened at its best


def test_a_breakeven_move_protects_from_the_moment_it_was_reached():
    life = opened(protection=plan("90", breakeven_price=D(105)))
    assert ids(judged(life, candle(0, 100, 105, 99, 104))) == ["breakeven"]
    assert ids(judged(life, candle(0, 100, 105, 99, 104), candle(1, 104, 104, 100, 101))) == [
        "breakeven",
        "stop",
    ]
    assert ids(judged(life, candle(0, 100, 105, 99, 100))) == ["breakeven", "stop"]
    assert ids(judged(life, candle(0, 106, 107, 99, 106))) == ["breakeven", "stop"]


def test_an_exit_on_the_mark_is_judged_by_candles_of_the_mark_alone():
    life = opened(protection=plan("90", [("110", "0.5")], stop_watches=MARK))
    last, mark = [candle(0, 100, 111, 80, 100)], [candle(0, 100, 101, 91, 100)]
    assert ids(findings(life.p, {LAST: last, MARK: mark}, AT_ONCE)) == ["target-1"]
    assert ids(findings(life.p, {LAST: mark, MARK: last}, AT_ONCE)) == ["stop"]
    assert ids(findings(life.p, {LAST: last}, AT_ONCE)) == ["target-1"]
    assert needed(life.p) == {LAST, MARK}


@pytest.mark.parametrize(
    ("source", "below", "proof"),
    [
        (LAST, True, LAST),
        (MARK, False, MARK),
        (BID, True, LAST),
        (BID, False, None),
        (ASK, False, LAST),
        (ASK, True, None),
    ],
)
def test_a_trade_proves_a_bid_below_and_an_ask_above(source, below, proof):
    assert evidence(source, below=below) is proof


def test_a_stop_on_the_bid_is_judged_by_trades_and_a_target_on_it_is_not():
    life = opened(protection=plan("90", [("110", "0.5")], watches=BID))
    assert ids(judged(life, candle(0, 100, 120, 95, 100))) == []
    assert ids(judged(life, candle(0, 100, 120, 90, 100))) == ["stop"]
    assert needed(life.p) == {LAST, None}


def test_extremes_of_the_downtime_are_those_of_the_candles_that_count():
    found = judged(opened(), candle(-1, 1, 500, 1, 1), candle(0, 100, 104, 95, 99))
    assert (found.low, found.high, found.counted) == (95, 104, 1)


# --- what a position does about it ---


def offline(life: Life, *candles: Candle) -> Offline:
    until = NOW + timedelta(minutes=10)
    return Offline(position_id(), NOW, until, AT_ONCE, {LAST: candles}, frame=3)


def test_what_was_crossed_fires_now_and_says_where_it_was_found():
    life = opened(protection=plan("90", [("110", "0.5")]))
    life.tell(offline(life, candle(0, 100, 111, 95, 108), candle(1, 108, 108, 85, 99)))
    judgement, first, second = life.events[-3:]
    assert isinstance(judgement, DowntimeJudged)
    assert judgement.crossed == ("target-1", "stop")
    assert (first.exit.reason, first.exit.quantity) == (ExitReason.TAKE_PROFIT, D("0.5"))
    assert (second.exit.reason, second.exit.quantity) == (ExitReason.STOP_LOSS, D("0.5"))
    trigger = second.exit.trigger
    assert (trigger.price, trigger.level, trigger.while_down) == (85, 90, True)
    opened_at = datetime.fromtimestamp(FIRST_MS / 1000 + 60, UTC)
    assert trigger.tick_id == f"1m candle of {opened_at:%Y-%m-%dT%H:%M:%SZ}"
    assert [sent.armed for sent in life.exits_sent()] == [True, True]
    assert life.exits_sent()[0].terms.price is None  # at market
    assert life.p.status is PositionStatus.CLOSING
    assert (life.p.best_price, life.p.worst_price) == (111, 85)


def test_nothing_crossed_is_nothing_journaled():
    life = opened(protection=plan("90", [("110", "0.5")]))
    before = len(life.events)
    life.tell(offline(life, candle(0, 100, 101, 95, 99)))
    assert len(life.events) == before


def test_a_trail_that_followed_is_armed_again_and_never_looser():
    life = opened(protection=plan(None, trail_distance=D(5)))
    life.tell(offline(life, candle(0, 100, 103, 99, 101)))
    assert life.p.protection.trail.anchor == 103
    assert life.effects[-1].levels[0].trail.anchor == 103
    life.tell(offline(life, candle(0, 100, 102, 99, 101)))
    assert life.p.protection.trail.anchor == 103


def test_a_breakeven_reached_while_down_moves_the_stop():
    life = opened(protection=plan("90", breakeven_price=D(105)))
    life.tell(offline(life, candle(0, 100, 106, 99, 104)))
    assert life.p.protection.stop.price > 100
    assert life.p.status is not PositionStatus.CLOSING


def test_a_position_that_closes_already_is_left_alone():
    life = opened(protection=plan("90"))
    life.cross("stop", "89")
    before = len(life.events)
    life.tell(offline(life, candle(0, 100, 101, 80, 100)))
    assert len(life.events) == before


def test_telling_it_twice_fires_once():
    life = opened(protection=plan("90", [("110", "0.5")]))
    for _ in range(2):
        life.tell(offline(life, candle(0, 100, 111, 95, 108)))
    assert sum(isinstance(event, ExitFired) for event in life.events) == 1


def test_what_the_trail_had_seen_before_counts_from_the_first_candle_that_opened_later():
    rules = plan(None, trail_distance=D(5))
    began = datetime.fromtimestamp(FIRST_MS / 1000 + 30, UTC)  # within the first candle
    low_first, later = candle(0, 100, 108, 103, 107), candle(1, 107, 107, 104, 107)
    life = opened(protection=rules)
    life.tell(changed(offline(life, low_first), began=began, best=D(109)))
    assert life.p.status is not PositionStatus.CLOSING  # it may have been low before it was high
    life = opened(protection=rules)
    life.tell(changed(offline(life, low_first, later), began=began, best=D(109)))
    trigger = life.events[-1].exit.trigger
    assert (trigger.level, trigger.price) == (104, 104)


def test_candles_told_twice_are_not_judged_by_a_trail_that_they_have_moved_themselves():
    life = opened(protection=plan(None, trail_distance=D(5)))
    told = offline(life, candle(0, 100, 101, 98, 101), candle(1, 101, 108, 101, 107))
    for _ in range(2):
        life.tell(told)
    assert life.p.protection.trail.anchor == 108
    assert life.p.status is not PositionStatus.CLOSING


def test_what_the_trail_had_seen_before_is_nothing_new_to_say():
    life = opened(protection=plan(None, trail_distance=D(5)))
    before = len(life.events)
    life.tell(changed(offline(life, candle(0, 107, 107, 105, 107)), best=D(109)))
    assert len(life.events) == before


# --- what to ask for ---


def test_a_short_downtime_is_asked_in_the_shortest_candles_there_are():
    assert list(pieces(61_500, 125_000, (MINUTE, HOUR))) == [(MINUTE, 60_000, 125_000)]
    assert list(pieces(61_500, 125_000, (SECOND, MINUTE))) == [(SECOND, 61_000, 125_000)]
    assert list(pieces(61_500, 125_000, ())) == []
    assert list(pieces(5, 5, (MINUTE,))) == []


@given(
    st.integers(0, 10**9),
    st.integers(1, 4 * 10**8),
    st.sampled_from([(MINUTE,), (MINUTE, HOUR), (SECOND, MINUTE, HOUR)]),
)
def test_pieces_cover_a_downtime_without_a_hole_in_few_candles(begin, length, lengths):
    cut = list(pieces(begin, begin + length, lengths))
    assert cut[0][1] == lengths[0].open_of(begin)
    assert cut[-1][2] == begin + length
    for (_, _, end), (_, start, _) in itertools.pairwise(cut):
        assert end == start
    for timeframe, start, end in cut:
        assert start % timeframe.ms == 0
        assert end - start <= (FINE_CANDLES + 60) * timeframe.ms or timeframe == lengths[-1]


# --- the brute force ---


@dataclass
class Rules:
    """A position's rules, walked tick by tick; prices are multiplied by the sign of the side."""

    sign: int
    stop: Decimal | None
    distance: Decimal | None
    best: Decimal
    targets: dict[str, Decimal]
    trigger: Decimal | None
    even_stop: Decimal

    def tick(self, price: Decimal) -> list[str]:
        """Return what a price does, in order; a guard is the last word."""
        told = []
        if self.distance is not None:
            self.best = max(self.best, price)
        levels = [] if self.stop is None else [(self.stop, "stop")]
        if self.distance is not None:
            levels.append((self.best - self.distance, "trail"))
        passed = [(level, name) for level, name in levels if price <= level]
        if passed:
            return [max(passed, key=lambda one: one[0])[1]]
        for name in sorted(self.targets, key=self.targets.__getitem__):
            if price >= self.targets[name]:
                del self.targets[name]
                told.append(name)
        if self.trigger is not None and price >= self.trigger:
            self.trigger = None
            self.stop = self.even_stop if self.stop is None else max(self.stop, self.even_stop)
            told.append("breakeven")
        return told


GUARDS = {"stop", "trail"}


def walked(rules: Rules, one: Candle, *, low_first: bool) -> list[str]:
    ticks = [one.open, *((one.low, one.high) if low_first else (one.high, one.low)), one.close]
    if rules.sign < 0:
        ticks = [one.open, *((one.high, one.low) if low_first else (one.low, one.high)), one.close]
    told = []
    for price in ticks:
        told += rules.tick(price * rules.sign)
        if told and told[-1] in GUARDS:
            break
    return told


def brute(life: Life, candles: list[Candle]) -> tuple[list[str], Decimal]:
    p = life.p.protection
    sign = life.p.direction.sign
    rules = Rules(
        sign=sign,
        stop=None if p.stop is None else p.stop.price * sign,
        distance=None if p.trail is None else p.trail.distance,
        best=D(100) * sign,
        targets={each.exit_id: each.price * sign for each in p.targets},
        trigger=None if p.breakeven is None else p.breakeven.trigger_price * sign,
        even_stop=D(0) if p.breakeven is None else p.breakeven.stop_price * sign,
    )
    told = []
    for one in candles:
        copies = [replace(rules, targets=dict(rules.targets)) for _ in range(2)]
        low_first = walked(copies[0], one, low_first=True)
        high_first = walked(copies[1], one, low_first=False)
        if GUARDS & set(low_first) and GUARDS & set(high_first):  # certain
            both = "breakeven" in low_first and "breakeven" in high_first
            return [*told, *(["breakeven"] if both else []), low_first[-1]], rules.best * sign
        # Not certain: the rest of the candle happens as if it had not been.
        far = (one.high if sign > 0 else one.low) * sign
        reached = [name for name, level in rules.targets.items() if far >= level]
        told += sorted(reached, key=rules.targets.__getitem__)
        for name in reached:
            del rules.targets[name]
        if rules.trigger is not None and far >= rules.trigger:
            told.append("breakeven")
            rules.trigger = None
            stops = [rules.even_stop] + ([] if rules.stop is None else [rules.stop])
            rules.stop = max(stops)
        if rules.distance is not None:
            rules.best = max(rules.best, far)
    return told, rules.best * sign


PRICES = st.integers(880, 1120).map(lambda tenths: Decimal(tenths) / 10)


@st.composite
def candle_series(draw):
    series = []
    for number in range(draw(st.integers(1, 8))):
        prices = [draw(PRICES) for _ in range(4)]
        low, high = min(prices), max(prices)
        series.append(candle(number, prices[0], high, low, prices[1]))
    return series


@st.composite
def lives(draw):
    direction = draw(st.sampled_from(Direction))
    sign = direction.sign

    def away(low: int, high: int) -> Decimal:
        return 100 + sign * Decimal(draw(st.integers(low, high))) / 10

    targets = [TargetPlan(away(1, 120), D("0.25")) for _ in range(draw(st.integers(0, 3)))]
    wants_trail, wants_even = draw(st.booleans()), draw(st.booleans())
    protection = ProtectionPlan(
        stop_price=away(-120, -1) if draw(st.booleans()) or not wants_trail else None,
        targets=tuple(targets),
        trail_distance=Decimal(draw(st.integers(1, 100))) / 10 if wants_trail else None,
        breakeven_price=away(5, 120) if wants_even else None,
    )
    return opened(protection=protection, direction=direction)


@settings(deadline=None)
@given(lives(), candle_series())
def test_what_candles_prove_equals_a_brute_force_over_the_same_candles(life, candles):
    told, best = brute(life, candles)
    found = judged(life, *candles)
    assert sorted(ids(found)) == sorted(told)
    if GUARDS & set(told):
        assert ids(found)[-1] == told[-1]
    if life.p.protection.trail is not None and not GUARDS & set(told):
        assert (found.best or life.p.protection.trail.anchor) == best


@settings(deadline=None)
@given(lives(), candle_series())
def test_what_fires_is_what_was_found_and_no_trail_gets_looser(life, candles):
    found, anchor = judged(life, *candles), life.p.protection.trail
    sign = life.p.direction.sign
    life.tell(offline(life, *candles))
    fired = [event.exit.exit_id for event in life.events if isinstance(event, ExitFired)]
    assert set(fired) <= set(ids(found))
    if GUARDS & set(ids(found)):
        assert life.p.status is PositionStatus.CLOSING
    if anchor is not None:
        assert (life.p.protection.trail.anchor - anchor.anchor) * sign >= 0
