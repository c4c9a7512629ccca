"""What a strategy says may be anything; what is taken from it can be kept and read again."""

from decimal import Decimal
from math import inf, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import ProtectionPlan, TargetPlan
from domain.instrument import Direction, PriceSource
from strategies import Action, Decision, add, enter, go_long, watch
from strategies.base import checked

D = Decimal


class OwnDecimal(Decimal):
    """As a library may have one."""


class OwnFloat(float):
    """As numpy has one."""


def held_for(seconds):
    return enter(Direction.LONG, "so", ProtectionPlan(stop_price=D(90), max_holding_s=seconds))


def watching(source):
    return enter(Direction.LONG, "so", ProtectionPlan(stop_price=D(90), target_watches=source))


def test_what_is_right_stays_as_it_is():
    plan = ProtectionPlan(
        stop_price=D("90.10"),
        targets=(TargetPlan(D(110), D("0.5")),),
        max_holding_s=60.0,
        watches=PriceSource.MARK,
    )
    decision = enter(Direction.LONG, "so", plan, confidence=D("0.7"), volatility=D("1.5"))

    assert checked(decision) == decision


def test_what_is_meant_gets_the_type_that_it_is_declared_with():
    plan = ProtectionPlan(
        stop_price=90,
        targets=[TargetPlan(110.5, 0.1)],
        trail_ratio=0.02,
        max_holding_s=60,
        target_watches="mark",
    )

    made = checked(enter(Direction.LONG, "so", plan, confidence=0.7))

    assert repr(made.confidence) == "Decimal('0.7')"
    assert made.plan == ProtectionPlan(
        stop_price=D(90),
        targets=(TargetPlan(D("110.5"), D("0.1")),),
        trail_ratio=D("0.02"),
        max_holding_s=60.0,
        target_watches=PriceSource.MARK,
    )


@pytest.mark.parametrize(
    "decision",
    [
        watch(None),
        watch(7),
        watch(61_234.5),
        watch(ValueError("x")),
        watch("half a pair: \ud800"),
        watch("so", confidence=True),
        watch("so", confidence=OwnDecimal("0.7")),
        add("so", volatility=OwnFloat(1.5)),
        add("so", volatility=nan),
        add("so", volatility=D("-Infinity")),
        add("so", limit_price=D("sNaN")),
        add("so", limit_price="NaN"),
        add("so", limit_price=D("1e400")),
        go_long("so", stop_price=inf),
        go_long("so", stop_price=D(90), trail_ratio="a lot"),
        go_long("so", stop_price=D(90), targets=(TargetPlan(D(110), nan),)),
        go_long("so", stop_price=D(90), targets=((D(110), D(1)),)),
        held_for("60"),
        held_for(D(60)),
        held_for(nan),
        held_for(inf),
        watching("foo"),
        "CLOSE",
        Action.CLOSE,
        {},
        7,
    ],
    ids=str,
)
def test_what_is_none_is_refused(decision):
    with pytest.raises((TypeError, ValueError)):
        checked(decision)


_anything = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.decimals(allow_nan=True)
        | st.text(st.characters())
        | st.sampled_from(["0.5", "last", "\ud800", OwnDecimal("0.5"), OwnFloat(0.5), object()])
        | st.binary()
        | st.lists(_anything, max_size=3)
    )
)
_numbers = st.none() | st.decimals("0.01", 1000, places=3) | st.floats(0.01, 1) | _anything
_targets = st.lists(st.builds(TargetPlan, _numbers, _numbers), max_size=2) | _anything
_plans = (
    st.builds(
        ProtectionPlan,
        stop_price=_numbers,
        targets=_targets,
        trail_ratio=_numbers,
        trail_distance=_numbers,
        breakeven_price=_numbers,
        max_holding_s=_numbers,
        watches=st.sampled_from(PriceSource) | _anything,
        stop_watches=st.sampled_from(PriceSource) | _anything,
        target_watches=st.sampled_from(PriceSource) | _anything,
    )
    | _anything
)


@given(
    st.sampled_from(Action),
    st.text() | _anything,
    _numbers,
    _plans,
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("limit_price", "volatility", "part", "stop_price"), _numbers),
    ),
)
def test_whatever_is_said_it_is_refused_or_can_be_written_and_read(
    action, rationale, confidence, plan, more
):
    try:
        made = checked(Decision(action, rationale, confidence, plan, **more))
    except Exception:  # noqa: BLE001  it fails in the evaluation
        return

    assert msgspec.json.decode(msgspec.json.encode(made), type=Decision) == made
