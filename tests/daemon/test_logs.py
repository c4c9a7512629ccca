"""The log: one line an event, whatever strangers wrote; no secrets; never in anybody's way."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from daemon.admin_requests import Close
from daemon.logs import Logs
from domain.instrument import Side


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def start() -> Iterator[Callable[..., io.StringIO]]:
    """Return a function that starts a log and returns its stream."""
    started: list[Logs] = []

    def begin(stream: io.StringIO | None = None, **settings: Any) -> io.StringIO:
        stream = stream or io.StringIO()
        masked = settings.pop("mask", ())
        logs = Logs(stream=stream, **settings)
        logs.mask(*masked)
        logs.start()
        started.append(logs)
        return stream

    yield begin
    for logs in started:
        logs.close()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_a_json_line_with_category_level_and_utc_time(start: Any) -> None:
    stream = start()

    structlog.get_logger("trade.execution").bind(position_id="p1").info(
        "order_filled", client_order_id="c1", price=Decimal("1E+3"), side=Side.BUY
    )

    line = lines(stream)[0]
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert line == {
        "level": "info",
        "category": "trade.execution",
        "event": "order_filled",
        "position_id": "p1",
        "client_order_id": "c1",
        "price": "1000",
        "side": "buy",
    }


def test_what_fails_in_the_system_is_a_system_error(start: Any) -> None:
    stream = start()
    log = structlog.get_logger("system")

    log.warning("late")
    log.error("broken")
    structlog.get_logger("market.data").error("bad_frame")

    assert [line["category"] for line in lines(stream)] == ["system", "system.error", "market.data"]


def test_a_level_hides_what_is_below_it(start: Any) -> None:
    stream = start(level="warning")
    log = structlog.get_logger("system")

    log.debug("a")
    log.info("b")
    log.warning("c")

    assert [line["event"] for line in lines(stream)] == ["c"]


def test_an_exception_is_told_with_its_traceback(start: Any) -> None:
    stream = start(mask=["hunter2"])

    try:
        int("no\x1b[31m hunter2")
    except ValueError as error:
        structlog.get_logger("system").error("broken", exc_info=error)
    try:
        {}["again"]
    except KeyError:
        structlog.get_logger("system").exception("broken")

    first, second = lines(stream)
    assert first["exception"].endswith(": 'no\\x1b[31m ****'")
    assert "Traceback" in first["exception"]
    assert second["exception"].endswith("KeyError: 'again'")


@pytest.mark.parametrize("looks", ["json", "console"])
@given(
    text=st.text(max_size=50)
    | st.sampled_from(["x\n2026-01-01T00:00:00Z [info] forged", "\x1b[2J", "\u202eabc", "\ud800"])
)
def test_no_value_can_forge_a_line(looks: str, text: str) -> None:
    stream = io.StringIO()
    logs = Logs(format=looks, stream=stream)  # type: ignore[arg-type]
    logs.start()
    try:
        structlog.get_logger("system").info("said", text=text, nested={text: [text]})
    finally:
        logs.close()

    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.endswith("\n")
    assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in written[:-1])
    written.encode()


def test_secrets_are_masked_by_name_and_by_text(start: Any) -> None:
    stream = start(mask=["hunter2", ""])

    structlog.get_logger("system").info(
        "login hunter2",
        api_key="k",
        nested={"password": "p", "url": "wss://x?k=hunter2"},
        listed=["hunter2"],
        token_count=3,
    )

    written = stream.getvalue()
    assert "hunter2" not in written
    assert '"api_key":"****"' in written
    assert '"password":"****"' in written
    assert '"listed":["****"]' in written


def test_any_value_can_be_logged(start: Any) -> None:
    stream = start()
    deep: list[Any] = []
    deep.append(deep)

    structlog.get_logger("system").info(
        "all",
        when=datetime(2026, 1, 2, tzinfo=UTC),
        request=Close(position="3f", part=Decimal("0.5")),
        error=ValueError("x"),
        path=Path("/a"),
        huge=10**30,
        nan=Decimal("NaN"),
        raw=b"\x00",
        group=frozenset({"a"}),
        deep=deep,
        long="x" * 10_000,
        time="mine",
    )

    line = lines(stream)[0]
    assert line["request"] == {"command": "close", "position": "3f", "part": "0.5"}
    assert line["error"] == "ValueError: x"
    assert line["huge"] == str(10**30)
    assert len(line["long"]) < 5_000
    assert line["time"] != "mine"


def test_libraries_are_heard_from_warning_up(start: Any) -> None:
    stream = start()

    logging.getLogger("websockets").info("quiet")
    logging.getLogger("websockets").warning("slow %s", "pong")
    logging.getLogger("asyncio").error("Task failed", exc_info=ValueError("x"))

    heard = [(line["category"], line["event"], line["library"]) for line in lines(stream)]
    assert heard == [
        ("system", "slow pong", "websockets"),
        ("system.error", "Task failed", "asyncio"),
    ]
    assert "ValueError: x" in lines(stream)[1]["exception"]


def test_a_librarys_broken_arguments_are_no_reason_to_fail(start: Any) -> None:
    stream = start()
    ours = next(
        one for one in logging.getLogger().handlers if type(one).__module__ == "daemon.logs"
    )

    ours.handle(logging.LogRecord("odd", logging.WARNING, "f", 1, "%d", ("no number",), None))

    assert lines(stream)[0]["event"] == "%d"


def test_a_terminal_gets_colors_and_a_pipe_json(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = start(Terminal())

    structlog.get_logger("trade.intent").info("entry_asked", position_id="p1")

    assert "\x1b[" in stream.getvalue()
    assert "entry_asked" in stream.getvalue()


def test_no_color_is_honored(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = start(Terminal())

    structlog.get_logger("trade.intent").info("entry_asked", position_id="p1")

    assert "\x1b[" not in stream.getvalue()
    assert stream.getvalue().endswith("  entry_asked position_id=p1\n")


def test_a_traceback_on_a_terminal_is_indented(start: Any) -> None:
    stream = start(format="console")

    structlog.get_logger("system").error("broken", exc_info=ValueError("a\nb"))

    first, *rest = stream.getvalue().splitlines()
    assert "broken" in first
    assert rest == ["    ValueError: a", "    b"]


def test_a_file_gets_json_besides(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "holdfast.log"
    stream = start(Terminal(), file=file)

    structlog.get_logger("system").info("started")

    assert json.loads(file.read_text())["event"] == "started"
    assert "started" in stream.getvalue()
    assert file.stat().st_mode & 0o077 == 0


class Full(io.StringIO):
    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_stops_nobody_and_says_so_later(start: Any) -> None:
    stream = Full()
    start(stream)
    log = structlog.get_logger("system")

    log.info("lost")
    log.info("lost")
    stream.full = False
    log.info("heard")

    assert [(line["event"], line.get("lines")) for line in lines(stream)] == [
        ("log_lines_lost", 2),
        ("heard", None),
    ]


def test_a_file_that_was_renamed_is_opened_anew(tmp_path: Path) -> None:
    file, rotated = tmp_path / "log", tmp_path / "log.1"
    logs = Logs(stream=io.StringIO(), file=file)
    logs.start()
    log = structlog.get_logger("system")
    log.info("before")
    file.rename(rotated)

    logs.reopen()
    log.info("after")

    assert [json.loads(file.read_text())["event"] for file in (rotated, file)] == [
        "before",
        "after",
    ]
    logs.close()


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "log"
    logs = Logs(stream=io.StringIO(), file=file)
    file.unlink()
    os.mkfifo(file)

    with pytest.raises(OSError, match="No such device"):
        logs.reopen()

    logs.close()


def test_a_file_that_cannot_be_opened_anew_is_written_on(tmp_path: Path) -> None:
    file, rotated = tmp_path / "log", tmp_path / "log.1"
    logs = Logs(stream=io.StringIO(), file=file)
    logs.start()
    file.rename(rotated)
    file.mkdir()

    with pytest.raises(OSError, match="directory"):
        logs.reopen()
    structlog.get_logger("system").info("after")

    assert json.loads(rotated.read_text())["event"] == "after"
    logs.close()


def test_after_closing_nothing_is_taken_in(start: Any) -> None:
    stream = io.StringIO()
    logs = Logs(stream=stream)
    logs.start()
    logs.close()

    logging.getLogger("x").warning("gone")

    assert stream.getvalue() == ""
    assert not any(type(one).__module__ == "daemon.logs" for one in logging.getLogger().handlers)
