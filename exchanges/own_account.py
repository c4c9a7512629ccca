"""An account that is used only once the venue has said whose it is.

What is open was opened in one account. With a key of another its stops would sell what is not ours,
and what is not found there would be taken for closed. So before anything else the venue is asked
whose the login is. Until it has told, and for good where it names another than the one expected,
nothing is ordered, changed or canceled, nothing is read, and nothing that is pushed is passed on:
for whoever asks, the venue is away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from domain.ids import ClientOrderId, Symbol
from domain.instrument import Instrument
from domain.order import Fill, OrderTerms
from exchanges.breaker import VenueHealth
from exchanges.port import (
    AccountFacts,
    Balance,
    Cancellation,
    CashFlow,
    DistantExchange,
    NotFound,
    OutsideFill,
    Refused,
    StreamDown,
    StreamUp,
    Submission,
    Unknown,
    VenueAccount,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)

T = TypeVar("T")

OTHER_ACCOUNT = "OTHER_ACCOUNT"
REMEDY = (
    "Put the key of the account back in which this was opened, then restart. To leave that account,"
    " close everything in it first; or give the other one its own data_dir."
)


def other_account(told: VenueAccount, ours: VenueAccount) -> Refused:
    """Return why nothing is sent with this key."""
    text = f"The key is of {told}, and what is open was opened in {ours}. Nothing is sent."
    return Refused(OTHER_ACCOUNT, text, REMEDY)


class OwnAccount:
    """One login at one venue, held back until it is known to be of the right account."""

    def __init__(
        self,
        venue: DistantExchange,
        expected: VenueAccount | None,
        on_told: Callable[[VenueAccount], object],
    ) -> None:
        """Prepare.

        Args:
            venue: the login.
            expected: in which something is open; None: nothing is, and the first one told is it.
            on_told: is told whose account it is, before anything is read from it, and again later.
        """
        self.abilities = venue.abilities
        self._venue = venue
        self._ours = expected
        self._on_told = on_told
        self._on_update: Callable[[VenueUpdate], None] | None = None
        self._is_certain = False
        self._other: Refused | None = None
        self._asking = asyncio.Lock()

    async def start(self, on_update: Callable[[VenueUpdate], None]) -> None:
        """Connect; what is pushed is passed on once it is certain of whom it tells."""
        self._on_update = self._on_update or on_update
        await self._venue.start(self._pass_on)

    def _pass_on(self, update: VenueUpdate) -> None:
        """Leave out what comes too early: whatever is read is read after that, and has it all."""
        assert self._on_update is not None  # nothing is pushed before the start
        if self._is_certain or isinstance(update, StreamUp | StreamDown):
            self._on_update(update)

    async def close(self) -> None:
        """Disconnect."""
        await self._venue.close()

    def health(self) -> VenueHealth:
        """Return how the line is doing."""
        return self._venue.health()

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what can be traded: it is the same for every account."""
        return self._venue.instruments()

    def listed(self) -> tuple[Instrument, ...] | None:
        """Return what the venue lists of what is traded here; None: not told yet."""
        return self._venue.listed()

    # --- whose it is ---

    async def whose(self) -> VenueAccount | Refused | Unknown:
        """Return whose account it is; refused when it is not the one expected."""
        async with self._asking:
            if self._is_certain and self._ours is not None:
                return self._ours
            if self._other is not None:
                return self._other
            told = await self._venue.whose()
            if not isinstance(told, VenueAccount):
                return told
            if self._ours is not None and told != self._ours:
                return self._refuse(told, self._ours)
            self._ours = told
            self._on_told(told)
            self._is_certain = True
            return told

    def _refuse(self, told: VenueAccount, ours: VenueAccount) -> Refused:
        self._is_certain = False
        self._other = other_account(told, ours)
        return self._other

    async def account(self) -> AccountFacts | Refused | Unknown:
        """Return what the login may do, if it is of the right account."""
        whose = await self.whose()
        if not isinstance(whose, VenueAccount):
            return whose
        facts = await self._venue.account()
        if isinstance(facts, AccountFacts) and facts.account_id != whose.account_id:
            return self._refuse(VenueAccount(facts.account_id, whose.is_demo), whose)
        self._on_told(whose)  # again: whoever was told first may have crashed
        return facts

    async def _once_certain(
        self, ask: Callable[[], Awaitable[T]], otherwise: Callable[[Refused | Unknown], T]
    ) -> T:
        if not self._is_certain:
            whose = await self.whose()
            if not isinstance(whose, VenueAccount):
                return otherwise(whose)
        return await ask()

    def _read(self, ask: Callable[[], Awaitable[T | Unknown]]) -> Awaitable[T | Unknown]:
        return ask() if self._is_certain else self._once_certain(ask, _unread)

    def _send(self, send: Callable[[], Awaitable[T | Refused]]) -> Awaitable[T | Refused]:
        return send() if self._is_certain else self._once_certain(send, _unsent)

    # --- orders ---

    def submit(self, terms: OrderTerms) -> Awaitable[Submission]:
        """Send an order, once."""
        return self._send(lambda: self._venue.submit(terms))

    def cancel(self, symbol: Symbol, order_id: ClientOrderId) -> Awaitable[Cancellation]:
        """Ask to take an order out."""
        return self._send(lambda: self._venue.cancel(symbol, order_id))

    def amend(self, terms: OrderTerms) -> Awaitable[Cancellation]:
        """Change a resting order."""
        return self._send(lambda: self._venue.amend(terms))

    # --- reads ---

    def order(
        self, symbol: Symbol, order_id: ClientOrderId
    ) -> Awaitable[VenueOrder | NotFound | Unknown]:
        """Look one order up by our id."""
        return self._read(lambda: self._venue.order(symbol, order_id))

    def open_orders(self) -> Awaitable[tuple[VenueOrder, ...] | Unknown]:
        """Return all that rest at the venue."""
        return self._read(self._venue.open_orders)

    def fills(self, since: datetime | None) -> Awaitable[tuple[Fill, ...] | Unknown]:
        """Return executions, oldest first."""
        return self._read(lambda: self._venue.fills(since))

    def outside_fills(self, since: datetime) -> Awaitable[tuple[OutsideFill, ...] | Unknown]:
        """Return executions that were not ours, oldest first."""
        return self._read(lambda: self._venue.outside_fills(since))

    def cash_flows(self, since: datetime) -> Awaitable[tuple[CashFlow, ...] | Unknown]:
        """Return what moved money besides fills, oldest first."""
        return self._read(lambda: self._venue.cash_flows(since))

    def balances(self) -> Awaitable[tuple[Balance, ...] | Unknown]:
        """Return the account's money."""
        return self._read(self._venue.balances)

    def positions(self) -> Awaitable[tuple[VenuePosition, ...] | Unknown]:
        """Return holdings that are not zero."""
        return self._read(self._venue.positions)


def _unread(why: Refused | Unknown) -> Unknown:
    return why if isinstance(why, Unknown) else Unknown(f"{why.code}: {why.text}")


def _unsent(why: Refused | Unknown) -> Refused:
    """Return the refusal of an order: it is certain that it did not leave."""
    if isinstance(why, Refused):
        return why
    text = f"It is not known yet whose account this is: {why.why}"
    return Refused("ACCOUNT_UNKNOWN", text, "Nothing was sent. It is asked again.")
