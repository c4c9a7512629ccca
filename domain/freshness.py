"""How far the last price of a symbol can be relied on, and when to ask the venue about it.

A stream that says nothing new of a symbol is either right, because nobody trades, or broken, and it
cannot tell which. So the venue is asked by another way (REST) what it thinks the last price is:

    LIVE    the stream told a new price within `max_silence_s`, or there was no time to ask yet
    QUIET   it told nothing new, and the venue names the same price: there is nothing new
    STALE   the venue names another price, or cannot be asked, or the stream is down

What counts is a price that differs from the one before, not a frame: a stream may answer pings,
send quotes or repeat a price for hours and be broken all the same. Out of STALE lead a new price
from the stream, or an answer that agrees with it. When the venue has named a price that the stream
did not tell (`missed`), agreement alone is not enough: the stream must have said something since.

Pure: the feed looks at every symbol once a second, asks for whom `look` says so, and hands in the
answers.
"""

from decimal import Decimal
from enum import Enum
from math import inf

import msgspec
from msgspec.structs import replace


class Trust(Enum):
    """Whether a decision may rely on a symbol's last price."""

    LIVE = "live"
    QUIET = "quiet"
    STALE = "stale"


class FreshnessRules(msgspec.Struct, frozen=True):
    """When to ask, in seconds."""

    max_silence_s: float = 3.0  # nothing new for so long: ask
    most_silences: int = 4  # a symbol that stays quiet is asked up to this many times less often
    poll_s: float = 0.9  # while it is stale and held; below the second between two looks
    idle_poll_s: float = 5.0  # while it is stale and nobody does
    renew_after_s: float = 1.0  # a price that the stream has not told by then was missed


class Heard(msgspec.Struct, frozen=True):
    """What the stream has told of a symbol, at this moment. Times are monotonic seconds."""

    price: str = ""  # the last one it told; empty: none yet
    new_s: float = -inf  # when it told one that differs from the one before
    any_s: float = -inf  # when it told anything: a trade, a quote, a mark
    connected: bool = True
    held: bool = False  # a position is open in it


class Freshness(msgspec.Struct, frozen=True):
    """What is known of one symbol."""

    trust: Trust = Trust.STALE
    why: str = "the stream has told no price yet"  # of STALE
    since_s: float = -inf  # when it became STALE, or was found QUIET the last time
    asked_s: float | None = None  # an answer is awaited since
    due_s: float = -inf  # not asked again before
    agreed: int = 0  # answers in a row that agreed
    missed: bool = False  # the venue named a price that the stream did not tell

    def wants_renewal(self, now_s: float, rules: FreshnessRules) -> bool:
        """Whether the stream should be connected anew: it had its time to tell what it missed."""
        return self.missed and now_s - self.since_s >= rules.renew_after_s


class Answer(msgspec.Struct, frozen=True):
    """What the venue said when it was asked."""

    price: str | None = None  # None: no usable answer
    why: str = ""  # of no answer


def look(fresh: Freshness, heard: Heard, now_s: float) -> Freshness:
    """Return what is known now, given what the stream has told."""
    if fresh.trust is not Trust.LIVE and heard.new_s > fresh.since_s:
        fresh = _live(fresh)  # before anything else: what is stale now is stale since now
    return fresh if heard.connected else _stale(fresh, "the stream is down", now_s)


def is_due(fresh: Freshness, heard: Heard, now_s: float, rules: FreshnessRules) -> bool:
    """Whether it is time to ask the venue; `asked` then says that it was."""
    if fresh.asked_s is not None or now_s < fresh.due_s:
        return False
    if fresh.trust is Trust.STALE:
        return heard.held or heard.connected
    return now_s - heard.new_s >= rules.max_silence_s


def asked(fresh: Freshness, now_s: float) -> Freshness:
    """Note that the venue is asked: one question at a time."""
    return replace(fresh, asked_s=now_s)


def answered(
    fresh: Freshness, answer: Answer, heard: Heard, now_s: float, rules: FreshnessRules
) -> Freshness:
    """Return what an answer makes known. Without a question under way it means nothing."""
    asked_s = fresh.asked_s
    if asked_s is None:
        return fresh
    fresh = replace(fresh, asked_s=None)
    if heard.connected and heard.new_s > asked_s:
        return _live(fresh)  # it spoke meanwhile: the answer is as old as the question
    poll_s = rules.poll_s if heard.held else rules.idle_poll_s
    later = replace(fresh, due_s=asked_s + poll_s)
    if not heard.connected:
        return _stale(later, "the stream is down", now_s)
    if answer.price is None:
        return _stale(later, f"the venue could not be asked: {answer.why}", now_s)
    if not heard.price:
        return _stale(later, "the stream has told no price yet", now_s)
    if not is_same(answer.price, heard.price):
        return _missed(later, answer.price, heard.price, now_s)
    if fresh.missed and heard.any_s <= fresh.since_s:
        return later
    agreed = fresh.agreed + 1
    silences = 1 if heard.held else min(2 ** min(agreed - 1, 16), rules.most_silences)
    return replace(
        fresh,
        trust=Trust.QUIET,
        why="",
        since_s=now_s,
        agreed=agreed,
        missed=False,
        due_s=asked_s + silences * rules.max_silence_s,
    )


def reconnected(fresh: Freshness) -> Freshness:
    """Return what is known when the stream is up again: what it missed is over, ask at once."""
    return replace(
        fresh, missed=False, due_s=-inf, why="the stream has told nothing since it is back"
    )


def is_same(one: str, other: str) -> bool:
    """Whether two texts name the same price; venues print zeros differently in REST."""
    return one == other or Decimal(one) == Decimal(other)


def _live(fresh: Freshness) -> Freshness:
    return replace(fresh, trust=Trust.LIVE, why="", agreed=0, missed=False, due_s=-inf)


def _stale(fresh: Freshness, why: str, now_s: float) -> Freshness:
    if fresh.trust is Trust.STALE:
        return replace(fresh, why=why)
    return replace(fresh, trust=Trust.STALE, why=why, since_s=now_s, agreed=0)


def _missed(fresh: Freshness, said: str, told: str, now_s: float) -> Freshness:
    why = f"the venue says {said}, the stream {told}"
    since_s = fresh.since_s if fresh.missed else now_s
    return replace(_stale(fresh, why, now_s), missed=True, since_s=since_s)
