"""How well positions did, from the realized P&L of the closed ones.

A ratio without a base is None, never 0 or infinite: no losses yet is not a profit factor.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from domain.money import ZERO


class TradeRecord(msgspec.Struct, frozen=True):
    """Counts and sums over closed positions: enough for every ratio, constant in size."""

    wins: int = 0
    losses: int = 0  # a position that earned nothing after fees is one
    won: Decimal = ZERO  # quote, sum over the wins
    lost: Decimal = ZERO  # quote, sum over the losses, >= 0

    def after(self, realized_pnl: Decimal) -> "TradeRecord":
        """Return the record with one more closed position, its P&L in quote net of fees."""
        if realized_pnl > ZERO:
            return msgspec.structs.replace(self, wins=self.wins + 1, won=self.won + realized_pnl)
        return msgspec.structs.replace(self, losses=self.losses + 1, lost=self.lost - realized_pnl)

    @property
    def count(self) -> int:
        """Closed positions."""
        return self.wins + self.losses

    @property
    def total_pnl(self) -> Decimal:
        """Quote, net of fees."""
        return self.won - self.lost

    @property
    def win_rate(self) -> Decimal | None:
        """Fraction of closed positions that earned something, 0-1."""
        return Decimal(self.wins) / self.count if self.count else None

    @property
    def average_win(self) -> Decimal | None:
        """Quote, > 0."""
        return self.won / self.wins if self.wins else None

    @property
    def average_loss(self) -> Decimal | None:
        """Quote, >= 0."""
        return self.lost / self.losses if self.losses else None

    @property
    def profit_factor(self) -> Decimal | None:
        """Quote won for each quote lost; None without a loss."""
        return self.won / self.lost if self.lost else None


class Performance(msgspec.Struct, frozen=True):
    """A trader's or an account's closed positions in short."""

    record: TradeRecord = TradeRecord()
    best: Decimal | None = None  # quote, of one position
    worst: Decimal | None = None
    max_drawdown: Decimal = ZERO  # largest fraction below a former peak of the balance, >= 0


def summarize(pnls: Iterable[Decimal], *, initial_balance: Decimal) -> Performance:
    """Return the performance of closed positions, in order of closing.

    `pnls` are their realized P&L in quote, net of fees. Drawdown is that of
    `initial_balance` plus the P&L so far, seen at each closing.
    """
    record = TradeRecord()
    best = worst = None
    peak = balance = initial_balance
    drawdown = ZERO
    for pnl in pnls:
        record = record.after(pnl)
        best = pnl if best is None else max(best, pnl)
        worst = pnl if worst is None else min(worst, pnl)
        balance += pnl
        peak = max(peak, balance)
        drawdown = max(drawdown, drawdown_of(balance, peak))
    return Performance(record=record, best=best, worst=worst, max_drawdown=drawdown)


def drawdown_of(equity: Decimal, peak: Decimal) -> Decimal:
    """Return the fraction by which `equity` lies below `peak`: 0 at it, 1 when all is gone."""
    return max(ZERO, (peak - equity) / peak) if peak > ZERO else ZERO
