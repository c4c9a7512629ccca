"""What waits for one actor: four lanes, each with a limit and a policy.

Fills go before exits, exits before commands, commands before prices. Fills and exits are never
dropped: losing one loses money, and their number is bounded by what the venue executes. Commands
beyond the limit are refused with a value that says so. Of prices only the latest matter, so the
oldest make room (conflation).

Nearly every message is a command, so the command lane is a plain list that exists only while
something waits in it: a list is the cheapest thing CPython can make, append to and walk. The other
lanes are deques, as lazy.
"""

from collections import deque
from enum import IntEnum
from typing import Any, Final

import msgspec


class Lane(IntEnum):
    """How urgent a message is; lower goes first. A class states `lane: ClassVar[Lane]` (or int)."""

    FILLS = 0
    EXITS = 1
    COMMANDS = 2
    PRICES = 3


# By name, because looking a member up on its enumeration takes as long as handling a message.
FILLS, EXITS, COMMANDS, PRICES = Lane


_lane_of: dict[type, Lane] = {}
plain_commands: set[type] = set()  # the types for whom the cheap path is known to do


def lane_for(message: object) -> Lane:
    """Return the lane `message` goes to, found once for each type."""
    message_type = message.__class__
    lane = _lane_of.get(message_type)
    if lane is None:
        stated = getattr(message_type, "lane", COMMANDS)
        # A plain number will do: the core, which does not know the kernel, states it so. A field
        # that happens to be called "lane" is none.
        lane = Lane(stated) if isinstance(stated, int) else COMMANDS
        _lane_of[message_type] = lane
        if lane is COMMANDS:
            plain_commands.add(message_type)
    return lane


class Limits(msgspec.Struct, frozen=True):
    """How many messages may wait, at least 1. Up to one turn's worth more is with the actor."""

    commands: int = 10_000
    prices: int = 1_000


DEFAULT_LIMITS: Final = Limits()


class Overflow(msgspec.Struct, frozen=True):
    """A refusal: the lane is full, the message not taken. False: `if not tell(...)` reads well."""

    name: str
    lane: Lane
    limit: int

    def __bool__(self) -> bool:
        return False


class MailboxFullError(Exception):
    """The same refusal as the answer to an ask."""

    def __init__(self, overflow: Overflow) -> None:
        super().__init__(
            f"{overflow.name} has {overflow.limit} {overflow.lane.name.lower()} waiting already"
        )
        self.overflow = overflow


class Mailbox:
    """The lanes of one name. It outlives the actors that live under that name."""

    __slots__ = ("commands", "conflated", "exits", "fills", "limit", "price_limit", "prices")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limit = limits.commands
        self.price_limit = limits.prices
        self.commands: list[Any] | None = None
        self.fills: deque[Any] | None = None
        self.exits: deque[Any] | None = None
        self.prices: deque[Any] | None = None
        self.conflated = 0  # prices dropped for newer ones

    def store(self, message: object, lane: Lane) -> bool:
        """Take `message` in, or return False: that lane is full."""
        if lane is COMMANDS:
            if self.commands is None:
                self.commands = [message]
            elif len(self.commands) < self.limit:
                self.commands.append(message)
            else:
                return False
        elif lane is PRICES:
            if self.prices is None:
                self.prices = deque(maxlen=self.price_limit)
            self.conflated += len(self.prices) == self.price_limit
            self.prices.append(message)
        elif lane is FILLS:
            if self.fills is None:
                self.fills = deque()
            self.fills.append(message)
        else:
            if self.exits is None:
                self.exits = deque()
            self.exits.append(message)
        return True

    def take(self, most: int) -> tuple[Lane, list[Any]]:
        """Remove what goes next: up to `most` messages of the most urgent lane, oldest first.

        Prices come singly, so that a command which arrives meanwhile need not wait behind them.
        """
        if self.fills is not None:
            batch, self.fills = _split(self.fills, most)
            return FILLS, batch
        if self.exits is not None:
            batch, self.exits = _split(self.exits, most)
            return EXITS, batch
        waiting = self.commands
        if waiting is not None:
            if len(waiting) <= most:
                self.commands = None
                return COMMANDS, waiting
            batch = waiting[:most]
            del waiting[:most]
            return COMMANDS, batch
        if self.prices is not None:
            batch, self.prices = _split(self.prices, 1)
            return PRICES, batch
        return COMMANDS, []

    def put_back(self, lane: Lane, messages: list[Any]) -> None:
        """Return the unhandled rest of a batch to the front of its lane, whatever the limit."""
        if not messages:
            return  # a lane is None when empty
        if lane is COMMANDS:
            self.commands = messages if self.commands is None else messages + self.commands
        elif lane is FILLS:
            self.fills = _joined(messages, self.fills)
        elif lane is EXITS:
            self.exits = _joined(messages, self.exits)
        # prices are taken singly: there is never a rest

    def urgent(self) -> bool:
        """Tell whether something waits that goes before commands."""
        return self.fills is not None or self.exits is not None

    def depth(self) -> int:
        """Return how many messages wait."""
        lanes = (self.fills, self.exits, self.commands, self.prices)
        return sum(len(lane) for lane in lanes if lane is not None)

    def empty(self) -> list[Any]:
        """Remove and return everything, most urgent first."""
        everything: list[Any] = []
        for lane in (self.fills, self.exits, self.commands, self.prices):
            everything.extend(lane or ())
        self.fills = self.exits = self.prices = None
        self.commands = None
        return everything


def _split(lane: deque[Any], most: int) -> tuple[list[Any], deque[Any] | None]:
    if len(lane) <= most:
        return list(lane), None
    return [lane.popleft() for _ in range(most)], lane


def _joined(messages: list[Any], lane: deque[Any] | None) -> deque[Any]:
    if lane is None:
        return deque(messages)
    lane.extendleft(reversed(messages))
    return lane
