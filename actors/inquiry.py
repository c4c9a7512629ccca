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
from actors.messages import Finding, Findings, Net
from domain.ids import ClientOrderId, Symbol
from domain.money import ZERO
from domain.order import Fill, Order
from exchanges.port import Exchange, NotFound, Unknown, VenueOrder
from runtime.ports import Clock

A_ROUND = 100  # orders
AT_ONCE = 10  # look-ups under way together
TOLD_LATE = timedelta(seconds=20)  # a list of fills may lack the latest for so long
BETWEEN_S = 0.1  # rounds that find nothing out must not become a flood
LATELY = timedelta(hours=2)  # of our clock, which may have been set
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
        self._read: tuple[datetime, datetime] | None = None  # all fills between these are known

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
        absent = any(isinstance(answer, NotFound) for answer in answers.values())
        nets = await self._nets() if absent else None  # before the fills, which then explain it
        fills = await self._fills(open_ones, answers) if open_ones else ()
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
        if isinstance(fills, Unknown) or isinstance(nets, Unknown):
            nets = None
        return Findings(tuple(found), () if isinstance(fills, Unknown) else fills, nets)

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
        return answer.filled > self._booked(answer.terms.client_order_id)

    async def _fills(
        self, questions: Sequence[Question], answers: Mapping[ClientOrderId, Answer]
    ) -> tuple[Fill, ...] | Unknown:
        """Return executions since the oldest of these orders; further back if some are missing.

        What an earlier round has read is not read again, but for what a list may tell late: the
        oldest order in doubt does not make every round longer. Nor does one that rested for weeks
        before it filled: of what is found the latest fills are read first. What is not found proves
        its absence only by all fills since it was sent.
        """
        times = [each.since for each in questions]
        since = None if None in times else min(at for at in times if at is not None) - MARGIN
        begin = self._unread(since)
        lately = self._clock.now() - LATELY
        all_found = all(isinstance(answers[each.client_order_id], VenueOrder) for each in questions)
        is_cut = all_found and begin is not None and begin < lately
        fills = await self._read_fills(lately if is_cut else begin)
        if since is None or isinstance(fills, Unknown):
            return fills
        if not is_cut:
            self._has_read(since, fills)
        missing = [
            each
            for each in questions
            if isinstance(answer := answers[each.client_order_id], VenueOrder)
            and self._known_with(fills, each.client_order_id) < answer.filled
        ]
        if not missing:
            return fills
        self._read = None  # it was not all there
        oldest = min(each.since for each in missing if each.since is not None)
        return await self._read_fills(oldest - AFTER_A_STEP)

    def _known_with(self, fills: Sequence[Fill], order_id: ClientOrderId) -> Decimal:
        """Return how much of an order is filled, as booked and by these fills together."""
        order = self._order(order_id)
        new = (
            fill.quantity
            for fill in fills
            if fill.client_order_id == order_id and (order is None or not order.has(fill.trade_id))
        )
        return sum(new, self._booked(order_id))

    async def _read_fills(self, since: datetime | None) -> tuple[Fill, ...] | Unknown:
        return await within(self._port.fills(since), FILLS_WITHIN_S)

    def _unread(self, since: datetime | None) -> datetime | None:
        if since is None or self._read is None or since < self._read[0]:
            return since
        return max(since, self._read[1] - TOLD_LATE)

    def _has_read(self, since: datetime, fills: Sequence[Fill]) -> None:
        """Note from when to when all fills are known, by the venue's own time."""
        newest = max((fill.at for fill in fills), default=None)
        if self._read is not None and since >= self._read[0]:
            since = self._read[0]
            newest = self._read[1] if newest is None else max(newest, self._read[1])
        self._read = None if newest is None else (since, newest)

    def _booked(self, order_id: ClientOrderId) -> Decimal:
        known = self._order(order_id)
        return ZERO if known is None else known.filled

    async def _nets(self) -> dict[Symbol, Net] | Unknown:
        positions = await within(self._port.positions())
        if isinstance(positions, Unknown):
            return positions
        nets: dict[Symbol, Net] = {}
        for each in positions:
            before = nets.get(each.symbol)
            if before is None:
                nets[each.symbol] = Net(each.quantity, each.updated_at)
            else:  # long and short have each a time of their own
                nets[each.symbol] = Net(before.quantity + each.quantity)
        return nets
