"""What a person reads: log lines and stories say in words what happened, and fit the terminal."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest

from daemon.cli.story import print_story
from daemon.log_formats import ConsoleLines, Line
from daemon.log_words import PHRASES, in_words
from daemon.views import story_row
from daemon.words import alike, plural, short_number, spoken
from domain.candles import Candle, Timeframe
from domain.commands import ModificationType, RequestedBy
from domain.ids import client_order_id
from domain.inputs import BeginAddition, Offline, OrderEnded
from domain.instrument import PriceSource, Side
from domain.limit_changes import AccountOverrides, TraderOverrides
from domain.modes import operator_stop
from domain.order import AnyOrderEvent, OrderAccepted, OrderFilled, OrderSent, OrderStatus
from domain.portfolio_events import (
    AccountLimitsChanged,
    EntriesResumed,
    EntriesStopped,
    KillSwitchReset,
    KillSwitchTripped,
)
from domain.position import NO_PROTECTION, Modification, PositionStatus, Validation
from domain.position_events import (
    AnyPositionEvent,
    ModificationRefused,
    PositionClosed,
    PositionFilled,
    PositionSettled,
)
from domain.protection import ExitReason
from domain.risk import AccountLimits, TraderLimits
from domain.trader_state import TraderLimitsChanged
from tests.builders import ACCOUNT, BTC, NOW, D, a_fill, opened, plan

ROOT = Path(__file__).parent.parent.parent
SAID = re.compile(r"\b_?log\.(?:debug|info|warning|error|critical)\(\s*\"(\w+)\"")
NOT_FOR_PEOPLE = {
    # bugs: with a traceback, which says more than words
    "admin_connection_failed",
    "admin_command_failed",
    "metrics_failed",
    "upkeep_failed",
    "loop_blocked",
    "message_not_sent",
}


def line(event: str, level: str = "info", exception: str = "", **fields: object) -> Line:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Line(level, "system", event, fields, at, exception)


# --- log lines ---


def test_every_event_that_is_logged_has_a_phrase() -> None:
    logged: set[str] = set()
    for package in ("actors", "daemon", "exchanges", "runtime", "storage"):
        for file in (ROOT / package).rglob("*.py"):
            logged |= set(SAID.findall(file.read_text()))

    assert len(logged) > 30
    assert logged - PHRASES.keys() - NOT_FOR_PEOPLE == set()


@pytest.mark.parametrize("event", PHRASES)
def test_a_phrase_without_its_fields_is_still_a_line(event: str) -> None:
    names = [name for _, name, _, _ in Formatter().parse(PHRASES[event]) if name]

    assert in_words(event, {})
    assert "\n" not in in_words(event, dict.fromkeys(names, "x"))


def test_a_line_is_the_time_and_what_happened_in_words() -> None:
    filled = line(
        "position_filled",
        position_id="0f2a91c0-1111-2222",
        exit_id="stop",
        side="sell",
        symbol="BTC/USDT",
        quantity="0.0040",
        price="61857.20",
        client_order_id="vU2a7pP2iBAq6crMJDOcTqAIE000000",
    )

    assert ConsoleLines(colors=False).render(filled) == (
        "03:04:05  0f2a91c0 sold 0.004 BTC/USDT at 61,857.20 (stop)"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stops": 1}, "offline 10m34s, 5 positions restored, 1 stop crossed"),
        (
            {"stops": 2, "targets": 1, "trails": 0},
            "offline 10m34s, 5 positions restored, 2 stops and 1 target crossed",
        ),
        ({}, "offline 10m34s, 5 positions restored, nothing crossed"),
        (
            {"unchecked": {"BTC/USDT": "HTTP 502", "ETH/USDT": "HTTP 502"}},
            "offline 10m34s, 5 positions restored; BTC/USDT, ETH/USDT not checked: HTTP 502",
        ),
        (
            {"trails": 1, "unchecked": {"BTC/USDT": "timed out"}},
            (
                "offline 10m34s, 5 positions restored, 1 trailing stop crossed;"
                " BTC/USDT not checked: timed out"
            ),
        ),
    ],
)
def test_a_downtime_is_one_line_that_leaves_out_what_did_not_happen(
    fields: dict[str, object], words: str
) -> None:
    always = {"offline_s": 634.2, "positions": 5, "unchecked": {}}

    assert in_words("downtime_checked", always | fields) == words


def test_what_is_wrong_is_marked() -> None:
    low = line("disk_low", "error", free_mb=3, needed_mb=64)

    assert ConsoleLines(colors=False).render(low) == (
        "03:04:05  ERROR: 3 MB of disk are free, 64 MB are needed: exits only"
    )
    assert "\x1b[1m\x1b[31mERROR: \x1b[0m3 MB" in ConsoleLines(colors=True).render(low)


def test_a_command_is_shown_as_it_was_asked() -> None:
    request = {
        "command": "open",
        "symbol": "BTC/USDT",
        "targets": [{"price": "62000", "part": "0.5"}, {"price": "63000", "part": "0.5"}],
    }

    assert in_words("admin_request", {"command": "open", "request": request}) == (
        "asked: open symbol=BTC/USDT targets=62000:0.5,63000:0.5"
    )


def test_causes_of_a_mode_are_named_when_there_are_any() -> None:
    change = {"mode": "NO_ENTRY", "was": "NORMAL", "causes": ["STALE", "DRAWDOWN"]}

    assert in_words("mode", change) == "mode NO_ENTRY, was NORMAL: STALE, DRAWDOWN"
    assert in_words("mode", change | {"causes": []}) == "mode NO_ENTRY, was NORMAL"


def test_a_reload_names_what_it_took_and_what_waits() -> None:
    nothing: dict[str, list[str]] = {"applied": [], "needs_restart": [], "overridden": []}
    line = nothing | {
        "applied": ["limits.max_positions", "log.level"],
        "needs_restart": ["market.seed"],
    }

    assert in_words("reloaded", line) == (
        "configuration read again: limits.max_positions, log.level in force;"
        " market.seed not before a restart"
    )
    assert in_words("reloaded", nothing) == (
        "configuration read again: nothing to apply; nothing waits"
    )
    assert in_words("reloaded", nothing | {"overridden": ["limits.max_leverage"]}) == (
        "configuration read again: nothing to apply; nothing waits;"
        " limits.max_leverage overridden by set-limits"
    )
    refused = {"problems": ["config.yaml:3: limitz: unknown key", "config.yaml:5: log: no"]}
    assert in_words("reload_refused", refused) == (
        "configuration not taken, what is in force stays: config.yaml:3: limitz: unknown key;"
        " config.yaml:5: log: no"
    )


def test_long_lines_are_folded_to_the_terminal_below_their_first_word() -> None:
    text = " ".join(["word"] * 30)
    lines = ConsoleLines(colors=False, width=lambda: 60).render(line(text)).split("\n")

    assert all(len(one) <= 60 for one in lines)
    assert all(one.startswith(" " * 10 + "word") for one in lines[1:])
    assert " ".join(one[10:] for one in lines) == text


def test_a_path_is_never_broken() -> None:
    path = "/a" * 60

    assert path in ConsoleLines(colors=False, width=lambda: 60).render(line("x", path=path))


@pytest.mark.parametrize("width", [0, 5, 39])
def test_where_there_is_no_width_lines_are_left_alone(width: int) -> None:
    text = "word " * 40 + "end"

    assert "\n" not in ConsoleLines(colors=False, width=lambda: width).render(line(text))


# --- figures and codes ---


@pytest.mark.parametrize(
    ("value", "shown"),
    [("61857.20", "61,857.20"), ("1500", "1,500"), ("100", "100"), ("1.50", "1.5"),
     ("0.000123456789", "0.000123457"), ("0", "0"), (None, "-"), ("text", "text"), (True, "True")],
)  # fmt: skip
def test_a_number_is_short(value: object, shown: str) -> None:
    assert short_number(value) == shown


def test_prices_of_one_symbol_have_as_many_decimals() -> None:
    shown = alike("154.6", "154.62", "62", None)

    assert [shown(value) for value in ("154.6", "154.62", "62", None)] == [
        "154.60",
        "154.62",
        "62.00",
        "-",
    ]
    assert alike("60000", "61000")("60000") == "60,000"


def test_one_position_is_no_positions() -> None:
    assert [plural(count, "position") for count in (0, 1, "1", 2)] == [
        "0 positions", "1 position", "1 position", "2 positions",
    ]  # fmt: skip


def test_a_code_is_spoken() -> None:
    assert spoken("STOP_LOSS") == "stop loss"


# --- stories ---


def story(capsys: pytest.CaptureFixture[str], *events: Any) -> list[str]:
    print_story([story_row(seq, NOW, "position/x", event) for seq, event in enumerate(events)])
    return [each.partition("  ")[2] for each in capsys.readouterr().out.splitlines() if each][2:]


def test_a_story_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    life = opened("1", "100", plan("90", [("110", "0.5"), ("120", "0.5")]))

    told = story(capsys, *life.events)

    assert told[0].startswith("manual opens long 1 BTC/USDT at market, leverage 1")
    assert any(each.startswith("bought 1 at 100, fee") for each in told)
    assert "protection 1: stop 90, target-1 110 for 50 %, target-2 120 for 50 %" in told


def test_an_addition_is_told_apart_from_the_entry(capsys: pytest.CaptureFixture[str]) -> None:
    life = opened("1", "100")
    order_id = client_order_id(ACCOUNT, life.p.id, "entry-1", 0)
    began = len(life.events)
    life.tell(BeginAddition(life.p.id, order_id, D("0.5"), D(99), NOW, rationale="it fell"))
    life.tell(OrderEnded(life.p.id, order_id, OrderStatus.CANCELED, ""))

    assert story(capsys, *life.events[began:]) == [
        "a person adds 0.5 at 99 or better: it fell",
        "addition 1 is canceled",
    ]


def test_what_people_did_to_a_trader_and_the_account_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    limits = TraderLimits()
    told = story(
        capsys,
        TraderLimitsChanged(
            TraderOverrides(max_positions=1, max_risk_ratio=D("0.005")),
            limits,
            TraderLimits(max_positions=1, max_risk_ratio=D("0.005")),
            "uid 7",
            NOW,
        ),
        TraderLimitsChanged(TraderOverrides(), TraderLimits(max_positions=1), limits, "uid 7", NOW),
        AccountLimitsChanged(
            AccountOverrides(daily_loss_cap=D(500)),
            AccountLimits(),
            AccountLimits(daily_loss_cap=D(500)),
            "uid 7",
            NOW,
        ),
        KillSwitchTripped(D("0.21"), D("0.2"), D(7900), NOW),
        KillSwitchReset("uid 7", D(7900), NOW),
        EntriesStopped(operator_stop("uid 7"), NOW),
        EntriesResumed("OPERATOR_STOP", "uid 7", NOW),
    )

    assert told == [
        "uid 7 sets limits: max positions 3 → 1, max risk 2 % → 0.5 %",
        "uid 7 sets limits: max positions 1 → 3, all as configured",
        "uid 7 sets limits: daily loss cap none → 500",
        "kill switch: equity 7,900, 21 % below its peak, the limit is 20 %; everything is closed",
        "uid 7 resets the kill switch; drawdown counts from 7,900",
        "entries stop (OPERATOR_STOP): Entries stopped by uid 7.",
        "uid 7 takes OPERATOR_STOP back",
    ]


def test_a_story_says_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    fill = a_fill("1", "100", Side.BUY, "o1")

    told = story(
        capsys,
        OrderSent(NOW),
        OrderFilled(fill),
        OrderAccepted("O1", NOW),  # type: ignore[arg-type]
        PositionFilled(fill),
        PositionSettled(NOW),
    )

    assert len(told) == 1


def test_a_fill_that_no_position_has_booked_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(story(capsys, OrderFilled(a_fill("1", "100", Side.BUY, "o1")))) == 1


def test_a_story_ends_with_the_reason_and_the_money(capsys: pytest.CaptureFixture[str]) -> None:
    closed = PositionClosed(
        PositionStatus.CLOSED, ExitReason.STOP_LOSS, D("-1.7434"), D("0.264"), D(0), NOW
    )

    assert story(capsys, closed) == ["closed, stop loss: realized -1.74, fees 0.264"]


def test_a_refused_change_says_who_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    refused = Modification(
        ModificationType.MOVE_SL,
        RequestedBy.USER_MANUAL,
        "",
        NO_PROTECTION,
        NO_PROTECTION,
        Validation(errors=("WOULD_WIDEN",)),
        NOW,
        "WOULD_WIDEN",
    )

    assert story(capsys, ModificationRefused(refused)) == [
        "a person may not move the stop: would widen"
    ]


def test_a_story_tells_what_candles_showed_of_a_downtime(
    capsys: pytest.CaptureFixture[str],
) -> None:
    life = opened(protection=plan("90", [("110", "0.5")]))
    at_ms = (int(NOW.timestamp() * 1000) // 60_000 + 1) * 60_000
    prices = (D(100), D(101), D(85), D(99))
    one = Candle(BTC, Timeframe(60_000), at_ms, *prices, volume=D(1), trades=1)
    until = NOW + timedelta(minutes=10)
    candles = {PriceSource.LAST: (one,)}
    life.tell(Offline(life.p.id, NOW, until, timedelta(), candles, frame=0))
    print_story([story_row(n, NOW, "position/x", each) for n, each in enumerate(life.events[-2:])])
    out = " ".join(capsys.readouterr().out.split())

    assert "by 1 candle, stop crossed" in out
    assert "while down, the 1m candle of 2026-01-02T03:05:00Z (last) reached 85, beyond 90" in out


@pytest.mark.parametrize(
    "event", [*get_args(AnyPositionEvent), *get_args(AnyOrderEvent)], ids=lambda kind: kind.__name__
)
def test_every_event_of_a_position_can_be_told(
    capsys: pytest.CaptureFixture[str], event: type[Any]
) -> None:
    print_story([{"seq": 1, "time": "2026-01-02T03:04:05Z", "event": event.__name__, "fields": {}}])

    assert capsys.readouterr().out
