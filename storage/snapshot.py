"""Snapshots: all states at one place of the journal, so that a start need not fold everything.

A snapshot is a cache and never the truth. It carries the hash of the journal record it was taken
at: one that belongs to another journal is refused. It carries a hash of itself: a damaged or
truncated one falls back to the one before. It says which shapes its states have: after an upgrade
that changed one, the journal is folded instead.

    file  = magic (8) | format (2) | seq (8) | journal hash at seq (32) | start of items (4)
            | SHA-256 of all but this field, items first (32) | lead | items
    lead  = msgpack of [{kind: state version}, [ as far as the items
    items = msgpack of [kind, msgpack of {stream: [version, state]}], one after another

An item holds some streams of one kind and is read in one call: a start waits for that. How many
items there are is known only at the end, so the lead, which says so, is hashed last.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import msgspec

from runtime.ports import Disk
from storage.chain import HASH_CHARACTERS, Tail
from storage.streams import StreamRegistry, Streams

DIRECTORY = "snapshots"
SUFFIX = ".snapshot"
KEPT = 3
FORMAT = 2  # 1 had one stream an item
CHUNK = 64  # streams encoded in one go: about half a millisecond

_MAGIC = b"HOLDSNAP"
_PREFIX = Struct(f">8sHQ{HASH_CHARACTERS}sI")
_DIGEST_BYTES = 32
_HEADER_BYTES = _PREFIX.size + _DIGEST_BYTES
_ARRAY_OF_TWO = b"\x92"  # in msgpack; written by hand because the items come one by one
_ARRAY = b"\xdd"
_BODY = msgspec.msgpack.Decoder(tuple[dict[str, int], list[tuple[str, msgspec.Raw]]])
_OTHER_SHAPE = (msgspec.MsgspecError, UnicodeDecodeError)
_BIN_HEADERS = {0xC4: 2, 0xC5: 3, 0xC6: 5}  # how many bytes go before the content, in msgpack


class SnapshotError(Exception):
    """Why a snapshot cannot be used; says it to a person."""


class Snapshot(NamedTuple):
    """A loaded snapshot."""

    tail: Tail  # the place in the journal
    streams: Streams


class SnapshotWriter:
    """Encodes a snapshot in steps, so that commits and the loop get their turn in between.

    The map of streams is copied at once, which is cheap; states are immutable.
    """

    def __init__(self, registry: StreamRegistry, tail: Tail, streams: Streams) -> None:
        self.tail = tail
        self._registry = registry
        self._streams = dict(streams)
        self._rest = iter(self._streams.items())
        self._count = 0
        self._pack = msgspec.msgpack.Encoder().encode
        self._hash = sha256()
        self._file = BytesIO()
        self._file.seek(_HEADER_BYTES + len(self._lead()))

    def advance(self, count: int = CHUNK) -> bool:
        """Look at the next streams and encode those in use; return whether there are more."""
        registry = self._registry
        looked_at = 0
        by_kind: dict[str, Streams] = {}
        for stream, held in islice(self._rest, count):
            looked_at += 1
            if registry.is_needed(stream, self._streams):
                by_kind.setdefault(registry.kind_of(stream).name, {})[stream] = held
        items = b"".join(
            self._pack((kind, registry.encode_states(streams))) for kind, streams in by_kind.items()
        )
        self._count += len(by_kind)
        self._hash.update(items)
        self._file.write(items)
        return looked_at == count

    def write(self, disk: Disk, directory: Path) -> Path:
        """Write the file durably, then remove what is older than the last three.

        Raises `OSError`.
        """
        while self.advance():
            time.sleep(0)  # lets other threads have the interpreter
        lead = self._lead()
        prefix = _prefix(self.tail, _HEADER_BYTES + len(lead))
        self._hash.update(prefix + lead)
        self._file.seek(0)
        self._file.write(prefix + self._hash.digest() + lead)
        folder = directory / DIRECTORY
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.tail.seq:016d}{SUFFIX}"
        disk.write_atomically(path, self._file.getvalue())
        for old in snapshot_paths(directory)[KEPT:]:
            old.unlink()
        return path

    def _lead(self) -> bytes:
        versions = self._pack(self._registry.state_versions())
        return _ARRAY_OF_TWO + versions + _ARRAY + self._count.to_bytes(4, "big")


def snapshot_paths(directory: Path) -> list[Path]:
    """Return the snapshots of a directory, newest first."""
    return sorted((directory / DIRECTORY).glob(f"[0-9]*{SUFFIX}"), reverse=True)


def load_snapshot(
    path: Path, disk: Disk, registry: StreamRegistry, hash_at: Callable[[int], str | None]
) -> Snapshot:
    """Read and check one snapshot; `hash_at` gives the journal's hash at a record.

    Raises `SnapshotError`, saying what is wrong with it.
    """
    tail, data = _checked_file(path, disk, hash_at)
    try:
        return Snapshot(tail, _streams(data, registry))
    except _OTHER_SHAPE as error:
        raise SnapshotError(f"its states are of another version: {error}") from error


def check_snapshot(
    path: Path, disk: Disk, registry: StreamRegistry, hash_at: Callable[[int], str | None]
) -> Tail:
    """Return the place of a snapshot that can be used, without making its states.

    Raises `SnapshotError` like `load_snapshot`.
    """
    tail, data = _checked_file(path, disk, hash_at)
    try:
        _packed_states(data, registry)
    except _OTHER_SHAPE as error:
        raise SnapshotError(f"its states are of another version: {error}") from error
    return tail


def usable_up_to(
    directory: Path, disk: Disk, registry: StreamRegistry, hash_at: Callable[[int], str | None]
) -> int:
    """Return the record of the newest snapshot that can be used; 0 without one."""
    for path in snapshot_paths(directory):
        with suppress(SnapshotError):
            return check_snapshot(path, disk, registry, hash_at).seq
    return 0


def known_up_to(directory: Path, disk: Disk, hash_at: Callable[[int], str | None]) -> int:
    """Return up to which record snapshots of this journal tell what it led to; 0 without one.

    Those count, too, that only another version of Holdfast can read.
    """
    for path in snapshot_paths(directory):
        with suppress(SnapshotError):
            return _checked_file(path, disk, hash_at, any_format=True)[0].seq
    return 0


def _checked_file(
    path: Path, disk: Disk, hash_at: Callable[[int], str | None], *, any_format: bool = False
) -> tuple[Tail, bytes]:
    try:
        data = disk.read(path)
    except OSError as error:
        raise SnapshotError(f"cannot be read: {error}") from error
    tail = _checked_header(data, any_format=any_format)
    if hash_at(tail.seq) != tail.hash:
        raise SnapshotError(f"does not belong to this journal: record {tail.seq} is another one")
    return tail, data


def _prefix(tail: Tail, start_of_items: int) -> bytes:
    return _PREFIX.pack(_MAGIC, FORMAT, tail.seq, tail.hash.encode(), start_of_items)


def _checked_header(data: bytes, *, any_format: bool) -> Tail:
    if len(data) < _HEADER_BYTES:
        raise SnapshotError(f"truncated: {len(data)} bytes")
    magic, version, seq, journal_hash, start_of_items = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise SnapshotError("damaged: it does not start as a snapshot")
    tail = Tail(seq, journal_hash.decode("ascii", "replace"))
    if version != FORMAT:
        if any_format:
            return tail  # the hash of its content may be made in another way
        raise SnapshotError(f"it has format {version}, this version of Holdfast reads {FORMAT}")
    digest = sha256(memoryview(data)[start_of_items:])
    digest.update(data[: _PREFIX.size] + data[_HEADER_BYTES:start_of_items])
    if digest.digest() != data[_PREFIX.size : _HEADER_BYTES]:
        raise SnapshotError("damaged or truncated: its content does not match its hash")
    return tail


def _packed_states(data: bytes, registry: StreamRegistry) -> list[tuple[str, msgspec.Raw]]:
    versions, packed = _BODY.decode(memoryview(data)[_HEADER_BYTES:])
    known = registry.state_versions()
    for kind, version in versions.items():
        if known.get(kind) != version:
            raise SnapshotError(
                f"its {kind} states have version {version}, those of this Holdfast"
                f" {known.get(kind)}"
            )
    for kind, _ in packed:
        if kind not in versions:
            raise SnapshotError(f"it has {kind!r} states and no version of them")
    return packed


def _streams(data: bytes, registry: StreamRegistry) -> Streams:
    streams: Streams = {}
    for kind, states in _packed_states(data, registry):
        streams |= registry.decode_states(kind, _content(states))
    return streams


def _content(packed: msgspec.Raw) -> memoryview:
    """Return what was packed as bytes, without copying it: a snapshot has megabytes."""
    view = memoryview(packed)
    start = _BIN_HEADERS.get(view[0])
    if start is None:
        raise msgspec.ValidationError(f"states begin with {view[0]:#x}")
    return view[start:]
