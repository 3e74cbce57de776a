"""Running programs of toolchains: jobs, servers, and the supervisor that lets nothing outlive its owner.

Promises: a program sees only the environment that is named for it; everything it prints is in its log before
anybody reads it; however its owner ends, all of its processes end too.
"""

from tasks.toolchains.run.environment import PASSED, PYTHON_PATH, SYSTEM_PATH, job_environment, kept
from tasks.toolchains.run.exit_status import failure
from tasks.toolchains.run.foreground import run_foreground
from tasks.toolchains.run.ports import require_port
from tasks.toolchains.run.runner import REQUEST_FILE, job_launch, run_job
from tasks.toolchains.run.serve_command import server_command, server_launch
from tasks.toolchains.run.server import serving
from tasks.toolchains.run.supervised_process import Supervised

__all__ = [
    "PASSED",
    "PYTHON_PATH",
    "REQUEST_FILE",
    "SYSTEM_PATH",
    "Supervised",
    "failure",
    "job_environment",
    "job_launch",
    "kept",
    "require_port",
    "run_foreground",
    "run_job",
    "server_command",
    "server_launch",
    "serving",
]
