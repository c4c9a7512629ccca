"""What `venues` may say: a login at a venue, where it is, and what is expected of it."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from daemon.config_section import SecretRef, Section, in_variable
from daemon.config_types import HttpUrl, PositiveRatio, Ratio, WebsocketUrl
from domain.instrument import Kind

PAPER = "paper"  # the venue that needs no entry
_TAKER_FEES = {Kind.SPOT: Decimal("0.001"), Kind.SWAP: Decimal("0.0005")}
_STREAM_PATH = "/ws/v5"


class Credentials(Section):
    """The three secrets of a key at OKX, each named by where it is."""

    key: SecretRef = Field(default_factory=lambda: in_variable("OKX_API_KEY"))
    """[secret] `{env: NAME}` or `{file: PATH}`; else the variable `OKX_API_KEY`"""
    secret: SecretRef = Field(default_factory=lambda: in_variable("OKX_API_SECRET"))
    """[secret] else the variable `OKX_API_SECRET`"""
    passphrase: SecretRef = Field(default_factory=lambda: in_variable("OKX_API_PASSPHRASE"))
    """[secret] else the variable `OKX_API_PASSPHRASE`"""


class Urls(Section):
    """Another server that speaks the venue's protocol. Both: keys go where the prices come from."""

    rest: HttpUrl
    """[`http://…`, `https://…`] without path"""
    ws: WebsocketUrl
    """[`ws://…`, `wss://…`] with or without `/ws/v5`"""

    @property
    def stream_base(self) -> str:
        """Return the address of the streams without the path that all of them share."""
        return self.ws.rstrip("/").removesuffix(_STREAM_PATH)


class Venue(Section):
    """A login at a venue."""

    exchange: Literal["okx"] = "okx"
    """whose protocol"""
    environment: Literal["demo", "live"] = "demo"
    """`demo`: the venue's own practice account; `live`: real money, see `confirm_live`"""
    confirm_live: bool = False
    """must be true for the environment `live`: the daemon does not start without it"""
    credentials: Credentials = Field(default_factory=Credentials.model_construct)
    """where the key, its secret and its passphrase are"""
    margin_mode: Literal["cross", "isolated"] = "cross"
    """of swaps: the whole account stands for each position, or each for itself"""
    unknown_positions: Literal["quarantine", "adopt"] = "quarantine"
    """what nobody here opened: hands off and an alarm, or taken over with an emergency stop"""
    emergency_stop: PositiveRatio = Decimal("0.05")
    """from the price, of a position taken over; at most `limits.max_stop_distance_ratio`"""
    outside_changes: Literal["restore", "adopt"] = "restore"
    """a person moves our stop at the venue: it is put back, or its price taken over. One that is
    canceled there is placed again in any case
    """
    taker_fee: Ratio | None = None
    """expected, of the value; else 0.05 % on swaps and 0.1 % on spot. What is charged is booked"""
    slippage: Ratio = Decimal("0.001")
    """expected, of the price, of an order at market; set aside with an entry"""
    urls: Urls | None = None
    """another server instead of the venue's own, such as `holdfast sandbox`"""

    def taker_fee_of(self, kind: Kind) -> Decimal:
        """Return the expected fee of an order at market, a fraction of its value."""
        return _TAKER_FEES[kind] if self.taker_fee is None else self.taker_fee

    @property
    def is_live(self) -> bool:
        """Whether real money moves."""
        return self.environment == "live"
