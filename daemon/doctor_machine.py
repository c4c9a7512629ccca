"""What `holdfast doctor` finds out about the machine: versions, clocks, limits, directory, disk.

It changes nothing: where a directory is not there yet, it is not made.
"""

import importlib.metadata
import os
import platform
import resource
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from daemon.config_models import Config
from daemon.version import installed_version
from runtime.disk import RealDisk
from storage.connection import NAME as JOURNAL
from storage.connection import OLDEST_SQLITE, is_safe_with_two

Level = Literal["ok", "warn", "fail"]
DEADLINE_S = 3.0  # of whoever is asked: the network, a program
_MIB = 1024 * 1024
_LIBRARIES = ("msgspec", "orjson", "pydantic", "sqlalchemy", "structlog", "typer", "uvloop")
_SYNCS = 20
_SYNC_BYTES = 4096
_SLOW_SYNC_MS = 20.0
_DRIFT_WITHIN_S, _DRIFT_S = 0.2, 0.005
_FILES_NEEDED = 1024
_OTHERS = 0o077


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    level: Level
    found: str
    remedy: str = ""  # what to do, unless all is well


def versions() -> Iterator[Finding]:
    """Say what runs: Holdfast, Python, SQLite, libraries."""
    python = platform.python_version()
    yield Finding(
        "holdfast", "ok", f"{installed_version()} on Python {python}, {os.uname().sysname}"
    )
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        yield Finding("sqlite", "fail", found, f"Use a Python with SQLite {needed} or newer.")
    elif is_safe_with_two():
        yield Finding("sqlite", "ok", found)
    else:
        why = "two connections at once can damage its log (3.7.0 to 3.51.2); Holdfast opens one"
        yield Finding("sqlite", "ok", f"{found}: {why}, so open {JOURNAL} with nothing else")
    versions, missing = [], []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        remedy = "Install Holdfast again from its requirements."
        yield Finding("libraries", "fail", f"not installed: {', '.join(missing)}", remedy)
    else:
        yield Finding("libraries", "ok", ", ".join(versions))


def clock(
    wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
) -> Finding:
    """Compare the two clocks for a moment: one that is being set moves against the other."""
    wall_s, steady_s = wall(), steady()
    time.sleep(_DRIFT_WITHIN_S)
    drift_s = (wall() - wall_s) - (steady() - steady_s)
    found = f"moved {drift_s * 1000:+z.1f} ms against the steady one in {_DRIFT_WITHIN_S:g} s"
    if abs(drift_s) < _DRIFT_S:
        return Finding("clock", "ok", found)
    return Finding("clock", "warn", found, "Let it be set by a service that slews (chrony).")


def synchronized() -> Finding:
    """Ask whether something keeps the clock right."""
    program = shutil.which("timedatectl")
    if program is None:
        return Finding("time service", "ok", "not known: timedatectl is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Finding("time service", "ok", "not known: timedatectl does not answer")
    if done.stdout.strip() == "yes":
        return Finding("time service", "ok", "the clock is synchronized")
    if done.stdout.strip() == "no":
        remedy = (
            "Run one: timedatectl set-ntp true, or chrony. A venue refuses orders of a wrong time."
        )
        return Finding("time service", "warn", "the clock is not synchronized", remedy)
    return Finding("time service", "ok", "not known: timedatectl has nobody to ask")


def open_files() -> Finding:
    """Compare the limit of descriptors with what a daemon needs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FILES_NEEDED:
        shown = "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft}"
        return Finding("open files", "ok", shown)
    remedy = f"Allow {_FILES_NEEDED}: ulimit -n, or LimitNOFILE= of the service."
    return Finding("open files", "warn", f"up to {soft}", remedy)


def directory_of(directory: Path) -> Iterator[Finding]:
    """Say whose the data directory is, and who else could use it."""
    try:
        found = directory.lstat()
    except FileNotFoundError:
        yield Finding(
            "data directory", "ok", f"{directory} is not there yet: the first start makes it"
        )
        return
    except OSError as error:
        remedy = "Let the user who runs Holdfast reach it, or set data_dir."
        yield Finding("data directory", "fail", f"{directory}: {error.strerror}", remedy)
        return
    problems = list(_problems_of(directory, found))
    for path in sorted([*directory.glob("*.db*"), *directory.glob("*.lock")]):
        problems += _problems_of(path, path.lstat())
    if not problems:
        mode = stat.S_IMODE(found.st_mode)
        yield Finding("data directory", "ok", f"{directory}, yours, mode {mode:04o}")
    for level, what, remedy in problems:
        yield Finding("data directory", level, what, remedy)


def _problems_of(path: Path, found: os.stat_result) -> Iterator[tuple[Level, str, str]]:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        yield "fail", f"{path} is a symbolic link", "Name the real one; move the file itself there."
        return
    if found.st_uid != os.geteuid():
        owner = f"{path} belongs to user {found.st_uid}, you are user {os.geteuid()}"
        yield "fail", owner, "Run this as the user who runs Holdfast, or chown what is there."
    closed = "700" if stat.S_ISDIR(found.st_mode) else "600"
    if mode & _OTHERS:
        # The admin socket wants its directory closed, a journal file may be nobody else's.
        is_for_all = mode & stat.S_ISVTX  # as /tmp, which must stay open
        remedy = "Name another: that one is for all." if is_for_all else f"chmod {closed} {path}"
        yield "fail", f"{path} is open to others (mode {mode:04o})", remedy


def free(config: Config) -> Finding:
    """Compare the free disk with what is wanted."""
    needed = config.journal.min_free_mb
    try:
        free = RealDisk().free_bytes(config.data_dir) // _MIB
    except OSError as error:
        return Finding("disk", "fail", f"{error.strerror}", "Set data_dir to a disk that is there.")
    found = f"{free} MB free, {needed} MB are needed"
    if free < needed:
        return Finding("disk", "fail", found, "Free some space: below that only exits are made.")
    if free < 4 * needed:
        return Finding("disk", "warn", found, "Free some space before it is too little.")
    return Finding("disk", "ok", found)


def sync(directory: Path) -> Finding:
    """Time what each commit waits for."""
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            times = []
            for _ in range(_SYNCS):
                began = time.perf_counter()
                file.write(bytes(_SYNC_BYTES))
                file.flush()
                os.fsync(file.fileno())
                times.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        remedy = "Let the user who runs Holdfast write there, or set data_dir."
        return Finding("disk speed", "fail", f"{place}: {error.strerror}", remedy)
    found = f"a sync takes {median(times):.2f} ms, the slowest of {_SYNCS} {max(times):.2f} ms"
    if median(times) > _SLOW_SYNC_MS:
        remedy = "Each entry waits for two or three of them: use a faster disk."
        return Finding("disk speed", "warn", found, remedy)
    return Finding("disk speed", "ok", found)
