"""Files whole or untouched, on the real file system."""

import errno
import os
import stat

import pytest

from runtime.disk import RealDisk


@pytest.fixture
def disk() -> RealDisk:
    return RealDisk()


def test_what_was_written_is_read(disk, tmp_path) -> None:
    path = tmp_path / "snapshot"
    for data in (b"first", b"", b"x" * 3_000_000):
        disk.write_atomically(path, data)
        assert disk.read(path) == data
    assert [each.name for each in tmp_path.iterdir()] == ["snapshot"]


def test_only_the_owner_may_read_it(disk, tmp_path) -> None:
    disk.write_atomically(tmp_path / "f", b"")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_file_and_directory_are_synced_around_the_rename(disk, tmp_path, monkeypatch) -> None:
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (steps.append(stat.S_IFMT(os.fstat(fd).st_mode)), fsync(fd))
    )
    monkeypatch.setattr(os, "replace", lambda *args: (steps.append("replace"), replace(*args)))
    disk.write_atomically(tmp_path / "f", b"data")
    assert steps == [stat.S_IFREG, "replace", stat.S_IFDIR]


@pytest.mark.parametrize("call", ["fsync", "write", "replace"])
def test_a_failure_leaves_the_old_content_and_no_litter(disk, tmp_path, monkeypatch, call) -> None:
    path = tmp_path / "f"
    disk.write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match="no space left"):
            disk.write_atomically(path, b"new")
    assert disk.read(path) == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_short_writes_are_continued(disk, tmp_path, monkeypatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    disk.write_atomically(tmp_path / "f", b"0123456789")
    assert disk.read(tmp_path / "f") == b"0123456789"


def test_what_a_crash_left_beside_is_replaced(disk, tmp_path) -> None:
    (tmp_path / ".f.new").write_bytes(b"half")
    disk.write_atomically(tmp_path / "f", b"whole")
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_symbolic_links_are_refused(disk, tmp_path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    for attempt in (lambda: disk.write_atomically(link, b"x"), lambda: disk.read(link)):
        with pytest.raises(OSError) as refused:
            attempt()
        assert refused.value.errno == errno.ELOOP
    assert target.read_bytes() == b"precious"


def test_a_link_planted_beside_is_not_written_through(disk, tmp_path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / ".f.new").symlink_to(target)
    disk.write_atomically(tmp_path / "f", b"x")
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "f").is_symlink()


def test_a_missing_file_is_an_error(disk, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.read(tmp_path / "nothing")


def test_free_bytes_are_those_of_the_nearest_directory_that_exists(disk, tmp_path) -> None:
    assert disk.free_bytes(tmp_path / "not" / "yet" / "there") > 0


def test_free_bytes_of_what_cannot_be_looked_at_are_not_those_of_another_disk(
    disk, tmp_path
) -> None:
    too_long = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="File name too long"):
        disk.free_bytes(too_long / "journal")
