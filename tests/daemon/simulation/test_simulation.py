"""The simulation itself: it repeats, it finds what is wrong, it makes what it found smaller."""

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from daemon.cli.program import build
from daemon.simulation.campaign import again, campaign
from daemon.simulation.day import run
from daemon.simulation.plan import FAULTS, LIMITS, Step, decode, encode, is_lifted, planned
from daemon.simulation.shrink import shrunk, way_of, ways_of

# A crash drops what was about to begin: coroutines that nobody will await.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


# What v draws: an entry that rests 0.3 % away, one at market with a stop 2 % away.
RESTS, STAYS = 0.01715, 0.00435


def sends_twice(parts):
    """Plant a bug: every order leaves twice under its id."""
    submit = parts.distant.submit

    def twice(terms):
        submit(terms)
        return submit(terms)

    parts.distant.submit = twice


def short(seed, *steps):
    """Return a plan of one short life."""
    plan = planned(seed, with_faults=False)
    life = plan.lives[0]
    return replace(
        plan,
        kind="swap",
        lives=(replace(life, end=180.0, ends="stop"),),
        steps=steps,
        calm_s=120.0,
        traders=0,
    )


def opens(at=5.0, u=0.1, v=0.2):
    return Step(at=at, do="open", u=u, v=v)


def test_a_position_opens_and_its_stop_closes_it():
    # v=0.2 draws the stop nearest to the price; u=0.1 is a long of the first base.
    result = run(short(1, opens(), Step(at=20.0, do="gap", u=0.1, v=0.0)), with_story=True)

    assert not result.violations
    assert any("position_closed" in line and "STOP_LOSS" in line for line in result.story)


def test_the_same_plan_gives_the_same_day_to_the_last_byte():
    plan = short(2, opens(), opens(8.0, 0.5), Step(at=15.0, do="lost", count=3, lasts=20.0))

    assert run(plan).digest == run(plan).digest


def test_another_process_with_other_hashes_comes_to_the_same_day():
    assert again(2) == run(planned(2)).digest


def test_another_seed_gives_another_day():
    assert run(short(1, opens())).digest != run(short(2, opens())).digest


def test_telling_the_story_does_not_change_it():
    plan = short(3, opens())

    assert run(plan, with_story=True).checks == run(plan).checks


def test_seeds_leave_different_faults_out_and_draw_two_hundred_of_the_rest():
    mixes = [{step.do for step in planned(seed).steps} & FAULTS.keys() for seed in range(5)]

    assert len(set(map(frozenset, mixes))) == 5
    assert all(len(mix) < len(FAULTS) for mix in mixes)
    assert all(sum(step.do in FAULTS for step in planned(seed).steps) >= 200 for seed in range(5))


def test_a_fault_that_meets_nothing_becomes_one_that_does():
    # Nothing is held: there is nobody to liquidate. v=0.001 lets the price move instead.
    liquidates = Step(at=20.0, do="liquidate", u=0.1, v=0.001)

    result = run(short(1, liquidates), with_story=True)

    assert result.faults == 1
    assert any("liquidate: not now" in line for line in result.story)
    assert any("gap: BTC" in line for line in result.story)


def test_persistence_is_not_killed_until_its_supervisor_gives_up():
    kills = [Step(at=20.0 + 2 * number, do="kill_persistence") for number in range(6)]

    result = run(short(1, *kills), with_story=True)

    assert not result.violations
    assert sum("kill_persistence: persistence" in line for line in result.story) == 1


def test_who_buys_beside_the_daemon_sells_again():
    result = run(short(1, Step(at=20.0, do="outside_order", u=0.1, lasts=3.0)), with_story=True)

    assert not result.violations
    assert any("is sold again" in line for line in result.story)
    assert any("quarantine_over" in line for line in result.story)


def test_a_request_may_arrive_when_its_answer_has_long_been_lost():
    straggler = Step(at=9.9, do="straggler", count=1, lasts=20.0)

    result = run(short(1, opens(v=STAYS), straggler, opens(10.0, v=STAYS)), with_story=True)

    assert not result.violations
    assert any("order_unknown" in line and "reset by peer" in line for line in result.story)
    assert sum("position_filled" in line for line in result.story) == 2


def test_what_fills_after_its_cancel_was_accepted_is_booked():
    slow, withdraws = Step(at=8.0, do="slow_cancel"), Step(at=9.0, do="withdraw", u=0.1)

    result = run(short(1, opens(v=RESTS), slow, withdraws), with_story=True)

    assert not result.violations
    assert any("slow_cancel: trade/cancel-order" in line for line in result.story)
    assert any("position_filled" in line for line in result.story)


def test_an_order_that_filled_in_part_stays_so_until_the_price_comes_back():
    result = run(short(1, opens(v=RESTS), Step(at=8.0, do="part_fill", v=0.5)), with_story=True)

    assert not result.violations
    assert any("0.5 is left" in line for line in result.story)


def test_people_open_a_symbol_while_nothing_is_told_of_it():
    plan = next(each for each in map(planned, range(50)) if mutes(each))

    mute = mutes(plan)[0]
    opened = [step for step in plan.steps if step.do == "open" and step.u == mute.u]

    assert opened
    assert all(13.0 <= step.at - mute.at <= 30.0 for step in opened)


def mutes(plan):
    """Return the silences of one symbol that do not end with their life."""
    ends = [life.end - 600 for life in plan.lives]
    return [
        step
        for step in plan.steps
        if step.do == "mute" and any(end - step.at - 30 > 0 for end in ends)
    ]


def test_a_limit_that_is_lowered_is_lifted_in_the_same_life():
    for plan in map(planned, range(10)):
        limits = [step for step in plan.steps if step.do in LIMITS]
        lowered = [step for step in limits if not is_lifted(step)]

        assert len(limits) >= 2 * len(lowered)


def test_a_price_that_nobody_tells_any_more_opens_nothing():
    mute = Step(at=20.0, do="mute", u=0.1, lasts=10.0)

    result = run(short(1, mute, opens(40.0)), with_story=True)

    assert not result.violations
    assert any("answered: open: STALE_PRICE" in line for line in result.story)


def test_a_commit_that_fails_is_made_again_unless_it_is_there():
    for lands in (0.2, 0.8):
        fails = Step(at=9.9, do="commit_fails", u=0.9, v=lands)

        result = run(short(1, opens(v=STAYS), fails, opens(10.0, v=STAYS)), with_story=True)

        assert not result.violations
        assert any("journal_unavailable kind=io" in line for line in result.story)
        assert any("journal_available" in line for line in result.story)
        assert sum("position_filled" in line for line in result.story) == 2


def test_nothing_is_opened_while_the_journal_cannot_be_written():
    fails = Step(at=9.9, do="journal_fails", u=0.1, lasts=10.0)
    snapshot = Step(at=12.0, do="snapshot")

    result = run(
        short(1, opens(v=STAYS), fails, opens(10.0), snapshot, opens(14.0)), with_story=True
    )

    assert not result.violations
    assert any("answered: snapshot: JOURNAL_DOWN" in line for line in result.story)
    assert any("answered: open: NO_ENTRY_MODE" in line for line in result.story)


@pytest.mark.parametrize(
    ("limit", "rule"),
    [
        (Step(at=15.0, do="limits", u=0.9, v=0.1), "MAX_POSITIONS_TRADER"),
        (Step(at=15.0, do="account_limits", v=0.1), "MAX_POSITIONS_ACCOUNT"),
    ],
)
def test_a_limit_below_what_is_open_lets_nothing_more_in(limit, rule):
    two = (opens(v=STAYS), opens(8.0, v=STAYS))

    result = run(short(1, *two, limit, opens(30.0)), with_story=True)

    assert not result.violations
    assert any(f"answered: open: {rule}" in line for line in result.story)


def test_nothing_goes_wrong_in_the_last_ten_minutes():
    for seed in range(20):
        plan = planned(seed)
        assert all(step.at < plan.ends - 600 for step in plan.steps)


def test_a_planted_bug_is_found():
    (way,) = ways_of(short(1, opens()), sends_twice)
    assert way.startswith("I2:")


def test_what_was_found_gets_smaller_and_fails_alike():
    noise = [Step(at=10.0 + number, do="quiet", u=0.3, lasts=1.0) for number in range(8)]
    plan = short(1, opens(), *noise)

    small = shrunk(plan, runs=30, patch=sends_twice)

    assert ways_of(small, sends_twice) & ways_of(plan, sends_twice)
    assert [step.do for step in small.steps] == ["open"]


def test_a_day_without_a_violation_does_not_get_smaller():
    plan = short(1, opens())

    assert shrunk(plan) is plan


def test_a_plan_survives_being_written_down():
    plan = planned(4)

    assert decode(encode(plan, violations=["I2: …"])) == plan


def test_a_campaign_adds_up_and_runs_its_first_seed_twice():
    noted = []

    figures = campaign([5], with_faults=False, note=noted.append)

    assert figures["seeds"] == len(noted) == figures["ran_twice"] == 1
    assert figures["not_repeated"] == []
    assert figures["violations"] == 0
    assert figures["days"] == pytest.approx(1.0, abs=0.01)


def test_the_command_tells_the_story_of_a_kept_plan(tmp_path):
    file = tmp_path / "plan.json"
    file.write_bytes(encode(short(1, opens())))

    told = CliRunner().invoke(build(["simulate"]), ["simulate", "--plan", str(file), "--trace"])

    assert told.exit_code == 0, told.output
    assert "the daemon starts" in told.output
    assert "order_sent" in told.output
    assert "0 violations" in told.output


def test_a_file_that_is_no_plan_is_refused_by_name(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text("{}")

    told = CliRunner().invoke(build(["simulate"]), ["simulate", "--plan", str(file)])

    assert told.exit_code == 1
    assert "PLAN_UNUSABLE" in told.output


def test_a_smaller_day_fails_in_the_same_way_whatever_the_ids_and_figures() -> None:
    assert way_of("I11: FN0Nk7 rests there since 6427 s") == way_of(
        "I11: FN2 rests there since 9 s"
    )
    assert way_of("I11: nobody answered: limits") != way_of("I11: FN2 rests there since 9 s")
