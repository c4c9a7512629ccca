"""A real process killed in the midst of its commits: what it was told stays true."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from domain.instrument import Direction, Side
from exchanges.paper.ledger import PaperLedger
from exchanges.paper.records import Cash

ROOT = Path(__file__).resolve().parents[3]

# Sends orders without end and prints each id once the venue has answered.
CHILD = """
import asyncio, random, sys, time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from domain.ids import ClientOrderId, PositionId, Symbol
from domain.instrument import Instrument, Kind, Side
from domain.order import OrderTerms, OrderType
from exchanges.paper import PaperRules, PaperVenue
from exchanges.port import Accepted
from runtime.threads import ThreadWorker

class Wall:
    def now(self):
        return datetime.now(UTC)
    def monotonic(self):
        return time.monotonic()

BTC = Instrument(
    symbol=Symbol("BTC"), venue_symbol="BTC", base="BTC", quote="USDT", kind=Kind.SWAP,
    tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), min_quantity=Decimal("0.001"),
    min_notional=Decimal(0),
)

async def send(venue, worker_number):
    for number in range(1_000_000):
        order_id = f"w{worker_number}n{number}"
        side = Side.BUY if number % 4 in (0, 3) else Side.SELL  # enter long and short, leave both
        terms = OrderTerms(
            client_order_id=ClientOrderId(order_id), position_id=PositionId("p"), symbol=BTC.symbol,
            side=side, type=OrderType.MARKET, quantity=Decimal("0.001"),
            reduce_only=number % 4 >= 2,
        )
        if isinstance(await venue.submit(terms), Accepted):
            print(order_id, flush=True)

async def main():
    loop = asyncio.get_running_loop()
    rules = PaperRules(latency_low_s=0.0, latency_high_s=0.0)
    venue = PaperVenue(
        Wall(), random.Random(1), ThreadWorker(loop), loop,
        ledger_path=Path(sys.argv[1]), instruments=(BTC,), rules=rules,
    )
    await venue.start(lambda update: None)
    venue.on_trade(BTC.symbol, "100", "1", "t", 0)
    print("ready", flush=True)
    await asyncio.gather(*(send(venue, number) for number in range(64)))

asyncio.run(main())
"""


def acknowledged_until_killed(path, lines):
    """Run the child until it has printed so many lines, kill it, and return all that it printed."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with child:
        printed = [child.stdout.readline() for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        printed += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    assert printed[0] == "ready\n"
    return [line.strip() for line in printed[1:] if line.endswith("\n")]


def sides(fills):
    """What is left on each side that was ever entered; the number in an id says what it meant."""
    held = {}
    for fill in fills:
        step = int(fill.client_order_id.partition("n")[2]) % 4
        direction = Direction.LONG if step in {0, 2} else Direction.SHORT
        change = fill.quantity if step in {0, 1} else -fill.quantity
        held[direction] = held.get(direction, 0) + change
    return held


def spent(fills):
    return sum(fill.quantity * fill.price * (1 if fill.side is Side.BUY else -1) for fill in fills)


@pytest.mark.parametrize("lines", [2, 85, 118, 152])
def test_what_was_acknowledged_before_sigkill_is_in_the_ledger_and_its_books_agree(tmp_path, lines):
    path = tmp_path / "paper.db"
    ledger = PaperLedger(path, Cash(amount=Decimal(10_000)), "USDT", 100_000)

    acknowledged = acknowledged_until_killed(path, lines)
    records = ledger.open()
    fills = ledger.fills(None)
    ledger.close()

    assert set(acknowledged) <= {fill.client_order_id for fill in fills}
    assert set(acknowledged) <= set(records.recent_ids)
    assert len({fill.trade_id for fill in fills}) == len(fills) == records.cash.trades
    assert {held.direction: held.quantity for held in records.holdings} == sides(fills)
    cost = sum(held.direction.sign * held.cost for held in records.holdings)
    assert records.cash.realized == cost - spent(fills)
    assert records.cash.fees == sum(fill.fee.amount for fill in fills)
    assert records.cash.amount == 10_000 + records.cash.realized - records.cash.fees
