"""Rehearsing an upgrade of a toolchain: released engine, rebuilt engine, and vLLM before and after.

All of them are measured in one session on one host.

Promises:
- Nothing is published, no verdict is kept, and no setting of the host is changed. What is built stays in the
  store, where a build that really uses the other version finds it.
- Every two sides are compared from the same cycles of rounds.
"""

from tasks.stages.rehearsal.cycles import measure_cycles
from tasks.stages.rehearsal.records import Rehearsal
from tasks.stages.rehearsal.session import rehearse
from tasks.stages.rehearsal.upgrade import Upgrade, upgrade_of

__all__ = [
    "Rehearsal",
    "Upgrade",
    "measure_cycles",
    "rehearse",
    "upgrade_of",
]
