"""Who may come in: signatures, passphrases, timestamps, the environment, and how often.

A request is signed with base64(HMAC-SHA256(secret, timestamp + METHOD + path?query + body)), a
login of a websocket with the same of seconds + "GET/users/self/verify".
"""

import base64
import hashlib
import hmac
from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from exchanges.sandbox.account import Account
from exchanges.sandbox.endpoints import Endpoint
from exchanges.sandbox.refusals import VenueRefusal

WINDOW_MS = 30_000  # a timestamp may be so far off
LIMIT_WINDOW_MS = 2_000
_MS = 1000
# Where the header `expTime` counts (www.okx.com/docs-v5/en: place order, amend order).
_DEADLINES = frozenset(
    f"/api/v5/trade/{name}"
    for name in ("order", "batch-orders", "amend-order", "amend-batch-orders")
)


class Key(msgspec.Struct, frozen=True):
    """One API key. `is_demo`: it belongs to the demo environment."""

    key: str
    secret: str
    passphrase: str
    is_demo: bool = True


DEMO_KEY = Key("sandbox-key", "sandbox-secret", "sandbox-passphrase")


def signature(secret: str, message: str) -> str:
    """Sign."""
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _stamp_ms(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise VenueRefusal("50112") from None
    if at.tzinfo is None:
        raise VenueRefusal("50112")
    return int(at.astimezone(UTC).timestamp() * _MS)


class Gate:
    """Knows the keys and counts requests."""

    def __init__(self, *, limits: bool) -> None:
        self.limits = limits
        self._logins: dict[str, tuple[Key, Account]] = {}
        self._seen: dict[tuple[str, str, str], deque[int]] = defaultdict(deque)

    def admit_key(self, key: Key, account: Account) -> None:
        """Let a key act for an account."""
        self._logins[key.key] = (key, account)

    def enter(
        self, headers: Mapping[str, str], method: str, target: str, body: str, now_ms: int
    ) -> Account:
        """Return the account of a signed request. Raises `VenueRefusal`."""
        given = {
            name: headers.get(f"OK-ACCESS-{name}", "")
            for name in ("KEY", "PASSPHRASE", "SIGN", "TIMESTAMP")
        }
        for name, code in (
            ("KEY", "50103"),
            ("PASSPHRASE", "50104"),
            ("SIGN", "50106"),
            ("TIMESTAMP", "50107"),
        ):
            if not given[name]:
                raise VenueRefusal(code)
        if abs(_stamp_ms(given["TIMESTAMP"]) - now_ms) > WINDOW_MS:
            raise VenueRefusal("50102")
        self._must_be_in_time(headers.get("expTime", ""), target, now_ms)
        login = self._logins.get(given["KEY"])
        if login is None:
            raise VenueRefusal("50111")
        key, account = login
        if key.is_demo != (headers.get("x-simulated-trading", "0") == "1"):
            raise VenueRefusal("50101")
        if not hmac.compare_digest(key.passphrase, given["PASSPHRASE"]):
            raise VenueRefusal("50105")
        wanted = signature(key.secret, given["TIMESTAMP"] + method + target + body)
        if not hmac.compare_digest(wanted, given["SIGN"]):
            raise VenueRefusal("50113")
        return account

    @staticmethod
    def _must_be_in_time(until: str, target: str, now_ms: int) -> None:
        """Refuse an order whose sender has said that it is too late by now."""
        if not until or target not in _DEADLINES:
            return
        if not (until.isascii() and until.isdigit()):
            raise VenueRefusal("51000", text="Parameter expTime error")
        if int(until) < now_ms:
            raise VenueRefusal("51149")

    def log_in(self, fields: Mapping[str, object], now_ms: int) -> Account:
        """Return the account of a websocket login. Raises `VenueRefusal` with its codes."""
        key_name, passphrase = str(fields.get("apiKey", "")), str(fields.get("passphrase", ""))
        stamp, sign = str(fields.get("timestamp", "")), str(fields.get("sign", ""))
        login = self._logins.get(key_name)
        if login is None:
            raise VenueRefusal("60005", text="Invalid apiKey")
        key, account = login
        try:
            off_ms = abs(float(stamp) * _MS - now_ms)
        except ValueError:
            raise VenueRefusal("60004", text="Invalid timestamp") from None
        if not off_ms <= WINDOW_MS:
            raise VenueRefusal("60006", text="Timestamp request expired")
        if not hmac.compare_digest(key.passphrase.encode(), passphrase.encode()):
            raise VenueRefusal("60024", text="Wrong passphrase")
        wanted = signature(key.secret, stamp + "GET" + "/users/self/verify")
        if not hmac.compare_digest(wanted.encode(), sign.encode()):
            raise VenueRefusal("60007", text="Invalid sign")
        return account

    def count(self, endpoint: Endpoint, who: str, now_ms: int, weight: int = 1) -> None:
        """Count a request; a batch weighs as many. Raises `VenueRefusal` 50011 for too many."""
        if not self.limits:
            return
        seen = self._seen[endpoint.method, endpoint.path, who]
        while seen and seen[0] <= now_ms - LIMIT_WINDOW_MS:
            seen.popleft()
        if len(seen) + weight > endpoint.limit:
            raise VenueRefusal("50011")
        seen.extend([now_ms] * weight)
