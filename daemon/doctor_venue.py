"""What `holdfast doctor` finds out about the account's venue: files of secrets, login, clock."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from actors import venue_causes
from actors.venue_causes import MAX_SKEW_S, causes_of
from daemon.config import Loaded, Login, login_of
from daemon.config_file import ConfigError
from daemon.config_section import SecretRef
from daemon.config_venues import Credentials, Venue
from daemon.doctor_machine import Finding, Level
from daemon.instruments import instruments_of
from daemon.venues import okx_account, venue_account_of
from domain.instrument import Instrument
from domain.venue import VenueAccount
from exchanges.own_account import OwnAccount
from exchanges.port import AccountFacts, Refused, Unknown
from runtime.chance import SeededChance
from runtime.clocks import SystemClock
from runtime.disk import RealDisk
from storage.admin import last_states
from storage.errors import StorageError
from storage.streams import StreamRegistry

_OTHERS = 0o077
_WITHIN_S = 15.0  # for everything that a stopped daemon's venue is asked
_SKEW_WARN_S = 1.0


class LinkView(msgspec.Struct):
    """The line to a venue as a running daemon tells of it."""

    stream_up: bool | None = None
    stream_why: str | None = None
    checked_s: float | None = None
    clock_offset_s: float | None = None
    account_id: str | None = None
    position_mode: str | None = None


class CauseView(msgspec.Struct):
    """A cause of the mode."""

    code: str
    message: str
    way_out: str


def secret_files(loaded: Loaded) -> Iterator[Finding]:
    """Say whether files of secrets are for their owner alone."""
    references = [*loaded.config.secrets.values()]
    for venue in loaded.config.venues.values():
        references += (getattr(venue.credentials, part) for part in Credentials.model_fields)
    bad = [path for each in references if (path := _file_of(each, loaded)) and _is_open(path)]
    for path in bad:
        found = f"{path} can be read by others"
        yield Finding("secrets", "fail", found, f"chmod 600 {path}")
    if references and not bad:
        yield Finding("secrets", "ok", "nobody else can read a file of them")


def _file_of(reference: SecretRef, loaded: Loaded) -> Path | None:
    return None if reference.file is None else loaded.file.base / reference.file.expanduser()


def _is_open(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & _OTHERS)
    except OSError:
        return False  # that it cannot be read is told elsewhere


def of_daemon(venue: str, link: LinkView, causes: list[CauseView]) -> Iterator[Finding]:
    """Say what a running daemon knows of its venue; its causes say the rest."""
    ours = [each for each in causes if each.code in venue_causes.NAMES]
    for cause in ours:
        yield Finding("venue", "fail", f"{cause.code}: {cause.message}", cause.way_out)
    if not ours:
        mode = f", position mode {link.position_mode}" if link.position_mode else ""
        yield Finding("venue", "ok", f"{venue}: account {link.account_id}{mode}")
    if link.stream_up:
        yield Finding("private stream", "ok", "logged in and subscribed")
    else:
        why = link.stream_why or "not up yet"
        remedy = "Orders are asked for meanwhile; look at the network if it stays so."
        yield Finding("private stream", "warn", why, remedy)
    yield from _clock(link.clock_offset_s)


def of_login(loaded: Loaded, registry: StreamRegistry) -> Iterator[Finding]:
    """Ask the venue itself, as a start would: can it be reached, what is the login and may it do.

    Nothing is ordered; the look at stop orders takes out one that cannot exist, and not where the
    key is of another account than what is open.
    """
    section = loaded.config.venue
    try:
        login = login_of(loaded)
    except ConfigError:
        return  # told with the configuration
    if section is None or login is None:
        return
    venue = loaded.config.account.venue
    account = loaded.config.account.name
    try:
        ours = venue_account_of(last_states(loaded.config.data_dir, registry, RealDisk()), account)
    except (StorageError, OSError):
        ours = None  # what is wrong with the journal is told apart
    answer, offset_s, told = asyncio.run(_asked(loaded, section, login, ours))
    if section.is_live and not section.confirm_live:
        remedy = f"Before live: docs/okx.md; then venues.{venue}.confirm_live: true."
        yield Finding("venue", "fail", f"{venue} is live and not confirmed", remedy)
    causes = causes_of(answer)
    for cause in causes:
        yield Finding("venue", "fail", f"{cause.code}: {cause.message}", cause.way_out)
    if isinstance(answer, AccountFacts) and not causes:
        whose = "REAL MONEY" if section.is_live else "demo"
        found = f"{venue}, {whose}: account {answer.account_id}, may trade, may not withdraw"
        yield Finding("venue", "ok", found)
        yield Finding("position mode", "ok", answer.position_mode.value)
        yield Finding("stop orders", "ok", "their address answers")
        yield from _symbols(loaded, told)
    yield from _clock(offset_s)


def _symbols(loaded: Loaded, told: tuple[Instrument, ...]) -> Iterator[Finding]:
    listed = {each.symbol for each in told}
    wanted = (*loaded.config.market.symbols, *loaded.config.market.watch)
    missing = [each for each in wanted if each not in listed]
    if missing:
        kind = loaded.config.market.kind.value
        found = f"not listed as {kind}: {', '.join(missing)}"
        yield Finding("symbols", "fail", found, "Take them out of market.symbols.")
    else:
        yield Finding("symbols", "ok", f"all {len(wanted)} are listed")


async def _asked(
    loaded: Loaded, section: Venue, login: Login, ours: VenueAccount | None
) -> tuple[AccountFacts | Refused | Unknown, float | None, tuple[Instrument, ...]]:
    account = okx_account(
        section,
        login,
        SystemClock(),
        SeededChance(0),
        instruments_of(loaded.config),
        with_stream=False,
    )
    answer: AccountFacts | Refused | Unknown
    try:
        async with asyncio.timeout(_WITHIN_S):
            await account.start(lambda _update: None)
            answer = await OwnAccount(account, ours, lambda _told: None).account()
    except TimeoutError:
        answer = Unknown(f"no answer within {_WITHIN_S:.0f} s")
    finally:
        await account.close()
    return answer, account.health().clock_offset_s, account.listed() or ()


def _clock(offset_s: float | None) -> Iterator[Finding]:
    if offset_s is None:
        return
    found = f"the venue's is {offset_s:+.3f} s from this computer's"
    if abs(offset_s) <= _SKEW_WARN_S:
        yield Finding("venue clock", "ok", found)
        return
    level: Level = "fail" if abs(offset_s) > MAX_SKEW_S else "warn"
    yield Finding("venue clock", level, found, "Set this computer's clock by NTP (chrony).")
