"""The paper venue behind the exchange port: latency, durability, restarts, disk trouble."""

from decimal import Decimal
from itertools import pairwise

import pytest

from domain.order import Fill, OrderStatus
from exchanges.paper import LedgerLockedError, PaperRules, PaperVenue
from exchanges.port import Accepted, NotFound, Refused, Unknown, VenueOrder

D = Decimal
BTC = "BTC/USDT:USDT"


def fills_in(updates):
    return [update for update in updates if isinstance(update, Fill)]


# Prices and latency


def test_without_latency_an_order_gets_the_price_of_the_very_moment_it_is_sent(house):
    house.worker.held = True
    answer = house.submit("buy", "1")
    house.price("200")
    house.worker.release()

    assert isinstance(house.wait(answer), Accepted)
    assert [str(fill.price) for fill in fills_in(house.updates)] == ["100"]


def test_with_latency_an_order_gets_the_price_that_holds_when_it_arrives(open_house):
    house = open_house(latency_low_s=0.1, latency_high_s=0.3)
    sent = house.loop.time()

    answer = house.submit("buy", "1")
    house.price("200")
    house.wait(answer)

    assert 0.1 <= house.loop.time() - sent <= 0.3
    assert [str(fill.price) for fill in house.fills()] == ["200"]


def test_requests_arrive_in_the_order_in_which_they_were_sent(open_house):
    house = open_house(latency_low_s=0.01, latency_high_s=1.0)
    answers = [house.submit("buy", "1", limit="99", id=f"o{number}") for number in range(20)]
    canceled = house.venue.cancel(BTC, "o19")

    accepted = [house.wait(answer).venue_order_id for answer in answers]

    assert accepted == [f"O{number}" for number in range(1, 21)]
    assert isinstance(house.wait(canceled), Accepted)


def test_an_order_on_its_way_is_not_found(open_house):
    house = open_house(latency_low_s=0.1, latency_high_s=0.1)

    answer = house.submit("buy", "1", id="flying")

    assert house.order("flying") == NotFound()
    house.wait(answer)
    assert house.order("flying").status is OrderStatus.FILLED


def test_the_parts_of_a_market_order_come_one_latency_apart(open_house):
    house = open_house(latency_low_s=0.1, latency_high_s=0.1, partial_fill_chance=1.0)

    house.send("buy", "1", id="slow")
    assert house.order("slow").status is OrderStatus.PARTIAL
    house.price("101")
    house.turn(0.25)

    assert house.order("slow").status is OrderStatus.FILLED
    times = [fill.at.timestamp() for fill in fills_in(house.updates)]
    assert all(abs(b - a - 0.1) < 1e-3 for a, b in pairwise(times))
    assert {str(fill.price) for fill in fills_in(house.updates)[1:]} == {"101"}


def test_a_resting_stop_fires_on_the_tick_that_touches_it(house):
    house.send("buy", "1")
    house.send("sell", "1", stop="95", reduce_only=True, id="stop")

    house.price("95.1")
    house.price("94")
    house.turn()

    assert [
        update.status.value if isinstance(update, VenueOrder) else str(update.price)
        for update in house.updates[2:]
    ] == ["open", "triggered", "94", "filled"]


@pytest.mark.parametrize(
    ("side", "limit", "bid", "ask"), [("buy", "99", "98", "98.9"), ("sell", "101", "101.5", "102")]
)
def test_a_quote_fills_a_resting_limit(house, side, limit, bid, ask):
    house.send(side, "1", limit=limit)

    house.venue.on_quote(BTC, "99.5", "100.5", "u1", 0)
    house.venue.on_quote(BTC, bid, ask, "u2", 0)
    house.turn()

    assert [str(fill.price) for fill in fills_in(house.updates)] == [limit]


@pytest.mark.parametrize(
    ("side", "through", "beyond"), [("buy", "99.9", "100.1"), ("sell", "100.1", "99.9")]
)
def test_who_asks_for_the_last_price_waits_in_line_where_the_other_side_wants_more(
    house, side, through, beyond
):
    house.venue.on_quote(BTC, "99.9", "100.1", "u1", 0)

    house.send(side, "1", limit="100", id="waits")
    house.send(side, "1", limit=beyond, id="pays")
    assert house.order("waits").status is OrderStatus.OPEN
    assert house.order("pays").status is OrderStatus.FILLED
    house.price(through)
    house.turn()

    (paid, waited) = fills_in(house.updates)
    assert (paid.client_order_id, paid.maker) == ("pays", False)
    assert (waited.client_order_id, waited.maker, waited.price) == ("waits", True, 100)


@pytest.mark.parametrize(("bid", "ask"), [("99.9", "100"), ("99", "99.9"), ("99.9", "0")])
def test_whom_the_other_side_meets_or_nobody_quotes_gets_the_last_price_at_once(house, bid, ask):
    house.venue.on_quote(BTC, bid, ask, "u1", 0)

    house.send("buy", "1", limit="100", id="pays")

    assert house.order("pays").status is OrderStatus.FILLED


@pytest.mark.parametrize(("side", "price"), [("buy", "105.1"), ("sell", "104.9")])
def test_an_order_at_market_gets_no_price_that_the_market_has_left_without_a_trade(
    house, side, price
):
    house.venue.on_quote(BTC, "104.9", "105.1", "u1", 0)
    house.price("105")  # a sale at the middle: slippage is nothing here
    house.venue.on_quote(BTC, "104.9", "105.1", "u2", 0)

    house.send(side, "0.1")

    assert [str(fill.price) for fill in fills_in(house.updates)] == [price]


def test_a_quote_from_before_the_last_trade_says_nothing_of_the_price_after_it(house):
    house.venue.on_quote(BTC, "104.9", "105.1", "u1", 0)
    house.price("90")

    house.send("buy", "0.1")

    assert [str(fill.price) for fill in fills_in(house.updates)] == ["90"]


def test_what_it_costs_by_the_quotes_must_be_there(open_house):
    house = open_house(starting_balance=D(100))
    house.venue.on_quote(BTC, "104.9", "105.1", "u1", 0)

    assert house.send("buy", "1").code == "INSUFFICIENT_BALANCE"


def test_prices_of_symbols_it_does_not_list_and_mark_prices_are_ignored(house):
    house.send("sell", "1", stop="95")

    house.venue.on_trade("XRP/USDT", "1", "1", "t", 0)
    house.venue.on_quote("XRP/USDT", "1", "1", "u", 0)
    house.venue.on_mark(BTC, "10", 0)
    house.turn()

    assert fills_in(house.updates) == []


def test_the_same_seed_gives_the_same_day_and_another_seed_another(open_house):
    def day(seed):
        house = open_house(slippage_high=D("0.001"), latency_high_s=0.2, partial_fill_chance=0.5)
        house.kill()
        house.seed = seed
        house.path = house.path.with_suffix(f".{seed}.{len(days)}")
        house.restart()
        for number in range(10):
            house.send("buy", "0.5", id=f"o{number}")
        house.turn(1)
        days.append([(fill.price, fill.quantity, fill.trade_id) for fill in house.fills()])
        return days[-1]

    days = []

    assert day(1) == day(1)
    assert day(1) != day(2)


# Commits before it acknowledges


def test_nothing_is_answered_or_pushed_before_the_ledger_holds_it(house):
    house.worker.held = True
    answer = house.submit("buy", "1")
    house.turn(1)
    assert not answer.done()
    assert house.updates == []

    house.worker.work()  # committed, but the venue does not know yet
    house.turn(1)
    assert not answer.done()
    house.kill()


def test_the_answer_comes_when_the_disk_is_done(open_house):
    house = open_house(disk_latency_s=0.01)
    sent = house.loop.time()

    house.send("buy", "1")

    assert abs(house.loop.time() - sent - 0.01) < 1e-6


def test_reads_wait_for_what_they_rest_on(house):
    house.worker.held = True
    house.submit("buy", "1", id="mine")
    reads = [
        house.venue.order(BTC, "mine"),
        house.venue.open_orders(),
        house.venue.balances(),
        house.venue.positions(),
        house.venue.fills(None),
        house.submit("buy", "1", id="mine"),
        house.venue.cancel(BTC, "mine"),
    ]
    house.turn(1)
    assert not any(read.done() for read in reads)

    house.worker.release()
    order, open_orders, _, (position,), (fill,), duplicate, canceled = [
        house.wait(read) for read in reads
    ]

    assert order.status is OrderStatus.FILLED
    assert open_orders == ()
    assert position.quantity == fill.quantity == 1
    assert duplicate.code == "DUPLICATE_ID"
    assert canceled.code == "FILLED"


def test_what_comes_while_a_commit_runs_goes_together_into_the_next(house):
    house.worker.held = True
    answers = [house.submit("buy", "1") for _ in range(20)]

    house.worker.release()
    for answer in answers:
        house.wait(answer)

    assert house.worker.writes == 2


@pytest.mark.parametrize("at_once", [False, True])
def test_what_a_listener_asks_for_comes_after_what_it_is_being_told(house, at_once):
    if at_once:  # a worker that answers before its call returns
        house.worker.call = lambda function, then: then(function())
    told = []

    def ask_again(update):
        told.append(update)
        if len(told) == 1:
            house.submit("sell", "1", id="second")

    house.wait(house.venue.start(ask_again))
    house.send("buy", "1", id="first")
    house.turn()

    ids = [
        update.client_order_id if isinstance(update, Fill) else update.terms.client_order_id
        for update in told
    ]
    assert ids == ["first", "first", "second", "second"]


def test_a_caller_that_gave_up_does_not_disturb_the_venue(house):
    house.worker.held = True
    answer = house.submit("buy", "1", id="mine")
    answer.cancel()
    house.worker.release()

    assert house.order("mine").status is OrderStatus.FILLED


# Killed and started again


def test_killed_before_the_commit_the_order_never_was(house):
    house.worker.held = True
    house.submit("buy", "1", id="lost")

    house.restart()

    assert house.order("lost") == NotFound()
    assert house.cash() == 10_000
    assert house.held() == []


def test_killed_between_commit_and_answer_the_order_stands(house):
    house.worker.held = True
    answer = house.submit("buy", "1", id="mine")
    house.worker.work()
    assert not answer.done()

    house.restart()

    assert house.order("mine").status is OrderStatus.FILLED
    assert [fill.client_order_id for fill in house.fills()] == ["mine"]
    assert house.held() == [(BTC, 1)]


def test_after_a_restart_the_venue_answers_as_before(open_house):
    house = open_house(taker_fee=D("0.0005"))
    house.send("sell", "3", id="short")
    house.send("buy", "2", id="entry")
    house.send("sell", "1", stop="95", reduce_only=True, id="stop")
    house.send("buy", "1", limit="98", leverage=2, id="resting")

    def story():
        reads = (
            house.venue.open_orders(),
            house.venue.fills(None),
            house.venue.balances(),
            house.venue.positions(),
            house.venue.order(BTC, "entry"),
        )
        return [house.wait(read) for read in reads]

    before = story()
    house.restart()

    assert story() == before
    assert house.held() == [(BTC, -3), (BTC, 2)]
    assert house.send("buy", "1", id="entry").code == "DUPLICATE_ID"


def test_resting_orders_rest_again_and_trade_ids_go_on(house):
    house.send("buy", "2")
    house.send("sell", "2", stop="95", reduce_only=True)

    house.restart()
    house.price("94")
    house.turn()

    assert [fill.trade_id for fill in house.fills()] == ["P1", "P2"]
    assert house.held() == []


def test_a_long_and_a_short_of_one_swap_are_told_side_by_side_and_close_apart(house):
    house.send("sell", "2", id="short")
    house.send("buy", "1", id="long")
    assert house.held() == [(BTC, -2), (BTC, 1)]

    house.restart()
    house.price("90")
    house.send("buy", "2", reduce_only=True)
    assert house.held() == [(BTC, 1)]
    assert house.cash() == 10_020

    house.restart()
    house.price("90")
    house.send("sell", "1", reduce_only=True)
    assert house.held() == []
    assert house.cash() == 10_010


def test_a_market_order_cut_off_between_its_parts_is_finished_after_the_restart(open_house):
    house = open_house(latency_low_s=0.1, latency_high_s=0.1, partial_fill_chance=1.0)
    house.send("buy", "1", id="halfway")
    assert house.order("halfway").status is OrderStatus.PARTIAL

    house.restart()
    house.turn()

    assert house.order("halfway").status is OrderStatus.FILLED
    assert house.held() == [(BTC, 1)]


def test_fills_are_told_from_a_moment_on(house):
    house.send("buy", "1")
    house.turn(10)
    since = house.venue._clock.now()
    house.send("sell", "1")

    (fill,) = house.wait(house.venue.fills(since))

    assert fill.side.value == "sell"


# Cancels


def test_a_cancel_is_told_what_became_of_the_order(house):
    house.send("buy", "1", id="filled")
    house.send("buy", "1", limit="99", id="resting")
    house.send("buy", "1", id="more")
    house.send("sell", "2", reduce_only=True, id="flat")
    house.send("sell", "1", stop="90", id="short")
    house.send("buy", "1", limit="101", id="crossed")

    assert house.cancel("filled").code == "FILLED"
    assert isinstance(house.cancel("resting"), Accepted)
    assert house.cancel("resting").code == "ALREADY_CANCELED"
    assert house.cancel("never").code == "NOT_FOUND"
    assert house.cancel("filled", "ETH/USDT").code == "NOT_FOUND"


def test_a_cancel_of_a_rejected_stop_says_so(house):
    house.send("buy", "1")
    house.send("sell", "1", stop="95", reduce_only=True, id="stop")
    house.send("sell", "1", reduce_only=True)
    house.price("95")

    assert house.cancel("stop").code == "REJECTED"
    assert house.order("stop").reason.startswith("REDUCE_ONLY")


def test_an_order_is_found_only_under_its_own_symbol(house):
    house.send("buy", "1", limit="99", id="resting")

    assert house.order("resting", "ETH/USDT") == NotFound()


# The disk fails


def fill_disk(house):
    """No page more fits into the database, as on a full disk."""
    connection = house.venue._ledger._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")


def send_until_unknown(house):
    for number in range(1000):
        answer = house.send("buy", "0.1", id=f"o{number}")
        if not isinstance(answer, Accepted):
            return number, answer
    pytest.fail("the disk never got full")


def test_an_order_the_full_disk_could_not_take_is_unknown_and_never_happened(house):
    fill_disk(house)

    number, answer = send_until_unknown(house)

    assert isinstance(answer, Unknown)
    assert "full" in answer.why
    assert house.order(f"o{number}") == NotFound()
    assert len(house.fills()) == number
    assert house.held() == [(BTC, D("0.1") * number)]
    assert len(fills_in(house.updates)) == number


def test_after_the_trouble_the_venue_goes_on(house):
    fill_disk(house)
    number, _ = send_until_unknown(house)

    answer = house.send("buy", "0.1", id=f"o{number}")  # the new connection has room again

    assert isinstance(answer, Accepted)
    assert house.fills()[-1].trade_id == f"P{number + 1}"


def test_everything_that_rested_on_a_failed_commit_is_unknown(house):
    house.send("buy", "1", limit="99", id="resting")
    house.worker.held = True
    house.venue._ledger._connection.execute("PRAGMA query_only = ON")
    waiting = [
        house.submit("buy", "1", id="first"),
        house.submit("sell", "1", id="second"),
        house.venue.balances(),
        house.venue.fills(None),
        house.venue.cancel(BTC, "resting"),
    ]

    house.worker.release()

    assert all(isinstance(house.wait(answer), Unknown) for answer in waiting)
    assert isinstance(house.order("resting"), VenueOrder)  # not canceled
    assert house.cash() == 10_000


def test_a_stop_whose_commit_failed_rests_again_and_fires_on_the_next_tick(house):
    house.send("buy", "1")
    house.send("sell", "1", stop="95", reduce_only=True, id="stop")
    house.worker.held = True
    connection = house.venue._ledger._connection
    connection.execute("PRAGMA query_only = ON")
    house.price("94")
    house.worker.release()
    house.turn()
    assert house.order("stop").status is OrderStatus.OPEN

    house.price("93")
    house.turn()

    assert [str(fill.price) for fill in house.fills()] == ["100", "93"]


def test_while_the_file_cannot_be_opened_everything_is_unknown_and_then_it_goes_on(house):
    house.send("buy", "1", id="before")
    away = house.path.with_suffix(".away")
    house.path.rename(away)
    house.venue._ledger._connection.execute("PRAGMA query_only = ON")

    assert isinstance(house.send("buy", "1", id="lost"), Unknown)
    assert isinstance(house.order("before"), Unknown)
    assert isinstance(house.cancel("before"), Unknown)
    assert isinstance(house.wait(house.venue.balances()), Unknown)
    house.price("90")
    assert not house.path.exists()  # no new account in place of the lost one

    away.rename(house.path)
    house.wait(house.venue.balances())  # the venue tries again
    house.turn()
    assert house.order("before").status is OrderStatus.FILLED


def test_a_failed_read_is_unknown_not_empty(house):
    house.venue._ledger._connection.execute("DROP TABLE fills")

    answer = house.wait(house.venue.fills(None))

    assert isinstance(answer, Unknown)
    assert "could not be read" in answer.why


def test_a_bug_in_writing_is_raised_and_nobody_is_left_waiting(house, monkeypatch):
    raised = []
    house.loop.set_exception_handler(lambda _loop, context: raised.append(context["exception"]))
    monkeypatch.setattr(house.venue._ledger, "write", lambda changes: 1 // 0)

    assert isinstance(house.send("buy", "1"), Unknown)

    assert isinstance(raised[0], ZeroDivisionError)


# Opening and closing


def test_before_the_start_nothing_is_known(house):
    house.kill()
    house.build()

    assert isinstance(house.send("buy", "1"), Unknown)
    assert isinstance(house.wait(house.venue.open_orders()), Unknown)


def test_closing_commits_what_is_under_way_and_opens_the_file_to_others(house):
    house.worker.held = True
    answer = house.submit("buy", "1", id="mine")
    house.worker.held = False
    house.loop.call_soon(house.worker.release)

    house.wait(house.venue.close())
    assert isinstance(house.wait(answer), Accepted)
    house.build()
    house.start()

    assert house.order("mine").status is OrderStatus.FILLED


def test_what_was_still_on_its_way_when_the_venue_closed_never_arrives(open_house):
    house = open_house(latency_low_s=0.1, latency_high_s=0.1)
    answer = house.submit("buy", "1", id="flying")

    house.wait(house.venue.close())
    assert isinstance(answer.result(), Unknown)
    house.turn(1)

    house.build()
    house.start()
    assert house.order("flying") == NotFound()


def test_a_closed_venue_takes_nothing_and_closes_twice(house):
    house.wait(house.venue.close())
    house.wait(house.venue.close())

    assert isinstance(house.send("buy", "1"), Unknown)
    assert isinstance(house.wait(house.venue.fills(None)), Unknown)
    house.venue = None


def test_two_venues_on_one_file_is_an_error(house):
    other = PaperVenue(
        house.venue._clock,
        house.venue._draws._chance,
        house.worker,
        house.loop,
        ledger_path=house.path,
        instruments=house.venue.instruments(),
        rules=house.rules,
    )

    with pytest.raises(LedgerLockedError):
        house.wait(other.start(print))
    house.wait(other.close())

    assert house.cash() == 10_000


def test_starting_again_only_changes_who_is_told(house):
    others = []
    house.wait(house.venue.start(others.append))

    house.send("buy", "1")

    assert house.updates == []
    assert len(others) == 2


def test_started_again_while_it_opens_it_opens_once_though_the_first_to_ask_is_gone(house):
    house.kill()
    house.build()
    house.worker.held = True
    first = house.loop.create_task(house.venue.start(print))
    house.turn()
    first.cancel()
    second = house.loop.create_task(house.venue.start(house.updates.append))
    house.turn()
    house.worker.release()
    house.wait(second)
    house.price("100")

    assert isinstance(house.send("buy", "1"), Accepted)
    assert len(fills_in(house.updates)) == 1


def test_a_start_that_failed_may_be_tried_again(open_house):
    house = open_house()
    lock = house.venue._ledger
    house.build()
    with pytest.raises(LedgerLockedError):
        house.wait(house.venue.start(house.updates.append))
    lock.close()

    house.start()

    assert isinstance(house.send("buy", "1"), Accepted)


def test_an_instrument_quoted_in_something_else_is_a_mistake(house):
    house.rules = PaperRules(quote_asset="EUR")

    with pytest.raises(ValueError, match="EUR"):
        house.__class__.build(house)


@pytest.mark.parametrize(
    "wrong",
    [
        {"slippage_low": D("0.002")},
        {"slippage_high": D(1)},
        {"latency_low_s": 0.2, "latency_high_s": 0.1},
        {"latency_high_s": float("inf")},
        {"partial_fill_chance": 1.5},
        {"reject_chance": -0.1},
        {"starting_balance": D(0)},
        {"taker_fee": D(2)},
    ],
)
def test_rules_out_of_range_are_named(wrong):
    with pytest.raises(ValueError):
        PaperRules(**wrong)


def test_refusals_are_values_with_a_code_and_numbers(house):
    refused = house.send("buy", "0.001")

    assert refused == Refused("BELOW_MIN_NOTIONAL", "notional 0.1 of BTC/USDT:USDT is below 5")
