"""A backup is whole or not there, and what is restored is what was backed up."""

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.backup import (
    MANIFEST,
    PAGES,
    Manifest,
    Staging,
    copy_at_rest,
    copy_database,
    restore,
)
from storage.chain import Tail
from storage.connection import NAME
from storage.errors import BackupError
from storage.snapshot import snapshot_paths
from storage.store import Store
from tests.storage.words import Writer, life_of, live, open_store, order_stream


def nothing() -> None: ...


def backed_up(store: Store, file: Path, give_way: Callable[[], None] = nothing) -> Manifest:
    with Staging(file) as staging:
        for path in snapshot_paths(store.directory):
            staging.snapshot(path)
        target = staging.directory / NAME
        copy_database(lambda: store.database.connection, target, give_way)
        staging.write("config.yaml", b"data_dir: .\n")
        return staging.pack("1.2.3", "2026-01-01T00:00:00Z")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def big(store: Store, writer: Writer) -> Writer:
    """Enough records that a copy takes many steps, and two snapshots."""
    for number in range(1, 400):
        writer.append(order_stream(number), *life_of(number))
        if number in {100, 200}:
            store.write_snapshot(writer.streams)
    return writer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "b.tar.gz"


def test_what_is_restored_is_what_was_there(
    store: Store, big: Writer, file: Path, tmp_path: Path
) -> None:
    made = backed_up(store, file)
    tail = store.journal.tail

    manifest = restore(file, tmp_path / "new", lambda _: None)

    assert manifest == made
    assert (manifest.journal.last_seq, manifest.journal.last_hash) == tail
    with open_store(tmp_path / "new") as restored:
        assert restored.recovered.problems == ()
        assert restored.recovered.streams == live(big.streams)
        assert restored.recovered.snapshot_seq == 800
    assert (tmp_path / "new" / "config.yaml").read_text() == "data_dir: .\n"


def test_everything_is_for_its_owner_alone(
    store: Store, big: Writer, file: Path, tmp_path: Path
) -> None:
    backed_up(store, file)
    restore(file, tmp_path / "new", lambda _: None)

    found = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*")}
    assert Path("snapshots") in found
    assert mode(file) == 0o600
    assert mode(tmp_path / "new") == mode(tmp_path / "new" / "snapshots") == 0o700
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert {mode(path) for path in files} == {0o600}


def test_what_is_committed_while_it_is_made_is_in_it(
    store: Store, big: Writer, file: Path, tmp_path: Path
) -> None:
    committed: list[Tail] = []

    def commit() -> None:
        number = 1000 + len(committed)
        big.append(order_stream(number), *life_of(number))
        committed.append(store.journal.tail)

    made = backed_up(store, file, commit)

    assert len(committed) >= 3
    assert (made.journal.last_seq, made.journal.last_hash) == committed[-1]
    restore(file, tmp_path / "new", lambda _: None)
    with open_store(tmp_path / "new") as restored:
        assert restored.recovered.problems == ()
        assert restored.recovered.streams == live(big.streams)


def test_it_is_copied_in_small_steps(store: Store, big: Writer, file: Path) -> None:
    turns: list[int] = []
    backed_up(store, file, lambda: turns.append(1))

    (pages,) = store.database.connection.execute("PRAGMA page_count").fetchone()
    assert len(turns) >= pages // PAGES - 1 >= 2


def test_a_database_opened_anew_meanwhile_ends_it(store: Store, big: Writer, file: Path) -> None:
    def reopen() -> None:
        try:
            store.database.reopen()
        except Exception:  # noqa: BLE001 - the copy holds its lock; persistence tries again
            return

    with pytest.raises(Exception, match=r"opened anew|not open"):
        backed_up(store, file, reopen)

    assert list(file.parent.glob("*b.tar.gz*")) == []
    store.database.reopen()
    big.append(order_stream(1000), *life_of(1000))


def test_a_crash_leaves_parts_that_the_next_one_clears_away(
    store: Store, big: Writer, file: Path
) -> None:
    staging = Staging(file)
    staging.__enter__()
    staging.write("paper.db", b"half")
    file.with_name(f".{file.name}.new").write_bytes(b"half")

    backed_up(store, file)

    assert [path.name for path in file.parent.glob("*b.tar*")] == [file.name]


def test_a_failure_leaves_what_was_there(
    store: Store, big: Writer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(b"the one before")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    with pytest.raises(OSError, match="No space"):
        backed_up(store, file)

    assert file.read_bytes() == b"the one before"
    assert [path.name for path in file.parent.glob("*b.tar*")] == [file.name]


def test_a_database_at_rest_is_copied_with_what_its_log_holds(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    (tmp_path / "copied").mkdir()
    for name in ("a.db", "a.db-wal"):
        (tmp_path / "copied" / name).write_bytes((tmp_path / name).read_bytes())
    connection.close()

    copy_at_rest(tmp_path / "copied" / "a.db", tmp_path / "b.db")

    copy = sqlite3.connect(tmp_path / "b.db")
    assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
    copy.close()


# --- what is not a good backup ---


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with tarfile.open(file) as tar:
        parts = {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
    change(parts)
    with tarfile.open(file, "w:gz") as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def of_manifest(change: Callable[[dict], None]) -> Callable[[dict[str, bytes]], None]:
    def apply(parts: dict[str, bytes]) -> None:
        manifest = json.loads(parts[MANIFEST])
        change(manifest)
        parts[MANIFEST] = json.dumps(manifest).encode()

    return apply


def flip(parts: dict[str, bytes]) -> None:
    data = parts[NAME]
    parts[NAME] = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (flip, "does not match its hash"),
        (lambda parts: parts.pop(NAME), "is missing"),
        (lambda parts: parts.pop(MANIFEST), "does not begin as a backup"),
        (lambda parts: parts.update({"evil": b"x"}), "is not what its manifest says"),
        (lambda parts: parts.update({NAME: b"short"}), "is not what its manifest says"),
        (of_manifest(lambda found: found.update(format=2)), "format 2"),
        (of_manifest(lambda found: found.pop("journal")), "manifest cannot be read"),
        (of_manifest(lambda found: found["journal"].update(last_seq=1)), "ends elsewhere"),
        (
            of_manifest(lambda found: found["files"][0].update(name="../../evil")),
            "a backup has no file",
        ),
        (of_manifest(lambda found: found["files"][0].update(name="/etc/evil")), "has no file"),
    ],
)
def test_a_bad_backup_is_refused_and_leaves_nothing(
    store: Store,
    big: Writer,
    file: Path,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    why: str,
) -> None:
    backed_up(store, file)
    rewritten(file, change)

    with pytest.raises(BackupError, match=why):
        restore(file, tmp_path / "new", lambda _: None)

    assert not (tmp_path / "new").exists()


def linked(file: Path) -> None:
    """Put a link where a file of the backup should be."""
    with tarfile.open(file) as tar:
        parts = {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
    manifest = json.loads(parts[MANIFEST])
    for entry in manifest["files"]:
        if entry["name"] == "config.yaml":
            entry["bytes"] = 0
    with tarfile.open(file, "w:gz") as tar:
        info = tarfile.TarInfo(MANIFEST)
        data = json.dumps(manifest).encode()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("config.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)


def test_a_link_is_not_followed(store: Store, big: Writer, file: Path, tmp_path: Path) -> None:
    backed_up(store, file)
    linked(file)

    with pytest.raises(BackupError, match="not what its manifest says"):
        restore(file, tmp_path / "new", lambda _: None)


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_a_truncated_backup_is_refused(
    store: Store, big: Writer, file: Path, tmp_path: Path, size: int
) -> None:
    backed_up(store, file)
    file.write_bytes(file.read_bytes()[:size])

    with pytest.raises(BackupError):
        restore(file, tmp_path / "new", lambda _: None)

    assert not (tmp_path / "new").exists()


def test_a_directory_that_is_not_empty_is_left_alone(
    store: Store, big: Writer, file: Path, tmp_path: Path
) -> None:
    backed_up(store, file)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("all of it")

    with pytest.raises(BackupError, match="not an empty directory"):
        restore(file, tmp_path / "mine", lambda _: None)

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis"]


def test_what_the_check_refuses_is_taken_away_again(
    store: Store, big: Writer, file: Path, tmp_path: Path
) -> None:
    backed_up(store, file)
    (tmp_path / "empty").mkdir()

    def no(_: Path) -> None:
        raise BackupError("no")

    with pytest.raises(BackupError, match="no"):
        restore(file, tmp_path / "empty", no)

    assert list((tmp_path / "empty").iterdir()) == []


def test_what_is_no_backup_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Sir")

    with pytest.raises(BackupError, match="no backup"):
        restore(tmp_path / "letter", tmp_path / "new", lambda _: None)
    with pytest.raises(BackupError, match="no file"):
        restore(tmp_path / "nothing", tmp_path / "new", lambda _: None)
