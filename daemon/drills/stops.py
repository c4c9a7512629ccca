"""Drills of stops: they fire while they are moved or taken out, or the venue refuses them."""

import asyncio
import random
from decimal import Decimal

from daemon.admin_requests import Close, MoveStop, Open
from daemon.drills.drill import Drill
from daemon.drills.stage import SYMBOLS, Stage
from daemon.position_views import CLIENT_GUARD
from domain.instrument import Direction

_BTC, _ETH, _SOL, _XRP = "BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"
_JITTER_S = 0.04
_LATE_MS = 300
_AT_ONCE = 16
_BACK_WITHIN_S = 20.0
_EXIT_WITHIN_S = 5.0
_STOPPED = Decimal("0.03")


async def cancel_fill_race(stage: Stage) -> None:
    """In the same instant a stop is moved, or its position closed, and its price is reached."""
    chance = random.Random(7)  # noqa: S311 - reproducible, no secret
    rounds = 2 if stage.is_small else 6
    for number in range(rounds):
        opened = await asyncio.gather(*(stage.open(each) for each in SYMBOLS))
        await asyncio.gather(*(stage.until_guarded(each) for each in opened))
        if number % 2:
            for path in ("POST trade/amend-algos", "POST trade/cancel-algos"):
                stage.sandbox.fault("late", path, count=2, delay_ms=_LATE_MS)
        races = []
        for index, (position_id, symbol) in enumerate(zip(opened, SYMBOLS, strict=True)):
            moves = (index + number) % 2 == 0
            races.append(_race(stage, position_id, symbol, chance, moves=moves))
        await asyncio.gather(*races)
        for position_id in opened:
            await stage.until_over(position_id, within_s=_BACK_WITHIN_S)
        stage.sandbox.faults.clear()
        for name in SYMBOLS:
            stage.expect(not stage.held(name), f"{name} is held after all is closed")
    stage.tell(f"{rounds * len(SYMBOLS)} races")


async def _race(
    stage: Stage, position_id: str, symbol: str, chance: random.Random, *, moves: bool
) -> None:
    """Ask for a change and let the price fall through the stop, in either order."""
    stop = stage.away(symbol, Direction.LONG, "0.015")
    request = MoveStop(position=position_id, price=stop) if moves else Close(position=position_id)
    first_s, second_s = chance.random() * _JITTER_S, chance.random() * _JITTER_S

    async def asked() -> None:
        await asyncio.sleep(first_s)
        await stage.ask_anyhow(request)  # may be refused: it closes already

    async def reached() -> None:
        await asyncio.sleep(second_s)
        stage.price(symbol, stage.away(symbol, Direction.LONG, _STOPPED))

    await asyncio.gather(asked(), reached())


async def stop_rejected(stage: Stage) -> None:
    """The venue takes no stop; later one fires there, and its order is refused."""
    rule = stage.sandbox.fault("code", "POST trade/order-algo", count=None, code="51009")
    first = await stage.open(_BTC, is_limit=True)  # whose stop is an order of its own
    second = await stage.open(_SOL, is_limit=True)
    await stage.until(lambda: _is_guarded_here(stage, first, second), "the daemon guards itself")
    stage.expect(rule.hits, "no stop was asked for")
    stage.tell("no stop is taken: the daemon guards alone")
    stage.price(_BTC, stage.away(_BTC, Direction.LONG, _STOPPED))
    took_s = await stage.until(lambda: not stage.held(_BTC), "it exits by itself")
    stage.tell(f"the price falls through one: exit at market after {took_s:.2f} s")
    over = await stage.until_over(first)
    stage.expect(over["exit_reason"] == "STOP_LOSS", f"BTC closed by {over['exit_reason']}")
    stage.sandbox.faults.clear()
    took_s = await stage.until_guarded(second, within_s=_BACK_WITHIN_S)
    stage.tell(f"stops are taken again: the other rests there after {took_s:.1f} s")
    third = await stage.open(_ETH)
    await stage.until_guarded(third)
    stage.account.reject_children = ["51008"]
    stage.price(_ETH, stage.away(_ETH, Direction.LONG, _STOPPED))
    took_s = await stage.until(
        lambda: not stage.held(_ETH), "the exit at market", within_s=_EXIT_WITHIN_S
    )
    failed = [one for one in stage.account.algos.values() if one.fail_code]
    stage.expect(failed, "the order of the stop was not refused")
    stage.tell(f"a stop fires, its order is refused: exit at market after {took_s:.2f} s")
    await stage.until_over(third)


async def _is_guarded_here(stage: Stage, *position_ids: str) -> bool:
    found = [await stage.position(each) for each in position_ids]
    return all(each["stop_lives"] == CLIENT_GUARD for each in found)


async def rate_limit(stage: Stage) -> None:
    """The venue answers 50011 while stops have to move, then entries use up what is allowed."""
    opened = await asyncio.gather(*(stage.open(each) for each in SYMBOLS))
    await asyncio.gather(*(stage.until_guarded(each) for each in opened))
    stage.sandbox.fault("code", "POST trade/*algo*", count=12, code="50011")
    for ratio in ("0.018", "0.016", "0.014"):
        for position_id, symbol in zip(opened, SYMBOLS, strict=True):
            await stage.move_stop(position_id, stage.away(symbol, Direction.LONG, ratio))
    took_s = await stage.until(
        lambda: _all_moved(stage), "the stops have moved", within_s=_BACK_WITHIN_S
    )
    stage.tell(f"5 stops moved 3 times each through 50011: all there {took_s:.1f} s after the last")
    flood = 20 if stage.is_small else 60
    slots = asyncio.Semaphore(_AT_ONCE)
    asked = [asyncio.create_task(_ask_far(stage, slots)) for _ in range(flood)]
    took_s = 0.0
    for position_id, symbol in zip(opened[:2], SYMBOLS[:2], strict=True):
        await stage.close(position_id)
        took_s = max(
            took_s,
            await stage.until(
                lambda name=symbol: not stage.held(name),
                f"{symbol} is closed",
                within_s=_EXIT_WITHIN_S,
            ),
        )
        await stage.until_over(position_id)
    stage.tell(f"exits among {flood} entries leave within {took_s:.1f} s of being asked")
    await asyncio.gather(*asked)
    kept = set(opened)
    for each in await stage.positions():
        if each["id"] not in kept:
            await stage.close(each["id"])

    async def are_gone() -> bool:
        return {each["id"] for each in await stage.positions()} <= kept

    await stage.until(are_gone, "the entries are taken out", within_s=30.0)


def _all_moved(stage: Stage) -> bool:
    return all(
        stage.stop_prices(each) == [stage.away(each, Direction.LONG, "0.014")] for each in SYMBOLS
    )


async def _ask_far(stage: Stage, slots: asyncio.Semaphore) -> None:
    async with slots:
        await stage.ask_anyhow(_far(stage))


def _far(stage: Stage) -> Open:
    """Return an entry that rests far from the price."""
    price = stage.away(_XRP, Direction.LONG, "0.1")
    return Open(
        symbol=_XRP,
        direction=Direction.LONG,
        quantity=Decimal(100),
        limit_price=price,
        stop=stage.away(_XRP, Direction.LONG, "0.15"),
    )


DRILLS = (
    Drill(
        name="cancel-fill-race",
        injects="stops fire in the instant in which they are moved or their position is closed",
        run=cancel_fill_race,
        within_s=120.0,
    ),
    Drill(
        name="spot-race",
        injects="the same with coins: a stop binds them, so it goes before an exit or a move",
        run=cancel_fill_race,
        within_s=120.0,
        is_spot=True,
    ),
    Drill(
        name="stop-rejected",
        injects="the venue takes no stop; later one fires and its order is refused",
        run=stop_rejected,
        within_s=90.0,
        counts_client_guard=True,
    ),
    Drill(
        name="rate-limit",
        injects="50011 while stops must move, then a flood of entries before exits",
        run=rate_limit,
        within_s=100.0,
        has_limits=True,
    ),
)
