"""Virtual time: it jumps when idle, repeats exactly, and lets nothing real in."""

import asyncio
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.virtual import DeadlockError, RealTimeError, VirtualLoop, run_virtual


def test_a_day_passes_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400 * 30)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run_virtual(main) == 86_400 * 30
    assert time.monotonic() - began < 5


def test_time_stands_still_while_anything_is_ready() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert loop.time() == 0.0

    run_virtual(main)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 1e-9]), max_size=30))
def test_timers_come_in_order_of_time_and_then_of_setting(delays) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        order: list[int] = []
        for number, delay in enumerate(delays):
            loop.call_later(delay, order.append, number)
        await asyncio.sleep(1)
        return order

    assert run_virtual(main) == sorted(range(len(delays)), key=lambda n: (delays[n], n))


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_each_timer_sees_exactly_its_own_time(moments) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        for moment in moments:
            loop.call_at(moment, lambda: seen.append(loop.time()))
        await asyncio.sleep(2e6)
        return seen

    # Timers closer than asyncio's clock resolution (1 ns) come together.
    assert run_virtual(main) == pytest.approx(sorted(moments), abs=1e-9)


def test_waiting_for_what_cannot_come_is_a_deadlock() -> None:
    async def forgotten() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match=r"no timer is set.*\n.*forgotten"):
        run_virtual(forgotten)


def test_left_over_tasks_are_canceled() -> None:
    ended = []

    async def background() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("background")

    async def main() -> str:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task.get_name() and "done"

    assert run_virtual(main) == "done"
    assert ended == ["background"]


def test_arguments_and_exceptions_go_through() -> None:
    async def main(first: int, second: int) -> int:
        return first // second

    assert run_virtual(main, 6, 3) == 2
    with pytest.raises(ZeroDivisionError):
        run_virtual(main, 1, 0)


def test_threads_cannot_call_into_virtual_time() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        errors: list[str] = []

        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RealTimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        called = []
        loop.call_soon_threadsafe(called.append, 1)  # its own thread may
        await asyncio.sleep(0)
        assert called == [1]
        return errors

    assert run_virtual(main) == ["another thread called into a virtual-time loop"]


def test_executors_and_sockets_are_refused() -> None:
    async def main() -> None:
        with pytest.raises(RealTimeError, match="has no executor"):
            await asyncio.to_thread(time.sleep, 1)
        here, there = socket.socketpair()
        with here, there, pytest.raises(RealTimeError, match="has no sockets"):
            asyncio.get_running_loop().add_reader(here, print)

    run_virtual(main)


def test_a_closed_loop_takes_no_timers() -> None:
    loop = VirtualLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="the loop is closed"):
        loop.call_later(1.0, print)
