"""The sandbox venue in memory: its handlers, its ledger and its pushes, without sockets.

Requests come as the adapter makes them and are answered by the same code that answers over HTTP.
Frames are queued for a connection in order and arrive in order, as TCP has it; when, is drawn.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from daemon.simulation.outside import Outside
from exchanges.sandbox.account import Account
from exchanges.sandbox.catalog import listings
from exchanges.sandbox.endpoints import ENDPOINTS, PREFIX, Endpoint
from exchanges.sandbox.judge import judge
from exchanges.sandbox.prices import prefill
from exchanges.sandbox.pushing import Pushing
from exchanges.sandbox.rest import perform
from exchanges.sandbox.settings import SandboxSettings
from exchanges.sandbox.sockets import Socket
from exchanges.sandbox.world import World

_REGULAR_S = 15.0  # between snapshots of account and positions, while somebody listens
_OF_LIFE_S = 60.0  # the candle of the last moment of a life tells of what it saw, too
BASES = ("BTC", "ETH", "SOL")
MAINTENANCE: dict[str, Any] = {"code": "50001", "data": [], "msg": "Service unavailable"}


class SimSocket(Socket):
    """The venue's end of a connection."""

    def __init__(self, path: str, number: int, deliver: Callable[[str | None], None]) -> None:
        nobody: Any = None  # a connection in memory has neither response nor transport
        super().__init__(path, nobody, nobody, f"{number:08x}")
        self._deliver = deliver

    def send(self, message: str) -> None:
        """Put a frame on its way."""
        self._deliver(message)

    def cut(self) -> None:
        """End the connection."""
        self._deliver(None)


class SimVenue:
    """The venue: a market, one account, and what it pushes."""

    def __init__(self, outside: Outside, *, kind: str, quote: Decimal) -> None:
        self.outside = outside
        self.kind = kind
        chosen = tuple(one for one in listings(BASES) if one.is_swap == (kind == "swap"))
        settings = SandboxSettings(
            listings=chosen, balances={"USDT": quote}, seed=outside.seed, quiet_s=0.0
        )
        self.world = World(settings, clock=outside.now_ms)
        self.pushing = Pushing(self.world)
        self.sockets = self.pushing.sockets
        self.names = {one.base: one.inst_id for one in chosen}
        self.requests = 0
        self.asleep_since_s: float | None = None  # nobody watches prices
        self.missed: dict[str, tuple[Decimal, Decimal]] = {}  # extremes meanwhile, of bases
        self._endpoints: dict[str, Endpoint] = {}
        self._number = 0
        prefill(self.world)
        outside.after(_REGULAR_S, self._regular)

    @property
    def account(self) -> Account:
        """The account."""
        return self.world.venue.account

    def endpoint(self, method: str) -> Endpoint:
        """Return what ccxt calls `private_post_trade_order`."""
        found = self._endpoints.get(method)
        if found is None:
            _, verb, rest = method.split("_", 2)
            group, _, name = rest.partition("_")
            found = ENDPOINTS[verb.upper(), f"{PREFIX}{group}/{name.replace('_', '-')}"]
            self._endpoints[method] = found
        return found

    def answer(self, endpoint: Endpoint, fields: Any, account: Account | None = None) -> Any:
        """Do what is asked; return what comes over the wire, made anew each time."""
        self.requests += 1
        self.world.advance()
        if self.world.maintenance:
            return MAINTENANCE
        whose = None if endpoint.public is not None else (account or self.account)
        return perform(self.world, endpoint, whose, fields)[0]

    def set_price(self, base: str, price: Decimal) -> None:
        """Let an instrument trade."""
        self.world.advance()
        self.world.venue.set_price(self.names[base], price)
        since_s = self.asleep_since_s
        if since_s is not None and self.outside.now_s > since_s + _OF_LIFE_S:
            low, high = self.missed.get(base, (price, price))
            self.missed[base] = min(low, price), max(high, price)

    def price(self, base: str) -> Decimal:
        """Return what it costs."""
        return self.world.venue.market.quotes[self.names[base]].last

    def judge(self) -> Mapping[str, Any]:
        """Return what was wrong with how the account was traded."""
        self.world.advance()
        return judge(self.account, self.world.watch)

    def filled_within(self, seconds: float) -> bool:
        """Whether an order of anybody has filled so lately."""
        fills = self.account.fills
        return bool(fills) and self.account.now_ms - fills[-1].at_ms < seconds * 1000

    # --- sockets

    def connect(self, path: str, deliver: Callable[[str | None], None]) -> SimSocket:
        """Open a connection."""
        self._number += 1
        socket = SimSocket(path, self._number, deliver)
        self.sockets.open.append(socket)
        return socket

    def disconnect(self, socket: SimSocket) -> None:
        """Forget a connection that has ended."""
        if socket in self.sockets.open:
            self.sockets.open.remove(socket)

    def take(self, socket: SimSocket, message: str) -> None:
        """Read what a client says."""
        if socket in self.sockets.open:
            self.world.advance()
            self.sockets.take(socket, message)

    def _regular(self) -> None:
        if self.sockets.open:
            self.world.advance()
            self.pushing.regular()
        self.outside.after(_REGULAR_S, self._regular)
