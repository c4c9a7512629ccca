import pytest

from exchanges.okx_errors import CODES, code_of, remedy_of
from exchanges.verdict import Verdict

UNKNOWN = ["50001", "50004", "50005", "50013", "50026", "51054", "51149", "51016", "51011"]


@pytest.mark.parametrize("code", UNKNOWN)
def test_codes_after_which_an_order_may_be_live_are_no_refusals(code: str) -> None:
    assert code_of(code).verdict in {Verdict.UNKNOWN, Verdict.DOWN}


BROUGHT_ALONG = [str(code) for code in range(51046, 51054)]  # stops and targets of an entry


@pytest.mark.parametrize("code", [*BROUGHT_ALONG, "51058", "51174", "51185", "51205", "51502"])
def test_what_the_venue_checks_before_it_takes_an_order_ends_it(code: str) -> None:
    assert code_of(code).verdict is Verdict.REFUSED


@pytest.mark.parametrize("code", ["", "99999", "51999", "50999", "hello"])
def test_a_code_that_nobody_knows_leaves_everything_open(code: str) -> None:
    assert code_of(code).verdict is Verdict.UNKNOWN


def test_success_is_no_entry_of_the_table() -> None:
    assert not {"0", "1", "2"} & CODES.keys()
    assert code_of("0").verdict is Verdict.UNKNOWN


def test_what_a_person_can_do_about_a_login_is_said() -> None:
    for code in ("50101", "50105", "50110", "50111", "50113", "50120"):
        assert code_of(code).verdict is Verdict.LOGIN
        assert remedy_of(code)
