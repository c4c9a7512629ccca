"""SIGHUP and `holdfast reload`: the configuration read again while the daemon runs.

A file with an error changes nothing: what is in force stays, and each error is told with its line
and key. Of a good one everything that can change is applied, and what cannot is named. Limits and
traders' settings are journaled by their owners; that a crash forgets the event does not matter,
because the next start reads the same file.
"""

import asyncio

import msgspec
import structlog
from msgspec.structs import replace

from actors import names
from actors.messages import SettingsChanged
from actors.unpriced import UNPRICED
from daemon.assembly import (
    Assembly,
    account_limits,
    position_rules,
    saving_of,
    trader_settings,
)
from daemon.config import Loaded, load, secrets_of
from daemon.config_changes import Change, changes, keys, merged
from daemon.config_file import ConfigError, ConfigFile, Use
from daemon.config_models import Config
from daemon.config_strategies import strategies_of
from daemon.logs import Logs
from daemon.notify import Notifier
from domain.errors import Refusal
from domain.limit_changes import given
from domain.portfolio_limits import reload_problem

Result = dict[str, object]
_Wanted = tuple[Config, tuple[str, ...]]  # with its secrets
_MANY = 5
_READ_WITHIN_S = 10.0
_log = structlog.get_logger("system")


class Overridden(Change, frozen=True):
    """A limit of the file that does not count, because a person has set another."""

    in_force: str
    ends_by: str  # the command that goes back to the file


class Reloader:
    """Knows the file, and what of it is in force."""

    def __init__(self, loaded: Loaded, parts: Assembly, logs: Logs, notifier: Notifier) -> None:
        self._file = loaded.file
        self._parts = parts
        self._logs = logs
        self._notifier = notifier
        self._lock = asyncio.Lock()
        self._reading: asyncio.Future[_Wanted] | None = None
        self._tasks: set[asyncio.Task[Result | Refusal]] = set()

    def on_signal(self) -> None:
        """Reload; the log tells what came of it. One under way and one to come are enough."""
        if len(self._tasks) > 1:
            return
        task = asyncio.get_running_loop().create_task(self.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reload(self) -> Result | Refusal:
        """Read the file and apply what can be applied; return what was and what was not."""
        async with self._lock:
            self._notifier.reloading()
            status = "the configuration could not be read again"
            self._reopen_log()
            try:
                result = await self._reload()
                if isinstance(result, Refusal):
                    status = "configuration refused, the old one stays"
                else:
                    status = "configuration read again"
                return result
            finally:
                self._notifier.ready(status)

    def _reopen_log(self) -> None:
        """Who rotates logs asks for a reload as well."""
        try:
            self._logs.reopen()
        except OSError as error:
            _log.warning("log_not_reopened", error=error.strerror or str(error))

    async def _wanted(self, in_force: Config) -> _Wanted:
        """Read the file on a thread; strategies that changed are run there, too.

        Raises `ConfigError`, and `TimeoutError`: at once while an earlier reload still waits for
        it. A thread more for each would leave none for a backup.
        """
        if self._reading is not None and not self._reading.done():
            raise TimeoutError
        self._reading = asyncio.ensure_future(asyncio.to_thread(_read, self._file, in_force))
        self._reading.add_done_callback(_seen)
        async with asyncio.timeout(_READ_WITHIN_S):
            return await asyncio.shield(self._reading)

    async def _reload(self) -> Result | Refusal:
        in_force = self._parts.config
        try:
            wanted, secrets = await self._wanted(in_force)
        except ConfigError as error:
            problems = error.lines()
            _log.error("reload_refused", problems=problems)
            more = f"; and {len(problems) - _MANY} more" if len(problems) > _MANY else ""
            return Refusal(
                "INVALID_CONFIG",
                f"What is in force stays: {'; '.join(problems[:_MANY])}{more}.",
                "Mend the file (holdfast config check), then reload again.",
            )
        except TimeoutError:
            problem = f"{self._file.path} could not be read within {_READ_WITHIN_S:g} s"
            _log.error("reload_refused", problems=[problem])
            return Refusal(
                "INVALID_CONFIG",
                f"What is in force stays: {problem}.",
                "See whether its disk answers, and whether it is a file.",
            )
        now = merged(in_force, wanted)
        refusal = self._closes_everything(now)
        if refusal is not None:
            problem = f"limits.total_drawdown_ratio: {refusal.message}"
            _log.error("reload_refused", problems=[problem])
            return refusal
        applied, waiting = changes(in_force, now), changes(now, wanted)
        if applied:
            self.put_in_force(now)
        self._logs.mask(*secrets)
        touched = {each.key for each in (*applied, *waiting)}
        overrides = self._overrides()
        overridden = [
            Overridden(each.key, each.was, each.now, *overrides[each.key])
            for each in applied
            if each.key in overrides
        ]
        applied = [each for each in applied if each.key not in overrides]
        _log.info(
            "reloaded",
            applied=[each.key for each in applied],
            needs_restart=[each.key for each in waiting],
            overridden=[each.key for each in overridden],
        )
        self._logs.set_level(now.log.level)  # last: it may silence the line above
        return {
            "applied": msgspec.to_builtins(applied),
            "overridden": msgspec.to_builtins(overridden),
            "needs_restart": msgspec.to_builtins(waiting),
            "unchanged": len(keys(in_force).keys() - touched),
        }

    def _overrides(self) -> dict[str, tuple[str, str]]:
        """Return what people have set instead of configured limits, and what ends that, by key."""
        world = self._parts.world
        portfolio = world.portfolio()
        found: dict[str, tuple[str, str]] = {}
        if portfolio is not None and portfolio.limits_change is not None:
            for name, value in given(portfolio.limits_change.overrides).items():
                found[f"limits.{name}"] = str(value), "holdfast portfolio set-limits --reset"
        for trader in self._parts.settings:
            _, state = world.states.latest.get(names.trader(trader), (0, None))
            change = None if state is None else state.limits_change
            for name, value in ({} if change is None else given(change.overrides)).items():
                ends_by = f"holdfast traders set-limits {trader} --reset"
                found[f"traders.{trader}.limits.{name}"] = str(value), ends_by
        return found

    def _closes_everything(self, now: Config) -> Refusal | None:
        """Return why the limits cannot be taken: that is asked for by its name, not by a file."""
        world = self._parts.world
        portfolio = world.portfolio()
        if portfolio is None:
            return None
        limits = account_limits(self._parts.config), account_limits(now)
        refusal = reload_problem(
            portfolio, *limits, world.prices.marks(), despite_holes=UNPRICED in world.causes
        )
        if refusal is None:
            return None
        return replace(refusal, message=f"What is in force stays: {refusal.message}")

    def put_in_force(self, now: Config) -> None:
        """Tell each owner its part; who starts again later finds it in the assembly."""
        parts, world, tell = self._parts, self._parts.world, self._parts.system.tell
        before = parts.config
        parts.config = now
        world.rules = position_rules(now, parts.venue.abilities)
        world.prices.stale_after_s = now.market.stale_after_s
        if now.limits != before.limits:
            tell(names.PORTFOLIO, SettingsChanged(account_limits(now)))
        if now.journal != before.journal:
            tell(names.PERSISTENCE, SettingsChanged(saving_of(now)))
        if now.market.spike_ratio != before.market.spike_ratio:
            tell(names.FEED, SettingsChanged(float(now.market.spike_ratio)))
        for name, settings in trader_settings(now).items():
            if settings != parts.settings[name]:
                parts.settings[name] = settings
                tell(names.trader(name), SettingsChanged(settings))


def _seen(reading: asyncio.Future[_Wanted]) -> None:
    """What became of one that nobody waited for any more is no matter."""
    if not reading.cancelled():
        reading.exception()


def _read(file: ConfigFile, in_force: Config) -> _Wanted:
    """Return the configuration and its secrets. Raises `ConfigError` with all that is wrong."""
    loaded = load(file, Use.RUN)
    if _strategies(loaded.config) != _strategies(in_force):
        strategies_of(loaded)  # they wait for a restart, but what is wrong is better told now
    return loaded.config, tuple(secrets_of(loaded).values())


def _strategies(config: Config) -> list[tuple[str, str, dict[str, object]]]:
    return [(each.name, each.strategy, each.parameters) for each in config.traders]
