"""The dashboard asks for metrics that exist, in a language that Prometheus reads."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml
from prometheus_client.parser import text_string_to_metric_families

from daemon.metrics import Metrics
from tests.deploy.prometheus import DEPLOY, needs_prometheus, rules, well

DASHBOARD = DEPLOY / "grafana" / "holdfast.json"
_METRIC = re.compile(r"\b([a-z][a-z0-9_]+)\{|\b([a-z]+_[a-z0-9_]+)\b(?!\s*[(=~])")
_WORDS = {"histogram_quantile", "count_over_time"}


def expressions() -> Iterator[str]:
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["expr"]


def exposed() -> set[str]:
    metrics = Metrics()
    metrics.order_sent("paper", "market", "accepted", 0.03)
    metrics.committed(1, 0.001)
    return {
        sample.name
        for family in text_string_to_metric_families(metrics.exposition(everything).decode())
        for sample in family.samples
    }


def everything():
    return msgspec.structs.replace(well(), causes=("FEED_DOWN",))


def metrics_in(expression: str) -> set[str]:
    plain = re.sub(r'"[^"]*"|\[[^]]*\]|by \([^)]*\)', "", expression)
    found = {one or other for one, other in _METRIC.findall(plain)}
    return found - _WORDS


def test_what_dashboard_and_alarms_ask_for_is_exposed() -> None:
    names = exposed()

    asked = {name for expression in expressions() for name in metrics_in(expression)}
    alarmed = {name for rule in rules() for name in metrics_in(rule["expr"])} - {"up"}

    assert len(asked) >= 20
    assert len(alarmed) >= 15
    assert asked | alarmed <= names


@needs_prometheus
def test_prometheus_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    written = [
        {"record": f"panel:{number}", "expr": _filled(expression)}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": written}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", str(path)], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_panels_do_not_overlap() -> None:
    board = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in board["panels"]]
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len(set(ids)) == len(ids)


def _filled(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m").replace("$job", "holdfast")


def test_the_documentation_lists_every_metric_and_no_other() -> None:
    text = (DEPLOY.parent / "docs" / "monitoring.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}

    families = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in exposed()
        if not name.startswith("process_")
    }

    assert listed == families
