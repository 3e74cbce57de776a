"""What an engine has to clear: each gate reads what was measured, and says what it came to and why.

One file per gate behind one interface (`gate`), listed in `registry` in the order in which they decide.
Whoever needs to know something of the gates iterates over `all_gates()`, and names none of them. Pure.
"""

from tasks.judging.gates.figures import Figure
from tasks.judging.gates.gate import UNTIMED, Gate, Terms
from tasks.judging.gates.registry import all_gates

__all__ = ["UNTIMED", "Figure", "Gate", "Terms", "all_gates"]
