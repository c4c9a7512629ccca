"""Messages a second, the price of an ask, a birth and an idle life, beside Pykka's threads.

Both sides get the same message and do the same with it, in the same run, in alternating rounds;
each figure is the best of its rounds, and Pykka's the better of free and pinned to one core (it
gains from that). Ours has all checks on (lanes, bounds, dead letters, supervision) and runs through
uvloop, as in the daemon. A goal is a ratio, because machines differ.

    python bench/bench_messages.py [--rounds 5] [--json]
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pykka
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from runtime.actor import Actor, handles
from runtime.chance import SeededChance
from runtime.clocks import SystemClock
from runtime.specs import ChildSpec, Restart
from runtime.supervisor import Supervisor
from runtime.system import ActorSystem

RECEIVERS = 1_000
BURST = 1_000  # messages told before the loop gets its turn


class Note(msgspec.Struct, frozen=True, gc=False):
    """What is sent."""

    number: int


NOTE = Note(1)


class Ours(Actor):
    """Counts down; calls `done` at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.done: Callable[[], object] = int

    @handles(Note)
    def note(self, message: Note) -> None:
        """Take one."""
        self.left -= 1
        if self.left == 0:
            self.done()


class Idle(Actor):
    """Has no state of its own."""

    @handles(Note)
    def note(self, message: Note) -> None:
        """Take one."""


class Theirs(pykka.ThreadingActor):
    """The same on a thread."""

    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.done: Callable[[], object] = int

    def on_receive(self, message: Note) -> None:
        """Take one."""
        self.left -= 1
        if self.left == 0:
            self.done()


Figures = dict[str, float]


# --- Pykka


def pykka_round() -> Figures:
    return {
        "tell_1_1_per_s": _pykka_tell(30_000),
        "tell_1_1000_per_s": _pykka_fan_out(10, 1),
        "tell_1_1000_tens_per_s": _pykka_fan_out(2, 10),
        "ask_us": _pykka_ask(3_000),
        "spawn_us": _pykka_spawn(300),
    }


def _pykka_tell(count: int) -> float:
    ref, finished = Theirs.start(), threading.Event()
    actor: Any = ref._actor_weakref()
    actor.left, actor.done = count, finished.set
    tell = ref.tell
    began = time.perf_counter()
    for _ in range(count):
        tell(NOTE)
    finished.wait()
    seconds = time.perf_counter() - began
    ref.stop()
    return count / seconds


def _pykka_fan_out(rounds: int, burst: int) -> float:
    finished = threading.Semaphore(0)
    refs = [Theirs.start() for _ in range(RECEIVERS)]
    for ref in refs:
        actor: Any = ref._actor_weakref()
        actor.left, actor.done = rounds * burst, finished.release
    began = time.perf_counter()
    for _ in range(rounds):
        for ref in refs:
            for _ in range(burst):
                ref.tell(NOTE)
    for _ in refs:
        finished.acquire()
    seconds = time.perf_counter() - began
    pykka.ActorRegistry.stop_all()
    return rounds * burst * RECEIVERS / seconds


def _pykka_ask(count: int) -> float:
    ref = Theirs.start()
    began = time.perf_counter()
    for _ in range(count):
        ref.ask(NOTE)
    seconds = time.perf_counter() - began
    ref.stop()
    return seconds / count * 1e6


def _pykka_spawn(count: int) -> float:
    began = time.perf_counter()
    refs = [Theirs.start() for _ in range(count)]
    seconds = time.perf_counter() - began
    for ref in refs:
        ref.stop()
    return seconds / count * 1e6


def pykka_bytes() -> Figures:
    before = _resident_bytes()
    refs = [Theirs.start() for _ in range(RECEIVERS)]
    size = (_resident_bytes() - before) / RECEIVERS
    for ref in refs:
        ref.stop()
    return {"idle_bytes": size}


# --- ours


async def our_round() -> Figures:
    system = ActorSystem(asyncio.get_running_loop(), SystemClock(), chance=SeededChance(1))
    root = system.spawn_root(ChildSpec("root", Supervisor)).actor
    assert isinstance(root, Supervisor)
    figures = {
        "tell_1_1_per_s": await _our_tell(root, 300),
        "tell_1_1000_per_s": await _our_fan_out(root, "a", 100, 1),
        "tell_1_1000_tens_per_s": await _our_fan_out(root, "b", 20, 10),
        "ask_us": await _our_ask(system, root, 30_000),
        **_our_spawn(root, 20_000),
    }
    await system.stop(10)
    return figures


async def _our_tell(root: Supervisor, bursts: int) -> float:
    ref, finished = root.start_child(ChildSpec("one", Ours)), asyncio.Event()
    actor: Any = ref.actor
    actor.done = finished.set
    tell = ref.tell
    began = time.perf_counter()
    for _ in range(bursts):
        actor.left = BURST
        for _ in range(BURST):
            tell(NOTE)
        await finished.wait()
        finished.clear()
    return bursts * BURST / (time.perf_counter() - began)


async def _our_fan_out(root: Supervisor, kind: str, rounds: int, burst: int) -> float:
    refs = [root.start_child(ChildSpec(f"{kind}/{each}", Ours)) for each in range(RECEIVERS)]
    finished = asyncio.Event()
    last: Any = refs[-1].actor
    last.done = finished.set
    began = time.perf_counter()
    for _ in range(rounds):
        last.left = burst
        for ref in refs:
            for _ in range(burst):
                ref.tell(NOTE)
        await finished.wait()
        finished.clear()
    return rounds * burst * RECEIVERS / (time.perf_counter() - began)


async def _our_ask(system: ActorSystem, root: Supervisor, count: int) -> float:
    root.start_child(ChildSpec("asked", Ours))
    began = time.perf_counter()
    for _ in range(count):
        await system.ask("asked", NOTE, 1.0)
    return (time.perf_counter() - began) / count * 1e6


def _our_spawn(root: Supervisor, count: int) -> Figures:
    specs = [ChildSpec(f"brief/{each}", Ours, Restart.TRANSIENT) for each in range(count)]
    gc.collect()
    gc.freeze()  # as the daemon does once it is up
    began = time.perf_counter()
    for spec in specs:
        root.start_child(spec)
    started = time.perf_counter()
    for spec in specs:
        root.stop_child(spec.name)
    stopped = time.perf_counter()
    gc.unfreeze()
    return {
        "spawn_us": (started - began) / count * 1e6,
        "stop_us": (stopped - started) / count * 1e6,
    }


async def our_bytes() -> Figures:
    """Actor, ref, mailbox and their entries in directory and supervisor; not spec and name."""
    system = ActorSystem(asyncio.get_running_loop(), SystemClock(), chance=SeededChance(1))
    root = system.spawn_root(ChildSpec("root", Supervisor)).actor
    assert isinstance(root, Supervisor)
    count = 100_000
    specs = [ChildSpec(f"idle/{each}", Idle, Restart.TRANSIENT) for each in range(count)]
    gc.collect()
    tracemalloc.start()
    for spec in specs:
        root.start_child(spec)
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    for spec in specs:
        root.stop_child(spec.name)
    return {"idle_bytes": traced}


# --- the comparison


RATIO_GOALS = {
    "tell_1_1_per_s": 9.0,
    "tell_1_1000_per_s": 14.0,  # one to each in turn; Pykka's threads wake up for every message
    "tell_1_1000_tens_per_s": 14.0,  # ten to each in turn, which favors Pykka
    "ask_us": 4.5,
    "idle_bytes": 35.0,
}
LIMITS = {"spawn_us": 2.0, "idle_bytes": 600.0}


def measure(rounds: int) -> tuple[Figures, Figures]:
    cores = os.sched_getaffinity(0)
    theirs: list[Figures] = [pykka_bytes()]
    ours: list[Figures] = [_on_a_loop(our_bytes)]
    for each in range(rounds):
        theirs.append(pykka_round())
        os.sched_setaffinity(0, {sorted(cores)[each % len(cores)]})
        theirs.append(pykka_round())
        ours.append(_on_a_loop(our_round))
        os.sched_setaffinity(0, cores)
    return _best(theirs), _best(ours)


def _on_a_loop(round_: Callable[[], Coroutine[Any, Any, Figures]]) -> Figures:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(round_())


def _best(rounds: list[Figures]) -> Figures:
    best: Figures = {}
    for figures in rounds:
        for name, value in figures.items():
            better = max if name.endswith("per_s") else min
            best[name] = better(best.get(name, value), value)
    return best


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def compare(theirs: Figures, ours: Figures) -> dict[str, dict[str, float | bool]]:
    rows: dict[str, dict[str, float | bool]] = {}
    for name, value in ours.items():
        row: dict[str, float | bool] = {"ours": value}
        reached = value <= LIMITS.get(name, value)
        if name in theirs:
            ratio = value / theirs[name] if name.endswith("per_s") else theirs[name] / value
            row |= {"pykka_threads": theirs[name], "ratio": ratio}
            reached = reached and ratio >= RATIO_GOALS.get(name, 0.0)
        rows[name] = row | {"reached": reached}
    return rows


def _show(rows: dict[str, dict[str, float | bool]]) -> None:
    print(f"{'':24}{'ours':>14}{'pykka threads':>16}{'ratio':>9}  goal")
    for name, row in rows.items():
        goals = [f"ratio {RATIO_GOALS[name]:g}"] if name in RATIO_GOALS else []
        goals += [f"at most {LIMITS[name]:g}"] if name in LIMITS else []
        theirs = f"{row['pykka_threads']:,.2f}" if "pykka_threads" in row else ""
        ratio = f"{row['ratio']:.1f}" if "ratio" in row else ""
        missed = "" if row["reached"] else "  MISSED"
        print(f"{name:24}{row['ours']:>14,.2f}{theirs:>16}{ratio:>9}  {', '.join(goals)}{missed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = compare(*measure(options.rounds))
    if options.json:
        print(json.dumps({"messages": rows}))
    else:
        _show(rows)


if __name__ == "__main__":
    main()
