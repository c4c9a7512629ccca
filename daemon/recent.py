"""The last events of the log, kept in memory for those who look at the daemon live.

A bounded ring: what is too old falls out. Each event has a number that only grows, so that who asks
again gets what is new. Lines come here after the log has made them safe: no secrets, no controls.
"""

from collections import deque
from itertools import takewhile
from typing import Final

import msgspec

from daemon.log_formats import Line
from daemon.log_words import in_words
from daemon.view_text import View, time_text

KEPT: Final = 200
# Said by what comes next to them, or of no interest to somebody who watches positions.
_LEFT_OUT = frozenset({"entry_reserved", "snapshot", "metrics", "admin_request"})


class _Kept(msgspec.Struct, frozen=True):
    seq: int
    line: Line


class Recent:
    """One more output of the log; says what it kept."""

    def __init__(self, keep: int = KEPT) -> None:
        self.last = 0  # number of the newest event; 0 before the first
        self._kept: deque[_Kept] = deque(maxlen=keep)

    def write(self, line: Line) -> None:
        """Keep an event."""
        if line.event in _LEFT_OUT:
            return
        self.last += 1
        self._kept.append(_Kept(self.last, line))

    def since(self, seq: int) -> list[View]:
        """Return the kept events after number `seq`, oldest first.

        A number that was never given belongs to another run of the daemon: all are new then.
        """
        known = seq if seq <= self.last else 0
        newest_first = takewhile(lambda kept: kept.seq > known, reversed(self._kept))
        return [_view(kept) for kept in newest_first][::-1]


def _view(kept: _Kept) -> View:
    line = kept.line
    return {
        "seq": kept.seq,
        "time": time_text(line.at),
        "level": line.level,
        "event": line.event,
        "text": in_words(line.event, line.fields),
        "fields": line.fields,
    }
