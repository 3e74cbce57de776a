"""Toolchains: isolated, pinned environments for heavy tools, and the one way to run programs in them.

The public names: `declared`, `end_of_life_warnings` and `driver_floor` (which toolchains exist, and what they
need), `ensure`, `require_usable`, `status` and `planned_identity` (how to get them), `adopt` and `forget`
(use what this host already has), `run_job` (a job: JSON in, JSON out), `serving`, `run_foreground` and
`require_port` (servers).

Promises: a toolchain's identity says what is actually there; a program sees only the environment that is
declared for it, and ends with its owner.
"""

from tasks.toolchains.declarations import (
    Declaration,
    declaration,
    declared,
    driver_floor,
    end_of_life_warnings,
)
from tasks.toolchains.providers import adopt, ensure, forget, planned_identity, require_usable, status
from tasks.toolchains.records import JobOutcome, NotInstalled, Provenance, Server, Toolchain, Worker, tool_of
from tasks.toolchains.run import require_port, run_foreground, run_job, serving

__all__ = [
    "Declaration",
    "JobOutcome",
    "NotInstalled",
    "Provenance",
    "Server",
    "Toolchain",
    "Worker",
    "adopt",
    "declaration",
    "declared",
    "driver_floor",
    "end_of_life_warnings",
    "ensure",
    "forget",
    "planned_identity",
    "require_port",
    "require_usable",
    "run_foreground",
    "run_job",
    "serving",
    "status",
    "tool_of",
]
