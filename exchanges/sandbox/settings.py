"""How a sandbox is set up."""

from decimal import Decimal
from pathlib import Path

import msgspec

from exchanges.sandbox.catalog import Listing, listings
from exchanges.sandbox.gate import DEMO_KEY, Key

LOOPBACK = "127.0.0.1"


class SandboxSettings(msgspec.Struct, frozen=True):
    """All have usable defaults: a free port, the demo key, 10,000 USDT, prices that stand still."""

    host: str = LOOPBACK
    port: int = 0  # 0: a free one
    key: Key = DEMO_KEY
    balances: dict[str, Decimal] = msgspec.field(default_factory=lambda: {"USDT": Decimal(10_000)})
    listings: tuple[Listing, ...] = msgspec.field(default_factory=listings)
    ticks_per_second: float = 0.0  # per base asset; 0: prices move only by `set_price`
    quiet_s: float = 1.0  # a price that stands still trades again so often; 0: never
    volatility: float = 0.0004  # of the log price, per square root of a second
    seed: int = 1
    history_minutes: int = 120  # candles there are at the start
    recorded: tuple[Path, ...] = ()  # prices come from these files instead
    limits: bool = False  # rate limits per endpoint
    regular_s: float = 5.0  # between two snapshots of account and positions
    idle_s: float = 30.0  # a websocket that says nothing for so long is cut
    position_mode: str = "net_mode"  # or long_short_mode
