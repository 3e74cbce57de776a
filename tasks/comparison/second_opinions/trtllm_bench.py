"""TensorRT-LLM's own benchmark on an engine that was timed: a second opinion, which decides nothing.

Invariants:
- It runs when all servers of the measurement have ended, and before another measurement begins on this host.
- It has its own time limit, and an unreadable report is a reason in the record like any other failure.
- It is asked what timed rounds ask: prompts of the same kind and length, answers of the same length, as many
  requests in flight.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from pydantic import BaseModel, ValidationError

from tasks.comparison.second_opinions.tool_worker import ToolWorker, opinion_or_reason
from tasks.comparison.serve import Equipped, ServedWith, bench
from tasks.judging import (
    JudgingProtocol,
    Measured,
    NoOpinion,
    NotMeasured,
    PlacementChoice,
    SpeedOpinion,
)
from tasks.judging.measure import Prompt, PromptText, new_prompts
from tasks.judging.results import Quantiles
from tasks.kinds import ToolCommand
from tasks.runs import Pipeline, new_directories
from tasks.toolchains import JobOutcome
from tasks.workers.trtllm_bench.request import BenchmarkRun, TrtllmBenchParams

BENCHMARK_WORKER = "tasks.workers.trtllm_bench.ask"
REQUESTS_FILE, REPORT_FILE = "requests.jsonl", "report.json"
PURPOSE = "trtllm-bench"
# Rounds of the speed gate that it makes as many requests as. They are not rounds: all follow one another.
ROUNDS = 2
ALONE = PlacementChoice(name="in-turn", reason="the engine alone is asked, by its tool's benchmark")
SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """How the second opinion on one engine is asked for.

    Attributes:
        protocol: the protocol that the engine is measured under.
        command: the command of the tool's benchmark.
        checkpoint: digest of the tree of the spec's checkpoint.
        label: part of the names of logs.
        served_with: toolchains by the names of sides; if not given, the settings say which they are.
    """

    protocol: JudgingProtocol
    command: ToolCommand
    checkpoint: str
    label: str
    served_with: ServedWith | None = None

    @property
    def limit_s(self) -> float:
        """The seconds that it may take."""
        return self.protocol.speed.gate.second_opinion_minutes * SECONDS_PER_MINUTE


@dataclass(slots=True)
class BenchmarkOpinion:
    """The second opinion on one engine: it reads the text while the engine is measured, and is given after.

    Attributes:
        asked: how it is asked for.
        took_s: seconds that it took, whatever became of it.
    """

    asked: BenchmarkPlan
    took_s: float = 0.0
    _text: PromptText | None = None

    def read(self, text: PromptText) -> None:
        """Take the text that prompts are windows of."""
        self._text = text

    def add_to(self, measured: Measured, pipeline: Pipeline) -> Measured:
        """Return a measurement with this opinion, or the reason why there is none."""
        begin = monotonic()
        found = self._given(measured, pipeline)
        self.took_s = monotonic() - begin
        pipeline.say(f"second opinion on speed: {_in_words(found)}")
        return measured.model_copy(update={"speed_opinion": found})

    def _given(self, measured: Measured, pipeline: Pipeline) -> SpeedOpinion | NoOpinion:
        if isinstance(measured.speed, NotMeasured) or self._text is None:
            return NoOpinion(reason="no round was timed, so there is nothing to compare it with")
        ask = partial(ask_benchmark, pipeline, self.asked, self._text)
        return opinion_or_reason(ask, _log_of(pipeline, self.asked))


def ask_benchmark(pipeline: Pipeline, asked: BenchmarkPlan, text: PromptText) -> SpeedOpinion | NoOpinion:
    """Let the tool's benchmark ask the engine.

    Raises:
        artifacts.errors.EngineryError: a toolchain or its GPUs are unavailable, or the tool lacks the
            program, failed, or took too long.
    """
    engine = asked.protocol.engine
    with (
        bench(pipeline, [engine], asked.label, ALONE, asked.served_with) as at,
        pipeline.work_dir(f"{asked.label}-{PURPOSE}") as work,
    ):
        prompts = benchmark_prompts(asked.protocol, text)
        outcome, output = _run(pipeline, asked, at.equipment(engine), work, prompts)
        return read_opinion(output / REPORT_FILE, outcome, asked.protocol.workload.operating_point)


def benchmark_prompts(protocol: JudgingProtocol, text: PromptText) -> list[Prompt]:
    """Return the prompts, which no timed round has. Pure."""
    workload = protocol.workload
    return new_prompts(
        protocol.vocabulary,
        text if workload.prompts == "text" else None,
        seed=protocol.seed,
        purpose=PURPOSE,
        index=0,
        count=ROUNDS * protocol.rounds.requests(workload.operating_point),
        length=workload.input_tokens,
    )


def dataset_lines(prompts: Sequence[Prompt], output_tokens: int) -> str:
    """Return prompts in the form that the tool reads: one JSON object per line. Pure."""
    rows = (
        {"task_id": number, "input_ids": list(prompt), "output_tokens": output_tokens}
        for number, prompt in enumerate(prompts)
    )
    return "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows)


def _run(
    pipeline: Pipeline, asked: BenchmarkPlan, equipped: Equipped, work: Path, prompts: Sequence[Prompt]
) -> tuple[JobOutcome, Path]:
    (dataset,) = new_directories(work, "dataset")
    lines = dataset_lines(prompts, asked.protocol.workload.output_tokens)
    (dataset / REQUESTS_FILE).write_text(lines, encoding="utf-8")
    inputs = {"engine": equipped.tree, "dataset": dataset}
    if any("{checkpoint}" in part for part in asked.command.argv):
        inputs["checkpoint"] = work / "checkpoint"
        pipeline.store.materialize(asked.checkpoint, inputs["checkpoint"])
    serve = equipped.side.serve
    worker = ToolWorker(
        equipped.toolchain, BENCHMARK_WORKER, _log_of(pipeline, asked), asked.limit_s, equipped.gpus
    )
    return worker.run(pipeline, TrtllmBenchParams(asked.command, serve.rewrites, serve.fills), inputs, work)


def _log_of(pipeline: Pipeline, asked: BenchmarkPlan) -> Path:
    return pipeline.log_file(f"{asked.label}-{PURPOSE}")


class _Percentiles(BaseModel):
    p50: float
    p90: float
    p99: float
    average: float

    def of(self, count: int) -> Quantiles:
        return Quantiles(count=count, mean=self.average, p50=self.p50, p90=self.p90, p99=self.p99)


class _Requests(BaseModel):
    num_requests: int
    avg_num_concurrent_requests: float
    avg_input_length: float
    avg_output_length: float


class _Performance(BaseModel):
    system_output_throughput_tok_s: float
    request_latency_percentiles_ms: _Percentiles


class _Streaming(BaseModel):
    ttft_percentiles: _Percentiles
    tpot_percentiles: _Percentiles


class _Report(BaseModel):
    """What is read of the tool's report; times are in milliseconds."""

    request_info: _Requests
    performance: _Performance
    streaming_metrics: _Streaming


def read_opinion(path: Path, outcome: JobOutcome, concurrency: int) -> SpeedOpinion | NoOpinion:
    """Return what a report of the tool says; it has to have what is read of it."""
    try:
        report = _Report.model_validate_json(path.read_bytes())
        asked, streamed = report.request_info, report.streaming_metrics
        return SpeedOpinion(
            tool=f"trtllm-bench of TensorRT-LLM {outcome.tools['tensorrt-llm']}",
            concurrency=concurrency,
            mean_in_flight=asked.avg_num_concurrent_requests,
            requests=asked.num_requests,
            mean_input_tokens=asked.avg_input_length,
            mean_output_tokens=asked.avg_output_length,
            output_tokens_per_s=report.performance.system_output_throughput_tok_s,
            ttft_ms=streamed.ttft_percentiles.of(asked.num_requests),
            tpot_ms=streamed.tpot_percentiles.of(asked.num_requests),
            e2e_ms=report.performance.request_latency_percentiles_ms.of(asked.num_requests),
            took_s=outcome.metrics_as(BenchmarkRun).took_s,
        )
    except FileNotFoundError:
        return NoOpinion(reason="trtllm-bench ended without an error, and wrote no report")
    except ValidationError as error:
        lacking = ", ".join(".".join(map(str, one["loc"])) or "its JSON" for one in error.errors())
        return NoOpinion(reason=f"the report of trtllm-bench is not as it was read upstream: {lacking}")


def _in_words(found: SpeedOpinion | NoOpinion) -> str:
    if isinstance(found, NoOpinion):
        return f"none ({found.reason})"
    return (
        f"{found.tool} made {found.requests} requests, {found.output_tokens_per_s:,.0f} output tokens/s, "
        f"first token after {found.ttft_ms.p50:.1f} ms (median); it decides nothing"
    )
