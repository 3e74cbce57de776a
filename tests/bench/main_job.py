"""The main job on the demo spec, from an empty store: what each stage takes, and the pipeline itself."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from support.programs.cli import PROGRAM
from support.programs.main_job import MainJob, main_job

from engine_specs.reading import PACKAGE
from flows.stack.components.prefect_api import PrefectApi
from tests.bench.memory import PeakMemory

MIB = 1 << 20
DEMO = PACKAGE / "demo.yaml"
MEASURING = ("baseline", "measure")


def report(root: Path) -> None:
    """Print stages, overhead, memory, and the engine against vLLM."""
    root.mkdir(parents=True)
    with main_job(root) as job:
        summary, wall_s, peak_bytes = _run(job)
        tasks = _task_seconds(job, summary)
        ratios = _ratios(job)
    jobs = {
        stage["stage"]: stage["metrics"].get("worker", {}).get("wall_s", 0.0) for stage in summary["stages"]
    }
    print("== main job, spec demo, nothing cached")
    for name, seconds in tasks.items():
        print(f"{name:<32} {seconds:7.1f} s")
    tools = sum(jobs.values()) + sum(s for name, s in tasks.items() if name.startswith(MEASURING))
    print(f"{'wall':<32} {wall_s:7.1f} s")
    print(f"{'tools (jobs, measuring)':<32} {tools:7.1f} s")
    print(f"{'overhead (wall less tools)':<32} {wall_s - tools:7.1f} s")
    print(f"{'peak memory, orchestrator':<32} {peak_bytes / MIB:7.0f} MiB")
    print("== engine against vLLM, ratio with its interval")
    for point in ratios:
        span = f"{point['estimate']:.3f} [{point['lower']:.3f}, {point['upper']:.3f}]"
        print(f"{point['concurrency']} in flight {span} {point['metric']}, {point['pairs']} pairs of rounds")


def _run(job: MainJob) -> tuple[dict[str, Any], float, int]:
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, "build", str(DEMO), "--json"],
        env={**os.environ, **job.env},
        stdout=subprocess.PIPE,
        text=True,
    )
    memory = PeakMemory(process.pid)
    printed, _ = process.communicate()
    return json.loads(printed), time.perf_counter() - begin, memory.peak_bytes


def _task_seconds(job: MainJob, summary: dict[str, Any]) -> dict[str, float]:
    run_id = summary["page"].rsplit("/", 1)[1]
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
    runs = PrefectApi.of(job.env).post("task_runs/filter", wanted)
    return {run["name"]: run["total_run_time"] for run in runs}


def _ratios(job: MainJob) -> list[dict[str, Any]]:
    (page,) = json.loads(job.cli("report", "demo:nightly", "--json").stdout).values()
    ratios: list[dict[str, Any]] = json.loads(Path(page).with_name("report.json").read_text())["ratios"]
    return ratios
