"""Asking a venue about orders in doubt, many with one question.

A storm of lost answers leaves hundreds of orders in doubt at once. Each is looked up by its id,
exits first; fills and positions are read once for all of a round, and only when some order is not
found or has filled more than we know. So the reads grow with the rounds, not with the orders, and
an order that is found costs one.

A round ends in `Findings`, from which the exchange actor concludes. For a proof of absence they
say when each look-up began: what had not had its time to arrive by then proves nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from actors.doubt import AFTER_A_STEP, FILLS_WITHIN_S, MARGIN, within
from actors.messages import Finding, Findings
from domain.ids import ClientOrderId, Symbol
from domain.money import ZERO
from domain.order import Fill, Order
from exchanges.port import Exchange, NotFound, Unknown, VenueOrder
from runtime.ports import Clock

A_ROUND = 100  # orders
AT_ONCE = 10  # look-ups under way together
BETWEEN_S = 0.1  # rounds that find nothing out must not become a flood
LATELY = timedelta(hours=2)
_CUT = Unknown("the venue did not answer about others; this one was not asked")


class Question(msgspec.Struct, frozen=True):
    """What became of an order; `since` is when its fills may have begun, None: nobody knows."""

    client_order_id: ClientOrderId
    symbol: Symbol
    since: datetime | None
    attempt: int
    repeats: bool  # it is asked again until it is known
    is_exit: bool


Answer = VenueOrder | NotFound | Unknown


class Inquiry:
    """Collects questions while a round is under way, and asks them in the next."""

    def __init__(
        self, port: Exchange, clock: Clock, order: Callable[[ClientOrderId], Order | None]
    ) -> None:
        """Prepare; `order` returns what is known of an order at this moment."""
        self.is_under_way = False
        self._port = port
        self._clock = clock
        self._order = order
        self._waiting: dict[ClientOrderId, Question] = {}

    def add(self, question: Question) -> None:
        """Ask it in the next round; an order is asked about once in each."""
        known = self._waiting.get(question.client_order_id)
        if known is None or question.repeats:
            self._waiting[question.client_order_id] = question

    async def rounds(self, tell: Callable[[Findings], object]) -> None:
        """Ask until no question is left; tell after each round."""
        self.is_under_way = True
        try:
            while self._waiting:
                tell(await self._round(self._next()))
                await asyncio.sleep(BETWEEN_S if self._waiting else 0)
        finally:
            self.is_under_way = False

    def _next(self) -> list[Question]:
        """Take the questions of a round: exits first, then in the order they came."""
        batch = sorted(self._waiting.values(), key=lambda each: not each.is_exit)[:A_ROUND]
        for question in batch:
            del self._waiting[question.client_order_id]
        return batch

    async def _round(self, batch: Sequence[Question]) -> Findings:
        answers, asked_s = await self._look_up(batch)
        open_ones = [each for each in batch if self._needs_fills(answers[each.client_order_id])]
        fills = await self._fills(open_ones, answers) if open_ones else ()
        absent = any(isinstance(answer, NotFound) for answer in answers.values())
        nets = await self._nets() if absent and not isinstance(fills, Unknown) else None
        found = []
        for each in batch:
            answer = answers[each.client_order_id]
            found.append(
                Finding(
                    client_order_id=each.client_order_id,
                    order=answer if isinstance(answer, VenueOrder) else None,
                    not_found=isinstance(answer, NotFound),
                    asked_s=asked_s[each.client_order_id],
                    attempt=each.attempt,
                    repeats=each.repeats,
                )
            )
        told = () if isinstance(fills, Unknown) else fills
        return Findings(tuple(found), told, None if isinstance(nets, Unknown) else nets)

    async def _look_up(
        self, batch: Sequence[Question]
    ) -> tuple[dict[ClientOrderId, Answer], dict[ClientOrderId, float]]:
        """Ask by id, some at a time; a venue that answers none of those is left alone."""
        answers: dict[ClientOrderId, Answer] = {each.client_order_id: _CUT for each in batch}
        asked_s = dict.fromkeys(answers, self._clock.monotonic())
        for start in range(0, len(batch), AT_ONCE):
            some = batch[start : start + AT_ONCE]
            now_s = self._clock.monotonic()
            told = await asyncio.gather(
                *(within(self._port.order(each.symbol, each.client_order_id)) for each in some)
            )
            for each, answer in zip(some, told, strict=True):
                answers[each.client_order_id] = answer
                asked_s[each.client_order_id] = now_s
            if all(isinstance(answer, Unknown) for answer in told):
                break
        return answers, asked_s

    def _needs_fills(self, answer: Answer) -> bool:
        """Whether fills may tell more: of an order not found, or filled beyond what we booked."""
        if isinstance(answer, Unknown):
            return False
        if isinstance(answer, NotFound):
            return True
        known = self._order(answer.terms.client_order_id)
        return answer.filled > (ZERO if known is None else known.filled)

    async def _fills(
        self, questions: Sequence[Question], answers: Mapping[ClientOrderId, Answer]
    ) -> tuple[Fill, ...] | Unknown:
        """Return executions that may be of these orders: the latest first, all if those lack some.

        An order may have rested for weeks before it filled. What is not found proves its absence
        only by all fills since it was sent.
        """
        now = self._clock.now()
        times = [each.since for each in questions]
        since = None if None in times else min(at for at in times if at is not None)
        begins: list[datetime | None] = [None]
        if since is not None:
            begins = [since - MARGIN, since - AFTER_A_STEP]
        all_found = all(isinstance(answers[each.client_order_id], VenueOrder) for each in questions)
        if all_found and since is not None and since < now - LATELY - MARGIN:
            begins.insert(0, now - LATELY)
        fills: tuple[Fill, ...] | Unknown = ()
        for begin in begins:
            fills = await within(self._port.fills(begin), FILLS_WITHIN_S)
            if isinstance(fills, Unknown) or not self._lacks(answers, fills):
                break
        return fills

    def _lacks(self, answers: Mapping[ClientOrderId, Answer], fills: Sequence[Fill]) -> bool:
        told: dict[ClientOrderId, Decimal] = {}
        for fill in fills:
            order = self._order(fill.client_order_id)
            if order is None or not order.has(fill.trade_id):
                told[fill.client_order_id] = told.get(fill.client_order_id, ZERO) + fill.quantity
        for order_id, answer in answers.items():
            if isinstance(answer, VenueOrder) and self._needs_fills(answer):
                order = self._order(order_id)
                booked = ZERO if order is None else order.filled
                if booked + told.get(order_id, ZERO) < answer.filled:
                    return True
        return False

    async def _nets(self) -> dict[Symbol, Decimal] | Unknown:
        positions = await within(self._port.positions())
        if isinstance(positions, Unknown):
            return positions
        nets: dict[Symbol, Decimal] = {}
        for each in positions:
            nets[each.symbol] = nets.get(each.symbol, ZERO) + each.quantity
        return nets
