"""Attempts to place an order: who makes them, from where, and what they were judged by.

An attempt is kept with the order it became, or with the refusal that ended it, so that the audit
tells of each in full.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from domain.commands import SizeBy, Source
from domain.ids import DecisionId, TraderName
from domain.instrument import Kind

PASSED = "passed"


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the terms of an order do not tell."""

    source: Source
    trader: TraderName
    venue: str  # as configured: "paper", "okx-demo"
    market_type: Kind | None  # None: no such symbol
    user: str = ""  # empty: the daemon itself
    decision_id: DecisionId | None = None
    size_by: SizeBy | None = None  # as it was asked for; None: an exit
    size: Decimal | None = None
    min_notional: Decimal | None = None  # quote, of the instrument
    available: Decimal | None = None  # quote that nothing claimed, before this
    required: Decimal | None = None  # quote: margin, fee and slippage; None: size not judged
    decided_at: datetime | None = None
    precheck: str = ""  # "passed", or the rule that refused it; empty: an exit is not judged
