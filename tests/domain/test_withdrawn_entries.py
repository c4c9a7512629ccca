"""Nothing is to be opened any more: entries that rest are canceled, what is held stays."""

from domain.commands import WithdrawEntries
from domain.effects import CancelOrder
from domain.inputs import OrderEnded
from domain.order import OrderStatus
from domain.position import PositionStatus
from domain.position_events import EntryWithdrawn
from domain.protection import ExitReason
from tests.builders import D, Life, opened, plan
from tests.domain.test_position_additions import adding


def withdraw(life: Life) -> Life:
    return life.tell(WithdrawEntries(life.p.id))


def canceled(life: Life) -> list[str]:
    effects = life.decision.effects
    return [each.client_order_id for each in effects if isinstance(each, CancelOrder)]


def test_an_entry_that_rests_is_canceled_and_the_position_never_opens():
    life = withdraw(Life().begin("1", plan("90"), limit="95"))
    assert canceled(life) == [life.p.entry.client_order_id]
    life.tell(OrderEnded(life.p.id, life.p.entry.client_order_id, OrderStatus.CANCELED, ""))
    assert life.p.status is PositionStatus.CLOSED
    assert life.p.exit_reason is ExitReason.NEVER_FILLED


def test_what_it_fills_all_the_same_is_closed_at_once():
    life = withdraw(Life().begin("1", plan("90"), limit="95"))
    life.fill("0.4", "95")
    (exit_order,) = life.exits_sent()
    assert exit_order.terms.quantity == D("0.4")
    assert life.p.exits[0].reason is ExitReason.ENTRIES_STOPPED


def test_asked_again_it_cancels_again_and_journals_no_more():
    life = withdraw(withdraw(Life().begin("1", plan("90"), limit="95")))
    assert canceled(life) == [life.p.entry.client_order_id]
    assert not life.decision.events


def test_a_part_that_is_held_stays_and_the_rest_of_its_entry_is_canceled():
    life = Life().begin("1", plan("90"), limit="100").fill("0.4", "100").arm()
    withdraw(life)
    assert canceled(life) == [life.p.entry.client_order_id]
    assert not life.decision.events
    assert life.p.status is PositionStatus.OPEN_PROTECTED


def test_an_addition_that_rests_is_canceled_and_the_position_stays():
    life = withdraw(adding(opened("1", "100"), limit="95"))
    assert canceled(life) == [life.p.additions[0].client_order_id]
    assert life.p.status is PositionStatus.OPEN_PROTECTED
    assert not life.exits_sent()


def test_an_entry_at_market_is_on_its_way_and_comes_to_its_end():
    life = withdraw(Life().begin("1", plan("90")))
    assert canceled(life) == []
    assert not any(isinstance(each, EntryWithdrawn) for each in life.events)
