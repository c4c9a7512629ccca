"""The venue's balance against ours: books what moved, corrects what nothing explains.

Owned by the reconciler; the portfolio books.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from math import inf
from typing import Any

from actors import names
from actors.holdings import MOST_TOLD
from actors.looking import Looked
from actors.messages import CorrectCash, FlowsTold, OpenCash
from actors.persistence import JOURNAL_DOWN
from actors.world import World
from domain.dust import LostDust
from domain.ids import Symbol
from domain.money import ZERO
from domain.portfolio_cash import is_opened, move_cash, write_off
from domain.portfolio_life import evolve
from domain.portfolio_state import Portfolio, cash
from domain.reconciliation import SETTLED_S
from domain.venue import Balance, VenuePosition

TOLERANCE = Decimal("0.01")  # quote: venues round
STANDS_S = 8.0  # how long a difference must be the same, while nothing is in flight
STANDS_BUSY_S = 60.0  # likewise, on an account where something always is
_NOTED_EVERY = timedelta(hours=1)
_MARGIN = timedelta(hours=1)  # a venue may tell of a flow late


class Money:
    """Knows what the balance is short of, and since when."""

    def __init__(
        self, world: World, tell: Callable[[str, Any], object], *, spot_is_paid: bool, books: bool
    ) -> None:
        self.world = world
        self.tell = tell
        self.spot_is_paid = spot_is_paid
        self.books = books  # of a real venue; the paper venue's account is ours by construction
        self.told: Decimal | None = None  # quote, as last read
        self.costs: dict[Symbol, Decimal] | None = None  # of what the venue holds, quote, signed
        self.missing: tuple[LostDust, ...] = ()
        self.gap = ZERO
        self.since_s: float | None = None
        self.booked_until: datetime | None = None  # all that the venue told of until then
        self.done: deque[str] = deque(maxlen=MOST_TOLD)  # about it, since somebody asked
        self.deeds = 0  # since the start

    def flows_since(self, otherwise: datetime) -> datetime:
        """Return from when on the venue is to tell what moved.

        It lists every trade among it: where nothing has moved for long, that is more than can be
        read in time. So what was read once is not read again.
        """
        portfolio = self.world.portfolio()
        if portfolio is None or portfolio.flows_from is None:
            return otherwise
        known = self.booked_until or portfolio.flows_read or portfolio.flows_from
        return max((known, portfolio.flows_from, *portfolio.flows.values())) - _MARGIN

    @property
    def ours(self) -> Decimal | None:
        """Quote that we expect the venue to hold; None while that cannot be said.

        Not while nothing can be written either: what is not durable is not booked yet.
        """
        portfolio = self.world.portfolio()
        if JOURNAL_DOWN in self.world.causes:
            return None
        if portfolio is None or self.costs is None or (self.books and not is_opened(portfolio)):
            return None
        now = self.world.clock.now()
        for each in self.missing:
            gone = write_off(portfolio, each.dust, each.left, now=now)
            portfolio = reduce(evolve, gone, portfolio)
        return cash(portfolio, self.costs, spot_is_paid=self.spot_is_paid)

    def total_of(self, balances: tuple[Balance, ...]) -> Decimal | None:
        """Return the quote's total; an asset that is not named has none."""
        portfolio = self.world.portfolio()
        if portfolio is None:
            return None
        of_quote = (each.total for each in balances if each.asset == portfolio.quote)
        return next(of_quote, ZERO)

    def contradicts(self, told: tuple[Balance, ...]) -> bool:
        """Whether a pushed balance is other than ours, though nothing has happened lately."""
        portfolio, ours = self.world.portfolio(), self.ours
        if portfolio is None:
            return False
        total = next((each.total for each in told if each.asset == portfolio.quote), None)
        if total is None or self._is_busy(self.world.clock.monotonic()):
            return False
        return ours is None or abs(total - ours) >= TOLERANCE

    def note_holdings(
        self, told: tuple[VenuePosition, ...], missing: tuple[LostDust, ...], *, agree: bool
    ) -> None:
        """Take down what the venue's holdings cost; unless they are ours, nothing can be said.

        Dust that is `missing` there is in its balance already.
        """
        self.costs, self.missing = None, missing
        if agree:
            self.costs = {}
            for each in told:
                cost = self.costs.get(each.symbol, ZERO) + each.quantity * each.average_price
                self.costs[each.symbol] = cost

    def judge(self, looked: Looked, *, act: bool) -> None:
        """Book what moved, else compare; a difference is corrected when it has stood long."""
        portfolio = self.world.portfolio()
        if looked.balances is None or looked.flows is None or portfolio is None:
            return
        self.told = self.total_of(looked.balances)
        assert self.told is not None
        if self.books and act:
            if not is_opened(portfolio):
                # The venue dates them: our clock may be ahead, and hide what moves next.
                ats = (flow.at for flow in looked.flows)
                until = max(ats, default=looked.began - _MARGIN)
                self.tell(names.PORTFOLIO, OpenCash(self.told, until))
                self._did(f"account opened with {self.told} {portfolio.quote}")
                return
            marks = self.world.prices.marks()
            new = tuple(each for each in looked.flows if move_cash(portfolio, each, marks))
            if new:
                self.tell(names.PORTFOLIO, FlowsTold(new))
                self._did(f"{len(new)} flows of money booked")
                self.since_s = None
                return
            self._note_read(looked.began, portfolio)
        self._compare(looked, act=act)

    def _note_read(self, until: datetime, portfolio: Portfolio) -> None:
        """Remember until when all is booked; now and then for the next process, too."""
        self.booked_until = until
        noted = portfolio.flows_read or portfolio.flows_from
        if noted is None or until - noted >= _NOTED_EVERY:
            self.tell(names.PORTFOLIO, FlowsTold((), until))

    def _compare(self, looked: Looked, *, act: bool) -> None:
        ours = self.ours
        assert self.told is not None
        if ours is None or looked.positions is None:
            self.gap, self.since_s = ZERO, None
            return
        gap = self.told - ours
        if abs(gap) < TOLERANCE:
            self.gap, self.since_s = ZERO, None
            return
        if self.since_s is None or abs(gap - self.gap) >= TOLERANCE:
            self.gap, self.since_s = gap, looked.ended_s
            return
        stood_s = looked.began_s - self.since_s
        enough_s = STANDS_BUSY_S if self._is_busy(looked.began_s) else STANDS_S
        portfolio = self.world.portfolio()
        if act and self.books and stood_s >= enough_s and portfolio is not None:
            why = "no fill of ours and no flow of money that the venue tells explains it"
            self.tell(names.PORTFOLIO, CorrectCash(gap, portfolio.balance, why))
            self._did(f"balance corrected by {gap}")
            self.gap, self.since_s = ZERO, None

    def _did(self, what: str) -> None:
        self.done.append(what)
        self.deeds += 1

    def _is_busy(self, now_s: float) -> bool:
        return max(self.world.booked.values(), default=-inf) > now_s - SETTLED_S
