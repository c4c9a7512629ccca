"""A small storm of lost answers at a venue; `make lost-answers VENUE=okx N=100000` is the large."""

import pytest

from tests.lost_answers_okx import storm
from tests.storm_judge import is_good

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_a_storm_of_lost_answers_at_a_venue_doubles_and_forgets_nothing():
    result = storm(250)

    assert is_good(result), result
    assert sum(result["lost"].values()) > 60
    assert result["were_unknown"] > 30
    assert result["venue"]["resent"] == 0
