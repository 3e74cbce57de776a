"""What a verdict rests on, kept with it: every sample, what the judge made of them, and judging them again.

Promises:
- A release, and every verdict that was kept without one, names a tree with the measurements that it was
  judged by. The tree is verified like any other, and lives as long as whatever names it.
- Judging again uses the functions that judged. A difference is reported with the place and both values, and
  whether another version of the judge explains it.
- Speeds of two measurements are compared only within one class of host.
"""

from tasks.evidence.drift import Drift, drift_between
from tasks.evidence.history import Entry, history_of, last_accepted
from tasks.evidence.judge_version import source_commit
from tasks.evidence.kept_evidence import (
    Evidence,
    baseline_evidence,
    engine_evidence,
    keep_evidence,
    read_evidence,
    read_speed,
)
from tasks.evidence.recomputation import Recomputed, recompute
from tasks.evidence.speeds import JudgedSpeed

__all__ = [
    "Drift",
    "Entry",
    "Evidence",
    "JudgedSpeed",
    "Recomputed",
    "baseline_evidence",
    "drift_between",
    "engine_evidence",
    "history_of",
    "keep_evidence",
    "last_accepted",
    "read_evidence",
    "read_speed",
    "recompute",
    "source_commit",
]
