"""Whether a silent symbol is quiet or stale: the rules one by one, then over random histories."""

import itertools
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.freshness import (
    Answer,
    Freshness,
    FreshnessRules,
    Heard,
    Trust,
    answered,
    asked,
    is_due,
    is_same,
    look,
    reconnected,
)

RULES = FreshnessRules()
LIVE = Freshness(trust=Trust.LIVE, why="")


def after(answer: Answer, heard: Heard, fresh: Freshness = LIVE, now_s: float = 103.0) -> Freshness:
    return answered(asked(fresh, now_s), answer, heard, now_s + 0.1, RULES)


SILENT = Heard(price="100.0", new_s=100, any_s=100)


def test_a_symbol_is_asked_for_when_it_told_nothing_new_for_three_seconds():
    assert not is_due(LIVE, SILENT, 102.9, RULES)
    assert is_due(LIVE, SILENT, 103, RULES)
    assert is_due(LIVE, replace(SILENT, any_s=102.99), 103, RULES)  # quotes, or the same price
    assert not is_due(asked(LIVE, 103), SILENT, 104, RULES)


def test_the_same_price_in_other_zeros_is_quiet():
    fresh = after(Answer("100.00000000"), SILENT)
    assert (fresh.trust, fresh.why) == (Trust.QUIET, "")
    assert is_same("100", "100.0")
    assert not is_same("100", "100.01")


def test_another_price_is_stale_and_the_stream_gets_a_second_to_tell_it():
    fresh = after(Answer("101"), SILENT)
    assert fresh.trust is Trust.STALE
    assert fresh.why == "the venue says 101, the stream 100.0"
    assert not fresh.wants_renewal(103.9, RULES)
    assert fresh.wants_renewal(104.2, RULES)
    assert look(fresh, replace(SILENT, price="101", new_s=103.5), 104).trust is Trust.LIVE


def test_no_answer_is_stale_and_no_reason_to_connect_anew():
    fresh = after(Answer(None, "HTTP 502"), SILENT)
    assert fresh.trust is Trust.STALE
    assert "HTTP 502" in fresh.why
    assert not fresh.wants_renewal(inf, RULES)
    assert after(Answer("100"), SILENT, fresh, 105).trust is Trust.QUIET


def test_an_answer_older_than_a_new_price_means_nothing():
    fresh = answered(asked(LIVE, 103), Answer("99"), replace(SILENT, new_s=103.05), 103.1, RULES)
    assert fresh.trust is Trust.LIVE


def test_agreement_does_not_excuse_a_stream_that_missed_a_price_and_says_nothing():
    missed = after(Answer("101"), SILENT)
    assert after(Answer("100"), SILENT, missed, 105).trust is Trust.STALE
    speaks = replace(SILENT, any_s=104.5)
    assert after(Answer("100"), speaks, missed, 105).trust is Trust.QUIET


def test_a_connection_that_is_back_starts_anew():
    fresh = reconnected(after(Answer("101"), SILENT))
    assert (fresh.trust, fresh.missed) == (Trust.STALE, False)
    assert is_due(fresh, SILENT, 103.2, RULES)
    assert after(Answer("100"), SILENT, fresh, 104).trust is Trust.QUIET


def test_while_the_stream_is_down_only_held_symbols_are_asked_for():
    down = look(LIVE, replace(SILENT, connected=False), 101)
    assert down.trust is Trust.STALE
    assert not is_due(down, replace(SILENT, connected=False), 102, RULES)
    held = replace(SILENT, connected=False, held=True)
    assert is_due(down, held, 102, RULES)
    assert after(Answer("100"), held, down).trust is Trust.STALE


def test_a_quiet_symbol_is_asked_less_and_less_often_unless_somebody_holds_it():
    def gaps(*, held: bool) -> list[float]:
        fresh, heard, now_s, times = LIVE, replace(SILENT, held=held), 103.0, []
        for _ in range(6):
            while not is_due(fresh, heard, now_s, RULES):
                now_s += 0.25
            times.append(now_s)
            fresh = answered(asked(fresh, now_s), Answer("100"), heard, now_s, RULES)
        return [later - at for at, later in itertools.pairwise(times)]

    assert gaps(held=False) == [3, 6, 12, 12, 12]
    assert gaps(held=True) == [3] * 5


# --- random histories ---

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.sampled_from(["100", "101", "100.0"])),
        st.tuples(st.just("quote"), st.none()),
        st.tuples(st.just("down"), st.none()),
        st.tuples(st.just("up"), st.none()),
        st.tuples(st.just("hold"), st.booleans()),
        st.tuples(st.just("answer"), st.sampled_from(["100", "101", "102", None])),
        st.tuples(st.just("wait"), st.floats(0.01, 10)),
    ),
    max_size=60,
)


class Story:
    """Runs the rules as the feed does; remembers what an onlooker would."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.heard = Heard(connected=False)
        self.fresh = Freshness()
        self.asks: list[float] = []
        self.last_answer: str | None = None
        self.news_since_answer = False

    def happen(self, kind: str, value: object) -> None:
        self.now_s += 0.001
        heard = self.heard
        match kind:
            case "trade" if heard.connected:
                if value != heard.price:
                    self.heard = replace(heard, price=value, new_s=self.now_s)
                    self.news_since_answer = True
                self.heard = replace(self.heard, any_s=self.now_s)
            case "quote" if heard.connected:
                self.heard = replace(heard, any_s=self.now_s)
            case "down":
                self.heard = replace(heard, connected=False)
            case "up" if not heard.connected:
                self.heard = replace(heard, connected=True)
                self.fresh = reconnected(self.fresh)
            case "hold":
                self.heard = replace(heard, held=value)
            case "wait":
                self.now_s += value
            case "answer" if self.fresh.asked_s is not None:
                self.last_answer, self.news_since_answer = value, heard.new_s > self.fresh.asked_s
                answer = Answer(value, "no answer")
                self.fresh = answered(self.fresh, answer, heard, self.now_s, RULES)
        self.fresh = look(self.fresh, self.heard, self.now_s)
        if is_due(self.fresh, self.heard, self.now_s, RULES):
            self.fresh = asked(self.fresh, self.now_s)
            self.asks.append(self.now_s)


@given(EVENTS)
def test_nothing_is_relied_on_without_a_connection_a_price_and_no_contradiction(events):
    story = Story()
    for kind, value in events:
        story.happen(kind, value)
        if story.fresh.trust is not Trust.STALE:
            assert story.heard.connected
            assert story.heard.price
        if story.fresh.trust is Trust.QUIET:
            assert story.last_answer is not None
            assert is_same(story.last_answer, story.heard.price)
        if story.heard.connected and story.news_since_answer:
            assert story.fresh.trust is not Trust.QUIET


@given(EVENTS)
def test_the_venue_is_asked_one_question_at_a_time_and_not_faster_than_the_poll(events):
    story = Story()
    for kind, value in events:
        story.happen(kind, value)
    gaps = [later - at for at, later in zip(story.asks, story.asks[1:], strict=False)]
    ups = sum(1 for kind, _ in events if kind == "up")  # each may be asked about at once
    assert sum(1 for gap in gaps if gap < RULES.poll_s) <= ups


@given(EVENTS)
def test_a_silent_stream_is_found_out_or_found_right_whatever_went_before(events):
    story = Story()
    for kind, value in [*events, ("up", None), ("trade", "100"), ("trade", "101")]:
        story.happen(kind, value)
    moved = Story.__new__(Story)
    moved.__dict__.update(story.__dict__)
    for one, price in ((story, "101"), (moved, "102")):
        for _ in range(40):
            one.happen("wait", 1.0)
            one.happen("answer", price)
    assert story.fresh.trust is Trust.QUIET
    assert moved.fresh.trust is Trust.STALE
    assert moved.fresh.wants_renewal(moved.now_s, RULES)


def test_a_stream_that_is_lost_right_after_it_came_back_is_stale_since_then():
    came_back = Freshness(since_s=90.0)
    heard = Heard(price="100.0", new_s=100, any_s=100, connected=False)
    lost = look(came_back, heard, 100.5)
    assert (lost.trust, lost.since_s) == (Trust.STALE, 100.5)
    assert look(lost, heard, 101.0).since_s == 100.5
