"""When something held has no price: how long that may be, and what stands against entries then.

After a start prices take some seconds. A symbol that has none much later is delisted, perhaps: then
drawdown is judged by the rest, or its limits would protect nothing any more. What is held of it
counts at the last price known.
"""

from collections.abc import Sequence

from domain.ids import Symbol
from domain.modes import Mode, ModeCause

UNPRICED = "UNPRICED"
UNPRICED_AFTER_S = 30.0  # that the stream is up


class Unpriced:
    """Knows since when there has been no price of something held."""

    def __init__(self) -> None:
        self.since_s: float | None = None  # monotonic
        self.told: Sequence[Symbol] = ()

    def lasts(self, now_s: float, symbols: Sequence[Symbol], *, is_up: bool) -> bool:
        """Whether `symbols` have had no price for too long by now; `is_up`: the stream is."""
        if not symbols or not is_up:
            self.since_s = None
            return False
        if self.since_s is None:
            self.since_s = now_s
        return now_s - self.since_s >= UNPRICED_AFTER_S

    def note(self, symbols: Sequence[Symbol]) -> bool:
        """Take down what people are told of; return whether one of `symbols` is new to them."""
        told, self.told = self.told, symbols
        return not set(symbols) <= set(told)


def cause(symbols: Sequence[Symbol], unvalued: Sequence[Symbol]) -> ModeCause:
    """Return what stands against entries meanwhile; of `unvalued` there never was a price."""
    effect = "what is held of it counts at the last one known, and drawdown may be more than shown."
    if unvalued:
        effect = (
            f"none was ever noted of {', '.join(unvalued)}, and until there is one, neither the "
            "daily limits nor the kill switch act."
        )
    return ModeCause(
        code=UNPRICED,
        mode=Mode.NO_ENTRY,
        message=f"Nothing tells a price of {', '.join(symbols)}: {effect}",
        way_out="It ends by itself with a price. Of a symbol that is listed no more, close at the "
        "venue what is held.",
    )
