"""SIGKILL in every phase of a measurement in turn: no server is left, and nothing is made twice."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
from support.paths import ROOT, TESTS
from support.programs.processes import alive, is_suspended, wait_until

from tasks.judging import Measured, SpeedResult

LIMIT_S = 60.0
# Where each run is killed, and what it takes over from the runs before it.
ANSWERED = (
    "questions",
    "answers-engine",
    "scores-engine",
    "time-of-answers",
    "time-of-references",
    "blocks-within-1-min",
)
KILLS = (
    ("vllm: ready", ()),
    ("engine: ready", ()),
    ("vllm: ready", ("questions",)),
    ("block 1,", ("questions", "answers-engine")),
    ("block 5,", ANSWERED),
)
FINISHED = (*ANSWERED, "cycle-000-engine-vllm", "cycle-001-engine-vllm")


class Run:
    """One run of the measurement as a process of its own."""

    def __init__(self, root: Path, placement: str = "in-turn", per_token_s: float = 0.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.judging.comparisons", str(root), placement, str(per_token_s)],
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{TESTS}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def kill_at(self, start: str) -> None:
        """Kill it once it has said a line that starts like this."""
        self.kill_when(lambda: any(one.startswith(start) for one in self.lines))

    def kill_when(self, holds: Callable[[], bool]) -> None:
        """Kill it, and wait until everything is gone."""
        wait_until(lambda: holds() or self.process.poll() is not None, LIMIT_S)
        assert self.process.poll() is None, "\n".join(self.lines)
        family = self.family()
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(alive(one.pid) for one in family), LIMIT_S)

    def family(self) -> list[psutil.Process]:
        """Everything that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def finish(self) -> Measured:
        """Wait for its end."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        assert self.process.wait(LIMIT_S) == 0, "\n".join(self.lines)
        self._reader.join(LIMIT_S)
        return Measured.model_validate_json(printed)

    def reused(self) -> tuple[str, ...]:
        """The phases that it took over."""
        found = [
            one.split()[1].rstrip(":") for one in self.lines if one.endswith("reused from an earlier run")
        ]
        return tuple(found)


def test_killed_in_every_phase_it_leaves_no_server_and_makes_no_finished_phase_again(tmp_path: Path) -> None:
    for start, reused in KILLS:
        run = Run(tmp_path)
        run.kill_at(start)
        assert run.reused() == reused
    last = Run(tmp_path)
    made = last.finish()
    assert last.reused() == FINISHED, "the pair that the last kill broke off is made anew"
    assert isinstance(made.speed, SpeedResult)
    sides = [one.side for one in made.speed.blocks]
    assert len(sides) == 6
    assert all({*sides[first : first + 2]} == {"vllm", "engine"} for first in range(0, 6, 2))
    starts = [one.side for one in made.conditions.starts]
    assert len(starts) > 3 + len(made.speed.blocks), "those of runs that were killed are shown as well"


def test_killed_while_a_side_is_suspended_it_leaves_no_server(tmp_path: Path) -> None:
    run = Run(tmp_path, "shared", per_token_s=0.05)
    run.kill_when(lambda: any(is_suspended(one.pid) for one in run.family()))
