"""What people see of single positions, beside what they see of the account."""

from daemon import admin_requests as ask
from domain.instrument import Direction
from tests.actors.box import Box, D, stop_at
from tests.actors.desks import desk_of


def test_positions_add_up_to_the_account_where_the_mark_is_not_the_last_price(perform):
    async def play(box: Box) -> None:
        await box.start("60000")
        box.market.mark("60000")
        await box.open("1", stop_at("50000"))
        await box.open("0.4", stop_at("70000"), number=2, direction=Direction.SHORT)
        box.say("60100")
        box.market.mark("59700")
        desk = desk_of(box)

        rows = (await desk.handle(ask.ListPositions()))["positions"]
        account = await desk.handle(ask.ShowPortfolio())

        gains = {each["side"]: each["unrealized_pnl"] for each in rows}
        assert gains == {"LONG": "-300", "SHORT": "120"}
        assert sum(map(D, gains.values())) == D(account["unrealized_pnl"])
        assert {each["current_price"] for each in rows} == {"60100"}  # which stops watch

    perform(play)
