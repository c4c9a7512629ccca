"""Drills of a venue that is away: cut off, silent, closed for maintenance, or of another time."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from uuid import uuid4

from daemon.admin_requests import Status
from daemon.drills.drill import Drill
from daemon.drills.stage import Stage
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox import outside

_BTC, _ETH, _SOL = "BTC/USDT", "ETH/USDT", "SOL/USDT"
_NOTICED_WITHIN_S = 15.0
_LEARNED_WITHIN_S = 20.0
_SKEW_MS = 60_000
_STOPPED = Decimal("0.03")  # moves beyond the stops


async def outage(stage: Stage) -> None:
    """Nothing gets through to the venue, nor back."""

    async def end() -> None:
        stage.line.cut()

    await _away(stage, "the line is cut", end, stage.line.restore, 6.0 if stage.is_small else 30.0)


async def maintenance(stage: Stage) -> None:
    """Everything is answered with 50001, websockets are refused."""

    async def close() -> None:
        stage.sandbox.world.maintenance = True
        stage.sandbox.sockets.cut()

    async def reopen() -> None:
        stage.sandbox.world.maintenance = False

    await _away(stage, "maintenance begins", close, reopen, 4.0 if stage.is_small else 20.0)


async def _away(
    stage: Stage,
    what: str,
    go: Callable[[], Awaitable[None]],
    come_back: Callable[[], Awaitable[None]],
    lasts_s: float,
) -> None:
    """Let a venue go away: entries stop, stops there go on, what happened is learned afterwards."""
    first = await stage.open(_BTC)
    second = await stage.open(_ETH, Direction.SHORT)
    await stage.until_guarded(first)
    await stage.until_guarded(second)
    await stage.until_ready()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await go()
    stage.tell(f"0.0 s: {what}; 2 positions are open")
    took_s = await stage.until(stage.causes, "it is noticed", within_s=_NOTICED_WITHIN_S)
    causes = await stage.causes()
    stage.tell(f"{took_s:.1f} s: noticed, no entries: {', '.join(causes)}")
    status = await stage.ask(Status())
    stage.expect(status["mode"] != "NORMAL", f"the mode is {status['mode']}")
    refused = await stage.ask_anyhow(stage.entry(str(uuid4()), _SOL))
    told = isinstance(refused, Refusal)
    stage.expect(told, "an entry was taken while the venue is away")
    if isinstance(refused, Refusal):
        stage.tell(f"{loop.time() - began_s:.1f} s: an entry is refused: {refused.rule}")
    _fall(stage, _BTC)
    stage.expect(not stage.held(_BTC), "the venue's stop did not fire while it was away")
    stage.tell(f"{loop.time() - began_s:.1f} s: the stop at the venue fires, nobody is told")
    await _wait_out(stage, second, began_s + lasts_s)
    await come_back()
    returned_s = loop.time()
    stage.tell(f"{returned_s - began_s:.1f} s: the venue is back")
    await stage.until_over(first, within_s=_LEARNED_WITHIN_S)
    stage.tell(f"{loop.time() - began_s:.1f} s: the fill of the stop is booked")
    await stage.until_ready(within_s=_LEARNED_WITHIN_S)
    after_s = loop.time() - returned_s
    stage.tell(f"{loop.time() - began_s:.1f} s: entries go on, {after_s:.1f} s after the return")


def _fall(stage: Stage, symbol: str) -> None:
    """Let a long position's stop be reached."""
    stage.price(symbol, stage.away(symbol, Direction.LONG, _STOPPED))


async def _wait_out(stage: Stage, position_id: str, until_s: float) -> None:
    """Watch that a position keeps its guard until then."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        found = await stage.position(position_id)
        if found["status"] != "open_protected":
            stage.expect(False, f"{found['symbol']} is {found['status']} meanwhile")
            return
        stage.expect(stage.stops(found["symbol"]), "its stop at the venue is gone")
        await asyncio.sleep(0.25)


async def silent_feed(stage: Stage) -> None:
    """Websockets stay open and answer pings, and say nothing: neither prices nor fills."""
    first, second = await stage.open(_BTC), await stage.open(_ETH)
    await stage.until_guarded(first)
    await stage.until_guarded(second)
    await stage.until_ready()
    stage.sandbox.sockets.silent = True
    began_ms = stage.now_ms
    _fall(stage, _BTC)
    stage.expect(not stage.held(_BTC), "the venue's stop did not fire")
    took_s = await stage.until(stage.causes, "the silence is noticed", within_s=_NOTICED_WITHIN_S)
    stage.tell(f"noticed after {took_s:.1f} s: {', '.join(await stage.causes())}")
    refused = await stage.ask_anyhow(stage.entry(str(uuid4()), _BTC))
    stage.expect(isinstance(refused, Refusal), "an entry was taken on a silent feed")
    await stage.until_over(first, within_s=_LEARNED_WITHIN_S)
    learned_s = (stage.now_ms - began_ms) / 1000
    stage.tell(f"a stop that fired unheard is known {learned_s:.1f} s after, by asking")
    stage.sandbox.sockets.silent = False
    took_s = await stage.until_ready()
    stage.tell(f"entries go on {took_s:.1f} s after prices come again")


async def reconnect(stage: Stage) -> None:
    """All sockets are cut, over and over, while positions reach their stop and target."""
    target = stage.price_of(_BTC) * Decimal("1.01")
    first = await stage.open(_BTC, target=target)
    second, third = await stage.open(_ETH, Direction.SHORT), await stage.open(_SOL)
    for position_id in (first, second, third):
        await stage.until_guarded(position_id)
    stage.sandbox.sockets.cut()
    stage.price(_BTC, target)
    over = await stage.until_over(first, within_s=_LEARNED_WITHIN_S)
    stage.expect(over["exit_reason"] == "TAKE_PROFIT", f"BTC closed by {over['exit_reason']}")
    stage.sandbox.sockets.cut()
    stage.price(_ETH, stage.away(_ETH, Direction.SHORT, _STOPPED))
    over = await stage.until_over(second, within_s=_LEARNED_WITHIN_S)
    stage.expect(over["exit_reason"] == "STOP_LOSS", f"ETH closed by {over['exit_reason']}")
    stage.sandbox.sockets.notice()
    for _ in range(2 if stage.is_small else 6):
        stage.sandbox.sockets.cut()
        took_s = await stage.until(
            lambda: len({one.path for one in stage.sandbox.sockets.open}) > 1,
            "the streams are back",
            within_s=_NOTICED_WITHIN_S,
        )
    outside.cancel_stops(stage.account, "SOL-USDT-SWAP")
    stage.sandbox.sockets.cut()
    await stage.until_guarded(third, within_s=_LEARNED_WITHIN_S)
    took_s = await stage.until_ready()
    stage.tell(f"entries go on {took_s:.1f} s after the last cut")


async def clock_skew(stage: Stage) -> None:
    """The venue's clock and this computer's are a minute apart, from one moment to the next."""
    first, second = await stage.open(_BTC), await stage.open(_ETH)
    await stage.until_guarded(first)
    await stage.until_guarded(second)
    await stage.until_ready()
    stage.sandbox.world.skew_ms = _SKEW_MS
    took_s = await stage.until(
        lambda: _has_cause(stage, "CLOCK_SKEW"), "the skew is named", within_s=_LEARNED_WITHIN_S
    )
    stage.tell(f"CLOCK_SKEW after {took_s:.1f} s: no entries")
    refused = await stage.ask_anyhow(stage.entry(str(uuid4()), _SOL))
    stage.expect(isinstance(refused, Refusal), "an entry was taken with a wrong clock")
    await stage.move_stop(first, stage.away(_BTC, Direction.LONG, "0.01"))
    await stage.until_guarded(first)
    await stage.close(second)
    await stage.until_over(second)
    stage.tell("stops are moved and positions closed meanwhile")
    stage.sandbox.world.skew_ms = 0
    took_s = await stage.until_ready(within_s=45.0)
    stage.tell(f"entries go on {took_s:.1f} s after the clocks agree")


async def _has_cause(stage: Stage, code: str) -> bool:
    return code in await stage.causes()


DRILLS = (
    Drill(
        name="outage",
        injects="the venue cannot be reached for 30 s; a stop fires there meanwhile",
        run=outage,
        within_s=110.0,
    ),
    Drill(
        name="maintenance",
        injects="every request is answered 50001, websockets are refused",
        run=maintenance,
        within_s=90.0,
    ),
    Drill(
        name="silent-feed",
        injects="open sockets that say nothing; a stop fires unheard",
        run=silent_feed,
        within_s=80.0,
    ),
    Drill(
        name="reconnect",
        injects="all sockets cut again and again, while a target, a stop and a cancel happen",
        run=reconnect,
        within_s=100.0,
        unprotected_within_s=3.0,  # a stop canceled in the gap is found by asking after it
    ),
    Drill(
        name="clock-skew",
        injects="the venue's clock jumps by 60 s",
        run=clock_skew,
        within_s=90.0,
    ),
)
