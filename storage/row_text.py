"""How values stand in rows: see `rows.py`."""

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from storage.codec import time_text

_json = msgspec.json.Encoder(order="deterministic").encode

word = attrgetter("_value_")  # of an enum member; its `value` is a property and four times as slow


def text_of(value: Decimal | None) -> str:
    """Return an amount; empty: none."""
    return "" if value is None else str(value)


def time_of(at: datetime | None) -> str:
    """Return a time; empty: none."""
    return "" if at is None else time_text(at)


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    return _json(value).decode()
