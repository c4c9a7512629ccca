"""What a position does about a downtime: what candles prove to be crossed fires now.

Now, at the next price there is: the wished one is gone.
"""

from datetime import UTC, datetime, timedelta

from domain.downtime import Before, Missed, findings
from domain.effects import WakeAfter
from domain.inputs import Crossed, Offline
from domain.position import Trigger
from domain.position_draft import HOLDS, Draft
from domain.position_events import DowntimeJudged
from domain.position_exits import fire_all, fire_target, reason_of
from domain.position_guards import (
    breakeven_stop,
    guards,
    keep_breakeven_apart,
    to_breakeven,
)
from domain.protection import BREAKEVEN
from domain.venue_stop_reports import fires_at_venue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def judge_downtime(decision: Draft, offline: Offline) -> None:
    """Judge what candles tell; fire what was crossed, and let the trail follow."""
    position = decision.position
    if position.status not in HOLDS:
        return
    if position.additions:  # one that has filled in part has moved the average already
        keep_breakeven_apart(decision)
    found = findings(
        decision.position,
        offline.candles,
        offline.ahead,
        Before(offline.began, offline.best),
        breakeven_stop(position, decision.rules),
    )
    if not found.missed and found.best is None:
        return
    decision.record(
        DowntimeJudged(
            began=offline.began,
            until=offline.until,
            candles=found.counted,
            crossed=tuple(missed.exit_id for missed in found.missed),
            at=decision.now,
            best=found.best,
            low=found.low,
            high=found.high,
        )
    )
    for missed in found.missed:
        _act(decision, missed, offline.frame)
    if decision.position.status in HOLDS and found.best is not None:
        decision.then(*guards(decision.position, decision.rules))


def _wait_for_the_venue(decision: Draft, missed: Missed, trigger: Trigger) -> None:
    """Give a stop that rests at the venue, and has fired by then, time to say so."""
    position = decision.position
    crossed = Crossed(
        position_id=position.id,
        exit_id=missed.exit_id,
        version=position.protection.version,
        price=missed.price,
        source=missed.source,
        frame=trigger.frame,
        tick_id=trigger.tick_id,
        at=trigger.at,
        while_down=True,
    )
    grace_s = decision.rules.grace_s
    decision.then(WakeAfter(grace_s, "grace", missed.exit_id, crossed.version, crossed=crossed))


def _act(decision: Draft, missed: Missed, frame: int) -> None:
    if missed.exit_id == BREAKEVEN:
        to_breakeven(decision)
        return
    candle = missed.candle
    opened = _EPOCH + timedelta(milliseconds=candle.open_ms)
    trigger = Trigger(
        price=missed.price,
        level=missed.level,
        source=missed.source,
        frame=frame,
        tick_id=f"{candle.timeframe} candle of {opened:%Y-%m-%dT%H:%M:%SZ}",
        at=_EPOCH + timedelta(milliseconds=candle.close_ms),
        while_down=True,
    )
    position = decision.position
    if fires_at_venue(decision, missed.exit_id, missed.price):
        _wait_for_the_venue(decision, missed, trigger)
    elif position.protection.target(missed.exit_id) is None:
        reason = reason_of(missed.exit_id)
        fire_all(decision, missed.exit_id, reason, trigger, armed=True)
    else:
        fire_target(decision, missed.exit_id, trigger, None)
