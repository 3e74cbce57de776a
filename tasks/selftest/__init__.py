"""The live self-test: damage and cheats, planted on running servers and judged by the functions that judge.

Promises:
- Each damage and cheat is one entry of `planted.PLANTED`, which the tests use as well. One that no gate can
  find is listed as such, with the reason, and is never left out.
- What is planted lies between real servers and the judge: in front of a server (`proxy`), or between a server
  and its engine (`tasks.workers.damaged_server`). Nothing that is judged here reaches the store's releases.
- A trial gives the gate that found it, and its sentence (`trial`); `table` counts trials, with intervals.

- Importing this folder loads neither the Hub's client nor a library that measures: `live` does, so code that
  runs the self-test imports that module itself.

How often the statistics are wrong is simulated, by `tasks.judging.selftest`.
"""

from tasks.selftest.planted import CONTROLS, PLANTED

__all__ = ["names"]


def names() -> tuple[str, ...]:
    """Return the names of everything that can be tried, in order."""
    return (*(one.name for one in PLANTED), *CONTROLS)
