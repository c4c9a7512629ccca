"""A local venue that speaks OKX's REST and websocket protocol (v5), with a ledger of its own.

For practice and for tests. It shares no trading code with the daemon, so that it can judge it.

    async with running(SandboxSettings(balances={"USDT": Decimal(50_000)})) as sandbox:
        sandbox.rest_url, sandbox.ws_url                # http://127.0.0.1:PORT, ws://…/ws/v5
        sandbox.set_price("BTC-USDT", "59000")          # orders fill, stops fire
        sandbox.fault("lost", "POST trade/order", count=3)   # three answers lost after the effect
        sandbox.sockets.cut(); sandbox.sockets.silent = True
        sandbox.venue.account.orders, .algos, .fills, .positions, .assets

Keys: `DEMO_KEY` (a demo key: requests carry `x-simulated-trading: 1`). See `faults` for what can go
wrong, `settings` for what can be set.
"""

from exchanges.sandbox.catalog import Listing, listings
from exchanges.sandbox.faults import Fault
from exchanges.sandbox.gate import DEMO_KEY, Key
from exchanges.sandbox.server import Sandbox, running
from exchanges.sandbox.settings import SandboxSettings

__all__ = [
    "DEMO_KEY",
    "Fault",
    "Key",
    "Listing",
    "Sandbox",
    "SandboxSettings",
    "listings",
    "running",
]
