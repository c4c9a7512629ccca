"""Lines to the admin socket: what they may say, and how a wrong one is refused."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.admin_grammar import MAX_ROWS, check, parse
from daemon.admin_requests import (
    COMMANDS,
    AnyAdminRequest,
    Close,
    ListPositions,
    ModifyTarget,
    MoveStop,
    Open,
    Ping,
    TargetRequest,
    TrailStop,
)
from domain.errors import Refusal
from domain.instrument import Direction, PriceSource


def request(line: str | bytes) -> AnyAdminRequest:
    parsed = parse(line.encode() if isinstance(line, str) else line)
    assert not isinstance(parsed.request, Refusal), parsed.request
    return parsed.request


def refusal(line: str | bytes) -> Refusal:
    parsed = parse(line.encode() if isinstance(line, str) else line)
    assert isinstance(parsed.request, Refusal), parsed.request
    return parsed.request


def opening(**arguments: object) -> str:
    return json.dumps(
        {"command": "open", "symbol": "BTC/USDT", "direction": "long", "quantity": "0.01"}
        | arguments
    )


def test_a_line_becomes_a_typed_request() -> None:
    assert request('{"command": "positions", "closed": true}') == ListPositions(closed=True)
    assert request('{"command":"close","position":"3f2a","part":"0.5"}') == Close(
        position="3f2a", part=Decimal("0.5")
    )


def test_an_opening_may_carry_everything_a_plan_can() -> None:
    line = opening(
        quantity=None,
        risk="0.01",
        stop="60000",
        targets=[{"price": "62000", "part": "0.5"}, {"price": 63000}],
        trail_ratio="0.02",
        breakeven="61000",
        limit_price="60500",
        leverage=3,
        max_holding_s=7200,
        watches="mark",
        position_id="00000000-0000-0000-0000-000000000001",
    )

    assert request(line) == Open(
        symbol="BTC/USDT",
        direction=Direction.LONG,
        risk=Decimal("0.01"),
        stop=Decimal(60000),
        targets=(
            TargetRequest(Decimal(62000), Decimal("0.5")),
            TargetRequest(Decimal(63000)),
        ),
        trail_ratio=Decimal("0.02"),
        breakeven=Decimal(61000),
        limit_price=Decimal(60500),
        leverage=Decimal(3),
        max_holding_s=7200.0,
        watches=PriceSource.MARK,
        position_id="00000000-0000-0000-0000-000000000001",
    )


@pytest.mark.parametrize("written", ['"0.1234567890123456789"', "0.1234567890123456789"])
def test_money_never_passes_through_a_float(written: str) -> None:
    line = '{"command":"move-stop","position":"a","price":' + written + "}"

    assert request(line) == MoveStop(position="a", price=Decimal("0.1234567890123456789"))


def test_the_senders_mark_comes_back_even_with_a_refusal() -> None:
    assert parse(b'{"command":"ping","id":7}').id == 7
    assert parse(b'{"command":"pung","id":"x"}').id == "x"
    assert parse(b'{"command":"close","id":3}').id == 3


@pytest.mark.parametrize(
    ("line", "rule", "named"),
    [
        ("", "MALFORMED", "JSON"),
        ("positions", "MALFORMED", "JSON"),
        ('{"command": "ping"', "MALFORMED", "JSON"),
        ('{"command": "ping"} {}', "MALFORMED", "JSON"),
        ("[]", "MALFORMED", "object"),
        ("null", "MALFORMED", "object"),
        ("{}", "MISSING_ARGUMENT", "command"),
        ('{"command": 5}', "INVALID_ARGUMENT", "command"),
        ('{"command": "positons"}', "UNKNOWN_COMMAND", "positons"),
        ('{"command": "ping", "loud": true}', "UNKNOWN_ARGUMENT", "loud"),
        ('{"command": "close"}', "MISSING_ARGUMENT", "position"),
        ('{"command": "close", "position": 5}', "INVALID_ID", "position"),
        ('{"command": "close", "position": "../etc"}', "INVALID_ID", "../etc"),
        ('{"command": "positions", "closed": "yes"}', "INVALID_ARGUMENT", "closed"),
        ('{"command": "positions", "limit": 0}', "INVALID_LIMIT", "0"),
        ('{"command": "positions", "limit": 1000000000}', "INVALID_LIMIT", "1000000000"),
        ('{"command": "positions", "limit": 1.5}', "INVALID_LIMIT", "limit"),
        ('{"command": "journal-archive", "before": 0}', "INVALID_NUMBER", "0"),
        ('{"command": "journal-archive", "keep_days": -1}', "INVALID_DAYS", "-1"),
        ('{"command": "journal-archive", "keep_days": "x"}', "INVALID_DAYS", "keep_days"),
        ('{"command": "backup"}', "MISSING_ARGUMENT", "file"),
        ('{"command": "backup", "file": "b.tar.gz"}', "INVALID_FILE", "b.tar.gz"),
        ('{"command": "backup", "file": "/a\\u0000b"}', "INVALID_FILE", "absolute"),
        ('{"command": "pause", "trader": "a b"}', "INVALID_NAME", "a b"),
        ('{"command": "trail-stop", "position": "a"}', "INVALID_TRAIL", "ratio"),
        ('{"command": "modify-target", "position": "a", "target": "t"}', "MISSING_ARGUMENT", ""),
        (opening(symbol="BTC"), "INVALID_SYMBOL", "BTC"),
        (opening(direction="up"), "INVALID_DIRECTION", "direction"),
        (opening(quantity=0), "INVALID_QUANTITY", "0"),
        (opening(quantity="NaN"), "INVALID_QUANTITY", "NaN"),
        (opening(quantity="abc"), "INVALID_QUANTITY", "quantity"),
        (opening(quantity="1e999999"), "INVALID_QUANTITY", "1E+999999"),
        (opening(quantity="1e-400"), "INVALID_QUANTITY", "1E-400"),
        (opening(quantity=True), "INVALID_QUANTITY", "quantity"),
        (opening(notional="5"), "AMBIGUOUS_SIZE", "2"),
        (opening(quantity=None), "MISSING_SIZE", "0"),
        (opening(quantity=None, risk="1.5"), "INVALID_RISK", "150 %"),
        (opening(stop="-5"), "INVALID_PRICE", "-5"),
        (opening(stop="Infinity"), "INVALID_PRICE", "Infinity"),
        (opening(leverage="0.5"), "INVALID_LEVERAGE", "0.5"),
        (opening(trail_ratio="1"), "INVALID_TRAIL", "1"),
        (opening(trail_ratio="NaN"), "INVALID_TRAIL", "NaN"),
        (opening(trail_ratio="sNaN"), "INVALID_TRAIL", "sNaN"),
        (opening(leverage="NaN"), "INVALID_LEVERAGE", "NaN"),
        (opening(quantity=None, risk="NaN"), "INVALID_RISK", "NaN"),
        (opening(targets=[{"price": "1", "part": "NaN"}]), "INVALID_PART", "NaN"),
        (opening(trail_ratio="0.1", trail_distance="5"), "INVALID_TRAIL", ""),
        (opening(max_holding_s=-1), "INVALID_DURATION", "-1"),
        (opening(watches="middle"), "INVALID_ARGUMENT", "watches"),
        (opening(targets=[{"price": "0"}]), "INVALID_PRICE", "0"),
        (opening(targets=[{"price": "1"}, {"price": "x"}]), "INVALID_PRICE", "targets[1].price"),
        (opening(targets=[{"price": "1", "part": 2}]), "INVALID_PART", "2"),
        (opening(targets=[{"price": "1", "size": 2}]), "UNKNOWN_ARGUMENT", "targets[0].size"),
        (opening(targets=[{"price": "1"}] * 21), "TOO_MANY_TARGETS", "21"),
        (opening(position_id="nope"), "INVALID_ID", "nope"),
    ],
)
def test_a_wrong_line_is_refused_by_name(line: str, rule: str, named: str) -> None:
    refused = refusal(line)

    assert refused.rule == rule
    assert named in refused.message
    assert rule == "INVALID_ARGUMENT" or refused.remedy


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (opening(symbol="BTCUSDT"), "'BTCUSDT' is not a symbol."),
        (opening(trail_ratio="3"), "The trail 300 % is not below 100 %, the price itself."),
        (
            '{"command": "set-trader-limits", "trader": "t", "max_risk_ratio": "5"}',
            "The max risk 500 % is not between 0 % and 100 %.",
        ),
        (
            '{"command": "set-account-limits", "total_drawdown_ratio": 0}',
            "The total drawdown 0 % is not above 0 % and at most 100 %.",
        ),
        (
            '{"command": "close", "position": "a", "part": "1e999999"}',
            "The part '1E+999999' is not between 1E-12 and 1E+12.",
        ),
    ],
)
def test_a_part_is_told_in_percent_as_people_write_it(line: str, message: str) -> None:
    assert refusal(line).message == message


def test_an_unknown_command_lists_those_there_are() -> None:
    assert all(command in refusal('{"command": "?"}').remedy for command in COMMANDS)


def test_a_refusal_repeats_only_the_beginning_of_a_long_value() -> None:
    refused = refusal(json.dumps({"command": "x" * 50_000}))

    assert len(refused.message) < 200
    assert len(refused.actual) < 100


def test_an_omitted_argument_is_no_value() -> None:
    assert check(ModifyTarget(position="a", target="target-1", part=Decimal("0.5"))) is None
    assert check(ListPositions(limit=MAX_ROWS)) is None


@pytest.mark.parametrize(
    "sent",
    [
        Ping(id="a"),
        ListPositions(closed=True, trader="trend"),
        Open(
            symbol="ETH/USDT",
            direction=Direction.SHORT,
            notional=Decimal("1E+3"),
            targets=(TargetRequest(Decimal("0.10"), Decimal("0.5")),),
            watches=PriceSource.BID,
        ),
        TrailStop(position="3f", trail_distance=Decimal(150), based_on=4),
    ],
)
def test_what_the_client_writes_the_server_reads(sent: AnyAdminRequest) -> None:
    assert request(msgspec.json.encode(sent)) == sent


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=8,
)
_ARGUMENTS = sorted({name for kind in AnyAdminRequest.__args__ for name in kind.__struct_fields__})


@given(st.binary(max_size=300))
def test_any_bytes_lead_to_a_request_or_a_refusal(line: bytes) -> None:
    parse(line)


@given(
    st.sampled_from(COMMANDS) | st.text(max_size=10),
    st.dictionaries(st.sampled_from(_ARGUMENTS), _JSON | st.decimals().map(str), max_size=6),
)
def test_any_object_leads_to_a_request_or_a_refusal(
    command: str, arguments: dict[str, object]
) -> None:
    line = json.dumps({"command": command} | arguments).encode("utf-8", "surrogatepass")

    parsed = parse(line)

    if not isinstance(parsed.request, Refusal):
        assert check(parsed.request) is None


@pytest.mark.parametrize("inside", ['"position"', '"zz"'])
def test_deep_nesting_is_refused(inside: str) -> None:
    line = '{"command": "close", ' + inside + ": " + "[" * 30_000 + "]" * 30_000 + "}"

    assert refusal(line).rule in {"MALFORMED", "INVALID_ID", "UNKNOWN_ARGUMENT"}


def test_a_number_of_ten_thousand_digits_is_refused() -> None:
    line = '{"command":"move-stop","position":"a","price":' + "9" * 10_000 + "}"

    assert refusal(line).rule == "INVALID_PRICE"
    assert refusal('{"command":"ping","id":' + "9" * 10_000 + "}").rule


def test_bytes_that_are_not_utf_8_are_refused_wherever_they_are() -> None:
    parsed = parse(b'{"command":"watch","eve\xf2y_s":1,"id":7}')

    assert isinstance(parsed.request, Refusal)
    assert parsed.request.rule == "MALFORMED"


def test_a_part_beyond_all_numbers_is_refused() -> None:
    line = '{"command":"add-target","position":"p","price":"61000","part":"11e999999"}'
    assert refusal(line).rule == "INVALID_PART"
