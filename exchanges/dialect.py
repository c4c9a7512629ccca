"""How a venue's websocket speaks: all that a line must know of the venue it is connected to.

A line (`exchanges.line`) keeps one connection alive. It asks its dialect what to send in order to
subscribe, hands each frame to the dialect's reader, and acts on what that returns. So a venue is a
dialect, a reader of frames, and a table of addresses.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

SinkT = TypeVar("SinkT")  # who takes what the frames say: prices, or what happens on an account
SinkT_contra = TypeVar("SinkT_contra", contravariant=True)


class Answer(msgspec.Struct, frozen=True):
    """What the venue said to a request of ours."""

    part: int | str | None  # of the subscription; None when the venue could not tell which
    error: str  # its code and text; "" when it did what was asked


class Unlisted(msgspec.Struct, frozen=True):
    """The venue does not have one of the streams asked for; the others may go on."""

    part: int | str
    error: str  # its code and text


class LoginRefused(msgspec.Struct, frozen=True):
    """The venue did not let us in."""

    error: str  # its code and text
    is_final: bool  # the same login will be refused again: ask rarely


class ShutdownNotice(msgspec.Struct, frozen=True):
    """The venue's server goes away in a while: connect anew, overlapping."""


class Pong(msgspec.Struct, frozen=True):
    """The answer to our text ping: a sign of life, and no data."""


Notice = Answer | Unlisted | LoginRefused | ShutdownNotice | Pong
PONG = Pong()

# Takes a raw frame, hands what it says to a sink, returns the notice when that is what it is.
# Raises nothing but what the sink raises.
Reader = Callable[[bytes | str], Notice | None]


class Subscription(msgspec.Struct, frozen=True):
    """One message that subscribes, and the answers that will confirm it."""

    text: str
    parts: tuple[int | str, ...]
    streams: int


class Dialect(Protocol[SinkT_contra]):
    """One connection's share of a venue."""

    ping: (
        str  # sent as text when nothing came for a while; "": the venue pings, the library answers
    )

    def login(self) -> Subscription | None:
        """Return what to send first, and what confirms it; None where everybody may listen.

        Asked for by each session, because a login names the time.
        """

    def subscriptions(self) -> Sequence[Subscription]:
        """Return what to send, in order."""

    def reader(self, sink: SinkT_contra) -> Reader:
        """Return a reader that remembers nothing yet: what it is given twice, it hands on once."""

    def notice_in(self, raw: bytes | str) -> Notice | None:
        """Return the notice that a frame is, if it is one; nothing else is looked at."""
