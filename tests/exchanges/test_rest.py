"""Asking public REST: what is believed, what is not, and how often anybody is asked."""

import asyncio

import pytest

from exchanges.port import Unknown
from exchanges.rest import LieError, RestSettings, fields_of
from runtime.clocks import SystemClock
from tests.exchanges.http_server import HTML, Venue, asking, reply


def ask(run, says: bytes, times: int = 1, **settings):
    venue = Venue({"/a": says})

    async def work():
        async with asking(venue, **settings) as rest:
            return [await rest.ask(fields_of, "/a", b=1) for _ in range(times)]

    answers = run(work())
    return answers if times > 1 else answers[0], venue


def test_json_is_handed_to_the_reader_and_its_value_comes_back(run):
    answer, venue = ask(run, reply({"c": "2"}))
    assert answer == {"c": "2"}
    assert venue.asked == [("/a", {"b": "1"})]


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (reply(HTML), "not JSON: <html>"),
        (reply(b""), "not JSON"),
        (reply(b'{"c": "2"'), "not JSON"),
        (reply(b'{"c": NaN}'), "not JSON"),
        (reply([1]), "a list, where an object is expected"),
        (reply(HTML, 502), "HTTP 502: <html>"),
        (reply({"c": "2"}, 503), "HTTP 503"),
        (reply({"c": "2"}, 302), "HTTP 302"),
        (reply({"code": -1121, "msg": "Invalid symbol."}, 400), "Invalid symbol"),
        (reply({"c": "2"})[:-3], "the answer broke off"),
    ],
)
def test_what_is_no_answer_is_unknown_with_its_reason(run, says, why):
    answer, _ = ask(run, says)
    assert isinstance(answer, Unknown)
    assert answer.why.startswith("/a: ")
    assert why in answer.why


def test_a_reader_that_sees_a_lie_makes_it_unknown(run):
    def read(_answer):
        raise LieError("about another symbol")

    async def work():
        async with asking(Venue({"/a": reply({})})) as rest:
            return await rest.ask(read, "/a")

    assert run(work()) == Unknown("/a: about another symbol")


@pytest.mark.parametrize("status", [418, 429])
def test_a_venue_that_wants_no_more_is_left_alone_for_as_long_as_it_says(run, status):
    answers, venue = ask(run, reply({}, status, Retry_After="120"), times=3)
    assert len(venue.asked) == 1
    assert "no requests for 120 s" in answers[0].why
    assert all("wants no more requests for" in each.why for each in answers[1:])


def test_after_that_it_is_asked_again(run):
    venue = Venue({"/a": reply({}, 429, Retry_After="0")})

    async def work():
        async with asking(venue) as rest:
            first = await rest.ask(fields_of, "/a")
            venue.says["/a"] = reply({"c": 1})
            return first, await rest.ask(fields_of, "/a")

    first, second = run(work())
    assert isinstance(first, Unknown)
    assert second == {"c": 1}


@pytest.mark.parametrize("text", ["soon", "-5", "", "1e9"])
def test_a_nonsensical_retry_after_is_ten_seconds(run, text):
    answer, _ = ask(run, reply({}, 429, Retry_After=text))
    assert "no requests for 10 s" in answer.why


def test_few_are_asked_at_a_time_and_few_a_second(run):
    venue = Venue({"/a": reply({})})

    async def work():
        async with asking(venue, per_second=50.0, at_once=2) as rest:
            began_s = SystemClock().monotonic()
            answers = await asyncio.gather(*(rest.ask(fields_of, "/a") for _ in range(11)))
            return answers, SystemClock().monotonic() - began_s

    answers, took_s = run(work())
    assert answers == [{}] * 11
    assert venue.most_at_once <= 2
    assert took_s >= 10 / 50


def test_waiting_for_a_turn_counts_toward_the_deadline(run):
    venue = Venue({"/a": reply({})})

    async def work():
        async with asking(venue, per_second=0.1, deadline_s=0.3) as rest:
            return [await rest.ask(fields_of, "/a") for _ in range(2)]

    assert run(work()) == [{}, Unknown("/a: timed out")]


def test_the_limits_are_far_below_those_of_the_venues():
    settings = RestSettings()
    assert settings.per_second <= 10  # OKX: 10 candles a second; Binance: 40 weight a second
