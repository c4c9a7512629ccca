"""The account's venue: who stands behind the port, and whether this data directory is of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actors.world import World
from daemon.config import Login
from daemon.config_models import Config
from daemon.config_venues import Venue
from daemon.errors import StartError
from domain.errors import Refusal
from domain.ids import account_tag, identity_of
from domain.instrument import Instrument
from domain.order import Order
from domain.portfolio_state import Portfolio
from domain.position import Position
from domain.venue import VenueAccount
from exchanges.port import DistantExchange
from runtime.ports import Chance, Clock
from storage.store import Store
from storage.streams import Streams

if TYPE_CHECKING:
    from exchanges.okx_account import OkxAccount


def account_of(
    config: Config, login: Login | None, chance: Chance
) -> Callable[[World], DistantExchange] | None:
    """Return how to make the account at the venue in use; None: the paper venue.

    Nothing heavy is imported, and nothing connected, before the account is started.
    """
    section = config.venue
    if section is None or login is None:
        return None
    return lambda world: okx_account(
        section,
        login,
        world.clock,
        chance,
        tuple(world.instruments.values()),
        held=instruments_held(world),
    )


def okx_account(
    section: Venue,
    login: Login,
    clock: Clock,
    chance: Chance,
    instruments: Sequence[Instrument],
    *,
    held: Sequence[Instrument] = (),
    with_stream: bool = True,
) -> "OkxAccount":
    """Make an account at OKX, not yet started; where it is says its section."""
    from exchanges import okx_account as okx  # noqa: PLC0415 - only if used
    from exchanges.okx_private import DEMO_URL, LIVE_URL, stream_of  # noqa: PLC0415
    from exchanges.real_net import RealNet  # noqa: PLC0415

    urls = section.urls
    ws_url = LIVE_URL if section.is_live else DEMO_URL
    settings = okx.OkxSettings(
        key=login.key,
        secret=login.secret,
        passphrase=login.passphrase,
        is_demo=not section.is_live,
        margin_mode=section.margin_mode,
        rest_url=okx.URL if urls is None else urls.rest,
    )

    stream = stream_of((RealNet(), clock, chance), ws_url if urls is None else urls.ws)
    return okx.OkxAccount(settings, clock, instruments, stream if with_stream else None, held=held)


def instruments_held(world: World) -> tuple[Instrument, ...]:
    """Return the instruments of positions that are not over, by the rules they have."""
    positions: list[Position] = world.states.latest_of("position")
    return tuple(dict.fromkeys(each.instrument for each in positions if not each.is_settled))


def venue_account_of(streams: Streams, account: str) -> VenueAccount | None:
    """Return where what is open of an account was opened; None: nothing is, or nobody has told."""
    found = (each for each in _portfolios(streams) if each.account == account)
    return next((each.venue_account for each in found if _open_in(each, streams)), None)


def _portfolios(streams: Streams) -> list[Portfolio]:
    return [state for name, (_, state) in streams.items() if name.startswith("portfolio/")]


def _open_in(portfolio: Portfolio, streams: Streams) -> int:
    """Count what is open of an account: positions, else entries, else orders that may live."""
    entered = len(portfolio.holdings) or len(portfolio.reservations)
    if entered:
        return entered
    tag = account_tag(portfolio.account)
    orders: list[Order] = [
        state for name, (_, state) in streams.items() if name.startswith("order/")
    ]
    ids = [identity_of(each.terms.client_order_id) for each in orders if not each.is_terminal]
    return sum(1 for each in ids if each is not None and each.account_tag == tag)


def check_venue(config: Config, store: Store) -> None:
    """Refuse a start at another venue or account, or as another kind, than what is open has.

    Raises `StartError`.
    """
    venue = config.account.venue
    _check_kinds(config, store)
    streams = store.recovered.streams
    for portfolio in _portfolios(streams):
        count = _open_in(portfolio, streams)
        refusal = _moved(config, portfolio, count) if count else None
        if refusal is not None:
            raise StartError(refusal)
    section = config.venue
    if section is not None and section.is_live and not section.confirm_live:
        raise StartError(
            Refusal(
                "LIVE_NOT_CONFIRMED",
                f"The venue {venue} is live: its orders move real money.",
                f"Read “Before live” in docs/okx.md, then set venues.{venue}.confirm_live: true.",
            )
        )


def _moved(config: Config, portfolio: Portfolio, count: int) -> Refusal | None:
    """Return why the configuration is not that of an account with so much open; None: it is."""
    venue, section, known = config.account.venue, config.venue, portfolio.venue_account
    close = "close them first (holdfast close --all)"
    if portfolio.venue != venue:
        return Refusal(
            "VENUE_CHANGED",
            f"Account {portfolio.account} has {count} open at {portfolio.venue}, and"
            f" account.venue says {venue}: nobody would guard them there.",
            f"Set account.venue to {portfolio.venue} and {close}, or give this venue its own"
            " data_dir.",
        )
    if section is not None and known is not None and known.is_demo is section.is_live:
        was = "demo" if known.is_demo else "live"
        return Refusal(
            "ENVIRONMENT_CHANGED",
            f"Account {portfolio.account} has {count} open in {known} of {venue}, and"
            f" venues.{venue}.environment says {section.environment}: their stops would move"
            " another account's money.",
            f"Set venues.{venue}.environment to {was} and {close}, or give"
            f" {section.environment} its own data_dir.",
        )
    if portfolio.account != config.account.name:
        return Refusal(
            "ACCOUNT_CHANGED",
            f"Account {portfolio.account} has {count} open, and account.name says"
            f" {config.account.name}: its limits would not see them.",
            f"Set account.name to {portfolio.account} and {close}, or give"
            f" {config.account.name} its own data_dir.",
        )
    return None


def _check_kinds(config: Config, store: Store) -> None:
    """Refuse what would send a position's exits into another market of the same name."""
    market = config.market
    for name, (_, state) in store.recovered.streams.items():
        if not name.startswith("position/"):
            continue
        position: Position = state
        held = position.instrument
        if position.is_settled or held.kind is market.kind:
            continue
        if held.symbol in {*market.symbols, *market.watch}:
            raise StartError(
                Refusal(
                    "KIND_CHANGED",
                    f"Position {position.id} holds {held.symbol} as {held.kind.value}, and"
                    f" market.kind says {market.kind.value}: its stop and its exits would go to"
                    " another market.",
                    f"Set market.kind to {held.kind.value} and close it first"
                    f" (holdfast close {position.id}), or give {market.kind.value} its own"
                    " data_dir.",
                )
            )
