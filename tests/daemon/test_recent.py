"""The last events: a bounded ring with numbers, the same as the log has, safe to show."""

import io
from datetime import UTC, datetime

import structlog

from daemon.log_formats import Line
from daemon.logs import Logs
from daemon.recent import Recent

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def line(event: str, **fields: object) -> Line:
    return Line("info", "system", event, fields, AT)


def test_each_event_is_told_once_to_whom_gives_the_number_of_the_last() -> None:
    recent = Recent()
    recent.write(line("disconnected", why="closed"))
    recent.write(line("connected", symbols=2))

    assert [each["text"] for each in recent.since(0)] == [
        "no prices: closed; connecting again",
        "prices of 2 symbols are coming in",
    ]
    assert [each["seq"] for each in recent.since(1)] == [2]
    assert recent.since(recent.last) == []


def test_what_is_too_old_falls_out_and_numbers_go_on() -> None:
    recent = Recent(keep=3)
    for count in range(10):
        recent.write(line("bad_frame", why="x", count=count))

    assert [each["seq"] for each in recent.since(0)] == [8, 9, 10]
    assert recent.last == 10


def test_a_number_of_another_run_gets_everything() -> None:
    recent = Recent()
    recent.write(line("connected", symbols=1))

    assert len(recent.since(5_000)) == 1


def test_what_the_log_masks_is_masked_here_and_info_is_kept_at_any_level() -> None:
    stream = io.StringIO()
    logs = Logs(stream=stream, level="error")
    logs.mask("hunter2")
    logs.start()
    try:
        structlog.get_logger("system").info("disconnected", why="said hunter2\x1b[2J", api_key="k")
        structlog.get_logger("system").debug("disconnected", why="not worth a look")
    finally:
        logs.close()

    (event,) = logs.recent.since(0)
    assert event["text"] == "no prices: said ****\\x1b[2J; connecting again"
    assert event["fields"] == {"why": "said ****\\x1b[2J", "api_key": "****"}
    assert stream.getvalue() == ""  # the log itself keeps to its level
