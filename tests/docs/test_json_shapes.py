"""The JSON that `docs/cli.md` shows has the keys that commands print."""

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.world import Price, PriceBoard
from daemon import replay
from daemon.admin_requests import COMMANDS
from daemon.backup import told, told_of_restored
from daemon.market_view import market_view
from daemon.position_views import Seen, conflict_rows, position_row, position_view
from daemon.record import Recorded
from daemon.views import (
    Quote,
    mode_view,
    order_view,
    portfolio_view,
    status_view,
    story_row,
    trader_view,
)
from domain.candles import Candle
from domain.commands import ClosePosition, ModificationType, ModifyProtection, RequestedBy
from domain.feed_state import Downtime
from domain.instrument import Side
from domain.modes import operator_stop
from domain.money import Fee
from domain.order import Order, OrderStatus, OrderTerms, OrderType
from domain.portfolio_state import Portfolio, Reservation
from domain.risk import AccountLimits
from domain.trader_state import TraderSettings
from exchanges.market_reads import BookLevel, BookRead, FundingRead, OpenInterestRead
from storage.admin import Report, SnapshotReport
from storage.archiving import Outcome
from storage.backup import FileEntry, JournalEntry, Manifest
from tests.builders import ACCOUNT, BTC, NOW, D, opened, plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
LATER = NOW + timedelta(seconds=60)
SEEN = Seen(price=D(100), is_fresh=True, low=D(99), high=D(101))


def shown(command):
    """Return the first JSON block after a command's name."""
    after = PAGE.read_text(encoding="utf-8").partition(f"**`{command}`**")[2]
    return json.loads(re.search(r"```json\n(.*?)```", after, re.DOTALL)[1])


def same_keys(documented, real):
    """Whether two values have the same keys, as deep as both have any."""
    if isinstance(documented, dict) and isinstance(real, dict) and documented and real:
        assert list(documented) == list(real)
        for key, value in documented.items():
            same_keys(value, real[key])
    elif isinstance(documented, list) and isinstance(real, list) and documented and real:
        same_keys(documented[0], real[0])


@pytest.fixture
def position():
    rules = plan("90", [("110", "0.5")], trail_ratio=D("0.05"), breakeven_price=D(105))
    life = opened("1", "100", rules)
    life.tell(ModifyProtection(life.p.id, ModificationType.MOVE_SL, price=D(91))).arm()
    life.tell(ClosePosition(life.p.id, part=D("0.25"))).fill_exit("100")
    return life.p


@pytest.fixture
def account():
    reserved = {"c9": Reservation("p9", D(1), D(20), D(20))}
    causes = (operator_stop("somebody"),)
    money = D(10_000)
    return portfolio_view(
        Portfolio(
            account=ACCOUNT,
            quote="USDT",
            balance=money,
            high_water_mark=money,
            day=NOW.date(),
            day_start_equity=money,
            marked_at=NOW,
            reservations=reserved,
            causes=causes,
        ),
        {},
        AccountLimits(),
    )


@pytest.fixture
def trader():
    return trader_view(TraderSettings("trend", (BTC,)), None, None, open_positions=0)


def test_positions(position):
    row = position_row(position, SEEN, LATER)
    same_keys(shown("positions"), {"positions": [row], "total": 1})


def test_one_position(position):
    row = position_row(position, SEEN, LATER)
    whole = position_view(position, SEEN, LATER, venue="paper")
    assert list(whole)[: len(row)] == list(row)
    same_keys(shown("position"), {key: value for key, value in whole.items() if key not in row})


def test_conflicts(position):
    life = opened().tell(ModifyProtection(position.id, ModificationType.MOVE_SL, price=D(91)))
    suggested = ModifyProtection(
        position.id,
        ModificationType.MOVE_SL,
        price=D(92),
        requested_by=RequestedBy.RULE_ENGINE,
    )
    rows = conflict_rows(life.arm().tell(suggested).p)
    assert len(rows) == 1
    same_keys(shown("conflicts"), {"conflicts": rows})


def test_orders():
    terms = OrderTerms("c1", "p1", BTC, Side.SELL, OrderType.MARKET, D(1))
    order = Order(terms, OrderStatus.OPEN, NOW, fees=(Fee(D(1), "USDT"),))
    same_keys(shown("orders"), {"orders": [order_view(order)]})


def test_portfolio_and_mode(account):
    same_keys(shown("portfolio"), account)
    same_keys(shown("mode"), mode_view((operator_stop("somebody"),)))


def test_traders(trader):
    same_keys(shown("traders"), {"traders": [trader]})


def test_status(account, trader):
    status = status_view(
        version="1",
        pid=7,
        started_at=NOW,
        now=LATER,
        market_source="binance",
        venue={
            "venue": "paper",
            "environment": "paper",
            "account": "paper",
            "quarantined": {},
            "link": None,
        },
        connected=True,
        quotes=[Quote(BTC, "100", None, None, None, 0.1, is_fresh=True)],
        account=account,
        positions=[],
        orders=[],
        traders=[trader],
        downtime=Downtime(NOW, LATER, 5, stops=1),
    )
    same_keys(shown("status"), status)


def test_market():
    price = Price(last="1", bid="1", ask="1", mark="1", traded=1, quoted=1, marked=1)

    class Told:
        """A venue that answers everything."""

        async def book(self, symbol, depth):
            level = BookLevel(D(1), D(1))
            return BookRead(symbol, (level,) * depth, (level,) * depth, 1)

        async def funding(self, symbol):
            return FundingRead(symbol, D(1), 1)

        async def open_interest(self, symbol):
            return OpenInterestRead(symbol, D(1), 1)

        async def candles(self, symbol, timeframe, begin_ms, end_ms):
            one = D(1)
            return [Candle(symbol, timeframe, begin_ms, one, one, one, one, one, 1)]

    class Clock:
        def now(self):
            return NOW

        def monotonic(self):
            return 2.0

    board = PriceBoard(Clock(), (BTC,), 5.0)
    board.prices[BTC] = price
    world = SimpleNamespace(prices=board, clock=Clock(), reads=Told(), watched_only=frozenset())
    found = asyncio.run(market_view(world, BTC, 1))
    same_keys(shown("market"), {"market": found})


def test_why():
    event = story_row(1, NOW, "position/x", opened().events[0])
    same_keys(shown("why"), {"position_id": "x", "events": [event]})


def test_replay():
    documented = shown("replay")
    assert tuple(documented) == replay.Report.__struct_fields__
    assert tuple(documented["exits"][0]) == replay.Exit.__struct_fields__


def test_archiving_recording_and_backup(tmp_path):
    assert tuple(shown("journal archive")) == Outcome.__struct_fields__
    assert tuple(shown("record")) == Recorded.__struct_fields__
    journal = JournalEntry(1, 2, "ab", "cd")
    manifest = Manifest(1, "0.1.0", "0002", "", journal, (FileEntry("holdfast.db", 1, ""),))
    report = Report(2, "ab", None, (), (SnapshotReport("x", ""),), 0, 0, ())
    file = tmp_path / "b"
    file.touch()
    same_keys(shown("backup"), told(file, manifest))
    same_keys(shown("restore"), told_of_restored(tmp_path, file, manifest, report))


def test_the_lines_of_the_admin_socket_name_real_commands():
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r'\{"command": "([a-z-]+)"', page)) <= set(COMMANDS)
