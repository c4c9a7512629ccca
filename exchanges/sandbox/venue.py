"""The venue's core: the market, the accounts, and time. It does no I/O and reads no clock."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from exchanges.sandbox.account import Account
from exchanges.sandbox.algos import end_with_positions, watch
from exchanges.sandbox.catalog import Listing
from exchanges.sandbox.margin import FUNDING_EVERY_MS, liquidate, pay_funding
from exchanges.sandbox.market import Market, Quote, Trade
from exchanges.sandbox.trading import BY_TIMER, end, work


class Venue:
    """A market and those who trade in it. Call `advance` with the time before anything else."""

    def __init__(self, listings: Iterable[Listing], now_ms: int) -> None:
        self.market = Market(listings, now_ms)
        self.clock_ms = now_ms
        self.market.on_move.append(self._moved)
        self.accounts: list[Account] = []
        self._funded_ms = now_ms - now_ms % FUNDING_EVERY_MS

    @property
    def account(self) -> Account:
        """The first account, of the keys that are printed at the start."""
        return self.accounts[0]

    def open_account(self, balances: Mapping[str, Decimal]) -> Account:
        """Begin an account with so much money."""
        account = Account(self.market, dict(balances), uid=str(1_000_000 + len(self.accounts)))
        account.on_change.append(end_with_positions)
        self.accounts.append(account)
        return account

    def advance(self, now_ms: int) -> None:
        """Let time pass: funding that is due is paid, timers run out. It never goes back.

        A clock that is set back is told as it is by `public/time`; what happens is not dated back.
        """
        self.clock_ms = now_ms
        self.market.now_ms = max(self.market.now_ms, now_ms)
        due = self.market.now_ms - self.market.now_ms % FUNDING_EVERY_MS
        if due > self._funded_ms:
            self._funded_ms = due
            for account in self.accounts:
                for name in dict.fromkeys(one.listing.inst_id for one in account.open_positions()):
                    pay_funding(account, name)
        for account in self.accounts:
            at_ms = account.cancel_all_at_ms
            if at_ms is not None and self.market.now_ms >= at_ms:
                account.cancel_all_at_ms = None
                for some in list(account.working.values()):
                    for order in list(some.values()):
                        end(account, order, BY_TIMER)

    def set_price(self, inst_id: str, last: Decimal | str, **more: Decimal) -> None:
        """Let an instrument trade at `last`; `bid`, `ask`, `mark` follow unless given."""
        self.market.move(inst_id, Decimal(last), **more)  # type: ignore[arg-type]

    def _moved(self, quote: Quote, trade: Trade | None) -> None:
        del trade
        for account in self.accounts:
            work(account, quote)
            watch(account, quote)
            if account.positions:
                liquidate(account, quote)
