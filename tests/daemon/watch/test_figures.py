"""What the live view writes: columns that leave by their importance, lines for people."""

from decimal import Decimal
from typing import Any

import pytest

from daemon.watch import figures
from daemon.watch.help import KEYS

ROW: dict[str, object] = {
    "id": "53fb6df1-0e7a-4527-a21f-4eee2bdcfd66",
    "trader": "trend",
    "symbol": "BTC/USDT",
    "side": "LONG",
    "status": "open_protected",
    "entry_price": "61948.1",
    "remaining_quantity": "0.004",
    "current_price": "61977.3",
    "price_is_fresh": True,
    "unrealized_pnl": "0.1168",
    "unrealized_pnl_pct": "0.0471",
    "stop": "61276",
    "stop_lives": "client guard",
    "trail_level": "60111.48",
    "stop_distance_pct": "-1.1315",
    "next_target": "63132",
    "target_distance_pct": "1.8631",
    "holding_s": 174.2,
    "is_unprotected": False,
}
SEEN: dict[str, object] = {
    "mode": "NORMAL",
    "causes": [],
    "venue": "paper",
    "account": "paper",
    "uptime_s": 3725.0,
    "feed_connected": True,
    "prices": [
        {"symbol": "BTC/USDT", "age_s": 0.24, "is_fresh": True},
        {"symbol": "ETH/USDT", "age_s": 0.9, "is_fresh": True},
    ],
    "equity": "9997.5",
    "quote": "USDT",
    "day_pnl": "-2.48",
    "day_pnl_pct": "-0.0248",
    "drawdown_pct": "0.1",
    "equity_trail": {"every_s": 1.0, "points": ["9990", "10000", "9995"]},
    "traders": [{"name": "manual", "paused": False}, {"name": "trend", "paused": False}],
}


def cells(**changes: object) -> dict[str, str]:
    row = ROW | changes
    return {each.title: each.text(row) for each in figures.columns([row])}


def titles(room: int) -> list[str]:
    return [each.title for each in figures.fitting(figures.columns([ROW]), [ROW], room, 1)[0]]


def decimals(*numbers: int) -> list[Decimal]:
    return [Decimal(each) for each in numbers]


# --- positions


def test_a_row_has_all_that_one_needs_to_know_of_a_position() -> None:
    assert cells() == {
        "": "  ",
        "ID": "53fb6df1",
        "TRADER": "trend",
        "SYMBOL": "BTC/USDT",
        "SIDE": "LONG",
        "STATUS": "protected",
        "QTY": "0.004",
        "ENTRY": "61,948.10",
        "PRICE": "61,977.30",
        "P&L": "+0.12",
        "P&L %": "+0.05",
        "STOP": "61,276",
        "LIVES": "guard",
        "TRAIL": "60,111.48",
        "TO STOP": "-1.13%",
        "TRACK": "├────●──────┤",
        "TO TGT": "+1.86%",
        "TARGET": "63,132",
        "AGE": "2m54s",
    }


def test_what_nothing_guards_is_marked_in_words_too() -> None:
    bare = cells(
        is_unprotected=True,
        status="open_unprotected",
        stop=None,
        trail_level=None,
        stop_lives="nowhere",
        stop_distance_pct=None,
    )

    assert (bare[""], bare["STATUS"], bare["STOP"], bare["LIVES"], bare["TO STOP"]) == (
        " !",
        "unprotected",
        "NONE",
        "NONE",
        "-",
    )


def test_a_stale_price_is_marked_and_a_missing_one_is_not_made_up() -> None:
    assert cells(price_is_fresh=False)["PRICE"] == "61,977.30?"
    assert cells(current_price=None, price_is_fresh=False, unrealized_pnl=None)["PRICE"] == "-"


@pytest.mark.parametrize(
    ("room", "gone"),
    [
        (200, []),
        (130, ["TRACK", "AGE"]),
        (100, ["TRACK", "AGE", "TRAIL", "QTY", "STATUS"]),
        (78, ["TRACK", "AGE", "TRAIL", "QTY", "STATUS", "TARGET", "TRADER"]),
    ],
)
def test_the_least_important_columns_leave_a_narrow_terminal_first(
    room: int, gone: list[str]
) -> None:
    kept = titles(room)

    every = [each.title for each in figures.columns([ROW])]
    assert kept == [each for each in every if each in kept]  # in their order
    assert set(gone) <= set(every) - set(kept)


def test_what_matters_most_stays_however_narrow_it_is() -> None:
    assert titles(10) == ["", "ID", "SYMBOL", "SIDE", "P&L", "STOP"]


def test_the_track_has_the_price_where_it_is_between_stop_and_target() -> None:
    def track(stop: str | None, goal: str | None) -> str:
        return figures.track({"stop_distance_pct": stop, "target_distance_pct": goal})

    assert track("-1", "1") == "├─────●─────┤"
    assert track("0", "5") == "├●──────────┤"
    assert track("5", "0") == "├──────────●┤"
    assert track(None, "1") == ""


# --- head lines


def test_the_head_says_mode_account_uptime_and_how_old_prices_are() -> None:
    line = figures.headline(SEEN, 80).plain

    assert line.startswith(" ● NORMAL  paper/paper  up 1h02m  ")
    assert line.endswith("  feed connected, 0.2s ")
    assert len(line) == 80


def test_the_head_makes_no_promises_for_a_daemon_that_is_lost() -> None:
    assert figures.headline(SEEN, 80, is_lost=True).plain == " ○ NOT HEARD OF, was NORMAL"


def test_a_feed_that_is_gone_or_stale_is_said_in_words() -> None:
    assert "NOT CONNECTED" in figures.feed(SEEN | {"feed_connected": False}).plain
    prices = [{"symbol": "BTC/USDT", "age_s": 9.0, "is_fresh": False}]
    assert figures.feed(SEEN | {"prices": prices}).plain == "feed connected, 9.0s, 1 STALE "
    assert "no price yet" in figures.feed(SEEN | {"prices": []}).plain


def test_causes_come_with_their_way_out() -> None:
    cause = {"code": "FEED_DOWN", "mode": "NO_ENTRY", "message": "No prices.", "way_out": "Wait."}

    lines = figures.causes({"causes": [cause]})

    assert [each.plain for each in lines] == [" NO_ENTRY No prices. → Wait."]


def test_money_is_one_line_in_a_small_terminal_and_three_in_a_large_one() -> None:
    small = figures.moneylines(SEEN, 80, 1).plain
    large = figures.moneylines(SEEN, 120, 3).plain.splitlines()

    assert small.startswith(" equity 9,997.50 USDT  today -2.48 (-0.02 %)  drawdown 0.10 %")
    assert small.rstrip().endswith("▁█▄") or small.rstrip()[-1] in "▁▂▃▄▅▆▇█"
    assert [line.split()[0] for line in large] == ["equity", "today", "drawdown"]
    assert "10,000.00 " in large[0]  # the highest
    assert "9,990.00 " in large[2]  # the lowest
    assert all(len(line) == 120 for line in large)


def test_a_terminal_too_narrow_for_a_curve_has_the_figures() -> None:
    assert figures.moneylines(SEEN, 60, 1).plain.endswith("drawdown 0.10 %")


def test_bars_go_from_the_lowest_to_the_highest_point() -> None:
    assert figures.bars(decimals(0, 7), 8) == ["▁█"]
    assert figures.bars(decimals(5, 5, 5), 8) == ["▄▄▄"]
    top, bottom = figures.bars(decimals(0, 15), 8, 2)
    assert (top, bottom) == (" █", "▁█")


def test_more_points_than_room_are_thinned_out_but_first_and_last_stay() -> None:
    (line,) = figures.bars(decimals(*range(100)), 10)

    assert len(line) == 10
    assert (line[0], line[-1]) == ("▁", "█")


@pytest.mark.parametrize(
    ("traders", "said"),
    [
        ([], "no open positions; 2 symbols watched, no traders configured"),
        ([("trend", False)], "no open positions; 1 trader watches 2 symbols"),
        ([("trend", False), ("swing", True)], "no open positions; 1 trader watches 2 symbols"),
        ([("trend", False), ("swing", False)], "no open positions; 2 traders watch 2 symbols"),
        ([("trend", True)], "no open positions; every trader is paused (p resumes one)"),
    ],
)
def test_an_empty_table_says_who_watches_what(traders: list[tuple[str, bool]], said: str) -> None:
    rows = [{"name": name, "paused": paused} for name, paused in [("manual", False), *traders]]

    assert figures.nothing_open(SEEN | {"traders": rows}) == said


# --- events and keys


def test_an_event_has_its_time_its_words_and_its_weight() -> None:
    event: dict[str, Any] = {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "warning",
        "event": "alarm",
        "text": "a1 alarm NO_STOP",
        "fields": {},
    }

    assert figures.event_line(event).plain == " 03:04:05  ! a1 alarm NO_STOP"
    assert figures.event_line(event | {"level": "error"}).plain == (
        " 03:04:05  ERROR a1 alarm NO_STOP"
    )


def test_text_from_elsewhere_cannot_move_the_cursor() -> None:
    event = {"time": "2026-01-02T03:04:05Z", "level": "info", "text": "a\x1b[2Jb\nc"}

    assert figures.event_line(event).plain == " 03:04:05  a?[2Jb?c"


def test_keys_leave_by_importance_and_help_and_quit_stay() -> None:
    assert KEYS.fitting(80).plain.split()[0] == "↵"
    assert all(KEYS.fitting(room).cell_len <= room for room in range(20, 130))
    assert KEYS.fitting(20).plain == " ? help   q quit"
