"""Where a daemon that is killed trades: at its own paper venue, or at the sandbox.

The paper venue dies with the daemon and is read from its file; the sandbox lives on, so what it did
meanwhile counts, and it judges by its own ledger: doubled, oversold, sent again, without a stop.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from actors.doubting import ACCEPTANCE_WINDOW_S
from daemon.drills.exposure import EVERYTHING, Exposure
from domain.ids import ClientOrderId, identity_of
from exchanges.sandbox import SandboxSettings
from exchanges.sandbox.account import LONG_SHORT, Account
from exchanges.sandbox.judge import intent_of, is_ours
from exchanges.sandbox.records import Order
from tests.e2e.crash_ledger import Ledger, VenueFill, check_quantities, read_ledger
from tests.e2e.crash_promises import Book
from tests.e2e.crash_scale import PAPER_SCALE, SANDBOX_SCALE, Scale
from tests.e2e.sandbox_desk import Desk, key_variables, sandbox_desk

MONEY = Decimal(1_000_000)
# Of a daemon that lives and has asked the venue: killed between a stop and an exit it must first
# prove the exit absent.
UNPROTECTED_WITHIN_S = ACCEPTANCE_WINDOW_S + 2.0
STRATEGY = "crash_strategy.py"
_OURS = ("HOLDFAST_", "OKX_")
_COMMON = """\
data_dir: {data_dir}
limits: {{max_positions: 200, daily_drawdown_ratio: 100%, total_drawdown_ratio: 100%}}
protection: {{automatic_modification_every_s: 0}}
journal: {{snapshot_every_events: {snapshot_every_events}, snapshot_every_s: {snapshot_every_s},
  min_free_mb: 1}}
log: {{format: json}}
"""
_PAPER = """\
market:
  source: simulated
  symbols: [BTC/USDT, ETH/USDT, SOL/USDT, XRP/USDT, DOGE/USDT]
  seed: {seed}
  ticks_per_second: 50
paper:
  balance: 1000000
  slippage: [0%, 0.002%]
  latency_ms: [2, 40]
  maker_fee: 0.0005%
  taker_fee: 0.001%
  partial_fill_chance: 0.25
  reject_chance: 0.02
  seed: {seed}
metrics: {{port: 0}}
traders:
  - name: restless
    strategy: "./{strategy}:Restless"
    symbols: [BTC/USDT, ETH/USDT, SOL/USDT]
    timeframe: 1s
    size: {{by: notional, value: 300}}
    limits: {{max_positions: 5}}
  - name: nervous
    strategy: "./{strategy}:Restless"
    symbols: [XRP/USDT, DOGE/USDT]
    timeframe: 1s
    parameters: {{stop_ratio: 0.0006, trail_ratio: 0.0008}}
    size: {{by: notional, value: 200}}
    limits: {{max_positions: 5}}
  - name: cross
    strategy: ema-cross
    symbols: [BTC/USDT, SOL/USDT]
    timeframe: 1s
    parameters: {{fast: 2, slow: 4, atr_bars: 3}}
    size: {{by: notional, value: 250}}
    limits: {{max_positions: 5}}
"""
_SANDBOX = """\
account: {{ name: main, quote: USDT, venue: sandbox }}
venues:
  sandbox:
    exchange: okx
    environment: demo
    urls: {{ rest: "{rest}", ws: "{ws}" }}
market:
  source: okx
  kind: swap
  symbols: [BTC/USDT, ETH/USDT, SOL/USDT, XRP/USDT, DOGE/USDT]
metrics: {{ enabled: false }}
"""


class Ground(Protocol):
    """What a drill has to know of a venue."""

    venue: str  # "paper" or "sandbox"
    scale: Scale

    def config(self, data_dir: Path, seed: int, round_: int, snapshot_s: float) -> str:
        """Return the configuration of the daemon's life number `round_`."""

    def variables(self) -> dict[str, str]:
        """Return the daemon's environment."""

    def ledger(self, data_dir: Path, scratch: Path) -> Ledger:
        """Return the venue's own word, while no daemon runs."""

    def died(self) -> None:
        """Nobody guards, until `back`."""

    def back(self) -> None:
        """It answers again."""

    def asked(self, ready: datetime, told: datetime) -> None:
        """A daemon that was ready had asked the venue, and knew what is there, at `told`."""

    def judge(self, book: Book) -> None:
        """Blame what the venue itself saw."""


class PaperGround:
    """The daemon's own venue."""

    venue = "paper"
    scale = PAPER_SCALE

    def config(self, data_dir: Path, seed: int, round_: int, snapshot_s: float) -> str:
        """Every time the market goes another way."""
        events = 1500 if snapshot_s > 1 else 150
        common = _COMMON.format(
            data_dir=data_dir, snapshot_every_events=events, snapshot_every_s=snapshot_s
        )
        return common + _PAPER.format(seed=seed * 1000 + round_, strategy=STRATEGY)

    def variables(self) -> dict[str, str]:
        return _own()

    def ledger(self, data_dir: Path, scratch: Path) -> Ledger:
        return read_ledger(data_dir, scratch)

    def died(self) -> None:
        """It died with it."""

    def back(self) -> None:
        """It came back with it."""

    def asked(self, ready: datetime, told: datetime) -> None:
        """Its venue is in the same process."""

    def judge(self, book: Book) -> None:
        """Its ledger is all it says."""


class SandboxGround:
    """A venue that lives on."""

    venue = "sandbox"
    scale = SANDBOX_SCALE

    def __init__(self, desk: Desk, rest_url: str = "", ws_url: str = "") -> None:
        self.desk = desk
        self.rest_url, self.ws_url = rest_url or desk.rest_url, ws_url or desk.ws_url
        self.exposure = Exposure()
        self.longest_s = 0.0
        self._blamed: set[tuple[str, int]] = set()

    def config(self, data_dir: Path, seed: int, round_: int, snapshot_s: float) -> str:
        events = 1500 if snapshot_s > 1 else 150
        common = _COMMON.format(
            data_dir=data_dir, snapshot_every_events=events, snapshot_every_s=snapshot_s
        )
        return common + _SANDBOX.format(rest=self.rest_url, ws=self.ws_url)

    def variables(self) -> dict[str, str]:
        return _own() | key_variables()

    def ledger(self, data_dir: Path, scratch: Path) -> Ledger:
        return self.desk.do(lambda: ledger_of(self.desk.account))

    def died(self) -> None:
        self.exposure.begin(EVERYTHING, self._now_ms())

    def back(self) -> None:
        self.exposure.end(EVERYTHING, self._now_ms())

    def asked(self, ready: datetime, told: datetime) -> None:
        """Before that nothing can be sent: how long it takes is a figure of its own."""
        span = round(ready.timestamp() * 1000), round(told.timestamp() * 1000)
        self.exposure.spans.append((EVERYTHING, span))

    def judge(self, book: Book) -> None:
        found: dict[str, Any] = self.desk.do(self.desk.sandbox.judge)
        for row in found["duplicates"]:
            book.blame("duplicated", f"at the venue {row}")
        for row in found["oversold"]:
            book.blame("duplicated", f"at the venue {row}")
        for order_id in found["resent"]:
            book.blame("duplicated", f"{order_id} was sent again")
        now_ms = self._now_ms()
        gaps = self.desk.do(lambda: list(self.desk.sandbox.world.watch.gaps))
        for gap in gaps:
            if (gap.inst_id, gap.since_ms) in self._blamed:
                continue
            bare = self.exposure.longest([gap], now_ms)
            self.longest_s = max(self.longest_s, bare.seconds)
            if bare.seconds > UNPROTECTED_WITHIN_S:
                self._blamed.add((gap.inst_id, gap.since_ms))
                book.blame("unprotected", f"at the venue: {bare}")

    def _now_ms(self) -> int:
        def now_ms() -> int:
            self.desk.sandbox.world.advance()
            return int(self.desk.account.now_ms)

        return self.desk.do(now_ms)


@contextmanager
def sandbox_ground(seed: int) -> Iterator[SandboxGround]:
    """Run a sandbox whose prices walk, as long as the context lasts."""
    settings = SandboxSettings(
        balances={"USDT": MONEY},
        position_mode=LONG_SHORT,  # long and short of a symbol beside each other, as with paper
        ticks_per_second=10.0,
        volatility=0.0004,
        seed=seed,
    )
    with sandbox_desk(settings) as desk:
        yield SandboxGround(desk)


def _own() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def ledger_of(account: Account) -> Ledger:
    """Return what the sandbox booked, as a judge of the daemon reads it; quantities in base."""
    ledger = Ledger(cash=account.assets["USDT"].cash)
    for order in account.orders.values():
        order_id = intent_of(order)
        identity = identity_of(ClientOrderId(order_id)) if is_ours(order_id) else None
        if identity is None:
            ledger.lost.append(f"order {order.order_id} at the venue names no position")
            continue
        if order_id in ledger.orders:
            ledger.duplicated.append(f"two orders {order_id} at the venue")
        position_id = str(identity.position_id)
        ledger.orders[order_id] = (position_id, identity.leg, _base(order, order.size))
        for fill in order.fills:
            booked = VenueFill(
                trade_id=f"{order.listing.inst_id}:{fill.trade_id}",
                order_id=order_id,
                position_id=position_id,
                leg=identity.leg,
                symbol=order.listing.inst_id,
                side=order.side,
                quantity=_base(order, fill.size),
                price=fill.price,
                fee=-fill.fee,
            )
            if booked.trade_id in ledger.fills:
                ledger.duplicated.append(f"two fills {booked.trade_id} at the venue")
            ledger.fills[booked.trade_id] = booked
            ledger.of_position[position_id].append(booked)
    check_quantities(ledger)
    return ledger


def _base(order: Order, size: Decimal) -> Decimal:
    return size * order.listing.contract_value
