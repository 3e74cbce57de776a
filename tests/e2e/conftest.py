"""One main job for all end-to-end tests: interrupted once in every stage, then finished."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from support.programs.main_job import INTERRUPTIONS, Finished, MainJob, main_job


@pytest.fixture(scope="package")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MainJob]:
    with main_job(tmp_path_factory.mktemp("main-job")) as job:
        yield job


@pytest.fixture(scope="package")
def finished(job: MainJob) -> Finished:
    """Ctrl-C in every other stage, SIGKILL in the others; `make faults` does both in each.

    The last run may not make anything: all that it needs was kept.
    """
    releases_before: list[dict[str, Any]] = []
    for index, where in enumerate(INTERRUPTIONS):
        job.interrupt(where, signal.SIGKILL if index % 2 else signal.SIGINT)
        # Releases are never taken back: what is not there before the last step was never there.
        if where.request == r"PUT /.*/release\.json":
            releases_before = job.releases()
    build = job.build("--require-cached")
    exit_code, summary = build.finish()
    return Finished(job, exit_code, summary, build.log(), releases_before, len(job.gate.blob_requests("GET")))
