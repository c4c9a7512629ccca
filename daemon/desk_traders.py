"""The desk's commands on traders and on the account: pause, limits, whether entries are allowed."""

from typing import Any, assert_never

from actors import messages, names
from daemon import admin_requests as ask
from daemon.assembly import Assembly
from daemon.desk_owners import OPERATOR, DeskOwners
from daemon.desk_reads import DeskReads, Result
from domain.errors import Refusal
from domain.ids import TraderName
from domain.limit_changes import AccountOverrides, Overrides, TraderOverrides

Command = (
    ask.Pause
    | ask.Resume
    | ask.SetTraderLimits
    | ask.SetAccountLimits
    | ask.StopEntries
    | ask.ResumeEntries
    | ask.ResetKillSwitch
)


class DeskTraders:
    """Has traders and the account told what they may do."""

    def __init__(self, assembly: Assembly, reads: DeskReads, owners: DeskOwners) -> None:
        self._parts = assembly
        self._reads = reads
        self._owners = owners

    async def handle(self, request: Command) -> Result | Refusal:
        """Answer a command."""
        match request:
            case ask.Pause(trader=trader) | ask.Resume(trader=trader):
                return await self._pause(request, trader)
            case ask.SetTraderLimits(trader=trader):
                return await self._set_trader_limits(request, trader)
            case ask.SetAccountLimits():
                return await self._set_account_limits(request)
            case ask.StopEntries():
                return await self._portfolio(
                    messages.StopEntries(self._owners.request_id(), OPERATOR)
                )
            case ask.ResumeEntries():
                return await self._portfolio(
                    messages.ResumeEntries(self._owners.request_id(), OPERATOR)
                )
            case ask.ResetKillSwitch():
                return await self._portfolio(
                    messages.ResetKillSwitch(self._owners.request_id(), OPERATOR)
                )
            case _:
                assert_never(request)

    async def _portfolio(self, message: Any) -> Result | Refusal:
        result = await self._owners.tell(names.PORTFOLIO, message)
        return result if isinstance(result, Refusal) else result | self._reads.mode()

    def _trader_refusal(self, trader: TraderName) -> Refusal | None:
        """Refuse a change of a trader that is not there, or that cannot be made durable."""
        return self._reads.unknown_trader(trader) or self._owners.not_now()

    async def _set_trader_limits(self, request: ask.SetTraderLimits, name: str) -> Result | Refusal:
        trader = TraderName(name)
        refusal = self._trader_refusal(trader)
        if refusal is not None:
            return refusal
        message = messages.SetTraderLimits(
            trader=trader,
            wanted=_overrides(TraderOverrides, request),
            reset=request.reset,
            by=OPERATOR,
            request_id=self._owners.request_id(),
        )
        result = await self._owners.tell(names.trader(trader), message)
        if isinstance(result, Refusal):
            return result
        return result | {"trader": name} | self._reads.limits_of_trader(trader)

    async def _set_account_limits(self, request: ask.SetAccountLimits) -> Result | Refusal:
        refusal = self._owners.not_now()
        if refusal is not None:
            return refusal
        message = messages.SetAccountLimits(
            wanted=_overrides(AccountOverrides, request),
            reset=request.reset,
            by=OPERATOR,
            request_id=self._owners.request_id(),
        )
        result = await self._owners.tell(names.PORTFOLIO, message)
        if isinstance(result, Refusal):
            return result
        return result | {"account": self._parts.world.account} | self._reads.limits_of_account()

    async def _pause(self, request: ask.Pause | ask.Resume, name: str) -> Result | Refusal:
        trader = TraderName(name)
        refusal = self._trader_refusal(trader)
        if refusal is not None:
            return refusal
        kind = messages.PauseTrader if isinstance(request, ask.Pause) else messages.ResumeTrader
        result = await self._owners.tell(
            names.trader(trader), kind(trader, self._owners.request_id(), OPERATOR)
        )
        return result if isinstance(result, Refusal) else result | {"trader": name}


def _overrides(
    kind: type[Overrides], request: ask.SetTraderLimits | ask.SetAccountLimits
) -> Overrides:
    return kind(**{name: getattr(request, name) for name in kind.__struct_fields__})
