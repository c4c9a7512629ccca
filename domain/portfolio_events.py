"""What happens to an account. Each event carries what the state does not tell."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from domain.attempts import Attempt
from domain.ids import AccountName, ClientOrderId, PositionId, Symbol, TraderName
from domain.instrument import Direction, Instrument
from domain.limit_changes import AccountOverrides
from domain.modes import ModeCause
from domain.order import Fill
from domain.risk import AccountLimits
from domain.venue import CashKind, VenueAccount


class PortfolioEvent(msgspec.Struct, frozen=True):
    """Something that happened to one account."""


class PortfolioOpened(PortfolioEvent, frozen=True):
    """The account is kept from here on, flat, with this balance."""

    account: AccountName
    quote: str
    balance: Decimal  # quote
    at: datetime
    venue: str = "paper"  # by its name in the configuration


class AccountMoved(PortfolioEvent, frozen=True):
    """The account is at another venue from here on, flat: balance, peak and day start are new.

    What people and limits have stopped stays stopped.
    """

    venue: str
    balance: Decimal  # quote
    at: datetime


class AccountIdentified(PortfolioEvent, frozen=True):
    """The venue has told whose account it is; as long as anything is open it stays that one."""

    venue_account: VenueAccount
    at: datetime


class EntryReserved(PortfolioEvent, frozen=True):
    """An entry was approved and sized; its balance is set aside until the order ends."""

    position_id: PositionId
    client_order_id: ClientOrderId
    trader: TraderName
    instrument: Instrument
    direction: Direction
    quantity: Decimal  # base units, whole lots
    price: Decimal  # quote; the worst of limit price and market, without slippage
    amount: Decimal  # quote set aside: margin, fee and slippage
    leverage: Decimal
    risk: Decimal | None  # quote lost when the stop is hit; None: nothing bounds it
    at: datetime
    attempt: Attempt | None = None

    @property
    def symbol(self) -> Symbol:
        """Of the instrument."""
        return self.instrument.symbol


class ReservationReleased(PortfolioEvent, frozen=True):
    """The order will fill no further; what it did not use is free again."""

    client_order_id: ClientOrderId
    why: str
    at: datetime


class HoldingAdopted(PortfolioEvent, frozen=True):
    """A position fills that nothing is reserved for: a fill after its order's end, or a find."""

    position_id: PositionId
    trader: TraderName
    instrument: Instrument
    direction: Direction
    leverage: Decimal
    at: datetime


class FillBooked(PortfolioEvent, frozen=True):
    """An order of a position executed."""

    position_id: PositionId
    fill: Fill
    is_entry: bool
    at: datetime  # venue time


class HoldingClosed(PortfolioEvent, frozen=True):
    """A position is over."""

    position_id: PositionId
    realized_pnl: Decimal  # quote, net of fees
    dust: Decimal  # base units that stay in the account, too few to sell
    at: datetime


class DustGone(PortfolioEvent, frozen=True):
    """The venue holds less of what closed positions left over: it is written off, at its cost."""

    symbol: Symbol
    direction: Direction
    is_spot: bool
    quantity: Decimal  # base units that are gone
    at: datetime


class EquityMarked(PortfolioEvent, frozen=True):
    """A point of the equity curve."""

    equity: Decimal  # quote
    balance: Decimal  # quote
    at: datetime
    marks: tuple[tuple[Symbol, Decimal], ...] = ()  # of what was held


class DayRolled(PortfolioEvent, frozen=True):
    """A new UTC day began; causes that last a day end.

    Unless it lies before the one it was, or is that one again: the clock was set back over
    midnight, and the day is only called so.
    """

    day: date
    equity: Decimal  # quote, what the daily drawdown counts from
    at: datetime


class EntriesStopped(PortfolioEvent, frozen=True):
    """A reason to open nothing holds until it is lifted; it outlives a restart."""

    cause: ModeCause
    at: datetime


class EntriesResumed(PortfolioEvent, frozen=True):
    """A reason was lifted."""

    code: str
    by: str
    at: datetime


class KillSwitchTripped(PortfolioEvent, frozen=True):
    """The total drawdown reached its limit: everything is to be closed, nothing opened."""

    drawdown: Decimal  # fraction below the high-water mark
    limit: Decimal
    equity: Decimal  # quote
    at: datetime


class KillSwitchReset(PortfolioEvent, frozen=True):
    """A person lets the account trade again; drawdown counts from this equity."""

    by: str
    equity: Decimal  # quote
    at: datetime


class LimitsConfigured(PortfolioEvent, frozen=True):
    """The configuration was read again while it ran; a start takes what the file says then."""

    limits: AccountLimits
    at: datetime


class AccountLimitsChanged(PortfolioEvent, frozen=True):
    """A person set limits that override the configured ones, or went back to those."""

    overrides: AccountOverrides  # all that stand from now on
    previous: AccountLimits
    new: AccountLimits
    by: str
    at: datetime


class CashMoved(PortfolioEvent, frozen=True):
    """Money came or went without a fill. A transfer is neither a gain nor a loss, the rest is."""

    flow_id: str  # the venue's id: a flow is booked once
    kind: CashKind
    asset: str  # of the account's quote; others do not move its balance
    amount: Decimal  # signed: below zero we paid
    symbol: Symbol | None  # of funding
    text: str  # the venue's word
    at: datetime  # venue time
    shares: tuple[tuple[PositionId, Decimal], ...] = ()  # of funding, among the positions held
    equity: Decimal | None = None  # quote, before a transfer: peak and day start keep their ratio
    contains_until: datetime | None = None  # of an opening, venue time: the flows that are in it


class FlowsRead(PortfolioEvent, frozen=True):
    """All that the venue told had moved money until then is booked: it need not tell that again."""

    until: datetime


class BalanceCorrected(PortfolioEvent, frozen=True):
    """The venue's balance differs from ours and nothing explains it: theirs is right.

    Neither a gain nor a loss, as a transfer: what nobody understands may not close positions.
    """

    amount: Decimal  # quote, signed: what was added to ours
    why: str
    at: datetime
    equity: Decimal | None = None  # quote, before it


AnyPortfolioEvent = (
    PortfolioOpened
    | AccountMoved
    | AccountIdentified
    | EntryReserved
    | ReservationReleased
    | HoldingAdopted
    | FillBooked
    | HoldingClosed
    | DustGone
    | EquityMarked
    | DayRolled
    | EntriesStopped
    | EntriesResumed
    | KillSwitchTripped
    | KillSwitchReset
    | LimitsConfigured
    | AccountLimitsChanged
    | CashMoved
    | FlowsRead
    | BalanceCorrected
)
