"""The admin server on a real unix socket: lines in, lines out, limits, who is let in."""

import asyncio
import io
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.admin import AdminLimits, AdminServer
from daemon.admin_requests import Close, JournalVerify, Ping, Status
from daemon.admin_socket import reachable
from daemon.errors import StartError
from daemon.logs import Logs
from domain.errors import Refusal

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(
    path: Path, desk: Any, limits: AdminLimits | None = None
) -> AsyncIterator[AdminServer]:
    server = AdminServer(path, desk, limits=limits)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Streams]:
    with reachable(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def said(reader: asyncio.StreamReader) -> dict[str, Any]:
    line = await reader.readline()
    assert line.endswith(b"\n"), line
    answer = json.loads(line)
    assert isinstance(answer, dict)
    return answer


async def asked(path: Path, line: bytes) -> dict[str, Any]:
    async with connected(path) as (reader, writer):
        writer.write(line + b"\n")
        return await said(reader)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "holdfast.sock"


@pytest.fixture
def log() -> Any:
    """Return the log's lines as parsed JSON, when called."""
    stream = io.StringIO()
    logs = Logs(format="json", stream=stream)
    logs.start()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.close()


def test_several_requests_on_one_connection_are_answered_in_order(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        desk.answers[Status] = {"mode": "NORMAL", "equity": "1000"}
        async with serving(path, desk), connected(path) as (reader, writer):
            writer.write(b'{"command":"ping","id":1}\n{"command":"status","id":"two"}\n')
            assert await said(reader) == {"ok": True, "id": 1, "pong": True}
            assert await said(reader) == {
                "ok": True, "id": "two", "mode": "NORMAL", "equity": "1000",
            }  # fmt: skip
            writer.write(b'{"command":"ping"}\n')
            assert await said(reader) == {"ok": True, "pong": True}

    asyncio.run(scenario())


def test_a_last_line_without_its_end_is_answered_too(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        async with serving(path, desk), connected(path) as (reader, writer):
            writer.write(b'{"command":"ping"}')
            writer.write_eof()
            assert (await said(reader))["pong"]
            assert await reader.read() == b""

    asyncio.run(scenario())


def test_a_refusal_is_an_answer_with_everything_it_says(path: Path, desk: Any, log: Any) -> None:
    desk.answers[Close] = Refusal("UNKNOWN_POSITION", "There is none.", "Look.", "3f", "")

    async def scenario() -> None:
        async with serving(path, desk):
            answer = await asked(path, b'{"command":"close","position":"3f","id":4}')
        assert answer == {
            "ok": False,
            "id": 4,
            "error": {
                "rule": "UNKNOWN_POSITION",
                "message": "There is none.",
                "remedy": "Look.",
                "actual": "3f",
                "limit": "",
            },
        }

    asyncio.run(scenario())
    refusals = [line for line in log() if line["event"] == "admin_refused"]
    assert [line["rule"] for line in refusals] == ["UNKNOWN_POSITION"]  # once


def test_a_malformed_line_changes_nothing_and_the_next_one_is_answered(
    path: Path, desk: Any
) -> None:
    async def scenario() -> None:
        async with serving(path, desk), connected(path) as (reader, writer):
            writer.write(b'oops\n\n{"command":"close"}\n{"command":"ping"}\n')
            rules = [(await said(reader))["error"]["rule"] for _ in range(3)]
            assert rules == ["MALFORMED", "MALFORMED", "MISSING_ARGUMENT"]
            assert (await said(reader))["ok"]

    asyncio.run(scenario())
    assert desk.asked == [Ping()]


def test_an_oversized_line_is_answered_and_the_connection_closed(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        async with serving(path, desk), connected(path) as (reader, writer):
            writer.write(b'{"command":"ping","id":"' + b"x" * 100_000)
            answer = await said(reader)
            assert answer["error"]["rule"] == "LINE_TOO_LONG"
            assert answer["error"]["limit"] == "65536"
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)

    asyncio.run(scenario())
    assert desk.asked == []


def test_a_line_of_the_largest_size_passes(path: Path, desk: Any) -> None:
    line = b'{"command":"ping","id":"' + b"x" * 65_000 + b'"}'

    async def scenario() -> None:
        async with serving(path, desk):
            assert (await asked(path, line))["pong"]

    asyncio.run(scenario())


def test_a_bug_behind_one_command_is_told_logged_and_survived(
    path: Path, desk: Any, log: Any
) -> None:
    desk.answers[Status] = RuntimeError("boom")

    async def scenario() -> None:
        async with serving(path, desk), connected(path) as (reader, writer):
            writer.write(b'{"command":"status"}\n{"command":"ping"}\n')
            assert (await said(reader))["error"]["rule"] == "INTERNAL_ERROR"
            assert (await said(reader))["ok"]

    asyncio.run(scenario())
    failures = [line for line in log() if line["event"] == "admin_command_failed"]
    assert len(failures) == 1
    assert failures[0]["category"] == "system.error"
    assert "boom" in failures[0]["exception"]


def test_a_change_is_logged_once_and_a_look_never(path: Path, desk: Any, log: Any) -> None:
    async def scenario() -> None:
        async with serving(path, desk):
            await asked(path, b'{"command":"close","position":"3f","part":"0.5"}')
            await asked(path, b'{"command":"ping"}')

    asyncio.run(scenario())
    lines = log()
    assert [line["event"] for line in lines] == ["admin_request"]
    assert lines[0]["request"] == {"command": "close", "position": "3f", "part": "0.5"}


def test_work_on_the_journal_is_given_its_time(path: Path, desk: Any) -> None:
    desk.answers[JournalVerify] = 0.05

    async def scenario() -> None:
        async with serving(path, desk, AdminLimits(answer_s=0.01)):
            answer = await asked(path, b'{"command":"journal-verify"}')
        assert answer["message"] == "late"

    asyncio.run(scenario())


def test_an_answer_that_takes_too_long_is_given_up_on(path: Path, desk: Any) -> None:
    desk.answers[Close] = 60.0

    async def scenario() -> None:
        async with serving(path, desk, AdminLimits(answer_s=0.01)):
            answer = await asked(path, b'{"command":"close","position":"3f"}')
        assert answer["error"]["rule"] == "ANSWER_TIMEOUT"
        assert "not known" in answer["error"]["message"]

    asyncio.run(scenario())


def test_an_idle_connection_is_closed(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        limits = AdminLimits(idle_s=0.01)
        async with serving(path, desk, limits), connected(path) as (reader, writer):
            writer.write(b'{"command":')  # never finished
            assert await reader.read() == b""

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_hung_up_on(path: Path, desk: Any) -> None:
    desk.answers[Ping] = {"much": "x" * 5_000_000}

    async def scenario() -> None:
        limits = AdminLimits(write_s=0.05, closing_s=0.05)
        async with serving(path, desk, limits), connected(path) as (reader, writer):
            writer.write(b'{"command":"ping"}\n')
            await desk.called.wait()
            await asyncio.sleep(0.2)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(5_000_000)

    asyncio.run(scenario())


def test_more_connections_than_allowed_are_turned_away_by_name(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        async with (
            serving(path, desk, AdminLimits(connections=2, idle_when_full_s=60)),
            connected(path) as (first, first_writer),
            connected(path) as (second, second_writer),
        ):
            for reader, writer in ((first, first_writer), (second, second_writer)):
                writer.write(b'{"command":"ping"}\n')
                assert (await said(reader))["ok"]
            async with connected(path) as (third, _):
                assert (await said(third))["error"]["rule"] == "TOO_MANY_CONNECTIONS"
                assert await third.read() == b""
            first_writer.close()
            await first_writer.wait_closed()
            for _ in range(100):  # until the server has seen it leave
                answer = await asked(path, b'{"command":"ping"}')
                if answer["ok"]:
                    return
            pytest.fail("the place was not freed")

    asyncio.run(scenario())


def test_who_is_idle_longest_makes_room_for_who_comes(path: Path, desk: Any) -> None:
    """A program that leaks connections must not keep a person from closing."""

    async def scenario() -> None:
        async with (
            serving(path, desk, AdminLimits(connections=2, idle_when_full_s=0)),
            connected(path) as (leaked, _),
            connected(path) as (used, used_writer),
        ):
            used_writer.write(b'{"command":"ping"}\n')
            assert (await said(used))["ok"]

            assert (await asked(path, b'{"command":"ping"}'))["ok"]

            assert await leaked.read() == b""
            used_writer.write(b'{"command":"ping"}\n')
            assert (await said(used))["ok"]

    asyncio.run(scenario())


def test_who_waits_for_an_answer_makes_no_room(path: Path, desk: Any) -> None:
    desk.answers[Close] = 0.05

    async def scenario() -> None:
        async with (
            serving(path, desk, AdminLimits(connections=1, idle_when_full_s=0)),
            connected(path) as (reader, writer),
        ):
            writer.write(b'{"command":"close","position":"3f"}\n')
            await desk.called.wait()
            refused = await asked(path, b'{"command":"ping"}')
            assert refused["error"]["rule"] == "TOO_MANY_CONNECTIONS"
            assert (await said(reader))["message"] == "late"

    asyncio.run(scenario())


def test_an_answer_under_way_is_delivered_before_the_server_closes(path: Path, desk: Any) -> None:
    desk.answers[Close] = 0.05

    async def scenario() -> None:
        async with connected_server(path, desk) as (server, reader, writer):
            writer.write(b'{"command":"close","position":"3f"}\n')
            await desk.called.wait()
            await server.close()
            assert (await said(reader))["message"] == "late"
            assert await reader.read() == b""
            assert not is_there(path)

    asyncio.run(scenario())


@asynccontextmanager
async def connected_server(
    path: Path, desk: Any
) -> AsyncIterator[tuple[AdminServer, asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(path, desk) as server, connected(path) as (reader, writer):
        yield server, reader, writer


# --- whose socket it is ---


def test_socket_and_directory_are_for_their_user_alone(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        async with serving(path, desk):
            assert mode(path) == 0o600
            assert mode(path.parent) == 0o700

    asyncio.run(scenario())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_there(path: Path) -> bool:
    return path.exists()


def let_everybody_in(path: Path) -> None:
    path.parent.parent.chmod(0o755)
    path.parent.chmod(0o755)
    path.chmod(0o666)


def refused_start(path: Path, desk: Any) -> Refusal:
    async def scenario() -> Refusal:
        with pytest.raises(StartError) as error:
            await AdminServer(path, desk).start()
        return error.value.refusal

    return asyncio.run(scenario())


def test_a_directory_open_to_others_is_refused(path: Path, desk: Any) -> None:
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)

    refusal = refused_start(path, desk)

    assert refusal.rule == "DIRECTORY_NOT_PRIVATE"
    assert f"Close it, if only the daemon uses it: chmod 700 {path.parent}" in refusal.remedy


def test_nobody_is_told_to_close_a_directory_that_is_for_all(path: Path, desk: Any) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o1777)  # as /tmp

    refusal = refused_start(path, desk)

    assert refusal.rule == "DIRECTORY_NOT_PRIVATE"
    assert refusal.remedy == "Name one of its own: that one is for all."


def test_a_link_to_a_directory_is_refused(tmp_path: Path, desk: Any) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)

    assert refused_start(link / "holdfast.sock", desk).rule == "DIRECTORY_NOT_PRIVATE"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a stranger's directory")
def test_a_strangers_directory_is_refused(path: Path, desk: Any) -> None:
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, 65534, 65534)

    assert refused_start(path, desk).rule == "DIRECTORY_NOT_PRIVATE"


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, desk: Any) -> None:
    (tmp_path / "file").write_text("")

    assert refused_start(tmp_path / "file" / "x.sock", desk).rule == "DIRECTORY_UNUSABLE"


def test_a_dead_daemons_socket_is_replaced(path: Path, desk: Any) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def scenario() -> None:
        async with serving(path, desk):
            assert (await asked(path, b'{"command":"ping"}'))["ok"]

    asyncio.run(scenario())


def test_a_living_daemons_socket_is_not(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        async with serving(path, desk):
            second = AdminServer(path, desk)
            with pytest.raises(StartError) as error:
                await second.start()
            assert error.value.refusal.rule == "SOCKET_IN_USE"
            assert (await asked(path, b'{"command":"ping"}'))["ok"]

    asyncio.run(scenario())


def test_something_else_in_the_way_is_left_alone(path: Path, desk: Any) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")

    assert refused_start(path, desk).rule == "SOCKET_UNUSABLE"
    assert path.read_text() == "precious"


def test_closing_does_not_remove_a_successors_socket(path: Path, desk: Any) -> None:
    async def scenario() -> None:
        first = AdminServer(path, desk)
        await first.start()
        os.unlink(path)  # noqa: PTH108 - what a cleaning script would do
        async with serving(path, desk):
            await first.close()
            assert (await asked(path, b'{"command":"ping"}'))["ok"]

    asyncio.run(scenario())


def test_a_path_too_long_for_a_socket_works_all_the_same(tmp_path: Path, desk: Any) -> None:
    path = tmp_path / ("d" * 100) / ("e" * 100) / "holdfast.sock"
    assert len(str(path)) > 107

    async def scenario() -> None:
        async with serving(path, desk):
            assert (await asked(path, b'{"command":"ping"}'))["ok"]
            assert mode(path) == 0o600

    asyncio.run(scenario())


def test_a_name_too_long_for_a_socket_is_refused(tmp_path: Path, desk: Any) -> None:
    path = tmp_path / "private" / ("n" * 200)

    assert refused_start(path, desk).rule == "SOCKET_UNUSABLE"


_STRANGER = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(10)
    client.connect(sys.argv[1])
    sys.stdout.write(client.makefile().readline())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_is_refused_by_name_and_logged_once(desk: Any, log: Any) -> None:
    # Under /tmp, and opened by hand: another user must reach the socket for the check to be tried.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory) / "private" / "holdfast.sock"

        async def scenario() -> list[dict[str, Any]]:
            async with serving(path, desk):
                let_everybody_in(path)
                answers = [await stranger(path) for _ in range(2)]
                assert (await asked(path, b'{"command":"ping"}'))["ok"]
                return answers

        answers = asyncio.run(scenario())

    assert [answer["error"]["rule"] for answer in answers] == ["PEER_REFUSED", "PEER_REFUSED"]
    assert desk.asked == [Ping()]
    refusals = [line for line in log() if line["event"] == "admin_peer_refused"]
    assert [line["peer_uid"] for line in refusals] == [65534]


async def stranger(path: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STRANGER, str(path), stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    return dict(json.loads(output))


# --- anything at all ---


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(
        st.binary(max_size=200).filter(lambda line: b"\n" not in line)
        | st.sampled_from([b'{"command":"ping"}', b"{}", b'{"command":"open","price":"NaN"}']),
        min_size=1,
        max_size=8,
    )
)
def test_every_line_gets_exactly_one_line_back(desk: Any, lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "private" / "holdfast.sock"

        async def scenario() -> list[dict[str, Any]]:
            async with serving(path, desk), connected(path) as (reader, writer):
                writer.write(b"".join(line + b"\n" for line in lines))
                writer.write_eof()
                return [json.loads(line) for line in (await reader.read()).splitlines()]

        answers = asyncio.run(scenario())

    assert len(answers) == len(lines)
    assert all(isinstance(answer["ok"], bool) for answer in answers)
    assert all("rule" in answer["error"] for answer in answers if not answer["ok"])
