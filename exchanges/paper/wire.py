"""The way to the paper venue: requests arrive late, but in the order in which they were sent."""

import asyncio
from collections import deque
from collections.abc import Callable

from exchanges.paper.draws import Draws
from exchanges.port import Unknown

Request = Callable[[Unknown | None], None]  # told None on arrival, else why it cannot arrive


class Wire:
    """One connection; the draws say how long a request takes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        draws: Draws,
        obstacle: Callable[[], Unknown | None],
    ) -> None:
        """Prepare. `obstacle` says why the venue takes nothing now, if that is so."""
        self._loop = loop
        self._draws = draws
        self._obstacle = obstacle
        self._under_way: deque[Request] = deque()

    def send(self, request: Request) -> None:
        """Deliver a request after the latency; at once without any, or when it cannot arrive."""
        obstacle = self._obstacle()
        if obstacle is not None or self._draws.is_instant:
            request(obstacle)
            return
        self._under_way.append(request)
        self._loop.call_later(self._draws.latency_s(), self._arrive)

    def cut(self, why: Unknown) -> None:
        """Let nothing that is still under way arrive."""
        while self._under_way:
            self._under_way.popleft()(why)

    def _arrive(self) -> None:
        # Whoever's time it is, the oldest goes first; it stays within the latency's bounds.
        if self._under_way:  # else the wire was cut
            self._under_way.popleft()(self._obstacle())
