"""What a venue tells of an account besides its orders: holdings, money, and what others did."""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec

from domain.ids import Symbol
from domain.instrument import Direction
from domain.order import Fill


class VenueAccount(msgspec.Struct, frozen=True):
    """Whose money moves: an account as its venue names it. It may have many keys, a key has one."""

    account_id: str
    is_demo: bool = False

    def __str__(self) -> str:
        """Name it for people."""
        return f"the {'demo' if self.is_demo else 'live'} account {self.account_id}"


class Balance(msgspec.Struct, frozen=True):
    """An account's money in one asset: cash, without the unrealized P&L of swaps."""

    asset: str
    total: Decimal  # what orders at the venue have frozen included
    available: Decimal


class VenuePosition(msgspec.Struct, frozen=True):
    """A holding of one instrument; negative when short.

    A venue in hedge mode reports the long and the short side of a symbol as two of these, and the
    net is their sum; a venue in net mode, and any venue for spot, reports one. Held in two margin
    modes it is two, in either mode.
    """

    symbol: Symbol
    quantity: Decimal  # base units, signed; 0 only in a `PositionReport`: flat
    average_price: Decimal  # quote per base unit
    liquidation_price: Decimal | None = None  # quote; None: the venue names none
    leverage: Decimal | None = None
    updated_at: datetime | None = None
    margin: str = ""  # the venue's word for how it is secured: "cross", "isolated"


class Outside(Enum):
    """Who traded on our account, when it was not us."""

    PERSON = "person"  # on the venue's site, or another program
    LIQUIDATION = "liquidation"
    ADL = "adl"  # the venue closed it against a liquidated account
    NETTING = "netting"  # the venue keeps one net position: a long and a short closed each other


class OutsideFill(msgspec.Struct, frozen=True):
    """An execution of an order without an id of ours; `fill.client_order_id` is empty."""

    fill: Fill
    cause: Outside
    direction: Direction | None = None  # in hedge mode: of the position it belongs to


class CashKind(Enum):
    """What moved money besides a fill."""

    FUNDING = "funding"
    TRANSFER = "transfer"  # deposit, withdrawal, between accounts
    OTHER = "other"  # interest, rebates, corrections


class CashFlow(msgspec.Struct, frozen=True):
    """Money that came or went without a fill."""

    flow_id: str  # the venue's id: told twice, it counts once
    kind: CashKind
    asset: str
    amount: Decimal  # signed: below zero we paid
    at: datetime
    symbol: Symbol | None = None  # of funding
    text: str = ""  # the venue's word
    direction: Direction | None = None  # of funding in hedge mode, where the venue tells it
    # Of funding in hedge mode, base units: how much the side held that it is of.
    size: Decimal | None = None
