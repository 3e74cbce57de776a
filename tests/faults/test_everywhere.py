"""Every stage ended by every signal: Ctrl-C, an operator's or a worker's SIGTERM, and SIGKILL.

The end-to-end tests do one of them in each stage; this takes many times as long.
"""

import signal
from pathlib import Path

import pytest
from support.programs.main_job import EVERYWHERE, main_job

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_interrupted_everywhere_it_still_finishes(tmp_path: Path, number: signal.Signals) -> None:
    with main_job(tmp_path) as job:
        for where in EVERYWHERE:
            job.interrupt(where, number)
        build = job.build()
        code, summary = build.finish()
        assert code == 0, build.log()
        assert all(stage["reused"] for stage in summary["stages"])
        assert [release["version"] for release in job.releases()] == ["2.0.0"]
