"""The words of the admin socket: one frozen struct per command, told apart by `command`.

What a struct does not name is refused; `admin_grammar.py` reads lines into these structs and bounds
their values. The command line builds the same structs and runs the same checks, so that a wrong
number is refused before it is sent.

`id` is the sender's own mark, given back with the answer. Positions are named by `position`: the id
or a unique beginning of it.
"""

from decimal import Decimal

import msgspec

from domain.commands import Source
from domain.executions import ExecutionStatus
from domain.instrument import Direction, PriceSource
from domain.money import ONE

_DEFAULT_ROWS = 500


class AdminRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="command",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """One line to the admin socket."""

    id: str | int | None = None  # echoed

    @property
    def command(self) -> str:
        """The command's name on the wire."""
        return str(self.__struct_config__.tag)


class Ping(AdminRequest, frozen=True, tag="ping"):
    """Whether the daemon answers."""


class Status(AdminRequest, frozen=True, tag="status"):
    """The whole on one page: mode, feed, positions, money."""


class Health(AdminRequest, frozen=True, tag="health"):
    """Every actor and subsystem, healthy or not and why."""


class ShowPortfolio(AdminRequest, frozen=True, tag="portfolio"):
    """Balances, reservations, equity, drawdown, limits."""


class ListTraders(AdminRequest, frozen=True, tag="traders"):
    """The configured traders and what they do."""


class ListPositions(AdminRequest, frozen=True, kw_only=True, tag="positions"):
    """Open positions, or closed ones, newest first."""

    closed: bool = False
    trader: str | None = None
    limit: int = _DEFAULT_ROWS


class ShowPosition(AdminRequest, frozen=True, kw_only=True, tag="position"):
    """Everything about one position."""

    position: str


class ListOrders(AdminRequest, frozen=True, kw_only=True, tag="orders"):
    """Orders that are not at their end, or the last of all."""

    all: bool = False
    limit: int = _DEFAULT_ROWS


class ListExecutions(AdminRequest, frozen=True, kw_only=True, tag="executions"):
    """Attempts to place orders, newest first, also those refused before an order existed."""

    source: Source | None = None
    trader: str | None = None
    symbol: str | None = None
    status: ExecutionStatus | None = None
    position_id: str | None = None
    failed: bool = False  # only those that came to nothing
    limit: int = 100


class Latency(AdminRequest, frozen=True, tag="latency"):
    """How long orders take on their way, by venue, type and step."""


class Retry(AdminRequest, frozen=True, kw_only=True, tag="retry"):
    """Decide a failed attempt to enter anew; without a name the last one."""

    execution: str | None = None
    again: bool = False  # also one that was retried already


class TestOrder(AdminRequest, frozen=True, kw_only=True, tag="test-order"):
    """Buy as little as the venue allows (or `notional`) at market and close it again."""

    __test__ = False  # not one of pytest's

    venue: str  # where orders go: a guard against the wrong one
    symbol: str
    notional: Decimal | None = None  # quote


class Market(AdminRequest, frozen=True, kw_only=True, tag="market"):
    """One symbol: prices as heard; book, funding, open interest and candle as the venue tells."""

    symbol: str
    depth: int = 5  # levels of the book on each side


class ListConflicts(AdminRequest, frozen=True, tag="conflicts"):
    """Changes that strategies suggested after a person's, held for a decision."""


class TargetRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target as asked for."""

    price: Decimal
    part: Decimal = ONE  # of the entry quantity, 0 < part <= 1


class Open(AdminRequest, frozen=True, kw_only=True, tag="open"):
    """Open a position of the trader `manual`; exactly one of quantity, notional and risk."""

    symbol: str
    direction: Direction
    quantity: Decimal | None = None  # base units
    notional: Decimal | None = None  # quote
    risk: Decimal | None = None  # fraction of equity lost if the stop is hit
    stop: Decimal | None = None
    targets: tuple[TargetRequest, ...] = ()
    trail_ratio: Decimal | None = None
    trail_distance: Decimal | None = None  # quote
    breakeven: Decimal | None = None  # reaching it moves the stop to entry plus fees
    limit_price: Decimal | None = None
    leverage: Decimal = ONE
    max_holding_s: float | None = None
    watches: PriceSource = PriceSource.LAST
    stop_watches: PriceSource | None = None  # stop and trail; else as `watches`
    target_watches: PriceSource | None = None  # targets and breakeven; else as `watches`
    # A UUID chosen by the sender: asked again with it, a lost answer never opens a second position.
    position_id: str | None = None


class Add(AdminRequest, frozen=True, kw_only=True, tag="add"):
    """Enlarge an open position; exactly one of quantity, notional and risk."""

    position: str
    quantity: Decimal | None = None  # base units
    notional: Decimal | None = None  # quote
    risk: Decimal | None = None  # fraction of equity that the addition loses at the stop
    limit_price: Decimal | None = None
    stop: Decimal | None = None  # the stop of the whole from now on
    widen: bool = False
    number: int | None = None  # which addition: asked again with it, a lost answer adds nothing


class Close(AdminRequest, frozen=True, kw_only=True, tag="close"):
    """Close a position at market, or a part of what remains."""

    position: str
    part: Decimal = ONE


class CloseAll(AdminRequest, frozen=True, tag="close-all"):
    """Close every position at market."""


class MoveStop(AdminRequest, frozen=True, kw_only=True, tag="move-stop"):
    """Move a stop; away from the market only with `widen`."""

    position: str
    price: Decimal
    widen: bool = False
    based_on: int | None = None  # the protection version the sender saw


class TrailStop(AdminRequest, frozen=True, kw_only=True, tag="trail-stop"):
    """Set or replace a position's trailing stop; exactly one of ratio and distance."""

    position: str
    trail_ratio: Decimal | None = None
    trail_distance: Decimal | None = None
    widen: bool = False
    based_on: int | None = None


class AddTarget(AdminRequest, frozen=True, kw_only=True, tag="add-target"):
    """Add a target."""

    position: str
    price: Decimal
    part: Decimal = ONE
    based_on: int | None = None


class ModifyTarget(AdminRequest, frozen=True, kw_only=True, tag="modify-target"):
    """Change a target's price, part or both."""

    position: str
    target: str  # "target-1"
    price: Decimal | None = None
    part: Decimal | None = None
    based_on: int | None = None


class CancelTarget(AdminRequest, frozen=True, kw_only=True, tag="cancel-target"):
    """Take a target out."""

    position: str
    target: str
    based_on: int | None = None


class AcceptConflict(AdminRequest, frozen=True, kw_only=True, tag="accept"):
    """Do what a held suggestion wants."""

    position: str
    conflict: str  # "c1"


class RefuseConflict(AdminRequest, frozen=True, kw_only=True, tag="refuse"):
    """Drop a held suggestion."""

    position: str
    conflict: str


class Pause(AdminRequest, frozen=True, kw_only=True, tag="pause"):
    """Let a trader open nothing more; its positions stay guarded."""

    trader: str


class Resume(AdminRequest, frozen=True, kw_only=True, tag="resume"):
    """Let a paused trader open positions again."""

    trader: str


class SetTraderLimits(AdminRequest, frozen=True, kw_only=True, tag="set-trader-limits"):
    """Override a trader's configured limits; `reset` ends all overrides before the new begin."""

    trader: str
    max_positions: int | None = None
    max_risk_ratio: Decimal | None = None
    min_confidence: Decimal | None = None
    max_position_ratio: Decimal | None = None
    reset: bool = False


class SetAccountLimits(AdminRequest, frozen=True, kw_only=True, tag="set-account-limits"):
    """Override the account's configured limits; `reset` ends all overrides before the new begin."""

    max_positions: int | None = None
    max_leverage: Decimal | None = None
    daily_loss_cap: Decimal | None = None  # quote
    daily_drawdown_ratio: Decimal | None = None
    total_drawdown_ratio: Decimal | None = None
    balance_buffer_ratio: Decimal | None = None
    reset: bool = False


class StopEntries(AdminRequest, frozen=True, tag="stop-entries"):
    """No entries by anybody; exits go on."""


class ResumeEntries(AdminRequest, frozen=True, tag="resume-entries"):
    """Allow entries again."""


class ResetKillSwitch(AdminRequest, frozen=True, tag="reset-kill-switch"):
    """Allow trading again after the total drawdown closed everything."""


class Why(AdminRequest, frozen=True, kw_only=True, tag="why"):
    """The journal's story of a position or order; of a trader or the account, what people did."""

    subject: str


class Drain(AdminRequest, frozen=True, tag="drain"):
    """Finish what is under way and exit; positions stay and are guarded again at the next start."""


class Reload(AdminRequest, frozen=True, tag="reload"):
    """Read the configuration again; apply what can be, say what cannot."""


class Mode(AdminRequest, frozen=True, tag="mode"):
    """The mode and why it is in force."""


class Watch(AdminRequest, frozen=True, kw_only=True, tag="watch"):
    """What a live view shows: the status, open positions, and the events after number `since`."""

    since: int = 0
    limit: int = _DEFAULT_ROWS


class Reconcile(AdminRequest, frozen=True, kw_only=True, tag="reconcile"):
    """Compare the venue with us now; say both sides and what is done about what differs."""

    dry_run: bool = False  # do nothing about it
    adopt: str | None = None  # a symbol: take over what the venue holds and nobody here opened


class Snapshot(AdminRequest, frozen=True, tag="snapshot"):
    """Write a snapshot now."""


class Kill(AdminRequest, frozen=True, kw_only=True, tag="kill"):
    """Drill: crash one actor by name; its supervisor restores it."""

    name: str


class JournalVerify(AdminRequest, frozen=True, kw_only=True, tag="journal-verify"):
    """Check the journal's hash chain while the daemon runs; archive files if asked to."""

    archives: bool = False


class JournalArchive(AdminRequest, frozen=True, kw_only=True, tag="journal-archive"):
    """Move the journal's oldest records into a file; all that may leave, or less."""

    before: int | None = None  # records below this number
    keep_days: int | None = None  # records older than this
    dry_run: bool = False


class Backup(AdminRequest, frozen=True, kw_only=True, tag="backup"):
    """Write everything that belongs together into one file, which the daemon can reach."""

    file: str  # an absolute path
    force: bool = False  # replace it


AnyAdminRequest = (
    Ping
    | Status
    | Health
    | ShowPortfolio
    | ListTraders
    | ListPositions
    | ShowPosition
    | ListOrders
    | ListExecutions
    | Latency
    | Retry
    | TestOrder
    | Market
    | ListConflicts
    | Open
    | Add
    | Close
    | CloseAll
    | MoveStop
    | TrailStop
    | AddTarget
    | ModifyTarget
    | CancelTarget
    | AcceptConflict
    | RefuseConflict
    | Pause
    | Resume
    | SetTraderLimits
    | SetAccountLimits
    | StopEntries
    | ResumeEntries
    | ResetKillSwitch
    | Why
    | Drain
    | Reload
    | Mode
    | Watch
    | Reconcile
    | Snapshot
    | Kill
    | JournalVerify
    | JournalArchive
    | Backup
)

COMMANDS: tuple[str, ...] = tuple(
    sorted(str(kind.__struct_config__.tag) for kind in AnyAdminRequest.__args__)
)
READS = (  # change nothing, so they leave no line in the log
    Ping,
    Status,
    Health,
    ShowPortfolio,
    ListTraders,
    ListPositions,
    ShowPosition,
    ListOrders,
    ListExecutions,
    Latency,
    Market,
    ListConflicts,
    Why,
    Mode,
    Watch,
    JournalVerify,
)
LONG = (JournalVerify, JournalArchive, Backup)  # may take minutes, and block nobody meanwhile
LONG_ANSWER_S = 3600.0
