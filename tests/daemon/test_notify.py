"""What a service manager hears, on a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from daemon.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def told(manager: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))


def notifier_to(manager: socket.socket, **others: str) -> Notifier:
    name = manager.getsockname()
    address = "@" + name[1:].decode() if isinstance(name, bytes) else name
    return Notifier({"NOTIFY_SOCKET": address, **others})


def test_each_step_of_its_life_is_told(manager):
    with closing(notifier_to(manager)) as notifier:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.ready("NORMAL")
        notifier.alive("NORMAL")
        notifier.reloading()
        notifier.status("hm")
        notifier.stopping("bye")
    assert told(manager) == {"READY": "1", "STATUS": "NORMAL"}
    assert told(manager) == {"WATCHDOG": "1", "STATUS": "NORMAL"}
    reloading = told(manager)
    assert reloading["RELOADING"] == "1"
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert told(manager) == {"STATUS": "hm"}
    assert told(manager) == {"STOPPING": "1", "STATUS": "bye"}


def test_an_abstract_socket_is_reached_too():
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind("")  # the kernel gives it an abstract name
        listening.settimeout(5)
        with closing(notifier_to(listening)) as notifier:
            notifier.ready("x")
        assert told(listening)["READY"] == "1"


def test_a_status_stays_on_its_line(manager):
    with closing(notifier_to(manager)) as notifier:
        notifier.status("all\nREADY=1\nwell" + "x" * 1000)
    heard = manager.recv(4096).decode()
    assert "\n" not in heard
    assert len(heard) < 300


@pytest.mark.parametrize("named", ["", "nowhere", "vsock:2:1234", "./relative"])
def test_without_a_socket_of_a_manager_nothing_is_sent(named):
    notifier = Notifier({"NOTIFY_SOCKET": named, "WATCHDOG_USEC": "1000000"})
    notifier.ready("x")
    assert not notifier.is_heard
    assert notifier.watchdog_s is None


def test_a_manager_that_does_not_listen_is_complained_of_once(tmp_path):
    structlog.reset_defaults()
    with capture_logs() as logs:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
        notifier.ready("x")
        notifier.alive("x")
        notifier.close()
    assert [line["event"] for line in logs] == ["manager_not_told"]


def test_a_manager_that_does_not_read_does_not_hold_the_daemon_up(manager):
    with closing(notifier_to(manager)) as notifier, capture_logs():
        for _ in range(5_000):
            notifier.alive("x" * 190)
    assert told(manager)["WATCHDOG"] == "1"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_a_watchdog_counts_only_if_it_is_meant_for_this_process(manager, variables, seconds):
    assert notifier_to(manager, **variables).watchdog_s == seconds
