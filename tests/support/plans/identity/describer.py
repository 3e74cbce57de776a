"""Program: whenever a line is asked for, describe the stages with the tables as they are then.

Usage: PYTHON describer.py PACKAGES, with that directory, then `tests`, first on PYTHONPATH. Each line of
stdin is answered by a line of JSON: what `documents` gives, or null after a traceback. Importing takes longer
than describing, so forks of one process do this; it has imported all code and must not have read a table. The
source files of workers are no tables: it has parsed them, too.
"""

import gc
import json
import os
import sys
from pathlib import Path

CODE = ".py"
# Compiled code, also under the name that it has while it is written, if what was copied is out of date.
COMPILED = "__pycache__"


def main(packages: str) -> None:
    """Answer every line; exits at once if the imports have read a table, whose changes no fork would see."""
    read: list[str] = []
    sys.addaudithook(
        lambda event, args: read.append(str(args[0])) if event == "open" and args else None,
    )
    import tasks
    from support.plans.identity.documents import documents
    from tasks.workers.common.sources import reached

    if not Path(next(iter(tasks.__path__))).is_relative_to(packages):
        sys.exit(f"these are other packages than those in {packages}: {tasks.__path__}")
    opened = (Path(path) for path in read if path.startswith(packages))
    if tables := [str(path) for path in opened if path.suffix != CODE and path.parent.name != COMPILED]:
        sys.exit(f"read while modules were imported: {', '.join(tables)}")
    workers = (Path(packages) / "tasks" / "workers").rglob("*.py")
    reached(".".join(path.relative_to(packages).with_suffix("").parts) for path in workers)
    # Nothing that was imported is garbage; a fork would search all of it, and copy what it searches.
    gc.freeze()
    for _line in sys.stdin:
        if child := os.fork():
            if os.waitpid(child, 0)[1]:
                print("null", flush=True)
        else:
            print(json.dumps(dict(documents())), flush=True)
            os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
