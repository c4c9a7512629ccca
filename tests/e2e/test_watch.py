"""The live view on a real terminal, against a real daemon whose market stands still."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.admin_client import AdminClient, AnswerLostError, UnreachableError
from daemon.admin_requests import (
    AnyAdminRequest,
    CloseAll,
    Drain,
    ListTraders,
    Open,
    Ping,
    ResumeEntries,
    TargetRequest,
    Watch,
)
from domain.errors import Refusal
from domain.instrument import Direction
from exchanges.recording import FrameWriter
from tests.e2e.harness import HOLDFAST, ROOT, Daemon, Processes, wait_until
from tests.e2e.terminal import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
D = Decimal

LONG_ID = "aaaa1111-0000-4000-8000-000000000001"
SHORT_ID = "bbbb2222-0000-4000-8000-000000000002"
START_NS = 1_767_323_045 * 10**9
OPENING = """\
{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1767323045000,"s":"BTCUSDT",\
"p":"60000.0","i":"60000.0","P":"60000.0","r":"0.0001","T":1767340800000}}
{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"60000.0",\
"B":"9","a":"60000.0","A":"9","T":1767323045000,"E":1767323045000}}
{"stream":"btcusdt@trade","data":{"e":"trade","E":1767323045000,"T":1767323045000,"s":"BTCUSDT",\
"t":1,"p":"60000.0","q":"1","X":"MARKET","m":false}}
"""  # of a recording that is held: a first price, then silence
CONFIG = """
market:
  {{source: binance, url: "{url}", symbols: [BTC/USDT], max_silence_s: 600, stale_after_s: 600}}
paper: {{balance: 10000, slippage: 0, latency_ms: 0, taker_fee: 0}}
limits: {{max_positions: 100}}
metrics: {{enabled: false}}
traders:
  - {{name: trend, strategy: ema-cross, symbols: [BTC/USDT], timeframe: 1m,
      size: {{by: notional, value: 100}}}}
"""
SIMULATED = """
market: {source: simulated, symbols: [BTC/USDT], ticks_per_second: 5}
paper: {slippage: 0, latency_ms: 0}
metrics: {enabled: false}
traders: []
"""
SHOWN = {
    80: """\
   ID       SYMBOL   SIDE   PRICE   P&L P&L %   STOP LIVES TO STOP TO TGT
▸! bbbb2222 BTC/USDT SHORT 60,000 +0.00 +0.00   NONE NONE        -      -
   aaaa1111 BTC/USDT LONG  60,000 +0.00 +0.00 59,000 guard  -1.67% +5.00%""",
    140: """\
   ID       TRADER SYMBOL   SIDE  STATUS       QTY  ENTRY  PRICE   P&L P&L %   STOP LIVES  TRAIL TO STOP TRACK         TO TGT TARGET AGE
▸! bbbb2222 manual BTC/USDT SHORT unprotected 0.02 60,000 60,000 +0.00 +0.00   NONE NONE       -       -                    -      -   -
   aaaa1111 manual BTC/USDT LONG  protected   0.02 60,000 60,000 +0.00 +0.00 59,000 guard 58,800  -1.67% ├───●───────┤ +5.00% 63,000   -""",  # noqa: E501
}


def is_open(daemon: Daemon) -> bool:
    """Whether entries are allowed and there is a price to enter at."""
    status = daemon.status()
    return status["mode"] == "NORMAL" and all(
        each["last"] and each["mark"] for each in status["prices"]
    )


def opened(daemon: Daemon, position_id: str, direction: Direction, **levels: object) -> None:
    quantity = D("0.02")
    daemon.ask(
        Open(
            symbol="BTC/USDT",
            direction=direction,
            quantity=quantity,
            position_id=position_id,
            **levels,
        )
    )


def holding_a_long(daemon: Daemon, position_id: str = LONG_ID) -> None:
    """Open the position that most tests look at."""
    target = TargetRequest(price=D(63_000), part=D("0.5"))
    opened(
        daemon,
        position_id,
        Direction.LONG,
        stop=D(59_000),
        targets=(target,),
        trail_ratio=D("0.02"),
    )


def watching(daemon: Daemon, *, columns: int = 80, rows: int = 24, **environment: str) -> Terminal:
    command = [HOLDFAST, "watch", "--config", str(daemon.config)]
    return Terminal(command, columns=columns, rows=rows, **environment)


def table(text: str) -> str:
    """Return the table on the screen; ages, which go on, as dashes."""
    lines = text.splitlines()
    first = next((at for at, line in enumerate(lines) if line.startswith("   ID")), 0)
    last = next((at for at, line in enumerate(lines[first:], first) if not line), first)
    return "\n".join(re.sub(r" \d+(s|m\d\ds)$", "  -", line) for line in lines[first:last])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("watch")
    file = directory / "opening.gz"
    with FrameWriter(file) as writer:
        for frame in OPENING.splitlines():
            writer.write(START_NS, frame.encode())
    with Processes(directory) as processes:
        daemon = processes.run(CONFIG.format(url=processes.serve(file).url))
        wait_until(lambda: is_open(daemon), 10, "entries are open")
        yield daemon
        said = [json.loads(line) for line in daemon.process.text().splitlines()]
        assert [each for each in said if each["level"] in {"error", "critical"}] == []


@pytest.fixture
def daemon(started: Daemon) -> Iterator[Daemon]:
    """Yield a daemon without positions, and leave it so."""
    yield started
    started.ask(CloseAll())
    started.ask(ResumeEntries())
    wait_until(lambda: not started.positions(), 10, "all is closed")


@pytest.fixture(scope="module")
def shared(started: Daemon) -> Iterator[Terminal]:
    with watching(started) as terminal:
        yield terminal
        terminal.press("q")
        assert terminal.ended() == 0


@pytest.fixture
def terminal(daemon: Daemon, shared: Terminal) -> Terminal:
    """Return a view of a daemon without positions; one serves all tests that press keys."""
    del daemon
    shared.until("no open positions")
    return shared


def retype(terminal: Terminal, text: str) -> None:
    """Write something else into the field of a dialog."""
    terminal.press("clear")
    terminal.until("'' is not a number")
    terminal.press(text)


def new_id(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


# --- what is seen


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40)])
def test_the_screen_has_all_that_matters_in_the_room_there_is(
    daemon: Daemon, columns: int, rows: int
) -> None:
    wide = columns > 80  # the daemon knows the positions of the other screen
    long, short = (LONG_ID[:-1] + "9", SHORT_ID[:-1] + "9") if wide else (LONG_ID, SHORT_ID)
    holding_a_long(daemon, long)
    opened(daemon, short, Direction.SHORT)

    with watching(daemon, columns=columns, rows=rows) as terminal:
        terminal.until("alarm NO_STOP")
        text = terminal.until(lambda text: table(text) == SHOWN[columns])

    first, *money = text.splitlines()[:4]
    assert re.fullmatch(r" ● NORMAL  paper/paper  up \S+ +feed connected, [\d.]+s", first)
    figures = "equity 10,000.00 USDT", "today +0.00 (+0.00 %)", "drawdown 0.00 %"
    if wide:
        assert all(line.startswith(f" {one}") for line, one in zip(money, figures, strict=True))
        assert money[0].endswith(" 10,000.00")  # the curve is flat, in the middle
        assert re.search(r"  [▁▂▃▄▅▆▇█]+$", money[1])
        assert " 10,000.00 █" in money[2]
    else:
        assert re.fullmatch(re.escape(" " + "  ".join(figures)) + " +▄+", money[0])
    assert "\n─Positions 2 · 1 WITHOUT PROTECTION─" in text
    assert re.search(r"\n \d\d:\d\d:\d\d  aaaa1111 bought 0\.02 BTC/USDT at 60,000\n", text)
    assert " ".join(text.splitlines()[-1].split()) == (
        "↵ details w why c close m move stop p pause s entries x close all ? help q quit"
    )


def test_without_positions_it_says_who_watches_what(terminal: Terminal) -> None:
    terminal.until("no open positions; 1 trader watches 1 symbol")
    terminal.press("x")
    terminal.until("✓ nothing is open")


def test_with_no_color_not_a_single_color_is_written(daemon: Daemon) -> None:
    opened(daemon, new_id(1), Direction.SHORT)
    with watching(daemon, NO_COLOR="1") as terminal:
        terminal.until("▸! 00000001")
        raw = terminal.raw

    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", raw) for code in found.split(";")}
    assert codes <= {"", "0", "1", "2", "4", "7", "39", "49"}, codes


def test_enter_shows_the_whole_position_and_w_its_story(daemon: Daemon, terminal: Terminal) -> None:
    holding_a_long(daemon, new_id(2))
    terminal.until("▸  00000002")
    terminal.press("enter")
    text = terminal.until("status      open protected")
    assert "stop        59,000  watches last, lives: client guard" in text
    terminal.press("escape")
    terminal.until_gone("status      open protected")
    terminal.press("w")
    terminal.until("manual opens long 0.02 BTC/USDT at market")
    terminal.press("escape")
    terminal.until_gone("manual opens long")
    terminal.press("?")
    terminal.until("how far the price has to go")
    terminal.press("escape")
    terminal.until_gone("how far the price has to go")


# --- what is done


def test_closing_a_part_says_what_it_will_do_and_then_does_it(
    daemon: Daemon, terminal: Terminal
) -> None:
    holding_a_long(daemon, new_id(3))
    terminal.until("▸  00000003")
    terminal.press("c")
    terminal.until(r"Closes all of it at market, worth 1,200\.00 USDT, P&L now \+0\.00\.")
    retype(terminal, "150%")
    terminal.until("The part '1.5' is more than the whole")
    terminal.press("enter")
    terminal.until("INVALID_PART: .* → Give a part above 0")
    assert daemon.position(new_id(3))["remaining_quantity"] == "0.02"
    retype(terminal, "50%")
    terminal.until(r"Closes about 0\.01 of it at market, worth 600\.00 USDT\.")
    terminal.press("enter")
    terminal.until("✓ 00000003  open protected, LONG 0.01 BTC/USDT")
    assert daemon.position(new_id(3))["remaining_quantity"] == "0.01"
    terminal.press("c", "enter")
    terminal.until("no open positions")
    terminal.until("00000003 BTC/USDT closed: manual close, ")
    assert not daemon.positions()


def test_a_stop_is_moved_and_a_wider_one_is_refused_until_it_is_allowed(
    daemon: Daemon, terminal: Terminal
) -> None:
    holding_a_long(daemon, new_id(4))
    terminal.until("▸  00000004")
    terminal.press("m")
    terminal.until("Stop from 59,000 to 59,000, -1.67 % from the price.")
    retype(terminal, "nonsense")
    terminal.until("The price 'nonsense' is not a number.")
    retype(terminal, "58900")
    terminal.until("MORE RISK than before")
    terminal.press("enter")
    terminal.until("WOULD_WIDEN: Moving it to 58900 risks more than now")
    terminal.until("→ A person may widen it")
    assert daemon.position(new_id(4))["stop"] == "59000"
    terminal.press("tab")
    terminal.until("more risk: allowed")
    terminal.press("enter")
    terminal.until("✓ 00000004  open protected.*stop\\s+58,900")
    assert daemon.position(new_id(4))["stop"] == "58900"
    terminal.until("00000004 BTC/USDT stop at 58,900, was 59,000, by a person")


def test_escape_leaves_everything_as_it_is(daemon: Daemon, terminal: Terminal) -> None:
    holding_a_long(daemon, new_id(5))
    before = daemon.position(new_id(5))["protection_version"]
    terminal.until("▸  00000005")
    for key, shown in (("c", "Closes all"), ("m", "Stop from"), ("x", "Closes 1 position")):
        terminal.press(key)
        terminal.until(shown)
        terminal.press("escape")
        terminal.until_gone(shown)
    after = daemon.position(new_id(5))
    assert (after["protection_version"], after["remaining_quantity"]) == (before, "0.02")


def test_a_trader_is_paused_and_resumed(daemon: Daemon, terminal: Terminal) -> None:
    def is_paused() -> bool:
        traders = daemon.ask(ListTraders())["traders"]
        return next(each["paused"] for each in traders if each["name"] == "trend")

    terminal.until("no open positions; 1 trader watches")
    terminal.press("p")
    terminal.until("trend +active +0 open")
    terminal.press("down", "enter")
    terminal.until("Pauses trend: it opens nothing more; its 0 open positions stay guarded.")
    terminal.press("y")
    terminal.until("every trader is paused")
    assert is_paused()
    terminal.press("p")
    terminal.until("trend +PAUSED")
    terminal.press("down", "enter")
    terminal.until("Resumes trend")
    terminal.press("y")
    terminal.until("1 trader watches")
    assert not is_paused()


def test_entries_are_stopped_with_the_cause_on_the_screen_and_resumed(
    daemon: Daemon, terminal: Terminal
) -> None:
    terminal.until("● NORMAL")
    terminal.press("s")
    terminal.until("Stops entries: nobody opens anything; exits and guards go on.")
    terminal.press("y")
    terminal.until("● NO_ENTRY")
    terminal.until("NO_ENTRY Entries stopped by uid .* → Take it back")
    assert daemon.status()["mode"] == "NO_ENTRY"
    terminal.press("s")
    terminal.until("Resumes entries")
    terminal.press("y")
    terminal.until("● NORMAL")
    assert daemon.status()["mode"] == "NORMAL"


def test_everything_is_closed_only_after_a_yes(daemon: Daemon, terminal: Terminal) -> None:
    holding_a_long(daemon, new_id(6))
    holding_a_long(daemon, new_id(7))
    terminal.until("Positions 2")
    terminal.press("x")
    terminal.until(r"Closes 2 positions at market, P&L now \+0\.00\.")
    terminal.press("enter", "n")
    terminal.until_gone("Closes 2 positions")
    assert len(daemon.positions()) == 2
    terminal.press("x")
    terminal.until("Closes 2 positions")
    terminal.press("y")
    terminal.until("no open positions")
    assert not daemon.positions()


# --- without a terminal


def test_without_a_terminal_it_says_what_to_do_instead(daemon: Daemon) -> None:
    for command in (["watch"], ["run", "--watch"]):
        done = subprocess.run(
            [HOLDFAST, *command, "--config", str(daemon.config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=30,
            cwd=ROOT,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error NOT_A_TERMINAL: The live view needs a terminal")
        assert "→ Run it in one, " in done.stderr
        assert not done.stdout


def test_equity_is_sampled_while_positions_are_held(daemon: Daemon) -> None:
    def samples() -> int:
        return len(daemon.ask(Watch())["equity_trail"]["points"])

    holding_a_long(daemon, new_id(9))
    before = samples()
    wait_until(lambda: samples() > before, 10, "there is another point")


def test_for_scripts_there_is_an_object_a_line_and_each_event_once(daemon: Daemon) -> None:
    holding_a_long(daemon, new_id(8))
    command = [HOLDFAST, "watch", "--json", "--every", "0.1", "--config", str(daemon.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        first, second = json.loads(process.stdout.readline()), json.loads(process.stdout.readline())
        process.stdout.close()  # it notices, and ends
        assert process.wait(30) == 0

    assert [each["id"] for each in first["positions"]] == [new_id(8)]
    row = first["positions"][0]
    assert (row["stop"], row["stop_lives"], row["stop_distance_pct"]) == (
        "59000",
        "client guard",
        "-1.6667",
    )
    assert (row["next_target"], row["target_distance_pct"]) == ("63000", "5")
    assert not row["is_unprotected"]
    assert "position_filled" in [each["event"] for each in first["events"]]
    assert [each for each in second["events"] if each["seq"] <= first["last_event"]] == []
    assert (first["day_pnl"], first["day_pnl_pct"]) == ("0", "0")
    assert set(first["equity_trail"]["points"]) == {"10000"}


# --- a daemon that goes away, and one of its own


def test_a_daemon_that_is_killed_and_started_again_is_simply_seen_again(
    processes: Processes,
) -> None:
    daemon = processes.run(SIMULATED, "mortal")
    wait_until(lambda: is_open(daemon), 10, "entries are open")
    opened(daemon, new_id(1), Direction.LONG, stop=D(40_000))
    with watching(daemon) as terminal:
        terminal.until("▸  00000001")
        daemon.process.kill()
        terminal.until("daemon not reachable, trying again · last seen \\d+s ago")
        assert terminal.shows("○ NOT HEARD OF, was NORMAL")
        terminal.press("s")
        terminal.until("Stops entries")
        terminal.press("y")
        terminal.until("NO_DAEMON: No daemon answers")
        terminal.press("escape")
        processes.run(SIMULATED, "mortal")
        terminal.until_gone("daemon not reachable")
        terminal.until("holdfast .* started in .*: 1 position")
        terminal.until("▸  00000001 BTC/USDT LONG ")


class Attended:
    """`holdfast run` on a terminal."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self.config = directory / "attended.yaml"
        self.config.write_text(f"data_dir: {self.data_dir}\n{SIMULATED}")

    def terminal(self, **environment: str) -> Terminal:
        command = [HOLDFAST, "run", "--config", str(self.config)]
        return Terminal(command, columns=100, **environment)

    def answer(self, request: AnyAdminRequest) -> dict[str, object] | None:
        """Ask the daemon; None when there is none, nothing when it ends meanwhile."""
        with AdminClient(self.data_dir / "holdfast.sock") as client:
            try:
                answer = client.ask(request)
            except UnreachableError:
                return None
            except AnswerLostError:
                return {}
        assert not isinstance(answer, Refusal), answer
        return answer

    def is_up(self) -> bool:
        return self.answer(Ping()) is not None

    def log(self) -> list[dict[str, object]]:
        lines = (self.data_dir / "holdfast.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def attended(tmp_path: Path) -> Iterator[Attended]:
    """Yield a way to run a daemon with its view; what goes on afterwards is drained."""
    attended = Attended(tmp_path)
    yield attended
    if attended.answer(Drain()) is not None:
        wait_until(lambda: not attended.is_up(), 25, "the daemon has ended")


def test_run_on_a_terminal_shows_the_view_and_q_stops_the_daemon(attended: Attended) -> None:
    with attended.terminal() as terminal:
        terminal.until("● NORMAL .*feed connected")
        terminal.press("ctrl+c")
        terminal.until("stop the daemon: positions stay, guarded again at the next start")
        terminal.press("enter")
        assert terminal.ended() == 0
        assert terminal.shows("Stopped; no position is open.")

    assert not attended.is_up()
    assert [each["event"] for each in attended.log()][-1] == "stopped"


def test_a_daemon_left_running_is_found_again_and_a_second_start_says_so(
    attended: Attended,
) -> None:
    with attended.terminal() as terminal:
        terminal.until("● NORMAL")
        terminal.press("q")
        terminal.until("leave it running")
        terminal.press("down", "enter")
        assert terminal.ended() == 0
        assert terminal.shows("→ holdfast watch comes back to it, holdfast drain stops it.")
    assert attended.is_up()

    with attended.terminal() as terminal:
        assert terminal.ended() == 1
        assert terminal.shows("error ALREADY_RUNNING: ")
        assert terminal.shows("→ holdfast watch shows the one that runs")


@pytest.mark.parametrize("end", ["SIGTERM", "hang up"])
def test_the_end_of_the_view_by_a_signal_drains_the_daemon(attended: Attended, end: str) -> None:
    with attended.terminal() as terminal:
        terminal.until("● NORMAL")
        if end == "hang up":
            terminal.hang_up()
        else:
            terminal.signal(signal.SIGTERM)
        assert terminal.ended() == 0

    assert not attended.is_up()
    events = [each["event"] for each in attended.log()]
    assert "draining" in events
    assert events[-1] == "stopped"


def test_a_view_that_is_killed_leaves_the_daemon_guarding(attended: Attended) -> None:
    with attended.terminal() as terminal:
        terminal.until("● NORMAL")
        terminal.signal(signal.SIGKILL)
        assert terminal.ended() == -signal.SIGKILL

    assert attended.is_up()


def test_a_start_that_fails_shows_the_error_as_the_daemon_printed_it(attended: Attended) -> None:
    attended.data_dir.mkdir(mode=0o700)
    (attended.data_dir / "holdfast.db").write_bytes(b"this is no database" * 100)
    with attended.terminal() as terminal:
        assert terminal.ended() == 1
        text = terminal.text()

    assert re.search(r"^error [A-Z_]+: ", text, re.MULTILINE), text


def test_run_without_a_view_logs_to_the_terminal_as_ever(attended: Attended) -> None:
    attended.config.write_text(attended.config.read_text() + "log: {format: console}\n")
    with attended.terminal() as terminal:
        terminal.until("ready: process")
        terminal.press("ctrl+c")
        assert terminal.ended() == 0
        assert "stopped; 0 positions in the journal" in terminal.text()
