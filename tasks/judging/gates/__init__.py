"""Gates: the questions that an engine has to pass. A gate reads what was measured, and gives a reason. Pure.

There is one file per gate, behind one interface (`gate`); `registry` lists the gates in the order in which
they decide. Other code iterates over `all_gates()`, and names none of them.
"""

from tasks.judging.gates.figures import Figure
from tasks.judging.gates.gate import UNTIMED, Gate, Terms
from tasks.judging.gates.registry import all_gates

__all__ = ["UNTIMED", "Figure", "Gate", "Terms", "all_gates"]
