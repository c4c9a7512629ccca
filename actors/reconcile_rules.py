"""How the reconciler goes about it: how often, how soon again, and what keeps entries from it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from actors.looking import Depth
from domain.modes import Mode, ModeCause

PUSHED_EVERY_S = 0.5
UNSETTLED_AGAIN_AFTER_S = 2.0
AGAIN_AFTER_S = 0.35  # a suspicion is read again
BOOKED_WITHIN_S = 0.2  # what owners are told to do
MONEY_AGAIN_AFTER_S = 3.0
ANSWER_WITHIN_S = 8.0  # a person waits no longer for suspicions to be confirmed
DRIFT = "DRIFT"
UNREAD = "HOLDINGS_UNREAD"
FIRST_LOOK_WITHIN_S = 10.0  # of the start; the exchange actor says when it is connected
MISSED_LOOKS = 4  # so many in a row without an answer stop entries
OUTSIDE_MARGIN = timedelta(minutes=2)  # the venue's clock is not ours
FIRST_OUTSIDE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """How often a venue is looked at, and what becomes of a position that nobody here opened."""

    active: bool = True  # False: only when a person asks
    adopts: bool = False  # else: quarantine
    stop_ratio: Decimal = Decimal("0.05")  # from the price, of an adopted position's stop
    orders_every_s: float = 5.0
    holdings_every_s: float = 10.0
    money_every_s: float = 15.0

    def every_s(self, depth: Depth) -> float:
        """Return the period of looks of a depth, or deeper."""
        return {
            Depth.ORDERS: self.orders_every_s,
            Depth.HOLDINGS: self.holdings_every_s,
            Depth.MONEY: self.money_every_s,
        }[depth]


def drift(symbols: str) -> ModeCause:
    """Return the cause while a difference is being looked into."""
    return ModeCause(
        code=DRIFT,
        mode=Mode.NO_ENTRY,
        message=f"The venue holds other than we believe of {symbols}.",
        way_out="It ends by itself once it is explained; see holdfast reconcile --dry-run.",
    )


def unread(since: str) -> ModeCause:
    """Return the cause while it is not known what the venue holds."""
    return ModeCause(
        code=UNREAD,
        mode=Mode.NO_ENTRY,
        message=f"The venue has not told what it holds {since}.",
        way_out="It ends by itself once the venue answers; see holdfast health.",
    )
