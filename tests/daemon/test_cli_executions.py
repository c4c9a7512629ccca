"""The commands about attempts against a real admin socket: what they send and print."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from daemon.admin_requests import AnyAdminRequest, Latency, ListExecutions, Retry, Status, TestOrder
from daemon.cli import console
from daemon.cli.executions import print_executions
from daemon.execution_views import execution_view, failure_view
from domain.commands import Source
from domain.errors import Refusal
from domain.executions import ExecutionStatus
from storage.rows import ExecutionRow
from tests.builders import D
from tests.daemon.test_cli import Ran, holdfast


@pytest.fixture
def ask(office: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command against the desk."""
    monkeypatch.setenv("HOLDFAST_SOCKET", str(office.path))
    return holdfast


def row(**fields: Any) -> ExecutionRow:
    """An attempt that was placed, but for what is given."""
    empty = dict.fromkeys(ExecutionRow.__struct_fields__, "")
    numbers = {"seq": 1, "reduce_only": 0, "doubts": 0, "times": 1}
    usual = {
        "execution_id": "vU34SS0reeuly85qBOYSa6sRE000000",
        "source": "TERMINAL",
        "trader": "manual",
        "venue": "paper",
        "symbol": "BTC/USDT",
        "side": "buy",
        "type": "market",
        "quantity": "0.002",
        "status": "PLACED",
        "venue_order_id": "O1",
        "response_s": "0.040912",
        "request": '{"side":"buy"}',
        "at": "2026-01-02T03:04:05.000000Z",
    }
    return ExecutionRow(**(empty | numbers | usual | fields))


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ("executions", ListExecutions()),
        ("executions --source STRATEGY --trader trend --symbol btc/usdt --limit 5", ListExecutions(
            source=Source.STRATEGY, trader="trend", symbol="BTC/USDT", limit=5)),
        ("executions --status UNKNOWN", ListExecutions(status=ExecutionStatus.UNKNOWN)),
        ("executions --failed", ListExecutions(failed=True)),
        ("retry", Retry()),
        ("retry manual.12", Retry(execution="manual.12")),
        ("retry manual.12 --again", Retry(execution="manual.12", again=True)),
        ("latency", Latency()),
    ],
)  # fmt: skip
def test_a_command_becomes_its_request(
    ask: Callable[..., Ran], office: Any, arguments: str, request_: AnyAdminRequest
) -> None:
    ran = ask(*arguments.split())

    assert ran.code == 0, ran.err
    assert office.desk.asked[-1] == request_


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ("executions --limit 0", "INVALID_LIMIT"),
        ("executions --symbol BTC", "INVALID_SYMBOL"),
        ("executions --trader a/../b!", "INVALID_NAME"),
        ("retry a!b", "INVALID_NAME"),
        ("test-order paper BTC", "INVALID_SYMBOL"),
        ("test-order paper BTC/USDT --quote -5", "INVALID_NOTIONAL"),
        ("test-order pa!per BTC/USDT", "INVALID_NAME"),
    ],
)
def test_nonsense_is_refused_here_by_name(
    ask: Callable[..., Ran], office: Any, arguments: str, rule: str
) -> None:
    office.desk.answers[Status] = {"environment": "paper"}

    ran = ask(*arguments.split())

    assert ran.code == 1
    assert ran.err.startswith(f"error {rule}: ")
    assert not any(isinstance(each, ListExecutions | Retry) for each in office.desk.asked)


def test_attempts_are_a_table(ask: Callable[..., Ran], office: Any) -> None:
    refused = row(
        execution_id="trend.3",
        source="STRATEGY",
        status="SKIPPED",
        times=41,
        quantity="",
        size_by="notional",
        size="3",
        code="BELOW_MIN_NOTIONAL",
        message="Notional 3 below min notional 5 for BTC/USDT.",
        venue_order_id="",
        response_s="",
    )
    doubted = row(execution_id="x", doubts=1)
    rows = [execution_view(each) for each in (refused, doubted, row())]
    office.desk.answers[ListExecutions] = {"executions": rows}

    ran = ask("executions")

    header, first, second, third = ran.out.splitlines()
    assert header.split()[:8] == [
        "TIME", "SOURCE", "TRADER", "SYMBOL", "SIDE", "TYPE", "SIZE", "STATUS",
    ]  # fmt: skip
    assert "3 quote  SKIPPED 41x" in first
    assert "BELOW_MIN_NOTIONAL: Notional 3 below min notional 5 for BTC/USDT." in first
    assert "PLACED (was unknown)" in second
    assert "0.002  PLACED" in third
    assert "40.9" in third


LONG = "Notional 3 below min notional 5 for BTC/USDT, " + "and so on " * 12


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    """Return the lines of a failed and a placed attempt on a terminal so wide."""
    failed = row(code="BELOW_MIN_NOTIONAL", message=LONG, status="SKIPPED")
    page = Console(width=columns, force_terminal=True, no_color=True, highlight=False)
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    monkeypatch.setattr(console, "_console", lambda: page)
    with page.capture() as shown:
        print_executions([execution_view(each) for each in (failed, row())])
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.get()).splitlines()


@pytest.mark.parametrize("columns", [60, 80, 140, 220])
def test_a_long_why_is_folded_and_the_rest_of_the_table_stays(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    lines = on_terminal(monkeypatch, columns)
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert not any("…" in line for line in lines)
    header, why = lines[0], lines[0].index("WHY")
    assert {"SYMBOL", "SIZE", "STATUS", "WHY"} <= set(header.split())
    assert ("TIME" in header) == (columns > 80)
    said = " ".join(line[why:].strip() for line in lines[2:-1])
    assert said == f"BELOW_MIN_NOTIONAL: {LONG.strip()}"


def test_into_a_pipe_a_long_why_widens_no_other_column(
    ask: Callable[..., Ran], office: Any
) -> None:
    failed = row(code="BELOW_MIN_NOTIONAL", message=LONG)
    office.desk.answers[ListExecutions] = {
        "executions": [execution_view(each) for each in (failed, row())]
    }
    header, first, second = ask("executions").out.splitlines()
    assert header.endswith("WHY")
    assert LONG.strip() in first
    assert len(second) < 200


def test_json_has_all_of_an_attempt(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[ListExecutions] = {"executions": [execution_view(row())]}

    (told,) = ask("executions", "--json").json["executions"]

    assert told["request"] == {"side": "buy"}
    assert told["response"] == {"venue_order_id": "O1"}
    assert told["response_s"] == 0.040912
    assert told["code"] is None
    assert "seq" not in told


def test_a_test_order_on_paper_does_not_ask(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[Status] = {"environment": "demo"}
    office.desk.answers[TestOrder] = {
        "passed": True,
        "steps": [{"step": "approved", "after_ms": 3.0}],
        "executions": [execution_view(row())],
    }

    ran = ask("test-order", "paper", "btc/usdt", "--quote", "10")

    assert ran.code == 0, ran.err
    assert office.desk.asked[-1] == TestOrder(venue="paper", symbol="BTC/USDT", notional=D(10))
    assert ran.out.splitlines()[0].split() == ["approved", "3.0", "ms"]


def test_real_money_is_not_moved_without_a_yes(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[Status] = {"environment": "live"}

    ran = ask("test-order", "okx", "BTC/USDT")

    assert ran.code == 1
    assert ran.err.startswith("error NOT_CONFIRMED: ")
    assert [type(each) for each in office.desk.asked] == [Status]


def test_a_test_order_that_did_not_pass_is_code_1(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[Status] = {"environment": "paper"}
    office.desk.answers[TestOrder] = {"passed": False, "steps": [], "executions": []}

    ran = ask("test-order", "paper", "BTC/USDT")

    assert ran.code == 1
    assert "NOT DONE" in ran.out


def test_a_refused_retry_says_why(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[Retry] = Refusal("NOTHING_FAILED", "No attempt has failed.")

    ran = ask("retry")

    assert (ran.code, ran.err) == (1, "error NOTHING_FAILED: No attempt has failed.\n")


def test_how_long_orders_take_is_a_table(ask: Callable[..., Ran], office: Any) -> None:
    figures = {"count": 4, "p50_ms": 1.5, "p95_ms": 2.0, "p99_ms": 2.1, "max_ms": 2.1}
    line = {"venue": "paper", "type": "market", "step": "request_to_answer", **figures}
    office.desk.answers[Latency] = {"latency": [line]}

    ran = ask("latency")

    assert ran.out.splitlines()[1].split() == [
        "paper", "market", "request", "to", "answer", "4", "1.5", "2.0", "2.1", "2.1",
    ]  # fmt: skip


def test_nothing_failed_is_null() -> None:
    assert failure_view(None) is None
