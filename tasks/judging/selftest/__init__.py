"""How often the judge is wrong, simulated with its own functions: a table of rates, each with its interval.

Promises:
- Simulations go through the functions that judge: order of rounds, looks, intervals, shares of the error.
- With equal seed and repetitions, the table is the same.
- A family of scenarios is one function in `table.FAMILIES`; adding one needs no other change.
"""

from tasks.judging.selftest.rates import Rate
from tasks.judging.selftest.table import REPETITIONS, SelfTest, markdown_page, run_selftest

__all__ = ["REPETITIONS", "Rate", "SelfTest", "markdown_page", "run_selftest"]
