"""Recording: the frames of the configured stream into a file, for `replay` and `serve-recorded`.

No actors and no data directory are needed; a daemon may run beside it.
"""
# ruff: noqa: ARG002 - the port of all sinks

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from daemon.assembly import world_of
from daemon.config_models import Config
from daemon.errors import StartError
from daemon.instruments import OTHERS, instruments_of, missing_rules
from daemon.markets import stream_of
from daemon.metrics import Metrics
from domain.errors import Refusal
from domain.ids import Symbol
from exchanges.market import MarketStream
from exchanges.recording import FrameWriter
from runtime.chance import SeededChance, SystemIds
from runtime.clocks import SystemClock

PROGRESS_EVERY_S = 0.5


class Recorded(msgspec.Struct, frozen=True):
    """What a recording came to."""

    file: str
    frames: int
    symbols: tuple[str, ...]
    seconds: float
    bytes: int


class Progress(msgspec.Struct):
    """How far a recording is."""

    frames: int = 0
    seconds: float = 0.0
    connected: bool = False


class Recorder:
    """Writes what a stream's tap tells, until it has enough or is told to stop.

    It is the stream's sink as well: a frame that gave it nothing was taken before, as happens where
    two connections overlap, and is left out.
    """

    def __init__(self, writer: FrameWriter, limit: int | None) -> None:
        self.progress = Progress()
        self.done = asyncio.Event()
        self.error: OSError | None = None
        self._writer = writer
        self._limit = limit
        self._heard = False  # something, since the last frame

    def tap(self, stamp_ns: int, raw: bytes) -> None:
        """Write one frame. What the disk says about it ends the recording, not the stream."""
        heard, self._heard = self._heard, False
        if self.done.is_set() or not heard:
            return
        try:
            self._writer.write(stamp_ns, raw)
        except OSError as error:
            self.error = error
            self.done.set()
            return
        self.progress.frames += 1
        if self.progress.frames == self._limit:
            self.done.set()

    def on_frame(self) -> None:
        """Pass over; the tap has it."""

    def on_bad_frame(self, why: str) -> None:
        """Take it too; a replay says it again."""
        self._heard = True

    def on_connected(self) -> None:
        """Note it, for whoever watches."""
        self.progress.connected = True

    def on_disconnected(self, why: str) -> None:
        """Note it; the stream connects again by itself."""
        self.progress.connected = False

    def on_trade(
        self, symbol: Symbol, price: str, quantity: str, trade_id: str, event_ms: int
    ) -> None:
        """Note that the frame is new."""
        self._heard = True

    def on_quote(self, symbol: Symbol, bid: str, ask: str, update_id: str, event_ms: int) -> None:
        """Note that the frame is new."""
        self._heard = True

    def on_mark(self, symbol: Symbol, price: str, event_ms: int) -> None:
        """Note that the frame is new."""
        self._heard = True


def watching(config: Config, symbols: Sequence[str]) -> Config:
    """Return the configuration with these symbols in its market. Raises `StartError`."""
    if config.market.source == "recorded":
        why = "This configuration plays recordings; there is no stream to record."
        raise StartError(Refusal("MARKET_IS_RECORDED", why, "Set market.source to another one."))
    for symbol in symbols:
        base, _, quote = symbol.partition("/")
        given = config.instruments.get(symbol, config.instruments.get(OTHERS))
        missing = missing_rules(
            symbol,
            () if given is None else given.model_fields_set,
            source=config.market.source,
            kind=config.market.kind.value,
        )
        if not base.isalnum() or not quote.isalnum():
            why = f"{symbol} is no symbol."
            raise StartError(Refusal("INVALID_SYMBOL", why, "Write it like BTC/USDT."))
        if missing:
            why = f"{symbol} is not known: it is neither built in nor under instruments."
            remedy = f"Give {', '.join(missing)} of {symbol} under instruments."
            raise StartError(Refusal("UNKNOWN_SYMBOL", why, remedy))
    market = config.market.model_copy(update={"symbols": tuple(dict.fromkeys(symbols))})
    return config.model_copy(update={"market": market})


async def record(
    config: Config,
    path: Path,
    *,
    stop: asyncio.Event,
    frames: int | None = None,
    seconds: float | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Recorded:
    """Record into `path`, which is created or replaced, until `stop` or a limit.

    Raises `OSError` for what the disk does and `ValueError` for what the venue cannot stream; the
    file has the frames up to there.
    """
    began_s = time.monotonic()
    with FrameWriter(path) as writer:
        recorder = Recorder(writer, frames)
        stream = _stream(config, recorder)
        running = asyncio.create_task(stream.run(recorder))
        ends: list[asyncio.Future[Any]] = [
            running,
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(recorder.done.wait()),
        ]
        if seconds is not None:
            ends.append(asyncio.ensure_future(asyncio.sleep(seconds)))
        try:
            await _until(ends, recorder, began_s, on_progress)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if recorder.error is not None:
            with suppress(OSError):
                writer.close()  # as much as finds its place
            raise recorder.error
        if not running.cancelled():
            running.result()
    return Recorded(
        file=str(path),
        frames=recorder.progress.frames,
        symbols=config.market.symbols,
        seconds=round(time.monotonic() - began_s, 3),
        bytes=writer.size,
    )


def _stream(config: Config, recorder: Recorder) -> MarketStream:
    clock = SystemClock()
    instruments = {each.symbol: each for each in instruments_of(config)}
    world = world_of(config, clock, SystemIds(), instruments, Metrics())
    return stream_of(config, SeededChance(time.time_ns()), recorder.tap)(world)


async def _until(
    ends: Sequence[asyncio.Future[Any]],
    recorder: Recorder,
    began_s: float,
    on_progress: Callable[[Progress], None],
) -> None:
    while True:
        done, _ = await asyncio.wait(
            ends, timeout=PROGRESS_EVERY_S, return_when=asyncio.FIRST_COMPLETED
        )
        recorder.progress.seconds = time.monotonic() - began_s
        on_progress(recorder.progress)
        if done:
            return
