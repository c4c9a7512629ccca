"""The scrape endpoint: GET /metrics, /livez and /readyz, on the daemon's own loop.

As small as HTTP can be, and bounded: one request a connection, a few kilobytes of head, a few
connections, a deadline. On a loopback address only requests that name one are answered, so that a
page in a browser cannot read the account's figures through a name that points here.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import msgspec
import structlog

from daemon.errors import StartError
from daemon.metrics import Metrics, Observed
from daemon.vitals import Check, Vitals, liveness, passed, readiness
from domain.errors import Refusal

_MAX_HEAD = 8 * 1024
_MAX_CONNECTIONS = 16
_DEADLINE_S = 5.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"
_log = structlog.get_logger("system")


class MetricsServer:
    """Serves `metrics`, and `observe()` at each scrape."""

    def __init__(
        self,
        metrics: Metrics,
        observe: Callable[[], Observed],
        look: Callable[[], Vitals],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._metrics = metrics
        self._observe = observe
        self._look = look
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port in use; the one asked for until started."""
        if self._server is None:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where to scrape."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/metrics"

    async def bind(self) -> None:
        """Take the address; nothing is answered yet. Raises `StartError` if it cannot be had."""
        try:
            self._server = await asyncio.start_server(
                self._accept, self._host, self._port, limit=_MAX_HEAD, start_serving=False
            )
        except OSError as error:
            raise StartError(self._unavailable(error)) from error

    async def start(self) -> None:
        """Answer. Raises `StartError` like `bind`, which it does if nobody has."""
        if self._server is None:
            await self.bind()
        assert self._server is not None  # bound, or raised
        await self._server.start_serving()

    def _unavailable(self, error: OSError) -> Refusal:
        where = f"{self._host}:{self._port}"
        if error.errno == errno.EADDRINUSE:
            return Refusal(
                rule="METRICS_PORT_IN_USE",
                message=f"Something else listens at {where}.",
                remedy="Set metrics.port to a free one (0 takes any), or metrics.enabled to false.",
                actual=str(self._port),
            )
        return Refusal(
            rule="METRICS_ADDRESS_UNUSABLE",
            message=f"Nothing can listen at {where}: {error.strerror or error}.",
            remedy="Set metrics.host and metrics.port to an address of this machine.",
            actual=where,
        )

    async def close(self) -> None:
        """Stop to listen, hang up."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()):
            _log.error("metrics_failed", exc_info=bug)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head.decode("latin-1")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except asyncio.LimitOverrunError:
            writer.write(_answer("431 Request Header Fields Too Large"))
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # the client's affair
        finally:
            writer.close()

    def _response(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        if not self._is_for_us(headers.get("host", "").strip()):
            return _answer("403 Forbidden", b"ask for this endpoint by its own address\n")
        if method not in {"GET", "HEAD"}:
            return _answer("405 Method Not Allowed")
        head_only = method == "HEAD"
        if path == "/livez":
            return _verdict("live", liveness(self._look()), head_only=head_only)
        if path == "/readyz":
            return _verdict("ready", readiness(self._look()), head_only=head_only)
        if path == "/metrics":
            body = self._metrics.exposition(self._observe)
            return _answer("200 OK", body, head_only=head_only)
        return _answer("404 Not Found", b"try /metrics, /livez or /readyz\n")

    def _is_for_us(self, host: str) -> bool:
        if not _is_loopback(self._host):
            return True
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return not name or _is_loopback(name.strip("[]"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _verdict(name: str, checks: Sequence[Check], *, head_only: bool) -> bytes:
    well = passed(checks)
    body = msgspec.json.encode({name: well, "checks": checks}) + b"\n"
    status = "200 OK" if well else "503 Service Unavailable"
    return _answer(status, body, head_only=head_only, kind=_JSON)


def _answer(status: str, body: bytes = b"", *, head_only: bool = False, kind: str = _TEXT) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
