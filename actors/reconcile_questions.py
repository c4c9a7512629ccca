"""Questions of people to the reconciler: what is asked, and when it can be answered."""

from collections.abc import Iterator
from dataclasses import dataclass

from actors.holdings import Holdings
from actors.looking import Depth, Looked
from actors.messages import ReconcileNow
from actors.reconcile_rules import ANSWER_WITHIN_S
from actors.world import World
from domain.errors import Refusal
from domain.ids import RequestId, Symbol
from domain.instrument import Kind


@dataclass(slots=True)
class _Question:
    asked: ReconcileNow
    since_s: float
    looks: int = 0


class Questions:
    """Waits, for each, until everything was read and nothing is left to be confirmed."""

    def __init__(self, holdings: Holdings) -> None:
        self.holdings = holdings
        self.waiting: list[_Question] = []

    @property
    def is_dry(self) -> bool:
        """Whether somebody wants nothing done."""
        return any(each.asked.dry_run for each in self.waiting)

    def take(self, asked: ReconcileNow, world: World) -> Refusal | None:
        """Take a question up; return why not."""
        if asked.adopt is not None:
            problem = _cannot_adopt(asked.adopt, world)
            if problem is not None:
                return problem
            if not asked.dry_run:
                self.holdings.adopt_wanted.add(asked.adopt)
        self.waiting.append(_Question(asked, world.clock.monotonic()))
        return None

    def answered(
        self, looked: Looked, now_s: float, *, is_booked: bool
    ) -> Iterator[tuple[RequestId, Refusal | None]]:
        """Yield what this look answers: a dry run at once, the others when all is done.

        `is_booked`: it began after the owners had booked what they were told.
        """
        questions, self.waiting = self.waiting, []
        for question in questions:
            asked = question.asked
            question.looks += looked.depth >= Depth.MONEY
            late = now_s - question.since_s > ANSWER_WITHIN_S
            is_done = asked.dry_run or late or (is_booked and not self._is_unfinished(asked))
            if question.looks and is_done:
                yield asked.request_id, self._refusal(asked)
            else:
                self.waiting.append(question)

    def _is_unfinished(self, asked: ReconcileNow) -> bool:
        sides = self.holdings.sides
        is_there = any(side.symbol == asked.adopt and side.differs for side in sides)
        is_due = is_there and asked.adopt in self.holdings.adopt_wanted
        return is_due or self.holdings.is_waiting()

    def _refusal(self, asked: ReconcileNow) -> Refusal | None:
        if asked.adopt is None or asked.dry_run or asked.adopt not in self.holdings.adopt_wanted:
            return None
        self.holdings.adopt_wanted.discard(asked.adopt)
        return Refusal(
            "NOTHING_TO_ADOPT",
            f"The venue holds no {asked.adopt} that could be taken over.",
            "See what it holds: holdfast reconcile --dry-run.",
            actual=asked.adopt,
        )


def _cannot_adopt(symbol: Symbol, world: World) -> Refusal | None:
    instrument = world.instruments.get(symbol)
    if instrument is None:
        return Refusal(
            "UNKNOWN_SYMBOL",
            f"{symbol} is not configured, so nothing could guard it.",
            "Add it to market.symbols, or close it at the venue. "
            f"Configured: {', '.join(sorted(world.instruments))}.",
            actual=symbol,
        )
    if instrument.kind is Kind.SPOT:
        return Refusal(
            "SPOT_IS_NOT_ADOPTED",
            f"Coins of {symbol} that were not bought here may be anybody's savings.",
            "Sell them at the venue, or buy here what is to be guarded.",
            actual=symbol,
        )
    return None
