"""Asking the venue for all that may have happened while nobody listened.

After a start, and whenever its private stream has come back.
"""

from datetime import datetime

import structlog

from actors.doubt import reconcile
from actors.messages import Beat, HoldingsRead, Reconciled, ReconcileFailed
from actors.sending import Sender
from actors.world import World
from domain.ids import ClientOrderId
from domain.order import RESTING, Order
from exchanges.port import Exchange
from runtime.actor import handles

log = structlog.get_logger("trade.execution")

RECONCILE_AGAIN_AFTER_S = 1.0
SHOWN_WITHIN_S = 10.0  # of a start: what a life before had executed shows in what is held


class TakingStock(Sender):
    """Asks until the venue has answered; one question at a time."""

    def __init__(self, world: World, port: Exchange) -> None:
        super().__init__(world, port)
        self.booked_until: datetime | None = None  # of this life
        self.is_asking = self.is_wanted = False
        self.is_waiting = False  # to ask again
        self.why_not_told = ""  # as logged

    def _is_news(self, order_id: ClientOrderId) -> bool:
        raise NotImplementedError

    async def _reconcile(self) -> None:
        """Ask the venue; once more when that was wanted while it was being asked."""
        self.is_wanted = True
        if self.is_asking:
            return
        self.is_asking = True
        try:
            while self.is_wanted:
                self.is_wanted = False
                await self._ask_all()
        finally:
            self.is_asking = False

    async def _ask_all(self) -> None:
        positions = self.world.states.latest_of("position")
        if not positions:
            self.tell(self.name, Reconciled((), (), 0.0))  # there is nobody it could concern
            return
        since = min(position.intended_at for position in positions)
        orders: list[Order] = [stream.state for stream in self.streams.values()]
        working = {order.terms.client_order_id: order for order in orders if not order.is_terminal}
        began = self.world.clock.now()
        said = await reconcile(
            self.port,
            since,
            self._booked_until(began),
            working,
            self._is_news,
            self.world.clock.monotonic(),
        )
        if isinstance(said, Reconciled):
            self.booked_until, self.why_not_told = began, ""
        self.tell(self.name, said)

    def _booked_until(self, now: datetime) -> datetime | None:
        """Return until when all that the venue told is booked; None: nobody knows.

        After a start that is when the life before was last heard of: what it did not journal it
        sent after that.
        """
        if self.booked_until is None:
            portfolio = self.world.portfolio()
            return None if portfolio is None else min(now, portfolio.marked_at)
        return min(now, self.booked_until)

    @handles(ReconcileFailed)
    def on_reconcile_failed(self, failed: ReconcileFailed) -> None:
        """Keep asking; nothing new is sent meanwhile, armed guards stay up."""
        if failed.why != self.why_not_told:
            self.why_not_told = failed.why
            log.warning("reconcile_failed", why=failed.why)
        if not self.is_waiting:
            self.is_waiting = True
            self.after(RECONCILE_AGAIN_AFTER_S, Beat())

    @handles(HoldingsRead)
    def on_holdings_read(self, read: HoldingsRead) -> None:
        """Let exits go whose units are held there, although orders or fills cannot be read.

        An exit of which only a life before knew would have sold them by now.
        """
        if self.reconciled or read.began_s < self.began_s + SHOWN_WITHIN_S:
            return
        waiting, self.waiting = self.waiting, []
        for effect in waiting:
            terms = effect.terms
            is_exit = terms.reduce_only and terms.type not in RESTING
            if is_exit and terms.symbol not in read.differing:
                log.warning("exit_unreconciled", client_order_id=terms.client_order_id)
                self._submit(effect)
            else:
                self.waiting.append(effect)

    @handles(Beat)
    def on_beat(self, beat: Beat) -> None:
        """Ask the venue again."""
        del beat
        self.is_waiting = False
        self.run(self._reconcile())
