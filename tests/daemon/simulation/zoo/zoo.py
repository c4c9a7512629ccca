"""All planted bugs: those that days find, and those that none has found yet."""

from tests.daemon.simulation.zoo.bugs_elusive import ELUSIVE as _ELUSIVE
from tests.daemon.simulation.zoo.bugs_exits import EXITS
from tests.daemon.simulation.zoo.bugs_guards import GUARDS
from tests.daemon.simulation.zoo.bugs_money import MONEY
from tests.daemon.simulation.zoo.bugs_orders import ORDERS
from tests.daemon.simulation.zoo.bugs_promises import PROMISES
from tests.daemon.simulation.zoo.bugs_truth import TRUTH

BUGS = {bug.name: bug for bug in (*ORDERS, *EXITS, *GUARDS, *MONEY, *TRUTH, *PROMISES)}
ELUSIVE = {bug.name: bug for bug in _ELUSIVE}
