"""The recorder: each frame once, whatever overlapping connections repeat, until it has enough."""

import asyncio

from daemon.record import Recorder
from domain.ids import Symbol
from exchanges.binance_frames import LastSeen, read_frame
from exchanges.recording import FrameWriter, frames

BTC = Symbol("BTC/USDT")


def played(path, raws, limit=None):
    """Hand frames to a recorder as a line does: first to its reader, then to its tap."""

    async def play():
        with FrameWriter(path) as writer:
            recorder, seen = Recorder(writer, limit), LastSeen()
            for number, raw in enumerate(raws):
                if read_frame(raw, {"BTCUSDT": BTC}, recorder, seen) is None:
                    recorder.tap(1_000 + number, raw)
            return recorder

    return asyncio.run(play())


def test_a_frame_that_comes_again_is_written_once(tmp_path, make):
    path = tmp_path / "frames"
    first, second, third = make.trade(1), make.trade(2), make.trade(3)

    recorder = played(path, [first, second, first, second, third])

    assert [raw for _, raw in frames(path)] == [first, second, third]
    assert recorder.progress.frames == 3


def test_what_cannot_be_used_is_written_too_so_that_a_replay_meets_it(tmp_path, make):
    path = tmp_path / "frames"

    played(path, [make.trade(1), b"not JSON", make.trade(2)])

    assert [raw for _, raw in frames(path)] == [make.trade(1), b"not JSON", make.trade(2)]


def test_it_is_done_when_it_has_enough(tmp_path, make):
    path = tmp_path / "frames"

    recorder = played(path, [make.trade(number) for number in range(9)], limit=4)

    assert recorder.done.is_set()
    assert len(list(frames(path))) == 4
