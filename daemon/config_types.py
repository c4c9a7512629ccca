"""The kinds of value in a configuration: each a type with its bounds, read from text as written."""

import re
from decimal import Decimal
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
)

from daemon.yaml_lines import Number
from domain.candles import Timeframe
from domain.money import HUNDRED, InvalidNumberError, decimal_from
from domain.risk import MAX_NUMBER

_Number = TypeVar("_Number", Decimal, float)
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_LONGEST_S = 86_400.0 * 365


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
Leverage = Annotated[Decimal, BeforeValidator(_number), Field(ge=1, le=1000)]
Multiple = Annotated[Decimal, BeforeValidator(_ratio), Field(ge=0, le=1000)]
SizeValue = Annotated[Decimal, BeforeValidator(_ratio), Field(gt=0, le=MAX_NUMBER)]
Pause = Annotated[float, Field(ge=0, le=_LONGEST_S, allow_inf_nan=False)]
BarLength = Annotated[Timeframe, BeforeValidator(_timeframe)]
Parameters = Annotated[dict[str, object], BeforeValidator(_plain_values)]
WebsocketUrl = Annotated[str, AfterValidator(_websocket_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
