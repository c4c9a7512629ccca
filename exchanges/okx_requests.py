"""The venue's side of OKX's websocket protocol (v5), pure: paths and requests in, replies out.

Every stream asked for is answered by itself: confirmed, or refused with 60018 when there is no such
channel, or not on this path. An instrument of the right form always exists here; the venue would
refuse one that it does not list.

Source: www.okx.com/docs-v5/en (websocket: connect, subscribe, error codes).
"""

import re
from collections.abc import Collection
from typing import Any

import msgspec
import orjson

from exchanges.frame_checks import excerpt
from exchanges.manners import Reply
from exchanges.okx_names import BUSINESS, PUBLIC, stream_name

PATHS = (PUBLIC, BUSINESS)
IDLE = (4004, "No data received in 30s")
_REQUESTS = (480, 3600.0)  # so many an hour
_ON_PUBLIC = frozenset(
    {
        "trades", "tickers", "mark-price", "books", "books5", "bbo-tbt", "funding-rate",
        "open-interest", "price-limit", "index-tickers",
    }
)  # fmt: skip
_ON_BUSINESS = re.compile(
    r"trades-all|(mark-price-|index-)?candle(1s|[135]m|(15|30)m|[124]H|(6|12)H(utc)?|[1235]D(utc)?"
    r"|1W(utc)?|[13]M(utc)?)"
)
_INSTRUMENT = re.compile(r"[A-Z0-9]+-[A-Z0-9]+(-[A-Z0-9]+){0,3}")
_UNREPEATED = ("trades", "trades-all")


class Endpoint(msgspec.Struct, frozen=True):
    """What the path of a connection says."""

    path: str
    connection_id: str

    @property
    def names(self) -> tuple[str, ...]:
        """None: an address names no streams."""
        return ()

    @property
    def limit(self) -> tuple[int, float]:
        """Of subscribing and unsubscribing."""
        return _REQUESTS

    @property
    def hangs_up_idle(self) -> bool:
        """After 30 s."""
        return True

    def counts(self, text: str | bytes) -> bool:
        """All but a ping."""
        return text not in ("ping", b"ping")

    def too_many(self) -> Reply:
        """Refuse."""
        return Reply((self._error("60014", "Requests too frequent"),))

    def carries(self, name: str) -> bool:
        """Whether the channel is on this path."""
        return self._has(name.partition(":")[0])

    def repeats(self, name: str) -> bool:
        """All but trades: who subscribes is told the present price, candle, book."""
        return name.partition(":")[0] not in _UNREPEATED

    def frame(self, name: str, raw: bytes) -> bytes:
        """Return a frame as it is."""
        del name
        return raw

    def reply(self, text: str | bytes, held: Collection[str]) -> Reply:
        """Answer a message."""
        del held
        if not self.counts(text):
            return Reply(("pong",))
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._malformed(text)
        if type(message) is not dict or type(message.get("op")) is not str:
            return self._malformed(text)
        op, args, given = message["op"], message.get("args"), message.get("id")
        more = {"id": given} if type(given) is str else {}
        if op == "login":
            why = "The current operation is not supported by this URL."
            return Reply((self._error("60028", why, more),))
        if op not in ("subscribe", "unsubscribe"):
            return Reply((self._error("60019", f"Invalid op: {excerpt(op)}", more),))
        if type(args) is not list or not args or not all(type(arg) is dict for arg in args):
            return self._malformed(text)
        texts, names = [], []
        for arg in args:
            name = self._name_of(arg)
            if name:
                names.append(name)
                texts.append(self._event({**more, "event": op, "arg": arg}))
            else:
                texts.append(self._error("60018", _no_such(arg), more))
        if op == "subscribe":
            return Reply(tuple(texts), join=tuple(names))
        return Reply(tuple(texts), leave=tuple(names))

    def _has(self, channel: str) -> bool:
        is_business = _ON_BUSINESS.fullmatch(channel) is not None
        return is_business if self.path == BUSINESS else channel in _ON_PUBLIC

    def _name_of(self, arg: dict[str, Any]) -> str:
        """Return the stream that is asked for; "" when this path has none such."""
        channel, name = arg.get("channel"), arg.get("instId")
        if type(channel) is not str or type(name) is not str or not self._has(channel):
            return ""
        return stream_name(channel, name) if _INSTRUMENT.fullmatch(name) else ""

    def _malformed(self, text: str | bytes) -> Reply:
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        return Reply((self._error("60012", f"Invalid request: {said}"),))

    def _error(self, code: str, msg: str, more: dict[str, str] | None = None) -> str:
        return self._event({**(more or {}), "event": "error", "msg": msg, "code": code})

    def _event(self, event: dict[str, Any]) -> str:
        return orjson.dumps({**event, "connId": self.connection_id}).decode()


def endpoint_of(target: str, connection_id: str) -> Endpoint | None:
    """Read a request target; None when it is not one of OKX's."""
    path = target.partition("?")[0].rstrip("/")
    return Endpoint(path, connection_id) if path in PATHS else None


def _no_such(arg: dict[str, Any]) -> str:
    asked = ",".join(f"{key}:{excerpt(arg[key])}" for key in ("channel", "instId") if key in arg)
    return (
        f"Wrong URL or {asked} doesn't exist. Please use the correct URL, channel and parameters"
        " referring to API document."
    )
