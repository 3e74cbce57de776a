"""The services of a whole build: local stack, a gate before its S3, a Hub with the demo's model."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.demo.hub_repo import DEMO_HUB
from support.paths import E2E_SPEC
from support.programs.builds import Build
from support.programs.cli import run_cli
from support.servers.gate import Gate, gate_before
from support.servers.hub_faults import faulty_hub
from support.servers.prefect_database import seed_database

SPEC = E2E_SPEC


@dataclass(frozen=True)
class Interruption:
    """Where a run is interrupted.

    Attributes:
        stage: the stage that is under way then.
        line: a line that it narrates, to act upon; or
        request: "METHOD /key" of a request to the store that is held back meanwhile.
        reused: lines that show what this run took over from the runs before it; the stage before this one
            was interrupted then, and is done here.
    """

    stage: str
    line: str = ""
    request: str = ""
    reused: tuple[str, ...] = field(default=())


FETCHED = r"fetch checkpoint: reused", r"fetch heldout: reused"
MEASURED = *FETCHED, r"baseline: reused"
QUANTIZED = *MEASURED, r"quantize cpu-int8: reused"
BUILT = *QUANTIZED, r"build cpu-int8: reused"
JUDGED = *BUILT, r"measure: reused"

INTERRUPTIONS = (
    Interruption("fetch", request=r"PUT /.*/actions/fetch/"),
    Interruption("baseline", line=r"api_server --model", reused=()),
    Interruption("quantize", line=r"tasks\.workers\.quantize\.main", reused=FETCHED),
    Interruption("build", line=r"tasks\.workers\.aot\.build", reused=MEASURED),
    Interruption("measure", line=r"engine: ready", reused=QUANTIZED),
    Interruption("judge", request=r"PUT /.*/trees/", reused=BUILT),
    Interruption("publish", request=r"PUT /.*/release\.json", reused=JUDGED),
    Interruption("publish", request=r"PUT /.*/channels/", reused=JUDGED),
)
# Deeper in a stage, where tools must start first: `make faults` alone has the time for it.
WHILE_QUANTIZING = Interruption("quantize", line=r"quantizing with", reused=MEASURED)
WHILE_COMPILING = Interruption("build", line=r"compiling for", reused=QUANTIZED)
WHILE_SCORING = Interruption("measure", line=r"kept for scoring", reused=QUANTIZED)
EVERYWHERE = (
    *INTERRUPTIONS[:3],
    WHILE_QUANTIZING,
    INTERRUPTIONS[3],
    WHILE_COMPILING,
    INTERRUPTIONS[4],
    WHILE_SCORING,
    *INTERRUPTIONS[5:],
)


class MainJob:
    """Runs the main job with its services."""

    def __init__(self, env: dict[str, str], gate: Gate) -> None:
        self.env = env
        self.gate = gate

    def cli(self, *arguments: str | Path) -> Any:
        """Run a command; returns what `run_cli` returns."""
        return run_cli(*arguments, env=self.env)

    def releases(self) -> list[dict[str, Any]]:
        """What `enginery list` shows of the spec."""
        listed = self.cli("list", "e2e", "--json")
        return json.loads(listed.stdout) if listed.returncode == 0 else []

    def build(self, *arguments: str) -> Build:
        """Start a build."""
        return Build(SPEC, self.env, *arguments)

    def interrupt(self, where: Interruption, number: signal.Signals) -> None:
        """Run a build up to a point, end it there, and see that it took over what was done before."""
        if where.request:
            self.gate.close_at(where.request)
        build = self.build()
        try:
            build.wait_until(
                (lambda: self.gate.reached) if where.request else (lambda: build.saw(where.line)),
                what=where.request or where.line,
            )
            code = build.kill(number)
        finally:
            self.gate.open()
        assert code == (-signal.SIGKILL if number is signal.SIGKILL else 130), build.log()
        # What a killed tool prints stands behind the log's prefix; a traceback of our own begins its line.
        assert not re.search("^Traceback", build.log(), re.MULTILINE), build.log()
        for line in where.reused:
            assert build.saw(line), f"{where.stage}: no line like {line!r} in\n{build.log()}"


@dataclass(frozen=True)
class Finished:
    """The main job after its last run.

    Attributes:
        job: the main job.
        exit_code: of its last run.
        summary: what that run printed.
        log: what it narrated.
        releases_before: what `list` showed before the run that published.
        downloads: how often any of its runs asked the store for bytes of a blob.
    """

    job: MainJob
    exit_code: int
    summary: dict[str, Any]
    log: str
    releases_before: list[dict[str, Any]]
    downloads: int


@contextmanager
def main_job(root: Path) -> Iterator[MainJob]:
    """Bring everything up below `root`, and down again."""
    env = {
        "ENGINERY_HOME": str(root / "home"),
        "ENGINERY_CACHE_DIR": str(root / "cache"),
        "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "ENGINERY_SPECS_DIR": str(SPEC.parent),
        # Threads that wait for a processor in use by other tests would only spin.
        "OMP_NUM_THREADS": "1",
    }
    seed_database(root / "home")
    with faulty_hub(DEMO_HUB) as hub:
        env["HF_ENDPOINT"] = hub.url
        up = run_cli("up", env=env)
        assert up.returncode == 0, up.stderr
        try:
            exported = run_cli("status", "--env", env=env).stdout
            env |= dict(line.removeprefix("export ").split("=", 1) for line in exported.splitlines())
            with gate_before(env["AWS_ENDPOINT_URL_S3"]) as gate:
                yield MainJob(env | {"AWS_ENDPOINT_URL_S3": gate.endpoint}, gate)
        finally:
            down = run_cli("down", env=env)
            assert down.returncode == 0, down.stderr
