"""Blocking calls: on a thread, or inline with a virtual latency."""

import asyncio
import threading

import pytest

from runtime import threads
from runtime.threads import InlineWorker, ThreadWorker, WorkerBusyError, WorkerClosingError


def fail() -> None:
    raise ValueError("in a call")


def test_a_thread_worker_runs_calls_in_order_off_the_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        worker = ThreadWorker(loop, "storage")
        done = loop.create_future()
        ran: list[str] = []
        results: list[int] = []

        def call(number: int) -> int:
            ran.append(threading.current_thread().name)
            return number

        def then(result: int) -> None:
            assert threading.current_thread() is threading.main_thread()
            results.append(result)
            if len(results) == 5:
                done.set_result(None)

        for number in range(5):
            worker.call(lambda number=number: call(number), then)
        await done
        worker.close()
        assert ran == ["storage"] * 5
        assert results == [0, 1, 2, 3, 4]

    asyncio.run(main())


@pytest.mark.parametrize("kind", [ThreadWorker, InlineWorker])
def test_an_exception_is_handed_over_as_the_result(kind) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        worker, done = kind(loop), loop.create_future()
        worker.call(fail, done.set_result)
        assert repr(await done) == "ValueError('in a call')"
        worker.close()

    asyncio.run(main())


def test_closing_finishes_what_was_asked() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        worker = ThreadWorker(loop)
        gate, results = threading.Event(), []
        worker.call(lambda: gate.wait(10), results.append)
        worker.call(lambda: 2, results.append)
        gate.set()
        worker.close()
        worker.close()
        await asyncio.sleep(0)
        assert results == [True, 2]
        with pytest.raises(RuntimeError, match="the worker is closed"):
            worker.call(lambda: 3, results.append)

    asyncio.run(main())


def test_a_thread_worker_takes_a_limited_number_of_calls(monkeypatch) -> None:
    monkeypatch.setattr(threads, "CALLS_LIMIT", 3)

    async def main() -> None:
        worker = ThreadWorker(asyncio.get_running_loop())
        started, gate = threading.Event(), threading.Event()
        worker.call(lambda: (started.set(), gate.wait(10)), lambda _: None)
        started.wait(10)
        for _ in range(3):
            worker.call(lambda: None, lambda _: None)
        with pytest.raises(WorkerBusyError, match="3 calls wait already"):
            worker.call(lambda: None, lambda _: None)
        gate.set()
        worker.close()

    asyncio.run(main())


@pytest.mark.parametrize("latency_s", [0.0, 0.25])
def test_an_inline_worker_answers_in_order_after_its_latency(perform, latency_s) -> None:
    async def play(stage) -> None:
        worker = InlineWorker(stage.loop, latency_s)
        ran, answered = [], []

        def ask(number: int) -> None:
            worker.call(
                lambda: ran.append(number),
                lambda _: answered.append((number, stage.loop.time())),
            )

        for number in range(3):
            ask(number)
        assert ran == [0, 1, 2]
        assert answered == []
        worker.close()
        with pytest.raises(RuntimeError, match="the worker is closed"):
            ask(3)
        await asyncio.sleep(1.0)
        assert answered == [(0, latency_s), (1, latency_s), (2, latency_s)]

    perform(play)


def test_a_call_that_takes_long_lets_others_run_in_between_in_their_order() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        worker = ThreadWorker(loop)
        begun, asked, done = threading.Event(), threading.Event(), loop.create_future()
        ran: list[str] = []

        def long() -> None:
            ran.append("begins")
            begun.set()
            assert asked.wait(10)
            worker.give_way()
            ran.append("ends")

        heard: list[object] = []
        worker.call(long, done.set_result)
        await loop.run_in_executor(None, begun.wait, 10)
        worker.call(lambda: ran.append("first"), heard.append)
        worker.call(fail, heard.append)
        worker.call(lambda: ran.append("last"), heard.append)
        asked.set()
        await done
        worker.close()
        assert ran == ["begins", "first", "last", "ends"]
        assert repr(heard) == "[None, ValueError('in a call'), None]"

    asyncio.run(main())


def test_a_call_that_takes_long_is_told_when_the_worker_is_to_end() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        worker = ThreadWorker(loop)
        begun, closing, done = threading.Event(), threading.Event(), loop.create_future()

        def long() -> None:
            begun.set()
            assert closing.wait(10)
            while True:
                worker.give_way()

        worker.call(long, done.set_result)
        await loop.run_in_executor(None, begun.wait, 10)
        loop.call_soon(closing.set)
        await asyncio.sleep(0)
        await loop.run_in_executor(None, worker.close)
        assert isinstance(await done, WorkerClosingError)

    asyncio.run(main())
