"""What this process still has to send to its Prefect server: logs and events, which its client sends later.

Prefect's client sends the rest as the process ends. If the server is stopped before, it tries to reach it for
about a minute, and what it holds is lost.
"""

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

LIMIT_S = 10.0


def deliver() -> None:
    """Send all of it now, while the server runs; return after LIMIT_S seconds if it does not take it."""
    for sender in (APILogWorker, EventsWorker):
        sender.drain_all(timeout=LIMIT_S)
