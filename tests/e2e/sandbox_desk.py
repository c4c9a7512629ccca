"""A sandbox venue in a thread of its own, and the configuration of a daemon that trades there.

The sandbox runs on its own event loop. Whatever touches it goes through `do`, which runs a function
on that loop and waits for it. Prices are told again and again, so that no stream is silent; where
they walk by themselves nobody tells them.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeVar

from exchanges.sandbox import DEMO_KEY, Key, Sandbox, SandboxSettings, running

T = TypeVar("T")
TOLD_EVERY_S = 0.1
WITHIN_S = 10.0
CONFIG = """
account: {{name: main, quote: USDT, venue: okx-demo}}
market: {{source: okx, kind: {kind}, symbols: [{symbols}]}}
venues:
  okx-demo:
    exchange: okx
    environment: {environment}
    urls: {{rest: "{rest}", ws: "{ws}"}}
metrics: {{enabled: false}}
log: {{format: json}}
{more}
"""


class Desk:
    """A sandbox that runs elsewhere in this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sandbox: Sandbox) -> None:
        self.loop = loop
        self.sandbox = sandbox
        self.prices: dict[str, Decimal] = {}
        self.rest_url, self.ws_url = sandbox.rest_url, sandbox.ws_url
        self.port = sandbox.port

    def do(self, what: Callable[[], T]) -> T:
        """Run a function where the sandbox lives; return what it returns."""

        async def done() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(WITHIN_S)

    def price(self, inst_id: str, last: str) -> None:
        """Let an instrument trade at this price from now on."""
        self.do(lambda: self._move(inst_id, Decimal(last)))

    def _move(self, inst_id: str, last: Decimal) -> None:
        self.prices[inst_id] = last
        self.sandbox.set_price(inst_id, last)

    @property
    def account(self) -> Any:
        """The account that the keys are of; read it through `do`."""
        return self.sandbox.venue.account

    def config(
        self,
        *symbols: str,
        kind: str = "swap",
        environment: str = "demo",
        more: str = "",
    ) -> str:
        """Return the configuration of a daemon that trades here."""
        return CONFIG.format(
            kind=kind,
            symbols=", ".join(symbols or ("BTC/USDT",)),
            environment=environment,
            rest=self.rest_url,
            ws=self.ws_url,
            more=more,
        )


@contextmanager
def sandbox_desk(settings: SandboxSettings | None = None) -> Iterator[Desk]:
    """Run a sandbox while the context lasts."""
    found: list[Desk] = []
    is_up, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running(settings) as sandbox:
            desk = Desk(asyncio.get_running_loop(), sandbox)
            for listing in sandbox.world.settings.listings:
                desk.prices[listing.inst_id] = listing.start_price
            found.append(desk)
            is_up.set()
            walks = sandbox.world.settings.ticks_per_second > 0
            while not ended.is_set():
                for inst_id, last in () if walks else desk.prices.items():
                    sandbox.set_price(inst_id, last)
                await asyncio.sleep(TOLD_EVERY_S)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert is_up.wait(WITHIN_S), "the sandbox is not up"
    try:
        yield found[0]
    finally:
        ended.set()
        thread.join(WITHIN_S)


def key_variables(key: Key = DEMO_KEY) -> dict[str, str]:
    """Return the variables in which a daemon finds a key."""
    return {
        "OKX_API_KEY": key.key,
        "OKX_API_SECRET": key.secret,
        "OKX_API_PASSPHRASE": key.passphrase,
    }
