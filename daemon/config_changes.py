"""What changed between two configurations, and which of it a running daemon can take. Pure.

`merged` says what can change while it runs: whatever it takes from the new configuration. The rest
waits for a restart, because state hangs on it: a market's stream, a strategy's memory, the paper
venue's ledger, addresses that are bound.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum

import msgspec
from pydantic import BaseModel

from daemon.config_models import Config, Trader
from daemon.config_section import SECRET_KEY
from domain.money import plain

_GONE = "not set"
_MASK = "****"


class Change(msgspec.Struct, frozen=True):
    """A key whose value is another one, as text; traders and instruments stand by their names."""

    key: str
    was: str
    now: str


def merged(in_force: Config, wanted: Config) -> Config:
    """Return what is in force with all of `wanted` that can be taken without a restart."""
    market = {
        "stale_after_s": wanted.market.stale_after_s,
        "spike_ratio": wanted.market.spike_ratio,
    }
    by_name = {each.name: each for each in wanted.traders}
    return in_force.model_copy(
        update={
            "limits": wanted.limits,
            "protection": wanted.protection,
            "journal": wanted.journal,
            "retention": wanted.retention,
            "log": in_force.log.model_copy(update={"level": wanted.log.level}),
            "market": in_force.market.model_copy(update=market),
            "traders": tuple(
                _merged_trader(each, by_name.get(each.name, each)) for each in in_force.traders
            ),
        }
    )


def _merged_trader(in_force: Trader, wanted: Trader) -> Trader:
    return in_force.model_copy(
        update={
            "size": wanted.size,
            "limits": wanted.limits,
            "leverage": wanted.leverage,
            "cooldown_s": wanted.cooldown_s,
        }
    )


def changes(before: Config, after: Config) -> list[Change]:
    """Return the keys that differ, in the order of the file; added and removed ones too."""
    old, new = keys(before), keys(after)
    return [
        Change(key, _text(key, old.get(key)), _text(key, new.get(key)))
        for key in {**new, **old}
        if old.get(key) != new.get(key)
    ]


def keys(config: Config) -> dict[str, object]:
    """Return every key that holds a value."""
    return dict(_keys(config, ()))


def _keys(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, tuple) and value and isinstance(value[0], Trader):
        value = {each.name: each for each in value}
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _keys(item, (*path, str(name)))
    else:
        yield ".".join(path), value


def _text(key: str, value: object) -> str:
    return _MASK if SECRET_KEY.search(key) else _plain(value)


def _plain(value: object) -> str:
    if value is None:
        return _GONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_plain(each) for each in value) + "]"
    return str(value)
