"""Recorded market data: files of raw frames, read, merged, replayed and written.

One frame a line, `<local receive time, ns since 1970> <raw JSON>`, plain or gzip (`.gz`). A
recording is replayed by sleeping on the loop until each frame's receive time, measured from the
first one: on a real loop that takes as long as it took, on a virtual-time loop no time at all, and
everything else behaves the same. Where nothing was recorded for half a minute the line was down, or
one recording ends and another begins: that is told as it was told then, as a line that is down.
"""

import asyncio
import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from heapq import merge as merge_sorted
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

import msgspec
import orjson

from exchanges.dialect import Reader
from exchanges.market import MarketSink
from exchanges.okx_names import stream_name
from runtime.ports import Clock

Frame = tuple[int, bytes]  # receive time in ns since 1970, raw JSON
Tap = Callable[[int, bytes], None]  # sees each frame as it comes; `FrameWriter.write` is one

_MAX_LINE = 16 * 2**20  # a full snapshot of a book is some 100 kB
_MAX_STAMP_DIGITS = 19
_HOLE_S = 30.0  # no stream that is up is silent for so long
_TURN_FRAMES = 256  # so many frames in a row, then the loop gets its turn
_ENVELOPE = b'{"stream":"'
_OKX_ENVELOPE = re.compile(rb'\{"arg":\{"channel":"([\w-]+)","instId":"([\w-]+)"\},"')
_MARKS_OF_BINANCE = frozenset({"stream", "e", "lastUpdateId", "u"})
_NS = 1e9


class RecordingError(Exception):
    """A recording that cannot be used: which file, which line (0: the file itself), and why."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(f"{path}, line {line}: {why}" if line else f"{path}: {why}")
        self.path = path
        self.line = line
        self.why = why


class Survey(msgspec.Struct, frozen=True):
    """What a set of recordings holds."""

    frames: int
    streams: frozenset[str]  # "btcusdt@trade", "trades:BTC-USDT"; other frames have no name
    first_ns: int
    last_ns: int


def frames(path: Path) -> Iterator[Frame]:
    """Yield a file's frames in the order they were received. Raises `RecordingError`.

    Where the recorder's clock stepped back, the stamp before holds: the order of lines is the
    truth.
    """
    number = 0
    latest = 0
    try:
        with _opened(path) as lines:
            for line in iter(partial(lines.readline, _MAX_LINE), b""):
                number += 1
                stamp, _, raw = line.partition(b" ")
                raw = raw.rstrip(b"\r\n")
                if not stamp.isdigit() or len(stamp) > _MAX_STAMP_DIGITS or not raw:
                    raise RecordingError(path, number, _damage(line))
                latest = max(latest, int(stamp))
                yield latest, raw
    except EOFError:
        raise RecordingError(path, number + 1, "the gzip file is cut off here") from None
    except (OSError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RecordingError(path, number + 1 if number else 0, f"cannot be read: {why}") from error


def begins_as_recording(path: Path) -> bool:
    """Whether the first line of a file is a frame, or there is none."""
    try:
        next(frames(path), None)
    except RecordingError:
        return False
    return True


def _damage(line: bytes) -> str:
    if len(line) >= _MAX_LINE:
        return f"longer than {_MAX_LINE} bytes"
    return f"not '<receive time in ns> <raw JSON>' but {line[:40]!r}"


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if path.suffix == ".gz":
        # The buffer reads lines in C; GzipFile alone does it in Python, at half the speed.
        return cast("BinaryIO", io.BufferedReader(gzip.open(path, "rb")))
    return path.open("rb")


def merge(paths: Sequence[Path]) -> Iterator[Frame]:
    """Yield the frames of several files by receive time; at the same instant in the order given.

    Raises `RecordingError`.
    """
    return merge_sorted(*map(frames, paths), key=itemgetter(0))


def first_stamp_ns(paths: Sequence[Path]) -> int:
    """Return when the first frame was received. Raises `RecordingError` when there is none."""
    for stamp, _ in merge(paths):
        return stamp
    raise RecordingError(paths[0] if paths else Path(), 0, "holds no frames")


def survey(paths: Sequence[Path]) -> Survey:
    """Read the files once, to the end, so that a damaged one is found before it is used.

    Raises `RecordingError`, also when there is no frame at all.
    """
    first = first_stamp_ns(paths)
    count, last = 0, first
    streams: set[str] = set()
    for stamp, raw in merge(paths):
        count += 1
        last = stamp
        name = stream_of(raw)
        if name:
            streams.add(name)
    return Survey(frames=count, streams=frozenset(streams), first_ns=first, last_ns=last)


def stream_of(raw: bytes) -> str:
    """Return the name of a frame's stream; "" for a frame without.

    It is Binance's own ("btcusdt@trade"), or OKX's channel and instrument ("trades:BTC-USDT").
    """
    if raw.startswith(_ENVELOPE):  # as the venue prints it: no need to parse the rest
        name, quote, _ = raw[len(_ENVELOPE) :].partition(b'"')
        if quote and b"\\" not in name:
            return sys.intern(name.decode(errors="replace"))
    okx = _OKX_ENVELOPE.match(raw)
    if okx is not None:
        return sys.intern(stream_name(okx[1].decode(), okx[2].decode()))
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(message, dict):
        return ""
    stream, arg = message.get("stream"), message.get("arg")
    if isinstance(arg, dict) and "data" in message:
        channel, inst_id = arg.get("channel"), arg.get("instId")
        if isinstance(channel, str) and isinstance(inst_id, str):
            return stream_name(channel, inst_id)
    return stream if isinstance(stream, str) else ""


def venue_of(paths: Sequence[Path]) -> str:
    """Return whose frames these are, "binance" or "okx", by the first that tells.

    Raises `RecordingError` for files that cannot be read, and when no frame tells.
    """
    for _, raw in merge(paths):
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(message, dict):
            continue
        if isinstance(message.get("arg"), dict):
            return "okx"
        if not _MARKS_OF_BINANCE.isdisjoint(message):
            return "binance"
    raise RecordingError(paths[0], 0, "no frame in it is of a venue that is known")


class RecordedStream:
    """A market stream read from files, at the pace of the loop it runs on. Ends with the files."""

    def __init__(self, paths: Sequence[Path], reader: Callable[[MarketSink], Reader]) -> None:
        """`reader` makes a reader of the venue's frames."""
        self._paths = tuple(paths)
        self._reader = reader

    async def run(self, sink: MarketSink) -> None:
        """Feed `sink` with every line, each at its time. Raises `RecordingError`."""
        sink.on_connected()
        loop = asyncio.get_running_loop()
        read = self._reader(sink)
        start_s = loop.time()
        first_ns = last_ns = first_stamp_ns(self._paths)
        in_a_row = 0
        for stamp_ns, raw in merge(self._paths):
            if stamp_ns != last_ns:  # frames of one instant belong together
                gap_s, last_ns = (stamp_ns - last_ns) / _NS, stamp_ns
                if gap_s >= _HOLE_S:
                    sink.on_disconnected(f"nothing was recorded for {gap_s:.0f} s")
                wait_s = (stamp_ns - first_ns) / _NS - (loop.time() - start_s)
                if wait_s > 0 or in_a_row >= _TURN_FRAMES:
                    await asyncio.sleep(max(0.0, wait_s))
                    in_a_row = 0
                if gap_s >= _HOLE_S:
                    sink.on_connected()
            in_a_row += 1
            read(raw)


def wall_ns(clock: Clock) -> int:
    """Return the wall time in ns since 1970, as frames are stamped; exact to the microsecond."""
    return int(clock.now().timestamp() * 1_000_000) * 1_000


class FrameWriter:
    """Writes frames to a file in the same format; a context manager."""

    def __init__(self, path: Path) -> None:
        """Create or replace `path`. Raises `OSError`."""
        self.size = 0  # bytes of the file, once it is closed
        self._file: BinaryIO = path.open("wb")
        self._out: BinaryIO = self._file
        if path.suffix == ".gz":
            # Without name and time in its header, so that the same frames make the same file.
            zipped = gzip.GzipFile(filename="", mode="wb", fileobj=self._file, mtime=0)
            self._out = cast("BinaryIO", zipped)

    def write(self, stamp_ns: int, raw: bytes) -> None:
        """Append a frame received at `stamp_ns`. Line breaks, blanks in JSON, become spaces."""
        if b"\n" in raw or b"\r" in raw:
            raw = raw.replace(b"\n", b" ").replace(b"\r", b" ")
        self._out.write(b"%d %b\n" % (stamp_ns, raw))

    def close(self) -> None:
        """Write what is buffered and close the file."""
        if self._out is not self._file:
            self._out.close()
        if not self._file.closed:
            self.size = self._file.tell()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
