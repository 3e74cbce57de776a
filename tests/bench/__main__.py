"""`make bench`: times, memory and speed on this machine, now. Run it on an idle machine.

Figures are printed with the commands and counts behind them; nothing is asserted.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # `support`, as pytest finds it

from tests.bench import command_line, main_job, plan, same_engine, store


def main() -> None:
    """Print every benchmark."""
    command_line.report()
    with tempfile.TemporaryDirectory(prefix="enginery-bench-") as directory:
        store.report(Path(directory) / "store")
        plan.report(Path(directory) / "plan")
        main_job.report(Path(directory) / "job")
        same_engine.report(Path(directory) / "same")


if __name__ == "__main__":
    main()
