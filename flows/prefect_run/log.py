"""Lines of progress to the log of the task that is running."""

import contextlib

from prefect import get_run_logger
from prefect.exceptions import MissingContextError


class RunLog:
    """Takes one line; it is seen in the Prefect UI under the task that said it.

    Threads of a library do not carry Prefect's context. Their lines go to the task that spoke last, which is
    the one that started them: tasks of one run follow each other.
    """

    def __init__(self) -> None:
        self._logger = get_run_logger()

    def __call__(self, line: str) -> None:
        """Log one line."""
        with contextlib.suppress(MissingContextError):
            self._logger = get_run_logger()
        self._logger.info("%s", line)
