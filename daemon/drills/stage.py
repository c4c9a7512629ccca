"""What a drill acts on: a venue, the line to it, a daemon that trades there, and people's commands.

Everything is asked and awaited; nothing is assumed to have happened after some time. Prices stand
still unless a drill moves them, and are told again and again so that no stream is quiet.
"""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from daemon.admin_client import Answer
from daemon.admin_requests import (
    AnyAdminRequest,
    Close,
    ListPositions,
    Mode,
    MoveStop,
    Open,
    ShowPosition,
    TargetRequest,
)
from daemon.drills.drill import Drill, FailedError
from daemon.drills.exposure import EVERYTHING, Exposure
from daemon.drills.line import Line, line_to
from daemon.drills.process import DaemonProcess, SilentError
from daemon.position_views import CLIENT_GUARD
from domain.errors import Refusal
from domain.instrument import Direction
from domain.position import PositionStatus
from domain.reconciliation import SETTLED_S
from exchanges.sandbox import DEMO_KEY, Sandbox, SandboxSettings, running
from exchanges.sandbox.account import Account
from exchanges.sandbox.records import Algo
from exchanges.sandbox.watch import holdings

MONEY = Decimal(100_000)  # USDT
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT")
SIZES = {"BTC": "0.02", "ETH": "0.4", "SOL": "8", "XRP": "2000", "DOGE": "8000"}  # about 1,200 USDT
SOON_S = 10.0
_TOLD_EVERY_S = 0.1
_ROUNDED_MS = 500
_POLL_S = 0.01
_SAMPLED_EVERY_S = 0.1
_TAKING = "-0.002"  # a limit so far beyond the price fills at once
_EXITS = PositionStatus.CLOSING.value
_CONFIG = """\
data_dir: {data}
account: {{ name: drill, quote: USDT, venue: sandbox }}
venues:
  sandbox:
    exchange: okx
    environment: demo
    urls: {{ rest: "{rest}", ws: "{ws}" }}
market: {{ source: okx, kind: {kind}, symbols: [{symbols}] }}
limits: {{ max_positions: 100 }}
metrics: {{ enabled: false }}
log: {{ format: json }}
"""


class Stage:
    """One drill's venue and daemon. Of `set_up`."""

    def __init__(
        self,
        sandbox: Sandbox,
        line: Line,
        daemon: DaemonProcess,
        *,
        is_spot: bool,
        is_small: bool,
    ) -> None:
        self.sandbox = sandbox
        self.line = line
        self.daemon = daemon
        self.is_spot = is_spot
        self.is_small = is_small
        self.exposure = Exposure()
        self.report: list[str] = []
        self.wrong: list[str] = []
        self.prices = {each.inst_id: each.start_price for each in sandbox.world.settings.listings}

    # --- the venue ---

    @property
    def account(self) -> Account:
        """The venue's side of the account."""
        return self.sandbox.venue.account

    @property
    def now_ms(self) -> int:
        """The venue's time."""
        self.sandbox.world.advance()
        return self.account.now_ms

    def inst(self, symbol: str) -> str:
        """Return the venue's name of what is traded: "BTC-USDT-SWAP", on spot "BTC-USDT"."""
        return symbol.replace("/", "-") + ("" if self.is_spot else "-SWAP")

    def price(self, symbol: str, last: Decimal | str) -> None:
        """Let a symbol trade at this price from now on."""
        self.prices[self.inst(symbol)] = Decimal(last)
        self.sandbox.set_price(self.inst(symbol), Decimal(last))

    def price_of(self, symbol: str) -> Decimal:
        """Return what a symbol trades at."""
        return self.prices[self.inst(symbol)]

    def held(self, symbol: str) -> Decimal:
        """Return what the venue holds of a symbol, signed, in its own units; dust is nothing."""
        found = holdings(self.account).items()
        return sum((size for (name, _), size in found if name == self.inst(symbol)), Decimal(0))

    def stops(self, symbol: str) -> list[Algo]:
        """Return the stops of a symbol that wait at the venue."""
        return list(self.account.armed.get(self.inst(symbol), {}).values())

    def stop_prices(self, symbol: str) -> list[Decimal | None]:
        """Return where they trigger."""
        return [each.sl_trigger for each in self.stops(symbol)]

    async def tell_prices(self) -> None:
        """Tell all prices again and again."""
        while True:
            for name, last in self.prices.items():
                self.sandbox.set_price(name, last)
            await asyncio.sleep(_TOLD_EVERY_S)

    # --- the daemon ---

    async def start(self) -> None:
        """Start the daemon, or start it again; the time it was away does not count."""
        try:
            await self.daemon.start()
        except SilentError as error:
            raise FailedError(str(error)) from error
        self.exposure.end(EVERYTHING, self.now_ms)

    async def kill(self) -> None:
        """SIGKILL."""
        self.exposure.begin(EVERYTHING, self.now_ms)
        await self.daemon.kill()

    async def ask(self, request: AnyAdminRequest) -> Answer:
        """Ask the daemon. Raises `FailedError` when it refuses or does not answer."""
        answer = await self.ask_anyhow(request)
        if isinstance(answer, Refusal):
            raise FailedError(f"{request.command}: {answer.rule}: {answer.message}")
        return answer

    async def ask_anyhow(self, request: AnyAdminRequest) -> Answer | Refusal:
        """Ask the daemon, which may refuse. Raises `FailedError` when it does not answer."""
        try:
            return await self.daemon.ask(request)
        except SilentError as error:
            raise FailedError(f"{request.command}: no answer: {error}") from error

    async def open(
        self,
        symbol: str,
        direction: Direction = Direction.LONG,
        *,
        away: Decimal | str = "0.02",
        target: Decimal | None = None,
        is_limit: bool = False,
    ) -> str:
        """Open a position with a stop that far (a ratio) away; return its id at once or later."""
        position_id = str(uuid4())
        request = self.entry(
            position_id, symbol, direction, away=away, target=target, is_limit=is_limit
        )
        answer = await self.ask_anyhow(request)
        if isinstance(answer, Refusal):
            raise FailedError(f"open {symbol}: {answer.rule}: {answer.message}")
        return position_id

    def entry(
        self,
        position_id: str,
        symbol: str,
        direction: Direction = Direction.LONG,
        *,
        away: Decimal | str = "0.02",
        target: Decimal | None = None,
        is_limit: bool = False,
    ) -> Open:
        """Return the request that opens a position.

        Its stop comes with it, unless it is a limit order, which fills at once: then the stop is an
        order of its own.
        """
        base = symbol.partition("/")[0]
        return Open(
            position_id=position_id,
            symbol=symbol,
            direction=direction,
            quantity=Decimal(SIZES[base]),
            limit_price=self.away(symbol, direction, _TAKING) if is_limit else None,
            stop=self.away(symbol, direction, away),
            targets=() if target is None else (TargetRequest(price=target),),
        )

    def away(self, symbol: str, direction: Direction, ratio: Decimal | str) -> Decimal:
        """Return the price that far against a position, a whole number of ticks."""
        tick = self.account.market.quote(self.inst(symbol)).listing.tick
        wished = self.price_of(symbol) * (1 - direction.sign * Decimal(ratio))
        return wished // tick * tick

    async def position(self, position_id: str) -> dict[str, Any]:
        """Return all that the daemon says of a position."""
        answer = await self.ask(ShowPosition(position=position_id))
        found: dict[str, Any] = msgspec.convert(answer["position"], dict[str, Any])
        return found

    async def positions(self, *, closed: bool = False) -> list[dict[str, Any]]:
        """Return the daemon's positions, open or all."""
        answer = await self.ask(ListPositions(closed=closed))
        found: list[dict[str, Any]] = msgspec.convert(answer["positions"], list[dict[str, Any]])
        return found

    async def causes(self) -> dict[str, str]:
        """Return what stands against entries: messages by code."""
        answer: dict[str, Any] = await self.ask(Mode())
        return {each["code"]: each["message"] for each in answer["causes"]}

    async def move_stop(self, position_id: str, price: Decimal) -> None:
        """Move a stop, wider if need be."""
        await self.ask(MoveStop(position=position_id, price=price, widen=True))

    async def close(self, position_id: str) -> None:
        """Close a position at market, unless it is closed or being closed."""
        answer = await self.ask_anyhow(Close(position=position_id))
        if isinstance(answer, Refusal) and not answer.rule.startswith("ALREADY_CLOS"):
            raise FailedError(f"close: {answer.rule}: {answer.message}")

    # --- waiting ---

    async def until(
        self,
        condition: Callable[[], Any] | Callable[[], Awaitable[Any]],
        what: str,
        *,
        within_s: float = SOON_S,
    ) -> float:
        """Wait until something holds; return how many seconds it took. Raises `FailedError`."""
        began_s = time.monotonic()
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            took_s = time.monotonic() - began_s
            if found:
                return took_s
            if took_s > within_s:
                raise FailedError(f"not within {within_s:.0f} s: {what}")
            await asyncio.sleep(_POLL_S)

    async def until_ready(self, *, within_s: float = 30.0) -> float:
        """Wait until nothing stands against entries."""
        return await self.until(self._is_ready, "entries are allowed", within_s=within_s)

    async def _is_ready(self) -> bool:
        return not await self.causes()

    async def until_settled(self) -> None:
        """Wait until no fill is so fresh that a difference may be what was before it."""
        last_ms = max((one.at_ms for one in self.account.fills), default=0)
        due_ms = last_ms + round(SETTLED_S * 1000) + _ROUNDED_MS
        await self.until(lambda: self.now_ms > due_ms, "fills have settled")
        await self.until_ready()

    async def until_guarded(self, position_id: str, *, within_s: float = SOON_S) -> float:
        """Wait until the daemon says it is protected, and the venue holds its stop there."""
        return await self.until(
            lambda: self.is_guarded(position_id),
            f"{position_id} is guarded at the venue",
            within_s=within_s,
        )

    async def is_guarded(self, position_id: str) -> bool:
        """Whether both sides say that a position has its stop at the venue."""
        found = await self.position(position_id)
        if found["status"] != "open_protected" or found["stop"] is None:
            return False
        return Decimal(found["stop"]) in self.stop_prices(found["symbol"])

    async def until_over(self, position_id: str, *, within_s: float = SOON_S) -> dict[str, Any]:
        """Wait until a position is over; return it."""

        async def is_over() -> bool:
            return (await self.position(position_id))["closed_at"] is not None

        await self.until(is_over, f"{position_id} is closed", within_s=within_s)
        return await self.position(position_id)

    # --- what is seen ---

    def tell(self, text: str) -> None:
        """Note something for the report."""
        self.report.append(text)

    def expect(self, holds: object, otherwise: str) -> None:
        """Note what is wrong if it does not hold; the drill goes on."""
        if not holds:
            self.wrong.append(otherwise)

    async def watch_client_guard(self) -> None:
        """Note again and again where the daemon guards alone, or exits: there it counts."""
        while True:
            try:
                answer = await self.daemon.ask(ListPositions())
            except SilentError:
                answer = {}
            now_ms = self.now_ms
            rows = [] if isinstance(answer, Refusal) else answer.get("positions", [])
            cared_for: dict[str, bool] = {}
            for row in msgspec.convert(rows, list[dict[str, Any]]):
                name, is_alone = self.inst(row["symbol"]), row["stop_lives"] == CLIENT_GUARD
                is_cared_for = is_alone or row["status"] == _EXITS
                cared_for[name] = cared_for.get(name, True) and is_cared_for
            for name in self.prices:
                if cared_for.get(name):
                    self.exposure.begin(name, now_ms)
                    self.exposure.client_guarded = True
                else:
                    self.exposure.end(name, now_ms)
            await asyncio.sleep(_SAMPLED_EVERY_S)


@contextlib.asynccontextmanager
async def set_up(drill: Drill, directory: Path, *, is_small: bool) -> AsyncIterator[Stage]:
    """Start a venue and a daemon for one drill, in `directory`; end both. Raises `FailedError`."""
    settings = SandboxSettings(
        balances={"USDT": MONEY},
        limits=drill.has_limits,
    )
    async with running(settings) as sandbox, line_to(sandbox.port) as line:
        config = directory / "drill.yaml"
        config.write_text(
            _CONFIG.format(
                data=directory / "data",
                rest=line.rest_url,
                ws=line.ws_url,
                kind="spot" if drill.is_spot else "swap",
                symbols=", ".join(SYMBOLS),
            )
        )
        daemon = DaemonProcess(
            config,
            directory / "data" / "holdfast.sock",
            directory / "daemon.log",
            {
                "OKX_API_KEY": DEMO_KEY.key,
                "OKX_API_SECRET": DEMO_KEY.secret,
                "OKX_API_PASSPHRASE": DEMO_KEY.passphrase,
            },
        )
        stage = Stage(sandbox, line, daemon, is_spot=drill.is_spot, is_small=is_small)
        watching = [asyncio.create_task(stage.tell_prices())]
        if drill.counts_client_guard:
            watching.append(asyncio.create_task(stage.watch_client_guard()))
        try:
            await stage.start()
            await stage.until_ready()
            yield stage
        finally:
            await daemon.stop()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
