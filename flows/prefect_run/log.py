"""Progress lines in the log of the running task."""

import contextlib

from prefect import get_run_logger
from prefect.exceptions import MissingContextError


class RunLog:
    """A receiver of progress lines; the Prefect UI shows them under the task that logged them.

    Threads of a library do not have Prefect's context. Their lines go to the task that logged last, which is
    the one that started them: the tasks of a run do not overlap.
    """

    def __init__(self) -> None:
        self._logger = get_run_logger()

    def __call__(self, line: str) -> None:
        """Log one line."""
        with contextlib.suppress(MissingContextError):
            self._logger = get_run_logger()
        self._logger.info("%s", line)
