"""Drills of answers that do not come, or lie: the order may be there all the same."""

import asyncio
from uuid import uuid4

from daemon.drills.drill import Drill, FailedError
from daemon.drills.stage import SYMBOLS, Stage
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.sandbox.faults import ON_PUSHES, Kind

_ENTERED_WITHIN_S = 45.0
_DEAF_S = 4.0
_PUSHES_GO_WRONG: tuple[Kind, ...] = ("drop", "duplicate", "reorder", "delay")


async def lost_ack_storm(stage: Stage) -> None:
    """Half of all answers are lost after the venue has acted; pushes are lost and late as well."""
    _spoil(stage, "lost", "POST trade/*", 0.5)
    for kind in _PUSHES_GO_WRONG:
        _spoil(stage, kind, "orders*", 0.1, delay_ms=400)
    await _storm(stage, rounds=1 if stage.is_small else 4)


async def html_answers(stage: Stage) -> None:
    """Pages of HTML instead of answers, with good and bad status, done or not; reads as well."""
    for status in (200, 502, 524):
        _spoil(stage, "html", "POST trade/*", 0.12, status=status, acts=True)
        _spoil(stage, "html", "POST trade/*", 0.05, status=status)
        _spoil(stage, "html", "GET *", 0.05, status=status)
    await _storm(stage, rounds=1 if stage.is_small else 3)


async def _storm(stage: Stage, rounds: int) -> None:
    """Trade whole lives under faults, in all symbols at once."""
    symbols = SYMBOLS[:2] if stage.is_small else SYMBOLS
    for number in range(rounds):
        direction = Direction.LONG if number % 2 == 0 else Direction.SHORT
        entered = await asyncio.gather(*(_enter(stage, each, direction) for each in symbols))
        if number == 0:
            await _deafen(stage)
        for position_id, symbol in zip(entered, symbols, strict=True):
            await stage.move_stop(position_id, stage.away(symbol, direction, "0.015"))
        await asyncio.gather(*(stage.until_guarded(each, within_s=30.0) for each in entered))
        await asyncio.gather(*(stage.close(each) for each in entered))
        for each in entered:
            await stage.until_over(each, within_s=30.0)
    hits = sum(rule.hits for rule in stage.sandbox.faults.rules if rule.kind not in ON_PUSHES)
    stage.sandbox.faults.clear()
    stage.expect(hits, "no answer was spoiled")
    stage.tell(f"{len(symbols) * rounds} positions, {hits} answers spoiled")


async def _enter(stage: Stage, symbol: str, direction: Direction) -> str:
    """Open a position, with other ids until an entry is known to have filled."""
    deadline = asyncio.get_running_loop().time() + _ENTERED_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        position_id = str(uuid4())
        answer = await stage.ask_anyhow(stage.entry(position_id, symbol, direction))
        if isinstance(answer, Refusal):
            await asyncio.sleep(0.2)  # a cause stands against entries, as it should
            continue

        async def is_settled(named: str = position_id) -> bool:
            return bool((await stage.position(named))["status"] != "entry_pending")

        await stage.until(is_settled, f"the entry of {symbol} is known", within_s=30.0)
        if (await stage.position(position_id))["closed_at"] is None:
            return position_id
    raise FailedError(f"{symbol} could not be entered within {_ENTERED_WITHIN_S:.0f} s")


async def _deafen(stage: Stage) -> None:
    """Let all reads of the account fail for a while."""
    rule = stage.sandbox.fault("unsent", "GET trade/*", count=None)
    await asyncio.sleep(_DEAF_S / 2 if stage.is_small else _DEAF_S)
    stage.sandbox.faults.clear(rule.number)


def _spoil(stage: Stage, kind: Kind, match: str, share: float, **more: object) -> None:
    stage.sandbox.fault(kind, match, count=None, probability=share, **more)


DRILLS = (
    Drill(
        name="lost-ack-storm",
        injects="half of all answers lost after acceptance, pushes lost and late, reads fail",
        run=lost_ack_storm,
        within_s=120.0,
        unprotected_within_s=2.0,  # answer and push lost: the fill is asked for after half a second
    ),
    Drill(
        name="html-answers",
        injects="pages of HTML with 200, 502 and 524 instead of answers",
        run=html_answers,
        within_s=120.0,
        counts_client_guard=True,
    ),
)
