"""What `config.yaml` may say: one frozen model a section, every key with its type and bounds.

Numbers arrive as the text that was written (see `yaml_lines.py`), so a decimal is exact. Ratios are
fractions; `2%` may be written for 0.02. Durations end in their unit (`_s`, `_ms`). Where the domain
has a struct of the same meaning, keys carry its field names.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.config_file import DATA_DIR, SOCKET_NAME
from daemon.config_section import SecretRef, Section, at_home
from daemon.config_types import (
    Amount,
    BarLength,
    Chance,
    Count,
    Days,
    Fee,
    Fraction,
    HttpUrl,
    LatencyRange,
    Leverage,
    Multiple,
    Name,
    Parameters,
    Pause,
    PositiveRatio,
    Ratio,
    Seconds,
    Seed,
    SizeValue,
    SlippageRange,
    SymbolName,
    WebsocketUrl,
)
from daemon.config_venues import PAPER, Venue
from domain.commands import SizeBy
from domain.instrument import Kind


class Account(Section):
    """The account whose money is traded."""

    name: Name = "paper"
    """in the journal and in order ids; keep it for as long as the data directory lives"""
    quote: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}$")] = "USDT"
    """[asset] what money is counted in; every symbol must end in it"""
    venue: Name = PAPER
    """where it is: one of `venues`, or `paper`, which fills orders here, with no real money"""


class Market(Section):
    """Where prices come from."""

    source: Literal["simulated", "binance", "okx", "recorded"]
    """a made-up market; the public websocket of Binance or of OKX; the files of `holdfast replay`
    """
    kind: Kind = Kind.SWAP
    """[`spot`, `swap`] spot buys and sells the coin; swaps go long and short, with leverage"""
    symbols: Annotated[tuple[SymbolName, ...], Field(min_length=1, max_length=1000)]
    """[list of 1 to 1000] what is traded; traders and commands choose from it"""
    watch: Annotated[tuple[SymbolName, ...], Field(max_length=1000)] = ()
    """[list] symbols that are watched, too, and never traded: prices, candles and strategies see
    them, entries are refused
    """
    url: WebsocketUrl | None = None
    """[`ws://…`, `wss://…`] only `binance`, `okx`: another address without path, such as a
    recording served by `holdfast serve-recorded`
    """
    rest_url: HttpUrl | None = None
    """[`http://…`, `https://…`] only `binance`, `okx`: another address to ask; with `url` set and
    this not, nothing is asked
    """
    seed: Seed = 7
    """only `simulated`: another number is another market"""
    ticks_per_second: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 5.0
    """[number] only `simulated`: per symbol"""
    max_silence_s: Seconds = 3.0
    """no data for so long (answers to pings are none), and the stream is connected anew; no new
    last price of a symbol, and the venue is asked for it
    """
    stale_after_s: Seconds = 5.0
    """no price of a symbol for so long: no entries in it; its guards stay armed"""
    spike_ratio: Fraction = Decimal("0.03")
    """a last price this far from the one before and from the mark (or mid) waits up to 0.3 s for
    contradiction
    """


class InstrumentRules(Section):
    """A venue's rules for one symbol; what is left out comes from the built-in table."""

    tick_size: Amount | None = None
    """price step, quote; needed for a symbol that is not built in"""
    lot_size: Amount | None = None
    """quantity step, base; needed for a symbol that is not built in"""
    min_quantity: Amount | None = None
    """smallest quantity, base; else one lot"""
    min_notional: Amount | None = None
    """smallest value of an order, quote; needed for a symbol that is not built in"""
    max_leverage: Leverage | None = None
    """of one entry; else as built in, or 1. On spot always 1"""
    contract_size: Amount | None = None
    """base units a contract; else as built in, or 1. Needed for a swap on OKX that is not built
    in, and not taken from `others`
    """


class Paper(Section):
    """How the paper venue fills."""

    balance: Amount = Decimal(10_000)
    """quote, to begin with; an account that exists keeps what it has"""
    slippage: SlippageRange = (Decimal("0.0005"), Decimal("0.001"))
    """of the price, against you, drawn for each order at market"""
    latency_ms: LatencyRange = (20.0, 60.0)
    """drawn for each request"""
    maker_fee: Fee = Decimal("0.0002")
    """of the value, for an order that rested"""
    taker_fee: Ratio = Decimal("0.0005")
    """of the value, for an order at market"""
    partial_fill_chance: Chance = 0.0
    """of an order being filled in parts"""
    reject_chance: Chance = 0.0
    """of an order being refused for no good reason"""
    seed: Seed = 11
    """of all that is drawn; in a replay `--seed` takes its place"""


class Limits(Section):
    """What the account may do; see `domain.risk.AccountLimits`."""

    max_positions: Count = 10
    """at the same time, entries under way included"""
    max_leverage: Leverage = Decimal(10)
    """of one entry, and of all positions together"""
    daily_loss_cap: Amount | None = None
    """quote, lost since 00:00 UTC: no entries until tomorrow"""
    daily_drawdown_ratio: PositiveRatio = Decimal("0.05")
    """below the equity of 00:00 UTC: no entries until tomorrow; 1 switches it off"""
    total_drawdown_ratio: PositiveRatio = Decimal("0.20")
    """below the highest equity: everything is closed, until `holdfast reset-kill-switch`; 1
    switches it off
    """
    balance_buffer_ratio: Ratio = Decimal("0.10")
    """of the balance, never spent on entries"""
    max_stop_distance_ratio: Ratio = Decimal("0.5")
    """of the entry price, for a stop"""


class Size(Section):
    """How large a trader's positions are."""

    by: SizeBy = SizeBy.NOTIONAL
    """[see below] what `value` means"""
    value: SizeValue = Decimal(500)
    """[number] above 0"""

    @model_validator(mode="after")
    def _fractions(self) -> "Size":
        by_ratio = {SizeBy.RISK_RATIO, SizeBy.VOLATILITY, SizeBy.KELLY}
        if self.by in by_ratio and self.value > 1:
            message = f"{self.by.value} takes a fraction: 0.02 or 2%, not {self.value}"
            raise ValueError(message)
        return self


class TraderLimitsSection(Section):
    """What one trader may do; see `domain.risk.TraderLimits`."""

    max_positions: Count = 3
    """at the same time"""
    max_risk_ratio: Ratio = Decimal("0.02")
    """of equity, lost if the stop is hit"""
    min_confidence: Ratio = Decimal(0)
    """entries with less confidence are refused"""
    max_position_ratio: Multiple = Decimal("0.2")
    """[ratio, above 1 allowed] value of a position, as a part of equity"""


class Trader(Section):
    """A strategy, the symbols it watches, and how much it may risk."""

    name: Name
    """each its own; not `manual`"""
    strategy: Annotated[str, Field(min_length=1, max_length=500)]
    """[text] a built-in one (`holdfast strategies`), an installed one, or `./mine.py:MyStrategy`;
    see [strategies](strategies.md)
    """
    symbols: Annotated[tuple[SymbolName, ...], Field(min_length=1)]
    """[list] some of `market.symbols`"""
    timeframe: BarLength
    """[such as `5s`, `1m`, `4h`, `1d`] the length of its candles; must divide a day"""
    parameters: Parameters = {}
    """of the strategy"""
    size: Size = Field(default_factory=Size.model_construct)
    """how large its positions are"""
    limits: TraderLimitsSection = Field(default_factory=TraderLimitsSection.model_construct)
    """what it may do"""
    leverage: Leverage = Decimal(1)
    """of its entries"""
    cooldown_s: Pause = 0.0
    """after a position closed, per symbol, before the next"""


class Protection(Section):
    """How long a position may stand without a guard, and how often rules may move one."""

    unprotected_after_s: Seconds = 2.0
    """no guard confirmed for so long after the first fill: an alarm, and the guard is asked for
    again
    """
    exit_after_s: Seconds = 3.0
    """so long after that alarm, still none: the position is closed; not below
    `unprotected_after_s`
    """
    grace_s: Pause = 1.0
    """a stop that rests at the venue has so long to fire there once the daemon sees its price
    crossed; then the daemon takes it out and leaves at market
    """
    target_at_venue: bool = False
    """whether the last target rests at the venue, too, in one order with the stop (OCO): it closes
    the position while the daemon is down
    """
    automatic_modification_every_s: Pause = 300.0
    """a strategy may change a position's protection once in this time"""

    @model_validator(mode="after")
    def _in_order(self) -> "Protection":
        if self.exit_after_s < self.unprotected_after_s:
            message = "exit_after_s cannot come before unprotected_after_s"
            raise ValueError(message)
        return self


class Journal(Section):
    """How often the state is written whole, and how much disk must stay free."""

    snapshot_every_events: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5_000
    """[whole number] bounds what a start has to read"""
    snapshot_every_s: Seconds = 300.0
    """if anything happened; also at a quiet moment, once there is enough"""
    min_free_mb: Count = 64
    """less free disk: exits only (PROTECT_ONLY)"""
    archive_after_days: Days | None = None
    """older records leave for files in `data_dir/archive`, at the start and once a day; see
    [backup](backup.md)
    """


class RetentionSection(Section):
    """For how long read tables keep what is over; null keeps it for ever.

    See `storage.retention.Retention`.
    """

    closed_paper_days: Days | None = 90
    """closed positions at the paper venue, with their orders, fills and executions; the history of
    modifications stays
    """
    closed_live_days: Days | None = None
    """the same of positions with real money"""
    unexecuted_decisions_days: Days | None = 30
    """decisions that were refused, asked for nothing, or whose position has left"""
    equity_hourly_after_days: Days | None = 7
    """older points of the equity curve: one an hour stays"""


class Metrics(Section):
    """The Prometheus endpoint."""

    enabled: bool = True
    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """[address]"""
    port: Annotated[int, Field(ge=0, le=65_535)] = 9464
    """[0 to 65535] 0 takes any free one, which the log names"""


class Admin(Section):
    """The admin socket."""

    socket: Path | None = None
    """the socket of the commands; else `holdfast.sock` in `data_dir`. Its folder must be open to
    nobody else
    """

    @field_validator("socket", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _base(info) / at_home(value)


class LogSection(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """to stderr; `auto` is `console` on a terminal, else `json`"""
    file: Path | None = None
    """JSON lines, besides"""

    @field_validator("file", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _base(info) / at_home(value)


class Config(Section):
    """The whole file. Paths are absolute: relative ones count from the file's directory."""

    data_dir: Annotated[Path, Field(validate_default=True)] = Path(DATA_DIR)
    """[path] journal, snapshots, the paper venue's ledger, the admin socket; made for you alone
    (mode 0700)
    """
    account: Account = Field(default_factory=Account.model_construct)
    """the account whose money is traded"""
    market: Market
    """where prices come from"""
    instruments: dict[SymbolName | Literal["others"], InstrumentRules] = {}
    """[by symbol] rules of symbols that are not built in, or differ"""
    venues: dict[Name, Venue] = {}
    """[by name] logins at venues; `account.venue` says which is used"""
    paper: Paper = Field(default_factory=Paper.model_construct)
    """how the paper venue fills orders"""
    limits: Limits = Field(default_factory=Limits.model_construct)
    """what the whole account may do"""
    traders: Annotated[tuple[Trader, ...], Field(max_length=1000)] = ()
    """[list] who trades; without any, only you do"""
    protection: Protection = Field(default_factory=Protection.model_construct)
    """how long a position may be without a guard"""
    journal: Journal = Field(default_factory=Journal.model_construct)
    """snapshots and free disk"""
    retention: RetentionSection = Field(default_factory=RetentionSection.model_construct)
    """for how long lists keep what is over"""
    metrics: Metrics = Field(default_factory=Metrics.model_construct)
    """the endpoint for Prometheus"""
    admin: Admin = Field(default_factory=Admin.model_construct)
    """the socket that commands use"""
    log: LogSection = Field(default_factory=LogSection.model_construct)
    """what is logged, and how"""
    secrets: dict[Name, SecretRef] = {}
    """[by name] where secrets are, never what they are"""

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path, info: ValidationInfo) -> Path:
        return _base(info) / at_home(value)

    @property
    def venue(self) -> Venue | None:
        """Return the venue of the account; None: the paper venue."""
        return self.venues.get(self.account.venue)

    @property
    def socket_path(self) -> Path:
        """Return where the admin socket is."""
        return self.admin.socket or self.data_dir / SOCKET_NAME


def _base(info: ValidationInfo) -> Path:
    context = info.context or {}
    base = context.get("base")
    return base if isinstance(base, Path) else Path.cwd()
