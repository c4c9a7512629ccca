"""Whether others may change a file that decides what the daemon runs.

Who can write a configuration or a strategy can trade with the account: one names code, the other is
code. So each belongs to this user or to root, and nobody else may write it, or replace it in its
directory. A group with nobody but the owner in it is no group of others: where each user has one,
files are born writable for it. One without a name here, as in a container, is taken for that where
it has its owner's number.
"""

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

_ROOT = 0


class Distrust(NamedTuple):
    """Why a file is not to be run, as a clause, and what to do."""

    why: str
    remedy: str


def distrust(path: Path, descriptor: int, *, by_owner: bool = False) -> Distrust | None:
    """Say who else may change the file that is open there; None: nobody. Raises `OSError`.

    Else than who runs this; `by_owner`: than who owns the file, who is to run it.
    """
    place, found = path.resolve(), os.fstat(descriptor)
    runner = found.st_uid if by_owner else os.geteuid()
    # What somebody mounted for reading belongs to whom it belongs outside: a container's user may
    # have no name for that one.
    is_mounted_to_read = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
    return _of(place, found, runner, is_owned=is_mounted_to_read) or _of(
        place.parent, place.parent.stat(), runner, is_owned=is_mounted_to_read
    )


def _of(path: Path, found: os.stat_result, runner: int, *, is_owned: bool) -> Distrust | None:
    is_directory = stat.S_ISDIR(found.st_mode)
    what = f"its directory {path}" if is_directory else str(path)
    if not is_owned and found.st_uid not in {_ROOT, runner}:
        why = f"{what} belongs to user {found.st_uid}, neither to root nor to who runs this"
        return Distrust(why, _remedy(path, found.st_uid, runner))
    if stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode):
        return None  # of /dev/stdin: what its owner writes into it
    if is_directory and found.st_mode & stat.S_ISVTX:
        return None  # there only a file's owner may replace it
    if found.st_mode & stat.S_IWOTH:
        return Distrust(f"every user of this machine may write {what}", f"Run chmod o-w {path}")
    if found.st_mode & stat.S_IWGRP and not _is_alone(found.st_uid, found.st_gid):
        return Distrust(f"its group {found.st_gid} may write {what}", f"Run chmod g-w {path}")
    return None


def _remedy(path: Path, owner: int, runner: int) -> str:
    if runner == _ROOT:  # who gives root what is the daemon's takes it from the daemon
        return f"Run this as that user (sudo -u '#{owner}'), or mount it read-only"
    return f"Run chown {runner} {path}, or mount it read-only"


def _is_alone(user: int, group: int) -> bool:
    """Whether a group is a user's own: their first one, of their name, with nobody else in it."""
    try:
        owner, found = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:  # named elsewhere, as what a container has mounted: by its number, then
        return user == group
    others = [name for name in found.gr_mem if name != owner.pw_name]
    return owner.pw_gid == group and found.gr_name == owner.pw_name and not others
