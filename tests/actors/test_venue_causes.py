"""What an answer about our login means for entries: a name, the venue's word, a remedy."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import venue_causes
from actors.venue_causes import CODES, MAX_SKEW_S, NAMES, Held, causes_of
from domain.ids import Symbol
from domain.instrument import Direction
from domain.modes import Mode
from exchanges.own_account import other_account
from exchanges.port import AccountFacts, PositionMode, Refused, Unknown, VenueAccount

BTC = Symbol("BTC/USDT")
LONG = Held(BTC, Direction.LONG, Decimal(1))
SHORT = Held(BTC, Direction.SHORT, Decimal(1))


def facts(
    mode: PositionMode = PositionMode.NET,
    *,
    may_trade: bool = True,
    may_withdraw: bool = False,
    stops_work: bool = True,
) -> AccountFacts:
    return AccountFacts("1", mode, may_trade, may_withdraw, stops_work)


def names_of(*arguments: object, **named: object) -> set[str]:
    return {cause.code for cause in causes_of(*arguments, **named)}


def test_a_login_that_is_as_it_should_be_stops_nothing() -> None:
    assert causes_of(facts(), clock_offset_s=0.2) == ()


def test_a_key_of_another_account_is_named_as_ours_to_say_and_not_the_venue_s() -> None:
    (cause,) = causes_of(other_account(VenueAccount("8"), VenueAccount("7")))

    assert cause.code == "OTHER_ACCOUNT"
    assert cause.message.startswith("The key is of the live account 8")
    assert "key" in cause.way_out


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (Refused("50111", "Invalid OK-ACCESS-KEY"), "WRONG_KEY"),
        (Refused("50113", "Invalid Sign"), "WRONG_KEY"),
        (Refused("50105", "Request header OK-ACCESS-PASSPHRASE incorrect"), "WRONG_KEY"),
        (Refused("50101", "APIKey does not match current environment"), "WRONG_ENVIRONMENT"),
        (Refused("50110", "Your IP is not in the list"), "IP_NOT_ALLOWED"),
        (Refused("50102", "Timestamp request expired"), "CLOCK_SKEW"),
        (Refused("50120", "no permission"), "NO_TRADE_PERMISSION"),
        (Refused("99999", "who knows"), "VENUE_REFUSES"),
        (Refused("50001", "Service temporarily unavailable"), "VENUE_DOWN"),
        (Unknown("nobody answers"), "VENUE_DOWN"),
        (facts(may_withdraw=True), "WITHDRAW_PERMISSION"),
        (facts(may_trade=False), "NO_TRADE_PERMISSION"),
        (facts(stops_work=False), "STOPS_UNAVAILABLE"),
    ],
)
def test_what_is_wrong_has_a_name_and_a_remedy(answer: object, name: str) -> None:
    (cause,) = causes_of(answer)

    assert (cause.code, cause.mode) == (name, Mode.NO_ENTRY)
    assert cause.way_out
    if isinstance(answer, Refused):
        assert answer.code in cause.message
        assert answer.text in cause.message


def test_everything_that_is_wrong_is_told() -> None:
    wrong = facts(may_withdraw=True, may_trade=False, stops_work=False)

    assert names_of(wrong, clock_offset_s=-60.0) == {
        "WITHDRAW_PERMISSION",
        "NO_TRADE_PERMISSION",
        "STOPS_UNAVAILABLE",
        "CLOCK_SKEW",
    }


def test_a_changed_position_mode_matters_to_what_is_open() -> None:
    hedge = facts(PositionMode.HEDGE)

    assert names_of(hedge, mode_before=PositionMode.NET, held=(LONG,)) == {"POSITION_MODE"}
    assert not names_of(hedge, mode_before=PositionMode.NET)
    assert not names_of(hedge, mode_before=PositionMode.HEDGE, held=(LONG, SHORT))


def test_long_and_short_of_a_symbol_need_the_hedge_mode() -> None:
    assert names_of(facts(), held=(LONG, SHORT)) == {"POSITION_MODE"}
    assert not names_of(facts(), held=(LONG,))


@given(st.floats(-1e6, 1e6))
def test_only_a_clock_beyond_the_venue_s_limit_stops_entries(offset_s: float) -> None:
    is_told = "CLOCK_SKEW" in names_of(facts(), clock_offset_s=offset_s)

    assert is_told == (abs(offset_s) > MAX_SKEW_S)


def test_every_name_is_cleared_by_the_check_that_sets_it() -> None:
    named = {value for key, value in vars(venue_causes).items() if key == value}

    assert named == NAMES
    assert set(CODES.values()) <= NAMES
