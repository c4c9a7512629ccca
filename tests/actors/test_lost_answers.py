"""A small storm of lost answers; `make lost-answers N=100000` is the large one."""

import pytest

from tests.lost_answers import storm
from tests.storm_judge import is_good


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_lost_answers_doubles_and_forgets_nothing(seed):
    result = storm(500, seed)

    assert is_good(result), result
    lost = result["answers"]["reset"] + result["answers"]["answer_lost"]
    assert lost > 200
    never = result["answers"].get("never_arrives", 0) + result["answers"].get("broken_line", 0)
    assert result["executions"].get("FAILED", 0) == never
    assert result["orders"] == result["executions"]["PLACED"] + never
