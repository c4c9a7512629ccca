"""What a position does about what candles prove of a downtime."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.candles import Candle, Timeframe
from domain.effects import Arm, WakeAfter
from domain.inputs import Offline, OrderReported, Wake
from domain.instrument import PriceSource
from domain.order import RESTING, OrderStatus
from domain.position import PositionStatus
from domain.position_draft import PositionRules
from domain.position_events import DowntimeJudged
from domain.protection import ExitReason
from tests.builders import BTC, NOW, D, Life, opened, plan

FIRST_MS = (int(NOW.timestamp() * 1000) // 60_000 + 1) * 60_000  # opens after NOW


def missed(life: Life, *minutes: str) -> Life:
    """Tell of some minutes, each as "open high low close"."""
    series = []
    for number, prices in enumerate(minutes):
        first, high, low, last = map(Decimal, prices.split())
        open_ms = FIRST_MS + number * 60_000
        series.append(Candle(BTC, Timeframe(60_000), open_ms, first, high, low, last, D(1), 1))
    until = NOW + timedelta(minutes=10)
    candles = {PriceSource.LAST: tuple(series)}
    return life.tell(Offline(life.p.id, NOW, until, timedelta(0), candles, frame=3))


def of(life, kind):
    return [each for each in life.decision.effects if isinstance(each, kind)]


def guarded() -> Life:
    """A position whose stop rests at the venue, too."""
    life = Life(PositionRules(stops_at_venue=True)).begin("1", plan("90")).fill("1", "100").arm()
    (terms,) = (each.terms for each in life.sent() if each.terms.type in RESTING)
    return life.tell(OrderReported(life.p.id, OrderStatus.OPEN, terms))


def test_what_fired_says_when_its_candle_closed():
    life = missed(opened(protection=plan("90")), "100 101 85 99")
    trigger = life.p.exits[0].trigger
    assert trigger.at == datetime.fromtimestamp(FIRST_MS / 1000 + 60, UTC)
    assert (trigger.frame, trigger.source) == (3, PriceSource.LAST)


def test_a_trail_that_followed_and_then_fired_is_not_armed_again():
    life = missed(
        opened(protection=plan("90", trail_distance=D(20))), "100 108 99 107", "107 107 89 95"
    )
    assert life.p.status is PositionStatus.CLOSING
    assert life.p.protection.trail.anchor == 108
    assert not of(life, Arm)


def test_rules_that_did_not_move_are_not_armed_again():
    life = missed(opened(protection=plan("90", [("110", "0.5")])), "100 111 99 108")
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert not of(life, Arm)


def test_a_stop_that_fires_at_the_venue_has_time_to_say_so():
    life = missed(guarded(), "100 101 85 99")
    assert [type(event) for event in life.decision.events] == [DowntimeJudged]
    (timer,) = of(life, WakeAfter)
    assert (timer.purpose, timer.exit_id, timer.delay_s) == ("grace", "stop", 1.0)
    assert (timer.crossed.price, timer.crossed.tick_id) == (
        85,
        f"1m candle of {datetime.fromtimestamp(FIRST_MS / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    life.tell(Wake(timer.purpose, timer.exit_id, timer.version, timer.crossed))
    assert life.p.status is PositionStatus.CLOSING
    assert life.p.exits[0].reason is ExitReason.STOP_LOSS
    assert life.p.exits[0].trigger.while_down  # told apart from a price of now
