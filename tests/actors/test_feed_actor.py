"""The feed actor: whom it wakes, when it waits, and what it remembers of prices after a death."""

from datetime import timedelta

import pytest
import structlog.testing
from msgspec.structs import replace

from actors import names
from actors.messages import CandleClosed, SubscribeCandles
from domain.commands import ModificationType, ModifyProtection
from domain.effects import Arm
from domain.instrument import Direction, PriceSource
from domain.modes import Mode
from domain.position import PositionStatus
from domain.position_events import ProtectionSet
from domain.protection import STOP, ExitReason, Level
from runtime.actor import Actor, handles
from runtime.specs import ChildSpec
from tests.actors.box import BTC, COMMIT_S, CONFIG, ETH, START, Box, D, pid, stop_at
from tests.actors.faulty_venue import answered_after, never_arrives, refused

NAME = names.position(pid())
MOVE, TRAIL = ModificationType.MOVE_SL, ModificationType.TRAIL_SL
WITHOUT_ETH = CONFIG.replace("[BTC/USDT, ETH/USDT]", "[BTC/USDT]")


def exits(box):
    return [terms for terms in box.venue.sent if terms.reduce_only]


def writes_first_protection(box):
    writing = box.actor(names.PERSISTENCE).backlog.writing
    return any(isinstance(event, ProtectionSet) for append in writing for event in append.events)


# --- arming ---


def test_a_level_that_the_price_passed_before_it_was_armed_is_reported_when_it_is(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader("manual"), box.request())
        while not box.latest(NAME) or not box.position().fills:
            await box.soon(COMMIT_S / 10)
        box.disk.hold()  # the levels wait for the disk
        box.say("58900")
        await box.soon(1)
        assert not box.levels()
        box.disk.go_on()
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert box.position().fills[-1].price == 58_900

    perform(play)


def cannot_be_watched(box, number, step):
    """Let arming the levels of one position fail, at its first step or after that."""
    works = getattr(box.feed.arming, step)

    def fails(arm):
        if arm.position_id == pid(number):
            raise OverflowError("no such level")
        return works(arm)

    setattr(box.feed.arming, step, fails)


@pytest.mark.parametrize("step", ["arm", "beyond"])
def test_levels_that_cannot_be_watched_cost_their_position_and_no_other(perform, step):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        feed = box.feed
        cannot_be_watched(box, 2, step)
        assert (await box.open(number=2)).status is PositionStatus.OPEN_UNPROTECTED
        assert not box.levels(2)
        for _ in range(12):
            await box.soon(0.5)
            box.say("60000")
        assert box.ears.codes() == ["NOT_ARMED", "UNPROTECTED", "NOT_ARMED"]
        assert box.position(2).exit_reason is ExitReason.UNPROTECTED
        assert box.feed is feed
        assert box.position(1).status is PositionStatus.OPEN_PROTECTED
        box.say("58900")
        await box.soon()
        assert box.position(1).exit_reason is ExitReason.STOP_LOSS

    perform(play)


def test_levels_that_could_not_be_watched_are_asked_for_again(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", ("61000", "1")))
        wrong = Level(STOP, D("1e400"), below=True, watches=PriceSource.LAST)
        box.tell(names.FEED, Arm(pid(), BTC, 1, (wrong,), START))
        await box.soon()
        assert not box.levels()
        await box.soon(2)
        assert box.levels() == {"stop": 59_000, "target-1": 61_000}
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_where_the_stop_rests_at_the_venue_levels_that_cannot_be_watched_close_nothing(perform):
    async def play(box: Box) -> None:
        rules = box.parts.world.rules
        box.parts.world.rules = replace(rules, stops_at_venue=True, amends_stops=True)
        await box.start("60000")
        await box.open()
        assert box.position().at_venue.settled
        await box.soon(3)
        cannot_be_watched(box, 1, "arm")
        assert (await box.modify(MOVE, price=D(59_500))).refusal is None
        for _ in range(20):
            await box.soon(0.5)
            box.say("60000")
        assert box.ears.codes() == ["NOT_ARMED", "NOT_ARMED"]  # it was asked for once more
        assert not box.position().is_closed
        assert [each.trigger_price for each in box.venue.resting()] == [D(59_500)]

    perform(play)


def test_an_old_price_fires_nothing_and_the_first_new_one_does(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.kill()

    async def second(box: Box) -> None:
        await box.start()
        assert box.levels() == {"stop": 59_000}
        assert not exits(box)
        box.say("58000")
        await box.soon()
        assert box.position().fills[-1].price == 58_000

    perform(first, second)


def test_a_position_acts_before_the_next_frame_is_read(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", ("61000", "0.5")))
        seen = []
        submit = box.venue.submit

        def look(terms):
            seen.append(box.parts.world.prices.frames)
            return submit(terms)

        box.venue.submit = look
        before = box.parts.world.prices.frames
        box.say("61000", "60500", "59000", "58000")
        assert seen == [before + 1, before + 3]

    perform(play)


def test_what_the_price_did_while_the_feed_was_down_fires_at_its_first_price(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2, direction=Direction.SHORT, plan=stop_at("61000"))
        box.killed(names.FEED)
        await box.soon(1)
        assert box.levels(1) == {"stop": 59_000}
        assert box.levels(2) == {"stop": 61_000}
        assert not box.ears.alarms
        box.say("58000")
        await box.soon()
        assert box.position(1).status is PositionStatus.CLOSED
        assert box.position(2).status is PositionStatus.OPEN_PROTECTED

    perform(play)


def test_a_feed_that_keeps_failing_is_tried_until_it_works(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2)
        positions = [box.actor(names.position(pid(number))) for number in (1, 2)]
        box.market.fails = True
        box.killed(names.FEED)
        await box.soon(60)
        assert box.actor(names.PORTFOLIO).mode is Mode.NO_ENTRY
        box.market.fails = False
        await box.soon(6)
        assert box.actor(names.PORTFOLIO).mode is Mode.NORMAL
        assert [box.actor(names.position(pid(number))) for number in (1, 2)] == positions
        assert [box.levels(number) for number in (1, 2)] == [{"stop": 59_000}] * 2
        box.say("58900")
        await box.soon()
        assert len(exits(box)) == 2

    perform(play)


# --- extremes ---


@pytest.mark.parametrize(
    ("direction", "peak", "plan", "level"),
    [
        (Direction.LONG, "60400", {"trail_distance": D(500)}, 59_900),
        (Direction.LONG, "60400", {"trail_ratio": D("0.01")}, 60_400 * 0.99),
        (Direction.SHORT, "59600", {"trail_distance": D(500)}, 60_100),
        (Direction.SHORT, "59600", {"trail_ratio": D("0.01")}, 59_600 * 1.01),
    ],
)
def test_a_trail_remembers_its_best_price_over_any_number_of_crashes(
    perform, direction, peak, plan, level
):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(direction=direction, plan=stop_at(None, **plan))
        box.say(peak, "60000")
        await box.soon(2)
        assert box.levels()["trail"] == pytest.approx(level)
        box.kill()

    async def again(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels()["trail"] == pytest.approx(level)
        await box.soon()
        box.say("60000")
        await box.soon(2)
        assert box.levels()["trail"] == pytest.approx(level)
        box.kill()

    perform(first, again, again)


def test_a_trail_remembers_its_best_price_over_the_death_of_the_feed(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at(None, trail_distance=D(500)))
        box.say("60400", "60000")
        await box.soon(2)
        await box.restarted(names.FEED)
        assert box.levels()["trail"] == pytest.approx(59_900)

    perform(play)


def test_the_peak_of_one_position_is_not_that_of_one_armed_later(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1, plan=stop_at(None, trail_distance=D(500)))
        box.say("60400", "60000")
        await box.soon(0.1)
        await box.open(number=2, plan=stop_at(None, trail_distance=D(500)))
        box.say("60100")
        await box.soon(2)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels(1)["trail"] == pytest.approx(59_900)
        assert box.levels(2)["trail"] == pytest.approx(59_600)

    perform(first, second)


def test_a_wall_clock_set_back_between_two_lives_does_not_loosen_a_trail(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at(None, trail_distance=D(500)))
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon(1)
        box.say("60400", "60000")
        await box.soon(2)
        assert box.levels()["trail"] == pytest.approx(59_900)
        box.kill()

    async def third(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels()["trail"] == pytest.approx(59_900)

    perform(first, second, third, pause_s=-3600)


def test_a_change_beside_a_trail_does_not_forget_its_peak(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", trail_distance=D(500)))
        box.say("60400")
        await box.modify(MOVE, price=D(59_500))
        box.say("60300")
        await box.soon(2)
        assert box.levels()["trail"] == pytest.approx(59_900)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels()["trail"] == pytest.approx(59_900)

    perform(first, second)


def test_a_peak_seen_while_a_change_waits_for_the_disk_is_kept(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader("manual"), box.request(plan=stop_at("59000", trail_distance=D(500))))
        while not box.levels():
            await box.soon(COMMIT_S / 10)
        # The first arming is not even acknowledged in the journal, and the next version is decided.
        box.tell(NAME, ModifyProtection(pid(), MOVE, price=D(59_500)))
        box.say("60400", "60300")
        await box.soon()
        assert box.levels() == {"stop": 59_500, "trail": pytest.approx(59_900)}

    perform(play)


def test_a_peak_seen_by_a_version_that_was_changed_before_it_was_armed_survives_a_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader("manual"), box.request(plan=stop_at("59000", trail_distance=D(500))))
        while not writes_first_protection(box):
            await box.soon(COMMIT_S / 10)
        box.tell(NAME, ModifyProtection(pid(), MOVE, price=D(59_500)))
        while not box.levels():
            await box.soon(COMMIT_S / 10)
        assert box.levels()["stop"] == 59_000
        box.say("60400", "60300")
        await box.soon(2)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels() == {"stop": 59_500, "trail": pytest.approx(59_900)}

    perform(first, second)


def test_a_price_that_stood_when_the_trail_was_armed_survives_a_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.tell(names.trader("manual"), box.request(plan=stop_at(None, trail_distance=D(500))))
        while not (box.latest(NAME) and box.position().fills):
            await box.soon(COMMIT_S / 10)
        assert not box.levels()
        box.say("60400")
        await box.soon(2)
        assert box.levels() == {"trail": pytest.approx(59_900)}
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels() == {"trail": pytest.approx(59_900)}

    perform(first, second)


def test_arming_many_at_a_price_that_stands_journals_no_more_than_arming_one(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in range(1, 6):
            box.tell(names.trader("manual"), box.request(number=number))
        await box.soon(5)
        assert len(box.levels(5)) == 1
        assert len(box.journal(names.feed("paper"))) == 1

    perform(play)


def test_a_trail_keeps_its_peak_while_an_exit_that_fails_is_under_way(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at(None, ("60500", "1"), trail_distance=D(500)))
        box.venue.submits = [lambda _: answered_after(1.2)(lambda: refused("BUSY")(_))]
        box.say("60500")
        await box.soon(0.1)
        assert not box.levels()
        box.say("60600", "60400")
        await box.soon(5)
        assert box.levels() == {"target-1": 60_500, "trail": pytest.approx(60_100)}

    perform(play)


def test_a_trail_keeps_its_peak_over_a_crash_while_an_exit_is_under_way(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at(None, trail_distance=D(500)))
        box.say("60400")
        await box.soon(0.1)
        box.venue.submits = [never_arrives]
        assert (await box.close()).refusal is None
        box.say("60300")
        await box.soon(1.5)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels()["trail"] == pytest.approx(59_900)

    perform(first, second)


def test_what_comes_between_the_start_of_a_feed_and_the_arming_counts(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(plan=stop_at("59000", trail_distance=D(500)))
        await box.soon(2)
        box.disk.hold()
        box.tell(
            NAME, ModifyProtection(pid(), MOVE, price=D(59_500))
        )  # it arms once that is durable
        await box.restarted(names.FEED)
        assert not box.levels()
        box.say("60400", "60300")
        await box.soon(2)
        box.disk.go_on()
        await box.soon(2)
        assert box.levels() == {"stop": 59_500, "trail": pytest.approx(59_900)}
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels() == {"stop": 59_500, "trail": pytest.approx(59_900)}

    perform(first, second)


def test_a_new_trail_begins_at_the_present_price(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("60400", "60100")
        assert (await box.modify(TRAIL, trail_distance=D(500))).refusal is None
        await box.soon()
        assert box.levels() == {"stop": 59_000, "trail": pytest.approx(59_600)}

    perform(play)


# --- which price ---


@pytest.mark.parametrize("source", [PriceSource.BID, PriceSource.ASK, PriceSource.MARK])
def test_an_exit_fires_on_the_price_it_watches_and_on_no_other(perform, source):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.quote("59999", "60001")
        box.market.mark("60000")
        await box.open(plan=stop_at("59500", ("60500", "0.5"), watches=source))
        prices = {"last": "60000", "bid": "60000", "ask": "60000", "mark": "60000"}

        def say(**changed):
            prices.update(changed)
            box.say(prices["last"])
            box.market.quote(prices["bid"], prices["ask"])
            box.market.mark(prices["mark"])

        others = [name for name in prices if name != source.value]
        say(**dict.fromkeys(others, "59400"))
        say(**dict.fromkeys(others, "60600"))
        await box.soon()
        assert not exits(box)
        say(**{source.value: "60500"})
        await box.soon()
        assert len(exits(box)) == 1
        say(**{source.value: "59500"})
        await box.soon()
        assert box.position().exit_reason is ExitReason.STOP_LOSS
        assert [each.trigger.source for each in box.position().exits] == [source, source]

    perform(play)


def test_a_trail_on_another_price_survives_a_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open(
            plan=stop_at(None, trail_distance=D(500), watches=PriceSource.MARK),
        )
        box.market.mark("60400")
        box.say("61000")
        box.market.mark("60200")
        await box.soon(2)
        box.kill()

    async def second(box: Box) -> None:
        box.parts.start()
        box.parts.system.dispatcher.drain()
        assert box.levels()["trail"] == pytest.approx(59_900)
        await box.soon()
        box.say("60000")
        assert not exits(box)
        box.market.mark("59890")
        await box.soon()
        assert len(exits(box)) == 1

    perform(first, second)


# --- spikes ---


def test_a_single_wild_price_waits_and_is_dropped_when_it_is_contradicted(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("57000")
        await box.soon(0.2)
        assert not exits(box)
        box.say("60010")
        await box.soon(2)
        assert not exits(box)
        assert box.parts.world.prices.last(BTC) == 60_010

    perform(play)


def test_a_wild_price_that_nobody_contradicts_acts_after_its_time(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("57000")
        await box.soon(0.29)
        assert not exits(box)
        await box.soon(0.02)
        assert len(exits(box)) == 1
        assert box.position().exits[0].trigger.price == 57_000

    perform(play)


def test_two_wild_prices_confirm_each_other(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("57000", "56900")
        assert len(exits(box)) == 1
        await box.soon()
        assert box.position().exits[0].trigger.price == 57_000

    perform(play)


def test_a_wild_price_that_the_quotes_confirm_acts_at_once(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.market.quote("56990", "57010")
        box.say("57000")
        assert len(exits(box)) == 1

    perform(play)


def test_a_wild_price_of_one_symbol_does_not_hold_up_another(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        await box.open(number=1)
        await box.open("0.1", number=2, symbol=ETH, plan=stop_at("2950"))
        box.say("57000")
        box.say("2940", symbol=ETH)
        assert [terms.symbol for terms in exits(box)] == [ETH]

    perform(play)


def test_a_suspect_is_forgotten_with_the_feed_that_held_it(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.say("57000")
        await box.restarted(names.FEED)
        box.say("60000")
        await box.soon(1)
        assert not exits(box)
        assert box.position().status is PositionStatus.OPEN_PROTECTED

    perform(play)


# --- up and down ---


def test_while_the_stream_is_down_nothing_is_opened_and_what_is_open_stays_armed(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open()
        box.feed.on_disconnected("the line is cut")
        box.parts.system.dispatcher.drain()
        assert box.actor(names.PORTFOLIO).mode is Mode.NO_ENTRY
        assert box.ears.codes() == ["FEED_DOWN"]
        assert box.levels()
        box.feed.on_connected()
        box.say("58990")
        await box.soon()
        assert box.actor(names.PORTFOLIO).mode is Mode.NORMAL
        assert box.position().status is PositionStatus.CLOSED

    perform(play)


def test_a_position_in_a_symbol_that_was_taken_out_of_the_configuration_stays_guarded(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        await box.open(number=1)
        await box.open("0.1", number=2, symbol=ETH, plan=stop_at("2950"))
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        assert box.levels(1) == {"stop": 59_000}
        assert box.levels(2) == {"stop": 2_950}
        box.say("2940", symbol=ETH)
        await box.soon()
        assert box.position(2).status is PositionStatus.CLOSED
        assert box.feed.incarnation == 1
        box.kill()

    async def third(box: Box) -> None:
        await box.start("60000")
        assert ETH not in box.parts.world.instruments
        assert box.levels(1) == {"stop": 59_000}

    perform(first)
    perform(second, third, config=WITHOUT_ETH, start=START + timedelta(days=1))


# --- candles ---


class Listener(Actor):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.candles = []

    @handles(CandleClosed)
    def on_candle(self, message: CandleClosed) -> None:
        self.candles.append(message.candle)


def test_candles_come_to_who_subscribed_quiet_ones_too(perform):
    async def play(box: Box) -> None:
        await box.start()
        box.actor("desk").start_child(ChildSpec("listener", Listener))
        box.tell(names.FEED, SubscribeCandles("listener", (BTC,), "5s"))
        box.tell(names.FEED, SubscribeCandles("listener", (BTC,), "5s"))  # once is enough
        now_ms = int(box.now.timestamp() * 1000)
        for number, price in enumerate(("60000", "60100", "59900", "60050")):
            box.market.say(price, event_ms=now_ms + number)
        box.say("3000", symbol=ETH)
        await box.soon(17)
        candles = box.actor("listener").candles
        assert [candle.symbol for candle in candles] == [BTC] * 3
        assert (candles[0].open, candles[0].high, candles[0].low, candles[0].close) == (
            60_000,
            60_100,
            59_900,
            60_050,
        )
        assert [candle.trades for candle in candles] == [4, 0, 0]
        assert len({candle.open_ms for candle in candles}) == 3

    perform(play)


def test_nothing_is_journaled_of_prices_that_concern_nobody(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        for number in range(20):
            box.say(str(60_000 + number))
            await box.soon()
        assert box.journal(names.feed("paper")) == []
        await box.open()
        box.say("60100")
        await box.soon(1.5)
        assert box.journal(names.feed("paper"))

    perform(play)


def test_a_flood_of_bad_frames_is_counted_and_told_once_a_minute(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        with structlog.testing.capture_logs() as logs:
            for number in range(121):
                box.market.sink.on_frame()
                box.market.sink.on_bad_frame(f"wrong {number}")
                await box.soon(1)
        told = [(line["why"], line["count"]) for line in logs if line["event"] == "bad_frame"]
        assert told == [("wrong 0", 1), ("wrong 60", 61), ("wrong 120", 121)]
        assert (box.feed.bad_frames, box.feed.last_bad_frame) == (121, "wrong 120")

    perform(play)
