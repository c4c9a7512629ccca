"""Whether what a person was told is done was done, and stays so over crashes.

What was answered with yes is on the disk by then. It is compared with the question, not with what
the daemon says of itself: an answer may be wrong.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from actors import names
from actors.messages import PauseTrader, ResumeTrader, SetAccountLimits, SetTraderLimits
from daemon.simulation.commands import Commands, Question
from daemon.simulation.life import Life
from domain.commands import (
    AddToPosition,
    ClosePosition,
    EntryRequest,
    ModificationType,
    ModifyProtection,
)
from domain.money import ONE, ZERO
from domain.position import Entry, Position
from domain.protection import ExitReason, Protection

_OFF_SIZE = Decimal("1.1")  # prices move between a question and its order
_T = ModificationType


class Kept:
    """Remembers what a person was promised."""

    def __init__(self, commands: Commands, note: Callable[[str, str], None]) -> None:
        self._commands = commands
        self._note = note
        self._later: list[Question] = []  # of positions that are over, and forgotten by now

    def look(self, life: Life) -> None:
        """Compare what was answered since the last look, and what stands for good."""
        for question in self._commands.take_done():
            if self._commands.last.get(question.subject) is not question:
                continue
            position_id = question.position_id
            if position_id is None:
                continue
            _, position = life.world.states.durable.get(names.position(position_id), (0, None))
            if position is None:
                self._later.append(question)
            else:
                self._compare(question, position)
        for question in self._commands.last.values():
            if question.is_done:
                for text in _stands(life, question):
                    self._note("I14", f"{question.text} was done, it said; {text}")

    def folded(self, streams: Mapping[str, tuple[int, Any]]) -> None:
        """Compare with the whole journal what was forgotten."""
        later, self._later = self._later, []
        for question in later:
            assert question.position_id is not None
            _, position = streams.get(names.position(question.position_id), (0, None))
            if position is None:
                self._note("I11", f"done, it said: {question.text}; there is no such position")
            else:
                self._compare(question, position)

    def _compare(self, question: Question, position: Position) -> None:
        for text in _lacks(question, position):
            self._note("I11", f"done, it said: {question.text}; {text}")


def _stands(life: Life, question: Question) -> Iterator[str]:
    """Say what of a pause or of limits does not stand any more."""
    message = question.message
    match message:
        case PauseTrader() | ResumeTrader():
            _, state = life.world.states.latest.get(names.trader(message.trader), (0, None))
            paused = state is not None and state.paused
            if paused is not isinstance(message, PauseTrader):
                yield f"{message.trader} is {'' if paused else 'not '}paused"
        case SetTraderLimits():
            _, state = life.world.states.latest.get(names.trader(message.trader), (0, None))
            most = None if state is None else state.overrides.max_positions
            if most != message.wanted.max_positions:
                yield f"{message.trader} may have {most} positions"
        case SetAccountLimits():
            portfolio = life.world.portfolio()
            change = None if portfolio is None else portfolio.limits_change
            most = None if change is None else change.overrides.max_positions
            if most != message.wanted.max_positions:
                yield f"all may have {most} positions"


def _lacks(question: Question, position: Position) -> Iterator[str]:
    """Say what the position on the disk lacks of what was asked for."""
    message = question.message
    before = question.before
    match message:
        case EntryRequest():
            yield from _unlike(position, message, question.price)
        case ClosePosition() if before is not None:
            yield from _not_closed(position, before, message.part)
        case AddToPosition() if before is not None:
            added = position.additions[len(before.additions) :]
            is_added = any(
                each.limit_price == message.limit_price
                and _is_of_size(each, message.size, question.price)
                for each in added
            )
            if not is_added:
                yield f"added were {added}"
        case ModifyProtection():
            made = (each.new for each in position.modifications if not each.error)
            if not any(_is_in(message, each) for each in made):
                yield f"the protection is {position.protection}"


def _unlike(position: Position, asked: EntryRequest, price: Decimal) -> Iterator[str]:
    ours = (position.direction, position.entry.limit_price, position.plan, position.leverage)
    theirs = (asked.direction, asked.limit_price, asked.plan, asked.leverage)
    if ours != theirs:
        yield f"asked for {theirs}, opened {ours}"
    if not _is_of_size(position.entry, asked.size, price):
        yield f"asked for {asked.size}, the entry is {position.entry.quantity} at {price}"


def _is_of_size(entry: Entry, size: Decimal, price: Decimal) -> bool:
    """Whether an order is worth what was asked for, quote; lots are rounded down."""
    return entry.quantity * price <= size * _OFF_SIZE


def _not_closed(position: Position, before: Position, part: Decimal) -> Iterator[str]:
    if position.withdrawn is not None or any(not each.done for each in before.exits):
        return  # exits under way may have claimed all that there was
    known = {each.client_order_id for each in before.exits}
    fired = [each for each in position.exits if each.client_order_id not in known]
    if any(each.at_venue for each in fired):
        return  # what rested there has sold first
    if part == ONE:
        if not position.is_closed and not any(each.whole for each in fired):
            yield "no exit of all has left"
        return
    most = part * max(before.entry_quantity, position.entry_quantity)
    most += position.instrument.lot_size
    by_hand = [each.quantity for each in fired if each.reason is ExitReason.MANUAL_CLOSE]
    if not any(ZERO < each <= most for each in by_hand):
        yield f"exits of {by_hand} have left, of a part of {part}"


def _is_in(asked: ModifyProtection, new: Protection) -> bool:
    match asked.type:
        case _T.MOVE_SL:
            return new.stop is not None and new.stop.price == asked.price
        case _T.TRAIL_SL:
            return new.trail is not None and new.trail.ratio == asked.trail_ratio
        case _T.CANCEL_TP:
            return asked.exit_id is not None and new.target(asked.exit_id) is None
        case _:
            return any((each.price, each.part) == (asked.price, asked.part) for each in new.targets)
