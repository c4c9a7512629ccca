"""`holdfast sandbox`: it says where it is, answers there, and ends when asked to."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from daemon.cli.program import build
from tests.e2e.harness import HOLDFAST

CONFIG = Path(__file__).parents[2] / "config.yaml"
pytestmark = pytest.mark.e2e


@contextmanager
def sandbox(*options: str) -> Iterator[subprocess.Popen]:
    command = [HOLDFAST, "sandbox", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def fetch(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def told(process: subprocess.Popen, last: str) -> str:
    """Return what it printed up to the line that begins with `last`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(last):
            break
    return "".join(lines)


def test_it_serves_where_it_says_and_ends_at_ctrl_c() -> None:
    with sandbox("--json", "--symbols", "BTC,eth", "--balance", "500") as process:
        facts = json.loads(told(process, "}"))

        time = fetch(facts["rest"] + "/api/v5/public/time")
        ledger = fetch(facts["control"] + "/ledger")

        assert time["code"] == "0"
        assert ledger["balances"] == {"USDT": {"cash": "500", "frozen": "0"}}
        assert facts["instruments"] == ["BTC-USDT", "BTC-USDT-SWAP", "ETH-USDT", "ETH-USDT-SWAP"]


def test_it_prints_the_configuration_that_a_daemon_needs(tmp_path) -> None:
    with sandbox("--symbols", "BTC") as process:
        text = told(process, "What can be done")

        snippet = text.partition("configuration:\n")[2].partition("\nWhat can")[0]
        config = yaml.safe_load(snippet)
        file = tmp_path / "config.yaml"
        file.write_text(snippet.replace("\n  ", "\n").removeprefix("  "))
        exported = re.findall(r"(OKX_API_[A-Z]+)=(\S+)", text)
        arguments = ["config", "check", "--config", str(file)]
        checked = CliRunner(env=dict(exported)).invoke(build(["config"]), arguments)

        assert config["market"]["symbols"] == ["BTC/USDT"]
        shipped = yaml.safe_load(CONFIG.read_text())
        assert config["data_dir"] != shipped["data_dir"], "both may run at once"
        assert config["metrics"]["port"] == 0, "both may run at once"
        assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--symbols", "BTC,NOPE"], "UNKNOWN_SYMBOL"),
        (["--balance", "much"], "INVALID_BALANCE"),
        (["--recorded", "nowhere.gz"], "INVALID_RECORDING"),
        (["--host", "192.0.2.1"], "PORT_UNUSABLE"),
    ],
)
def test_what_it_cannot_do_is_refused_in_two_lines(options: list[str], rule: str) -> None:
    ran = CliRunner().invoke(build(["sandbox"]), ["sandbox", "--port", "0", *options])

    assert ran.exit_code == 1
    assert f"error {rule}" in ran.stderr
