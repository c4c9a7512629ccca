"""Drills of a daemon that is killed while a request is under way."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from daemon.admin_requests import AnyAdminRequest, Close, ListOrders, MoveStop
from daemon.drills.drill import Drill
from daemon.drills.process import SilentError
from daemon.drills.stage import Stage
from domain.instrument import Direction

_BTC, _ETH = "BTC/USDT", "ETH/USDT"
_LATE_MS = 20_000  # the answer never comes in time
_BACK_WITHIN_S = 30.0


async def kill_9_mid_order(stage: Stage) -> None:
    """SIGKILL between a request and its answer: of an entry, its stop, a move, an exit."""
    await _kill_at_entry(stage)
    if not stage.is_small:
        await _kill_at_stop(stage)
        await _kill_at_move(stage)
    await _kill_at_exit(stage)
    await _kill_before_it_arrives(stage)


async def _kill_at_entry(stage: Stage) -> None:
    position_id = str(uuid4())
    request = stage.entry(position_id, _BTC)
    await _killed(stage, request, "POST trade/order", lambda: stage.held(_BTC))
    stage.expect(len(stage.stops(_BTC)) == 1, f"{len(stage.stops(_BTC))} stops came with it")
    took_s = await stage.until_guarded(position_id, within_s=_BACK_WITHIN_S)
    stage.expect(len(stage.stops(_BTC)) == 1, f"{len(stage.stops(_BTC))} stops at the venue")
    stage.tell(f"killed as an entry filled: its stop came with it, known {took_s:.1f} s after")
    await _over(stage, position_id)


async def _kill_at_stop(stage: Stage) -> None:
    position_id = str(uuid4())
    request = stage.entry(position_id, _BTC, is_limit=True)  # the stop follows by itself
    await _killed(stage, request, "POST trade/order-algo", lambda: stage.stops(_BTC))
    took_s = await stage.until_guarded(position_id, within_s=_BACK_WITHIN_S)
    stage.expect(len(stage.stops(_BTC)) == 1, f"{len(stage.stops(_BTC))} stops at the venue")
    stage.tell(f"killed as its stop was taken: one stop, known {took_s:.1f} s after")
    await _over(stage, position_id)


async def _kill_at_move(stage: Stage) -> None:
    position_id = await stage.open(_BTC)
    await stage.until_guarded(position_id)
    price = stage.away(_BTC, Direction.LONG, "0.01")
    request = MoveStop(position=position_id, price=price)
    await _killed(
        stage, request, "POST trade/amend-algos", lambda: stage.stop_prices(_BTC) == [price]
    )
    took_s = await stage.until_guarded(position_id, within_s=_BACK_WITHIN_S)
    stop = Decimal((await stage.position(position_id))["stop"])
    stage.expect(stop == price, f"the stop is at {stop}, asked for was {price}")
    stage.tell(f"killed as its stop moved: where it was moved to, known {took_s:.1f} s after")
    await _over(stage, position_id)


async def _kill_at_exit(stage: Stage) -> None:
    await stage.until_ready()
    position_id = await stage.open(_BTC)
    await stage.until_guarded(position_id)
    request = Close(position=position_id)
    await _killed(stage, request, "POST trade/order", lambda: not stage.held(_BTC))
    began_ms = stage.now_ms
    await stage.until_over(position_id, within_s=_BACK_WITHIN_S)
    took_s = (stage.now_ms - began_ms) / 1000
    stage.tell(f"killed as an exit filled: closed, known {took_s:.1f} s after")


async def _kill_before_it_arrives(stage: Stage) -> None:
    """Hold an entry back on the line, kill the daemon, lose it: it must be found absent."""
    await stage.until_ready()
    before = len(stage.account.orders)
    position_id = str(uuid4())
    stage.line.hang()
    asked = asyncio.create_task(_ask(stage, stage.entry(position_id, _ETH)))

    async def is_sending() -> bool:
        answer: dict[str, Any] = await stage.ask(ListOrders())
        return any(row["status"] in ("sending", "unknown") for row in answer["orders"])

    await stage.until(is_sending, "the entry is on its way")
    await stage.kill()
    await asked
    stage.line.cut()
    await stage.line.restore()
    await stage.start()
    over = await stage.until_over(position_id, within_s=_BACK_WITHIN_S)
    stage.expect(len(stage.account.orders) == before, "the entry reached the venue")
    stage.expect(Decimal(over["entry_quantity"]) == 0, f"ETH entered {over['entry_quantity']}")
    stage.tell("killed before an entry reached the venue: found absent, not sent again")


async def _killed(
    stage: Stage, request: AnyAdminRequest, path: str, has_acted: Callable[[], object]
) -> None:
    """Ask, kill the daemon once the venue has acted and before it has answered, start it again."""
    rule = stage.sandbox.fault("late", path, count=1, delay_ms=_LATE_MS)
    asked = asyncio.create_task(_ask(stage, request))
    await stage.until(lambda: rule.hits and has_acted(), f"the venue acts on {path}")
    await stage.kill()
    await asked
    stage.sandbox.faults.clear()
    await stage.start()


async def _ask(stage: Stage, request: AnyAdminRequest) -> None:
    """Ask a daemon that will not live to answer."""
    try:
        await stage.daemon.ask(request)
    except SilentError:
        return


async def _over(stage: Stage, position_id: str) -> None:
    await stage.until_ready()
    await stage.close(position_id)
    await stage.until_over(position_id, within_s=_BACK_WITHIN_S)


DRILLS = (
    Drill(
        name="kill-9-mid-order",
        injects="SIGKILL between request and answer: of an entry, a stop, a move, an exit",
        run=kill_9_mid_order,
        within_s=150.0,
        unprotected_within_s=5.0,  # a daemon that starts must ask the venue before it knows
    ),
)
