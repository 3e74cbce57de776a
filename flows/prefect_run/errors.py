"""What a run's log says of a failure: an error that is understood is told once, by its message.

Prefect logs an exception at each level that it passes: the task, the flow, the flow above it, the process;
with a traceback of its own files, and with the state that carries the message again. Importing this module
stops that for errors that are understood. Anything else is a defect, and keeps its traceback.
"""

import logging
import os

from prefect import get_run_logger
from prefect.logging import get_logger
from prefect.runtime import flow_run

from artifacts.errors import EngineryError

PREFECT_LOGGERS = ("flow_runs", "task_runs", "engine")
FINAL_STATES = ("Finished in state Failed(", "Finished in state Crashed(")
RETRY = "Task run failed with %s: %r - Retry"


def tell(error: Exception) -> None:
    """Log an understood error of the flow that ends by it, for its page in the UI.

    Where the error goes on to a caller in this process, which prints it, the log alone gets it.
    """
    handed_up = flow_run.get_parent_flow_run_id() is None and "PREFECT__FLOW_RUN_ID" not in os.environ
    logger = get_logger("prefect.extra.enginery") if handed_up else get_run_logger()
    logger.error("%s", error)


class _Once(logging.Filter):
    """Drops what Prefect adds to an error that is told elsewhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be seen; a retry says by the error's class why it is one."""
        if isinstance(record.msg, str) and record.msg.startswith(RETRY) and isinstance(record.args, tuple):
            kind, error, *rest = record.args
            if isinstance(error, EngineryError):
                record.msg = record.msg.replace("%r", "%s", 1)
                record.args = (kind, type(error).__name__, *rest)
            return True
        if record.exc_info and isinstance(record.exc_info[1], EngineryError):
            return False
        # Whatever failed has said why: here, or by Prefect's own record with the traceback.
        return not record.getMessage().startswith(FINAL_STATES)


for _name in PREFECT_LOGGERS:
    get_logger(_name).addFilter(_Once())
