"""HTTP as it is: the `Http` port on the `aiohttp` library.

The library costs memory and a tenth of a second, so it is imported with the first request, in a
thread, so that prices go on meanwhile. Everything that can go wrong on the way leaves this file as
an `OSError` whose reason `real_net.reason_of` can say.
"""

import asyncio
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from exchanges.real_net import is_loopback
from runtime.ports import HttpReply

if TYPE_CHECKING:
    from aiohttp import ClientSession

_CHUNK_BYTES = 64 * 1024
_IDLE_S = 30.0  # how long a connection waits for its next request


class RealHttp:
    """Fetches pages. TLS certificates are verified; loopback never goes through a proxy."""

    def __init__(self, *, connections: int = 4, headers: Mapping[str, str] | None = None) -> None:
        """Connect to nothing yet; at most so many `connections` at a time, with these headers."""
        self._headers = {"User-Agent": "holdfast", **(headers or {})}
        self._connections = connections
        self._opening = asyncio.Lock()
        self._session: ClientSession | None = None
        self._is_closed = False

    async def get(self, url: str, *, deadline_s: float, max_bytes: int) -> HttpReply:
        """Fetch `url`. Raises `OSError` when no whole answer came in time."""
        async with asyncio.timeout(deadline_s):  # its TimeoutError is an OSError
            session = await self._opened()
            return await _fetched(session, url, max_bytes)

    async def close(self) -> None:
        """Let go of connections."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _opened(self) -> "ClientSession":
        async with self._opening:
            if self._is_closed:
                raise ConnectionError("closed by us")
            if self._session is None:
                aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=self._connections, keepalive_timeout=_IDLE_S
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers=self._headers,
                    timeout=aiohttp.ClientTimeout(total=None),  # the deadline is ours
                    trust_env=False,  # it would also read passwords from a .netrc
                )
            return self._session


async def _fetched(session: "ClientSession", url: str, max_bytes: int) -> HttpReply:
    import aiohttp  # noqa: PLC0415 - imported by now

    try:
        async with session.get(url, proxy=proxy_for(url), allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk  # unpacked: a small answer cannot hide a large one
                if len(body) > max_bytes:
                    raise ConnectionError(f"the answer is longer than {max_bytes:,} bytes")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpReply(response.status, bytes(body), headers)
    except aiohttp.ClientConnectorCertificateError as error:
        raise _as_os_error(error.certificate_error) from error
    except aiohttp.ClientConnectorError as error:
        raise error.os_error from error
    except aiohttp.ClientPayloadError as error:
        raise ConnectionError("the answer broke off") from error
    except aiohttp.ServerDisconnectedError as error:
        raise ConnectionError("hung up without an answer") from error
    except aiohttp.ClientOSError as error:
        raise ConnectionError(f"the connection broke: {error.strerror or error}") from error
    except aiohttp.ClientError as error:
        raise ConnectionError(f"no usable HTTP answer ({type(error).__name__})") from error


def _as_os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else ConnectionError(f"TLS: {error}")


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for this address."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    proxies: dict[str, Any] = getproxies()
    return proxies.get(parts.scheme)
