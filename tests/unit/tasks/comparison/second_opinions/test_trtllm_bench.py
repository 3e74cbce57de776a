"""What trtllm-bench is given to ask, and what is read of its report."""

import json
from pathlib import Path
from typing import Any, Never

import pytest
from support.judging.judgements import measured, protocol, workload
from support.standin.interface_tables import table
from support.stores.directory_bucket import DirectoryBucket

from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from engine_specs.spec import load_spec, resolve_variants
from tasks.comparison.second_opinions import trtllm_bench
from tasks.comparison.second_opinions.trtllm_bench import (
    ROUNDS,
    BenchmarkOpinion,
    BenchmarkPlan,
    benchmark_prompts,
    dataset_lines,
    read_opinion,
)
from tasks.errors import WorkerFailed
from tasks.judging import NoOpinion, SpeedOpinion
from tasks.judging.measure import PromptText
from tasks.kinds import ToolCommand
from tasks.runs import Pipeline
from tasks.stages.measure import benchmark_of
from tasks.toolchains import JobOutcome

TEXT = PromptText(lead=(1,), ids=tuple(range(3, 90)))
OUTCOME = JobOutcome(
    metrics={"took_s": 61.5}, tools={"tensorrt-llm": "1.2.1"}, wall_s=62.0, cpu_s=1.0, peak_rss_bytes=1
)
TABLES = ("trtllm-bench-1.2", "trtllm-bench-1.4")


@pytest.mark.parametrize("name", TABLES)
def test_a_line_of_the_dataset_has_what_upstream_reads(name: str) -> None:
    form = table(name)["dataset"]
    rows = [json.loads(line) for line in dataset_lines([(5, 6, 7), (8, 9)], 16).splitlines()]
    assert rows == [
        {"task_id": 0, "input_ids": [5, 6, 7], "output_tokens": 16},
        {"task_id": 1, "input_ids": [8, 9], "output_tokens": 16},
    ]
    assert all(set(form["required"]) <= set(row) and set(row) & set(form["one_of"]) for row in rows)


def test_prompts_are_as_long_as_the_workload_s_and_the_same_each_time() -> None:
    asked = protocol(load=workload(input_tokens=24, output_tokens=8, concurrency=(1, 4), operating_point=4))
    prompts = benchmark_prompts(asked, TEXT)
    assert prompts == benchmark_prompts(asked, TEXT)
    assert {len(prompt) for prompt in prompts} == {24}
    assert len(prompts) == len(set(prompts)) == ROUNDS * asked.rounds.requests(4)


def report(name: str) -> dict[str, Any]:
    """A report with every key of upstream's; each figure is another one."""
    keys, source = table(name)["report"], iter(range(1, 1000))

    def figures(section: str) -> dict[str, Any]:
        return {key: next(source) for key in keys[section]}

    def percentiles(section: str) -> dict[str, Any]:
        return {key: dict.fromkeys(keys["percentiles"], 0) | figures("percentiles") for key in keys[section]}

    return {
        "engine": figures("engine"),
        "world_info": figures("world_info"),
        "request_info": figures("request_info"),
        "performance": figures("performance") | percentiles("performance_percentiles"),
        "streaming_metrics": figures("streaming_metrics") | percentiles("streaming_percentiles"),
        "dataset": {},
    }


@pytest.mark.parametrize("name", TABLES)
def test_of_upstream_s_report_all_is_found_under_its_key(tmp_path: Path, name: str) -> None:
    made = report(name)
    (path := tmp_path / "report.json").write_text(json.dumps(made))
    found = read_opinion(path, OUTCOME, 8)
    assert isinstance(found, SpeedOpinion)
    asked, performance = made["request_info"], made["performance"]
    assert (found.requests, found.mean_in_flight) == (
        asked["num_requests"],
        asked["avg_num_concurrent_requests"],
    )
    assert found.output_tokens_per_s == performance["system_output_throughput_tok_s"]
    for quantiles, kept in (
        (found.ttft_ms, made["streaming_metrics"]["ttft_percentiles"]),
        (found.tpot_ms, made["streaming_metrics"]["tpot_percentiles"]),
        (found.e2e_ms, performance["request_latency_percentiles_ms"]),
    ):
        assert (quantiles.mean, quantiles.p50, quantiles.p90, quantiles.p99) == tuple(
            kept[key] for key in ("average", "p50", "p90", "p99")
        )
    assert (found.tool, found.took_s) == ("trtllm-bench of TensorRT-LLM 1.2.1", 61.5)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("request_info", "num_requests"),
        ("performance", "system_output_throughput_tok_s"),
        ("streaming_metrics", "ttft_percentiles"),
    ],
)
def test_a_report_without_a_key_is_a_reason_that_names_it(tmp_path: Path, section: str, key: str) -> None:
    made = report(TABLES[0])
    del made[section][key]
    (path := tmp_path / "report.json").write_text(json.dumps(made))
    found = read_opinion(path, OUTCOME, 8)
    assert isinstance(found, NoOpinion)
    assert f"{section}.{key}" in found.reason


@pytest.mark.parametrize("text", ["", "{", '{"request_info": 3}'])
def test_what_is_no_report_is_a_reason(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "report.json").write_text(text)
    assert isinstance(read_opinion(path, OUTCOME, 8), NoOpinion)


@pytest.mark.parametrize("metrics", [{}, {"took": 1.0}, {"took_s": "long"}, {"took_s": 1.0, "more": 1}])
def test_a_worker_that_reports_something_else_is_a_defect_of_it(
    tmp_path: Path, metrics: dict[str, Any]
) -> None:
    (path := tmp_path / "report.json").write_text(json.dumps(report(TABLES[0])))
    with pytest.raises(WorkerFailed, match="BenchmarkRun"):
        read_opinion(path, OUTCOME.model_copy(update={"metrics": metrics}), 8)


def test_a_spec_may_leave_it_out_and_kinds_without_a_benchmark_have_none() -> None:
    spec = load_spec("llama-3.1-8b-instruct")
    speed = spec.validation.speed
    off = spec.validation.model_copy(
        update={"speed": speed.model_copy(update={"second_opinion_minutes": 0.0})}
    )
    without = spec.model_copy(update={"validation": off})
    asked = {one.engine.kind: benchmark_of(spec, one) for one in resolve_variants(spec)}
    assert {kind for kind, command in asked.items() if command} == set(asked) & {"trt-plan", "trtllm-torch"}
    assert asked
    assert [benchmark_of(without, one) for one in resolve_variants(without)] == [None] * len(spec.variants)


def test_its_time_is_no_part_of_the_protocol() -> None:
    asked = protocol()
    gate = asked.speed.gate.model_copy(update={"second_opinion_minutes": 1.0})
    other = asked.model_copy(update={"speed": asked.speed.model_copy(update={"gate": gate})})
    assert other.digest == asked.digest


def test_a_full_disk_costs_the_opinion_and_not_the_measurement(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> Never:
        raise OSError(28, "No space left on device", "dataset/requests.jsonl")

    monkeypatch.setattr(trtllm_bench, "ask_benchmark", fill)
    asked = protocol()
    command = ToolCommand("benchmark", ("trtllm-bench",), {})
    opinion = BenchmarkOpinion(BenchmarkPlan(asked, command, "c" * 64, "a-test"))
    opinion.read(PromptText(lead=(), ids=(5, 6, 7)))
    store = Store(DirectoryBucket(tmp_path), BlobCache(settings.cache_dir))
    timed = measured(asked.digest, [0.0] * 40, ratio=1.4)
    found = opinion.add_to(timed, Pipeline(settings, store, say=lambda _line: None))
    assert found.speed == timed.speed
    assert isinstance(found.speed_opinion, NoOpinion)
    assert "No space left on device" in found.speed_opinion.reason
