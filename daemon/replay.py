"""Replay: the very same actors on recorded frames, in virtual time, with a fresh database.

Time is the recording's: it jumps from frame to frame. Storage runs inline with a virtual latency,
chance is seeded. The same files, configuration and seed give the same journal, to the last hash.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from daemon.assembly import Assembly, Ports, assemble, open_store
from daemon.config import Loaded
from daemon.config_models import Config
from daemon.config_strategies import strategies_of
from daemon.config_venues import PAPER
from daemon.logs import Logs
from daemon.markets import recorded
from daemon.metrics import Metrics
from daemon.view_text import computed
from domain.ids import TraderName
from domain.money import ZERO, plain
from domain.position import Position
from exchanges.recording import RecordingError, first_stamp_ns, venue_of
from runtime.chance import SeededChance, SeededIds
from runtime.clocks import VirtualClock
from runtime.disk import RealDisk
from runtime.threads import InlineWorker
from runtime.virtual import VirtualLoop
from storage.store import Store
from strategies.base import Strategy

COMMIT_LATENCY_S = 0.0005  # virtual
SETTLES_WITHIN_S = 2.0  # virtual seconds after the last frame, for orders under way
_NS = 1_000_000_000


class Exit(msgspec.Struct, frozen=True):
    """An exit that fired, and the frame that fired it."""

    position: str
    reason: str
    frame: int  # that fired it, or the last before it did; 1 is the first line of the file
    price: str | None  # the price that crossed, or the last price when something else fired it
    level: str | None  # that was crossed; null: no price fired it
    tick_id: str | None
    quantity: str
    fill_price: str | None  # average
    symbol: str
    trader: str


class Report(msgspec.Struct, frozen=True):
    """What a replay came to."""

    frames: int
    ticks: int
    positions_opened: int
    positions_closed: int
    exits: tuple[Exit, ...]
    pnl: str  # quote, realized, net of fees
    unrealized_pnl: str  # quote, of what is still open at the end
    journal_hash: str
    events: int
    seconds: float  # virtual


def replay(files: Sequence[Path], loaded: Loaded, *, seed: int | None = None) -> dict[str, object]:
    """Run the daemon on recorded frames and return a `Report` as JSON values.

    Raises `ConfigError`, `RecordingError`, `StartError` for what cannot be run.
    """
    strategies = strategies_of(loaded)
    logs = Logs(level="error", format="console")
    logs.start()
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-replay-") as directory:
            account = loaded.config.account.model_copy(update={"venue": PAPER})
            config = loaded.config.model_copy(
                update={"data_dir": Path(directory), "account": account}
            )
            loop = VirtualLoop()
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                report = runner.run(
                    _replay(
                        loop, config, strategies, files, config.paper.seed if seed is None else seed
                    )
                )
                return msgspec.to_builtins(report)  # type: ignore[no-any-return]
    finally:
        logs.close()


async def _replay(
    loop: VirtualLoop,
    config: Config,
    strategies: Mapping[TraderName, Strategy],
    files: Sequence[Path],
    seed: int,
) -> Report:
    venue = venue_of(files)
    begin = datetime.fromtimestamp(first_stamp_ns(files) / _NS, UTC)
    chance = SeededChance(seed)
    disk = RealDisk()
    store = open_store(config.data_dir, disk)
    worker = InlineWorker(loop, COMMIT_LATENCY_S)
    ports = Ports(
        loop=loop,
        clock=VirtualClock(loop, begin),
        chance=chance,
        paper_chance=SeededChance(seed),
        ids=SeededIds(SeededChance(seed)),
        disk=disk,
        journal_worker=worker,
        paper_worker=worker,
        stream=recorded(files, venue),
        recorded_at=venue,
    )
    began_s = loop.time()
    try:
        parts = assemble(config, strategies, ports, store, Metrics())
        ended = parts.world.on_stream_end = loop.create_future()
        parts.start()
        ends: tuple[asyncio.Future[Any], ...] = (ended, parts.system.failed)
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in done:
            end.result()  # raises what went wrong
        await asyncio.sleep(SETTLES_WITHIN_S)
        feed = parts.actor("feed")
        frames, ticks = parts.world.prices.frames, sum(line.ticks for line in feed.lines.values())
        await parts.close(SETTLES_WITHIN_S)
        if not ticks:
            watched = ", ".join(each.venue_symbol for each in parts.world.instruments.values())
            why = f"none of its frames has a price of {watched}; see market.symbols and market.kind"
            raise RecordingError(files[0], 0, why)
        return _report(parts, store, frames, ticks, loop.time() - began_s)
    finally:
        store.close()


def _report(parts: Assembly, store: Store, frames: int, ticks: int, seconds: float) -> Report:
    positions: dict[str, Position] = {}
    evolve = store.registry.kind_of("position/").evolve
    for record in store.journal.read():
        if not record.stream.startswith("position/"):
            continue
        event = store.registry.codec.decode(record.type, record.schema_version, record.payload)
        positions[record.stream] = evolve(positions.get(record.stream), event)
    exits = [one for position in positions.values() for one in _exits(position)]
    realized = sum((position.realized_pnl for position in positions.values()), ZERO)
    marks = parts.world.prices.marks()
    unrealized = sum(
        (
            position.unrealized_pnl(marks[position.instrument.symbol])
            for position in positions.values()
            if position.remaining
        ),
        ZERO,
    )
    return Report(
        frames=frames,
        ticks=ticks,
        positions_opened=sum(1 for each in positions.values() if each.fills),
        positions_closed=sum(1 for each in positions.values() if each.fills and each.is_closed),
        exits=tuple(exits),
        pnl=computed(realized),
        unrealized_pnl=computed(unrealized),
        journal_hash=store.journal.journal_hash,
        events=store.journal.tail.seq,
        seconds=round(seconds, 3),
    )


def _exits(position: Position) -> list[Exit]:
    found = []
    for order in position.exits:
        fills = [each for each in position.fills if each.client_order_id == order.client_order_id]
        quantity = sum((fill.quantity for fill in fills), ZERO)
        value = sum((fill.quantity * fill.price for fill in fills), ZERO)
        trigger = order.trigger
        found.append(
            Exit(
                position=position.id,
                reason=order.reason.value,
                frame=order.frame,
                price=None if order.price is None else plain(order.price),
                level=None if trigger is None else plain(trigger.level),
                tick_id=None if trigger is None else trigger.tick_id,
                quantity=plain(order.quantity),
                fill_price=_average(value, quantity),
                symbol=position.instrument.symbol,
                trader=position.trader,
            )
        )
    return found


def _average(value: Decimal, quantity: Decimal) -> str | None:
    return computed(value / quantity) if quantity else None
