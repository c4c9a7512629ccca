"""How soon a cancel that came to nothing is tried again: a venue may refuse it for hours.

The first tries follow one another at once, for an exit may wait for what they free. Then the pauses
grow, and a try is journaled only when it changes what is known.
"""

from actors.doubting import ASK_AGAIN_AFTER_S
from domain.ids import ClientOrderId
from domain.inputs import EXITS

AT_ONCE = 3  # tries
PAUSES_S = ASK_AGAIN_AFTER_S[1:]


class CancelAgain:
    """Message: the pause before another cancel is over."""

    __slots__ = ("order_id",)
    lane = EXITS

    def __init__(self, order_id: ClientOrderId) -> None:
        self.order_id = order_id


class Cancels:
    """Counts the cancels of each order that have not ended it. Owned by the exchange actor."""

    def __init__(self) -> None:
        self.tries: dict[ClientOrderId, int] = {}  # answered
        self.waiting: set[ClientOrderId] = set()  # for an answer, or for the end of a pause

    def is_repeat(self, order_id: ClientOrderId) -> bool:
        """Whether the next cancel, or the one under way, is not among the first."""
        return self.tries.get(order_id, 0) >= AT_ONCE

    def note_sent(self, order_id: ClientOrderId) -> None:
        """Send no other one before this one is answered."""
        self.waiting.add(order_id)

    def note_answer(self, order_id: ClientOrderId) -> float:
        """Count a try; return after how many seconds `go_on` is due. 0: nothing waits."""
        tries = self.tries[order_id] = self.tries.get(order_id, 0) + 1
        if tries < AT_ONCE:
            self.go_on(order_id)
            return 0.0
        return PAUSES_S[min(tries - AT_ONCE, len(PAUSES_S) - 1)]

    def begins_to_fail(self, order_id: ClientOrderId) -> bool:
        """Whether that was the last of the first tries: time to say so, once."""
        return self.tries.get(order_id, 0) == AT_ONCE

    def go_on(self, order_id: ClientOrderId) -> None:
        """Let the next one leave."""
        self.waiting.discard(order_id)

    def forget(self, order_id: ClientOrderId) -> None:
        """The order has ended."""
        self.tries.pop(order_id, None)
        self.waiting.discard(order_id)
