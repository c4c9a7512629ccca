"""What `config.yaml` may say: one frozen model a section, every key with its type and bounds.

Numbers arrive as the text that was written (see `yaml_lines.py`), so a decimal is exact. Ratios are
fractions; `2%` may be written for 0.02. Durations end in their unit (`_s`, `_ms`). Where the domain
has a struct of the same meaning, keys carry its field names.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.config_file import DATA_DIR, SOCKET_NAME
from daemon.yaml_lines import Number
from domain.candles import Timeframe
from domain.commands import SizeBy
from domain.instrument import Kind
from domain.money import HUNDRED, InvalidNumberError, decimal_from
from domain.risk import MAX_NUMBER

_Number = TypeVar("_Number", Decimal, float)
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_LONGEST_S = 86_400.0 * 365


class Section(BaseModel):
    """A mapping in the file. Unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        defer_build=True,  # `Config` builds the sections it holds; half the cost of importing this
    )


def _number(value: object) -> object:
    return decimal_from(value) if isinstance(value, str) else value


def _ratio(value: object) -> object:
    if isinstance(value, str) and value.endswith("%"):
        try:
            return decimal_from(value[:-1].strip()) / HUNDRED
        except InvalidNumberError:
            message = f"{value!r} is not a percentage; write 2% or 0.02"
            raise ValueError(message) from None
    return _number(value)


def _pair(value: object) -> object:
    """Let one number stand for a range of no width."""
    return value if isinstance(value, list | tuple) else [value, value]


def _plain_values(value: object) -> object:
    """Turn the text of numbers into int or Decimal where no model says which is meant."""
    if isinstance(value, Number):
        return int(value) if _INTEGER.fullmatch(value) else decimal_from(value)
    if isinstance(value, dict):
        return {name: _plain_values(item) for name, item in value.items()}
    return [_plain_values(item) for item in value] if isinstance(value, list) else value


def _timeframe(value: object) -> object:
    return Timeframe.parse(value) if isinstance(value, str) else value


def _rising(pair: tuple[_Number, _Number]) -> tuple[_Number, _Number]:
    if pair[0] > pair[1]:
        message = f"the lower end {pair[0]} comes first, then the higher"
        raise ValueError(message)
    return pair


def _websocket_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        message = "an address such as ws://127.0.0.1:8080 or wss://fstream.binance.com is needed"
        raise ValueError(message)
    if parts.username or parts.password or parts.query:
        message = "an address carries no user, password or query; secrets never stand in this file"
        raise ValueError(message)
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "an address such as http://127.0.0.1:8080 or https://fapi.binance.com is needed"
        raise ValueError(message)
    if parts.username or parts.password or parts.query:
        message = "an address carries no user, password or query; secrets never stand in this file"
        raise ValueError(message)
    return value


Amount = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, le=MAX_NUMBER)]
Ratio = Annotated[Decimal, BeforeValidator(_ratio), Field(ge=0, le=1)]
PositiveRatio = Annotated[Decimal, BeforeValidator(_ratio), Field(gt=0, le=1)]
Fraction = Annotated[Decimal, BeforeValidator(_ratio), Field(gt=0, lt=1)]
Fee = Annotated[Decimal, BeforeValidator(_ratio), Field(gt=-1, lt=1)]
Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Days = Annotated[int, Field(ge=1, le=36_500)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
SymbolName = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}/[A-Z0-9]{1,20}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
SlippageRange = Annotated[tuple[Ratio, Ratio], BeforeValidator(_pair), AfterValidator(_rising)]
LatencyRange = Annotated[
    tuple[Milliseconds, Milliseconds], BeforeValidator(_pair), AfterValidator(_rising)
]


class SecretRef(Section):
    """Where a secret is: in an environment variable or in a file. Never the secret itself."""

    env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            message = "a secret is named by {env: NAME} or by {file: PATH}"
            raise ValueError(message)
        return self


class Account(Section):
    """The account whose money is traded."""

    name: Name = "paper"
    quote: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}$")] = "USDT"


class Market(Section):
    """Where prices come from."""

    source: Literal["simulated", "binance", "okx", "recorded"]
    kind: Kind = Kind.SWAP
    symbols: Annotated[tuple[SymbolName, ...], Field(min_length=1, max_length=1000)]
    watch: Annotated[tuple[SymbolName, ...], Field(max_length=1000)] = ()  # seen, never traded
    url: Annotated[str, AfterValidator(_websocket_url)] | None = None
    rest_url: Annotated[str, AfterValidator(_http_url)] | None = None
    seed: Seed = 7
    ticks_per_second: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = (
        5.0  # per symbol
    )
    max_silence_s: Seconds = 3.0  # nothing received: the stream is connected anew
    stale_after_s: Seconds = 5.0  # no price of a symbol: no entries
    spike_ratio: Fraction = Decimal("0.03")  # a last price further off waits for contradiction


class InstrumentRules(Section):
    """A venue's rules for one symbol; what is left out comes from the built-in table."""

    tick_size: Amount | None = None  # quote
    lot_size: Amount | None = None  # base units
    min_quantity: Amount | None = None  # base units
    min_notional: Amount | None = None  # quote
    max_leverage: Annotated[Decimal, BeforeValidator(_number), Field(ge=1, le=1000)] | None = None
    contract_size: Amount | None = None  # base units a contract


class Paper(Section):
    """How the paper venue fills."""

    balance: Amount = Decimal(10_000)  # quote
    slippage: SlippageRange = (Decimal("0.0005"), Decimal("0.001"))
    latency_ms: LatencyRange = (20.0, 60.0)
    maker_fee: Fee = Decimal("0.0002")
    taker_fee: Ratio = Decimal("0.0005")
    partial_fill_chance: Chance = 0.0
    reject_chance: Chance = 0.0
    seed: Seed = 11


class Limits(Section):
    """What the account may do; see `domain.risk.AccountLimits`."""

    max_positions: Count = 10
    max_leverage: Annotated[Decimal, BeforeValidator(_number), Field(ge=1, le=1000)] = Decimal(10)
    daily_loss_cap: Amount | None = None  # quote
    daily_drawdown_ratio: PositiveRatio = Decimal("0.05")
    total_drawdown_ratio: PositiveRatio = Decimal("0.20")
    balance_buffer_ratio: Ratio = Decimal("0.10")
    max_stop_distance_ratio: Ratio = Decimal("0.5")


class Size(Section):
    """How large a trader's positions are."""

    by: SizeBy = SizeBy.NOTIONAL
    value: Annotated[Decimal, BeforeValidator(_ratio), Field(gt=0, le=MAX_NUMBER)] = Decimal(500)

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
    max_risk_ratio: Ratio = Decimal("0.02")
    min_confidence: Ratio = Decimal(0)
    max_position_ratio: Annotated[Decimal, BeforeValidator(_ratio), Field(ge=0, le=1000)] = Decimal(
        "0.2"
    )


class Trader(Section):
    """A strategy, the symbols it watches, and how much it may risk."""

    name: Name
    strategy: Annotated[str, Field(min_length=1, max_length=500)]
    symbols: Annotated[tuple[SymbolName, ...], Field(min_length=1)]
    timeframe: Annotated[Timeframe, BeforeValidator(_timeframe)]
    parameters: Annotated[dict[str, object], BeforeValidator(_plain_values)] = {}
    size: Size = Field(default_factory=Size.model_construct)
    limits: TraderLimitsSection = Field(default_factory=TraderLimitsSection.model_construct)
    leverage: Annotated[Decimal, BeforeValidator(_number), Field(ge=1, le=1000)] = Decimal(1)
    cooldown_s: Annotated[float, Field(ge=0, le=_LONGEST_S, allow_inf_nan=False)] = 0.0


class Protection(Section):
    """How long a position may stand without a guard, and how often rules may move one."""

    unprotected_after_s: Seconds = 2.0  # no stop acknowledged: the client guard takes over
    exit_after_s: Seconds = 5.0  # still none: the position is closed
    automatic_modification_every_s: Annotated[float, Field(ge=0, le=_LONGEST_S)] = 300.0

    @model_validator(mode="after")
    def _in_order(self) -> "Protection":
        if self.exit_after_s < self.unprotected_after_s:
            message = "exit_after_s cannot come before unprotected_after_s"
            raise ValueError(message)
        return self


class Journal(Section):
    """How often the state is written whole, and how much disk must stay free."""

    snapshot_every_events: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5_000
    snapshot_every_s: Seconds = 300.0
    min_free_mb: Count = 64  # less: PROTECT_ONLY
    archive_after_days: Days | None = None  # older records leave for files, once a day


class RetentionSection(Section):
    """For how long read tables keep what is over; null keeps it for ever.

    See `storage.retention.Retention`.
    """

    closed_paper_days: Days | None = 90
    closed_live_days: Days | None = None
    unexecuted_decisions_days: Days | None = 30
    equity_hourly_after_days: Days | None = 7  # of each hour, one point stays


class Metrics(Section):
    """The Prometheus endpoint."""

    enabled: bool = True
    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9464  # 0: any free one


class Admin(Section):
    """The admin socket."""

    socket: Path | None = None  # default: holdfast.sock in data_dir

    @field_validator("socket", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _base(info) / value.expanduser()


class LogSection(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal
    file: Path | None = None  # JSON lines, besides stderr

    @field_validator("file", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _base(info) / value.expanduser()


class Config(Section):
    """The whole file. Paths are absolute: relative ones count from the file's directory."""

    data_dir: Annotated[Path, Field(validate_default=True)] = Path(DATA_DIR)
    account: Account = Field(default_factory=Account.model_construct)
    market: Market
    instruments: dict[SymbolName | Literal["others"], InstrumentRules] = {}
    paper: Paper = Field(default_factory=Paper.model_construct)
    limits: Limits = Field(default_factory=Limits.model_construct)
    traders: Annotated[tuple[Trader, ...], Field(max_length=1000)] = ()
    protection: Protection = Field(default_factory=Protection.model_construct)
    journal: Journal = Field(default_factory=Journal.model_construct)
    retention: RetentionSection = Field(default_factory=RetentionSection.model_construct)
    metrics: Metrics = Field(default_factory=Metrics.model_construct)
    admin: Admin = Field(default_factory=Admin.model_construct)
    log: LogSection = Field(default_factory=LogSection.model_construct)
    secrets: dict[Name, SecretRef] = {}

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path, info: ValidationInfo) -> Path:
        return _base(info) / value.expanduser()

    @property
    def socket_path(self) -> Path:
        """Return where the admin socket is."""
        return self.admin.socket or self.data_dir / SOCKET_NAME


SECRET_KEY = re.compile(r"key|secret|passw|passphrase|token|credential", re.IGNORECASE)


def _base(info: ValidationInfo) -> Path:
    context = info.context or {}
    base = context.get("base")
    return base if isinstance(base, Path) else Path.cwd()
