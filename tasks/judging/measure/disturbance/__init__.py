"""What disturbs rounds: others on the host, and idle sides on the same GPUs.

Promise: whether rounds count follows from who else computed, never from what the rounds say.
"""

from tasks.judging.measure.disturbance.idle import IdleChecks, check_idle_sides
from tasks.judging.measure.disturbance.repeats import Repeats, counting_looks, require_few

__all__ = ["IdleChecks", "Repeats", "check_idle_sides", "counting_looks", "require_few"]
