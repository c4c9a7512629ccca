"""How often a venue may be asked, by endpoint, with a share that only exits and cancels may use.

Pure: time is an argument. Each endpoint has a limit of so many requests within a window, as venues
publish them; what was sent is kept by its time, so that no window of that length ever holds more.
Requests that open something, and reads that can wait, leave a share of each limit untouched.
"""

from collections import deque

import msgspec

_RESERVED = 0.3  # of each limit, for what is urgent
_MARGIN = 0.9  # of the published limit: requests bunch up on their way


class Limit(msgspec.Struct, frozen=True):
    """So many requests within so many seconds, as the venue publishes it."""

    name: str
    count: int
    window_s: float = 2.0


class _Sent:
    """What was sent to one endpoint within its window."""

    __slots__ = ("blocked_until_s", "capacity", "limit", "times_s")

    def __init__(self, limit: Limit, scale: float) -> None:
        self.limit = limit
        self.capacity = max(1, int(limit.count * _MARGIN * scale))
        self.times_s: deque[float] = deque()
        self.blocked_until_s = 0.0

    def forget(self, now_s: float) -> None:
        while self.times_s and now_s - self.times_s[0] >= self.limit.window_s:
            self.times_s.popleft()


class Budget:
    """The limits of one login. Counts are kept apart by `key` where the venue does so."""

    def __init__(self, *, scale: float = 1.0) -> None:
        """Multiply published limits by `scale`: above 1 for a server of one's own."""
        self._scale = scale
        self._sent: dict[tuple[str, str], _Sent] = {}

    def take(self, limit: Limit, now_s: float, *, urgent: bool, key: str = "") -> float:
        """Take one request and return 0, or return how many seconds to wait before asking again."""
        sent = self._of(limit, key)
        sent.forget(now_s)
        if now_s < sent.blocked_until_s:
            return sent.blocked_until_s - now_s
        allowed = sent.capacity if urgent else max(1, int(sent.capacity * (1 - _RESERVED)))
        if len(sent.times_s) < allowed:
            sent.times_s.append(now_s)
            return 0.0
        # When enough of the oldest have left the window.
        oldest = sent.times_s[len(sent.times_s) - allowed]
        return max(0.001, oldest + limit.window_s - now_s)

    def refused(self, limit: Limit, now_s: float, key: str = "") -> None:
        """Note that the venue called it too often: somebody else asks too, or it counts harder."""
        self._of(limit, key).blocked_until_s = now_s + limit.window_s / 4

    def used(self, now_s: float) -> float:
        """Return the largest used share of any limit, 0-1."""
        shares = [0.0]
        for sent in self._sent.values():
            sent.forget(now_s)
            shares.append(len(sent.times_s) / sent.capacity)
        return max(shares)

    def _of(self, limit: Limit, key: str) -> _Sent:
        sent = self._sent.get((limit.name, key))
        if sent is None:
            sent = self._sent[limit.name, key] = _Sent(limit, self._scale)
        return sent
