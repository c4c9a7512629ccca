"""Positions, orders and accounts as JSON: complete, exact, and honest about what is not known."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from daemon.position_views import (
    NOTHING_SEEN,
    Seen,
    closed_row_view,
    position_row,
    position_view,
    watched_row,
    where_stop_lives,
)
from daemon.view_text import jsonable
from daemon.views import (
    Quote,
    mode_view,
    order_view,
    portfolio_view,
    status_view,
    story_row,
    trader_view,
)
from domain.commands import ModificationType, ModifyProtection, RequestedBy, SizeBy
from domain.ids import AccountName, Symbol, TraderName
from domain.instrument import Direction, Side
from domain.modes import Mode, ModeCause
from domain.money import Fee
from domain.order import Order, OrderIntended, OrderStatus, OrderTerms, OrderType
from domain.order import evolve as order_after
from domain.performance import TradeRecord
from domain.portfolio_state import Portfolio, Reservation, SymbolBook
from domain.position import Position
from domain.risk import AccountLimits
from domain.trader_state import DecisionMade, Trader, TraderSettings
from storage.projections import position_rows
from storage.read_tables import Change, Step
from tests.builders import ACCOUNT, BTC, NOW, D, Life, opened, plan, swap


def seen(price: str, **others: object) -> Seen:
    return Seen(price=D(price), is_fresh=True, **others)  # type: ignore[arg-type]


def view(position: Position, at: Seen = NOTHING_SEEN) -> dict[str, object]:
    shown = position_view(position, at, NOW + timedelta(seconds=60), venue="paper")
    assert json.loads(json.dumps(shown)) == shown  # plain JSON values only
    return shown


def test_a_position_shows_its_gain_and_where_its_stop_lives() -> None:
    life = opened("2", at="100", protection=plan("90", [("110", "0.5"), ("120", "0.5")]))

    row = position_row(life.p, seen("103.5"), NOW + timedelta(seconds=60))

    assert row["side"] == "LONG"
    assert (row["entry_price"], row["remaining_quantity"]) == ("100", "2")
    assert (row["unrealized_pnl"], row["unrealized_pnl_pct"]) == ("7", "3.5")
    assert (row["stop"], row["stop_lives"]) == ("90", "client guard")
    assert row["targets"] == ["110", "120"]
    assert row["holding_s"] == 60
    assert row["closed_at"] is None


def test_a_short_gains_when_the_price_falls() -> None:
    life = opened("1", "100", plan("110"), Direction.SHORT)

    row = position_row(life.p, seen("97"), NOW)

    assert (row["side"], row["unrealized_pnl"], row["unrealized_pnl_pct"]) == ("SHORT", "3", "3")


def test_distances_say_how_far_the_price_has_to_go() -> None:
    life = opened("1", at="100", protection=plan("90", [("125", "1")]))

    protection = view(life.p, seen("100"))["protection"]

    assert isinstance(protection, dict)
    assert protection["stop"] == {
        "price": "90",
        "watches": "last",
        "lives": "client guard",
        "distance": "-10",
        "distance_pct": "-10",
    }
    target = protection["targets"][0]
    assert (target["id"], target["part_pct"], target["distance_pct"]) == ("target-1", "100", "25")


def test_the_live_row_has_the_nearest_level_on_either_side() -> None:
    rules = plan("90", [("125", "0.5"), ("110", "0.5")], trail_ratio=D("0.05"))
    life = opened("1", at="100", protection=rules)

    row = watched_row(life.p, seen("100", trail_best=D("102")), NOW)

    assert (row["stop_distance_pct"], row["trail_level"]) == ("-3.1", "96.9")  # the trail is nearer
    assert (row["next_target"], row["target_distance_pct"]) == ("110", "10")
    assert row["is_unprotected"] is False


def test_the_live_row_of_what_nothing_guards_says_so() -> None:
    row = watched_row(opened("1", at="100", protection=plan(None)).p, NOTHING_SEEN, NOW)

    assert row["is_unprotected"] is True
    assert (row["stop_distance_pct"], row["next_target"]) == (None, None)


def test_without_a_price_nothing_is_made_up() -> None:
    shown = view(opened("1", at="100").p)

    assert shown["current_price"] is None
    assert shown["unrealized_pnl"] is None
    assert shown["protection"]["stop"]["distance"] is None  # type: ignore[index]


def test_a_trail_shows_the_level_that_follows_the_best_price() -> None:
    life = opened("1", at="100", protection=plan(None, trail_ratio=D("0.02")))

    protection = view(life.p, seen("108", trail_best=D(110)))["protection"]

    assert isinstance(protection, dict)
    assert protection["trail"]["best"] == "110"
    assert protection["trail"]["level"] == "107.8"
    assert protection["stop"] is None
    assert where_stop_lives(life.p) == "client guard"


def test_the_range_since_the_entry_comes_from_the_feed_and_the_present() -> None:
    life = opened("2", at="100")

    shown = view(life.p, seen("111", low=D(95), high=D(110)))

    assert (shown["best_price"], shown["worst_price"]) == ("111", "95")
    assert (shown["max_unrealized_pnl"], shown["min_unrealized_pnl"]) == ("22", "-10")


def test_an_entry_under_way_has_no_price_and_no_guard_yet() -> None:
    shown = view(Life().begin("1").p, seen("100"))

    assert shown["status"] == "entry_pending"
    assert shown["entry_price"] is None
    assert shown["stop_lives"] == "nowhere"
    assert shown["holding_s"] is None


def test_a_closed_position_keeps_fills_exits_reason_and_trigger() -> None:
    life = opened("1", at="100", protection=plan("90")).after(30)
    life.cross("stop", "89.5").fill_exit(at="89", fee="0.05")

    shown = view(life.p, seen("50"))

    assert shown["exit_reason"] == "STOP_LOSS"
    assert shown["current_price"] is None
    assert shown["realized_pnl"] == "-11.05"
    assert shown["holding_s"] == 30
    assert [fill["side"] for fill in shown["fills"]] == ["buy", "sell"]  # type: ignore[attr-defined]
    exit_ = shown["exits"][0]  # type: ignore[index]
    assert (exit_["reason"], exit_["trigger"]["price"], exit_["trigger"]["frame"]) == (
        "STOP_LOSS",
        "89.5",
        7,
    )
    assert shown["stop_lives"] == "nowhere"


def test_a_target_that_fired_shows_its_order_and_fill() -> None:
    life = opened("2", at="100", protection=plan("90", [("110", "0.5"), ("120", "0.5")])).after(5)
    life.cross("target-1", "110").fill_exit(at="110")

    first, second = view(life.p, seen("111"))["protection"]["targets"]  # type: ignore[index]

    assert (first["fired"], first["filled"], first["distance"]) == (True, "1", None)
    assert first["order"] == life.last_exit().terms.client_order_id
    assert first["filled_at"].endswith("Z")
    assert (second["fired"], second["filled_at"], second["distance"]) == (False, None, "9")


def test_a_target_that_left_in_several_orders_shows_what_all_of_them_sell() -> None:
    instrument = replace(swap(), max_market=Decimal("0.2"))
    life = opened("1", "100", plan("90", [("110", "0.6"), ("120", "0.4")]), instrument=instrument)
    life.cross("target-1", "110").fill_exit(at="110")

    first, second = view(life.p, seen("111"))["protection"]["targets"]  # type: ignore[index]

    assert (first["quantity"], first["filled"]) == ("0.6", "0.2")
    assert first["order"] == life.last_exit().terms.client_order_id
    assert (second["quantity"], second["filled"]) == (None, "0")


def test_changes_show_before_after_and_who_asked() -> None:
    life = opened("1", at="100", protection=plan("90"))
    life.tell(
        ModifyProtection(
            life.p.id,
            ModificationType.MOVE_SL,
            price=D("95"),
            requested_by=RequestedBy.USER_MANUAL,
            reason="tighter",
        )
    )

    shown = view(life.p)
    change = shown["modifications"][0]  # type: ignore[index]

    assert shown["modification_count"] == 1
    assert (change["type"], change["requested_by"]) == ("MOVE_SL", "USER_MANUAL")
    assert (change["previous"]["stop"], change["new"]["stop"]) == ("90", "95")
    assert change["success"]
    assert shown["initial_stop"] == "90"


def test_averages_are_printed_to_eight_decimals_and_set_prices_exactly() -> None:
    life = Life().begin("3", plan("0.000000001"))
    life.fill("1", "1").fill("2", "2")

    row = position_row(life.p, NOTHING_SEEN, NOW)

    assert row["entry_price"] == "1.66666667"


def test_money_that_was_booked_is_told_to_the_last_digit() -> None:
    life = opened("1", at="100", protection=plan("90")).after(30)
    life.cross("stop", "89.5").fill_exit(at="89", fee="0.000123456789")

    shown = view(life.p, NOTHING_SEEN)

    assert shown["fees"] == "0.000123456789"
    assert shown["realized_pnl"] == "-11.000123456789"


def an_order(**changes: object) -> Order:
    fields: dict[str, object] = {
        "client_order_id": "c1",
        "position_id": "p1",
        "symbol": BTC,
        "side": Side.SELL,
        "type": OrderType.MARKET,
        "quantity": D("1.50"),
        "reduce_only": True,
    }
    return order_after(None, OrderIntended(OrderTerms(**{**fields, **changes}), NOW))  # type: ignore[arg-type]


def test_an_order_shows_terms_and_state() -> None:
    shown = order_view(an_order())

    assert (shown["quantity"], shown["filled"], shown["average_price"]) == ("1.5", "0", None)
    assert (shown["side"], shown["type"], shown["status"]) == ("sell", "market", "intent")
    assert shown["intended_at"] == "2026-01-02T03:04:05Z"


def a_portfolio() -> Portfolio:
    return Portfolio(
        account=AccountName(ACCOUNT),
        quote="USDT",
        balance=D(10_000),
        high_water_mark=D(10_000),
        day=NOW.date(),
        day_start_equity=D(9_900),
        marked_at=NOW,
        books={BTC: SymbolBook(D(1), D(100), D(1), D(100))},
        margin=D(50),
        reserved=D(20),
        reservations={"c9": Reservation("p9", D(1), D(20), D(20))},  # type: ignore[dict-item]
        causes=(ModeCause("OPERATOR_STOP", Mode.NO_ENTRY, "Stopped.", "Resume."),),
    )


def test_an_account_shows_money_limits_and_why_it_may_not_trade() -> None:
    stale = ModeCause("FEED_DOWN", Mode.NO_ENTRY, "Down.", "Wait.")

    shown = portfolio_view(a_portfolio(), {BTC: D("60")}, AccountLimits(), [stale])

    assert (shown["equity"], shown["unrealized_pnl"]) == ("9960", "-40")
    assert (shown["drawdown_pct"], shown["daily_drawdown_pct"]) == ("0.4", "0")
    assert (shown["available"], shown["exposure"]) == ("9890", "60")
    assert shown["mode"] == "NO_ENTRY"
    assert [cause["code"] for cause in shown["causes"]] == ["OPERATOR_STOP", "FEED_DOWN"]  # type: ignore[attr-defined]
    assert shown["reservations"] == [{"client_order_id": "c9", "position_id": "p9", "amount": "20"}]
    assert shown["limits"]["total_drawdown_pct"] == "20"  # type: ignore[index]
    json.dumps(shown)


def test_the_mode_is_the_worst_of_its_causes() -> None:
    full = ModeCause("DISK_FULL", Mode.PROTECT_ONLY, "Full.", "Make room.")

    assert mode_view([])["mode"] == "NORMAL"
    assert mode_view([full, *a_portfolio().causes])["mode"] == "PROTECT_ONLY"


def test_a_trader_shows_what_it_did_and_what_came_of_it() -> None:
    settings = TraderSettings(
        TraderName("trend"), (BTC,), "5s", SizeBy.NOTIONAL, D(400), strategy="ema-cross"
    )
    decision = DecisionMade("d1", None, BTC, "LONG", D(1), "crossed", D(100), None, NOW)  # type: ignore[arg-type]
    state = Trader(paused=True, evaluations=9, decisions=1, last_decision=decision)
    record = TradeRecord(wins=1, losses=3, won=D(9), lost=D(4))

    shown = trader_view(settings, state, record, open_positions=2, unrealized_pnl=D("1.5"))

    assert (shown["paused"], shown["open_positions"], shown["max_positions"]) == (True, 2, 3)
    assert (shown["realized_pnl"], shown["win_rate_pct"]) == ("5", "25")
    assert shown["last_decision"]["rationale"] == "crossed"  # type: ignore[index]
    json.dumps(shown)


def test_a_trader_that_did_nothing_yet_has_no_win_rate() -> None:
    shown = trader_view(TraderSettings(TraderName("manual"), (BTC,)), None, None, open_positions=0)

    assert shown["win_rate_pct"] is None
    assert shown["strategy"] is None
    assert shown["last_decision"] is None


def test_the_status_counts_what_needs_a_look() -> None:
    unguarded = Life().begin("1").fill("1", "100")
    shown = status_view(
        version="1",
        pid=7,
        started_at=NOW,
        now=NOW + timedelta(seconds=5),
        market_source="binance",
        venue={
            "venue": "paper",
            "environment": "paper",
            "account": "paper",
            "quarantined": {},
            "link": None,
        },
        connected=True,
        quotes=[Quote(Symbol("BTC/USDT"), "100", None, None, None, 0.1, is_fresh=True)],
        account=portfolio_view(a_portfolio(), {}, AccountLimits()),
        positions=[opened("1").p, unguarded.p],
        orders=[an_order()],
        traders=[],
    )

    assert (shown["positions_open"], shown["positions_unprotected"]) == (2, 1)
    assert (shown["orders_working"], shown["orders_unknown"]) == (1, 0)
    assert shown["uptime_s"] == 5
    json.dumps(shown)


def test_a_story_row_is_plain_json() -> None:
    event = opened("1").events[0]

    row = story_row(3, NOW, "position/x", event)  # type: ignore[arg-type]

    assert (row["seq"], row["event"], row["time"]) == (
        3,
        "PositionIntended",
        "2026-01-02T03:04:05Z",
    )
    json.dumps(row)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), "NaN"),
        (NOW, "2026-01-02T03:04:05Z"),
        (OrderStatus.OPEN, "open"),
        (Fee(Decimal("0.10"), "USDT"), {"amount": "0.1", "asset": "USDT"}),
        ((1, None, True), [1, None, True]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({Side.BUY: D(1)}, {"buy": "1"}),
        (b"x", "b'x'"),
    ],
)
def test_any_domain_value_becomes_plain_json(value: object, expected: object) -> None:
    assert jsonable(value) == expected


def test_a_closed_position_whose_events_are_archived_has_the_same_keys() -> None:
    life = opened("1", "100", plan("90"))
    life.cross("stop", "89").fill_exit(at="89")
    (_, row) = position_rows(Change(life.p.id, [Step(1, 1, life.events[-1], life.p)]))

    view = closed_row_view(row)
    whole = position_row(life.p, NOTHING_SEEN, NOW)

    assert list(view) == list(whole)
    lost = {"stop", "protection_version", "entry_requested"}
    assert {key: view[key] for key in view if key not in lost} == {
        key: whole[key] for key in whole if key not in lost
    }
    assert view["exit_reason"] == "STOP_LOSS"
