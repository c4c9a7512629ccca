"""Something held has no price: limits go by the rest, and that is said."""

from actors.unpriced import UNPRICED, UNPRICED_AFTER_S
from daemon import admin_requests as ask
from tests.actors.box import BTC, CONFIG, ETH, Box, D, stop_at
from tests.actors.desks import desk_of

KILL = CONFIG.replace("total_drawdown_ratio: 1}", "total_drawdown_ratio: 0.05}")


async def hold_two(box: Box) -> None:
    await box.start("60000")
    box.say("3000", symbol=ETH)
    await box.open("1", stop_at("35000"))
    await box.open("0.1", stop_at("2000"), number=2, symbol=ETH)
    await box.soon(2)
    assert UNPRICED not in box.parts.world.causes


async def go_on(box: Box, seconds: float, price: str) -> None:
    for _ in range(int(seconds)):
        box.say(price)
        await box.soon(1)


def test_the_kill_switch_judges_what_is_priced_when_one_symbol_held_is_not(perform):
    async def second(box: Box) -> None:
        """Ether has been delisted meanwhile."""
        await box.start("60000")
        await go_on(box, UNPRICED_AFTER_S - 5, "54000")
        assert UNPRICED not in box.parts.world.causes
        assert not box.position(1).is_closed
        await go_on(box, 10, "54000")
        assert box.position(1).is_closed
        assert not box.position(2).is_closed  # nobody can sell it
        assert box.ears.codes().count(UNPRICED) == 1
        assert "KILL_SWITCH" in box.ears.codes()

    perform(hold_two, second, config=KILL)


def test_it_stands_against_entries_until_there_is_a_price(perform):
    async def second(box: Box) -> None:
        await box.start("60000")
        await go_on(box, UNPRICED_AFTER_S + 5, "60000")
        cause = box.parts.world.causes[UNPRICED]
        assert ETH in cause.message
        assert cause.way_out
        box.say("3000", symbol=ETH)
        await box.soon(2)
        assert not box.parts.world.causes
        await go_on(box, 2 * UNPRICED_AFTER_S, "60000")
        assert box.ears.codes().count(UNPRICED) == 1

    perform(hold_two, second)


def test_a_stream_that_is_down_is_another_matter(perform):
    async def second(box: Box) -> None:
        await box.start("60000")
        box.market.sink.on_disconnected("the line is cut")
        await box.soon(3 * UNPRICED_AFTER_S)
        assert set(box.parts.world.causes) == {"FEED_DOWN"}
        box.market.sink.on_connected()
        await go_on(box, UNPRICED_AFTER_S + 5, "60000")
        assert set(box.parts.world.causes) == {UNPRICED}

    perform(hold_two, second)


def test_a_gain_that_nothing_tells_the_price_of_any_more_is_no_loss(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        box.say("3000", symbol=ETH)
        await box.open("0.1", stop_at("35000"))
        await box.open("10", stop_at("2000"), number=2, symbol=ETH)
        for price in range(3000, 4001, 50):
            box.say(str(price), symbol=ETH)
            await box.soon(1)
        assert box.portfolio.high_water_mark > 109_000

    async def second(box: Box) -> None:
        await box.start("60000")
        await go_on(box, UNPRICED_AFTER_S + 90, "60000")
        assert UNPRICED in box.parts.world.causes
        assert box.portfolio.causes == ()
        assert not box.position(1).is_closed

    perform(first, second, config=KILL)


def test_another_symbol_without_a_price_is_said_too(perform):
    async def second(box: Box) -> None:
        await box.start("60000")
        await go_on(box, UNPRICED_AFTER_S + 5, "60000")
        prices = box.parts.world.prices.prices
        lost = prices.pop(BTC)
        await box.soon(2)
        assert BTC in box.parts.world.causes[UNPRICED].message
        assert box.ears.codes().count(UNPRICED) == 2
        prices[BTC] = lost
        await box.soon(2)
        assert BTC not in box.parts.world.causes[UNPRICED].message
        assert box.ears.codes().count(UNPRICED) == 2

    perform(hold_two, second)


def test_a_lower_kill_switch_is_taken_by_the_last_price_known(perform):
    lower = ask.SetAccountLimits(total_drawdown_ratio=D("0.5"))

    async def second(box: Box) -> None:
        await box.start("60000")
        assert (await desk_of(box).handle(lower)).rule == "NO_PRICE"
        await go_on(box, UNPRICED_AFTER_S + 5, "60000")
        await desk_of(box).handle(lower)
        assert box.portfolio.limits_change is not None

    perform(hold_two, second)
