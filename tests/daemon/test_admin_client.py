"""The client's end of the admin socket: nobody there, and answers that get lost, are told apart."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.admin import AdminLimits
from daemon.admin_client import AdminClient, AnswerLostError, UnreachableError
from daemon.admin_requests import Close, ListPositions, Ping
from domain.errors import Refusal


def test_requests_and_answers_go_over_one_connection(office: Any) -> None:
    office.desk.answers[ListPositions] = {"positions": [{"id": "a"}]}
    office.desk.answers[Close] = Refusal("UNKNOWN_POSITION", "There is none.")

    with AdminClient(office.path) as client:
        assert client.ask(Ping()) == {"pong": True}
        assert client.ask(ListPositions(id=9, closed=True)) == {"positions": [{"id": "a"}]}
        assert client.ask(Close(position="3f", part=Decimal("0.5"))) == Refusal(
            "UNKNOWN_POSITION", "There is none."
        )

    assert office.desk.asked[2] == Close(position="3f", part=Decimal("0.5"))


def test_an_answer_of_many_megabytes_arrives_whole(office: Any) -> None:
    rows = [{"id": "x" * 1000, "n": n} for n in range(5000)]
    office.desk.answers[ListPositions] = {"positions": rows}

    with AdminClient(office.path) as client:
        assert client.ask(ListPositions()) == {"positions": rows}


def test_a_socket_with_a_long_path_is_reached(
    open_office: Callable[..., Any], tmp_path: Path
) -> None:
    office = open_office(tmp_path / ("d" * 120) / "holdfast.sock")

    with AdminClient(office.path) as client:
        assert client.ask(Ping()) == {"pong": True}


@pytest.mark.parametrize("name", ["none.sock", "dead.sock", "d" * 120 + "/none.sock"])
def test_nobody_there_is_said_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))

    with AdminClient(tmp_path / name) as client, pytest.raises(UnreachableError):
        client.ask(Ping())


def test_an_oversized_line_gets_its_answer(office: Any) -> None:
    with AdminClient(office.path) as client:
        answer = client.ask_line(b'{"command":"ping","id":"' + b"x" * 500_000 + b'"}')

    assert answer["error"]["rule"] == "LINE_TOO_LONG"


@contextmanager
def daemon_that(path: Path, answers: bytes | None) -> Iterator[None]:
    """Accept one connection and, once something was sent, say `answers` and hang up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                if answers is None:
                    hold.wait(10)
                else:
                    connection.sendall(answers)

        hold = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            hold.set()
            thread.join(10)


@pytest.mark.parametrize(
    "answers",
    [
        b"",
        b'{"ok": true, ',
        b"not json\n",
        b"[1]\n",
        b"{}\n",
        b'{"ok": "no"}\n',
        b'{"ok": 1}\n',
        b'{"ok": false}\n',
        b'{"ok": false, "error": {"rule": "X"}}\n',
        None,
    ],
)
def test_a_lost_answer_is_not_a_refusal(tmp_path: Path, answers: bytes | None) -> None:
    path = tmp_path / "a.sock"

    with (
        daemon_that(path, answers),
        AdminClient(path, timeout_s=0.2) as client,
        pytest.raises(AnswerLostError),
    ):
        client.ask(Close(position="3f"))


def test_a_client_turned_away_at_the_door_learns_why(open_office: Callable[..., Any]) -> None:
    office = open_office(limits=AdminLimits(connections=1))

    with AdminClient(office.path) as first, AdminClient(office.path) as second:
        assert first.ask(Ping()) == {"pong": True}
        refusal = second.ask(Ping())

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "TOO_MANY_CONNECTIONS"
