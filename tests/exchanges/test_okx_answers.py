from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.ccxt_wire import Reply, Silence
from exchanges.okx_answers import OkxJudge, placed, read
from exchanges.okx_errors import CODES, code_of
from exchanges.port import Accepted, Refused, Unknown
from exchanges.verdict import Verdict
from tests.exchanges.okx_rows import OURS

JUDGE = OkxJudge()
CODE = st.sampled_from(["0", "1", "2", "", *CODES, "99999"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | CODE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "data", "msg", "sCode", "sMsg", "ordId", "clOrdId"]), inner
        )
    ),
    max_leaves=12,
)
ROW = st.fixed_dictionaries(
    {"sCode": CODE, "ordId": st.sampled_from(["", "42"])},
    optional={"clOrdId": st.sampled_from(["", OURS, "another"]), "sMsg": ANYTHING},
)
ENVELOPE = st.fixed_dictionaries(
    {"code": CODE, "data": st.lists(ROW, max_size=2), "msg": st.text(max_size=5)}
)


def judged(payload: Any) -> Accepted | Refused | Unknown:
    reply = Reply(payload, JUDGE.verdict(payload))
    return placed(reply, "ordId", ours=("clOrdId", OURS))


@given(ANYTHING | ENVELOPE)
def test_success_needs_an_id_and_refusal_a_code_that_means_one(payload: Any) -> None:
    outcome = judged(payload)

    if isinstance(outcome, Accepted):
        assert payload["code"] in {"0", "2"}
        (row,) = payload["data"]
        assert (row["sCode"], row["ordId"]) == ("0", outcome.venue_order_id)
        assert row.get("clOrdId") in {None, "", OURS}
    elif isinstance(outcome, Refused):
        assert code_of(outcome.code).verdict not in {Verdict.UNKNOWN, Verdict.DOWN, Verdict.FINE}
        said = (
            {payload["code"], *(row.get("sCode") for row in payload["data"] or [])}
            if (isinstance(payload.get("data"), list))
            else {payload["code"]}
        )
        assert outcome.code in said


@given(ANYTHING | ENVELOPE)
def test_a_read_is_believed_only_with_code_0_and_rows(payload: Any) -> None:
    rows = read(Reply(payload, JUDGE.verdict(payload)), lambda rows: rows)

    if not isinstance(rows, Unknown):
        assert payload["code"] == "0"
        assert all(isinstance(row, dict) for row in rows)


@given(st.text(max_size=10), st.booleans())
def test_silence_is_a_refusal_only_if_nothing_left(why: str, left: bool) -> None:
    assert isinstance(placed(Silence(why, left), "ordId"), Unknown if left else Refused)
    assert isinstance(read(Silence(why, left), lambda rows: rows), Unknown)


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        ({"code": "0", "data": [{"sCode": "0"}]}, Verdict.FINE),
        ({"code": "1", "data": [{"sCode": "51008"}]}, Verdict.FINE),
        ({"code": "1", "data": [{"sCode": "50011"}]}, Verdict.LIMITED),
        ({"code": "1", "data": [{"sCode": "50001"}]}, Verdict.DOWN),
        ({"code": "2", "data": [{"sCode": "50011"}, {"sCode": "0"}]}, Verdict.FINE),
        ({"code": "50011", "data": []}, Verdict.LIMITED),
        ({"code": "50102", "data": []}, Verdict.SKEWED),
        ({"code": "50113", "data": []}, Verdict.LOGIN),
        ({"code": "50001", "data": []}, Verdict.DOWN),
        ({}, Verdict.UNKNOWN),
        ([], Verdict.UNKNOWN),
    ],
)
def test_what_an_envelope_says_of_the_connection(payload: Any, verdict: Verdict) -> None:
    assert JUDGE.verdict(payload) is verdict


def test_only_what_was_turned_away_at_the_door_may_be_sent_again() -> None:
    again = {Verdict.LIMITED, Verdict.SKEWED}

    assert {code for code, each in CODES.items() if each.verdict in again} == {
        "50011",
        "50061",
        "50102",
        "50112",
        "60004",  # of a websocket's login
        "60006",
    }
