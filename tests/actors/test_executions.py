"""The audit of attempts: one row for each, whoever made it and whatever came of it."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from actors import latency, names
from actors.messages import PauseTrader, RequestApproval
from daemon.assembly import MANUAL_LIMITS
from daemon.execution_views import execution_view, last_failures
from domain.commands import RequestedBy, Source
from domain.ids import MANUAL, Symbol
from domain.trader_state import SAME_WITHIN, DeclinedAgain, EntryDeclined, evolve
from exchanges.port import VenueOrder
from runtime.disk import RealDisk
from storage import queries
from storage.execution_rows import declined_rows
from storage.projections import PROJECTIONS
from storage.read_tables import Change, ReadTables, Step
from storage.rebuild import rebuild
from tests.actors.box import Box, pid
from tests.actors.faulty_venue import answer_lost, broken_line, refused, reset


def rows(box: Box, **wanted: Any) -> list[Any]:
    """Attempts, oldest first."""
    return queries.executions(box.store.database.connection, 1_000, **wanted)[::-1]


async def ask(box: Box, **others: Any) -> Any:
    """Ask for an entry as a person does; return the refusal, if any."""
    box.say("60000")
    request = box.request(**others)
    answered = await box.ask(
        names.trader(MANUAL), lambda request_id: replace(request, request_id=request_id)
    )
    await box.soon()
    return answered.refusal


def test_an_entry_and_its_exit_are_two_attempts_that_say_who_wanted_them(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(user="uid 7")
        box.say("58900")
        await box.soon()

        entry, stop = rows(box)

        assert (entry.source, entry.user, entry.trader) == ("TERMINAL", "uid 7", "manual")
        assert (entry.venue, entry.market_type, entry.symbol) == ("paper", "swap", "BTC/USDT")
        assert (entry.side, entry.type, entry.size_by, entry.size) == (
            "buy", "market", "quantity", "0.01",
        )  # fmt: skip
        assert (entry.status, entry.precheck, entry.min_notional) == ("PLACED", "passed", "5")
        assert entry.venue_order_id
        assert entry.available == "100000"
        assert float(entry.required) == pytest.approx(600, rel=0.01)
        assert (stop.source, stop.side, stop.reduce_only) == ("SYSTEM", "sell", 1)
        assert stop.status == "PLACED"
        assert stop.user == "uid 7"  # whose position it is

    perform(play)


def test_what_is_refused_before_an_order_exists_is_an_attempt_too(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        assert (await ask(box, quantity="0.0001")).rule == "QUANTITY_BELOW_LOT"
        assert (await ask(box, symbol=Symbol("XYZ/USDT"), number=2)).rule == "UNKNOWN_SYMBOL"
        await box.ask(names.trader(MANUAL), lambda request: PauseTrader(MANUAL, request, "me"))
        assert (await ask(box, number=3)).rule == "TRADER_PAUSED"

        found = rows(box)

        assert [(row.execution_id, row.status, row.code) for row in found] == [
            ("manual.1", "SKIPPED", "QUANTITY_BELOW_LOT"),
            ("manual.2", "SKIPPED", "UNKNOWN_SYMBOL"),
            ("manual.3", "SKIPPED", "TRADER_PAUSED"),
        ]
        assert found[0].message == "Quantity 0.0001 below lot 0.001 for BTC/USDT."
        assert found[0].remedy.startswith("Increase size to 0.001 BTC")
        assert found[1].market_type == ""
        assert all(not row.venue_order_id for row in found)
        assert box.venue.sent == []
        assert execution_view(found[0])["request"]["plan"]["stop_price"] == "59000"

    perform(play)


def test_the_same_refusal_again_is_counted_not_repeated(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        request = replace(
            box.request("0.0001"), requested_by=RequestedBy.RULE_ENGINE, source=Source.STRATEGY
        )
        for _ in range(300):
            box.say("60000")
            box.tell(names.PORTFOLIO, RequestApproval(request, MANUAL_LIMITS))
            await box.soon(1)
        await box.soon(61)
        journaled = [type(event).__name__ for event in box.journal(names.trader(MANUAL))]

        (row,) = rows(box)

        assert (row.times, row.source) == (300, "STRATEGY")
        assert row.last_at > row.at
        assert journaled.count("EntryDeclined") == 1
        assert journaled.count("DeclinedAgain") <= 6  # once a minute

        await box.soon(SAME_WITHIN.total_seconds())
        box.say("60000")
        box.tell(names.PORTFOLIO, RequestApproval(request, MANUAL_LIMITS))
        await box.soon()

        assert [each.times for each in rows(box)] == [300, 1]

    perform(play)


def test_a_persons_attempts_stand_each_by_itself(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for _ in range(2):
            await ask(box, quantity="0.0001")
            await box.soon(11)

        assert [row.execution_id for row in rows(box)] == ["manual.1", "manual.2"]

    perform(play)


def test_the_venues_refusal_keeps_its_code_and_text_and_is_the_latest_failure(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [refused("51008", "Order failed. Insufficient USDT balance.")]
        await box.open()

        (row,) = rows(box, failed=True)

        assert (row.status, row.code) == ("FAILED", "51008")
        assert row.message == "Order failed. Insufficient USDT balance."
        assert row.response_s
        assert execution_view(row)["response"] == {"code": "51008", "text": row.message}
        failures = box.parts.world.failures
        assert failures.latest.code == "51008"
        assert failures.of_trader[MANUAL] == failures.of_position[pid()] == failures.latest
        assert (await ask(box, number=2)) is None  # nothing is paused by it

    async def started_anew(box: Box) -> None:
        await box.start("60000")
        failures = box.parts.world.failures
        assert failures.of_trader[MANUAL].code == "51008"
        assert failures.latest is None  # the same was entered since
        assert [each.code for each in last_failures(box.store)] == ["51008"]

    perform(play, started_anew)


@pytest.mark.parametrize("fault", [reset, answer_lost])
def test_a_lost_answer_is_placed_only_once_the_venues_id_is_known(perform, fault):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.reads_fail = True
        box.venue.submits = [fault]
        box.venue.hold_back(VenueOrder)
        await box.open()
        await box.soon(6)

        (row,) = rows(box)
        assert row.status in {"PENDING", "UNKNOWN"}
        assert row.venue_order_id == ""

        await box.close()  # over before anybody knows the id of its entry
        await box.soon(6)
        box.venue.reads_fail = False
        await box.soon(20)

        entry, exit_ = rows(box)
        assert (entry.status, exit_.status) == ("PLACED", "PLACED")
        assert entry.venue_order_id
        assert entry.response_s == ""
        assert len(box.venue.sent) == 2

    perform(play)


def test_an_order_that_never_arrived_failed_and_says_what_proves_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.venue.submits = [broken_line]
        await box.open()
        (row,) = rows(box)
        assert (row.status, row.doubts, row.message) == ("UNKNOWN", 1, "no route to host")

        await box.soon(12)

        (row,) = rows(box)
        assert (row.status, row.code) == ("FAILED", "ABSENT")
        assert row.message.startswith("order query, fills and position agree")

    perform(play)


def test_rows_rebuilt_from_the_journal_equal_those_written_live(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.venue.submits = [refused("51008")]
        await box.open(number=2)
        await ask(box, quantity="0.0001", number=3)
        await ask(box, quantity="0.0001", number=3)
        await box.soon(61)
        live = rows(box)

        rebuild(box.store.database, box.store.registry, ReadTables(PROJECTIONS), RealDisk())

        assert rows(box) == live
        assert [row.times for row in live] == [1, 1, 2]

    perform(play)


def test_a_refusal_is_counted_before_another_takes_its_place(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for pause_s in (0, 11, 61):  # again at once, then as a new one
            await ask(box, quantity="0.0001")
            await box.soon(pause_s)
        live = rows(box)

        rebuild(box.store.database, box.store.registry, ReadTables(PROJECTIONS), RealDisk())

        assert [(row.execution_id, row.times) for row in live] == [("manual.1", 2), ("manual.2", 1)]
        assert rows(box) == live

    perform(play)


def test_a_count_that_comes_after_another_took_its_place_hides_no_row(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for _ in range(2):
            await ask(box, quantity="0.0001")
            await box.soon(11)
        first, second = (
            event for event in box.journal("trader/manual") if isinstance(event, EntryDeclined)
        )
        steps, state = [], None
        for event in (first, second, DeclinedAgain(first.number, 1, second.at)):  # an old journal
            state = evolve(state, event)
            steps.append(Step(seq=len(steps) + 1, version=len(steps) + 1, event=event, state=state))

        found = declined_rows(Change("manual", steps))

        assert [row.execution_id for row in found] == ["manual.1", "manual.2"]

    perform(play)


def test_the_steps_of_orders_are_measured_by_venue_and_type(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 21):
            await box.open(number=number)
        series = {key: each.count for key, each in box.parts.world.latency}

        assert series == {
            ("paper", "market", latency.Step.SEND): 20,
            ("paper", "market", latency.Step.ANSWER): 20,
            ("paper", "market", latency.Step.FILL): 20,
        }
        sent = dict(box.parts.world.latency)["paper", "market", latency.Step.SEND]
        assert 0 < sent.quantile(0.5) < 0.02  # three commits of a millisecond

    perform(play)


def test_twenty_orders_at_once_all_get_their_answer(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        asked = [
            box.ask(
                names.trader(MANUAL),
                lambda request_id, number=number: replace(
                    box.request(number=number), request_id=request_id
                ),
            )
            for number in range(1, 21)
        ]
        assert [answer.refusal for answer in await asyncio.gather(*asked)] == [None] * 20
        await box.soon()

        assert [row.status for row in rows(box)] == ["PLACED"] * 20
        assert len({row.venue_order_id for row in rows(box)}) == 20

    perform(play)
