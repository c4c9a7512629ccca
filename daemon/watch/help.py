"""The keys of the live view: on its last line, and explained."""

import msgspec
from rich.text import Text


class Key(msgspec.Struct, frozen=True):
    """A key and what it does, in a word."""

    key: str
    word: str
    keep: int  # those with a lower number leave a narrow terminal first


class Keys(msgspec.Struct, frozen=True):
    """The line of keys."""

    keys: tuple[Key, ...]

    def fitting(self, room: int) -> Text:
        """Return the keys that fit, the least important ones going first."""
        kept = list(self.keys)
        while len(kept) > 1 and self._line(kept, " ").cell_len > room:
            kept.remove(min(kept, key=lambda each: each.keep))
        wide = self._line(kept, "   ")
        return wide if wide.cell_len <= room else self._line(kept, " ")

    @staticmethod
    def _line(keys: list[Key], gap: str) -> Text:
        words = [Text.assemble((each.key, "bold"), (f" {each.word}", "dim")) for each in keys]
        return Text(" ") + Text(gap).join(words)


KEYS = Keys(
    (
        Key("↵", "details", 5),
        Key("w", "why", 4),
        Key("c", "close", 8),
        Key("m", "move stop", 7),
        Key("p", "pause", 3),
        Key("s", "entries", 2),
        Key("x", "close all", 6),
        Key("?", "help", 9),
        Key("q", "quit", 9),
    )
)

HELP = """\
↑ ↓ j k    select a position (page up and down, home, end)
enter      all about it, as holdfast position ID shows it
w          why: its story, as the journal has it
c          close it at market, all or a part (50% or 0.5)
m          move its stop; tab in that dialog allows more risk
p          pause or resume a trader
s          stop entries for everybody, or resume them
x          close everything at market
esc        back
q          leave the view; the daemon goes on

Each change says first what it will do and waits for a yes. A refusal
says what would pass.

! and red  a position that nothing guards
LIVES      where the stop is: guard is the daemon itself, venue an
           order at the venue
TO STOP    how far the price has to go to what closes the position at
           a loss, its stop or its trail, whichever is nearer
TRACK      where the price is between stop and next target (wide
           terminals)
price?     old: the feed has not heard of the symbol for a while
events     the last of the daemon's log, times in UTC
"""
