"""Drills of what others do on the account: a person on the site, the venue's risk engine."""

from daemon.drills.drill import Drill
from daemon.drills.stage import Stage, inst
from exchanges.sandbox import outside

_BTC, _ETH = "BTC/USDT", "ETH/USDT"
_BY_STREAM_S = 3.0
_BY_POLLING_S = 15.0


async def external_close(stage: Stage) -> None:
    """A person closes two positions on the site; of the second nothing is pushed."""
    first, second = await stage.open(_BTC), await stage.open(_ETH)
    await stage.until_guarded(first)
    await stage.until_guarded(second)
    for symbol, position_id, within_s, how in (
        (_BTC, first, _BY_STREAM_S, "by the stream"),
        (_ETH, second, _BY_POLLING_S, "by asking"),
    ):
        if symbol == _ETH:
            stage.sandbox.fault("drop", "*", count=None)
        outside.close(stage.account, inst(symbol))
        began_ms = stage.sandbox.world.now_ms
        over = await stage.until_over(position_id, within_s=within_s)
        took_s = (stage.sandbox.world.now_ms - began_ms) / 1000
        stage.tell(f"{symbol} closed on the site: known after {took_s:.1f} s, {how}")
        stage.expect(over["status"] == "closed_external", f"{symbol} is {over['status']}")
    stage.sandbox.faults.clear()


DRILLS = (
    Drill(
        name="external-close",
        injects="positions closed on the site, once without a word on the stream",
        run=external_close,
        within_s=60.0,
    ),
)
