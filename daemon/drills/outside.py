"""Drills of what others do on the account: a person on the site, the venue's risk engine.

Each does it twice: with the private stream telling, and with every push lost, so that only asking
finds it.
"""

from collections.abc import Callable
from decimal import Decimal

from daemon.drills.drill import Drill
from daemon.drills.stage import Stage
from exchanges.sandbox import outside
from exchanges.sandbox.account import Account

_BTC, _ETH = "BTC/USDT", "ETH/USDT"
_BY_STREAM_S = 3.0
_BY_POLLING_S = 15.0
_MENDED_BY_STREAM_S = 1.0  # what is promised
_HALF = Decimal("0.5")


async def _open_two(stage: Stage) -> tuple[tuple[str, str, float, str], ...]:
    """Open two positions: (symbol, id, seconds until a change is known, how it is known)."""
    first, second = await stage.open(_BTC), await stage.open(_ETH)
    await stage.until_guarded(first)
    await stage.until_guarded(second)
    await stage.until_settled()
    return (
        (_BTC, first, _BY_STREAM_S, "by the stream"),
        (_ETH, second, _BY_POLLING_S, "by asking"),
    )


def _lose_pushes(stage: Stage, symbol: str) -> None:
    if symbol == _ETH:
        stage.sandbox.fault("drop", "*", count=None)


def _promised(stage: Stage, symbol: str, took_s: float) -> None:
    """With the stream telling, what others did is known within a second."""
    told = f"{symbol}: mended after {took_s:.2f} s though the stream told"
    stage.expect(symbol != _BTC or took_s <= _MENDED_BY_STREAM_S, told)


async def external_close(stage: Stage) -> None:
    """A person closes two positions on the site."""
    await _end(stage, outside.close, "closed_external")


async def liquidation(stage: Stage) -> None:
    """The venue liquidates two positions."""
    await _end(stage, outside.liquidate, "liquidated")


async def _end(stage: Stage, act: Callable[[Account, str], object], status: str) -> None:
    for symbol, position_id, within_s, how in await _open_two(stage):
        _lose_pushes(stage, symbol)
        act(stage.account, stage.inst(symbol))
        began_ms = stage.now_ms
        over = await stage.until_over(position_id, within_s=within_s)
        took_s = (stage.now_ms - began_ms) / 1000
        stage.tell(f"{symbol} {over['status']} after {took_s:.2f} s, {how}")
        _promised(stage, symbol, took_s)
        stage.expect(over["status"] == status, f"{symbol} is {over['status']}, not {status}")
        await stage.until(
            lambda name=symbol: not stage.stops(name),
            f"the stop of {symbol} is taken out",
            within_s=_BY_POLLING_S,
        )
    stage.sandbox.faults.clear()


async def external_partial(stage: Stage) -> None:
    """A person closes half of two positions on the site."""
    for symbol, position_id, within_s, how in await _open_two(stage):
        before = Decimal((await stage.position(position_id))["remaining_quantity"])
        _lose_pushes(stage, symbol)
        outside.close(stage.account, stage.inst(symbol), share=_HALF)
        began_ms = stage.now_ms

        async def is_known(named: str = position_id, was: Decimal = before) -> bool:
            found = await stage.position(named)
            return bool(Decimal(found["remaining_quantity"]) == was * _HALF)

        await stage.until(is_known, f"the half of {symbol} is known", within_s=within_s)
        await stage.until(
            lambda name=symbol: _fits(stage, name),
            f"the stop of {symbol} is for what is left",
        )
        took_s = (stage.now_ms - began_ms) / 1000
        stage.tell(f"half of {symbol} gone: known, and the stop resized, {took_s:.2f} s, {how}")
        _promised(stage, symbol, took_s)
    stage.sandbox.faults.clear()


def _fits(stage: Stage, symbol: str) -> bool:
    """Whether stops close exactly what is held."""
    return bool(abs(stage.held(symbol)) == sum(one.size for one in stage.stops(symbol)))


async def stop_canceled_on_site(stage: Stage) -> None:
    """A person cancels stops on the site, then moves them."""
    for symbol, position_id, within_s, how in await _open_two(stage):
        _lose_pushes(stage, symbol)
        outside.cancel_stops(stage.account, stage.inst(symbol))
        took_s = await stage.until_guarded(position_id, within_s=within_s)
        stage.tell(f"stop of {symbol} canceled on the site: back after {took_s:.2f} s, {how}")
        _promised(stage, symbol, took_s)
        stop = Decimal((await stage.position(position_id))["stop"])
        outside.move_stop(stage.account, stage.inst(symbol), stop * Decimal("0.99"))
        took_s = await stage.until_guarded(position_id, within_s=within_s)
        at = (await stage.position(position_id))["stop"]
        stage.tell(f"and moved from {stop:f}: stands at {at} after {took_s:.2f} s, {how}")
    stage.sandbox.faults.clear()


DRILLS = (
    Drill(
        name="external-close",
        injects="positions closed on the site, once without a word on the stream",
        run=external_close,
        within_s=80.0,
    ),
    Drill(
        name="external-partial",
        injects="half of a position closed on the site, once without a word on the stream",
        run=external_partial,
        within_s=80.0,
    ),
    Drill(
        name="stop-canceled-on-site",
        injects="stops canceled and moved on the site, once without a word on the stream",
        run=stop_canceled_on_site,
        within_s=90.0,
        unprotected_within_s=_BY_POLLING_S,
    ),
    Drill(
        name="liquidation",
        injects="the venue liquidates, once without a word on the stream",
        run=liquidation,
        within_s=80.0,
    ),
)
