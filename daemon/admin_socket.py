"""The admin socket as a file: who may reach it, where it is, whose it is.

Three fences, each enough by itself: the directory is ours and closed to others (0700, no symlink),
the socket file is 0600, and the kernel tells the server the peer's uid. Linux keeps 107 bytes for a
socket's path; a longer one is reached through `/proc/self/fd/<directory>/<name>`.
"""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from daemon.errors import StartError
from domain.errors import Refusal

_MAX_ADDRESS = 107  # bytes; sun_path is 108 with its end mark
_BACKLOG = 64
_PROBE_S = 1.0
_UCRED = struct.Struct("3i")  # pid, uid, gid


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end, by the kernel's word."""

    pid: int
    uid: int


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel who connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(raw)
    return Peer(pid=pid, uid=uid)


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield an address for `path` that fits, however long the path is.

    Raises `OSError` when the directory cannot be opened, and when the name alone is too long.
    """
    if len(os.fsencode(path)) <= _MAX_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        address = f"/proc/self/fd/{directory}/{path.name}"
        if len(os.fsencode(address)) > _MAX_ADDRESS:
            message = f"the file name of the socket is too long: {path.name}"
            raise OSError(message)
        yield address
    finally:
        os.close(directory)


def private_directory(directory: Path) -> None:
    """Create `directory` for this user alone, or make sure that it is so. Raises `StartError`."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        why = f"The directory {directory} cannot be created: {error.strerror}."
        raise StartError(
            Refusal("DIRECTORY_UNUSABLE", why, "Choose another data_dir, or make room for it.")
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        _refuse_directory(
            directory, "is not a directory itself but a link to one", "Name the real one."
        )
    if found.st_uid != os.geteuid():
        _refuse_directory(
            directory, f"belongs to user {found.st_uid}", "Choose a directory of your own."
        )
    if found.st_mode & 0o077:
        _refuse_directory(
            directory,
            f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            "Name one of its own: that one is for all."
            if found.st_mode & stat.S_ISVTX
            else f"Close it, if only the daemon uses it: chmod 700 {directory}; else name another.",
        )


def _refuse_directory(directory: Path, why: str, remedy: str) -> None:
    raise StartError(Refusal("DIRECTORY_NOT_PRIVATE", f"The directory {directory} {why}.", remedy))


def listening(path: Path) -> socket.socket:
    """Return a listening socket at `path`, taking the place of one that a dead daemon left.

    Raises `StartError` when the directory is not private, when something else is in the way, and
    when a daemon answers there.
    """
    private_directory(path.parent)
    _clear(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(server.fileno(), 0o600)  # before bind: the file is born closed to others
        with reachable(path) as address:
            server.bind(address)
        path.chmod(0o600)
        server.listen(_BACKLOG)
        server.setblocking(False)
    except OSError as error:
        server.close()
        why = f"The admin socket {path} cannot be created: {error.strerror or error}."
        remedy = "Set admin.socket to a path that can hold one."
        raise StartError(Refusal("SOCKET_UNUSABLE", why, remedy)) from error
    return server


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        why = f"The admin socket {path} cannot be looked at: {error.strerror}."
        raise StartError(Refusal("SOCKET_UNUSABLE", why, "Set admin.socket.")) from error
    if not stat.S_ISSOCK(mode):
        why = f"Something that is not a socket stands at {path}."
        raise StartError(Refusal("SOCKET_UNUSABLE", why, "Remove it, or set admin.socket."))
    if _is_alive(path):
        why = f"Another daemon answers at {path}."
        remedy = "Stop it first (holdfast drain), or give this one its own data_dir."
        raise StartError(Refusal("SOCKET_IN_USE", why, remedy))
    path.unlink()


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, reachable(path) as address:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return False
        except OSError:  # busy or slow: somebody is there
            return True
        return True
