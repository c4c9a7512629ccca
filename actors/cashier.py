"""The part of a portfolio that books what no order did.

Money that moves by itself, and executions by somebody else's hand.
"""

from typing import Any

import structlog

from actors.dust import WriteOffDust
from actors.journaled import Journaled
from actors.messages import AccountTold, CorrectCash, FlowsTold, OpenCash, TellFunding
from domain import portfolio_cash
from domain.ids import PositionId
from domain.inputs import FillReported, FundingTold
from domain.money import ZERO
from domain.portfolio import Portfolio
from domain.portfolio_events import AnyPortfolioEvent, FlowsRead
from domain.position import Position
from runtime.actor import handles

log = structlog.get_logger("trade.execution")


class Cashier(Journaled):
    """Books flows of money; completes the ledger by fills that the exchange cannot tell again."""

    @property
    def portfolio(self) -> Portfolio:
        """The account as of its last event."""
        raise NotImplementedError

    def _record(self, *events: AnyPortfolioEvent, then: tuple[Any, ...] = ()) -> None:
        raise NotImplementedError

    def on_fill(self, report: FillReported) -> None:
        """Book a fill once."""
        raise NotImplementedError

    @handles(AccountTold)
    def on_account_told(self, told: AccountTold) -> None:
        """Note whose account it is; another one begins anew."""
        before, now = self.portfolio.venue_account, self.world.clock.now()
        events = portfolio_cash.identify(self.portfolio, told.venue_account, now=now)
        if events:
            was = None if before is None else str(before)
            log.info("account_identified", account=str(told.venue_account), was=was)
        self._record(*events)

    @handles(OpenCash)
    def on_open_cash(self, opening: OpenCash) -> None:
        """Take over the first balance that the venue tells."""
        if portfolio_cash.is_opened(self.portfolio):
            return
        now = self.world.clock.now()
        moved = portfolio_cash.open_cash(
            self.portfolio, opening.total, now=now, until=opening.until
        )
        log.info("account_opened", balance=opening.total, asset=self.portfolio.quote)
        self._record(moved)

    @handles(FlowsTold)
    def on_flows(self, told: FlowsTold) -> None:
        """Book what moved, once each; positions are told of their part of funding."""
        for flow in told.flows:
            marks = self.world.prices.marks()
            for event in portfolio_cash.move_cash(self.portfolio, flow, marks):
                log.info(
                    "cash_moved",
                    kind=flow.kind.value,
                    amount=flow.amount,
                    asset=flow.asset,
                    symbol=flow.symbol,
                    text=flow.text,
                )
                self._record(event)
                told_to = tuple(self._funding_of(position_id) for position_id, _ in event.shares)
                self._record(then=told_to)
        if told.until is not None:
            self._record(FlowsRead(told.until))

    @handles(CorrectCash)
    def on_correct_cash(self, wanted: CorrectCash) -> None:
        """Take the venue's word for the balance, unless ours has moved since it was compared."""
        if self.portfolio.balance != wanted.balance:
            return
        now, marks = self.world.clock.now(), self.world.prices.marks()
        amount = wanted.amount
        log.warning("balance_corrected", amount=amount, why=wanted.why)
        self.world.telemetry.alarm("BALANCE_CORRECTED", f"{amount} {self.portfolio.quote}")
        self._record(
            *portfolio_cash.correct_cash(self.portfolio, amount, marks, wanted.why, now=now)
        )

    @handles(WriteOffDust)
    def on_dust_gone(self, wanted: WriteOffDust) -> None:
        """Write off what closed positions left over and the venue holds no more."""
        dust, left = wanted.lost.dust, wanted.lost.left
        gone = portfolio_cash.write_off(self.portfolio, dust, left, now=self.world.clock.now())
        if gone:
            log.info("dust_gone", symbol=dust.symbol, quantity=dust.quantity - left)
        self._record(*gone)

    @handles(TellFunding)
    def on_tell_funding(self, message: TellFunding) -> None:
        """Tell every position what a crash may have kept from it."""
        del message
        for position_id, holding in self.portfolio.holdings.items():
            if holding.ledger.funding != ZERO:
                self._record(then=(self._funding_of(position_id),))

    def _funding_of(self, position_id: PositionId) -> FundingTold:
        total = self.portfolio.holdings[position_id].ledger.funding
        return FundingTold(position_id, total, self.world.clock.now())

    def _book_outside(self, position: Position) -> None:
        """Book what nobody but the position itself can tell: fills without an order of ours."""
        for fill in position.outside_fills:
            self.on_fill(FillReported(position.id, fill))

    def _complete(self) -> None:
        """Book what was durable at a position and not told any more before a crash."""
        for position in self.world.states.of_kind("position"):
            if position.outside_fills and not position.is_settled:
                self._book_outside(position)
        self.tell(self.name, TellFunding())
