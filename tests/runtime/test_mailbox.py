"""Lanes, their order, their limits and what happens at them."""

from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.actor import Actor, handles
from runtime.mailbox import Lane, Limits, Mailbox, MailboxFullError, Overflow, lane_for


class Fill(msgspec.Struct, frozen=True):
    lane: ClassVar[Lane] = Lane.FILLS
    number: int


class Exit(msgspec.Struct, frozen=True):
    lane: ClassVar[Lane] = Lane.EXITS
    number: int


class Command(msgspec.Struct, frozen=True):
    number: int


class Price(msgspec.Struct, frozen=True):
    lane: ClassVar[Lane] = Lane.PRICES
    number: int


class Numbered(msgspec.Struct, frozen=True):
    lane: ClassVar[int] = 1  # as the core says it, which knows no kernel


class Sail(msgspec.Struct, frozen=True):
    lane: str  # a field that has nothing to do with mailboxes


class Logger(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[object] = []

    @handles(Fill, Exit, Command, Price)
    def note(self, message: object) -> None:
        self.log.append(message)


class Chatty(Logger):
    """Tells itself something urgent in the middle of its commands."""

    @handles(Command)
    def note_and_tell(self, message: Command) -> None:
        self.log.append(message)
        if message.number == 0:
            self.tell(self.name, Price(9))
            self.tell(self.name, Exit(9))
            self.tell(self.name, Fill(9))


LIMITS = Limits(commands=4, prices=3)
KINDS = {Lane.FILLS: Fill, Lane.EXITS: Exit, Lane.COMMANDS: Command, Lane.PRICES: Price}


@pytest.mark.parametrize(
    ("message", "lane"),
    [
        (Fill(1), Lane.FILLS),
        (Exit(1), Lane.EXITS),
        (Price(1), Lane.PRICES),
        (Command(1), Lane.COMMANDS),
        (Numbered(), Lane.EXITS),
        (Sail("jib"), Lane.COMMANDS),
        ("text", Lane.COMMANDS),
    ],
)
def test_the_lane_of_a_message_is_what_its_class_says(message, lane) -> None:
    assert lane_for(message) is lane
    assert lane_for(message) is lane  # also when it is known


def test_fills_go_before_exits_before_commands_before_prices(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Logger)
        for number in (1, 2):
            for kind in (Price, Command, Exit, Fill):
                ref.tell(kind(number))
        stage.drain()
        assert ref.actor.log == [
            Fill(1),
            Fill(2),
            Exit(1),
            Exit(2),
            Command(1),
            Command(2),
            Price(1),
            Price(2),
        ]

    perform(play)


def test_what_becomes_urgent_during_a_turn_interrupts_it(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Chatty)
        for number in range(3):
            ref.tell(Command(number))
        stage.drain()
        assert ref.actor.log == [Command(0), Fill(9), Exit(9), Command(1), Command(2), Price(9)]

    perform(play)


def test_an_interrupted_turn_goes_on_before_other_actors(perform) -> None:
    async def play(stage) -> None:
        order: list[str] = []

        class Told(Chatty):
            @handles(Fill)
            def fill(self, message: Fill) -> None:
                order.append(f"fill of {self.name}")

            @handles(Command)
            def command(self, message: Command) -> None:
                order.append(f"command of {self.name}")
                if self.name == "a" and len(order) == 1:
                    self.tell("a", Fill(1))

        a, b = stage.start(Told, "a"), stage.start(Told, "b")
        for ref in (a, b, a):
            ref.tell(Command(1))
        stage.drain()
        assert order == ["command of a", "fill of a", "command of b", "command of a"]

    perform(play)


def test_commands_beyond_the_limit_are_refused_with_a_value(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Logger, limits=LIMITS)
        answers = [ref.tell(Command(number)) for number in range(6)]
        refused = Overflow("a", Lane.COMMANDS, 4)
        assert answers == [True, True, True, True, refused, refused]
        assert not refused
        assert stage.letters() == [("a", "overflow")] * 2
        stage.drain()
        assert [each.number for each in ref.actor.log] == [0, 1, 2, 3]
        assert ref.tell(Command(7)) is True

    perform(play)


def test_an_ask_beyond_the_limit_fails(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Logger, limits=Limits(commands=1))
        ref.tell(Command(1))
        with pytest.raises(MailboxFullError, match="a has 1 commands waiting already"):
            await ref.ask(Command(2), 1.0)

    perform(play)


def test_of_too_many_prices_the_oldest_are_dropped_and_counted(perform) -> None:
    async def play(stage) -> None:
        ref = stage.start(Logger, limits=LIMITS)
        assert all(ref.tell(Price(number)) is True for number in range(5))
        stage.drain()
        assert ref.actor.log == [Price(2), Price(3), Price(4)]
        assert stage.system.conflated_total == 2
        stage.root.stop_child("a")
        assert stage.system.conflated_total == 2  # the count survives the actor

    perform(play)


@given(st.lists(st.sampled_from(list(Lane)), max_size=60))
def test_fills_and_exits_are_never_dropped(lanes) -> None:
    mailbox = Mailbox(Limits(commands=0, prices=1))
    stored = [n for n, lane in enumerate(lanes) if mailbox.store(n, lane) and lane < Lane.COMMANDS]
    expected = sorted(stored, key=lambda n: (lanes[n], n))
    assert [n for n in mailbox.empty() if lanes[n] < Lane.COMMANDS] == expected
    assert len(stored) == sum(lane < Lane.COMMANDS for lane in lanes)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("store"), st.sampled_from(list(Lane))),
            st.tuples(st.just("take"), st.integers(1, 5)),
            st.tuples(st.just("take, handle one, put back"), st.integers(1, 5)),
        ),
        max_size=80,
    )
)
def test_a_mailbox_behaves_as_four_bounded_queues(steps) -> None:
    mailbox = Mailbox(LIMITS)
    model: dict[Lane, list[int]] = {lane: [] for lane in Lane}
    for number, (step, argument) in enumerate(steps):
        if step == "store":
            queue = model[argument]
            fits = argument is not Lane.COMMANDS or len(queue) < LIMITS.commands
            assert mailbox.store(number, argument) is fits
            if fits:
                queue.append(number)
            if argument is Lane.PRICES:
                del queue[: -LIMITS.prices]
            continue
        lane, batch = mailbox.take(argument)
        most_urgent = next((each for each in Lane if model[each]), Lane.COMMANDS)
        expected = model[most_urgent][: 1 if most_urgent is Lane.PRICES else argument]
        assert (lane, batch) == (most_urgent, expected)
        handled = batch if step == "take" else batch[:1]
        mailbox.put_back(lane, batch[len(handled) :])
        del model[lane][: len(handled)]
        assert mailbox.depth() == sum(map(len, model.values()))
        assert mailbox.urgent() == bool(model[Lane.FILLS] or model[Lane.EXITS])
    assert mailbox.empty() == [number for lane in Lane for number in model[lane]]
    assert mailbox.depth() == 0


@given(lanes=st.lists(st.sampled_from(list(Lane)), max_size=40))
def test_an_actor_handles_lane_by_lane_each_in_order(perform, lanes) -> None:
    messages = [KINDS[lane](number) for number, lane in enumerate(lanes)]

    async def play(stage) -> None:
        ref = stage.start(Logger)
        for message in messages:
            ref.tell(message)
        stage.drain()
        assert ref.actor.log == sorted(messages, key=lambda each: (lane_for(each), each.number))

    perform(play)
