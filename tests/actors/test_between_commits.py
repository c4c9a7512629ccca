"""What happens to a position while the disk is writing: a whole daemon in virtual time.

A commit takes a millisecond here, prices take none: everything said within one instant falls
between two commits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors import names
from daemon.assembly import Ports, assemble, open_store
from daemon.config import load
from daemon.config_file import ConfigFile
from daemon.metrics import Metrics
from domain.commands import (
    EntryRequest,
    ModificationType,
    ModifyProtection,
    ProtectionPlan,
    SizeBy,
)
from domain.ids import MANUAL, PositionId, Symbol
from domain.instrument import Direction
from domain.position import Position, PositionStatus
from domain.position_life import evolve
from exchanges.market import MarketSink
from runtime.chance import SeededChance, SeededIds
from runtime.clocks import VirtualClock
from runtime.disk import RealDisk
from runtime.threads import InlineWorker
from runtime.virtual import VirtualLoop, run_virtual

D = Decimal
BTC = Symbol("BTC/USDT")
ID = PositionId("00000000-0000-0000-0000-000000000001")
COMMIT_S = 0.001
LONG_ENOUGH_S = 0.5
CONFIG = """
market: {source: recorded, symbols: [BTC/USDT]}
paper: {slippage: 0, latency_ms: 0, taker_fee: 0.0005}
"""


class Quotes:
    """A market that says what the test tells it to say."""

    def __init__(self) -> None:
        self.sink: MarketSink | None = None
        self.said = 0

    async def run(self, sink: MarketSink) -> None:
        self.sink = sink
        sink.on_connected()
        await asyncio.Event().wait()

    def say(self, *prices: str) -> None:
        assert self.sink is not None
        for price in prices:
            self.said += 1
            self.sink.on_frame()
            self.sink.on_trade(BTC, price, "1", f"t{self.said}", 1_700_000_000_000 + self.said)


class Desk:
    """The daemon under test."""

    def __init__(self, loop: VirtualLoop, directory: Path) -> None:
        file = directory / "config.yaml"
        file.write_text(CONFIG)
        config = load(ConfigFile(file)).config
        self.store = open_store(config.data_dir, RealDisk())
        self.market = Quotes()
        worker = InlineWorker(loop, COMMIT_S)
        ports = Ports(
            loop=loop,
            clock=VirtualClock(loop, datetime(2026, 1, 2, tzinfo=UTC)),
            chance=SeededChance(1),
            paper_chance=SeededChance(1),
            ids=SeededIds(SeededChance(1)),
            disk=RealDisk(),
            journal_worker=worker,
            paper_worker=worker,
            stream=lambda _world: self.market,
        )
        self.parts = assemble(config, {}, ports, self.store, Metrics())

    @property
    def position(self) -> Position:
        state: Position = self.parts.world.states.latest[names.position(ID)][1]
        return state

    async def open(self, plan: ProtectionPlan) -> None:
        self.parts.start()
        await asyncio.sleep(LONG_ENOUGH_S)
        self.market.say("60000")
        entry = EntryRequest(
            position_id=ID,
            trader=MANUAL,
            symbol=BTC,
            direction=Direction.LONG,
            size_by=SizeBy.QUANTITY,
            size=D("0.01"),
            plan=plan,
        )
        self.tell(names.trader(MANUAL), entry)
        await asyncio.sleep(LONG_ENOUGH_S)
        assert self.position.acknowledged_version == 1

    def tell(self, name: str, message: Any) -> None:
        """Tell an actor, and let everybody act, within the instant."""
        assert self.parts.system.tell(name, message) is True
        self.parts.system.dispatcher.drain()

    def journaled(self) -> Position:
        """Return what the journal says; a closed position is forgotten elsewhere."""
        position = None
        for record in self.store.journal.read():
            if record.stream == names.position(ID):
                event = self.store.registry.codec.decode(
                    record.type, record.schema_version, record.payload
                )
                position = evolve(position, event)
        assert position is not None
        return position

    def exits(self) -> list[tuple[str, str, Decimal]]:
        """Return (exit, trade that fired it, price it filled at)."""
        position = self.journaled()
        assert position.status is PositionStatus.CLOSED
        prices = [fill.price for fill in position.fills[1:]]
        return [
            (each.exit_id, each.trigger.tick_id, price)
            for each, price in zip(position.exits, prices, strict=True)
            if each.trigger is not None
        ]


Play = Callable[[Desk], Coroutine[Any, Any, None]]


@pytest.fixture
def perform(tmp_path: Path) -> Callable[[Play], None]:
    """Run a play with a daemon of its own."""

    def run(play: Play) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            desk = Desk(loop, tmp_path)
            try:
                await play(desk)
                await desk.parts.close(5)
            finally:
                desk.store.close()

        run_virtual(main)

    return run


def test_a_stop_moved_by_breakeven_fires_at_the_very_next_price(perform):
    async def play(desk: Desk) -> None:
        await desk.open(ProtectionPlan(stop_price=D(59_000), breakeven_price=D(60_100)))
        desk.market.say("60100", "60050", "60090")
        await asyncio.sleep(LONG_ENOUGH_S)
        assert desk.exits() == [("stop", "t3", D(60_050))]

    perform(play)


def test_a_stop_that_breakeven_sets_anew_fires_at_the_very_next_price(perform):
    async def play(desk: Desk) -> None:
        await desk.open(ProtectionPlan(breakeven_price=D(60_100)))
        desk.market.say("60100", "60060", "60090")
        await asyncio.sleep(LONG_ENOUGH_S)
        assert desk.exits() == [("stop", "t3", D(60_060))]

    perform(play)


def test_breakeven_does_not_judge_the_price_that_reached_it_again(perform):
    async def play(desk: Desk) -> None:
        await desk.open(ProtectionPlan(stop_price=D(59_000), breakeven_price=D(60_100)))
        desk.market.say("60100")
        await asyncio.sleep(LONG_ENOUGH_S)
        assert desk.position.status is PositionStatus.OPEN_PROTECTED
        assert desk.position.protection.stop is not None
        assert desk.position.protection.stop.price == D(60_060)
        assert desk.position.acknowledged_version == 2

    perform(play)


def test_an_armed_stop_fires_while_a_change_beside_it_is_being_written(perform):
    async def play(desk: Desk) -> None:
        await desk.open(ProtectionPlan(stop_price=D(59_000)))
        add = ModifyProtection(ID, ModificationType.ADD_TP, price=D(61_000), part=D("0.5"))
        desk.tell(names.position(ID), add)
        desk.market.say("58990", "58000")
        await asyncio.sleep(LONG_ENOUGH_S)
        assert desk.exits() == [("stop", "t2", D(58_990))]

    perform(play)


def test_a_change_that_waits_does_not_undo_what_breakeven_armed_at_once(perform):
    async def play(desk: Desk) -> None:
        await desk.open(ProtectionPlan(stop_price=D(59_000), breakeven_price=D(60_100)))
        add = ModifyProtection(ID, ModificationType.ADD_TP, price=D(61_000), part=D("0.5"))
        desk.tell(names.position(ID), add)  # its levels, with the old stop, wait for the disk
        desk.market.say("60100", "60090")
        await asyncio.sleep(LONG_ENOUGH_S)
        desk.market.say("60060")
        await asyncio.sleep(LONG_ENOUGH_S)
        assert desk.exits() == [("stop", "t4", D(60_060))]

    perform(play)


def test_a_target_whose_id_is_not_durable_waits_for_the_disk(perform):
    async def play(desk: Desk) -> None:
        await desk.open(ProtectionPlan(stop_price=D(59_000), breakeven_price=D(60_100)))
        add = ModifyProtection(ID, ModificationType.ADD_TP, price=D(61_000), part=D(1))
        desk.tell(names.position(ID), add)
        desk.market.say("60100")  # arms all levels at once, the one that was not written yet too
        desk.market.say("61000", "61010")
        await asyncio.sleep(LONG_ENOUGH_S)
        assert desk.exits() == [("target-1", "t3", D(61_010))]

    perform(play)
