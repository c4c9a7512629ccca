"""An immutable map that changes cheaply.

With 10,000 entries a new version copies a hundredth of them.

Entries lie in shards by a checksum of their key, which is the same in every process (`hash` of text
is not), so a replay walks a table in the order the original did.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Generic, TypeVar
from zlib import crc32

import msgspec

SHARDS = 128
K = TypeVar("K", bound=str)
V = TypeVar("V")


class Table(msgspec.Struct, Generic[K, V], frozen=True):
    """Text keys to values. Reads like a `Mapping`; `put` and `drop` return another table."""

    shards: tuple[dict[K, V], ...] = ({},) * SHARDS
    size: int = 0

    def put(self, key: K, value: V) -> "Table[K, V]":
        """Return a table with `value` at `key`."""
        shard = self.shards[crc32(key.encode()) % SHARDS]
        return self._with(key, {**shard, key: value}, self.size + (key not in shard))

    def drop(self, key: K) -> "Table[K, V]":
        """Return a table without `key`. Raises `KeyError` when it is not there."""
        shard = dict(self.shards[crc32(key.encode()) % SHARDS])
        del shard[key]
        return self._with(key, shard, self.size - 1)

    def _with(self, key: K, shard: dict[K, V], size: int) -> "Table[K, V]":
        place = crc32(key.encode()) % SHARDS
        return Table((*self.shards[:place], shard, *self.shards[place + 1 :]), size)

    def get(self, key: K) -> V | None:
        """Return the value at `key`, or None."""
        return self.shards[crc32(key.encode()) % SHARDS].get(key)

    def __getitem__(self, key: K) -> V:
        return self.shards[crc32(key.encode()) % SHARDS][key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self.shards[crc32(key.encode()) % SHARDS]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[K]:
        for shard in self.shards:
            yield from shard

    def values(self) -> tuple[V, ...]:
        """Return all values."""
        return tuple(chain.from_iterable(map(dict.values, filter(None, self.shards))))

    def items(self) -> tuple[tuple[K, V], ...]:
        """Return all keys with their values."""
        return tuple(chain.from_iterable(map(dict.items, filter(None, self.shards))))
