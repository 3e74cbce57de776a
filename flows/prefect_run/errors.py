"""What a run's log says about a failure: an expected error appears once, as its message.

Prefect logs an exception at each level that it passes (task, flow, parent flow, process), with a traceback of
Prefect's own files, and again with the final state. Importing this module stops that for expected errors
(EngineryError). Anything else is a defect, and keeps its traceback.
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


def log_error(error: Exception) -> None:
    """Log the expected error that ends this flow, for its page in the UI.

    If a caller in this process is going to print the error, it goes only to the log.
    """
    printed_by_caller = flow_run.get_parent_flow_run_id() is None and "PREFECT__FLOW_RUN_ID" not in os.environ
    logger = get_logger("prefect.extra.enginery") if printed_by_caller else get_run_logger()
    logger.error("%s", error)


class _RepetitionFilter(logging.Filter):
    """A filter that drops Prefect's repetitions of an error that is already in the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep a record; of a retry's error, keep only the class."""
        if isinstance(record.msg, str) and record.msg.startswith(RETRY) and isinstance(record.args, tuple):
            kind, error, *rest = record.args
            if isinstance(error, EngineryError):
                record.msg = record.msg.replace("%r", "%s", 1)
                record.args = (kind, type(error).__name__, *rest)
            return True
        if record.exc_info and isinstance(record.exc_info[1], EngineryError):
            return False
        # The reason is already in the log: from here, or in Prefect's own record with the traceback.
        return not record.getMessage().startswith(FINAL_STATES)


for _name in PREFECT_LOGGERS:
    get_logger(_name).addFilter(_RepetitionFilter())
