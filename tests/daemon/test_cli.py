"""The command line against a real admin socket: what it sends, what it prints, how it ends."""

import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from daemon.admin_requests import (
    AcceptConflict,
    Add,
    AddTarget,
    AnyAdminRequest,
    CancelTarget,
    Close,
    CloseAll,
    Drain,
    Health,
    Latency,
    ListConflicts,
    ListOrders,
    ListPositions,
    ListTraders,
    Market,
    Mode,
    ModifyTarget,
    MoveStop,
    Open,
    Pause,
    Ping,
    RefuseConflict,
    Reload,
    ResetKillSwitch,
    Resume,
    ResumeEntries,
    SetAccountLimits,
    SetTraderLimits,
    ShowPortfolio,
    ShowPosition,
    Snapshot,
    Status,
    StopEntries,
    TargetRequest,
    TrailStop,
    Watch,
    Why,
)
from daemon.cli.program import FILES, build
from daemon.limit_views import account_limits_view
from daemon.position_views import Seen, position_row, position_view
from daemon.views import mode_view, portfolio_view, story_row, trader_view
from domain.errors import Refusal
from domain.ids import AccountName, TraderName
from domain.instrument import Direction, PriceSource
from domain.limit_changes import TraderOverrides
from domain.modes import Mode as DaemonMode
from domain.modes import ModeCause
from domain.portfolio_state import Portfolio
from domain.risk import AccountLimits, TraderLimits
from domain.trader_state import Trader, TraderLimitsChanged, TraderSettings
from tests.builders import ACCOUNT, BTC, NOW, D, Life, opened, plan

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def holdfast(*arguments: str, stdin: str | None = None) -> Ran:
    result = CliRunner().invoke(build(arguments), list(arguments), input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def ask(office: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command against the desk."""
    monkeypatch.setenv("HOLDFAST_SOCKET", str(office.path))
    return holdfast


# --- what is sent ---


def sent(ask: Callable[..., Ran], office: Any, *arguments: str) -> AnyAdminRequest:
    ran = ask(*arguments)
    assert ran.code == 0, ran.err
    return office.desk.asked[-1]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ("positions", ListPositions()),
        ("positions --closed --trader trend --limit 5", ListPositions(
            closed=True, trader="trend", limit=5)),
        ("position 3f2a", ShowPosition(position="3f2a")),
        ("orders --all", ListOrders(all=True)),
        ("why 3f2a", Why(subject="3f2a")),
        ("add 3f2a --notional 300", Add(position="3f2a", notional=D(300))),
        ("add 3f2a --risk 1% --limit 61000 --stop 60500 --widen --number 2", Add(
            position="3f2a", risk=D("0.01"), limit_price=D(61000), stop=D(60500), widen=True,
            number=2)),
        ("close 3f2a", Close(position="3f2a")),
        ("close 3f2a --part 50%", Close(position="3f2a", part=D("0.5"))),
        ("close 3f2a --part 0.25", Close(position="3f2a", part=D("0.25"))),
        ("close --all", CloseAll()),
        ("move-stop 3f 60500.5", MoveStop(position="3f", price=D("60500.5"))),
        ("move-stop 3f 5 --widen --based-on 4", MoveStop(
            position="3f", price=D(5), widen=True, based_on=4)),
        ("trail-stop 3f 1.5%", TrailStop(position="3f", trail_ratio=D("0.015"))),
        ("trail-stop 3f 150", TrailStop(position="3f", trail_distance=D(150))),
        ("add-target 3f 62000:50%", AddTarget(position="3f", price=D(62000), part=D("0.5"))),
        ("add-target 3f 62000", AddTarget(position="3f", price=D(62000))),
        ("modify-target 3f target-1 5", ModifyTarget(
            position="3f", target="target-1", price=D(5))),
        ("modify-target 3f target-1 5:0.3", ModifyTarget(
            position="3f", target="target-1", price=D(5), part=D("0.3"))),
        ("cancel-target 3f target-2", CancelTarget(position="3f", target="target-2")),
        ("conflicts", ListConflicts()),
        ("accept 3f c1", AcceptConflict(position="3f", conflict="c1")),
        ("refuse 3f c1", RefuseConflict(position="3f", conflict="c1")),
        ("pause trend", Pause(trader="trend")),
        ("resume trend", Resume(trader="trend")),
        (("traders set-limits trend --max-positions 1 --max-risk 2% --min-confidence 0.7 "
          "--max-position 20%"), SetTraderLimits(
            trader="trend", max_positions=1, max_risk_ratio=D("0.02"), min_confidence=D("0.7"),
            max_position_ratio=D("0.2"))),
        ("traders set-limits trend --reset --max-risk 0", SetTraderLimits(
            trader="trend", reset=True, max_risk_ratio=D(0))),
        (("portfolio set-limits --max-positions 0 --max-leverage 3 --daily-loss-cap 300 "
          "--daily-drawdown 3% --total-drawdown 0.15 --balance-buffer 0%"), SetAccountLimits(
            max_positions=0, max_leverage=D(3), daily_loss_cap=D(300),
            daily_drawdown_ratio=D("0.03"), total_drawdown_ratio=D("0.15"),
            balance_buffer_ratio=D(0))),
        ("portfolio set-limits --reset", SetAccountLimits(reset=True)),
        ("stop-entries", StopEntries()),
        ("resume-entries", ResumeEntries()),
        ("reset-kill-switch --yes", ResetKillSwitch()),
        ("snapshot", Snapshot()),
        ("reload", Reload()),
        ("drain", Drain()),
    ],
)  # fmt: skip
def test_a_command_becomes_its_request(
    ask: Callable[..., Ran], office: Any, arguments: str, request_: AnyAdminRequest
) -> None:
    assert sent(ask, office, *arguments.split()) == request_


_EVERY_OPTION = """
open btc/usdt short --risk 1% --stop 62000 --target 60000:50% --target 59000:0.5 --trail 2%
--breakeven 60500 --limit 61000.5 --leverage 3 --max-holding 2h --watch mark --target-watch bid
"""


def test_an_opening_carries_every_option(ask: Callable[..., Ran], office: Any) -> None:
    request = sent(
        ask,
        office,
        *_EVERY_OPTION.split(),
    )

    assert isinstance(request, Open)
    assert len(request.position_id or "") == 36
    assert request == Open(
        symbol="BTC/USDT",
        direction=Direction.SHORT,
        risk=D("0.01"),
        stop=D(62000),
        targets=(TargetRequest(D(60000), D("0.5")), TargetRequest(D(59000), D("0.5"))),
        trail_ratio=D("0.02"),
        breakeven=D(60500),
        limit_price=D("61000.5"),
        leverage=D(3),
        max_holding_s=7200.0,
        watches=PriceSource.MARK,
        target_watches=PriceSource.BID,
        position_id=request.position_id,
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("1.5h", 5400)]
)
def test_durations_are_read_with_their_unit(
    ask: Callable[..., Ran], office: Any, text: str, seconds: float
) -> None:
    request = sent(
        ask, office, "open", "BTC/USDT", "long", "--quantity", "1", "--max-holding", text
    )

    assert isinstance(request, Open)
    assert request.max_holding_s == seconds


# --- what is refused before anything is sent ---


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ("add 3f", "MISSING_SIZE"),
        ("add 3f --quantity 1 --notional 5", "AMBIGUOUS_SIZE"),
        ("add 3f --quantity -1", "INVALID_QUANTITY"),
        ("add 3f --quantity 1 --number 0", "INVALID_NUMBER"),
        ("traders set-limits trend", "MISSING_ARGUMENT"),
        ("traders set-limits trend --max-positions -1", "LIMIT_OUT_OF_BOUNDS"),
        ("traders set-limits trend --max-positions 1.5", "LIMIT_OUT_OF_BOUNDS"),
        ("traders set-limits trend --max-risk 2", "LIMIT_OUT_OF_BOUNDS"),
        ("traders set-limits trend --max-risk 101%", "LIMIT_OUT_OF_BOUNDS"),
        ("portfolio set-limits --daily-loss-cap 5%", "LIMIT_OUT_OF_BOUNDS"),
        ("portfolio set-limits --max-leverage 300%", "LIMIT_OUT_OF_BOUNDS"),
        ("traders set-limits trend --min-confidence nan", "LIMIT_OUT_OF_BOUNDS"),
        ("traders set-limits trend --max-position 1001", "LIMIT_OUT_OF_BOUNDS"),
        ("traders set-limits a/../b! --max-positions 1", "INVALID_NAME"),
        ("portfolio set-limits", "MISSING_ARGUMENT"),
        ("portfolio set-limits --max-leverage 0.5", "LIMIT_OUT_OF_BOUNDS"),
        ("portfolio set-limits --daily-drawdown 0", "LIMIT_OUT_OF_BOUNDS"),
        ("portfolio set-limits --total-drawdown 0%", "LIMIT_OUT_OF_BOUNDS"),
        ("portfolio set-limits --daily-loss-cap 0", "LIMIT_OUT_OF_BOUNDS"),
        ("move-stop 3f 0", "INVALID_PRICE"),
        ("move-stop 3f -5", "INVALID_PRICE"),
        ("move-stop 3f nan", "INVALID_PRICE"),
        ("move-stop 3f high", "INVALID_PRICE"),
        ("move-stop 3f 1e99", "INVALID_PRICE"),
        ("move-stop ../x 5", "INVALID_ID"),
        ("add-target 3f 0:50%", "INVALID_PRICE"),
        ("add-target 3f 5:150%", "INVALID_PART"),
        ("add-target 3f 5:", "INVALID_PART"),
        ("modify-target 3f target-1 5:x", "INVALID_PART"),
        ("trail-stop 3f 100%", "INVALID_TRAIL"),
        ("trail-stop 3f -2%", "INVALID_TRAIL"),
        ("close 3f --part 0", "INVALID_PART"),
        ("close 3f --part 50", "INVALID_PART"),
        ("open BTC/USDT long", "MISSING_SIZE"),
        ("open BTC/USDT long --quantity 1 --notional 5", "AMBIGUOUS_SIZE"),
        ("open BTC/USDT long --quantity -1", "INVALID_QUANTITY"),
        ("open BTC/USDT long --notional inf", "INVALID_NOTIONAL"),
        ("open BTC/USDT long --risk 150%", "INVALID_RISK"),
        ("open BTC/USDT long --quantity 1 --stop x", "INVALID_PRICE"),
        ("open BTC/USDT long --quantity 1 --leverage 0.5", "INVALID_LEVERAGE"),
        ("open BTC/USDT long --quantity 1 --max-holding 90", "INVALID_DURATION"),
        ("open BTCUSDT long --quantity 1", "INVALID_SYMBOL"),
        ("positions --limit 0", "INVALID_LIMIT"),
        ("market BTC/USDT --depth 0", "INVALID_DEPTH"),
        ("market BTC/USDT --depth 101", "INVALID_DEPTH"),
        ("market BTCUSDT", "INVALID_SYMBOL"),
        ("pause a/../b!", "INVALID_NAME"),
    ],
)
def test_nonsense_is_refused_here_by_name(
    ask: Callable[..., Ran], office: Any, arguments: str, rule: str
) -> None:
    ran = ask(*arguments.split())

    assert ran.code == 1
    assert ran.out == ""
    error, remedy = ran.err.splitlines()
    assert error.startswith(f"error {rule}: ")
    assert remedy.startswith("→ ")
    assert office.desk.asked == []


@pytest.mark.parametrize(
    "arguments",
    ["close", "close 3f --all", "close --all --part 50%", "open BTC/USDT up", "nonsense", "pause"],
)
def test_wrong_usage_is_code_2(ask: Callable[..., Ran], office: Any, arguments: str) -> None:
    ran = ask(*arguments.split())

    assert ran.code == 2
    assert "Usage: " in ran.err
    assert office.desk.asked == []


# --- how it ends ---


def test_a_refusal_is_printed_with_its_remedy(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[Close] = Refusal("AMBIGUOUS_ID", "'3' begins 2 ids:\x1b[31m a, b.", "More.")

    ran = ask("close", "3")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error AMBIGUOUS_ID: '3' begins 2 ids: [31m a, b.\n→ More.\n"


@pytest.mark.parametrize("name", ["ANSWER_TIMEOUT", "NO_ANSWER", "INTERNAL_ERROR"])
def test_an_unknown_outcome_is_code_4(ask: Callable[..., Ran], office: Any, name: str) -> None:
    office.desk.answers[Close] = Refusal(name, "It may be done.", "Look.")

    assert ask("close", "3f").code == 4


def test_without_a_daemon_it_says_where_it_looked(tmp_path: Path) -> None:
    ran = holdfast("close", "--all", "--socket", str(tmp_path / "no.sock"))

    assert ran.code == 3
    assert ran.err.startswith(f"error NO_DAEMON: No daemon answers at {tmp_path}/no.sock")
    assert "holdfast run" in ran.err


def test_a_lost_answer_to_an_opening_names_the_position_to_look_for(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def dies_after_reading() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)

        daemon = threading.Thread(target=dies_after_reading)
        daemon.start()
        ran = holdfast("open", "BTC/USDT", "long", "--quantity", "1", "--socket", str(path))
        daemon.join(10)

    assert ran.code == 4
    assert "error ANSWER_LOST" in ran.err
    assert re.search(r"holdfast position [0-9a-f-]{36}", ran.err)


def test_the_daemon_is_found_through_the_configuration(office: Any, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(f"admin: {{socket: {office.path}}}\nbroken: [1]\n")

    assert holdfast("drain", "--config", str(config)).code == 0
    assert office.desk.asked == [Drain()]


@pytest.mark.parametrize("command", ["status", "run --no-watch", "config check"])
def test_a_configuration_that_is_not_there_is_told_by_every_command(
    command: str, tmp_path: Path
) -> None:
    ran = holdfast(*command.split(), "--config", str(tmp_path / "none.yaml"))

    assert ran.code == 1
    assert ran.err.startswith(f"error CONFIG_NOT_FOUND: There is no file {tmp_path}/none.yaml.")


def test_a_configuration_that_is_no_yaml_says_how_to_go_on(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("a: [")

    ran = holdfast("close", "--all", "--config", str(config))

    assert ran.code == 1
    assert "error SOCKET_NOT_FOUND" in ran.err
    assert "--socket" in ran.err


def test_admin_sends_a_line_as_it_is(ask: Callable[..., Ran], office: Any) -> None:
    ran = ask("admin", '{"command": "ping",\n "id": 7}')

    assert (ran.code, ran.json) == (0, {"ok": True, "id": 7, "pong": True})
    assert office.desk.asked == [Ping(id=7)]
    refused = ask("admin", "oops")
    assert refused.code == 1
    assert refused.json["error"]["rule"] == "MALFORMED"


def test_closing_everything_is_asked_about_on_a_terminal(
    ask: Callable[..., Ran], office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.trading.is_asked", lambda: True)

    declined = ask("close", "--all", stdin="n\n")
    assert (declined.code, office.desk.asked) == (1, [])
    assert "NOT_CONFIRMED" in declined.err
    assert ask("close", "--all", stdin="y\n").code == 0
    assert ask("close", "--all", "--yes").code == 0
    assert office.desk.asked == [CloseAll(), CloseAll()]


@pytest.mark.parametrize(("rule", "code"), [("QUARANTINED", 1), ("NO_ANSWER", 4)])
def test_closing_everything_fails_when_one_is_not_closed(
    ask: Callable[..., Ran], office: Any, rule: str, code: int
) -> None:
    refused = [
        {"position": "a", "rule": "BUSY", "message": "not now", "remedy": "Try again."},
        {"position": "b", "rule": rule, "message": "it rests", "remedy": ""},
    ]
    office.desk.answers[CloseAll] = {"closing": [], "refused": refused}

    ran = ask("close", "--all")

    assert ran.code == code
    assert ran.out == "closing 0 positions, NOT CLOSING 2\n"
    assert ran.err == f"error a  BUSY: not now → Try again.\nerror b  {rule}: it rests\n"
    assert ask("close", "--all", "--json").code == code


def test_a_reset_of_the_kill_switch_is_asked_about_on_a_terminal(
    ask: Callable[..., Ran], office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.cli.operations.is_asked", lambda: True)

    declined = ask("reset-kill-switch", stdin="n\n")
    assert (declined.code, office.desk.asked) == (1, [])
    assert "NOT_CONFIRMED" in declined.err
    assert ask("reset-kill-switch", stdin="y\n").code == 0
    assert ask("reset-kill-switch", "--yes").code == 0
    assert office.desk.asked == [ResetKillSwitch(), ResetKillSwitch()]


# --- what is printed ---


def rows(count: int = 3) -> list[dict[str, object]]:
    found = []
    for number in range(count):
        short = number % 2 == 1
        life = opened(
            "0.125",
            "61590.12345678",
            plan("63000", [("60000", "0.5")]) if short else plan("60000", [("63000.5", "0.5")]),
            Direction.SHORT if short else Direction.LONG,
        )
        seen = Seen(D("61700.5"), is_fresh=True)
        row = position_row(life.p, seen, NOW + timedelta(seconds=75))
        found.append(row | {"id": f"{number}f2a91c0-1111-4222-8333-444455556666"})
    return found


def account() -> dict[str, object]:
    stopped = ModeCause("OPERATOR_STOP", DaemonMode.NO_ENTRY, "Entries stopped.", "Resume entries.")
    portfolio = Portfolio(
        account=AccountName(ACCOUNT),
        quote="USDT",
        balance=D(9_950),
        high_water_mark=D(10_000),
        day=NOW.date(),
        day_start_equity=D(10_000),
        marked_at=NOW,
        causes=(stopped,),
    )
    return portfolio_view(portfolio, {}, AccountLimits(daily_loss_cap=D(300)))


def status() -> dict[str, object]:
    return account() | {
        "version": "1.2",
        "pid": 7,
        "uptime_s": 3700.0,
        "venue": "paper",
        "market_source": "okx",
        "feed_connected": False,
        "prices": [
            {"symbol": BTC, "last": "61700.5", "bid": None, "ask": None, "mark": None,
             "age_s": 0.25, "is_fresh": True},
            {"symbol": "ETH/USDT", "last": None, "bid": None, "ask": None, "mark": None,
             "age_s": None, "is_fresh": False},
        ],
        "positions_open": 3,
        "positions_unprotected": 1,
        "orders_working": 2,
        "orders_unknown": 1,
        "traders": [{"name": "trend", "paused": True, "open_positions": 1}],
    }  # fmt: skip


CONFLICT = {
    "position": "3f2a91c0-1111-4222-8333-444455556666", "trader": "trend", "symbol": BTC,
    "side": "LONG", "id": "c1", "outdated": True, "type": "MOVE_SL", "requested_by": "RULE_ENGINE",
    "reason": "the trend is old", "at": "2026-01-02T03:04:05Z",
    "previous": {"version": 2, "stop": "59100", "trail": None, "targets": []},
    "new": {"version": 2, "stop": "59500", "trail": None, "targets": []},
}  # fmt: skip


@pytest.fixture
def filled(office: Any) -> Any:
    """Give the desk something to show."""
    life = opened("2", "100", plan("90", [("110", "0.5")], breakeven_price=D(105)))
    life.cross("target-1", "110").fill_exit(at="110")
    shown = position_view(
        life.p, Seen(D(111), is_fresh=True, low=D(99), high=D(112)), NOW, venue="paper"
    )
    trader = trader_view(
        TraderSettings(TraderName("trend"), (BTC,), "5s", strategy="ema-cross"),
        None,
        None,
        open_positions=1,
        unrealized_pnl=D("-3.5"),
    )
    health = {
        **mode_view([]),
        "live": True,
        "ready": True,
        "checks": [{"what": "guards", "ok": True, "why": "3 guarded"}],
        "actors": 12,
        "restarts": {"feed": 2},
        "dead_letters": 1,
        "mailboxes": {"feed": 0, "portfolio": 3},
        "feed": {"connected": True, "frames": 9, "bad_frames": 0, "armed_positions": 3},
        "journal": {"last_seq": 77, "trouble": None, "waiting": 0},
    }
    order = {"client_order_id": "c1", "symbol": BTC, "side": "buy", "type": "limit",
             "status": "open", "quantity": "1", "filled": "0", "average_price": None,
             "updated_at": "2026-01-02T03:04:05Z", "reason": ""}  # fmt: skip
    office.desk.answers |= {
        ListPositions: {"positions": rows(), "total": 3},
        ShowPosition: {"position": shown},
        ListOrders: {"orders": [order]},
        ListConflicts: {"conflicts": [CONFLICT]},
        ListTraders: {"traders": [trader]},
        ShowPortfolio: account(),
        Status: status(),
        Health: health,
        Mode: mode_view([]),
        Why: {"events": [story_row(3, NOW, "position/x", life.events[0])]},  # type: ignore[arg-type]
        Open: {"position": shown},
    }
    return office


READS = [
    "positions",
    "position 1",
    "orders",
    "conflicts",
    "traders",
    "portfolio",
    "status",
    "health",
    "mode",
]


@pytest.mark.parametrize("command", [*READS, "why 1", "positions --closed"])
def test_json_is_the_answer_itself(ask: Callable[..., Ran], filled: Any, command: str) -> None:
    ran = ask(*command.split(), "--json")

    assert ran.code == 0
    answer = filled.desk.answers[type(filled.desk.asked[-1])]
    assert ran.json == json.loads(json.dumps(answer))


def test_a_list_in_a_pipe_is_plain_aligned_text(ask: Callable[..., Ran], filled: Any) -> None:
    header, long, short, _ = ask("positions").out.splitlines()

    assert header == (
        "ID        TRADER  SYMBOL    SIDE   STATUS       QTY      ENTRY      PRICE     P&L"
        "  P&L %    STOP  TRAIL  TARGETS    GUARD     AGE"
    )
    assert long == (
        "0f2a91c0  manual  BTC/USDT  LONG   protected  0.125  61,590.12  61,700.50  +13.80"
        "  +0.18  60,000      -  63,000.50  daemon  1m15s"
    )
    assert short.split()[8:10] == ["-13.80", "-0.18"]


def test_what_waits_for_a_decision_is_listed_with_before_and_after(
    ask: Callable[..., Ran], filled: Any
) -> None:
    line = ask("conflicts").out.splitlines()[1]
    assert line.split()[:6] == ["3f2a91c0", "c1", "trend", "BTC/USDT", "move", "stop"]
    for what in ("59,100", "59,500", "outdated", "the trend is old"):
        assert what in line


def test_ids_are_as_long_as_needed_to_tell_them_apart(ask: Callable[..., Ran], filled: Any) -> None:
    listed = rows(2)
    listed[0]["id"], listed[1]["id"] = "0f2a91c0-1111-a", "0f2a91c0-1111-b"
    filled.desk.answers[ListPositions] = {"positions": listed}

    assert [line.split()[0] for line in ask("positions").out.splitlines()[1:]] == [
        "0f2a91c0-1111-a",
        "0f2a91c0-1111-b",
    ]


def test_an_empty_list_says_so(ask: Callable[..., Ran], office: Any) -> None:
    office.desk.answers[ListPositions] = {"positions": []}

    assert ask("positions").out == "no open positions\n"
    assert ask("positions", "--closed").out == "no closed positions\n"


def test_one_position_is_shown_with_all_that_guards_it(
    ask: Callable[..., Ran], filled: Any
) -> None:
    out = ask("position", "1").out

    assert "LONG BTC/USDT swap at paper, leverage 1, paper money" in out
    assert "90  watches last, lives: client guard, -18.92 % away" in out
    assert "+11.00  (+11.00 %)" in out
    assert "best 112 (+24.00), worst 99 (-2.00)" in out
    assert "at 105, stop to" in out
    assert re.search(r"target-1 +110 +50 +- +yes +1 ", out)
    assert "Fills" in out
    assert re.search(r"target-1 +take profit +1 +1 +110 +110", out)


def test_the_status_page_points_at_what_is_wrong(ask: Callable[..., Ran], filled: Any) -> None:
    out = ask("status").out

    assert "NO_ENTRY" in out
    assert "Entries stopped. Resume entries." in out
    assert "okx, NOT CONNECTED" in out
    assert "1 WITHOUT PROTECTION" in out
    assert "1 UNKNOWN" in out
    assert re.search(r"ETH/USDT +- +- +- +- +never +STALE", out)
    assert "up 1h01m" in out


@pytest.mark.parametrize(
    ("environment", "words"),
    [("live", "okx, LIVE: REAL MONEY, account main"), ("demo", "okx, DEMO: practice money")],
)
def test_the_status_page_says_whose_money_moves(
    ask: Callable[..., Ran], filled: Any, environment: str, words: str
) -> None:
    filled.desk.answers[Status] |= {
        "venue": "okx",
        "environment": environment,
        "account": "main",
        "link": {"stream_up": False, "stream_s": 65, "stream_why": "reset", "reconciled_s": 3},
    }

    out = ask("status").out

    assert words in out
    assert "stream DOWN 1m05s: reset; compared with the venue 3s ago" in out


def test_an_account_is_shown_with_its_limits(ask: Callable[..., Ran], filled: Any) -> None:
    out = ask("portfolio").out

    assert re.search(r"balance +9,950.00 USDT", out)
    assert "0.50 % below 10,000.00 (kill switch at 20 %)" in out
    assert "(entries stop at 5 % or a loss of 300.00 USDT)" in out


def test_health_ends_with_1_when_something_is_not_well(
    ask: Callable[..., Ran], filled: Any
) -> None:
    well = ask("health")
    assert well.code == 0
    assert "feed 2" in well.out
    assert "portfolio 3" in well.out

    filled.desk.answers[Health]["journal"]["trouble"] = "disk full"
    ill = ask("health")
    assert ill.code == 1
    assert "TROUBLE: disk full" in ill.out


def test_health_shows_the_verdicts_and_live_asks_for_one_of_them(
    ask: Callable[..., Ran], filled: Any
) -> None:
    health = filled.desk.answers[Health]
    health["journal"]["trouble"] = "disk full"
    assert re.search(r"live +yes\nready +yes\n +guards +3 guarded", ask("health").out)
    assert (ask("health").code, ask("health", "--live").code) == (1, 0)

    health["live"] = False
    health["checks"] = [{"what": "guards", "ok": False, "why": "nobody guards p1 for 20 s"}]
    ill = ask("health", "--live")
    assert ill.code == 1
    assert re.search(r"live +NO", ill.out)
    assert "NOT WELL: nobody guards p1 for 20 s" in ill.out


def test_a_reload_is_told_key_by_key(ask: Callable[..., Ran], office: Any) -> None:
    change = {"key": "limits.max_positions", "was": "10", "now": "5"}
    waits = {"key": "market.seed", "was": "7", "now": "8"}
    office.desk.answers[Reload] = {"applied": [change], "needs_restart": [waits], "unchanged": 52}
    assert ask("reload").out.splitlines() == [
        "in force: limits.max_positions 5, was 10",
        "not before a restart: market.seed 8, was 7",
        "nothing else changed; 52 keys are as before",
    ]
    assert ask("reload", "--json").json["applied"] == [change]

    ends_by = "holdfast portfolio set-limits --reset"
    other = {"key": "limits.max_leverage", "was": "10", "now": "2", "in_force": "8"}
    office.desk.answers[Reload] = {"overridden": [other | {"ends_by": ends_by}], "unchanged": 53}
    assert ask("reload").out.splitlines() == [
        f"NOT in force: limits.max_leverage 2 in the file, but 8 is set; `{ends_by}` ends that",
        "nothing else changed; 53 keys are as before",
    ]

    office.desk.answers[Reload] = {"applied": [], "needs_restart": [], "unchanged": 54}
    assert ask("reload").out == "nothing changed; 54 keys are as before\n"

    office.desk.answers[Reload] = Refusal(
        "INVALID_CONFIG", "What is in force stays: …:3: …", "Mend"
    )
    refused = ask("reload")
    assert refused.code == 1
    assert "INVALID_CONFIG" in refused.err


def test_a_part_that_is_not_well_is_named_and_ends_with_1(
    ask: Callable[..., Ran], filled: Any
) -> None:
    parts = [{"name": "feed", "ok": True, "why": ""}]
    filled.desk.answers[Health]["parts"] = parts
    assert ask("health").code == 0

    parts.append({"name": "exchange", "ok": False, "why": "1 order is unknown"})
    ill = ask("health")

    assert ill.code == 1
    assert re.search("exchange +NOT WELL +1 order is unknown", ill.out)


def test_limits_that_were_set_are_shown_with_what_is_configured(
    ask: Callable[..., Ran], filled: Any
) -> None:
    changed = TraderLimitsChanged(
        overrides=TraderOverrides(max_positions=1, max_risk_ratio=D("0.005")),
        previous=TraderLimits(),
        new=TraderLimits(max_positions=1, max_risk_ratio=D("0.005")),
        by="uid 7",
        at=NOW,
    )
    settings = TraderSettings(TraderName("trend"), (BTC,), "5s", strategy="ema-cross")
    trader = trader_view(settings, Trader(limits_change=changed), None, open_positions=1)
    filled.desk.answers[ListTraders] = {"traders": [trader]}

    out = ask("traders").out

    assert "trend: max positions 1 (configured: 3), max risk 0.5 % (configured: 2 %)" in out
    assert "set by uid 7 at 2026-01-02 03:04:05" in out
    shown = account_limits_view(AccountLimits(), None)
    filled.desk.answers[SetAccountLimits] = {"done": True, "account": "paper", **shown}
    out = ask("portfolio", "set-limits", "--reset").out
    assert "paper: max positions 10, max leverage 10, daily loss cap none" in out


def test_what_became_of_a_change_is_a_sentence(ask: Callable[..., Ran], filled: Any) -> None:
    opened_ = ask("open", "BTC/USDT", "long", "--quantity", "2").out
    assert "open protected, LONG 1 BTC/USDT, entered at 100, stop 90 (client guard)" in opened_

    filled.desk.answers[CloseAll] = {"closing": ["a", "b"]}
    assert ask("close", "--all").out == "closing 2 positions\n"
    filled.desk.answers[Pause] = {"done": True, "trader": "trend"}
    assert ask("pause", "trend").out == "done, trader trend\n"
    filled.desk.answers[Drain] = {"draining": True, "positions": 4}
    assert (
        ask("drain").out == "draining; 4 positions stay and are guarded again at the next start\n"
    )
    filled.desk.answers[Close] = {**filled.desk.answers[Open], "under_way": True, "note": "NOT YET"}
    closing = ask("close", "3f")
    assert (closing.code, closing.out.rstrip().endswith("; NOT YET")) == (4, True)
    assert ask("close", "3f", "--json").code == 4
    filled.desk.answers[Drain] = {"draining": True, "positions": 1}
    assert "; 1 position stays and is guarded again" in ask("drain").out


def test_before_the_first_fill_a_position_is_what_was_asked_for(
    ask: Callable[..., Ran], filled: Any
) -> None:
    life = Life().begin("2", plan("90"), limit="95")
    waiting = position_row(life.p, Seen(D(100), is_fresh=True), NOW)
    filled.desk.answers[Open] = {"position": waiting}
    filled.desk.answers[ListPositions] = {"positions": [waiting], "total": 1}

    said = ask("open", "BTC/USDT", "long", "--quantity", "2", "--limit", "95").out
    assert "entry pending, LONG 2 BTC/USDT, at 95 or better, stop 90 once it is filled" in said
    listed = ask("positions").out.splitlines()[-1].split()
    assert listed[4:8] == ["entry", "pending", "2", "-"]
    assert "90" in listed
    filled.desk.answers[ShowPosition] = {
        "position": position_view(life.p, Seen(D(100), is_fresh=True), NOW, venue="paper")
    }
    page = ask("position", "3f").out
    assert re.search(r"^quantity +2 asked for, nothing filled$", page, re.MULTILINE)
    assert re.search(r"^entry +at 95 or better$", page, re.MULTILINE)
    assert re.search(r"^stop +90 once it is filled$", page, re.MULTILINE)


def test_text_from_elsewhere_cannot_move_the_cursor(ask: Callable[..., Ran], filled: Any) -> None:
    listed = rows(1)
    listed[0]["trader"] = "a\x1b[2J\rb"
    filled.desk.answers[ListPositions] = {"positions": listed}

    assert "a?[2J?b" in ask("positions").out


@pytest.mark.parametrize("command", ["positions --json", "watch --json --once", "admin {}"])
def test_json_has_nothing_that_a_terminal_obeys_and_loses_nothing(
    ask: Callable[..., Ran], filled: Any, command: str
) -> None:
    sent_ = "a\x1b[2J\x9b2J\x7f\u202e\u2066\u200fö"
    filled.desk.answers[ListPositions] = filled.desk.answers[Watch] = {"positions": sent_}

    ran = ask(*(each.format('{"command": "positions"}') for each in command.split()))

    assert ran.json["positions"] == sent_
    assert ran.out.isascii()
    assert ran.out.replace("\n", "").isprintable()


# --- on a terminal ---


def on_terminal(arguments: str, path: Path, columns: int, **environment: str) -> str:
    """Run the program on a real pseudo-terminal and return what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    variables |= {"TERM": "xterm-256color", "HOLDFAST_SOCKET": str(path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", "from daemon.cli import main; main()", *arguments.split()],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=variables | environment,
        cwd=path.parent,
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def visible(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_the_terminal(filled: Any, columns: int) -> None:
    shown = on_terminal("positions", filled.path, columns)

    lines = visible(shown)
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert "…" not in shown
    header = " ".join(lines).split()
    assert {"ID", "SYMBOL", "SIDE", "PRICE", "P&L", "STOP"} <= set(header)
    assert ("TRADER" in header) == (columns == 120)
    assert "\x1b[" in shown


@pytest.mark.parametrize("columns", [40, 60])
def test_no_figure_is_cut_short_on_a_narrow_terminal(filled: Any, columns: int) -> None:
    took = {"p50_ms": 116.447, "p95_ms": 1122.153, "p99_ms": 1157.6, "max_ms": 1157.625}
    kind = {"venue": "paper", "type": "market exit", "step": "decision_to_request", "count": 1712}
    line = kind | took
    filled.desk.answers[Latency] = {"latency": [line]}
    price = {"symbol": "BTC/USDT", "age_s": 0.3, "is_fresh": True, "source": "stream"}
    figures = dict.fromkeys(("last", "bid", "ask", "mark"), "162066.8")
    filled.desk.answers[Status] = {**status(), "prices": [{**price, **figures}]}

    assert "162,066.8" in on_terminal("status", filled.path, columns)
    assert "…" not in on_terminal("status", filled.path, columns)
    if columns == 60:
        shown = on_terminal("latency", filled.path, columns)
        assert "…" not in shown
        assert "1157.6" in shown


def test_no_color_means_no_color(filled: Any) -> None:
    assert "\x1b[3" not in on_terminal("positions", filled.path, 100, NO_COLOR="1")


# --- without a daemon ---


def test_every_command_explains_itself() -> None:
    for commands in FILES.values():
        for command in commands:
            ran = holdfast(command, "--help")
            assert ran.code == 0
            assert f"Usage: root {command}" in ran.out or command in ran.out


def test_the_help_lists_all_commands_each_with_a_whole_sentence_in_order() -> None:
    out = holdfast("--help").out
    listed = re.findall(
        r"^  ([a-z-]+)  +[A-Z]\S* .*\.$", out.partition("Commands:")[2], re.MULTILINE
    )

    assert listed == [command for commands in FILES.values() for command in commands]
    assert "..." not in out.partition("Commands:")[2]


def command_lines(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from command_lines(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMON = {"config", "socket", "as_json", "help"}


@pytest.mark.parametrize(
    "line",
    [
        line
        for line, command in command_lines(get_command(build()))
        if {parameter.name for parameter in command.params} - COMMON
    ],
)
def test_a_command_with_arguments_shows_an_example(line: str) -> None:
    out = holdfast(*line.split(), "--help").out

    assert re.search(rf"^  holdfast {line}\b", out, re.MULTILINE)
    assert "..." not in out.replace("]...", "").replace("}...", "").replace("FILE...", "")


def test_the_version_is_printed() -> None:
    ran = holdfast("--version")

    assert ran.code == 0
    assert ran.out.startswith("holdfast ")


MARKET = "market: {source: simulated, symbols: [BTC/USDT]}\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def written(text: str) -> str:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return str(path)

    return written


def test_a_good_configuration_is_fine(write: Callable[[str], str]) -> None:
    path = write(MARKET)

    assert (
        holdfast("config", "check", "--config", path).out
        == f"{path} is fine: 0 traders, 1 symbol\n"
    )
    assert holdfast("config", "check", "--config", path, "--json").json == {"problems": []}


def test_a_bad_configuration_lists_every_line(write: Callable[[str], str]) -> None:
    path = write("market: {source: x, symbols: [BTC/USDT]}\npapr: 1\n")

    ran = holdfast("config", "check", "--config", path)

    assert ran.code == 1
    first, second, error, remedy = ran.err.splitlines()
    assert first.startswith(f"{path}:1: market.source: ")
    assert second == f"{path}:2: papr: unknown key; did you mean 'paper'?"
    assert error == f"error INVALID_CONFIG: {path} cannot be used: 2 problems, see above."
    assert remedy.startswith("→ ")
    as_json = holdfast("config", "check", "--config", path, "--json")
    assert [(one["line"], one["key"]) for one in as_json.json["problems"]] == [
        (1, "market.source"),
        (2, "papr"),
    ]


def test_the_configuration_is_shown_with_defaults_and_without_secrets(
    write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUE_KEY", "hunter2")
    path = write(
        MARKET + "paper: {balance: 1e3}\nsecrets: {key: {env: VENUE_KEY}, word: {file: nowhere}}\n"
    )

    ran = holdfast("config", "show", "--config", path)

    assert "hunter2" not in ran.out
    assert "balance: 1000\n" in ran.out
    assert "taker_fee: 0.0005\n" in ran.out
    shown = holdfast("config", "show", "--config", path, "--json").json["config"]
    assert shown["secrets"] == {
        "key": {"env": "VENUE_KEY", "value": "****"},
        "word": {"file": "nowhere", "value": "missing"},
    }
    assert shown["paper"]["balance"] == "1000"


def test_what_is_shown_can_be_used_as_a_configuration(write: Callable[[str], str]) -> None:
    shipped = (ROOT / "config.yaml").read_text(encoding="utf-8")
    shown = holdfast("config", "show", "--config", write(shipped)).out

    again = holdfast("config", "show", "--config", write(shown)).out

    assert again == shown


def test_strategies_are_listed_with_their_parameters() -> None:
    out = holdfast("strategies").out
    assert out.startswith("ema-cross\n")
    assert re.search(r"^stop_atr +Decimal +2$", out, re.MULTILINE)
    assert re.search(r"^stop_ratio +Decimal \| None +not set$", out, re.MULTILINE)
    names = [one["name"] for one in holdfast("strategies", "--json").json["strategies"]]
    assert names[:2] == ["ema-cross", "donchian-breakout"]


def test_a_recording_cannot_be_run_live(write: Callable[[str], str]) -> None:
    ran = holdfast("run", "--config", write(MARKET.replace("simulated", "recorded")))

    assert ran.code == 1
    assert "error MARKET_IS_RECORDED" in ran.err


def test_a_bad_configuration_is_told_before_the_daemon_starts(write: Callable[[str], str]) -> None:
    ran = holdfast("run", "--config", write("markt: {}\n"))

    assert ran.code == 1
    assert "did you mean 'market'?" in ran.err


@pytest.mark.parametrize("command", ["replay", "serve-recorded"])
def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path: Path, command: str) -> None:
    ran = holdfast(command, str(tmp_path / "nowhere.gz"))

    assert ran.code == 1
    assert "error INVALID_RECORDING" in ran.err


def test_asking_a_daemon_imports_neither_models_nor_tables() -> None:
    code = (
        "import sys; from daemon.cli.program import build; build(['positions']);"
        "print([one for one in ('pydantic', 'rich', 'sqlalchemy', 'asyncio', 'structlog',"
        " 'websockets', 'prometheus_client') if one in sys.modules])"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)

    assert output.stdout == b"[]\n"


def test_starting_imports_nothing_that_arming_does_not_need() -> None:
    code = (
        "import sys; from daemon import foreground; foreground.loaded_for_run(None);"
        "foreground._import_structlog_without_rich(); import daemon.lifecycle;"
        "print([one for one in ('typer', 'rich', 'sqlalchemy', 'alembic', 'websockets', 'aiohttp',"
        " 'textual', 'prometheus_client') if one in sys.modules])"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)

    assert output.stdout == b"[]\n"


def test_amounts_are_exact_in_a_request(ask: Callable[..., Ran], office: Any) -> None:
    request = sent(ask, office, "move-stop", "3f", "0.1234567890123456789")

    assert isinstance(request, MoveStop)
    assert request.price == Decimal("0.1234567890123456789")


def test_a_market_is_one_page_that_says_what_was_not_told(
    ask: Callable[..., Ran], office: Any
) -> None:
    level = {"price": "61838.2", "quantity": "0.016"}
    office.desk.answers[Market] = {
        "market": {
            "symbol": "BTC/USDT",
            "traded": False,
            "source": "fallback",
            "why": "the venue says 61838.5, the stream 61800",
            "is_fresh": False,
            "last": {"price": "61838.5", "age_s": 75.2},
            "bid": {"price": None, "age_s": None},
            "ask": {"price": None, "age_s": None},
            "mark": {"price": "61829.3", "age_s": 0.7},
            "book": {"bids": [level], "asks": [level, level], "at": None},
            "funding": {"rate_pct": "0.01", "next_at": "2026-11-21T16:00:00Z"},
            "open_interest": None,
            "candle": None,
            "failed": {"open_interest": "HTTP 502", "candle": "timed out"},
        }
    }
    ran = ask("market", "btc/usdt", "--depth", "2")

    assert office.desk.asked == [Market(symbol="BTC/USDT", depth=2)]
    assert ran.code == 0
    for line in (
        "symbol    BTC/USDT  (watched, not traded)",
        "last      61,838.50, 1m15s old",
        "funding   0.01 % at 2026-11-21 16:00:00",
        "not told  open interest: HTTP 502",
        "not told  candle: timed out",
    ):
        assert line in ran.out
    assert "FALLBACK" in ran.out
    assert "the venue says 61838.5" in ran.out
    assert not re.search(r"^bid ", ran.out, re.MULTILINE)
    assert "mark      61,829.30, 0.7s old" in ran.out
    assert len(ran.out.partition("Book")[2].strip().splitlines()) == 3


def test_health_names_stale_symbols_and_is_not_well(ask: Callable[..., Ran], office: Any) -> None:
    stale = [{"symbol": f"S{number}/USDT", "why": "HTTP 502"} for number in range(7)]
    office.desk.answers[Health] = {
        "mode": "NORMAL",
        "causes": [],
        "actors": 1,
        "restarts": {},
        "dead_letters": 0,
        "mailboxes": {},
        "feed": {"connected": True, "frames": 1, "bad_frames": 2, "armed_positions": 0,
                 "last_bad_frame": "not JSON: \x1b[31m<html>", "stale": stale, "reads": {}},
        "journal": {"last_seq": 1, "trouble": None, "waiting": 0},
    }  # fmt: skip
    ran = ask("health")

    assert ran.code == 1
    assert "S0/USDT: HTTP 502" in ran.out
    assert "last bad frame" in ran.out
    assert "\x1b[31m" not in ran.out
    assert "and 2 more" in ran.out
    assert "S6/USDT" not in ran.out
