"""What a plan's faults do to the venue, the market, the sockets, the process and its disk."""

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from actors import names
from daemon.simulation import slow_cancel
from daemon.simulation.disk import ShakyJournal
from daemon.simulation.life import Life
from daemon.simulation.market import SimMarket
from daemon.simulation.outside import Outside
from daemon.simulation.plan import Step
from daemon.simulation.venue import BASES, SimVenue
from daemon.simulation.weather import ON_FRAMES, ON_REQUESTS, SimWeather
from exchanges.sandbox import outside as others
from exchanges.sandbox.faults import Fault, Kind
from exchanges.sandbox.refusals import VenueRefusal
from storage.errors import Trouble

_D = Decimal
_PUSHES: dict[str, Kind] = {
    "push_drop": "drop",
    "push_twice": "duplicate",
    "push_reorder": "reorder",
    "push_late": "delay",
}
_PRIVATE = ("orders", "orders-algo", "account", "positions", "balance_and_position", "*")
_KILLS = {
    "kill_portfolio": names.PORTFOLIO,
    "kill_exchange": names.EXCHANGE,
    "kill_feed": names.FEED,
    "kill_persistence": names.PERSISTENCE,
    "kill_reconciler": names.RECONCILER,
}
_PERSISTENCE_LIVES_S = 21.0  # killed a fourth time within a minute, it takes the process along
_DESK_FAILS = 3  # within a minute; once more, and it takes the process along
_MINUTE_S = 60.0
_SUSPENDED = "51022"
_AGAIN_S = 10.0
_MUTE_S = 25.0
_CHILD_CODES = ("51008", "51020", "51131")


class Acts:
    """Does what steps say."""

    def __init__(
        self, outside: Outside, venue: SimVenue, market: SimMarket, weather: SimWeather
    ) -> None:
        self.outside, self.venue, self.market, self.weather = outside, venue, market, weather
        self._done = 0
        self._spared_until_s = 0.0
        self._on_pushes: list[Fault] = []
        self._foreign: list[tuple[str, Decimal]] = []  # what somebody else bought, and will sell

    @property
    def happened(self) -> int:
        """How many faults there were: not those that were told and then met nothing."""
        return self._done + self.weather.hits + sum(rule.hits for rule in self._on_pushes)

    def act(self, life: Life | None, step: Step) -> None:
        """Do one; where there is nothing to do it to, connections end or the price moves."""
        if step.do in ON_REQUESTS | ON_FRAMES:
            self._told(step, self.weather.add(step.do, step.count, step.lasts, step.u))
            return
        if step.do in _PUSHES:
            rule = Fault(
                _PUSHES[step.do],
                _PRIVATE[int(step.u * len(_PRIVATE))],
                count=step.count,
                delay_ms=int(100 + step.v * 3000),
            )
            self._on_pushes.append(self.venue.world.faults.add(rule))
            self._told(step, f"{step.count} of {rule.match}")
            return
        self._done += self._did(life, step) or self._did(life, _instead(step))

    def _did(self, life: Life | None, step: Step) -> bool:
        try:
            return self._of_venue(step) or self._of_market(step) or self._of_process(life, step)
        except VenueRefusal as refusal:
            self._told(step, f"not now: {refusal.code}")
            return False

    def clear(self) -> None:
        """Let everything be fine again."""
        world = self.venue.world
        self.weather.clear()
        world.faults.clear()
        world.maintenance = False
        world.skew_ms = 0
        self.venue.account.reject_children.clear()
        self.venue.sockets.silent = self.venue.sockets.half_open = False
        for quote in world.venue.market.quotes.values():
            quote.liquidity, quote.is_suspended = None, False
        for bought in tuple(self._foreign):
            self._sell(*bought)

    def _told(self, step: Step, text: str) -> bool:
        self.outside.tell(f"{step.do}: {text}")
        return True

    def _for(self, step: Step, thing: Any, name: str, value: Any, back: Any) -> bool:
        """Set an attribute, and set it back when its time is over."""
        setattr(thing, name, value)
        self.outside.after(step.lasts, setattr, thing, name, back)
        return self._told(step, f"for {step.lasts:.1f} s")

    def _of_venue(self, step: Step) -> bool:  # noqa: C901, PLR0911, PLR0912 - a table
        world, account, sockets = self.venue.world, self.venue.account, self.venue.sockets
        base = BASES[int(step.u * len(BASES))]
        inst = self.venue.names[base]
        quote = world.venue.market.quotes[inst]
        world.advance()
        match step.do:
            case "cut":
                path = ("", "public", "private", "business")[int(step.v * 4)]
                count = sockets.cut(path)
                return count > 0 and self._told(step, f"{path or 'all'}: {count} connections")
            case "silence":
                return self._for(step, sockets, "silent", True, False)
            case "mute":
                lasts_s = _MUTE_S + step.lasts
                self.weather.mute_until_s[inst] = self.outside.now_s + lasts_s
                return self._told(step, f"nothing of {inst} for {lasts_s:.1f} s")
            case "half_open":
                return self._for(step, sockets, "half_open", True, False)
            case "notice":
                sockets.notice()
                return self._told(step, "all connections")
            case "partition":
                self.weather.partitioned_until_s = self.outside.now_s + step.lasts
                return self._told(step, f"for {step.lasts:.1f} s")
            case "maintenance":
                return self._for(step, world, "maintenance", True, False)
            case "child_rejected":
                account.reject_children.append(_CHILD_CODES[int(step.v * len(_CHILD_CODES))])
                return self._told(step, "the next trigger's order is refused")
            case "thin":
                liquidity = quote.listing.least * max(1, int(step.v * 40))
                return self._for(step, quote, "liquidity", liquidity, None)
            case "part_fill":
                return self._part_fill(step)
            case "suspend":
                return self._for(step, quote, "is_suspended", True, False)
            case "skew":
                return self._for(step, world, "skew_ms", int((step.v - 0.5) * 80_000), 0)
            case "outside_close":
                others.close(account, inst)
                return self._told(step, inst)
            case "outside_part":
                others.close(account, inst, share=_D("0.4"))
                return self._told(step, inst)
            case "outside_order":
                size = quote.listing.least * (1 + int(step.v * 20))
                fields = {"instId": inst, "side": "buy", "sz": str(size), "tgtCcy": "base_ccy"}
                others.order(account, fields)
                self._foreign.append((inst, size))
                self.outside.after(3.0 + step.lasts, self._sell, inst, size)
                return self._told(step, inst)
            case "cancel_stop":
                count = len(others.cancel_stops(account, inst))
                return count > 0 and self._told(step, f"{count} of {inst}")
            case "move_stop_there":
                factor = _D(1) + (_D("0.01") if step.v > 0.5 else _D("-0.01"))  # noqa: PLR2004
                tick = quote.listing.tick
                moved = others.move_stop(account, inst, (quote.last * factor) // tick * tick)
                return bool(moved) and self._told(step, f"{len(moved)} of {inst}")
            case "deposit" | "withdraw":
                amount = _D(int(10 + step.v * 500))
                amount = amount if step.do == "deposit" else -min(amount, account.available("USDT"))
                others.transfer(account, "USDT", amount)
                return bool(amount) and self._told(step, f"{amount} USDT")
            case "liquidate":
                others.liquidate(account, inst, "adl" if step.v > 0.5 else "full_liquidation")  # noqa: PLR2004
                return self._told(step, inst)
            case "funding":
                paid = others.fund(account, inst)
                return bool(paid) and self._told(step, f"{paid} USDT")
        return False

    def _part_fill(self, step: Step) -> bool:
        """Let somebody trade with a part of what rests; the rest stays."""
        working = self.venue.account.working.values()
        resting = [one for some in working for one in some.values() if one.left > one.listing.lot]
        if not resting:
            return False
        chosen = resting[int(step.u * len(resting))]
        share = max(step.v, slow_cancel.ALL_OF_IT)
        done = slow_cancel.fill_part(self.venue, chosen, share)
        return done and self._told(step, f"{chosen.client_id}, {chosen.left} is left")

    def _sell(self, inst: str, size: Decimal) -> None:
        """Let who bought sell again, unless they did, or somebody closed what they had."""
        if (inst, size) not in self._foreign:
            return
        self._foreign.remove((inst, size))
        fields = {"instId": inst, "side": "sell", "sz": str(size), "tgtCcy": "base_ccy"}
        if inst.endswith("-SWAP"):
            fields["reduceOnly"] = "true"
        try:
            others.order(self.venue.account, fields)
        except VenueRefusal as refusal:
            self.outside.tell(f"outside_order: {inst} is not sold: {refusal.code}")
            if refusal.code == _SUSPENDED:
                self._foreign.append((inst, size))
                self.outside.after(_AGAIN_S, self._sell, inst, size)
        else:
            self.outside.tell(f"outside_order: {inst} is sold again")

    def _of_market(self, step: Step) -> bool:
        base = BASES[int(step.u * len(BASES))]
        match step.do:
            case "gap":
                factor = 1 + (step.v - 0.5) * 0.06
                self.market.move(base, factor)
                return self._told(step, f"{base} x {factor:.4f}")
            case "spike":
                factor = 1 + (0.05 if step.v > 0.5 else -0.05)  # noqa: PLR2004
                self.market.move(base, factor)
                self.outside.after(0.02 + step.v * 0.4, self.market.move, base, 1 / factor)
                return self._told(step, f"{base} x {factor:.4f} and back")
            case "quiet":
                self.market.quiet_until_s[base] = self.outside.now_s + step.lasts
                return self._told(step, f"{base} does not trade for {step.lasts:.1f} s")
        return False

    def _of_process(self, life: Life | None, step: Step) -> bool:
        if life is None:
            return False
        match step.do:
            case name if name.startswith("kill_") and self._is_on_its_last_leg(life):
                return False
            case "kill_position":
                found = sorted(life.parts.system.find("position/"))
                if not found:
                    return False
                victim = found[int(step.u * len(found))]
                return life.kill_actor(victim) and self._told(step, victim)
            case "slow_disk":
                return self._for(step, life.worker, "slow_s", 0.05 + step.v * 0.5, 0.0)
            case "commit_fails" | "journal_fails":
                return self._journal_fails(life.journal_disk, step)
            case "full_disk":
                return self._for(step, life.disk, "free", 1, type(life.disk).free)
            case "clock_step":
                by = (step.v - 0.5) * 7200
                life.clock.step(by)
                self.outside.after(step.lasts, life.clock.step, -by)
                return self._told(step, f"{by:.0f} s for {step.lasts:.1f} s")
            case "kill_persistence" if self.outside.now_s < self._spared_until_s:
                return False
            case name if name in _KILLS:
                if name == "kill_persistence":
                    self._spared_until_s = self.outside.now_s + _PERSISTENCE_LIVES_S
                return life.kill_actor(_KILLS[name]) and self._told(step, _KILLS[name])
        return False

    def _is_on_its_last_leg(self, life: Life) -> bool:
        """Whether one death more may end the process: its desk has failed so often lately."""
        since_s = self.outside.now_s - _MINUTE_S
        alarms = life.ears.alarms
        fails = [at for at, code, text in alarms if (code, text) == ("ACTOR_CRASHED", "desk")]
        return sum(at > since_s for at in fails) >= _DESK_FAILS

    def _journal_fails(self, disk: ShakyJournal, step: Step) -> bool:
        """Let the next commit fail, or everything that is written for a while."""
        disk.kind = Trouble.IO if step.u > 0.5 else Trouble.FULL  # noqa: PLR2004
        disk.lands = step.v > 0.5  # noqa: PLR2004
        after = "is there all the same" if disk.lands else "is not there"
        if step.do == "journal_fails":
            disk.lands = False
            return self._for(step, disk, "is_failing", True, False)
        disk.fail_once()
        return self._told(step, f"{disk.kind.value}: the next one, which {after}")


def _instead(step: Step) -> Step:
    is_even = int(step.v * 1000) % 2 == 0
    return replace(step, do="cut") if is_even else replace(step, do="gap", v=0.4 + 0.2 * step.v)
