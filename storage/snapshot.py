"""Snapshots: all states at one place of the journal, so that a start need not fold everything.

A snapshot is a cache and never the truth. It carries the hash of the journal record it was taken
at: one that belongs to another journal is refused. It carries a hash of itself: a damaged or
truncated one falls back to the one before. It says which shapes its states have: after an upgrade
that changed one, the journal is folded instead.

    file = magic (8) | format (2) | seq (8) | journal hash at seq (32)
           | SHA-256 of all but this field (32) | body
    body = msgpack [{kind: state version}, [[stream, version, msgpack of the state], …]]
"""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from runtime.ports import Disk
from storage.chain import HASH_CHARACTERS, Tail
from storage.errors import NewerSchemaError
from storage.streams import StreamRegistry, Streams

DIRECTORY = "snapshots"
SUFFIX = ".snapshot"
KEPT = 3
FORMAT = 1
CHUNK = 64  # streams encoded in one go, well under a millisecond

_MAGIC = b"HOLDSNAP"
_PREFIX = Struct(f">8sHQ{HASH_CHARACTERS}s")
_DIGEST_BYTES = 32
_HEADER_BYTES = _PREFIX.size + _DIGEST_BYTES
_ARRAY_OF_TWO = b"\x92"  # in msgpack; written by hand because the items come one by one
_ARRAY = b"\xdd"
_BODY = msgspec.msgpack.Decoder(tuple[dict[str, int], list[tuple[str, int, bytes]]])


class SnapshotError(Exception):
    """Why a snapshot cannot be used; says it to a person."""


class Snapshot(NamedTuple):
    """A loaded snapshot."""

    tail: Tail  # the place in the journal
    streams: Streams


class SnapshotWriter:
    """Encodes a snapshot in steps, so that commits and the loop get their turn in between.

    `streams` is copied; states are immutable.
    """

    def __init__(self, registry: StreamRegistry, tail: Tail, streams: Streams) -> None:
        self.tail = tail
        self._registry = registry
        kept = registry.without_retired(streams)
        self._rest: Iterator[tuple[str, tuple[int, Any]]] = iter(kept.items())
        self._pack = msgspec.msgpack.Encoder().encode
        self._hash = sha256(_prefix(tail))
        self._file = BytesIO()
        self._file.seek(_HEADER_BYTES)
        self._add(_ARRAY_OF_TWO + self._pack(registry.state_versions()))
        self._add(_ARRAY + len(kept).to_bytes(4, "big"))

    def advance(self, count: int = CHUNK) -> bool:
        """Encode the next streams; return whether there are more."""
        encode_state = self._registry.encode_state
        packed = []
        for stream, (version, state) in self._rest:
            packed.append(self._pack((stream, version, encode_state(state))))
            if len(packed) == count:
                break
        self._add(b"".join(packed))
        return len(packed) == count

    def write(self, disk: Disk, directory: Path) -> Path:
        """Write the file durably, then remove what is older than the last three.

        Raises `OSError`.
        """
        while self.advance():
            time.sleep(0)  # lets other threads have the interpreter
        self._file.seek(0)
        self._file.write(_prefix(self.tail))
        self._file.write(self._hash.digest())
        folder = directory / DIRECTORY
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.tail.seq:016d}{SUFFIX}"
        disk.write_atomically(path, self._file.getvalue())
        for old in snapshot_paths(directory)[KEPT:]:
            old.unlink()
        return path

    def _add(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)


def snapshot_paths(directory: Path) -> list[Path]:
    """Return the snapshots of a directory, newest first."""
    return sorted((directory / DIRECTORY).glob(f"[0-9]*{SUFFIX}"), reverse=True)


def load_snapshot(
    path: Path, disk: Disk, registry: StreamRegistry, hash_at: Callable[[int], str | None]
) -> Snapshot:
    """Read and check one snapshot; `hash_at` gives the journal's hash at a record.

    Raises `SnapshotError`, saying what is wrong with it.
    """
    try:
        data = disk.read(path)
    except OSError as error:
        raise SnapshotError(f"cannot be read: {error}") from error
    tail = _checked_header(data)
    if hash_at(tail.seq) != tail.hash:
        raise SnapshotError(f"does not belong to this journal: record {tail.seq} is another one")
    try:
        return Snapshot(tail, _streams(data, registry))
    except (msgspec.MsgspecError, NewerSchemaError) as error:
        raise SnapshotError(f"its states are of another version: {error}") from error


def _prefix(tail: Tail) -> bytes:
    return _PREFIX.pack(_MAGIC, FORMAT, tail.seq, tail.hash.encode())


def _checked_header(data: bytes) -> Tail:
    if len(data) < _HEADER_BYTES:
        raise SnapshotError(f"truncated: {len(data)} bytes")
    magic, version, seq, journal_hash = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise SnapshotError("damaged: it does not start as a snapshot")
    if version != FORMAT:
        raise SnapshotError(f"it has format {version}, this version of Holdfast reads {FORMAT}")
    digest = sha256(data[: _PREFIX.size])
    digest.update(memoryview(data)[_HEADER_BYTES:])
    if digest.digest() != data[_PREFIX.size : _HEADER_BYTES]:
        raise SnapshotError("damaged or truncated: its content does not match its hash")
    return Tail(seq, journal_hash.decode("ascii"))


def _streams(data: bytes, registry: StreamRegistry) -> Streams:
    versions, packed = _BODY.decode(memoryview(data)[_HEADER_BYTES:])
    known = registry.state_versions()
    for kind, version in versions.items():
        if known.get(kind) != version:
            raise SnapshotError(
                f"its {kind} states have version {version}, those of this Holdfast"
                f" {known.get(kind)}"
            )
    decode = registry.decode_state
    return {stream: (version, decode(stream, state)) for stream, version, state in packed}
