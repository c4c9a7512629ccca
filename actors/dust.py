"""Dust that the venue holds no more: it is written off once that has stood for some seconds.

Owned by the reconciler; the portfolio books. Until then the balance says nothing: what dust was
sold for is in it already. But not for ever: where our own fills follow closely no read confirms
that dust is gone. After a while the balance is compared as if it were.
"""

from collections.abc import Callable, Container
from typing import Any

import msgspec

from actors import names
from actors.looking import Looked
from actors.world import World
from domain.dust import LostDust, lost_dust
from domain.ids import Symbol
from domain.portfolio_state import Dust
from domain.reconciliation import UNEXPLAINED_S, Side

HOLDS_BACK_S = 60.0  # what is missing makes the balance say nothing for so long, at most


class WriteOffDust(msgspec.Struct, frozen=True):
    """Message: the venue holds only `left` of this dust, unless there is more or less of it now."""

    lost: LostDust


class DustWatch:
    """Knows what dust is missing, and since when."""

    def __init__(self, world: World, tell: Callable[[str, Any], object]) -> None:
        self.world = world
        self.tell = tell
        self.since_s: dict[LostDust, float] = {}  # monotonic; when that was first read
        self.missing_since_s: float | None = None  # likewise, until a read shows that none is

    def holds_back(self, now_s: float) -> bool:
        """Whether the balance is not to be compared, because some of it is missing."""
        since_s = self.missing_since_s
        return bool(self.since_s) and since_s is not None and now_s - since_s < HOLDS_BACK_S

    @property
    def missing(self) -> tuple[LostDust, ...]:
        """What the last read did not show."""
        return tuple(self.since_s)

    def owned(self) -> tuple[Dust, ...]:
        """Return all dust of the account."""
        portfolio = self.world.portfolio()
        return () if portfolio is None else portfolio.dust

    def symbols(self) -> frozenset[Symbol]:
        """Return what there is dust of."""
        return frozenset(each.symbol for each in self.owned())

    def judge(
        self,
        looked: Looked,
        sides: tuple[Side, ...],
        unsettled: Container[Symbol],
        *,
        hedged: bool,
        act: bool,
    ) -> tuple[LostDust, ...]:
        """Compare; return what is written off. In `unsettled` symbols a read confirms nothing."""
        lost = lost_dust(self.owned(), sides, self.world.instruments, hedged=hedged)
        self.since_s = {each: self.since_s.get(each, looked.ended_s) for each in lost}
        if not lost and not any(symbol in unsettled for symbol in self.symbols()):
            self.missing_since_s = None
        elif lost and self.missing_since_s is None:
            self.missing_since_s = looked.ended_s
        over = tuple(
            each
            for each, since_s in self.since_s.items()
            if looked.began_s - since_s >= UNEXPLAINED_S and each.dust.symbol not in unsettled
        )
        for each in over if act else ():
            self.tell(names.PORTFOLIO, WriteOffDust(each))
        return over if act else ()
