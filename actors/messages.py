"""What actors tell each other besides the domain's commands, inputs and effects.

Names and values only.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from domain.attempts import Attempt
from domain.candles import Candle
from domain.commands import AddToPosition, EntryRequest
from domain.errors import Refusal
from domain.ids import ClientOrderId, ExitId, PositionId, RequestId, Symbol, TraderName
from domain.inputs import EXITS, FILLS, PRICES
from domain.instrument import Instrument
from domain.limit_changes import AccountOverrides, TraderOverrides
from domain.modes import ModeCause
from domain.order import Fill
from domain.risk import TraderLimits
from domain.venue import CashFlow, VenueAccount
from exchanges.port import AccountFacts, Refused, Submission, Unknown, VenueOrder, VenueUpdate


class Append(msgspec.Struct, frozen=True):
    """Journal these events of one stream; `state` is what they lead to."""

    lane: ClassVar[int] = FILLS  # never refused: it has happened
    writer: str
    stream: str
    first_version: int
    events: tuple[Any, ...]
    states: tuple[Any, ...]  # after each event
    at: datetime
    leads_on: bool = False  # others will journal what follows from it, within this turn


class Committed(msgspec.Struct, frozen=True):
    """All events of a stream up to `version` are durable."""

    lane: ClassVar[int] = FILLS
    stream: str
    version: int


class Retire(msgspec.Struct, frozen=True):
    """These streams are over: no snapshot needs them any more."""

    lane: ClassVar[int] = FILLS
    streams: tuple[str, ...]


class TakeSnapshot(msgspec.Struct, frozen=True):
    """Write a snapshot now."""

    request_id: RequestId


class RequestApproval(msgspec.Struct, frozen=True):
    """A trader asks the portfolio for an entry, with the trader's own limits."""

    request: EntryRequest
    limits: TraderLimits
    live: bool = True


class RequestAddition(msgspec.Struct, frozen=True):
    """A trader asks the portfolio to enlarge a position, with the trader's own limits."""

    command: AddToPosition
    limits: TraderLimits


class EntryRefused(msgspec.Struct, frozen=True):
    """The portfolio said no to a trader."""

    lane: ClassVar[int] = EXITS
    request: EntryRequest  # an addition as the entry that it is
    refusal: Refusal
    attempt: Attempt
    is_addition: bool = False


class Submitted(msgspec.Struct, frozen=True):
    """The venue's answer to a submission, or the lack of one."""

    lane: ClassVar[int] = FILLS
    client_order_id: ClientOrderId
    outcome: Submission
    after_s: float = 0.0  # since the request left


class CancelAnswered(msgspec.Struct, frozen=True):
    """The venue's answer to a cancel, or the lack of one."""

    lane: ClassVar[int] = FILLS
    client_order_id: ClientOrderId
    outcome: Submission
    after_s: float = 0.0  # since the request left


class AmendAnswered(msgspec.Struct, frozen=True):
    """The venue's answer to the change of an order, or the lack of one."""

    lane: ClassVar[int] = FILLS
    client_order_id: ClientOrderId
    outcome: Submission
    after_s: float = 0.0  # since the request left


class VenueReported(msgspec.Struct, frozen=True):
    """The venue's private stream reported."""

    lane: ClassVar[int] = FILLS
    update: VenueUpdate


class Finding(msgspec.Struct, frozen=True):
    """What a venue says about one order in doubt; neither `order` nor `not_found`: nothing."""

    client_order_id: ClientOrderId
    order: VenueOrder | None
    not_found: bool
    asked_s: float  # monotonic, when the question left
    attempt: int
    repeats: bool  # it is to be asked again until it is known


class Net(msgspec.Struct, frozen=True):
    """What a venue holds of a symbol."""

    quantity: Decimal  # base units, signed
    at: datetime | None = None  # venue time: fills after that are not in it; None: unknown


class Findings(msgspec.Struct, frozen=True):
    """What a venue says about orders in doubt. Absence takes look-up, fills and position."""

    lane: ClassVar[int] = FILLS
    found: tuple[Finding, ...]
    fills: tuple[Fill, ...]  # of all our orders, as far back as these may have filled
    nets: Mapping[Symbol, Net] | None  # held, before the fills were read; None: not known


class ResolveOrder(msgspec.Struct, frozen=True):
    """Ask the venue again about an order in doubt."""

    lane: ClassVar[int] = EXITS
    client_order_id: ClientOrderId
    attempt: int


class Reconciled(msgspec.Struct, frozen=True):
    """The venue answered all questions a start-up asks."""

    lane: ClassVar[int] = FILLS
    found: tuple[VenueOrder, ...]
    fills: tuple[Fill, ...]
    asked_s: float  # monotonic, when the first question left
    unread: tuple[ClientOrderId, ...] = ()  # working, and nothing usable was said of them


class ReconcileFailed(msgspec.Struct, frozen=True):
    """The venue did not answer; ask again."""

    lane: ClassVar[int] = FILLS
    why: str


class OrdersSeen(msgspec.Struct, frozen=True):
    """All orders that rest at the venue, by a read that began at `began_s`, monotonic."""

    lane: ClassVar[int] = EXITS
    orders: tuple[VenueOrder, ...]
    began_s: float


class CancelOrphan(msgspec.Struct, frozen=True):
    """An order of ours rests at the venue and no position is left that wants it."""

    lane: ClassVar[int] = EXITS
    symbol: Symbol
    client_order_id: ClientOrderId


class WasStopped(msgspec.Struct, frozen=True):
    """The process stood still: what happened meanwhile is not known, what is heard now is old."""

    lane: ClassVar[int] = FILLS
    seconds: float


class Revive(msgspec.Struct, frozen=True):
    """Give a position in quarantine another life."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId


class Uncompared(msgspec.Struct, frozen=True):
    """What changed at the venue was not told: its private stream was away, or this process was."""

    lane: ClassVar[int] = EXITS


class NoneToClose(msgspec.Struct, frozen=True):
    """The venue had nothing for an exit to close: what does it hold?"""

    lane: ClassVar[int] = EXITS


class HoldingsRead(msgspec.Struct, frozen=True):
    """What the venue holds, by a read that began at `began_s`, monotonic; where it differs."""

    lane: ClassVar[int] = EXITS
    differing: frozenset[Symbol]
    began_s: float


class Compared(msgspec.Struct, frozen=True):
    """The exchange actor has taken over orders and fills: holdings and money are next."""

    lane: ClassVar[int] = EXITS


class ReconcileNow(msgspec.Struct, frozen=True):
    """A person wants the venue compared with us now."""

    lane: ClassVar[int] = EXITS
    request_id: RequestId
    dry_run: bool = False  # say what would be done, do nothing
    adopt: Symbol | None = None  # take over what is held there of it, and nobody here opened


class AccountTold(msgspec.Struct, frozen=True):
    """The venue has told whose account the login is of."""

    lane: ClassVar[int] = FILLS  # before what is told of that account
    venue_account: VenueAccount


class OpenCash(msgspec.Struct, frozen=True):
    """The venue's balance of the quote asset, for an account that has none yet."""

    lane: ClassVar[int] = EXITS
    total: Decimal
    until: datetime  # venue time: what the venue told of has moved until then, and is in it


class FlowsTold(msgspec.Struct, frozen=True):
    """What the venue says moved money besides fills; possibly told before."""

    lane: ClassVar[int] = FILLS
    flows: tuple[CashFlow, ...]
    until: datetime | None = None  # with these all is booked until then, as far as was told


class CorrectCash(msgspec.Struct, frozen=True):
    """The venue's balance differs from ours and nothing explains it."""

    lane: ClassVar[int] = EXITS
    amount: Decimal  # quote, what the venue has more
    balance: Decimal  # ours, as it was compared
    why: str


class TellFunding(msgspec.Struct, frozen=True):
    """The whole tree has started: tell positions their funding again."""

    lane: ClassVar[int] = EXITS


class CheckVenue(msgspec.Struct, frozen=True):
    """Ask the venue now what our login is and may do."""

    lane: ClassVar[int] = EXITS


class VenueChecked(msgspec.Struct, frozen=True):
    """What the venue says of our login, and what can be traded there."""

    lane: ClassVar[int] = EXITS
    answer: AccountFacts | Refused | Unknown
    instruments: tuple[Instrument, ...] | None  # None: not told yet
    clock_offset_s: float | None  # the venue's clock less ours; None: not measured


class ForgetOrders(msgspec.Struct, frozen=True):
    """Everybody has booked the fills of a position that is over."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId


class FeedRestarted(msgspec.Struct, frozen=True):
    """The feed lives again and watches nothing."""

    lane: ClassVar[int] = EXITS


class NotArmed(msgspec.Struct, frozen=True):
    """The feed cannot watch the levels of this protection version, and watches none."""

    lane: ClassVar[int] = EXITS

    position_id: PositionId
    version: int


class ExchangeRestarted(msgspec.Struct, frozen=True):
    """The exchange actor lives again and knows what is journaled."""

    lane: ClassVar[int] = EXITS


class AskAgain(msgspec.Struct, frozen=True):
    """The portfolio wants all fills and ends of these positions' orders told again."""

    lane: ClassVar[int] = EXITS
    position_ids: tuple[PositionId, ...]


class PositionOver(msgspec.Struct, frozen=True):
    """A position is closed; told again after a restart until the portfolio has settled it."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    fills: int  # how many the portfolio must have booked


class Settled(msgspec.Struct, frozen=True):
    """The portfolio has booked everything of a closed position."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId


class SetCause(msgspec.Struct, frozen=True):
    """A reason for a safer mode holds from now on."""

    lane: ClassVar[int] = EXITS
    cause: ModeCause


class ClearCause(msgspec.Struct, frozen=True):
    """A reason for a safer mode is gone."""

    lane: ClassVar[int] = EXITS
    code: str


class OfflineTold(msgspec.Struct, frozen=True):
    """A position has judged the candles of a downtime."""

    lane: ClassVar[int] = EXITS
    position_id: PositionId
    crossed: tuple[ExitId, ...]


class Beat(msgspec.Struct, frozen=True):
    """A second has passed."""

    lane: ClassVar[int] = EXITS


class SettingsChanged(msgspec.Struct, frozen=True):
    """The configuration was read again: by this part of it its receiver goes from now on.

    The portfolio gets `AccountLimits`, a trader `TraderSettings`, persistence its settings, the
    feed a spike ratio.
    """

    lane: ClassVar[int] = EXITS
    settings: Any


class Marks(msgspec.Struct, frozen=True):
    """The latest price of every symbol that has one."""

    lane: ClassVar[int] = PRICES
    prices: Mapping[Symbol, Decimal]


class SubscribeCandles(msgspec.Struct, frozen=True):
    """A trader wants closed candles."""

    subscriber: str
    symbols: tuple[Symbol, ...]
    timeframe: str


class CandleClosed(msgspec.Struct, frozen=True):
    """A candle is final."""

    lane: ClassVar[int] = PRICES
    candle: Candle


class PauseTrader(msgspec.Struct, frozen=True):
    """Let a trader open nothing new."""

    trader: TraderName
    request_id: RequestId
    by: str


class ResumeTrader(msgspec.Struct, frozen=True):
    """Let a trader open again."""

    trader: TraderName
    request_id: RequestId
    by: str


class SetTraderLimits(msgspec.Struct, frozen=True):
    """Override a trader's configured limits, or go back to them."""

    trader: TraderName
    wanted: TraderOverrides
    reset: bool
    by: str
    request_id: RequestId


class SetAccountLimits(msgspec.Struct, frozen=True):
    """Override the account's configured limits, or go back to them."""

    wanted: AccountOverrides
    reset: bool
    by: str
    request_id: RequestId


class StopEntries(msgspec.Struct, frozen=True):
    """Open nothing, whoever asks."""

    request_id: RequestId
    by: str


class ResumeEntries(msgspec.Struct, frozen=True):
    """Take the operator's stop back."""

    request_id: RequestId
    by: str


class ResetKillSwitch(msgspec.Struct, frozen=True):
    """A person takes responsibility for going on after the kill switch."""

    request_id: RequestId
    by: str


class Answered(msgspec.Struct, frozen=True):
    """The answer to a question from outside."""

    lane: ClassVar[int] = EXITS
    request_id: RequestId
    refusal: Refusal | None = None
    position_id: PositionId | None = None
    note: str = ""
