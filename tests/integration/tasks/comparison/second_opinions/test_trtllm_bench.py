"""trtllm-bench on an engine: the real worker runs a STAND-IN of the program, in a toolchain of stand-ins.

It parses its options by upstream's, refuses what the real one refuses, and writes a report of the real form.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.judging.judgements import measured, protocol, workload
from support.specs import trt_plan
from support.standin.trtllm import serve_toolchain as serving
from support.standin.trtllm import toolchain as building
from support.standin.trtllm.toolchain import Gpu

from artifacts.hosts import ServeCommand
from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import ResolvedVariant, Shape, SpeedGate
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from tasks.comparison import ENGINE, BenchmarkOpinion, BenchmarkPlan
from tasks.comparison.second_opinions.trtllm_bench import ROUNDS
from tasks.errors import WorkerCancelled
from tasks.judging import JudgingProtocol, Measured, NoOpinion, NotMeasured, SpeedOpinion
from tasks.judging.measure import PromptText
from tasks.kinds import kind_named
from tasks.kinds.trtllm_torch.kind import CACHE_FILE
from tasks.runs import Pipeline
from tasks.toolchains import Toolchain
from tasks.workers.common.json_files import write_yaml

TEXT = PromptText(lead=(1,), ids=tuple(range(3, 60)))
LOAD = workload(input_tokens=32, output_tokens=16, concurrency=(1, 2), operating_point=2)
GPU = Gpu("NVIDIA H200", "9.0")


def torch_variant() -> ResolvedVariant:
    options = {row.name: row.default for row in load_kinds()["trtllm-torch"].options}
    return ResolvedVariant(
        name="v",
        target=load_targets()["h200"],
        engine=Engine(kind="trtllm-torch", options=options),
        quantization=Quantization(recipe="none", device="cuda"),
        shape=Shape(max_batch_size=8, max_input_len=128, max_seq_len=192, max_num_tokens=256),
    )


@dataclasses.dataclass
class Bench:
    """An engine of one kind, in a store, with the toolchain that serves it."""

    pipeline: Pipeline
    toolchain: Toolchain
    asked: JudgingProtocol
    plan: BenchmarkPlan
    said: list[str]

    def opinion(self, **env: str) -> SpeedOpinion | NoOpinion | None:
        """The second opinion on it, while the stand-in finds these variables."""
        return self.added(**env).speed_opinion

    def added(self, **env: str) -> Measured:
        """A measurement with it."""
        toolchain = self.toolchain.model_copy(update={"env": self.toolchain.env | env})
        second = BenchmarkOpinion(dataclasses.replace(self.plan, served_with={ENGINE: toolchain}))
        second.read(TEXT)
        return second.add_to(measured(self.asked.digest, [0.0] * 40, ratio=1.4), self.pipeline)


Make = Callable[..., Bench]


@pytest.fixture
def make(settings: Settings, store: Store, tmp_path: Path) -> Make:
    """Put an engine and a checkpoint into the store, and stand-ins into a toolchain."""

    def checkpoint(directory: Path) -> Path:
        directory.mkdir(parents=True)
        for name, text in (
            ("config.json", json.dumps({"model_type": "llama"})),
            ("tokenizer.json", "{}"),
            ("model.safetensors", "weights"),
        ):
            (directory / name).write_text(text)
        return directory

    def engine(variant: ResolvedVariant) -> Path:
        directory = tmp_path / "engine"
        if variant.engine.kind == "trtllm-torch":
            (checkpoint(directory) / CACHE_FILE).parent.mkdir()
            (directory / CACHE_FILE).write_text("{}")
        else:
            directory.mkdir()
            sizes = variant.shape.model_dump()
            (directory / "config.json").write_text(json.dumps({"build_config": sizes}))
        job = kind_named(variant.engine.kind).build_job(variant)
        write_yaml(directory / "llm_args.yaml", job.params.llm_args)  # type: ignore[attr-defined]
        return directory

    def made(variant: ResolvedVariant, minutes: float = 1.0) -> Bench:
        said: list[str] = []
        kind = kind_named(variant.engine.kind)
        trees = [
            store.put_tree(path).digest for path in (engine(variant), checkpoint(tmp_path / "checkpoint"))
        ]
        asked = protocol(load=LOAD)
        gate = SpeedGate(**asked.speed.gate.model_dump() | {"second_opinion_minutes": minutes})
        serve: ServeCommand = kind.serve_command(variant)
        asked = asked.model_copy(
            update={
                "engine": asked.engine.model_copy(update={"name": ENGINE, "tree": trees[0], "serve": serve}),
                "speed": asked.speed.model_copy(update={"gate": gate}),
            }
        )
        command = kind.benchmark_command(variant, LOAD.operating_point)
        assert command is not None
        stand_ins = building if kind.name == "trt-plan" else serving
        toolchain = stand_ins.install(tmp_path / "toolchain", GPU)
        pipeline = Pipeline(settings, store, say=said.append)
        return Bench(pipeline, toolchain, asked, BenchmarkPlan(asked, command, trees[1], "test"), said)

    return made


@pytest.mark.parametrize("variant", [trt_plan.variant(), torch_variant()], ids=lambda one: one.engine.kind)
def test_it_asks_the_engine_at_the_operating_point_and_records_what_the_tool_reports(
    make: Make, variant: ResolvedVariant
) -> None:
    bench = make(variant)
    found = bench.opinion()
    assert isinstance(found, SpeedOpinion), found
    requests = ROUNDS * bench.asked.rounds.requests(LOAD.operating_point)
    line = "1.2.1" if variant.engine.kind == "trt-plan" else "1.4.0rc1"
    assert found.tool == f"trtllm-bench of TensorRT-LLM {line}+stand-in"
    assert (found.requests, found.concurrency) == (requests, LOAD.operating_point)
    assert (found.mean_input_tokens, found.mean_output_tokens) == (LOAD.input_tokens, LOAD.output_tokens)
    assert found.output_tokens_per_s == requests * LOAD.output_tokens / 2
    assert (found.ttft_ms.p99, found.tpot_ms.mean, found.e2e_ms.p50) == (30.0, 5.0, 105.0)
    assert any("it decides nothing" in line for line in bench.said)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("dies", "trtllm-bench ended with exit code 1"),
        ("gpu-memory", "memory"),
        ("no-report", "wrote no report"),
        ("other-report", "not as it was read upstream: performance"),
    ],
)
def test_a_failure_is_a_reason_and_changes_nothing_else(make: Make, how: str, why: str) -> None:
    bench = make(trt_plan.variant())
    made = bench.added(STAND_IN_BENCH=how)
    assert isinstance(made.speed_opinion, NoOpinion)
    assert why in made.speed_opinion.reason
    assert made.speed_opinion.log == "test-trtllm-bench.log"
    plain = measured(bench.asked.digest, [0.0] * 40, ratio=1.4)
    assert made.model_copy(update={"speed_opinion": None}) == plain
    assert any(line.startswith("second opinion on speed: none") for line in bench.said)


def test_a_toolchain_without_the_program_is_a_reason(make: Make) -> None:
    bench = make(trt_plan.variant())
    (bench.toolchain.bin_dir / "trtllm-bench").unlink()
    found = bench.opinion()
    assert isinstance(found, NoOpinion)
    assert "the toolchain has no program trtllm-bench" in found.reason


def test_it_ends_at_its_own_time_limit(make: Make) -> None:
    found = make(trt_plan.variant(), minutes=0.02).opinion(STAND_IN_BENCH="hangs")
    assert isinstance(found, NoOpinion)
    assert "time limit" in found.reason


def test_who_cancels_the_run_ends_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*_args: object, **_named: object) -> None:
        raise WorkerCancelled("stopped")

    monkeypatch.setattr("tasks.comparison.second_opinions.tool_worker.run_job", cancelled)
    with pytest.raises(WorkerCancelled):
        make(trt_plan.variant()).opinion()


def test_nothing_is_asked_if_no_round_was_timed(make: Make) -> None:
    bench = make(trt_plan.variant())
    shutil.rmtree(bench.toolchain.root)
    untimed = measured(bench.asked.digest, [0.0] * 40, ratio=1.4).model_copy(
        update={"speed": NotMeasured(reason="rejected")}
    )
    found = BenchmarkOpinion(bench.plan).add_to(untimed, bench.pipeline).speed_opinion
    assert isinstance(found, NoOpinion)
    assert "no round was timed" in found.reason


def test_an_engine_with_arguments_that_the_tool_does_not_have_is_a_reason(make: Make, tmp_path: Path) -> None:
    bench = make(trt_plan.variant())
    bench.pipeline.store.materialize(bench.asked.engine.tree, tmp_path / "again", writable=True)
    arguments = tmp_path / "again" / "llm_args.yaml"
    arguments.write_text(yaml.safe_dump(yaml.safe_load(arguments.read_text()) | {"speed": "high"}))
    changed = bench.pipeline.store.put_tree(tmp_path / "again").digest
    side = bench.asked.engine.model_copy(update={"tree": changed})
    asked = bench.asked.model_copy(update={"engine": side})
    found = dataclasses.replace(bench, plan=dataclasses.replace(bench.plan, protocol=asked)).opinion()
    assert isinstance(found, NoOpinion)
    assert "speed: Extra inputs are not permitted" in found.reason
