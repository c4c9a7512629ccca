"""What people and programs send wrongly: a named error, what to do, logged once, nothing changed.

One real daemon on the simulated market holds two positions; each test asks it for something that
must be refused, by the command line as a person types it or by raw lines on its socket.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.admin_client import AdminClient
from tests.e2e.attempts import Attempt, attempt, logged, what_is_held
from tests.e2e.harness import ROOT, Daemon, Processes, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

CONFIG = """
market: {source: simulated, symbols: [BTC/USDT, ETH/USDT], ticks_per_second: 10}
paper: {slippage: 0, latency_ms: 0, taker_fee: 0.0005}
instruments: {BTC/USDT: {lot_size: 0.001, min_quantity: 0.001, min_notional: 100}}
traders: []
metrics: {enabled: false}
log: {format: json}
"""
BAD_NUMBERS = ("0", "-5", "nan", "inf", "abc", "1e999999")
AT_ONCE = 4  # commands
NOBODY = 65_534
TRADER = "traders: [{name: mine, symbols: [BTC/USDT], timeframe: 5s"


@dataclass(frozen=True)
class Desk:
    """The daemon and the two positions that it holds."""

    daemon: Daemon
    long: str
    short: str
    price: Decimal  # of BTC when they were opened; levels are placed far from it

    def priced(self, word: str) -> str:
        """Turn @1.05 or @1.05:50% into a price: that many times the one at the opening."""
        if not word.startswith("@"):
            return word
        share, colon, part = word[1:].partition(":")
        return f"{self.price * Decimal(share):.1f}{colon}{part}"

    def tries(self, *arguments: str) -> Attempt:
        words = {"LONG": self.long, "SHORT": self.short}
        return attempt(self.daemon.config, *(words.get(word, word) for word in arguments))

    def line(self, line: bytes) -> dict[str, Any]:
        """Send one raw line on a connection of its own."""
        with AdminClient(self.daemon.client.path) as client:
            return client.ask_line(line)

    def refuses(self, **request: object) -> dict[str, Any]:
        """Send a request as JSON; return the error."""
        answer = self.line(json.dumps(request).encode())
        assert answer["ok"] is False, (request, answer)
        return answer["error"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Processes(tmp_path_factory.mktemp("bad-input")) as processes:
        daemon = processes.run(CONFIG)
        wait_until(lambda: daemon.status()["mode"] == "NORMAL", 10, "entries are open")
        wait_until(lambda: price_of(daemon) is not None, 10, "there is a price")
        price = price_of(daemon)
        assert price is not None
        ids = []
        for direction, stop, target in (("long", "0.8", "1.3"), ("short", "1.2", "0.7")):
            levels = (
                *("--stop", f"{price * Decimal(stop):.1f}"),
                *("--target", f"{price * Decimal(target):.1f}:50%", "--trail", "15%"),
            )
            opened = daemon.cli("open", "BTC/USDT", direction, "--quantity", "0.01", *levels)
            ids.append(opened["position"]["id"])
        yield Desk(daemon, ids[0], ids[1], price)


@pytest.fixture(autouse=True)
def nothing_changes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test tries, the daemon lives on and holds what it held."""
    if "desk" not in request.fixturenames:
        yield
        return
    desk: Desk = request.getfixturevalue("desk")
    before = what_is_held(desk.daemon)
    yield
    assert desk.daemon.process.is_running
    assert what_is_held(desk.daemon) == before
    assert len(before["positions"]) == 2
    assert not logged(desk.daemon, "admin_command_failed")


def price_of(daemon: Daemon) -> Decimal | None:
    last = daemon.status()["prices"][0]["last"]
    return None if last is None else Decimal(last)


# --- numbers ---

OPEN = ("open", "BTC/USDT", "long")


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ((*OPEN, "--quantity", "0.01", "--stop", "?"), "INVALID_PRICE"),
        ((*OPEN, "--quantity", "0.01", "--limit", "?"), "INVALID_PRICE"),
        ((*OPEN, "--quantity", "0.01", "--target", "?:50%"), "INVALID_PRICE"),
        ((*OPEN, "--quantity", "0.01", "--trail", "?"), "INVALID_TRAIL"),
        (("move-stop", "LONG", "?"), "INVALID_PRICE"),
        (("add-target", "LONG", "?:10%"), "INVALID_PRICE"),
    ],
    ids=lambda value: "-".join(value).strip("?:%-0.") if isinstance(value, tuple) else "",
)
def test_no_command_takes_a_number_that_is_none(
    desk: Desk, command: tuple[str, ...], rule: str
) -> None:
    refused = len(logged(desk.daemon, "admin_refused"))

    commands = [[word.replace("?", bad) for word in command] for bad in BAD_NUMBERS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = list(pool.map(lambda words: desk.tries(*words), commands))

    for each in tried:
        each.assert_refused(rule)
    assert len(logged(desk.daemon, "admin_refused")) == refused  # none of them was even sent


RAW_NUMBERS = (
    b"0", b"-5", b"-0.0", b"1e999999", b"1e-999999", b"1e400", b'"0"', b'"-5"', b'"NaN"', b'"sNaN"',
    b'"Infinity"', b'"-Infinity"', b'"1e999999"', b'"abc"', b'""', b'"1,5"', b"true", b"[]", b"{}",
)  # fmt: skip
RAW_PLACES = (
    b"""{"command":"open","symbol":"BTC/USDT","direction":"long","quantity":?}""",
    *(
        b"""{"command":"open","symbol":"BTC/USDT","direction":"long","quantity":"1",%s:?}""" % name
        for name in (b'"stop"', b'"limit_price"', b'"trail_ratio"', b'"breakeven"', b'"leverage"')
    ),
    b"""{"command":"open","symbol":"BTC/USDT","direction":"long","quantity":"1","targets":
    [{"price":?,"part":"0.5"}]}""".replace(b"\n", b""),
    b"""{"command":"move-stop","position":"ID","price":?}""",
    b"""{"command":"trail-stop","position":"ID","trail_distance":?}""",
    b"""{"command":"add-target","position":"ID","price":?,"part":"0.1"}""",
    b"""{"command":"add-target","position":"ID","price":"1","part":?}""",
    b"""{"command":"close","position":"ID","part":?}""",
)


@pytest.mark.parametrize("place", RAW_PLACES, ids=range(len(RAW_PLACES)))
def test_no_raw_line_brings_in_a_number_that_is_none(desk: Desk, place: bytes) -> None:
    refused = len(logged(desk.daemon, "admin_refused"))

    for number in RAW_NUMBERS:
        line = place.replace(b"ID", desk.long.encode()).replace(b"?", number)
        answer = desk.line(line)
        assert answer["ok"] is False, (line, answer)
        assert answer["error"]["rule"].startswith(("INVALID_", "MALFORMED")), (line, answer)
        assert answer["error"]["remedy"], (line, answer)

    assert len(logged(desk.daemon, "admin_refused")) == refused + len(RAW_NUMBERS)  # each once


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01", b"+5", b"0x10"])
def test_a_number_that_json_does_not_know_is_malformed(desk: Desk, number: bytes) -> None:
    line = b'{"command":"move-stop","position":"' + desk.long.encode() + b'","price":' + number

    assert desk.line(line + b"}")["error"]["rule"] == "MALFORMED"


# --- what the owners of the facts judge ---


@pytest.mark.parametrize(
    ("command", "rule", "says"),
    [
        ("open FOO/USDT long --quantity 1", "UNKNOWN_SYMBOL", "Watched: BTC/USDT, ETH/USDT"),
        ("open BTCUSDT long --quantity 1", "INVALID_SYMBOL", "such as BTC/USDT"),
        ("open BTC/USDT long --quantity 0.0004", "QUANTITY_BELOW_LOT", "Increase size to 0.00"),
        ("open BTC/USDT long --quantity 0.001", "BELOW_MIN_NOTIONAL", "Increase size to 0.00"),
        ("open BTC/USDT long --notional 1", "QUANTITY_BELOW_LOT", "Increase size to 0.00"),
        ("open BTC/USDT long --quantity 1000", "MAX_POSITION_SHARE", "Reduce size to 0."),
        ("open BTC/USDT long --quantity 1 --leverage 1000", "MAX_LEVERAGE", "leverage 10 or less"),
        ("open BTC/USDT long --quantity 0.01 --stop @1.05", "STOP_ON_WRONG_SIDE", "below"),
        ("open BTC/USDT short --quantity 0.01 --stop @0.95", "STOP_ON_WRONG_SIDE", "above"),
        ("open BTC/USDT long --quantity 0.01 --stop @0.1", "STOP_TOO_FAR", "50 %"),
        ("open BTC/USDT long --quantity 0.01 --target @0.9", "TARGET_ON_WRONG_SIDE", "above"),
        (
            "open BTC/USDT long --quantity 0.01 --target @1.1:60% --target @1.2:50%",
            "PARTS_OVER_100",
            "110",
        ),
        ("open BTC/USDT long --quantity 0.01 --target @1.1:101%", "INVALID_PART", "up to 1"),
        ("open BTC/USDT long", "MISSING_SIZE", "quantity, notional and risk"),
        ("open BTC/USDT long --quantity 1 --notional 5", "AMBIGUOUS_SIZE", "2 are given"),
        ("open BTC/USDT long --quantity 1 --max-holding soon", "INVALID_DURATION", "90s"),
        ("move-stop LONG @1.05", "STOP_ON_WRONG_SIDE", "below"),
        ("move-stop SHORT @0.95", "STOP_ON_WRONG_SIDE", "above"),
        ("move-stop LONG @0.75", "WOULD_WIDEN", "--widen"),
        ("move-stop LONG @0.3 --widen", "RISK_TOO_LARGE", "nearer"),
        ("trail-stop LONG 40%", "WOULD_WIDEN", "--widen"),
        ("add-target LONG @0.9:10%", "TARGET_ON_WRONG_SIDE", "above"),
        ("add-target LONG @1.2:60%", "PARTS_OVER_100", "50 %"),
        ("modify-target LONG target-9 @1.2", "UNKNOWN_TARGET", "target-1"),
        ("cancel-target LONG target-9", "UNKNOWN_TARGET", "target-1"),
        ("move-stop 00000000 1", "UNKNOWN_POSITION", "holdfast positions"),
        ("close zzz", "UNKNOWN_POSITION", "holdfast positions"),
        ("close LONG --part 150%", "INVALID_PART", "up to 1"),
        ("pause nobody", "UNKNOWN_TRADER", "manual"),
    ],
)
def test_what_makes_no_sense_now_is_refused_with_what_would(
    desk: Desk, command: str, rule: str, says: str
) -> None:
    before, said = len(logged(desk.daemon, "admin_refused")), len(desk.daemon.process.text())

    tried = desk.tries(*(desk.priced(word) for word in command.split()))

    tried.assert_refused(rule, says)
    refusals = logged(desk.daemon, "admin_refused")[before:]
    assert [each["rule"] for each in refusals] in ([rule], [])  # once, or not even sent
    assert desk.daemon.process.text()[said:].count(_said(tried)) == len(refusals)


def _said(tried: Attempt) -> str:
    """Return what the error says, without its code."""
    return tried.err.splitlines()[0].partition(": ")[2]


# --- lines that are no commands ---


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"", "MALFORMED"),
        (b"{", "MALFORMED"),
        (b"[]", "MALFORMED"),
        (b"close --all", "MALFORMED"),
        (b"GET / HTTP/1.1", "MALFORMED"),
        (b"\x00\xff\xfe{", "MALFORMED"),
        (b'{"command":"status"}{"command":"close-all"}', "MALFORMED"),
        (b"[" * 60_000, "MALFORMED"),
        (b'{"command":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "INVALID_ARGUMENT"),
        (b'{"command":"\xed\xa0\x80"}', "MALFORMED"),
        (b"{}", "MISSING_ARGUMENT"),
        (b'{"command":"sell-everything"}', "UNKNOWN_COMMAND"),
        (b'{"command":"status","verbose":true}', "UNKNOWN_ARGUMENT"),
        (b'{"command":"close"}', "MISSING_ARGUMENT"),
        (b'{"command":"close","position":"\\u001b[2J"}', "INVALID_ID"),
        (b'{"command":"kill","name":"../../etc/passwd"}', "UNKNOWN_ACTOR"),
    ],
    ids=range(16),
)
def test_a_line_that_is_no_command_is_refused(desk: Desk, line: bytes, rule: str) -> None:
    before = len(logged(desk.daemon, "admin_refused"))

    error = desk.line(line)["error"]

    assert error["rule"] == rule
    assert error["message"]
    assert error["remedy"]
    assert len(error["message"]) < 1_000
    assert len(logged(desk.daemon, "admin_refused")) == before + 1


@pytest.mark.parametrize("size", [65 * 1024, 4 * 1024 * 1024])
def test_an_oversized_line_ends_the_connection_and_nobody_elses(desk: Desk, size: int) -> None:
    before = len(logged(desk.daemon, "admin_refused"))

    answer = desk.line(b'{"command":"close-all","id":"' + b"x" * size + b'"}')

    assert answer["error"]["rule"] == "LINE_TOO_LONG"
    assert answer["error"]["limit"] == str(64 * 1024)
    assert desk.daemon.status()["pid"] == desk.daemon.process.pid
    assert len(logged(desk.daemon, "admin_refused")) == before + 1


def test_half_a_line_and_a_hang_up_concern_nobody(desk: Desk) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(desk.daemon.client.path))
        client.sendall(b'{"command":"close-all"')

    assert desk.daemon.status()["positions_open"] == 2


def test_the_command_line_sends_no_line_that_is_none(desk: Desk) -> None:
    tried = desk.tries("admin", "{")

    assert tried.code == 1
    assert json.loads(tried.out)["error"]["rule"] == "MALFORMED"
    assert desk.tries("sell-everything").code == 2
    assert desk.tries("status", "--verbose").code == 2
    assert desk.tries("open", "BTC/USDT", "sideways", "--quantity", "1").code == 2


# --- another user ---

AS_NOBODY = """
import os, sys
from pathlib import Path
from daemon.cli.program import build, main
build()  # while the files can be read
os.chdir(sys.argv.pop(1))
os.setgroups([])
os.setgid({nobody})
os.setuid({nobody})
main()
"""


def everybody_may_read(path: Path) -> bool:
    """Whether any user can reach and import what lies there."""
    return all(each.stat().st_mode & 0o005 == 0o005 for each in (path, *path.parents))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(
    not (everybody_may_read(ROOT / "daemon") and everybody_may_read(Path(sys.prefix))),
    reason="another user cannot read this checkout, so cannot run its commands",
)
def test_another_user_neither_reaches_the_socket_nor_is_heard(desk: Desk) -> None:
    path = desk.daemon.client.path

    kept_out = as_nobody(path.parent, "close", "--all", "--yes")
    path.parent.chmod(0o755)  # as if the fences had fallen
    path.chmod(0o666)
    try:
        refused = [as_nobody(path.parent, "close", "--all", "--yes") for _ in range(2)]
    finally:
        path.chmod(0o600)
        path.parent.chmod(0o700)

    assert (kept_out.rule, kept_out.code) == ("NOT_YOUR_DAEMON", 3)
    assert "Ask as the user who runs the daemon." in kept_out.err
    for each in refused:
        each.assert_refused("PEER_REFUSED", "another user", "Ask as the user who runs it.")
    (line,) = logged(desk.daemon, "admin_peer_refused")
    assert line["peer_uid"] == NOBODY


def as_nobody(directory: Path, *arguments: str) -> Attempt:
    """Run a command as the user nobody, who stands in the socket's directory already."""
    command = (sys.executable, "-c", AS_NOBODY.format(nobody=NOBODY), str(directory), *arguments)
    done = subprocess.run(
        [*command, "--socket", "holdfast.sock"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=ROOT,
    )
    return Attempt(arguments, done.returncode, done.stdout, done.stderr)


# --- configurations ---


@pytest.mark.parametrize(
    ("wrong", "line", "says"),
    [
        ("limits: {max_positons: 5}", 4, "limits.max_positons: unknown key; did you mean"),
        ("paper: {balance: lots}", 4, "paper.balance"),
        ("paper: {balance: -1}", 4, "paper.balance"),
        ("paper: {balance: .nan}", 4, "paper.balance"),
        ("paper: {slippage: [0.2%, 0.1%]}", 4, "paper.slippage"),
        ("market: {source: simulated, symbols: []}", 4, "market"),
        ("limits: [", 6, "not valid YAML"),
        (f"{TRADER}, strategy: ./gone.py:Mine}}]", 4, "There is no strategy file"),
        (f"{TRADER}, strategy: ./broken.py:Mine}}]", 4, "broken.py, line 2: "),
        (f"{TRADER}, strategy: ema-cros}}]", 4, "ema-cross"),
    ],
    ids=range(10),
)
def test_a_configuration_that_is_wrong_starts_nothing(
    tmp_path: Path, wrong: str, line: int, says: str
) -> None:
    (tmp_path / "broken.py").write_text("# mine\nclass Mine(\n")
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"data_dir: ./data\nmetrics: {{enabled: false}}\nlog: {{format: json}}\n{wrong}\n"
        + (
            ""
            if wrong.startswith("market")
            else "market: {source: simulated, symbols: [BTC/USDT]}\n"
        )
    )

    tried = attempt(file, "run")

    tried.assert_refused("INVALID_CONFIG", f"{file}:{line}: ", says, "holdfast config check")
    assert not (tmp_path / "data").exists()
