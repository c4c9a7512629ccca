"""Metrics, read with Prometheus' own parser, in process and over HTTP."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.world import Telemetry
from daemon.errors import StartError
from daemon.metrics import Metrics, Observed
from daemon.metrics_server import MetricsServer
from daemon.vitals import Vitals


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float:
    return samples(text)[name, tuple(sorted(labels.items()))]


def everything() -> Observed:
    return Observed(
        mode=1,
        equity=9_950.5,
        drawdown_ratio=0.0125,
        positions_open={("trend", "LONG"): 2, ("manual", "SHORT"): 1},
        unprotected_s=1.5,
        feed_age_s={"BTC/USDT": 0.2},
        mailbox_depth={"position": 3},
        actor_restarts={"feed": 1},
        dead_letters=4,
        ticks=1_000_000,
        bad_frames=3,
        loop_lag_s={"0.99": 0.003},
        unknown_orders=0,
    )


def test_actors_may_report_to_it() -> None:
    telemetry: Telemetry = Metrics()

    telemetry.alarm("UNPROTECTED", "…")


def test_orders_are_counted_and_timed() -> None:
    metrics = Metrics()
    metrics.order_sent("paper", "market", "accepted", 0.03)
    metrics.order_sent("paper", "market", "accepted", 0.15)
    metrics.order_sent("paper", "limit", "refused", 99.0)
    metrics.order_ended("paper", "filled")

    text = metrics.exposition(Observed)

    assert value(text, "orders_total", venue="paper", status="accepted") == 2
    assert value(text, "orders_total", venue="paper", status="refused") == 1
    assert value(text, "orders_total", venue="paper", status="filled") == 1
    market = {"venue": "paper", "type": "market"}
    assert value(text, "order_latency_seconds_bucket", le="0.025", **market) == 0
    assert value(text, "order_latency_seconds_bucket", le="0.05", **market) == 1
    assert value(text, "order_latency_seconds_bucket", le="0.2", **market) == 2
    assert value(text, "order_latency_seconds_bucket", le="+Inf", **market) == 2
    assert value(text, "order_latency_seconds_sum", **market) == pytest.approx(0.18)
    limit = {"venue": "paper", "type": "limit"}
    assert value(text, "order_latency_seconds_bucket", le="10.0", **limit) == 0
    assert value(text, "order_latency_seconds_count", **limit) == 1


def test_a_value_on_a_bound_counts_below_it() -> None:
    metrics = Metrics()
    metrics.committed(64, 0.001)

    text = metrics.exposition(Observed)

    assert value(text, "journal_commit_seconds_bucket", le="0.001") == 1
    assert value(text, "journal_rows_total") == 64


def test_evaluations_and_alarms_are_counted() -> None:
    metrics = Metrics()
    metrics.evaluated("LONG")
    metrics.evaluated("LONG")
    metrics.alarm("UNKNOWN_ORDER", "…")

    text = metrics.exposition(Observed)

    assert value(text, "scheduler_evaluations_total", result="LONG") == 2
    assert value(text, "alarms_total", code="UNKNOWN_ORDER") == 1


def test_what_has_a_current_value_is_read_at_the_scrape() -> None:
    text = Metrics().exposition(everything)

    assert value(text, "mode") == 1
    assert value(text, "portfolio_equity") == 9_950.5
    assert value(text, "portfolio_drawdown_pct") == 1.25
    assert value(text, "positions_open", trader="trend", side="LONG") == 2
    assert value(text, "position_unprotected_seconds") == 1.5
    assert value(text, "feed_age_seconds", symbol="BTC/USDT") == 0.2
    assert value(text, "mailbox_depth", actor="position") == 3
    assert value(text, "actor_restarts_total", actor="feed") == 1
    assert value(text, "dead_letters_total") == 4
    assert value(text, "ticks_total") == 1_000_000
    assert value(text, "bad_frames_total") == 3
    assert value(text, "loop_lag_seconds", quantile="0.99") == 0.003
    assert value(text, "orders_unknown") == 0


def test_the_line_to_a_venue_is_shown_where_there_is_one() -> None:
    now = Observed(
        venue="okx-demo",
        environment="demo",
        version="1",
        venue_up=True,
        venue_stream_up=False,
        venue_clock_offset_s=-0.25,
        venue_budget_used=0.5,
        venue_checked_age_s=12.0,
    )
    text = Metrics().exposition(lambda: now)

    assert (value(text, "venue_up"), value(text, "venue_stream_up")) == (1, 0)
    assert value(text, "venue_clock_offset_seconds") == -0.25
    assert value(text, "venue_rate_budget_used_ratio") == 0.5
    assert value(text, "venue_checked_age_seconds") == 12
    assert value(text, "holdfast_info", version="1", venue="okx-demo", environment="demo") == 1
    assert "venue_up" not in {name for name, _ in samples(Metrics().exposition(everything))}


def test_what_is_not_known_is_not_shown() -> None:
    names = {name for name, _ in samples(Metrics().exposition(Observed))}

    assert "portfolio_equity" not in names
    assert "mode" not in names


def test_labels_may_be_anything() -> None:
    strange = 'a"b\\c\nd'

    text = Metrics().exposition(lambda: Observed(feed_age_s={strange: 1.0}))

    assert value(text, "feed_age_seconds", symbol=strange) == 1.0


def test_importing_it_does_not_import_the_library() -> None:
    code = (
        "import daemon.metrics, daemon.metrics_server, sys; "
        "print('prometheus_client' in sys.modules)"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert output.stdout == b"False\n"


# --- over HTTP ---


def well() -> Vitals:
    return Vitals(loop_late_s=0.001)


@asynccontextmanager
async def served(observe: Any = everything, **settings: Any) -> AsyncIterator[MetricsServer]:
    server = MetricsServer(Metrics(), observe, settings.pop("look", well), **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def asked(server: MetricsServer, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def got(path: str, host: str = "127.0.0.1:9464") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()


def test_a_scrape_over_http_gives_the_same_text() -> None:
    async def scenario() -> None:
        async with served() as server:
            status, body = await asked(server, got("/metrics"))
            assert status == 200
            assert value(body, "portfolio_equity") == 9_950.5

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (got("/livez"), 200),
        (got("/readyz"), 200),
        (got("/metrics?x=1"), 200),
        (b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (got("/"), 404),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (got("/metrics", host="evil.example:9464"), 403),
        (got("/metrics", host="localhost"), 200),
        (got("/metrics", host="[::1]:9464"), 200),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"\x00\x01\xff\r\n\r\n", 405),
        (b"GET /livez HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_requests_are_answered_by_the_book(request_bytes: bytes, status: int) -> None:
    async def scenario() -> None:
        async with served() as server:
            assert (await asked(server, request_bytes))[0] == status

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("vitals", "live", "ready"),
    [
        (Vitals(loop_late_s=0.001), 200, 200),
        (Vitals(loop_late_s=0.001, account_open=False), 200, 503),
        (Vitals(loop_late_s=6.0), 503, 503),
    ],
)
def test_probes_answer_with_a_verdict_and_its_reasons(
    vitals: Vitals, live: int, ready: int
) -> None:
    async def scenario() -> None:
        async with served(look=lambda: vitals) as server:
            for path, name, expected in (("/livez", "live", live), ("/readyz", "ready", ready)):
                status, body = await asked(server, got(path))
                verdict = json.loads(body)
                assert status == expected
                assert verdict[name] is (expected == 200)
                assert all(each["ok"] for each in verdict["checks"]) is (expected == 200)
                assert {"loop", "actors", "journal", "guards"} <= {
                    each["what"] for each in verdict["checks"]
                }
                assert (await asked(server, b"HEAD" + got(path)[3:])) == (expected, b"")

    asyncio.run(scenario())


def test_a_client_that_says_nothing_harms_nobody() -> None:
    async def scenario() -> None:
        async with served() as server:
            silent, silent_writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert (await asked(server, got("/livez")))[0] == 200
            await server.close()
            assert await silent.read() == b""
            silent_writer.close()
            await silent_writer.wait_closed()

    asyncio.run(scenario())


def test_a_taken_port_is_an_error_that_names_the_key() -> None:
    async def scenario() -> None:
        async with served() as first:
            second = MetricsServer(Metrics(), everything, well, port=first.port)
            with pytest.raises(StartError) as error:
                await second.start()
        assert error.value.refusal.rule == "METRICS_PORT_IN_USE"
        assert "metrics.port" in error.value.refusal.remedy

    asyncio.run(scenario())


def test_an_address_of_another_machine_is_an_error_too() -> None:
    async def scenario() -> None:
        server = MetricsServer(Metrics(), everything, well, host="192.0.2.1")
        with pytest.raises(StartError) as error:
            await server.start()
        assert error.value.refusal.rule == "METRICS_ADDRESS_UNUSABLE"

    asyncio.run(scenario())
