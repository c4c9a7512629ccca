"""What a live view sees: the whole, the positions and the last events, in one answer.

It is asked for several times a second, so it is one request instead of three. A row costs about 50
microseconds: who shows ten asks for ten (`limit`), and rows are built a few at a time, so that
prices and exits get their turn in between. Positions without protection come first.
"""

import asyncio
from decimal import Decimal

from daemon import admin_requests as ask
from daemon.desk_reads import DeskReads, Result
from daemon.equity_trail import EquityTrail
from daemon.position_views import is_unprotected, watched_row
from daemon.recent import Recent
from daemon.view_text import computed, pct
from domain import portfolio_state as figures
from domain.errors import Refusal
from domain.money import ZERO
from domain.portfolio import unpriced

_AT_A_TIME = 20  # rows, about a millisecond


class DeskWatch:
    """Answers `watch`."""

    def __init__(self, reads: DeskReads, recent: Recent, loop: asyncio.AbstractEventLoop) -> None:
        self._reads = reads
        self._recent = recent
        self.trail = EquityTrail(loop, self._equity)

    async def answer(self, request: ask.Watch) -> Result | Refusal:
        """Return what is to be seen now, and the events after `request.since`."""
        status = self._reads.status()
        portfolio = self._reads.portfolio
        if isinstance(status, Refusal) or portfolio is None:
            return status
        world = self._reads.world
        start = portfolio.day_start_equity
        value = figures.equity(portfolio, world.prices.marks())
        rows: list[dict[str, object]] = []
        positions = sorted(self._reads.open_positions(), key=is_unprotected, reverse=True)
        for count, position in enumerate(positions[: request.limit], 1):
            rows.append(watched_row(position, self._reads.seen(position), world.clock.now()))
            if count % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return status | {
            "account": portfolio.account,
            "day_pnl": computed(-figures.lost_today(portfolio, value)),
            "day_pnl_pct": pct((value - start) / start) if start > ZERO else None,
            "equity_trail": self.trail.view(),
            "positions": rows,
            "events": self._recent.since(request.since),
            "last_event": self._recent.last,
        }

    def _equity(self) -> Decimal | None:
        portfolio = self._reads.portfolio
        if portfolio is None:
            return None
        marks = self._reads.world.prices.marks()
        if unpriced(portfolio, marks):
            return None  # a position without a price would count as one without gain or loss
        return figures.equity(portfolio, marks)
