"""Every alarm fires at what it is for, in a real Prometheus, and at nothing else."""

import asyncio
import subprocess
from pathlib import Path

import msgspec
import pytest

from daemon.metrics import Metrics
from tests.deploy.prometheus import DEPLOY, RULES, needs_prometheus, rules, scraped, well

DOCS = DEPLOY.parent / "docs"


class Trouble:
    """A daemon in every trouble that can be had at once; each scrape is worse."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.began = False
        self.fenced = False
        self.scrapes = 0
        self.hoard: list[bytearray] = []

    def observe(self):
        now = well()
        if not self.began:
            return now
        self.scrapes += 1
        self.hoard.append(bytearray(b"x") * 1_000_000)  # touched, so it is resident
        for status in ("rejected", "denied", "absent"):
            self.metrics.order_ended("paper", status)
        self.metrics.order_sent("paper", "market", "accepted", 4.0)
        self.metrics.committed(1, 0.9)
        self.metrics.evaluated("failed")
        for code in ("QUARANTINED", "EXIT_FAILED", "FOREIGN_ORDER"):
            self.metrics.alarm(code, "")
        return msgspec.structs.replace(
            now,
            mode=3 if self.fenced else 2,
            causes=("KILL_SWITCH", "JOURNAL_DOWN"),
            feed_connected=False,
            drawdown_ratio=0.08,
            unprotected_s=6.0,
            feed_age_s={"BTC/USDT": 31.0},
            feed_stale={"BTC/USDT": 1.0},
            mailbox_depth={"position": 6_000},
            actor_restarts={"feed": 3 * self.scrapes},
            dead_letters=200 * self.scrapes,
            loop_lag_s={"0.99": 0.3},
            unknown_orders=1,
            venue_up=False,
            venue_stream_up=False,
            venue_clock_offset_s=-60.0,
        )


@needs_prometheus
@pytest.mark.timeout(120)
def test_a_daemon_that_is_well_raises_none_and_one_in_trouble_raises_all(tmp_path: Path) -> None:
    trouble = Trouble()
    all_names = {rule["alert"] for rule in rules()}

    async def scenario() -> None:
        async with scraped(tmp_path, trouble.metrics, trouble.observe) as (prometheus, server):
            await prometheus.until(prometheus.scrapes, 5)
            assert await prometheus.firing() == set()
            trouble.began = True
            await prometheus.until(prometheus.firing, all_names - {"HoldfastDown", "Fenced"})
            trouble.fenced = True
            await prometheus.until(prometheus.firing, {"Fenced"})
            await server.close()
            await prometheus.until(prometheus.firing, {"HoldfastDown"})

    asyncio.run(scenario())


@needs_prometheus
def test_promtool_finds_nothing_wrong_with_the_rules_and_their_waiting_times() -> None:
    for command in (
        ["promtool", "check", "rules", str(RULES)],
        ["promtool", "test", "rules", str(RULES.with_name("alerts_test.yml"))],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_has_its_place_in_the_runbook() -> None:
    headings = {
        line.removeprefix("### ").strip()
        for line in (DOCS / "runbook.md").read_text().splitlines()
        if line.startswith("### ")
    }

    assert {rule["alert"] for rule in rules()} <= headings
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}
