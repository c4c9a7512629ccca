"""The venue's side of Binance's websocket protocol, pure: paths and requests in, replies out.

The recorded server speaks it, so that the client under test meets the manners of the real one: its
errors, its split of USD-M streams over two paths, and its silence about a stream asked for on the
wrong path.
"""

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import orjson

from exchanges.manners import Reply

MAX_STREAMS = 1024  # a connection
_REQUESTS_A_SECOND = 5
_POLICY_VIOLATION = 1008
PATHS = ("/stream", "/ws")
_ROUTES = ("/public", "/market")
_MAX_TEXT_ID = 36
_MAX_ID = 2**64
_INVALID_REQUEST = 2
_INVALID_JSON = 3


class Method(Enum):
    """What a client may ask for."""

    SUBSCRIBE = "SUBSCRIBE"
    UNSUBSCRIBE = "UNSUBSCRIBE"
    LIST_SUBSCRIPTIONS = "LIST_SUBSCRIPTIONS"


class Endpoint(msgspec.Struct, frozen=True):
    """What the path of a connection says."""

    combined: bool  # frames come in an envelope that names their stream
    route: str  # "", "/public" or "/market"
    names: tuple[str, ...]  # subscribed to from the start

    @property
    def limit(self) -> tuple[int, float]:
        """Messages of any kind, per second."""
        return _REQUESTS_A_SECOND, 1.0

    @property
    def hangs_up_idle(self) -> bool:
        """Never: it pings instead."""
        return False

    def counts(self, text: str | bytes) -> bool:
        """Everything does."""
        del text
        return True

    def too_many(self) -> Reply:
        """Hang up."""
        return Reply(close=(_POLICY_VIOLATION, "Too many requests"))

    def reply(self, text: str | bytes, held: Collection[str]) -> Reply:
        """Answer a message of a client that is subscribed to `held`."""
        request = request_in(text)
        if isinstance(request, Malformed):
            return Reply((request.reply,))
        number = request.request_id
        match request.method:
            case Method.SUBSCRIBE if len({*held, *request.names}) > MAX_STREAMS:
                return Reply((too_many_streams(number),))
            case Method.SUBSCRIBE:
                return Reply((result(None, number),), join=request.names)
            case Method.UNSUBSCRIBE:
                return Reply((result(None, number),), leave=request.names)
            case Method.LIST_SUBSCRIPTIONS:
                return Reply((result(list(held), number),))

    def repeats(self, name: str) -> bool:
        """Nothing is said twice."""
        del name
        return False

    def frame(self, name: str, raw: bytes) -> bytes:
        """Return a frame, without its envelope on `/ws`."""
        return raw if self.combined else payload_in(raw, name)

    def carries(self, name: str) -> bool:
        """Whether this path sends the stream; elsewhere the venue confirms, and sends nothing."""
        event = name.partition("@")[2]
        is_public = event.startswith(("trade", "bookTicker", "depth"))
        return self.route == "" or is_public == (self.route == "/public")


class Request(msgspec.Struct, frozen=True):
    """A request that can be served."""

    method: Method
    names: tuple[str, ...]
    request_id: int | str | None


class Malformed(msgspec.Struct, frozen=True):
    """A request that cannot; what the venue answers."""

    reply: str


def endpoint_of(target: str) -> Endpoint | None:
    """Read a request target, "/stream?streams=a@trade/b@trade"; None when there is no such path."""
    parts = urlsplit(target)
    path, route = parts.path.rstrip("/"), ""
    for prefix in _ROUTES:
        if path.startswith(prefix + "/"):
            path, route = path.removeprefix(prefix), prefix
    if path == "/stream":
        asked = parse_qs(parts.query).get("streams", [])
        return Endpoint(combined=True, route=route, names=_split("/".join(asked)))
    if path == "/ws" or path.startswith("/ws/"):
        return Endpoint(combined=False, route=route, names=_split(unquote(path[len("/ws/") :])))
    return None


def _split(names: str) -> tuple[str, ...]:
    return tuple(name for name in names.split("/") if name)


def request_in(text: str | bytes) -> Request | Malformed:
    """Read what a client sent."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _malformed(_INVALID_JSON, f"Invalid JSON: {error}", None)
    if not isinstance(message, dict):
        return _malformed(_INVALID_REQUEST, "Invalid request: expected an object", None)
    request_id = message.get("id")
    if not _is_id(request_id):
        why = "Invalid request: request ID must be an unsigned integer"
        return _malformed(_INVALID_REQUEST, why, None)
    if "method" not in message:
        return _malformed(_INVALID_REQUEST, "Invalid request: missing field `method`", request_id)
    try:
        method = Method(message["method"])
    except ValueError:
        expected = ", ".join(f"`{one.value}`" for one in Method)
        why = f"Invalid request: unknown variant `{message['method']}`, expected one of {expected}"
        return _malformed(_INVALID_REQUEST, why, request_id)
    names = message.get("params", [])
    if method is not Method.LIST_SUBSCRIPTIONS and not _are_names(names):
        why = "Invalid request: params must be a list of stream names"
        return _malformed(_INVALID_REQUEST, why, request_id)
    return Request(method, tuple(names) if _are_names(names) else (), request_id)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return value.isalnum() and len(value) <= _MAX_TEXT_ID
    return value is None or (type(value) is int and 0 <= value < _MAX_ID)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _malformed(code: int, why: str, request_id: int | str | None) -> Malformed:
    return Malformed(refusal(code, why, request_id))


def refusal(code: int, why: str, request_id: int | str | None) -> str:
    """Return the venue's error as text."""
    return orjson.dumps({"error": {"code": code, "msg": why}, "id": request_id}).decode()


def too_many_streams(request_id: int | str | None) -> str:
    """Return what is answered above the limit of a connection."""
    return refusal(_INVALID_REQUEST, "Invalid request: too many parameters", request_id)


def result(value: Sequence[str] | None, request_id: int | str | None) -> str:
    """Return the venue's answer to a request that was served."""
    return orjson.dumps({"result": value, "id": request_id}).decode()


def payload_in(raw: bytes, name: str) -> bytes:
    """Take a frame out of its envelope, as `/ws` sends it."""
    start = b'{"stream":"' + name.encode() + b'","data":'
    if raw.startswith(start) and raw.endswith(b"}"):
        return raw[len(start) : -1]
    return orjson.dumps(orjson.loads(raw)["data"])
