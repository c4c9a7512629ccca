"""Limits set at run time, on a whole daemon in virtual time: as `holdfast … set-limits` asks."""

from daemon import admin_requests as ask
from domain.errors import Refusal
from domain.instrument import Direction
from tests.actors.box import BTC, CONFIG, Box, D, pid, stop_at
from tests.actors.desks import desk_of

TRADING = (
    CONFIG
    + """
traders:
  - name: trend
    strategy: ema-cross
    symbols: [BTC/USDT]
    timeframe: 1m
    limits: {max_positions: 2}
"""
)


async def told(box: Box, request):
    answer = await desk_of(box).handle(request)
    assert not isinstance(answer, Refusal), answer
    return answer


async def trader_shown(box: Box, name: str):
    traders = (await told(box, ask.ListTraders()))["traders"]
    return next(each for each in traders if each["name"] == name)


async def try_to_open(box: Box, number: int, quantity: str = "0.01"):
    box.say(box.parts.world.prices.prices[BTC].last)
    return await desk_of(box).handle(
        ask.Open(
            symbol=BTC,
            direction=Direction.LONG,
            quantity=D(quantity),
            stop=D(50_000),
            position_id=pid(number),
        )
    )


def test_a_limit_stops_entries_closes_nothing_says_so_and_survives_a_crash(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        await box.open(number=2)

        answer = await told(box, ask.SetTraderLimits(trader="manual", max_positions=1))

        assert answer["limits"]["max_positions"] == 1
        assert answer["configured_limits"] == {"max_positions": 100_000}
        assert answer["note"].startswith("2 of at most 1 positions are held: nothing is closed")
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        await box.soon()
        assert [box.position(number).is_closed for number in (1, 2)] == [False, False]
        shown = await trader_shown(box, "manual")
        assert shown["max_positions"] == shown["limits"]["max_positions"] == 1
        assert shown["limits_changed"]["by"].startswith("uid ")
        refusal = await try_to_open(box, 3)
        assert refusal.rule == "MAX_POSITIONS_TRADER"
        assert (refusal.actual, refusal.limit) == ("2", "1")

        answer = await told(box, ask.SetTraderLimits(trader="manual", reset=True))

        assert answer["configured_limits"] == {}
        assert not isinstance(await try_to_open(box, 3), Refusal)

    perform(first, second)


def test_a_traders_share_of_equity_is_that_in_force(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await told(box, ask.SetTraderLimits(trader="manual", max_position_ratio=D("0.01")))
        assert (await try_to_open(box, 1, "0.02")).rule == "MAX_POSITION_SHARE"
        await told(box, ask.SetTraderLimits(trader="manual", max_position_ratio=D("0.02")))
        assert not isinstance(await try_to_open(box, 1, "0.02"), Refusal)

    perform(play)


def test_what_is_not_overridden_follows_the_configuration_and_what_is_does_not(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await told(box, ask.SetTraderLimits(trader="trend", max_risk_ratio=D("0.01")))
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        shown = await trader_shown(box, "trend")
        assert shown["limits"] == {
            "max_positions": 5,
            "max_risk_pct": "1",
            "min_confidence": "0",
            "max_position_pct": "20",
        }

    perform(first, config=TRADING)
    perform(second, config=TRADING.replace("max_positions: 2", "max_positions: 5"))


def test_an_accounts_limit_stops_entries_and_is_shown_until_it_is_reset(perform):
    async def first(box: Box) -> None:
        await box.start("60000")
        await box.open(number=1)
        answer = await told(box, ask.SetAccountLimits(max_positions=1, daily_loss_cap=D(500)))
        assert answer["note"].startswith("1 of at most 1 positions are held")
        box.kill()

    async def second(box: Box) -> None:
        await box.start("60000")
        shown = await told(box, ask.ShowPortfolio())
        assert (shown["limits"]["max_positions"], shown["limits"]["daily_loss_cap"]) == (1, "500")
        assert shown["configured_limits"] == {"max_positions": 1000, "daily_loss_cap": None}
        assert (await try_to_open(box, 2)).rule == "MAX_POSITIONS_ACCOUNT"
        await told(box, ask.SetAccountLimits(reset=True))
        assert not isinstance(await try_to_open(box, 2), Refusal)

    perform(first, second)


def test_a_drawdown_limit_set_at_run_time_stops_the_day(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("40000"))
        await told(box, ask.SetAccountLimits(daily_drawdown_ratio=D("0.005")))
        box.say("59400")
        await box.soon(2.5)
        assert [cause.code for cause in box.portfolio.causes] == ["DAILY_DRAWDOWN"]
        answer = await told(box, ask.SetAccountLimits(reset=True))
        assert "entries stay stopped until 00:01 UTC" in answer["note"]

    perform(play)


def test_a_kill_switch_is_not_set_below_the_drawdown_of_the_moment(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("1", stop_at("40000"))
        box.say("59400")
        await box.soon(2.5)

        answer = await desk_of(box).handle(ask.SetAccountLimits(total_drawdown_ratio=D("0.005")))

        assert answer.rule == "LIMIT_PASSED"
        await box.soon(2.5)
        assert not box.position().is_closed

    perform(play)


def test_why_tells_what_people_did_to_a_trader_and_to_the_account(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await told(box, ask.SetTraderLimits(trader="trend", max_positions=1))
        await told(box, ask.Pause(trader="trend"))
        await told(box, ask.SetAccountLimits(max_positions=7))
        await told(box, ask.StopEntries())

        trader = await told(box, ask.Why(subject="trend"))
        account = await told(box, ask.Why(subject="paper"))

        assert trader["stream"] == "trader/trend"
        names = [event["event"] for event in trader["events"]]
        assert names == ["TraderLimitsChanged", "TraderPaused"]
        changed = trader["events"][0]["fields"]
        assert (changed["previous"]["max_positions"], changed["new"]["max_positions"]) == (2, 1)
        names = [event["event"] for event in account["events"]]
        assert names == ["PortfolioOpened", "AccountLimitsChanged", "EntriesStopped"]

    perform(play, config=TRADING)


def test_only_a_trader_that_is_there_gets_limits(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        answer = await desk_of(box).handle(ask.SetTraderLimits(trader="tren", max_positions=1))
        assert answer.rule == "UNKNOWN_TRADER"

    perform(play)


def test_an_addition_asked_for_again_by_its_number_adds_nothing(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        await box.open("0.01")
        wanted = ask.Add(position=pid(), quantity=D("0.01"), number=1)

        first = (await told(box, wanted))["position"]
        second = (await told(box, wanted))["position"]

        assert first["remaining_quantity"] == second["remaining_quantity"] == "0.02"
        assert [each["status"] for each in first["additions"]] == ["filled"]
        far = await desk_of(box).handle(ask.Add(position=pid(), quantity=D("0.01"), number=3))
        assert far.rule == "ADDITION_NUMBER"

    perform(play)
