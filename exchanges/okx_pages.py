"""OKX's lists, page by page: newest first, the next page after the last id of the one before.

A list counts only when all its pages came, each well-formed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from exchanges import okx_answers as okx
from exchanges.ccxt_wire import Endpoint, Wire
from exchanges.okx_fields import text
from exchanges.port import Unknown
from runtime.ports import Clock

log = structlog.get_logger("trade.execution")

Rows = list[Mapping[str, Any]]

_PAGE = 100  # rows; every endpoint takes it
_MAX_PAGES = 100


class Pages:
    """Reads lists of one account."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock

    def by_venue_clock(self, moment: datetime) -> datetime:
        """Return a time of our clock by the venue's, if that is behind: else as it is."""
        return moment + timedelta(seconds=min(0.0, self._wire.clock_offset_s or 0.0))

    async def since(
        self,
        since: datetime | None,
        latest: timedelta,
        new: tuple[Endpoint, dict[str, str]],
        past: Sequence[tuple[Endpoint, dict[str, str]]],
        *,
        cut: bool = False,
    ) -> Rows | Unknown:
        """Return rows from `since` on, from the latest ones and, further back, from the archive.

        `cut`: see `all`.
        """
        is_recent = since is not None and self._clock.now() - since < latest
        begin = {} if since is None else {"begin": str(int(since.timestamp() * 1000))}
        found: Rows = []
        for endpoint, parameters in [new] if is_recent else [new, *past]:
            rows = await self.all(endpoint, parameters | begin, "billId", cut=cut)
            if isinstance(rows, Unknown):
                return rows
            found += rows
        return found

    async def all(
        self, endpoint: Endpoint, parameters: dict[str, str], key: str, *, cut: bool = False
    ) -> Rows | Unknown:
        """Return the rows of all pages, newest first, as OKX lists them.

        `cut`: of a list that is too long return the newest rows; else nothing is known of it.
        """
        found: Rows = []
        after: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            answer = await self._wire.ask(endpoint, parameters | after | {"limit": str(_PAGE)})
            page = okx.read(answer, lambda rows: [(text(row, key), row) for row in rows])
            if isinstance(page, Unknown):
                return page
            found += [row for _, row in page]
            if len(page) < _PAGE:
                return found
            last = page[-1][0]
            if after.get("after") == last:
                return Unknown(f"{endpoint.method}: the same page again")
            after = {"after": last}
        if cut:
            log.warning("list_cut", list=endpoint.method, rows=len(found))
            return found
        return Unknown(f"{endpoint.method}: more than {_MAX_PAGES * _PAGE} rows")
