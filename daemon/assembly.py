"""Wiring: the one place that names concrete classes. The same tree runs live and in a replay.

    root (rest for one)
    ├── persistence
    └── desk (one for one)
        ├── edge, portfolio, exchange, reconciler, feed, venue-check (of a real venue)
        ├── positions ── position/…
        └── traders ──── trader/…

What differs between a service and a replay is in `Ports`: time, chance, ids, workers, the stream.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, cast

from actors import names
from actors.backlog import Backlog
from actors.catch_up import CatchUpActor
from actors.edge import EdgeActor
from actors.exchange import ExchangeActor
from actors.feed import FeedActor
from actors.messages import AccountTold
from actors.persistence import PersistenceActor, PersistenceSettings
from actors.portfolio import PortfolioActor
from actors.positions import PositionsSupervisor
from actors.reconcile_rules import ReconcileSettings
from actors.reconciler import ReconcilerActor
from actors.streams import registry
from actors.supervision import TellingSupervisor
from actors.trader import TraderActor
from actors.unreadable import set_aside
from actors.venue_check import VenueCheckActor
from actors.world import PriceBoard, Telemetry, World
from daemon.config_models import Config
from daemon.execution_views import is_made_since, last_failures
from daemon.instruments import instruments_of
from daemon.venues import venue_account_of
from domain.ids import MANUAL, AccountName, Symbol, TraderName
from domain.instrument import Instrument
from domain.modifications import ModificationRules
from domain.money import ZERO
from domain.order import OrderStatus
from domain.position import Position
from domain.position_draft import OutsideChanges, PositionRules
from domain.risk import AccountLimits, TraderLimits
from domain.trader_state import TraderSettings
from exchanges.market import MarketStream, PriceListener
from exchanges.market_reads import MarketReads
from exchanges.own_account import OwnAccount
from exchanges.paper.rules import PaperRules
from exchanges.paper.venue import PaperVenue
from exchanges.port import Abilities, Balance, DistantExchange, Exchange
from runtime.ports import Chance, Clock, Disk, Ids, Worker
from runtime.specs import Backoff, ChildSpec, Exhausted, Intensity, Restart, Strategy
from runtime.system import ActorSystem
from runtime.time_limit import NoLimit, TimeLimit
from storage.store import Store
from strategies.base import Strategy as TradingStrategy

IN_FLIGHT = frozenset(
    {OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.CANCEL_PENDING, OrderStatus.AMEND_PENDING}
)
ROOT = "root"
DESK = "desk"
LEDGER = "paper.db"
NO_ABILITIES = Abilities()
# A person is bound by the account's limits and the market's rules, not by a strategy's.
MANUAL_LIMITS = TraderLimits(
    max_positions=100_000, max_risk_ratio=Decimal(1), max_position_ratio=Decimal(1000)
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world, real or virtual."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    chance: Chance  # of the kernel: jitter
    paper_chance: Chance
    ids: Ids
    disk: Disk
    journal_worker: Worker
    paper_worker: Worker
    stream: Callable[["World"], MarketStream]
    reads: Callable[["World"], MarketReads | None] = lambda _world: None
    recorded_at: str = ""  # the venue whose instruments a recording has
    reconcile: ReconcileSettings | None = None  # None: as the configuration says
    time_limit: TimeLimit = field(default_factory=NoLimit)  # of a strategy's call
    account: Callable[["World"], DistantExchange] | None = None  # at a venue; None: the paper venue


@dataclass(slots=True)
class Assembly:
    """A daemon's parts, wired and not yet started."""

    config: Config  # in force; a reload puts another one here
    system: ActorSystem
    world: World
    store: Store
    venue: Exchange
    paper: PaperVenue | None  # the same one, if it is that
    distant: DistantExchange | None  # the same one, else
    stream: MarketStream
    settings: dict[TraderName, TraderSettings]
    root: ChildSpec
    feed_began_s: float = 0.0

    def start(self) -> None:
        """Start the tree: positions arm their levels as they start."""
        self.system.spawn_root(self.root)

    def actor(self, name: str) -> Any:
        """Return the living actor behind a name, to look at; None while it is down."""
        ref = self.system.directory.get(name)
        return None if ref is None else ref.actor

    def armed(self) -> int:
        """Count the positions whose levels the feed watches."""
        feed = self.actor(names.FEED)
        return 0 if feed is None else len(feed.armed_since)

    def in_flight(self) -> int:
        """Count orders whose answer is on its way, and events that are not durable yet."""
        states = self.world.states
        orders = [order for order in states.latest_of("order") if order.status in IN_FLIGHT]
        durable = {name: version for name, (version, _) in states.durable.items()}
        behind = sum(1 for name, held in states.latest.items() if durable.get(name) != held[0])
        return len(orders) + behind

    @property
    def ledger_path(self) -> Path:
        """Return where the paper venue keeps its account."""
        return self.config.data_dir / LEDGER

    async def close(self, timeout_s: float) -> bool:
        """Stop all actors, then what they rest on; return whether it was in time."""
        in_time = await self.system.stop(timeout_s)
        await self.venue.close()
        if self.world.reads is not None:
            await self.world.reads.close()
        return in_time


def open_store(directory: Path, disk: Disk) -> Store:
    """Open the data directory: lock, migrate, recover. Raises the errors of `storage.errors`."""
    return Store(directory, registry(), disk)


def assemble(
    config: Config,
    strategies: Mapping[TraderName, TradingStrategy],
    ports: Ports,
    store: Store,
    telemetry: Telemetry,
) -> Assembly:
    """Wire everything; nothing runs yet."""
    instruments = {each.symbol: each for each in instruments_of(config, ports.recorded_at)}
    held_by = _held_by(store)
    for each in held_by:
        instruments.setdefault(each.symbol, each)  # no longer configured, but guarded to its end
    world = world_of(config, ports.clock, ports.ids, instruments, telemetry)
    world.time_limit = ports.time_limit
    world.states.latest = dict(store.recovered.streams)
    world.states.durable = dict(store.recovered.streams)
    set_aside(world, store.recovered)
    for failure in last_failures(store):
        world.failures.note(failure)
    last = world.failures.latest
    if last is not None and is_made_since(store, last):
        world.failures.retried(last.execution_id)
    paper: PaperVenue | None = None
    distant: DistantExchange | None = None
    venue: Exchange
    if ports.account is None:
        venue = paper = _paper_venue(config, ports, instruments, held_by)
    else:
        world.is_distant = True
        world.holdings_known = False
        ours = venue_account_of(store.recovered.streams, world.account)
        venue = distant = OwnAccount(
            ports.account(world), ours, lambda told: system.tell(names.PORTFOLIO, AccountTold(told))
        )
        world.rules = position_rules(config, venue.abilities)
    stream = ports.stream(world)
    world.reads = ports.reads(world)
    settings = trader_settings(config)
    system = ActorSystem(ports.loop, ports.clock, chance=ports.chance)
    root = _tree(lambda: parts.config, world, store, ports, venue, stream, settings, strategies)
    parts = Assembly(config, system, world, store, venue, paper, distant, stream, settings, root)
    return parts


def _held_by(store: Store) -> tuple[Instrument, ...]:
    """Return the instruments of positions that are not over, as of when they were opened."""
    positions: list[Position] = [
        state
        for name, (_, state) in store.recovered.streams.items()
        if name.startswith("position/")
    ]
    return tuple(dict.fromkeys(each.instrument for each in positions if not each.is_settled))


def world_of(
    config: Config,
    clock: Clock,
    ids: Ids,
    instruments: dict[Symbol, Instrument],
    telemetry: Telemetry,
) -> World:
    """Return what actors and streams look at."""
    board = PriceBoard(clock, tuple(instruments), config.market.stale_after_s)
    return World(
        clock=clock,
        ids=ids,
        account=AccountName(config.account.name),
        venue=config.account.venue,
        instruments=instruments,
        prices=board,
        telemetry=telemetry,
        rules=position_rules(config),
        limits=account_limits(config),
        started_at=clock.now(),
        watched_only=frozenset(Symbol(each) for each in config.market.watch),
    )


def position_rules(config: Config, abilities: Abilities = NO_ABILITIES) -> PositionRules:
    """Return what every position goes by; `abilities`: what the venue does for it."""
    protection, costs = config.protection, costs_of(config)
    return PositionRules(
        modifications=ModificationRules(
            automatic_every_s=protection.automatic_modification_every_s,
            max_stop_distance_ratio=config.limits.max_stop_distance_ratio,
            fee_ratio=costs.taker_fee,
        ),
        taker_fee_ratio=costs.taker_fee,
        unprotected_after_s=protection.unprotected_after_s,
        exit_after_s=protection.exit_after_s,
        paper=config.venue is None or not config.venue.is_live,
        stops_at_venue=abilities.holds_stops,
        amends_stops=abilities.amends_stops,
        trails_at_venue=abilities.holds_trails,
        attaches_stops=abilities.attaches_stops,
        targets_at_venue=abilities.holds_stops and protection.target_at_venue,
        grace_s=config.protection.grace_s,
        outside_changes=OutsideChanges(
            "restore" if config.venue is None else config.venue.outside_changes
        ),
    )


def saving_of(config: Config) -> PersistenceSettings:
    """Return when to snapshot, and when to worry about the disk."""
    return PersistenceSettings(
        snapshot_every_events=config.journal.snapshot_every_events,
        snapshot_every_s=config.journal.snapshot_every_s,
        min_free_bytes=config.journal.min_free_mb * 1024 * 1024,
    )


def account_limits(config: Config) -> AccountLimits:
    """Return the account's limits and costs as the core wants them."""
    fields, costs = config.limits.model_dump(), costs_of(config)
    return AccountLimits(**fields, fee_ratio=costs.taker_fee, slippage_ratio=costs.slippage)


class Costs(NamedTuple):
    """What an order at market is expected to cost, as fractions of its value."""

    taker_fee: Decimal
    slippage: Decimal


def costs_of(config: Config) -> Costs:
    """Return what is set aside with an entry: the worst slippage of paper, or the venue's."""
    venue = config.venue
    if venue is None:
        return Costs(config.paper.taker_fee, config.paper.slippage[1])
    return Costs(venue.taker_fee_of(config.market.kind), venue.slippage)


def _paper_venue(
    config: Config,
    ports: Ports,
    instruments: Mapping[Symbol, Instrument],
    held_by: tuple[Instrument, ...],
) -> PaperVenue:
    return PaperVenue(
        ports.clock,
        ports.paper_chance,
        ports.paper_worker,
        ports.loop,
        ledger_path=config.data_dir / LEDGER,
        instruments=tuple(instruments.values()),
        rules=paper_rules(config),
        held_by=held_by,
    )


def paper_rules(config: Config) -> PaperRules:
    """Return how the paper venue behaves."""
    paper = config.paper
    return PaperRules(
        starting_balance=paper.balance,
        quote_asset=config.account.quote,
        slippage_low=paper.slippage[0],
        slippage_high=paper.slippage[1],
        latency_low_s=paper.latency_ms[0] / 1000,
        latency_high_s=paper.latency_ms[1] / 1000,
        maker_fee=paper.maker_fee,
        taker_fee=paper.taker_fee,
        partial_fill_chance=paper.partial_fill_chance,
        reject_chance=paper.reject_chance,
    )


def trader_settings(config: Config) -> dict[TraderName, TraderSettings]:
    """Return every trader's settings, the built-in one for people included."""
    found = {
        MANUAL: TraderSettings(
            name=MANUAL,
            symbols=tuple(Symbol(symbol) for symbol in config.market.symbols),
            limits=MANUAL_LIMITS,
        )
    }
    for trader in config.traders:
        name = TraderName(trader.name)
        found[name] = TraderSettings(
            name=name,
            symbols=tuple(Symbol(symbol) for symbol in trader.symbols),
            timeframe=str(trader.timeframe),
            size_by=trader.size.by,
            size=trader.size.value,
            leverage=trader.leverage,
            cooldown_s=trader.cooldown_s,
            limits=TraderLimits(**trader.limits.model_dump()),
            strategy=trader.strategy,
        )
    return found


def _tree(
    in_force: Callable[[], Config],
    world: World,
    store: Store,
    ports: Ports,
    venue: Exchange,
    stream: MarketStream,
    settings: Mapping[TraderName, TraderSettings],
    strategies: Mapping[TraderName, TradingStrategy],
) -> ChildSpec:
    backlog = Backlog()
    persistence = ChildSpec(
        names.PERSISTENCE,
        lambda: PersistenceActor(
            world, store, ports.journal_worker, saving_of(in_force()), backlog
        ),
        intensity=Intensity(max_restarts=3, period_s=60),
    )
    desk = [
        ChildSpec(names.EDGE, EdgeActor),
        ChildSpec(names.PORTFOLIO, lambda: PortfolioActor(world, _opening(in_force(), world))),
        ChildSpec(
            names.EXCHANGE,
            lambda: ExchangeActor(world, venue),
            intensity=Intensity(max_restarts=10, period_s=60),
            backoff=Backoff(first_s=0.1, max_s=5.0, jitter_ratio=0.3),
        ),
        ChildSpec(
            names.RECONCILER,
            lambda: ReconcilerActor(world, venue, ports.reconcile or reconciling(in_force())),
            intensity=Intensity(max_restarts=None),
            backoff=Backoff(first_s=0.2, max_s=5.0, jitter_ratio=0.3),
        ),
        ChildSpec(
            names.FEED,
            lambda: FeedActor(
                world,
                stream,
                listener=cast("PriceListener", venue) if ports.account is None else None,
                spike_ratio=float(in_force().market.spike_ratio),
                max_silence_s=in_force().market.max_silence_s,
            ),
            intensity=Intensity(max_restarts=None),
            backoff=Backoff(first_s=0.2, max_s=5.0, jitter_ratio=0.3),
        ),
        ChildSpec(names.POSITIONS, lambda: _positions(world)),
        ChildSpec(
            names.CATCH_UP,
            lambda: CatchUpActor(world),
            restart=Restart.TRANSIENT,
            intensity=Intensity(max_restarts=3, period_s=60),
            on_exhausted=Exhausted.QUARANTINE,
        ),
        *_venue_check(in_force, world, venue if ports.account is not None else None),
        ChildSpec(
            names.TRADERS, lambda: TellingSupervisor(world, _traders(world, settings, strategies))
        ),
    ]
    return ChildSpec(
        ROOT,
        lambda: TellingSupervisor(
            world,
            [persistence, ChildSpec(DESK, lambda: TellingSupervisor(world, desk))],
            Strategy.REST_FOR_ONE,
        ),
        intensity=Intensity(max_restarts=0),
    )


def reconciling(config: Config) -> ReconcileSettings:
    """Return how the venue is compared with us. The paper venue: only when a person asks."""
    venue = config.venue
    if venue is None:
        return ReconcileSettings(active=False)
    return ReconcileSettings(
        adopts=venue.unknown_positions == "adopt", stop_ratio=venue.emergency_stop
    )


def _venue_check(
    in_force: Callable[[], Config], world: World, venue: Exchange | None
) -> list[ChildSpec]:
    """Return who asks a real venue about our login; the paper venue has nothing to tell."""
    if venue is None:
        return []
    distant = cast("DistantExchange", venue)
    return [
        ChildSpec(
            names.VENUE_CHECK,
            lambda: VenueCheckActor(
                world,
                distant,
                lambda: distant.health().clock_offset_s,
                max_leverage=_leverage_caps(in_force()),
            ),
            intensity=Intensity(max_restarts=None),
            backoff=Backoff(first_s=0.2, max_s=5.0, jitter_ratio=0.3),
        )
    ]


def _leverage_caps(config: Config) -> dict[Symbol, Decimal]:
    """Return what the configuration allows at most, of the symbols of which it says so."""
    return {
        Symbol(symbol): rules.max_leverage
        for symbol, rules in config.instruments.items()
        if rules.max_leverage is not None
    }


def _opening(config: Config, world: World) -> Balance:
    """Return what a new account begins with: at a venue, nothing until it says what there is."""
    balance = config.paper.balance if world.opening is None else world.opening
    if config.venue is not None:
        balance = ZERO
    return Balance(config.account.quote, balance, balance)


def _positions(world: World) -> PositionsSupervisor:
    known: list[Position] = world.states.latest_of("position")
    return PositionsSupervisor(
        world, [each.id for each in known if names.position(each.id) not in world.unreadable]
    )


def _traders(
    world: World,
    settings: Mapping[TraderName, TraderSettings],
    strategies: Mapping[TraderName, TradingStrategy],
) -> list[ChildSpec]:
    def spec(name: TraderName) -> ChildSpec:
        return ChildSpec(
            names.trader(name),
            lambda: TraderActor(world, settings[name], strategies.get(name)),
            intensity=Intensity(max_restarts=3, period_s=300),
            on_exhausted=Exhausted.QUARANTINE,
        )

    return [spec(name) for name in settings]
