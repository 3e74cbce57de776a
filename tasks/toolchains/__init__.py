"""Toolchains: isolated, locked environments for heavy tools, and the one way to run programs in them.

The public names: `declared`, `ensure`, `status`, `planned_identity` (what there is and how to get it),
`run_job` (a job: JSON in, JSON out), `serving` and `run_foreground` (servers), `kill_all` (cancellation
inside a live process).
"""

from tasks.toolchains.declarations import Declaration, declared
from tasks.toolchains.foreground import run_foreground
from tasks.toolchains.install import ensure, planned_identity, status
from tasks.toolchains.records import JobOutcome, JobRequest, JobResponse, NotInstalled, Server, Toolchain
from tasks.toolchains.runner import run_job
from tasks.toolchains.server import serving
from tasks.toolchains.supervised import kill_all

__all__ = [
    "Declaration",
    "JobOutcome",
    "JobRequest",
    "JobResponse",
    "NotInstalled",
    "Server",
    "Toolchain",
    "declared",
    "ensure",
    "kill_all",
    "planned_identity",
    "run_foreground",
    "run_job",
    "serving",
    "status",
]
