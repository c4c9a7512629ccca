"""Requests to a venue through ccxt, which signs and sends them; what comes back is judged here.

Two connections: one for orders and cancels, one for reads, so that no read delays an exit. ccxt's
exceptions and its reading of answers are not used, since they take pages of HTML for orders and
lost answers for failures: of each request there is the JSON that came, or `Silence`, which says
whether any byte of the request left this computer.

    budget -> (clock) -> ccxt -> the venue -> judge -> breaker

A request that the venue turned away at the door (too often, clock skew) is sent again while its
deadline lasts; nothing else ever is. Nothing here knows which venue it is: a `Judge` does.
"""

import asyncio
import gc
import importlib
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import orjson
import structlog

from exchanges.breaker import Breaker, VenueHealth
from exchanges.budget import Budget, Limit
from exchanges.real_http import proxy_for
from exchanges.real_net import reason_of
from exchanges.rest import excerpt
from exchanges.verdict import Verdict
from runtime.ports import Clock

if TYPE_CHECKING:
    from aiohttp import ClientSession

log = structlog.get_logger("trade.execution")

_IDLE_S = 15.0  # how long a connection waits for its next request
_MAX_ROUND_TRIP_S = 2.0  # a slower measurement says too little about a clock
_MAX_BYTES = 16 * 2**20  # of an answer
_BROKEN = 500  # from here on a status says that nobody knows


class Trip:
    """What is known of one request on its way."""

    __slots__ = ("left", "left_s", "status")

    def __init__(self) -> None:
        self.left = False
        self.left_s = 0.0  # when its first byte did, on the monotonic clock of the process
        self.status: int | None = None


_trip: ContextVar[Trip | None] = ContextVar("trip", default=None)


def current_trip() -> Trip | None:
    """Return what is known of the request that is being sent, for whoever carries it."""
    return _trip.get()


class Endpoint(msgspec.Struct, frozen=True):
    """One of a venue's addresses."""

    method: str  # ccxt's name of it: "private_post_trade_order"
    limit: Limit
    for_orders: bool = False  # goes over the connection that is kept for orders and cancels
    counted_by: str = ""  # the parameter by which the venue counts apart, "instId"
    proves: bool = True  # whether its answer shows that the venue works


class Reply(msgspec.Struct, frozen=True):
    """JSON that the venue sent, as it came."""

    payload: Any
    verdict: Verdict


class Silence(msgspec.Struct, frozen=True):
    """No usable answer."""

    why: str
    left: bool  # whether a byte of the request may have left; if not, it never happened
    status: int | None = None  # of HTTP, when an answer began


class Judge(Protocol):
    """What the wire has to know of a venue."""

    exchange_id: str  # ccxt's
    time: Endpoint  # where the venue tells its time; needs no login
    deadline_header: str  # says until when, in ms, the venue may take a request of …
    deadline_paths: frozenset[str]  # … these

    def verdict(self, payload: Any) -> Verdict:
        """Say what an answer means for its request."""

    def time_ms(self, payload: Any) -> int | None:
        """Read the answer of `time`; None when it is none."""


class WireSettings(msgspec.Struct, frozen=True):
    """Where the venue is, and who we are there."""

    credentials: Mapping[str, str]  # as ccxt names them: apiKey, secret, password
    rest_url: str
    is_demo: bool
    read_within_s: float = 3.0
    order_within_s: float = 4.0  # less than whoever sent it waits

    def __repr__(self) -> str:
        """Show no secret."""
        return f"WireSettings(rest_url={self.rest_url!r}, is_demo={self.is_demo})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show no secret."""
        return [("rest_url", self.rest_url), ("is_demo", self.is_demo)]


class Wire:
    """One login at one venue."""

    def __init__(self, settings: WireSettings, clock: Clock, judge: Judge) -> None:
        """Prepare; nothing is imported or sent before `start`."""
        self.settings = settings
        self.order_breaker = Breaker()
        self.read_breaker = Breaker()
        self.budget = Budget()
        self.clock_offset_s: float | None = None
        self._round_trip_s: float | None = None
        self._venue_s: float | None = None  # the venue's time at 0 of our monotonic clock
        self._clock = clock
        self._judge = judge
        self._starting: asyncio.Task[None] | None = None
        self._is_closed = False
        self._orders: Any = None
        self._reads: Any = None
        self._sessions: list[ClientSession] = []
        self.last_left_s = 0.0  # when the first byte of the latest order did
        self._lost: tuple[type[BaseException], ...] = (OSError, ValueError, RecursionError)

    async def start(self) -> None:
        """Load ccxt, off the loop's thread. Once: whoever calls again waits for the same."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def close(self) -> None:
        """Disconnect. What is on its way stays unanswered."""
        self._is_closed = True
        if self._starting is not None:
            await self._starting
        for library in (self._orders, self._reads):
            if library is not None:
                await library.close()
        for session in self._sessions:
            await session.close()

    @property
    def breaker(self) -> Breaker:
        """The breaker that is open, that of orders first; a closed one when none is."""
        reads_only = self.read_breaker.is_open and not self.order_breaker.is_open
        return self.read_breaker if reads_only else self.order_breaker

    def health(self) -> VenueHealth:
        """Return how it is doing."""
        breaker = self.breaker
        return VenueHealth(
            state=breaker.state,
            since=breaker.since,
            why=breaker.why if breaker.is_open else "",
            clock_offset_s=self.clock_offset_s,
            round_trip_s=self._round_trip_s,
            budget_used=self.budget.used(self._clock.monotonic()),
            started=self._orders is not None,
        )

    async def ask(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, Any] | list[Any] | None = None,
        *,
        urgent: bool = False,
        within_s: float | None = None,
    ) -> Reply | Silence:
        """Send a request and return what came back. `urgent` may use the reserved share."""
        if within_s is None:
            orders = endpoint.for_orders
            within_s = self.settings.order_within_s if orders else self.settings.read_within_s
        trip = Trip()
        _trip.set(trip)
        until_s = self._clock.monotonic() + within_s
        try:
            async with asyncio.timeout(within_s):
                return await self._ask(endpoint, parameters, until_s, trip, urgent=urgent)
        except TimeoutError:
            silence = Silence(f"no answer within {within_s:.1f} s", trip.left, trip.status)
        self._failed(endpoint, silence.why)
        return silence

    async def measure_clock(self) -> bool:
        """Measure the venue's clock against ours over the connection of orders, which warms it.

        Returns whether it worked; the last good measurement stays otherwise.
        """
        before_s, before = self._clock.monotonic(), self._clock.now()
        reply = await self.ask(self._judge.time, within_s=self.settings.read_within_s)
        round_trip_s = self._clock.monotonic() - before_s
        if isinstance(reply, Silence):
            return False
        venue_ms = self._judge.time_ms(reply.payload)
        if venue_ms is None or round_trip_s > _MAX_ROUND_TRIP_S:
            return False
        self._round_trip_s = round_trip_s
        self.clock_offset_s = venue_ms / 1000 - before.timestamp() - round_trip_s / 2
        self._venue_s = venue_ms / 1000 - before_s - round_trip_s / 2
        for library in (self._orders, self._reads):
            library.options["timeDifference"] = round(-self.clock_offset_s * 1000)
        return True

    async def _ask(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, Any] | list[Any] | None,
        until_s: float,
        trip: Trip,
        *,
        urgent: bool,
    ) -> Reply | Silence:
        if self._starting is not None:
            await asyncio.shield(self._starting)
        is_corrected = False
        key = _key_of(endpoint, parameters)
        while True:
            library = self._orders if endpoint.for_orders else self._reads
            if library is None or self._is_closed:
                return Silence("not connected", left=False)
            now_s = self._clock.monotonic()
            wait_s = self.budget.take(endpoint.limit, now_s, urgent=urgent, key=key)
            if wait_s > 0:
                if now_s + wait_s >= until_s:
                    return Silence("our own rate budget is used up", left=False)
                await asyncio.sleep(wait_s)
                continue
            trip.left, trip.status = False, None
            said = await self._call(library, endpoint.method, parameters, trip)
            if trip.left and endpoint.for_orders:
                self.last_left_s = trip.left_s
            if isinstance(said, Silence):
                self._failed(endpoint, said.why)
                return said
            verdict = said.verdict
            if verdict is Verdict.DOWN:
                self._failed(endpoint, f"the venue says {excerpt(orjson.dumps(said.payload))}")
                return said
            if endpoint.proves:
                self._answered(endpoint)
            if verdict is Verdict.LIMITED:
                now_s = self._clock.monotonic()
                self.budget.refused(endpoint.limit, now_s, key)
                if now_s + endpoint.limit.window_s / 4 < until_s:
                    continue  # it was turned away at the door
            elif verdict is Verdict.SKEWED and not is_corrected:
                is_corrected = True
                is_measured = await self.measure_clock()
                _trip.set(trip)
                if is_measured:
                    continue
            return said

    async def _call(
        self, library: Any, method: str, parameters: Any, trip: Trip
    ) -> Reply | Silence:
        try:
            came = await getattr(library, method)({} if parameters is None else parameters)
        except self._lost as error:
            payload = _json_in(str(error).removeprefix(f"{library.id} "))
            if payload is None:
                return Silence(_reason_of(error, trip), trip.left, trip.status)
            return Reply(payload, self._judge.verdict(payload))
        if not isinstance(came, dict | list):
            return Silence(f"HTTP {trip.status}, not JSON: {excerpt(came)}", True, trip.status)
        verdict = self._judge.verdict(came)
        if verdict is Verdict.FINE and (trip.status or 0) >= _BROKEN:
            return Silence(f"HTTP {trip.status}, with an answer", True, trip.status)
        return Reply(came, verdict)

    def _breaker_of(self, endpoint: Endpoint) -> Breaker:
        return self.order_breaker if endpoint.for_orders else self.read_breaker

    def _failed(self, endpoint: Endpoint, why: str) -> None:
        breaker = self._breaker_of(endpoint)
        if breaker.failed(why, self._clock.monotonic(), self._clock.now()):
            kind = "orders" if endpoint.for_orders else "reads"
            log.warning("venue_down", venue=self._judge.exchange_id, requests=kind, why=why)

    def _answered(self, endpoint: Endpoint) -> None:
        if self._breaker_of(endpoint).answered(self._clock.now()):
            kind = "orders" if endpoint.for_orders else "reads"
            log.info("venue_up", venue=self._judge.exchange_id, requests=kind)

    # ccxt

    async def _start(self) -> None:
        library = await asyncio.to_thread(_imported)
        aiohttp = importlib.import_module("aiohttp")  # ccxt's own
        context = await asyncio.to_thread(ssl.create_default_context)
        self._lost = (*self._lost, library.BaseError, aiohttp.ClientError)
        exchange_class = getattr(library, self._judge.exchange_id)
        self._sessions = [_session(aiohttp, context) for _ in range(2)]
        self._orders, self._reads = [
            await asyncio.to_thread(self._library, exchange_class, session, context)
            for session in self._sessions
        ]

    def _library(self, exchange_class: Any, session: Any, context: ssl.SSLContext) -> Any:
        """Make ccxt's object for one connection, which knows one address and no other."""
        settings = self.settings
        library = exchange_class(
            {
                **settings.credentials,
                "session": session,
                "enableRateLimit": False,  # ours knows what is urgent
                "timeout": 60_000,  # ms; the deadline is ours
                "options": {"maxRetriesOnFailure": 0},
            }
        )
        if settings.is_demo:
            library.set_sandbox_mode(True)  # it puts the library's own addresses in place, so:
        rest_url = settings.rest_url.rstrip("/")
        library.urls["api"] = dict.fromkeys(library.urls["api"], rest_url) | {"rest": rest_url}
        library.urls.pop("test", None)
        library.ssl_context = context  # it would make one of its own, on the loop's thread
        library.aiohttp_proxy = proxy_for(rest_url)
        library.logger.setLevel(logging.WARNING)  # what it says below that has keys in it
        library.sign = self._with_deadline(library.sign)
        return library

    def _with_deadline(self, sign: Callable[..., Any]) -> Callable[..., Any]:
        """Let the venue refuse an order that reaches it when nobody waits for it any more.

        By the venue's clock, as measured: else nothing is said. Of ours the one on the wall may be
        set, and the other stands still while the machine sleeps: the later one counts.
        """

        def signed(path: str, *arguments: Any, **named: Any) -> Any:
            request = sign(path, *arguments, **named)
            now_s = self._venue_now_s()
            if path in self._judge.deadline_paths and now_s is not None:
                until_ms = round((now_s + self.settings.order_within_s) * 1000)
                request["headers"][self._judge.deadline_header] = str(until_ms)
            return request

        return signed

    def _venue_now_s(self) -> float | None:
        """Return the venue's time, s since 1970, as far as it is known."""
        if self._venue_s is None or self.clock_offset_s is None:
            return None
        by_wall_s = self._clock.now().timestamp() + self.clock_offset_s
        return max(self._venue_s + self._clock.monotonic(), by_wall_s)


def _key_of(endpoint: Endpoint, parameters: Mapping[str, Any] | list[Any] | None) -> str:
    """Return what a request is counted by; of a list, the first row's: ours have one."""
    first = parameters[0] if isinstance(parameters, list) and parameters else parameters
    return str(first.get(endpoint.counted_by, "")) if isinstance(first, Mapping) else ""


def _imported() -> Any:
    """Import ccxt, with the collector of garbage at rest.

    160,000 objects come with it and never go. Collecting among them stops every thread for a tenth
    of a second, now and again later: so they are set aside for good.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        library = importlib.import_module("ccxt.async_support")
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
    return library


def _session(aiohttp: Any, context: ssl.SSLContext) -> "ClientSession":
    """Make a session that never follows the venue elsewhere, and notes when a request leaves."""

    async def on_headers_sent(*_: Any) -> None:
        trip = _trip.get()
        if trip is not None:
            trip.left, trip.left_s = True, time.monotonic()

    async def on_answer(_session: Any, _context: Any, event: Any) -> None:
        trip = _trip.get()
        if trip is not None:
            trip.status = event.response.status
        if (event.response.content_length or 0) > _MAX_BYTES:
            event.response.close()
            raise aiohttp.ClientPayloadError("the answer is too long")

    async def on_redirect(_session: Any, _context: Any, event: Any) -> None:
        status = event.response.status
        raise aiohttp.ClientConnectionError(f"HTTP {status}: sent elsewhere, not followed")

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(on_headers_sent)
    trace.on_request_end.append(on_answer)
    trace.on_request_redirect.append(on_redirect)
    session: ClientSession = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, keepalive_timeout=_IDLE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
        trust_env=False,
    )
    return session


def _json_in(text: str) -> Any:
    """Return the JSON object that ccxt's message consists of; None when there is none."""
    try:
        payload = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return payload if isinstance(payload, dict) else None


def _reason_of(error: BaseException, trip: Trip) -> str:
    """Say why there is no answer; ccxt's own message is but the address."""
    cause = error.__cause__ or error
    if isinstance(cause, OSError):
        return reason_of(getattr(cause, "os_error", None) or cause)
    if trip.status is not None:
        return excerpt(f"HTTP {trip.status} ({type(cause).__name__})")
    return excerpt(f"{type(cause).__name__}: {cause}")
