"""A real daemon and a venue on loopback: what prices do while nobody watches, or nobody tells."""

import json
import time

import pytest

from daemon.admin_requests import Market, Open
from domain.instrument import Direction
from tests.e2e.harness import Daemon, Processes, wait_until
from tests.e2e.venue import LocalVenue

CONFIG = """
market:
  source: binance
  kind: spot
  symbols: [BTC/USDT]
  url: {ws}
  rest_url: {rest}
paper: {{slippage: 0, latency_ms: 0, partial_fill_chance: 0}}
limits: {{max_stop_distance_ratio: 90%}}
metrics: {{port: 0}}
log: {{format: json}}
"""


@pytest.fixture
def venue():
    with LocalVenue("60000.00") as venue:
        yield venue


@pytest.fixture
def processes(tmp_path):
    with Processes(tmp_path) as processes:
        yield processes


def run(processes: Processes, venue: LocalVenue) -> Daemon:
    return processes.run(CONFIG.format(ws=venue.ws_url, rest=venue.rest_url))


def may_open(daemon: Daemon) -> bool:
    status = daemon.status()
    return status["mode"] == "NORMAL" and status["prices"][0]["is_fresh"]


def opened(daemon: Daemon, **rules) -> str:
    wait_until(lambda: may_open(daemon), 10, "entries are allowed")
    request = Open(symbol="BTC/USDT", direction=Direction.LONG, notional="600", **rules)
    found = daemon.ask(request)["position"]
    wait_until(
        lambda: daemon.position(found["id"])["status"] == "open_protected", 10, "it is guarded"
    )
    return found["id"]


def told(daemon: Daemon, event: str) -> list[dict]:
    lines = [json.loads(line) for line in daemon.process.text().splitlines() if line[:1] == "{"]
    return [line for line in lines if line["event"] == event]


def test_a_stop_that_was_crossed_while_the_daemon_was_dead_fires_when_it_lives_again(
    processes, venue
):
    daemon = run(processes, venue)
    crossed = opened(daemon, stop="59000")
    untouched = opened(daemon, stop="50000")
    time.sleep(1.2)  # so that a whole second of candles begins after the arming
    daemon.process.kill()
    venue.price = "58900.00"
    time.sleep(2.5)
    venue.price = "60100.00"
    time.sleep(1.5)

    daemon = run(processes, venue)
    wait_until(lambda: daemon.position(crossed)["status"] == "closed", 15, "the stop has fired")
    position = daemon.position(crossed)
    assert position["exit_reason"] == "STOP_LOSS"
    assert position["fills"][-1]["price"] == "60100"  # the next one there was, not the wished one
    trigger = position["exits"][0]["trigger"]
    assert (trigger["price"], trigger["level"]) == ("58900", "59000")
    assert trigger["while_down"] is True
    assert trigger["tick_id"].startswith("1s candle of 2")
    assert daemon.position(untouched)["status"] == "open_protected"

    wait_until(lambda: daemon.status()["downtime"] is not None, 10, "the downtime is on record")
    downtime = daemon.status()["downtime"]
    assert (downtime["positions"], downtime["stops"], downtime["unchecked"]) == (2, 1, {})
    (line,) = told(daemon, "downtime_checked")
    assert (line["positions"], line["stops"]) == (2, 1)
    assert 3 < line["offline_s"] < 60
    story = daemon.cli("why", crossed)["events"]
    assert "DowntimeJudged" in [event["event"] for event in story]
    assert may_open(daemon)


def test_a_stream_that_is_alive_and_silent_does_not_blind_a_stop(processes, venue):
    daemon = run(processes, venue)
    position = opened(daemon, stop="59000")
    venue.is_silent = True
    venue.price = "59500.00"
    wait_until(lambda: not daemon.status()["prices"][0]["is_fresh"], 20, "the price is stale")
    wait_until(
        lambda: daemon.ask(Market(symbol="BTC/USDT"))["market"]["last"]["price"] == "59500.00",
        20,
        "the price was asked for",
    )
    market = daemon.ask(Market(symbol="BTC/USDT"))["market"]
    assert market["is_fresh"] is False
    assert "book" in market["failed"]
    venue.price = "58950.00"
    wait_until(lambda: daemon.position(position)["status"] == "closed", 20, "the stop has fired")
    trigger = daemon.position(position)["exits"][0]["trigger"]
    assert (trigger["price"], trigger["tick_id"]) == ("58950", "asked")
    venue.is_silent = False
    wait_until(lambda: may_open(daemon), 20, "the stream is believed again")
